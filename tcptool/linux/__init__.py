"""Asking the kernel: the only package that reads or changes its state.

It hands bytes to `decode`; it judges nothing and shows nothing.
"""
