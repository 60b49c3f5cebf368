"""Verdicts and thresholds: each is explained, each is used."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tcptool.catalog import thresholds
from tcptool.catalog.severity import Severity
from tcptool.catalog.verdicts import UNCLEAR, VERDICTS, Verdict

VERDICT_CODE = Path(thresholds.__file__).parents[1] / "analysis" / "verdict"
TREE = ast.parse(Path(thresholds.__file__).read_text())
THRESHOLDS = [
    node.target.id
    for node in TREE.body
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
]


def texts_in_code() -> set[str]:
    """Every text that stands alone in the tests of analysis/verdict."""
    return {
        node.value
        for path in VERDICT_CODE.glob("*.py")
        if path.name != "cures.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


@pytest.mark.parametrize("verdict", VERDICTS.values(), ids=VERDICTS)
def test_a_verdict_is_explained(verdict: Verdict) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", verdict.name)
    assert VERDICTS[verdict.name] is verdict
    assert verdict.headline[0].islower()
    assert verdict.headline[-1] not in ".!"
    assert len(verdict.headline) <= 80
    assert isinstance(verdict.severity, Severity)
    assert verdict.who in ("application", "host", "peer", "path", "nobody")
    assert verdict.meaning.endswith(".")
    assert verdict.decided
    assert verdict.pitfall == "" or verdict.pitfall.endswith(".")


def test_who_is_well_has_nothing_to_do() -> None:
    for verdict in VERDICTS.values():
        if verdict.severity in (Severity.WARN, Severity.FAIL):
            assert verdict.who != "nobody", verdict.name


@pytest.mark.parametrize("name", sorted(VERDICTS.keys() - {UNCLEAR}))
def test_a_verdict_is_reached_by_a_test(name: str) -> None:
    assert name in texts_in_code()


@pytest.mark.parametrize("name", THRESHOLDS)
def test_a_threshold_decides_something(name: str) -> None:
    package = Path(thresholds.__file__).parents[1]
    used = "".join(path.read_text() for path in package.rglob("*.py"))
    assert re.search(rf"\blimits\.{name}\b", used)


def test_thresholds_are_documented_and_in_order() -> None:
    assert "tests/lab" in (thresholds.__doc__ or "")  # the source of those that name no other
    assert thresholds.FAST_PACE_S < thresholds.PACE_S
    assert thresholds.WINDOW_S < thresholds.MAX_WINDOW_S
    assert thresholds.RWND_HINT_PERCENT < thresholds.RWND_FULL_PERCENT < thresholds.RWND_PERCENT
    assert thresholds.APP_PERCENT < thresholds.APP_ALWAYS_PERCENT
    assert thresholds.WINDOW_SHRINKS_PERCENT < thresholds.WINDOW_MOVES_PERCENT
    assert thresholds.RECEIVE_QUEUE_HINT_PERCENT < thresholds.RECEIVE_QUEUE_PERCENT
    assert thresholds.WINDOW_CLOSED_PERCENT < thresholds.WINDOW_OPEN_PERCENT
    assert thresholds.SNDBUF_FULL_PERCENT / 100 >= 0.66  # sk_stream_is_writeable()
