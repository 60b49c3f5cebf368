"""`probe METHOD` and `probe compare`: rows in a pipe, a card or a ranking on a terminal."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tcptool.model.comparison import Comparison
from tcptool.model.probe import MethodComparison, OptionInForce, TransferReport
from tcptool.views.look import Look
from tcptool.views.terminal import transfer as terminal
from tcptool.views.text import transfer as text
from tests.support.golden import Golden
from tests.unit.views.transfer_reports import (
    MACHINE,
    PLAN,
    SETTINGS,
    comparison_of_all,
    one_method,
    report,
    result,
)

EVIL = "evil\x1b[2J [red]name"


def in_pipe(made: TransferReport) -> list[str]:
    out = io.StringIO()
    text.write(made, out, Look())
    return out.getvalue().splitlines()


def on_terminal(made: TransferReport, **look: Any) -> str:
    out = io.StringIO()
    terminal.write(made, out, Look(**look))
    return out.getvalue()


def flowing(made: TransferReport) -> str:
    """What a terminal shows, without its line breaks."""
    return " ".join(on_terminal(made).split())


def table(made: TransferReport) -> list[dict[str, str]]:
    """The rows of a pipe."""
    heading, *rows = (line.split() for line in in_pipe(made) if not line.startswith("#"))
    return [dict(zip(heading, row, strict=True)) for row in rows]


# -- as a whole ----------------------------------------------------------------------------


def test_rows_in_a_pipe(golden: Golden) -> None:
    golden("transfer/compare.txt", "\n".join(in_pipe(comparison_of_all())) + "\n")


@pytest.mark.parametrize("width", [80, 140])
def test_a_ranking(width: int, golden: Golden) -> None:
    golden(f"transfer/compare-{width}.txt", on_terminal(comparison_of_all(), width=width))


def test_a_ranking_without_unicode(golden: Golden) -> None:
    shown = on_terminal(comparison_of_all(), unicode=False)
    assert shown.isascii()
    golden("transfer/compare-ascii.txt", shown)


@pytest.mark.parametrize("width", [80, 140])
def test_a_card(width: int, golden: Golden) -> None:
    golden(f"transfer/one-{width}.txt", on_terminal(one_method(), width=width))


@pytest.mark.parametrize("made", [comparison_of_all(), one_method()], ids=["several", "one"])
@pytest.mark.parametrize("width", [10, 40, 52, 60, 79, 80, 93, 100, 120, 200, 400])
def test_no_line_is_longer_than_the_terminal(width: int, made: TransferReport) -> None:
    lines = on_terminal(made, width=width).splitlines()
    assert max(map(len, lines)) <= max(width, 40)
    assert "3.92" in lines[0] + lines[3]


@pytest.mark.parametrize("made", [comparison_of_all(), one_method()], ids=["several", "one"])
def test_colour_adds_nothing_but_colour(made: TransferReport) -> None:
    coloured = on_terminal(made, color=True)
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == on_terminal(made)
    assert "\x1b" not in on_terminal(made)


@pytest.mark.parametrize("show", [lambda made: "\n".join(in_pipe(made)), on_terminal])
def test_text_of_others_is_harmless(show: Callable[[TransferReport], str]) -> None:
    option = OptionInForce(name="TCP_CONGESTION", unit="", requested=EVIL, effective=EVIL)
    settings = replace(SETTINGS, device=EVIL, congestion_control=EVIL, options=(option,))
    made = report(
        result("send", 2, 0.3, settings=settings),
        plan=replace(PLAN, to=EVIL, file=EVIL, source="file"),
        machine=replace(MACHINE, governor=EVIL),
    )
    assert all(line.isprintable() for line in show(made).splitlines())
    assert "[red]name" in show(made)


@pytest.mark.parametrize("width", range(60, 100))
def test_a_number_stays_with_its_unit(width: int) -> None:
    lines = on_terminal(one_method(), width=width).splitlines()
    assert not [line for line in lines if re.search(r"\d$", line)]
    assert "1 000 of" in "\n".join(lines)


# -- in a pipe -----------------------------------------------------------------------------


def test_columns_are_words_in_the_unit_of_their_heading() -> None:
    (row,) = table(one_method())
    assert row["method"] == "sendfile"
    assert row["rate_gib_per_s"] == "3.92"
    assert float(row["rate_gbit_per_s"]) == pytest.approx(3.92 * 8 * 1.073741824, rel=1e-5)
    assert float(row["rate_low_gib_per_s"]) < 3.92 < float(row["rate_high_gib_per_s"])
    assert row["cpu_s_per_gb"] == "0.118"
    assert (row["calls"], row["short_calls"], row["waits"]) == ("425", "20", "12")
    assert (row["rwnd_limited_percent"], row["retrans_packets"]) == ("25", "2")
    assert row["zerocopy_copied"] == row["verified_bytes"] == "-"


def test_an_end_that_is_not_ours_costs_nothing_that_is_known() -> None:
    one = result("send", 1, 0.3, far=None, tcp_info=None, rwnd_limited_percent=None)
    made = report(one, plan=replace(PLAN, to="192.0.2.1:5001", receiver=None))
    (row,) = table(made)
    assert {value for name, value in row.items() if name.startswith("far_")} == {"-"}
    assert row["retrans_packets"] == row["rwnd_limited_percent"] == "-"
    moved = "# moved: path=ipv4 to=192.0.2.1:5001 source=temporary-file file=- receiver=- verify=no"
    assert moved in in_pipe(made)
    several = report(one, replace(one, method="mmap"))
    assert "receiver" not in on_terminal(made, width=140)
    heading = on_terminal(several, width=140).splitlines()[2].split()
    assert heading[-4:] == ["sender", "calls", "per", "call"]


def test_what_a_zero_copy_send_came_to() -> None:
    made = report(result("zerocopy", 2, 0.4, sends=(437, 3)))
    assert "# zerocopy: copied after all: 3 of 437 sends" in in_pipe(made)
    assert "3 of 437 sends were copied after all" in flowing(made)


def test_options_that_were_set() -> None:
    options = (
        OptionInForce(name="TCP_NODELAY", unit="", requested=True, effective=True),
        OptionInForce(name="SO_SNDBUF", unit="bytes", requested=200_000, effective=400_000),
        OptionInForce(name="TCP_MD5SIG", unit="", requested="x", effective=None),
    )
    made = report(result("send", 2, 0.3, settings=replace(SETTINGS, options=options)))
    assert [line for line in in_pipe(made) if line.startswith("# set")] == [
        "# set: TCP_NODELAY requested=yes effective=yes",
        "# set: SO_SNDBUF requested=200000 effective=400000",
        "# set: TCP_MD5SIG requested=x effective=-",
    ]
    shown = on_terminal(made)
    assert "TCP_NODELAY=yes\n" in shown
    assert "SO_SNDBUF=391 KiB (195 KiB was asked for)\n" in shown
    assert "TCP_MD5SIG=- (x was asked for)\n" in shown


def test_an_incomplete_run_says_so_first() -> None:
    made = replace(one_method(), complete=False)
    assert in_pipe(made)[0].startswith("# incomplete: ended by Ctrl-C")
    assert on_terminal(made).startswith("Not complete: ended by Ctrl-C")
    assert in_pipe(one_method()) == in_pipe(made)[1:]
    assert on_terminal(one_method()) == on_terminal(made).partition("\n")[2]


# -- who wins ------------------------------------------------------------------------------


def compared(verdict: str, *values: float | None, rounds: int = 25) -> MethodComparison:
    effect, low, high = values
    outcome = Comparison(
        rounds=rounds, effect_percent=effect, low_percent=low, high_percent=high, p_percent=1.0,
        noise_percent=1.0, verdict=verdict,
    )  # fmt: skip
    return MethodComparison(metric="rate", method="send", base="sendfile", outcome=outcome)


APART = report(result("sendfile", 4, 0.1), result("send", 2, 0.3))
TOGETHER = report(result("sendfile", 4, 0.1), result("send", 4, 0.1))


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (compared("less", -41.2, -45.4, -38.0), "41 % less than sendfile (38 to 45 %)"),
        (compared("more", 8.46, 7.03, 9.98), "8.5 % more than sendfile (7 to 10 %)"),
        (compared("more", 99.0, 5.5, 180), "99 % more than sendfile (5.5 to 180 %)"),
        (compared("more", 100.0, 5.5, 180), "2 times that of sendfile (1.1 to 2.8)"),
        (compared("more", 1140.0, 1000, 1300), "12 times that of sendfile (11 to 14)"),
        (
            compared("no-difference", 1.0, -6.04, 8.2),
            "no difference from sendfile shown (could still be -6 to +8.2 %)",
        ),
        (
            compared("no-difference", 3.0, 1.5, 12.2),
            "too small a difference from sendfile to count (+1.5 to +12 %)",
        ),
        (
            compared("no-difference", -3.0, -4.0, -2.0),
            "too small a difference from sendfile to count (-4 to -2 %)",
        ),
        (
            compared("too-few", -26.0, None, None, rounds=4),
            "too few connections to compare with sendfile: 4, it takes 6",
        ),
        (
            compared("too-few", None, None, None, rounds=0),
            "too few connections to compare with sendfile: 0, it takes 6",
        ),
    ],
)
def test_the_words_for_a_comparison(one: MethodComparison, words: str) -> None:
    assert text.outcome_words(APART, one) == words


def test_a_difference_that_the_ranking_does_not_see_may_be_chance() -> None:
    one = compared("less", -10.0, -18.0, -2.0)
    words = "10 % less than sendfile (2 to 18 %), which among 2 methods may still be chance"
    assert text.outcome_words(TOGETHER, one) == words
    assert text.outcome_words(APART, replace(one, metric="cpu")) == words.partition(", ")[0]
    apart_by_rate_only = report(result("sendfile", 4, 0.1), result("send", 2, 0.1))
    assert text.outcome_words(apart_by_rate_only, replace(one, metric="cpu")) == words


@pytest.mark.parametrize(
    ("made", "lines", "sentences"),
    [
        (
            APART,
            ["fastest: sendfile", "cheapest in CPU: sendfile"],
            "sendfile is the fastest; send moves 50 % less than sendfile (50 to 50 %). "
            "sendfile needs the least CPU; send needs 3 times that of sendfile (3 to 3).",
        ),
        (
            TOGETHER,
            [
                "fastest: sendfile, send (no clear winner)",
                "cheapest in CPU: sendfile, send (no clear winner)",
            ],
            "No clear winner in rate: any of them may be the fastest. "
            "No clear winner in CPU: any of them may need the least.",
        ),
        (
            report(
                result("sendfile", 4, 0.1), result("splice", 4, 0.3), result("vmsplice", 2, 0.3)
            ),
            ["fastest: sendfile, splice (no clear winner)", "cheapest in CPU: sendfile"],
            "No clear winner in rate among sendfile and splice; vmsplice moves 50 % less than "
            "sendfile (49 to 51 %). sendfile needs the least CPU; vmsplice needs 3 times that of "
            "sendfile (3 to 3).",
        ),
        (
            report(
                result("sendfile", 4, 0.1, connections=5), result("send", 2, 0.1, connections=5)
            ),
            [
                "fastest: not known (too few connections)",
                "cheapest in CPU: not known (too few connections)",
            ],
            "Too few connections to tell which is the fastest. "
            "Too few connections to tell which needs the least CPU.",
        ),
        (
            replace(APART, comparisons=(), fastest=(), cheapest=()),
            [
                "fastest: not known (too few connections)",
                "cheapest in CPU: not known (too few connections)",
            ],
            "Too few connections to tell which is the fastest. "
            "Too few connections to tell which needs the least CPU.",
        ),
    ],
)
def test_the_conclusion(made: TransferReport, lines: list[str], sentences: str) -> None:
    in_comments = [line[2:] for line in in_pipe(made) if "est: " in line or "est in CPU" in line]
    assert in_comments == lines
    assert sentences in flowing(made)


def test_one_method_wins_nothing() -> None:
    assert not [line for line in in_pipe(one_method()) if "est:" in line or "est in" in line]
    assert "fastest" not in on_terminal(one_method())


# -- bars ----------------------------------------------------------------------------------


def bars(made: TransferReport, width: int = 80) -> list[list[str]]:
    """The bars of each row, as they stand there."""
    rows = on_terminal(made, width=width).splitlines()[3 : 3 + len(made.results)]
    return [re.findall("[█▒│]+", row) for row in rows]


def test_bars_are_as_long_as_their_values() -> None:
    made = report(
        result("sendfile", 4, 0.1, connections=5), result("mmap", 2, 0.4, connections=5),
        result("send", 1, 0.8, connections=5),
    )  # fmt: skip
    rates, costs = zip(*bars(made, 120), strict=True)
    assert [len(bar) / len(rates[0]) for bar in rates] == pytest.approx([1, 0.5, 0.25], abs=0.1)
    assert [len(bar) / len(costs[2]) for bar in costs] == pytest.approx([0.125, 0.5, 1], abs=0.1)
    assert "│" not in "".join(rates)


def test_the_interval_is_marked_on_the_bar() -> None:
    made = report(
        result("sendfile", 2, 0.1, rate_low_bytes_per_s=1 << 30, rate_high_bytes_per_s=4 << 30),
        result("send", 2, 0.1, rate_low_bytes_per_s=2 << 30, rate_high_bytes_per_s=2 << 30),
    )
    wide, narrow = (bar for bar, _ in bars(made))
    cells = len(wide)
    assert wide.index("▒") == cells // 4
    assert wide.index("│") == narrow.index("│") == cells // 2
    assert wide.rindex("▒") == cells - 1
    assert narrow == "█" * (cells // 2) + "│"


def test_nothing_to_draw() -> None:
    """Without a rate, and with CPU time below what the kernel counts."""
    unknown = result("send", 1, 0.0, rate_bytes_per_s=None, rate_low_bytes_per_s=None)
    no_calls = replace(unknown.near, calls=0, call_bytes=None)
    made = report(unknown, replace(unknown, method="mmap", cpu_s_per_gb=None, near=no_calls))
    assert bars(made) == [[], []]
    assert on_terminal(made, width=140).splitlines()[4].split()[-3:] == ["0", "-", "2"]
    assert "no rate" in on_terminal(report(unknown))


def test_a_column_has_one_unit() -> None:
    made = report(result("sendfile", 2, 0.1), result("send", 0.0625, 0.1))
    heading, first, second = (line.split() for line in on_terminal(made).splitlines()[2:5])
    assert heading[2:4] == ["GiB/s", "Gbit/s"]
    assert (first[2], second[2]) == ("2.00", "0.06")
    slow = report(result("sendfile", 1 / 1024, 0.1), result("send", 1 / 2048, 0.1))
    heading, first, second = (line.split() for line in on_terminal(slow).splitlines()[2:5])
    assert heading[2:4] == ["MiB/s", "Mbit/s"]
    assert (first[2], second[2]) == ("1.00", "0.50")


# -- what was in force ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "processors 0 and 1 of 4, governor performance, load 12 % before and 25 % after"),
        ({"governor": None}, "processors 0 and 1 of 4, load 12 % before"),
        ({"near_cpu": None, "far_cpu": None}, "4 processors, the ends kept on none, governor"),
        ({"near_cpu": 2, "far_cpu": 2}, "processor 2 of 4, governor"),
        ({"load_before_percent": None}, "load - before and 25 % after"),
    ],
)
def test_the_machine(changes: dict[str, Any], words: str) -> None:
    made = replace(one_method(), machine=replace(MACHINE, **changes))
    assert words in flowing(made)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "over loopback"),
        ({"path": "ipv6"}, "over loopback, IPv6"),
        ({"path": "unix"}, "over a Unix socket"),
        ({"to": "192.0.2.1:5001", "receiver": None}, "to 192.0.2.1:5001"),
        ({"receiver": "recv"}, "recv: recv(2) into a buffer"),
        ({"source": "memory"}, "25 slices of 4 MiB on 25 connections from memory, 256 KiB a call"),
        ({"source": "file", "file": "/srv/x"}, "on 25 connections from /srv/x, 256 KiB a call"),
    ],
)
def test_the_plan(changes: dict[str, Any], words: str) -> None:
    assert words in flowing(replace(one_method(), plan=replace(PLAN, **changes)))


def test_a_unix_socket_has_no_tcp() -> None:
    settings = replace(SETTINGS, congestion_control=None, mss_bytes=None, device=None, gso=None)
    made = report(
        result(
            "send", 2, 0.3, settings=settings, tcp_info=None, rwnd_limited_percent=None,
            sndbuf_limited_percent=None,
        )
    )  # fmt: skip
    shown = on_terminal(made)
    assert "in force   send buffer 4 MiB, receive buffer 6 MiB\n" in shown
    assert "limits" not in shown
    assert "gso off" in flowing(report(result("send", 2, 1, settings=replace(settings, gso=False))))


def test_what_was_verified() -> None:
    made = report(result("send", 2, 0.3, verified_bytes=100 << 20))
    assert "verified   100 MiB arrived with the right checksum\n" in on_terminal(made)
    assert table(made)[0]["verified_bytes"] == "104857600"


def test_one_connection() -> None:
    made = report(result("send", 2, 0.3, connections=1, tcp_info=None))
    shown = flowing(made)
    assert "1 slice of 4 MiB on 1 connection from" in shown
    assert "confidence" not in shown
    assert "noise" not in shown
    assert "17 of 241 KiB on average here" in shown
