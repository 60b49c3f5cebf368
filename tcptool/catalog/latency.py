"""What `probe latency` can do differently: ways of sending one request, options to compare.

Sources: the manual pages of the calls in section 2, tcp(7), and measurements on Linux 6.18
(loopback, 64 bytes: two writes 44 ms; everything else here 0.01 to 0.1 ms).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Variant:
    """One thing to compare.  ``remedy`` is how to speak of it as the cure of a delayed ACK."""

    name: str
    summary: str
    remedy: str


ONE_WRITE: Final = "one-write"
TWO_WRITES: Final = "two-writes"
GATHERED: Final = "gathered"
MORE: Final = "more"
PATTERNS: Final = {
    one.name: one
    for one in (
        Variant(ONE_WRITE, "the whole request in one send(2)", "one write"),
        Variant(TWO_WRITES, "header and body in two send(2), then the reply is read", ""),
        Variant(GATHERED, "header and body in one sendmsg(2)", "one sendmsg of both parts"),
        Variant(MORE, "two send(2), the first with MSG_MORE", "MSG_MORE on the first write"),
    )
}
PATTERN_ALIASES: Final = {
    "single": ONE_WRITE,
    "write-write-read": TWO_WRITES,
    "wwr": TWO_WRITES,
}

DEFAULT: Final = "default"
"""The arm on which nothing is set but what --set and --profile ask for."""
NODELAY: Final = "nodelay"
CORK: Final = "cork"
QUICKACK: Final = "quickack"
OPTIONS: Final = {
    one.name: one
    for one in (
        Variant(NODELAY, "TCP_NODELAY at this end: Nagle's algorithm is off", "TCP_NODELAY"),
        Variant(
            CORK,
            "TCP_CORK set before each request and cleared after it",
            "TCP_CORK around both writes",
        ),
        Variant(
            QUICKACK,
            "TCP_QUICKACK set again at the far end before each wait: no delayed ACK",
            "TCP_QUICKACK at the far end, set again before each wait",
        ),
    )
}

HEADER_BYTES: Final = 16
"""First part of a request in two parts, less for a smaller one: as small as headers of binary
protocols are, because Nagle's algorithm holds back behind whatever is not acknowledged."""
