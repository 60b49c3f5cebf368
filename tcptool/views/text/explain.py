"""`explain` as text: a paragraph an entry, or the list of all names."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from itertools import groupby
from typing import IO

from tcptool.model.explanation import Explanation
from tcptool.units import Unit
from tcptool.views.look import Look

UNIT_NAMES = {
    Unit.BYTES: "bytes",
    Unit.PACKETS: "segments",
    Unit.MICROSECONDS: "microseconds",
    Unit.MILLISECONDS: "milliseconds",
    Unit.SECONDS: "seconds",
    Unit.BYTES_PER_SECOND: "bytes per second",
    Unit.SECONDS_PER_GIGABYTE: "seconds per 10^9 bytes",
    Unit.PERCENT: "percent",
}


def write(entries: Iterable[Explanation], out: IO[str], look: Look) -> None:
    """Write each entry in full."""
    out.write("\n\n".join("\n".join(_entry(entry, look)) for entry in entries) + "\n")


def _entry(entry: Explanation, look: Look) -> list[str]:
    width = min(max(look.width, 40), 96)
    bold, plain = ("\x1b[1m", "\x1b[0m") if look.color else ("", "")
    lines = [f"{bold}{entry.name}{plain}  ({entry.kind})"]
    lines += textwrap.wrap(
        _sentence(entry.meaning), width, initial_indent="  ", subsequent_indent="  "
    )
    properties = [
        ("unit", UNIT_NAMES.get(Unit(entry.unit), "") if entry.unit else ""),
        ("kernel name", entry.kernel_name if entry.kernel_name != entry.name else ""),
        ("pitfall", entry.pitfall),
        *entry.facts,
        ("since Linux", entry.since),
        ("source", entry.source),
    ]
    for what, value in properties:
        if value:
            hang = " " * 4
            lines += textwrap.wrap(
                f"{what}: {value}", width, initial_indent="  ", subsequent_indent=hang
            )
    return lines


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."


def write_names(entries: Iterable[Explanation], out: IO[str]) -> None:
    """Write every name with the first words of its meaning, by kind."""
    for kind, members in groupby(entries, key=lambda entry: entry.kind):
        out.write(f"{kind}:\n")
        for entry in members:
            meaning = entry.meaning.partition(". ")[0].rstrip(".")
            out.write(f"  {entry.name:<28}  {meaning}\n")
        out.write("\n")
