"""`list` into a pipe: a heading, then one line a socket, in the unit that the heading names.

Columns have fixed least widths, so that rows can stream; nothing is ever cut off.
"""

from __future__ import annotations

from typing import IO, Any, Final

from tcptool.catalog.columns import ID, NUMBER, Column
from tcptool.decode.projection import Rendering
from tcptool.model.socket_list import SocketList
from tcptool.views.clean import clean_word
from tcptool.views.look import Look

RENDERING: Final = Rendering(
    text=clean_word,
    many=lambda values: ",".join(map(str, values)) or "-",
    quote="",
    absent="-",
    unlimited="unlimited",
)


def write(report: SocketList, out: IO[str], look: Look) -> None:
    """Write the heading and the rows as they come."""
    template = _template(report.columns)
    out.write(template % tuple(column.name for column in report.columns))
    for batch in report.batches:
        out.write("".join([template % row for row in batch]))


def _template(columns: tuple[Column, ...]) -> str:
    cells = [f"%{_alignment(column)}{_width(column)}s" for column in columns]
    # The last column is not padded on the right: no spaces at the end of a line.
    cells[-1] = "%s" if _alignment(columns[-1]) else cells[-1]
    return "  ".join(cells) + "\n"


def _alignment(column: Column) -> str:
    return "" if column.kind in (NUMBER, ID) else "-"


def _width(column: Column) -> int:
    return max(column.width, len(column.name))


def cell(value: Any) -> str:
    """One value of a report row that was not rendered by a projection."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return clean_word(value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)
