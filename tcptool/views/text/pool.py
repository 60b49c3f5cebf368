"""`probe pool` as text: a line for each arm in a pipe, a page for people."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import IO, Final

from tcptool.model.connect import Percentiles
from tcptool.model.pool_probe import PoolArm, PoolReport
from tcptool.units import Unit, human
from tcptool.views.clean import clean, clean_word
from tcptool.views.inspect_sections import ABSENT, value_words
from tcptool.views.look import Look
from tcptool.views.terminal.console import plain_micro
from tcptool.views.terminal.sparkline import sparkline
from tcptool.views.text.options import aligned

_TIMES: Final = ("fresh", "reused", "connect")
_PLAIN: Final = (
    "requests", "rate_per_s", "rate_low_per_s", "rate_high_per_s", "noise_percent", "near_cpu_us",
    "created", "reuse_percent", "invalid_found", "stale_handed_out", "waits", "late", "ports",
)  # fmt: skip
_GRAPH: Final = 40


def write(report: PoolReport, out: IO[str], look: Look) -> None:
    """Write a heading and a row for each arm; then as comments what holds for all."""
    heading = ["arm", *_PLAIN, "failed"]
    heading += [f"{name}_{end}" for name in _TIMES for end in ("p50_us", "p99_us", "max_us")]
    rows = [[*_row(arm)] for arm in report.arms]
    out.writelines(f"{line}\n" for line in aligned([heading, *rows]))
    plan = report.plan
    words = [
        f"target={clean_word(plan.target or '-')}",
        f"path={clean_word(plan.path)}",
        f"loop={clean_word(report.loop)}",
    ]
    words += [f"concurrency={plan.concurrency}", f"rest_s={plan.rest_s:g}"]
    words += [f"tw_before={_word(report.tw_before)}", f"tw_after={_word(report.tw_after)}"]
    out.write(f"# {' '.join(words)}\n")


def _row(arm: PoolArm) -> Iterator[str]:
    yield clean_word(arm.name)
    for name in _PLAIN:
        yield _word(getattr(arm, name))
    yield str(sum(one.count for one in arm.failed))
    for name in _TIMES:
        times: Percentiles | None = getattr(arm, name)
        for end in ("p50_us", "p99_us", "max_us"):
            yield _word(getattr(times, end) if times else None)


def _word(value: object) -> str:
    if value is None:
        return ABSENT
    return f"{value:.6g}" if isinstance(value, float) else clean_word(value_words(value))


# -- for people ----------------------------------------------------------------------------


def write_for_people(report: PoolReport, out: IO[str], look: Look) -> None:
    """Write what was asked, how long it took, and what reuse was worth."""
    bold, plain = ("\x1b[1m", "\x1b[0m") if look.color else ("", "")
    heading, *lines = _page(report, look)
    out.write(plain_micro("\n".join([f"{bold}{heading}{plain}", *lines]) + "\n", look))


def _page(report: PoolReport, look: Look) -> Iterator[str]:
    width = min(max(look.width, 40), 100)

    def wrapped(label: str, text: str) -> Iterator[str]:
        yield from textwrap.wrap(
            text, width, initial_indent=f"  {label:<11}", subsequent_indent=" " * 13
        )

    plan = report.plan
    where = clean(plan.target) if plan.target else "a server of our own over loopback"
    ending = "" if report.complete else ": ended by Ctrl-C"
    yield f"Requests to {where}{ending}"
    yield from wrapped("asked", _asked(report))
    yield ""
    heading = ("", "requests/s", "95 %", "fresh p50", "reused p50", "p99", "reused", "connect")
    table = [heading, *map(_cells, report.arms)]
    lines = [f"  {line}" for line in _columns(table)]
    if max(map(len, lines)) > look.width:  # the interval gives way
        lines = [f"  {line}" for line in _columns([[*row[:2], *row[3:]] for row in table])]
    yield from lines
    if any(arm.stale_handed_out or arm.invalid_found for arm in report.arms):
        yield ""
        rows = [("", "found dead", "handed out dead", "requests lost")]
        rows += [
            (clean(arm.name), _count(arm.invalid_found), _count(arm.stale_handed_out), _lost(arm))
            for arm in report.arms
        ]
        yield from (f"  {line}" for line in _columns(rows))
    if report.lessons:
        yield ""
    for text in report.lessons:
        yield from textwrap.wrap(clean(text), width, initial_indent="  ", subsequent_indent="  ")
    yield ""
    for arm in report.arms:
        if len(arm.timeline) > 1:
            yield f"  {_timeline(arm, look)}"
    if report.tw_before is not None and report.tw_after is not None:
        text = f"{_count(report.tw_before)} before, {_count(report.tw_after)} after, 60 s each"
        yield from wrapped("TIME_WAIT", text)
    if report.ports and report.ports.left is not None:
        text = f"{_count(report.ports.used)} used; at most {_count(report.ports.left)} are left"
        yield from wrapped("ports", f"{text} for this destination")


def _asked(report: PoolReport) -> str:
    plan = report.plan
    threads = "one thread" if plan.concurrency == 1 else f"{plan.concurrency} threads"
    loop = f"{_count(plan.requests_per_s)} a second" if plan.requests_per_s else "closed loop"
    parts = [threads, loop, f"{plan.blocks} blocks, each with a pool of its own"]
    if plan.size_bytes is not None:
        parts.append(f"{human(plan.size_bytes, Unit.BYTES)} an answer")
    if plan.rest_s:
        parts.append(f"a rest of {human(plan.rest_s, Unit.SECONDS)} in the middle of each")
    if plan.server_closes_after_s:
        after = human(plan.server_closes_after_s, Unit.SECONDS)
        parts.append(f"the server closes what is idle for {after}")
    return ", ".join(parts)


def _cells(arm: PoolArm) -> tuple[str, ...]:
    interval = ABSENT
    if arm.rate_low_per_s is not None:
        interval = f"{_rate(arm.rate_low_per_s)} .. {_rate(arm.rate_high_per_s)}"
    times = arm.reused or arm.fresh
    share = ABSENT if arm.reuse_percent is None else human(arm.reuse_percent, Unit.PERCENT)
    return (
        clean(arm.name),
        _rate(arm.rate_per_s),
        interval,
        _us(arm.fresh.p50_us if arm.fresh else None),
        _us(arm.reused.p50_us if arm.reused else None),
        _us(times.p99_us if times else None),
        share,
        _us(arm.connect.p50_us if arm.connect else None),
    )


def _lost(arm: PoolArm) -> str:
    total = sum(one.count for one in arm.failed)
    return (
        ", ".join(f"{_count(one.count)} {clean(one.kind)}" for one in arm.failed) if total else "0"
    )


def _timeline(arm: PoolArm, look: Look) -> str:
    """The last block: connections lent, and idle."""
    lent = _graph([one.in_use for one in arm.timeline], look)
    idle = _graph([one.idle for one in arm.timeline], look)
    most = max(one.in_use + one.idle for one in arm.timeline)
    return f"{clean(arm.name):<9}  lent {lent}  idle {idle}  (most {most})"


def _graph(values: Sequence[int], look: Look) -> str:
    step = max(1, -(-len(values) // (_GRAPH // 2)))
    shown: list[float | None] = [
        float(max(values[n : n + step])) for n in range(0, len(values), step)
    ]
    return sparkline(shown, _GRAPH // 2, unicode=look.unicode)


def _columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *rest in rows:
        cells = [f"{first:<{widths[0]}}"]
        cells += [f"{cell:>{width}}" for cell, width in zip(rest, widths[1:], strict=True)]
        yield "  ".join(cells).rstrip()


def _rate(value: float | None) -> str:
    if value is None:
        return ABSENT
    return _count(int(float(f"{value:.3g}"))) if value >= 100 else f"{value:.3g}"


def _us(value: float | None) -> str:
    return ABSENT if value is None else human(value, Unit.MICROSECONDS)


def _count(value: int) -> str:
    return human(value, Unit.COUNT)
