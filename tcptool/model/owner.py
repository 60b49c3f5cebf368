"""Who holds a socket."""

from __future__ import annotations

from typing import NamedTuple


class Process(NamedTuple):
    """A process, told apart from a later one with the same pid by its start time.

    ``start_ticks`` counts clock ticks since boot (field 22 of /proc/PID/stat).  ``name`` is
    whatever the process calls itself: clean it before it reaches a terminal.
    """

    pid: int
    name: str
    start_ticks: int
    state: str


class Holder(NamedTuple):
    """One descriptor that refers to a socket."""

    process: Process
    fd: int

    def __str__(self) -> str:
        return f"{self.process.pid}:{self.fd}"
