"""Checks of listeners: accept queues and connection requests.

One look at each; `listeners` watches them, and judges each by its own drops.
"""

from __future__ import annotations

from typing import Final

from tcptool.analysis.host.facts import (
    SHOWN,
    Facts,
    Lacks,
    Verdict,
    count,
    ok,
    percent,
    share_percent,
    words,
)
from tcptool.catalog.listeners import (
    ALWAYS_COOKIES,
    FLOOD_COOKIES_LEAST,
    FLOOD_COOKIES_PERCENT,
    MOST_BACKLOG,
    NEAR_FULL_PERCENT,
    SOMAXCONN,
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
        overflows = facts.counters("TcpExtListenOverflows", "TcpExtListenDrops")
    except Lacks:
        if not listeners:
            raise
        overflows = []
    refused = [one for one in overflows if one.name == "TcpExtListenOverflows"]
    grown, total = sum(one.grown for one in refused), sum(one.total for one in refused)
    listeners.sort(key=_used, reverse=True)
    full = [one for one in listeners if (one.accept_queue or 0) > (one.backlog or 0)]
    tight = [one for one in listeners if _used(one) >= NEAR_FULL_PERCENT]
    evidence = (
        *facts.shown(*overflows),
        *(Evidence(facts.name(one), _fill(one)) for one in (tight or listeners)[:SHOWN]),
        *facts.setting(SOMAXCONN),
    )
    if not grown and not tight and total:
        return facts.past(f"a queue was full {count(total, 'time')}", *evidence)
    if not grown and not tight:
        if "tcp_info" in facts.state.lacks:
            return ok("no queue overflowed; how full the queues are is not told", *evidence)
        return ok(f"{count(len(listeners), 'listener')}, none near its limit", *evidence)
    shown = [f"{facts.name(one)}: {_fill(one)}" for one in tight[:1]]
    if grown:
        shown.insert(0, f"a queue was full {count(grown, 'time')} in {facts.window()}")
    severity = Severity.FAIL if grown or full else Severity.WARN
    old = any(one.backlog == _OLD_SOMAXCONN for one in tight)
    myths = (*_MYTHS, "somaxconn-128") if old else _MYTHS
    remedy = _longer(facts, tight[0]) if tight else _watch(facts)
    return Verdict(severity, words(shown), evidence, remedy, myths)


def _used(listener: HostSocket) -> float:
    """How full the queue is.  It takes one more than its backlog: sk_acceptq_is_full()."""
    return share_percent(listener.accept_queue or 0, (listener.backlog or 0) + 1)


def _fill(listener: HostSocket) -> str:
    return f"{listener.accept_queue or 0} wait, backlog {listener.backlog}"


def _watch(facts: Facts) -> Remedy:
    return Remedy(
        advice="No queue is full at this moment: it fills in bursts. Watch which, and what helps.",
        command=facts.tcptool("listeners"),
    )


def _longer(facts: Facts, listener: HostSocket) -> Remedy:
    """Twice the backlog, and net.core.somaxconn only as far as that takes it."""
    backlog = listener.backlog or 0
    wanted = min(max(2 * backlog, 2), MOST_BACKLOG)
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
        advice="Let the program accept faster; a longer backlog takes longer bursts. The smaller "
        "of listen()'s argument and net.core.somaxconn counts, and both are read at listen().",
        command=" && ".join(filter(None, commands)),
        persistence="; ".join(filter(None, persistence)),
        risk="where the program is too slow for good, clients wait longer instead of failing",
        undo=" && ".join(filter(None, undo)),
    )


def syn_cookies(facts: Facts) -> Verdict:
    """H-13: requests beyond the queue, and whether they come from real clients."""
    sent, received = facts.counter("TcpExtSyncookiesSent"), facts.counter("TcpExtSyncookiesRecv")
    others = facts.counters(
        "TcpExtSyncookiesFailed", "TcpExtTCPReqQFullDoCookies", "TcpExtTCPReqQFullDrop"
    )
    settings = facts.setting(SYNCOOKIES, "net.ipv4.tcp_max_syn_backlog")
    evidence = (*facts.shown(sent, received, *others), *settings)
    dropped = sum(one.grown for one in others if one.name == "TcpExtTCPReqQFullDrop")
    if dropped and facts.number(SYNCOOKIES) == 0:
        remedy = facts.set(
            {SYNCOOKIES: "1"},
            "Let the kernel answer with cookies when the queue is full.",
            "connections made by a cookie lack window scaling and SACK without timestamps",
        )
        summary = f"{count(dropped, 'connection request')} dropped, and cookies are off"
        return Verdict(Severity.FAIL, summary, evidence, remedy)
    if not sent.grown:
        return ok("no SYN cookie was sent", *evidence)
    if facts.has(SYNCOOKIES) and facts.number(SYNCOOKIES) == ALWAYS_COOKIES:
        return ok(
            f"tcp_syncookies is {ALWAYS_COOKIES}: every request is answered with one", *evidence
        )
    summary = f"{count(sent.grown, 'SYN cookie')} sent in {facts.window()}"
    overflows = facts.counters("TcpExtListenOverflows", "TcpExtListenDrops")
    if any(one.grown for one in overflows if one.name == "TcpExtListenOverflows"):
        advice = "A backlog that is too small, not an attack: see H-12."
        text = f"{summary} while an accept queue overflowed"
        return Verdict(Severity.WARN, text, evidence, Remedy(advice=advice))
    answered = share_percent(received.grown, sent.grown)
    if sent.grown >= FLOOD_COOKIES_LEAST and answered < FLOOD_COOKIES_PERCENT:
        text = f"{summary}, {percent(answered)} came back: likely a flood"
        advice = "Keep tcp_syncookies=1, it holds the door open; filter nearer to the source."
        return Verdict(Severity.WARN, text, evidence, Remedy(advice=advice))
    advice = "Real clients come faster than the queue takes them: a longer backlog in listen()."
    return Verdict(Severity.WARN, summary, evidence, Remedy(advice=advice))
