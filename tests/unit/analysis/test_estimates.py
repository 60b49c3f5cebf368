"""Numbers from a sample: against published examples, and against counting every case."""

from __future__ import annotations

import itertools
import math
import random
import statistics
from collections.abc import Callable, Sequence
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tcptool.analysis.estimates import (
    enough_for,
    hodges_lehmann,
    median,
    median_interval,
    noise_percent,
    percentile,
    rank_sum_p,
    robust_sigma,
    shift,
    signed_rank_p,
    thin,
)

# Hollander & Wolfe, table 3.1 (depression scale before and after) and 4.1 (permeability).
BEFORE = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30]
AFTER = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29]
FALLS = [before - after for before, after in zip(BEFORE, AFTER, strict=True)]
AT_TERM = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46]
EARLY = [1.15, 0.88, 0.90, 0.74, 1.21]

numbers = st.floats(-1e6, 1e6)
tied = st.lists(st.integers(-3, 3), max_size=8)
untied = st.lists(st.integers(-60, 60).filter(bool), min_size=1, max_size=12, unique_by=abs)
confidences = st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.99])


# -- one sample ----------------------------------------------------------------------------


@given(st.lists(numbers, min_size=1))
def test_the_median_is_that_of_the_standard_library(values: list[float]) -> None:
    assert median(values) == statistics.median(values)


@pytest.mark.parametrize(
    ("n", "ranks"),
    # Any table of the sign test, for instance Hollander & Wolfe, 3.6.
    [(6, (1, 6)), (8, (1, 8)), (9, (2, 8)), (12, (3, 10)), (20, (6, 15)), (25, (8, 18))],
)
def test_the_interval_of_the_median_lies_between_the_ranks_of_the_tables(
    n: int, ranks: tuple[int, int]
) -> None:
    values = list(range(1, n + 1))
    random.Random(n).shuffle(values)
    assert median_interval(values) == ranks


@given(st.integers(0, 60), confidences)
@example(2, 0.5)  # just sure enough
def test_the_interval_of_the_median_is_the_narrowest_that_is_sure_enough(
    n: int, confidence: float
) -> None:
    def coverage(low: int) -> Fraction:
        return 1 - Fraction(2 * sum(math.comb(n, k) for k in range(low + 1)), 2**n)

    sure = [low for low in range((n + 1) // 2) if coverage(low) >= confidence]
    expected = (max(sure), n - 1 - max(sure)) if sure else None
    assert median_interval(range(n), confidence) == expected


@pytest.mark.parametrize("n", range(6))
def test_fewer_than_six_values_have_no_interval(n: int) -> None:
    assert median_interval(range(n)) is None


def test_a_long_series_has_an_interval() -> None:
    low, high = median_interval(range(5000)) or (0, 0)
    assert 2499.5 - low == high - 2499.5 == pytest.approx(1.96 * math.sqrt(5000) / 2, abs=1)


@pytest.mark.parametrize("n", [6, 12, 25])
def test_the_interval_of_the_median_holds_the_true_one_as_often_as_it_says(n: int) -> None:
    rng = random.Random(n)
    hits = 0
    for _ in range(2000):
        low, high = median_interval([rng.expovariate(1) for _ in range(n)]) or (0, 0)
        hits += low <= math.log(2) <= high
    assert hits >= 0.94 * 2000  # 95 % or more is true; three standard deviations of luck are 1.5 %


def test_noise_is_that_of_the_usual_value_whatever_the_outliers() -> None:
    assert noise_percent([98, 99, 100, 101, 5000]) == pytest.approx(1.4826)
    assert noise_percent([-98, -99, -100, -101, -5000]) == pytest.approx(1.4826)


def test_noise_of_normal_values_is_their_standard_deviation() -> None:
    rng = random.Random(1)
    values = [rng.gauss(200, 10) for _ in range(5000)]
    assert robust_sigma(values) == pytest.approx(10, rel=0.05)
    assert noise_percent(values) == pytest.approx(5, rel=0.05)


@pytest.mark.parametrize("values", [[], [5.0], [0.0, 0.0], [-1.0, 1.0]])
def test_there_is_no_noise_without_two_values_or_with_a_median_of_zero(values: list[float]) -> None:
    assert noise_percent(values) is None


def test_one_value_has_no_standard_deviation() -> None:
    assert robust_sigma([5.0]) is None


@pytest.mark.parametrize(
    ("n", "percent", "expected"),
    [
        (4, 50, 2),
        (5, 50, 3),
        (100, 99, 99),
        (1000, 99.9, 999),
        (10_000, 99.9, 9990),
        (10_000, 99.99, 9999),
        (7, 100, 7),
        (7, 0, 1),
        (1, 99, 1),
    ],
)
def test_a_percentile_is_the_value_of_the_nearest_rank(
    n: int, percent: float, expected: int
) -> None:
    assert percentile(range(1, n + 1), percent) == expected


@given(st.integers(1, 20_000), st.sampled_from(["50", "75", "90", "95", "99", "99.9", "99.99"]))
def test_a_percentile_is_exact(n: int, percent: str) -> None:
    rank = math.ceil(Fraction(percent) * n / 100)
    assert percentile(range(1, n + 1), float(percent)) == rank


@pytest.mark.parametrize(
    ("percent", "enough"), [(50, 10), (90, 100), (95, 200), (99, 1000), (99.9, 10_000)]
)
def test_a_percentile_takes_ten_values_beyond_it(percent: float, enough: int) -> None:
    assert enough_for(percent) == enough


# -- long series ---------------------------------------------------------------------------


def test_a_short_series_is_not_thinned() -> None:
    assert thin([3.0, 1.0, 2.0], at_most=3) == [3.0, 1.0, 2.0]
    assert thin([]) == []


@given(st.integers(1, 3000), st.integers(1, 200))
def test_thinning_keeps_evenly_spaced_values_and_no_more_than_asked(n: int, at_most: int) -> None:
    kept = list(thin(range(n), at_most))
    assert min(n, at_most) / 2 < len(kept) <= at_most
    assert len({later - earlier for earlier, later in itertools.pairwise(kept)}) <= 1
    assert n - len(kept) * (kept[1] if len(kept) > 1 else n) <= 0  # none of the end is lost


# -- pairs ---------------------------------------------------------------------------------


def every_sign(differences: Sequence[int]) -> float:
    """The p-value by its definition: all ways to set the signs, mean ranks for equal sizes."""
    sizes = [abs(one) for one in differences if one]
    ranks = [
        statistics.mean(place for place, other in enumerate(sorted(sizes), 1) if other == size)
        for size in sizes
    ]
    centre = sum(ranks) / 2
    observed = sum(
        rank for rank, one in zip(ranks, filter(None, differences), strict=True) if one > 0
    )
    sums = [
        sum(itertools.compress(ranks, signs))
        for signs in itertools.product((0, 1), repeat=len(ranks))
    ]
    return sum(abs(one - centre) >= abs(observed - centre) for one in sums) / len(sums)


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ([], 1.0),
        ([0, 0], 1.0),
        ([1], 1.0),
        ([1, 2, 3, 4, 5, 6], 2 / 64),
        ([5, 5, 5, 5, 5, 5], 2 / 64),
        ([1, 2, -3, 4, 5, 6, 7], 0.078125),
        ([-6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75], 0.04791259765625),
        ([6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75], 0.041259765625),
    ],
)
def test_signed_rank_gives_the_known_values(differences: list[float], p: float) -> None:
    assert signed_rank_p(differences) == p


@given(tied)
def test_signed_rank_counts_every_way_to_set_the_signs(differences: list[int]) -> None:
    assert signed_rank_p(differences) == pytest.approx(every_sign(differences))


@given(tied, st.sampled_from([-1, 2, -0.5]))
def test_signed_rank_knows_no_scale_and_no_side(differences: list[int], factor: float) -> None:
    assert signed_rank_p([factor * one for one in differences]) == signed_rank_p(differences)


def test_the_interval_of_pairs_is_that_of_the_book() -> None:
    assert signed_rank_p(FALLS) == 0.0390625
    assert hodges_lehmann(FALLS) == pytest.approx((0.46, 0.010, 0.786))


@pytest.mark.parametrize("n", range(1, 6))
def test_fewer_than_six_pairs_set_no_bound(n: int) -> None:
    assert hodges_lehmann(range(1, n + 1)) == ((n + 1) / 2, -math.inf, math.inf)


def test_six_pairs_have_the_interval_of_their_extremes() -> None:
    assert hodges_lehmann([1, 2, 3, 4, 5, 60]) == (3.5, 1, 60)


@given(untied, confidences)
def test_the_interval_excludes_zero_exactly_when_p_says_so(
    differences: list[int], confidence: float
) -> None:
    _, low, high = hodges_lehmann(differences, confidence)
    assert (low > 0 or high < 0) == (signed_rank_p(differences) <= 1 - confidence)


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=20), st.integers(-1000, 1000))
def test_the_interval_of_pairs_moves_with_them_and_holds_the_centre(
    differences: list[int], by: int
) -> None:
    centre, low, high = hodges_lehmann(differences)
    assert low <= centre <= high
    assert hodges_lehmann([one + by for one in differences]) == (centre + by, low + by, high + by)
    assert hodges_lehmann([-one for one in differences]) == (-centre, -high, -low)


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=20))
def test_more_confidence_never_narrows_the_interval(differences: list[int]) -> None:
    _, low, high = hodges_lehmann(differences, 0.9)
    _, lower, higher = hodges_lehmann(differences, 0.99)
    assert lower <= low
    assert high <= higher


# -- two samples ---------------------------------------------------------------------------


def every_split(a: Sequence[int], b: Sequence[int]) -> float:
    """The p-value by its definition, without ties: all ways to deal the values to two sides."""

    def pairs_won(side: Sequence[int], other: Sequence[int]) -> int:
        return sum(one > another for one in side for another in other)

    everything = [*a, *b]
    centre = len(a) * len(b) / 2
    observed = pairs_won(a, b)
    found = [
        pairs_won(side, [one for one in everything if one not in side])
        for side in itertools.combinations(everything, len(a))
    ]
    return sum(abs(one - centre) >= abs(observed - centre) for one in found) / len(found)


distinct = st.lists(st.integers(-50, 50), min_size=2, max_size=8, unique=True)
sides = st.tuples(distinct, st.integers(1, 7)).map(
    lambda drawn: (
        drawn[0][: min(drawn[1], len(drawn[0]) - 1)],
        drawn[0][min(drawn[1], len(drawn[0]) - 1) :],
    )
)


@given(sides)
def test_rank_sum_counts_every_way_to_deal_the_values(two: tuple[list[int], list[int]]) -> None:
    assert rank_sum_p(*two) == pytest.approx(every_split(*two))


def test_the_interval_of_two_samples_is_that_of_the_book() -> None:
    assert rank_sum_p(AT_TERM, EARLY) == pytest.approx(0.2544, abs=0.0001)
    assert shift(AT_TERM, EARLY) == pytest.approx((0.305, -0.15, 0.76))


@given(sides, confidences)
def test_the_interval_of_two_samples_agrees_with_p(
    two: tuple[list[int], list[int]], confidence: float
) -> None:
    _, low, high = shift(*two, confidence)
    assert (low > 0 or high < 0) == (rank_sum_p(*two) <= 1 - confidence)


tied_side = st.lists(st.integers(-3, 3), min_size=1, max_size=12)


@given(tied_side, tied_side, confidences)
def test_a_tie_counts_against_a_difference(a: list[int], b: list[int], confidence: float) -> None:
    _, low, high = shift(a, b, confidence)
    assert (low > 0 or high < 0) == (rank_sum_p(a, b) <= 1 - confidence)


@given(tied_side, tied_side)
def test_two_samples_change_places(a: list[int], b: list[int]) -> None:
    centre, low, high = shift(a, b)
    assert low <= centre <= high
    assert shift(b, a) == (-centre, -high, -low)
    assert rank_sum_p(a, b) == rank_sum_p(b, a)


def test_two_small_samples_set_no_bound() -> None:
    assert shift([1, 2, 3], [4, 5, 6]) == (-3, -math.inf, math.inf)


def test_the_approximation_for_long_samples_goes_on_where_counting_ends() -> None:
    a = [(number + 6) / 50 for number in range(50)]
    b = [(number + 0.5) / 50 for number in range(50)]
    one_more = [(number + 0.5) / 51 for number in range(51)]
    assert 0.01 < rank_sum_p(a, b) < 0.1
    assert rank_sum_p(a, one_more) == pytest.approx(rank_sum_p(a, b), rel=0.1)
    assert shift(a, one_more) == pytest.approx(shift(a, b), abs=0.02)


def normal_pairs(rng: random.Random, n: int) -> tuple[float, float, float]:
    return hodges_lehmann([rng.gauss(3, 1) for _ in range(n)])


def normal_samples(rng: random.Random, n: int) -> tuple[float, float, float]:
    return shift([rng.gauss(3, 1) for _ in range(n)], [rng.gauss(0, 1) for _ in range(n)])


@pytest.mark.parametrize("n", [6, 12, 60])
@pytest.mark.parametrize("interval", [normal_pairs, normal_samples])
def test_an_interval_holds_the_truth_as_often_as_it_says(
    interval: Callable[[random.Random, int], tuple[float, float, float]], n: int
) -> None:
    rng = random.Random(n)
    hits = sum(low <= 3 <= high for _, low, high in (interval(rng, n) for _ in range(400)))
    assert 0.92 * 400 <= hits < 400  # 95 to 97 % is true; the luck of 400 draws is 3.3 %
