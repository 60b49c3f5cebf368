"""The screen of `inspect --watch`: what stands where, and what gives way when there is no room."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from tcptool.actions.inspect import watch_socket
from tcptool.actions.resolve import resolve_one
from tcptool.model.inspection import Sample
from tcptool.sansio.target import parse_target
from tcptool.views.look import Look
from tcptool.views.terminal.watch import _Frame
from tests.cli.scene import CLIENT, INFO, WEB, web_server
from tests.support.fake_kernel import FakeKernel, diag_message


def readings(root: Path) -> list[Sample]:
    """Two, with a second between them in which some things changed."""

    def change(kernel: FakeKernel) -> None:
        more = {
            "rtt_us": 24_503,
            "snd_cwnd_packets": 40,
            "snd_ssthresh_packets": 30,
            "acked_bytes": 5_000_000,
        }
        kernel.sockets[1] = diag_message(
            local=WEB, peer=CLIENT, inode=701, cookie=0x1001, tcp_info=INFO | more
        )

    kernel = web_server(root)
    kernel.on_wait = change
    found = resolve_one(kernel, parse_target("sk:1001"))
    events = watch_socket(found, interval_s=1.0, count=2)
    return [event for event in events if isinstance(event, Sample)]


def screen(samples: list[Sample], width: int, height: int = 60) -> list[str]:
    """The lines that stand on a terminal of this size."""
    frame = _Frame(Look())
    for sample in samples:
        frame.take(sample)
    out = io.StringIO()
    Console(file=out, width=width, height=height).print(frame, end="")
    return [line.rstrip() for line in out.getvalue().splitlines()]


def line_of(lines: list[str], label: str) -> str:
    [line] = [line for line in lines if line.startswith(label)]
    return " ".join(line.split())


def test_changes_stand_beside_the_values(tmp_path: Path) -> None:
    lines = screen(readings(tmp_path), 40)
    assert line_of(lines, "rtt ") == "rtt 24.5 ms +3 µs"
    assert line_of(lines, "snd cwnd") == "snd cwnd 40 pkt -2 pkt"
    assert line_of(lines, "min rtt") == "min rtt 20.1 ms"
    assert line_of(lines, "snd ssthresh") == "snd ssthresh 30 pkt"  # from "unlimited"
    assert line_of(lines, "segs out") == "segs out, since 0"  # itself a change


def test_first_reading_has_no_changes(tmp_path: Path) -> None:
    lines = screen(readings(tmp_path)[:1], 40)
    assert line_of(lines, "rtt ") == "rtt 24.5 ms"
    assert line_of(lines, "sending") == "sending -"


def test_rates_come_first(tmp_path: Path) -> None:
    lines = screen(readings(tmp_path), 40)
    labels = [line[:17].strip() for line in lines]
    assert labels.index("sending") < labels.index("sndbuf limited") < labels.index("rttvar")


@pytest.mark.parametrize("width", [20, 29, 40, 80, 81, 132, 200])
def test_every_value_is_visible_at_any_width(width: int, tmp_path: Path) -> None:
    lines = screen(readings(tmp_path), width)
    text = "\n".join(lines)
    assert max(map(len, lines)) <= width
    for value in ("24.5 ms", "40 pkt", "8 Mbit/s", "27.2 Mbit/s", "65160 B"):
        assert value in text, value
    assert "198.51.100.7:51844" in text.replace("\n", "")


def test_last_line_says_what_does_not_fit(tmp_path: Path) -> None:
    samples = readings(tmp_path)
    whole = screen(samples, 40)
    low = screen(samples, 40, height=10)
    assert low[:9] == whole[:9]
    assert low[9:] == [f"{len(whole) - 9} lines do not fit"]
    assert screen(samples, 40, height=len(whole)) == whole
