"""The result of `probe pool` as text: for people, and a line for each arm in a pipe."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest

from tcptool.analysis import pool as analysis
from tcptool.model.connect import PortUse
from tcptool.model.pool_probe import PoolMoment, PoolReport
from tcptool.model.report import Host
from tcptool.views.look import Look
from tcptool.views.text import pool as view
from tests.support.golden import Golden
from tests.unit.analysis.test_pool import PLAN, reading
from tests.unit.views.connect_reports import MACHINE, SETTINGS

MOMENTS = tuple(PoolMoment(n / 100, n % 3, 3 - n % 3) for n in range(90))
READINGS = {
    "so_error": [reading(2, 198, stale_handed_out=1, failures={"stale": 1}, timeline=MOMENTS)] * 12,
    "peek": [reading(2, 198, invalid_found=1, timeline=MOMENTS)] * 12,
    "fresh": [reading(200, 0)] * 12,
}


def report(readings: Any = None, **more: Any) -> PoolReport:
    plan = more.pop("plan", replace(PLAN, arms=("so_error", "peek", "fresh")))
    arms = analysis.results(readings or READINGS, plan)
    values: dict[str, Any] = {
        "plan": plan,
        "machine": MACHINE,
        "settings": SETTINGS,
        "complete": True,
        "loop": "closed",
        "arms": arms,
        "lessons": analysis.lessons(arms),
        "tw_before": 1,
        "tw_after": 2434,
        "ports": PortUse(
            first=32768, last=60999, reserved=0, used=2412, taken=2400, left=25832, tw_reuse=2
        ),
        "host": Host("web1", "6.18.44", "2026-01-02T03:04:05.123Z"),
        "missing": [],
        "warnings": [],
        **more,
    }
    return PoolReport(**values)


def for_people(shown: PoolReport, **look: Any) -> str:
    out = io.StringIO()
    view.write_for_people(shown, out, Look(**{"width": 80, **look}))
    return out.getvalue()


def test_for_people(golden: Golden) -> None:
    plan = replace(PLAN, arms=("so_error", "peek", "fresh"), rest_s=1.5, server_closes_after_s=1.0)
    golden("pool/people.txt", for_people(report(plan=plan)))


def test_a_run_that_was_cut_short_against_another_program(golden: Golden) -> None:
    plan = replace(
        PLAN, target="http://[::1]:8080/\x1b[31m", size_bytes=None, concurrency=4,
        requests_per_s=500, arms=("peek",),
    )  # fmt: skip
    shown = report(
        {"peek": [reading(2, 20)] * 3}, plan=plan, complete=False, ports=None, tw_before=None
    )
    text = for_people(shown)
    golden("pool/cut_short.txt", text)
    assert "\x1b" not in text


def test_in_a_pipe_every_cell_is_a_word() -> None:
    out = io.StringIO()
    view.write(report(), out, Look())
    heading, *rows = out.getvalue().splitlines()
    rows, remarks = rows[:3], rows[3:]
    assert {len(row.split()) for row in (heading, *rows)} == {len(heading.split())}
    found = dict(zip(heading.split(), rows[0].split(), strict=True))
    assert (found["arm"], found["stale_handed_out"], found["failed"]) == ("so_error", "12", "12")
    assert found["late"] == "-"
    assert remarks == [
        "# target=- path=ipv4 loop=closed concurrency=1 rest_s=0 tw_before=1 tw_after=2434"
    ]


def test_nothing_measured_is_a_dash() -> None:
    nothing = report({"peek": [reading(0, 0, failures={"failed": 1})]})
    line = next(one for one in for_people(nothing).splitlines() if one.startswith("  peek"))
    assert line.split() == ["peek", *["-"] * 7]


@pytest.mark.parametrize(("unicode", "word"), [(True, "µs"), (False, "us")])
def test_a_terminal_without_unicode(unicode: bool, word: str) -> None:
    text = for_people(report(), unicode=unicode)
    assert f"100 {word}" in text
    assert text.isascii() is not unicode


@pytest.mark.parametrize("color", [False, True])
def test_colour_only_where_it_is_wanted(color: bool) -> None:
    assert ("\x1b[" in for_people(report(), color=color)) == color
