"""`diagnose` as text: a line for each connection in a pipe, a page for people.

The page has the answer in its first two lines: which connection, and what holds it back.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import IO, Final

from tcptool.catalog.severity import Severity
from tcptool.model.diagnosis import Advice, DiagnoseReport, Diagnosis, Goal, Requirement, Survey
from tcptool.units import Unit, human
from tcptool.views.clean import clean, clean_word
from tcptool.views.inspect_sections import ABSENT
from tcptool.views.look import Look
from tcptool.views.terminal.console import plain_micro
from tcptool.views.text.options import aligned

_PLAIN: Final = (
    "socket",
    "severity",
    "verdict",
    "confidence",
    "local",
    "peer",
    "goodput_bytes_per_s",
    "received_bytes_per_s",
    "rtt_us",
)
_COLORS: Final = {
    Severity.FAIL: "\x1b[1;31m",
    Severity.WARN: "\x1b[1;33m",
    Severity.INFO: "\x1b[1;36m",
    Severity.OK: "\x1b[1;32m",
}
_LABEL: Final = 12
_WIDEST: Final = 100
_VALUE_UNITS: Final = {unit.value: unit for unit in Unit}


def write(report: DiagnoseReport, out: IO[str], look: Look) -> None:
    """Write a heading and a line for each connection; values are in base units."""
    rows = [
        (
            clean_word(one.handle),
            one.severity.value,
            one.verdict,
            f"{one.confidence:g}",
            clean_word(str(one.local)),
            clean_word(str(one.peer)),
            _number(one.measures.goodput_bytes_per_s),
            _number(one.measures.received_bytes_per_s),
            _number(one.measures.rtt_us),
        )
        for one in report.diagnoses
    ]
    out.writelines(f"{line}\n" for line in aligned([list(_PLAIN), *map(list, rows)]))


def _number(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.6g}"


def write_for_people(report: DiagnoseReport, out: IO[str], look: Look) -> None:
    """Write the verdicts with their evidence and what to do, worst first."""
    lines: list[str] = []
    if not report.complete:
        lines += ["Ended by Ctrl-C: the verdicts rest on what was sampled until then.", ""]
    if report.survey is not None and report.survey.sampled < report.survey.sockets:
        lines += [*_survey(report.survey, look), ""]
    for one in report.diagnoses:
        lines += [*_page(one, look), ""]
    out.write(plain_micro("\n".join(lines[:-1]) + "\n", look))


def _survey(survey: Survey, look: Look) -> Iterator[str]:
    counts = [
        "1 socket" if survey.sockets == 1 else f"{human(survey.sockets, Unit.COUNT)} sockets",
        f"{human(survey.suspects, Unit.COUNT)} with signs of trouble at first sight",
        f"{survey.sampled} sampled (--top)",
    ]
    yield from textwrap.wrap("; ".join(counts), _width(look))


def _page(one: Diagnosis, look: Look) -> Iterator[str]:
    bold, plain = ("\x1b[1m", "\x1b[0m") if look.color else ("", "")
    arrow = "->" if one.side != "receiver" else "<-"
    ends = clean(f"{one.local} {arrow} {one.peer}")
    yield f"{bold}{ends}{plain}"
    owner = clean(one.holders[0].process) if one.holders else "owner not known"
    seconds = one.measures.duration_s
    window = human(round(seconds, 1) or seconds, Unit.SECONDS)
    sampled = (
        f"{owner} {clean(one.handle)}, {one.state}, {clean(one.congestion or '-')}; "
        f"{one.measures.samples} samples in {window}"
    )
    for word, moved in (
        ("sent", one.measures.goodput_bytes_per_s),
        ("received", one.measures.received_bytes_per_s),
    ):
        if moved:
            sampled += f"; {word} {human(moved, Unit.BYTES_PER_SECOND)}"
    yield from textwrap.wrap(sampled, _width(look))
    yield from _verdict(one, look)
    for line in one.evidence:
        yield from _row("evidence" if line is one.evidence[0] else "", line, look)
    if one.not_this:
        yield from _row("not this", ", ".join(one.not_this), look)
    if one.cost:
        yield from _row("cost", one.cost, look)
    for number, advice in enumerate(one.advice):
        yield from _advice("do" if number == 0 else "", advice, look)
    if one.goal:
        yield from _goal(one.goal, look)
    for number, note in enumerate(one.notes):
        yield from _row("note" if number == 0 else "", note, look)
    if one.again and any(advice.command for advice in one.advice):
        yield from _command("then", one.again, look)


def _verdict(one: Diagnosis, look: Look) -> Iterator[str]:
    color, plain = (_COLORS.get(one.severity, ""), "\x1b[0m") if look.color else ("", "")
    headline = one.headline
    if one.leaning:
        headline += f"; closest is {one.leaning}"
    text = f"{headline} ({one.verdict}, confidence {one.confidence:.2f})"
    first, *rest = textwrap.wrap(text, _width(look) - _LABEL, break_on_hyphens=False)
    yield f"{color}{one.severity.upper():<{_LABEL}}{first}{plain}"
    yield from (f"{color}{'':<{_LABEL}}{line}{plain}" for line in rest)


def _advice(label: str, advice: Advice, look: Look) -> Iterator[str]:
    when = {"now": "", "new-connections": " (new connections only)"}
    text = f"{advice.who}: {advice.text}{when.get(advice.takes_effect or '', '')}"
    yield from _row(label, text, look)
    if advice.command:
        yield from _command("", advice.command, look)
    if advice.undo:
        yield from _command("", advice.undo, look, "    # takes it back")


def _goal(goal: Goal, look: Look) -> Iterator[str]:
    answer = {
        True: "is within reach",
        False: "is out of reach as it is",
        None: "may be within reach: not all that it takes is known",
    }
    text = f"{human(goal.rate_bytes_per_s, Unit.BYTES_PER_SECOND)} {answer[goal.reachable]}"
    if goal.goodput_bytes_per_s is not None:
        text += f"; now {human(goal.goodput_bytes_per_s, Unit.BYTES_PER_SECOND)}"
    yield from _row("target", text, look)
    for row in goal.requirements:
        yield from _row("", _requirement(row), look)
    for offer in goal.offers:
        yield from _row("", f"instead: {offer}", look)


def _requirement(row: Requirement) -> str:
    unit = _VALUE_UNITS[row.unit]
    mark = {True: "ok", False: "NO", None: "??"}[row.met]
    present = "not known" if row.present is None else human(row.present, unit)
    bound = "at most" if unit is Unit.PERCENT else "at least"
    return (
        f"{mark}  {row.name} {present}, needed {bound} {human(row.needed, unit)}: "
        f"{row.text} ({row.who})"
    )


def _row(label: str, text: str, look: Look) -> Iterator[str]:
    yield from textwrap.wrap(
        clean(text),
        _width(look),
        initial_indent=f"  {label:<{_LABEL - 2}}",
        subsequent_indent=" " * _LABEL,
        break_on_hyphens=False,
    )


def _command(label: str, command: str, look: Look, after: str = "") -> Iterator[str]:
    """A line to paste: never broken, however narrow the terminal is."""
    bold, plain = ("\x1b[1m", "\x1b[0m") if look.color else ("", "")
    yield f"  {label:<{_LABEL - 2}}{bold}{clean(command)}{plain}{after}"


def _width(look: Look) -> int:
    return min(max(look.width, 40), _WIDEST)
