"""`undo --list` as text: a line for each socket; for people grouped by command."""

from __future__ import annotations

from typing import IO, Final

from tcptool.model.undo import UndoEntry, UndoList, UndoSocket
from tcptool.views.clean import clean, clean_word
from tcptool.views.look import Look
from tcptool.views.text.changes import lines

_LISTED: Final = ("id", "time", "state", "socket", "cookie", "options", "command")


def write_list(report: UndoList, out: IO[str], look: Look) -> None:
    """Write a line for each socket of each command."""
    out.writelines(lines([_LISTED, *(_listed(e, s) for e in report.entries for s in e.sockets)]))


def write_list_for_people(report: UndoList, out: IO[str], look: Look) -> None:
    """Write a line for each command and its sockets below."""
    for entry in report.entries:
        out.write(f"{entry.id}  {entry.time}  {entry.state:<11}  {clean(entry.command)}\n")
        for sock in entry.sockets:
            note = f" ({clean(sock.note)})" if sock.note else ""
            out.write(f"    {sock.state:<11}  {clean(sock.label)}{note}\n")
    if not report.entries:
        out.write("Nothing was changed yet.\n")


def _listed(entry: UndoEntry, sock: UndoSocket) -> tuple[str, ...]:
    return (
        entry.id,
        entry.time,
        sock.state,
        clean_word(sock.label),
        f"sk:{sock.cookie}",
        clean_word(",".join(sock.options)),
        clean(entry.command),
    )
