"""`probe latency`: round trips of requests, in interleaved blocks, and what they show.

Each round gives every arm one block, on a new connection and in an order drawn anew; a short
round goes before and does not count.  Progress is told between blocks only.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from tcptool.actions.host import host_facts
from tcptool.actions.probe.surroundings import common_warnings, machine_facts, placed
from tcptool.analysis import latency as analysis
from tcptool.analysis.estimates import median
from tcptool.catalog import latency as catalog
from tcptool.errors import UsageError
from tcptool.linux import machine
from tcptool.linux.kernel import Kernel
from tcptool.model.latency import Arm, LatencyPlan, LatencyReport, RoundTrips
from tcptool.traffic.latency import Exchange, floor_times_us, open_exchange
from tcptool.units import Unit, human

if TYPE_CHECKING:
    from tcptool.model.change import Assignment

Progress = Callable[[float, str], None]
"""Told the share that is done, and a few words, between blocks."""

_WARM_UP_SHARE: Final = 10
"""The round that does not count is this many times shorter: caches and the kernel's memory of the
path need no more."""


def latency(
    kernel: Kernel,
    plan: LatencyPlan,
    assignments: Sequence[Assignment],
    progress: Progress = lambda _share, _text: None,
) -> LatencyReport:
    """Measure.  Ctrl-C ends it early, with what was measured.  Raises TcptoolError."""
    _check(plan)
    load_percent, processors = machine.load_percent(), machine.allowed_processors()
    with placed(plan.processors) as placement:
        floor_us = median(floor_times_us())
        with open_exchange(kernel, plan, assignments, placement.far, processors) as exchange:
            readings, complete = _measure(exchange, plan, progress)
        facts = machine_facts(placement, load_percent)
    if exchange.settings is None or not any(readings.values()):
        raise KeyboardInterrupt  # before there was anything to tell
    arms = analysis.results(readings)
    return LatencyReport(
        plan=plan,
        machine=facts,
        settings=exchange.settings,
        complete=complete,
        loop=analysis.CLOSED if plan.requests_per_s is None else analysis.OPEN,
        floor_us=floor_us,
        arms=arms,
        lessons=analysis.lessons(arms, plan, exchange.settings),
        host=host_facts(kernel),
        missing=[],
        warnings=[
            *common_warnings(facts, exchange.settings, loopback=exchange.settings.device == "lo"),
            *analysis.warnings_of(arms, plan, len(processors)),
        ],
    )


def _check(plan: LatencyPlan) -> None:
    """Raises UsageError for what cannot be measured together."""
    if plan.matrix and plan.path == "unix":
        raise UsageError("reading --matrix", "a Unix socket has none of these options")
    if catalog.QUICKACK in plan.matrix and plan.to:
        raise UsageError(
            "reading --matrix quickack",
            "it is the far end that delays acknowledgements, and --to is not ours to set",
            "Without --to the far end is a child of tcptool's own.",
        )
    in_parts = [pattern for pattern in plan.patterns if pattern != catalog.ONE_WRITE]
    if in_parts and min(plan.sizes_bytes) < 2:
        raise UsageError(
            f"reading --pattern {in_parts[0]}",
            "a request in two parts needs two bytes",
            "Give a larger --size, or --pattern one-write.",
        )


def _measure(
    exchange: Exchange, plan: LatencyPlan, progress: Progress
) -> tuple[dict[Arm, list[RoundTrips]], bool]:
    """The blocks of each arm, and whether all were measured; Ctrl-C keeps those there are."""
    readings: dict[Arm, list[RoundTrips]] = {arm: [] for arm in analysis.arms_of(plan)}
    order, rng = list(readings), random.Random(plan.seed)
    total = (plan.blocks + 1 / _WARM_UP_SHARE) * len(order)
    done, text = 0.0, "warming up"
    try:
        for number in range(-1, plan.blocks):
            rng.shuffle(order)
            share = 1.0 if number >= 0 else 1 / _WARM_UP_SHARE
            for arm in order:
                progress(done / total, text)
                requests = max(1, round(plan.requests * share))
                trips = exchange.block(arm, requests, plan.block_limit_s * share)
                done += share
                text = f"{arm.name} {human(median(trips.times_us), Unit.MICROSECONDS)}"
                if number >= 0:
                    readings[arm].append(trips)
    except KeyboardInterrupt:
        return readings, False
    return readings, True
