"""What two results differ in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcptool.analysis import probe_diff
from tcptool.analysis.probe_diff import Report
from tcptool.model.connect import ConnectReport
from tcptool.model.latency import LatencyReport
from tcptool.model.probe import OptionInForce, TransferReport
from tests.unit.analysis.test_transfer import result
from tests.unit.views import connect_reports, test_latency
from tests.unit.views import test_pool as test_pool_views
from tests.unit.views.transfer_reports import MACHINE, PLAN, report

ROUNDS = [0.010 + 0.000_1 * (n % 5) for n in range(20)]


def transfer(times: float, **more: Any) -> TransferReport:
    """A result in which `send` takes so many times as long, and as much CPU, as at first."""
    results = (
        result("send", [one * times for one in ROUNDS], cpu_s=0.01 * times),
        result("splice", ROUNDS, cpu_s=0.02),
    )
    return replace(report(*results), **more)


def changes(before: Report, after: Report, threshold: float = 5) -> dict[tuple[str, str], str]:
    """The verdicts that are a difference; a star if it is one for the worse."""
    found = probe_diff.changes(probe_diff.series_of(before), probe_diff.series_of(after), threshold)
    return {
        (one.of, one.metric): one.outcome.verdict + "*" * one.worse
        for one in found
        if one.outcome.verdict != "no-difference"
    }


def test_nothing_changed() -> None:
    assert changes(transfer(1), transfer(1)) == {}


def test_slower_is_worse_and_faster_is_not() -> None:
    worse = {("send", "rate"): "less*", ("send", "cpu"): "more*"}
    better = {("send", "rate"): "more", ("send", "cpu"): "less"}
    assert changes(transfer(1), transfer(1.2)) == worse
    assert changes(transfer(1.2), transfer(1)) == better


def test_what_is_below_the_threshold_does_not_count() -> None:
    assert changes(transfer(1), transfer(1.2), 50) == {}
    assert changes(transfer(1), transfer(1.02), 1) != {}


def test_the_medians_stand_beside_it_with_their_unit() -> None:
    series = probe_diff.series_of(transfer(1))
    first = probe_diff.changes(series, series, 5)[0]
    assert (first.of, first.metric) == ("send", "rate")
    assert first.before.unit == "bytes_per_s"
    assert first.before.value == pytest.approx(1e6 / 0.0102)


def test_only_what_both_have_is_compared() -> None:
    one = transfer(1)
    other = replace(one, results=one.results[:1])
    found = probe_diff.changes(probe_diff.series_of(one), probe_diff.series_of(other), 5)
    assert {change.of for change in found} == {"send"}


def test_a_figure_without_a_reading_is_left_out() -> None:
    still = replace(transfer(1), results=(result("send", [0.0] * 9, cpu_s=0.0),))
    assert probe_diff.changes(probe_diff.series_of(still), probe_diff.series_of(still), 5) == ()


def test_what_else_is_not_the_same() -> None:
    one = transfer(1)
    assert probe_diff.circumstances(one, one) == ()
    other = transfer(
        1,
        plan=replace(PLAN, chunk_bytes=4096, seed=999, methods=("send", "mmap")),
        machine=replace(MACHINE, governor=None, load_after_percent=77.0),
    )
    found = {each.what: (each.before, each.after) for each in probe_diff.circumstances(one, other)}
    assert found.keys() == {"chunk_bytes", "methods", "governor"}
    assert found["chunk_bytes"][1] == "4096"
    assert found["methods"][1] == "send, mmap"
    assert found["governor"][1] == "-"


# -- latency -------------------------------------------------------------------------------


def latency(times: float, blocks: int = 12, requests: int = 1000) -> LatencyReport:
    """A result whose arm `nodelay` takes so many times as long as at first."""
    readings = [
        test_latency.blocks(40.0, number=blocks, requests=requests),
        test_latency.blocks(46.0 * times, number=blocks, requests=requests),
    ]
    return test_latency.report(readings, matrix=("nodelay",))


def test_longer_round_trips_are_worse() -> None:
    assert changes(latency(1), latency(1)) == {}
    worse = {("nodelay", "p50"): "more*", ("nodelay", "p99"): "more*"}
    assert changes(latency(1), latency(2)) == worse
    better = {("nodelay", "p50"): "less", ("nodelay", "p99"): "less"}
    assert changes(latency(2), latency(1)) == better


def test_percentiles_of_blocks_stand_beside_it() -> None:
    one = latency(1)
    found = probe_diff.series_of(one)
    assert list(found) == [(arm, name) for arm in ("default", "nodelay") for name in ("p50", "p99")]
    series = found["nodelay", "p99"]
    assert (series.unit, series.more_is_better) == ("us", False)
    assert series.values == [block.p99_us for block in one.arms[1].blocks]


def test_a_percentile_that_no_block_has_is_left_out() -> None:
    short = latency(1, requests=999)
    found = probe_diff.changes(probe_diff.series_of(short), probe_diff.series_of(latency(1)), 5)
    assert {one.metric for one in found} == {"p50"}


# -- connect -------------------------------------------------------------------------------


def connect(times: float = 1, **more: Any) -> ConnectReport:
    """A result at so many times the rate, each connection being made in as much less time."""
    made = connect_reports.report(rate_per_s=15_000 * times)
    blocks = [replace(one, connect_p50_us=23.0 / times) for one in made.blocks]
    return replace(made, blocks=tuple(blocks), **more)


def test_fewer_connections_a_second_are_worse_and_so_is_a_longer_one() -> None:
    assert changes(connect(), connect()) == {}
    assert changes(connect(), connect(0.5)) == {
        ("connections", "per_s"): "less*",
        ("connect", "p50"): "more*",
    }
    assert changes(connect(), connect(2)) == {
        ("connections", "per_s"): "more",
        ("connect", "p50"): "less",
    }


def test_rates_are_those_of_blocks_that_took_time() -> None:
    one = connect()
    short = replace(one.blocks[0], made=0, elapsed_s=0.0)
    found = probe_diff.series_of(replace(one, blocks=(short, *one.blocks)))
    rates = found["connections", "per_s"]
    assert rates.more_is_better
    assert rates.values == [block.made / block.elapsed_s for block in one.blocks]
    times = found["connect", "p50"]
    assert (times.unit, times.more_is_better) == ("us", False)


def test_blocks_with_too_few_connections_for_a_median_are_left_out() -> None:
    one = connect()
    blocks = tuple(replace(block, connect_p50_us=None) for block in one.blocks)
    bare = replace(one, blocks=blocks)
    found = probe_diff.changes(probe_diff.series_of(bare), probe_diff.series_of(one), 5)
    assert [(change.of, change.metric) for change in found] == [("connections", "per_s")]
    half = replace(one, blocks=one.blocks[:6] + blocks[6:])
    found = probe_diff.changes(probe_diff.series_of(half), probe_diff.series_of(one), 5)
    assert found[1].before.value == pytest.approx(23.0)


@given(st.sampled_from([0.2, 0.9, 1.0, 1.1, 5.0]), st.sampled_from([0.2, 0.9, 1.0, 1.1, 5.0]))
def test_what_is_worse_one_way_is_better_the_other(a: float, b: float) -> None:
    there, back = changes(connect(a), connect(b)), changes(connect(b), connect(a))
    opposite = {"more": "less*", "less": "more*", "more*": "less", "less*": "more"}
    assert back == {key: opposite[verdict] for key, verdict in there.items()}


def test_circumstances_of_connections() -> None:
    one = connect()
    assert probe_diff.circumstances(one, one) == ()
    option = OptionInForce(name="TCP_NODELAY", unit="", requested=True, effective=True)
    other = replace(
        one,
        plan=replace(one.plan, closer="server", to="192.0.2.7:443", timeout_s=1.0),
        settings=replace(one.settings, device=None, sndbuf_bytes=1, options=(option,)),
    )
    found = {each.what: (each.before, each.after) for each in probe_diff.circumstances(one, other)}
    assert found == {
        "closer": ("client", "server"),
        "to": ("-", "192.0.2.7:443"),
        "device": ("lo", "-"),
        "options": ("-", "TCP_NODELAY=True"),
    }


def test_results_without_settings_have_none_that_differ() -> None:
    nothing = replace(transfer(1), results=())
    assert probe_diff.circumstances(nothing, transfer(1)) == ()


def test_the_arms_of_a_pool_are_compared_by_rate_and_by_p50() -> None:
    quick = test_pool_views.report()
    arms = [
        replace(arm, blocks=tuple(replace(one, elapsed_s=one.elapsed_s * 2) for one in arm.blocks))
        for arm in quick.arms
    ]
    slow = replace(quick, arms=tuple(arms))
    assert changes(quick, slow) == {(arm.name, "per_s"): "less*" for arm in quick.arms}


def test_what_was_sent_is_a_circumstance() -> None:
    before, after = transfer(1, source_bytes=5_000_000), transfer(1, source_bytes=60_000)
    found = {one.what: (one.before, one.after) for one in probe_diff.circumstances(before, after)}
    assert found == {"source_bytes": ("5000000", "60000")}
    assert not probe_diff.circumstances(before, before)
