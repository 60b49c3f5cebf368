"""Checks of listeners: accept queues and connection requests.

Two looks at each, and the counters of all; `listeners` watches them between, and its rules of
analysis/listeners.py hold here too.
"""

from __future__ import annotations

import math
from typing import Final

from tcptool.analysis.accept_queues import full_percent, is_near_full
from tcptool.analysis.host.facts import SHOWN, Facts, Lacks, Verdict, count, ok, words
from tcptool.analysis.listeners import COOKIES_RISK, backlog_for, judge_cookies
from tcptool.catalog.listeners import (
    ALWAYS_COOKIES,
    CAUSES,
    COOKIES_BACK,
    COOKIES_SENT,
    FLOOD,
    LISTEN_DROPS,
    OTHER_DROPS,
    OVERFLOWS,
    SMALL_BACKLOG,
    SOMAXCONN,
    SYN_BURST,
    SYN_QUEUE_DROPS,
    SYNCOOKIES,
)
from tcptool.catalog.severity import Severity
from tcptool.model.doctor import Evidence, Remedy
from tcptool.model.host import HostSocket

_OLD_SOMAXCONN: Final = 128
_MYTHS: Final = ("syn-backlog",)


def accept_queues(facts: Facts) -> Verdict:
    """H-12: listeners whose queue is full, and connections that found it so."""
    listeners = [one for one in facts.sockets("listen") if one.backlog is not None]
    try:
        counted = facts.counters(OVERFLOWS, LISTEN_DROPS)
    except Lacks:
        if not listeners:
            raise
        counted = []
    overflows = [one for one in counted if one.name == OVERFLOWS]
    grown, total = sum(one.grown for one in overflows), sum(one.total for one in overflows)
    listeners.sort(key=lambda one: (_dropped(facts, one) if grown else 0, _full(one)), reverse=True)
    tight = [one for one in listeners if is_near_full(one.accept_queue or 0, one.backlog or 0)]
    # One that is full at this moment need not be the one that overflowed.
    guilty = [one for one in listeners if _dropped(facts, one)] if grown else tight
    if grown and not facts.state.drops_before:
        guilty = tight
    evidence = (
        *facts.shown(*counted),
        *(_seen(facts, one) for one in (guilty or tight or listeners)[:SHOWN]),
        *facts.setting(SOMAXCONN),
    )
    if not grown and not tight and total:
        return facts.past(f"a queue was full {count(total, 'time')}", *evidence)
    if not grown and not tight:
        if "tcp_info" in facts.state.lacks:
            return ok("no queue overflowed; how full the queues are is not told", *evidence)
        return ok(f"{count(len(listeners), 'listener')}, none near its limit", *evidence)
    shown = [f"{facts.name(one)}: {_fill(one)}" for one in guilty[:1]]
    if grown:
        shown.insert(0, f"a queue was full {count(grown, 'time')} in {facts.window()}")
    is_full = any((one.accept_queue or 0) > (one.backlog or 0) for one in tight)
    severity = Severity.FAIL if grown or is_full else Severity.WARN
    old = any(one.backlog == _OLD_SOMAXCONN for one in guilty)
    myths = (*_MYTHS, "somaxconn-128") if old else _MYTHS
    remedy = _longer(facts, guilty[0], grown) if guilty else _watch(facts)
    return Verdict(severity, words(shown), evidence, remedy, myths)


def _full(listener: HostSocket) -> float:
    return full_percent(listener.accept_queue or 0, listener.backlog or 0)


def _dropped(facts: Facts, listener: HostSocket) -> int:
    """What a listener dropped between the readings; 0 where that is not known."""
    drops = listener.drops or 0
    return max(drops - facts.state.drops_before.get(listener.cookie or "", drops), 0)


def _fill(listener: HostSocket) -> str:
    return f"{listener.accept_queue or 0} wait, backlog {listener.backlog}"


def _seen(facts: Facts, listener: HostSocket) -> Evidence:
    text, dropped = _fill(listener), _dropped(facts, listener)
    if dropped:
        text += f", {dropped} dropped in {facts.window()}"
    return Evidence(facts.name(listener), text)


def _watch(facts: Facts) -> Remedy:
    return Remedy(
        advice="No listener that is here now dropped them, or none tells. Watch which one does.",
        command=facts.tcptool("listeners"),
    )


def _longer(facts: Facts, listener: HostSocket, overflows: int) -> Remedy:
    """The backlog that is enough, and net.core.somaxconn only as far as that takes it."""
    backlog = listener.backlog or 0
    # A client that found no room tries again each second, and may count twice each time.
    lost = min(_dropped(facts, listener), overflows) / max(facts.state.elapsed_s, 1)
    wanted = backlog_for(listener.accept_queue or 0, math.ceil(lost), backlog)
    if wanted <= backlog:
        return Remedy(
            advice="So long a queue fills only where the program is too slow: let it accept "
            "faster, or in more processes.",
            command=facts.tcptool("listeners"),
        )
    commands, undo, persistence = [], [], []
    if facts.has(SOMAXCONN) and facts.number(SOMAXCONN) < wanted:
        raised = facts.set({SOMAXCONN: str(wanted)}, "", "")
        commands.append(raised.command)
        undo.append(raised.undo)
        persistence.append(raised.persistence)
    commands.append(facts.apply(listener, f"backlog={wanted}"))
    undo.insert(0, facts.apply(listener, f"backlog={backlog}"))
    persistence.append("in the program: a larger argument of listen()")
    return Remedy(
        advice="Let the program accept faster; a longer backlog takes longer bursts, and "
        "`tcptool listeners` watches how long they are. The smaller of listen()'s argument and "
        "net.core.somaxconn counts, and both are read at listen().",
        command=" && ".join(filter(None, commands)),
        persistence="; ".join(filter(None, persistence)),
        risk="where the program is too slow for good, clients wait longer instead of failing",
        undo=" && ".join(filter(None, undo)),
    )


_ANSWERS: Final = {
    SMALL_BACKLOG: "A backlog that is too small, not an attack: see H-12.",
    FLOOD: "Keep tcp_syncookies=1, it holds the door open; filter nearer to the source.",
    SYN_BURST: "Leave the cookies on; a longer backlog in listen() takes longer bursts.",
}


def syn_cookies(facts: Facts) -> Verdict:
    """H-13: requests beyond the queue, and whether they come from real clients."""
    sent, received = facts.counter(COOKIES_SENT), facts.counter(COOKIES_BACK)
    others = facts.counters("TcpExtSyncookiesFailed", "TcpExtTCPReqQFullDoCookies", SYN_QUEUE_DROPS)
    overflows, drops = facts.counter(OVERFLOWS), facts.counter(LISTEN_DROPS)
    settings = facts.setting(SYNCOOKIES, "net.ipv4.tcp_max_syn_backlog")
    evidence = (*facts.shown(sent, received, *others, overflows, drops), *settings)
    cookies = facts.number(SYNCOOKIES) if facts.has(SYNCOOKIES) else None
    # Each overflow of an accept queue is such a drop too: that is H-12.
    dropped = max(drops.grown - overflows.grown, 0)
    refused = max(dropped, sum(one.grown for one in others if one.name == SYN_QUEUE_DROPS))
    if refused and cookies == 0:
        remedy = facts.set(
            {SYNCOOKIES: "1"},
            "Let the kernel answer with cookies when the queue is full.",
            COOKIES_RISK,
        )
        summary = f"{count(refused, 'connection request')} dropped, and cookies are off"
        return Verdict(Severity.FAIL, summary, evidence, remedy)
    if dropped:
        summary = f"{count(dropped, 'connection request')} dropped in {facts.window()}"
        remedy = Remedy(
            advice=f"See which listener drops them. {CAUSES[OTHER_DROPS].capitalize()}.",
            command=facts.tcptool("listeners"),
        )
        return Verdict(
            Severity.WARN, f"{summary}, though no accept queue was full", evidence, remedy
        )
    if cookies == ALWAYS_COOKIES:
        return ok(
            f"tcp_syncookies is {ALWAYS_COOKIES}: every request is answered with one", *evidence
        )
    found = judge_cookies(sent.grown, received.grown, overflows.grown)
    if found is None:
        return ok("no SYN cookie was sent", *evidence)
    remedy = Remedy(advice=_ANSWERS[found.cause])
    return Verdict(found.severity, found.message, evidence, remedy)
