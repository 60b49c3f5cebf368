"""The journal of changes as lines of JSON, and what a file of them says.

Every line stands for itself and is complete or worthless: a program that was killed in the
middle of one, or a full disk, leaves a line that does not end in ``}``, which no reader takes
for a shorter one.  ``replay`` reads any bytes; what it does not understand is counted.

    plan    one socket of a command, written before anything is changed
    done    what became of some changes of one socket
    undoing options of one socket are about to be put back
    undone  that has ended: the options that were put back
    gone    the socket does not exist any more

It must not open a file and must not know what an option means.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from tcptool.model.journal import (
    DoneChange,
    JournalEntry,
    PlannedChange,
    SocketEntry,
    SocketIdentity,
)

_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_ID: Final = re.compile(rb'"id":"([0-9a-z]{1,16})"')
_COOKIE: Final = re.compile("[0-9a-f]{1,16}")
_LATEST_S: Final = 253_402_300_800
"""Year 10000, beyond which no calendar of Python goes."""

_MAX_ERRNO: Final = 4095
"""MAX_ERRNO of include/linux/err.h."""


class _Unreadable(Exception):
    """A line that tcptool has not written, or not to its end."""


def entry_id(time_s: float, tail: bytes) -> str:
    """A new id: milliseconds since the epoch in base 36, so that ids sort by time until 2059.

    ``tail`` is the end of the journal: the id is above every one in it, even if the clock was
    set back.
    """
    used = (int(found, 36) for found in _ID.findall(tail))
    number = max(int(time_s * 1000), 1 + max(used, default=0))
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
    return text


# -- writing -------------------------------------------------------------------------------


def plan_lines(entry: JournalEntry) -> bytes:
    """The lines that plan a command: one for each socket."""
    about = {"id": entry.id, "time_s": entry.time_s, "boot": entry.boot, "command": entry.command}
    return b"".join(
        _line("plan", about | {"socket": _identity(one.identity), "changes": _planned(one.planned)})
        for one in entry.sockets
    )


def done_line(entry: str, cookie: str, changes: Iterable[DoneChange]) -> bytes:
    """What became of some planned changes of one socket."""
    made = [
        {"option": c.option, "after": _hex(c.after), "errno": c.errno, "kept": _hexes(c.kept)}
        for c in changes
    ]
    return _line("done", {"id": entry, "cookie": cookie, "changes": made})


def undoing_line(entry: str, cookie: str) -> bytes:
    """Options of one socket are about to be put back."""
    return _line("undoing", {"id": entry, "cookie": cookie})


def undone_line(entry: str, cookie: str, options: Sequence[str]) -> bytes:
    """An undo of one socket has ended: the options that were put back."""
    return _line("undone", {"id": entry, "cookie": cookie, "options": list(options)})


def gone_line(entry: str, cookie: str) -> bytes:
    """The socket does not exist any more."""
    return _line("gone", {"id": entry, "cookie": cookie})


def _line(event: str, about: Mapping[str, Any]) -> bytes:
    return json.dumps({"event": event, **about}, separators=(",", ":")).encode() + b"\n"


def _identity(identity: SocketIdentity) -> dict[str, Any]:
    return {name: getattr(identity, name) for name in _IDENTITY}


_IDENTITY: Final = {
    "netns_cookie": (str, type(None)),
    "cookie": (str,),
    "inode": (int,),
    "pid": (int,),
    "start_ticks": (int,),
    "fd": (int,),
    "label": (str,),
}
"""The fields of ``SocketIdentity`` and what they may hold."""


def _planned(changes: Iterable[PlannedChange]) -> list[dict[str, Any]]:
    return [
        {
            "option": c.option,
            "before": _hex(c.before),
            "requested": c.requested.hex(),
            "kept": _hexes(c.kept),
        }
        for c in changes
    ]


def _hex(raw: bytes | None) -> str | None:
    return None if raw is None else raw.hex()


def _hexes(values: Mapping[str, bytes]) -> dict[str, str]:
    return {name: raw.hex() for name, raw in values.items()}


# -- reading -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Replay:
    """What a journal says, oldest command first.

    ``damaged`` counts the lines that could not be read, a torn one at the end included.
    """

    entries: tuple[JournalEntry, ...]
    damaged: int = 0


def replay(data: bytes) -> Replay:
    """Everything that the bytes of a journal say, whatever bytes they are."""
    heads: dict[str, JournalEntry] = {}
    sockets: dict[str, dict[str, SocketEntry]] = {}
    damaged = 0
    for line in data.split(b"\n"):
        try:
            if line:
                _take(_record(line), heads, sockets)
        except _Unreadable:
            damaged += 1
    entries = (replace(head, sockets=tuple(sockets[name].values())) for name, head in heads.items())
    return Replay(tuple(entries), damaged)


def _record(line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise _Unreadable from exc
    if not isinstance(record, dict):
        raise _Unreadable
    return record


def _take(
    record: dict[str, Any],
    heads: dict[str, JournalEntry],
    sockets: dict[str, dict[str, SocketEntry]],
) -> None:
    """Add what one line says.  Raises before anything is changed."""
    event, name = _get(record, "event", str), _get(record, "id", str)
    if event == "plan":
        time_s = _get(record, "time_s", int, float)
        if not 0 <= time_s < _LATEST_S:
            raise _Unreadable
        head = JournalEntry(
            id=name,
            time_s=float(time_s),
            command=_get(record, "command", str),
            sockets=(),
            boot=_get(record, "boot", str),
        )
        planned = SocketEntry(
            identity=_read_identity(_get(record, "socket", dict)),
            planned=tuple(_read_planned(change) for change in _get(record, "changes", list)),
        )
        heads.setdefault(name, head)
        sockets.setdefault(name, {}).setdefault(planned.identity.cookie, planned)
        return
    cookie = _get(record, "cookie", str)
    known = sockets.get(name, {}).get(cookie)
    if known is None:
        raise _Unreadable  # its plan is missing: the line says nothing that could be used
    if event == "done":
        made = tuple(_read_done(change) for change in _get(record, "changes", list))
        newer = {change.option for change in made}
        older = tuple(change for change in known.done if change.option not in newer)
        known = replace(known, done=older + made)
    elif event == "undoing":
        known = replace(known, undoing=True)
    elif event == "undone":
        names = _get(record, "options", list)
        if not all(isinstance(option, str) for option in names):
            raise _Unreadable
        undone = tuple(dict.fromkeys((*known.undone, *names)))
        known = replace(known, undone=undone, undoing=False)
    elif event == "gone":
        known = replace(known, gone=True)
    else:
        raise _Unreadable
    sockets[name][cookie] = known


def _get(record: Any, key: str, *kinds: type) -> Any:
    """A value of the right type: a bool is no number here."""
    value = record.get(key) if isinstance(record, dict) else None
    if type(value) not in kinds:
        raise _Unreadable
    return value


def _read_identity(record: dict[str, Any]) -> SocketIdentity:
    known = {name: _get(record, name, *types) for name, types in _IDENTITY.items()}
    if not all(_COOKIE.fullmatch(known[name] or "0") for name in ("cookie", "netns_cookie")):
        raise _Unreadable
    return SocketIdentity(**known)


def _read_planned(record: Any) -> PlannedChange:
    return PlannedChange(
        option=_get(record, "option", str),
        before=_read_hex(_get(record, "before", str, type(None))),
        requested=_bytes(_get(record, "requested", str)),
        kept=_read_hexes(_get(record, "kept", dict)),
    )


def _read_done(record: Any) -> DoneChange:
    errno = _get(record, "errno", int)
    if not 0 <= errno <= _MAX_ERRNO:
        raise _Unreadable
    return DoneChange(
        option=_get(record, "option", str),
        after=_read_hex(_get(record, "after", str, type(None))),
        errno=errno,
        kept=_read_hexes(_get(record, "kept", dict)),
    )


def _read_hexes(record: dict[str, Any]) -> dict[str, bytes]:
    return {name: _bytes(_get(record, name, str)) for name in record}


def _read_hex(text: str | None) -> bytes | None:
    return None if text is None else _bytes(text)


def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as exc:
        raise _Unreadable from exc
