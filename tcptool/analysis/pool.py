"""From the readings of `probe pool` to its result, and what a reader should know of it.

A block is one observation, with a pool of its own: requests on one connection share its history.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Final

from tcptool.analysis.comparison import compare
from tcptool.analysis.connect import percentiles
from tcptool.analysis.estimates import enough_for, median, median_interval, noise_percent
from tcptool.model.pool_probe import (
    FRESH,
    PoolArm,
    PoolBlock,
    PoolFailures,
    PoolPlan,
    PoolReading,
)
from tcptool.model.report import Warning

CLOSED: Final = "closed"
OPEN: Final = "open"

_LATE_SHARE: Final = 100
"""A schedule is missed if more than one request in so many left late."""


def results(readings: Mapping[str, Sequence[PoolReading]], plan: PoolPlan) -> tuple[PoolArm, ...]:
    """What each arm that has a block did, compared with the first."""
    arms = {name: blocks for name, blocks in readings.items() if blocks}
    rates = {name: list(map(_rate_per_s, blocks)) for name, blocks in arms.items()}
    base = next(iter(arms), None)
    return tuple(
        _arm(name, blocks, rates[name], None if name == base else base, rates, plan)
        for name, blocks in arms.items()
    )


def _arm(
    name: str,
    readings: Sequence[PoolReading],
    rates: list[float | None],
    base: str | None,
    all_rates: Mapping[str, list[float | None]],
    plan: PoolPlan,
) -> PoolArm:
    known = [rate for rate in rates if rate is not None]
    interval = median_interval(known)
    fresh = list(chain.from_iterable(one.fresh_us for one in readings))
    reused = list(chain.from_iterable(one.reused_us for one in readings))
    failed: Counter[str] = Counter()
    for one in readings:
        failed.update(one.failures)
    outcome = None
    if base is not None:
        pairs = list(zip(rates, all_rates[base], strict=False))
        outcome = compare([one for one, _ in pairs], [other for _, other in pairs])
    answered = len(fresh) + len(reused)
    cpu_us = [
        one.near_cpu_s * 1e6 / count
        for one in readings
        if (count := len(one.fresh_us) + len(one.reused_us))
    ]
    return PoolArm(
        name=name,
        requests=answered,
        failed=tuple(PoolFailures(kind=kind, count=n) for kind, n in failed.most_common()),
        rate_per_s=median(known) if known else None,
        rate_low_per_s=interval[0] if interval else None,
        rate_high_per_s=interval[1] if interval else None,
        noise_percent=noise_percent(known),
        near_cpu_us=median(cpu_us) if cpu_us else None,
        fresh=percentiles(fresh),
        reused=percentiles(reused),
        connect=percentiles(chain.from_iterable(one.connect_us for one in readings)),
        created=sum(one.created for one in readings),
        reuse_percent=100 * len(reused) / answered if answered else None,
        invalid_found=sum(one.invalid_found for one in readings),
        stale_handed_out=sum(one.stale_handed_out for one in readings),
        waits=sum(one.waits for one in readings),
        late=sum(one.late for one in readings) if plan.requests_per_s else None,
        ports=len(frozenset[int]().union(*(one.ports for one in readings))),
        base=base,
        outcome=outcome,
        timeline=readings[-1].timeline,
        blocks=tuple(map(_block, readings)),
    )


def _rate_per_s(reading: PoolReading) -> float | None:
    count = len(reading.fresh_us) + len(reading.reused_us)
    return count / reading.elapsed_s if count and reading.elapsed_s > 0 else None


def _block(reading: PoolReading) -> PoolBlock:
    times = percentiles(chain(reading.fresh_us, reading.reused_us))
    return PoolBlock(
        requests=len(reading.fresh_us) + len(reading.reused_us),
        elapsed_s=reading.elapsed_s,
        near_cpu_s=reading.near_cpu_s,
        p50_us=times.p50_us if times else None,
        stale_handed_out=reading.stale_handed_out,
    )


# -- what the reader should know -----------------------------------------------------------


def warnings_of(arms: Sequence[PoolArm], plan: PoolPlan) -> list[Warning]:
    """What in the result speaks against conclusions, or asks for something to be done."""
    found = {
        "stale-handed-out": _stale(arms),
        "requests-failed": _failed(arms),
        "closed-loop": _closed_loop(plan),
        "schedule-missed": _late(arms),
        "few-requests": _few(arms),
    }
    return [Warning(name, text) for name, text in found.items() if text]


def _stale(arms: Sequence[PoolArm]) -> str | None:
    bad = [f"{one.name} {one.stale_handed_out}" for one in arms if one.stale_handed_out]
    if not bad:
        return None
    return (
        f"dead connections were handed out: {', '.join(bad)}; the server had closed them, and this "
        "check does not see that (SO_ERROR stays 0 after a FIN); `peek` does"
    )


def _failed(arms: Sequence[PoolArm]) -> str | None:
    bad = [
        f"{one.name}: {', '.join(f'{failed.count} {failed.kind}' for failed in one.failed)}"
        for one in arms
        if one.failed
    ]
    return f"requests failed: {'; '.join(bad)}; the times are those of the others" if bad else None


def _closed_loop(plan: PoolPlan) -> str | None:
    if plan.requests_per_s:
        return None
    return (
        "closed loop: a request waits for the answer before it, which hides stalls (coordinated "
        "omission); --rate measures from a schedule"
    )


def _late(arms: Sequence[PoolArm]) -> str | None:
    bad = [one.name for one in arms if one.late and one.late * _LATE_SHARE > one.requests]
    if not bad:
        return None
    return (
        f"the schedule was missed ({', '.join(bad)}): requests left late, because --rate is more "
        "than this program or the server can do, or all threads were waiting for answers"
    )


def _few(arms: Sequence[PoolArm]) -> str | None:
    few = [one.name for one in arms if one.requests < enough_for(99)]
    if not few:
        return None
    return f"p99 takes {enough_for(99)} requests ({', '.join(few)} had fewer): more --requests"


def lessons(arms: Sequence[PoolArm]) -> tuple[str, ...]:
    """What the figures show of what reuse is worth, in words."""
    by_name = {one.name: one for one in arms}
    fresh = by_name.get(FRESH)
    return tuple(text for one in arms if one is not fresh and (text := _worth(one, fresh)))


def _worth(pooled: PoolArm, fresh: PoolArm | None) -> str | None:
    alone = fresh.fresh if fresh else pooled.fresh
    if not (alone and pooled.reused and alone.p50_us and pooled.reused.p50_us):
        return None
    saved_us = alone.p50_us - pooled.reused.p50_us
    if saved_us <= 0:
        return f"{pooled.name}: a connection that is there saved nothing"
    share = 100 * saved_us / alone.p50_us
    return (
        f"{pooled.name}: a connection that is there saves {saved_us:.0f} us of {alone.p50_us:.0f} "
        f"({share:.0f} %)"
    )
