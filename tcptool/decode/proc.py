"""Text files under /proc: what a process is called, and the TCP tables.

Source: proc(5); fs/proc/array.c, net/ipv4/tcp_ipv4.c (get_tcp4_sock), Linux 6.18.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from tcptool.catalog import diag
from tcptool.catalog.derived import UNKNOWN_BACKLOG
from tcptool.catalog.states import LISTEN
from tcptool.decode.diag_request import pack_id
from tcptool.decode.netlink import message
from tcptool.model.owner import Process

_UNSIGNED_32 = 0xFFFF_FFFF
_STAT_AFTER_NAME = 2
_START_TIME = 22
_PROBING = (2, 4)
"""Timers keepalive and persist: get_tcp4_sock() prints their icsk_probes_out as ``timeout``."""


def parse_stat(pid: int, text: str) -> Process:
    """/proc/PID/stat.  The name stands in parentheses and may hold anything, ``)`` included."""
    name, _, rest = text.partition("(")[2].rpartition(")")
    fields = rest.split()
    # The first field after the name is number 3, the state.
    start = fields[_START_TIME - _STAT_AFTER_NAME - 1]
    return Process(pid, name, int(start), fields[0])


def parse_thread_group(text: str) -> int | None:
    """The process that a thread belongs to, from /proc/TID/status."""
    for line in text.split("\n"):
        if line.startswith("Tgid:") and line[5:].strip().isdecimal():
            return int(line[5:])
    return None


def socket_inode(link: str) -> int | None:
    """The inode in ``socket:[12345]``, the target of a link under /proc/PID/fd; else None."""
    if link.startswith("socket:[") and link.endswith("]") and link[8:-1].isdecimal():
        return int(link[8:-1])
    return None


def parse_cgroup(text: str) -> str | None:
    """The path in the unified hierarchy from /proc/PID/cgroup."""
    # Not splitlines(): a path may hold every other character that it takes for a line's end.
    for line in text.split("\n"):
        if line.startswith("0::"):
            return line[3:]
    return None


def net_tcp_as_diag(text: str, family: int) -> Iterator[bytes]:
    """Turn /proc/net/tcp or tcp6 into the sock_diag messages that say the same.

    The messages carry no attributes and no cookie, so everything those would have told is
    absent further on.  Lines that cannot be read are left out.
    """
    size = 4 if family == diag.AF_INET else 16
    for line in text.splitlines()[1:]:
        try:
            yield message(diag.SOCK_DIAG_BY_FAMILY, 0, 0, _net_tcp_line(line.split(), family, size))
        except (ValueError, IndexError, struct.error):
            continue


def _net_tcp_line(fields: list[str], family: int, size: int) -> bytes:
    local, peer = (_address(field, size) for field in fields[1:3])
    wqueue, rqueue = (int(part, 16) for part in fields[4].split(":"))
    timer, expires_jiffies = (int(part, 16) for part in fields[5].split(":"))
    # USER_HZ is 100 on every architecture that Linux runs Python on.
    expires_ms = min(expires_jiffies * 10, _UNSIGNED_32)
    # As idiag_retrans: unanswered probes while the timer is one of these, else retransmissions.
    retrans = int(fields[8]) if timer in _PROBING else int(fields[6], 16)
    state = int(fields[3], 16)
    if state == LISTEN:
        wqueue = UNKNOWN_BACKLOG
    head = struct.pack("=BBBB", family, state, timer, retrans)
    tail = struct.pack("=5I", expires_ms, rqueue, wqueue, int(fields[7]), int(fields[9]))
    return head + pack_id(local, peer, cookie=0) + tail


def _address(field: str, size: int) -> tuple[bytes, int]:
    """``0100007F:1F90``: 32-bit words in the machine's order, then the port."""
    address, port = field.split(":")
    if len(address) != 2 * size:
        raise ValueError(f"{field!r} is not {size} bytes")
    words = [int(address[i : i + 8], 16) for i in range(0, len(address), 8)]
    return struct.pack(f"={len(words)}I", *words), int(port, 16)
