"""`profiles` as text: one record a line for a pipe, wrapped tables for people."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterable
from typing import IO, Final

from tcptool.catalog.profiles import Profile
from tcptool.model.profile import ProfileEntry
from tcptool.views.clean import clean
from tcptool.views.look import Look

_NARROWEST: Final = 24
"""Cells that a column of text needs to be readable; with less it goes below its row."""
_WIDEST: Final = 110


def write_list(entries: Iterable[ProfileEntry], out: IO[str], look: Look) -> None:
    """Write one line a profile; of one that cannot be used, why."""
    rows = [("profile", "state", "from", "summary")]
    for entry in entries:
        state, about = ("ok", entry.summary) if entry.error is None else ("bad", entry.error)
        rows.append((entry.name, state, entry.path or "tcptool", about))
    _write_columns(rows, out, look)


def write_list_for_people(entries: Iterable[ProfileEntry], out: IO[str], look: Look) -> None:
    """Write the names with their summaries, the user's own with their files."""
    listed = list(entries)
    name_cells = max(len(_shown(entry.name, look)) for entry in listed)
    for entry in listed:
        about = entry.summary if entry.error is None else f"cannot be used: {entry.error}"
        out.write(_row([f"{_shown(entry.name, look):<{name_cells}}"], [about], look))
        if entry.path is not None:
            out.write(f"{'':{name_cells}}  {_shown(entry.path, look)}\n")
    out.write("\n`tcptool profiles show NAME` shows the values of one, and why they are set.\n")


def write_profile(profile: Profile, word: str, out: IO[str], look: Look) -> None:
    """Write one line for each thing that the profile says; ``word`` is what it was asked for by."""
    rows = [("kind", "what", "when", "text"), ("profile", profile.name, "-", profile.summary)]
    if profile.purpose:
        rows.append(("purpose", profile.name, "-", profile.purpose))
    for value in profile.values:
        text = f"{value.reason or '-'} [{value.source}]"
        rows.append(("option", f"{value.option}={value.value}", value.when, text))
    rows += [("problem", f.id, "-", f"{f.text} [{f.evidence}]") for f in profile.flags]
    for kind, advices in (
        ("leave-alone", profile.leave_alone),
        ("host", profile.host_advice),
        ("program", profile.program_advice),
    ):
        rows += [(kind, one.what, "-", f"{one.text} [{one.source}]") for one in advices]
    rows += [("use", line, "-", about) for line, about in _uses(word)]
    _write_columns(rows, out, look)


def write_profile_for_people(profile: Profile, word: str, out: IO[str], look: Look) -> None:
    """Write the profile as a table with its reasons, and how to use it."""
    bold, plain = ("\x1b[1m", "\x1b[0m") if look.color else ("", "")
    out.write(f"{bold}{_shown(profile.name, look)}{plain}\n")
    for text in filter(None, (profile.summary.rstrip(".") + ".", profile.purpose)):
        out.write(_row([""], [text], look))
    heading = ("option", "value", "when")
    cells = [(v.option, _shown(v.value, look), str(v.when)) for v in profile.values]
    widths = [max(map(len, column)) for column in zip(heading, *cells, strict=True)]
    aligned = [
        [f"{text:<{width}}" for text, width in zip(row, widths, strict=True)]
        for row in (heading, *cells)
    ]
    out.write("\n" + _row(["", *aligned[0]], ["reason"], look))
    for row, value in zip(aligned[1:], profile.values, strict=True):
        out.write(_row(["", *row], [value.reason or "-", f"source: {value.source}"], look))
    for title, parts in (
        ("Problems", [(f.id, f.text, f"evidence: {f.evidence}") for f in profile.flags]),
        *(
            (title, [(a.what, a.text, f"source: {a.source}") for a in advices])
            for title, advices in (
                ("Left alone on purpose", profile.leave_alone),
                ("On the host, to consider", profile.host_advice),
                ("In the program", profile.program_advice),
            )
        ),
    ):
        if parts:
            out.write(f"\n{bold}{title}{plain}\n")
        for what, *texts in parts:
            out.write(f"  {what}\n{_row(['', ''], texts, look)}")
    out.write(f"\n{bold}Use it{plain}\n")
    for line, about in _uses(word):
        out.write(f"  {_shown(line, look)}\n{_row(['', ''], [about], look)}")


def _uses(word: str) -> list[tuple[str, str]]:
    """Command lines, and what each of them does."""
    named = f"TARGET --profile {shlex.quote(word)}"
    return [
        (f"tcptool apply {named} --dry-run", "what would be changed"),
        (f"tcptool apply {named}", "set it, and read back what the kernel made of it"),
        (f"tcptool verify {named}", "does the socket have these values?"),
        ("tcptool undo --last", "put back what was changed"),
    ]


def _row(cells: list[str], texts: list[str], look: Look) -> str:
    """Cells, and beside them the texts, each wrapped in a paragraph of its own."""
    width = min(max(look.width, 40), _WIDEST)
    start = "  ".join([*cells, ""])
    lines: list[str] = []
    indent = " " * len(start)
    if width - len(start) < _NARROWEST:
        lines.append(start.rstrip())
        start = indent = " " * 6
    for text in texts:
        lines += textwrap.wrap(
            _shown(text, look),
            width,
            initial_indent=start,
            subsequent_indent=indent,
            break_on_hyphens=False,
        )
        start = indent
    return "\n".join(lines) + "\n"


def _write_columns(rows: list[tuple[str, str, str, str]], out: IO[str], look: Look) -> None:
    shown = [[_shown(text, look) for text in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        aligned = (f"{text:<{width}}" for text, width in zip(row, widths, strict=True))
        out.write("  ".join(aligned).rstrip() + "\n")


def _shown(text: str, look: Look) -> str:
    """The text without control characters, in ASCII where the encoding has no more."""
    harmless = clean(text)
    return harmless if look.unicode else harmless.encode("ascii", "backslashreplace").decode()
