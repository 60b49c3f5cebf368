"""Reading what `doctor` looks at: counters twice, settings, sockets and processes once.

Whatever cannot be read is noted with its reason and left out: in a container half of it may be
hidden.  Counters are those of the network namespace that the kernel view speaks to; what is
there once for the whole host is read from /proc as this process sees it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Final, NamedTuple, TypeVar

from tcptool.catalog.columns import COLUMNS, Column
from tcptool.catalog.states import LISTEN
from tcptool.catalog.sysctls import SYSCTLS, path_of
from tcptool.decode.host import (
    default_links,
    parse_cpus,
    parse_memory_bytes,
    parse_open_files_limit,
    parse_softnet,
)
from tcptool.decode.net_counters import parse_counters, parse_sockstat
from tcptool.decode.netlink import MalformedReply
from tcptool.decode.projection import RAW, Lookups, Projection, extensions_for
from tcptool.decode.route import links, links_request, qdiscs, qdiscs_request
from tcptool.errors import TcptoolError, describe_errno
from tcptool.linux.kernel import Kernel
from tcptool.linux.owners import find_owners
from tcptool.linux.sock_diag import Dump
from tcptool.model.host import HostSocket, Link, OpenFiles, Qdisc, Reading
from tcptool.model.report import Missing

_COLUMNS: Final[tuple[Column, ...]] = tuple(COLUMNS[name] for name in HostSocket._fields)

Result = TypeVar("Result")
Lacks = dict[str, str]
"""Sources that could not be read, and why."""


def read_counters(kernel: Kernel, lacks: Lacks) -> Reading:
    """What stands there now."""
    counters: dict[str, int] = {}
    for name in ("snmp", "netstat"):
        counters |= parse_counters(_net_text(kernel, name, lacks))
    return Reading(
        counters=counters,
        sockstat=parse_sockstat(_net_text(kernel, "sockstat", lacks)),
        softnet=parse_softnet(_net_text(kernel, "softnet_stat", lacks)),
        cpus=parse_cpus(_proc_text(kernel, "stat", lacks)),
        links=_links(kernel, lacks),
        qdiscs=_qdiscs(kernel, lacks),
    )


def read_sysctls(kernel: Kernel, lacks: Lacks) -> dict[str, str]:
    """Every sysctl of the catalog that is there, its numbers separated by single spaces."""
    found: dict[str, str] = {}
    for name, sysctl in SYSCTLS.items():
        # One for the whole host: seen in its first network namespace, wherever `kernel` looks.
        read = _of_host if sysctl.host_wide else _of_namespace
        text = _noted(f"/proc/{path_of(name)}", lacks, read, kernel, name)
        if text is not None:
            found[name] = " ".join(text.split())
    return found


def _of_host(kernel: Kernel, name: str) -> str:
    return kernel.proc.read(path_of(name))


def _of_namespace(kernel: Kernel, name: str) -> str:
    return kernel.sysctl(name)


def read_sockets(kernel: Kernel, lacks: Lacks) -> tuple[tuple[HostSocket, ...], list[Missing]]:
    """One dump of all sockets."""
    dump = Dump(kernel, extensions=extensions_for(_COLUMNS))
    projection = Projection(_COLUMNS, RAW, lookups=Lookups({}, {}))
    try:
        rows = [row for part in dump for row in projection.rows(part.datagram, part.protocol)]
    except (TcptoolError, OSError) as exc:
        lacks["sockets"] = str(exc)
        rows = []
    if dump.missing:
        lacks["tcp_info"] = dump.missing[0].why
        _noted("sockets", lacks, kernel.net_text, "tcp")  # is there anything to stand in for it?
    return tuple(map(HostSocket._make, rows)), dump.missing


def read_listener_drops(kernel: Kernel) -> dict[str, int]:
    """What each listener has dropped since it began to listen, by its cookie."""
    columns = (COLUMNS["cookie"], COLUMNS["drops"])
    dump = Dump(kernel, states=1 << LISTEN, extensions=extensions_for(columns))
    projection = Projection(columns, RAW, lookups=Lookups({}, {}))
    try:
        rows = [row for part in dump for row in projection.rows(part.datagram, part.protocol)]
    except (TcptoolError, OSError):
        return {}  # the second reading says why
    return {cookie: drops for cookie, drops in rows if cookie and drops is not None}


def read_holders(
    kernel: Kernel, sockets: Iterable[HostSocket], lacks: Lacks
) -> tuple[dict[int, tuple[str, str]], list[Missing]]:
    """Who holds each of the sockets: ``PID:FD`` and name of the first one, by inode."""
    wanted = {one.inode for one in sockets if one.inode}
    try:
        owners = find_owners(kernel.proc, kernel.netns_inode(), wanted=wanted)
    except OSError as exc:
        lacks["processes"] = describe_errno(exc.errno or 0)
        return {}, []
    first = {inode: found[0] for inode, found in owners.holders.items()}
    return {i: (str(one), one.process.name) for i, one in first.items()}, owners.missing()


class Processes(NamedTuple):
    """Open descriptors of the processes that may be looked into, and the names of all."""

    files: tuple[OpenFiles, ...]
    names: frozenset[str]
    missing: list[Missing]


def read_processes(kernel: Kernel, lacks: Lacks) -> Processes:
    """Names and open descriptors of the processes that are visible here."""
    files, names, barred = [], set(), 0
    for pid in _noted("processes", lacks, lambda: list(kernel.proc.pids())) or []:
        process = kernel.proc.process(pid)
        if process is None:
            continue  # gone since the directory was read
        names.add(process.name)
        try:
            used = len(os.listdir(f"{kernel.proc.root}/{pid}/fd"))
            limits = parse_open_files_limit(kernel.proc.read(f"{pid}/limits"))
        except PermissionError:
            barred += 1
            continue
        except OSError:
            continue
        if limits is not None:
            files.append(OpenFiles(pid, process.name, used, *limits))
    missing = []
    if barred:
        count = "1 process" if barred == 1 else f"{barred} processes"
        why = f"{count} cannot be looked into"
        missing.append(Missing("open files of other users", why, "CAP_SYS_PTRACE (run with sudo)"))
    return Processes(tuple(files), frozenset(names), missing)


def read_default_links(kernel: Kernel, lacks: Lacks) -> frozenset[str]:
    """The devices of default routes."""
    ipv6 = _net_text(kernel, "ipv6_route", {})  # absent without IPv6
    return default_links(_net_text(kernel, "route", lacks), ipv6)


def read_memory_bytes(kernel: Kernel) -> int | None:
    """The memory of the host."""
    return parse_memory_bytes(_proc_text(kernel, "meminfo", {}))


def page_bytes() -> int:
    """The size of a page, in which tcp_mem counts."""
    return os.sysconf("SC_PAGE_SIZE")


def load_percent(kernel: Kernel, processors: int) -> float | None:
    """Load average of the last minute as a share of the processors; None if it is not known."""
    try:
        return 100 * float(_proc_text(kernel, "loadavg", {}).split()[0]) / processors
    except (ValueError, IndexError, ZeroDivisionError):
        return None


# -- one source each -----------------------------------------------------------------------


def _noted(
    what: str, lacks: Lacks, read: Callable[..., Result], *arguments: object
) -> Result | None:
    """What ``read`` gives; where the kernel refuses, None, and the reason is kept.

    A namespace that cannot be entered is not such a reason: then there is no answer at all.
    """
    try:
        return read(*arguments)
    except OSError as exc:
        lacks[what] = describe_errno(exc.errno or 0)
    except MalformedReply as exc:
        lacks[what] = exc.why
    return None


def _net_text(kernel: Kernel, name: str, lacks: Lacks) -> str:
    return _noted(f"/proc/net/{name}", lacks, kernel.net_text, name) or ""


def _proc_text(kernel: Kernel, name: str, lacks: Lacks) -> str:
    return _noted(f"/proc/{name}", lacks, kernel.proc.read, name) or ""


def _links(kernel: Kernel, lacks: Lacks) -> tuple[Link, ...]:
    def ask() -> list[Link]:
        return [one for part in kernel.route(links_request()) for one in links(part)]

    return tuple(_completed(kernel, _noted("network devices (rtnetlink)", lacks, ask) or []))


def _completed(kernel: Kernel, found: list[Link]) -> Iterator[Link]:
    """The devices with what only /sys tells, if it is the same device that /sys shows."""
    for link in found:
        shown = [kernel.sys.of_link(link.name, what) for what in ("ifindex", "address")]
        if shown != [str(link.index), link.address]:
            yield link
            continue
        yield replace(
            link,
            duplex=kernel.sys.of_link(link.name, "duplex"),
            receive_queues=kernel.sys.receive_queues(link.name),
        )


def _qdiscs(kernel: Kernel, lacks: Lacks) -> tuple[Qdisc, ...]:
    def ask() -> list[Qdisc]:
        return [one for part in kernel.route(qdiscs_request()) for one in qdiscs(part)]

    return tuple(_noted("queueing disciplines (rtnetlink)", lacks, ask) or ())
