"""The diagnosis of one connection: tests in their order, the first that fits wins.

Order and thresholds: catalog/verdicts.py and catalog/thresholds.py.  ``unclear`` is an answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tcptool.analysis.verdict import receiver, sender, states
from tcptool.analysis.verdict.case import Case, Found, Test, open_case, percent, rate
from tcptool.analysis.verdict.cures import command, cure_of
from tcptool.catalog import thresholds as limits
from tcptool.catalog.verdicts import UNCLEAR, VERDICTS
from tcptool.model.diagnosis import Diagnosis
from tcptool.model.observation import Observation
from tcptool.units import Unit, human

STATES: Final[tuple[Test, ...]] = (
    states.closed,
    states.listener,
    states.handshake_unanswered,
    states.close_wait,
    states.zero_window,
    states.dead_peer,
    states.no_acks,
    receiver.stuck,
    states.idle,
)
"""Tests that one reading nearly settles; a busy machine does not make them doubtful."""

FLOWS: Final[tuple[Test, ...]] = (
    sender.pacing_cap,
    sender.held_back,
    receiver.receiving,
    receiver.not_limited,
    sender.receive_window,
    sender.send_buffer,
    sender.application_limited,
    sender.application_by_elimination,
    sender.reordering,
    sender.loss,
    sender.queueing,
    sender.path_rate_with_loss,
    sender.slow_start,
    sender.local_queue,
    sender.path_rate,
)
"""Tests on what many samples have in common."""


def diagnose(seen: Observation) -> Diagnosis:
    """What holds the connection back."""
    case = open_case(seen)
    found, doubts = _found(case)
    is_clear = found.confidence >= limits.CLEAR
    verdict = VERDICTS[found.verdict if is_clear else UNCLEAR]
    cure = cure_of(verdict.name, case)
    last = case.last
    return Diagnosis(
        handle=seen.reach.handle,
        protocol=last.protocol,
        family=last.family,
        state=last.state,
        local=last.local,
        peer=last.peer,
        cookie=last.cookie,
        holders=seen.holders,
        other_handle=None if seen.other_reach is None else seen.other_reach.handle,
        congestion=case.congestion,
        side=_side(case),
        verdict=verdict.name,
        leaning=None if is_clear or found.verdict == UNCLEAR else found.verdict,
        headline=verdict.headline,
        confidence=round(found.confidence, 2),
        severity=verdict.severity,
        who=verdict.who,
        evidence=found.evidence,
        not_this=tuple(_not_this(case, found.verdict)),
        cost=cure.cost,
        advice=cure.advice,
        notes=(*_notes(case), *doubts),
        again=_again(seen),
        goal=None,
        ended=seen.ended,
        measures=case.own,
    )


def _found(case: Case) -> tuple[Found, tuple[str, ...]]:
    """The verdict, and the reasons to believe it less."""
    if settled := _first(STATES, case):
        return settled, ()
    doubts = tuple(_doubts(case))
    found = _first(FLOWS, case)
    if found is None:
        return _nothing(case), doubts
    return found._replace(confidence=found.confidence * limits.DOUBT ** len(doubts)), doubts


def _first(tests: tuple[Test, ...], case: Case) -> Found | None:
    for test in tests:
        found = test(case)
        if found is not None:
            return found
    return None


def _nothing(case: Case) -> Found:
    own = case.own
    evidence = [f"{own.samples} samples in {human(own.duration_s, Unit.SECONDS)}"]
    if own.samples > 1:
        evidence.append(
            f"acknowledged {rate(own.goodput_bytes_per_s)}, received "
            f"{rate(own.received_bytes_per_s)}; {percent(own.cwnd_used_percent)} of "
            f"snd_cwnd_packets and {percent(own.snd_wnd_used_percent)} of snd_wnd_bytes in flight"
        )
    evidence.append(f"state {case.last.state}, timer {case.last.timer}")
    return Found(UNCLEAR, 0.2, tuple(evidence))


def _side(case: Case) -> str | None:
    if not case.moved:
        return None
    return "receiver" if case.mostly_receives else "sender"


def _doubts(case: Case) -> Iterator[str]:
    """Reasons to believe the samples less, each as a sentence."""
    own, load = case.own, case.seen.around.load_percent
    if load is not None and load > limits.BUSY_PERCENT:
        yield (
            f"this host is overloaded ({percent(load)} of its processors): what looks like the "
            "network may be a program that waits for a CPU"
        )
    if own.samples < limits.FEW_SAMPLES:
        yield f"only {own.samples} samples: a share of them is a hint"
    round_trips = own.duration_s * 1e6 / own.rtt_us if own.rtt_us else None
    longest = own.duration_s > 0.95 * limits.MAX_WINDOW_S  # nobody waits longer
    if round_trips is not None and round_trips < limits.WINDOW_ROUND_TRIPS and not longest:
        yield f"only {round_trips:.0f} round trips were sampled: use a longer --for"
    elif own.duration_s < limits.SHORT_WINDOW_S:
        yield "sampled for less than a second: the kernel's clocks are coarse; use a longer --for"


def _notes(case: Case) -> Iterator[str]:
    """What is worth knowing under any verdict."""
    own = case.own
    if case.seen.ended:
        yield f"the connection ended after {human(own.duration_s, Unit.SECONDS)} of sampling"
    if own.reset:
        yield "its counters went back to 0 while it was sampled: only what came after counts"
    if case.last.state == "syn-sent":
        return
    if own.timeouts:
        yield f"{own.timeouts} retransmission timeouts, each of rtt + 200 ms or more (total_rto)"
    elif own.timeouts is None and (own.in_loss_percent or 0.0) >= limits.TIMEOUT_SHARE_PERCENT:
        yield f"in the congestion state loss in {percent(own.in_loss_percent)} of the samples"
    again, needless = own.retrans_packets or 0, own.spurious or 0
    if (own.retrans_percent or 0.0) >= limits.LOSS_PERCENT and (
        needless > limits.SPURIOUS_SHARE * again
    ):
        yield (
            f"{needless} of {again} retransmissions were needless (dsack_dups): "
            "reordering or late acknowledgements, not loss"
        )
    if own.ce_percent:
        yield f"the path marks congestion (ECN): {percent(own.ce_percent)} of what was delivered"


_SUSPECTS: Final = (
    ("rwnd_limited", "rwnd_limited_percent", ("slow-reader", "peer-buffer")),
    ("sndbuf_limited", "sndbuf_limited_percent", ("send-buffer",)),
    ("app_limited", "app_limited_percent", ("application-limited",)),
    ("retransmitted", "retrans_percent", ("loss", "path-rate-with-loss")),
)
"""What a sender is usually suspected of, and the verdicts that it would be."""


def _not_this(case: Case, verdict: str) -> Iterator[str]:
    if not case.own.acked_bytes:
        return
    for name, measure, verdicts in _SUSPECTS:
        value = getattr(case.own, measure)
        if value is not None and verdict not in verdicts:
            yield f"{name} {percent(value)}"


def _again(seen: Observation) -> str | None:
    return command("diagnose", seen.reach) if seen.live else None
