"""The result of `probe connect` as text: for people, and a figure a line in a pipe."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest

from tcptool.analysis.connect import percentiles
from tcptool.model.connect import ConnectFailures, ConnectReport, CounterGrowth, FastOpenUse
from tcptool.model.probe import OptionInForce
from tcptool.views.look import Look
from tcptool.views.text import connect as view
from tests.support.golden import Golden
from tests.unit.views.connect_reports import NO_GROWTH, PLAN, PORTS, SETTINGS, report, times

REQUESTS = report(
    120_000,
    plan=replace(PLAN, exchange="request", closer="server", concurrency=64, fast_open=True),
    exchange=percentiles(times(900.0, 20_000)),
    answer=percentiles(times(1_400.0, 20_000)),
    close=None,
    fast_open=FastOpenUse(used=119_998, asked=120_000, enabled=3, refused=None),
    counters=replace(NO_GROWTH, syn_retrans=3, rto_timeouts=3, listen_overflows=2, listen_drops=2),
)
CUT_SHORT = report(
    5,
    plan=replace(PLAN, to="192.0.2.7:443", connections=100),
    complete=False,
    ended_by="failures",
    failed=(
        ConnectFailures(error="ECONNREFUSED", count=99),
        ConnectFailures(error="ECONNRESET", count=1),
    ),
    far_cpu_us=None,
    close=None,
    rate_low_per_s=None,
    rate_high_per_s=None,
    ports=replace(PORTS, taken=None, left=None, tw_reuse=None),
    settings=replace(SETTINGS, rcvbuf_bytes=None, device="eth0"),
)
UNIX = report(
    plan=replace(PLAN, path="unix"),
    settings=replace(SETTINGS, congestion_control=None, mss_bytes=None, device=None, gso=None),
    tw_before=None,
    tw_after=None,
    ports=None,
    counters=None,
)
NOTHING = report(
    0,
    complete=False,
    ended_by="no-answer",
    failed=(ConnectFailures(error="ETIMEDOUT", count=1),),
)


def for_people(shown: ConnectReport, **look: Any) -> str:
    out = io.StringIO()
    view.write_for_people(shown, out, Look(**{"width": 80, **look}))
    return out.getvalue()


def in_a_pipe(shown: ConnectReport) -> str:
    out = io.StringIO()
    view.write(shown, out, Look())
    return out.getvalue()


def figures(shown: ConnectReport) -> dict[str, str]:
    """Name and value, each one word."""
    heading, *lines = in_a_pipe(shown).splitlines()
    assert heading.split() == ["figure", "value"]
    rows = [line.split() for line in lines]
    assert {len(row) for row in rows} == {2}
    assert len({name for name, _ in rows}) == len(rows)
    return dict(row for row in rows)


def line(shown: ConnectReport, label: str, **look: Any) -> str:
    """What stands beside a label, on a wide screen."""
    lines = for_people(shown, width=100, **look).splitlines()
    (found,) = (one for one in lines if one.startswith(f"  {label} "))
    return found.removeprefix(f"  {label}").strip()


def test_for_people(golden: Golden) -> None:
    golden("connect/people.txt", for_people(report()))


def test_requests_at_a_time_for_people(golden: Golden) -> None:
    golden("connect/requests.txt", for_people(REQUESTS, width=100))


def test_a_run_that_was_cut_short_for_people(golden: Golden) -> None:
    golden("connect/cut_short.txt", for_people(CUT_SHORT))


def test_a_unix_socket_for_people(golden: Golden) -> None:
    golden("connect/unix.txt", for_people(UNIX))


def test_in_a_pipe(golden: Golden) -> None:
    golden("connect/plain.txt", in_a_pipe(REQUESTS))


def test_what_is_absent_is_a_dash_and_what_is_zero_is_zero() -> None:
    found = figures(CUT_SHORT)
    for name in ("far_cpu_us", "rate_low_per_s", "connect_p50_us", "ports_taken", "ports_tw_reuse"):
        assert found[name] == "-", name
    assert (found["ports_reserved"], found["grown_syn_retrans"]) == ("0", "0")
    assert (found["to"], found["ended_by"]) == ("192.0.2.7:443", "failures")
    assert (found["failed"], found["failed_ECONNREFUSED"], found["failed_ECONNRESET"]) == (
        "100",
        "99",
        "1",
    )
    assert "close_count" not in found  # not measured
    assert "fast_open_used" not in found
    assert figures(report())["failed"] == "0"


def test_a_unix_socket_has_no_ports_in_a_pipe() -> None:
    found = figures(UNIX)
    assert not [name for name in found if name.startswith(("tw_", "ports_", "grown_"))]
    assert found["to"] == "-"
    unreadable = figures(report(tw_before=None, tw_after=None))
    assert (unreadable["tw_before"], unreadable["tw_after"]) == ("-", "-")


def test_without_a_connection_there_are_failures_alone() -> None:
    text = for_people(NOTHING)
    assert text.startswith("0 connections to our own acceptor over loopback: cut short\n")
    assert "  failed     1 ETIMEDOUT\n" in text
    for absent in ("rate", "p50", "CPU"):
        assert absent not in text
    assert figures(NOTHING)["rate_per_s"] == "-"


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 200])
@pytest.mark.parametrize("shown", [report(), REQUESTS, CUT_SHORT, UNIX])
def test_lines_fit_and_the_meanings_give_way(shown: ConnectReport, width: int) -> None:
    text = for_people(shown, width=width)
    fitting = min(max(width, 62), 100)  # a table narrower than its numbers would lie
    assert max(map(len, text.splitlines())) <= fitting
    if width != 80:  # there it depends on the numbers
        assert ("until the connection is there" in text) == (width > 80)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "connect, close; this end closes first; one at a time"),
        ({"closer": "reset", "concurrency": 8}, "connect, close; this end resets; 8 at a time"),
        (
            {"closer": "server", "exchange": "request"},
            "connect, request, reply, close; the other end closes first; one at a time",
        ),
    ],
)
def test_what_is_done_with_each_in_words(changes: dict[str, Any], words: str) -> None:
    assert line(report(plan=replace(PLAN, **changes)), "each") == words


@pytest.mark.parametrize(
    ("rate_per_s", "words"),
    [(9.876, "9.88/s"), (99.94, "99.9/s"), (123.4, "123/s"), (15_678.0, "15 700/s")],
)
def test_a_rate_has_three_digits(rate_per_s: float, words: str) -> None:
    shown = replace(report(), rate_per_s=rate_per_s, rate_low_per_s=None, rate_high_per_s=None)
    assert line(shown, "rate") == words


def test_a_rate_has_its_interval() -> None:
    words = "14 900/s (95 %: 14 400 .. 15 400; noise 4.47 %; 12 blocks)"
    assert line(report(), "rate") == words


def test_the_other_end_of_another_program_has_no_cpu_time() -> None:
    assert line(report(), "CPU") == "43 µs here, 30 µs at the acceptor, per connection"
    assert line(report(far_cpu_us=None), "CPU") == "43 µs here, per connection"


@pytest.mark.parametrize(
    ("path", "where"),
    [("ipv4", "over loopback"), ("ipv6", "over loopback, IPv6"), ("unix", "over a Unix socket")],
)
def test_the_way_is_in_the_heading(path: str, where: str) -> None:
    text = for_people(report(plan=replace(PLAN, path=path)))
    assert text.startswith(f"2 000 connections to our own acceptor {where}\n")


def test_an_interruption_is_in_the_heading() -> None:
    text = for_people(report(complete=False, ended_by="interrupted"))
    assert text.startswith("2 000 connections to our own acceptor over loopback: ended by Ctrl-C\n")


def test_ports_in_words() -> None:
    shown = report(ports=replace(PORTS, reserved=232))
    assert line(shown, "ports").startswith("2 167 used of the 28 000 in 32768..60999; to this dest")
    assert line(CUT_SHORT, "ports") == "2 167 used of the 28 232 in 32768..60999"


@pytest.mark.parametrize(
    ("growth", "words"),
    [
        ({}, "no retransmission, nothing dropped at a listener"),
        ({"tw_overflows": 1200}, "1 200 too many for TIME_WAIT"),
        ({"attempt_fails": 2, "syn_retrans": None}, "2 attempts failed"),
    ],
)
def test_counters_in_words(growth: dict[str, int | None], words: str) -> None:
    assert line(report(counters=replace(NO_GROWTH, **growth)), "kernel") == words


def test_counters_that_this_kernel_lacks_are_not_called_zero() -> None:
    nothing = CounterGrowth(**dict.fromkeys(CounterGrowth.__dataclass_fields__))
    text = for_people(report(counters=nothing))
    assert "no retransmission" not in text
    assert "  kernel     nothing that this kernel counts\n" in text
    assert figures(report(counters=nothing))["grown_syn_retrans"] == "-"


def test_options_in_force_are_told() -> None:
    option = OptionInForce(name="TCP_NODELAY", unit="", requested=True, effective=True)
    shown = report(settings=replace(SETTINGS, options=(option,)))
    assert line(shown, "in force") == "cubic, device lo, TCP_NODELAY=yes"


def test_what_comes_from_outside_is_cleaned() -> None:
    evil = OptionInForce(name="TCP_CONGESTION", unit="", requested="x", effective="\x1b[2J")
    shown = report(
        plan=replace(PLAN, to="h\x1b:7"),
        settings=replace(SETTINGS, options=(evil,)),
        failed=(ConnectFailures(error="E\x1b[2J", count=1),),  # of a file that `probe show` reads
    )
    for text in (for_people(shown), in_a_pipe(shown)):
        assert r"h\x1b:7" in text
        assert r"E\x1b[2J" in text
        assert "\x1b" not in text


def test_an_error_without_a_name_is_one_word_in_a_pipe() -> None:
    shown = report(failed=(ConnectFailures(error="errno 524", count=7),))
    assert figures(shown)[r"failed_errno\x20524"] == "7"
    assert line(shown, "failed") == "7 errno 524"


def test_a_terminal_without_unicode_gets_ascii() -> None:
    assert for_people(REQUESTS, unicode=False).isascii()
    first = for_people(report(), color=True).splitlines()[0]
    assert first == "\x1b[1m2 000 connections to our own acceptor over loopback\x1b[0m"
