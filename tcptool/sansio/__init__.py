"""State machines without input or output: fed bytes and times, they say what to do next.

They never touch a socket, read a clock or wait.
"""
