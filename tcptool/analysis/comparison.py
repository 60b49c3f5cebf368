"""Which is more, and is it so: verdicts on rates and costs that were measured side by side.

Quantities are positive and are compared as ratios, by their logarithms: a machine that slows down
in the middle of a run slows both values of a round alike, and their ratio stays.  A difference
is claimed only if chance does not explain it and it is large enough to matter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Final

from tcptool.analysis.estimates import (
    CONFIDENCE,
    hodges_lehmann,
    median,
    rank_sum_p,
    robust_sigma,
    shift,
    signed_rank_p,
    thin,
)
from tcptool.model.comparison import Comparison

MORE: Final = "more"
LESS: Final = "less"
NO_DIFFERENCE: Final = "no-difference"
TOO_FEW: Final = "too-few"

THRESHOLD_PERCENT: Final = 5.0
"""Below this a difference is within what one ratio moves by from run to run on a quiet machine
(5-6 %), however narrow the interval of one run is."""

MIN_ROUNDS: Final = 6
"""Fewer cannot reach 95 %: by chance alone, five of five agree in 2/2**5 = 6 % of all runs."""


def compare(
    values: Sequence[float | None],
    base: Sequence[float | None],
    threshold_percent: float = THRESHOLD_PERCENT,
) -> Comparison:
    """How much more ``values`` are than ``base``, where each round measured both.

    Exact signed-rank test and interval of the logarithms of the ratios.  A round that lacks one
    of the two, or has one that is not positive, is left out.  More than 100 rounds are thinned:
    they make the interval more honest, not narrower.
    """
    logs = [
        math.log(x / y) for x, y in zip(values, base, strict=True) if x and y and x > 0 and y > 0
    ]
    if not logs:
        return _NOTHING
    kept = thin(logs)
    return _judged(
        rounds=len(logs),
        interval=hodges_lehmann(kept),
        p=signed_rank_p(kept),
        sigma=robust_sigma(logs),
        threshold_percent=threshold_percent,
    )


def compare_unpaired(
    values: Sequence[float | None],
    base: Sequence[float | None],
    threshold_percent: float = THRESHOLD_PERCENT,
) -> Comparison:
    """How much more ``values`` are than ``base``, each measured in a run of its own.

    The machine may have been slower during one of the runs: such drift counts as difference,
    and nothing in the numbers can tell it from a true one.  Interleave where that is possible,
    and use ``compare``.  Rank-sum (Mann-Whitney) test and interval of the logarithms, otherwise
    as there.
    """
    a, b = _logs(values), _logs(base)
    if not a or not b:
        return _NOTHING
    sigma_a, sigma_b = robust_sigma(a), robust_sigma(b)
    kept_a, kept_b = thin(a), thin(b)
    return _judged(
        rounds=min(len(a), len(b)),
        interval=shift(kept_a, kept_b),
        p=rank_sum_p(kept_a, kept_b),
        sigma=None if sigma_a is None or sigma_b is None else math.hypot(sigma_a, sigma_b),
        threshold_percent=threshold_percent,
    )


def tiers(
    names: Sequence[str],
    values_by_name: Mapping[str, Sequence[float | None]],
    higher_is_better: bool,
) -> tuple[tuple[str, ...], ...]:
    """The names from best to worst, those that cannot be told apart together.

    In order of their medians, each joins the tier above it unless it is worse than the leader
    of that tier by the rule of ``compare``; several names in the first tier mean that there is
    no clear winner.  The values of one place in the sequences are of one round.  A name without
    a value is in no tier.

    Many comparisons find something by chance, and the leader is chosen by the same data.
    Therefore the p-values of all pairs, compared or not, go through Holm's correction: in 95 %
    of all runs no two equal methods are separated.  Its price is rounds: seven methods need 10
    before any pair can be told apart, however different.
    """
    known = {name: [one for one in values_by_name[name] if one is not None] for name in names}
    ranked = sorted(
        (name for name in names if known[name]),
        key=lambda name: median(known[name]),
        reverse=higher_is_better,
    )
    found = {
        (better, other): compare(values_by_name[other], values_by_name[better])
        for better, other in combinations(ranked, 2)
    }
    worse = LESS if higher_is_better else MORE
    separate = {pair for pair in _significant(found) if found[pair].verdict == worse}
    result: list[list[str]] = []
    for name in ranked:
        if result and (result[-1][0], name) not in separate:
            result[-1].append(name)
        else:
            result.append([name])
    return tuple(tuple(tier) for tier in result)


def _significant(found: Mapping[tuple[str, str], Comparison]) -> list[tuple[str, str]]:
    """The comparisons that stand after Holm's correction for how many there are.

    The smallest p must pass the strictest level; each that does leaves one fewer to correct for.
    """
    by_p = sorted((one.p_percent, pair) for pair, one in found.items() if one.p_percent is not None)
    standing = []
    for passed, (p_percent, pair) in enumerate(by_p):
        if p_percent * (len(found) - passed) > 100 * (1 - CONFIDENCE):
            break
        standing.append(pair)
    return standing


def _logs(values: Sequence[float | None]) -> list[float]:
    return [math.log(one) for one in values if one and one > 0]


def _percent(log: float) -> float | None:
    return None if math.isinf(log) else 100 * math.expm1(log)


def _judged(
    *,
    rounds: int,
    interval: tuple[float, float, float],
    p: float,
    sigma: float | None,
    threshold_percent: float,
) -> Comparison:
    centre, low, high = interval
    effect_percent = 100 * math.expm1(centre)
    if rounds < MIN_ROUNDS:
        verdict = TOO_FEW
    elif low <= 0 <= high or abs(effect_percent) < threshold_percent:
        verdict = NO_DIFFERENCE
    else:
        verdict = MORE if low > 0 else LESS
    return Comparison(
        rounds=rounds,
        effect_percent=effect_percent,
        low_percent=_percent(low),
        high_percent=_percent(high),
        p_percent=100 * p,
        noise_percent=None if sigma is None else 100 * math.expm1(sigma),
        verdict=verdict,
    )


_NOTHING: Final = Comparison(
    rounds=0,
    effect_percent=None,
    low_percent=None,
    high_percent=None,
    p_percent=None,
    noise_percent=None,
    verdict=TOO_FEW,
)
