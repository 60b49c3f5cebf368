"""Text from other processes is hostile: make it harmless before anything shows it.

A process may call itself anything: escape sequences that clear the screen, markup, line
breaks, invisible characters that turn the reading direction.
"""

from __future__ import annotations

from functools import lru_cache


@lru_cache(maxsize=4096)
def clean(text: str) -> str:
    r"""The text with everything that is not printable written as an escape (``\x1b``)."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )


@lru_cache(maxsize=4096)
def clean_word(text: str) -> str:
    r"""The same as one word: a space becomes ``\x20``, so that columns stay columns."""
    return clean(text).replace(" ", r"\x20") or '""'


def clean_lines(text: str) -> str:
    """Clean a message of several lines line by line."""
    return "\n".join(map(clean, text.split("\n")))
