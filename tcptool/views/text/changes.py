"""`apply`, `verify` and `undo` as text: one line an option, under a heading.

In a pipe every cell is one word in the option's unit; for people sizes and times are readable,
and the socket stands above its lines.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Final

from tcptool.catalog.options import OptionValue
from tcptool.model.change import Change, ChangedSocket, ChangeReport
from tcptool.units import Unit, human
from tcptool.views.clean import clean, clean_word
from tcptool.views.inspect_sections import ABSENT, value_words
from tcptool.views.look import Look

_VALUES: Final = ("option", "before", "requested", "effective", "outcome")


def write(report: ChangeReport, out: IO[str], look: Look) -> None:
    """Write the rows of every socket under one heading; a note ends its line."""
    rows = (
        (clean_word(sock.name), *_raw(change), clean(change.note) or ABSENT)
        for sock in report.sockets
        for change in sock.changes
    )
    out.writelines(lines([("socket", *_VALUES, "note"), *rows]))


def write_for_people(report: ChangeReport, out: IO[str], look: Look) -> None:
    """Write a paragraph for each socket, and how to undo what was done."""
    if report.sockets and not any(sock.holders for sock in report.sockets):
        out.writelines(_side_by_side(report.sockets, look))
    else:
        for sock in report.sockets:
            out.writelines(_paragraph(sock, look, advice_first=report.action == "undo"))
    if report.dry_run:
        out.write("A dry run: nothing was set.\n")
    elif report.undo_id and report.action == "apply":
        out.write(f"To put it back: tcptool undo {report.undo_id}\n")


def _paragraph(sock: ChangedSocket, look: Look, *, advice_first: bool) -> Iterator[str]:
    bold, plain = ("\x1b[1m", "\x1b[0m") if look.color else ("", "")
    holders = ", ".join(f"{h.pid}:{h.fd} ({h.process})" for h in sock.holders)
    yield f"{bold}{clean(holders)}  {sock.state}  {clean(f'{sock.local} - {sock.peer}')}{plain}\n"
    advice = [line for text in sock.advice for line in _wrapped(clean(text), look, "  ")]
    if advice_first:
        yield from advice
    rows = [_VALUES, *(_shown(change) for change in sock.changes)]
    notes = ["", *(clean(change.note) for change in sock.changes)]
    for line, note in zip(lines(rows), notes, strict=True):
        yield f"  {line}"
        yield from _wrapped(note, look, "      ")
    if not advice_first:
        yield from advice


def _side_by_side(sockets: Sequence[ChangedSocket], look: Look) -> Iterator[str]:
    """Sockets of our own, on which the same was tried: a column for each."""
    yield "Tried on sockets of tcptool's own; nobody else's was touched.\n"
    table = [("option", "requested", *(f"{sock.name} socket" for sock in sockets))]
    notes: dict[str, list[str]] = {}
    for row in zip(*(sock.changes for sock in sockets), strict=True):
        asked = _for_people(row[0].requested, Unit(row[0].unit))
        effects = (f"{_for_people(c.effective, Unit(c.unit))} {c.outcome}" for c in row)
        table.append((clean(row[0].option), asked, *effects))
        for sock, change in zip(sockets, row, strict=True):
            if change.note:
                notes.setdefault(f"{change.option}: {change.note}", []).append(sock.name)
    yield from (f"  {line}" for line in lines(table))
    for note, names in notes.items():
        where = "" if len(names) == len(sockets) else f" ({', '.join(names)})"
        yield from _wrapped(clean(note + where), look, "  ")
    for text in dict.fromkeys(text for sock in sockets for text in sock.advice):
        yield from _wrapped(clean(text), look, "  ")


def _wrapped(text: str, look: Look, indent: str) -> Iterator[str]:
    width = min(max(look.width, 40), 100)
    for line in textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent):
        yield line + "\n"


def _raw(change: Change) -> tuple[str, ...]:
    values = (change.before, change.requested, change.effective)
    cells = (ABSENT if value is None else clean_word(value_words(value)) for value in values)
    return (clean_word(change.option), *cells, change.outcome)


def _shown(change: Change) -> tuple[str, ...]:
    values = (change.before, change.requested, change.effective)
    cells = (_for_people(value, Unit(change.unit)) for value in values)
    return (clean(change.option), *cells, change.outcome)


def _for_people(value: OptionValue | None, unit: Unit) -> str:
    if value is None:
        return ABSENT
    if isinstance(value, int) and not isinstance(value, bool):
        return human(value, unit)
    return clean(value_words(value))


def lines(rows: Sequence[Iterable[str]]) -> Iterator[str]:
    """The rows in columns; the last one has no width."""
    table = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip() + "\n"
