"""What a path needs of this host, and whether its limits are enough: `doctor --rtt --rate`."""

from __future__ import annotations

import math
from typing import Final

from tcptool.analysis import bdp
from tcptool.analysis.host.facts import Facts, Lacks, Verdict, ok, size, words
from tcptool.analysis.host.memory import RMEM, WMEM, raise_limits
from tcptool.catalog.severity import Severity
from tcptool.model.doctor import BufferLimit, Evidence, PathNeeds, Remedy
from tcptool.units import Unit, human

ENOUGH, JUST_ENOUGH, TOO_SMALL, UNKNOWN = "enough", "just-enough", "too-small", "unknown"
ANSWERS: Final = (ENOUGH, JUST_ENOUGH, TOO_SMALL, UNKNOWN)


def path_needs(facts: Facts, rate_bytes_per_s: int, rtt_us: int) -> PathNeeds:
    """The buffers, window scale and loss budget of a path, against what this host allows."""
    product = bdp.bdp_bytes(rate_bytes_per_s, rtt_us)
    congestion = _text(facts, "net.ipv4.tcp_congestion_control")
    receive_needed = bdp.receive_limit_bytes(product)
    present, most = _number(facts, RMEM, 2), _number(facts, "net.core.rmem_max", 0)
    scale, window = None, None
    if present is not None:
        scale = bdp.window_scale(max(present, most or 0))
        window = bdp.largest_window_bytes(present, scale)
    sendable = _number(facts, WMEM, 2)
    budget = bdp.loss_budget_percent(rate_bytes_per_s, rtt_us)
    return PathNeeds(
        rate_bytes_per_s=rate_bytes_per_s,
        rtt_us=rtt_us,
        mss_bytes=bdp.USUAL_MSS_BYTES,
        bdp_bytes=product,
        congestion_control=congestion,
        receive=_limit(RMEM, present, receive_needed, window, product, rtt_us),
        send=_limit(
            WMEM,
            sendable,
            bdp.send_limit_bytes(product, congestion),
            None if sendable is None else sendable / bdp.MEMORY_PER_BYTE,
            product,
            rtt_us,
        ),
        window_scale=scale,
        needed_window_scale=bdp.window_scale(max(receive_needed, most or 0)),
        loss_budget_percent=budget,
        packets_between_losses=math.ceil(100 / budget),
        connections_to_pressure=_connections(facts, max(receive_needed, present or 0)),
    )


def _limit(
    sysctl: str,
    present: int | None,
    needed: int,
    in_flight: float | None,
    product: int,
    rtt_us: int,
) -> BufferLimit:
    """One limit; ``in_flight`` is what fits into it on the way."""
    if present is None or in_flight is None:
        return BufferLimit(
            sysctl=sysctl,
            present_bytes=None,
            needed_bytes=needed,
            allows_bytes_per_s=None,
            answer=UNKNOWN,
        )
    answer = JUST_ENOUGH if in_flight >= product else TOO_SMALL
    return BufferLimit(
        sysctl=sysctl,
        present_bytes=present,
        needed_bytes=needed,
        allows_bytes_per_s=bdp.window_rate_bytes_per_s(in_flight, rtt_us),
        answer=ENOUGH if present >= needed else answer,
    )


def judge_path(facts: Facts, needs: PathNeeds) -> Verdict:
    """H-15 for a path that the user named: commands only for limits that are too small."""
    limits = (needs.receive, needs.send)
    evidence = (
        *(
            Evidence(seen.where, f"{seen.value}; the path wants {one.needed_bytes} at the end")
            for one in limits
            for seen in facts.setting(one.sysctl)
        ),
        *facts.setting("net.core.rmem_max"),
    )
    if all(one.answer == UNKNOWN for one in limits):
        raise Lacks(f"neither {RMEM} nor {WMEM} can be read here")
    if needs.bdp_bytes > bdp.LARGEST_WINDOW_BYTES:
        number = math.ceil(needs.bdp_bytes / bdp.LARGEST_WINDOW_BYTES)
        summary = f"the path holds {size(needs.bdp_bytes)}, and a window ends at 1 GiB"
        advice = f"Share the rate among {number} connections or more; no limit gives it to one."
        return Verdict(Severity.WARN, summary, evidence, Remedy(advice=advice))
    small = [one for one in limits if one.answer == TOO_SMALL]
    if small:
        summary = words(
            f"{one.sysctl}[2] is {size(one.present_bytes or 0)}, which allows "
            f"{human(one.allows_bytes_per_s or 0, Unit.BYTES_PER_SECOND)}"
            for one in small
        )
        remedy = raise_limits(facts, {one.sysctl: one.needed_bytes for one in small})
        return Verdict(Severity.WARN, summary, evidence, remedy, ("bigger-is-better",))
    if any(one.answer == JUST_ENOUGH for one in limits):
        advice = "Leave it: the rate is reached, only with less room for a burst or a worse path."
        return Verdict(Severity.INFO, "the limits are just enough", evidence, Remedy(advice=advice))
    return ok("the limits are enough: leave them", *evidence)


def _number(facts: Facts, sysctl: str, place: int) -> int | None:
    try:
        return facts.number(sysctl, place)
    except Lacks:
        return None


def _text(facts: Facts, sysctl: str) -> str | None:
    return facts.text(sysctl) if facts.has(sysctl) else None


def _connections(facts: Facts, limit_bytes: int) -> int | None:
    """How many connections may grow to this before TCP comes under memory pressure."""
    pages = _number(facts, "net.ipv4.tcp_mem", 1)
    return None if pages is None else pages * facts.state.page_bytes // limit_bytes
