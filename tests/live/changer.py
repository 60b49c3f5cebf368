"""Changes options of a live socket as `apply` does, and can be killed at every step.

    python -m tests.live.changer JOURNAL PID FD KILL_AT NAME=HEX...

KILL_AT is the number of steps after which it kills itself with SIGKILL; with -1 it lives.  Steps
are the plan, and for each option setting it and noting that.
"""

from __future__ import annotations

import os
import signal
import sys
from itertools import count

from tcptool.actions.resolve import resolve_one
from tcptool.analysis.undo import disturbed_by, known_option
from tcptool.catalog.options import BY_NAME, SocketOption
from tcptool.linux.borrow import Descriptor
from tcptool.linux.journal import open_journal
from tcptool.linux.kernel import LiveKernel
from tcptool.linux.visit import read_option, write_option
from tcptool.model import target
from tcptool.model.journal import (
    DoneChange,
    JournalEntry,
    PlannedChange,
    SocketEntry,
    SocketIdentity,
)


def main(path: str, pid: int, fd: int, kill_at: int, words: list[str]) -> None:
    steps = count()

    def step() -> None:
        if next(steps) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    wanted = {_option(name): bytes.fromhex(value) for name, value in map(_split, words)}
    with LiveKernel() as kernel, open_journal(kernel, path) as journal:
        sock = resolve_one(kernel, target.Descriptor(pid, fd)).socket
        process = kernel.proc.process(pid)
        assert sock.cookie is not None
        assert process is not None
        with kernel.borrow(pid, fd) as descriptor:
            netns = _read(descriptor, BY_NAME["SO_NETNS_COOKIE"])
            planned = tuple(
                PlannedChange(
                    option=option.name,
                    before=_read(descriptor, option),
                    requested=raw,
                    kept=_kept(descriptor, option),
                )
                for option, raw in wanted.items()
            )
        identity = SocketIdentity(
            netns_cookie=f"{int.from_bytes(netns or b'', sys.byteorder):x}",
            cookie=sock.cookie,
            inode=sock.inode or 0,
            pid=pid,
            start_ticks=process.start_ticks,
            fd=fd,
            label=f"{process.name} {pid}:{fd}",
        )
        name = journal.new_id(kernel.wall_clock())
        step()
        journal.begin(
            JournalEntry(
                id=name,
                time_s=kernel.wall_clock(),
                command=f"changer {' '.join(words)}",
                sockets=(SocketEntry(identity=identity, planned=planned),),
            )
        )
        step()
        for option, raw in wanted.items():
            with kernel.borrow(pid, fd) as descriptor:
                number = write_option(descriptor, option, raw)
                after, kept = _read(descriptor, option), _kept(descriptor, option)
            step()
            change = DoneChange(option=option.name, after=after, errno=number, kept=kept)
            journal.done(name, sock.cookie, [change])
            step()
        print(name)


def _split(word: str) -> tuple[str, str]:
    name, _, value = word.partition("=")
    return name, value


def _option(name: str) -> SocketOption:
    option = known_option(name)
    assert option is not None, name
    return option


def _read(descriptor: Descriptor, option: SocketOption) -> bytes | None:
    value = read_option(descriptor, option)
    return value if isinstance(value, bytes) else None


def _kept(descriptor: Descriptor, option: SocketOption) -> dict[str, bytes]:
    values = {one.name: _read(descriptor, one) for one in disturbed_by(option)}
    return {name: raw for name, raw in values.items() if raw is not None}


if __name__ == "__main__":
    path, pid, fd, kill_at, *words = sys.argv[1:]
    main(path, int(pid), int(fd), int(kill_at), words)
