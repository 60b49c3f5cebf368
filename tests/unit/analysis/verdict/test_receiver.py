"""Verdicts on an end that receives."""

from __future__ import annotations

from typing import Any

import pytest

from tcptool.analysis.measures import measure
from tcptool.analysis.verdict.receiver import reads_slowly
from tcptool.catalog import thresholds as limits
from tcptool.model.diagnosis import Diagnosis
from tests.unit.analysis.verdict.observations import LIMITS, MIB, judged, readings, receiver

SMALL: dict[str, Any] = {
    "mbit": 10.0,
    "rcv_rtt_ms": 40.0,
    "rcv_wnd_bytes": 50_000,  # 10 Mbit/s * 40 ms
}


def text(found: Diagnosis) -> str:
    return "\n".join(found.evidence)


@pytest.mark.parametrize(
    ("end", "verdict"),
    [
        ({"rcvbuf_used_percent": limits.RECEIVE_QUEUE_PERCENT}, "local-slow-reader"),
        ({"rcvbuf_used_percent": 100, "rcv_wnd_open_percent": 1}, "local-slow-reader"),
        (
            {
                "rcvbuf_used_percent": limits.RECEIVE_QUEUE_HINT_PERCENT,
                "rcv_wnd_open_percent": limits.WINDOW_CLOSED_PERCENT - 2,
            },
            "local-slow-reader",
        ),
        (
            {
                "rcvbuf_used_percent": limits.RECEIVE_QUEUE_HINT_PERCENT,
                "rcv_wnd_open_percent": limits.WINDOW_CLOSED_PERCENT + 2,
            },
            "not-limited-here",
        ),
        ({"rcvbuf_used_percent": limits.RECEIVE_QUEUE_HINT_PERCENT - 1}, "not-limited-here"),
        (SMALL, "local-buffer"),
        (SMALL | {"rcv_wnd_open_percent": limits.WINDOW_OPEN_PERCENT - 1}, "not-limited-here"),
        (SMALL | {"rcvbuf_used_percent": limits.RECEIVE_QUEUE_HINT_PERCENT}, "not-limited-here"),
        (SMALL | {"rcv_wnd_bytes": 200_000}, "not-limited-here"),
        (SMALL | {"info": {"rcv_rtt_us": 0}}, "not-limited-here"),  # not measured yet
        (SMALL | {"info": {"rcv_ssthresh_bytes": None}}, "not-limited-here"),
        (SMALL | {"info": {"rcv_wnd_bytes": None}}, "not-limited-here"),
    ],
)
def test_receivers(end: dict[str, Any], verdict: str) -> None:
    found = judged(receiver(**end))
    assert (found.verdict, found.side) == (verdict, "receiver")


def test_a_receiver_without_memory_is_judged_by_its_window() -> None:
    bare = receiver(**SMALL, sock_fields={"memory": None})
    assert reads_slowly(measure(bare)) == ()
    assert judged(bare).verdict == "local-buffer"


def test_without_a_window_a_full_buffer_alone_decides() -> None:
    no_window = {"rcv_wnd_bytes": None, "rcv_ssthresh_bytes": None}
    found = judged(receiver(rcvbuf_used_percent=90, info=no_window))
    assert found.verdict == "local-slow-reader"
    assert "rcv_wnd_bytes is unknown" in text(found)
    assert judged(receiver(rcvbuf_used_percent=20, info=no_window)).verdict == "not-limited-here"


@pytest.mark.parametrize(
    ("around", "end", "line"),
    [
        ({"options": {"SO_BUF_LOCK": ("receive",)}}, {}, "somebody set SO_RCVBUF"),
        (
            {"sysctls": LIMITS | {"net.ipv4.tcp_rmem[2]": MIB}},
            {"rcvbuf_bytes": round(limits.NEARLY_FULL * MIB)},
            "net.ipv4.tcp_rmem[2] 1 MiB is reached",
        ),
        ({}, {"info": {"rcv_wscale": 0}}, "rcv_wscale 0 of the handshake allows 65535 B at most"),
    ],
)
def test_why_a_window_is_small(around: dict[str, Any], end: dict[str, Any], line: str) -> None:
    wide: dict[str, Any] = {"rcv_wnd_bytes": 60_000, "mbit": 12.0, "rcv_rtt_ms": 40.0}
    found = judged(receiver(**wide | end), **around)
    assert found.verdict == "local-buffer"
    assert line in text(found)
    others = judged(receiver(**wide), options={"SO_BUF_LOCK": ("send",)})
    assert line not in text(others)


def test_loss_on_the_way_in_is_told() -> None:
    assert "rcv_ooopack_packets rose by 7" in text(
        judged(receiver(rise={"rcv_ooopack_packets": 7}))
    )
    assert "rcv_ooopack" not in text(judged(receiver()))


# -- who receives ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rise", "side"),
    [
        ({"received_bytes": 5000, "data_segs_in": 100, "data_segs_out": 10}, "receiver"),
        ({"received_bytes": 5000, "data_segs_in": 100, "data_segs_out": 11}, "sender"),
        ({"received_bytes": 5000, "data_segs_in": 0, "data_segs_out": 50}, "receiver"),
        ({"received_bytes": 5000}, "receiver"),
        ({"received_bytes": 5000, "acked_bytes": 5000}, "sender"),
        ({"acked_bytes": 5}, "sender"),
        ({}, None),
    ],
)
def test_which_side_this_end_is_on(rise: dict[str, int], side: str | None) -> None:
    assert limits.REQUEST_SHARE == 0.1
    assert judged(readings(rise={"acked_bytes": 0} | rise)).side == side


FILLED: dict[str, Any] = {
    "memory": {"rmem_alloc_bytes": 100 * limits.RECEIVE_QUEUE_HINT_PERCENT, "rcvbuf_bytes": 10_000}
}
CLOSING: dict[str, Any] = {
    "info": {
        "rcv_ssthresh_bytes": 1000,
        "rcv_wnd_bytes": 10 * int(limits.WINDOW_CLOSED_PERCENT) - 10,
    }
}
ORPHAN: dict[str, Any] = {"sock_fields": {"inode": 0}}


# -- nothing moves -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("queue", "more", "verdict"),
    [
        (4096, FILLED, "local-slow-reader"),
        (4096, CLOSING, "local-slow-reader"),
        (4096, ORPHAN, "local-slow-reader"),  # in an accept queue
        (4096, {}, "idle"),  # a few bytes
        (0, FILLED, "idle"),
        ([4096, 0], FILLED, "idle"),
        ([4096, 5000], FILLED, "idle"),  # it moves
        (4096, FILLED | {"samples": 1}, "unclear"),
        (None, FILLED, "idle"),
    ],
)
def test_what_nobody_reads(queue: Any, more: dict[str, Any], verdict: str) -> None:
    info = {"acked_bytes": 5, "received_bytes": 5, "unacked_packets": 0, "notsent_bytes": 0}
    more = dict(more)
    seen = readings(
        info=info | more.pop("info", {}),
        sock_fields={"receive_queue_bytes": queue} | more.pop("sock_fields", {}), **more,
    )  # fmt: skip
    found = judged(seen)
    assert found.verdict == verdict
    assert ("nobody reads it" in text(found)) is (verdict == "local-slow-reader")
