"""Verbs: one module per command, which takes a Kernel and returns a report.  The Python API.

An action neither parses a command line nor prints.
"""
