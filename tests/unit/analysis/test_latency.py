"""From round trips to percentiles, comparisons, lessons and warnings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcptool.analysis import latency
from tcptool.analysis.comparison import LESS, MORE, TOO_FEW
from tcptool.model.latency import Arm, LatencyArm, LatencyPlan, RoundTrips
from tcptool.model.probe import OptionInForce, Settings

PLAN = LatencyPlan(
    requests=100,
    blocks=6,
    block_limit_s=1.0,
    sizes_bytes=(64,),
    reply_bytes=64,
    patterns=("one-write",),
    matrix=(),
    requests_per_s=None,
    under_load=False,
    path="ipv4",
    to=None,
    timeout_s=10.0,
    seed=1,
    processors=None,
)
SETTINGS = Settings(
    congestion_control="cubic",
    sndbuf_bytes=1,
    rcvbuf_bytes=2,
    mss_bytes=3,
    device="lo",
    gso=True,
    options=(),
)
SLOW_US, FAST_US = 44_000.0, 50.0


def with_option(name: str, *, effective: bool) -> Settings:
    one = OptionInForce(name=name, unit="", requested=True, effective=effective)
    return replace(SETTINGS, options=(one,))


def trips(*times_us: float, segments: int | None = 2, late: int | None = None) -> RoundTrips:
    return RoundTrips(times_us, late, segments, 0, None)


def arm(name: str = "a", base: str | None = None, **more: Any) -> Arm:
    return Arm(name, 64, 64, "one-write", "default", False, base)._replace(**more)


def result(times_us: Sequence[float] | float, **more: Any) -> LatencyArm:
    """An arm with a block for each of these medians."""
    medians = [times_us] * 6 if isinstance(times_us, float) else times_us
    (made,) = latency.results({arm(**more): [trips(one) for one in medians]})
    return made


# -- arms ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"one-write": None}),
        ({"under_load": True}, {"one-write": None, "one-write+load": "one-write"}),
        (
            {"patterns": ("two-writes",), "matrix": ("nodelay", "cork")},
            {"default": None, "nodelay": "default", "cork": "default"},
        ),
        (
            {"patterns": ("two-writes", "more")},
            {"two-writes": None, "more": "two-writes"},
        ),
        ({"sizes_bytes": (1, 1024)}, {"1B": None, "1024B": None}),
        (
            {"sizes_bytes": (1, 8), "patterns": ("one-write", "gathered"), "under_load": True},
            {
                "1B+one-write": None,
                "1B+one-write+load": "1B+one-write",
                "1B+gathered": "1B+one-write",
                "1B+gathered+load": "1B+gathered",
                "8B+one-write": None,
                "8B+one-write+load": "8B+one-write",
                "8B+gathered": "8B+one-write",
                "8B+gathered+load": "8B+gathered",
            },
        ),
    ],
)
def test_arms_are_named_after_what_distinguishes_them(
    changes: dict[str, Any], expected: dict[str, str | None]
) -> None:
    made = latency.arms_of(replace(PLAN, **changes))
    assert {one.name: one.base for one in made} == expected


@given(
    st.lists(st.integers(2, 9), min_size=1, unique=True),
    st.lists(st.sampled_from(["one-write", "two-writes", "more"]), min_size=1, unique=True),
    st.lists(st.sampled_from(["nodelay", "cork", "quickack"]), unique=True),
    st.booleans(),
)
def test_every_combination_is_an_arm_and_has_a_name(
    sizes: list[int], patterns: list[str], matrix: list[str], under_load: bool
) -> None:
    plan = replace(
        PLAN,
        sizes_bytes=tuple(sizes),
        patterns=tuple(patterns),
        matrix=tuple(matrix),
        under_load=under_load,
        reply_bytes=None,
    )
    made = latency.arms_of(plan)
    loads = [False, True] if under_load else [False]
    assert [(a.size_bytes, a.pattern, a.option, a.under_load) for a in made] == list(
        product(sizes, patterns, ["default", *matrix], loads)
    )
    by_name = {one.name: one for one in made}
    assert len(by_name) == len(made)
    assert all(one.reply_bytes == one.size_bytes for one in made)
    for one in made:
        assert one.base != one.name
        if one.base:
            assert by_name[one.base].size_bytes == one.size_bytes
            assert not by_name[one.base].under_load


# -- percentiles ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "p90", "p99", "p99_9"),
    [
        (1, None, None, None),
        (99, None, None, None),
        (100, 90.0, None, None),
        (999, 900.0, None, None),
        (1000, 900.0, 990.0, None),
        (9_999, 9_000.0, 9_900.0, None),
        (10_000, 9_000.0, 9_900.0, 9_990.0),
    ],
)
def test_a_percentile_takes_ten_round_trips_beyond_it(
    count: int, p90: float | None, p99: float | None, p99_9: float | None
) -> None:
    block = latency.block_of(trips(*map(float, range(count, 0, -1))))
    assert (block.requests, block.max_us) == (count, count)
    assert block.p50_us == (count + 1) / 2
    assert (block.p90_us, block.p99_us, block.p99_9_us) == (p90, p99, p99_9)


def test_an_arm_is_the_median_of_its_blocks() -> None:
    made = result([10.0, 11.0, 12.0, 13.0, 14.0, 90.0])
    assert (made.p50_us, made.p50_low_us, made.p50_high_us) == (12.5, 10.0, 90.0)
    assert (made.requests, made.max_us, len(made.blocks)) == (6, 90.0, 6)
    assert made.data_segments == 12
    assert made.retrans_packets == 0
    assert (made.late, made.load_rate_bytes_per_s, made.p90_us, made.outcome) == (None,) * 4
    few = result([10.0, 11.0])
    assert (few.p50_low_us, few.p50_high_us) == (None, None)


def test_what_one_block_lacks_the_arm_lacks() -> None:
    long = trips(*[float(i) for i in range(1000)], late=3)
    (made,) = latency.results({arm(): [long, long._replace(load_rate_bytes_per_s=5.0)]})
    assert (made.p90_us, made.p99_us, made.p99_9_us) == (899.0, 989.0, None)
    assert made.late == 6
    assert made.load_rate_bytes_per_s is None
    (made,) = latency.results({arm(): [long, trips(1.0, segments=None)]})
    assert (made.p90_us, made.data_segments, made.late) == (None, None, None)


def test_arms_are_compared_block_by_block() -> None:
    slow, fast = [trips(2.0 + i) for i in range(8)], [trips(1.0 + i / 2) for i in range(8)]
    first, second = latency.results({arm("a"): slow, arm("b", "a"): fast})
    assert first.outcome is None
    assert second.outcome is not None
    assert second.outcome.verdict == LESS
    assert second.outcome.effect_percent == pytest.approx(-50)
    back, _ = latency.results({arm("b", "a"): slow, arm("a"): fast})
    assert back.outcome is not None
    assert back.outcome.verdict == MORE


def test_after_an_interruption_only_common_blocks_are_compared() -> None:
    some = [trips(5.0) for _ in range(4)]
    first, second = latency.results({arm("a"): some, arm("b", "a"): some[:3], arm("c", "a"): []})
    assert first.name == "a"
    assert second.outcome is not None
    assert (second.outcome.rounds, second.outcome.verdict) == (3, TOO_FEW)
    (alone,) = latency.results({arm("a"): [], arm("b", "a"): some})
    assert alone.outcome is None


# -- lessons -------------------------------------------------------------------------------


def two_writes(times_us: Sequence[float] | float = SLOW_US, **more: Any) -> LatencyArm:
    return result(times_us, pattern="two-writes", **more)


def learnt(*arms: LatencyArm, settings: Settings = SETTINGS, rate: int | None = None) -> list[str]:
    plan = replace(PLAN, requests_per_s=rate)
    return [one.message for one in latency.lessons(arms, plan, settings)]


def test_two_writes_that_wait_are_a_lesson_with_every_remedy_shown() -> None:
    others = [
        two_writes(FAST_US, option="nodelay"),
        two_writes(60.0, option="quickack"),
        result(55.0),
        result(FAST_US, pattern="more"),
    ]
    (text,) = learnt(two_writes(), *others)
    assert text.startswith("Two writes wait for a delayed ACK: 44 ms for 64 bytes.")
    assert text.endswith(
        "Avoided (50 µs to 60 µs) by TCP_NODELAY, TCP_QUICKACK at the far end, set again before "
        "each wait, one write or MSG_MORE on the first write."
    )
    (text,) = learnt(two_writes(), two_writes(FAST_US, option="cork"))
    assert text.endswith("Avoided (50 µs) by TCP_CORK around both writes.")


@pytest.mark.parametrize(
    ("slow", "other"),
    [
        (two_writes(FAST_US), two_writes(FAST_US, option="nodelay")),  # nothing waited
        (two_writes(), two_writes(option="nodelay")),  # nothing helped
        (two_writes(), two_writes(24_001.0, option="nodelay")),  # not by so much
        (two_writes([24_000.0] + 5 * [SLOW_US]), result([4_000.0] * 5 + [5_000.0])),  # not surely
        (two_writes(), result(FAST_US, size_bytes=65)),  # another request
        (two_writes(), result(FAST_US, under_load=True)),  # not under the same load
        (two_writes(), result(FAST_US, option="nodelay")),  # two things differ
        (two_writes(under_load=True), result(FAST_US)),
        (two_writes(option="cork"), result(FAST_US)),
        (result(SLOW_US, pattern="more"), result(FAST_US)),
    ],
)
def test_what_the_figures_do_not_show_is_not_claimed(slow: LatencyArm, other: LatencyArm) -> None:
    assert learnt(slow, other) == []


def test_a_long_path_does_not_hide_the_lesson() -> None:
    (text,) = learnt(two_writes(85_000.0), result(20_900.0))
    assert "85 ms" in text
    assert "(20.9 ms)" in text


def test_a_cork_that_stays_is_a_lesson() -> None:
    corked = with_option("TCP_CORK", effective=True)
    (text,) = learnt(result(416_000.0), settings=corked)
    assert text.startswith("TCP_CORK stays set")
    assert "416 ms a round trip" in text
    assert learnt(result(FAST_US), settings=corked) == []
    assert learnt(result(416_000.0), settings=with_option("TCP_CORK", effective=False)) == []
    assert learnt(result(416_000.0), settings=with_option("TCP_NODELAY", effective=True)) == []


def test_replies_that_come_with_the_next_request_are_a_lesson() -> None:
    blocks = result([55.0, 519.0, 500.0, 600.0, 700.0, 499.0])
    (text,) = learnt(blocks, rate=2000)
    assert text.startswith("In 3 of 6 blocks a reply takes as long as it is to the next request")
    assert "500 µs" in text
    assert learnt(blocks) == []  # no schedule
    assert learnt(blocks, rate=2000, settings=with_option("TCP_NODELAY", effective=True)) == []
    assert learnt(result([400.0, 519.0]), rate=2000) == []  # as slow a path
    assert learnt(result([55.0, 56.0]), rate=2000) == []


# -- warnings ------------------------------------------------------------------------------


def warned(*arms: LatencyArm, processors: int = 8, **changes: Any) -> dict[str, str]:
    plan = replace(PLAN, **changes)
    return {one.id: one.message for one in latency.warnings_of(arms, plan, processors)}


def enough(late: int | None = None) -> LatencyArm:
    return replace(result(FAST_US), p99_us=FAST_US, requests=1000, late=late)


def test_a_closed_loop_is_said_to_hide_stalls() -> None:
    assert set(warned(enough())) == {"closed-loop"}
    assert "coordinated omission" in warned(enough())["closed-loop"]
    assert warned(enough(0), requests_per_s=100) == {}


def test_too_few_requests_are_named() -> None:
    found = warned(enough(), result(FAST_US, name="short"), requests_per_s=1)
    assert set(found) == {"few-requests"}
    assert found["few-requests"].startswith("p99 takes 1000 requests in a block (short)")


def test_a_missed_schedule_is_named() -> None:
    assert warned(enough(10), requests_per_s=100) == {}
    found = warned(enough(11), requests_per_s=100)
    assert set(found) == {"schedule-missed"}
    assert "(a)" in found["schedule-missed"]


@pytest.mark.parametrize(
    ("processors", "to", "expected"), [(2, None, True), (4, None, False), (2, "h:7", False)]
)
def test_load_on_the_processors_of_the_ends(
    processors: int, to: str | None, expected: bool
) -> None:
    found = warned(enough(0), processors=processors, requests_per_s=1, under_load=True, to=to)
    assert ("load-shares-processors" in found) == expected
