"""An epoll server (epoll(7)): what one worker of `serve` does, whatever it serves.

From top to bottom: the loop, clients that come, idle ones, the last of a connection, orders
from outside, and the end.  What is read and written is the business of a ``Service``.

The listener is level-triggered: as long as somebody waits, every turn of the loop accepts some.
Clients are edge-triggered: the kernel tells once that there is something to read, or room to write
again, so a service goes on until the kernel says EAGAIN or gave less than was asked for, or it
puts the client into ``again`` to have another turn.  Events are hints: what a system call says is
what counts, so one that was meant for an earlier owner of a descriptor's number does no harm.

A quiet client costs a descriptor and a number in the idle wheel, and no object at all.

Sources: epoll(7), accept(2), tcp(7); RFC 9112, 9.6, for how to close.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, Protocol

from tcptool.sansio.idle_wheel import IdleWheel
from tcptool.traffic.counters import Counters

_TICKS_PER_S: Final = 4
"""How finely time is known: idle clients are closed, and figures told, late by one at most."""
_EVENTS: Final = 1000
"""Of one epoll_wait(2)."""
_ACCEPTS: Final = 128
"""New clients in a row, until the others have their turn."""
READ_BYTES: Final = 64 << 10
"""Read at once.  Above, each read allocates pages anew: 256 KiB are nearly four times slower."""

_LINGER_TICKS: Final = 2 * _TICKS_PER_S
"""How long a client may take to read its last answer while it still sends; nginx has 5 s."""
_MOST_LINGERING: Final = 1000
_QUIET_TICKS: Final = 1 * _TICKS_PER_S
"""After the order to drain, quiet clients have so long to ask once more: what they have sent
already is on its way, and closing at once would lose it."""

READING: Final = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
WRITING: Final = READING | select.EPOLLOUT
_NO_DESCRIPTOR: Final = frozenset({errno.EMFILE, errno.ENFILE})
_NO_MEMORY: Final = frozenset({errno.ENOBUFS, errno.ENOMEM})
_RETRIED: Final = frozenset(
    {
        errno.ECONNABORTED,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.EINTR,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ENONET,
        errno.EPERM,
        errno.EPROTO,
    }
)
"""accept(2): the client has gone already, a firewall forbids it, or a signal came."""


class Control(Protocol):
    """Where orders come from; readable when there is one."""

    def fileno(self) -> int:
        """For epoll."""

    def hear(self) -> dict[str, Any]:
        """The next order.  Raises EOFError when whoever gives them has gone."""


class Service(Protocol):
    """What is done with clients.  Their descriptors stay the server's, which closes them.

    It counts what it does in the server's ``counters``, notes activity with ``last[fd] = tick``,
    and may call ``close``, ``reset``, ``linger``, ``watch`` and ``keep`` of the server, and add to
    its ``again``.
    """

    def welcome(self, fd: int) -> None:
        """A client has come."""

    def attend(self, fd: int, happened: int) -> None:
        """There may be something to read, or room to write again, or the client has gone."""

    def idle(self, fd: int) -> None:
        """Nothing has happened for the idle timeout: end it, in whatever way, or ``keep`` it."""

    def forget(self, fd: int) -> None:
        """It is about to be closed."""

    def is_quiet(self, fd: int) -> bool:
        """Whether nothing is under way."""

    def turn_away(self, fd: int) -> None:
        """Tell one that cannot be served why, in one call."""

    def tick(self) -> None:
        """Time has passed, a quarter of a second or more."""

    def drain(self) -> None:
        """From now on, let each connection end with what is under way."""


class Server:
    """Serves the clients of one listener until it is told to end.

    The listener is closed with it.  ``tick`` counts quarters of a second; ``last`` holds, by
    descriptor, the tick of the last activity.  ``again`` are clients whose turn ended before they
    had read or written all they could.
    """

    def __init__(
        self,
        listener: socket.socket,
        control: Control,
        counters: Counters,
        publish: Callable[[], None],
        complain: Callable[[str], None],
        *,
        max_clients: int,
        idle_timeout_s: float,
        accepts_per_s: float | None = None,
    ) -> None:
        """``publish`` is called a few times a second, whenever ``counters`` may have grown, and
        ``complain`` with what whoever runs the server has to know.
        """
        self.counters = counters
        self.tick = _ticks()
        self.again: set[int] = set()
        self.draining = False
        self._listener, self._control = listener, control
        self._publish, self._complain = publish, complain
        self._most_clients = max_clients
        self._pace_ticks = _TICKS_PER_S / accepts_per_s if accepts_per_s else 0
        self._epoll = select.epoll()
        self._wheel = IdleWheel(max(1, round(idle_timeout_s * _TICKS_PER_S)), self.tick)
        self.last = self._wheel.last
        self._own: dict[int, Callable[[int], None]] = {}
        """Descriptors that are not the service's: the listener, the control, and lingering ones."""
        self._lingering: dict[int, int] = {}
        """Those that had their last answer, and the tick at which they are closed for certain."""
        self._spare: int | None = _spare_descriptor()
        self._listening = False
        self._listens_at_tick = 0
        self._published = True
        self._quiet_until_tick = self._ends_at_tick = 0
        self._ended = False

    # -- the loop --------------------------------------------------------------------------

    def run(self, service: Service) -> None:
        """Serve.  Returns when it was told to end, and what is then open ends with the process."""
        self._service = service
        self._own[self._control.fileno()] = self._obey
        self._epoll.register(self._control, select.EPOLLIN)
        self._own[self._listener.fileno()] = self._accept
        self._listen()
        own, last, counters = self._own, self.last, self.counters
        poll, attend = self._epoll.poll, service.attend
        while not self._ended:
            events = poll(self._timeout_s(), _EVENTS)
            begun_s = time.monotonic()
            answers = counters.answers
            passed = self._look_at_the_clock(begun_s)
            for fd, happened in events:
                if fd in own:
                    own[fd](fd)
                elif last[fd] >= 0:  # else it was closed in this turn
                    attend(fd, happened)
            if self.again:
                again, self.again = self.again, set()
                for fd in again:
                    attend(fd, 0)
            if events:
                self._published = False
            if answers := counters.answers - answers:
                counters.turn_took(time.monotonic() - begun_s, answers)
            if passed:
                self._end_what_is_due()
        service.tick()
        self._publish()

    def _timeout_s(self) -> float | None:
        """Until something is due; None if only an event can bring something to do."""
        if self.again:
            return 0.0
        if self.counters.clients or self.draining or not (self._listening and self._published):
            return 1 / _TICKS_PER_S
        return None

    def _look_at_the_clock(self, now_s: float) -> bool:
        """Whether a tick has passed."""
        tick = _ticks(now_s)
        if tick == self.tick:
            return False
        self.tick = tick
        self._service.tick()
        self._publish()
        self._published = True
        return True

    def _end_what_is_due(self) -> None:
        """After the events: whoever has spoken in time is not idle, however late we hear of it."""
        for fd in self._wheel.idle(self.tick):
            self._idle(fd)
        while self._lingering and (entry := next(iter(self._lingering.items())))[1] <= self.tick:
            self.close(entry[0])
        if self.draining:
            self._go_on_draining()
        elif not self._listening and self.tick >= self._listens_at_tick:
            self._listen()

    # -- clients that come -----------------------------------------------------------------

    def _listen(self) -> None:
        self._epoll.register(self._listener, select.EPOLLIN)
        self._listening = True

    def _pause(self, ticks: float) -> None:
        """Let them wait in the accept queue; a listener that is watched would not let us rest."""
        self._epoll.unregister(self._listener)
        self._listening = False
        self._listens_at_tick = self.tick + max(1, round(ticks))

    def _accept(self, _listener: int) -> None:
        for _ in range(1 if self._pace_ticks else _ACCEPTS):
            try:
                client, _ = self._listener.accept()
            except BlockingIOError:
                break
            except OSError as exc:
                if exc.errno in _RETRIED:
                    continue
                if exc.errno in _NO_MEMORY:
                    self._pause(1)
                    break
                if exc.errno not in _NO_DESCRIPTOR:
                    raise
                if not self._accept_with_the_spare():
                    break
                continue
            fd = client.detach()
            os.set_blocking(fd, False)
            self.counters.accepted += 1
            self._wheel.add(fd, self.tick)
            self._epoll.register(fd, READING)
            self.counters.clients += 1
            if self.counters.clients > self._most_clients:
                self.counters.turned_away += 1
                self._service.turn_away(fd)
                self.linger(fd)
            else:
                self._service.welcome(fd)
        if self._pace_ticks and self._listening:
            self._pause(self._pace_ticks)

    def _accept_with_the_spare(self) -> bool:
        """No descriptor is left: give up the spare one, so that the client hears of it.

        Whether there was anybody to turn away: accept(2) takes a descriptor before it looks.
        """
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None
        found = self._turn_one_away()
        with suppress(OSError):
            self._spare = _spare_descriptor()
        return found

    def _turn_one_away(self) -> bool:
        try:
            client, _ = self._listener.accept()
        except BlockingIOError:
            return False
        except OSError:
            self._pause(1)  # the table of the whole system is full
            return False
        if not self.counters.no_descriptor:
            self._complain("no descriptor is left, so clients are turned away: see `ulimit -n`")
        self.counters.no_descriptor += 1
        with client:
            client.setblocking(False)
            self._service.turn_away(client.fileno())
            with suppress(OSError):
                client.shutdown(socket.SHUT_WR)
                client.recv(READ_BYTES)  # unread, it would reset the connection
        return True

    # -- what a service asks for -----------------------------------------------------------

    def watch(self, fd: int, events: int) -> None:
        """``READING`` or ``WRITING``."""
        self._epoll.modify(fd, events)

    def keep(self, fd: int) -> None:
        """Count an idle client as active now."""
        self._wheel.add(fd, self.tick)

    def close(self, fd: int) -> None:
        """The end of a client."""
        self._service.forget(fd)
        self._wheel.remove(fd)
        self._lingering.pop(fd, None)
        self._own.pop(fd, None)
        self.again.discard(fd)
        os.close(fd)
        self.counters.clients -= 1
        self._published = False

    def reset(self, fd: int) -> None:
        """The end of a client that must not take what it has for all of an answer."""
        with suppress(OSError), as_socket(fd) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close(fd)

    def linger(self, fd: int) -> None:
        """Send no more, and drop what comes until the client has read the last answer and closes.

        Closing with bytes unread would reset the connection, and take the answer from the client.
        """
        if len(self._lingering) >= _MOST_LINGERING:
            self.close(fd)
            return
        try:
            with as_socket(fd) as sock:
                sock.shutdown(socket.SHUT_WR)
        except OSError:  # it has gone
            self.close(fd)
            return
        self._service.forget(fd)
        self.again.discard(fd)
        self._lingering[fd] = self.tick + _LINGER_TICKS
        self._own[fd] = self._drop
        self._drop(fd)

    def _drop(self, fd: int) -> None:
        try:
            for _ in range(_MOST_DROPPED):
                if not os.read(fd, READ_BYTES):
                    break
        except BlockingIOError:
            return
        except OSError:
            pass
        self.close(fd)

    def _idle(self, fd: int) -> None:
        if fd not in self._lingering:
            self._service.idle(fd)
            self.counters.timed_out += self.last[fd] < 0  # else it was kept

    # -- the end ---------------------------------------------------------------------------

    def _obey(self, _control: int) -> None:
        """The only order is to drain; the end of whoever gives orders is ours, too."""
        try:
            self._control.hear()
        except (EOFError, OSError):
            self._ended = True
            return
        self._drain()

    def _drain(self) -> None:
        """Take nobody new, and let everybody finish."""
        self.draining = True
        while self._listening:  # those who were accepted by the kernel before now
            before = self.counters.accepted
            self._accept(self._listener.fileno())
            if self.counters.accepted == before:
                self._pause(0)
        self._own[self._listener.fileno()] = _ignore  # there may be an event of it in this turn
        self._listener.close()
        self._quiet_until_tick = self.tick + _QUIET_TICKS
        self._service.drain()

    def _go_on_draining(self) -> None:
        if self.tick >= self._quiet_until_tick:
            for fd in self._clients():
                if self._service.is_quiet(fd):
                    self.close(fd)
        if not self.counters.clients:
            self._ended = True

    def _clients(self) -> Iterator[int]:
        """All but the lingering ones.  A client may be closed meanwhile."""
        for fd, tick in enumerate(self.last):
            if tick >= 0 and fd not in self._lingering:
                yield fd


_MOST_DROPPED: Final = 64
"""Reads of what a client sends though its last answer is out: 4 MiB, then it is closed."""


def _ticks(now_s: float | None = None) -> int:
    return int((time.monotonic() if now_s is None else now_s) * _TICKS_PER_S)


def _ignore(_fd: int) -> None:
    pass


def _spare_descriptor() -> int:
    return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)


@contextmanager
def as_socket(fd: int) -> Iterator[socket.socket]:
    """A descriptor as a socket object; it stays open.

    Whichever kind it is does not matter to the calls here, and asking the kernel would cost three.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, fileno=fd)
    try:
        yield sock
    finally:
        sock.detach()
