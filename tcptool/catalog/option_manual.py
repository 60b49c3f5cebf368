"""What the manual and `options` add to the table of options: its words, and a value to show.

Facts only, as in catalog/options.py, and from the same sources.
"""

from __future__ import annotations

from typing import Final

from tcptool.catalog.options import Codec, Mptcp, ReadBack, Risk, SocketOption, When

TAKES_EFFECT: Final = {
    When.NOW: "at once",
    When.NEXT_CALL: "for the next call of the program",
    When.AT_CLOSE: "when the connection is closed",
    When.LISTENER: "on a listener, for the connections that come afterwards",
    When.BEFORE_CONNECT: "only if it is set before connect() or listen()",
    When.BEFORE_BIND: "only if it is set before bind()",
    When.ONE_SHOT: "at once, and then it wears off",
    When.NO_EFFECT: "never: TCP accepts the value and does not use it",
    When.KILLS: "at once, and it ends or breaks a connection",
    When.FIXED: "it cannot be set",
}
"""When a new value takes effect on a socket that is in use."""

READS_BACK: Final = {
    ReadBack.SAME: "what was set",
    ReadBack.DOUBLED: "twice what was set, after the limit of a sysctl",
    ReadBack.CLAMPED: "the nearest value that the kernel allows",
    ReadBack.ROUNDED: "what was set, rounded up to what can be kept, such as a whole timer tick",
    ReadBack.MASKED: "what was set without the bits that belong to the kernel",
    ReadBack.MOVING: "what the kernel makes of it, which may change by itself",
    ReadBack.FADING: "what was set, until the kernel clears it",
    ReadBack.IGNORED: "the old value: setting succeeds and changes nothing",
    ReadBack.NOTHING: "nothing: it cannot be set, or not be read",
}
"""What is read after a set that succeeded."""

RISK: Final = {
    Risk.SAFE: "it cannot harm a running connection of another program",
    Risk.WARN: "it can slow, stall or end the connection, or has no use on it",
    Risk.REFUSE: "it breaks the connection, changes what the program reads, or cannot be undone",
}
"""What setting it on a running connection of another program can do."""

MPTCP: Final = {
    Mptcp.OK: "works as well",
    Mptcp.MISSING: "is not there (ENOPROTOOPT)",
    Mptcp.REFUSED: "is refused (EOPNOTSUPP)",
    Mptcp.UNKNOWN: "was not measured",
}
"""How it fares on an MPTCP socket."""

_VALUES: Final = {
    "SO_SNDBUF": "1M",
    "SO_RCVBUF": "1M",
    "SO_SNDBUFFORCE": "16M",
    "SO_RCVBUFFORCE": "16M",
    "SO_PRIORITY": "6",
    "SO_LINGER": "on:5s",
    "SO_BUSY_POLL": "50us",
    "SO_MAX_PACING_RATE": "100mbit",
    "SO_INCOMING_CPU": "0",
    "SO_BUSY_POLL_BUDGET": "64",
    "SO_BUF_LOCK": "none",
    "SO_RESERVE_MEM": "1M",
    "TCP_MAXSEG": "1400",
    "TCP_KEEPIDLE": "60s",
    "TCP_KEEPINTVL": "10s",
    "TCP_KEEPCNT": "3",
    "TCP_SYNCNT": "3",
    "TCP_LINGER2": "10s",
    "TCP_DEFER_ACCEPT": "7s",
    "TCP_WINDOW_CLAMP": "1M",
    "TCP_CONGESTION": "bbr",
    "TCP_USER_TIMEOUT": "30s",
    "TCP_FASTOPEN": "256",
    "TCP_NOTSENT_LOWAT": "16K",
    "TCP_SAVE_SYN": "network",
    "TCP_RTO_MAX_MS": "10s",
    "TCP_RTO_MIN_US": "20ms",
    "TCP_DELACK_MAX_US": "20ms",
    "IP_TOS": "ef",
    "IP_TTL": "64",
    "IP_MTU_DISCOVER": "want",
    "IP_LOCAL_PORT_RANGE": "40000-50000",
    "IPV6_UNICAST_HOPS": "64",
    "IPV6_MTU_DISCOVER": "want",
    "IPV6_MTU": "1280",
    "IPV6_TCLASS": "ef",
    "IPV6_ADDR_PREFERENCES": "public",
    "backlog": "4096",
}
"""A value as a person would type it, for every option that is not a boolean and not refused."""


def takes_effect(when: When, text: str) -> str:
    """When it takes effect; ``text`` is the option's own ``when_text``."""
    if when is When.NOW and text:
        return text
    return "; ".join(filter(None, (TAKES_EFFECT[when], text)))


def example(option: SocketOption) -> str:
    """A command line that sets it; empty for an option that is better left alone.

    What must be set before connect() or bind() is tried on sockets of tcptool's own.
    """
    if not option.settable or option.risk is Risk.REFUSE or option.when is When.NO_EFFECT:
        return ""
    value = "on" if option.codec is Codec.BOOLEAN else _VALUES[option.name]
    early = option.when in (When.BEFORE_CONNECT, When.BEFORE_BIND)
    target = "" if early else "PID:FD "
    return f"tcptool apply {target}{option.name}={value}"
