"""The result of `probe latency` as text: for people, and one word a cell in a pipe."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tcptool.analysis.latency import arms_of, lessons, results
from tcptool.model.comparison import Comparison
from tcptool.model.latency import LatencyPlan, LatencyReport, RoundTrips
from tcptool.model.probe import Machine, OptionInForce, Settings
from tcptool.model.report import Host
from tcptool.views.look import Look
from tcptool.views.text import latency as view
from tests.support.golden import Golden

PLAN = LatencyPlan(
    requests=1000,
    blocks=6,
    block_limit_s=1.0,
    sizes_bytes=(64,),
    reply_bytes=64,
    patterns=("two-writes",),
    matrix=("nodelay", "quickack"),
    requests_per_s=None,
    under_load=False,
    path="ipv4",
    to=None,
    timeout_s=10.0,
    seed=1,
    processors=None,
)
SETTINGS = Settings(
    congestion_control="cubic",
    sndbuf_bytes=2_626_560,
    rcvbuf_bytes=131_072,
    mss_bytes=32_768,
    device="lo",
    gso=True,
    options=(),
)
MACHINE = Machine(
    processors=2,
    near_cpu=0,
    far_cpu=1,
    governor=None,
    load_before_percent=1.0,
    load_after_percent=2.0,
)


def blocks(
    middle_us: float, number: int = 6, requests: int = 1000, **more: Any
) -> list[RoundTrips]:
    """Blocks around this median, each a little slower than the one before."""
    made = []
    for block in range(number):
        spread = [middle_us * (1 + block / 1000 + i / requests / 4) for i in range(requests)]
        trips = RoundTrips(tuple(spread), None, 2 * requests, 0, None)
        made.append(trips._replace(**more))
    return made


def report(
    readings: Sequence[list[RoundTrips]], settings: Settings = SETTINGS, **changes: Any
) -> LatencyReport:
    plan = replace(PLAN, **changes)
    arms = results(dict(zip(arms_of(plan), readings, strict=True)))
    return LatencyReport(
        plan=plan,
        machine=MACHINE,
        settings=settings,
        complete=True,
        loop="closed" if plan.requests_per_s is None else "open",
        floor_us=0.21,
        arms=arms,
        lessons=lessons(arms, plan, settings),
        host=Host(time="2026-01-02T03:04:05.123Z", host="testhost", kernel="6.18.44"),
        missing=[],
        warnings=[],
    )


NAGLE = report([blocks(43_900.0, requests=23), blocks(46.0), blocks(49.0)])


def for_people(shown: LatencyReport, **look: Any) -> str:
    out = io.StringIO()
    view.write_for_people(shown, out, Look(**{"width": 80, **look}))
    return out.getvalue()


def rows(shown: LatencyReport) -> list[dict[str, str]]:
    out = io.StringIO()
    view.write(shown, out, Look())
    heading, *lines = out.getvalue().splitlines()
    return [dict(zip(heading.split(), line.split(), strict=True)) for line in lines]


def test_a_matrix_for_people(golden: Golden) -> None:
    golden("latency/matrix.txt", for_people(NAGLE))


def test_an_open_loop_under_load_for_people(golden: Golden) -> None:
    quiet = blocks(52.0, late=0)
    quiet[4:] = blocks(510.0, number=2, late=3)
    shown = report(
        [quiet, blocks(70.0, late=40, load_rate_bytes_per_s=5e9, retrans_packets=7)],
        patterns=("one-write",),
        matrix=(),
        under_load=True,
        requests_per_s=2000,
    )
    golden("latency/under_load.txt", for_people(shown, width=100))


def test_a_matrix_in_a_pipe(golden: Golden) -> None:
    out = io.StringIO()
    view.write(NAGLE, out, Look())
    golden("latency/plain.txt", out.getvalue())


def test_absent_is_a_dash_in_a_pipe() -> None:
    (row,) = rows(report([blocks(5.0, number=1, data_segments=None)], matrix=()))
    for name in ("data_segments", "late", "p50_low_us", "base", "verdict", "effect_percent"):
        assert row[name] == "-"


@pytest.mark.parametrize("width", [40, 60, 70, 80, 100, 120])
def test_less_important_columns_give_way(width: int) -> None:
    text = for_people(NAGLE, width=width)
    assert max(map(len, text.splitlines())) <= max(width, 60)
    heading = next(line for line in text.splitlines() if " p50 " in line)
    assert ("requests" in heading) == (width >= 100)
    assert ("p90" in heading) == (width >= 60)
    assert {"p50", "p99", "max"} <= set(heading.split())


def test_a_unix_socket_and_an_interruption_for_people() -> None:
    unix = replace(SETTINGS, congestion_control=None, mss_bytes=None, device=None, gso=None)
    some = blocks(50.0, number=2, requests=50, data_segments=None, retrans_packets=None)
    shown = report([some], unix, path="unix", matrix=(), patterns=("one-write",))
    text = for_people(replace(shown, complete=False))
    assert text.startswith("Round trips over a Unix socket: ended by Ctrl-C\n")
    for absent in ("seg/req", "resent", "p90", "95 %", "cubic", "longer", "shorter"):
        assert absent not in text


def test_what_comes_from_outside_is_cleaned() -> None:
    evil = OptionInForce(name="TCP_CONGESTION", unit="", requested="x", effective="\x1b[2J")
    shown = report(
        [blocks(50.0)],
        replace(SETTINGS, options=(evil,)),
        to="h\x1b:7",
        reply_bytes=None,
        matrix=(),
    )
    text = for_people(shown)
    assert text.startswith(r"Round trips to h\x1b:7")
    assert "64 B there and back" in " ".join(text.split())
    assert "\x1b" not in text


def test_a_terminal_without_unicode_gets_ascii() -> None:
    assert for_people(NAGLE, unicode=False).isascii()
    assert for_people(NAGLE, color=True).startswith("\x1b[1mRound trips over loopback\x1b[0m\n")


def comparison(
    verdict: str, effect: float | None, low: float | None, high: float | None
) -> Comparison:
    return Comparison(
        rounds=12,
        effect_percent=effect,
        low_percent=low,
        high_percent=high,
        p_percent=None,
        noise_percent=None,
        verdict=verdict,
    )


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (comparison("more", 12.0, 9.0, 15.04), "12 % longer than base (9 .. 15)"),
        (comparison("less", -12.0, -15.0, -9.0), "12 % shorter than base (9 .. 15)"),
        (comparison("more", 100.0, 50.0, 900.0), "2 times longer than base (1.5 .. 10)"),
        (comparison("less", -50.0, -75.0, -20.0), "2 times shorter than base (1.25 .. 4)"),
        (comparison("less", -99.9, -99.95, -99.8), "1000 times shorter than base (500 .. 2000)"),
        (
            comparison("no-difference", 1.0, -3.0, 400.0),
            "no difference from base shown (-3 .. 400 %)",
        ),
        (comparison("too-few", 1.0, -3.0, 4.0), "too few blocks to compare with base"),
        (comparison("too-few", None, None, None), "too few blocks to compare with base"),
    ],
)
def test_a_comparison_in_words(outcome: Comparison, words: str) -> None:
    first, second = report([blocks(50.0), blocks(50.0)], matrix=("nodelay",)).arms
    shown = replace(
        report([blocks(50.0)], matrix=()),
        arms=(first, replace(second, base="base", outcome=outcome)),
    )
    assert f"  nodelay  {words}\n" in for_people(shown, width=100)
