"""What the queues of a listener, a SO_REUSEPORT group or a namespace mean, and what helps.

The cures are commands to paste.  net.ipv4.tcp_abort_on_overflow is never one of them: it turns
clients that would get in a second later into clients that fail.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tcptool.analysis.accept_queues import Track, drops_of
from tcptool.catalog import listeners as facts
from tcptool.catalog.severity import Severity
from tcptool.model.inspection import HolderRecord
from tcptool.model.listeners import Cure, Listener, ListenNamespace, QueueVerdict, ReuseportGroup

FINE = QueueVerdict(severity=Severity.OK, cause=facts.NONE, message=facts.CAUSES[facts.NONE])
UNKNOWN = QueueVerdict(
    severity=Severity.SKIP, cause=facts.UNKNOWN, message=facts.CAUSES[facts.UNKNOWN]
)
_DROPPED_CLIENTS = {
    True: "the clients get a reset (net.ipv4.tcp_abort_on_overflow is set)",
    False: "the clients try again each second, then less often, or believe that they are connected",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What a listener is judged with: its namespace, and whether that is not tcptool's own."""

    namespace: ListenNamespace
    elsewhere: bool = False

    def new(self, counter: str) -> int | None:
        """How far a counter of the namespace rose."""
        return next((c.new for c in self.namespace.counters if c.name == counter), None)


def judge(track: Track, holders: Sequence[HolderRecord] | None, around: Around) -> QueueVerdict:
    """What the queues of one listener mean."""
    near_full = (track.full_percent or 0) >= facts.NEAR_FULL_PERCENT
    drops = drops_of(track.last)
    if track.full_samples or track.new_drops:
        return _failing(track, holders, around, near_full=near_full)
    if near_full:
        return _near_full(track, holders, around)
    if drops:
        return QueueVerdict(
            severity=Severity.WARN,
            cause=facts.DROPPED_BEFORE,
            message=f"it has dropped {drops} since it began to listen, and none while it was "
            "looked at; a longer --for may see it happen",
        )
    return FINE if drops is not None or track.full_percent is not None else UNKNOWN


def _near_full(
    track: Track, holders: Sequence[HolderRecord] | None, around: Around
) -> QueueVerdict:
    most, least = track.max_accept_queue or 0, track.min_accept_queue or 0
    places = (track.last.backlog or 0) + 1
    stuck = track.samples > 1 and 100 * least >= facts.NEAR_FULL_PERCENT * places
    never_less = f", and never fewer than {least}: {_name(holders)} hardly accepts" if stuck else ""
    return QueueVerdict(
        severity=Severity.WARN,
        cause=facts.NEAR_FULL,
        message=f"{most} of the {places} connections that may wait for accept() have waited"
        f"{never_less}; nothing was dropped now{_capped(track, holders, around)}",
        blame=who(holders),
        cures=tuple(_longer_queue(track, holders, around, buys_time=stuck)),
    )


def _failing(
    track: Track, holders: Sequence[HolderRecord] | None, around: Around, *, near_full: bool
) -> QueueVerdict:
    cause = _cause(track, around, near_full=near_full)
    lost = f"; {track.new_drops} tries were dropped" if track.new_drops else ""
    blame: str | None = who(holders)
    cures: tuple[Cure, ...] = ()
    if cause in (facts.NOT_ACCEPTING, facts.BURST):
        clients = _DROPPED_CLIENTS[around.namespace.tcp_abort_on_overflow == 1]
        lost = lost or "; while it is full, connections are dropped"
        lost += f": {clients}{_capped(track, holders, around)}"
        cures = tuple(_longer_queue(track, holders, around, buys_time=cause != facts.BURST))
        if is_capped(track, around):
            blame = f"{blame}, and {facts.SOMAXCONN}"
    elif cause == facts.SYN_QUEUE:
        blame = "whoever sends the SYNs, if it is a flood"
        cures = tuple(_cookies(around, holders))
    else:
        blame = None
    return QueueVerdict(
        severity=Severity.FAIL,
        cause=cause,
        message=f"{_said(cause, track, holders, around)}{lost}",
        blame=blame,
        cures=cures,
    )


def _cause(track: Track, around: Around, *, near_full: bool) -> str:
    if track.full_samples and track.full_samples == track.samples > 1:
        return facts.NOT_ACCEPTING
    # An overflow may be over before the next look.
    if track.full_samples or near_full or around.new("TcpExtListenOverflows") != 0:
        return facts.BURST
    if around.new("TcpExtTCPReqQFullDrop") or around.namespace.tcp_syncookies == 0:
        return facts.SYN_QUEUE
    return facts.OTHER_DROPS


def _said(cause: str, track: Track, holders: Sequence[HolderRecord] | None, around: Around) -> str:
    name = _name(holders)
    if cause == facts.NOT_ACCEPTING:
        return (
            f"the accept queue was full at all {track.samples} looks: {name} does not accept, or "
            "more slowly than connections come"
        )
    if cause == facts.BURST:
        seen = (
            f"was full at {track.full_samples} of {track.samples} looks"
            if track.full_samples
            else "overflowed between two looks"
        )
        backlog = "backlog" if track.last.backlog is None else f"backlog of {track.last.backlog}"
        return f"the accept queue {seen}: the {backlog} is small for the bursts, or {name} pauses"
    if cause == facts.SYN_QUEUE and around.namespace.tcp_syncookies == 0:
        return (
            "the accept queue had room, and SYN cookies are off: the SYN queue was full, by the "
            f"backlog or by {facts.MAX_SYN_BACKLOG}, which counts only without cookies"
        )
    return facts.CAUSES[cause]


def is_capped(track: Track, around: Around) -> bool | None:
    """Whether the backlog stands at net.core.somaxconn; None where either is not known."""
    limit, backlog = around.namespace.somaxconn, track.last.backlog
    return None if limit is None or backlog is None else backlog == limit


def _capped(track: Track, holders: Sequence[HolderRecord] | None, around: Around) -> str:
    if not is_capped(track, around):
        return ""
    return (
        f". The backlog equals {facts.SOMAXCONN}: what {_name(holders)} asked for may have been "
        "cut to it, so both must be raised"
    )


# -- who ---------------------------------------------------------------------------------------


def _name(holders: Sequence[HolderRecord] | None) -> str:
    return holders[0].process if holders else "the program"


def who(holders: Sequence[HolderRecord] | None) -> str:
    """The program that must act."""
    if holders is None:
        return "its owner, which may not be seen"
    if not holders:
        return "its owner, which is no process of this network namespace; it may be the kernel"
    others = len({holder.pid for holder in holders}) - 1
    more = f" and {others} more" if others else ""
    return f"{holders[0].process} (pid {holders[0].pid}{more})"


# -- what helps --------------------------------------------------------------------------------


def enough_backlog(track: Track) -> int:
    """The smallest backlog with which what was seen would have filled less than 75 %.

    What was seen are the connections that waited, and about as many clients more as there were
    drops in the worst second.
    """
    waiting, drops = track.max_accept_queue or 0, track.peak_drops or 0
    if drops and track.last.backlog is not None:
        waiting = max(waiting, track.last.backlog + 1)  # it must have been full
    return min((waiting + drops) * 100 // facts.NEAR_FULL_PERCENT, facts.MOST_BACKLOG)


def _longer_queue(
    track: Track,
    holders: Sequence[HolderRecord] | None,
    around: Around,
    *,
    buys_time: bool = False,
) -> Iterator[Cure]:
    backlog, enough = track.last.backlog, enough_backlog(track)
    target = _target(track, holders, around)
    if backlog is None or enough <= backlog or target is None:
        return
    limit = around.namespace.somaxconn
    if limit is not None and enough > limit:
        yield _sysctl(
            facts.SOMAXCONN, limit, enough, around, holders, "the kernel cuts every backlog to it"
        )
    yield Cure(
        command=f"tcptool apply {target} backlog={enough}",
        undo=f"tcptool apply {target} backlog={backlog}",
        why="it buys time only: the program must accept faster, or in more processes"
        if buys_time
        else "until the program listens anew: give it that backlog in its configuration too",
    )


def _target(track: Track, holders: Sequence[HolderRecord] | None, around: Around) -> str | None:
    """How `apply` is told which listener.

    A cookie serves where the owner may not be seen, in this network namespace.
    """
    if holders:
        return f"{holders[0].pid}:{holders[0].fd}"
    unseen = holders is None and not around.elsewhere
    return f"sk:{track.last.cookie}" if unseen and track.last.cookie else None


def _cookies(around: Around, holders: Sequence[HolderRecord] | None) -> Iterator[Cure]:
    reachable = holders or not around.elsewhere
    if around.namespace.tcp_syncookies == 0 and reachable:
        yield _sysctl(
            facts.SYNCOOKIES, 0, 1, around, holders, "a full SYN queue then keeps nobody out"
        )


def _sysctl(
    name: str,
    old: int,
    new: int,
    around: Around,
    holders: Sequence[HolderRecord] | None,
    why: str,
) -> Cure:
    inside = ""
    if around.elsewhere and holders:
        inside = f"{shlex.join(['nsenter', '--target', str(holders[0].pid), '--net'])} "
    return Cure(
        command=f"{inside}sysctl -w {name}={new}", undo=f"{inside}sysctl -w {name}={old}", why=why
    )


# -- groups and the namespace ------------------------------------------------------------------


def share_percent(part: int | None, parts: Iterable[int | None]) -> float | None:
    """A part of the sum; None where something is unknown, or the sum is nothing."""
    known = [one for one in parts if one is not None]
    whole = sum(known)
    return 100 * part / whole if part is not None and whole else None


def judge_group(members: Sequence[Listener]) -> QueueVerdict:
    """Whether the load lies unevenly, and what that means."""
    full = [one for one in members if one.new_drops or _full(one)]
    roomy = [one for one in members if not one.new_drops and not _full(one)]
    if not full or not roomy:
        return FINE
    worst = max(full, key=lambda one: (one.full_percent or 0, one.new_drops or 0))
    severity = Severity.FAIL if worst.verdict.severity is Severity.FAIL else Severity.WARN
    return QueueVerdict(
        severity=severity,
        cause=facts.UNEVEN,
        message=f"{len(full)} of {len(members)} members {'is' if len(full) == 1 else 'are'} full "
        "while the others have room. The "
        "kernel chooses a member by a hash of the addresses and ports, not by who accepts: what "
        "it gives to a member that is stuck waits there",
        blame=worst.verdict.blame or who(worst.holders),
    )


def _full(listener: Listener) -> bool:
    return (listener.full_percent or 0) >= facts.NEAR_FULL_PERCENT


def group_of(members: Sequence[Listener]) -> ReuseportGroup:
    """The group that its members make."""
    queues = [one.max_accept_queue for one in members]
    drops = [one.new_drops for one in members]
    return ReuseportGroup(
        local=members[0].local,
        family=members[0].family,
        members=len(members),
        even_percent=100 / len(members),
        max_accept_queue=_sum(queues),
        new_drops=_sum(drops),
        most_queue_percent=share_percent(max(_known(queues), default=None), queues),
        most_drops_percent=share_percent(max(_known(drops), default=None), drops),
        verdict=judge_group(members),
    )


def _known(values: Iterable[int | None]) -> list[int]:
    return [value for value in values if value is not None]


def _sum(values: Iterable[int | None]) -> int | None:
    known = _known(values)
    return sum(known) if known else None


def judge_namespace(around: Around, listeners: Sequence[Listener]) -> Iterator[QueueVerdict]:
    """What the counters of the namespace say beyond its listeners."""
    overflows = around.new("TcpExtListenOverflows") or 0
    if overflows and not any(one.new_drops or one.full_samples for one in listeners):
        yield QueueVerdict(
            severity=Severity.FAIL,
            cause=facts.OVERFLOW,
            message=f"{overflows} connections met a full accept queue, of a listener that is not "
            "shown here or has gone",
        )
    sent = around.new("TcpExtSyncookiesSent") or 0
    if not sent or around.namespace.tcp_syncookies == facts.ALWAYS_COOKIES:
        return
    back = around.new("TcpExtSyncookiesRecv") or 0
    came = f"{sent} SYN cookies were sent and {back} came back"
    if overflows:
        yield QueueVerdict(
            severity=Severity.WARN,
            cause=facts.SMALL_BACKLOG,
            message=f"{came} while accept queues overflowed: a small backlog, not an attack",
            blame="the listeners that overflow",
        )
    elif sent >= facts.FLOOD_COOKIES_LEAST and 100 * back < facts.FLOOD_COOKIES_PERCENT * sent:
        yield QueueVerdict(
            severity=Severity.WARN,
            cause=facts.FLOOD,
            message=f"{came}, and no accept queue overflowed: probably a SYN flood, or clients "
            "whose answers are lost. Leave the cookies on",
            blame="whoever sends the SYNs",
        )
    else:
        yield QueueVerdict(
            severity=Severity.INFO,
            cause=facts.SYN_BURST,
            message=f"{came}: a burst of connections filled a SYN queue, whose limit is the "
            "backlog too, and the cookies kept them going",
        )


def worst(verdicts: Iterable[QueueVerdict]) -> Severity:
    """The severity of the worst of them."""
    order = list(Severity)
    return max((one.severity for one in verdicts), key=order.index, default=Severity.OK)
