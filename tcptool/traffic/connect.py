"""Makes connections, one after the other or several at a time, and times each of them.

Both ends of `probe connect` are here.  The near end starts a connection as soon as another has
ended, and waits with one edge-triggered epoll: one epoll_ctl(2) a connection, nothing to take
back.  A connection of our own far end counts when both ends have closed it, so neither runs away
from the other.
"""

from __future__ import annotations

import errno
import select
import socket
import struct
import time
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tcptool.catalog.options import BY_NAME
from tcptool.catalog.states import TCPI_OPTIONS, number
from tcptool.decode.options import encode_option
from tcptool.errors import from_oserror
from tcptool.linux.kernel import Kernel
from tcptool.model.connect import (
    DONE,
    FAILURES,
    INTERRUPTED,
    NO_ANSWER,
    NO_PORTS_LEFT,
    ConnectPlan,
    ConnectReading,
)
from tcptool.model.probe import Settings
from tcptool.traffic import ends
from tcptool.traffic.far_end import Channel, FarEnd, FarEndLost, far_end

if TYPE_CHECKING:
    from tcptool.model.change import Assignment

BYTE: Final = b"\0"
"""Request and reply: one byte each, as netperf's TCP_CRR has it; it cannot come in parts."""
MOST_FAILURES: Final = 100
"""One after the other: then the far end has gone, and more of them would only be load."""

_WATCHED: Final = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
_TCP_INFO_OPTIONS: Final = 5
"""Where tcpi_options stands in struct tcp_info: include/uapi/linux/tcp.h."""
_SYN_DATA: Final = number(TCPI_OPTIONS, "syn-data") or 0
_LINGER_0: Final = struct.pack("ii", 1, 0)
"""struct linger: close(2) sends a reset and leaves no TIME_WAIT: socket(7)."""

RawOption = tuple[int, int, bytes]


class _Ended(Exception):
    """The run cannot go on; ``by`` says why."""

    def __init__(self, by: str) -> None:
        super().__init__(by)
        self.by = by


# -- the near end --------------------------------------------------------------------------

_CONNECTING, _ASKED, _CLOSING = range(3)


@dataclass(slots=True)
class _Flight:
    """A connection on its way.  ``since_s`` is when its present stage began.

    ``times`` are what it adds, and to what, once it is made: one that fails adds nothing.
    """

    sock: socket.socket
    begun_s: float
    stage: int
    since_s: float
    times: list[tuple[array[float], float]] = field(default_factory=list)
    fast_open_used: bool = False


@dataclass(slots=True)
class _Tally:
    """What a block gives, while it does."""

    made: int = 0
    connect_us: array[float] = field(default_factory=lambda: array("d"))
    exchange_us: array[float] = field(default_factory=lambda: array("d"))
    answer_us: array[float] = field(default_factory=lambda: array("d"))
    close_us: array[float] = field(default_factory=lambda: array("d"))
    failures: Counter[int] = field(default_factory=Counter)
    fast_open_used: int = 0


class Connector:
    """Makes connections to one address, block by block.

    ``ports`` are the local ports that they had.  ``refused`` is what the kernel noted of the
    last one that did not use Fast Open though it was to.
    """

    def __init__(
        self,
        kernel: Kernel,
        plan: ConnectPlan,
        address: ends.Address,
        options: Sequence[RawOption],
        far: FarEnd | None,
    ) -> None:
        self._kernel, self._plan, self._far = kernel, plan, far
        self.address = address
        self._options = options
        self._tcp = address.family != socket.AF_UNIX
        self._poll = select.epoll()
        self._flights: dict[int, _Flight] = {}
        self._tally = _Tally()
        self._failed_in_a_row = 0
        self.ports: set[int] = set()
        self.refused: str | None = None

    def close(self) -> None:
        """Close what is still open; the far end sees resets."""
        self._abandon()
        self._poll.close()

    def block(self, connections: int | None, duration_s: float | None) -> ConnectReading:
        """Make so many connections, or start them for so long, and wait until all have ended.

        Ctrl-C, and what makes more connections impossible, end it early: see ``ended_by``.
        Raises TcptoolError if the far end is ours and has gone, or no socket can be made.
        """
        tally = self._tally = _Tally()
        ended_by = DONE
        far_s = self._far_cpu_s()
        begun_s, cpu_s = time.perf_counter(), time.process_time()
        try:
            self._fly(connections, begun_s + duration_s if duration_s else None)
        except KeyboardInterrupt:
            ended_by = INTERRUPTED
        except _Ended as exc:
            ended_by = exc.by
        cpu_s, elapsed_s = time.process_time() - cpu_s, time.perf_counter() - begun_s
        self._abandon()
        far_now_s = None if ended_by == INTERRUPTED else self._far_cpu_s()  # it may be silent
        return ConnectReading(
            made=tally.made,
            elapsed_s=elapsed_s,
            near_cpu_s=cpu_s,
            far_cpu_s=None if far_s is None or far_now_s is None else far_now_s - far_s,
            connect_us=tally.connect_us,
            exchange_us=tally.exchange_us,
            answer_us=tally.answer_us,
            close_us=tally.close_us,
            failures=tally.failures,
            fast_open_used=tally.fast_open_used,
            ended_by=ended_by,
        )

    def _fly(self, connections: int | None, until_s: float | None) -> None:
        """Keep so many in flight until enough have been started; then let them land."""
        flights, poll = self._flights, self._poll
        room, timeout_s = self._plan.concurrency, self._plan.timeout_s
        left = connections
        while True:
            while (
                len(flights) < room
                and left != 0
                and (until_s is None or time.perf_counter() < until_s)
            ):
                self._start()
                if left is not None:
                    left -= 1
            if not flights:
                return
            events = poll.poll(timeout_s)
            if not events:
                self._tally.failures[errno.ETIMEDOUT] += len(flights)
                raise _Ended(NO_ANSWER)
            for fd, happened in events:
                self._advance(flights[fd], happened)

    def _start(self) -> None:
        try:
            sock = self._kernel.own_socket(self.address.family)
        except OSError as exc:
            hint = f"{self._plan.concurrency} at a time take as many descriptors: see `ulimit -n`."
            raise from_oserror("making a socket", exc, hint=hint) from exc
        sock.setblocking(False)
        for option in self._options:
            sock.setsockopt(*option)
        begun_s = time.perf_counter()
        outcome = sock.connect_ex(self.address.name)
        if outcome not in (0, errno.EINPROGRESS):
            sock.close()
            self._fail(outcome)
            return
        flight = _Flight(sock, begun_s, _CONNECTING, begun_s)
        self._flights[sock.fileno()] = flight
        self._poll.register(sock, _WATCHED)
        if not outcome:
            # A Unix socket is connected; of TCP, only one that waits for data to put into the SYN
            # says so at once, and has no time of its own for connecting.
            self._advance(flight, 0, connect_measured=not self._tcp)

    def _advance(self, flight: _Flight, happened: int, *, connect_measured: bool = True) -> None:
        try:
            if happened & select.EPOLLERR:
                error = flight.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                raise OSError(error or errno.EIO, "")
            if flight.stage == _CONNECTING:
                self._connected(flight, measured=connect_measured)
            elif flight.stage == _ASKED and happened & select.EPOLLIN:
                self._answered(flight)
        except OSError as exc:
            self._land(flight)
            flight.sock.close()
            self._fail(exc.errno or errno.EIO)
            return
        # Edge-triggered: a close that came along with what was handled above is not told again.
        if flight.stage == _CLOSING and happened & select.EPOLLRDHUP:
            if self._plan.closer == "client":
                elapsed_us = (time.perf_counter() - flight.since_s) * 1e6
                flight.times.append((self._tally.close_us, elapsed_us))
            self._land(flight)
            self._let_go(flight)

    def _connected(self, flight: _Flight, *, measured: bool) -> None:
        now_s = time.perf_counter()
        if measured:
            flight.times.append((self._tally.connect_us, (now_s - flight.begun_s) * 1e6))
        if self._tcp:
            self.ports.add(flight.sock.getsockname()[1])
        if self._plan.exchange == "request":
            flight.stage, flight.since_s = _ASKED, time.perf_counter()
            flight.sock.send(BYTE)
        else:
            self._finish(flight)

    def _answered(self, flight: _Flight) -> None:
        if not flight.sock.recv(len(BYTE)):
            raise ConnectionResetError(errno.ECONNRESET, "closed instead of a reply")
        now_s, tally = time.perf_counter(), self._tally
        flight.times.append((tally.exchange_us, (now_s - flight.since_s) * 1e6))
        flight.times.append((tally.answer_us, (now_s - flight.begun_s) * 1e6))
        if self._plan.fast_open:
            self._look_at_fast_open(flight)
        self._finish(flight)

    def _look_at_fast_open(self, flight: _Flight) -> None:
        sock = flight.sock
        raw = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_OPTIONS + 1)
        if raw[_TCP_INFO_OPTIONS] & _SYN_DATA:
            flight.fast_open_used = True
        elif info := ends.tcp_info(sock):
            self.refused = info.fastopen_client_fail

    def _finish(self, flight: _Flight) -> None:
        """The work is done: close, or wait for the far end to do it."""
        closer = self._plan.closer
        if closer == "reset" or self._far is None:
            self._land(flight)
            self._let_go(flight)
            return
        flight.stage, flight.since_s = _CLOSING, time.perf_counter()
        if closer == "client":
            flight.sock.shutdown(socket.SHUT_WR)  # close(2) would not tell when the far end does

    def _let_go(self, flight: _Flight) -> None:
        flight.sock.close()
        for series, elapsed_us in flight.times:
            series.append(elapsed_us)
        self._tally.fast_open_used += flight.fast_open_used
        self._tally.made += 1
        self._failed_in_a_row = 0

    def _land(self, flight: _Flight) -> None:
        del self._flights[flight.sock.fileno()]

    def _fail(self, number_: int) -> None:
        if number_ == errno.EADDRNOTAVAIL:
            raise _Ended(NO_PORTS_LEFT)
        self._tally.failures[number_] += 1
        self._failed_in_a_row += 1
        if self._failed_in_a_row >= MOST_FAILURES:
            raise _Ended(FAILURES)

    def _abandon(self) -> None:
        while self._flights:
            _, flight = self._flights.popitem()
            if self._tcp:
                ends.reset_at_close(flight.sock)
            flight.sock.close()

    def _far_cpu_s(self) -> float | None:
        """CPU time of the far end so far.  Raises TcptoolError: its own error, or that it died."""
        if self._far is None:
            return None
        try:
            self._far.tell(do="tell cpu")
        except FarEndLost:
            self._far.hear(0)  # raises what it said last, if it said why
            raise
        return float(self._far.hear(self._plan.timeout_s)["cpu_s"])


@contextmanager
def open_connector(
    kernel: Kernel, plan: ConnectPlan, assignments: Sequence[Assignment], far_cpu: int | None
) -> Iterator[tuple[Connector, Settings]]:
    """Try one connection; gives what makes more, and what was in force on that one.

    Raises TcptoolError if that connection fails.  Everything is closed, and the acceptor gone,
    when the block ends.
    """
    with ExitStack() as opened:
        far = None
        if plan.to is None:

            def work(channel: Channel) -> None:
                _accept(kernel, plan, assignments, channel)

            far = opened.enter_context(far_end("acceptor", work, cpu=far_cpu))
            name = far.hear(plan.timeout_s)["name"]
            address = ends.Address(
                ends.FAMILIES[plan.path],
                bytes.fromhex(name) if plan.path == "unix" else tuple(name),
            )
        else:
            address = ends.look_up(plan.to, ends.families(plan.path))
        with ends.connect(kernel, address, assignments, plan.timeout_s) as trial:
            rcvbuf_bytes = far.hear(plan.timeout_s)["rcvbuf_bytes"] if far else None
            settings = ends.settings(kernel, trial, assignments, rcvbuf_bytes)
            if address.family != socket.AF_UNIX:
                ends.reset_at_close(trial)
        if plan.fast_open:
            _try_fast_open(kernel, address.family)
        connector = Connector(kernel, plan, address, _options(plan, assignments), far)
        opened.callback(connector.close)
        yield connector, settings


def _try_fast_open(kernel: Kernel, family: int) -> None:
    """Raise TcptoolError if this kernel, or its setting, does not let clients ask for it."""
    with kernel.own_socket(family) as sock:
        try:
            sock.setsockopt(*_fast_open_option())
        except OSError as exc:
            hint = "net.ipv4.tcp_fastopen needs its bit 1 (clients)."
            raise from_oserror("asking for fast open", exc, hint=hint) from exc


def _fast_open_option() -> RawOption:
    wanted = BY_NAME["TCP_FASTOPEN_CONNECT"]
    return wanted.level, wanted.number, encode_option(wanted, True)


def _options(plan: ConnectPlan, assignments: Sequence[Assignment]) -> list[RawOption]:
    """What is set on every socket before it connects; the trial has shown that it can be."""
    options = [
        (one.option.level, one.option.number, encode_option(one.option, one.value))
        for one in assignments
    ]
    if plan.closer == "reset":
        options.append((socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0))
    if plan.fast_open:
        options.append(_fast_open_option())
    return options


# -- the accepting child -------------------------------------------------------------------


def _accept(
    kernel: Kernel, plan: ConnectPlan, assignments: Sequence[Assignment], channel: Channel
) -> None:
    """Accept, answer and close as the plan says, until the channel closes."""
    backlog = plan.backlog or socket.SOMAXCONN
    with ends.listen(kernel, plan.path, assignments, backlog) as listener, select.epoll() as poll:
        if plan.fast_open:
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, backlog)
        listener.setblocking(False)
        poll.register(listener, select.EPOLLIN)
        poll.register(channel, select.EPOLLIN)
        name = listener.getsockname()
        channel.tell(name=name.hex() if isinstance(name, bytes) else name)
        _Acceptor(plan, listener, channel, poll).run()


class _Acceptor:
    def __init__(
        self, plan: ConnectPlan, listener: socket.socket, channel: Channel, poll: select.epoll
    ) -> None:
        self._listener, self._channel, self._poll = listener, channel, poll
        self._closes_first = plan.closer == "server"
        self._closes_at_once = self._closes_first and plan.exchange == "none"
        self._open: dict[int, socket.socket] = {}
        self._is_first = True

    def run(self) -> None:
        """Until ``hear`` raises EOFError."""
        while True:
            for fd, _ in self._poll.poll():
                if fd == self._listener.fileno():
                    self._accept()
                elif fd == self._channel.fileno():
                    self._channel.hear()
                    self._channel.tell(cpu_s=time.process_time())
                else:
                    self._serve(fd)

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as exc:
            raise from_oserror("accepting a connection", exc) from exc
        if self._is_first:
            self._is_first = False
            self._channel.tell(rcvbuf_bytes=sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF))
        if self._closes_at_once:
            sock.close()
            return
        self._open[sock.fileno()] = sock
        self._poll.register(sock, select.EPOLLIN)

    def _serve(self, fd: int) -> None:
        """There is a request, or the end."""
        sock = self._open[fd]
        try:
            asked = sock.recv(len(BYTE))
            if asked:
                sock.send(BYTE)
        except ConnectionError:
            asked = b""
        if not asked or self._closes_first:
            del self._open[fd]
            sock.close()
