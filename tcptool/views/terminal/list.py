"""`list` on a terminal: values with units; columns that do not fit give way and are named.

The rows are gathered first, since the widths follow from them.
"""

from __future__ import annotations

import math
from typing import IO, Any, Final

from rich.text import Text

from tcptool.catalog.columns import ID, NUMBER, Column, title
from tcptool.decode.projection import Rendering
from tcptool.model.socket_list import SocketList
from tcptool.units import human
from tcptool.views.clean import clean
from tcptool.views.look import Look
from tcptool.views.terminal.console import console, plain_micro

RENDERING: Final = Rendering(
    text=clean,
    many=lambda values: ", ".join(map(str, values)) or "-",
    quote="",
    absent=None,
    unlimited=math.inf,
)

_LESS_IMPORTANT: Final = (
    "protocol",
    "snd_cwnd_packets",
    "receive_queue_bytes",
    "send_queue_bytes",
    "limited_by",
    "process",
    "retrans_percent",
    "rtt_us",
    "holders",
)
"""Columns that give way on a narrow terminal, the first of them first."""

_STATE_STYLES: Final = {
    "established": "green",
    "listen": "cyan",
    "close-wait": "yellow",
    "syn-sent": "yellow",
    "syn-recv": "yellow",
    "last-ack": "yellow",
}


def write(report: SocketList, out: IO[str], look: Look) -> None:
    """Write a heading and the rows; a last line says how many, and what was left out."""
    columns = report.columns
    rows = [
        [plain_micro(cell(value, column), look) for value, column in zip(row, columns, strict=True)]
        for batch in report.batches
        for row in batch
    ]
    titles = headings(columns)
    widths = [max(map(len, cells)) for cells in zip(titles, *rows, strict=True)]
    shown, hidden = fitting(columns, widths, look.width)
    screen = console(out, look)

    def line(cells: list[str], style: str = "") -> Text:
        text = Text(style=style, no_wrap=True, overflow="crop")
        for place, i in enumerate(shown):
            padding = (
                ""
                if place == len(shown) - 1 and _left(columns[i])
                else align(columns[i], widths[i])
            )
            text.append(f"{cells[i]:{padding}}", _style(columns[i], cells[i]) if not style else "")
            text.append("" if place == len(shown) - 1 else "  ")
        return text

    screen.print(line(titles, "bold"), soft_wrap=True)
    for row in rows:
        screen.print(line(row), soft_wrap=True)
    screen.print(_footer(len(rows), [titles[i] for i in hidden]), style="dim")


def headings(columns: tuple[Column, ...]) -> list[str]:
    """Titles; the full name where two columns would share one, as of packets and of bytes."""
    titles = [title(column) for column in columns]
    return [
        column.name if titles.count(text) > 1 else text
        for column, text in zip(columns, titles, strict=True)
    ]


def _footer(count: int, hidden: list[str]) -> str:
    footer = f"{count} socket{'' if count == 1 else 's'}"
    if hidden:
        footer += f"; no room for {', '.join(hidden)} (a wider terminal, or --columns)"
    return footer


def fitting(
    columns: tuple[Column, ...], widths: list[int], width: int
) -> tuple[list[int], list[int]]:
    """Indices of the columns to show, and of those that give way."""
    shown, hidden = list(range(len(columns))), []
    for name in _LESS_IMPORTANT:
        if sum(widths[i] + 2 for i in shown) - 2 <= width:
            break
        giving_way = [i for i in shown if columns[i].name == name]
        hidden += giving_way
        shown = [i for i in shown if i not in giving_way]
    return shown, sorted(hidden)


def cell(value: Any, column: Column) -> str:
    """A value with its unit."""
    if value is None:
        return "-"
    if value == math.inf:
        return "unlimited"
    if isinstance(value, str) or column.kind == ID:
        return str(value)
    return human(value, column.unit)


def _left(column: Column) -> bool:
    return column.kind not in (NUMBER, ID)


def align(column: Column, width: int) -> str:
    """The format of a cell that is as wide as its column."""
    return f"{'<' if _left(column) else '>'}{width}"


def _style(column: Column, cell: str) -> str:
    if cell == "-":
        return "dim"
    if column.name == "state":
        return _STATE_STYLES.get(cell, "")
    alarming = column.name == "retrans_percent" and cell not in ("0 %", "-")
    return "yellow" if alarming else ""
