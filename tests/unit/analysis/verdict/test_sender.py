"""Verdicts on an end that sends, at the edges of their tests."""

from __future__ import annotations

from typing import Any

import pytest

from tcptool.analysis.bdp import loss_rate_bytes_per_s
from tcptool.catalog import thresholds as limits
from tcptool.catalog.attributes import BbrInfo
from tcptool.catalog.registry import UNLIMITED
from tcptool.model.diagnosis import Diagnosis
from tcptool.model.sock import Congestion
from tests.unit.analysis.verdict.observations import (
    LIMITS,
    MIB,
    judged,
    receiver,
    sender,
    share,
)


def text(found: Diagnosis) -> str:
    return "\n".join(found.evidence)


def without(*names: str) -> dict[str, Any]:
    """Fields that this kernel does not have."""
    return {"info": dict.fromkeys(names)}


# -- Nagle and cork ----------------------------------------------------------------------------

HELD: dict[str, Any] = {
    "notsent_bytes": 100,
    "segment_bytes": 100,
    "held_percent": 60,
    "cwnd_packets": 10,
    "cwnd_used_percent": 10,
    "snd_wnd_bytes": 65_536,
    "app_percent": 100,
    "mbit": 0.02,
}
EMPTY = {"held_empty_percent": 100}
LARGE = {"segment_bytes": 1400, "rise": {"received_bytes": 2000, "data_segs_in": 20}}
EDGE = {"held_percent": limits.HELD_PERCENT + 1}


@pytest.mark.parametrize(
    ("end", "options", "verdict"),
    [
        (HELD, None, "nagle"),
        (HELD, {"TCP_NODELAY": False}, "nagle"),
        (HELD, {"TCP_NODELAY": True, "TCP_CORK": False}, "application-limited"),
        (HELD, {"TCP_NODELAY": True, "TCP_CORK": True}, "corked"),
        (HELD, {"TCP_CORK": True}, "corked"),
        (HELD | EMPTY, None, "corked"),
        (HELD | EMPTY, {"TCP_NODELAY": True, "TCP_CORK": False}, "corked"),  # MSG_MORE
        (HELD | {"held_empty_percent": 40}, None, "nagle"),
        (HELD | EDGE, None, "nagle"),
        (HELD | {"held_percent": limits.HELD_PERCENT - 2}, None, "application-limited"),
        (HELD | {"segment_bytes": limits.SMALL_SEGMENT * 1448 * 1.1}, None, "application-limited"),
        (HELD | {"rise": {"data_segs_out": 0}}, None, "nagle"),  # none was sent meanwhile
        # The tail of a message of several segments, for which somebody waits.
        (HELD | LARGE, None, "nagle"),
        (HELD | LARGE | {"rise": {}}, None, "application-limited"),  # a stream: nobody waits
        (
            HELD | LARGE | {"held_percent": limits.MOSTLY_HELD_PERCENT - 2},
            None,
            "application-limited",
        ),
    ],
)
def test_what_is_held_back(
    end: dict[str, Any], options: dict[str, Any] | None, verdict: str
) -> None:
    assert judged(sender(**end), options=options).verdict == verdict


def test_what_is_held_back_is_shown() -> None:
    found = judged(sender(**HELD), options={"TCP_NODELAY": False, "TCP_CORK": False})
    for line in (
        "0 < notsent_bytes < snd_mss_bytes (1448) in 59.7 % of 201 samples",
        "it waits for an ACK",
        "average segment 100 bytes",
        "TCP_NODELAY = 0 (read from the socket)",
        "TCP_CORK = 0 (read from the socket)",
    ):
        assert line in text(found)
    unknown = judged(sender(**HELD | without("min_rtt_us") | {"rise": {"data_segs_out": 0}}))
    assert "read from the socket" not in text(unknown)
    assert "average segment" not in text(unknown)
    assert "min_rtt_us" not in text(unknown)
    assert "in flight that it could wait for" in text(judged(sender(**HELD | EMPTY)))


def test_the_more_is_held_the_surer() -> None:
    low, high = (judged(sender(**HELD | {"held_percent": p})).confidence for p in (25, 45))
    assert low < high < judged(sender(**HELD | {"held_percent": 100})).confidence <= 0.98


# -- pacing ------------------------------------------------------------------------------------


def capped(goodput: float = 1.0, pacing: Any = 625_000, cap: Any = 625_000) -> dict[str, Any]:
    info = {"pacing_rate_bytes_per_s": pacing, "max_pacing_rate_bytes_per_s": cap}
    return {"mbit": 5 * goodput, "notsent_bytes": 100_000, "info": info}


@pytest.mark.parametrize(
    ("end", "is_capped"),
    [
        (capped(), True),
        (capped(pacing=limits.PACED_PERCENT / 100 * 625_000), True),
        (capped(pacing=(limits.PACED_PERCENT - 1) / 100 * 625_000), False),
        (capped(goodput=0.79), False),
        (capped(goodput=1.26), False),
        (capped(cap=UNLIMITED), False),
        (capped(cap=None), False),
        (capped(pacing=UNLIMITED), False),
        (capped(pacing=0), False),
    ],
)
def test_pacing_cap(end: dict[str, Any], is_capped: bool) -> None:
    end["info"] = {k: int(v) if isinstance(v, float) else v for k, v in end["info"].items()}
    assert (judged(sender(**end)).verdict == "pacing-cap") is is_capped


# -- the peer's window -------------------------------------------------------------------------

FULL_WINDOW: dict[str, Any] = {"wnd_used_percent": 100, "notsent_bytes": 100_000}
BBR = {"congestion": "bbr"}


@pytest.mark.parametrize(
    ("end", "is_limited"),
    [
        ({"rwnd_percent": limits.RWND_PERCENT + 1}, True),
        ({"rwnd_percent": limits.RWND_PERCENT - 1}, False),
        ({"rwnd_percent": limits.RWND_FULL_PERCENT + 1, **FULL_WINDOW}, True),
        ({"rwnd_percent": limits.RWND_HINT_PERCENT + 1, **FULL_WINDOW}, True),
        ({"rwnd_percent": limits.RWND_HINT_PERCENT - 1, **FULL_WINDOW}, False),
        ({"rwnd_percent": limits.RWND_HINT_PERCENT + 1, "zero_window_percent": 10}, True),
        ({"rwnd_percent": limits.RWND_HINT_PERCENT - 1, "zero_window_percent": 10}, False),
        # A kernel without snd_wnd: only the clock can tell.
        ({"rwnd_percent": limits.RWND_PERCENT + 1, **without("snd_wnd_bytes")}, True),
        ({"rwnd_percent": limits.RWND_FULL_PERCENT + 1, **without("snd_wnd_bytes")}, False),
        ({"rwnd_percent": 100, **without("busy_time_us")}, False),
    ],
)
def test_whether_the_window_limits(end: dict[str, Any], is_limited: bool) -> None:
    found = judged(sender(**end)).verdict
    assert (found in ("slow-reader", "peer-buffer")) is is_limited


LIMITED: dict[str, Any] = {"rwnd_percent": 100, "wnd_used_percent": 100}


def trembling(cwnd_used_percent: float, **more: Any) -> dict[str, Any]:
    """A full window that moves a little, as where somebody reads."""
    window = round(cwnd_used_percent) * 1448
    info = {"snd_wnd_bytes": [round(0.99 * window), round(1.01 * window)]}
    return {"cwnd_used_percent": cwnd_used_percent, "info": info, **more}


@pytest.mark.parametrize(
    ("end", "verdict", "line"),
    [
        ({"cwnd_used_percent": 50}, "peer-buffer", "its window scale 7 allows"),
        (without("snd_wscale"), "peer-buffer", "the window does not move"),
        ({"zero_window_percent": 10}, "slow-reader", "the window moves"),
        ({"zero_window_percent": 0.2, "samples": 501}, "slow-reader", "was 0 in some samples"),
        (trembling(100 / limits.CWND_REMEMBERS - 3), "slow-reader", "times the window"),
        (trembling(100 / limits.CWND_REMEMBERS + 3), "peer-buffer", ""),
        (trembling(100 / limits.CWND_REMEMBERS_BBR - 3, **BBR), "slow-reader", "times"),
        (trembling(100 / limits.CWND_REMEMBERS_BBR + 3, **BBR), "peer-buffer", ""),
        # A window that does not move at all was set.
        ({"cwnd_used_percent": 100 / limits.CWND_REMEMBERS - 3}, "peer-buffer", ""),
        # The initial window was never earned.
        ({"cwnd_packets": limits.INITIAL_CWND, "cwnd_used_percent": 10}, "peer-buffer", ""),
        (without("snd_wnd_bytes"), "peer-buffer", ""),
        (without("snd_mss_bytes"), "peer-buffer", ""),
        (without("snd_cwnd_packets"), "peer-buffer", ""),
    ],
)
def test_why_the_window_is_small(end: dict[str, Any], verdict: str, line: str) -> None:
    found = judged(sender(**LIMITED | end))
    assert found.verdict == verdict
    assert line in text(found)


SMALL: dict[str, Any] = {"mbit": 10.0, "rcv_rtt_ms": 40.0, "rcv_wnd_bytes": 50_000}


@pytest.mark.parametrize(
    ("guess", "other", "verdict"),
    [
        ({}, {"rcvbuf_used_percent": limits.RECEIVE_QUEUE_PERCENT}, "slow-reader"),
        ({"zero_window_percent": 10}, SMALL, "peer-buffer"),
    ],
)
def test_the_other_end_knows_better(
    guess: dict[str, Any], other: dict[str, Any], verdict: str
) -> None:
    found = judged(sender(**LIMITED | guess), receiver(**other))
    assert found.verdict == verdict
    assert found.confidence >= 0.9
    assert "the other end: " in text(found)
    blind = judged(sender(**LIMITED | guess), receiver(**other, sock_fields={"memory": None}))
    assert blind.verdict != verdict
    assert "the other end" not in text(blind)


def test_a_window_that_the_peer_still_tunes_is_given_time() -> None:
    grows = {"snd_wnd_bytes": [10_000, 10_000 + 120 * int(limits.WINDOW_GROWS_PERCENT)]}
    found = judged(sender(**LIMITED, info=grows))
    assert (found.verdict, found.confidence) == (
        "peer-buffer",
        round(limits.CLEAR / limits.DOUBT, 2),
    )
    assert "give it time" in text(found)
    back = {"snd_wnd_bytes": [10_000, 40_000, 9_000, 30_000]}
    assert "give it time" not in text(judged(sender(**LIMITED, info=back)))


def test_a_share_of_hardly_any_busy_time_means_little() -> None:
    for end in (LIMITED, {"sndbuf_percent": 100}):
        rare = judged(sender(**end, busy_percent=limits.BUSY_PERCENT_LEAST - 1, app_percent=100))
        assert rare.verdict == "application-limited"


def test_an_other_end_that_is_well_excludes_the_window() -> None:
    assert judged(sender(**LIMITED), receiver()).verdict not in ("slow-reader", "peer-buffer")


# -- the send buffer ---------------------------------------------------------------------------

FULL: dict[str, Any] = {"sndbuf_bytes": 65_536, "sndbuf_used_percent": 110, "app_percent": 40}
LOCKED = {"SO_BUF_LOCK": ("send",)}
NOT_LOCKED: dict[str, Any] = {"SO_BUF_LOCK": ()}


@pytest.mark.parametrize(
    ("end", "options", "is_limited"),
    [
        ({"sndbuf_percent": limits.SNDBUF_PERCENT + 1}, None, True),
        ({"sndbuf_percent": limits.SNDBUF_PERCENT - 1}, None, False),
        (FULL, LOCKED, True),
        (FULL, NOT_LOCKED, True),  # full, and it does not grow
        (FULL | {"sndbuf_used_percent": limits.SNDBUF_FULL_PERCENT + 1}, LOCKED, True),
        (FULL | {"sndbuf_used_percent": limits.SNDBUF_FULL_PERCENT - 1}, LOCKED, False),
        (FULL | {"sndbuf_used_percent": 90}, NOT_LOCKED, False),
        (FULL | {"sndbuf_used_percent": 90}, None, False),
        (
            FULL | {"sndbuf_used_percent": 90, "sndbuf_bytes": round(limits.NEARLY_FULL * 4 * MIB)},
            NOT_LOCKED,
            True,  # net.ipv4.tcp_wmem[2] is reached
        ),
        (FULL | {"notsent_bytes": 2 * 1448}, LOCKED, False),
        (FULL | {"cwnd_used_percent": limits.CWND_FULL_PERCENT}, LOCKED, False),
        (FULL | without("notsent_bytes"), LOCKED, False),
        (FULL | {"sock_fields": {"memory": None}}, LOCKED, False),
    ],
)
def test_whether_the_send_buffer_limits(
    end: dict[str, Any], options: dict[str, Any] | None, is_limited: bool
) -> None:
    assert (judged(sender(**end), options=options).verdict == "send-buffer") is is_limited


def test_a_buffer_that_grows_is_not_fixed() -> None:
    grows = sender(**FULL)
    half = sender(**FULL | {"sndbuf_bytes": 40_000})
    assert judged([*half[:100], *grows[100:]]).verdict != "send-buffer"


def test_what_shows_the_send_buffer() -> None:
    found = judged(
        sender(**FULL), options=LOCKED, sysctls=LIMITS | {"net.ipv4.tcp_wmem[2]": 65_536}
    )
    assert "SO_BUF_LOCK = send (read from the socket)" in text(found)
    assert "net.ipv4.tcp_wmem[2] 65536 B is reached" in text(found)
    found = judged(sender(**FULL), options=NOT_LOCKED, sysctls={})
    assert "SO_BUF_LOCK = none" in text(found)
    assert "tcp_wmem" not in text(found)
    assert "SO_BUF_LOCK" not in text(judged(sender(**FULL)))


# -- the application ---------------------------------------------------------------------------

QUIET: dict[str, Any] = {
    "app_percent": limits.APP_PERCENT + 2,
    "busy_percent": 40,
    "notsent_bytes": 9000,
}


@pytest.mark.parametrize(
    ("end", "line"),
    [
        (QUIET, "busy_time_us is 40 %"),
        (QUIET | {"busy_percent": 60, "notsent_bytes": 0}, "delivery_rate_app_limited in 5"),
        (
            QUIET | {"busy_percent": 60, "app_percent": limits.APP_ALWAYS_PERCENT + 1},
            "delivery_rate_app_limited in 9",
        ),
        ({"app_percent": 0, "notsent_bytes": 0}, "less than a segment unsent"),
        (
            {"notsent_bytes": 0, **without("delivery_rate_app_limited")},
            "less than a segment unsent",
        ),
    ],
)
def test_application(end: dict[str, Any], line: str) -> None:
    found = judged(sender(**end))
    assert found.verdict == "application-limited"
    assert line in text(found)


@pytest.mark.parametrize(
    "end",
    [
        QUIET | {"busy_percent": 60},
        QUIET | {"app_percent": 10},
        QUIET | {"busy_percent": 60, "app_percent": 100, "sndbuf_used_percent": 70},
        {"notsent_bytes": 0, "cwnd_used_percent": limits.CWND_USED_PERCENT},
        {"notsent_bytes": 0, "wnd_used_percent": limits.WINDOW_FULL_PERCENT},
        {"info": {"notsent_bytes": share(limits.DRY_PERCENT - 1, 0, 9000)}},
        {"info": {"notsent_bytes": None, "snd_cwnd_packets": None}, "app_percent": 100},
        {"notsent_bytes": 0, **without("snd_cwnd_packets")},
    ],
)
def test_not_the_application(end: dict[str, Any]) -> None:
    assert judged(sender(**end)).verdict != "application-limited"


def test_whether_it_was_busy_is_told_where_it_is_known() -> None:
    old = judged(sender(app_percent=100, info_bytes=160))
    assert old.verdict == "application-limited"
    assert "busy_time_us" not in text(old)
    assert "busy_time_us is 40 %" in text(judged(sender(**QUIET)))


# -- the path ----------------------------------------------------------------------------------

BULK: dict[str, Any] = {"notsent_bytes": 500_000, "cwnd_used_percent": 100}
LOSS_MODEL_MBIT = loss_rate_bytes_per_s(1.0, 20_000, 1448, limits.LOSS_MODEL) * 8 / 1e6
FULL_PATH = {"steady_percent": limits.STEADY_PERCENT + 2}
STANDING = {"rtt_ms": 25, "low_rtt_ms": 20 * limits.STANDING_QUEUE + 1}
WELL_ABOVE_MBIT = 1.01 * limits.LOSS_MODEL_FACTOR * LOSS_MODEL_MBIT


@pytest.mark.parametrize(
    ("end", "verdict"),
    [
        (BULK, "path-rate"),
        (BULK | {"cwnd_used_percent": 30, "pacing_over_delivery": 1.0}, "path-rate"),
        (BULK | {"cwnd_used_percent": 30}, "unclear"),
        (BULK | {"retrans_percent": 1, "mbit": LOSS_MODEL_MBIT}, "loss"),
        (BULK | {"retrans_percent": limits.LOSS_PERCENT + 0.01, "mbit": 3}, "loss"),
        (BULK | {"retrans_percent": limits.LOSS_PERCENT - 0.01, "mbit": 3}, "path-rate"),
        (BULK | {"retrans_percent": 1, "mbit": 3, **FULL_PATH}, "path-rate-with-loss"),
        (BULK | {"retrans_percent": 1, "mbit": 3, **STANDING}, "path-rate-with-loss"),
        (BULK | {"retrans_percent": 1, "mbit": 3, **STANDING, **without("min_rtt_us")}, "loss"),
        (
            BULK | {"retrans_percent": limits.RETRANS_PERCENT + 0.01, "mbit": 9, **FULL_PATH},
            "path-rate-with-loss",
        ),
        (
            BULK | {"retrans_percent": limits.RETRANS_PERCENT - 0.01, "mbit": 9, **FULL_PATH},
            "path-rate",
        ),
        (BULK | {"rise": {"reord_seen": limits.REORDERINGS}, **FULL_PATH}, "path-rate"),
        (
            BULK | {"retrans_percent": 1, "mbit": WELL_ABOVE_MBIT},
            "path-rate-with-loss",
        ),
        (BULK | {"retrans_percent": 1, "mbit": 3, **without("snd_mss_bytes")}, "path-rate"),
        (BULK | {"retrans_percent": 1, "mbit": 3, "rtt_ms": 0}, "path-rate"),
        (BULK | {"retrans_percent": 1, "rise": {"reord_seen": 100}}, "loss"),
        (BULK | {"rise": {"reord_seen": limits.REORDERINGS}}, "reordering"),
        (BULK | {"rise": {"reord_seen": limits.REORDERINGS - 1}}, "path-rate"),
        (
            BULK | {"retrans_percent": 1,
                    "rise": {"reord_seen": 100, "total_retrans_packets": 50, "dsack_dups": 40}},
            "reordering",
        ),
        (BULK | {"rtt_ms": 60, "min_rtt_ms": 20}, "bufferbloat"),
        (BULK | {"rtt_ms": 20 * limits.BLOAT - 1, "min_rtt_ms": 20}, "path-rate"),
        (BULK | {"rtt_ms": limits.BLOAT_US / 1000, "min_rtt_ms": 1}, "path-rate"),
        (BULK | {"rtt_ms": 60, **without("min_rtt_us")}, "path-rate"),
        (BULK | {"rtt_ms": 60, "wmem_alloc_bytes": 10**6}, "local-queue"),
        (BULK | {"cwnd_used_percent": 30, "wmem_alloc_bytes": 10**6}, "local-queue"),
        (BULK | {"wmem_alloc_bytes": 9}, "path-rate"),
        (BULK | {"cwnd_used_percent": 30, "wmem_alloc_bytes": 9, "notsent_bytes": 1448,
                 "info": {"notsent_bytes": share(50, 0, 1448)}}, "unclear"),
    ],
)  # fmt: skip
def test_paths(end: dict[str, Any], verdict: str) -> None:
    assert judged(sender(**end)).verdict == verdict


def test_a_queue_needs_something_in_flight() -> None:
    end = BULK | {"rtt_ms": 60, **without("sacked_packets")}
    assert judged(sender(**end)).verdict not in ("bufferbloat", "local-queue")


def test_what_shows_reordering_and_a_full_path() -> None:
    found = judged(sender(**BULK, rise={"reord_seen": 30}, info={"reordering_packets": 300}))
    assert "reord_seen rose by 30, reordering_packets 300" in text(found)
    assert "min_rtt_us 20 ms" in text(judged(sender(**BULK)))
    assert "min_rtt_us" not in text(judged(sender(**BULK | without("min_rtt_us"))))


def test_the_loss_model_is_mathis_and_others() -> None:
    # 1 % at 20.5 ms: 6.9 Mbit/s, and 4.4 to 5.3 was measured.
    assert loss_rate_bytes_per_s(1.0, 20_500, 1448, limits.LOSS_MODEL) * 8 == pytest.approx(
        6.9e6, rel=0.01
    )


# -- young connections -------------------------------------------------------------------------

GROWS = {"snd_cwnd_packets": [100, 150, 200, 300, 400], "snd_ssthresh_packets": UNLIMITED}


def bbr(gain: int | None) -> dict[str, Any]:
    return {"congestion": Congestion(name="bbr", bbr=BbrInfo(pacing_gain=gain))}


@pytest.mark.parametrize(
    ("end", "is_young"),
    [
        ({"info": GROWS}, True),
        ({"info": GROWS | {"snd_ssthresh_packets": 50}}, False),
        ({"info": GROWS | {"snd_cwnd_packets": 100}}, False),
        ({"info": GROWS | {"snd_cwnd_packets": None}}, False),
        ({"info": GROWS, "sock_fields": bbr(739)}, True),
        ({"info": GROWS, "sock_fields": bbr(256)}, False),
        ({"info": GROWS, "sock_fields": bbr(None)}, False),
        ({"info": GROWS, "sock_fields": {"congestion": Congestion(name="bbr")}}, False),
        ({"info": GROWS, "sock_fields": {"congestion": None}}, True),
    ],
)
def test_slow_start(end: dict[str, Any], is_young: bool) -> None:
    found = judged(sender(notsent_bytes=500_000, cwnd_used_percent=100, **end))
    assert (found.verdict == "slow-start") is is_young
