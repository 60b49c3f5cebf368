"""Buffers, windows and loss budgets against figures that were published or measured."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcptool.analysis import bdp

GBIT = 125_000_000
MS = 1000
MIB = 1 << 20


def test_a_gigabit_over_80_ms_is_10_megabytes() -> None:
    assert bdp.bdp_bytes(GBIT, 80 * MS) == 10_000_000
    assert bdp.bdp_bytes(3, 1) == 1  # never less than a byte


def test_receive_limit() -> None:
    assert bdp.receive_limit_bytes(10_000_000) == 40_000_000
    assert bdp.receive_limit_bytes(10_000_000, 0.625) == 32_000_000


@pytest.mark.parametrize(
    ("congestion_control", "share"), [("cubic", 3.18), ("reno", 3.18), (None, 3.18), ("bbr", 4.77)]
)
def test_send_limit(congestion_control: str | None, share: float) -> None:
    limit = bdp.send_limit_bytes(1_000_000, congestion_control)
    assert limit / 1_000_000 == pytest.approx(share, abs=0.01)


def test_send_limit_is_what_was_measured_for_bbr() -> None:
    # A congestion window of 428 segments had a limit of 2 958 336 bytes.
    assert bdp.send_limit_bytes(428 * 1448, "bbr") == 2_958_336


@pytest.mark.parametrize(
    ("limit_bytes", "scale"),
    [
        (0, 0),
        (16 << 10, 0),
        (65_535, 0),
        (65_536, 1),
        (104 << 10, 1),
        (2 * MIB, 6),
        (MIB, 5),
        (6 * MIB, 7),  # the default of a decade
        (32 * MIB, 10),
        (1 << 30, 14),
        (1 << 40, 14),
    ],
)
def test_window_scale(limit_bytes: int, scale: int) -> None:
    assert bdp.window_scale(limit_bytes) == scale


@given(st.integers(1, 1 << 29))
def test_a_window_of_half_the_buffer_is_always_expressible(limit_bytes: int) -> None:
    scale = bdp.window_scale(limit_bytes)
    assert bdp.largest_window_bytes(limit_bytes, scale) == limit_bytes // 2


def test_a_scale_that_is_too_small_cuts_the_window() -> None:
    assert bdp.largest_window_bytes(32 * MIB, 1) == 131_070


@pytest.mark.parametrize(("rtt_ms", "mbit"), [(80, 131), (200, 52.4)])
def test_rate_of_a_window(rtt_ms: int, mbit: float) -> None:
    rate = bdp.window_rate_bytes_per_s(1_309_920, rtt_ms * MS)
    assert rate * 8 / 1e6 == pytest.approx(mbit, rel=0.001)


def test_loss_budget_is_that_of_npad() -> None:
    assert bdp.loss_budget_percent(500_000, 200 * MS) == pytest.approx(0.010274, rel=0.001)


def test_loss_budget_of_a_slow_path_is_everything() -> None:
    assert bdp.loss_budget_percent(1, 1) == 100


@given(st.floats(1e3, 1e11), st.floats(1, 1e6))
def test_twice_the_rate_has_a_quarter_of_the_budget(rate: float, rtt_us: float) -> None:
    once, twice = (bdp.loss_budget_percent(rate * n, rtt_us) for n in (1, 2))
    assert twice <= once
    if once < 100:
        assert twice == pytest.approx(once / 4)
