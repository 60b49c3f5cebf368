"""`diagnose`: why connections are slow.  Many sockets get a cheap look, a few dense samples.

Owners are not disturbed: samples come from sock_diag by cookie; one borrow of well under a
millisecond reads the options that decide, where that is allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from heapq import nlargest
from typing import Any, Final, NamedTuple

from tcptool.actions.host import sysctl_number
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
from tcptool.catalog.states import LISTEN
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
from tcptool.model.filter import And, Compare, Filter, Or, States
from tcptool.model.inspection import holder_records
from tcptool.model.observation import Reach, Recording, Surroundings
from tcptool.model.owner import Holder
from tcptool.model.report import Host, Missing, Warning
from tcptool.model.sock import Endpoint, Socket
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
    "net.core.rmem_max",
    "net.ipv4.tcp_mtu_probing",
)
_LOOPBACK: Final = ("127.0.0.1", "::1")
_CONGESTION_CONTROLS: Final = "net.ipv4.tcp_{}_congestion_control"

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
    """What was sampled; ``live`` unless it comes from a file."""

    recordings: list[Recording]
    complete: bool
    live: bool = True
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
    subjects = [_subject(one, plan.netns) for one in chosen]
    _name_and_read_options(subjects, taken)
    watched = [end.watched for one in subjects for end in one.ends]
    taken.complete = sample(
        watched,
        kernel,
        pace_s=_pace_s(subjects, taken.survey),
        for_s=plan.for_s or _window_s(subjects, taken.survey),
        progress=progress,
    )
    load = load_percent()
    home = _netns_inode(kernel.proc.netns_inode, "self")
    taken.recordings = [one.recording(load, home) for one in subjects if one.own.watched.readings]
    lost = len(subjects) - len(taken.recordings)
    if lost and not taken.recordings:
        raise NotFound(_doing(target), "it ended before the first sample", "")
    if lost:
        taken.warnings.append(Warning("lost", f"{lost} ended before their first sample"))
    return taken


def report(host: Host, taken: Taken, plan: Plan) -> DiagnoseReport:
    """Judge what was sampled; worst first."""
    diagnoses = [_judged(one, plan, live=taken.live) for one in taken.recordings]
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


def _judged(recording: Recording, plan: Plan, *, live: bool) -> Diagnosis:
    seen = observe(recording, live=live)
    return with_goal(judge(seen), seen, plan.goal_bytes_per_s)


# -- choosing ------------------------------------------------------------------------------


def _doing(target: targets.Target | None) -> str:
    return f"diagnosing {'all sockets' if target is None else describe(target)}"


class _Chosen(NamedTuple):
    """A socket to sample.  ``cookie`` is that of what its holders' descriptors refer to.

    An MPTCP connection is sampled as its subflows, which carry the data and have no descriptor.
    """

    found: Found
    cookie: str | None


def _flows(found: Found) -> Iterator[_Chosen]:
    sock = found.socket
    for flow in subflows(found.kernel, sock) or (sock,):
        yield _Chosen(replace(found, socket=flow), sock.cookie)


def _choose(
    kernel: Kernel, target: targets.Target | None, plan: Plan, taken: Taken
) -> list[_Chosen]:
    match target:
        case targets.Descriptor() | targets.Cookie() | targets.FourTuple():
            return _named(kernel, target)
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


def _named(kernel: Kernel, target: targets.Target) -> list[_Chosen]:
    """The one that was named, if sock_diag can tell about it again and again."""
    found = resolve(kernel, target)
    if not found:
        raise NotFound(_doing(target), "no TCP socket matches", "tcptool list shows what is there.")
    return [flow for one in found for flow in _flows(_listed(_doing(target), one))]


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


def _of_process(found: Iterable[Found], top: int) -> tuple[list[_Rank], list[_Chosen]]:
    """The sockets of one process that deserve more than a look."""
    flows = [flow for one in found if one.socket.cookie for flow in _flows(one)]
    ranked = [(_rank(_look(flow.found.socket)), flow) for flow in flows]
    ranked.sort(key=lambda pair: pair[0], reverse=True)
    return [rank for rank, _ in ranked], [flow for _, flow in ranked[: 2 * top]]


def _look(sock: Socket) -> tuple[Any, ...]:
    info = sock.tcp_info or TcpInfo()
    return tuple(
        getattr(sock, name) if hasattr(sock, name) else getattr(info, name) for name in Look._fields
    )


_KEY: Final = ("cookie", "local_port", "peer_port")


def _survey(
    kernel: Kernel, expression: Filter | None, top: int
) -> tuple[list[_Rank], list[_Chosen]]:
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


def _whole(kernel: Kernel, keys: Sequence[tuple[Any, ...]]) -> list[_Chosen]:
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
    return [
        # Of a subflow it is not known here which descriptor leads to it.
        _Chosen(Found(kernel, sock), None if sock.ulp == "mptcp" else sock.cookie)
        for cookie, *_ in keys
        if (sock := found.get(cookie)) is not None
    ]


def _without_other_ends(chosen: Sequence[_Chosen]) -> list[_Chosen]:
    """Both ends of a connection on this host are one case, and the one that sends stands for it."""
    kept: dict[frozenset[Endpoint], _Chosen] = {}
    for one in chosen:
        sock = one.found.socket
        ends = frozenset((sock.local, sock.peer))
        before = kept.get(ends)
        if before is None or _sent(one) > _sent(before):
            kept[ends] = one  # at the place of the first, in the order of rank
    return list(kept.values())


def _sent(chosen: _Chosen) -> int:
    info = chosen.found.socket.tcp_info
    return (info.acked_bytes or 0) if info else 0


# -- sampling ------------------------------------------------------------------------------


@dataclass(slots=True)
class _End:
    """One socket that is sampled, who has it, and its options if they may be read."""

    socket: Socket
    cookie: str | None
    watched: Watched
    descriptor: tuple[int, int] | None = None
    holders: tuple[Holder, ...] = ()
    options: dict[str, OptionValue] | None = None

    def reach(self, netns: str | None) -> Reach:
        """How commands get at it."""
        handle = f"sk:{self.socket.cookie}"
        if self.descriptor is not None:
            handle = f"{self.descriptor[0]}:{self.descriptor[1]}"
        elif self.holders:
            handle = str(self.holders[0])
        return Reach(
            handle=handle,
            netns=netns if handle.startswith("sk:") else None,
            held=bool(self.socket.inode),
            permitted=self.options is not None,
        )


@dataclass(slots=True)
class _Subject:
    """One connection to sample.  ``other`` is its other end, if that is in the same namespace.

    ``inside_pid`` is a process of the socket's namespace: the walk passes over others.
    """

    kernel: Kernel
    own: _End
    other: _End | None
    netns: str | None
    inside_pid: int | None = None

    @property
    def ends(self) -> tuple[_End, ...]:
        """One or two."""
        return (self.own,) if self.other is None else (self.own, self.other)

    def recording(self, load: float | None, home: int | None) -> Recording:
        """What was seen, with what is around it; ``home`` is the caller's own namespace."""
        kernel = self.kernel
        numbers = {name: sysctl_number(kernel, name) for name in LIMITS}
        return Recording(
            reach=self.own.reach(self.netns),
            holders=holder_records(self.own.holders),
            readings=tuple(self.own.watched.readings),
            other_reach=None if self.other is None else self.other.reach(self.netns),
            other_end=() if self.other is None else tuple(self.other.watched.readings),
            around=Surroundings(
                options=self.own.options,
                limits={name: value for name, value in numbers.items() if value is not None},
                elsewhere=_netns_inode(kernel.netns_inode) != home,
                inside_pid=self.inside_pid,
                congestion_controls=_congestion_controls(kernel, "available"),
                allowed_congestion_controls=_congestion_controls(kernel, "allowed"),
                load_percent=load,
            ),
            ended=self.own.watched.ended and self.own.socket.timer != "time-wait",
        )


def _subject(chosen: _Chosen, netns: str | None) -> _Subject:
    found = chosen.found
    kernel, sock = found.kernel, found.socket
    own = _End(sock, chosen.cookie, _watched(kernel, sock), found.descriptor)
    other = other_end(kernel, sock) or _listener_of(kernel, sock)
    other_own = None if other is None else _End(other, other.cookie, _watched(kernel, other))
    return _Subject(kernel, own, other_own, netns)


def _listener_of(kernel: Kernel, sock: Socket) -> Socket | None:
    """The listener on this host that a connection is being made to."""
    if sock.state != "syn-sent" or sock.peer.address not in (sock.local.address, *_LOOPBACK):
        return None
    at_port = And((States(frozenset({LISTEN})), Compare("local_port", "=", sock.peer.port)))
    return next((one for one in matching(kernel, at_port) if one.protocol == "tcp"), None)


def _watched(kernel: Kernel, sock: Socket) -> Watched:
    return Watched(
        kernel, FAMILY_NUMBERS[sock.family], sock.packed_id, listens=sock.state == "listen"
    )


def _congestion_controls(kernel: Kernel, which: str) -> tuple[str, ...]:
    try:
        return tuple(kernel.sysctl(_CONGESTION_CONTROLS.format(which)).split())
    except OSError:
        return ()


def _name_and_read_options(subjects: Sequence[_Subject], taken: Taken) -> None:
    """Find who holds the sockets, and read the options where that is allowed."""
    for kernel in {id(one.kernel): one.kernel for one in subjects}.values():
        here = [one for one in subjects if one.kernel is kernel]
        owners = _owners(kernel, [end.socket for one in here for end in one.ends])
        for one in here:
            for end in one.ends:
                end.holders = owners.of(end.socket.inode)
            one.inside_pid = one.own.holders[0].process.pid if one.own.holders else None
            one.own.holders = one.own.holders or _descriptor_holder(kernel, one.own)
        if any(one.own.socket.inode and not one.own.holders for one in here):
            taken.missing += owners.missing()
    refusals = [
        refusal
        for one in subjects
        for end in one.ends
        if (refusal := _read_options(one.kernel, end)) is not None and end is one.own
    ]
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


def _owners(kernel: Kernel, sockets: Iterable[Socket]) -> Owners:
    inodes = {sock.inode for sock in sockets if sock.inode}
    netns_inode = _netns_inode(kernel.netns_inode)
    return find_owners(kernel.proc, netns_inode, wanted=inodes) if inodes else Owners()


def _netns_inode(read: Callable[..., int], *words: str) -> int | None:
    """What identifies a namespace; None where it may not be seen."""
    try:
        return read(*words)
    except OSError:
        return None


def _descriptor_holder(kernel: Kernel, end: _End) -> tuple[Holder, ...]:
    """The process that was named, where the walk did not come to it."""
    if end.descriptor is None:
        return ()
    process = kernel.proc.process(end.descriptor[0])
    return (Holder(process, end.descriptor[1]),) if process else ()


def _read_options(kernel: Kernel, end: _End) -> TcptoolError | None:
    """Read them through a holder; why not, if none allows it."""
    sock = end.socket
    if not sock.inode:
        return None  # nobody has it: there is nothing to set either
    doing = "reading the options"
    if not end.holders:
        return NotPermitted(
            doing, "no process that may be looked into holds it", "CAP_SYS_PTRACE (run with sudo)"
        )
    if end.cookie is None:
        return NotFound(doing, "it is a subflow of an MPTCP connection", "Name it by its PID:FD.")
    readings: Readings = {}
    try:
        visit(
            kernel,
            end.holders,
            [read_step(readings, option) for option in OPTIONS],
            inode=sock.inode,
            cookie=int(end.cookie, 16),
        )
    except TcptoolError as exc:
        return exc
    values = {option.name: value_of(option, readings.get(option)) for option in OPTIONS}
    end.options = {name: value for name, value in values.items() if value is not None}
    return None


def _pace_s(subjects: Sequence[_Subject], survey: Survey | None) -> float:
    """Often enough for the path of the one that was named."""
    infos = [one.own.socket.tcp_info for one in subjects if survey is None]
    times = [info.min_rtt_us for info in infos if info and info.min_rtt_us]
    short = min(times, default=limits.FAST_PATH_US) < limits.FAST_PATH_US
    return limits.FAST_PACE_S if short else limits.PACE_S


def _window_s(subjects: Sequence[_Subject], survey: Survey | None) -> float:
    """Long enough for the path of the one that was named, and not longer than anybody waits."""
    infos = [one.own.socket.tcp_info for one in subjects if survey is None]
    longest_us = max((info.rtt_us or 0 for info in infos if info), default=0)
    wanted = limits.WINDOW_ROUND_TRIPS * longest_us / 1e6
    return min(max(limits.WINDOW_S, wanted), limits.MAX_WINDOW_S)
