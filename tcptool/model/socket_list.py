"""Reports of `list`: rows of the columns that were asked for, or one row per group."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tcptool.catalog.columns import Column
from tcptool.model.report import Host, Missing, Warning


@dataclass(frozen=True, slots=True)
class SocketList:
    """Sockets in batches, as they come out of the kernel.  Iterate ``batches`` once.

    Each row holds one rendered value per column.  ``missing`` and ``warnings`` are complete
    when the batches have been read.
    """

    host: Host
    columns: tuple[Column, ...]
    batches: Iterator[list[tuple[Any, ...]]]
    missing: list[Missing] = field(default_factory=list)
    warnings: list[Warning] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Sockets that share a process, port, peer, state or control group.

    The round-trip times are over the sockets of the group that have one; ``retrans_percent``
    is retransmitted bytes over bytes sent, of all together.
    """

    group: str | int | None
    sockets: int
    established: int
    receive_queue_bytes: int
    send_queue_bytes: int
    median_rtt_us: float | None
    max_rtt_us: int | None
    sent_bytes: int | None
    received_bytes: int | None
    retrans_percent: float | None


@dataclass(frozen=True, slots=True)
class GroupList:
    """The groups, largest first."""

    host: Host
    by: str
    groups: tuple[Group, ...]
    missing: list[Missing]
    warnings: list[Warning]
