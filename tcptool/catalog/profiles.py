"""Named sets of option values, each value with its reason and its source.

`profiles` shows them; `apply` sets them and `verify` checks them.  Values are text, as a person
would type it after ``NAME=``: reading it is for ``sansio``.  A profile of a user becomes the
same record (``sansio/profile_file.py``).  Texts are ASCII, so that every terminal can show them.

This module holds facts.  It must not read files, and it must not know a socket.

Sources are named at each value.  "Measured" means on Linux 6.18 (HZ=250), over loopback or a
link emulator between two network namespaces.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


class Stage(enum.StrEnum):
    """When a value is to be set so that it does all it can."""

    ANY = "any"
    """also on a connection that is in use"""
    BEFORE_CONNECT = "before-connect"
    """on a fresh socket, before bind(), connect() or listen(); later it does less, or nothing"""
    LISTENER = "listener"
    """on a listening socket only"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileValue:
    """One option and the text that is to be set; ``reason`` is empty if a user gave none."""

    option: str
    value: str
    when: Stage = Stage.ANY
    reason: str
    source: str


@dataclass(frozen=True, slots=True)
class Advice:
    """What else to do or to leave alone: ``what`` is an option, a sysctl or a habit."""

    what: str
    text: str
    source: str


@dataclass(frozen=True, slots=True)
class Flag:
    """A problem of a profile.  ``id`` is stable; ``options`` are those that cause it."""

    id: str
    options: tuple[str, ...]
    text: str
    evidence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A set of values under a name.

    ``purpose`` says for whom it is.  ``leave_alone`` names options that are not set on purpose,
    ``host_advice`` sysctls to consider, ``program_advice`` what only the program itself can do.
    """

    name: str
    summary: str
    purpose: str
    values: tuple[ProfileValue, ...]
    leave_alone: tuple[Advice, ...] = ()
    host_advice: tuple[Advice, ...] = ()
    program_advice: tuple[Advice, ...] = ()
    flags: tuple[Flag, ...] = ()


_GUIDE: Final = "guide 11.4.3, optimize_tcp_socket()"
_CLOUDFLARE_DIE: Final = "Cloudflare, When TCP sockets refuse to die (2019)"
_CLOUDFLARE_HTTP2: Final = (
    "Cloudflare, Optimizing HTTP/2 prioritization with BBR and tcp_notsent_lowat (2018)"
)
_NAT_TIMEOUTS: Final = (
    "AWS Network Load Balancer (350 s) and Azure Load Balancer (4 min): documented idle timeouts; "
    "RFC 5382 asks NATs for 2 h 4 min"
)

_NODELAY: Final = ProfileValue(
    option="TCP_NODELAY",
    value="on",
    reason="A small message must not wait for the acknowledgement of the last one, which the "
    "peer delays by 40 ms or more (46 ms became 2.5 ms).",
    source="RFC 896; tcp(7); measured",
)
_KEEPALIVE: Final = ProfileValue(
    option="SO_KEEPALIVE",
    value="on",
    reason="Without it a peer that vanished from an idle connection is never noticed.",
    source="RFC 9293, 3.8.4; socket(7)",
)
_LOWAT: Final = ProfileValue(
    option="TCP_NOTSENT_LOWAT",
    value="128K",
    reason="Keeps what is not sent yet in the program, where something urgent can still overtake "
    "it: 365 ms from write to read became 150 ms on a full 10 Mbit/s link, at the same "
    "rate. 16K gives 80 ms, but a slow writer then lost almost half of its rate.",
    source=f"{_CLOUDFLARE_HTTP2}; measured",
)
_BBR: Final = ProfileValue(
    option="TCP_CONGESTION",
    value="bbr",
    reason="Where more than about 0.1 % is lost or the path is policed, cubic takes every loss "
    "for congestion: 3 Mbit/s became 38 at 1 % loss. On a path without loss cubic is as good.",
    source="Oracle bpftune, which changes over at 1 % retransmissions; measured",
)
_BUFFERS_ALONE: Final = (
    Advice(
        "SO_SNDBUF",
        "Setting it turns automatic tuning off, and its size is cut to net.core.wmem_max without "
        "an error.",
        "socket(7); Red Hat performance tuning guides: keep the defaults until an issue shows",
    ),
    Advice(
        "SO_RCVBUF",
        "Likewise, with net.core.rmem_max; raised on a live connection it does nothing by itself, "
        "and set before connect() it limits the window for good.",
        "socket(7); measured",
    ),
)
_CORK_ALONE: Final = Advice(
    "TCP_CORK",
    "It wins over TCP_NODELAY and holds a partial segment for 200 ms or more. It belongs into the "
    "program, around a header and the first bytes of its body, and is cleared right after them.",
    "kernel commit 6d67e9beb68b; nginx, tcp_nopush; measured",
)
_IN_FLIGHT: Final = "a peer that dies with data in flight is noticed after 15 minutes (924 s)"

BUILT_IN: Final[tuple[Profile, ...]] = (
    Profile(
        name="guide",
        summary="The list of the guide, exactly as it stands, with its six problems",
        purpose="For readers of the guide, and to show what its list does. For a service take one "
        "of the other profiles.",
        values=(
            ProfileValue(
                option="TCP_NODELAY",
                value="on",
                reason="The guide: turn Nagle's algorithm off.",
                source=_GUIDE,
            ),
            ProfileValue(
                option="SO_REUSEADDR",
                value="on",
                when=Stage.BEFORE_CONNECT,
                reason="The guide: allow the address to be used again.",
                source=_GUIDE,
            ),
            ProfileValue(
                option="SO_REUSEPORT",
                value="on",
                when=Stage.BEFORE_CONNECT,
                reason="The guide: allow several processes on one port.",
                source=_GUIDE,
            ),
            ProfileValue(
                option="SO_SNDBUF",
                value="1M",
                when=Stage.BEFORE_CONNECT,
                reason="The guide: a send buffer of 1 MiB.",
                source=_GUIDE,
            ),
            ProfileValue(
                option="SO_RCVBUF",
                value="1M",
                when=Stage.BEFORE_CONNECT,
                reason="The guide: a receive buffer of 1 MiB.",
                source=_GUIDE,
            ),
            ProfileValue(
                option="TCP_CORK",
                value="on",
                reason="The guide: collect small packets and send them together.",
                source=_GUIDE,
            ),
            ProfileValue(
                option="TCP_QUICKACK",
                value="on",
                reason="The guide: acknowledge quickly.",
                source=_GUIDE,
            ),
            ProfileValue(
                option="SO_KEEPALIVE",
                value="on",
                reason="The guide: check that the connection is still there.",
                source=_GUIDE,
            ),
            ProfileValue(
                option="TCP_KEEPIDLE",
                value="60s",
                reason="The guide: the first probe after 60 s.",
                source=_GUIDE,
            ),
            ProfileValue(
                option="TCP_KEEPINTVL",
                value="5s",
                reason="The guide: a probe every 5 s.",
                source=_GUIDE,
            ),
            ProfileValue(
                option="TCP_KEEPCNT",
                value="3",
                reason="The guide: three probes.",
                source=_GUIDE,
            ),
        ),
        flags=(
            Flag(
                "cork-beats-nodelay",
                ("TCP_CORK", "TCP_NODELAY"),
                "TCP_CORK wins over TCP_NODELAY: whatever does not fill a segment waits for 200 ms "
                "or more. Leave TCP_CORK out.",
                "A 3-byte request took 200.6 ms over loopback; kernel commit 6d67e9beb68b",
            ),
            Flag(
                "buffers-pinned",
                ("SO_SNDBUF", "SO_RCVBUF"),
                "Buffers set by hand are no longer tuned, are cut to net.core.wmem_max and "
                "rmem_max without an error, and set before connect() they fix the window scale "
                "too: the rate cannot exceed the window divided by the round-trip time.",
                "1 MiB reads 2097152, or 425984 where the limit is 212992, and gives window scale "
                "5; at 80 Mbit/s and 80 ms the receive window held the sender 92 % of the time",
            ),
            Flag(
                "quickack-fades",
                ("TCP_QUICKACK",),
                "TCP_QUICKACK is no setting but a nudge: it is gone after the program's next "
                "answer. TCP_DELACK_MAX_US lasts.",
                "It read 1 once, then 0 after the first reply; tcp(7)",
            ),
            Flag(
                "reuse-too-late",
                ("SO_REUSEADDR", "SO_REUSEPORT"),
                "On a socket that is bound or connected neither has an effect. SO_REUSEPORT can "
                "hide that a server was started twice, and makes the slowest answers slower under "
                "uneven load.",
                "Set on a bound listener, a second bind() still failed with EADDRINUSE; "
                "Cloudflare, Why does one NGINX worker take all the load? (2017)",
            ),
            Flag(
                "keepalive-is-for-idle",
                ("SO_KEEPALIVE", "TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT"),
                "Keepalive finds a dead peer only while the connection is idle, here after 60 + "
                f"3 x 5 = 75 s; {_IN_FLIGHT}. Add TCP_USER_TIMEOUT=75s.",
                f"{_CLOUDFLARE_DIE}; Documentation/networking/ip-sysctl.rst, tcp_retries2",
            ),
            Flag(
                "never-read-back",
                (),
                "The guide's program prints a tick when setsockopt() returns 0 and never reads "
                "back what the kernel made of it. tcptool does.",
                "With net.core.rmem_max 212992 it reports 1048576 bytes where the kernel has "
                "425984",
            ),
        ),
    ),
    Profile(
        name="rpc",
        summary="Requests and answers that must not wait",
        purpose="For services that send small requests and answers: RPC, HTTP APIs, queues.",
        values=(
            _NODELAY,
            _KEEPALIVE,
            ProfileValue(
                option="TCP_KEEPIDLE",
                value="30s",
                reason="An idle connection is checked before the next request needs it, and "
                "before any known NAT or load balancer forgets it.",
                source=f"tcp(7); {_NAT_TIMEOUTS}",
            ),
            ProfileValue(
                option="TCP_KEEPINTVL",
                value="10s",
                reason="A lost probe is repeated soon.",
                source="tcp(7)",
            ),
            ProfileValue(
                option="TCP_KEEPCNT",
                value="3",
                reason="Three probes until TCP_USER_TIMEOUT is reached. By itself the number "
                "counts only where that is 0.",
                source="tcp(7); net/ipv4/tcp_timer.c, tcp_keepalive_timer()",
            ),
            ProfileValue(
                option="TCP_USER_TIMEOUT",
                value="60s",
                reason=f"Without it {_IN_FLIGHT}. Not more than 30 + 3 x 10 s, so that both "
                "kinds of death take the same time. Take the deadline of your requests if it is "
                "shorter.",
                source=f"RFC 5482; {_CLOUDFLARE_DIE}",
            ),
            _LOWAT,
        ),
        leave_alone=(
            *_BUFFERS_ALONE,
            _CORK_ALONE,
            Advice(
                "TCP_QUICKACK",
                "It fades at the next answer. If the peer uses Nagle's algorithm, the program "
                "itself may set it after each recv().",
                "tcp(7); measured",
            ),
            Advice(
                "SO_BUSY_POLL",
                "It saves microseconds and burns a CPU.",
                "tuned, profile network-latency (50 us)",
            ),
        ),
        host_advice=(
            Advice(
                "net.ipv4.tcp_slow_start_after_idle = 0",
                "If answers exceed 10 segments and the round trip 10 ms: after a pause the "
                "connection starts slowly again (384 ms became 72 ms).",
                "Documentation/networking/ip-sysctl.rst; measured",
            ),
        ),
        program_advice=(
            Advice(
                "one write for each message",
                "writev() of header and body costs one segment; two writes are what makes Nagle's "
                "algorithm wait at all.",
                "J. Nagle, Hacker News 9048947; measured",
            ),
        ),
    ),
    Profile(
        name="bulk-wan",
        summary="Large transfers over long, fast paths",
        purpose="For backups, replication and downloads over a WAN, on the sending side.",
        values=(
            _BBR,
            ProfileValue(
                option="SO_BUF_LOCK",
                value="none",
                reason="Gives back the automatic tuning that a program lost by setting its "
                "buffers: 6 Mbit/s became 81 on the same connection.",
                source="kernel commit 04190bf8944d (Linux 5.15); measured",
            ),
        ),
        leave_alone=(
            *_BUFFERS_ALONE,
            Advice(
                "SO_MAX_PACING_RATE",
                "Only where a fast host feeds a slower one: 0.9 of the receiver's network card.",
                "ESnet fasterdata",
            ),
            Advice("TCP_NODELAY", "It makes no difference to full segments.", "RFC 896"),
        ),
        host_advice=(
            Advice(
                "net.ipv4.tcp_rmem, third number",
                "At least 4 x the rate in bytes x the round-trip time, on the receiving side: half "
                "of the buffer becomes window, and tuning wants twice the product.",
                "Cloudflare, Optimizing TCP for high WAN throughput (2022); measured",
            ),
            Advice(
                "net.ipv4.tcp_wmem, third number",
                "At least 3.2 x that product with cubic, 4.8 x with bbr, on the sending side.",
                "net/ipv4/tcp_input.c, tcp_sndbuf_expand(); measured",
            ),
            Advice(
                "net.core.default_qdisc = fq",
                "It spaces packets more cheaply than TCP itself. It counts for new interfaces "
                "only: for running ones use tc qdisc replace.",
                "ESnet fasterdata",
            ),
            Advice(
                "net.ipv4.tcp_mtu_probing = 1",
                "Where tunnels or jumbo frames may swallow large packets.",
                "ESnet fasterdata; RFC 4821",
            ),
        ),
        program_advice=(
            Advice(
                "large writes",
                "256 KiB to 1 MiB at once, or sendfile().",
                "measured",
            ),
        ),
    ),
    Profile(
        name="stream",
        summary="Streams in which something urgent may have to overtake, as HTTP/2",
        purpose="For servers that send several streams over one connection by priority.",
        values=(_NODELAY, _LOWAT, _BBR),
        leave_alone=(*_BUFFERS_ALONE, _CORK_ALONE),
        host_advice=(
            Advice(
                "net.core.default_qdisc = fq",
                "It keeps the streams of different connections from queueing behind each other.",
                _CLOUDFLARE_HTTP2,
            ),
        ),
        program_advice=(
            Advice(
                "measure latency and throughput",
                "A lower TCP_NOTSENT_LOWAT trades one for the other.",
                "measured",
            ),
        ),
    ),
    Profile(
        name="push",
        summary="Very many connections that are idle most of the time",
        purpose="For servers that keep 100 000 clients connected to send to a few of them.",
        values=(
            _KEEPALIVE,
            ProfileValue(
                option="TCP_KEEPIDLE",
                value="180s",
                reason="Below the shortest idle timeout that is documented, 240 s, with a margin; "
                "more often only wakes radios.",
                source=_NAT_TIMEOUTS,
            ),
            ProfileValue(
                option="TCP_KEEPINTVL",
                value="20s",
                reason="Long enough for a radio that sleeps, short enough to repeat a lost probe "
                "within the 240 s.",
                source="tcp(7)",
            ),
            ProfileValue(
                option="TCP_KEEPCNT",
                value="3",
                reason="One lost probe must not cost a client. By itself the number counts only "
                "where TCP_USER_TIMEOUT is 0.",
                source="tcp(7); net/ipv4/tcp_timer.c, tcp_keepalive_timer()",
            ),
            ProfileValue(
                option="TCP_USER_TIMEOUT",
                value="235s",
                reason="A message to a client that is gone is given up, and its memory freed, "
                "after 4 minutes instead of 15. Just below 180 + 3 x 20 s; below 200 s the "
                "first lost probe would end an idle connection.",
                source=f"RFC 5482; {_CLOUDFLARE_DIE}; measured",
            ),
        ),
        leave_alone=_BUFFERS_ALONE,
        host_advice=(
            Advice(
                "net.ipv4.tcp_rmem and tcp_wmem, second number",
                "Do not raise it: every connection starts with that much.",
                "Documentation/networking/ip-sysctl.rst",
            ),
            Advice(
                "fs.file-max, LimitNOFILE=",
                "One descriptor a client; without any left, accept() spins.",
                "systemd.exec(5)",
            ),
            Advice(
                "net.netfilter.nf_conntrack_max",
                "One entry a client, if the connections are tracked.",
                "Documentation/networking/nf_conntrack-sysctl.rst",
            ),
            Advice(
                "net.ipv4.tcp_max_orphans",
                "It limits what is left of connections that the server closed.",
                "Documentation/networking/ip-sysctl.rst",
            ),
        ),
        program_advice=(
            Advice(
                "spread the idle times",
                "A TCP_KEEPIDLE of its own for each connection, 150 to 180 s, so that the probes "
                "of clients that came together do not leave together.",
                "AWS, Timeouts, retries and backoff with jitter",
            ),
            Advice(
                "small buffers",
                "A few KiB of the program's own memory for each client.",
                "arithmetic: 64 KiB x 100 000 clients = 6 GiB",
            ),
        ),
    ),
    Profile(
        name="db-client",
        summary="Pooled connections to a database",
        purpose="For the client side: PostgreSQL, MySQL, Redis behind a connection pool.",
        values=(
            _NODELAY,
            _KEEPALIVE,
            ProfileValue(
                option="TCP_KEEPIDLE",
                value="60s",
                reason="An idle connection of the pool is checked before a NAT or a load balancer "
                "forgets it.",
                source=f"tcp(7); {_NAT_TIMEOUTS}",
            ),
            ProfileValue(
                option="TCP_KEEPINTVL",
                value="10s",
                reason="A lost probe is repeated soon.",
                source="tcp(7)",
            ),
            ProfileValue(
                option="TCP_KEEPCNT",
                value="3",
                reason="Counts only where TCP_USER_TIMEOUT is 0: then a dead server is noticed "
                "after 60 + 3 x 10 = 90 s.",
                source="tcp(7); net/ipv4/tcp_timer.c, tcp_keepalive_timer()",
            ),
            ProfileValue(
                option="TCP_USER_TIMEOUT",
                value="60s",
                reason="A query to a server that died fails after a minute, so that the pool can "
                f"go to another; without it {_IN_FLIGHT}. 30 to 60 s are usual.",
                source=f"RFC 5482; PostgreSQL libpq, tcp_user_timeout; {_CLOUDFLARE_DIE}",
            ),
        ),
        leave_alone=_BUFFERS_ALONE,
        host_advice=(
            Advice(
                "net.core.somaxconn",
                "On the database's host, at least its backlog: Redis asks for 511.",
                "Redis, redis.conf, tcp-backlog",
            ),
        ),
        program_advice=(
            Advice(
                "look for the end before each use",
                "recv(MSG_PEEK | MSG_DONTWAIT) that returns 0, or POLLRDHUP: SO_ERROR does not "
                "show that the server has closed.",
                "measured",
            ),
            Advice(
                "close idle connections first",
                "The pool's idle limit is to be shorter than the server's (Redis: timeout) and "
                "than that of every NAT between.",
                _NAT_TIMEOUTS,
            ),
        ),
        flags=(
            Flag(
                "one-probe",
                ("TCP_USER_TIMEOUT", "TCP_KEEPIDLE", "TCP_KEEPINTVL"),
                "TCP_USER_TIMEOUT also ends idle connections: here the first probe that is not "
                "answered does, after 60 + 10 s. In a data centre that costs a reconnection at "
                "worst; over a lossy path take TCP_USER_TIMEOUT=85s.",
                "KEEPIDLE 3, KEEPINTVL 1, KEEPCNT 5 ended after 8 s, with a user timeout of 1 s "
                "after 4 s",
            ),
        ),
    ),
    Profile(
        name="proxy",
        summary="Proxies and load balancers, towards clients and servers",
        purpose="For nginx, HAProxy, Envoy and the like: the connections of both sides, and the "
        "listener.",
        values=(
            _NODELAY,
            ProfileValue(
                option="backlog",
                value="4096",
                when=Stage.LISTENER,
                reason="A burst of new connections waits instead of being dropped; the default of "
                "net.core.somaxconn, which cuts longer ones.",
                source="listen(2)",
            ),
        ),
        leave_alone=(
            *_BUFFERS_ALONE,
            _CORK_ALONE,
            Advice(
                "SO_REUSEPORT",
                "It spreads connections over workers by hash, not by load: the slowest answers "
                "get slower. It must be set before bind().",
                "Cloudflare, Why does one NGINX worker take all the load? (2017)",
            ),
            Advice(
                "TCP_DEFER_ACCEPT",
                "Only where the client speaks first, as in HTTP.",
                "tcp(7)",
            ),
        ),
        host_advice=(
            Advice(
                "net.core.somaxconn = 4096 or more",
                "The smaller of this and the backlog counts; both are read at listen().",
                "listen(2)",
            ),
            Advice(
                "net.ipv4.tcp_tw_reuse = 1",
                "For the side towards the servers, where the proxy is the client.",
                "Documentation/networking/ip-sysctl.rst",
            ),
            Advice(
                "net.ipv4.ip_local_port_range",
                "28232 ports and 60 s of TIME-WAIT are 470 new connections a second to each "
                "destination.",
                "Documentation/networking/ip-sysctl.rst",
            ),
        ),
        program_advice=(
            Advice(
                "keep connections to the servers",
                "A pool saves the handshake, and the ports.",
                "nginx, keepalive; Envoy, connection pooling",
            ),
            Advice(
                "limit what is buffered for a client",
                "32 KiB a connection; HTTP/2 windows of 64 KiB a stream and 1 MiB a connection.",
                "Envoy, Configuring Envoy as an edge proxy",
            ),
        ),
    ),
    Profile(
        name="mobile",
        summary="Connections through NATs that forget them",
        purpose="For clients behind mobile networks, home routers and cloud load balancers.",
        values=(
            _KEEPALIVE,
            ProfileValue(
                option="TCP_KEEPIDLE",
                value="180s",
                reason="0.8 of the shortest idle timeout, 240 s, less a margin. Behind an AWS "
                "Network Load Balancer alone 270 s will do.",
                source=_NAT_TIMEOUTS,
            ),
            ProfileValue(
                option="TCP_KEEPINTVL",
                value="15s",
                reason="Four probes fit into the time that the NAT still remembers.",
                source=_NAT_TIMEOUTS,
            ),
            ProfileValue(
                option="TCP_KEEPCNT",
                value="4",
                reason="Radio links lose packets in bursts. By itself the number counts only where "
                "TCP_USER_TIMEOUT is 0.",
                source="tcp(7); net/ipv4/tcp_timer.c, tcp_keepalive_timer()",
            ),
            ProfileValue(
                option="TCP_USER_TIMEOUT",
                value="235s",
                reason="Just below 180 + 4 x 15 s, so that all four probes count; it overrides "
                "TCP_KEEPCNT, and ends connections with data in flight as well.",
                source=f"RFC 5482; {_CLOUDFLARE_DIE}; measured",
            ),
        ),
        leave_alone=_BUFFERS_ALONE,
        program_advice=(
            Advice(
                "pings of the protocol",
                "HTTP/2 pings cross proxies, which keepalive does not. gRPC servers answer more "
                "than one in 5 minutes without data with GOAWAY, too_many_pings, unless they "
                "allow it.",
                "gRPC, keepalive guide",
            ),
        ),
    ),
)

BY_NAME: Final[Mapping[str, Profile]] = {profile.name: profile for profile in BUILT_IN}
