"""`probe latency` as text: a line for each arm in a pipe, a table and what it shows for people.

In a pipe every cell is one word, times are in microseconds, and absent is ``-``.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Final

from tcptool.analysis.comparison import NO_DIFFERENCE, TOO_FEW
from tcptool.model.comparison import Comparison
from tcptool.model.latency import LatencyArm, LatencyPlan, LatencyReport
from tcptool.units import Unit, human
from tcptool.views.clean import clean, clean_word
from tcptool.views.inspect_sections import ABSENT, value_words
from tcptool.views.look import Look
from tcptool.views.terminal.console import plain_micro
from tcptool.views.text.options import aligned

# -- in a pipe -----------------------------------------------------------------------------


def write(report: LatencyReport, out: IO[str], look: Look) -> None:
    """Write a heading and a line for each arm; the columns are named as the fields of JSON."""
    rows = [
        [clean_word(report.loop), *(_word(value(arm)) for value in _COLUMNS.values())]
        for arm in report.arms
    ]
    out.writelines(f"{line}\n" for line in aligned([["loop", *_COLUMNS], *rows]))
    if not report.complete:
        out.write("# incomplete: ended before its time\n")


def _word(value: float | str | None) -> str:
    if value is None:
        return ABSENT
    return f"{value:.6g}" if isinstance(value, float) else clean_word(value_words(value))


def _verdict(arm: LatencyArm) -> str | None:
    return arm.outcome.verdict if arm.outcome else None


_COLUMNS: Final[dict[str, Callable[[LatencyArm], float | str | None]]] = {
    "name": lambda arm: arm.name,
    "size_bytes": lambda arm: arm.size_bytes,
    "reply_bytes": lambda arm: arm.reply_bytes,
    "pattern": lambda arm: arm.pattern,
    "option": lambda arm: arm.option,
    "under_load": lambda arm: arm.under_load,
    "blocks": lambda arm: len(arm.blocks),
    "requests": lambda arm: arm.requests,
    "late": lambda arm: arm.late,
    "p50_us": lambda arm: arm.p50_us,
    "p50_low_us": lambda arm: arm.p50_low_us,
    "p50_high_us": lambda arm: arm.p50_high_us,
    "p90_us": lambda arm: arm.p90_us,
    "p99_us": lambda arm: arm.p99_us,
    "p99_9_us": lambda arm: arm.p99_9_us,
    "max_us": lambda arm: arm.max_us,
    "data_segments": lambda arm: arm.data_segments,
    "retrans_packets": lambda arm: arm.retrans_packets,
    "load_rate_bytes_per_s": lambda arm: arm.load_rate_bytes_per_s,
    "base": lambda arm: arm.base,
    "verdict": _verdict,
    "effect_percent": lambda arm: arm.outcome.effect_percent if arm.outcome else None,
    "low_percent": lambda arm: arm.outcome.low_percent if arm.outcome else None,
    "high_percent": lambda arm: arm.outcome.high_percent if arm.outcome else None,
}


# -- for people ----------------------------------------------------------------------------


def write_for_people(report: LatencyReport, out: IO[str], look: Look) -> None:
    """Write what was measured, a line for each arm, how they differ, and what that shows."""
    bold, plain = ("\x1b[1m", "\x1b[0m") if look.color else ("", "")
    heading, *lines = _page(report, min(max(look.width, 40), _WIDEST))
    out.write(plain_micro("\n".join([f"{bold}{heading}{plain}", *lines]) + "\n", look))


_WIDEST: Final = 100
"""Longer lines are hard to read."""


def _page(report: LatencyReport, width: int) -> Iterator[str]:
    yield _heading(report)
    yield from _wrapped(_conditions(report), width)
    yield ""
    yield from (f"  {line}" for line in _table(report.arms, width - 2))
    compared = [arm for arm in report.arms if arm.outcome]
    if compared:
        yield ""
        yield from (f"  {line}" for line in _comparisons(compared))
    for lesson in report.lessons:
        yield ""
        yield from _wrapped(lesson.message, width)


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, initial_indent="  ", subsequent_indent="  ")


def _heading(report: LatencyReport) -> str:
    plan = report.plan
    where = f"to {clean(plan.to)}" if plan.to else _OWN[plan.path]
    return f"Round trips {where}{'' if report.complete else ': ended by Ctrl-C'}"


_OWN: Final = {
    "ipv4": "over loopback",
    "ipv6": "over loopback, IPv6",
    "unix": "over a Unix socket",
}


def _conditions(report: LatencyReport) -> str:
    plan, settings = report.plan, report.settings
    blocks = f"{len(report.arms[0].blocks)} blocks of at most"
    parts = [_sizes(plan), _loop(plan), f"{blocks} {human(plan.requests, Unit.COUNT)} requests"]
    if plan.patterns != ("one-write",):
        parts.append(clean(" / ".join(plan.patterns)))
    values = [settings.congestion_control, settings.device and f"device {settings.device}"]
    values += [f"{one.name}={value_words(one.effective)}" for one in settings.options]
    parts += [clean(value) for value in values if value]
    parts.append(f"the loop itself takes {human(report.floor_us, Unit.MICROSECONDS)}")
    return "; ".join(parts)


def _sizes(plan: LatencyPlan) -> str:
    sizes = ", ".join(human(size, Unit.BYTES) for size in plan.sizes_bytes)
    back = "back" if plan.reply_bytes is None else human(plan.reply_bytes, Unit.BYTES) + " back"
    return f"{sizes} there and {back}"


def _loop(plan: LatencyPlan) -> str:
    if plan.requests_per_s is None:
        return "closed loop"
    return f"open loop, {human(plan.requests_per_s, Unit.COUNT)} requests/s"


# -- the table -----------------------------------------------------------------------------


def _time(value: float | None) -> str:
    return ABSENT if value is None else human(value, Unit.MICROSECONDS)


def _interval(arm: LatencyArm) -> str:
    if arm.p50_low_us is None or arm.p50_high_us is None:
        return ABSENT
    low, high = _time(arm.p50_low_us), _time(arm.p50_high_us)
    unit = low.rpartition(" ")[2]
    return f"{low.removesuffix(f' {unit}') if high.endswith(f' {unit}') else low} .. {high}"


def _segments(arm: LatencyArm) -> str:
    if arm.data_segments is None:
        return ABSENT
    return f"{arm.data_segments / arm.requests:.2g}"


_TABLE: Final[dict[str, Callable[[LatencyArm], str]]] = {
    "p50": lambda arm: _time(arm.p50_us),
    "(95 %)": _interval,
    "p90": lambda arm: _time(arm.p90_us),
    "p99": lambda arm: _time(arm.p99_us),
    "p99.9": lambda arm: _time(arm.p99_9_us),
    "max": lambda arm: _time(arm.max_us),
    "requests": lambda arm: human(arm.requests, Unit.COUNT),
    "seg/req": _segments,
    "resent": lambda arm: human(arm.retrans_packets or 0, Unit.COUNT),
    "late": lambda arm: human(arm.late or 0, Unit.COUNT),
    "load": lambda arm: (
        ABSENT
        if arm.load_rate_bytes_per_s is None
        else human(arm.load_rate_bytes_per_s, Unit.BYTES_PER_SECOND)
    ),
}
_NOTHING: Final = frozenset({ABSENT, "0"})
_LESS_IMPORTANT: Final = ("requests", "resent", "seg/req", "(95 %)", "p90")
"""Columns that give way on a narrow terminal, the first of them first."""


def _table(arms: Sequence[LatencyArm], width: int) -> list[str]:
    """One line for each arm; a column in which nobody has anything is left out."""
    columns = {name: [cell(arm) for arm in arms] for name, cell in _TABLE.items()}
    columns = {name: cells for name, cells in columns.items() if not _NOTHING.issuperset(cells)}
    lines = _lines(arms, columns)
    for name in _LESS_IMPORTANT:
        if max(map(len, lines)) <= width:
            break
        columns.pop(name, None)
        lines = _lines(arms, columns)
    return lines


def _lines(arms: Sequence[LatencyArm], columns: dict[str, list[str]]) -> list[str]:
    first = max(len(arm.name) for arm in arms)
    widths = [max(len(name), *map(len, cells)) for name, cells in columns.items()]
    rows = zip(*columns.values(), strict=True)
    return [
        "  ".join([f"{name:<{first}}", *(f"{c:>{w}}" for c, w in zip(row, widths, strict=True))])
        for name, row in zip(
            ["", *(clean(arm.name) for arm in arms)], [tuple(columns), *rows], strict=True
        )
    ]


# -- comparisons ---------------------------------------------------------------------------


def _comparisons(arms: Sequence[LatencyArm]) -> Iterator[str]:
    """How each differs from its base, with the interval of that."""
    first = max(len(arm.name) for arm in arms)
    for arm in arms:
        if arm.outcome:
            outcome = _outcome(arm.outcome, clean(arm.base or ""))
            yield f"{clean(arm.name):<{first}}  {outcome}"


def _outcome(outcome: Comparison, base: str) -> str:
    """In percent of the base, or as a factor from 2 on."""
    effect, low, high = outcome.effect_percent, outcome.low_percent, outcome.high_percent
    if outcome.verdict == TOO_FEW or effect is None or low is None or high is None:
        return f"too few blocks to compare with {base}"
    if outcome.verdict == NO_DIFFERENCE:
        return f"no difference from {base} shown ({_short(low)} .. {_short(high)} %)"
    word, sign = ("longer", 1) if effect > 0 else ("shorter", -1)
    factors = [(1 + percent / 100) ** sign for percent in (effect, low, high)]
    if factors[0] >= _AS_FACTOR:
        centre, *bounds = factors
        unit = "times"
    else:
        centre, *bounds = (percent * sign for percent in (effect, low, high))
        unit = "%"
    least, most = sorted(bounds)
    return f"{_short(centre)} {unit} {word} than {base} ({_short(least)} .. {_short(most)})"


def _short(number: float) -> str:
    """Three digits, or a whole number."""
    return f"{number:.0f}" if abs(number) >= 100 else f"{number:.3g}"


_AS_FACTOR: Final = 2.0
"""Percentages above 100, and those near -100, are hard to read."""
