"""`tcptool serve` in a child process, and clients of it."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.live.program import start
from tests.support.children import Child
from tests.support.netns import NetNs
from tests.support.waiting import wait_until

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CLOSING = b"GET %b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
DEADLINE_S = 10.0


class Served:
    """A server that runs.  ``pid`` is that of the parent of its workers."""

    def __init__(self, child: Child) -> None:
        self.child, self.pid = child, child.pid
        self.started = child.ready["data"]
        self.port: int | None = self.started["port"]
        self.address: str = self.started["address"]

    @property
    def workers(self) -> list[int]:
        """The pids as they were at the start."""
        return list(self.started["workers"])

    def connect(self) -> socket.socket:
        if self.port is None:
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(DEADLINE_S)
            sock.connect(self.address)
            return sock
        return socket.create_connection((self.address, self.port), timeout=DEADLINE_S)

    def ask(self, request: bytes) -> bytes:
        """All that comes back until the server closes."""
        with self.connect() as sock:
            sock.sendall(request)
            return read_to_end(sock)

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body."""
        head, _, body = self.ask(CLOSING % path.encode()).partition(b"\r\n\r\n")
        return int(head.split()[1]), body

    def stats(self) -> Any:
        """The data of /stats."""
        return json.loads(self.get("/stats")[1])["data"]

    def event(self) -> Any:
        """The next line of --json."""
        return json.loads(self.child.readline(30))["data"]

    def end(self, number: signal.Signals = signal.SIGTERM) -> Any:
        """Signal it, and return its last event; it must have ended well."""
        self.child.process.send_signal(number)
        last = self.event()
        assert self.child.process.wait(30) == 0
        assert last["event"] == "end"
        return last


@contextmanager
def serving(
    *words: object, netns: NetNs | None = None, env: dict[str, str] | None = None
) -> Iterator[Served]:
    port = () if "--unix" in words else ("--port", 0)
    with start("serve", "--json", *port, *words, netns=netns, env=env) as child:
        yield Served(child)


def read_to_end(sock: socket.socket) -> bytes:
    parts = []
    while part := sock.recv(1 << 20):
        parts.append(part)
    return b"".join(parts)


def read_answer(sock: socket.socket) -> bytes:
    """One answer that has a Content-Length, head and body, and not a byte more."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = sock.recv(1)
        if not part:
            raise EOFError(data)
        data += part
    length = int(data.lower().partition(b"content-length:")[2].split()[0])
    body = b""
    while len(body) < length:
        part = sock.recv(length - len(body))
        if not part:
            raise EOFError(data)
        body += part
    return data + body


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def rss_kib(pid: int) -> int:
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def clients(served: Served, number: int) -> None:
    """Wait until the server has so many (the one that asks is not counted)."""
    wait_until(lambda: served.stats()["total"]["clients"] - 1 == number, DEADLINE_S)
