"""What `probe pool` was asked to measure, what it read, and what follows from that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tcptool.model.comparison import Comparison
from tcptool.model.connect import Percentiles, PortUse
from tcptool.model.probe import Machine, Settings
from tcptool.model.report import Host, Missing, Warning

WAIT: Final = "wait"
REFUSE: Final = "refuse"
"""What a request does when all connections are in use."""

FRESH: Final = "fresh"
"""The arm that opens a connection for each request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPlan:
    """What to measure.  ``requests`` are those of each arm; None with a duration.

    ``target`` is a URL that is not ours, None for a server of our own, which answers with
    ``size_bytes`` and closes connections that rest for ``server_closes_after_s``.  ``arms`` are
    health checks and ``fresh``.  ``rest_s`` is a pause in the middle of each block, in which all
    connections are idle.  ``requests_per_s`` is a schedule, None for a closed loop.  ``limit``
    is how many connections the pool may have, and ``when_full`` what a request does when all of
    them are in use: ``wait`` for one, or be refused at once (``refuse``).
    """

    target: str | None
    path: str
    requests: int | None
    duration_s: float | None
    blocks: int
    concurrency: int
    size_bytes: int | None
    rest_s: float
    arms: tuple[str, ...]
    requests_per_s: int | None
    server_closes_after_s: float | None
    limit: int
    when_full: str
    timeout_s: float
    seed: int
    processors: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class PoolMoment:
    """How many connections were lent and idle at a moment of a block."""

    elapsed_s: float
    in_use: int
    idle: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolReading:
    """What one block gave: times of single requests, and what the pool counted.

    ``fresh_us`` are requests on a connection made for them, that included; ``reused_us`` those on
    one that was there.  ``connect_us`` are the connections alone.  A request that failed is in
    ``failures`` only, by what went wrong: ``stale`` is one that was lost on a reused connection
    that turned out to be dead.
    """

    elapsed_s: float
    near_cpu_s: float
    fresh_us: Sequence[float]
    reused_us: Sequence[float]
    connect_us: Sequence[float]
    failures: Mapping[str, int]
    created: int
    invalid_found: int
    stale_handed_out: int
    waits: int
    late: int
    ports: frozenset[int]
    timeline: tuple[PoolMoment, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolBlock:
    """One observation: requests that were answered, with a pool of their own.

    ``elapsed_s`` is without the rest.
    """

    requests: int
    elapsed_s: float
    near_cpu_s: float
    p50_us: float | None
    stale_handed_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolFailures:
    """Requests that failed so: ``stale``, ``refused``, ``timed-out``, ``reset`` and the like."""

    kind: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolArm:
    """What one way of getting a connection did, over its blocks.

    The rate is the median over the blocks, with its exact 95 % interval (None for fewer than
    six).  ``reuse_percent`` is the share of the answered requests that needed no new connection.
    ``invalid_found`` connections were found dead by the check before they were lent;
    ``stale_handed_out`` ones were lent though they were dead.  ``outcome`` compares the rate with
    that of ``base``, the first arm.
    """

    name: str
    requests: int
    failed: tuple[PoolFailures, ...]
    rate_per_s: float | None
    rate_low_per_s: float | None
    rate_high_per_s: float | None
    noise_percent: float | None
    near_cpu_us: float | None
    fresh: Percentiles | None
    reused: Percentiles | None
    connect: Percentiles | None
    created: int
    reuse_percent: float | None
    invalid_found: int
    stale_handed_out: int
    waits: int
    late: int | None
    ports: int
    base: str | None
    outcome: Comparison | None
    timeline: tuple[PoolMoment, ...]
    blocks: tuple[PoolBlock, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolReport:
    """The result of `probe pool`.

    ``loop`` is ``closed`` or ``open``; ``lessons`` say what reuse was worth.  ``settings`` are
    those of a first connection.  ``tw_before`` and ``tw_after`` count connections of the network
    namespace in TIME_WAIT.
    """

    plan: PoolPlan
    machine: Machine
    settings: Settings
    complete: bool
    loop: str
    arms: tuple[PoolArm, ...]
    lessons: tuple[str, ...]
    tw_before: int | None
    tw_after: int | None
    ports: PortUse | None
    host: Host = field(metadata={"internal": True})
    missing: list[Missing] = field(metadata={"internal": True})
    warnings: list[Warning] = field(metadata={"internal": True})
