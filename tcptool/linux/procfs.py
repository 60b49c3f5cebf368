"""Reading /proc, under a root that tests can replace.

A process may vanish between any two reads; callers get ``None`` or nothing, never an error,
unless it is the process that was asked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from tcptool.decode.proc import parse_cgroup, parse_stat
from tcptool.model.owner import Process

_TRUNCATED_NAME = 15
"""TASK_COMM_LEN - 1, in bytes: a name of this length may have lost its end."""


def visible(raw: bytes) -> str:
    r"""The text, with ``\xff`` for what is not UTF-8: never a surrogate, which JSON cannot hold."""
    return raw.decode(errors="backslashreplace")


class ProcFs:
    """One mounted /proc."""

    def __init__(self, root: str = "/proc", *, full_names: bool = True) -> None:
        self.root = root
        self._wants_full_names = full_names and root == "/proc"  # psutil knows no other root
        self._full_names: dict[tuple[int, int], str] = {}

    def pids(self) -> Iterator[int]:
        """Every process that is visible here."""
        return (int(name) for name in os.listdir(self.root) if name.isdecimal())

    def read(self, path: str) -> str:
        """A file's text, see ``visible``; line ends are as they are.  Raises OSError."""
        with open(f"{self.root}/{path}", "rb") as file:
            return visible(file.read())

    def process(self, pid: int) -> Process | None:
        """Name, start time and state, or None if there is no such process."""
        try:
            process = parse_stat(pid, self.read(f"{pid}/stat"))
        except (OSError, IndexError, ValueError):
            return None
        if len(process.name.encode()) < _TRUNCATED_NAME or not self._wants_full_names:
            return process
        return process._replace(name=self._full_name(process))

    def _full_name(self, process: Process) -> str:
        """The name beyond 15 characters, which psutil finds in the command line."""
        key = (process.pid, process.start_ticks)
        if key not in self._full_names:
            import psutil

            try:
                name = psutil.Process(process.pid).name()
            except psutil.Error:
                return process.name
            self._full_names[key] = visible(os.fsencode(name))
        return self._full_names[key]

    def link(self, pid: int, fd: int) -> str:
        """Where a descriptor of a process points to, as ``socket:[1234]``.  Raises OSError."""
        return os.readlink(f"{self.root}/{pid}/fd/{fd}")

    def netns_inode(self, pid: int | str) -> int:
        """Identity of a process's network namespace.  Raises OSError."""
        return os.stat(f"{self.root}/{pid}/ns/net").st_ino

    def cgroup(self, pid: int) -> str | None:
        """Control group of a process in the unified hierarchy."""
        try:
            return parse_cgroup(self.read(f"{pid}/cgroup"))
        except OSError:
            return None
