"""How a pool looks at a connection before it lends it again, and what each way sees.

Source: tcp(7), recv(2), poll(2), and measurements on Linux 6.18.
"""

from __future__ import annotations

from typing import Final

NONE: Final = "none"
SO_ERROR: Final = "so_error"
TCP_INFO: Final = "tcp_info"
RDHUP: Final = "rdhup"
PEEK: Final = "peek"

CHECKS: Final = {
    NONE: "nothing: every dead connection is handed out",
    SO_ERROR: "SO_ERROR, as in the guide: sees a reset, and not that the server has closed (FIN)",
    TCP_INFO: "the state in tcp_info: sees FIN and reset, and not bytes that nobody asked for",
    RDHUP: "poll(2) for POLLRDHUP: sees FIN and reset, and not bytes that nobody asked for",
    PEEK: "recv(2) with MSG_PEEK: sees FIN, reset, and bytes that nobody asked for",
}
DEFAULT_CHECK: Final = PEEK
"""The only one that also sees what would be taken for the answer to the next request."""
