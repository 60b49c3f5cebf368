"""From connections to rates, percentiles, ports and warnings."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import astuple, fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcptool.analysis import connect
from tcptool.model.connect import (
    ConnectBlock,
    ConnectFailures,
    ConnectReading,
    CounterGrowth,
    FastOpenUse,
    PortUse,
)
from tests.unit.views.connect_reports import NO_GROWTH, PLAN, PORTS, report

READING = ConnectReading(
    made=20,
    elapsed_s=0.5,
    near_cpu_s=0.1,
    far_cpu_s=0.2,
    connect_us=(),
    exchange_us=(),
    answer_us=(),
    close_us=(),
    failures={},
    fast_open_used=0,
    ended_by="done",
)
BLOCK = ConnectBlock(made=20, elapsed_s=0.5, near_cpu_s=0.1, far_cpu_s=0.2, connect_p50_us=30.0)
COUNTERS = [
    "TcpActiveOpens",
    "TcpPassiveOpens",
    "TcpAttemptFails",
    "TcpRetransSegs",
    "TcpExtTCPSynRetrans",
    "TcpExtTCPTimeouts",
    "TcpExtListenOverflows",
    "TcpExtListenDrops",
    "TcpExtTCPTimeWaitOverflow",
]


# -- blocks --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("connections", "blocks", "expected"),
    [(1, 12, [1]), (7, 3, [3, 2, 2]), (12, 12, [1] * 12), (13, 12, [2] + [1] * 11)],
)
def test_blocks_share_the_connections(connections: int, blocks: int, expected: list[int]) -> None:
    assert connect.shares(connections, blocks) == expected


@given(st.integers(1, 10_000_000), st.integers(1, 100))
def test_shares_are_even_and_lose_nothing(connections: int, blocks: int) -> None:
    found = connect.shares(connections, blocks)
    assert sum(found) == connections
    assert len(found) == min(connections, blocks)
    assert 0 < min(found) <= max(found) <= min(found) + 1
    assert found[0] == max(found)  # so that the warm-up, which is as long, is not the shorter one


def test_the_warm_up_counts_only_if_it_is_all_there_is() -> None:
    first, second = READING, replace(READING, made=7)
    assert connect.measured([first, second, second]) == [second, second]
    assert connect.measured([first]) == [first]
    assert connect.measured([]) == []


def test_a_block_keeps_the_median_of_enough_connections() -> None:
    times = [float(n) for n in range(10)]
    assert connect.block(replace(READING, connect_us=times)) == replace(BLOCK, connect_p50_us=4.0)
    assert connect.block(replace(READING, connect_us=times[1:])).connect_p50_us is None
    assert connect.block(READING).connect_p50_us is None


def test_rates_are_of_blocks_in_which_something_happened() -> None:
    blocks = [BLOCK, replace(BLOCK, made=0), replace(BLOCK, elapsed_s=0.0)]
    assert connect.rates_per_s(blocks) == [40.0]


def test_cpu_time_is_that_of_a_connection_in_the_median_block() -> None:
    cheap, dear = replace(BLOCK, near_cpu_s=0.000_2), replace(BLOCK, near_cpu_s=0.000_6)
    nothing = replace(BLOCK, made=0, near_cpu_s=99.0)
    assert connect.cpu_us([cheap, dear, dear, nothing]) == pytest.approx(30)
    assert connect.cpu_us([cheap, nothing], far=True) == pytest.approx(10_000)
    assert connect.cpu_us([replace(cheap, far_cpu_s=None)], far=True) is None
    assert connect.cpu_us([nothing]) is None


# -- times of single connections -----------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "p50", "p90", "p99", "p99_9"),
    [
        (1, None, None, None, None),
        (9, None, None, None, None),
        (10, 5.0, None, None, None),
        (99, 50.0, None, None, None),
        (100, 50.0, 90.0, None, None),
        (1000, 500.0, 900.0, 990.0, None),
        (10_000, 5000.0, 9000.0, 9900.0, 9990.0),
    ],
)
def test_a_percentile_takes_ten_connections_beyond_it(
    count: int, p50: float | None, p90: float | None, p99: float | None, p99_9: float | None
) -> None:
    found = connect.percentiles(map(float, range(count, 0, -1)))
    assert found is not None
    assert astuple(found) == (count, p50, p90, p99, p99_9, float(count))


def test_no_connection_has_no_times() -> None:
    assert connect.percentiles([]) is None


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=300))
def test_percentiles_are_times_that_were_measured_in_order(times_us: list[float]) -> None:
    found = connect.percentiles(times_us)
    assert found is not None
    known = [value for value in astuple(found)[1:] if value is not None]
    assert known == sorted(known)
    assert set(known) <= set(times_us)
    assert (found.count, found.max_us) == (len(times_us), max(times_us))


def test_failures_add_up_with_the_most_frequent_first() -> None:
    refused, reset = errno.ECONNREFUSED, errno.ECONNRESET
    readings = [replace(READING, failures=counts) for counts in ({refused: 2}, {}, {reset: 5})]
    assert connect.failures(readings, {refused: "ECONNREFUSED", reset: "ECONNRESET"}) == (
        ConnectFailures(error="ECONNRESET", count=5),
        ConnectFailures(error="ECONNREFUSED", count=2),
    )
    assert connect.failures([READING], {}) == ()


# -- what the kernel counted ---------------------------------------------------------------


def test_counters_are_in_the_order_that_the_record_tells() -> None:
    before = {name: 100 * place for place, name in enumerate(COUNTERS)}
    after = {name: 100 * place + place for place, name in enumerate(COUNTERS)}
    assert astuple(connect.growth(before, after | {"TcpInSegs": 7})) == tuple(range(len(COUNTERS)))


@given(
    st.dictionaries(st.sampled_from(COUNTERS), st.integers(0)),
    st.dictionaries(st.sampled_from(COUNTERS), st.integers(0)),
)
def test_a_counter_that_one_side_lacks_is_absent_and_not_zero(
    before: Mapping[str, int], after: Mapping[str, int]
) -> None:
    found = connect.growth(before, after)
    for field, name in zip(fields(CounterGrowth), COUNTERS, strict=True):
        both = name in before and name in after
        assert getattr(found, field.name) == (after[name] - before[name] if both else None)


def test_ports_of_the_range_alone_count() -> None:
    found = connect.port_use(
        range(100, 110), [range(90, 102), range(109, 120)], 4, [101, 103, 104, 104, 555], 2
    )
    assert found == PortUse(first=100, last=109, reserved=3, used=4, taken=3, left=5, tw_reuse=2)


def test_ports_that_nobody_counted_are_unknown() -> None:
    found = connect.port_use(range(100, 110), [], 0, None, None)
    assert (found.taken, found.left, found.tw_reuse) == (None, None, None)


@given(
    st.integers(1, 50),
    st.lists(st.tuples(st.integers(0, 80), st.integers(0, 20))),
    st.sets(st.integers(0, 100)),
)
def test_every_port_is_reserved_taken_or_left(
    count: int, spans: list[tuple[int, int]], taken: set[int]
) -> None:
    ports = range(20, 20 + count)
    reserved = [range(first, first + length) for first, length in spans]
    barred = {port for span in reserved for port in span}
    found = connect.port_use(ports, reserved, 0, taken, 0)
    assert found.last - found.first + 1 == count
    assert found.left == sum(port not in barred and port not in taken for port in ports)
    assert found.reserved == sum(port in barred for port in ports)
    assert found.taken == sum(port in taken for port in ports)


# -- warnings ------------------------------------------------------------------------------


def warned(**changes: Any) -> dict[str, str]:
    """The warnings of a report that has none but for these changes."""
    return {one.id: one.message for one in connect.warnings_of(replace(report(), **changes))}


def ports(**changes: Any) -> PortUse:
    return replace(PORTS, **changes)


def test_nothing_to_warn_of() -> None:
    assert warned() == {}
    assert warned(ended_by="interrupted", complete=False) == {}
    assert warned(counters=None, ports=None, tw_before=None, tw_after=None) == {}


def test_the_end_of_ports_says_who_has_them_and_what_helps() -> None:
    client = warned(ended_by="no-ports-left")["no-ports-left"]
    assert "no local port of 32768..60999 was left" in client
    assert "EADDRNOTAVAIL" in client
    assert "60 s in TIME_WAIT" in client
    assert "--close server" in client
    for closer in ("server", "reset"):
        plan = replace(PLAN, closer=closer)
        other = warned(ended_by="no-ports-left", plan=plan, ports=None)["no-ports-left"]
        assert other.startswith("no local port was left")
        assert "TIME_WAIT" not in other
        assert "--close" not in other
        assert "widen net.ipv4.ip_local_port_range" in other
    assert client.endswith("`tcptool list state time-wait` shows who has them")


def test_an_early_end_is_explained() -> None:
    found = warned(ended_by="no-answer", plan=replace(PLAN, timeout_s=0.25))
    assert found["no-answer"].startswith("nothing happened for 0.25 s")
    assert set(warned(ended_by="failures")) == {"failures"}


def test_failures_are_counted_by_their_name() -> None:
    failed = (
        ConnectFailures(error="ECONNREFUSED", count=3),
        ConnectFailures(error="ECONNRESET", count=1),
    )
    found = warned(failed=failed)["some-failed"]
    assert "3 with ECONNREFUSED, 1 with ECONNRESET" in found


def growing(by: int, closer: str = "client", **changes: Any) -> str | None:
    """The warning of a run that left so many connections more in TIME_WAIT."""
    plan = replace(PLAN, closer=closer)
    return warned(tw_before=50, tw_after=50 + by, plan=plan, **changes).get("time-wait-grew")


def test_a_tenth_of_the_ports_in_time_wait_is_many() -> None:
    few = ports(first=1000, last=1999)
    assert growing(99, ports=few) is None
    assert growing(100, ports=few) is not None
    assert growing(90, ports=replace(few, reserved=100)) is not None
    assert growing(-100, ports=few) is None


def test_time_wait_takes_ports_where_this_end_closes_first() -> None:
    few = ports(first=1000, last=1999, tw_reuse=0)
    text = growing(500, ports=few, rate_per_s=100.0)
    assert text is not None
    assert text.startswith("500 connections more are in TIME_WAIT, each for 60 s, and each keeps")
    assert text.endswith("which has 1000: at this rate they last 10 s")
    for rate_per_s in (None, 16.0):  # ports come back faster
        slow = growing(500, ports=few, rate_per_s=rate_per_s)
        assert slow is not None
        assert slow.endswith("which has 1000")


@pytest.mark.parametrize("closer", ["server", "reset"])
def test_time_wait_of_another_end_takes_memory_alone(closer: str) -> None:
    text = growing(5000, closer, rate_per_s=1e6)
    assert text is not None
    assert text.endswith("memory there, no port here")


@pytest.mark.parametrize(
    ("tw_reuse", "said"),
    [(None, None), (0, None), (1, "used again after a second"), (2, "again on loopback after a")],
)
def test_ports_that_can_be_used_again_are_told(tw_reuse: int | None, said: str | None) -> None:
    text = growing(5000, ports=ports(tw_reuse=tw_reuse))
    assert text is not None
    assert ("tcp_tw_reuse" in text) == (said is not None)
    assert said is None or said in text


def test_what_the_kernel_dropped_is_told() -> None:
    found = warned(counters=replace(NO_GROWTH, listen_overflows=4, listen_drops=4))
    assert set(found) == {"listen-overflow"}
    assert "full 4 times" in found["listen-overflow"]
    assert "--backlog" in found["listen-overflow"]
    found = warned(counters=replace(NO_GROWTH, syn_retrans=3))
    assert set(found) == {"syn-retransmitted"}
    assert found["syn-retransmitted"].startswith("3 SYN or SYN-ACK segments")
    unknown = replace(NO_GROWTH, syn_retrans=None, listen_overflows=None)
    assert warned(counters=unknown) == {}


def fast_open(**changes: Any) -> str | None:
    use = replace(FastOpenUse(used=2, asked=9, enabled=3, refused=None), **changes)
    return warned(fast_open=use).get("fast-open-unused")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"used": 9}, None),
        ({"used": 0, "asked": 0}, None),
        ({}, "fast open used in 2 of 9"),
        ({"enabled": None}, "fast open used in 2 of 9"),
        ({"refused": "cookie-unavailable"}, "2 of 9: the kernel notes cookie-unavailable"),
        (
            {"enabled": 1, "refused": "cookie-unavailable"},
            "tcp_fastopen is 1, which lacks 2 (servers)",
        ),
        ({"enabled": 0x402}, "tcp_fastopen is 1026, which lacks 1 (clients)"),
        ({"enabled": 0}, "tcp_fastopen is 0, which lacks 1 (clients), 2 (servers)"),
    ],
)
def test_fast_open_that_was_not_used(changes: dict[str, Any], said: str | None) -> None:
    text = fast_open(**changes)
    assert (text is None) == (said is None)
    assert text is None or text.endswith(said or "")


def test_too_few_are_named_with_what_they_lack() -> None:
    text = warned(made=999)["too-few"]
    assert text.startswith("too few to trust (999): p99 takes 1000 connections; --connections")
    text = warned(rate_low_per_s=None)["too-few"]
    assert "(2000): an interval of the rate takes 6 blocks;" in text
    both = warned(made=5, rate_low_per_s=None)["too-few"]
    assert "p99 takes 1000 connections, an interval" in both


def short_blocks(least: int, flights: int, **changes: Any) -> str | None:
    blocks = (BLOCK, replace(BLOCK, made=least), BLOCK)
    plan = replace(PLAN, concurrency=flights)
    return warned(plan=plan, blocks=blocks, **changes).get("short-blocks")


def test_a_block_needs_ten_rounds_of_what_is_in_flight() -> None:
    assert short_blocks(20, 2) is None
    text = short_blocks(19, 2)
    assert text is not None
    assert text.startswith("short blocks: 19 connections for 2 at a time")
    assert short_blocks(1, 1) is None  # each starts and ends a block anyway
    assert short_blocks(1, 2, rate_low_per_s=None) is None  # too few at all: said once


def test_the_order_is_that_of_weight() -> None:
    bad = replace(
        report(),
        made=1,
        ended_by="failures",
        failed=(ConnectFailures(error="ECONNREFUSED", count=100),),
        counters=replace(NO_GROWTH, syn_retrans=1, listen_overflows=1),
    )
    assert [one.id for one in connect.warnings_of(bad)] == [
        "failures",
        "some-failed",
        "listen-overflow",
        "syn-retransmitted",
        "too-few",
    ]
