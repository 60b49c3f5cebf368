"""`inspect` on a terminal: grouped panels that fit 80 columns and use more where there is more.

Marks are words and colours: `!` stands before a value that is worth a second look, and the
options that the owner set come first.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import IO, Final

from rich import box
from rich.columns import Columns
from rich.panel import Panel
from rich.text import Text

from tcptool.model.inspection import InspectReport
from tcptool.units import Unit, human
from tcptool.views.clean import clean
from tcptool.views.inspect_sections import ABSENT, Line, Section, sections
from tcptool.views.look import Look
from tcptool.views.terminal.console import console, plain_micro

_PAIRED_FROM: Final = 140
"""Width from which two panels stand side by side."""

_WHOLE_ROW: Final = frozenset({"options", "missing"})
"""Sections too long to stand beside another."""

_CELL: Final = 38
"""Width that a label and its value want."""


def write(report: InspectReport, out: IO[str], look: Look) -> None:
    """Write a headline and a panel for each section."""
    screen = console(out, look)
    screen.print(headline(report, look), soft_wrap=look.width < 60)
    paired = look.width >= _PAIRED_FROM and not look.explain
    narrow = look.width // 2 if paired else look.width
    for whole_row, group in groupby(sections(report), key=lambda s: s.name in _WHOLE_ROW):
        panels = [_panel(s, look.width if whole_row else narrow, look) for s in group]
        if paired and not whole_row:
            screen.print(Columns(panels, padding=(0, 0), width=narrow))
        else:
            for panel in panels:
                screen.print(panel)
    for warning in report.warnings:
        screen.print(Text(f"! {warning.message}", style="yellow"))


def headline(report: InspectReport, look: Look) -> Text:
    """The connection in one line: who, where, how it does."""
    inspection = report.inspection
    sock, info = inspection.socket, inspection.socket.tcp_info
    text = Text(overflow="fold")
    text.append(sock.state, "bold green" if sock.state == "established" else "bold yellow")
    arrow = "→" if look.unicode else "->"
    text.append(f"  {clean(str(sock.local))} {arrow} {clean(str(sock.peer))}", "bold")
    if inspection.holders:
        first = inspection.holders[0]
        text.append(f"  {clean(first.process)} {first.pid}:{first.fd}")
    if info is not None and info.rtt_us is not None:
        text.append(plain_micro(f"  rtt {human(info.rtt_us, Unit.MICROSECONDS)}", look))
    if inspection.derived.limited_by:
        text.append(f"  limited by {inspection.derived.limited_by}")
    return text


def _panel(section: Section, width: int, look: Look) -> Panel:
    inner = max(width - 4, 8)
    lines = [line for line in section.lines if line.shown != ABSENT]
    if section.name == "options":
        lines.sort(key=lambda line: not line.alarming)
    body = Text("\n", no_wrap=True, overflow="fold").join(_rows(lines, inner, look))
    shape = box.ROUNDED if look.unicode else box.ASCII
    title = Text(section.title, style="bold")
    return Panel(body, title=title, title_align="left", box=shape, border_style="dim", width=width)


def _rows(lines: Iterable[Line], width: int, look: Look) -> Iterator[Text]:
    """Short values share a row; a value with a note, or an explanation, has one of its own."""
    per_row = max(width // _CELL, 1)
    cell = width // per_row
    pending: list[Text] = []
    for line in lines:
        text = _cell(line, look)
        alone = bool(line.note) or len(text) > cell - 2 or look.explain
        if alone or len(pending) == per_row:
            yield from _joined(pending, cell)
            pending = []
        if alone:
            yield from _wrapped(text, width)
            if look.explain and line.doc:
                for row in textwrap.wrap(line.doc, max(width - 4, 8)):
                    yield Text(f"    {row}", style="dim italic")
        else:
            pending.append(text)
    yield from _joined(pending, cell)


def _joined(cells: list[Text], width: int) -> Iterator[Text]:
    if cells:
        row = Text()
        for cell in cells[:-1]:
            cell.pad_right(width - len(cell))
            row.append(cell)
        row.append(cells[-1])
        yield row


def _wrapped(text: Text, width: int) -> Iterator[Text]:
    """Cut a long value into rows; nothing is left out."""
    while len(text) > width:
        head, text = text.divide([width])
        yield head
    yield text


def _cell(line: Line, look: Look) -> Text:
    text = Text()
    text.append(f"{line.label:<22} ", "cyan")
    if line.alarming and not line.note:
        text.append("! ", "bold yellow")
    value = plain_micro(line.shown, look)
    nothing = value in ("0", "no") or value.startswith("0 ")
    text.append(value, "bold yellow" if line.alarming else "dim" if nothing else "")
    if line.note:
        text.append(f"  ({plain_micro(line.note, look)})", "yellow" if line.alarming else "dim")
    return text
