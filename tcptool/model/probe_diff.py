"""What two saved results of `probe` differ in."""

from __future__ import annotations

from dataclasses import dataclass, field

from tcptool.model.comparison import Comparison
from tcptool.model.report import Host, Missing, Warning


@dataclass(frozen=True, slots=True)
class Origin:
    """Where and when a saved result was measured."""

    file: str
    host: str
    kernel: str
    time: str
    tcptool: str


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number in ``unit``, which is empty for one that has none."""

    value: float | None
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One figure of both results: ``before`` and ``after`` are medians, of the first and second.

    ``outcome`` is how much more or less the second has.  ``worse`` if that is a difference, and
    one for the worse.
    """

    of: str
    metric: str
    before: Quantity
    after: Quantity
    outcome: Comparison
    worse: bool


@dataclass(frozen=True, slots=True)
class Circumstance:
    """Something besides the figures that is not the same in both."""

    what: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeDiff:
    """The result of `probe diff`.  Less than ``threshold_percent`` is no difference."""

    kind: str
    before: Origin
    after: Origin
    threshold_percent: float
    changes: tuple[Change, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    circumstances: tuple[Circumstance, ...]
    host: Host = field(metadata={"internal": True})
    missing: list[Missing] = field(metadata={"internal": True})
    warnings: list[Warning] = field(metadata={"internal": True})
