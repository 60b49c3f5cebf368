"""`list --json`: one document, written row by row as the rows come.

The warnings and what is missing are known when the last row has been read, so they stand
after the data.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import IO, Any, Final

from tcptool.catalog.columns import Column
from tcptool.decode.projection import Rendering
from tcptool.model.owner import Holder
from tcptool.model.socket_list import SocketList
from tcptool.views.json.document import dumps, head, to_json
from tcptool.views.look import Look

_text = lru_cache(maxsize=4096)(json.dumps)


def _many(values: tuple[Any, ...]) -> str:
    return "[" + ",".join([_holder(v) if isinstance(v, Holder) else _text(v) for v in values]) + "]"


def _holder(holder: Holder) -> str:
    process, fd = holder
    return f'{{"pid":{process.pid},"fd":{fd},"process":{_text(process.name)}}}'


RENDERING: Final = Rendering(
    text=_text,
    many=_many,
    quote='"',
    absent="null",
    unlimited='"unlimited"',
)


def write(report: SocketList, out: IO[str], look: Look) -> None:
    """Write the document; its rows are written as they come."""
    template = _template(report.columns)
    opening = dumps(head("list", report.host))
    row_start = ",\n  " if look.pretty else ","
    out.write(f'{opening[:-1]},"data":{{"sockets":[')
    count, before = 0, row_start.lstrip(",")
    for batch in report.batches:
        count += len(batch)
        out.write(before + row_start.join([template % row for row in batch]))
        before = row_start
    tail = {"warnings": to_json(report.warnings), "missing": to_json(report.missing)}
    out.write(f'],"count":{count}}},{dumps(tail)[1:]}\n')


def _template(columns: tuple[Column, ...]) -> str:
    """A row of the JSON text; ``%`` formatting is the fastest way that Python has."""
    return "{" + ",".join(f"{json.dumps(column.name)}:%s" for column in columns) + "}"
