"""What `probe` was asked to measure, the raw readings, and what follows from them.

GB is 10^9 bytes.  Raw readings are kept beside what was worked out from them, so that a saved
result can be judged again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from tcptool.catalog.options import OptionValue
from tcptool.catalog.tcp_info import TcpInfo
from tcptool.model.comparison import Comparison
from tcptool.model.report import Host, Missing, Warning


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionInForce:
    """An option that was asked for on the sockets of the measurement, and what it became."""

    name: str
    unit: str
    requested: OptionValue
    effective: OptionValue | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where and under which load the measurement ran.

    ``near_cpu`` and ``far_cpu`` are the processors that the two ends were kept on, None where
    they were not.  The load is that of the last minute as a share of the processors, before and
    after; ``governor`` is that of ``near_cpu``, None where the processor shows none.
    """

    processors: int
    near_cpu: int | None
    far_cpu: int | None
    governor: str | None
    load_before_percent: float | None
    load_after_percent: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What was in force on one connection, whoever set it; None for what it does not have.

    The buffers are as the kernel reports them, ``mss_bytes`` is the sender's.  ``device`` is the
    interface that the near end's address belongs to, and ``gso`` whether it takes segments
    larger than the mss.
    """

    congestion_control: str | None
    sndbuf_bytes: int | None
    rcvbuf_bytes: int | None
    mss_bytes: int | None
    device: str | None
    gso: bool | None
    options: tuple[OptionInForce, ...]


# -- transfer ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferPlan:
    """What to move and how.  ``size_bytes`` is for each method; None with a duration.

    ``connections`` share it, one after the other, each with ``warmup_rounds`` of its own.
    ``path`` is ``ipv4``, ``ipv6`` or ``unix``; ``to`` a HOST:PORT that is not ours.  ``source`` is
    ``temporary-file``, ``file`` or ``memory``.  ``receiver`` is ``recv``, ``discard`` or
    ``splice``, None with ``to``.  ``timeout_s`` is the longest time without progress.
    ``processors`` are those to keep sender and receiver on: None to leave that to tcptool, an
    empty tuple for none.
    """

    methods: tuple[str, ...]
    size_bytes: int | None
    duration_s: float | None
    connections: int
    warmup_rounds: int
    slice_bytes: int
    chunk_bytes: int
    vectors: int
    pipe_bytes: int
    path: str
    to: str | None
    source: str
    file: str | None
    receiver: str | None
    verify: bool
    timeout_s: float
    seed: int
    processors: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Slice:
    """One reading: these bytes, from the first send to the last byte at the receiver.

    ``connection`` counts those of the method from 0.  With ``to`` the end is the acknowledgement
    of the last byte.  CPU time is that of the process; None for an end that is not ours.
    """

    connection: int
    payload_bytes: int
    elapsed_s: float
    near_cpu_s: float
    far_cpu_s: float | None


class Cost(NamedTuple):
    """What one slice cost at one end; see ``EndCost``."""

    user_cpu_s: float = 0.0
    system_cpu_s: float = 0.0
    calls: int = 0
    short_calls: int = 0
    waits: int = 0


class Reading(NamedTuple):
    """One slice of one method, with its costs; ``far`` is None for an end that is not ours."""

    method: str
    slice: Slice
    near: Cost
    far: Cost | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndCost:
    """What all measured slices of a method cost at one end.

    ``cpu_s_per_gb`` is the median over the connections.  ``calls`` are system calls: those that
    move bytes, reads of the source, and waits, which ``waits`` counts alone.  ``call_bytes`` is
    the payload per call.  ``short_calls`` took less than they were offered.
    """

    user_cpu_s: float
    system_cpu_s: float
    cpu_s_per_gb: float
    calls: int
    call_bytes: float | None
    short_calls: int
    waits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeroCopySends:
    """What the error queue said of MSG_ZEROCOPY: sends completed, and those copied after all."""

    completed: int
    copied: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodResult:
    """What one way of sending did.

    Each connection counts as one observation, the median of its slices.  The rate is the median
    of these; ``rate_low_bytes_per_s`` and ``rate_high_bytes_per_s`` are its exact 95 % interval,
    None for fewer than six connections.  ``noise_percent`` is the robust standard deviation of
    one.  ``cpu_s_per_gb`` is the median at the sender.  The places are counted from 1, shared
    where no difference was shown.  ``verified_bytes`` arrived with the right checksum, None if
    that was not asked for.  The shares of the sender's busy time are from ``tcp_info``, which is
    that of the end of the last connection.
    """

    method: str
    payload_bytes: int
    rate_bytes_per_s: float | None
    rate_low_bytes_per_s: float | None
    rate_high_bytes_per_s: float | None
    noise_percent: float | None
    cpu_s_per_gb: float | None
    place_by_throughput: int | None
    place_by_cpu: int | None
    near: EndCost
    far: EndCost | None
    zerocopy: ZeroCopySends | None
    verified_bytes: int | None
    settings: Settings
    rwnd_limited_percent: float | None
    sndbuf_limited_percent: float | None
    tcp_info: TcpInfo | None
    slices: tuple[Slice, ...]

    @property
    def connections(self) -> int:
        """How many there were: observations."""
        return len({one.connection for one in self.slices})


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodComparison:
    """By ``rate`` or by ``cpu``: how much more or less of it ``method`` has than ``base``."""

    metric: str
    method: str
    base: str
    outcome: Comparison


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferReport:
    """The result of `probe METHOD` and `probe compare`.

    ``source_bytes`` is the size of what was sent over and over.  ``fastest`` and ``cheapest``
    name the methods of the first place: several if there is no clear winner, none if nothing
    could be told.
    """

    plan: TransferPlan
    machine: Machine
    complete: bool
    source_bytes: int
    results: tuple[MethodResult, ...]
    comparisons: tuple[MethodComparison, ...]
    fastest: tuple[str, ...]
    cheapest: tuple[str, ...]
    host: Host = field(metadata={"internal": True})
    missing: list[Missing] = field(metadata={"internal": True})
    warnings: list[Warning] = field(metadata={"internal": True})
