"""Checks of what went wrong on the way: retransmissions, aborted and rejected segments."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tcptool.analysis.host.facts import (
    SHOWN,
    Facts,
    Growth,
    Verdict,
    count,
    ok,
    percent,
    share_percent,
    words,
)
from tcptool.catalog.host_thresholds import (
    ENOUGH_EVENTS,
    ENOUGH_RETRANSMISSIONS,
    ENOUGH_SEGMENTS,
    FAILED_PERCENT,
    LOSS_FAIL_PERCENT,
    LOSS_OK_PERCENT,
    LOSS_WARN_PERCENT,
    NEEDLESS_PERCENT,
    STRAY_PERCENT,
    TIMEOUTS_PERCENT,
)
from tcptool.catalog.severity import Severity
from tcptool.model.doctor import Evidence, Remedy


def retransmissions(facts: Facts) -> Verdict:
    """H-01: the share of what this host sends again."""
    sent, again = facts.counter("TcpOutSegs"), facts.counter("TcpRetransSegs")
    requests = facts.counter("TcpExtTCPSynRetrans")
    evidence = facts.shown(again, requests, sent)
    if sent.grown < ENOUGH_SEGMENTS:
        return Verdict(
            Severity.SKIP,
            f"{count(sent.grown, 'segment')} sent in {facts.window()}; to judge takes "
            f"{ENOUGH_SEGMENTS}: try a longer --for",
            evidence,
        )
    share = share_percent(_of_data(again, requests), sent.grown)
    summary = f"{percent(share)} of {sent.grown} segments sent again"
    if share < LOSS_OK_PERCENT:
        return ok(summary, *evidence)
    severity = (
        Severity.FAIL
        if share > LOSS_FAIL_PERCENT
        else Severity.WARN
        if share > LOSS_WARN_PERCENT
        else Severity.INFO
    )
    remedy = Remedy(
        advice="Look which connections lose, and whether they share a path; no sysctl mends a "
        "path.",
        command=facts.tcptool("list", "--sort", "retrans", "--limit", "10"),
    )
    return Verdict(severity, summary, (*evidence, *_worst(facts)), remedy)


def _of_data(counted: Growth, requests: Growth) -> int:
    """What is not of a handshake: an unanswered request is H-04, and always ends in timeouts."""
    return max(counted.grown - requests.grown, 0)


def _worst(facts: Facts) -> list[Evidence]:
    """The sockets with the most bytes sent again."""
    if "sockets" in facts.state.lacks:
        return []
    found = [one for one in facts.state.sockets if one.retrans_bytes]
    found.sort(key=lambda one: -(one.retrans_bytes or 0))
    return [
        Evidence(facts.name(one), f"{one.retrans_bytes} of {one.sent_bytes or 0} bytes sent again")
        for one in found[:SHOWN]
    ]


def timeouts(facts: Facts) -> Verdict:
    """H-02: how many retransmissions began with a timeout."""
    timeout, again = facts.counter("TcpExtTCPTimeouts"), facts.counter("TcpRetransSegs")
    requests = facts.counter("TcpExtTCPSynRetrans")
    evidence = facts.shown(timeout, again, requests)
    number, all_again = _of_data(timeout, requests), _of_data(again, requests)
    share = share_percent(number, all_again)
    summary = f"{count(number, 'timeout')} among {count(all_again, 'retransmission')} of data"
    if all_again < ENOUGH_RETRANSMISSIONS or share <= TIMEOUTS_PERCENT:
        return ok(summary, *evidence)
    remedy = Remedy(
        advice="Look at the connections that are retransmitting by timer now.",
        command=facts.tcptool("list", "timer = retransmit", "--columns", "+timer,rto"),
    )
    return Verdict(Severity.WARN, summary, evidence, remedy)


def needless(facts: Facts) -> Verdict:
    """H-03: retransmissions that the peer had no need of."""
    again = facts.counter("TcpRetransSegs")
    twice = facts.counter("TcpExtTCPDSACKRecv")
    others = facts.counters("TcpExtTCPSpuriousRTOs", "TcpExtTCPSACKReorder")
    evidence = facts.shown(twice, again, *others)
    share = share_percent(twice.grown, again.grown)
    if again.grown < ENOUGH_RETRANSMISSIONS or share <= NEEDLESS_PERCENT:
        return ok(f"{count(twice.grown, 'report')} of segments that came twice", *evidence)
    return Verdict(
        Severity.INFO,
        f"{percent(share)} of {again.grown} retransmissions came twice: reordering, not loss",
        evidence,
        Remedy(advice="Leave the host as it is: look for a path that reorders or delays."),
    )


def unanswered_connects(facts: Facts) -> Verdict:
    """H-04: connects that got no answer."""
    again = facts.counter("TcpExtTCPSynRetrans")
    failed, begun = facts.counter("TcpAttemptFails"), facts.counter("TcpActiveOpens")
    evidence = facts.shown(again, failed, begun)
    if not again.grown:
        return ok("no connection request was sent again", *evidence)
    waiting = [] if "sockets" in facts.state.lacks else facts.sockets("syn-sent")
    if not waiting and not begun.grown:
        # Answers count too, and handshakes that others began and did not finish.
        advice = (
            "Leave it: this host began no connection, so others leave its answers alone (scans)."
        )
        summary = f"{count(again.grown, 'answer')} to connection requests sent again"
        return Verdict(Severity.INFO, summary, evidence, Remedy(advice=advice))
    summary = f"{count(again.grown, 'connection request')} or answers sent again"
    remedy = Remedy(
        advice="Look who does not answer.",
        command=facts.tcptool("list", "state", "syn-sent"),
    )
    share = share_percent(failed.grown, begun.grown)
    if not waiting or share <= FAILED_PERCENT:
        return Verdict(Severity.INFO, summary, evidence, remedy)
    text = f"{summary}, {count(failed.grown, 'handshake')} failed"
    return Verdict(Severity.WARN, text, evidence, remedy)


def aborts(facts: Facts) -> Verdict:
    """H-05: connections that ended with a reset, by the reason that the kernel had."""
    reasons = facts.counters(
        *(f"TcpExtTCPAbortOn{word}" for word in ("Memory", "Timeout", "Data", "Close", "Linger"))
    )
    grown = {one.name.removeprefix("TcpExtTCPAbortOn"): one for one in reasons if one.grown}
    opened = facts.counters("TcpActiveOpens", "TcpPassiveOpens")
    evidence = facts.shown(*reasons, *facts.counters("TcpEstabResets", "TcpOutRsts"), *opened)
    if not grown:
        return ok("no connection was aborted", *evidence)
    summary = words(f"{one.grown} {_ABORTS[name]}" for name, one in grown.items())
    if "Memory" in grown:
        advice = "See H-14 (memory) and H-20 (orphans): which program holds so much?"
        return Verdict(Severity.FAIL, summary, evidence, Remedy(advice=advice))
    if "Timeout" in grown:
        lost, known = grown["Timeout"].grown, _sum(opened)
        lost_many = lost >= ENOUGH_EVENTS and (
            not known or share_percent(lost, known) > FAILED_PERCENT
        )
        severity = Severity.WARN if lost_many else Severity.INFO
        advice = "Peers vanished, or the path did: which ones do the programs' logs name?"
        return Verdict(severity, summary, evidence, Remedy(advice=advice), ("keepalive",))
    advice = "Mostly a program's own way to end; its clients see ECONNRESET."
    return Verdict(Severity.INFO, summary, evidence, Remedy(advice=advice))


_ABORTS: Final = {
    "Memory": "reset for want of memory",
    "Timeout": "given up without an answer",
    "Data": "reset by data after close()",
    "Close": "closed with data unread",
    "Linger": "ended by TCP_LINGER2",
}


def fast_open(facts: Facts) -> Verdict:
    """H-27: Fast Open attempts that failed."""
    names = ("ActiveFail", "PassiveFail", "ListenOverflow", "Blackhole")
    found = facts.counters(*(f"TcpExtTCPFastOpen{name}" for name in names))
    evidence = (*facts.setting("net.ipv4.tcp_fastopen"), *facts.shown(*found))
    grown = _sum(found)
    if not grown:
        return ok("no Fast Open attempt failed", *evidence)
    remedy = Remedy(advice="Leave it off in the program where its path drops such requests.")
    summary = f"{count(grown, 'Fast Open attempt')} failed"
    return Verdict(Severity.INFO, summary, evidence, remedy)


def _sum(growths: Iterable[Growth]) -> int:
    return sum(one.grown for one in growths)


_HARMLESS: Final = ("TcpExtTCPChallengeACK",)
"""A stray segment makes one; RFC 5961 asks for them."""


def rejected(facts: Facts) -> Verdict:
    """H-33: segments that arrived and were thrown away."""
    found = facts.counters(
        "IpInDiscards", "IpReasmFails", "TcpInCsumErrors", "TcpExtPAWSEstab",
        "TcpExtPAWSTimewait", "TcpExtTSEcrRejected", *_HARMLESS,
    )  # fmt: skip
    received = facts.counter("TcpInSegs")
    evidence = facts.shown(*found, received)
    grown = [one for one in found if one.grown]
    if not grown:
        return ok("nothing was rejected", *evidence)
    summary = words(f"{_REJECTS[one.name]}: {one.grown}" for one in grown)
    strays = _sum(one for one in grown if one.name not in _HARMLESS)
    many = strays >= ENOUGH_EVENTS or received.grown >= ENOUGH_SEGMENTS
    share = share_percent(strays, received.grown)
    if not (many and share >= STRAY_PERCENT) and not any(
        one.name == "IpInDiscards" for one in grown
    ):
        advice = "Leave it: so few are the noise of any network."
        return Verdict(Severity.INFO, summary, evidence, Remedy(advice=advice))
    advice = "Find the sender: a faulty device, or clients behind a shared address (PAWS)."
    return Verdict(Severity.WARN, summary, evidence, Remedy(advice=advice))


_REJECTS: Final = {
    "IpInDiscards": "dropped for want of memory",
    "IpReasmFails": "fragments without the rest",
    "TcpInCsumErrors": "with a wrong checksum",
    "TcpExtPAWSEstab": "with an old timestamp",
    "TcpExtPAWSTimewait": "connection requests with an old timestamp",
    "TcpExtTSEcrRejected": "echo of a timestamp never sent",
    "TcpExtTCPChallengeACK": "answered with a challenge",
}
