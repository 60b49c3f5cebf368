"""Nouns: frozen, slotted records that the stages pass to one another; absent is None.

Records hold values and derive others from them; they ask the kernel nothing and print nothing.
"""
