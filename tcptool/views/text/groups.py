"""`list --by`: one line a group, aligned; on a terminal with units."""

from __future__ import annotations

from dataclasses import fields
from typing import IO, Any, Final

from tcptool.model.socket_list import Group, GroupList
from tcptool.units import Unit, human, split_unit
from tcptool.views.clean import clean
from tcptool.views.look import Look
from tcptool.views.text.list import cell


def write(report: GroupList, out: IO[str], look: Look) -> None:
    """Write a heading and the groups."""
    names = [f.name for f in fields(Group)]
    heading = [report.by, *names[1:]]
    rows = [[cell(getattr(group, name)) for name in names] for group in report.groups]
    write_table([heading, *rows], out)


_HEADINGS: Final = {
    "sockets": "sockets",
    "established": "estab",
    "receive_queue_bytes": "recv-q",
    "send_queue_bytes": "send-q",
    "median_rtt_us": "rtt p50",
    "max_rtt_us": "rtt max",
    "sent_bytes": "sent",
    "received_bytes": "recv",
    "retrans_percent": "retrans",
}


def write_for_people(report: GroupList, out: IO[str], look: Look) -> None:
    """The same with units in the values instead of the heading."""
    rows = [
        [
            "-" if group.group is None else clean(str(group.group)),
            *(_person(getattr(group, name), split_unit(name)[1]) for name in _HEADINGS),
        ]
        for group in report.groups
    ]
    if not look.unicode:
        rows = [[text.replace("µ", "u") for text in row] for row in rows]
    write_table([[report.by, *_HEADINGS.values()], *rows], out)


def _person(value: Any, unit: Unit) -> str:
    if value is None:
        return "-"
    return clean(value) if isinstance(value, str) else human(value, unit)


def write_table(rows: list[list[str]], out: IO[str]) -> None:
    """Columns as wide as their widest cell, the first one to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        first, *others = (
            f"{text:{'<' if i == 0 else '>'}{width}}"
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        out.write("  ".join([first, *others]).rstrip() + "\n")
