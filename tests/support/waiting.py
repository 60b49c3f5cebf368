"""Waiting for something that happens elsewhere, without guessing how long it takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(predicate: Callable[[], T], deadline_s: float = 5.0) -> T:
    """Call ``predicate`` until its result is true, and return that result.

    Raises TimeoutError after ``deadline_s`` seconds, with the last result in its text.
    """
    end = time.monotonic() + deadline_s
    pause_s = 0.0005  # most events are there within a millisecond; the rest must not cost CPU
    while not (result := predicate()):
        if time.monotonic() >= end:
            raise TimeoutError(f"still {result!r} after {deadline_s} s: {predicate}")
        time.sleep(pause_s)
        pause_s = min(pause_s * 2, 0.05)
    return result
