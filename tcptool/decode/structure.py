"""Decode a C structure that a catalog record mirrors, from a reply of any length.

The kernel sends as much of a structure as it knows: a field exists if the reply is long
enough to hold it.  What the reply lacks stays ``None``; a tail that the record does not know
is kept by the caller as hex.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from typing import Any, NamedTuple, TypeVar

from tcptool.catalog.registry import UNLIMITED, Member, members
from tcptool.catalog.states import word, words

Record = TypeVar("Record")


class Place(NamedTuple):
    """A member's bytes, ``offset`` to ``end``, and within them ``bits`` from ``shift``."""

    offset: int
    end: int
    shift: int
    bits: int


@cache
def layout(record: type) -> type[ctypes.Structure]:
    """The C structure, built from the record's fields in their order."""

    def c_field(member: Member) -> tuple[Any, ...]:
        ctype = getattr(ctypes, f"c_{member.ctype}")
        return (member.name, ctype, member.bits) if member.bits else (member.name, ctype)

    fields = [c_field(member) for member in members(record).values()]
    return type(f"C{record.__name__}", (ctypes.Structure,), {"_fields_": fields})


@cache
def places(record: type) -> dict[str, Place]:
    """The place of every field, by the record's field name."""
    image = layout(record)
    found = {}
    for name, member in members(record).items():
        descriptor = getattr(image, member.name)
        size = ctypes.sizeof(getattr(ctypes, f"c_{member.ctype}"))
        # For a bit field ctypes packs (width << 16 | first bit) into .size.
        shift = descriptor.size & 0xFFFF if member.bits else 0
        found[name] = Place(descriptor.offset, descriptor.offset + size, shift, member.bits)
    return found


def decode_structure(record: type[Record], raw: bytes) -> Record:
    """Turn the kernel's bytes into a record; no input makes it fail."""
    kind: type = record
    image_type, mirrored = layout(kind), members(kind)
    size = ctypes.sizeof(image_type)
    image = image_type.from_buffer_copy(raw[:size].ljust(size, b"\0"))
    present = {name for name, place in places(kind).items() if place.end <= len(raw)}

    def value(name: str, member: Member) -> object:
        number: int = getattr(image, member.name)
        if number == member.absent:
            return None
        if member.needs in present and not getattr(image, mirrored[member.needs].name):
            return None
        return named(member, number)

    return record(**{n: value(n, m) for n, m in mirrored.items() if n in present})


def named(member: Member, number: int) -> object:
    """The number as the record shows it: a word, words, hex, ``unlimited``, or itself."""
    if number == member.unlimited:
        return UNLIMITED
    if member.words is not None:
        return word(member.words, number)
    if member.flags is not None:
        return words(member.flags, number)
    if member.hexadecimal:
        size = ctypes.sizeof(getattr(ctypes, f"c_{member.ctype}"))
        return number.to_bytes(size, sys.byteorder).hex()
    return number
