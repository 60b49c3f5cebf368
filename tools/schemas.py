"""JSON Schemas of every document, from the records and catalogs that the documents show.

Draft 2020-12.  Every key of a record is required, because absent is null.  Further keys are
allowed: adding one does not change the version of a document.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import types
from collections.abc import Callable, Mapping
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from tcptool.actions.list import GROUPINGS
from tcptool.catalog import derived
from tcptool.catalog.columns import COLUMNS, COOKIE, HOLDERS, ID, NUMBER, Column, Info
from tcptool.catalog.columns import Derived as DerivedSource
from tcptool.catalog.profiles import Profile
from tcptool.catalog.registry import UNLIMITED, Member, members
from tcptool.catalog.states import Meaning
from tcptool.catalog.tcp_info import TcpInfo
from tcptool.errors import EXIT_MEANINGS
from tcptool.model.change import ChangeReport
from tcptool.model.connect import ConnectReport
from tcptool.model.diagnosis import DiagnoseReport
from tcptool.model.doctor import DoctorReport
from tcptool.model.explanation import Explanation
from tcptool.model.inspection import Derived, Inspection, Sample, WatchEnd
from tcptool.model.latency import LatencyReport
from tcptool.model.listeners import ListenersReport
from tcptool.model.option_report import OptionSurvey
from tcptool.model.pool_probe import PoolReport
from tcptool.model.probe import TransferReport
from tcptool.model.probe_diff import ProbeDiff
from tcptool.model.profile import ProfileEntry
from tcptool.model.report import Missing, Warning
from tcptool.model.serve import ServeEnd, ServeRestart, ServeStart, ServeStats
from tcptool.model.sock import Socket
from tcptool.model.socket_list import Group
from tcptool.model.undo import UndoList
from tcptool.units import split_unit

Schema = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
SIMPLE: Final[dict[Any, str]] = {
    int: "integer",
    float: "number",
    bool: "boolean",
    str: "string",
    types.NoneType: "null",
}
UNKNOWN: Final = "^unknown-[0-9]+$"
HEXADECIMAL: Final = "^[0-9a-f]+$"


def files() -> dict[str, str]:
    """Every schema by its file name."""
    made = {name: _Builder(name).document() for name in DATA}
    made["error"] = _error()
    return {f"{name}.json": json.dumps(schema, indent=1) + "\n" for name, schema in made.items()}


class _Builder:
    """One document; the records that it meets become its definitions."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._definitions: dict[str, Schema] = {}

    def document(self) -> Schema:
        data = DATA[self._name](self)
        keys: Schema = {
            "tcptool": {"type": "string", "description": "version of tcptool"},
            "time": {"type": "string", "format": "date-time", "description": "when, in UTC"},
            "host": {"type": "string", "description": "name of the host"},
            "kernel": {"type": "string", "description": "release of its kernel"},
            "data": data,
            "warnings": {"type": "array", "items": self.of(Warning)},
            "missing": {"type": "array", "items": self.of(Missing)},
        }
        document = _envelope(self._name, keys)
        document["$defs"] = dict(sorted(self._definitions.items()))
        return document

    def of(self, kind: Any) -> Schema:
        """The schema of a Python type; a record is referred to."""
        if kind in SIMPLE:
            return {"type": SIMPLE[kind]}
        if isinstance(kind, type) and issubclass(kind, enum.StrEnum):
            return {"enum": list(kind)}
        if dataclasses.is_dataclass(kind) and isinstance(kind, type):
            return self._record(kind)
        origin, inner = get_origin(kind), get_args(kind)
        if origin in (Union, types.UnionType):
            return _any_of([self.of(choice) for choice in inner])
        if origin in (tuple, list) and inner[1:] in ((), (...,)):
            return {"type": "array", "items": self.of(inner[0])}
        if origin is tuple:
            items = [self.of(item) for item in inner]
            return {"type": "array", "prefixItems": items, "items": False, "minItems": len(items)}
        if origin is Mapping:
            return {"type": "object", "additionalProperties": self.of(inner[1])}
        raise TypeError(f"{kind} has no place in a document")

    def define(self, name: str, schema: Schema) -> Schema:
        """Name a schema and refer to it."""
        self._definitions[name] = schema
        return {"$ref": f"#/$defs/{name}"}

    def _record(self, record: type) -> Schema:
        name = record.__name__
        if name not in self._definitions:
            self._definitions[name] = {}  # a record may hold itself
            hints = get_type_hints(record)
            keys = {
                f.name: self._field(record, f, hints[f.name])
                for f in dataclasses.fields(record)
                if not f.metadata.get("internal")
            }
            self._definitions[name] = _object(keys, _plain(record.__doc__))
        return {"$ref": f"#/$defs/{name}"}

    def _field(self, record: type, field: dataclasses.Field[Any], kind: Any) -> Schema:
        if "member" in field.metadata:
            return _member(field.name, field.metadata["member"])
        about: Schema = {}
        if record is Socket and field.name in COLUMNS:
            column = COLUMNS[field.name]
            if column.words or column.flags:
                return _column(column)
            about["description"] = column.doc
        elif record is Derived:
            about["description"] = _summary(getattr(derived, field.name, None))
        return {**self.of(kind), **_noted(field.name, about.get("description", ""))}


def _envelope(name: str, keys: Schema) -> Schema:
    identifier = f"tcptool.{name}/1"
    return {
        "$schema": DIALECT,
        "title": identifier,
        **_object({"schema": {"const": identifier}, **keys}),
    }


def _object(keys: Schema, description: str = "") -> Schema:
    about = {"description": description} if description else {}
    return {**about, "type": "object", "properties": keys, "required": list(keys)}


def _any_of(choices: list[Schema]) -> Schema:
    """Simple types in one list, the rest as alternatives."""
    plain = [choice["type"] for choice in choices if choice.keys() == {"type"}]
    others = [choice for choice in choices if choice.keys() != {"type"}]
    simple = [{"type": plain if len(plain) > 1 else plain[0]}] if plain else []
    both = [*others, *simple]
    return both[0] if len(both) == 1 else {"anyOf": both}


def _noted(name: str, doc: str, pitfall: str = "") -> Schema:
    """Description and unit, which the name ends in."""
    unit = split_unit(name)[1]
    text = ". Pitfall: ".join(filter(None, (doc.rstrip("."), pitfall)))
    return {**({"description": text} if text else {}), **({"x-unit": unit.value} if unit else {})}


def _plain(docstring: str | None) -> str:
    """A docstring as one paragraph without markup."""
    return " ".join((docstring or "").replace("``", "").split())


def _summary(function: Any) -> str:
    return (getattr(function, "__doc__", "") or "").partition("\n")[0]


def _word(table: dict[int, Meaning]) -> Schema:
    """A word of an enumeration, or what stands for a number that tcptool does not know."""
    known = [meaning.word for meaning in table.values()]
    return {"anyOf": [{"enum": known}, {"type": "string", "pattern": UNKNOWN}]}


def _enumeration(words: Any, flags: Any) -> Schema:
    if flags:
        return {"anyOf": [{"type": "array", "items": _word(flags)}, {"type": "null"}]}
    return {"anyOf": [*_word(words)["anyOf"], {"type": "null"}]}


def _member(name: str, member: Member) -> Schema:
    about = _noted(name, member.doc, member.pitfall)
    if member.words or member.flags:
        return {**_enumeration(member.words, member.flags), **about}
    if member.hexadecimal:
        return {"type": ["string", "null"], "pattern": HEXADECIMAL, **about}
    if member.unlimited is not None:
        return {"anyOf": [{"type": ["integer", "null"]}, {"const": UNLIMITED}], **about}
    return {"type": ["integer", "null"], **about}


def _column(column: Column) -> Schema:
    """The values of one column of `list`; any of them may be absent."""
    if isinstance(column.source, Info):
        return _member(column.name, members(TcpInfo)[column.source.field])
    about = _noted(column.name, column.doc)
    if column.words or column.flags:
        return {**_enumeration(column.words, column.flags), **about}
    if column.kind == HOLDERS:
        return {"type": ["array", "null"], "items": {"$ref": "#/$defs/Holder"}, **about}
    if column.kind == COOKIE:
        return {"type": ["string", "null"], "pattern": HEXADECIMAL, **about}
    if column.kind not in (NUMBER, ID):
        return {"type": ["string", "null"], **about}
    if isinstance(column.source, DerivedSource):
        returned = get_type_hints(column.source.function)["return"]
        return {"type": [SIMPLE[kind] for kind in get_args(returned)], **about}
    return {"type": ["integer", "null"], **about}


def _list(builder: _Builder) -> Schema:
    holder = _object({"pid": builder.of(int), "fd": builder.of(int), "process": builder.of(str)})
    builder.define("Holder", {"description": "One descriptor that refers to the socket.", **holder})
    row = {
        "type": "object",
        "description": "One socket.  The keys are the columns that were asked for, in that order.",
        "properties": {name: _column(column) for name, column in COLUMNS.items()},
    }
    rows = {"type": "array", "items": builder.define("Row", row)}
    return _object({"sockets": rows, "count": {"type": "integer", "description": "sockets shown"}})


def _groups(builder: _Builder) -> Schema:
    return _object(
        {"by": {"enum": list(GROUPINGS)}, "groups": {"type": "array", "items": builder.of(Group)}}
    )


DATA: Final[dict[str, Callable[[_Builder], Schema]]] = {
    "list": _list,
    "list-groups": _groups,
    "inspect": lambda builder: builder.of(Inspection),
    "inspect-watch": lambda builder: builder.of(Sample | WatchEnd),
    "listeners": lambda builder: builder.of(ListenersReport),
    "explain": lambda builder: builder.of(tuple[Explanation, ...]),
    "profiles": lambda builder: _object({"profiles": builder.of(tuple[ProfileEntry, ...])}),
    "profiles-show": lambda builder: builder.of(Profile),
    "options": lambda builder: builder.of(tuple[OptionSurvey, ...]),
    "diagnose": lambda builder: builder.of(DiagnoseReport),
    "doctor": lambda builder: builder.of(DoctorReport),
    "apply": lambda builder: builder.of(ChangeReport),
    "verify": lambda builder: builder.of(ChangeReport),
    "undo": lambda builder: builder.of(ChangeReport),
    "undo-list": lambda builder: builder.of(UndoList),
    "probe-transfer": lambda builder: builder.of(TransferReport),
    "probe-compare": lambda builder: builder.of(TransferReport),
    "probe-latency": lambda builder: builder.of(LatencyReport),
    "probe-connect": lambda builder: builder.of(ConnectReport),
    "probe-pool": lambda builder: builder.of(PoolReport),
    "probe-diff": lambda builder: builder.of(ProbeDiff),
    "serve": lambda builder: builder.of(ServeStart | ServeRestart | ServeEnd),
    "serve-stats": lambda builder: builder.of(ServeStats),
}
"""What stands under ``data``, by the name in ``schema``."""

NAMES: Final = (*DATA, "error")


def _error() -> Schema:
    text = {"type": "string"}
    error = {
        "code": {**text, "description": "stable identifier of the kind of error"},
        "message": {**text, "description": "what was being done, and why it failed"},
        "hint": {**text, "description": "what to do next; may be empty"},
        "exit_code": {"enum": [int(status) for status in EXIT_MEANINGS]},
    }
    return _envelope("error", {"error": _object(error)})
