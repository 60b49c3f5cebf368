"""Showing: a report becomes terminal, plain text or JSON.

A view decides nothing and never opens a socket.
"""
