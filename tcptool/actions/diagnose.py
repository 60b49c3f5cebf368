"""`diagnose`: why connections are slow.  Many sockets get a cheap look, a few dense samples.

Owners are not disturbed: samples come from sock_diag by cookie; one borrow of well under a
millisecond reads the options that decide, where that is allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from heapq import nlargest
from typing import Any, Final, NamedTuple

from tcptool.actions.circumstances import sysctl_number
from tcptool.actions.list import lookups_for, owners_for
from tcptool.actions.resolve import (
    FAMILY_NUMBERS,
    Found,
    describe,
    matching,
    other_end,
    resolve,
    subflows,
)
from tcptool.actions.subjects import value_of
from tcptool.analysis.triage import SUSPECT, Look, activity, score
from tcptool.analysis.verdict.goal import with_goal
from tcptool.analysis.verdict.judge import diagnose as judge
from tcptool.catalog import thresholds as limits
from tcptool.catalog.columns import INPUTS
from tcptool.catalog.options import BY_NAME, OptionValue
from tcptool.catalog.severity import Severity
from tcptool.catalog.tcp_info import TcpInfo
from tcptool.decode.projection import RAW, Projection, columns_in, extensions_for
from tcptool.decode.recording import observe
from tcptool.errors import NotFound, NotPermitted, TcptoolError, Unsupported
from tcptool.linux.kernel import Kernel
from tcptool.linux.machine import load_percent
from tcptool.linux.owners import Owners, find_owners
from tcptool.linux.sampler import Watched, sample
from tcptool.linux.sock_diag import Dump
from tcptool.linux.visit import Readings, read_step, visit
from tcptool.model import target as targets
from tcptool.model.diagnosis import DiagnoseReport, Diagnosis, Survey
from tcptool.model.filter import And, Compare, Filter, Or
from tcptool.model.inspection import holder_records
from tcptool.model.observation import Recording, Surroundings
from tcptool.model.owner import Holder
from tcptool.model.report import Host, Missing, Warning
from tcptool.model.sock import Socket
from tcptool.sansio.filter_bytecode import compile_for_kernel

OPTIONS: Final = tuple(
    BY_NAME[name]
    for name in (
        "TCP_NODELAY",
        "TCP_CORK",
        "SO_BUF_LOCK",
        "SO_KEEPALIVE",
        "TCP_KEEPCNT",
        "TCP_USER_TIMEOUT",
    )
)
"""What a verdict or its advice asks of a socket."""

LIMITS: Final = (
    *(f"net.ipv4.tcp_{which}[{place}]" for which in ("rmem", "wmem") for place in range(3)),
    "net.core.somaxconn",
    "net.ipv4.tcp_mtu_probing",
)
_CONGESTION_CONTROLS: Final = "net.ipv4.tcp_available_congestion_control"

Progress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to look.  ``for_s`` is None for a time that suits the round trip.

    ``netns`` is what the user gave to ``--netns``, for commands that can be pasted.
    """

    for_s: float | None = None
    top: int = 5
    goal_bytes_per_s: int | None = None
    netns: str | None = None


@dataclass(slots=True)
class Taken:
    """What was sampled."""

    recordings: list[Recording]
    complete: bool
    survey: Survey | None = None
    missing: list[Missing] = field(default_factory=list)
    warnings: list[Warning] = field(default_factory=list)


def take(kernel: Kernel, target: targets.Target | None, plan: Plan, progress: Progress) -> Taken:
    """Choose the sockets and sample them.

    Raises NotFound where there is none, NotPermitted for one in a namespace that cannot be
    entered and Unsupported where there is no sock_diag.
    """
    taken = Taken([], complete=True)
    chosen = _choose(kernel, target, plan, taken)
    if not chosen:
        return taken
    subjects = [_Subject.of(found, plan.netns) for found in chosen]
    _name_and_read_options(subjects, taken)
    watched = [end for one in subjects for end in (one.own, one.other) if end is not None]
    taken.complete = sample(
        watched,
        kernel,
        pace_s=_pace_s(subjects),
        for_s=plan.for_s or _window_s(subjects, taken.survey),
        progress=progress,
    )
    load = load_percent()
    home = _netns_inode(kernel.proc.netns_inode, "self")
    taken.recordings = [one.recording(load, home) for one in subjects if one.own.readings]
    lost = len(subjects) - len(taken.recordings)
    if lost and not taken.recordings:
        raise NotFound(_doing(target), "it ended before the first sample", "")
    if lost:
        taken.warnings.append(Warning("lost", f"{lost} ended before their first sample"))
    return taken


def report(host: Host, taken: Taken, plan: Plan) -> DiagnoseReport:
    """Judge what was sampled; worst first."""
    diagnoses = [_judged(one, plan) for one in taken.recordings]
    order = tuple(Severity)
    diagnoses.sort(key=lambda one: (-order.index(one.severity), -one.confidence))
    return DiagnoseReport(
        complete=taken.complete,
        survey=taken.survey,
        diagnoses=tuple(diagnoses),
        host=host,
        missing=taken.missing,
        warnings=taken.warnings,
    )


def _judged(recording: Recording, plan: Plan) -> Diagnosis:
    seen = observe(recording)
    return with_goal(judge(seen), seen, plan.goal_bytes_per_s)


# -- choosing ------------------------------------------------------------------------------


def _doing(target: targets.Target | None) -> str:
    return f"diagnosing {'all sockets' if target is None else describe(target)}"


def _choose(kernel: Kernel, target: targets.Target | None, plan: Plan, taken: Taken) -> list[Found]:
    match target:
        case targets.Descriptor() | targets.Cookie() | targets.FourTuple():
            return [_listed(_doing(target), one) for one in _named(kernel, target)]
        case targets.Process():
            ranks, chosen = _of_process(resolve(kernel, target), plan.top)
        case _:
            ranks, chosen = _survey(kernel, _expression(target), plan.top)
    if not ranks:
        raise NotFound(_doing(target), "no TCP socket matches", "tcptool list shows what is there.")
    chosen = _without_other_ends(chosen)[: plan.top]
    taken.survey = Survey(
        sockets=len(ranks),
        suspects=sum(rank.score >= SUSPECT for rank in ranks),
        sampled=len(chosen),
    )
    return chosen


def _named(kernel: Kernel, target: targets.Target) -> list[Found]:
    """The socket that was named; an MPTCP connection as its subflows, which carry the data."""
    found = resolve(kernel, target)
    if not found:
        raise NotFound(_doing(target), "no TCP socket matches", "tcptool list shows what is there.")
    return [
        replace(one, socket=flow)
        for one in found
        for flow in (subflows(one.kernel, one.socket) or (one.socket,))
    ]


def _listed(doing: str, found: Found) -> Found:
    """The socket, if sock_diag can tell about it again and again."""
    if found.elsewhere:
        raise NotPermitted(doing, found.elsewhere.why, found.elsewhere.needs)
    if not found.socket.packed_id:
        raise NotFound(
            doing,
            "it is not connected and does not listen",
            "Connect it first; nothing is slow yet.",
        )
    if found.socket.tcp_info is None and not found.socket.cookie:
        raise Unsupported(
            doing, "sock_diag is not available", "a kernel with CONFIG_INET_TCP_DIAG (tcp_diag)"
        )
    return found


def _expression(target: targets.Target | None) -> Filter | None:
    match target:
        case targets.Port(port):
            return Or((Compare("local_port", "=", port), Compare("peer_port", "=", port)))
        case targets.FilterTarget(expression):
            return expression
    return None


class _Rank(NamedTuple):
    """Who is looked at first: the larger one."""

    score: float
    activity: int


def _rank(look: tuple[Any, ...]) -> _Rank:
    return _Rank(score(look), activity(look))


def _of_process(found: Iterable[Found], top: int) -> tuple[list[_Rank], list[Found]]:
    """The sockets of one process that deserve more than a look."""
    ranked = [(_rank(_look(one.socket)), one) for one in found if one.socket.cookie]
    ranked.sort(key=lambda pair: pair[0], reverse=True)
    return [rank for rank, _ in ranked], [one for _, one in ranked[: 2 * top]]


def _look(sock: Socket) -> tuple[Any, ...]:
    info = sock.tcp_info or TcpInfo()
    return tuple(
        getattr(sock, name) if hasattr(sock, name) else getattr(info, name) for name in Look._fields
    )


_KEY: Final = ("cookie", "local_port", "peer_port")


def _survey(kernel: Kernel, expression: Filter | None, top: int) -> tuple[list[_Rank], list[Found]]:
    """One look at every socket that the filter accepts; the ones that deserve more."""
    columns = [INPUTS[name] for name in (*Look._fields, *_KEY, "protocol")]
    used = [*columns, *columns_in(expression)]
    projection = Projection(
        columns, RAW, lookups=lookups_for(kernel, used, owners_for(kernel, used)), where=expression
    )
    code = compile_for_kernel(expression)
    dump = Dump(kernel, states=code.states, extensions=extensions_for(used), bytecode=code.bytecode)
    width = len(Look._fields)
    ranked = [
        (_rank(row[:width]), row[width:-1])
        for part in dump
        for row in projection.rows(part.datagram, part.protocol)
        if row[-1] == "tcp"  # MPTCP connections come as their subflows
    ]
    if dump.missing:
        raise Unsupported("diagnosing", dump.missing[0].why, dump.missing[0].needs)
    chosen = nlargest(2 * top, ranked, key=lambda pair: pair[0])  # half may be other ends
    return [rank for rank, _ in ranked], _whole(kernel, [key for _, key in chosen])


def _whole(kernel: Kernel, keys: Sequence[tuple[Any, ...]]) -> list[Found]:
    """Whole records of the chosen sockets, in their order; those that have gone are left out."""
    if not keys:
        return []
    any_of = Or(
        tuple(
            And((Compare("local_port", "=", local), Compare("peer_port", "=", peer)))
            for _, local, peer in keys
        )
    )
    found = {sock.cookie: sock for sock in matching(kernel, any_of) if sock.protocol == "tcp"}
    return [Found(kernel, found[cookie]) for cookie, *_ in keys if cookie in found]


def _without_other_ends(chosen: Sequence[Found]) -> list[Found]:
    """Both ends of a connection on this host are one case: the first of them stands for it."""
    kept: list[Found] = []
    for one in chosen:
        ends = (one.socket.peer, one.socket.local)
        if all((other.socket.local, other.socket.peer) != ends for other in kept):
            kept.append(one)
    return kept


# -- sampling ------------------------------------------------------------------------------


@dataclass(slots=True)
class _Subject:
    """One connection to sample."""

    found: Found
    own: Watched
    other_socket: Socket | None
    other: Watched | None
    netns: str | None
    holders: tuple[Holder, ...] = ()
    other_holders: tuple[Holder, ...] = ()
    options: dict[str, OptionValue] | None = None
    inside_pid: int | None = None
    """A process of the socket's namespace: the walk passes over others."""

    @classmethod
    def of(cls, found: Found, netns: str | None) -> _Subject:
        """With the other end, if that is in the same namespace."""
        other = other_end(found.kernel, found.socket)
        return cls(
            found,
            _watched(found.kernel, found.socket),
            other,
            None if other is None else _watched(found.kernel, other),
            netns,
        )

    def recording(self, load: float | None, home: int | None) -> Recording:
        """What was seen, with what is around it; ``home`` is the caller's own namespace."""
        kernel = self.found.kernel
        numbers = {name: sysctl_number(kernel, name) for name in LIMITS}
        return Recording(
            handle=_handle(self.found.socket, self.found.descriptor, self.holders),
            netns=None if self.holders or self.found.descriptor else self.netns,
            holders=holder_records(self.holders),
            readings=tuple(self.own.readings),
            other_handle=None
            if self.other_socket is None
            else _handle(self.other_socket, None, self.other_holders),
            other_end=() if self.other is None else tuple(self.other.readings),
            around=Surroundings(
                options=self.options,
                limits={name: value for name, value in numbers.items() if value is not None},
                elsewhere=_netns_inode(kernel.netns_inode) != home,
                inside_pid=self.inside_pid,
                congestion_controls=_congestion_controls(kernel),
                load_percent=load,
            ),
            ended=self.own.ended and self.found.socket.timer != "time-wait",
        )


def _watched(kernel: Kernel, sock: Socket) -> Watched:
    return Watched(
        kernel, FAMILY_NUMBERS[sock.family], sock.packed_id, listens=sock.state == "listen"
    )


def _handle(sock: Socket, descriptor: tuple[int, int] | None, holders: tuple[Holder, ...]) -> str:
    if descriptor is not None:
        return f"{descriptor[0]}:{descriptor[1]}"
    return str(holders[0]) if holders else f"sk:{sock.cookie}"


def _congestion_controls(kernel: Kernel) -> tuple[str, ...]:
    try:
        return tuple(kernel.sysctl(_CONGESTION_CONTROLS).split())
    except OSError:
        return ()


def _name_and_read_options(subjects: Sequence[_Subject], taken: Taken) -> None:
    """Find who holds the sockets, and read the options where that is allowed."""
    for kernel in {id(one.found.kernel): one.found.kernel for one in subjects}.values():
        here = [one for one in subjects if one.found.kernel is kernel]
        owners = _owners(kernel, here)
        for one in here:
            walked = owners.of(one.found.socket.inode)
            one.inside_pid = walked[0].process.pid if walked else None
            one.holders = walked or _descriptor_holder(one.found)
            if one.other_socket is not None:
                one.other_holders = owners.of(one.other_socket.inode)
        taken.missing += owners.missing() if not all(one.holders for one in here) else []
    refusals = [refusal for one in subjects if (refusal := _read_options(one)) is not None]
    if refusals:
        taken.missing.append(
            Missing(
                what="the options of "
                + ("the socket" if len(subjects) == 1 else f"{len(refusals)} sockets")
                + ": TCP_NODELAY, TCP_CORK and SO_BUF_LOCK would make a verdict surer",
                why=refusals[0].why,
                needs=refusals[0].hint or "a descriptor of the socket",
            )
        )


def _owners(kernel: Kernel, subjects: Iterable[_Subject]) -> Owners:
    ends = [end for one in subjects for end in (one.found.socket, one.other_socket) if end]
    inodes = {sock.inode for sock in ends if sock.inode}
    netns_inode = _netns_inode(kernel.netns_inode)
    return find_owners(kernel.proc, netns_inode, wanted=inodes) if inodes else Owners()


def _netns_inode(read: Callable[..., int], *words: str) -> int | None:
    """What identifies a namespace; None where it may not be seen."""
    try:
        return read(*words)
    except OSError:
        return None


def _descriptor_holder(found: Found) -> tuple[Holder, ...]:
    """The process that was named, where the walk did not come to it."""
    if found.descriptor is None:
        return ()
    process = found.kernel.proc.process(found.descriptor[0])
    return (Holder(process, found.descriptor[1]),) if process else ()


def _read_options(subject: _Subject) -> TcptoolError | None:
    """Read them through a holder; why not, if none allows it."""
    sock = subject.found.socket
    if not subject.holders or not sock.inode:
        return None
    readings: Readings = {}
    try:
        visit(
            subject.found.kernel,
            subject.holders,
            [read_step(readings, option) for option in OPTIONS],
            inode=sock.inode,
            cookie=int(sock.cookie, 16) if sock.cookie else None,
        )
    except TcptoolError as exc:
        return exc
    values = {option.name: value_of(option, readings.get(option)) for option in OPTIONS}
    subject.options = {name: value for name, value in values.items() if value is not None}
    return None


def _pace_s(subjects: Sequence[_Subject]) -> float:
    known = [one.found.socket.tcp_info for one in subjects]
    times = [info.min_rtt_us for info in known if info and info.min_rtt_us]
    return (
        limits.FAST_PACE_S
        if min(times, default=limits.FAST_PATH_US) < limits.FAST_PATH_US
        else limits.PACE_S
    )


def _window_s(subjects: Sequence[_Subject], survey: Survey | None) -> float:
    """Long enough for the path of the one that was named, and not longer than anybody waits."""
    infos = [one.found.socket.tcp_info for one in subjects if survey is None]
    longest_us = max((info.rtt_us or 0 for info in infos if info), default=0)
    wanted = limits.WINDOW_ROUND_TRIPS * longest_us / 1e6
    return min(max(limits.WINDOW_S, wanted), limits.MAX_WINDOW_S)
