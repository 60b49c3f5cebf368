"""Guess what was meant by a word that is not known."""

from __future__ import annotations

from collections.abc import Iterable

LONGEST = 40
"""Longer words are cut before they are compared: the time grows with the square."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean rtt or rto?``, or nothing when nothing is close."""
    import difflib  # costs 3 ms; only errors need it

    close = difflib.get_close_matches(word[:LONGEST], list(known), n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(close)}?" if close else ""
