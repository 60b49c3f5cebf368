"""`probe connect` as text: one figure a line in a pipe, a page for people.

In a pipe every line is a figure and its value; as in JSON, the name ends in the unit.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import IO, Final

from tcptool.model.connect import (
    DONE,
    INTERRUPTED,
    ConnectPlan,
    ConnectReport,
    CounterGrowth,
    Percentiles,
    PortUse,
)
from tcptool.units import Unit, human
from tcptool.views.clean import clean, clean_word
from tcptool.views.inspect_sections import ABSENT, value_words
from tcptool.views.look import Look
from tcptool.views.terminal.console import plain_micro
from tcptool.views.text.options import aligned

_TIMES: Final = ("connect", "exchange", "answer", "close")
_MEANINGS: Final = {
    "connect": "until the connection is there",
    "exchange": "request to reply",
    "answer": "connect to reply",
    "close": "until the other end closes too",
}


# -- in a pipe -----------------------------------------------------------------------------


def write(report: ConnectReport, out: IO[str], look: Look) -> None:
    """Write a heading and a line for each figure."""
    rows = [["figure", "value"], *([name, _raw(value)] for name, value in _figures(report))]
    out.writelines(f"{line}\n" for line in aligned(rows))


def _raw(value: object) -> str:
    if value is None:
        return ABSENT
    return f"{value:.6g}" if isinstance(value, float) else clean_word(value_words(value))


def _figures(report: ConnectReport) -> Iterator[tuple[str, object]]:
    """Name, which ends in its unit, and value."""
    yield "to", report.plan.to
    for name in ("path", "exchange", "closer", "concurrency"):
        yield name, getattr(report.plan, name)
    for name in ("ended_by", "made"):
        yield name, getattr(report, name)
    yield "failed", sum(one.count for one in report.failed)
    for one in report.failed:
        yield f"failed_{clean_word(one.error)}", one.count
    yield "rate_per_s", report.rate_per_s
    for name in ("rate_low_per_s", "rate_high_per_s", "noise_percent", "near_cpu_us", "far_cpu_us"):
        yield name, getattr(report, name)
    for name in _TIMES:
        if times := getattr(report, name):
            for field in fields(times):
                yield f"{name}_{field.name}", getattr(times, field.name)
    if report.fast_open:
        yield "fast_open_used", report.fast_open.used
        yield "fast_open_asked", report.fast_open.asked
    if report.plan.path != "unix":
        yield "tw_before", report.tw_before
        yield "tw_after", report.tw_after
    for prefix, record in (("ports", report.ports), ("grown", report.counters)):
        if record is not None:
            for field in fields(record):
                yield f"{prefix}_{field.name}", getattr(record, field.name)


# -- for people ----------------------------------------------------------------------------


def write_for_people(report: ConnectReport, out: IO[str], look: Look) -> None:
    """Write what was measured, how long it took, and what it left behind."""
    bold, plain = ("\x1b[1m", "\x1b[0m") if look.color else ("", "")
    heading, *lines = _page(report, look)
    text = "\n".join([f"{bold}{heading}{plain}", *lines]) + "\n"
    out.write(plain_micro(text, look))


def _page(report: ConnectReport, look: Look) -> Iterator[str]:
    yield _heading(report)
    width = min(max(look.width, 40), 100)
    for label, text in _facts(report):
        yield from textwrap.wrap(
            text, width, initial_indent=f"  {label:<11}", subsequent_indent=" " * 13
        )
    times = [(name, getattr(report, name)) for name in _TIMES]
    rows = [_times_row(name, one) for name, one in times if one]
    if rows:
        yield ""
        yield from (f"  {line}" for line in _columns([_TIMES_HEADING, *rows], width - 2))
    after = list(_traces(report))
    if after:
        yield ""
    for label, text in after:
        yield from textwrap.wrap(
            text, width, initial_indent=f"  {label:<11}", subsequent_indent=" " * 13
        )


def _heading(report: ConnectReport) -> str:
    plan = report.plan
    where = clean(plan.to) if plan.to else _OWN[plan.path]
    text = f"{_count(report.made)} connections to {where}"
    if report.ended_by == DONE:
        return text
    return f"{text}: {'ended by Ctrl-C' if report.ended_by == INTERRUPTED else 'cut short'}"


_OWN: Final = {
    "ipv4": "our own acceptor over loopback",
    "ipv6": "our own acceptor over loopback, IPv6",
    "unix": "our own acceptor over a Unix socket",
}


def _facts(report: ConnectReport) -> Iterator[tuple[str, str]]:
    yield "each", _each(report.plan)
    if report.failed:
        yield (
            "failed",
            ", ".join(f"{_count(one.count)} {clean(one.error)}" for one in report.failed),
        )
    if report.rate_per_s is not None:
        yield "rate", _rate(report)
    if report.near_cpu_us is not None:
        text = f"{human(report.near_cpu_us, Unit.MICROSECONDS)} here"
        if report.far_cpu_us is not None:
            text += f", {human(report.far_cpu_us, Unit.MICROSECONDS)} at the acceptor"
        yield "CPU", f"{text}, per connection"
    if use := report.fast_open:
        yield "fast open", f"used in {_count(use.used)} of {_count(use.asked)}"


def _each(plan: ConnectPlan) -> str:
    done = "connect, request, reply, close" if plan.exchange == "request" else "connect, close"
    closes = {
        "client": "this end closes first",
        "server": "the other end closes first",
        "reset": "this end resets",
    }[plan.closer]
    flights = "one at a time" if plan.concurrency == 1 else f"{plan.concurrency} at a time"
    return f"{done}; {closes}; {flights}"


def _rate(report: ConnectReport) -> str:
    text = f"{_per_s(report.rate_per_s)}/s"
    if report.rate_low_per_s is not None:
        low, high = _per_s(report.rate_low_per_s), _per_s(report.rate_high_per_s)
        text += f" (95 %: {low} .. {high}; noise {human(report.noise_percent or 0, Unit.PERCENT)}"
        text += f"; {len(report.blocks)} blocks)"
    return text


def _per_s(value: float | None) -> str:
    """Three digits, as far as a rate is ever known."""
    return (
        ABSENT
        if value is None
        else _count(int(float(f"{value:.3g}")))
        if value >= 100
        else f"{value:.3g}"
    )


def _count(value: int) -> str:
    return human(value, Unit.COUNT)


_TIMES_HEADING: Final = ("", "p50", "p90", "p99", "p99.9", "max", "")


def _times_row(name: str, times: Percentiles) -> tuple[str, ...]:
    values = (times.p50_us, times.p90_us, times.p99_us, times.p99_9_us, times.max_us)
    cells = (ABSENT if v is None else human(v, Unit.MICROSECONDS) for v in values)
    return (name, *cells, _MEANINGS[name])


def _columns(rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """Numbers to the right; the last column gives way where there is no room for it."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    fits = sum(widths) + 2 * len(widths) <= width
    for first, *numbers, last in rows:
        cells = [f"{first:<{widths[0]}}"]
        cells += [f"{cell:>{w}}" for cell, w in zip(numbers, widths[1:-1], strict=True)]
        yield "  ".join([*cells, last] if fits else cells).rstrip()


def _traces(report: ConnectReport) -> Iterator[tuple[str, str]]:
    """What stays in the kernel."""
    if report.tw_before is not None and report.tw_after is not None:
        text = f"{_count(report.tw_before)} before, {_count(report.tw_after)} after, 60 s each"
        yield "TIME_WAIT", text
    if report.ports:
        yield "ports", _port_words(report.ports)
    if report.counters:
        yield "kernel", _counter_words(report.counters)
    settings = report.settings
    values = [settings.congestion_control, settings.device and f"device {settings.device}"]
    values += [f"{one.name}={value_words(one.effective)}" for one in settings.options]
    if found := [clean(value) for value in values if value]:
        yield "in force", ", ".join(found)


def _port_words(ports: PortUse) -> str:
    count = ports.last - ports.first + 1 - ports.reserved
    text = f"{_count(ports.used)} used of the {_count(count)} in {ports.first}..{ports.last}"
    if ports.left is not None and ports.taken is not None:
        text += (
            f"; to this destination {_count(ports.taken)} are taken now "
            f"and at most {_count(ports.left)} left"
        )
    return text


_COUNTER_WORDS: Final = {
    "syn_retrans": "SYNs sent again",
    "retrans_segs": "segments sent again",
    "rto_timeouts": "timeouts",
    "attempt_fails": "attempts failed",
    "listen_overflows": "accept queue overflows",
    "listen_drops": "dropped at a listener",
    "tw_overflows": "too many for TIME_WAIT",
}


def _counter_words(counters: CounterGrowth) -> str:
    """Only what went wrong."""
    values = {name: getattr(counters, name) for name in _COUNTER_WORDS}
    if grown := [
        f"{_count(values[name])} {_COUNTER_WORDS[name]}" for name in values if values[name]
    ]:
        return ", ".join(grown)
    if None in values.values():
        return "nothing that this kernel counts"
    return "no retransmission, nothing dropped at a listener"
