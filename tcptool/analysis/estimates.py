"""Numbers from a sample: centre, spread, percentiles, and how far chance can have moved them.

Only ranks and medians: measured times and rates have outliers, which move a mean and a standard
deviation at will.  Nothing here decides anything; the verdicts are in ``comparison``.

Sources: Hollander, Wolfe, Chicken, "Nonparametric Statistical Methods", 3rd ed., 3.1-3.5
(signed rank, Walsh averages, median) and 4.1-4.3 (rank sum).  The module ``statistics`` has no
rank test, and for its median alone its import (4 ms) is too dear.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate, combinations_with_replacement
from typing import Final

CONFIDENCE: Final = 0.95
"""The usual one (also that of benchstat): one interval in twenty misses."""

_SIGMAS_PER_MAD: Final = 1.4826
"""For normal noise the median absolute deviation is 1/1.4826 of the standard deviation."""

_EXACT_PAIRS: Final = 2500
"""Up to 50 against 50 values the rank sum is counted exactly, as R's wilcox.test does; that takes
10 ms, and beyond it the normal approximation is as good."""


def median(values: Sequence[float]) -> float:
    """The middle of the sorted values, or the mean of the two middle ones.  Needs one value."""
    ordered = sorted(values)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def median_interval(
    values: Sequence[float], confidence: float = CONFIDENCE
) -> tuple[float, float] | None:
    """Two of the values that have the true median between them with at least ``confidence``.

    Exact for any distribution: each value lies below the median with probability 1/2, so the
    count of those that do is binomial.  None if even the extremes are not sure enough, which
    for 95 % is so with fewer than 6 values (1 - 2/2**5 = 94 %).
    """
    ordered = sorted(values)
    n = len(ordered)
    # Outwards from the middle.  The values of rank `low` and n - 1 - low (from 0) miss the median
    # only if `low` values or fewer lie on one side of it; of the 2**n ways in which n values
    # can fall on two sides, `covered` are the others.
    covered = math.comb(n, n // 2) if n % 2 == 0 else 0
    ways = math.comb(n, n // 2 + 1)
    for low in range((n - 1) // 2, -1, -1):
        if covered / 2**n >= confidence:
            return ordered[low], ordered[n - 1 - low]
        covered += 2 * ways
        ways = ways * low // (n - low + 1)
    return None


def robust_sigma(values: Sequence[float]) -> float | None:
    """The standard deviation, blind to outliers: 1.4826 times the median distance from the median.

    None for fewer than two values.
    """
    if len(values) < 2:
        return None
    centre = median(values)
    return _SIGMAS_PER_MAD * median([abs(value - centre) for value in values])


def noise_percent(values: Sequence[float]) -> float | None:
    """The robust standard deviation in percent of the median.

    None for fewer than two values, and where the median is 0.
    """
    sigma = robust_sigma(values)
    if sigma is None or median(values) == 0:
        return None
    return 100 * sigma / abs(median(values))


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The smallest of the sorted values that ``percent`` of them do not exceed (nearest rank).

    Always a value that was measured, as latency is quoted; needs one value.  Ask ``enough_for``
    whether there are enough to quote it.
    """
    # Rounded: 99.9 % of 10 000 is 9990, and must not become 9991 by the error of a float.
    rank = math.ceil(round(percent * len(ordered) / 100, 6))
    return ordered[max(rank, 1) - 1]


def enough_for(percent: float) -> int:
    """How many values a percentile below 100 needs before it says more than the worst few.

    Ten beyond it: p90 takes 100, p99 1000, p99.9 10 000.  The median, which has half of the
    values on either side, is content with ten in all.
    """
    return 10 if percent <= 50 else round(10 * 100 / (100 - percent))


def thin(values: Sequence[float], at_most: int = 100) -> Sequence[float]:
    """Every so-many-th value, evenly, so that ``at_most`` remain.

    For long series, for two reasons.  Rounds that follow one another are alike (a machine stays
    in one mood for a while), so a thousand of them are far fewer than a thousand observations,
    and an interval that takes them for that is too narrow; rounds far apart are nearer to it.
    And exact rank tests cost the cube of the length.  Not means of groups: those of skewed
    values have another centre than the values, which would then depend on the number of rounds.
    """
    return values[:: max(1, math.ceil(len(values) / at_most))]


def signed_rank_p(differences: Sequence[float]) -> float:
    """Wilcoxon's signed-rank test: how probable such differences are if their true centre is 0.

    Exact and two-sided.  Differences of 0 are left out; equal sizes share the mean of their
    ranks, and are counted with the ranks that they got.
    """
    sizes = sorted(abs(one) for one in differences if one)
    if not sizes:
        return 1.0
    # Twice the mean rank is whole; without ties, all are even and the divisor undoes it.
    doubled = {size: bisect_left(sizes, size) + bisect_right(sizes, size) + 1 for size in sizes}
    divisor = math.gcd(*doubled.values())
    ranks = {size: rank // divisor for size, rank in doubled.items()}
    total = sum(ranks[size] for size in sizes)
    positive = sum(ranks[one] for one in differences if one > 0)
    below = _signed_rank_distribution(tuple(ranks[size] for size in sizes))
    return min(1.0, 2 * below[min(positive, total - positive)])


def hodges_lehmann(
    differences: Sequence[float], confidence: float = CONFIDENCE
) -> tuple[float, float, float]:
    """The centre of the differences, and an interval that holds the true one: centre, low, high.

    The centre is the median of all means of two differences (Walsh averages), the interval
    exact for differences that scatter evenly to both sides.  Without ties it excludes 0 exactly
    when ``signed_rank_p`` is at most 1 - confidence.  Where the differences are too few for the
    confidence it is -inf to inf.  Needs one difference.
    """
    walsh = sorted((a + b) / 2 for a, b in combinations_with_replacement(differences, 2))
    below = _signed_rank_distribution(tuple(range(1, len(differences) + 1)))
    return median(walsh), *_without_tails(walsh, below, confidence)


def rank_sum_p(a: Sequence[float], b: Sequence[float]) -> float:
    """Mann-Whitney: how probable two such samples are if both are of one distribution.

    Two-sided, and exact where len(a) * len(b) is at most 2500.  A tie counts against a difference,
    so that the answer agrees with the interval of ``shift``.  Needs a value on both sides.
    """
    ordered = sorted(b)
    smaller_or_equal = sum(bisect_right(ordered, one) for one in a)
    larger_or_equal = sum(len(b) - bisect_left(ordered, one) for one in a)
    below = _rank_sum_distribution(len(a), len(b))
    return min(1.0, 2 * below[min(smaller_or_equal, larger_or_equal)])


def shift(
    a: Sequence[float], b: Sequence[float], confidence: float = CONFIDENCE
) -> tuple[float, float, float]:
    """How far ``a`` lies above ``b``, as ``hodges_lehmann`` for samples that do not pair.

    The centre is the median of all differences between a value of one and a value of the other.
    """
    differences = sorted(one - other for one in a for other in b)
    below = _rank_sum_distribution(len(a), len(b))
    return median(differences), *_without_tails(differences, below, confidence)


def _without_tails(
    ordered: Sequence[float], below: Sequence[float], confidence: float
) -> tuple[float, float]:
    """What remains of the sorted values when both tails of the distribution are cut off."""
    cut = bisect_right(below, (1 - confidence) / 2)
    return (ordered[cut - 1], ordered[-cut]) if cut else (-math.inf, math.inf)


@lru_cache(maxsize=8)  # comparisons of one run are all of one length, and mostly without ties
def _signed_rank_distribution(ranks: tuple[int, ...]) -> tuple[float, ...]:
    """Probability that the ranks with a plus, if coins set the signs, add up to at most 0, 1, …"""
    counts = [1]
    for rank in ranks:
        padding = [0] * rank
        counts = [
            minus + plus for minus, plus in zip(counts + padding, padding + counts, strict=True)
        ]
    return tuple(count / 2 ** len(ranks) for count in accumulate(counts))


@lru_cache(maxsize=8)
def _rank_sum_distribution(n: int, m: int) -> tuple[float, ...]:
    """Probability that at most 0, 1, … of the n * m pairs have the larger value on one side."""
    if n * m > _EXACT_PAIRS:
        scale = math.sqrt(n * m * (n + m + 1) / 12) * math.sqrt(2)
        # 0.5: the continuity correction.
        return tuple(math.erfc((n * m / 2 - u - 0.5) / scale) / 2 for u in range(n * m + 1))
    # The counts are the coefficients of the product of (1 - x**(m + i)) / (1 - x**i), i = 1 … n.
    counts = [1] + [0] * (n * m)
    for i in range(1, n + 1):
        for u in range(n * m, m + i - 1, -1):
            counts[u] -= counts[u - m - i]
        for u in range(i, n * m + 1):
            counts[u] += counts[u - i]
    return tuple(count / math.comb(n + m, n) for count in accumulate(counts))
