"""Connections that are slow for one known reason, and healthy ones: `diagnose` is tried on them.

    with scenario.open() as case:
        tcptool("diagnose", case.target, "--for", "3s", "--json")

Each scenario is two real programs on a real path.  ``expected`` is what the set-up makes true: the
rates, buffers and times are chosen so that one thing limits the connection, by a factor of two or
more where that is possible, and what the kernel counts was looked at (`python -m bench.diagnose
--fingerprints`); it is not what a classifier happens to say.  Where two words are right, both are
there, and ``what`` says why.

Traffic is in the programs' threads, so their sockets can be asked about meanwhile.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final, Literal

from tcptool.catalog.tcp_info import TcpInfo
from tcptool.decode.tcp_info import decode_tcp_info
from tests.lab.ends import DirectionName, Ends, commands
from tests.lab.path import RelayPath, path
from tests.lab.relay import Conditions
from tests.lab.veth import DEVICE, VethConditions, veth_path
from tests.live.program import Owner, owner
from tests.support.netns import NetNs, new_netns
from tests.support.waiting import wait_until

Side = Literal["near", "far"]


@dataclass(frozen=True, slots=True)
class Case:
    """A scenario that is up and warm."""

    target: str
    """``PID:FD`` of the socket to diagnose."""
    netns: NetNs
    """The network namespace of that socket."""
    cure_target: str
    """``PID:FD`` of the socket that the scenario's cure belongs on: at times the peer's."""
    settle: Callable[[], object] = bool
    """Waits until enough was carried for a change to show."""
    dropped: Callable[[], tuple[int, int]] = lambda: (0, 0)
    """How many packets the path's queue dropped so far, and of how many."""


_SetUp = Callable[["Scenario"], AbstractContextManager[Case]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One connection with one known limit."""

    name: str
    what: str
    """What it is, in one line."""
    expected: frozenset[str]
    """Verdicts that are true of it."""
    set_up: _SetUp
    healthy: bool = False
    """Nothing is wrong with it: a confident verdict that something is would be an accusation."""
    congestion: str = "cubic"
    rtt_ms: float = 0.0
    rate_mbit: float | None = None
    cure: tuple[str, ...] | None = None
    """What to `tcptool apply` to ``Case.cure_target``."""
    cured: frozenset[str] = frozenset()
    """Verdicts that are true afterwards."""
    window_s: float = 3.0
    """How long to look: at least 20 round trips, where there is no reason against it."""
    quiet: bool = False
    """It carries little, below 10 Mbit/s, and so may run beside others like it."""
    bench_only: bool = False
    """It is much like another one: bench/diagnose.py tries it too, the tests save its time."""

    def open(self) -> AbstractContextManager[Case]:
        """Set it up and warm it up; everything ends with the block."""
        return self.set_up(self)


# -- programs ------------------------------------------------------------------------------

_PROGRAM: Final = """
import contextlib, threading

def start(work, *words):
    def quietly():
        with contextlib.suppress(OSError):  # the other end goes first at times
            work(*words)
    threading.Thread(target=quietly, daemon=True).start()

def stream(size=65536):
    "Send without a pause."
    data = bytes(size)
    while True:
        conn.sendall(data)

def trickle(size, gap_s):
    "Send so much, then do something else for a while."
    data = bytes(size)
    while True:
        conn.sendall(data)
        time.sleep(gap_s)

def receive(size):
    while size:
        got = len(conn.recv(min(size, 1 << 18)))
        if not got:
            raise OSError("the connection ended")
        size -= got

def drain():
    "Read what comes, at once."
    while conn.recv(1 << 18):
        pass

def read_slowly(size, gap_s):
    "Read so much, then do something else for a while."
    while True:
        receive(size)
        time.sleep(gap_s)

def ask(pieces, answer_bytes, depth=1):
    "Send requests, each in so many writes; not more than depth of them wait for their answers."
    def request():
        for size in pieces:
            conn.sendall(bytes(size))
    for _ in range(depth):
        request()
    while True:
        receive(answer_bytes)
        request()

def ask_then_stream(times, size):
    "So many requests of that size, then a stream."
    for _ in range(times):
        conn.sendall(bytes(size))
        receive(size)
    stream()

def answer(ask_bytes, answer_bytes):
    conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while True:
        receive(ask_bytes)
        conn.sendall(bytes(answer_bytes))
"""


def _option(level: str, name: str, value: int) -> str:
    return f"conn.setsockopt(socket.{level}, socket.{name}, {value})"


def _nodelay() -> str:
    return _option("IPPROTO_TCP", "TCP_NODELAY", 1)


def _cork() -> str:
    return _option("IPPROTO_TCP", "TCP_CORK", 1)


def _send_buffer(size_bytes: int) -> str:
    return _option("SOL_SOCKET", "SO_SNDBUF", size_bytes)


def _receive_buffer(size_bytes: int) -> str:
    return _option("SOL_SOCKET", "SO_RCVBUF", size_bytes)


def _notsent_lowat(size_bytes: int) -> str:
    # TCP_NOTSENT_LOWAT, include/uapi/linux/tcp.h; the socket module of Python 3.11 lacks it
    return f"conn.setsockopt(socket.IPPROTO_TCP, 25, {size_bytes})"


def _pacing_cap(rate_mbit: float) -> str:
    # SO_MAX_PACING_RATE, include/uapi/asm-generic/socket.h; 8 bytes since Linux 4.20
    return f"conn.setsockopt(socket.SOL_SOCKET, 47, struct.pack('=Q', {rate_mbit * 125000:.0f}))"


def _keepalive(count: int) -> str:
    return "\n".join(
        [
            _option("SOL_SOCKET", "SO_KEEPALIVE", 1),
            _option("IPPROTO_TCP", "TCP_KEEPIDLE", 1),
            _option("IPPROTO_TCP", "TCP_KEEPINTVL", 1),
            _option("IPPROTO_TCP", "TCP_KEEPCNT", count),
        ]
    )


# -- set-ups -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Flow:
    """A connection between two programs, each of which calls its end ``conn``."""

    link: Ends
    near: Owner
    far: Owner

    def end(self, side: Side) -> Owner:
        return self.near if side == "near" else self.far

    def info(self, side: Side = "near") -> TcpInfo:
        return _info(self.end(side))


def _info(program: Owner) -> TcpInfo:
    raw = program("conn.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1024)")
    return decode_tcp_info(raw.encode("latin-1"))


Work = tuple[object, ...]
"""A function of the programs, and its words."""

Step = Callable[[Flow], object]
"""Something that is done once the programs run: wait for a state, or change the path."""

_DEADLINE_S: Final = 30.0


def _until(reached: Callable[[TcpInfo], bool], side: Side = "near") -> Step:
    """Wait until tcp_info says so."""
    return lambda flow: wait_until(lambda: reached(flow.info(side)), _DEADLINE_S)


def _acked(size_bytes: int) -> Step:
    """Wait until so much is acknowledged: past slow start, and past what its end has lost."""
    return _until(lambda info: (info.acked_bytes or 0) >= size_bytes)


def _received(size_bytes: int, side: Side = "far") -> Step:
    return _until(lambda info: (info.received_bytes or 0) >= size_bytes, side)


def _window_closed(flow: Flow) -> None:
    """Wait until the receiver's window has held the sender up for a fifth of a second."""
    _until(lambda info: (info.rwnd_limited_us or 0) >= 200_000)(flow)


def _timed_out(times: int) -> Step:
    """Wait until the retransmission timer has run out so often in a row."""
    return _until(lambda info: (info.retransmits or 0) >= times)


def _change(direction: DirectionName, changes: Conditions) -> Step:
    def step(flow: Flow) -> None:
        assert isinstance(flow.link, RelayPath)
        getattr(flow.link, direction).set(**changes)

    return step


def _cut(flow: Flow) -> None:
    assert isinstance(flow.link, RelayPath)
    flow.link.set(black_hole=True)


def _dropped(flow: Flow) -> tuple[int, int]:
    if not isinstance(flow.link, RelayPath):
        return 0, 0
    counters = flow.link.forward.counters()
    return counters.tail_dropped, counters.entered


def _do(side: Side, source: str) -> Step:
    return lambda flow: flow.end(side)(source)


@dataclass(frozen=True, slots=True)
class _Loopback(Ends):
    """Both ends on one host."""

    def far_address(self, *, ipv6: bool = False) -> str:
        return "::1" if ipv6 else "127.0.0.1"


Opener = Callable[[Scenario], AbstractContextManager[Ends]]


def _relay(
    forward: Conditions | None = None,
    backward: Conditions | None = None,
    sysctls: dict[str, object] | None = None,
) -> Opener:
    """The scenario's delay both ways and its rate one way, and what else happens that way."""

    def link(scenario: Scenario) -> AbstractContextManager[Ends]:
        rate = Conditions(rate_mbit=scenario.rate_mbit)
        return path(
            delay_ms=scenario.rtt_ms / 2,
            forward=rate | (forward or {}),
            backward=backward,
            sysctls=sysctls,
        )

    return link


def _local_queue(queue_ms: float, device_settings: str = "") -> Opener:
    """A bottleneck in the sender's own host."""

    @contextlib.contextmanager
    def link(scenario: Scenario) -> Iterator[Ends]:
        forward = VethConditions(queue_ms=queue_ms, rate_mbit=scenario.rate_mbit)
        with veth_path(forward=forward) as ends:
            if device_settings:
                commands(ends.near, f"ip link set {DEVICE} {device_settings}")
            yield ends

    return link


@contextlib.contextmanager
def _loopback(_scenario: Scenario) -> Iterator[Ends]:
    with new_netns() as namespace:
        yield _Loopback(namespace, namespace)


def _flow(
    link: Opener,
    *,
    near: Work = (),
    far: Work = (),
    steps: Sequence[Step] = (),
    near_options: str = "",
    far_options: str = "",
    listener_options: str = "",
    target: Side = "near",
    cure_at: Side | None = None,
    settle_bytes: int = 0,
    ipv6: bool = False,
) -> _SetUp:
    """A connection over ``link``: ``near`` and ``far`` are what the two programs do.

    ``near_options`` are set before the connection is made, ``listener_options`` on the
    listener (its ``conn``, for the moment), and ``far_options`` on the accepted socket.
    """

    @contextlib.contextmanager
    def open_flow(scenario: Scenario) -> Iterator[Case]:
        with link(scenario) as ends, owner(ends.near) as one, owner(ends.far) as other:
            for program in (one, other):
                program(_PROGRAM)
            family = "AF_INET6" if ipv6 else "AF_INET"
            address = ends.far_address(ipv6=ipv6)
            congestion = (
                "conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION,"
                f" {scenario.congestion.encode()!r})"
            )
            other(
                f"conn = server = socket.socket(socket.{family})\n{congestion}\n"
                f"{listener_options}\nserver.bind(({address!r}, 0))\nserver.listen()"
            )
            one(f"conn = socket.socket(socket.{family})\n{congestion}\n{near_options}")
            one(f"conn.connect(({address!r}, {other.port('server')}))")
            other(f"conn, _ = server.accept()\n{far_options}")
            for program, work in ((other, far), (one, near)):
                if work:
                    program(f"start({work[0]}, *{work[1:]})")
            flow = Flow(ends, one, other)
            for step in steps:
                step(flow)
            socket_of = flow.end(target)
            yield Case(
                socket_of.at("conn"),
                ends.near if target == "near" else ends.far,
                flow.end(cure_at or target).at("conn"),
                lambda: _acked((flow.info().acked_bytes or 0) + settle_bytes)(flow),
                lambda: _dropped(flow),
            )

    return open_flow


def _queue_of(*, backlog: int, clients: int) -> _SetUp:
    """A listener whose program does not accept."""

    @contextlib.contextmanager
    def open_listener(_scenario: Scenario) -> Iterator[Case]:
        with new_netns() as namespace, owner(namespace) as server, owner(namespace) as client:
            server(f"conn = socket.create_server(('127.0.0.1', 0), backlog={backlog})")
            client(
                f"for _ in range({clients}):\n"
                "    one = socket.socket()\n"
                "    one.setblocking(False)\n"
                f"    one.connect_ex(('127.0.0.1', {server.port('conn')}))\n"
                "    kept.append(one)"
            )
            # The kernel lets one more in than the backlog says (include/net/sock.h,
            # sk_acceptq_is_full).
            waiting = min(clients, backlog + 1)
            # tcpi_unacked, which for a listener is the length of its queue.
            queue = "struct.unpack_from('=I', conn.getsockopt(6, socket.TCP_INFO, 104), 24)[0]"
            wait_until(lambda: server(queue) == waiting)
            yield Case(server.at("conn"), namespace, server.at("conn"))

    return open_listener


@contextlib.contextmanager
def _unanswered(scenario: Scenario) -> Iterator[Case]:
    """A SYN into a hole."""
    with path(delay_ms=scenario.rtt_ms / 2, black_hole=True) as link, owner(link.near) as near:
        near(
            "conn = socket.socket()\n"
            "conn.setblocking(False)\n"
            f"conn.connect_ex(({link.FAR_IPV4!r}, 80))"
        )
        wait_until(lambda: (_info(near).retransmits or 0) >= 1)
        yield Case(near.at("conn"), link.near, near.at("conn"))


# -- the table -----------------------------------------------------------------------------


def _is(*verdicts: str) -> frozenset[str]:
    return frozenset(verdicts)


_STREAM: Final[Work] = ("stream",)
_DRAIN: Final[Work] = ("drain",)
_UNLOCK: Final = ("SO_BUF_LOCK=none",)
_WIDEN: Final = ("SO_RCVBUF=4M", "--also-clamp")
_WIDE_READER: Final[dict[str, object]] = {"net.ipv4.tcp_rmem": "4096 16777216 33554432"}
"""A receive window that is open from the start: otherwise its growth limits slow start."""
_MB: Final = 1_000_000


def _bulk(
    link: Opener,
    warm_bytes: int,
    *,
    steps: Sequence[Step] = (),
    settle_bytes: int = 8 * _MB,
    **more: Any,
) -> _SetUp:
    """A sender that always has something to send, and a reader that reads at once."""
    steps = (_acked(warm_bytes), *steps)
    return _flow(link, near=_STREAM, far=_DRAIN, steps=steps, settle_bytes=settle_bytes, **more)


def _slowly_read(size_bytes: int, gap_s: float, **more: Any) -> _SetUp:
    """A sender that always has something to send, and a reader that does not keep up."""
    far = ("read_slowly", size_bytes, gap_s)
    return _flow(_relay(), near=_STREAM, far=far, steps=(_window_closed,), **more)


def _requests(
    pieces: Sequence[int],
    answer_bytes: int,
    depth: int = 1,
    *,
    # At first the far end acknowledges at once (net/ipv4/tcp_input.c, TCP_MAX_QUICKACKS is 16).
    warm_requests: int = 20,
    link: Opener | None = None,
    **more: Any,
) -> _SetUp:
    """Requests in so many writes, and their answers."""
    return _flow(
        link or _relay(),
        near=("ask", tuple(pieces), answer_bytes, depth),
        far=("answer", sum(pieces), answer_bytes),
        steps=(_acked(warm_requests * sum(pieces)),),
        settle_bytes=warm_requests * sum(pieces),
        **more,
    )


_HEALTHY_PATHS: Final = (
    Scenario(
        "bulk-cubic",
        "a bulk transfer that fills a path with a queue of most of a round trip",
        _is("path-rate"),
        _bulk(_relay({"queue_packets": 110}), 4 * _MB),
        healthy=True,
        rtt_ms=40,
        rate_mbit=40,
    ),
    Scenario(
        "bulk-bbr",
        "the same with bbr, which needs no queue",
        _is("path-rate"),
        _bulk(_relay({"queue_packets": 120}), 4 * _MB),
        healthy=True,
        congestion="bbr",
        rtt_ms=40,
        rate_mbit=40,
    ),
    Scenario(
        "bulk-ipv6-bbr",
        "bulk over IPv6 on a short and quick path",
        _is("path-rate"),
        _bulk(_relay({"queue_packets": 300}), 10 * _MB, ipv6=True),
        healthy=True,
        congestion="bbr",
        rtt_ms=10,
        rate_mbit=100,
    ),
    Scenario(
        "bulk-near-cubic",
        "bulk over 4 ms: a full queue of 12 ms trebles the round trip, which harms nobody",
        _is("path-rate"),
        _bulk(_relay({"queue_packets": 60}), 6 * _MB),
        healthy=True,
        rtt_ms=4,
        rate_mbit=60,
    ),
    Scenario(
        "bulk-ack-loss",
        "one of twenty ACKs is lost, which TCP does not mind",
        _is("path-rate"),
        _bulk(_relay({"queue_packets": 110}, backward={"loss": 0.05}), 4 * _MB),
        healthy=True,
        rtt_ms=40,
        rate_mbit=40,
        bench_only=True,
    ),
    Scenario(
        "bulk-notsent-lowat",
        "a sender that keeps little unsent on purpose: TCP_NOTSENT_LOWAT of 16 KiB",
        _is("path-rate"),
        _bulk(_relay({"queue_packets": 110}), 4 * _MB, near_options=_notsent_lowat(16384)),
        healthy=True,
        rtt_ms=40,
        rate_mbit=40,
        bench_only=True,
    ),
    Scenario(
        "bulk-ecn",
        "the path marks instead of dropping (ECN)",
        _is("path-rate"),
        _bulk(_relay({"mark_packets": 40}, sysctls={"net.ipv4.tcp_ecn": 1}), 4 * _MB),
        healthy=True,
        rtt_ms=40,
        rate_mbit=40,
    ),
    Scenario(
        "bulk-to-a-closed-half",
        "the client has shut its half down and still reads: the server's CLOSE-WAIT is no bug",
        _is("path-rate"),
        _bulk(
            _relay({"queue_packets": 110}),
            4 * _MB,
            steps=(_do("far", "conn.shutdown(socket.SHUT_WR)"), _acked(5 * _MB)),
        ),
        healthy=True,
        rtt_ms=40,
        rate_mbit=40,
        bench_only=True,
    ),
    Scenario(
        "bulk-loopback",
        "both ends on one host: the processor is the limit",
        _is("application-limited", "path-rate", "slow-reader"),  # whichever program is slower
        _bulk(_loopback, 100 * _MB),
        healthy=True,
    ),
    Scenario(
        "bulk-far-cubic",
        "bulk over a long path",
        _is("path-rate"),
        _bulk(_relay({"queue_packets": 170}), 5 * _MB),
        healthy=True,
        rtt_ms=200,
        rate_mbit=20,
        window_s=6.0,
    ),
    Scenario(
        "slow-start-cubic",
        "bulk that has just begun, on a path so long that slow start takes seconds",
        _is("slow-start"),
        _bulk(_relay(sysctls=_WIDE_READER), 20_000),
        healthy=True,
        rtt_ms=400,
    ),
    Scenario(
        "slow-start-bbr",
        "the same with bbr, whose start-up doubles too",
        _is("slow-start"),
        _bulk(_relay(sysctls=_WIDE_READER), 20_000),
        healthy=True,
        congestion="bbr",
        rtt_ms=400,
    ),
)

_APPLICATIONS: Final = (
    Scenario(
        "ping-pong",
        "requests and answers in turn, one write each",
        _is("application-limited"),
        _requests([500], 200, near_options=_nodelay()),
        healthy=True,
        rtt_ms=40,
        rate_mbit=40,
        quiet=True,
    ),
    Scenario(
        "ping-pong-bbr",
        "the same on a short path with bbr",
        _is("application-limited"),
        _requests([500], 200, near_options=_nodelay()),
        healthy=True,
        congestion="bbr",
        rtt_ms=4,
        rate_mbit=40,
        quiet=True,
    ),
    Scenario(
        "pipeline",
        "eight requests at a time",
        _is("application-limited"),
        _requests([500], 200, 8, near_options=_nodelay()),
        healthy=True,
        rtt_ms=40,
        rate_mbit=40,
        quiet=True,
    ),
    Scenario(
        "trickle-cubic",
        "2 KB, then a pause of 30 ms",
        _is("application-limited"),
        _flow(_relay(), near=("trickle", 2000, 0.03), far=_DRAIN, steps=(_acked(40_000),)),
        healthy=True,
        rtt_ms=20,
        rate_mbit=40,
        quiet=True,
    ),
    Scenario(
        "trickle-bbr",
        "10 KB, then a pause of 10 ms: a fifth of what the path carries",
        _is("application-limited"),
        _flow(_relay(), near=("trickle", 10_000, 0.01), far=_DRAIN, steps=(_acked(500_000),)),
        healthy=True,
        congestion="bbr",
        rtt_ms=40,
        rate_mbit=40,
        quiet=True,
    ),
    Scenario(
        "frames",
        "20 KB thirty times a second, as a camera sends",
        _is("application-limited"),
        _flow(_relay(), near=("trickle", 20_000, 0.033), far=_DRAIN, steps=(_acked(500_000),)),
        healthy=True,
        rtt_ms=40,
        rate_mbit=40,
        quiet=True,
    ),
    Scenario(
        "half-speed",
        "64 KB at a time from a disk that is half as quick as the path",
        _is("application-limited"),
        _flow(_relay(), near=("trickle", 65536, 0.026), far=_DRAIN, steps=(_acked(2 * _MB),)),
        healthy=True,
        rtt_ms=40,
        rate_mbit=40,
    ),
    Scenario(
        "ping-pong-loopback",
        "requests and answers on one host",
        _is("application-limited"),
        _flow(
            _loopback,
            near=("ask", (500,), 200),
            far=("answer", 500, 200),
            near_options=_nodelay(),
            steps=(_acked(500_000),),
        ),
        healthy=True,
    ),
    Scenario(
        "lossy-requests",
        "5 % is lost under small requests: one in ten waits for a retransmission timeout",
        _is("loss", "application-limited", "path-rate-with-loss"),  # both cost time
        _requests([500], 200, near_options=_nodelay(), link=_relay({"loss": 0.05})),
        rtt_ms=40,
        rate_mbit=40,
        quiet=True,
    ),
    Scenario(
        "bursts-cubic",
        "200 KB every half second",
        _is("application-limited"),
        _flow(_relay(), near=("trickle", 200_000, 0.5), far=_DRAIN, steps=(_acked(400_000),)),
        healthy=True,
        rtt_ms=20,
        rate_mbit=40,
        quiet=True,
    ),
    Scenario(
        "bursts-bbr",
        "the same with bbr over 40 ms",
        _is("application-limited"),
        _flow(_relay(), near=("trickle", 200_000, 0.5), far=_DRAIN, steps=(_acked(400_000),)),
        healthy=True,
        congestion="bbr",
        rtt_ms=40,
        rate_mbit=40,
        quiet=True,
    ),
    Scenario(
        "server-of-answers",
        "a server that sends 20 KB for each request",
        _is("application-limited"),
        _requests([100], 20_000, near_options=_nodelay(), target="far"),
        healthy=True,
        rtt_ms=40,
        rate_mbit=40,
        quiet=True,
    ),
    Scenario(
        "log-lines",
        "100 bytes every 5 ms: Nagle holds them for a round trip, and then they go together",
        _is("nagle", "application-limited"),  # the rate is the program's, the delay is Nagle's
        _flow(_relay(), near=("trickle", 100, 0.005), far=_DRAIN, steps=(_acked(10_000),)),
        rtt_ms=40,
        rate_mbit=40,
        cure=("nodelay=1",),
        cured=_is("application-limited"),
        quiet=True,
    ),
    Scenario(
        "nagle",
        "a request in two small writes: the second waits for the peer's delayed ACK",
        _is("nagle"),
        _requests([100, 100], 100),
        rtt_ms=4,
        rate_mbit=40,
        cure=("nodelay=1",),
        cured=_is("application-limited"),
        quiet=True,
    ),
    Scenario(
        "nagle-loopback",
        "the same on one host",
        _is("nagle"),
        _requests([100, 100], 100, link=_loopback),
        cure=("nodelay=1",),
        cured=_is("application-limited"),
        quiet=True,
    ),
    Scenario(
        "nagle-far-bbr",
        "the same over 40 ms with bbr",
        _is("nagle"),
        _requests([100, 100], 100),
        congestion="bbr",
        rtt_ms=40,
        rate_mbit=40,
        cure=("nodelay=1",),
        cured=_is("application-limited"),
        quiet=True,
    ),
    Scenario(
        "corked-one-way-bbr",
        "500 bytes every half second under TCP_CORK",
        _is("corked"),
        _flow(
            _relay(),
            near=("trickle", 500, 0.5),
            far=_DRAIN,
            near_options=_cork(),
            steps=(_acked(1000),),
        ),
        congestion="bbr",
        rtt_ms=40,
        rate_mbit=40,
        cure=("TCP_CORK=0",),
        cured=_is("application-limited"),
        quiet=True,
    ),
    Scenario(
        "corked",
        "a request under TCP_CORK, which holds it for the retransmission timeout",
        _is("corked"),
        _requests([100, 100], 100, near_options=_cork(), warm_requests=4),
        rtt_ms=10,
        rate_mbit=40,
        cure=("TCP_CORK=0",),
        cured=_is("application-limited", "nagle"),  # which then holds the second write
        quiet=True,
    ),
)

_BUFFERS: Final = (
    Scenario(
        "send-buffer-cubic",
        # Without TCP_NODELAY the kernel lets the last segment in the queue grow, and this buffer
        # was seen to hold 20 times its size (net/ipv4/tcp.c: only a new segment waits for memory).
        "SO_SNDBUF of 32 KiB on a path that holds 200 KB",
        _is("send-buffer"),
        _bulk(
            _relay({"queue_packets": 120}),
            1 * _MB,
            near_options=f"{_send_buffer(32768)}\n{_nodelay()}",
        ),
        rtt_ms=40,
        rate_mbit=40,
        cure=_UNLOCK,
        cured=_is("path-rate", "path-rate-with-loss"),  # loss: the end of slow start
    ),
    Scenario(
        "send-buffer-bbr",
        "the same with bbr",
        _is("send-buffer"),
        _bulk(_relay({"queue_packets": 120}), 1 * _MB, near_options=_send_buffer(32768)),
        congestion="bbr",
        rtt_ms=40,
        rate_mbit=40,
        cure=_UNLOCK,
        cured=_is("path-rate"),
    ),
    Scenario(
        "send-buffer-sysctl",
        "a send buffer that may not grow beyond tcp_wmem",
        _is("send-buffer"),
        _bulk(
            _relay(sysctls={"net.ipv4.tcp_wmem": "4096 16384 262144"}),
            1 * _MB,
            near_options=_nodelay(),
        ),
        rtt_ms=100,
        rate_mbit=40,
    ),
    Scenario(
        "peer-buffer-cubic",
        "the reader has SO_RCVBUF of 16 KiB since the handshake, and reads at once",
        _is("peer-buffer"),
        _bulk(_relay(), 1 * _MB, listener_options=_receive_buffer(16384)),
        rtt_ms=40,
        rate_mbit=40,
        quiet=True,
    ),
    Scenario(
        "peer-buffer-bbr",
        "the same with bbr and 32 KiB",
        _is("peer-buffer"),
        _bulk(_relay(), 1 * _MB, listener_options=_receive_buffer(32768)),
        congestion="bbr",
        rtt_ms=40,
        rate_mbit=40,
        quiet=True,
    ),
    Scenario(
        "peer-buffer-set-late",
        "the reader sets its buffer on the connected socket, so it can be made larger",
        _is("peer-buffer"),
        _bulk(
            _relay({"queue_packets": 120}),
            1 * _MB,
            far_options=_receive_buffer(16384),
            cure_at="far",
        ),
        rtt_ms=40,
        rate_mbit=40,
        cure=_WIDEN,
        cured=_is("path-rate"),
    ),
    Scenario(
        "peer-without-scaling",
        "no window scaling was agreed on: 64 KB in each round trip of 100 ms",
        _is("peer-buffer"),
        _bulk(_relay(sysctls={"net.ipv4.tcp_window_scaling": 0}), 1 * _MB),
        rtt_ms=100,
        rate_mbit=40,
        quiet=True,
    ),
    Scenario(
        "slow-reader-cubic",
        "the peer reads 25 KB every 50 ms",
        _is("slow-reader"),
        _slowly_read(25_000, 0.05),
        rtt_ms=40,
        rate_mbit=40,
        quiet=True,
    ),
    Scenario(
        "slow-reader-bbr",
        "the same with bbr",
        _is("slow-reader"),
        _slowly_read(25_000, 0.05),
        congestion="bbr",
        rtt_ms=40,
        rate_mbit=40,
        quiet=True,
    ),
    Scenario(
        "slow-reader-bursty-bbr",
        "the peer reads 200 KB twice a second",
        _is("slow-reader"),
        _slowly_read(200_000, 0.5),
        congestion="bbr",
        rtt_ms=20,
        rate_mbit=40,
        quiet=True,
    ),
    Scenario(
        "slow-reader-tiny",
        "the peer reads 1 KB at a time, 400 times a second",
        _is("slow-reader"),
        _slowly_read(1000, 0.0025),
        rtt_ms=10,
        rate_mbit=40,
        quiet=True,
    ),
    Scenario(
        "slow-reader-bursty",
        "the peer reads 400 KB every 0.8 s",
        _is("slow-reader"),
        _slowly_read(400_000, 0.8),
        rtt_ms=20,
        rate_mbit=40,
        quiet=True,
    ),
    Scenario(
        "slow-reader-loopback",
        "both ends on one host, and the reader takes its time",
        _is("slow-reader"),
        _flow(_loopback, near=_STREAM, far=("read_slowly", 50_000, 0.02), steps=(_window_closed,)),
        quiet=True,
    ),
)

_PATHS: Final = (
    Scenario(
        "loss-cubic",
        "1 % of the packets are lost, which cubic takes for a full path",
        _is("loss"),
        _bulk(_relay({"loss": 0.01, "queue_packets": 120}), 1 * _MB),
        rtt_ms=40,
        rate_mbit=40,
        cure=("congestion=bbr",),
        cured=_is("path-rate-with-loss"),
    ),
    Scenario(
        "loss-half-percent-cubic",
        "0.5 % over IPv6 on a longer path",
        _is("loss"),
        _bulk(_relay({"loss": 0.005}), 1 * _MB, ipv6=True),
        rtt_ms=100,
        rate_mbit=40,
        quiet=True,
    ),
    Scenario(
        "loss-two-percent-cubic",
        "2 % on a short path",
        _is("loss"),
        _bulk(_relay({"loss": 0.02, "queue_packets": 80}), 1 * _MB),
        rtt_ms=10,
        rate_mbit=100,
        cure=("congestion=bbr",),
        cured=_is("path-rate-with-loss"),
        bench_only=True,
    ),
    Scenario(
        "loss-bbr",
        "1 % is lost, but bbr fills the path",
        _is("path-rate-with-loss"),
        _bulk(_relay({"loss": 0.01, "queue_packets": 120}), 4 * _MB),
        congestion="bbr",
        rtt_ms=40,
        rate_mbit=40,
    ),
    Scenario(
        "shallow-queue-cubic",
        "a queue of 14 packets, enough to keep the path full after each loss",
        _is("path-rate-with-loss", "path-rate"),  # about three losses in a thousand packets
        _bulk(_relay({"queue_packets": 14}), 1 * _MB),
        rtt_ms=20,
        rate_mbit=10,
    ),
    Scenario(
        "shallow-queue-bbr",
        "10 packets with bbr, which keeps on sending",
        _is("path-rate-with-loss", "path-rate"),
        _bulk(_relay({"queue_packets": 10}), 1 * _MB),
        congestion="bbr",
        rtt_ms=20,
        rate_mbit=10,
        bench_only=True,
    ),
    Scenario(
        "bufferbloat",
        "a queue of a quarter of a second in front of a slow path, which cubic fills",
        _is("bufferbloat"),
        _bulk(_relay({"queue_packets": 400}), 3 * _MB, settle_bytes=6 * _MB),
        rtt_ms=40,
        rate_mbit=20,
        cure=("congestion=bbr",),
        cured=_is("path-rate"),
    ),
    Scenario(
        "local-queue-cubic",
        "the slow path begins in the sender's own host, which queues segments of 64 KiB (TSO)",
        _is("local-queue"),
        _bulk(_local_queue(300, "gso_max_segs 64"), 2 * _MB),
        rate_mbit=20,
    ),
    Scenario(
        "local-queue-bbr",
        "the same with bbr, which keeps the queue below 10 ms",
        _is("local-queue", "path-rate"),  # the queue is there, and too short to hurt
        _bulk(_local_queue(300, "gso_max_segs 64"), 2 * _MB),
        healthy=True,
        congestion="bbr",
        rate_mbit=20,
        bench_only=True,
    ),
    Scenario(
        "pacing-cap-cubic",
        "SO_MAX_PACING_RATE of an eighth of the path",
        _is("pacing-cap"),
        _bulk(_relay({"queue_packets": 70}), 500_000, near_options=_pacing_cap(5)),
        rtt_ms=20,
        rate_mbit=40,
        cure=("SO_MAX_PACING_RATE=unlimited",),
        cured=_is("path-rate", "path-rate-with-loss"),
    ),
    Scenario(
        "pacing-cap-bbr",
        "the same with bbr",
        _is("pacing-cap"),
        _bulk(_relay(), 500_000, near_options=_pacing_cap(5)),
        congestion="bbr",
        rtt_ms=20,
        rate_mbit=40,
        quiet=True,
    ),
    Scenario(
        "reordering",
        "2 % of the packets come two round trips late: TCP sends again what was not lost",
        _is("reordering"),
        _bulk(_relay({"reorder": 0.02, "reorder_ms": 40, "queue_packets": 50}), 1 * _MB),
        rtt_ms=20,
        rate_mbit=40,
        cure=("congestion=bbr",),
        cured=_is("path-rate", "path-rate-with-loss", "reordering"),
    ),
    Scenario(
        "reordering-harmless",
        "2 % of the packets come 5 ms late, which TCP learns to wait for",
        _is("path-rate"),
        _bulk(_relay({"reorder": 0.02, "reorder_ms": 5, "queue_packets": 70}), 4 * _MB),
        healthy=True,
        rtt_ms=20,
        rate_mbit=40,
    ),
)

_RECEIVERS: Final = (
    Scenario(
        "receiver-healthy",
        "the reader of a bulk transfer that fills the path",
        _is("not-limited-here"),
        _bulk(_relay({"queue_packets": 140}), 4 * _MB, target="far"),
        healthy=True,
        rtt_ms=40,
        rate_mbit=40,
    ),
    Scenario(
        "receiver-of-answers",
        "a client that gets 20 KB for each request",
        _is("not-limited-here"),
        _requests([100], 20_000, near_options=_nodelay()),
        healthy=True,
        rtt_ms=40,
        rate_mbit=40,
        quiet=True,
    ),
    Scenario(
        "receiver-of-a-trickle",
        "the sender has little to send",
        _is("not-limited-here"),
        _flow(
            _relay(),
            near=("trickle", 10_000, 0.02),
            far=_DRAIN,
            steps=(_acked(500_000),),
            target="far",
        ),
        healthy=True,
        rtt_ms=40,
        rate_mbit=40,
        quiet=True,
    ),
    Scenario(
        "receiver-behind-loss",
        "1 % is lost on the way here",
        _is("not-limited-here"),
        _bulk(_relay({"loss": 0.01, "queue_packets": 140}), 2 * _MB, target="far"),
        congestion="bbr",
        rtt_ms=40,
        rate_mbit=40,
        bench_only=True,
    ),
    Scenario(
        "receiver-half-closed",
        "it has shut its own half down (FIN-WAIT-2) and reads on",
        _is("not-limited-here"),
        _bulk(
            _relay({"queue_packets": 70}),
            2 * _MB,
            steps=(_do("far", "conn.shutdown(socket.SHUT_WR)"), _acked(3 * _MB)),
            target="far",
        ),
        healthy=True,
        rtt_ms=40,
        rate_mbit=40,
        bench_only=True,
    ),
    Scenario(
        "local-slow-reader",
        "the reader reads 25 KB every 50 ms",
        _is("local-slow-reader"),
        _slowly_read(25_000, 0.05, target="far"),
        rtt_ms=40,
        rate_mbit=40,
        quiet=True,
    ),
    Scenario(
        "local-slow-reader-tiny-bbr",
        "the reader reads 1 KB at a time, 400 times a second",
        _is("local-slow-reader"),
        _slowly_read(1000, 0.0025, target="far"),
        congestion="bbr",
        rtt_ms=10,
        rate_mbit=40,
        quiet=True,
    ),
    Scenario(
        "local-buffer",
        "the reader has SO_RCVBUF of 16 KiB, and reads at once",
        _is("local-buffer"),
        _bulk(
            _relay({"queue_packets": 140}),
            1 * _MB,
            far_options=_receive_buffer(16384),
            target="far",
        ),
        rtt_ms=40,
        rate_mbit=40,
        cure=_WIDEN,
        cured=_is("not-limited-here"),
    ),
    Scenario(
        "local-buffer-sysctl",
        "tcp_rmem lets the receive buffer grow to 128 KiB, on a path that holds 500 KB",
        _is("local-buffer"),
        _bulk(_relay(sysctls={"net.ipv4.tcp_rmem": "4096 65536 131072"}), 2 * _MB, target="far"),
        rtt_ms=100,
        rate_mbit=40,
        bench_only=True,
    ),
    Scenario(
        "local-buffer-bbr",
        "the same with bbr, set before the handshake",
        _is("local-buffer"),
        _bulk(_relay(), 1 * _MB, listener_options=_receive_buffer(32768), target="far"),
        congestion="bbr",
        rtt_ms=40,
        rate_mbit=40,
        quiet=True,
    ),
)

_STATES: Final = (
    Scenario(
        "idle",
        "nothing to send since a request and its answer",
        _is("idle"),
        _flow(
            _relay(),
            near=("receive", 200),
            far=("answer", 500, 200),
            steps=(_do("near", "conn.sendall(bytes(500))"), _received(200, "near")),
        ),
        healthy=True,
        rtt_ms=10,
        quiet=True,
    ),
    Scenario(
        "idle-after-receiving",
        "it received a megabyte, and nothing since",
        _is("idle"),
        _flow(
            _relay(),
            near=("receive", 1 * _MB),
            far=("answer", 1, 1 * _MB),
            steps=(_do("near", "conn.sendall(b'.')"), _received(1 * _MB, "near")),
        ),
        healthy=True,
        rtt_ms=10,
        rate_mbit=100,
        quiet=True,
    ),
    Scenario(
        "zero-window",
        "the peer is alive and never reads",
        _is("zero-window"),
        _flow(
            _relay(),
            near=_STREAM,
            steps=(_until(lambda info: info.snd_wnd_bytes == 0), _window_closed),
        ),
        rtt_ms=10,
        rate_mbit=40,
        quiet=True,
    ),
    Scenario(
        "dead-peer",
        "the path is cut while nothing is sent, and keepalive gets no answer",
        _is("dead-peer"),
        _flow(
            _relay(),
            near_options=_keepalive(60),
            steps=(_cut, _until(lambda info: (info.probes or 0) >= 2)),
        ),
        rtt_ms=10,
        quiet=True,
    ),
    Scenario(
        "dead-behind-zero-window",
        "the peer did not read, and then the path was cut: window probes get no answer",
        _is("dead-peer"),
        _flow(
            _relay(),
            near=_STREAM,
            steps=(
                _until(lambda info: info.snd_wnd_bytes == 0),
                _window_closed,
                _cut,
                _until(lambda info: (info.probes or 0) >= 2),
            ),
        ),
        rtt_ms=10,
        rate_mbit=40,
        quiet=True,
    ),
    Scenario(
        "dead-unnoticed",
        "the path is cut under an idle connection without keepalive: nothing shows it",
        _is("idle"),
        _flow(_relay(), steps=(_cut,)),
        rtt_ms=10,
        quiet=True,
    ),
    Scenario(
        "dead-path-cubic",
        "the path is cut in the middle of a transfer",
        _is("no-acks"),
        _bulk(_relay(), 1 * _MB, steps=(_cut, _timed_out(2))),
        rtt_ms=40,
        rate_mbit=40,
        quiet=True,
    ),
    Scenario(
        "dead-path-bbr",
        "the same with bbr, and one request in flight",
        _is("no-acks"),
        _flow(
            _relay(),
            near=("ask", (500,), 200),
            far=("answer", 500, 200),
            steps=(_acked(10_000), _cut, _timed_out(2)),
        ),
        congestion="bbr",
        rtt_ms=10,
        rate_mbit=40,
        quiet=True,
    ),
    Scenario(
        "mtu-hole",
        "small requests pass, full packets vanish",
        _is("mtu-black-hole"),
        _flow(
            _relay({"max_bytes": 1000}),
            near=("ask_then_stream", 10, 200),
            far=("answer", 200, 200),
            steps=(_timed_out(2),),
        ),
        rtt_ms=10,
        rate_mbit=40,
        quiet=True,
    ),
    Scenario(
        "mtu-hole-bbr",
        "the same with bbr over IPv6",
        _is("mtu-black-hole"),
        _flow(
            _relay({"max_bytes": 1300}),
            near=("ask_then_stream", 10, 200),
            far=("answer", 200, 200),
            steps=(_timed_out(2),),
            ipv6=True,
        ),
        congestion="bbr",
        rtt_ms=10,
        rate_mbit=40,
        quiet=True,
    ),
    Scenario(
        "mtu-hole-later",
        "full packets passed before, now they vanish; what the peer sends still comes",
        _is("mtu-black-hole", "no-acks"),  # from one end it could also be the path of the ACKs
        _bulk(
            _relay(),
            1 * _MB,
            steps=(
                _do("near", "start(drain)"),
                _do("far", "start(trickle, 100, 0.1)"),
                _change("forward", {"max_bytes": 1000}),
                _timed_out(2),
            ),
        ),
        rtt_ms=10,
        rate_mbit=40,
        quiet=True,
    ),
    Scenario(
        "syn-unanswered",
        "a SYN into a hole",
        _is("handshake-unanswered"),
        _unanswered,
        rtt_ms=10,
        quiet=True,
    ),
    Scenario(
        "close-wait",
        "the peer closed, the program did not look",
        _is("close-wait"),
        _flow(
            _relay(),
            steps=(
                _do("far", "conn.sendall(b'bye'); conn.close()"),
                _until(lambda info: info.state == "close-wait"),
                # A program may take a moment to close; nobody takes five seconds.
                _until(lambda info: (info.last_data_recv_ms or 0) > 5000),
            ),
        ),
        rtt_ms=10,
        quiet=True,
    ),
    Scenario(
        "listener",
        "a listener with nothing in its queue",
        _is("listening"),
        _queue_of(backlog=16, clients=0),
        healthy=True,
        quiet=True,
    ),
    Scenario(
        "listener-overflow",
        "a listener whose program does not accept, with more clients than its backlog",
        _is("listener-overflow"),
        _queue_of(backlog=2, clients=8),
        quiet=True,
    ),
    Scenario(
        "listener-three-quarters",
        "the accept queue is nearly full, and nothing is dropped yet",
        _is("listener-filling"),
        _queue_of(backlog=16, clients=13),
        quiet=True,
    ),
)

SCENARIOS: Final = (
    *_HEALTHY_PATHS,
    *_APPLICATIONS,
    *_BUFFERS,
    *_PATHS,
    *_RECEIVERS,
    *_STATES,
)
