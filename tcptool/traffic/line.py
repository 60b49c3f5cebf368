"""The sending end of one connection: its waits, its counters and what its method keeps.

The socket does not block; every wait is a poll(2) with a deadline.
"""

from __future__ import annotations

import mmap
import os
import select
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tcptool.errors import TcptoolError, from_oserror
from tcptool.traffic.ends import unacknowledged_bytes
from tcptool.traffic.pipes import open_pipe

MSG_ZEROCOPY: Final = 0x400_0000  # include/linux/socket.h
_MSG_ERRQUEUE: Final = 0x2000
_SO_ZEROCOPY: Final = 60  # include/uapi/asm-generic/socket.h
_SO_TIMESTAMPING: Final = 37
_ACKNOWLEDGED: Final = 1 << 9 | 1 << 4 | 1 << 11
"""SOF_TIMESTAMPING_TX_ACK, _SOFTWARE and _OPT_TSONLY: a message in the error queue once the last
byte of a send is acknowledged (Documentation/networking/timestamping.rst)."""
_EXTENDED_ERROR: Final = struct.Struct("=IBBBBII")
"""struct sock_extended_err: errno, origin, type, code, pad, info, data (linux/errqueue.h)."""
_ORIGIN_ZEROCOPY: Final = 5
_CODE_COPIED: Final = 1
_ERROR_MESSAGES: Final = {(0, 11), (41, 25)}
"""Level and type of these control messages: IP_RECVERR and IPV6_RECVERR."""
_CONTROL_BYTES: Final = 256
_LOOK_AGAIN_S: Final = 0.1
"""Should the kernel drop the time stamp that wakes us, this is what it costs."""

_STEP_BYTES: Final = 64
"""A cache line.  On some processors (Zen 3) a copy is many times slower where source and target
differ by less than 32 bytes within their pages, so buffers begin on a page and move by this."""


class TimedOut(TcptoolError):
    """Nothing moved for as long as was allowed."""

    code = "timed_out"


class Line:
    """A connected socket to send on; it is closed with this.  Counters only grow.

    ``calls`` counts system calls, reads of the source and waits among them; ``short_calls``
    took less than they were offered, or nothing.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        chunk_bytes: int,
        vectors: int,
        pipe_bytes: int,
        timeout_s: float,
    ) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.chunk_bytes, self.vectors = chunk_bytes, vectors
        self.calls = self.short_calls = self.waits = 0
        self.zerocopy_sends = self.zerocopy_completed = self.zerocopy_copied = 0
        self._timeout_s, self._pipe_bytes = timeout_s, pipe_bytes
        self._pipe: tuple[int, int] | None = None
        self._room: mmap.mmap | None = None
        self._offset = 0
        self._writable = select.poll()
        self._writable.register(self.fd, select.POLLOUT)
        self._told = select.poll()
        self._told.register(self.fd, 0)  # POLLERR and POLLHUP are always told

    def close(self) -> None:
        """Close the socket and what the method opened."""
        self.sock.close()
        for fd in self._pipe or ():
            os.close(fd)
        self._pipe = None

    # -- what methods need -------------------------------------------------------------------

    def pipe(self) -> tuple[int, int]:
        """Reading and writing end of a pipe of our own."""
        if self._pipe is None:
            self._pipe = open_pipe(self._pipe_bytes)
        return self._pipe

    def room(self) -> memoryview:
        """A buffer of ``chunk_bytes``, the same for one slice."""
        if self._room is None:
            self._room = mmap.mmap(-1, self.chunk_bytes + mmap.PAGESIZE)
        return memoryview(self._room)[self._offset : self._offset + self.chunk_bytes]

    def turn(self) -> None:
        """Begin the next slice: the buffer moves on within its page."""
        self._offset = (self._offset + _STEP_BYTES) % mmap.PAGESIZE

    # -- waiting -----------------------------------------------------------------------------

    def wait(self) -> None:
        """Wait until the socket takes more.  Raises TimedOut, or OSError for a lost connection."""
        self.calls += 1
        self.waits += 1
        events = self._writable.poll(self._timeout_s * 1000)
        if not events:
            raise self._timed_out()
        if events[0][1] & select.POLLERR:
            self._read_errors()

    def wait_for_completions(self) -> None:
        """Wait until the kernel has told what became of all MSG_ZEROCOPY sends, or of more."""
        before = self.zerocopy_completed
        while self.zerocopy_completed == before != self.zerocopy_sends:
            self.calls += 1
            self.waits += 1
            if not self._told.poll(self._timeout_s * 1000):
                raise self._timed_out()
            self._read_errors()

    def wait_until_acknowledged(self) -> None:
        """Wait until the peer has all that was sent.  Raises TimedOut or OSError."""
        left, deadline_s = unacknowledged_bytes(self.sock), time.monotonic() + self._timeout_s
        while left:
            self._told.poll(_LOOK_AGAIN_S * 1000)
            self._read_errors()
            before, left = left, unacknowledged_bytes(self.sock)
            if left < before:
                deadline_s = time.monotonic() + self._timeout_s
            elif time.monotonic() > deadline_s:
                raise self._timed_out()

    @contextmanager
    def woken_by_acknowledgement(self) -> Iterator[None]:
        """What is sent in this block wakes ``wait_until_acknowledged``."""
        self.sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPING, _ACKNOWLEDGED)
        yield
        self.sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPING, 0)

    def _timed_out(self) -> TimedOut:
        return TimedOut(
            "sending",
            f"the other end took nothing for {self._timeout_s:g} s",
            "It does not read, or nothing gets through; --timeout waits longer.",
        )

    # -- MSG_ZEROCOPY ------------------------------------------------------------------------

    def allow_zerocopy(self) -> None:
        """Let the socket take MSG_ZEROCOPY.  Raises Unsupported or another TcptoolError."""
        try:
            self.sock.setsockopt(socket.SOL_SOCKET, _SO_ZEROCOPY, 1)
        except OSError as exc:
            raise from_oserror("setting SO_ZEROCOPY on a socket of our own", exc) from exc

    def _read_errors(self) -> None:
        """Empty the error queue.  Raises OSError where it is empty and the connection is lost."""
        found = False
        while True:
            self.calls += 1
            try:
                _, control, _, _ = self.sock.recvmsg(0, _CONTROL_BYTES, _MSG_ERRQUEUE)
            except BlockingIOError:
                break
            found = True
            for level, kind, raw in control:
                if (level, kind) in _ERROR_MESSAGES:
                    self._note(raw)
        if not found:
            number = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number:
                raise OSError(number, os.strerror(number))

    def _note(self, raw: bytes) -> None:
        """Count the sends, from the first to the last in the message, that are complete."""
        _, origin, _, code, _, first, last = _EXTENDED_ERROR.unpack_from(raw)
        if origin != _ORIGIN_ZEROCOPY:
            return  # the time stamp of an acknowledgement
        number = (last - first + 1) & 0xFFFF_FFFF
        self.zerocopy_completed += number
        if code & _CODE_COPIED:
            self.zerocopy_copied += number
