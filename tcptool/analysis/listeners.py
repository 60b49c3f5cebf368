"""What the queues of a listener, a SO_REUSEPORT group or a namespace mean, and what helps.

The cures are commands to paste.  net.ipv4.tcp_abort_on_overflow is never one of them: it turns
clients that would get in a second later into clients that fail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tcptool.analysis.accept_queues import Track, drops_of, is_near_full
from tcptool.analysis.sysctls import keeping, setting
from tcptool.catalog import listeners as facts
from tcptool.catalog.severity import Severity
from tcptool.model.inspection import HolderRecord
from tcptool.model.listeners import (
    Cure,
    Listener,
    ListenerOptions,
    ListenNamespace,
    QueueVerdict,
    ReuseportGroup,
)

FINE = QueueVerdict(severity=Severity.OK, cause=facts.NONE, message=facts.CAUSES[facts.NONE])
UNKNOWN = QueueVerdict(
    severity=Severity.SKIP, cause=facts.UNKNOWN, message=facts.CAUSES[facts.UNKNOWN]
)
COOKIES_RISK: Final = "connections made by a cookie lack window scaling and SACK without timestamps"
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

    def total(self, counter: str) -> int | None:
        """What a counter of the namespace stands at."""
        return next((c.total for c in self.namespace.counters if c.name == counter), None)


@dataclass(frozen=True, slots=True)
class Case:
    """One listener, and what it is judged by.

    ``holders`` is None where they may not be seen, ``options`` where they were not read.
    """

    track: Track
    holders: Sequence[HolderRecord] | None
    around: Around
    options: ListenerOptions | None = None

    @property
    def near_full(self) -> bool:
        """Whether the queue was nearly used up."""
        return (self.track.full_percent or 0) >= facts.NEAR_FULL_PERCENT

    @property
    def may_have_lost(self) -> bool:
        """Whether a client lost its try, also where only the namespace counts."""
        untold = self.track.new_drops is None and self.around.new(facts.OVERFLOWS) != 0
        return untold or self.lost > 0

    @property
    def capped(self) -> bool | None:
        """Whether the backlog stands at net.core.somaxconn; None where either is not known."""
        limit, backlog = self.around.namespace.somaxconn, self.track.last.backlog
        return None if limit is None or backlog is None else backlog == limit

    @property
    def lost(self) -> int:
        """The new drops that cost a client its try.

        No more than the namespace counted: the last step of a handshake that meets a full accept
        queue is two drops of the listener (tcp_v4_syn_recv_sock() and tcp_v4_rcv() in
        net/ipv4/tcp_ipv4.c; measured).
        """
        new, counted = self.track.new_drops or 0, self.around.new(facts.LISTEN_DROPS)
        if self.may_be_held_back(new, self.around.new(facts.HELD_BACK)):
            return 0
        return new if counted is None else min(new, counted)

    def may_be_held_back(self, drops: int, counted: int | None) -> bool:
        """Whether so many drops may be handshakes that TCP_DEFER_ACCEPT held back for their data.

        A listener counts those among its drops (tcp_check_req() and tcp_v4_rcv() in net/ipv4;
        measured), and they lose nothing.  ``counted`` is what the namespace counted of them.
        """
        without = self.options is not None and self.options.defer_accept_s == 0
        return not drops or (not without and (counted or 0) >= drops)

    @property
    def name(self) -> str:
        """What the program calls itself, as far as that is known."""
        return self.holders[0].process if self.holders else "the program"

    @property
    def who(self) -> str:
        """The program that must act."""
        return who(self.holders)


def who(holders: Sequence[HolderRecord] | None) -> str:
    """The program that must act."""
    if holders is None:
        return "its owner, which may not be seen"
    if not holders:
        return "its owner, which is no process of this network namespace; it may be the kernel"
    others = len({holder.pid for holder in holders}) - 1
    more = f" and {others} more" if others else ""
    return f"{holders[0].process} (pid {holders[0].pid}{more})"


def judge(case: Case) -> QueueVerdict:
    """What the queues of one listener mean."""
    return _VERDICTS[_cause(case)](case)


def _cause(case: Case) -> str:
    track, around = case.track, case.around
    if track.full_samples:
        return facts.NOT_ACCEPTING if track.full_samples == track.samples > 1 else facts.BURST
    if case.lost:
        # An overflow may be over before the next look.
        if case.near_full or around.new(facts.OVERFLOWS) != 0:
            return facts.BURST
        if around.new(facts.SYN_QUEUE_DROPS) or around.namespace.tcp_syncookies == 0:
            return facts.SYN_QUEUE
        return facts.OTHER_DROPS
    if case.near_full:
        return facts.NEAR_FULL
    if not case.may_be_held_back(track.new_drops or 0, around.new(facts.HELD_BACK)):
        return facts.DISCARDED
    drops = drops_of(track.last)
    if drops and around.total(facts.LISTEN_DROPS) != 0:
        held_back = case.may_be_held_back(drops, around.total(facts.HELD_BACK))
        return facts.DEFERRED if held_back else facts.DROPPED_BEFORE
    return facts.UNKNOWN if drops is None and track.full_percent is None else facts.NONE


# -- what is said ------------------------------------------------------------------------------


def _plain(severity: Severity, cause: str) -> Callable[[Case], QueueVerdict]:
    """The meaning of the cause is all that is to be said."""
    verdict = QueueVerdict(severity=severity, cause=cause, message=facts.CAUSES[cause])
    return lambda _case: verdict


def _not_accepting(case: Case) -> QueueVerdict:
    return _overflowing(
        case,
        facts.NOT_ACCEPTING,
        f"the accept queue was full at all {case.track.samples} looks: {case.name} does not "
        "accept, or more slowly than connections come",
    )


def _burst(case: Case) -> QueueVerdict:
    track = case.track
    seen = "overflowed between two looks"
    if track.full_samples:
        seen = f"was full at {track.full_samples} of {track.samples} looks"
    backlog = "backlog" if track.last.backlog is None else f"backlog of {track.last.backlog}"
    return _overflowing(
        case,
        facts.BURST,
        f"the accept queue {seen}: the {backlog} is small for the bursts, or {case.name} pauses",
    )


def _overflowing(case: Case, cause: str, seen: str) -> QueueVerdict:
    lost = _tries(case.lost) if case.lost else "nothing was dropped, but the next ones will be"
    if case.may_have_lost and not case.lost:
        lost = "while it is full, connections are dropped"
    clients = _DROPPED_CLIENTS[case.around.namespace.tcp_abort_on_overflow == 1]
    return QueueVerdict(
        # Full at every look: whoever comes now waits for an answer, dropped or not.
        severity=Severity.FAIL
        if case.may_have_lost or cause == facts.NOT_ACCEPTING
        else Severity.WARN,
        cause=cause,
        message=f"{seen}; {lost}: {clients}{_may_be_cut(case)}",
        blame=f"{case.who}, and {facts.SOMAXCONN}" if case.capped else case.who,
        cures=tuple(_longer_queue(case, buys_time=cause == facts.NOT_ACCEPTING)),
    )


def _near_full(case: Case) -> QueueVerdict:
    track = case.track
    most, least = track.max_accept_queue or 0, track.min_accept_queue or 0
    backlog = track.last.backlog or 0
    places = backlog + 1
    stuck = track.samples > 1 and is_near_full(least, backlog)
    never_less = f", and never fewer than {least}: {case.name} hardly accepts" if stuck else ""
    return QueueVerdict(
        severity=Severity.WARN,
        cause=facts.NEAR_FULL,
        message=f"{most} of the {places} connections that may wait for accept() have waited"
        f"{never_less}; nothing was dropped now{_may_be_cut(case)}",
        blame=case.who,
        cures=tuple(_longer_queue(case, buys_time=stuck)),
    )


def _syn_queue(case: Case) -> QueueVerdict:
    seen = facts.CAUSES[facts.SYN_QUEUE]
    if case.around.namespace.tcp_syncookies == 0:
        seen = (
            "the accept queue had room, and SYN cookies are off: the SYN queue was full, by the "
            f"backlog or by {facts.MAX_SYN_BACKLOG}, which counts only without cookies"
        )
    return QueueVerdict(
        severity=Severity.FAIL,
        cause=facts.SYN_QUEUE,
        message=f"{seen}; {_tries(case.lost)}",
        blame="whoever sends the SYNs, if it is a flood",
        cures=tuple(_cookies(case)),
    )


def _other_drops(case: Case) -> QueueVerdict:
    return QueueVerdict(
        severity=Severity.WARN,
        cause=facts.OTHER_DROPS,
        message=f"{facts.CAUSES[facts.OTHER_DROPS]}; {_tries(case.lost)}",
    )


def _dropped_before(case: Case) -> QueueVerdict:
    return QueueVerdict(
        severity=Severity.INFO,
        cause=facts.DROPPED_BEFORE,
        message=f"it has dropped {drops_of(case.track.last)} since it began to listen, and none "
        "while it was looked at; a longer --for may see it happen",
    )


_VERDICTS: Final[dict[str, Callable[[Case], QueueVerdict]]] = {
    facts.NOT_ACCEPTING: _not_accepting,
    facts.BURST: _burst,
    facts.NEAR_FULL: _near_full,
    facts.SYN_QUEUE: _syn_queue,
    facts.OTHER_DROPS: _other_drops,
    facts.DISCARDED: _plain(Severity.WARN, facts.DISCARDED),
    facts.DROPPED_BEFORE: _dropped_before,
    facts.DEFERRED: _plain(Severity.INFO, facts.DEFERRED),
    facts.UNKNOWN: lambda _case: UNKNOWN,
    facts.NONE: lambda _case: FINE,
}


def _tries(number: int) -> str:
    return "1 try was dropped" if number == 1 else f"{number} tries were dropped"


def _may_be_cut(case: Case) -> str:
    if not case.capped:
        return ""
    return (
        f". The backlog equals {facts.SOMAXCONN}: what {case.name} asked for may have been cut "
        "to it, so both must be raised"
    )


# -- what helps --------------------------------------------------------------------------------


def enough_backlog(case: Case) -> int:
    """The smallest backlog with which what was seen would have filled less than 75 %.

    What was seen are the connections that waited, and about as many clients more as there were
    drops in the worst second.
    """
    drops = min(case.lost, case.track.peak_drops or 0)
    return backlog_for(case.track.max_accept_queue or 0, drops, case.track.last.backlog)


def backlog_for(waiting: int, lost: int = 0, backlog: int | None = None) -> int:
    """The smallest backlog of which so many connections at once take less than 75 %.

    ``lost`` are clients that found no room in a queue of ``backlog``.
    """
    if lost and backlog is not None:
        waiting = max(waiting, backlog + 1)  # it must have been full
    return min((waiting + lost) * 100 // facts.NEAR_FULL_PERCENT, facts.MOST_BACKLOG)


def _longer_queue(case: Case, *, buys_time: bool) -> Iterator[Cure]:
    backlog, enough, target = case.track.last.backlog, enough_backlog(case), _target(case)
    if backlog is None or enough <= backlog or target is None:
        return
    limit = case.around.namespace.somaxconn
    if limit is not None and enough > limit:
        yield _sysctl(
            case,
            facts.SOMAXCONN,
            (limit, enough),
            "the kernel cuts every backlog to it",
            "every program that asks for a longer queue gets it when it listens anew",
        )
    # A process that may be looked into may be changed too.
    command = "sudo tcptool apply" if case.holders is None else "tcptool apply"
    yield Cure(
        command=f"{command} {target} backlog={enough}",
        undo=f"{command} {target} backlog={backlog}",
        why="it buys time only: the program must accept faster, or in more processes"
        if buys_time
        else "until the program listens anew: give it that backlog in its configuration too",
    )


def _target(case: Case) -> str | None:
    """How `apply` is told which listener.

    A cookie serves where the owner may not be seen, in this network namespace.
    """
    if case.holders:
        return f"{case.holders[0].pid}:{case.holders[0].fd}"
    unseen = case.holders is None and not case.around.elsewhere
    return f"sk:{case.track.last.cookie}" if unseen and case.track.last.cookie else None


def _cookies(case: Case) -> Iterator[Cure]:
    reachable = case.holders or not case.around.elsewhere
    if case.around.namespace.tcp_syncookies == 0 and reachable:
        yield _sysctl(
            case, facts.SYNCOOKIES, (0, 1), "a full SYN queue then keeps nobody out", COOKIES_RISK
        )


def _sysctl(case: Case, name: str, values: tuple[int, int], why: str, risk: str) -> Cure:
    inside = ""
    if case.around.elsewhere and case.holders:
        inside = f"nsenter --target {case.holders[0].pid} --net "
    old, new = ({name: str(value)} for value in values)
    return Cure(
        command=setting(new, inside),
        undo=setting(old, inside),
        why=why,
        persistence=keeping(new, elsewhere=bool(inside)),
        risk=risk,
    )


# -- groups and the namespace ------------------------------------------------------------------


def share_percent(part: int | None, parts: Iterable[int | None]) -> float | None:
    """A part of the sum; None where something is unknown, or the sum is nothing."""
    known = [one for one in parts if one is not None]
    whole = sum(known)
    return 100 * part / whole if part is not None and whole else None


def judge_group(members: Sequence[Listener]) -> QueueVerdict:
    """Whether the load lies unevenly, and what that means."""
    full = [one for one in members if _full(one)]
    roomy = [one for one in members if not _full(one)]
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
        blame=worst.verdict.blame,
    )


def _full(listener: Listener) -> bool:
    return listener.verdict.cause in (*_OVERFLOWING, facts.NEAR_FULL)


_OVERFLOWING: Final = (facts.NOT_ACCEPTING, facts.BURST)
"""What a listener with an overflow is found to be."""


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
    overflows = around.new(facts.OVERFLOWS) or 0
    if overflows and not any(one.verdict.cause in _OVERFLOWING for one in listeners):
        yield QueueVerdict(
            severity=Severity.FAIL,
            cause=facts.OVERFLOW,
            message=f"{overflows} connections met a full accept queue, of a listener that is not "
            "shown here or has gone",
        )
    if around.namespace.tcp_syncookies != facts.ALWAYS_COOKIES:
        sent, back = around.new(facts.COOKIES_SENT) or 0, around.new(facts.COOKIES_BACK) or 0
        cookies = judge_cookies(sent, back, overflows)
        if cookies is not None:
            yield cookies


def judge_cookies(sent: int, back: int, overflows: int) -> QueueVerdict | None:
    """What SYN cookies mean that were sent while so many accept queues overflowed."""
    if not sent:
        return None
    came = f"{sent} SYN cookies were sent and {back} came back"
    if overflows:
        return QueueVerdict(
            severity=Severity.WARN,
            cause=facts.SMALL_BACKLOG,
            message=f"{came} while accept queues overflowed: a small backlog, not an attack",
            blame="the listeners that overflow",
        )
    if sent >= facts.FLOOD_COOKIES_LEAST and 100 * back < facts.FLOOD_COOKIES_PERCENT * sent:
        return QueueVerdict(
            severity=Severity.WARN,
            cause=facts.FLOOD,
            message=f"{came}, and no accept queue overflowed: probably a SYN flood, or clients "
            "whose answers are lost. Leave the cookies on",
            blame="whoever sends the SYNs",
        )
    return QueueVerdict(
        severity=Severity.INFO,
        cause=facts.SYN_BURST,
        message=f"{came}: a burst of connections filled a SYN queue, whose limit is the "
        "backlog too, and the cookies kept them going",
    )


def worst(verdicts: Iterable[QueueVerdict]) -> Severity:
    """The severity of the worst of them."""
    order = list(Severity)
    return max((one.severity for one in verdicts), key=order.index, default=Severity.OK)
