"""`options` on a terminal: units beside the values, long cells cut, and columns that give way."""

from __future__ import annotations

from typing import IO, Final

from tcptool.catalog.options import Codec
from tcptool.model.option_report import OptionsReport, OptionSurvey
from tcptool.units import Unit
from tcptool.views.clean import clean
from tcptool.views.look import Look
from tcptool.views.terminal.console import plain_micro
from tcptool.views.text.options import COLUMNS, aligned, default_cell, range_cell

_SHOWN: Final = tuple(name for name in COLUMNS if name != "unit")

_LESS_IMPORTANT: Final = ("needs", "here", "may_set", "inherited", "range")
"""Columns that give way on a narrow terminal, the first of them first."""

_LONGEST: Final = {"default": 10, "range": 18}
"""Widest cells: so the table of all options fits 80 columns."""

_SYMBOLS: Final = {
    Unit.BYTES: " B",
    Unit.PACKETS: " pkt",
    Unit.MICROSECONDS: " µs",
    Unit.MILLISECONDS: " ms",
    Unit.SECONDS: " s",
    Unit.BYTES_PER_SECOND: " B/s",
}


def write(report: OptionsReport, out: IO[str], look: Look) -> None:
    """Write a heading and a line for each option; a last line says what was left out."""
    names, hidden = list(_SHOWN), []
    lines = _table(report, names, look)
    for name in _LESS_IMPORTANT:
        if max(map(len, lines)) <= look.width:
            break
        names.remove(name)
        hidden.append(name)
        lines = _table(report, names, look)
    bold, plain = ("\x1b[1m", "\x1b[0m") if look.color else ("", "")
    lines[0] = f"{bold}{lines[0]}{plain}"
    count = len(report.options)
    lines.append(
        f"{count} option{'' if count == 1 else 's'}; `tcptool options NAME` shows one in full"
    )
    if hidden:
        lines.append(f"no room for {', '.join(hidden)} (a wider terminal)")
    out.writelines(f"{line}\n" for line in lines)


def _table(report: OptionsReport, names: list[str], look: Look) -> list[str]:
    rows = [[_cell(option, name, look) for name in names] for option in report.options]
    return list(aligned([names, *rows]))


def _cell(option: OptionSurvey, name: str, look: Look) -> str:
    if name not in _LONGEST:
        return COLUMNS[name](option)
    text = clean(default_cell(option) if name == "default" else range_cell(option))
    if any(character.isdigit() for character in text) and option.kind in _NUMERIC:
        text += _SYMBOLS.get(Unit(option.unit), "")
    text = plain_micro(text, look)
    more = "…" if look.unicode else "..."
    longest = _LONGEST[name]
    return text if len(text) <= longest else text[: longest - len(more)] + more


_NUMERIC: Final = frozenset({Codec.INT, Codec.UINT, Codec.UINT64, Codec.TIMEVAL})
