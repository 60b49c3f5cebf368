"""The report of `undo --list`: what was changed, and what can still be put back."""

from __future__ import annotations

from dataclasses import dataclass, field

from tcptool.model.report import Host, Missing, Warning


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoSocket:
    """One socket of a command that changed it.

    ``state``: ``open`` (it can be put back), ``changed`` (its owner has changed it since),
    ``unreachable`` (nobody who holds it may be looked into), ``gone`` or ``undone``.
    """

    label: str
    cookie: str
    state: str
    options: tuple[str, ...]
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoEntry:
    """One command.  ``state`` is the first in the list above that one of its sockets has.

    ``time`` is UTC, ISO 8601 with milliseconds.
    """

    id: str
    time: str
    command: str
    state: str
    sockets: tuple[UndoSocket, ...]


@dataclass(frozen=True, slots=True)
class UndoList:
    """Every command that the journal knows, newest first."""

    entries: tuple[UndoEntry, ...]
    host: Host = field(metadata={"internal": True})
    missing: list[Missing] = field(metadata={"internal": True})
    warnings: list[Warning] = field(metadata={"internal": True})
