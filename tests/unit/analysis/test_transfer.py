"""From readings to rates, costs, places and warnings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcptool.analysis import transfer
from tcptool.catalog.tcp_info import TcpInfo
from tcptool.model.probe import Cost, MethodResult, Reading, Settings, Slice, ZeroCopySends

SETTINGS = Settings(
    congestion_control="cubic",
    sndbuf_bytes=1,
    rcvbuf_bytes=2,
    mss_bytes=3,
    device="lo",
    gso=True,
    options=(),
)


def reading(method: str, elapsed_s: float, cpu_s: float = 0.5, *, connection: int = 0) -> Reading:
    return Reading(
        method,
        Slice(
            connection=connection,
            payload_bytes=1_000_000,
            elapsed_s=elapsed_s,
            near_cpu_s=cpu_s,
            far_cpu_s=0.25,
        ),
        Cost(cpu_s / 5, cpu_s * 4 / 5, 10, 2, 3),
        Cost(0.05, 0.2, 4, 0, 0),
    )


def readings(method: str, elapsed_s: Iterable[float], cpu_s: float = 0.5) -> list[Reading]:
    """Each on a connection of its own."""
    return [reading(method, one, cpu_s, connection=number) for number, one in enumerate(elapsed_s)]


def result(method: str, elapsed_s: list[float], cpu_s: float = 0.5, **more: object) -> MethodResult:
    made = transfer.method_result(
        method, readings(method, elapsed_s, cpu_s), SETTINGS, None, None, None
    )
    return replace(made, **more)  # type: ignore[arg-type]


@given(st.integers(1, 1 << 45), st.integers(1, 1 << 40), st.integers(1, 100))
def test_slices_make_up_the_whole(size: int, slice_bytes: int, connections: int) -> None:
    if size // slice_bytes > 10_000:
        size = slice_bytes * 10_000
    shares = transfer.slice_sizes(size, slice_bytes, connections)
    assert len(shares) == min(connections, size)
    assert sum(map(sum, shares)) == size
    whole = [sum(sizes) for sizes in shares]
    assert max(whole) - min(whole) <= 1
    for sizes in shares:
        assert max(sizes) - min(sizes) <= 1
        assert min(sizes) > 0
        assert max(sizes) <= max(2 * slice_bytes, 2)


def test_slices_are_as_near_to_what_was_asked_as_can_be() -> None:
    assert transfer.slice_sizes(100, 4, 5) == [[4] * 5] * 5
    assert transfer.slice_sizes(100, 1000, 3) == [[34], [33], [33]]
    assert transfer.slice_sizes(2, 1000, 16) == [[1], [1]]


def test_a_connection_is_one_observation() -> None:
    made = transfer.method_result(
        "send",
        [
            reading("send", elapsed_s, connection=number)
            for number, times in enumerate([(1, 2, 9), (4,), (0, 5), (0,)])
            for elapsed_s in times
        ],
        SETTINGS,
        None,
        None,
        None,
    )
    rates = transfer.by_connection(made.slices, transfer.rate_bytes_per_s)
    assert rates == [500_000, 250_000, 200_000, None]
    assert made.rate_bytes_per_s == 250_000
    assert made.connections == 4


def test_the_figures_of_a_method() -> None:
    measured = readings("send", (0.001, 0.002, 0.002, 0.002, 0.004, 0.002))
    made = transfer.method_result(
        "send", measured, SETTINGS, None, ZeroCopySends(completed=4, copied=4), 7
    )
    assert made.payload_bytes == 6_000_000
    assert made.rate_bytes_per_s == 500_000_000
    assert (made.rate_low_bytes_per_s, made.rate_high_bytes_per_s) == (250_000_000, 1_000_000_000)
    assert made.noise_percent == 0
    assert made.cpu_s_per_gb == 500
    assert made.near.calls == 60
    assert made.near.call_bytes == 100_000
    assert made.near.short_calls == 12
    assert made.near.waits == 18
    assert made.near.user_cpu_s == pytest.approx(0.6)
    assert made.near.cpu_s_per_gb == pytest.approx(500)
    assert made.far is not None
    assert made.far.cpu_s_per_gb == pytest.approx(250)
    assert made.verified_bytes == 7
    assert made.rwnd_limited_percent is None


def test_what_the_sender_waited_for_is_a_share_of_its_busy_time() -> None:
    info = replace(TcpInfo(), busy_time_us=200, rwnd_limited_us=50, sndbuf_limited_us=20)
    made = transfer.method_result("send", [reading("send", 1)], SETTINGS, info, None, None)
    assert (made.rwnd_limited_percent, made.sndbuf_limited_percent) == (25, 10)


def test_a_far_end_that_is_not_ours_has_no_costs() -> None:
    one = reading("send", 0.001)._replace(far=None)
    made = transfer.method_result("send", [one], SETTINGS, None, None, None)
    assert made.far is None


def test_nothing_is_ranked_without_a_rate() -> None:
    still = [result("send", [0.0] * 9), result("mmap", [0.0] * 9)]
    assert transfer.places(still, transfer.RATE) == ()
    assert transfer.comparisons(still, transfer.RATE, ()) == ()
    assert [one.place_by_throughput for one in transfer.ranked(still, (), ())] == [None, None]


def test_a_clock_that_did_not_move_gives_no_rate() -> None:
    made = transfer.method_result("send", [reading("send", 0.0)], SETTINGS, None, None, None)
    assert made.rate_bytes_per_s is None
    assert not [one for one in transfer.warnings_of([made]) if one.id == "noisy"]


def test_the_fastest_comes_first_and_equals_share_a_place() -> None:
    rounds = [0.01 + 0.0001 * (n % 3) for n in range(12)]
    quick = result("sendfile", rounds, cpu_s=0.2)
    same = result("splice", [one * (1.01 if n % 2 else 0.99) for n, one in enumerate(rounds)], 0.2)
    slow = result("send", [one * 2 for one in rounds], cpu_s=0.8)
    results = [slow, same, quick]
    by_rate = transfer.places(results, transfer.RATE)
    by_cpu = transfer.places(results, transfer.CPU)
    assert [set(tier) for tier in by_rate] == [{"sendfile", "splice"}, {"send"}]
    assert [set(tier) for tier in by_cpu] == [{"sendfile", "splice"}, {"send"}]
    ranked = transfer.ranked(results, by_rate, by_cpu)
    assert [one.place_by_throughput for one in ranked] == [1, 1, 3]
    assert ranked[-1].method == "send"
    assert ranked[-1].place_by_cpu == 3
    against = {c.method: c for c in transfer.comparisons(results, transfer.RATE, by_rate)}
    base = by_rate[0][0]
    (other,) = {"sendfile", "splice"} - {base}
    assert set(against) == {"send", other}
    assert against["send"].outcome.verdict == "less"
    assert against["send"].outcome.effect_percent == pytest.approx(-50, abs=1)
    assert against[other].outcome.verdict == "no-difference"


def test_only_rounds_that_all_went_through_are_compared() -> None:
    results = [result("send", [0.01] * 9), result("mmap", [0.02] * 8)]
    (one,) = transfer.comparisons(results, transfer.RATE, (("send",), ("mmap",)))
    assert one.outcome.rounds == 8


def test_few_connections_or_short_slices_are_not_to_be_trusted() -> None:
    few = result("send", [0.01] * 5)
    short = result("mmap", [0.000_1] * 20)
    fine = result("splice", [0.01] * 20)
    (warning,) = transfer.warnings_of([few, short, fine])
    assert warning.id == "too-short"
    assert "send, mmap:" in warning.message


def test_a_wide_interval_is_noise() -> None:
    wild = result("send", [0.01 * (1 + n % 3) for n in range(12)])
    (warning,) = transfer.warnings_of([wild, result("mmap", [0.01] * 12)])
    assert warning.id == "noisy"
    assert "send:" in warning.message


def test_a_copy_after_all_is_told() -> None:
    copied = result("zerocopy", [0.01] * 12, zerocopy=ZeroCopySends(completed=9, copied=3))
    clean = result("zerocopy", [0.01] * 12, zerocopy=ZeroCopySends(completed=9, copied=0))
    (warning,) = transfer.warnings_of([copied, clean])
    assert warning.id == "copied"
    assert "copied 3 of 9 sends" in warning.message
