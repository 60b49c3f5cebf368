"""Which processes hold which sockets: inode to pid:fd, by reading links under /proc.

The walk costs some 6 microseconds a descriptor, most of it in the kernel, so it is made only
when owners are asked for.  Processes of other network namespaces are passed over.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from tcptool.linux.procfs import ProcFs
from tcptool.model.owner import Holder, Process
from tcptool.model.report import Missing

_SOCKET: Final = "socket:["
"""What a link to a socket starts with; its inode and a bracket follow (sockfs_dname)."""


@dataclass(slots=True)
class Owners:
    """What a walk found.  ``unreadable`` counts processes that we may not look into."""

    holders: dict[int, list[Holder]] = field(default_factory=dict)
    unreadable: int = 0

    def of(self, inode: int | None) -> tuple[Holder, ...]:
        """Every descriptor that refers to this socket, lowest pid and fd first."""
        return tuple(self.holders.get(inode or 0, ()))

    def missing(self) -> list[Missing]:
        """Why holders may be unknown, for a report that has a socket without one."""
        if not self.unreadable:
            return []
        count = "1 process" if self.unreadable == 1 else f"{self.unreadable} processes"
        needs = "CAP_SYS_PTRACE (run with sudo)"
        if os.geteuid() == 0:
            needs = "more than root: a security module or a container forbids it"
        return [Missing("owners of some sockets", f"{count} cannot be looked into", needs)]


def find_owners(
    proc: ProcFs,
    netns_inode: int | None,
    *,
    wanted: Collection[int] | None = None,
    pids: Iterable[int] | None = None,
) -> Owners:
    """Walk the processes of a network namespace: all of them, or those of ``pids``.

    With ``wanted``, only those inodes are kept.
    """
    owners = Owners()
    for pid in sorted(proc.pids() if pids is None else pids):
        try:
            if netns_inode is not None and proc.netns_inode(pid) != netns_inode:
                continue
            found = socket_descriptors(proc, pid)
        except PermissionError:
            owners.unreadable += 1
            continue
        except OSError:
            continue  # gone since the directory was read: normal
        process: Process | None = None
        for fd, inode in found:
            if wanted is not None and inode not in wanted:
                continue
            process = process or proc.process(pid)
            if process is None:
                break
            owners.holders.setdefault(inode, []).append(Holder(process, fd))
    return owners


def socket_descriptors(proc: ProcFs, pid: int) -> list[tuple[int, int]]:
    """(fd, inode) of every socket that a process has open, lowest first.  Raises OSError."""
    # Paths below an open directory spare the kernel the way from the root for every link.
    directory = os.open(f"{proc.root}/{pid}/fd", os.O_RDONLY | os.O_DIRECTORY)
    try:
        names = os.listdir(directory)
        links = _links(names, directory)
    finally:
        os.close(directory)
    return sorted(
        (int(name), int(link[len(_SOCKET) : -1]))
        for name, link in zip(names, links, strict=True)
        if link.startswith(_SOCKET)
    )


def _links(names: list[str], directory: int) -> list[str]:
    """What the names link to; nothing for one that was closed since the directory was read."""
    links: list[str] = []
    reading = map(partial(os.readlink, dir_fd=directory), names)
    while len(links) < len(names):
        try:
            links.extend(reading)  # all of them without a step of Python for each
        except FileNotFoundError:
            links.append("")
    return links
