"""`doctor` as text: one finding a line in a pipe, with the rest behind ``#``; a page for people.

For people the worst comes first, with its evidence and what to paste; what is in order is one
line.  A command may take several lines, which can be pasted as they stand.
"""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import IO, Final

from tcptool.catalog.severity import Severity
from tcptool.model.doctor import BufferLimit, DoctorReport, Finding, PathNeeds, Remedy
from tcptool.units import Unit, human
from tcptool.views.clean import clean, clean_word
from tcptool.views.inspect_sections import ABSENT
from tcptool.views.look import Look
from tcptool.views.terminal.console import plain_micro
from tcptool.views.text.options import aligned

_COLORS: Final = {
    Severity.FAIL: "\x1b[1;31m",
    Severity.WARN: "\x1b[33m",
    Severity.INFO: "\x1b[36m",
    Severity.OK: "\x1b[32m",
    Severity.SKIP: "",
}
_QUIET: Final = (Severity.OK, Severity.SKIP)
_PASTED: Final = ("run", "undo")
_WIDEST: Final = 100
_LABEL: Final = 6
_QUANTITY: Final = re.compile(
    r"(?<=\d) (?=(?:\d{3}|[mµ]?s|min|h|%|[KMGT]?i?B|[kMGT]?bit/s)(?![^\s,.;:)]))"
)
"""The space in ``5 s`` and ``97 334 499``, at which no line is broken."""
_SHELL_WORD: Final = re.compile(r"(?:[^\s']|'[^']*')+")
"""What must stay on one line: a word of the shell with its quoted parts (shlex.quote)."""


# -- in a pipe -----------------------------------------------------------------------------


def write(report: DoctorReport, out: IO[str], look: Look) -> None:
    """Write a heading and a line for each check; of a path, one for each figure."""
    if report.path is not None:
        rows = [["figure", "value"], *_figures(report.path, report.findings)]
    else:
        rows = [["severity", "check", "layer", "aspect", "finding"]]
        rows += [[f.severity, f.id, f.layer, f.aspect, clean(f.summary)] for f in report.findings]
    out.writelines(f"{line}\n" for line in aligned(rows))
    if report.path is None:
        out.writelines(f"# {line}\n" for line in _beside(report.findings))


def _beside(findings: Iterable[Finding]) -> Iterator[str]:
    """What stands behind ``#``: evidence and answer of what was found."""
    for one in findings:
        if one.severity in _QUIET:
            continue
        yield f"{one.severity} {one.id}: {one.why}"
        for seen in one.evidence:
            yield f"  seen: {clean(seen.where)}: {clean(seen.value)}"
        if one.remedy is not None:
            for label, text in _answer(one.remedy).items():
                yield f"  {label}: {clean(text)}"


def _answer(remedy: Remedy) -> dict[str, str]:
    texts = {
        "do": remedy.advice,
        "run": remedy.command,
        "keep": remedy.persistence,
        "risk": remedy.risk,
        "undo": remedy.undo,
    }
    return {label: text for label, text in texts.items() if text is not None}


def _figures(path: PathNeeds, findings: Iterable[Finding]) -> Iterator[list[str]]:
    """Name, which ends in its unit, and value."""
    numbers: dict[str, float | None] = {
        "rate_bytes_per_s": path.rate_bytes_per_s,
        "rtt_us": path.rtt_us,
        "mss_bytes": path.mss_bytes,
        "bdp_bytes": path.bdp_bytes,
        "window_scale": path.window_scale,
        "needed_window_scale": path.needed_window_scale,
        "loss_budget_percent": path.loss_budget_percent,
        "packets_between_losses": path.packets_between_losses,
        "connections_to_pressure": path.connections_to_pressure,
    }
    yield ["congestion_control", clean_word(path.congestion_control or ABSENT)]
    for name, value in numbers.items():
        yield [name, _raw(value)]
    for word, limit in (("receive", path.receive), ("send", path.send)):
        yield [f"{word}_sysctl", limit.sysctl]
        yield [f"{word}_present_bytes", _raw(limit.present_bytes)]
        yield [f"{word}_needed_bytes", _raw(limit.needed_bytes)]
        yield [f"{word}_allows_bytes_per_s", _raw(limit.allows_bytes_per_s)]
        yield [f"{word}_answer", limit.answer]
    for one in findings:
        yield ["severity", one.severity]
        if one.remedy and one.remedy.command:
            yield ["command", clean(one.remedy.command)]
            yield ["undo", clean(one.remedy.undo or ABSENT)]


def _raw(value: object) -> str:
    if value is None:
        return ABSENT
    return f"{value:.6g}" if isinstance(value, float) else str(value)


# -- for people ----------------------------------------------------------------------------


def write_for_people(report: DoctorReport, out: IO[str], look: Look, *, all_checks: bool) -> None:
    """Write what was found, worst first, and what is in order in short or in full."""
    lines = [*_page(report, look, all_checks=all_checks)]
    text = "\n".join(lines).strip("\n") + "\n"
    if not look.unicode:
        text = plain_micro(text, look).encode("ascii", "backslashreplace").decode()
    out.write(text)


def _page(report: DoctorReport, look: Look, *, all_checks: bool) -> Iterator[str]:
    if report.path is not None:
        yield from _path(report.path, look)
    else:
        yield from _heading(report, look)
    shown = [
        one for one in report.findings if all_checks or report.path or one.severity not in _QUIET
    ]
    for layer, findings in groupby(shown, key=lambda one: one.layer):
        yield ""
        yield _styled(layer.upper(), "\x1b[1m", look)
        for place, one in enumerate(findings):
            if place and not all_checks:
                yield ""
            yield from _finding(one, look)
    if report.path is None and not all_checks:
        yield ""
        yield from _in_order(report.findings, look)


def _heading(report: DoctorReport, look: Look) -> Iterator[str]:
    window = human(float(f"{report.window_s or 0:.3g}"), Unit.SECONDS)
    text = (
        f"{clean(report.host.host)}, Linux {clean(report.host.kernel)}: two readings {window} apart"
    )
    yield from _wrapped(text if report.complete else f"{text}, cut short by Ctrl-C", "", look)
    numbers = Counter(one.severity for one in report.findings)
    worst = [f"{numbers[s]} {s}" for s in reversed(Severity) if s not in _QUIET and numbers[s]]
    rest = f"{numbers[Severity.OK]} ok, {numbers[Severity.SKIP]} not checked"
    yield from _wrapped(f"{', '.join(worst) or 'nothing found'}; {rest}", "", look)


def _finding(one: Finding, look: Look) -> Iterator[str]:
    word = _styled(f"{one.severity:<5}", _COLORS[one.severity], look)
    yield f"{word} {one.id}  {one.title}"
    yield from _wrapped(clean(one.summary), " " * _LABEL, look)
    for evidence in one.evidence:
        yield from _labelled("seen", f"{clean(evidence.where)}: {clean(evidence.value)}", look)
    if one.severity in _QUIET:
        return
    yield from _labelled("why", one.why, look)
    if one.remedy is not None:
        yield from _remedy(one.remedy, look)
    for myth in one.myths:
        yield from _labelled("myth", f'"{myth.claim}": {myth.answer} ({myth.source})', look)
    yield from _labelled("from", one.source, look)


def _remedy(remedy: Remedy, look: Look) -> Iterator[str]:
    for label, text in _answer(remedy).items():
        if label in _PASTED:
            yield from _command(label, text, look)
        else:
            yield from _labelled(label, clean(text), look)


def _in_order(findings: Iterable[Finding], look: Look) -> Iterator[str]:
    """The quiet checks: those that are ok in one line, and why others were not made."""
    found = list(findings)
    ids = " ".join(sorted(one.id for one in found if one.severity is Severity.OK))
    if ids:
        text = f"{ids} (--all shows each)"
        yield from _tagged("ok", text, _COLORS[Severity.OK], look)
    for one in found:
        if one.severity is Severity.SKIP:
            yield from _tagged("skip", f"{one.id} {one.title}: {clean(one.summary)}", "", look)


def _tagged(tag: str, text: str, color: str, look: Look) -> Iterator[str]:
    first, *more = _wrapped(text, " " * _LABEL, look)
    yield _styled(f"{tag:<{_LABEL}}", color, look) + first[_LABEL:]
    yield from more


# -- a path --------------------------------------------------------------------------------


def _path(path: PathNeeds, look: Look) -> Iterator[str]:
    rate, rtt = human(path.rate_bytes_per_s, Unit.BYTES_PER_SECOND), _us(path.rtt_us)
    yield _styled(f"A path of {rate} and {rtt}", "\x1b[1m", look)
    yield from _labelled("holds", f"{_bytes(path.bdp_bytes)}: rate times round-trip time", look)
    yield from _labelled("recv", _limit(path.receive), look)
    yield from _labelled(
        "send", f"{_limit(path.send)} ({path.congestion_control or 'cubic'})", look
    )
    scale = "unknown" if path.window_scale is None else str(path.window_scale)
    text = f"window scale {scale} now, {path.needed_window_scale} with the limit that it needs"
    yield from _labelled("scale", text, look)
    text = (
        f"at most one segment of {path.mss_bytes} bytes in "
        f"{human(path.packets_between_losses, Unit.COUNT)} at random, for cubic and reno; bbr "
        "stands more"
    )
    yield from _labelled("loss", text, look)
    if path.connections_to_pressure is not None:
        number = human(path.connections_to_pressure, Unit.COUNT)
        text = f"{number} such connections at once bring TCP under memory pressure (tcp_mem)"
        yield from _labelled("room", text, look)


def _limit(limit: BufferLimit) -> str:
    needed = f"needs {limit.sysctl}[2] of {_bytes(limit.needed_bytes)}"
    if limit.present_bytes is None or limit.allows_bytes_per_s is None:
        return f"{needed}; it cannot be read here"
    allows = human(limit.allows_bytes_per_s, Unit.BYTES_PER_SECOND)
    return (
        f"{needed}; it is {_bytes(limit.present_bytes)}, which allows {allows}: "
        f"{limit.answer.replace('-', ' ')}"
    )


def _bytes(value: int) -> str:
    return human(value, Unit.BYTES)


def _us(value: int) -> str:
    return human(value, Unit.MICROSECONDS)


# -- lines ---------------------------------------------------------------------------------


def _styled(text: str, style: str, look: Look) -> str:
    return f"{style}{text}\x1b[0m" if look.color and style else text


def _width(look: Look) -> int:
    return min(max(look.width, 40), _WIDEST)


def _labelled(label: str, text: str, look: Look) -> Iterator[str]:
    hang = " " * (2 * _LABEL)
    yield from _wrapped(text, f"{'':{_LABEL}}{label:<{_LABEL}}", look, hang)


def _wrapped(text: str, indent: str, look: Look, hang: str | None = None) -> Iterator[str]:
    lines = textwrap.wrap(
        _QUANTITY.sub("\N{NO-BREAK SPACE}", text),
        _width(look),
        initial_indent=indent,
        subsequent_indent=indent if hang is None else hang,
        break_on_hyphens=False,
    )
    yield from (line.replace("\N{NO-BREAK SPACE}", " ") for line in lines)


def _command(label: str, command: str, look: Look) -> Iterator[str]:
    """A command line, broken between words of the shell where it is too long."""
    line = f"{'':{_LABEL}}{label:<{_LABEL}}"
    empty = True
    for word in _SHELL_WORD.findall(clean(command)):
        if not empty and len(line) + len(word) + 3 > _width(look):  # a space and " \"
            yield line + " \\"
            line, empty = " " * (2 * _LABEL + 2), True
        line, empty = f"{line}{'' if empty else ' '}{word}", False
    yield line
