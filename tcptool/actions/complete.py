"""What a shell may offer after Tab: live sockets by PID:FD, named network namespaces, profiles.

Nothing that another process chose may reach a shell: candidates are digits and colons or names
of a whitelist, descriptions are reduced to letters, digits and a few harmless marks.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Final

from tcptool.catalog.columns import COLUMNS, INPUTS
from tcptool.catalog.profiles import BUILT_IN
from tcptool.decode.projection import RAW, Lookups, Projection
from tcptool.linux.kernel import Kernel
from tcptool.linux.netns import NAMED
from tcptool.linux.owners import find_owners
from tcptool.linux.procfs import ProcFs
from tcptool.linux.profiles import profile_files
from tcptool.linux.sock_diag import Dump

Candidate = tuple[str, str]
"""What to insert, and what to show beside it."""

_TARGET: Final = re.compile("([0-9]*)(:[0-9]*)?")
_NAME: Final = re.compile("[A-Za-z0-9][A-Za-z0-9._-]*")
_NOT_HARMLESS: Final = re.compile(r"[^A-Za-z0-9 ._/@,\[\]:-]")


def socket_candidates(kernel: Kernel, prefix: str) -> Iterator[Candidate]:
    """PID:FD of the TCP sockets that we may see, with the process and what it talks to."""
    target = _TARGET.fullmatch(prefix)
    if target is None:
        return
    pid_prefix, colon = target.groups()
    wanted = re.compile(pid_prefix if colon else f"{pid_prefix}.*")
    proc = ProcFs(kernel.proc.root, full_names=False)  # a person waits: psutil takes 40 ms
    pids = [pid for pid in proc.pids() if wanted.fullmatch(str(pid))]
    owners = find_owners(proc, kernel.netns_inode(), pids=pids)
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
        yield f"{pid}:{fd}", _NOT_HARMLESS.sub("?", description)


def profile_candidates(_kernel: Kernel, prefix: str) -> Iterator[Candidate]:
    """Profiles of tcptool and of the user, by name."""
    own = {path.stem: "your own profile" for path in profile_files()}
    for name, about in ({p.name: p.summary for p in BUILT_IN} | own).items():
        if name.startswith(prefix) and _NAME.fullmatch(name):
            yield name, _NOT_HARMLESS.sub("?", about)


def netns_candidates(_kernel: Kernel, prefix: str) -> Iterator[Candidate]:
    """Network namespaces that `ip netns` has named."""
    for name in sorted(os.listdir(NAMED)):
        if name.startswith(prefix) and _NAME.fullmatch(name):
            yield name, "network namespace"
