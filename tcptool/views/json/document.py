"""The JSON envelope, and records as JSON values.

Keys are the record's field names, in their order; absent is ``null``; base units, no rounding.
"""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from functools import cache
from typing import IO, Any

from tcptool import __version__
from tcptool.errors import TcptoolError
from tcptool.model.report import Host, Missing, Warning
from tcptool.views.look import Look


@cache
def _keys(record: type) -> tuple[str, ...]:
    return tuple(f.name for f in fields(record) if not f.metadata.get("internal"))


def to_json(value: Any) -> Any:
    """A record, and everything in it, as what ``json`` can write."""
    if is_dataclass(value) and not isinstance(value, type):
        return {key: to_json(getattr(value, key)) for key in _keys(type(value))}
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return {key: to_json(item) for key, item in value.items()}
    return value


def dumps(value: Any, *, pretty: bool = False) -> str:
    """JSON text; compact unless a person is to read it."""
    if pretty:
        return json.dumps(value, indent=2, allow_nan=False)
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def head(name: str, host: Host) -> dict[str, Any]:
    """What stands before the data in every document."""
    return {
        "schema": f"tcptool.{name}/1",
        "tcptool": __version__,
        "time": host.time,
        "host": host.host,
        "kernel": host.kernel,
    }


def document(
    name: str, host: Host, data: Any, missing: list[Missing], warnings: list[Warning]
) -> dict[str, Any]:
    """A whole document."""
    return {
        **head(name, host),
        "data": to_json(data),
        "warnings": to_json(warnings),
        "missing": to_json(missing),
    }


def write_document(
    name: str,
    host: Host,
    data: Any,
    missing: list[Missing],
    warnings: list[Warning],
    out: IO[str],
    look: Look,
) -> None:
    """Write a whole document and end the line."""
    out.write(dumps(document(name, host, data, missing, warnings), pretty=look.pretty) + "\n")


def error_document(error: TcptoolError) -> str:
    """An error as one line, for stderr."""
    return dumps(
        {
            "schema": "tcptool.error/1",
            "error": {
                "code": error.code,
                "message": str(error),
                "hint": error.hint,
                "exit_code": int(error.exit_code),
            },
        }
    )
