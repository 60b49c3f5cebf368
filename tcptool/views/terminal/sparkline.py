"""A history as one row of bars."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_BARS: Final = "▁▂▃▄▅▆▇█"
_ASCII: Final = "_.-=*#"


def sparkline(values: Iterable[float | None], width: int, *, unicode: bool = True) -> str:
    """The last ``width`` values, scaled between their least and their greatest; a gap for none."""
    bars = _BARS if unicode else _ASCII
    shown = list(values)[-width:] if width > 0 else []
    known = [value for value in shown if value is not None]
    low, span = min(known, default=0), max(known, default=0) - min(known, default=0)

    def bar(value: float | None) -> str:
        if value is None:
            return " "
        return bars[int((value - low) / span * (len(bars) - 1))] if span else bars[0]

    return "".join(map(bar, shown))
