"""What a watch costs, and whom: `python -m bench.watch`.

One process sends as fast as it can to another over loopback.  Windows with and without
`tcptool inspect PID:FD --watch` take turns; the sender counts what it sends.
"""

from __future__ import annotations

import argparse
import contextlib
import mmap
import os
import signal
import socket
import statistics
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Final, NamedTuple

from bench.rig import TCPTOOL, Failed, child, environment, machine, private_network, table

_CHUNK_BYTES: Final = 256 * 1024
_DEADLINE_S: Final = 10.0
_COUNTER: Final = struct.Struct("=Q")


class Window(NamedTuple):
    """One window: what the owner sent, and what the tool used and wrote meanwhile."""

    bytes_per_s: float
    cpu_percent: float
    readings_per_s: float


class Bulk(NamedTuple):
    """A connection that is busy: its sender, and the counter that the sender keeps."""

    pid: int
    fd: int
    sent: mmap.mmap


@contextlib.contextmanager
def bulk_transfer() -> Iterator[Bulk]:
    counter = mmap.mmap(-1, mmap.PAGESIZE)  # shared with the children
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as stack:
        client = socket.create_connection(listener.getsockname())
        server = listener.accept()[0]

        def receive() -> None:
            client.close()
            threading.Thread(target=_discard, args=(server,), daemon=True).start()

        def send() -> None:
            server.close()
            threading.Thread(target=_send, args=(client, counter), daemon=True).start()

        stack.enter_context(child(receive))
        pid = stack.enter_context(child(send))
        bulk = Bulk(pid, client.fileno(), counter)
        client.close()
        server.close()
        yield bulk


def _send(connection: socket.socket, counter: mmap.mmap) -> None:
    data, sent = mmap.mmap(-1, _CHUNK_BYTES), 0
    with contextlib.suppress(OSError):
        while True:
            sent += connection.send(data)
            _COUNTER.pack_into(counter, 0, sent)


def _discard(connection: socket.socket) -> None:
    buffer = mmap.mmap(-1, _CHUNK_BYTES)  # Python wants room for what the kernel only discards
    with contextlib.suppress(OSError):
        while connection.recv_into(buffer, _CHUNK_BYTES, socket.MSG_TRUNC):
            pass


def window(bulk: Bulk, seconds: float) -> float:
    start_bytes, start = _COUNTER.unpack_from(bulk.sent)[0], time.perf_counter()
    time.sleep(seconds)  # the length of the window, not a wait for something
    return float(_COUNTER.unpack_from(bulk.sent)[0] - start_bytes) / (time.perf_counter() - start)


def _watched(bulk: Bulk, interval: str, seconds: float) -> Window:
    out = os.memfd_create("readings")
    argv = [TCPTOOL, "inspect", f"{bulk.pid}:{bulk.fd}", "--watch", "-i", interval, "--json"]
    tool = subprocess.Popen(argv, stdout=out, stderr=subprocess.PIPE, env=environment())
    try:
        deadline = time.monotonic() + _DEADLINE_S
        while not os.fstat(out).st_size:  # the start is not a part of the watch
            if tool.poll() is not None or time.monotonic() > deadline:
                tool.kill()
                raise Failed(f"no reading came: {tool.communicate()[1]!r}")
            time.sleep(0.01)
        cpu_before, lines_before = _cpu_s(tool.pid), _lines(out)
        bytes_per_s = window(bulk, seconds)
        cpu_s, lines = _cpu_s(tool.pid) - cpu_before, _lines(out) - lines_before
        tool.send_signal(signal.SIGINT)
        remarks = tool.communicate(timeout=_DEADLINE_S)[1]
    finally:
        tool.kill()
        tool.wait()
        os.close(out)
    if tool.returncode:
        raise Failed(f"the watch ended with {tool.returncode}: {remarks!r}")
    return Window(bytes_per_s, 100 * cpu_s / seconds, lines / seconds)


def _cpu_s(pid: int) -> float:
    """Time on a processor: the first number of schedstat, nanoseconds (Documentation/scheduler)."""
    with open(f"/proc/{pid}/schedstat") as schedstat:
        return int(schedstat.read().split()[0]) / 1e9


def _lines(out: int) -> int:
    return os.pread(out, os.fstat(out).st_size, 0).count(b"\n")


def main() -> None:
    """Measure, and print one table."""
    parser = argparse.ArgumentParser(prog="bench.watch", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each window")
    parser.add_argument("--interval", default="100ms")
    options = parser.parse_args()
    private_network()
    print(machine())
    alone: list[float] = []
    watched: list[Window] = []
    with bulk_transfer() as bulk:
        for number in range(options.rounds):
            if number % 2:
                watched.append(_watched(bulk, options.interval, options.seconds))
            alone.append(window(bulk, options.seconds))
            if not number % 2:
                watched.append(_watched(bulk, options.interval, options.seconds))
    ratios = [window.bytes_per_s / other for window, other in zip(watched, alone, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    rows = [
        ["owner alone, GB/s", f"{statistics.median(alone) / 1e9:.2f}"],
        ["owner watched, GB/s", f"{statistics.median(w.bytes_per_s for w in watched) / 1e9:.2f}"],
        ["watched / alone", f"{middle:.3f} (quartiles {low:.3f} to {high:.3f})"],
        [
            "processor share of the tool",
            f"{statistics.median(w.cpu_percent for w in watched):.2f} %",
        ],
        ["readings a second", f"{statistics.median(w.readings_per_s for w in watched):.1f}"],
    ]
    print(f"\ninspect --watch -i {options.interval} --json, {options.rounds} rounds\n")
    print(table(["", "median"], rows))


if __name__ == "__main__":
    main()
