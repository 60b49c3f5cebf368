"""The command line: parse, call an action, show its report with a view.

A command is at most 15 lines; whatever needs more belongs to one of the layers below.
"""
