"""What follows from one reading, and from two."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcptool.analysis.readings import derive, rates
from tcptool.catalog.tcp_info import TcpInfo
from tcptool.model.inspection import Derived, Rates

READING = TcpInfo(
    rtt_us=10_000,
    min_rtt_us=8_000,
    snd_cwnd_packets=10,
    snd_mss_bytes=1448,
    snd_wnd_bytes=65_536,
    rcv_wnd_bytes=100_000,
    rcv_wscale=0,
    sent_bytes=1_000_000,
    acked_bytes=900_000,
    received_bytes=5_000,
    retrans_bytes=10_000,
    segs_out=700,
    segs_in=350,
    total_retrans_packets=7,
    busy_time_us=1_000_000,
    rwnd_limited_us=400_000,
    sndbuf_limited_us=100_000,
    delivery_rate_app_limited=0,
)


def later(**changes: Any) -> TcpInfo:
    return dataclasses.replace(READING, **changes)


def test_one_reading_gives_every_derived_value() -> None:
    assert derive(READING) == Derived(
        retrans_percent=1.0,
        limited_by="peer-window",
        rwnd_limited_percent=40.0,
        sndbuf_limited_percent=10.0,
        queueing_us=2_000,
        effective_rcv_wnd_bytes=65_535,
        cwnd_rate_bytes_per_s=1_448_000.0,
        window_rate_bytes_per_s=6_553_600.0,
    )


@pytest.mark.parametrize("info", [None, TcpInfo()])
def test_no_reading_gives_nothing(info: TcpInfo | None) -> None:
    assert set(dataclasses.asdict(derive(info)).values()) == {None}


def test_two_readings_give_rates() -> None:
    after = later(
        sent_bytes=1_200_000,
        acked_bytes=1_100_000,
        received_bytes=5_000,
        segs_out=840,
        segs_in=420,
        total_retrans_packets=9,
        busy_time_us=2_000_000,
        rwnd_limited_us=900_000,
        sndbuf_limited_us=100_000,
    )
    assert rates(READING, after, 2.0) == Rates(
        interval_s=2.0,
        sent_bytes_per_s=100_000.0,
        acked_bytes_per_s=100_000.0,
        received_bytes_per_s=0.0,
        segs_out=140,
        segs_in=70,
        retrans_packets=2,
        busy_percent=50.0,
        rwnd_limited_percent=50.0,
        sndbuf_limited_percent=0.0,
    )


@pytest.mark.parametrize(
    ("before", "after", "interval_s"),
    [(None, READING, 1.0), (READING, None, 1.0), (READING, READING, 0.0), (READING, READING, -1.0)],
)
def test_without_an_earlier_reading_or_time_there_are_no_rates(
    before: TcpInfo | None, after: TcpInfo | None, interval_s: float
) -> None:
    assert rates(before, after, interval_s) == Rates()


def test_a_counter_that_the_kernel_does_not_have_gives_nothing() -> None:
    found = rates(TcpInfo(segs_out=1), TcpInfo(segs_in=1), 1.0)
    assert found == Rates(interval_s=1.0)


def test_counters_of_32_bits_wrap() -> None:
    found = rates(later(segs_out=2**32 - 2, segs_in=2**32 - 1), later(segs_out=3, segs_in=0), 1.0)
    assert (found.segs_out, found.segs_in) == (5, 1)


@pytest.mark.parametrize("wiped", ["acked_bytes", "received_bytes", "sent_bytes"])
def test_counters_that_were_wiped_give_nothing(wiped: str) -> None:
    # tcp_disconnect() sets them all to 0; those of 64 bits cannot have wrapped.
    found = rates(READING, later(**{wiped: 0}, segs_out=1, segs_in=1, total_retrans_packets=0), 1.0)
    assert getattr(found, f"{wiped}_per_s") is None
    assert (found.segs_out, found.segs_in, found.retrans_packets) == (None, None, None)


def test_a_time_that_went_back_gives_no_share() -> None:
    found = rates(READING, later(busy_time_us=0), 1.0)
    assert (found.busy_percent, found.rwnd_limited_percent) == (None, None)


def test_no_busy_time_has_no_shares() -> None:
    found = rates(READING, READING, 1.0)
    assert found.busy_percent == 0
    assert (found.rwnd_limited_percent, found.sndbuf_limited_percent) == (None, None)


def test_busy_is_at_most_all_of_the_time() -> None:
    # The kernel's tick is coarser than our clock.
    assert rates(READING, later(busy_time_us=2_004_000), 1.0).busy_percent == 100


COUNTERS = ["sent_bytes", "acked_bytes", "received_bytes", "segs_out", "segs_in", "busy_time_us"]
READINGS = st.builds(TcpInfo, **{name: st.none() | st.integers(0, 2**32 - 1) for name in COUNTERS})


@given(READINGS, READINGS, st.floats(0.001, 1e6))
def test_no_rate_is_negative(before: TcpInfo, after: TcpInfo, interval_s: float) -> None:
    found = dataclasses.asdict(rates(before, after, interval_s))
    assert all(value is None or value >= 0 for value in found.values())
