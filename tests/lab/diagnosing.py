"""Run `tcptool diagnose` on a scenario, and apply its cure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.lab.scenarios import Case
from tests.live.program import Run, tcptool


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the command said of one socket."""

    verdict: str
    confidence: float
    severity: str
    raw: dict[str, Any]

    def __str__(self) -> str:
        lines = [f"{self.verdict} ({self.severity}), confidence {self.confidence:.2f}"]
        lines += [f"  {name}: {value}" for name, value in self.raw.items()]
        return "\n".join(lines)


def diagnose(case: Case, seconds: float = 3.0) -> Diagnosis:
    """The real command, as a process of its own.  A finding may end it with 1 (`--fail-on`)."""
    done = tcptool("diagnose", case.target, "--for", f"{seconds:g}s", "--json")
    raw = done.data["diagnoses"][0]
    return Diagnosis(raw["verdict"], raw["confidence"], raw["severity"], raw)


def apply(case: Case, words: tuple[str, ...], state_home: str) -> Run:
    """Apply a cure, with a journal of its own, and wait until it shows."""
    done = tcptool("apply", case.cure_target, *words, env={"XDG_STATE_HOME": state_home})
    assert done.status == 0, done
    case.settle()
    return done
