"""`probe diff` as text: a line for each figure of both results, and what else differs.

In a pipe every cell is one word in the unit that stands beside it, and absent is ``-``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Final

from tcptool.analysis.comparison import NO_DIFFERENCE, TOO_FEW
from tcptool.model.probe_diff import Change, ProbeDiff, Quantity
from tcptool.units import Unit, human
from tcptool.views.clean import clean, clean_word
from tcptool.views.inspect_sections import ABSENT
from tcptool.views.look import Look
from tcptool.views.terminal.console import plain_micro
from tcptool.views.text.options import aligned

_HEADING: Final = (
    "of", "metric", "unit", "before", "after",
    "effect_percent", "low_percent", "high_percent", "verdict", "worse",
)  # fmt: skip


def write(report: ProbeDiff, out: IO[str], _: Look) -> None:
    """Write a heading and a row for each figure; then as comments what else differs."""
    rows = [
        [
            clean_word(one.of),
            one.metric,
            one.before.unit or ABSENT,
            *map(_number, (one.before.value, one.after.value)),
            *map(_number, _effect(one)),
            one.outcome.verdict,
            "yes" if one.worse else "no",
        ]
        for one in report.changes
    ]
    out.writelines(f"{line}\n" for line in aligned([list(_HEADING), *rows]))
    out.writelines(f"# {line}\n" for line in _rest(report))


def write_for_people(report: ProbeDiff, out: IO[str], look: Look) -> None:
    """Write both origins, the figures, what came of it, and what else differs."""
    bold, plain = ("\x1b[1m", "\x1b[0m") if look.color else ("", "")
    before, after = report.before, report.after
    out.write(f"{bold}{clean(before.file)}, then {clean(after.file)}{plain}\n")
    for word, one in (("before", before), ("after", after)):
        out.write(f"  {word:<6}  {clean(one.time)}  {clean(one.host)}, Linux {clean(one.kernel)}\n")
    rows = [["of", "metric", "before", "after", "change", "95 % interval", ""]]
    rows += [
        [
            clean(one.of),
            one.metric,
            _shown(one.before),
            _shown(one.after),
            *_words(one, report.threshold_percent),
        ]
        for one in report.changes
    ]
    lines = [f"  {line}" for line in aligned(rows)]
    text = "\n".join(["", *lines, "", _conclusion(report)])
    out.write(plain_micro(text, look) + "\n")
    out.writelines(f"  {line}\n" for line in _rest(report))


def _effect(one: Change) -> tuple[float | None, ...]:
    outcome = one.outcome
    return outcome.effect_percent, outcome.low_percent, outcome.high_percent


def _number(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.6g}"


def _shown(quantity: Quantity) -> str:
    if quantity.value is None:
        return ABSENT
    value, unit = quantity.value, Unit(quantity.unit)
    return human(round(value) if unit in (Unit.COUNT, Unit.MICROSECONDS) else value, unit)


def _words(one: Change, threshold_percent: float) -> tuple[str, str, str]:
    effect, low, high = (ABSENT if end is None else f"{end:+.1f}" for end in _effect(one))
    return f"{effect} %", f"{low} to {high} %", _judgement(one, threshold_percent)


def _judgement(one: Change, threshold_percent: float) -> str:
    verdict, (_, low, high) = one.outcome.verdict, _effect(one)
    if verdict == TOO_FEW:
        return "too few readings"
    if verdict == NO_DIFFERENCE:
        sure = low is not None and high is not None and not low <= 0 <= high
        return f"below {threshold_percent:g} %" if sure else "no difference shown"
    return "worse" if one.worse else "better"


def _conclusion(report: ProbeDiff) -> str:
    worse = [f"{clean(one.of)} {one.metric}" for one in report.changes if one.worse]
    if worse:
        return f"Worse by {report.threshold_percent:g} % or more: {', '.join(worse)}."
    if all(one.outcome.verdict == TOO_FEW for one in report.changes):
        return "Nothing could be judged."
    return f"Nothing got worse by {report.threshold_percent:g} % or more."


def _rest(report: ProbeDiff) -> Iterator[str]:
    for word, names in (("before", report.only_before), ("after", report.only_after)):
        if names:
            yield f"only {word}: {', '.join(map(clean, names))}"
    for one in report.circumstances:
        yield f"not the same: {one.what}: {clean(one.before)} before, {clean(one.after)} after"
