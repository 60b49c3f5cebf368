"""What every report carries beside its data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Warning:
    """Something the reader should know before trusting the data.  ``id`` is stable."""

    id: str
    message: str


@dataclass(frozen=True, slots=True)
class Missing:
    """What could not be shown, why, and which right or kernel would show it."""

    what: str
    why: str
    needs: str


@dataclass(frozen=True, slots=True)
class Host:
    """Where and when a report was made.  ``time`` is UTC, ISO 8601 with milliseconds."""

    host: str
    kernel: str
    time: str
