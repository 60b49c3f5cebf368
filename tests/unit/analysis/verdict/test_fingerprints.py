"""What was measured on real connections is judged as what it was: tests/data/diagnose."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from tcptool.catalog import thresholds as limits
from tcptool.catalog.verdicts import VERDICTS
from tests.unit.analysis.verdict.observations import judged, readings, receiver, sender

FOLDER = Path(__file__).resolve().parents[3] / "data" / "diagnose"
SCENARIOS = [
    pytest.param(scenario, id=f"{path.stem}: {scenario['name']}")
    for path in sorted(FOLDER.glob("*.toml"))
    for scenario in tomllib.loads(path.read_text())["scenario"]
]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_real_connection(scenario: dict[str, Any]) -> None:
    assert set(scenario) <= {"name", "verdicts", "options", "sender", "readings", "other"}
    assert set(scenario["verdicts"]) <= set(VERDICTS)
    own = sender(**scenario["sender"]) if "sender" in scenario else readings(**scenario["readings"])
    other = receiver(**scenario["other"]) if "other" in scenario else ()
    options = scenario.get("options")
    if options is not None:
        options = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    found = judged(own, other, options=options)
    assert found.verdict in scenario["verdicts"], (found.leaning, found.evidence)
    assert found.confidence >= limits.CLEAR
    assert found.evidence
