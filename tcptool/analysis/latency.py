"""What `probe latency` compares, and what follows from the round trips.

The unit of observation is a block, which is one connection: a thousand requests on one connection
share its history and its processor, and are no thousand observations.  So a percentile is that of
a block, and of an arm the median over its blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Final

from tcptool.analysis.comparison import compare
from tcptool.analysis.estimates import (
    enough_for,
    median,
    median_interval,
    noise_percent,
    percentile,
)
from tcptool.catalog import latency as catalog
from tcptool.model.latency import (
    Arm,
    LatencyArm,
    LatencyBlock,
    LatencyPlan,
    Lesson,
    RoundTrips,
)
from tcptool.model.probe import Settings
from tcptool.model.report import Warning
from tcptool.units import Unit, human

CLOSED: Final = "closed"
OPEN: Final = "open"

_DELAYED_US: Final = 20_000.0
"""Half of the shortest time that Linux delays an acknowledgement, 40 ms (TCP_DELACK_MIN,
include/net/tcp.h).  Nothing else adds so much to one pattern and not to another."""
_CORKED_US: Final = 150_000.0
"""Linux holds back what is corked for the shortest retransmission timeout, 200 ms (TCP_RTO_MIN,
include/net/tcp.h)."""
_HELD_INTERVALS: Final = 1.2
"""A reply that leaves when the next request has come takes an interval and a quick round trip."""
_LATE_SHARE: Final = 100
"""A schedule is missed if more than one request in so many left late: then p99 is our own."""


def arms_of(plan: LatencyPlan) -> tuple[Arm, ...]:
    """Every combination that was asked for.

    Named after what distinguishes it.  Without load, an arm is compared with the first of its
    size; under load, with itself without.
    """
    options = (catalog.DEFAULT, *plan.matrix)
    loads = (False, True) if plan.under_load else (False,)
    sizes_vary, options_vary = len(plan.sizes_bytes) > 1, bool(plan.matrix)
    patterns_vary = len(plan.patterns) > 1 or not (sizes_vary or options_vary)
    arms: list[Arm] = []
    for size, pattern, option, loaded in product(plan.sizes_bytes, plan.patterns, options, loads):
        parts = [f"{size}B"] * sizes_vary + [pattern] * patterns_vary + [option] * options_vary
        quiet = "+".join(parts)
        first = next((one.name for one in arms if one.size_bytes == size), None)
        arms.append(
            Arm(
                name=f"{quiet}+load" if loaded else quiet,
                size_bytes=size,
                reply_bytes=plan.reply_bytes or size,
                pattern=pattern,
                option=option,
                under_load=loaded,
                base=quiet if loaded else first,
            )
        )
    return tuple(arms)


def block_of(trips: RoundTrips) -> LatencyBlock:
    """One observation from its raw readings, at least one."""
    ordered = sorted(trips.times_us)
    p90, p99, p99_9 = (
        percentile(ordered, percent) if len(ordered) >= enough_for(percent) else None
        for percent in (90, 99, 99.9)
    )
    return LatencyBlock(
        requests=len(ordered),
        p50_us=median(ordered),
        p90_us=p90,
        p99_us=p99,
        p99_9_us=p99_9,
        max_us=ordered[-1],
    )


def results(readings: Mapping[Arm, Sequence[RoundTrips]]) -> tuple[LatencyArm, ...]:
    """What each arm that has a block did, compared with its base in the blocks that both have."""
    blocks = {arm.name: tuple(map(block_of, trips)) for arm, trips in readings.items() if trips}
    return tuple(
        _result(arm, trips, blocks[arm.name], blocks.get(arm.base or ""))
        for arm, trips in readings.items()
        if trips
    )


def _result(
    arm: Arm,
    trips: Sequence[RoundTrips],
    blocks: tuple[LatencyBlock, ...],
    base: tuple[LatencyBlock, ...] | None,
) -> LatencyArm:
    middles = [block.p50_us for block in blocks]
    interval = median_interval(middles)
    outcome = None
    if base is not None:
        pairs = list(zip(middles, (block.p50_us for block in base), strict=False))
        outcome = compare([one for one, _ in pairs], [other for _, other in pairs])
    return LatencyArm(
        name=arm.name,
        size_bytes=arm.size_bytes,
        reply_bytes=arm.reply_bytes,
        pattern=arm.pattern,
        option=arm.option,
        under_load=arm.under_load,
        requests=sum(block.requests for block in blocks),
        late=_total([one.late for one in trips]),
        p50_us=median(middles),
        p50_low_us=interval[0] if interval else None,
        p50_high_us=interval[1] if interval else None,
        noise_percent=noise_percent(middles),
        p90_us=_middle([block.p90_us for block in blocks]),
        p99_us=_middle([block.p99_us for block in blocks]),
        p99_9_us=_middle([block.p99_9_us for block in blocks]),
        max_us=max(block.max_us for block in blocks),
        data_segments=_total([one.data_segments for one in trips]),
        retrans_packets=_total([one.retrans_packets for one in trips]),
        load_rate_bytes_per_s=_middle([one.load_rate_bytes_per_s for one in trips]),
        base=arm.base,
        outcome=outcome,
        blocks=blocks,
    )


def _total(counts: Sequence[int | None]) -> int | None:
    known = [one for one in counts if one is not None]
    return sum(known) if len(known) == len(counts) else None


def _middle(values: Sequence[float | None]) -> float | None:
    known = [one for one in values if one is not None]
    return median(known) if len(known) == len(values) else None


# -- what the figures show -----------------------------------------------------------------


def lessons(
    arms: Sequence[LatencyArm], plan: LatencyPlan, settings: Settings
) -> tuple[Lesson, ...]:
    """What can be learnt from these arms, if they show it."""
    return (*_delayed_acks(arms), *_held_back(arms, plan, settings), *_corked(arms, settings))


def _delayed_acks(arms: Sequence[LatencyArm]) -> Iterator[Lesson]:
    """Two writes that wait, and ways of sending the same that do not."""
    for slow in arms:
        if slow.under_load or (slow.pattern, slow.option) != (catalog.TWO_WRITES, catalog.DEFAULT):
            continue
        cures = {remedy: one for one in arms if (remedy := _remedy(one, slow))}
        if cures:
            times_us = [one.p50_us for one in cures.values()]
            ends = dict.fromkeys(
                human(time, Unit.MICROSECONDS) for time in (min(times_us), max(times_us))
            )
            yield Lesson(
                "delayed-ack",
                f"Two writes wait for a delayed ACK: {human(slow.p50_us, Unit.MICROSECONDS)} for "
                f"{slow.size_bytes} bytes. The kernel holds the second back until the first is "
                "acknowledged (Nagle's algorithm), and the far end delays that. "
                f"Avoided ({' to '.join(ends)}) by {_listed(list(cures))}.",
            )


def _remedy(one: LatencyArm, slow: LatencyArm) -> str:
    """What it does differently, if that is one thing and saves what a delayed ACK takes."""
    saved_us = (slow.p50_low_us or slow.p50_us) - (one.p50_high_us or one.p50_us)
    if one.size_bytes != slow.size_bytes or one.under_load or saved_us < _DELAYED_US:
        return ""
    if one.option == catalog.DEFAULT:
        return catalog.PATTERNS[one.pattern].remedy
    return catalog.OPTIONS[one.option].remedy if one.pattern == slow.pattern else ""


def _listed(words: Sequence[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last


def _held_back(
    arms: Sequence[LatencyArm], plan: LatencyPlan, settings: Settings
) -> Iterator[Lesson]:
    """Replies that come with the next request, on a path that was seen to be quicker.

    One stall is enough: from then on the far end has a reply that is not acknowledged, holds
    the next one back (Nagle), and the acknowledgement waits for a request to go along with.
    """
    if plan.requests_per_s is None or _is_on("TCP_NODELAY", settings):
        return
    interval_us = 1e6 / plan.requests_per_s
    middles = [block.p50_us for arm in arms for block in arm.blocks]
    held = sum(interval_us <= one <= _HELD_INTERVALS * interval_us for one in middles)
    if held and min(middles) < interval_us / 2:
        interval = human(interval_us, Unit.MICROSECONDS)
        yield Lesson(
            "held-back",
            f"In {held} of {len(middles)} blocks a reply takes as long as it is to the next "
            f"request, {interval}: the far end holds it back until the one before is "
            "acknowledged (Nagle's algorithm), and that waits for a request to go along with. "
            "TCP_NODELAY at both ends avoids it: --set nodelay=1.",
        )


def _is_on(name: str, settings: Settings) -> bool:
    return any(one.name == name and one.effective for one in settings.options)


def _corked(arms: Sequence[LatencyArm], settings: Settings) -> Iterator[Lesson]:
    """A cork that nobody pulls."""
    slow = [one for one in arms if (one.p50_low_us or one.p50_us) >= _CORKED_US]
    if slow and _is_on("TCP_CORK", settings):
        took = human(slow[0].p50_us, Unit.MICROSECONDS)
        yield Lesson(
            "corked",
            f"TCP_CORK stays set, so the kernel holds back every message that fills no segment for "
            f"200 ms: {took} a round trip. Set it before a message and clear it after, or not at "
            "all.",
        )


# -- what limits them ----------------------------------------------------------------------


def warnings_of(
    arms: Sequence[LatencyArm], plan: LatencyPlan, processors: int
) -> Iterator[Warning]:
    """What the reader should know before trusting the figures."""
    if plan.requests_per_s is None:
        yield Warning(
            "closed-loop",
            "closed loop: a request waits for the reply before it, which hides stalls "
            "(coordinated omission); --rate measures from a schedule",
        )
    few = [one.name for one in arms if one.p99_us is None]
    if few:
        yield Warning(
            "few-requests",
            f"p99 takes {enough_for(99)} requests in a block ({', '.join(few)}): more --requests, "
            "or a longer --duration where they are slow",
        )
    late = [one.name for one in arms if (one.late or 0) * _LATE_SHARE > one.requests]
    if late:
        yield Warning(
            "schedule-missed",
            f"the schedule was missed ({', '.join(late)}): requests left late, because this "
            "process could not keep the rate or the far end took no more",
        )
    if plan.under_load and plan.to is None and processors < _PROCESSORS_UNDER_LOAD:
        yield Warning(
            "load-shares-processors",
            f"with {processors} processors the load takes time from both ends, so that is "
            "measured as well as the path",
        )


_PROCESSORS_UNDER_LOAD: Final = 4
"""One for each end, one for the load, and one for the rest of the host."""
