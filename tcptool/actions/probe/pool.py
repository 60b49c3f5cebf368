"""`probe pool`: what reusing connections saves, and which health check keeps dead ones back.

Each round gives every arm one block, in an order drawn anew; a short round goes before and does
not count.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from tcptool.actions.host import host_facts
from tcptool.actions.probe import leftovers
from tcptool.actions.probe.surroundings import common_warnings, machine_facts, placed
from tcptool.analysis import pool as analysis
from tcptool.analysis.connect import shares
from tcptool.linux import machine
from tcptool.linux.kernel import Kernel
from tcptool.model.pool_probe import PoolPlan, PoolReading, PoolReport
from tcptool.model.report import Missing
from tcptool.traffic.pool_load import Load, open_load

if TYPE_CHECKING:
    from tcptool.model.change import Assignment

_WARM_UP_SHARE: Final = 10
"""The round that does not count is this many times shorter."""

Progress = Callable[[float, str], None]
"""Told the share that is done, and a few words, between blocks."""


def pool(
    kernel: Kernel,
    plan: PoolPlan,
    assignments: Sequence[Assignment],
    progress: Progress = lambda _share, _text: None,
) -> PoolReport:
    """Measure.  Ctrl-C ends it early, with the blocks that were whole.  Raises TcptoolError."""
    missing: list[Missing] = []
    load_percent = machine.load_percent()
    before = leftovers.snapshot(kernel, missing)
    with placed(plan.processors) as placement:
        with open_load(kernel, plan, assignments, placement.far) as load:
            readings, complete = _measure(load, plan, progress)
            used = {port for some in readings.values() for one in some for port in one.ports}
            ports = leftovers.port_use(kernel, load.address, used, missing)
            settings = load.settings
        facts = machine_facts(placement, load_percent)
    if not any(readings.values()):
        raise KeyboardInterrupt  # before there was anything to tell
    after = leftovers.snapshot(kernel, [])
    arms = analysis.results(readings, plan)
    common = common_warnings(facts, settings, loopback=settings.device == "lo")
    return PoolReport(
        plan=plan,
        machine=facts,
        settings=settings,
        complete=complete,
        loop=analysis.OPEN if plan.requests_per_s else analysis.CLOSED,
        arms=arms,
        lessons=analysis.lessons(arms),
        tw_before=before.sockets.get("TCP tw"),
        tw_after=after.sockets.get("TCP tw"),
        ports=ports,
        host=host_facts(kernel),
        missing=missing,
        warnings=[*common, *analysis.warnings_of(arms, plan)],
    )


def _measure(
    load: Load, plan: PoolPlan, progress: Progress
) -> tuple[dict[str, list[PoolReading]], bool]:
    """The readings of each arm, and whether there are all of them."""
    readings: dict[str, list[PoolReading]] = {arm: [] for arm in plan.arms}
    order, draw = list(plan.arms), random.Random(plan.seed)
    requests = [None] * plan.blocks if plan.requests is None else shares(plan.requests, plan.blocks)
    share_s = plan.duration_s and plan.duration_s / plan.blocks / len(plan.arms)
    total = len(requests) * len(order)
    try:
        for arm in order:
            few = (
                None
                if plan.requests is None
                else max(1, plan.requests // _WARM_UP_SHARE // plan.blocks)
            )
            load.block(arm, few, share_s and share_s / _WARM_UP_SHARE, rest_s=0.0)
        for number, count in enumerate(requests):
            draw.shuffle(order)
            for place, arm in enumerate(order):
                progress((number * len(order) + place) / total, arm)
                readings[arm].append(load.block(arm, count, share_s, rest_s=plan.rest_s))
    except KeyboardInterrupt:
        return readings, False
    return readings, True
