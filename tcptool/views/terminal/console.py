"""The rich console that every terminal view writes through.

Markup, emoji codes and highlighting are off: text from other processes must never be obeyed.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from tcptool.views.look import Look

if TYPE_CHECKING:
    from rich.console import Console


def console(out: IO[str], look: Look, *, resized: bool = False) -> Console:
    """A console of the look's width, with colour only if it asks for it.

    With ``resized`` the width is the terminal's at any time, for what is drawn more than once.
    """
    from rich.console import Console

    return Console(
        file=out,
        width=None if resized else look.width,
        force_terminal=True,
        color_system="standard" if look.color else None,
        no_color=not look.color,
        markup=False,
        emoji=False,
        highlight=False,
        legacy_windows=False,
        safe_box=not look.unicode,
    )


def plain_micro(text: str, look: Look) -> str:
    """``µs`` where the terminal can show it, ``us`` elsewhere."""
    return text if look.unicode else text.replace("µ", "u")
