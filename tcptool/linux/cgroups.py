"""Names of control groups by the id that sock_diag reports.

The id is the inode of the group's directory in the unified hierarchy (cgroup_id() in
include/linux/cgroup.h).  The old hierarchies number their directories on their own, so where
only those are mounted nothing can be said.
"""

from __future__ import annotations

import os

from tcptool.linux.procfs import ProcFs, visible


def cgroup_paths(proc: ProcFs) -> dict[int, str]:
    """Path below the root of the unified hierarchy, by id; empty where it is not mounted."""
    found: dict[int, str] = {}
    root = _unified_mount(proc)
    for directory, _, _ in os.walk(root) if root else ():
        try:
            inode = os.stat(directory).st_ino
        except OSError:
            continue  # removed since the walk saw it
        found[inode] = visible(os.fsencode(directory.removeprefix(root))) or "/"
    return found


def _unified_mount(proc: ProcFs) -> str:
    try:
        mounts = [line.split(" ") for line in proc.read("self/mounts").split("\n") if line]
    except OSError:
        return ""
    return next((fields[1] for fields in mounts if fields[2] == "cgroup2"), "")
