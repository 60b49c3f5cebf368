"""What comparing two measured quantities came to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How much more or less of a positive quantity one side has than its base.

    ``rounds`` is how many measured pairs were used; for two runs that do not pair, the rounds
    of the smaller.  ``effect_percent`` is the centre of the difference relative to the base: 100
    is twice as much, -50 half, None without a single pair.  With 95 % confidence it lies from
    ``low_percent`` to ``high_percent``, None where too few rounds set no bound.  ``p_percent``
    is how often chance alone gives a difference at least as clear.  ``noise_percent`` is the
    robust standard deviation of the ratio of a single pair, None for fewer than two.
    ``verdict`` is ``more``, ``less``, ``no-difference`` (none was shown, which does not make
    them equal: the bounds say what it could still be) or ``too-few`` (rounds for a verdict).
    """

    rounds: int
    effect_percent: float | None
    low_percent: float | None
    high_percent: float | None
    p_percent: float | None
    noise_percent: float | None
    verdict: str
