"""Verdicts: what they say of known differences, and how often they are fooled by chance."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcptool.analysis.comparison import (
    LESS,
    MORE,
    NO_DIFFERENCE,
    TOO_FEW,
    compare,
    compare_unpaired,
    tiers,
)
from tcptool.model.comparison import Comparison

NOTHING = Comparison(
    rounds=0,
    effect_percent=None,
    low_percent=None,
    high_percent=None,
    p_percent=None,
    noise_percent=None,
    verdict=TOO_FEW,
)

Rule = Callable[[Sequence[float | None], Sequence[float | None]], Comparison]
both = pytest.mark.parametrize("rule", [compare, compare_unpaired])

# Far from a tie by rounding, and in the range of rates and of CPU seconds per GB.
values = st.floats(1e-3, 1e12)
rounds = st.lists(st.tuples(values, values), min_size=1, max_size=15)
OPPOSITE = {MORE: LESS, LESS: MORE, NO_DIFFERENCE: NO_DIFFERENCE, TOO_FEW: TOO_FEW}


def measured(
    rng: random.Random, n: int, *speeds: float, drift: float = 0.3, outliers: float = 0.05
) -> list[list[float]]:
    """Interleaved rounds on a noisy machine that slows down: each method at its speed.

    5 % noise, and now and then a value up to three times too low.
    """
    series: list[list[float]] = [[] for _ in speeds]
    for number in range(n):
        machine = 1e9 * (1 - drift * number / n)
        for speed, one in zip(speeds, series, strict=True):
            stall = rng.uniform(1, 3) if rng.random() < outliers else 1
            one.append(machine * speed * math.exp(rng.gauss(0, 0.05)) / stall)
    return series


# -- pairs ---------------------------------------------------------------------------------


def test_every_number_of_a_comparison() -> None:
    found = compare([100 * 1.02**step for step in (5, 10, 6, 9, 8, 7)], [100] * 6)
    assert found.rounds == 6
    assert found.effect_percent == pytest.approx(100 * (1.02**7.5 - 1))
    assert found.low_percent == pytest.approx(100 * (1.02**5 - 1))
    assert found.high_percent == pytest.approx(100 * (1.02**10 - 1))
    assert found.p_percent == 3.125
    assert found.noise_percent == pytest.approx(100 * (1.02 ** (1.4826 * 1.5) - 1))
    assert found.verdict == MORE


@pytest.mark.parametrize("n", range(1, 6))
@both
def test_five_rounds_are_too_few_for_a_verdict(rule: Rule, n: int) -> None:
    found = rule([300.0] * n, [100.0] * n)
    assert (found.rounds, found.verdict) == (n, TOO_FEW)
    assert found.effect_percent == pytest.approx(200)


def test_too_few_rounds_set_no_bound() -> None:
    found = compare([300.0] * 5, [100.0] * 5)
    assert (found.low_percent, found.high_percent, found.p_percent) == (None, None, 6.25)


@both
def test_one_round_has_no_noise(rule: Rule) -> None:
    assert rule([300.0], [100.0]).noise_percent is None
    assert rule([300.0, 300.0], [100.0, 100.0]).noise_percent == 0


@pytest.mark.parametrize(
    ("a", "b"), [([], []), ([None], [1.0]), ([1.0], [None]), ([0.0], [1.0]), ([1.0], [-1.0])]
)
@both
def test_without_a_value_on_both_sides_there_is_no_comparison(
    rule: Rule, a: list[float | None], b: list[float | None]
) -> None:
    assert rule(a, b) == NOTHING


def test_rounds_that_lack_a_value_do_not_count() -> None:
    a, b = [2.0] * 6, [1.0] * 6
    lacking = compare([None, *a, 1.0, 0.0, 5.0, -1.0], [1.0, *b, None, 1.0, 0.0, 1.0])
    assert lacking == compare(a, b)
    assert lacking.rounds == 6


def test_values_that_lack_do_not_count() -> None:
    a, b = [2.0] * 6, [1.0] * 8
    assert compare_unpaired([None, *a, 0.0, -1.0], [*b, None]) == compare_unpaired(a, b)


def test_a_round_without_its_other_half_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="shorter"):
        compare([1.0, 2.0], [1.0])


@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [
        (1.06, MORE),
        (1.04, NO_DIFFERENCE),
        (1.0, NO_DIFFERENCE),
        (0.96, NO_DIFFERENCE),
        (0.94, LESS),
    ],
)
@both
def test_a_difference_must_be_large_enough_to_matter(
    rule: Rule, ratio: float, verdict: str
) -> None:
    # Hardly any noise: the interval excludes 0 for all but the same speed.
    base = [100 + 0.01 * number for number in range(12)]
    found = rule([ratio * one for one in base], base)
    assert found.effect_percent == pytest.approx(100 * (ratio - 1), abs=0.1)
    assert found.verdict == verdict


@pytest.mark.parametrize("rule", [compare, compare_unpaired])
def test_the_threshold_can_be_set(rule: Callable[..., Comparison]) -> None:
    base = [100 + 0.01 * number for number in range(12)]
    higher = [1.08 * one for one in base]
    assert rule(higher, base, threshold_percent=10).verdict == NO_DIFFERENCE
    assert rule(higher, base, threshold_percent=7).verdict == MORE


@both
def test_a_large_effect_that_could_be_none_is_no_difference(rule: Rule) -> None:
    found = rule([2.0] * 5 + [0.1] * 3, [1.0] * 8)
    assert found.effect_percent is not None
    assert abs(found.effect_percent) > 5
    assert found.verdict == NO_DIFFERENCE


def test_a_bound_of_nothing_is_no_difference() -> None:
    found = compare([1.0, 2.0, 2.0, 2.0, 2.0, 2.0], [1.0] * 6)
    assert (found.low_percent, found.verdict) == (0, NO_DIFFERENCE)


@given(rounds, st.floats(1e-3, 1e3))
def test_the_unit_does_not_matter(pairs: list[tuple[float, float]], factor: float) -> None:
    a, b = [one for one, _ in pairs], [one for _, one in pairs]
    found, scaled = compare(a, b), compare([factor * x for x in a], [factor * x for x in b])
    assert found.effect_percent is not None
    assert scaled.effect_percent == pytest.approx(found.effect_percent, rel=1e-6, abs=1e-6)
    assert scaled.rounds == found.rounds == len(pairs)


def log(percent: float | None) -> float:
    assert percent is not None
    return math.log1p(percent / 100)


@both
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("speed", [0.5, 1, 1.4])
def test_the_sides_change_places(rule: Rule, seed: int, speed: float) -> None:
    a, b = measured(random.Random(seed), 12, speed, 1)
    forth, back = rule(a, b), rule(b, a)
    assert log(back.effect_percent) == pytest.approx(-log(forth.effect_percent))
    assert log(back.low_percent) == pytest.approx(-log(forth.high_percent))
    assert log(back.high_percent) == pytest.approx(-log(forth.low_percent))
    assert back.noise_percent == pytest.approx(forth.noise_percent)
    assert back.p_percent == forth.p_percent
    assert back.verdict == OPPOSITE[forth.verdict]


@given(rounds)
def test_the_effect_lies_within_its_bounds(pairs: list[tuple[float, float]]) -> None:
    found = compare([one for one, _ in pairs], [one for _, one in pairs])
    assert found.effect_percent is not None
    assert found.low_percent is None or found.low_percent <= found.effect_percent
    assert found.high_percent is None or found.effect_percent <= found.high_percent


@pytest.mark.parametrize("n", [100, 2000])
def test_the_noise_is_that_of_one_pair(n: int) -> None:
    a, b = measured(random.Random(n), n, 3, 1, outliers=0)
    assert compare(a, b).noise_percent == pytest.approx(5 * math.sqrt(2), rel=0.2)


# -- how often chance fools it -------------------------------------------------------------


def against(seed: int, n: int, speed: float, threshold_percent: float = 5) -> Comparison:
    """A method against one of speed 1."""
    a, b = measured(random.Random(seed), n, speed, 1)
    return compare(a, b, threshold_percent)


@pytest.mark.parametrize("n", [6, 12, 25, 250])
def test_a_method_against_itself_is_no_difference(n: int) -> None:
    verdicts = Counter(against(seed, n, 1).verdict for seed in range(100))
    assert verdicts[NO_DIFFERENCE] >= 95


def test_a_method_against_itself_is_rarely_significant_even_without_a_threshold() -> None:
    verdicts = Counter(against(seed, 12, 1, threshold_percent=0).verdict for seed in range(400))
    # 4.5 % is true; it must also be able to happen, or the test never claims anything.
    assert 0.9 * 400 <= verdicts[NO_DIFFERENCE] < 400


@pytest.mark.parametrize(
    ("n", "speed", "of_100"), [(6, 1.3, 65), (12, 1.3, 88), (25, 1.3, 99), (25, 1.1, 95)]
)
def test_a_difference_is_found(n: int, speed: float, of_100: int) -> None:
    verdicts = Counter(against(seed, n, speed).verdict for seed in range(100))
    assert verdicts[MORE] >= of_100
    assert verdicts[LESS] == 0


def test_the_bounds_hold_the_true_effect_as_often_as_they_say() -> None:
    found = [against(seed, 12, 1.3) for seed in range(400)]
    hits = sum((one.low_percent or 0) <= 30 <= (one.high_percent or 0) for one in found)
    assert 0.92 * 400 <= hits < 400


@both
def test_of_many_rounds_every_so_many_th_is_judged_and_all_give_the_noise(rule: Rule) -> None:
    a, b = measured(random.Random(1), 1000, 1.3, 1, drift=0)
    many, few = rule(a, b), rule(a[::10], b[::10])
    assert (many.rounds, few.rounds) == (1000, 100)
    assert (many.low_percent, many.high_percent) == (few.low_percent, few.high_percent)
    assert many.p_percent == few.p_percent
    assert many.noise_percent != few.noise_percent


def test_many_rounds_find_the_same_effect_as_few() -> None:
    def effect(n: int) -> float:
        """Only one of the two methods stalls: the ratios are skewed."""
        total = 0.0
        for seed in range(20):
            steady = measured(random.Random(seed), n, 1, outliers=0)[0]
            stalling = measured(random.Random(~seed), n, 1, outliers=0.1)[0]
            total += compare(stalling, steady).effect_percent or 0
        return total / 20

    assert effect(800) == pytest.approx(effect(100), abs=1)


def test_rounds_that_resemble_their_neighbours_do_not_fool_it() -> None:
    def wandering(rng: random.Random) -> list[float]:
        level, found = 0.0, []
        for _ in range(600):
            level = 0.7 * level + rng.gauss(0, 0.05)
            found.append(math.exp(level))
        return found

    fooled = 0
    for seed in range(200):
        rng = random.Random(seed)
        found = compare(wandering(rng), wandering(rng), threshold_percent=0)
        fooled += found.verdict != NO_DIFFERENCE
    assert fooled <= 30  # 90 if each of the 600 counted


# -- runs of their own ---------------------------------------------------------------------


@pytest.mark.parametrize(("n", "m"), [(6, 6), (12, 25), (25, 25), (60, 60), (1000, 25)])
def test_two_runs_of_the_same_on_a_steady_machine_are_no_difference(n: int, m: int) -> None:
    fooled = 0
    for seed in range(100):
        rng = random.Random(seed)
        a, b = measured(rng, n, 1, drift=0)[0], measured(rng, m, 1, drift=0)[0]
        found = compare_unpaired(a, b, threshold_percent=0)
        assert found.rounds == min(n, m)
        fooled += found.verdict != NO_DIFFERENCE
    assert fooled <= 12  # 5 is true; the luck of 100 draws is 6.5


def test_a_difference_between_two_runs_is_found() -> None:
    rng = random.Random(1)
    a, b = measured(rng, 25, 1.3, drift=0)[0], measured(rng, 20, 1, drift=0)[0]
    found = compare_unpaired(a, b)
    assert found.verdict == MORE
    assert found.low_percent is not None
    assert found.high_percent is not None
    assert 20 < found.low_percent < 30 < found.high_percent < 40


def test_drift_between_two_runs_counts_as_difference() -> None:
    rng = random.Random(1)
    whole = measured(rng, 50, 1)[0]
    assert compare_unpaired(whole[25:], whole[:25]).verdict == LESS
    assert against(1, 50, 1).verdict == NO_DIFFERENCE


def test_the_noise_of_two_runs_is_that_of_one_value_against_another() -> None:
    rng = random.Random(1)
    a, b = measured(rng, 400, 2, drift=0)[0], measured(rng, 400, 1, drift=0)[0]
    assert compare_unpaired(a, b).noise_percent == pytest.approx(5 * math.sqrt(2), rel=0.15)


# -- places --------------------------------------------------------------------------------

METHODS = ("send", "writev", "sendfile", "splice", "mmap", "zerocopy", "vmsplice")
SPEEDS = (0.5, 0.51, 1.0, 1.01, 0.7, 0.3, 0.99)


def places(
    seed: int, n: int, speeds: Sequence[float] = SPEEDS, higher: bool = True
) -> tuple[tuple[str, ...], ...]:
    series = measured(random.Random(seed), n, *speeds)
    return tiers(METHODS, dict(zip(METHODS, series, strict=True)), higher_is_better=higher)


def test_methods_that_cannot_be_told_apart_share_a_tier() -> None:
    assert [set(tier) for tier in places(1, 25)] == [
        {"sendfile", "splice", "vmsplice"},
        {"mmap"},
        {"send", "writev"},
        {"zerocopy"},
    ]


def test_where_less_is_better_the_order_is_the_other_way_round() -> None:
    assert [set(tier) for tier in places(1, 25, higher=False)] == [
        {"zerocopy"},
        {"send", "writev"},
        {"mmap"},
        {"sendfile", "splice", "vmsplice"},
    ]


def test_within_a_tier_the_order_is_that_of_the_medians() -> None:
    series = {"a": [1.0, 2.0, 3.0], "b": [2.0, 3.0, 4.0], "c": [2.0, 3.0, 4.0]}
    assert tiers(["a", "c", "b"], series, higher_is_better=True) == (("c", "b", "a"),)
    assert tiers(["c", "b", "a"], series, higher_is_better=False) == (("a", "c", "b"),)


def test_the_tiers_come_out_right_again_and_again() -> None:
    expected = [{"sendfile", "splice", "vmsplice"}, {"mmap"}, {"send", "writev"}, {"zerocopy"}]
    right = sum([set(tier) for tier in places(seed, 25)] == expected for seed in range(100))
    assert right >= 95


@pytest.mark.parametrize("n", [10, 25])
def test_seven_names_for_one_method_have_no_winner(n: int) -> None:
    assert sum(len(places(seed, n, [1] * 7)) == 1 for seed in range(100)) >= 95


def steps(names: str, n: int) -> dict[str, list[float | None]]:
    """Each twice the one before, in every round."""
    return {
        name: [2.0**step * (1 + number / 1000) for number in range(n)]
        for step, name in enumerate(names)
    }


def test_more_methods_need_more_rounds() -> None:
    # Two agree by chance in 8 of 8 rounds once in 128 times, some two of seven far more often.
    assert tiers("ab", steps("ab", 8), higher_is_better=True) == (("b",), ("a",))
    assert len(tiers("abcdefg", steps("abcdefg", 8), higher_is_better=True)) == 1
    assert len(tiers("abcdefg", steps("abcdefg", 9), higher_is_better=True)) == 1
    assert len(tiers("abcdefg", steps("abcdefg", 10), higher_is_better=True)) == 7


def test_each_clear_pair_leaves_fewer_to_correct_for() -> None:
    # b and c have 6 rounds in common: p = 3 % is enough for the last of three pairs only.
    series: dict[str, list[float | None]] = {
        "a": [4.0] * 18,
        "b": [2.0] * 12 + [None] * 6,
        "c": [None] * 6 + [1.0] * 12,
    }
    assert tiers("abc", series, higher_is_better=True) == (("a",), ("b",), ("c",))


def test_a_difference_too_small_to_matter_does_not_part_them() -> None:
    base = [100 + 0.01 * number for number in range(25)]
    series = {"a": base, "b": [0.97 * one for one in base]}
    assert tiers("ab", series, higher_is_better=True) == (("a", "b"),)


def test_a_method_without_a_value_is_in_no_tier() -> None:
    series: dict[str, list[float | None]] = {
        "a": [1.0] * 12,
        "b": [None] * 12,
        "c": [2.0] * 11 + [None],
    }
    assert tiers("abc", series, higher_is_better=True) == (("c",), ("a",))
    assert tiers("b", series, higher_is_better=True) == ()


def test_methods_without_a_round_in_common_cannot_be_told_apart() -> None:
    series: dict[str, list[float | None]] = {
        "a": [9.0] * 12 + [None] * 12,
        "b": [None] * 12 + [1.0] * 12,
    }
    assert tiers("ab", series, higher_is_better=True) == (("a", "b"),)
