"""What `probe latency` was asked to measure, what it read, and what follows from that.

A round trip lasts from the moment before the request is handed to the kernel (with a schedule:
from the moment at which that was due) until the last byte of the reply has been read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from tcptool.model.comparison import Comparison
from tcptool.model.probe import Machine, Settings
from tcptool.model.report import Host, Missing, Warning


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyPlan:
    """What to measure.  ``requests`` are those of a block, fewer where ``block_limit_s`` ends it.

    ``sizes_bytes`` are those of requests, ``reply_bytes`` that of replies, None where the far end
    sends back what it gets.  ``matrix`` are the options to compare with the default.
    ``requests_per_s`` makes a schedule, None sends when the reply is there.  ``path`` is
    ``ipv4``, ``ipv6`` or ``unix``; ``to`` a HOST:PORT that is not ours.  ``timeout_s`` is the
    longest time in which nothing happens.  ``processors`` are those to keep the two ends on:
    None to leave that to tcptool, an empty tuple for none.
    """

    requests: int
    blocks: int
    block_limit_s: float
    sizes_bytes: tuple[int, ...]
    reply_bytes: int | None
    patterns: tuple[str, ...]
    matrix: tuple[str, ...]
    requests_per_s: int | None
    under_load: bool
    path: str
    to: str | None
    timeout_s: float
    seed: int
    processors: tuple[int, ...] | None


class Arm(NamedTuple):
    """One of the things that are compared.  ``base`` names the arm that it is compared with."""

    name: str
    size_bytes: int
    reply_bytes: int
    pattern: str
    option: str
    under_load: bool
    base: str | None


class RoundTrips(NamedTuple):
    """The raw readings of one block, which is one connection; see ``LatencyArm``."""

    times_us: tuple[float, ...]
    late: int | None
    data_segments: int | None
    retrans_packets: int | None
    load_rate_bytes_per_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyBlock:
    """One observation: the round trips of one connection.

    A percentile is None where the block has fewer than ten round trips beyond it.
    """

    requests: int
    p50_us: float
    p90_us: float | None
    p99_us: float | None
    p99_9_us: float | None
    max_us: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyArm:
    """What one arm did.

    ``option`` is ``default`` or the one of the matrix.  ``p50_us`` is the median over the blocks
    of the block's; ``p50_low_us`` and ``p50_high_us`` are its exact 95 % interval, None for fewer
    than six blocks; ``noise_percent`` is the robust standard deviation of a block.  ``p90_us``,
    ``p99_us`` and ``p99_9_us`` are medians over the blocks as well, None if any block was too
    short; ``max_us`` is the longest of all.

    ``late`` are requests that left more than an interval of the schedule after their time, None
    without a schedule.  ``data_segments`` and ``retrans_packets`` are what this end sent during
    the measured requests, None where it is not TCP.  ``load_rate_bytes_per_s`` is what the load
    came to.  ``outcome`` compares with ``base``, block by block.
    """

    name: str
    size_bytes: int
    reply_bytes: int
    pattern: str
    option: str
    under_load: bool
    requests: int
    late: int | None
    p50_us: float
    p50_low_us: float | None
    p50_high_us: float | None
    noise_percent: float | None
    p90_us: float | None
    p99_us: float | None
    p99_9_us: float | None
    max_us: float
    data_segments: int | None
    retrans_packets: int | None
    load_rate_bytes_per_s: float | None
    base: str | None
    outcome: Comparison | None
    blocks: tuple[LatencyBlock, ...]


@dataclass(frozen=True, slots=True)
class Lesson:
    """Something that these figures show.  ``id`` is stable."""

    id: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyReport:
    """The result of `probe latency`.

    ``loop`` is ``closed`` (a request waits for the reply to the one before, so that a stall
    delays few requests and hides: coordinated omission) or ``open`` (a schedule, and times count
    from it).  ``floor_us`` is what the loop itself takes for a request, with no system call in it.
    """

    plan: LatencyPlan
    machine: Machine
    settings: Settings
    complete: bool
    loop: str
    floor_us: float
    arms: tuple[LatencyArm, ...]
    lessons: tuple[Lesson, ...]
    host: Host = field(metadata={"internal": True})
    missing: list[Missing] = field(metadata={"internal": True})
    warnings: list[Warning] = field(metadata={"internal": True})
