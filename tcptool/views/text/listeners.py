"""`listeners` as text: one listener a line.

In a pipe every cell is one word, and what is not a listener stands behind ``#``: groups, the
counters of the namespace, findings and the commands that help.  For people the columns that do
not fit give way, and what is wrong is told below the table.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any, Final

from tcptool.catalog.severity import Severity
from tcptool.model.inspection import HolderRecord
from tcptool.model.listeners import (
    STEADY,
    CounterReading,
    Listener,
    ListenersReport,
    QueueVerdict,
    ReuseportGroup,
)
from tcptool.units import Unit, human
from tcptool.views.clean import clean, clean_word
from tcptool.views.inspect_sections import ABSENT
from tcptool.views.look import Look
from tcptool.views.text.list import cell
from tcptool.views.text.options import yes_or_no

_COLUMNS: Final = (
    "accept_queue",
    "max_accept_queue",
    "backlog",
    "full_percent",
    "drops",
    "new_drops",
    "drops_per_s",
    "syn_recv",
    "group",
    "queue_share_percent",
    "connections",
)
_SETTINGS: Final = (
    "somaxconn",
    "tcp_max_syn_backlog",
    "tcp_syncookies",
    "tcp_abort_on_overflow",
)


# -- in a pipe ---------------------------------------------------------------------------------


def write(report: ListenersReport, out: IO[str], look: Look) -> None:
    """Write a heading and a line for each listener; what stands behind ``#`` is beside them."""
    with_options = any(one.options for one in report.listeners)
    options = tuple(_OPTIONS.values()) if with_options else ()
    heading = ("severity", "cause", "local", "protocol", *_COLUMNS, *options, "holders", "process")
    rows = [
        (*_row(one), *(_option(one, name) for name in options), *_owner(one))
        for one in report.listeners
    ]
    for line in table([heading, *rows], right=frozenset(range(4, 4 + len(_COLUMNS)))):
        out.write(line + "\n")
    out.writelines(f"# {line}\n" for line in _beside(report))


def _row(one: Listener) -> tuple[str, ...]:
    numbers = (cell(getattr(one, name)) for name in _COLUMNS)
    return one.verdict.severity, one.verdict.cause, str(one.local), one.protocol, *numbers


def _option(one: Listener, name: str) -> str:
    value = getattr(one.options, name, None)
    return yes_or_no(value) if isinstance(value, bool) else cell(value)


def _owner(one: Listener) -> tuple[str, str]:
    held = one.holders or ()
    names = dict.fromkeys(clean_word(holder.process) for holder in held)
    return ",".join(f"{h.pid}:{h.fd}" for h in held) or ABSENT, ",".join(names) or ABSENT


def _beside(report: ListenersReport) -> Iterator[str]:
    ended = "" if report.complete else ", interrupted"
    yield f"window_s {cell(report.window_s)}, samples {report.samples}{ended}"
    for number, group in enumerate(report.groups):
        yield (
            f"group {number}: {group.local}, {group.members} members, even_percent "
            f"{cell(group.even_percent)}, most_queue_percent {cell(group.most_queue_percent)}, "
            f"most_drops_percent {cell(group.most_drops_percent)}"
        )
    for counter in report.namespace.counters:
        new, rate = cell(counter.new), cell(counter.rate_per_s)
        yield f"{counter.name} {cell(counter.total)}, new {new}, {rate} per_s"
    yield ", ".join(f"{name} {cell(getattr(report.namespace, name))}" for name in _SETTINGS)
    for place, verdict in _bad(report):
        yield clean(f"{verdict.severity} {place}: {verdict.message}")
        for cure in verdict.cures:
            yield f"  run: {cure.command}; undo: {cure.undo}; {cure.why}"
            if cure.risk is not None:
                yield f"  risk: {cure.risk}"
            if cure.persistence is not None:
                yield f"  keep: {cure.persistence}"


def _bad(report: ListenersReport) -> Iterator[tuple[str, QueueVerdict]]:
    """What is to be told in words: all verdicts but the good ones, and where each belongs."""
    everything: list[tuple[str, QueueVerdict]] = [
        *((_place(one), one.verdict) for one in report.listeners),
        *((f"group at {one.local}", one.verdict) for one in report.groups),
        *(("this network namespace", verdict) for verdict in report.findings),
    ]
    for place, verdict in everything:
        if verdict.severity.reaches(Severity.INFO):
            yield place, verdict


def _place(one: Listener) -> str:
    holder = f" {one.holders[0].pid}:{one.holders[0].fd}" if one.holders else ""
    return f"{one.local}{holder}"


# -- for people --------------------------------------------------------------------------------

_STYLES: Final = {Severity.FAIL: "31", Severity.WARN: "33", Severity.OK: "32"}
_LEAST_HOLDERS: Final = 20
"""Cells of a terminal below which the column of the owners says too little."""

_OPTIONS: Final = {
    "reuse": "reuseport",
    "defer": "defer_accept_s",
    "tfo": "fastopen_queue",
}
"""Headings of the socket options, and their names in the record."""

_LESS_IMPORTANT: Final = (
    "cgroup",
    "conns",
    "share",
    "group",
    "state",
    "syn",
    "most",
    "proto",
    *_OPTIONS,
)
"""Columns that give way on a narrow terminal, the first of them first."""


def write_for_people(report: ListenersReport, out: IO[str], look: Look) -> None:
    """Write a table, what is wrong with the commands that help, and what the namespace counted."""
    columns = _columns(report)
    hidden = _fit(columns, look.width)
    names = list(columns)
    rows = [names, *zip(*columns.values(), strict=True)] if report.listeners else []
    right = frozenset(i for i, name in enumerate(names) if name in _RIGHT)
    room = look.width - sum(_width(columns, name) + 2 for name in names[:-1])
    for place, line in enumerate(table(rows, right=right, last=max(room, _LEAST_HOLDERS))):
        style = _style(report.listeners[place - 1].verdict.severity) if place else "1"
        first, rest = (line, "") if not place else (line[:4], line[4:])
        out.write(_styled(first, style, look) + rest + "\n")
    out.writelines(f"{line}\n" for line in _summary(report, hidden, look))
    for where, verdict in _bad(report):
        out.write(f"\n{_styled(f'{verdict.severity}  {clean(where)}', '1', look)}\n")
        out.writelines(_told(verdict, look))
    out.write("\n")
    out.writelines(f"{line}\n" for line in _namespace(report, look))


def _style(severity: Severity) -> str:
    return _STYLES.get(severity, "2")


def _styled(text: str, style: str, look: Look) -> str:
    return f"\x1b[{style}m{text}\x1b[0m" if look.color else text


_RIGHT: Final = frozenset(
    {"queue", "most", "backlog", "full", "drops", "per s", "syn", "group", "share", "conns"}
)


def _columns(report: ListenersReport) -> dict[str, list[str]]:
    """Cells by their heading.  What is empty for every listener is left out."""
    shown = report.listeners
    columns: dict[str, list[str]] = {
        "": [one.verdict.severity.ljust(4) for one in shown],
        "listening on": [str(one.local) for one in shown],
        "proto": [one.protocol for one in shown],
        "queue": [_count(one.accept_queue) for one in shown],
        "most": [_count(one.max_accept_queue) for one in shown],
        "backlog": [_count(one.backlog) for one in shown],
        "full": [_percent(one.full_percent) for one in shown],
        "drops": [_count(one.drops) for one in shown],
        "per s": [_rate(one.drops_per_s) for one in shown],
        "syn": [_count(one.syn_recv) for one in shown],
        "state": [one.presence for one in shown],
        "group": [_count(one.group) for one in shown],
        "share": [_percent(one.queue_share_percent) for one in shown],
        "conns": [_count(one.connections) for one in shown],
        **{title: [_option(one, name) for one in shown] for title, name in _OPTIONS.items()},
        "cgroup": [clean(one.cgroup or ABSENT) for one in shown],
        "held by": [_held_by(one.holders) for one in shown],
    }
    usual = {"proto": "tcp", "state": STEADY, "cgroup": "/"}
    for name in ("proto", "state", "group", "share", "conns", *_OPTIONS, "cgroup"):
        if set(columns[name]) <= {ABSENT, usual.get(name, ABSENT)}:
            del columns[name]
    return columns


def _fit(columns: dict[str, list[str]], width: int) -> list[str]:
    """Take away columns until the others, and a part of the last one, fit.  Returns their names."""
    hidden = []
    for name in _LESS_IMPORTANT:
        used = sum(_width(columns, one) + 2 for one in list(columns)[:-1])
        if used + min(_width(columns, "held by"), _LEAST_HOLDERS) <= width:
            break
        if columns.pop(name, None) is not None:
            hidden.append(name)
    return hidden


def _width(columns: dict[str, list[str]], name: str) -> int:
    return max(map(len, (name, *columns[name])))


def _held_by(holders: tuple[HolderRecord, ...] | None) -> str:
    """``nginx 42:6, 43:6``; a dash where nobody is seen."""
    by_name: dict[str, list[str]] = {}
    for one in holders or ():
        by_name.setdefault(clean(one.process), []).append(f"{one.pid}:{one.fd}")
    return "; ".join(f"{name} {', '.join(held)}" for name, held in by_name.items()) or ABSENT


def _count(value: int | None) -> str:
    return ABSENT if value is None else human(value, Unit.COUNT)


def _percent(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.0f} %"


def _rate(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.3g}"


def _summary(report: ListenersReport, hidden: Sequence[str], look: Look) -> Iterator[str]:
    count = len(report.listeners)
    text = f"{count} listener{'' if count == 1 else 's'}, "
    text += f"{report.samples} look{'' if report.samples == 1 else 's'} in "
    text += human(report.window_s, Unit.SECONDS)
    if not report.complete:
        text += ", interrupted"
    if hidden:
        text += f"; no room for {', '.join(hidden)}"
    yield from _wrapped(text, look)
    for number, group in enumerate(report.groups):
        yield from _wrapped(_group_words(number, group), look)


def _group_words(number: int, group: ReuseportGroup) -> str:
    shares = [
        f"{_percent(share)} of {of}"
        for share, of in (
            (group.most_queue_percent, "what waits"),
            (group.most_drops_percent, "the new drops"),
        )
        if share is not None
    ]
    uneven = f"; one has {' and one '.join(shares)}" if shares else ""
    return (
        f"group {number}: {group.members} SO_REUSEPORT listeners at {group.local}, an even share "
        f"is {_percent(group.even_percent)}{uneven}"
    )


def _told(verdict: QueueVerdict, look: Look) -> Iterator[str]:
    for line in _wrapped(f"{_sentence(clean(verdict.message))}.", look, "  "):
        yield f"{line}\n"
    if verdict.blame:
        for line in _wrapped(f"Who must act: {clean(verdict.blame)}.", look, "  "):
            yield f"{line}\n"
    for cure in verdict.cures:
        yield f"    {_styled(cure.command, '1', look)}\n"  # not wrapped: it is to be pasted
        labelled = {"Risk": cure.risk, "Keep it": cure.persistence}
        for text in (
            f"{_sentence(cure.why)}.",
            *(f"{label}: {text}" for label, text in labelled.items() if text is not None),
        ):
            for line in _wrapped(text, look, "      "):
                yield f"{line}\n"
        yield f"      Undo: {cure.undo}\n"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _namespace(report: ListenersReport, look: Look) -> Iterator[str]:
    told = [one for one in report.namespace.counters if one.total]
    text = ", ".join(map(_counter, told)) or "none of the counters of listeners has risen"
    yield from _wrapped(f"This network namespace: {text}.", look)
    settings = (f"{name} {_value(getattr(report.namespace, name))}" for name in _SETTINGS)
    yield from _wrapped(", ".join(settings), look)


def _counter(one: CounterReading) -> str:
    name = one.name.removeprefix("TcpExt")
    new = "" if one.new is None else f" (+{_count(one.new)})"
    return f"{name} {_count(one.total)}{new}"


def _value(value: Any) -> str:
    return ABSENT if value is None else str(value)


def _wrapped(text: str, look: Look, indent: str = "") -> Iterable[str]:
    width = min(max(look.width, 40), 100)
    return textwrap.wrap(
        text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )


def table(
    rows: Sequence[Sequence[str]], *, right: frozenset[int], last: int | None = None
) -> Iterator[str]:
    """The rows in columns; numbers to the right.  The last column is cut after ``last`` cells."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        *cells, end = (
            f"{text:>{width}}" if place in right else f"{text:<{width}}"
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        end = end.rstrip()
        if last is not None and len(end) > last:
            end = f"{end[: last - 3]}..."
        yield "  ".join((*cells, end)).rstrip()
