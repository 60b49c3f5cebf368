"""Counters of a network namespace and its port ranges: text files under /proc.

Source: net/ipv4/proc.c (snmp_seq_show, netstat_seq_show, sockstat_seq_show) and, for the ranges,
net/ipv4/sysctl_net_ipv4.c and lib/bitmap-str.c (bitmap_print_list), Linux 6.18.
"""

from __future__ import annotations


def parse_counters(text: str) -> dict[str, int]:
    """/proc/net/snmp and netstat: a line of names, then one of numbers, for each protocol.

    The names are those of nstat(8), as ``TcpActiveOpens`` and ``TcpExtListenOverflows``.  What
    does not belong together, or is no number, is left out.
    """
    found: dict[str, int] = {}
    lines = text.splitlines()
    for names, numbers in zip(lines[::2], lines[1::2], strict=False):
        protocol, _, rest = names.partition(":")
        same_protocol, _, values = numbers.partition(":")
        keys, texts = rest.split(), values.split()
        if protocol != same_protocol or len(keys) != len(texts):
            continue
        for key, value in zip(keys, texts, strict=True):
            if (number := _number(value)) is not None:
                found[protocol + key] = number
    return found


def parse_sockstat(text: str) -> dict[str, int]:
    """/proc/net/sockstat as ``TCP tw`` and the like; what is no number is left out.

    ``TCP tw`` counts this namespace only, over IPv4 and IPv6, and FIN_WAIT2 without an owner as
    well; ``TCP orphan``, ``alloc`` and ``mem`` are of the whole host.
    """
    found: dict[str, int] = {}
    for line in text.splitlines():
        protocol, _, rest = line.partition(":")
        words = rest.split()
        for key, value in zip(words[::2], words[1::2], strict=False):
            if (number := _number(value)) is not None:
                found[f"{protocol} {key}"] = number
    return found


def parse_ports(text: str) -> tuple[range, ...]:
    """``32768  60999`` of ip_local_port_range, or ``8080,9000-9010`` of the reserved ones.

    Raises ValueError for anything else; an empty text is no ports.
    """
    words = text.split()
    if len(words) == 2:
        return (_ports(*words),)
    return tuple(_ports(*part.split("-", 1)) for part in text.strip().split(",") if part)


def _ports(first: str, last: str | None = None) -> range:
    return range(int(first), int(last or first) + 1)


def _number(text: str) -> int | None:
    """Counters are decimal; Tcp MaxConn is -1 for "no limit"."""
    return int(text) if text.isascii() and text.removeprefix("-").isdecimal() else None
