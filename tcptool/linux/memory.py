"""The memory that all of TCP uses, and how much the kernel grants it.

Sources: /proc/net/sockstat (net/ipv4/proc.c), net.ipv4.tcp_mem (tcp(7)); both count pages.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from tcptool.linux.kernel import Kernel


class TcpMemory(NamedTuple):
    """``pressure_bytes`` is where the kernel begins to save: tcp_mem[1]."""

    used_bytes: int
    pressure_bytes: int


def tcp_memory(kernel: Kernel) -> TcpMemory | None:
    """None where it cannot be read: tcp_mem exists in the first network namespace only."""
    page_bytes = os.sysconf("SC_PAGE_SIZE")
    try:
        # Both count for the whole host; the main thread may be where the sysctl exists.
        pressure_pages = int(kernel.proc.read("sys/net/ipv4/tcp_mem").split()[1])
        words = kernel.net_text("sockstat").split()
        used_pages = int(words[words.index("mem", words.index("TCP:")) + 1])
    except (OSError, ValueError, IndexError):
        return None
    return TcpMemory(used_pages * page_bytes, pressure_pages * page_bytes)
