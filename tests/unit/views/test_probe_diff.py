"""The result of `probe diff` as text: for people, and a figure a line in a pipe."""

from __future__ import annotations

import io
from typing import Any

import pytest

from tcptool.model.comparison import Comparison
from tcptool.model.probe_diff import Change, Circumstance, Origin, ProbeDiff, Quantity
from tcptool.model.report import Host
from tcptool.views.look import Look
from tcptool.views.text import probe_diff as view
from tests.support.golden import Golden

GIB = 1 << 30


def comparison(verdict: str, *ends: float | None) -> Comparison:
    effect, low, high = ends
    return Comparison(
        rounds=16,
        effect_percent=effect,
        low_percent=low,
        high_percent=high,
        p_percent=0.1,
        noise_percent=3.0,
        verdict=verdict,
    )


def change(of: str, metric: str, unit: str, outcome: Comparison, **more: Any) -> Change:
    values = {"before": 2.0, "after": 1.0, "worse": False, **more}
    return Change(
        of=of,
        metric=metric,
        before=Quantity(values["before"], unit),
        after=Quantity(values["after"], unit),
        outcome=outcome,
        worse=values["worse"],
    )


CHANGES = (
    change(
        "send", "rate", "bytes_per_s", comparison("less", -50.0, -55.5, -44.25),
        before=2.0 * GIB, after=1.0 * GIB, worse=True,
    ),
    change("send", "cpu", "s_per_gb", comparison("less", -12.0, -15.0, -9.0), after=0.1234),
    change("splice", "rate", "bytes_per_s", comparison("no-difference", 1.0, -6.0, 8.0)),
    change("splice", "cpu", "s_per_gb", comparison("no-difference", 3.0, 1.0, 4.0)),
    change("latency", "p50", "us", comparison("too-few", 3.0, None, None), before=None),
)  # fmt: skip


def report(*changes: Change, **more: Any) -> ProbeDiff:
    host = Host("web1", "6.18.44", "2026-01-02T03:04:05.123Z")
    origins = {
        word: Origin(f"{word}.json", host.host, host.kernel, host.time, "0.1.0")
        for word in ("before", "after")
    }
    values: dict[str, Any] = {
        "kind": "probe-compare",
        "threshold_percent": 5.0,
        "only_before": ("writev",),
        "only_after": (),
        "circumstances": (Circumstance("congestion_control", "bbr", "cubic"),),
        "host": host,
        "missing": [],
        "warnings": [],
        **origins,
        **more,
    }
    return ProbeDiff(changes=changes, **values)


def for_people(shown: ProbeDiff, **look: Any) -> str:
    out = io.StringIO()
    view.write_for_people(shown, out, Look(**{"width": 80, **look}))
    return out.getvalue()


def in_a_pipe(shown: ProbeDiff) -> list[str]:
    out = io.StringIO()
    view.write(shown, out, Look())
    return out.getvalue().splitlines()


def test_for_people(golden: Golden) -> None:
    golden("probe_diff/people.txt", for_people(report(*CHANGES)))


def test_nothing_got_worse() -> None:
    assert "Nothing got worse by 5 % or more." in for_people(report(*CHANGES[1:]))


def test_in_a_pipe_every_cell_is_a_word() -> None:
    heading, *rows = in_a_pipe(report(*CHANGES))
    rows, remarks = rows[: len(CHANGES)], rows[len(CHANGES) :]
    assert {len(row.split()) for row in (heading, *rows)} == {10}
    assert rows[0].split() == (
        [
            "send",
            "rate",
            "bytes_per_s",
            "2.14748e+09",
            "1.07374e+09",
            "-50",
            "-55.5",
            "-44.25",
            "less",
            "yes",
        ]
    )
    assert rows[-1].split() == ["latency", "p50", "us", "-", "1", "3", "-", "-", "too-few", "no"]
    assert remarks == [
        "# only before: writev",
        "# not the same: congestion_control: bbr before, cubic after",
    ]


@pytest.mark.parametrize("color", [False, True])
def test_colour_only_where_it_is_wanted(color: bool) -> None:
    assert ("\x1b[" in for_people(report(*CHANGES), color=color)) == color


def test_what_a_file_says_is_cleaned() -> None:
    hostile = "\x1b[31mevil\n"
    shown = report(
        change(hostile, "rate", "bytes_per_s", comparison("less", -50.0, -55.0, -44.0)),
        before=Origin(hostile, hostile, hostile, hostile, hostile),
        only_after=(hostile,),
        circumstances=(Circumstance("device", hostile, hostile),),
    )
    for text in (for_people(shown), "\n".join(in_a_pipe(shown))):
        assert "\x1b" not in text
