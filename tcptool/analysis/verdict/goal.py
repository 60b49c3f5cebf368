"""What a wanted rate takes on this path, what is there, and what is possible instead.

After NPAD (Mathis, Heffner, O'Neil and Siemsen, "Pathdiag: Automated TCP Diagnosis", 2008): test
against a goal, name the budget, make counter-offers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tcptool.analysis import bdp
from tcptool.analysis.verdict.case import Case, micros, open_case, percent, rate, size
from tcptool.analysis.verdict.sender import is_locked
from tcptool.catalog import thresholds as limits
from tcptool.catalog.severity import Severity
from tcptool.model.diagnosis import Diagnosis, Goal, Requirement
from tcptool.model.observation import Observation
from tcptool.units import Unit


def with_goal(found: Diagnosis, seen: Observation, wanted_bytes_per_s: int | None) -> Diagnosis:
    """The diagnosis with what the wanted rate takes; as it is if none is wanted."""
    if wanted_bytes_per_s is None:
        return found
    case = open_case(seen)
    rtt_us = case.own.min_rtt_us or case.own.rtt_us
    if not rtt_us:
        return found  # a listener, or a connection that is not yet made
    rows = tuple(_requirements(case, wanted_bytes_per_s, rtt_us))
    goal = Goal(
        rate_bytes_per_s=float(wanted_bytes_per_s),
        goodput_bytes_per_s=_moved_bytes_per_s(case),
        rtt_us=rtt_us,
        reachable=_reachable(rows, found, there=_is_there(case, wanted_bytes_per_s)),
        requirements=rows,
        offers=tuple(_offers(case, wanted_bytes_per_s, rtt_us)),
    )
    return replace(found, goal=goal)


def _moved_bytes_per_s(case: Case) -> float | None:
    own = case.own
    return own.received_bytes_per_s if case.mostly_receives else own.goodput_bytes_per_s


def _is_there(case: Case, wanted: int) -> bool:
    """Whether it moves that much already, whatever a model would say."""
    return (_moved_bytes_per_s(case) or 0.0) >= wanted


def _reachable(rows: tuple[Requirement, ...], found: Diagnosis, *, there: bool) -> bool | None:
    if there:
        return True
    met = [row.met for row in rows]
    if False in met:
        return False
    # What holds it back now was looked at, and yet it is not seen to be too small.
    held_back = found.severity.reaches(Severity.WARN)
    return True if met and None not in met and not held_back else None


def _requirements(case: Case, wanted: int, rtt_us: float) -> Iterator[Requirement]:
    flight = bdp.bdp_bytes(wanted, rtt_us)
    own = case.own
    if case.mostly_receives:
        yield _at_least("rcv_wnd_bytes", flight, own.rcv_wnd_bytes, "host", "our receive window")
        most = case.limit("net.ipv4.tcp_rmem[2]")
        name, text = "net.ipv4.tcp_rmem[2]", "the largest receive buffer of new connections"
        yield _at_least(name, bdp.receive_limit_bytes(flight), most, "host", text)
        return
    yield _at_least("snd_wnd_bytes", flight, own.snd_wnd_bytes, "peer", "the peer's window")
    needed = bdp.send_limit_bytes(flight, case.congestion)
    if is_locked(case, "send"):
        text = "the send buffer, which somebody fixed (SO_SNDBUF)"
        yield _at_least("sndbuf_bytes", needed, own.sndbuf_bytes, "application", text)
    else:
        most = case.limit("net.ipv4.tcp_wmem[2]")
        text = "the largest send buffer that is tuned by itself"
        yield _at_least("net.ipv4.tcp_wmem[2]", needed, most, "host", text)
    cap = case.info.max_pacing_rate_bytes_per_s
    if isinstance(cap, int) and cap:  # 0 is no cap
        yield Requirement(
            name="max_pacing_rate_bytes_per_s",
            unit=Unit.BYTES_PER_SECOND.value,
            needed=float(wanted),
            present=float(cap),
            met=cap >= wanted,
            who="application",
            text="the cap that SO_MAX_PACING_RATE sets",
        )
    if not case.is_bbr:
        budget = bdp.loss_budget_percent(wanted, rtt_us, own.mss_bytes or bdp.USUAL_MSS_BYTES)
        lost = own.retrans_percent
        yield Requirement(
            name="retrans_percent",
            unit=Unit.PERCENT.value,
            needed=budget,
            present=lost,
            met=None if lost is None else lost <= budget,
            who="path",
            text="the most loss at which this congestion control holds the rate",
        )


def _at_least(name: str, needed: int, present: float | None, who: str, text: str) -> Requirement:
    return Requirement(
        name=name,
        unit=Unit.BYTES.value,
        needed=float(needed),
        present=None if present is None else float(present),
        met=None if present is None else present >= needed,
        who=who,
        text=text,
    )


def _offers(case: Case, wanted: int, rtt_us: float) -> Iterator[str]:
    """What could be had instead, each as a sentence; only what is less than wanted."""
    own = case.own
    if _is_there(case, wanted):
        return
    window = own.rcv_wnd_bytes if case.mostly_receives else own.snd_wnd_bytes
    if window:
        possible = bdp.window_rate_bytes_per_s(window, rtt_us)
        if possible < wanted:
            near = window * 1e6 / wanted
            yield (
                f"this window ({size(window)}) carries {rate(possible)} at {micros(rtt_us)}, and "
                f"{rate(wanted)} over a round trip of {micros(near)} or less"
            )
    lost = own.retrans_percent
    if not case.mostly_receives and not case.is_bbr and lost:
        mss = own.mss_bytes or bdp.USUAL_MSS_BYTES
        possible = bdp.loss_rate_bytes_per_s(lost, rtt_us, mss, limits.LOSS_MODEL)
        if possible < wanted:
            name = case.congestion or "this congestion control"
            yield f"this loss ({percent(lost)}) leaves {name} {rate(possible)} at most"
