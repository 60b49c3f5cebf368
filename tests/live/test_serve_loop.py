"""The loop of `serve` in this process, where its clock, its listener and its service are ours."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tcptool.traffic import answers
from tcptool.traffic.counters import Counters
from tcptool.traffic.far_end import Channel
from tcptool.traffic.http import HttpService
from tcptool.traffic.server import Server, Service
from tcptool.traffic.site import Site
from tests.live.serve_client import DEADLINE_S, Client
from tests.support.netns import NetNs
from tests.support.waiting import wait_until


class Quiet:
    """A service that does nothing, and notes what it is asked to do."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.ticks: list[int] = []
        self.attended: list[tuple[int, int]] = []

    def welcome(self, fd: int) -> None:
        pass

    def attend(self, fd: int, happened: int) -> None:
        self.attended.append((fd, happened))
        if not os.read(fd, 1000):
            self.server.close(fd)

    def idle(self, fd: int) -> None:
        self.server.close(fd)

    def forget(self, fd: int) -> None:
        pass

    def is_quiet(self, fd: int) -> bool:
        return True

    def turn_away(self, fd: int) -> None:
        os.write(fd, b"no room")

    def tick(self) -> None:
        self.ticks.append(self.server.tick)

    def drain(self) -> None:
        pass


class Loop:
    """A server in a thread of its own, and its only order."""

    def __init__(self, listener: Any, **more: Any) -> None:
        self.listener = listener
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.counters = Counters()
        self.published = 0
        self.seen = self.counters.stats()
        more = {"max_clients": 100, "idle_timeout_s": 60.0, **more}
        self.complaints: list[str] = []
        self.server = Server(
            listener, Channel(theirs), self.counters, self._publish, self.complaints.append, **more
        )
        self._theirs = theirs
        self.error: OSError | None = None

    def _publish(self) -> None:
        self.published += 1
        self.seen = self.counters.stats()

    def drain(self) -> None:
        Channel(self._ours).tell(do="drain")

    @contextlib.contextmanager
    def running(self, service: Service) -> Iterator[None]:
        thread = threading.Thread(target=self._run, args=(service,))
        thread.start()
        try:
            yield
        finally:
            self._ours.close()
            thread.join(DEADLINE_S)
            self._theirs.close()
            self.listener.close()
            assert not thread.is_alive()
            for fd, tick in enumerate(self.server.last):
                if tick >= 0:
                    os.close(fd)

    def _run(self, service: Service) -> None:
        try:
            self.server.run(service)
        except OSError as exc:
            self.error = exc


def listen(netns: NetNs) -> socket.socket:
    listener = netns.call(socket.create_server, ("127.0.0.1", 0))
    listener.setblocking(False)
    return listener


def connect(netns: NetNs, listener: Any) -> Client:
    return netns.call(Client.to, *listener.getsockname())


# -- time ----------------------------------------------------------------------------------


def test_time_passes_for_the_service_while_clients_are_quiet(netns: NetNs) -> None:
    loop = Loop(listen(netns))
    service = Quiet(loop.server)
    with loop.running(service), connect(netns, loop.listener):
        wait_until(lambda: len(service.ticks) >= 9, DEADLINE_S)
        steps = Counter(b - a for a, b in zip(service.ticks, service.ticks[1:], strict=False))
        assert steps.most_common(1)[0][0] == 1


def test_without_clients_the_loop_sleeps(netns: NetNs) -> None:
    loop = Loop(listen(netns))
    service = Quiet(loop.server)
    with loop.running(service):
        connect(netns, loop.listener).sock.close()
        wait_until(lambda: loop.counters.accepted and not loop.counters.clients)
        wait_until(lambda: loop.published, DEADLINE_S)  # the figures of the last client
        before, begun_s = len(service.ticks), time.monotonic()
        wait_until(lambda: time.monotonic() > begun_s + 1)
        assert len(service.ticks) <= before + 1


def test_the_end_of_an_idle_client_is_told_though_nothing_happens_then(netns: NetNs) -> None:
    loop = Loop(listen(netns), idle_timeout_s=0.5)
    with loop.running(Quiet(loop.server)), connect(netns, loop.listener) as client:
        assert client.has_ended()
        wait_until(lambda: (loop.seen.timed_out, loop.seen.clients) == (1, 0))


def test_the_wall_clock_is_for_the_date_alone(
    netns: NetNs, monkeypatch: pytest.MonkeyPatch
) -> None:
    wall = SimpleNamespace(s=1_800_000_000.0)
    monkeypatch.setattr(answers, "time", SimpleNamespace(time=lambda: wall.s))
    loop = Loop(listen(netns), idle_timeout_s=30.0)
    service = HttpService(loop.server, Site(None, bytes, bytes), lambda _text: None)
    with loop.running(service), connect(netns, loop.listener) as client:
        dates = []
        for jump_s in (0, 86_400, -2 * 86_400, 10 * 365 * 86_400):
            wall.s += jump_s
            ticks = loop.server.tick
            # An answer may be remembered for a tick.
            wait_until(lambda ticks=ticks: loop.server.tick > ticks)  # type: ignore[misc]
            reply = client.get()
            assert reply.status == 200
            dates.append(reply.fields["date"])
        assert dates == [
            "Fri, 15 Jan 2027 08:00:00 GMT",
            "Sat, 16 Jan 2027 08:00:00 GMT",
            "Thu, 14 Jan 2027 08:00:00 GMT",
            "Sun, 11 Jan 2037 08:00:00 GMT",
        ]
        assert (loop.counters.timed_out, loop.counters.clients) == (0, 1)


# -- turns ---------------------------------------------------------------------------------


class Busy(Quiet):
    """Wants turn after turn; what it hears second is the end."""

    ended_after = 0

    def attend(self, fd: int, happened: int) -> None:
        self.attended.append((fd, happened))
        if not happened:
            self.server.again.add(fd)
        elif not self.server.again:
            os.read(fd, 1)
            self.server.again.add(fd)
        else:
            self.ended_after = len(self.attended)
            self.server.linger(fd)


def test_who_has_had_the_last_answer_has_no_more_turns(netns: NetNs) -> None:
    loop = Loop(listen(netns))
    service = Busy(loop.server)
    with loop.running(service), connect(netns, loop.listener) as client:
        client.send(b"1")
        wait_until(lambda: len(service.attended) > 3)
        client.send(b"2")
        assert client.has_ended()
        published = loop.published  # once in a quarter of a second
        wait_until(lambda: loop.published > published)
        client.send(b"3")  # dropped
        client.half_close()
        wait_until(lambda: loop.counters.clients == 0)
    assert service.ended_after == len(service.attended) > 3


def test_a_listener_that_was_closed_has_no_more_events(netns: NetNs) -> None:
    """The order to drain, and clients, in one turn; their descriptors are below the listener's."""
    with listen(netns) as low:
        # Far above what clients get, whatever descriptors the test finds free.
        listener = socket.socket(fileno=fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, 500))
    loop = Loop(listener)
    clients = [connect(netns, listener) for _ in range(3)]
    loop.drain()
    with loop.running(Quiet(loop.server)):
        for client in clients:
            with client:
                client.half_close()
                assert client.has_ended()
        wait_until(lambda: listener.fileno() < 0)
    assert loop.error is None
    assert loop.counters.accepted == 3


# -- accept(2) -----------------------------------------------------------------------------


class Failing:
    """A listener whose accept() fails as often as it is told to."""

    def __init__(self, listener: socket.socket, *errors: int) -> None:
        self._listener, self.errors = listener, list(errors)
        self.fileno, self.getsockname = listener.fileno, listener.getsockname
        self.close: Callable[[], None] = listener.close

    def accept(self) -> tuple[socket.socket, Any]:
        if self.errors:
            number = self.errors.pop(0)
            raise OSError(number, os.strerror(number))
        return self._listener.accept()


@pytest.mark.parametrize("number", [errno.ECONNABORTED, errno.EINTR, errno.EPROTO, errno.ENETDOWN])
def test_a_client_that_has_gone_already_is_no_trouble(number: int, netns: NetNs) -> None:
    loop = Loop(Failing(listen(netns), number, number))
    service = Quiet(loop.server)
    with loop.running(service), connect(netns, loop.listener) as client:
        client.half_close()
        assert client.has_ended()
    assert loop.error is None


@pytest.mark.parametrize("number", [errno.ENFILE, errno.ENOMEM, errno.ENOBUFS])
def test_a_system_that_has_nothing_left_lets_clients_wait(number: int, netns: NetNs) -> None:
    """Not even what turning somebody away takes: again in a quarter of a second."""
    loop = Loop(Failing(listen(netns), *4 * [number]))
    service = Quiet(loop.server)
    with loop.running(service), connect(netns, loop.listener) as client:
        client.half_close()
        assert client.has_ended()
    assert loop.error is None
    assert (loop.counters.accepted, loop.counters.no_descriptor) == (1, 0)
    assert len(service.ticks) > 1


def test_another_error_of_accept_is_not_hidden(netns: NetNs) -> None:
    loop = Loop(Failing(listen(netns), errno.EINVAL))
    with loop.running(Quiet(loop.server)), connect(netns, loop.listener):
        wait_until(lambda: loop.error)
    assert loop.error
    assert loop.error.errno == errno.EINVAL


def test_too_many_that_do_not_leave_are_cut_off(
    netns: NetNs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tcptool.traffic.server._MOST_LINGERING", 2)
    loop = Loop(listen(netns), max_clients=1)
    with loop.running(Quiet(loop.server)):
        clients = [connect(netns, loop.listener) for _ in range(6)]
        for client in clients[1:]:
            assert client.rest() == b"no room"
        wait_until(lambda: loop.counters.clients <= 3)
        assert clients[0].is_quiet()
        assert loop.counters.turned_away == 5
        for client in clients:
            client.sock.close()
