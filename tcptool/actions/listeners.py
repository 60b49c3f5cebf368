"""`listeners`: who listens, how full the accept queues are, what is dropped, and what helps.

Two readings of the counters, and looks at the queues between them through sock_diag; no process
is touched unless its socket options are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tcptool.actions.host import host_facts, sysctl_number
from tcptool.actions.resolve import describe, matching, resolve, whole_connections
from tcptool.actions.subjects import value_of
from tcptool.analysis import listeners as analysis
from tcptool.analysis.accept_queues import (
    Key,
    Place,
    Track,
    Watch,
    counter_readings,
    drops_of,
    handshakes,
    key_of,
    member_connections,
    place_of,
)
from tcptool.catalog import diag
from tcptool.catalog import listeners as facts
from tcptool.catalog.options import BY_NAME, OptionValue
from tcptool.catalog.severity import Severity
from tcptool.catalog.states import LISTEN, TCP_STATES, number
from tcptool.decode.net_counters import parse_counters
from tcptool.errors import NotFound, NotPermitted, TcptoolError, describe_errno
from tcptool.linux.cgroups import cgroup_paths
from tcptool.linux.kernel import Kernel
from tcptool.linux.lookup import sockets
from tcptool.linux.owners import Owners, find_owners
from tcptool.linux.sock_diag import FAMILIES, Dump
from tcptool.linux.visit import Readings, read_step, visit
from tcptool.model import target as targets
from tcptool.model.filter import And, Compare, Filter, Or, States
from tcptool.model.inspection import holder_records
from tcptool.model.listeners import (
    GONE,
    Listener,
    ListenerOptions,
    ListenersPlan,
    ListenersReport,
    ListenNamespace,
    ReuseportGroup,
)
from tcptool.model.owner import Holder
from tcptool.model.report import Missing, Warning
from tcptool.model.sock import Socket
from tcptool.sansio.filter_bytecode import compile_for_kernel

Progress = Callable[[float, str], None]
"""Told the share of the time that has gone, and a few words."""

_LISTENING: Final = States(frozenset({LISTEN}))
_SYN_RECV: Final = 1 << (number(TCP_STATES, "syn-recv") or 0)
_ESTABLISHED: Final = 1 << (number(TCP_STATES, "established") or 0)
_REUSEPORT: Final = BY_NAME["SO_REUSEPORT"]
_DEFER_ACCEPT: Final = BY_NAME["TCP_DEFER_ACCEPT"]
_FASTOPEN: Final = BY_NAME["TCP_FASTOPEN"]


def listeners(
    kernel: Kernel, plan: ListenersPlan, progress: Progress = lambda _share, _text: None
) -> ListenersReport:
    """Look at the listeners for ``plan.window_s``; Ctrl-C ends that early, with what was seen.

    Raises NotFound where the target names no listener, and other TcptoolErrors where the kernel
    refuses to tell.
    """
    host, home = host_facts(kernel), kernel.proc.netns_inode("self")
    selection = _select(kernel, plan)
    kernel = selection.kernel
    missing: list[Missing] = []
    before = _counters(kernel, missing)
    started_s = kernel.monotonic()
    watch, complete = _watched(kernel, plan, missing, progress)
    window_s = kernel.monotonic() - started_s
    counters = counter_readings(before, _counters(kernel, []), window_s)
    selection.look_again()
    namespace = ListenNamespace(
        netns_inode=kernel.netns_inode(),
        counters=counters,
        somaxconn=sysctl_number(kernel, facts.SOMAXCONN),
        tcp_max_syn_backlog=sysctl_number(kernel, facts.MAX_SYN_BACKLOG),
        tcp_syncookies=sysctl_number(kernel, facts.SYNCOOKIES),
        tcp_abort_on_overflow=sysctl_number(kernel, facts.ABORT_ON_OVERFLOW),
    )
    around = analysis.Around(namespace=namespace, elsewhere=namespace.netns_inode != home)
    table = _Table(kernel, plan, watch, selection, around, missing)
    shown = table.listeners()
    groups = table.groups(shown)
    whole = selection.everything and set(plan.families) == set(FAMILIES)
    findings = tuple(analysis.judge_namespace(around, shown)) if whole else ()
    judged = [*(one.verdict for one in shown), *(one.verdict for one in groups), *findings]
    return ListenersReport(
        window_s=window_s,
        samples=watch.samples,
        complete=complete,
        severity=analysis.worst(judged),
        listeners=tuple(shown),
        groups=groups,
        namespace=namespace,
        findings=findings,
        host=host,
        missing=missing,
        warnings=_warnings(shown),
    )


def _warnings(shown: Sequence[Listener]) -> list[Warning]:
    gone = sum(1 for one in shown if one.presence == GONE)
    if not gone:
        return []
    text = "1 listener" if gone == 1 else f"{gone} listeners"
    return [Warning("gone", f"{text} went away in this time")]


# -- which -------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Selection:
    """The listeners that were asked for.

    ``where`` is a filter, which is asked anew at the end, since its answer may change; ``keys``
    are those that matched so far.  ``everything`` where neither was given.
    """

    kernel: Kernel
    where: Filter | None = None
    keys: set[Key] = field(default_factory=set)
    everything: bool = False

    def look_again(self) -> None:
        """Add what the filter accepts now."""
        if self.where is not None:
            self.keys |= {key_of(sock) for sock in matching(self.kernel, self.where)}

    def __contains__(self, track: Track) -> bool:
        return self.everything or key_of(track.last) in self.keys


def _select(kernel: Kernel, plan: ListenersPlan) -> _Selection:
    match plan.target:
        case None:
            return _Selection(kernel, everything=True)
        case targets.FilterTarget(expression):
            selection = _Selection(kernel, And((_LISTENING, expression)))
            selection.look_again()
            return selection
        case targets.Port(port):
            selection = _Selection(kernel, And((_LISTENING, Compare("local_port", "=", port))))
            selection.look_again()
            if not selection.keys:
                raise NotFound(
                    f"looking for listeners on port {port}",
                    "nothing listens there",
                    "`tcptool listeners` shows who listens where.",
                )
            return selection
        case target:
            return _named(kernel, target)


def _named(kernel: Kernel, target: targets.Target) -> _Selection:
    """The listeners of a descriptor, a process or a cookie: of its namespace, not of ours."""
    doing = f"looking for {describe(target)}"
    found = whole_connections(resolve(kernel, target))
    listening = [one for one in found if one.socket.state == "listen"]
    if not listening:
        why = "it does not listen" if found else "no TCP socket matches"
        raise NotFound(doing, why, "`tcptool listeners` shows who listens where.")
    for one in listening:
        if one.elsewhere:
            raise NotPermitted(doing, one.elsewhere.why, f"Needed: {one.elsewhere.needs}.")
    return _Selection(listening[0].kernel, keys={key_of(one.socket) for one in listening})


# -- looking -----------------------------------------------------------------------------------


def _watched(
    kernel: Kernel, plan: ListenersPlan, missing: list[Missing], progress: Progress
) -> tuple[Watch, bool]:
    """Looks at all listeners, and whether they went on to the end of the window."""
    watch, started_s = Watch(), kernel.monotonic()
    try:
        while True:
            began_s = kernel.monotonic()
            dump = Dump(
                kernel,
                families=plan.families,
                states=1 << LISTEN,
                extensions=diag.EXT_SKMEMINFO,
            )
            seen = list(sockets(dump))
            took_s = kernel.monotonic() - began_s
            elapsed_s = began_s + took_s - started_s
            watch.look(elapsed_s, seen)
            if watch.samples == 1:
                missing += dump.missing
            left_s = plan.window_s - elapsed_s
            if left_s <= 0:
                return watch, True
            progress(elapsed_s / plan.window_s, f"{len(watch.tracks)} listeners")
            rest_s = max(facts.SAMPLE_S - took_s, (facts.LOOK_SHARE - 1) * took_s)
            kernel.wait(min(left_s, rest_s))
    except KeyboardInterrupt:
        if not watch.samples:
            raise  # before there was anything to tell
        return watch, False


def _counters(kernel: Kernel, missing: list[Missing]) -> Mapping[str, int]:
    try:
        return parse_counters(kernel.net_text("netstat"))
    except OSError as exc:
        why = describe_errno(exc.errno or 0)
        missing.append(Missing("what /proc/net/netstat counts", why, "a readable /proc/net"))
        return {}


# -- the table ---------------------------------------------------------------------------------


class _Table:
    """The listeners that were asked for, with their owners, and the groups that they are in."""

    def __init__(
        self,
        kernel: Kernel,
        plan: ListenersPlan,
        watch: Watch,
        selection: _Selection,
        around: analysis.Around,
        missing: list[Missing],
    ) -> None:
        self._kernel, self._plan, self._watch, self._around = kernel, plan, watch, around
        self._missing = missing
        self._tracks = [track for track in watch.tracks.values() if track in selection]
        self._groups = [group for group in watch.groups() if any(t in selection for t in group)]
        self._half_open = handshakes(
            (track.last for track in watch.tracks.values()),
            sockets(Dump(kernel, families=plan.families, states=_SYN_RECV, extensions=0)),
        )
        wanted = [*self._tracks, *(track for group in self._groups for track in group)]
        established = list(_at_ports(kernel, plan.families, self._groups))
        inodes = {track.last.inode for track in wanted} | {sock.inode for sock in established}
        self._owners = find_owners(
            kernel.proc, kernel.netns_inode(), wanted={inode for inode in inodes if inode}
        )
        self._connections = dict(_connections(self._groups, established, self._owners))
        self._cgroups = cgroup_paths(kernel.proc) if self._tracks else {}

    def listeners(self) -> list[Listener]:
        """The worst first, then the fullest, then by address."""
        shown = [self._listener(track) for track in self._tracks]
        if any(one.holders is None for one in shown):
            self._missing += self._owners.missing()
        order = list(Severity)
        shown.sort(
            key=lambda one: (
                -order.index(one.verdict.severity),
                -(one.full_percent or 0),
                -(one.new_drops or 0),
                (one.local.port, one.local.address, one.inode or 0),
            )
        )
        return shown

    def groups(self, shown: Sequence[Listener]) -> tuple[ReuseportGroup, ...]:
        """The groups, judged by all of their members, also those that were not asked for."""
        by_key = {one.inode or one.cookie: one for one in shown}
        return tuple(
            analysis.group_of(
                [by_key.get(key_of(track.last)) or self._listener(track) for track in group]
            )
            for group in self._groups
        )

    def _listener(self, track: Track) -> Listener:
        sock = track.last
        holders = self._owners.of(sock.inode)
        known = None if not holders and self._owners.unreadable else holder_records(holders)
        options = self._options(sock, holders)
        case = analysis.Case(track, known, self._around, options)
        group = next((i for i, group in enumerate(self._groups) if track in group), None)
        return Listener(
            local=sock.local,
            protocol=sock.protocol,
            family=sock.family,
            v6only=sock.v6only,
            ifindex=sock.ifindex,
            cookie=sock.cookie,
            inode=sock.inode,
            uid=sock.uid,
            cgroup=self._cgroups.get(sock.cgroup_id) if sock.cgroup_id is not None else None,
            holders=known,
            presence=self._watch.presence(track),
            accept_queue=sock.accept_queue,
            min_accept_queue=track.min_accept_queue,
            max_accept_queue=track.max_accept_queue,
            backlog=sock.backlog,
            capped=case.capped,
            full_percent=track.full_percent,
            samples=track.samples,
            full_samples=track.full_samples,
            drops=drops_of(sock),
            new_drops=track.new_drops,
            peak_drops=track.peak_drops,
            drops_per_s=track.drops_per_s,
            syn_recv=self._half_open[place_of(sock)],
            group=group,
            queue_share_percent=None
            if group is None
            else analysis.share_percent(
                track.max_accept_queue, [one.max_accept_queue for one in self._groups[group]]
            ),
            connections=self._connections.get(key_of(sock)),
            options=options,
            verdict=analysis.judge(case),
        )

    def _options(self, sock: Socket, holders: tuple[Holder, ...]) -> ListenerOptions | None:
        if not self._plan.options or not holders:
            return None
        readings: Readings = {}
        steps = [read_step(readings, one) for one in (_REUSEPORT, _DEFER_ACCEPT, _FASTOPEN)]
        cookie = int(sock.cookie, 16) if sock.cookie else None
        try:
            visit(self._kernel, holders, steps, inode=sock.inode or 0, cookie=cookie)
        except NotFound:
            return None  # closed since it was seen: normal
        except TcptoolError as exc:
            lack = Missing("socket options of some listeners", exc.why, exc.hint)
            if lack.what not in {one.what for one in self._missing}:
                self._missing.append(lack)
            return None
        reuseport, defer_accept, fastopen = (
            value_of(one, readings.get(one)) for one in (_REUSEPORT, _DEFER_ACCEPT, _FASTOPEN)
        )
        return ListenerOptions(
            reuseport=None if reuseport is None else bool(reuseport),
            defer_accept_s=_whole(defer_accept),
            fastopen_queue=_whole(fastopen),
        )


def _whole(value: OptionValue | None) -> int | None:
    return value if isinstance(value, int) else None


def _at_ports(
    kernel: Kernel, families: Iterable[int], groups: Sequence[Sequence[Track]]
) -> Iterator[Socket]:
    """Established connections at the ports of the groups; none of any other."""
    ports = sorted({group[0].last.local.port for group in groups})
    if not ports:
        return
    there = Or(tuple(Compare("local_port", "=", port) for port in ports))
    code = compile_for_kernel(there).bytecode
    dump = Dump(kernel, families=families, states=_ESTABLISHED, extensions=0, bytecode=code)
    # One of MPTCP is two rows of one inode; /proc/net is not filtered.
    yield from {sock.inode: sock for sock in sockets(dump) if sock.local.port in ports}.values()


def _connections(
    groups: Sequence[Sequence[Track]], established: Sequence[Socket], owners: Owners
) -> Iterator[tuple[Key, int | None]]:
    """How many connections each member of a group holds, as far as the owners tell."""
    for group in groups:
        place: Place = place_of(group[0].last)
        held = [
            _pids(owners, sock.inode)
            for sock in established
            if (sock.family, sock.local.port) == (place[0], place[2])
        ]
        members = [_pids(owners, track.last.inode) for track in group]
        for track, count in zip(group, member_connections(members, held), strict=True):
            yield key_of(track.last), count


def _pids(owners: Owners, inode: int | None) -> frozenset[int]:
    return frozenset(holder.process.pid for holder in owners.of(inode))
