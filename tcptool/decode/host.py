"""Text files of /proc about the host: receiving, CPU time, routes, limits.

What cannot be read as a number is left out, never guessed.

Sources: net/core/net-procfs.c (softnet_seq_show), fs/proc/stat.c, net/ipv4/fib_trie.c
(fib_route_seq_show), net/ipv6/route.c (rt6_info_route), fs/proc/base.c (proc_pid_limits),
Linux 6.18.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tcptool.model.host import CpuTicks, Softnet

_SOFTNET_CPU: Final = 12
"""The column with the CPU's number, since Linux 5.10; CPUs that are offline have no line."""
_CPU_FIELDS: Final = 8
"""user nice system idle iowait irq softirq steal; guest time is in user already."""
_SOFTIRQ, _STEAL = 6, 7
_KIB: Final = 1024


def parse_softnet(text: str) -> tuple[Softnet, ...]:
    """/proc/net/softnet_stat: a line for each CPU, in hexadecimal."""
    return tuple(_softnet(text))


def _softnet(text: str) -> Iterator[Softnet]:
    for place, line in enumerate(text.splitlines()):
        try:
            columns = [int(word, 16) for word in line.split()]
            cpu = columns[_SOFTNET_CPU] if len(columns) > _SOFTNET_CPU else place
            yield Softnet(cpu, columns[0], columns[1], columns[2])
        except (ValueError, IndexError):
            continue


def parse_cpus(text: str) -> tuple[CpuTicks, ...]:
    """The ``cpuN`` lines of /proc/stat."""
    return tuple(_cpus(text))


def _cpus(text: str) -> Iterator[CpuTicks]:
    for line in text.splitlines():
        name, *words = line.split() or [""]
        number = name.removeprefix("cpu")
        if not number.isdecimal() or number == name:
            continue
        try:
            ticks = [int(word) for word in words[:_CPU_FIELDS]]
            yield CpuTicks(int(number), sum(ticks), ticks[_SOFTIRQ], ticks[_STEAL])
        except (ValueError, IndexError):
            continue


def default_links(route: str, ipv6_route: str) -> frozenset[str]:
    """The devices of default routes, from /proc/net/route and /proc/net/ipv6_route."""
    found = set()
    for line in route.splitlines()[1:]:
        words = line.split()
        if len(words) > 7 and words[1] == words[7] == "00000000":
            found.add(words[0])
    for line in ipv6_route.splitlines():
        words = line.split()
        # lo: the entry by which a host without a default route rejects everything.
        if len(words) == 10 and words[:2] == ["0" * 32, "00"] and words[9] != "lo":
            found.add(words[9])
    return frozenset(found)


def parse_open_files_limit(text: str) -> tuple[int | None, int | None] | None:
    """Soft and hard limit of /proc/PID/limits, each None if there is none; None if not there."""
    for line in text.splitlines():
        if line.startswith("Max open files"):
            words = line.split()[3:5]
            if len(words) == 2 and all(w == "unlimited" or w.isdecimal() for w in words):
                soft, hard = (None if word == "unlimited" else int(word) for word in words)
                return soft, hard
    return None


def parse_memory_bytes(text: str) -> int | None:
    """MemTotal of /proc/meminfo, which is in KiB."""
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["MemTotal:"] and len(words) > 1 and words[1].isdecimal():
            return int(words[1]) * _KIB
    return None
