"""Servers for the pool to deal with: one that does what a function says, and one with moods."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tcptool.errors import TcptoolError
from tcptool.model.pool import PoolStatistics
from tcptool.sansio.pool_policy import PoolLimits
from tcptool.traffic.http_client import Url, get
from tcptool.traffic.pool import Pool

RESET = struct.pack("ii", 1, 0)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Handler = Callable[[socket.socket], object]


class Server:
    """A listener whose connections are given to a function, each in a thread."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        self.url = Url("127.0.0.1", self.port, "/")
        self.seen: list[socket.socket] = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self.seen.append(sock)
                threading.Thread(target=self._handle, args=(sock,), daemon=True).start()

    def _handle(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            self._handler(sock)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self.seen:
            sock.close()


@contextlib.contextmanager
def server(handler: Handler) -> Iterator[Server]:
    running = Server(handler)
    try:
        yield running
    finally:
        running.close()


def answer(sock: socket.socket, reply: bytes = OK, times: int = 1 << 30) -> None:
    """Answer so many requests."""
    for _ in range(times):
        data = b""
        while not data.endswith(b"\r\n\r\n"):
            part = sock.recv(4096)
            if not part:
                sock.close()
                return
            data += part
        sock.sendall(reply)


# -- moods ---------------------------------------------------------------------------------


def moody(sock: socket.socket) -> None:
    """Repeats the path as an id; closes, resets and stalls at random."""
    while True:
        data = b""
        while not data.endswith(b"\r\n\r\n"):
            part = sock.recv(4096)
            if not part:
                sock.close()
                return
            data += part
        name = data.split()[1]
        mood = random.random()
        if mood < 0.03:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            sock.close()
            return
        if mood < 0.06:
            time.sleep(0.02)  # a stall
        head = b"HTTP/1.1 200 OK\r\nX-Id: %b\r\nContent-Length: %d\r\n" % (name, len(name))
        if mood > 0.97:
            sock.sendall(head + b"Connection: close\r\n\r\n" + name)
            sock.close()
            return
        sock.sendall(head + b"\r\n" + name)
        if mood > 0.94:
            sock.close()  # without a word
            return


@dataclass
class Outcome:
    """What came of a stress: requests that were answered, that failed, and wrong answers."""

    statistics: PoolStatistics
    answered: int = 0
    failed: int = 0
    wrong: list[str] = field(default_factory=list)


def stress(
    *, threads: int, requests: int | None = None, seconds: float | None = None, limit: int = 16
) -> Outcome:
    """So many requests of each thread, or for so long, to a moody server through one pool."""
    end_s = None if seconds is None else time.monotonic() + seconds
    lock = threading.Lock()
    with server(moody) as running, Pool(PoolLimits(total=limit)) as pool:
        outcome = Outcome(pool.statistics())

        def work(thread: int) -> None:
            number = 0
            while number != requests and (end_s is None or time.monotonic() < end_s):
                url = Url("127.0.0.1", running.port, f"/{thread}-{number}")
                number += 1
                try:
                    response = get(pool, url, url.request, 20).response
                except TcptoolError:
                    with lock:
                        outcome.failed += 1
                    continue
                asked = f"X-Id: {url.path}\r".encode()
                with lock:
                    outcome.answered += 1
                    if asked not in response.head or response.body_bytes != len(url.path):
                        outcome.wrong.append(f"{url.path}: {response.head!r}")

        running_threads = [threading.Thread(target=work, args=(n,)) for n in range(threads)]
        for one in running_threads:
            one.start()
        for one in running_threads:
            one.join()
        outcome.statistics = pool.statistics()
    return outcome
