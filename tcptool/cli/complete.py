"""What the completion scripts ask while a person waits: `tcptool __complete WHAT PREFIX`.

Each line of the answer is a candidate, a tab and a description.  Nothing here may load typer,
rich or psutil, nothing may fail aloud, and nothing that another process chose may reach the
shell: candidates are digits and colons or names of a whitelist, descriptions are reduced to
letters, digits and a few harmless marks.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Final

from tcptool.catalog.columns import COLUMNS, INPUTS
from tcptool.decode.projection import RAW, Lookups, Projection
from tcptool.linux.kernel import Kernel, LiveKernel
from tcptool.linux.netns import NAMED
from tcptool.linux.owners import find_owners
from tcptool.linux.procfs import ProcFs
from tcptool.linux.sock_diag import Dump
from tcptool.model.owner import Process

_TARGET: Final = re.compile("([0-9]*)(:[0-9]*)?")
_NAME: Final = re.compile("[A-Za-z0-9][A-Za-z0-9._-]*")
_NOT_HARMLESS: Final = re.compile(r"[^A-Za-z0-9 ._/@,\[\]:-]")


def complete(arguments: list[str], kernel: Kernel | None = None) -> int:
    """Print the candidates.  An error means that there are none: a Tab must not disturb."""
    what, prefix = [*arguments, "", ""][:2]
    try:
        kernel = kernel or LiveKernel()
        candidates = {"sockets": _sockets, "netns": _namespaces}[what](kernel, prefix)
        print("".join(f"{line}\n" for line in candidates), end="", flush=True)
    except (Exception, KeyboardInterrupt):  # noqa: BLE001 - see above
        return 0
    return 0


class _SomeProcesses(ProcFs):
    """Only the processes that ``prefix`` may mean, with the short names that /proc knows."""

    def __init__(self, root: str, prefix: str) -> None:
        super().__init__(root)
        pid, colon = _TARGET.fullmatch(prefix).groups()  # type: ignore[union-attr]
        self._wanted = re.compile(pid if colon else f"{pid}.*")

    def pids(self) -> Iterator[int]:
        return (pid for pid in super().pids() if self._wanted.fullmatch(str(pid)))

    def _full_name(self, process: Process) -> str:
        return process.name  # the rest would take psutil, which takes 40 ms to load


def _sockets(kernel: Kernel, prefix: str) -> Iterator[str]:
    """PID:FD of the TCP sockets that we may see, with the process and what it talks to."""
    if not _TARGET.fullmatch(prefix):
        return
    owners = find_owners(_SomeProcesses(kernel.proc.root, prefix), kernel.netns_inode())
    columns = [INPUTS["inode"], COLUMNS["state"], COLUMNS["local"], COLUMNS["peer"]]
    projection = Projection(columns, RAW, lookups=Lookups({}, {}))
    found: dict[tuple[int, int], str] = {}
    for part in Dump(kernel, extensions=0):
        for inode, state, local, peer in projection.rows(part.datagram, part.protocol):
            about = f"listening on {local}" if state == "listen" else peer
            for process, fd in owners.of(inode):
                if f"{process.pid}:{fd}".startswith(prefix):
                    found[process.pid, fd] = f"{process.name} {about}"
    for (pid, fd), description in sorted(found.items()):
        yield f"{pid}:{fd}\t{_NOT_HARMLESS.sub('?', description)}"


def _namespaces(_kernel: Kernel, prefix: str) -> Iterator[str]:
    """Network namespaces that `ip netns` has named."""
    for name in sorted(os.listdir(NAMED)):
        if name.startswith(prefix) and _NAME.fullmatch(name):
            yield f"{name}\tnetwork namespace"
