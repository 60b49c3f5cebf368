"""The checks of `doctor`: one pure function each, over two readings of a host.

A check that lacks its input is skipped with the reason; one that finds nothing says so.  None
proposes a setting for a symptom that was not seen, nor more than the smallest sufficient value.
"""
