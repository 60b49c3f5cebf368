"""tcptool: see, explain, tune and exercise the TCP connections of a Linux host.

This module holds the version and nothing else, so that asking for it costs nothing.
"""

__version__ = "0.1.0"
