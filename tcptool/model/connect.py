"""What `probe connect` was asked to measure, what it read, and what follows from that.

A connection is made when both ends have let go of it again.  TIME_WAIT is called ``tw``, as the
kernel's own counters do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tcptool.model.probe import Machine, Settings
from tcptool.model.report import Host, Missing, Warning

DONE: Final = "done"
INTERRUPTED: Final = "interrupted"
NO_PORTS_LEFT: Final = "no-ports-left"
NO_ANSWER: Final = "no-answer"
FAILURES: Final = "failures"
"""How a run ended: ``ended_by``."""
ENDINGS: Final = (DONE, INTERRUPTED, NO_PORTS_LEFT, NO_ANSWER, FAILURES)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectPlan:
    """What to measure.  ``connections`` is without the warm-up; None with a duration.

    ``path`` is ``ipv4``, ``ipv6`` or ``unix``; ``to`` a HOST:PORT that is not ours.  ``exchange``
    is ``none`` or ``request`` (one byte there and one back, as netperf's TCP_CRR), ``closer``
    who closes first: ``client`` (this end), ``server`` or, of this end, ``reset``.  ``backlog``
    is that of our own listener.  ``timeout_s`` is the longest time in which nothing happens.
    ``processors`` are those to keep the two ends on: None to leave that to tcptool, an empty
    tuple for none.
    """

    connections: int | None
    duration_s: float | None
    blocks: int
    concurrency: int
    exchange: str
    closer: str
    fast_open: bool
    backlog: int | None
    path: str
    to: str | None
    timeout_s: float
    processors: tuple[int, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectReading:
    """What one block gave: times of single connections, and what the block took as a whole.

    A connection that failed is in ``failures``, which counts by errno, and nowhere else.
    ``ended_by`` as in the report.
    """

    made: int
    elapsed_s: float
    near_cpu_s: float
    far_cpu_s: float | None
    connect_us: Sequence[float]
    exchange_us: Sequence[float]
    answer_us: Sequence[float]
    close_us: Sequence[float]
    failures: Mapping[int, int]
    fast_open_used: int
    ended_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectBlock:
    """One reading: connections made, from the first socket to the last close.

    Nothing is in flight when it begins.  CPU time is that of the process; None for an end that
    is not ours.  ``connect_p50_us`` is None for too few connections.
    """

    made: int
    elapsed_s: float
    near_cpu_s: float
    far_cpu_s: float | None
    connect_p50_us: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentiles:
    """Times of single connections; None for a percentile that takes more of them."""

    count: int
    p50_us: float | None
    p90_us: float | None
    p99_us: float | None
    p99_9_us: float | None
    max_us: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectFailures:
    """Connections that failed with this error, as ``ECONNREFUSED``."""

    error: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FastOpenUse:
    """In how many of the connections that asked for it the data in the SYN was accepted.

    ``enabled`` is net.ipv4.tcp_fastopen, whose bit 1 is for clients and bit 2 for servers, None
    if it cannot be read; ``refused`` is what the kernel noted of the last one where it was not
    used, a word of tcpi_fastopen_client_fail.
    """

    used: int
    asked: int
    enabled: int | None
    refused: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PortUse:
    """Local ports: net.ipv4.ip_local_port_range, and what became of it over the whole run.

    ``reserved`` is how many of the range are in ip_local_reserved_ports, ``used`` how many
    different ones the run had.  ``taken`` are ports of the range from which a connection to the
    same address and port exists at the end, TIME_WAIT included; ``left`` is at most what
    remains, because a port that a program has bound is not there either.  ``tw_reuse`` is
    net.ipv4.tcp_tw_reuse: 0 never, 1 always, 2 on loopback only.
    """

    first: int
    last: int
    reserved: int
    used: int
    taken: int | None
    left: int | None
    tw_reuse: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterGrowth:
    """How far the kernel's counters grew over the whole run, of all in the network namespace.

    In the order of the fields TcpActiveOpens, TcpPassiveOpens, TcpAttemptFails, TcpRetransSegs,
    TcpExtTCPSynRetrans, TcpExtTCPTimeouts, TcpExtListenOverflows, TcpExtListenDrops and
    TcpExtTCPTimeWaitOverflow of nstat(8).  None for one that this kernel does not have.
    """

    active_opens: int | None
    passive_opens: int | None
    attempt_fails: int | None
    retrans_segs: int | None
    syn_retrans: int | None
    rto_timeouts: int | None
    listen_overflows: int | None
    listen_drops: int | None
    tw_overflows: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectReport:
    """The result of `probe connect`.

    ``ended_by`` is ``done``, ``interrupted``, ``no-ports-left``, ``no-answer`` (nothing happened
    for the timeout) or ``failures`` (one after the other).  The rate is the median over the
    blocks; ``rate_low_per_s`` and ``rate_high_per_s`` are its exact 95 % interval, None for fewer
    than six; ``noise_percent`` is the robust standard deviation of a block.  CPU times are
    medians over the blocks of the time per connection.

    ``connect`` is from connect() until the connection is there, ``exchange`` from the request
    to the reply, ``answer`` from connect() to the reply, ``close`` from the close of this end,
    where it closes first, to that of the other; None where it was not measured.  ``tw_before``
    and ``tw_after`` count connections of the network namespace in TIME_WAIT.
    """

    plan: ConnectPlan
    machine: Machine
    settings: Settings
    complete: bool
    ended_by: str
    made: int
    failed: tuple[ConnectFailures, ...]
    rate_per_s: float | None
    rate_low_per_s: float | None
    rate_high_per_s: float | None
    noise_percent: float | None
    near_cpu_us: float | None
    far_cpu_us: float | None
    connect: Percentiles | None
    exchange: Percentiles | None
    answer: Percentiles | None
    close: Percentiles | None
    fast_open: FastOpenUse | None
    tw_before: int | None
    tw_after: int | None
    ports: PortUse | None
    counters: CounterGrowth | None
    blocks: tuple[ConnectBlock, ...]
    host: Host = field(metadata={"internal": True})
    missing: list[Missing] = field(metadata={"internal": True})
    warnings: list[Warning] = field(metadata={"internal": True})
