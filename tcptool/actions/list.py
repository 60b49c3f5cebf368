"""`list`: the sockets of a network namespace, filtered, sorted or grouped.

Rows stream from the kernel to the view; they are gathered only to be sorted or grouped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Final

from tcptool.actions.host import host_facts
from tcptool.catalog.columns import COLUMNS, INPUTS, Cgroup, Column, Holder
from tcptool.decode.projection import (
    RAW,
    Lookups,
    Projection,
    Rendering,
    columns_in,
    extensions_for,
)
from tcptool.linux.cgroups import cgroup_paths
from tcptool.linux.kernel import Kernel
from tcptool.linux.owners import Owners, find_owners
from tcptool.linux.sock_diag import FAMILIES, Dump
from tcptool.model.filter import Filter
from tcptool.model.report import Missing
from tcptool.model.socket_list import Group, GroupList, SocketList
from tcptool.sansio.filter_bytecode import compile_for_kernel

GROUPINGS: Final = {
    "process": "process",
    "port": "local_port",
    "peer": "peer_address",
    "state": "state",
    "cgroup": "cgroup",
}
"""What `--by` accepts, and the column that it groups by."""

_GROUPED: Final = (
    "state",
    "receive_queue_bytes",
    "send_queue_bytes",
    "rtt_us",
    "sent_bytes",
    "received_bytes",
    "retrans_bytes",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which sockets, and which columns of them.

    ``sort`` is a column and whether the largest comes first; sockets without a value for it
    come last.  ``limit`` is None for all.
    """

    columns: tuple[str, ...]
    where: Filter | None = None
    families: tuple[int, ...] = FAMILIES
    sort: tuple[str, bool] | None = None
    limit: int | None = None


def list_sockets(kernel: Kernel, query: Query, rendering: Rendering) -> SocketList:
    """The sockets that ``query`` asks for, with values as ``rendering`` says."""
    columns = tuple(COLUMNS[name] for name in query.columns)
    keys = (COLUMNS[query.sort[0]],) if query.sort else ()
    scan = _Scan(kernel, query, columns, keys, rendering)
    batches = scan.batches()
    # Ask for the first now: what the kernel refuses is known before anything has been written.
    first = next(batches, [])
    batches = chain([first], batches)
    if query.sort is not None or query.limit is not None:
        rows: Iterable[tuple[Any, ...]] = (row for batch in batches for row in batch)
        if query.sort:
            rows = _sorted(rows, largest_first=query.sort[1], limit=query.limit)
        batches = _batched(islice(rows, query.limit))
    missing: list[Missing] = []
    return SocketList(host_facts(kernel), columns, scan.noting(batches, missing), missing)


def group_sockets(kernel: Kernel, query: Query, by: str) -> GroupList:
    """The same sockets, counted and summed by one of ``GROUPINGS``; largest groups first."""
    names = (GROUPINGS[by], *_GROUPED)
    columns = tuple(INPUTS[name] for name in names)
    scan = _Scan(kernel, query, columns, (), RAW)
    members: dict[Any, list[tuple[Any, ...]]] = {}
    for batch in scan.batches():
        for row in batch:
            members.setdefault(row[0], []).append(row[1:])
    groups = [_group(key, rows) for key, rows in members.items()]
    groups.sort(key=lambda group: (-group.sockets, str(group.group)))
    return GroupList(host_facts(kernel), by, tuple(groups[: query.limit]), scan.missing(), [])


def _group(key: Any, rows: list[tuple[Any, ...]]) -> Group:
    import statistics  # costs 4 ms, for groups only

    states, receive, send, rtts, sent, received, retrans = zip(*rows, strict=True)
    known_rtts = [rtt for rtt in rtts if rtt is not None]
    total_sent, total_retrans = _sum(sent), _sum(retrans)
    return Group(
        group=key,
        sockets=len(rows),
        established=states.count("established"),
        receive_queue_bytes=_sum(receive) or 0,
        send_queue_bytes=_sum(send) or 0,
        median_rtt_us=statistics.median(known_rtts) if known_rtts else None,
        max_rtt_us=max(known_rtts, default=None),
        sent_bytes=total_sent,
        received_bytes=_sum(received),
        retrans_percent=100 * total_retrans / total_sent
        if total_sent and total_retrans is not None
        else None,
    )


def _sum(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


class _Scan:
    """One pass over the kernel's sockets, through one projection."""

    def __init__(
        self,
        kernel: Kernel,
        query: Query,
        columns: tuple[Column, ...],
        keys: tuple[Column, ...],
        rendering: Rendering,
    ) -> None:
        kernel_part = compile_for_kernel(query.where)
        used = [*columns, *keys, *columns_in(query.where)]
        self._owners = owners_for(kernel, used)
        self._projection = Projection(
            columns,
            rendering,
            lookups=lookups_for(kernel, used, self._owners),
            # All of it again: the fallback knows no kernel filter, and a dump may stray.
            where=query.where,
            keys=keys,
        )
        self._dump = Dump(
            kernel,
            families=query.families,
            states=kernel_part.states,
            extensions=extensions_for(used),
            bytecode=kernel_part.bytecode,
        )

    def batches(self) -> Iterator[list[tuple[Any, ...]]]:
        """Rows, datagram by datagram."""
        for part in self._dump:
            rows = self._projection.rows(part.datagram, part.protocol)
            if rows:
                yield rows

    def missing(self) -> list[Missing]:
        """What the rows so far lacked."""
        unseen = self._owners.missing() if self._projection.unowned else []
        return [*self._dump.missing, *unseen]

    def noting(
        self, batches: Iterator[list[tuple[Any, ...]]], missing: list[Missing]
    ) -> Iterator[list[tuple[Any, ...]]]:
        """The batches, and after the last one what they lacked, also if a limit cut them short."""
        yield from batches
        missing += self.missing()


def owners_for(kernel: Kernel, columns: Iterable[Column]) -> Owners:
    """The owners of all sockets if a column asks for them; else nobody is looked for."""
    if any(isinstance(column.source, Holder) for column in columns):
        return find_owners(kernel.proc, kernel.netns_inode())
    return Owners()


def lookups_for(kernel: Kernel, columns: Iterable[Column], owners: Owners) -> Lookups:
    """What the columns need beyond the kernel's messages."""
    wants_cgroups = any(isinstance(column.source, Cgroup) for column in columns)
    cgroups = cgroup_paths(kernel.proc) if wants_cgroups else {}
    return Lookups(owners.holders, cgroups, complete=not owners.unreadable)


def _sorted(
    rows: Iterable[tuple[Any, ...]], *, largest_first: bool, limit: int | None
) -> Iterator[tuple[Any, ...]]:
    """Rows by their last value, which is then dropped; rows without one come last."""
    with_value: list[tuple[Any, ...]] = []
    without: list[tuple[Any, ...]] = []
    for row in rows:
        (without if row[-1] is None else with_value).append(row)
    key: Callable[[tuple[Any, ...]], Any] = lambda row: row[-1]  # noqa: E731
    if limit is None:
        with_value.sort(key=key, reverse=largest_first)
    else:
        import heapq

        choose = heapq.nlargest if largest_first else heapq.nsmallest
        with_value = choose(limit, with_value, key=key)
    return (row[:-1] for row in (*with_value, *without))


def _batched(rows: Iterable[tuple[Any, ...]], size: int = 256) -> Iterator[list[tuple[Any, ...]]]:
    iterator = iter(rows)
    while batch := list(islice(iterator, size)):
        yield batch
