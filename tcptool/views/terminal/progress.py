"""One line on stderr that says how far a long run is; it is gone when the run is over.

Never raises: a terminal that went away must not end a measurement.  No thread: it draws only
when it is told something, and then seldom, since drawing takes time from what is measured.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self, TextIO

from tcptool.views.clean import clean

_SILENT_S: Final = 1.0
"""A shorter wait does not break the flow of thought (Nielsen, Usability Engineering, 1993)."""
_REDRAW_S: Final = 0.2
"""Figures that change more often cannot be read; a line takes 8 us."""
_BAR_CELLS: Final = 20
_WIDTH: Final = 80
"""Where the terminal does not tell."""
_ERASE_REST: Final = "\x1b[K"


class Progress:
    """Called with the share that is done, 0 to 1, and a few words.  ``clock`` is monotonic."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock = stream, clock
        unicode = (stream.encoding or "").lower().startswith("utf")
        self._full, self._empty = ("█", "░") if unicode else ("#", ".")
        self._next_s = 0.0
        self._drawn = False
        self._start_s = self._start_share = 0.0
        self._last_share = math.inf

    def __enter__(self) -> Self:
        self._next_s = self._clock() + _SILENT_S
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._drawn:
            self._write("")

    def __call__(self, share: float, text: str) -> None:
        """Draw, unless it is too early for that."""
        now_s = self._clock()
        share = min(max(share, 0.0), 1.0)
        if share < self._last_share:  # a new phase: its pace is not known yet
            self._start_s, self._start_share = now_s, share
        self._last_share = share
        if now_s >= self._next_s:
            self._next_s = now_s + _REDRAW_S
            self._drawn = True
            self._write(self._line(share, self._left_s(now_s, share), text))

    def _left_s(self, now_s: float, share: float) -> float | None:
        """How long it still takes if it goes on like this."""
        gained = share - self._start_share
        return (now_s - self._start_s) * (1 - share) / gained if gained > 0 else None

    def _line(self, share: float, left_s: float | None, text: str) -> str:
        """The bar gives way before the words do."""
        done = int(share * _BAR_CELLS)
        left = "" if left_s is None else f"  ETA {_duration(left_s)}"
        words = f"{share:4.0%}{left}  {clean(text)}".rstrip()
        width = self._width() - 1  # in the last column the cursor would go to the next line
        if len(words) + _BAR_CELLS + 1 <= width:
            words = f"{self._full * done}{self._empty * (_BAR_CELLS - done)} {words}"
        return words[:width]

    def _width(self) -> int:
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or _WIDTH
        except (OSError, ValueError):
            return _WIDTH

    def _write(self, line: str) -> None:
        """In place of the line that stood there."""
        try:
            self._stream.write(f"\r{line}{_ERASE_REST}")
            self._stream.flush()
        except (OSError, ValueError):  # full or gone; closed
            self._next_s = math.inf


def _duration(seconds: float) -> str:
    """``45 s``, ``2:05 min``, ``1:02 h``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}:{rest:02} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02} h"
