"""`options` as text: a table with one line an option, or everything about the named ones.

In the table every cell is one word and nothing is cut off.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator
from typing import IO, Final

from tcptool.catalog.option_manual import MPTCP, READS_BACK, RISK, takes_effect
from tcptool.catalog.options import Codec, Mptcp, OptionValue, ReadBack, Reading, Risk, When
from tcptool.model.option_report import OptionsReport, OptionSurvey, Trial
from tcptool.units import Unit
from tcptool.views.clean import clean, clean_word
from tcptool.views.inspect_sections import ABSENT, value_words
from tcptool.views.look import Look
from tcptool.views.text.explain import UNIT_NAMES


def write(report: OptionsReport, out: IO[str], look: Look) -> None:
    """Write a heading and a line for each option."""
    rows = [[cell(option) for cell in COLUMNS.values()] for option in report.options]
    out.writelines(f"{line}\n" for line in aligned([[*COLUMNS], *rows]))


def aligned(rows: list[list[str]]) -> Iterator[str]:
    """The rows as lines, every column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (f"{cell:{width}}" for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def _value(value: OptionValue | None) -> str:
    return ABSENT if value is None else value_words(value)


def default_cell(option: OptionSurvey) -> str:
    """The value of a new socket, IPv4 first."""
    values = (option.default_ipv4, option.default_ipv6)
    return next((_value(value) for value in values if value is not None), ABSENT)


def range_cell(option: OptionSurvey) -> str:
    """The words that are accepted, or the ends of the range."""
    if option.choices:
        return ",".join(option.choices)
    if option.kind == Codec.BOOLEAN and option.settable and option.available is not False:
        return "no,yes"
    if (option.lowest, option.highest) == (None, None):
        return ABSENT
    lowest, highest = ("" if v is None else _value(v) for v in (option.lowest, option.highest))
    return f"{lowest}..{highest}"


def _needs(option: OptionSurvey) -> str:
    """The capabilities that some value takes."""
    if option.privilege is None or option.privilege.startswith("none"):
        return ABSENT
    return "|".join(re.findall("CAP_[A-Z_]+", option.privilege)) or ABSENT


def yes_or_no(answer: bool | None) -> str:
    """``yes``, ``no``, or that it is not known."""
    return ABSENT if answer is None else value_words(answer)


COLUMNS: Final[dict[str, Callable[[OptionSurvey], str]]] = {
    "option": lambda option: option.name,
    "unit": lambda option: option.unit or ABSENT,
    "here": lambda option: yes_or_no(option.available),
    "default": lambda option: clean_word(default_cell(option)),
    "range": lambda option: clean_word(range_cell(option)),
    "live": lambda option: option.takes_effect,
    "inherited": lambda option: yes_or_no(option.inherited),
    "risk": lambda option: option.risk or ABSENT,
    "may_set": lambda option: yes_or_no(option.may_set),
    "needs": _needs,
}


# -- in full -------------------------------------------------------------------------------


def write_in_full(report: OptionsReport, out: IO[str], look: Look) -> None:
    """Write a paragraph for each option: what was seen here first, then what the table says."""
    out.write("\n\n".join("\n".join(_paragraph(option, look)) for option in report.options) + "\n")


def _paragraph(option: OptionSurvey, look: Look) -> list[str]:
    width = min(max(look.width, 40), 96)
    bold, plain = ("\x1b[1m", "\x1b[0m") if look.color else ("", "")
    unit = f", {UNIT_NAMES[Unit(option.unit)]}" if option.unit else ""
    lines = [f"{bold}{option.name}{plain}  (socket option{unit})"]
    lines += textwrap.wrap(option.meaning, width, initial_indent="  ", subsequent_indent="  ")
    for what, value in _facts(option):
        if value:
            text = f"{what}: {clean(value)}"
            lines += textwrap.wrap(
                text, width, initial_indent="  ", subsequent_indent=" " * 4, break_on_hyphens=False
            )
    if option.example:
        lines.append(f"  example: {option.example}")
    return lines


def _facts(option: OptionSurvey) -> Iterator[tuple[str, str | None]]:
    yield "on this kernel", _presence(option)
    yield "default here", _default_in_full(option)
    if option.risk is None:
        yield "who may set it", "nobody: it can only be read"
    else:
        yield from _setting(option, Risk(option.risk))
    yield "inherited by accept()", yes_or_no(option.inherited)
    yield "MPTCP", MPTCP[Mptcp(option.mptcp)]
    yield "pitfall", option.pitfall
    yield "number", f"level {option.level}, option {option.number}" if option.level >= 0 else ""
    yield "since Linux", option.since
    yield "source", option.source


def _setting(option: OptionSurvey, risk: Risk) -> Iterator[tuple[str, str | None]]:
    """What matters to whoever sets it."""
    shown = range_cell(option)
    yield f"range ({option.range_from})", "" if shown == ABSENT else shown
    yield "tried here", ", ".join(map(_trial, option.tried))
    yield "accepts", option.range_text
    yield "takes effect", takes_effect(When(option.takes_effect), option.takes_effect_text or "")
    yield "reads back", READS_BACK[ReadBack(option.reads_back)]
    yield "who may set it", _who(option)
    yield "risk on a live socket", f"{risk}: {option.danger or RISK[risk]}"
    if option.forceable is not None:
        yield "apply --force", "sets it nevertheless" if option.forceable else "refuses it as well"


def _presence(option: OptionSurvey) -> str:
    if option.available is None:
        harmful = option.reading in (Reading.DESTRUCTIVE, Reading.SECRET)
        return "not asked, because that could do harm" if harmful else "not asked"
    return "yes" if option.available else f"no ({option.error})"


def _default_in_full(option: OptionSurvey) -> str:
    ipv4, ipv6 = option.default_ipv4, option.default_ipv6
    values = {_value(value) for value in (ipv4, ipv6) if value is not None}
    text = f"{_value(ipv4)} on IPv4, {_value(ipv6)} on IPv6" if len(values) > 1 else "".join(values)
    return f"{text} ({option.default_sysctl})" if text and option.default_sysctl else text


def _trial(trial: Trial) -> str:
    if trial.error is not None:
        return f"{_value(trial.asked)} gives {trial.error}"
    if trial.effective is None:
        return f"{_value(trial.asked)} is accepted"
    return f"{_value(trial.asked)} reads {_value(trial.effective)}"


def _who(option: OptionSurvey) -> str:
    if option.privilege is None:
        return "anyone who holds the socket"
    seen = {True: "; you may", False: "; you may not", None: ""}[option.may_set]
    return option.privilege + seen
