"""Run `tcptool diagnose` on a scenario, and apply its cure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tcptool.catalog.thresholds import RETRANS_PERCENT
from tests.lab.scenarios import Case
from tests.live.program import Run, tcptool


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the command said of one socket."""

    verdict: str
    confidence: float
    severity: str
    leaning: str | None
    """What it would be if it were surer, where it is unclear."""
    raw: dict[str, Any]

    def __str__(self) -> str:
        lines = [f"{self.verdict} ({self.severity}), confidence {self.confidence:.2f}"]
        lines += [f"  {name}: {value}" for name, value in self.raw.items()]
        return "\n".join(lines)


def look(case: Case, expected: frozenset[str], window_s: float) -> tuple[Diagnosis, frozenset[str]]:
    """What the command says, and what was true meanwhile.

    A relay that has to wait for a processor gets its packets in bunches, and its queue drops what
    the path would have carried.  The losses are real then: the relay's own counters say so.
    """
    dropped_before, entered_before = case.dropped()
    got = diagnose(case, window_s)
    dropped, entered = case.dropped()
    lossy = (dropped - dropped_before) * 100 > RETRANS_PERCENT * (entered - entered_before)
    if lossy and "path-rate" in expected:
        expected |= {"path-rate-with-loss"}
    return got, expected


def diagnose(case: Case, window_s: float) -> Diagnosis:
    """What the real command says, run as a process of its own."""
    done = tcptool("diagnose", case.target, "--for", f"{window_s:g}s", "--json")
    raw = done.data["diagnoses"][0]
    return Diagnosis(raw["verdict"], raw["confidence"], raw["severity"], raw["leaning"], raw)


def apply(case: Case, words: tuple[str, ...], state_home: str) -> Run:
    """Apply a cure, with a journal of its own, and wait until it shows."""
    done = tcptool("apply", case.cure_target, *words, env={"XDG_STATE_HOME": state_home})
    assert done.status == 0, done
    case.settle()
    return done
