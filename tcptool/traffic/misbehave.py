"""An HTTP server that is bad on purpose: see catalog/misbehaviours.py."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress

from tcptool.sansio.http1 import read_whole
from tcptool.traffic.http import HttpService, Log
from tcptool.traffic.outgoing import PATTERN
from tcptool.traffic.server import READ_BYTES, Server, as_socket
from tcptool.traffic.site import Site


class Resetting(HttpService):
    """Resets the connection when half of an answer is out."""

    def attend(self, fd: int, happened: int) -> None:
        """See ``Service``."""
        try:
            requests = read_whole(os.read(fd, READ_BYTES))
            if requests:
                answer = self._pages.answer(requests[0])
                if answer.file:
                    os.close(answer.file.fd)
                body = answer.body or bytes(PATTERN[: answer.pattern_bytes])
                os.write(fd, answer.head + body[: len(body) // 2])
        except BlockingIOError:
            return
        except OSError:
            pass
        self._counters.lost += 1
        self._server.reset(fd)


class Corked(HttpService):
    """Lets nothing out that does not fill a segment."""

    def welcome(self, fd: int) -> None:
        """See ``Service``."""
        with suppress(OSError), as_socket(fd) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)


class HalfClosing(HttpService):
    """Sends FIN after its first answer, and only reads from then on."""

    def __init__(
        self,
        server: Server,
        pages: Site,
        complain: Callable[[str], None],
        log: Log | None = None,
    ) -> None:
        super().__init__(server, pages, complain, log)
        self._answered: set[int] = set()
        self._half_closed: set[int] = set()

    def attend(self, fd: int, happened: int) -> None:
        """See ``Service``."""
        if fd in self._half_closed:
            self._drop(fd)
            return
        answers = self._counters.answers
        super().attend(fd, happened)
        if self._last[fd] < 0:  # it has gone
            return
        if self._counters.answers > answers:
            self._answered.add(fd)
        if fd in self._answered and self.is_quiet(fd):  # else the answer is not out yet
            self._half_closed.add(fd)
            with suppress(OSError), as_socket(fd) as sock:
                sock.shutdown(socket.SHUT_WR)

    def _drop(self, fd: int) -> None:
        try:
            while os.read(fd, READ_BYTES):
                pass
        except BlockingIOError:
            return
        except OSError:
            pass
        self._server.close(fd)

    def forget(self, fd: int) -> None:
        """See ``Service``."""
        super().forget(fd)
        self._answered.discard(fd)
        self._half_closed.discard(fd)
