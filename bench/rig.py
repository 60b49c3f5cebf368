"""What every comparison stands on: sockets to look at, and fair timing.

The sockets live in a private network namespace of the comparison itself, in child processes
that end when the pipe to them closes.  Commands take turns, round by round, and every run is
checked, so a quick failure is never taken for a quick answer.  Nothing here asserts a time.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import gc
import os
import platform
import resource
import socket
import statistics
import struct
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
TCPTOOL: Final = str(Path(sys.executable).with_name("tcptool"))

_CLONE_NEWUSER: Final = 0x1000_0000  # include/uapi/linux/sched.h
_CLONE_NEWNET: Final = 0x4000_0000
_SIOCGIFFLAGS: Final = 0x8913  # include/uapi/linux/sockios.h
_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 1  # include/uapi/linux/if.h

_PER_CHILD: Final = 10_000
"""Sockets of one child: well below the usual hard limit of 20 000 descriptors."""
_READ_BYTES: Final = 1 << 20


class Failed(Exception):
    """A run that did not do what it was timed for."""


def private_network() -> None:
    """Move this process, and so its children, into a network namespace with `lo` and no more."""
    uid, gid = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    flags = _CLONE_NEWNET if uid == 0 else _CLONE_NEWNET | _CLONE_NEWUSER
    if libc.unshare(flags):
        number = ctypes.get_errno()
        raise OSError(number, f"making a network namespace: {os.strerror(number)}")
    if uid:
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"0 {uid} 1"),
            ("gid_map", f"0 {gid} 1"),
        ):
            Path(f"/proc/self/{name}").write_text(text)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = bytearray(struct.pack("16sH22x", b"lo", 0))
        fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request)
        (now,) = struct.unpack_from("H", request, 16)
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", now | _IFF_UP))


# -- children that hold sockets ------------------------------------------------------------


@contextlib.contextmanager
def child(work: Callable[[], None]) -> Iterator[int]:
    """A forked process (its pid is given) that does ``work`` once, then lives for the block."""
    ready_read, ready_write = os.pipe()
    stop_read, stop_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(ready_read)
            os.close(stop_write)
            work()
            os.write(ready_write, b"1")
            os.read(stop_read, 1)  # ends when the parent closes its end, or dies
            status = 0
        finally:
            os._exit(status)
    os.close(ready_write)
    os.close(stop_read)
    try:
        if not os.read(ready_read, 1):
            raise Failed("a child could not make its sockets")
        yield pid
    finally:
        os.close(ready_read)
        os.close(stop_write)
        os.waitpid(pid, 0)


@contextlib.contextmanager
def established(count: int) -> Iterator[None]:
    """``count`` established sockets (both ends of ``count // 2`` connections) for the block.

    Every tenth connection is IPv6.  Some ends have unread data.
    """
    with contextlib.ExitStack() as stack:
        for start in range(0, count, _PER_CHILD):
            pairs = min(_PER_CHILD, count - start) // 2
            stack.enter_context(child(lambda pairs=pairs: _connect(pairs)))  # type: ignore[misc]
        yield


def _connect(pairs: int) -> None:
    gc.disable()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    v6 = pairs // 10
    for family, address, number in (
        (socket.AF_INET, "127.0.0.1", pairs - v6),
        (socket.AF_INET6, "::1", v6),
    ):
        with socket.socket(family) as listener:
            listener.bind((address, 0))
            listener.listen(16)
            name = listener.getsockname()
            for index in range(number):
                client = socket.socket(family)
                client.connect(name)
                server = listener.accept()[0]
                for end in client, server:  # a reset at the end leaves no TIME_WAIT behind
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.send(b"x" * (1 + index % 1000))
                if index % 16:
                    server.recv(1000)
                server.detach()  # stays open until the process ends
                client.detach()


# -- timing --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Command:
    """One contestant.  ``rows`` must occur as often in its output as ``needle`` says."""

    name: str
    argv: tuple[str, ...]
    needle: bytes = b"\n"
    rows: int | None = None
    most_rounds: int | None = None
    remarks: bool = False
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Run:
    """One checked run: wall clock, processor time and the most memory that it held."""

    wall_s: float
    cpu_s: float
    rss_bytes: int


def environment() -> dict[str, str]:
    """This environment without what would make Python compile its imports at every start."""
    unwanted = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")
    return {key: value for key, value in os.environ.items() if key not in unwanted}


def run(command: Command) -> Run:
    """Run a command to its end and check it.  Raises ``Failed``.

    Output goes to memory, where it costs the least.  The kernel counts the memory of the
    process that starts a program as the program's own (fs/exec.c, setmax_mm_hiwater_rss), so
    the caller of this has to stay small.
    """
    out, err = os.memfd_create("stdout"), os.memfd_create("stderr")
    try:
        began = time.perf_counter()
        pid = os.posix_spawn(
            command.argv[0],
            command.argv,
            environment() | command.environment,
            file_actions=[(os.POSIX_SPAWN_DUP2, out, 1), (os.POSIX_SPAWN_DUP2, err, 2)],
        )
        _, status, usage = os.wait4(pid, 0)
        wall_s = time.perf_counter() - began
        _check(command, os.waitstatus_to_exitcode(status), out, err)
    finally:
        os.close(out)
        os.close(err)
    return Run(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def _check(command: Command, exit_code: int, out: int, err: int) -> None:
    remarks = os.pread(err, 400, 0).decode(errors="replace")
    if exit_code or (remarks and not command.remarks):
        raise Failed(f"{command.name}: exit status {exit_code}, stderr: {remarks!r}")
    if command.rows is None:
        return
    found, offset = 0, 0
    while chunk := os.pread(out, _READ_BYTES, offset):
        found += chunk.count(command.needle)
        # A needle across two chunks is counted with the next one.
        offset += len(chunk) - (len(command.needle) - 1 if len(chunk) == _READ_BYTES else 0)
    if found != command.rows:
        raise Failed(f"{command.name}: {found} rows instead of {command.rows}")


def interleaved(commands: Sequence[Command], rounds: int) -> dict[str, list[Run]]:
    """Every command once to warm up, then once per round, each round in another order."""
    runs: dict[str, list[Run]] = {command.name: [] for command in commands}
    for command in commands:
        if command.most_rounds is None:
            run(command)
    for number in range(rounds):
        turn = number % len(commands)
        for command in (*commands[turn:], *commands[:turn]):
            if command.most_rounds is None or number < command.most_rounds:
                runs[command.name].append(run(command))
    return runs


# -- numbers -------------------------------------------------------------------------------


def median_ms(runs: Sequence[Run]) -> float:
    """Median wall clock."""
    return 1000 * statistics.median(one.wall_s for one in runs)


def spread_percent(runs: Sequence[Run]) -> float:
    """Distance between the quartiles as a share of the median."""
    if len(runs) < 3:
        return float("nan")
    low, middle, high = statistics.quantiles((one.wall_s for one in runs), n=4)
    return 100 * (high - low) / middle


def ratio(runs: Sequence[Run], base: Sequence[Run]) -> float:
    """Median of the ratios round by round: what both had of the machine's mood cancels."""
    pairs = zip(runs, base, strict=False)
    return statistics.median(one.wall_s / other.wall_s for one, other in pairs)


def table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first column is text, the others are numbers."""
    lines = [heading, ["---", *["---:"] * (len(heading) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def machine() -> str:
    """One line that says where and when these figures were made."""
    with open("/proc/cpuinfo") as cpuinfo:
        names = [
            line.partition(":")[2].strip() for line in cpuinfo if line.startswith("model name")
        ]
    processor = names[0] if names else platform.machine()
    return (
        f"{os.cpu_count()} x {processor}, Linux {platform.release()}, "
        f"Python {platform.python_version()}, {date.today().isoformat()}"
    )
