"""The ways of taking in what was sent: each reads exactly so many bytes of one connection."""

from __future__ import annotations

import mmap
import os
import socket
from typing import Final

from tcptool.traffic.pipes import open_pipe

_STEP_BYTES: Final = 64
"""See traffic/line.py: a buffer that stays at one place within its page may meet its worst case."""


class Receiver:
    """The receiving end of one connection, which blocks.  It is closed with this.

    ``calls`` counts system calls; ``short_calls`` gave less than there was room for.
    """

    def __init__(self, sock: socket.socket, *, chunk_bytes: int, pipe_bytes: int) -> None:
        self._sock = sock
        self._chunk_bytes, self._pipe_bytes = chunk_bytes, pipe_bytes
        self._room = mmap.mmap(-1, chunk_bytes + mmap.PAGESIZE)
        self._offset = 0
        self._pipe: tuple[int, int, int] | None = None
        self.calls = self.short_calls = 0

    def receive(self, how: str, size: int) -> None:
        """Take in ``size`` bytes.  Raises EOFError if there are fewer."""
        self._offset = (self._offset + _STEP_BYTES) % mmap.PAGESIZE
        {"recv": self._recv, "discard": self._discard, "splice": self._splice}[how](size)

    def digest_of(self, size: int) -> str:
        """Take in ``size`` bytes; returns their SHA-256.  Raises EOFError."""
        import hashlib  # loads OpenSSL: only where it is asked for

        digest, room = hashlib.sha256(), memoryview(self._room)
        while size:
            got = self._sock.recv_into(room[: min(size, self._chunk_bytes)])
            if not got:
                raise EOFError
            digest.update(room[:got])
            size -= got
        return digest.hexdigest()

    def is_at_end(self) -> bool:
        """Whether the sender has closed and nothing is left."""
        return not self._sock.recv(1)

    def rcvbuf_bytes(self) -> int:
        """The receive buffer as the kernel has it now."""
        return self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)

    def close(self) -> None:
        """Close the socket and the pipe."""
        self._sock.close()
        for fd in self._pipe or ():
            os.close(fd)
        self._pipe = None

    def _recv(self, size: int, flags: int = 0) -> None:
        room = memoryview(self._room)[self._offset : self._offset + self._chunk_bytes]
        recv_into = self._sock.recv_into
        while size:
            wanted = min(size, self._chunk_bytes)
            got = recv_into(room, wanted, flags)
            if not got:
                raise EOFError
            self.calls += 1
            self.short_calls += got < wanted
            size -= got

    def _discard(self, size: int) -> None:
        self._recv(size, socket.MSG_TRUNC)  # tcp(7): the bytes are dropped, not copied

    def _splice(self, size: int) -> None:
        if self._pipe is None:
            null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            self._pipe = (*open_pipe(self._pipe_bytes), null)
        reading, writing, null = self._pipe
        fd = self._sock.fileno()
        while size:
            wanted = min(size, self._chunk_bytes)
            got = os.splice(fd, writing, wanted, flags=os.SPLICE_F_MOVE)
            if not got:
                raise EOFError
            self.calls += 1
            self.short_calls += got < wanted
            size -= got
            while got:  # /dev/null takes all, but nothing promises that
                got -= os.splice(reading, null, got, flags=os.SPLICE_F_MOVE)
                self.calls += 1
