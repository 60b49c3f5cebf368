"""What is often believed about TCP on Linux, and what holds instead.

`doctor` answers one of these where a setting shows that somebody may have believed it, or where
a finding makes people reach for it.

Sources are named at each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Myth:
    """A belief and its answer.  ``id`` is stable."""

    id: str
    claim: str
    answer: str
    source: str


_ALL: Final = (
    Myth(
        id="tw-recycle",
        claim="tcp_tw_recycle saves ports",
        answer="it refused clients behind a shared address, and is gone since Linux 4.12",
        source="commit 4396e46187ca; Bernat, Coping with the TCP TIME-WAIT state",
    ),
    Myth(
        id="fin-timeout",
        claim="tcp_fin_timeout shortens TIME_WAIT",
        answer="it is for FIN_WAIT2 without an owner; TIME_WAIT is 60 s, fixed in the kernel",
        source="include/net/tcp.h, TCP_TIMEWAIT_LEN",
    ),
    Myth(
        id="sack-and-timestamps",
        claim="switching off SACK or timestamps makes TCP faster",
        answer="it takes away loss recovery, round-trip times and the protection against old "
        "segments, and saves 12 bytes a segment",
        source="RFC 7323; RFC 2018",
    ),
    Myth(
        id="tcp-mem-in-bytes",
        claim="tcp_mem is in bytes",
        answer="it is in pages, mostly of 4096 bytes; set as bytes it is no limit at all",
        source="tcp(7)",
    ),
    Myth(
        id="no-effect",
        claim="tcp_low_latency and tcp_fack make TCP faster",
        answer="they have no effect any more (since Linux 4.14 and 4.15)",
        source="ip-sysctl.rst",
    ),
    Myth(
        id="bigger-is-better",
        claim="bigger tcp_rmem and tcp_wmem are better",
        answer="beyond what the path holds they only add memory, queueing delay and the time to "
        "squeeze a full buffer together",
        source="Cloudflare, The story of one latency spike (2015)",
    ),
    Myth(
        id="syn-backlog",
        claim="tcp_max_syn_backlog cures an accept queue that overflows",
        answer="that is the queue of handshakes; the accept queue is as long as listen() asked, "
        "cut to net.core.somaxconn",
        source="listen(2)",
    ),
    Myth(
        id="abort-on-overflow",
        claim="tcp_abort_on_overflow cures an accept queue that overflows",
        answer="it turns a delay into an error at the client",
        source="ip-sysctl.rst",
    ),
    Myth(
        id="somaxconn-128",
        claim="SOMAXCONN is 128",
        answer="the kernel's limit is 4096 since Linux 5.4; 128 in a listen() call is a choice",
        source="ip-sysctl.rst",
    ),
    Myth(
        id="default-qdisc",
        claim="net.core.default_qdisc changes the running devices",
        answer="it is for devices that are made later; `tc qdisc replace` changes one that exists",
        source="Documentation/admin-guide/sysctl/net.rst",
    ),
    Myth(
        id="bbr-needs-fq",
        claim="BBR needs the fq queueing discipline",
        answer="since Linux 4.13 TCP paces by itself; fq does it for less CPU",
        source="commit 218af599fa63",
    ),
    Myth(
        id="tw-reuse",
        claim="tcp_tw_reuse=1 is a free improvement",
        answer="it matters only to a client that runs out of ports, and then reusing connections "
        "helps more",
        source="Bernat, Coping with the TCP TIME-WAIT state",
    ),
    Myth(
        id="keepalive",
        claim="keepalive notices a peer that vanishes during a transfer",
        answer="it probes idle connections only; TCP_USER_TIMEOUT is for unacknowledged data",
        source="Cloudflare, When TCP sockets refuse to die (2019)",
    ),
)

MYTHS: Final = {one.id: one for one in _ALL}
"""Every myth by its id."""
