"""How an answer is to look, as far as the caller decided it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Look:
    """``width`` in character cells; ``pretty`` indents JSON; ``unicode`` allows more than ASCII."""

    width: int = 80
    color: bool = False
    pretty: bool = False
    unicode: bool = True
    explain: bool = False
