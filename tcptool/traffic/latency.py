"""Sends requests over one connection and times the replies.

The far end is a child on this host that answers each request once it has all of it, or another
program that sends back what it gets (RFC 862).  A block is a new connection.  Load, if it is asked
for, is a second connection that one more child floods; it holds both ends of it, or sends to the
same program.

In a closed loop a request leaves when the reply to the one before is there.  In an open loop
requests leave by a schedule, whether or not replies are missing, and count from the time at which
they were due: what a stall does to those behind it is measured too.
"""

from __future__ import annotations

import errno
import select
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from tcptool.catalog import latency as catalog
from tcptool.errors import TcptoolError, describe_errno, from_oserror
from tcptool.linux import machine
from tcptool.linux.kernel import Kernel
from tcptool.model.latency import Arm, LatencyPlan, RoundTrips
from tcptool.model.probe import Settings
from tcptool.sansio.send_cursor import SendCursor
from tcptool.traffic import ends
from tcptool.traffic.far_end import Channel, FarEnd, far_end
from tcptool.traffic.line import TimedOut

if TYPE_CHECKING:
    from tcptool.model.change import Assignment

LEAD_IN: Final = 10
"""Requests at the start of a connection that do not count: slow start, the kernel's first
acknowledgements, which are not delayed, and caches."""
_SPIN_S: Final = 200e-6
"""Before a request is due, this much is not slept: select(2) wakes late by the timer slack, 50 us
(prctl(2), PR_SET_TIMERSLACK), and by what waking takes (70 us in all, measured)."""
_ROOM_BYTES: Final = 256 << 10
"""Read at once, at most."""
_FLOOR_REQUESTS: Final = 1000
_EXPLAIN_S: Final = 1.0
"""How long a child whose connection broke may take to say why."""
_BACKLOG: Final = 8
_FLOWING_BYTES: Final = 64 << 10
"""Load flows once so much has arrived: more than a first window of ten segments (RFC 6928)."""

Call = tuple[tuple[bytes, ...], int]
"""The buffers and flags of one sendmsg(2)."""

_clock_ns = time.monotonic_ns


def calls_of(pattern: str, size_bytes: int) -> tuple[Call, ...]:
    """The calls that send one request.  In two parts it needs two bytes."""
    header = bytes(min(catalog.HEADER_BYTES, size_bytes - 1))
    body = bytes(size_bytes - len(header))
    if pattern == catalog.TWO_WRITES:
        return ((header,), 0), ((body,), 0)
    if pattern == catalog.MORE:
        return ((header,), socket.MSG_MORE), ((body,), 0)
    if pattern == catalog.GATHERED:
        return (((header, body), 0),)
    return (((bytes(size_bytes),), 0),)


# -- one connection ------------------------------------------------------------------------


class Link:
    """A connected socket as the loops see it; nothing blocks but ``wait``."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock, self._fd = sock, sock.fileno()
        self._room = bytearray(_ROOM_BYTES)

    def cork(self, value: int) -> None:
        """Set or clear TCP_CORK."""
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, value)

    def send(self, buffers: Sequence[bytes | memoryview], flags: int) -> int:
        """How many bytes the kernel took; none if there is no room."""
        try:
            return self._sock.sendmsg(buffers, (), flags)
        except BlockingIOError:
            return 0

    def receive(self, most: int) -> int:
        """How many bytes came; none if nothing is there.  Raises EOFError at the end."""
        try:
            got = self._sock.recv_into(self._room, min(most, _ROOM_BYTES))
        except BlockingIOError:
            return 0
        if not got:
            raise EOFError
        return got

    def wait(self, timeout_s: float, *, to_send: bool = False) -> tuple[bool, bool]:
        """Whether there is something to read, and room to send; neither after the timeout."""
        # Not poll(): its whole milliseconds are too coarse for a schedule.
        fds = (self._fd,)
        readable, writable, _ = select.select(fds, fds if to_send else (), (), timeout_s)
        return bool(readable), bool(writable)


class Requester:
    """Sends the requests of one arm over one link, and keeps the times of the replies.

    ``times_ns`` grows; replies come in the order of the requests.
    """

    def __init__(self, link: Link, arm: Arm, timeout_s: float) -> None:
        self._link, self._timeout_s = link, timeout_s
        self._calls = [
            (buffers, flags, sum(map(len, buffers)))
            for buffers, flags in calls_of(arm.pattern, arm.size_bytes)
        ]
        self._cork = arm.option == catalog.CORK
        self._reply_bytes = arm.reply_bytes
        self._due_bytes = 0
        self._begun_ns: deque[int] = deque()
        """When the requests that are not answered yet began."""
        self.times_ns: list[int] = []

    def closed_loop(self, count: int, limit_s: float) -> None:
        """So many requests, each after the reply to the one before; at least one."""
        end_ns = _clock_ns() + int(limit_s * 1e9)
        for _ in range(count):
            self._request(_clock_ns())
            self._finish()
            if _clock_ns() > end_ns:
                return

    def open_loop(self, count: int, limit_s: float, per_s: int) -> int:
        """So many requests by a schedule, at least one; returns how many left an interval late.

        All that are due within the limit leave, however late, or a stall at the end would hide
        what it did.  Where that takes twice as long, the rest counts as late.
        """
        interval_ns, limit_ns = 1_000_000_000 // per_s, int(limit_s * 1e9)
        start_ns = _clock_ns()
        late = 0
        due = max(1, min(count, -(-limit_ns * per_s // 1_000_000_000)))
        for number in range(due):
            due_ns = start_ns + number * 1_000_000_000 // per_s
            if number and _clock_ns() - start_ns >= 2 * limit_ns:
                late += due - number
                break
            self._take_until(due_ns)
            late += _clock_ns() - due_ns > interval_ns
            self._request(due_ns)
        self._finish()
        return late

    def _request(self, begun_ns: int) -> None:
        self._begun_ns.append(begun_ns)
        self._due_bytes += self._reply_bytes
        if self._cork:
            self._link.cork(1)
        for buffers, flags, size in self._calls:
            sent = self._link.send(buffers, flags)
            if sent < size:
                self._send_rest(buffers, flags, sent)
        if self._cork:
            self._link.cork(0)

    def _send_rest(self, buffers: tuple[bytes, ...], flags: int, sent: int) -> None:
        """Wait for room, and read meanwhile: the other end may wait for us to."""
        cursor = SendCursor(buffers)
        cursor.sent(sent)
        while not cursor.done:
            readable, writable = self._link.wait(self._timeout_s, to_send=True)
            if not (readable or writable):
                raise self._silent("it took no more of the request")
            if readable:
                self._take()
            if writable:
                cursor.sent(self._link.send(cursor.pending(), flags))

    def _finish(self) -> None:
        """Wait for all replies that are due."""
        while self._begun_ns:
            if not self._link.wait(self._timeout_s)[0]:
                raise self._silent(self._due_words())
            self._take()

    def _take_until(self, due_ns: int) -> None:
        """Take what comes until it is time for the next request; look once if it is late."""
        while True:
            now_ns = _clock_ns()
            left_s = (due_ns - now_ns) / 1e9
            if self._link.wait(max(0.0, left_s - _SPIN_S))[0]:
                self._take()
            elif self._begun_ns and now_ns - self._begun_ns[0] > self._timeout_s * 1e9:
                raise self._silent(self._due_words())
            if left_s <= 0:
                return

    def _take(self) -> None:
        """Read what is there, and note which requests it answers."""
        got = self._link.receive(self._due_bytes + 1)  # a byte more, to notice it
        now_ns = _clock_ns()
        if got > self._due_bytes:
            raise TcptoolError(
                _DOING,
                f"more came than the {self._reply_bytes} bytes of a reply",
                "The other end must send back what it gets, and nothing else.",
            )
        self._due_bytes -= got
        unanswered = -(-self._due_bytes // self._reply_bytes)
        while len(self._begun_ns) > unanswered:
            self.times_ns.append(now_ns - self._begun_ns.popleft())

    def _due_words(self) -> str:
        come = -self._due_bytes % self._reply_bytes
        return f"{come} of the {self._reply_bytes} bytes of a reply came"

    def _silent(self, what: str) -> TimedOut:
        return TimedOut(
            _DOING,
            f"{what}, then nothing for {self._timeout_s:g} s",
            "The other end must send back what it gets; --timeout waits longer.",
        )


_DOING: Final = "timing round trips"


class _Nothing(Link):
    """Takes every request and has every reply, at once and without a system call."""

    def __init__(self, arm: Arm) -> None:
        self._size_bytes, self._reply_bytes = arm.size_bytes, arm.reply_bytes

    def send(self, buffers: Sequence[bytes | memoryview], flags: int) -> int:
        return self._size_bytes

    def receive(self, most: int) -> int:
        return self._reply_bytes

    def wait(self, timeout_s: float, *, to_send: bool = False) -> tuple[bool, bool]:
        return True, True


def floor_times_us() -> tuple[float, ...]:
    """What the loop takes for requests that cost nothing: no figure can be below that."""
    arm = Arm("", 1, 1, catalog.ONE_WRITE, catalog.DEFAULT, False, None)
    requester = Requester(_Nothing(arm), arm, 1.0)
    requester.closed_loop(_FLOOR_REQUESTS, 1.0)
    return _microseconds(requester.times_ns)


def _microseconds(times_ns: Sequence[int]) -> tuple[float, ...]:
    return tuple(one / 1000 for one in times_ns)


# -- blocks --------------------------------------------------------------------------------


class Exchange:
    """Both ends, ready for blocks of any arm.

    ``settings`` is what was in force on the first connection, None before there was one.
    """

    def __init__(
        self,
        kernel: Kernel,
        plan: LatencyPlan,
        assignments: Sequence[Assignment],
        address: ends.Address,
        far: FarEnd | None,
        load: FarEnd | None,
    ) -> None:
        self._kernel, self._plan, self._assignments = kernel, plan, assignments
        self._address, self._far, self._load = address, far, load
        self.settings: Settings | None = None

    def block(self, arm: Arm, requests: int, limit_s: float) -> RoundTrips:
        """Measure one block.  Raises TcptoolError."""
        if self._load and arm.under_load:
            self._load.tell(do="start")
            self._load.hear(self._plan.timeout_s)
        with self._connected(arm) as sock, self._explained():
            trips = self._measured(sock, arm, requests, limit_s)
        if self._load and arm.under_load:
            self._load.tell(do="stop")
            flowed = self._load.hear(self._plan.timeout_s)
            return trips._replace(load_rate_bytes_per_s=flowed["bytes"] / flowed["elapsed_s"])
        return trips

    def _measured(self, sock: socket.socket, arm: Arm, requests: int, limit_s: float) -> RoundTrips:
        requester = Requester(Link(sock), arm, self._plan.timeout_s)
        requester.closed_loop(LEAD_IN, limit_s)
        requester.times_ns.clear()
        segments, retransmitted = _sent(sock)
        per_s, late = self._plan.requests_per_s, None
        if per_s is None:
            requester.closed_loop(requests, limit_s)
        else:
            late = requester.open_loop(requests, limit_s, per_s)
        segments_now, retransmitted_now = _sent(sock)
        return RoundTrips(
            _microseconds(requester.times_ns),
            late,
            _grown(segments, segments_now),
            _grown(retransmitted, retransmitted_now),
            None,
        )

    @contextmanager
    def _connected(self, arm: Arm) -> Iterator[socket.socket]:
        """A new connection for a block, which the far end is ready to answer."""
        far, plan = self._far, self._plan
        if far:
            quickack = arm.option == catalog.QUICKACK
            far.tell(size=arm.size_bytes, reply=arm.reply_bytes, quickack=quickack)
        sock = ends.connect(self._kernel, self._address, self._assignments, plan.timeout_s)
        with sock:
            if arm.option == catalog.NODELAY:
                _set(sock, socket.TCP_NODELAY, "TCP_NODELAY")
            rcvbuf_bytes = far.hear(plan.timeout_s)["rcvbuf_bytes"] if far else None
            if self.settings is None:
                self.settings = ends.settings(self._kernel, sock, self._assignments, rcvbuf_bytes)
            yield sock
            if far and plan.path != "unix":
                ends.reset_at_close(sock)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say why a connection broke, as far as it can be known."""
        try:
            yield
        except (OSError, EOFError) as exc:
            if self._far:
                self._far.hear(_EXPLAIN_S)  # raises, if it has anything to say or has ended
            number = exc.errno if isinstance(exc, OSError) else None
            raise TcptoolError(
                f"{_DOING} to {self._address}",
                describe_errno(number) if number else "the other end closed the connection",
                "It must send back what it gets for as long as the connection lasts.",
            ) from exc


def _sent(sock: socket.socket) -> tuple[int | None, int | None]:
    """Segments with data that left so far, and those of them that left again."""
    info = ends.tcp_info(sock)
    return (info.data_segs_out, info.total_retrans_packets) if info else (None, None)


def _grown(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else after - before


def _set(sock: socket.socket, number: int, name: str) -> None:
    try:
        sock.setsockopt(socket.IPPROTO_TCP, number, 1)
    except OSError as exc:
        raise from_oserror(f"setting {name} on a socket of our own", exc) from exc


@contextmanager
def open_exchange(
    kernel: Kernel,
    plan: LatencyPlan,
    assignments: Sequence[Assignment],
    far_cpu: int | None,
    all_cpus: tuple[int, ...],
) -> Iterator[Exchange]:
    """Start the far end and the load; they are gone when the block ends."""
    far, load = None, None
    with ExitStack() as opened:
        if plan.to is None:

            def answer(channel: Channel) -> None:
                _answer(kernel, plan, assignments, channel)

            far = opened.enter_context(far_end("responder", answer, cpu=far_cpu))
            name = far.hear(plan.timeout_s)["name"]
            address = ends.Address(
                ends.FAMILIES[plan.path],
                bytes.fromhex(name) if plan.path == "unix" else tuple(name),
            )
        else:
            inet, inet6 = socket.AF_INET, socket.AF_INET6
            families = (inet6,) if plan.path == "ipv6" else (inet, inet6)
            address = ends.look_up(plan.to, families)
        if plan.under_load:
            to = address if plan.to else None

            def flood(channel: Channel) -> None:
                machine.keep_on(all_cpus)  # not only where this process was kept
                _flood(kernel, plan, assignments, to, channel)

            load = opened.enter_context(far_end("source of load", flood, cpu=None))
        yield Exchange(kernel, plan, assignments, address, far, load)


# -- the child that answers ----------------------------------------------------------------


def _answer(
    kernel: Kernel, plan: LatencyPlan, assignments: Sequence[Assignment], channel: Channel
) -> None:
    """Answer the requests of one connection after the other, as the channel says."""
    with ends.listen(kernel, plan.path, assignments, _BACKLOG) as listener:
        name = listener.getsockname()
        channel.tell(name=name.hex() if isinstance(name, bytes) else name)
        while True:
            order = channel.hear()
            sock = _accept(listener, channel)
            with sock:
                channel.tell(rcvbuf_bytes=sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF))
                with suppress(ConnectionError):  # the end of a block is a reset
                    _serve(sock, order)


def _accept(listener: socket.socket, channel: Channel) -> socket.socket:
    """The connection that is about to come.  Raises EOFError if the parent is gone instead."""
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    poll.register(channel, select.POLLIN)
    if all(fd == channel.fileno() for fd, _ in poll.poll()):
        raise EOFError
    return listener.accept()[0]


def _serve(sock: socket.socket, order: dict[str, Any]) -> None:
    size, quickack, reply = order["size"], order["quickack"], bytes(order["reply"])
    room = bytearray(min(size, _ROOM_BYTES))
    while True:
        left = size
        while left:
            if quickack:  # each answer of ours clears it
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            got = sock.recv_into(room, min(left, _ROOM_BYTES))
            if not got:
                return
            left -= got
        sock.sendall(reply)


# -- the child that loads ------------------------------------------------------------------


def _flood(
    kernel: Kernel,
    plan: LatencyPlan,
    assignments: Sequence[Assignment],
    to: ends.Address | None,
    channel: Channel,
) -> None:
    """Flood a connection from each ``start`` to the ``stop`` after it."""
    while True:
        channel.hear()
        with _load_ends(kernel, plan, assignments, to) as (source, drain):
            try:
                arrived, elapsed_s = _flow(source, drain, channel)
            except OSError as exc:
                raise ends.failure("loading the path", exc) from exc
        channel.tell(bytes=arrived, elapsed_s=elapsed_s)


@contextmanager
def _load_ends(
    kernel: Kernel, plan: LatencyPlan, assignments: Sequence[Assignment], to: ends.Address | None
) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Where to send and where to read: the two ends of one connection, or one end twice."""
    if to is not None:
        with ends.connect(kernel, to, assignments, plan.timeout_s) as source:
            yield source, source
        return
    with ends.listen(kernel, plan.path, assignments, 1) as listener:
        address = ends.address_of(listener)
        source = ends.connect(kernel, address, assignments, plan.timeout_s)
        with source, listener.accept()[0] as drain:
            drain.setblocking(False)
            if plan.path != "unix":
                ends.reset_at_close(source)
            yield source, drain


def _flow(source: socket.socket, drain: socket.socket, channel: Channel) -> tuple[int, float]:
    """Send, and drop what arrives, until the channel says stop; tell it when the load flows.

    Returns the bytes that arrived since then, and the time.
    """
    chunk, room = bytes(_ROOM_BYTES), bytearray(_ROOM_BYTES)
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    poll.register(source, select.POLLOUT)
    poll.register(drain, select.POLLIN | (select.POLLOUT if drain is source else 0))
    begun_s, arrived, flowing = time.monotonic(), 0, False
    while all(fd != channel.fileno() for fd, _ in poll.poll()):
        with suppress(BlockingIOError):
            source.send(chunk)
        with suppress(BlockingIOError):
            got = drain.recv_into(room)
            if not got:
                raise ConnectionResetError(errno.ECONNRESET, "")
            arrived += got
        if not flowing and arrived >= _FLOWING_BYTES:
            flowing, begun_s, arrived = True, time.monotonic(), 0
            channel.tell(flowing=True)
    channel.hear()
    return arrived, time.monotonic() - begun_s
