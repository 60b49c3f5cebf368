"""What `doctor` found."""

from __future__ import annotations

from dataclasses import dataclass, field

from tcptool.catalog.host_checks import Aspect, Layer
from tcptool.catalog.myths import Myth
from tcptool.catalog.severity import Severity
from tcptool.model.report import Host, Missing, Warning


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where a value stands, as /proc/net/netstat TcpExt ListenDrops, and the value.

    Of a counter also what it stands at, and what it grew by between the readings.
    """

    where: str
    value: str
    total: int | None = None
    grown: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """What to do.  ``command`` is to be pasted, and None where no command helps.

    ``persistence`` says how to keep it over a reboot, ``undo`` puts the old value back.
    """

    advice: str
    command: str | None = None
    persistence: str | None = None
    risk: str | None = None
    undo: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The answer of one check.

    ``summary`` says what was found, or why the check could not be made; ``rule`` from where on it
    speaks up, and ``why`` what the trouble costs.  ``remedy`` is None where
    nothing is to be done.  ``myths`` are beliefs that the finding answers.
    """

    id: str
    title: str
    layer: Layer
    aspect: Aspect
    severity: Severity
    summary: str
    evidence: tuple[Evidence, ...]
    rule: str
    why: str
    remedy: Remedy | None
    myths: tuple[Myth, ...]
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BufferLimit:
    """One limit of automatic tuning against what a path needs of it.

    ``answer`` is ``enough``, ``just-enough`` (the rate is reached, without room to spare),
    ``too-small`` or ``unknown``.  ``allows_bytes_per_s`` is the window that the limit gives, once
    each round trip.
    """

    sysctl: str
    present_bytes: int | None
    needed_bytes: int
    allows_bytes_per_s: float | None
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PathNeeds:
    """What a connection of this rate over this round-trip time needs of the host.

    ``window_scale`` is that of connections made now.  ``loss_budget_percent`` may be lost at
    random, which is a segment in ``packets_between_losses``.  So many such connections as
    ``connections_to_pressure`` bring TCP under memory pressure.
    """

    rate_bytes_per_s: int
    rtt_us: int
    mss_bytes: int
    bdp_bytes: int
    congestion_control: str | None
    receive: BufferLimit
    send: BufferLimit
    window_scale: int | None
    needed_window_scale: int
    loss_budget_percent: float
    packets_between_losses: int
    connections_to_pressure: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorReport:
    """The result of `doctor`: ``findings`` worst first.

    ``window_s`` is the time between the two readings, shorter than asked for where ``complete`` is
    false, and None where only a path was asked about.
    """

    window_s: float | None
    complete: bool
    worst: Severity
    path: PathNeeds | None
    findings: tuple[Finding, ...]
    host: Host = field(metadata={"internal": True})
    missing: list[Missing] = field(metadata={"internal": True})
    warnings: list[Warning] = field(metadata={"internal": True})
