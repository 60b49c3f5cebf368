"""How a record describes the C structure that it mirrors.

A catalog record is a frozen dataclass whose field metadata *is* the registry of the
structure's members: the decoder, the list columns, the JSON schema, ``explain`` and the man
pages are all derived from it.  Fields stand in the order of the C structure, because the
layout (offsets, padding, bit fields) follows from the order.
"""

from __future__ import annotations

from dataclasses import Field, dataclass, field, fields
from functools import cache
from typing import Any, Final

from tcptool.catalog.states import Meaning
from tcptool.units import Unit

UNLIMITED: Final = "unlimited"
"""What a kernel value that means "no limit" is called, from the decoder to the screen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One member of a C structure.

    ``ctype`` is a ctypes type name without ``c_`` (``uint32``); ``bits`` the width of a bit
    field.  ``unlimited`` and ``absent`` are kernel values that stand for "no limit" and "no
    value yet".  ``needs`` names a counter without which the value is noise: while that
    counter is zero the field is absent.  ``words`` names an enumeration, ``flags`` a bit set.
    ``since`` is for the manual only: nothing branches on a kernel version.
    """

    name: str
    ctype: str
    unit: Unit
    doc: str
    group: str
    bits: int = 0
    since: str = ""
    pitfall: str = ""
    unlimited: int | None = None
    absent: int | None = None
    needs: str = ""
    words: dict[int, Meaning] | None = None
    flags: dict[int, Meaning] | None = None
    listening: bool = False
    hexadecimal: bool = False


def member(name: str, ctype: str, unit: Unit, doc: str, *, group: str = "", **facts: Any) -> Any:
    """Declare a record field that mirrors the C member ``name``."""
    described = Member(name=name, ctype=ctype, unit=unit, doc=doc, group=group, **facts)
    return field(default=None, metadata={"member": described, "doc": doc, "unit": unit})


def describe(record_field: Field[Any]) -> Member:
    """The member that a record field mirrors."""
    described: Member = record_field.metadata["member"]
    return described


@cache
def members(record: type) -> dict[str, Member]:
    """Every member of a record, keyed by the record's field name, in C order."""
    return {f.name: describe(f) for f in fields(record)}
