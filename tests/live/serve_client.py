"""A client of `serve` that keeps what it has read and not used yet."""

from __future__ import annotations

import contextlib
import select
import socket
from types import TracebackType
from typing import NamedTuple, Self

DEADLINE_S = 30.0


class Reply(NamedTuple):
    """An answer; names of fields are in lower case."""

    status: int
    fields: dict[str, str]
    body: bytes

    @property
    def is_last(self) -> bool:
        """Whether it says so."""
        return self.fields.get("connection") == "close"


class Client:
    """One connection; what it has read and not used yet stays here."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.received_bytes = 0
        self._unread = bytearray()
        sock.settimeout(DEADLINE_S)
        if sock.family != socket.AF_UNIX:  # each part of a request leaves at once
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @classmethod
    def to(cls, host: str, port: int) -> Client:
        return cls(socket.create_connection((host, port), DEADLINE_S))

    def prepend(self, data: bytes) -> None:
        """Take back what was read from the socket itself."""
        self._unread[:0] = data

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def get(self, path: str = "/", *fields: str, method: str = "GET") -> Reply:
        """Ask for something, and read the answer."""
        head = "\r\n".join([f"{method} {path} HTTP/1.1", "Host: t", *fields, "", ""])
        self.send(head.encode())
        return self.reply(method=method)

    def reply(self, *, method: str = "GET") -> Reply:
        """The next answer; a length is all that may tell its end."""
        head = self._read_to(b"\r\n\r\n").decode()
        first, *lines = head.split("\r\n")[:-2]
        version, status, _ = first.split(" ", 2)
        assert version == "HTTP/1.1"
        fields = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        size = int(fields.get("content-length", "0")) if method != "HEAD" else 0
        while len(self._unread) < size:
            self._read()
        body = bytes(self._unread[:size])
        del self._unread[:size]
        return Reply(int(status), fields, body)

    def rest(self) -> bytes:
        """Everything up to the end."""
        with contextlib.suppress(EOFError):
            while True:
                self._read()
        found, self._unread = self._unread, bytearray()
        return bytes(found)

    def has_ended(self) -> bool:
        """Whether it ends here, in order."""
        return self.rest() == b""

    def is_quiet(self) -> bool:
        """Whether nothing has come, not even the end."""
        return not self._unread and not select.select([self.sock], [], [], 0)[0]

    def half_close(self) -> None:
        """Say that nothing more comes from here."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """End it with an RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0" + bytes(4))
        self.sock.close()

    def fill(self) -> int:
        """Send until there is no room; how many bytes that took."""
        self.sock.setblocking(False)
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                sent += self.sock.send(bytes(1 << 16))
        self.sock.settimeout(DEADLINE_S)
        return sent

    def _read_to(self, end: bytes) -> bytes:
        while end not in self._unread:
            self._read()
        found = bytes(self._unread[: self._unread.index(end) + len(end)])
        del self._unread[: len(found)]
        return found

    def _read(self) -> None:
        data = self.sock.recv(1 << 16)
        if not data:
            raise EOFError(bytes(self._unread[:1000]))
        self.received_bytes += len(data)
        self._unread += data

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.sock.close()
