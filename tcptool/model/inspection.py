"""Reports of `inspect`: everything about one socket, once or followed over time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tcptool.catalog.options import OptionValue
from tcptool.model.owner import Holder
from tcptool.model.report import Host, Missing, Warning
from tcptool.model.sock import AccEcn, Socket


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderRecord:
    """One descriptor that refers to the socket."""

    pid: int
    fd: int
    process: str
    start_ticks: int


def holder_records(holders: Iterable[Holder]) -> tuple[HolderRecord, ...]:
    """Holders as a report shows them."""
    return tuple(
        HolderRecord(
            pid=one.process.pid,
            fd=one.fd,
            process=one.process.name,
            start_ticks=one.process.start_ticks,
        )
        for one in holders
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """Values worked out from the readings; the formulas are in `tcptool explain NAME`."""

    retrans_percent: float | None
    limited_by: str | None
    rwnd_limited_percent: float | None
    sndbuf_limited_percent: float | None
    queueing_us: int | None
    effective_rcv_wnd_bytes: int | None
    cwnd_rate_bytes_per_s: float | None
    window_rate_bytes_per_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionReading:
    """One socket option as the owner's socket has it now.

    ``value`` is in ``unit``; ``default`` is what a fresh socket of this kernel has.
    ``marks``: ``changed`` (set by the owner), ``pinned`` (a buffer taken out of autotuning),
    ``clamped`` (a buffer that stands at its sysctl limit).
    """

    name: str
    value: OptionValue | None
    unit: str
    default: OptionValue | None
    marks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherEnd:
    """The other end of the connection, when it is on this host."""

    socket: Socket
    holders: tuple[HolderRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """Everything about one socket.  ``options`` is None without the right to borrow it."""

    socket: Socket
    holders: tuple[HolderRecord, ...]
    user: str | None
    cgroup: str | None
    netns_inode: int | None
    accecn: AccEcn | None
    derived: Derived
    options: tuple[OptionReading, ...] | None
    other_end: OtherEnd | None
    subflows: tuple[Socket, ...]


@dataclass(frozen=True, slots=True)
class InspectReport:
    """One inspection with its surroundings."""

    host: Host
    inspection: Inspection
    missing: list[Missing]
    warnings: list[Warning]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Change of the counters between two readings; None where there was no earlier one."""

    interval_s: float | None = None
    sent_bytes_per_s: float | None = None
    acked_bytes_per_s: float | None = None
    received_bytes_per_s: float | None = None
    segs_out: int | None = None
    segs_in: int | None = None
    retrans_packets: int | None = None
    busy_percent: float | None = None
    rwnd_limited_percent: float | None = None
    sndbuf_limited_percent: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One reading of a followed socket.  ``elapsed_s`` counts from the first."""

    event: str
    elapsed_s: float
    socket: Socket
    rates: Rates
    host: Host = field(metadata={"internal": True})
    missing: tuple[Missing, ...] = field(metadata={"internal": True})
    warnings: tuple[Warning, ...] = field(metadata={"internal": True})


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchEnd:
    """How following a socket ended, and what it came to.

    ``reason``: ``connection-ended``, ``interrupted`` or ``count-reached``.  ``total`` is from
    the first reading to the last that had a tcp_info.
    """

    event: str
    reason: str
    samples: int
    elapsed_s: float
    total: Rates
    min_rtt_us: int | None
    max_rtt_us: int | None
    last: Socket
    host: Host = field(metadata={"internal": True})
    missing: tuple[Missing, ...] = field(metadata={"internal": True})
    warnings: tuple[Warning, ...] = field(metadata={"internal": True})
