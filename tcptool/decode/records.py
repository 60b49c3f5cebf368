"""JSON back into the records that it was made from, by their type hints.

Strict where a value is not what the record says, because a result is judged by it; a key that is
not known is passed over, because a newer tcptool may have added it.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, TypeVar, Union, cast, get_args, get_origin, get_type_hints

Record = TypeVar("Record")

_NAMES: Final = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    types.NoneType: "null",
}


class WrongShape(ValueError):
    """What is there is not what the record has at that place."""

    def __init__(self, where: str, expected: str) -> None:
        super().__init__(f"{where}: {expected} is expected")


def read_record(kind: type[Record], value: object, where: str = "data", **given: object) -> Record:
    """The record; ``given`` are fields that are not in the JSON.  Raises WrongShape."""
    if not isinstance(value, dict):
        raise WrongShape(where, "an object")
    hints = _hints(cast(Any, kind))
    lacking = [name for name in hints if name not in given and name not in value]
    if lacking:
        raise WrongShape(f"{where}.{lacking[0]}", "a value")
    read = {
        name: _read(hints[name], value[name], f"{where}.{name}")
        for name in hints
        if name not in given
    }
    return kind(**read, **given)


@cache
def _hints(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _read(kind: Any, value: object, where: str) -> Any:
    if kind in _NAMES:
        return _simple(kind, value, where)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return read_record(kind, value, where)
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _one_of(inner, value, where)
    if origin in (tuple, list):
        if not isinstance(value, list):
            raise WrongShape(where, "a list")
        return origin(_read(inner[0], one, f"{where}[{n}]") for n, one in enumerate(value))
    if origin is Mapping:
        if not isinstance(value, dict):
            raise WrongShape(where, "an object")
        return {key: _read(inner[1], one, f"{where}.{key}") for key, one in value.items()}
    raise TypeError(f"{kind} has no place in a saved record")


def _simple(kind: type, value: object, where: str) -> object:
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:  # True is an int, and must not be taken for one
        raise WrongShape(where, _NAMES[kind])
    return value


def _one_of(kinds: tuple[Any, ...], value: object, where: str) -> Any:
    """The first kind that fits; if none does, the error of the one that came furthest."""
    error: WrongShape | None = None
    for kind in kinds:
        try:
            return _read(kind, value, where)
        except WrongShape as exc:
            if error is None or len(str(exc)) > len(str(error)):
                error = exc
    assert error is not None  # a union has members
    raise error
