"""What samples come to; a field that a kernel does not have leaves its measures absent."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from tcptool.analysis.measures import in_flight, measure, since_reset
from tcptool.catalog import thresholds as limits
from tcptool.catalog.tcp_info import TcpInfo
from tcptool.model.observation import Measures, Reading
from tests.unit.analysis.verdict.observations import readings, receiver, sender, share, sock

_NEVER_ABSENT = {"samples", "duration_s", "reset"}
FLYING: dict[str, Any] = {
    "unacked_packets": 4,
    "sacked_packets": 0,
    "lost_packets": 0,
    "retrans_packets": 0,
}


def test_nothing_was_read() -> None:
    none = Measures(samples=0, duration_s=0, reset=False)
    assert measure([]) == none
    assert measure([Reading(0.0, sock()), Reading(0.1, sock())]) == none


def test_one_reading_has_no_rates() -> None:
    one = measure(sender(samples=1))
    assert (one.samples, one.duration_s, one.acked_bytes) == (1, 0, 0)
    assert (one.goodput_bytes_per_s, one.busy_percent, one.held_ms) == (None, None, None)
    assert one.rtt_us == 20_000


def test_fields_that_the_kernel_does_not_have_are_absent() -> None:
    bare = measure(readings(info={"rtt_us": 5}, samples=3))
    known = {f.name for f in fields(bare) if getattr(bare, f.name) is not None}
    assert known - _NEVER_ABSENT == {
        "rtt_us",
        "low_rtt_us",
        "receive_queue_bytes",
        "receive_queue_moves",
    }


def test_an_old_kernel_s_104_bytes() -> None:
    """struct tcp_info of Linux 2.6: up to tcpi_total_retrans."""
    old = measure(sender(info_bytes=104, retrans_percent=1.0))
    assert old.retrans_packets
    assert old.cwnd_used_percent == 50
    for name in ("acked_bytes", "held_percent", "dry_percent", "busy_percent", "snd_wnd_bytes"):
        assert getattr(old, name) is None, name


def test_rates_and_shares() -> None:
    seen = measure(
        sender(
            mbit=8.0, busy_percent=50, rwnd_percent=40, sndbuf_percent=20, app_percent=25,
            retrans_percent=10, segment_bytes=724, zero_window_percent=10, sndbuf_used_percent=75,
            rise={"delivered_ce_packets": 100, "delivered_packets": 1000},
        )
    )  # fmt: skip
    assert seen.duration_s == pytest.approx(200 * limits.PACE_S)
    assert seen.goodput_bytes_per_s == pytest.approx(1e6)
    assert seen.busy_percent == pytest.approx(50)
    assert seen.rwnd_limited_percent == pytest.approx(40)
    assert seen.sndbuf_limited_percent == pytest.approx(20)
    assert seen.app_limited_percent == pytest.approx(25, abs=1)
    assert seen.retrans_percent == pytest.approx(10)
    assert seen.segment_bytes == pytest.approx(724, rel=0.01)
    assert seen.ce_percent == pytest.approx(10)
    assert (seen.min_snd_wnd_bytes, seen.sndbuf_used_percent) == (0, 75)
    assert seen.snd_wnd_spread_percent == pytest.approx(100 * (0.1 / 0.9) ** 0.5, rel=0.05)
    assert seen.cwnd_used_percent == 50
    assert seen.snd_wnd_used_percent == pytest.approx(25, rel=0.02)
    assert seen.in_loss_percent == 0
    assert seen.cwnd_growth_percent == 100


def test_a_receiver() -> None:
    seen = measure(
        receiver(mbit=8.0, rcv_rtt_ms=100, rcv_wnd_bytes=200_000, rcv_wnd_open_percent=50,
                 rcvbuf_bytes=1000, rcvbuf_used_percent=30)
    )  # fmt: skip
    assert seen.received_bytes_per_s == pytest.approx(1e6)
    assert seen.rcv_wnd_used_percent == pytest.approx(50)
    assert (seen.rcv_wnd_open_percent, seen.rcvbuf_used_percent) == (50, 30)
    assert seen.receive_queue_bytes == 150


def test_unlimited_rates_are_no_numbers() -> None:
    assert measure(sender(info={"pacing_rate_bytes_per_s": "unlimited"})).pacing_bytes_per_s is None
    mixed = ["unlimited", 7, 9, "unlimited"]
    assert measure(sender(info={"pacing_rate_bytes_per_s": mixed})).pacing_bytes_per_s == 8


# -- counters ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["acked_bytes", "received_bytes", "sent_bytes"])
def test_readings_before_a_reset_do_not_count(name: str) -> None:
    seen = readings(info={name: [900, 950, 0, 20, 30]}, samples=5)
    assert len(since_reset(seen)) == 3
    made = measure(seen)
    assert (made.samples, made.reset) == (3, True)
    assert getattr(made, name) == 30
    assert measure(readings(info={name: [0, 0, 1]}, samples=3)).reset is False
    assert measure([Reading(0.0, sock()), *readings(info={name: 1}, samples=2)]).reset is False


@pytest.mark.parametrize(
    ("name", "measure_name", "values", "change"),
    [
        ("total_retrans_packets", "retrans_packets", [2**32 - 3, 4], 7),
        ("total_rto", "timeouts", [2**16 - 1, 1], 2),
        ("reord_seen", "reorderings", [5, 6], 1),
    ],
)
def test_small_counters_wrap(name: str, measure_name: str, values: list[int], change: int) -> None:
    assert getattr(measure(readings(info={name: values}, samples=2)), measure_name) == change


def test_a_clock_that_seems_to_go_back_a_tick_stands_still() -> None:
    info = {"busy_time_us": [4000, 8000], "rwnd_limited_us": [4000, 0]}
    assert measure(readings(info=info, samples=2)).rwnd_limited_percent == 0


def test_clocks_that_show_more_than_the_whole_are_cut() -> None:
    info = {"busy_time_us": [0, 30_000], "rwnd_limited_us": [0, 34_000]}
    made = measure(readings(info=info, samples=2, pace_s=0.02))
    assert (made.busy_percent, made.rwnd_limited_percent) == (100, 100)


def test_drops_wrap_too() -> None:
    assert measure(readings({}, memory={"drops": [2**32 - 1, 4]}, samples=2)).dropped == 5
    assert measure(readings({}, memory={"drops": None}, samples=2)).dropped is None


@pytest.mark.parametrize(("sizes", "moves"), [([5], False), ([5, 6], True)])
def test_whether_the_send_buffer_moves(sizes: list[int], moves: bool) -> None:
    assert measure(readings({}, memory={"sndbuf_bytes": sizes}, samples=2)).sndbuf_moves is moves
    assert measure(readings({}, samples=2)).sndbuf_moves is None


# -- what is in flight, and what is held back --------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "packets"),
    [
        ({}, 4),
        ({"sacked_packets": 1, "lost_packets": 2, "retrans_packets": 1}, 2),
        ({"lost_packets": 9}, 0),
        *(({name: None}, None) for name in FLYING),
    ],
)
def test_in_flight_is_the_kernel_s(changed: dict[str, Any], packets: int | None) -> None:
    assert in_flight(TcpInfo(**(FLYING | changed))) == packets


ROOM: dict[str, Any] = FLYING | {
    "snd_mss_bytes": 1000, "snd_cwnd_packets": 10, "snd_wnd_bytes": 60_000, "notsent_bytes": 999,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "percent"),
    [
        ({}, 100),
        ({"notsent_bytes": 1000}, 0),  # a whole segment is not held back on purpose
        ({"notsent_bytes": 0}, 0),
        ({"snd_cwnd_packets": 4}, 0),
        ({"snd_wnd_bytes": 4998}, 0),
        ({"snd_wnd_bytes": 4999}, 100),
        ({"snd_wnd_bytes": None}, 100),  # as on kernels that do not tell it
        *(({name: None}, None) for name in (*FLYING, *ROOM) if name != "snd_wnd_bytes"),
    ],
)
def test_a_tail_that_waits_with_room_for_it_is_held(
    changed: dict[str, Any], percent: float | None
) -> None:
    made = measure(readings(info=ROOM | changed, samples=3))
    assert made.held_percent == percent


def test_how_long_a_tail_is_held() -> None:
    # Two episodes, of two samples and of one: a segment that left ends one.
    info = ROOM | {
        "notsent_bytes": [0, 9, 9, 9, 0, 0],
        "unacked_packets": [4, 0, 0, 4, 4, 4],
        "data_segs_out": [1, 2, 2, 3, 4, 5],
    }
    made = measure(readings(info=info, samples=6, pace_s=0.02))
    assert made.held_ms == pytest.approx(30)
    assert made.held_percent == 50
    assert made.held_empty_percent == pytest.approx(200 / 3)
    assert measure(readings(info=ROOM | {"notsent_bytes": 0}, samples=6)).held_ms is None
    assert measure(readings(info=ROOM, samples=1)).held_ms is None


def test_how_even_the_delivery_rate_is() -> None:
    assert measure(sender(steady_percent=60)).delivery_steady_percent == pytest.approx(60, abs=1)
    near = {"delivery_rate_bytes_per_s": [89, 90, 100, 100, 110, 111]}
    assert measure(readings(info=near, samples=6)).delivery_steady_percent == pytest.approx(400 / 6)
    for nothing in (None, 0):
        info = {"delivery_rate_bytes_per_s": nothing}
        assert measure(readings(info=info)).delivery_steady_percent is None


def test_the_round_trip_of_the_quickest_tenth() -> None:
    info = {"rtt_us": [9, 1, *[20] * 18]}
    assert measure(readings(info=info, samples=20)).low_rtt_us == 20
    assert (
        measure(readings(info=info | {"rtt_us": [9, 1, 9, *[20] * 17]}, samples=20)).low_rtt_us == 9
    )


@pytest.mark.parametrize(("queues", "moves"), [([5], False), ([5, 6], True), ([None], False)])
def test_whether_the_receive_queue_moves(queues: list[int | None], moves: bool) -> None:
    made = measure(readings({}, sock_fields={"receive_queue_bytes": queues}, samples=4))
    assert made.receive_queue_moves is moves


def test_dry_is_less_than_a_segment_unsent() -> None:
    info: dict[str, Any] = {"notsent_bytes": share(30, 2000, 999, 10), "snd_mss_bytes": 1000}
    assert measure(readings(info=info, samples=10)).dry_percent == 70
    info = {"notsent_bytes": [0, 1], "snd_mss_bytes": None}  # without an MSS, only nothing is dry
    assert measure(readings(info=info, samples=2)).dry_percent == 50


def test_a_window_of_0_has_no_spread() -> None:
    assert measure(readings(info={"snd_wnd_bytes": 0})).snd_wnd_spread_percent is None


@pytest.mark.parametrize("gone", ["rcv_rtt_us", "rcv_wnd_bytes"])
def test_use_of_the_receive_window_needs_all_its_parts(gone: str) -> None:
    for value in (None, 0):
        assert measure(receiver(info={gone: value})).rcv_wnd_used_percent is None
    assert measure(receiver(samples=1)).rcv_wnd_used_percent is None
