"""Values worked out from readings, and the cases in which they cannot be known."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcptool.catalog import derived
from tcptool.catalog.states import ESTABLISHED, LISTEN
from tcptool.units import split_unit

FUNCTIONS: list[Callable[..., Any]] = [
    function
    for name, function in vars(derived).items()
    if inspect.isfunction(function) and not name.startswith("_")
]
OF_THE_QUEUES = ["receive_queue_bytes", "send_queue_bytes", "accept_queue", "backlog"]
OF_READINGS = [f for f in FUNCTIONS if f.__name__ not in OF_THE_QUEUES]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: str(f.__name__))
def test_the_first_line_explains_in_one_sentence(function: Callable[..., Any]) -> None:
    first = (function.__doc__ or "").partition("\n")[0]
    assert first.endswith(".")


@pytest.mark.parametrize("function", OF_READINGS, ids=lambda f: str(f.__name__))
def test_nothing_known_gives_nothing(function: Callable[..., Any]) -> None:
    assert function(*[None] * len(inspect.signature(function).parameters)) is None


NEEDED = {"limited_by": 3}


@pytest.mark.parametrize("function", OF_READINGS, ids=lambda f: str(f.__name__))
def test_any_reading_that_is_missing_gives_nothing(function: Callable[..., Any]) -> None:
    count = len(inspect.signature(function).parameters)
    for missing in range(NEEDED.get(function.__name__, count)):
        arguments: list[int | None] = [1] * count
        arguments[missing] = None
        assert function(*arguments) is None


@pytest.mark.parametrize("function", OF_READINGS, ids=lambda f: str(f.__name__))
@given(data=st.data())
def test_no_reading_of_the_kernel_makes_it_fail(
    function: Callable[..., Any], data: st.DataObject
) -> None:
    readings = {
        name: st.none() | st.integers(0, 15 if name.endswith("wscale") else 2**64 - 1)
        for name in inspect.signature(function).parameters
    }
    value = function(**data.draw(st.fixed_dictionaries(readings)))
    assert value is None or isinstance(value, str) or value >= 0


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: str(f.__name__))
def test_a_fraction_carries_a_unit(function: Callable[..., Any]) -> None:
    if "float" in str(inspect.signature(function).return_annotation):
        assert split_unit(function.__name__)[1]


def test_a_connection_has_queues_of_bytes() -> None:
    assert derived.receive_queue_bytes(ESTABLISHED, 6) == 6
    assert derived.send_queue_bytes(ESTABLISHED, 0) == 0
    assert derived.accept_queue(ESTABLISHED, 6) is None
    assert derived.backlog(ESTABLISHED, 6) is None


def test_a_listener_has_a_queue_of_connections() -> None:
    assert derived.receive_queue_bytes(LISTEN, 6) is None
    assert derived.send_queue_bytes(LISTEN, 16) is None
    assert derived.accept_queue(LISTEN, 6) == 6
    assert derived.backlog(LISTEN, 16) == 16


def test_retransmissions_are_a_share_of_what_was_sent() -> None:
    assert derived.retrans_percent(1000, 10) == 1.0
    assert derived.retrans_percent(1000, 0) == 0.0
    assert derived.retrans_percent(0, 0) is None


@pytest.mark.parametrize(
    ("rcv_wnd", "wscale", "effective"),
    [(5_200_000, 0, 65_535), (5_200_000, 7, 5_200_000), (10, 14, 10)],
)
def test_the_window_scale_caps_the_window(rcv_wnd: int, wscale: int, effective: int) -> None:
    assert derived.effective_rcv_wnd_bytes(rcv_wnd, wscale) == effective


def test_queueing_is_the_time_above_the_smallest() -> None:
    assert derived.queueing_us(1500, 1000) == 500
    assert derived.queueing_us(900, 1000) == 0  # the smoothed value may lie below


def test_a_window_per_round_trip_is_a_rate() -> None:
    assert derived.cwnd_rate_bytes_per_s(10, 1448, 10_000) == 1_448_000
    assert derived.window_rate_bytes_per_s(65_536, 10_000) == 6_553_600
    assert derived.cwnd_rate_bytes_per_s(10, 1448, 0) is None
    assert derived.window_rate_bytes_per_s(65_536, 0) is None
    assert derived.window_rate_bytes_per_s(0, 10_000) == 0


def test_a_share_of_no_time_is_nothing() -> None:
    assert derived.share_percent(1, 4) == 25
    assert derived.share_percent(0, 4) == 0
    assert derived.share_percent(0, 0) is None


@pytest.mark.parametrize(
    ("busy", "rwnd", "sndbuf", "app_limited", "limit"),
    [
        (1000, 300, 0, 0, "peer-window"),
        (1000, 299, 0, 0, "network"),
        (1000, 299, 0, 1, "application"),
        (1000, 0, 300, 1, "send-buffer"),
        (1000, 400, 400, 1, "peer-window"),
        (1000, 0, 0, None, "network"),
        (0, 0, 0, 1, None),
    ],
)
def test_what_held_the_sender_back(
    busy: int, rwnd: int, sndbuf: int, app_limited: int | None, limit: str | None
) -> None:
    assert derived.limited_by(busy, rwnd, sndbuf, app_limited) == limit
