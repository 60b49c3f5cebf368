"""Reports of `diagnose`: what holds connections back, with evidence."""

from __future__ import annotations

from dataclasses import dataclass, field

from tcptool.catalog.severity import Severity
from tcptool.model.inspection import HolderRecord
from tcptool.model.observation import Measures
from tcptool.model.report import Host, Missing, Warning
from tcptool.model.sock import Endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """One thing to do.

    ``who`` does it: application, host, peer or path; ``socket`` is done to this connection from
    outside.  ``command`` can be pasted; ``undo`` takes it back.  ``takes_effect``: ``now`` on
    this connection, ``new-connections``, or absent.
    """

    who: str
    text: str
    command: str | None = None
    undo: str | None = None
    takes_effect: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One thing that a wanted rate needs, against what is there.  Values are in ``unit``."""

    name: str
    unit: str
    needed: float = field(metadata={"unit": "unit"})
    present: float | None = field(metadata={"unit": "unit"})
    met: bool | None
    who: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What it takes to reach the rate that was asked for, and what is possible as it is.

    ``reachable`` is None where a requirement could not be checked and none fails.
    """

    rate_bytes_per_s: float
    goodput_bytes_per_s: float | None
    rtt_us: float | None
    reachable: bool | None
    requirements: tuple[Requirement, ...]
    offers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What holds one connection back.

    ``confidence`` is 0 to 1; below 0.5 the verdict is ``unclear`` and ``leaning`` names it.
    ``evidence`` quotes field names and values, ``not_this`` what was looked at and is not it.
    ``side``: whether this end mostly sends or receives.  ``again`` is absent where it has ended.
    """

    handle: str
    protocol: str
    family: str
    state: str
    local: Endpoint
    peer: Endpoint
    cookie: str | None
    holders: tuple[HolderRecord, ...]
    other_handle: str | None
    congestion: str | None
    side: str | None
    verdict: str
    leaning: str | None
    headline: str
    confidence: float
    severity: Severity
    who: str
    evidence: tuple[str, ...]
    not_this: tuple[str, ...]
    cost: str | None
    advice: tuple[Advice, ...]
    notes: tuple[str, ...]
    again: str | None
    goal: Goal | None
    ended: bool
    measures: Measures


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """The first pass over many sockets: how many there were, and how many were sampled."""

    sockets: int
    suspects: int
    sampled: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnoseReport:
    """Diagnoses, worst first.  ``survey`` is absent when the target named one socket."""

    complete: bool
    survey: Survey | None
    diagnoses: tuple[Diagnosis, ...]
    host: Host = field(metadata={"internal": True})
    missing: list[Missing] = field(metadata={"internal": True})
    warnings: list[Warning] = field(metadata={"internal": True})
