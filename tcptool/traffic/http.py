"""HTTP/1.1 as a service of the epoll server: requests in, answers out.

Most reads bring one whole request, or several, and the socket takes all answers at once: then
nothing is kept.  A ``_Client`` exists only while a request is incomplete or an answer under way.
While an answer waits for room, nothing is read from its client: the next requests wait in the
kernel, and then at the client.

What comes word for word a second time, and has an answer that is the same for everybody, is
answered from memory for the rest of a quarter of a second: load generators send the same bytes
all the time.

Source: RFC 9112.
"""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from tcptool.sansio.http1 import (
    Event,
    Refusal,
    Request,
    RequestReader,
    plain_path,
    read_whole,
)
from tcptool.traffic import site
from tcptool.traffic.answers import CONTINUE, Answer, error
from tcptool.traffic.outgoing import FileShrank, Outgoing
from tcptool.traffic.server import READ_BYTES, READING, WRITING, Server

_IN: Final = int(select.EPOLLIN)
_STEPS: Final = 32
"""Of one client in a row, each a read or the answers to one: then the others have their turn."""
_GATHERED_BYTES: Final = 64 << 10
"""Of answers that are made before the first is sent: requests can be far smaller than those."""

_REMEMBERED: Final = 1024
_LONGEST_REMEMBERED_BYTES: Final = 16 << 10
"""Of a request, or several, and of the answers to it."""

Log = Callable[[int, Request | None, Answer], None]
"""Told the client, what it asked for (None if that could not be understood), and the answer."""


class _Client:
    """One that is in the middle of something."""

    __slots__ = ("closing", "outgoing", "reader", "waiting", "watched")

    def __init__(self) -> None:
        self.reader = RequestReader()
        self.waiting: deque[Event] = deque()
        """Read, not answered yet: one after the other, as the answers before leave."""
        self.outgoing: Outgoing | None = None
        self.closing = False
        """After what is outgoing."""
        self.watched = False
        """epoll tells when there is room to write."""


class _Remembered:
    """Answers to the bytes of one read, and how often they were given and not counted yet."""

    __slots__ = ("answers", "data", "hits")

    def __init__(self, data: bytes, answers: int) -> None:
        self.data, self.answers, self.hits = data, answers, 0


class HttpService:
    """Answers the requests of the server's clients with the pages of a site."""

    def __init__(
        self,
        server: Server,
        pages: site.Site,
        complain: Callable[[str], None],
        log: Log | None = None,
    ) -> None:
        """``complain`` takes what whoever runs the server has to know."""
        self._server, self._pages, self._complain, self._log = server, pages, complain, log
        self._last, self._counters = server.last, server.counters
        self._clients: dict[int, _Client] = {}
        self._remembered: dict[bytes, _Remembered] = {}
        self._seen: set[bytes] = set()
        """What a second time makes worth remembering."""
        self._plain: dict[bytes, _Remembered] = {}
        """Answers to a plain GET, by its path."""

    # -- a client speaks -------------------------------------------------------------------

    def welcome(self, fd: int) -> None:
        """See ``Service``: the client speaks first."""

    def attend(self, fd: int, happened: int) -> None:
        """See ``Service``."""
        try:
            if fd in self._clients:
                self._go_on(fd, self._clients[fd])
                return
            try:
                data = os.read(fd, READ_BYTES)
            except BlockingIOError:
                return
            self._last[fd] = self._server.tick
            if happened != _IN or len(data) == READ_BYTES:
                self._take(fd, data)  # there is more than this, if only the end
            elif known := self._remembered.get(data):
                known.hits += 1
                self._counters.answers_2xx += known.answers
                self._send(fd, known.data)
            elif (path := plain_path(data)) and (known := self._plain.get(path)):
                known.hits += 1
                self._counters.answers_2xx += 1
                self._counters.received_bytes += len(data)
                self._remember(data, known)
                self._send(fd, known.data)
            elif requests := read_whole(data):
                self._answer_whole(fd, data, requests)
            else:
                self._take(fd, data)
        except (OSError, FileShrank) as exc:
            self._lose(fd, exc)

    def _answer_whole(self, fd: int, data: bytes, requests: list[Request]) -> None:
        """A quiet client has sent one request or several, and nothing of a further one."""
        self._counters.received_bytes += len(data)
        waiting: deque[Event] = deque(requests)
        answers = self._answers(fd, waiting)
        if waiting or _is_more(answers[-1]):
            client = self._clients[fd] = _Client()
            client.waiting = waiting
            self._start(client, answers)
            self._go_on(fd, client)
            return
        out = b"".join([part for answer in answers for part in (answer.head, answer.body)])
        self._counters.sent_bytes += len(out)
        if not (self._log or self._server.draining) and all(one.constant for one in answers):
            known = _Remembered(out, len(answers))
            self._remember(data, known)
            if (path := plain_path(data)) and len(self._plain) < _REMEMBERED:
                self._plain[path] = known
        self._send(fd, out)

    def _send(self, fd: int, out: bytes) -> None:
        """Nearly always the socket takes all of it."""
        try:
            sent = os.write(fd, out)
        except BlockingIOError:
            sent = 0
        if sent < len(out):
            self._counters.sent_bytes -= len(out) - sent  # it is counted as it leaves
            client = self._clients[fd] = _Client()
            client.outgoing = Outgoing([out[sent:]])
            self._go_on(fd, client)

    def _take(self, fd: int, data: bytes) -> None:
        """The first bytes of a client that has to be kept in mind."""
        if not data:
            self._server.close(fd)
            return
        client = self._clients[fd] = _Client()
        self._feed(fd, client, data)
        self._go_on(fd, client)

    # -- one that is in the middle of something --------------------------------------------

    def _go_on(self, fd: int, client: _Client) -> None:
        """Send, answer and read until the socket says EAGAIN, or it is another's turn."""
        for _ in range(_STEPS):
            if client.outgoing and not self._go_on_sending(fd, client, client.outgoing):
                return
            if client.closing:  # a client that was refused may still be sending
                self._server.linger(fd)
                return
            if client.waiting:
                self._start(client, self._answers(fd, client.waiting))
                continue
            try:
                data = os.read(fd, READ_BYTES)
            except BlockingIOError:
                self._rest(fd, client)
                return
            if not data:
                self._counters.lost += not client.reader.idle
                self._server.close(fd)
                return
            self._feed(fd, client, data)
        self._server.again.add(fd)

    def _go_on_sending(self, fd: int, client: _Client, outgoing: Outgoing) -> bool:
        """Whether all is sent.  If not, an event will tell, or there will be another turn."""
        before = outgoing.sent_bytes
        done = outgoing.send(fd)
        if outgoing.sent_bytes > before:
            self._counters.sent_bytes += outgoing.sent_bytes - before
            self._last[fd] = self._server.tick
        if done:
            client.outgoing = None
            return True
        if done is None:
            self._server.again.add(fd)
        elif not client.watched:
            self._server.watch(fd, WRITING)
            client.watched = True
        return False

    def _feed(self, fd: int, client: _Client, data: bytes) -> None:
        """A head must be whole within the idle timeout: more bytes of it are no activity."""
        was_in_head = client.reader.in_head
        events = client.reader.feed(data)
        client.waiting.extend(events)
        self._counters.received_bytes += len(data)
        if events or not was_in_head:
            self._last[fd] = self._server.tick

    def _rest(self, fd: int, client: _Client) -> None:
        """There is nothing to do until the client says more."""
        if client.watched:
            self._server.watch(fd, READING)
            client.watched = False
        if client.reader.idle:
            del self._clients[fd]

    def _start(self, client: _Client, answers: list[Answer]) -> None:
        """Let the answers out; only the last may be long, or the end."""
        last = answers[-1]
        parts = [part for answer in answers for part in (answer.head, answer.body)]
        client.outgoing = Outgoing(parts, last.pattern_bytes, last.file)
        client.closing = not last.keep_alive

    def _lose(self, fd: int, exc: OSError | FileShrank) -> None:
        """The connection is gone, or must go, because what was promised is not there."""
        if isinstance(exc, FileShrank):
            self._complain("a file became shorter while it was sent; its client was reset")
        self._counters.lost += 1
        self._server.reset(fd)

    # -- answers ---------------------------------------------------------------------------

    def _answers(self, fd: int, waiting: deque[Event]) -> list[Answer]:
        """To what waits, up to one that is long or the last, or until there is enough to send."""
        answers: list[Answer] = []
        size = 0
        while waiting and size < _GATHERED_BYTES:
            event = waiting.popleft()
            if self._server.draining and isinstance(event, Request) and not waiting:
                event = event._replace(keep_alive=False)
            answer = self._answer(fd, event)
            answers.append(answer)
            if _is_more(answer):
                break
            size += len(answer.head) + len(answer.body)
        return answers

    def _answer(self, fd: int, event: Event) -> Answer:
        request = None
        if isinstance(event, Request):
            request = event
            try:
                answer = self._pages.answer(event)
            except OSError as exc:
                self._complain(f"answering {event.target!r}: {exc.strerror}")
                answer = error(500, event)
        elif isinstance(event, Refusal):
            answer = site.refused(event)
        else:
            return Answer(100, CONTINUE)
        self._counters.answered(answer.status)
        if self._log:
            self._log(fd, request, answer)
        return answer

    def _remember(self, data: bytes, known: _Remembered) -> None:
        if data in self._seen:
            if len(data) + len(known.data) <= _LONGEST_REMEMBERED_BYTES:
                self._remembered[data] = _Remembered(known.data, known.answers)
        elif len(self._seen) < _REMEMBERED:
            self._seen.add(data)

    def settle(self) -> None:
        """Count what was answered from memory."""
        counters = self._counters
        for data, known in self._remembered.items():
            counters.remembered += known.hits * known.answers
            counters.received_bytes += known.hits * len(data)
            counters.sent_bytes += known.hits * len(known.data)
            known.hits = 0
        for known in self._plain.values():
            counters.sent_bytes += known.hits * len(known.data)
            known.hits = 0

    # -- what the server says --------------------------------------------------------------

    def tick(self) -> None:
        """See ``Service``: the Date field is no older than this."""
        self.settle()
        self._remembered.clear()
        self._seen.clear()
        self._plain.clear()

    def idle(self, fd: int) -> None:
        """See ``Service``: whoever began a request is told that it took too long (408)."""
        client = self._clients.get(fd)
        if client is None:
            self._server.close(fd)
        elif client.outgoing:
            self._counters.lost += 1
            self._server.reset(fd)
        else:
            self._say(fd, site.too_slow())
            self._server.linger(fd)

    def turn_away(self, fd: int) -> None:
        """See ``Service``: 503."""
        self._say(fd, site.too_many())

    def _say(self, fd: int, answer: Answer) -> None:
        self._counters.answered(answer.status)
        if self._log:
            self._log(fd, None, answer)
        with suppress(OSError):
            self._counters.sent_bytes += os.write(fd, answer.head + answer.body)

    def forget(self, fd: int) -> None:
        """See ``Service``."""
        client = self._clients.pop(fd, None)
        if client and client.outgoing:
            client.outgoing.close()

    def is_quiet(self, fd: int) -> bool:
        """See ``Service``."""
        return fd not in self._clients

    def drain(self) -> None:
        """See ``Service``: from now on an answer to all that has been read is the last."""
        self.tick()


def _is_more(answer: Answer) -> bool:
    """Whether it is more than a few bytes that stand ready: a file, a pattern or the end."""
    return not answer.keep_alive or answer.file is not None or answer.pattern_bytes > 0
