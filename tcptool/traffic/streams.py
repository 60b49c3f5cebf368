"""Services without a protocol: read and drop (RFC 863), write for ever (RFC 864), and the like."""

from __future__ import annotations

import mmap
import os
import select
import socket
from typing import Final

from tcptool.traffic.outgoing import Outgoing
from tcptool.traffic.server import READING, WRITING, Server, as_socket

_ROOM_BYTES: Final = 1 << 20
_READS: Final = 16
"""Of one client in a row, until the others have their turn."""
_FOR_EVER_BYTES: Final = 1 << 62
_SLOW_BYTES: Final = 1 << 10
"""A quarter of a second."""
_GONE: Final = select.EPOLLHUP | select.EPOLLERR


class _Plain:
    """What a service does that has nothing to say to those it does not serve."""

    def __init__(self, server: Server) -> None:
        self._server, self._last, self._counters = server, server.last, server.counters

    def welcome(self, fd: int) -> None:
        """See ``Service``."""

    def idle(self, fd: int) -> None:
        """See ``Service``."""
        self._server.close(fd)

    def forget(self, fd: int) -> None:
        """See ``Service``."""

    def is_quiet(self, fd: int) -> bool:
        """See ``Service``: bytes without a protocol have no end that could be waited for."""
        return True

    def turn_away(self, fd: int) -> None:
        """See ``Service``."""

    def tick(self) -> None:
        """See ``Service``."""

    def drain(self) -> None:
        """See ``Service``."""


class Sink(_Plain):
    """Reads and drops: the far end of a `probe`.  The kernel need not even copy the bytes."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self._room = mmap.mmap(-1, _ROOM_BYTES)

    def attend(self, fd: int, happened: int) -> None:
        """See ``Service``."""
        try:
            with as_socket(fd) as sock:
                for _ in range(_READS):
                    got = sock.recv_into(self._room, _ROOM_BYTES, socket.MSG_TRUNC)
                    self._counters.received_bytes += got
                    self._last[fd] = self._server.tick
                    if not got:
                        break
                else:
                    self._server.again.add(fd)
                    return
        except BlockingIOError:
            return
        except OSError:
            self._counters.lost += 1
        self._server.close(fd)


class Chargen(_Plain):
    """Writes for ever, and drops what comes."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self._outgoing: dict[int, Outgoing] = {}

    def welcome(self, fd: int) -> None:
        """See ``Service``."""
        self._outgoing[fd] = Outgoing([], _FOR_EVER_BYTES)
        self._server.watch(fd, WRITING)

    def attend(self, fd: int, happened: int) -> None:
        """See ``Service``."""
        outgoing = self._outgoing[fd]
        before = outgoing.sent_bytes
        try:
            if happened & READING and not os.read(fd, _ROOM_BYTES):
                self._server.close(fd)
                return
        except BlockingIOError:
            pass
        except OSError:
            self._server.close(fd)
            return
        try:
            if outgoing.send(fd) is None:
                self._server.again.add(fd)
        except OSError:
            self._counters.lost += 1
            self._server.close(fd)
            return
        self._counters.sent_bytes += outgoing.sent_bytes - before
        if outgoing.sent_bytes > before:
            self._last[fd] = self._server.tick

    def forget(self, fd: int) -> None:
        """See ``Service``."""
        self._outgoing.pop(fd, None)


class NoRead(_Plain):
    """Never reads, and so never hears that a client has closed, unless it was by a reset."""

    def attend(self, fd: int, happened: int) -> None:
        """See ``Service``."""
        if happened & _GONE:
            self._server.close(fd)

    def idle(self, fd: int) -> None:
        """See ``Service``: being idle is what this is about."""
        self._server.keep(fd)


class SlowRead(NoRead):
    """Reads a little, four times a second."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self._clients: set[int] = set()

    def welcome(self, fd: int) -> None:
        """See ``Service``."""
        self._clients.add(fd)

    def tick(self) -> None:
        """See ``Service``."""
        for fd in list(self._clients):
            try:
                got = len(os.read(fd, _SLOW_BYTES))
            except BlockingIOError:
                continue
            except OSError:
                got = 0
            self._counters.received_bytes += got
            if not got:
                self._server.close(fd)

    def forget(self, fd: int) -> None:
        """See ``Service``."""
        self._clients.discard(fd)
