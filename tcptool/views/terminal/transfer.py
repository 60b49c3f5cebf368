"""`probe METHOD` and `probe compare` on a terminal: a card for one way of sending, a ranking with
bars for several.

Colour helps and says nothing that the words do not say.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Final, NamedTuple

from rich.text import Text

from tcptool.analysis.comparison import TOO_FEW
from tcptool.analysis.transfer import CPU, RATE
from tcptool.catalog.methods import RECEIVERS, method_of
from tcptool.catalog.options import OptionValue
from tcptool.model.probe import EndCost, Machine, MethodResult, Settings, TransferReport
from tcptool.units import Unit, human
from tcptool.views.clean import clean
from tcptool.views.inspect_sections import ABSENT, value_words
from tcptool.views.look import Look
from tcptool.views.terminal.console import console, plain_micro
from tcptool.views.text.transfer import INCOMPLETE, outcome_words, short


def write(report: TransferReport, out: IO[str], look: Look) -> None:
    """Write the figures, what they show, and what was in force."""
    screen = console(out, look)
    for line in _page(report, look):
        screen.print(line, soft_wrap=True)


def _page(report: TransferReport, look: Look) -> Iterator[Text]:
    if not report.complete:
        yield from _prose(f"Not complete: {INCOMPLETE}.", look, "yellow")
    yield from _card(report, look) if len(report.results) == 1 else _ranking(report, look)


# -- one method ----------------------------------------------------------------------------


def _card(report: TransferReport, look: Look) -> Iterator[Text]:
    (one,) = report.results
    method = method_of(one.method)
    rate = one.rate_bytes_per_s
    shown = "no rate" if rate is None else f"{_size(rate)}/s ({human(rate, Unit.BYTES_PER_SECOND)})"
    yield from _prose(f"{one.method}: {shown} {_where(report)}", look, "bold")
    yield from _prose(method.summary, look)
    yield Text()
    yield from _labelled([("copies", method.copies), *_figures(one)], look)
    yield Text()
    yield from _labelled(_conditions(report), look)


def _figures(one: MethodResult) -> Iterator[tuple[str, str]]:
    low, high = one.rate_low_bytes_per_s, one.rate_high_bytes_per_s
    if low is not None and high is not None:
        yield "rate", f"{_size(low)}/s to {_size(high)}/s with 95 % confidence"
    if one.noise_percent is not None:
        yield "noise", f"{_percent(one.noise_percent)} from connection to connection"
    ends = [(one.cpu_s_per_gb, one.near, "here")]
    if one.far:
        ends.append((one.far.cpu_s_per_gb, one.far, "at the receiver"))
    yield "CPU", "; ".join(f"{_cost(cost, end)} {at}" for cost, end, at in ends)
    yield "calls", "; ".join(f"{_calls(end)} {at}" for _, end, at in ends)
    if one.zerocopy:
        copied, completed = _count(one.zerocopy.copied), _count(one.zerocopy.completed)
        yield "zero copy", f"{copied} of {completed} sends were copied after all"
    if limits := "; ".join(_limits(one)):
        yield "limits", limits


def _cost(cost_s_per_gb: float | None, end: EndCost) -> str:
    total_s = end.user_cpu_s + end.system_cpu_s
    user = f" ({_percent(100 * end.user_cpu_s / total_s)} user)" if total_s else ""
    return f"{_fixed(cost_s_per_gb, _decimals(cost_s_per_gb, 2))} s/GB{user}"


def _calls(end: EndCost) -> str:
    text = f"{_count(end.calls)} of {_size(end.call_bytes)} on average"
    notes = [f"{_count(end.short_calls)} short"] if end.short_calls else []
    if end.waits:
        notes.append(_plural(end.waits, "wait"))
    return f"{text} ({', '.join(notes)})" if notes else text


def _limits(one: MethodResult) -> Iterator[str]:
    """What tcp_info says of the sender's time, and of loss."""
    window, buffer = one.rwnd_limited_percent, one.sndbuf_limited_percent
    if window is not None and buffer is not None:
        yield (
            f"held back by the receiver's window {_percent(window)} of the time, "
            f"by the send buffer {_percent(buffer)}"
        )
    if (resent := _resent(one)) is not None:
        yield f"{_plural(resent, 'segment')} sent again"


def _resent(one: MethodResult) -> int | None:
    return one.tcp_info.total_retrans_packets if one.tcp_info else None


# -- several -------------------------------------------------------------------------------


def _ranking(report: TransferReport, look: Look) -> Iterator[Text]:
    size = human(report.results[0].payload_bytes, Unit.BYTES)
    yield from _prose(f"{len(report.results)} ways to send {size} {_where(report)}", look, "bold")
    yield Text()
    yield from _table(report.results, look)
    yield Text()
    for sentence in _conclusions(report):
        yield from _prose(sentence, look)
    yield Text()
    yield from _labelled([*_conditions(report), ("signs", _signs(report, look))], look)


class _Column(NamedTuple):
    """A title and a cell for each method; those of bars are drawn when the width is known."""

    title: str
    cells: Sequence[str]

    @property
    def least(self) -> int:
        """The width that it needs."""
        return max(_BARS.get(self.title, (0, 0))[0], len(self.title), *map(len, self.cells))


_GAP: Final = "  "
_BARS: Final = {"rate": (16, 60), "sender": (8, 30)}
"""Columns of bars, and how wide: below the least they show little, above the most no more."""
_LESS_IMPORTANT: Final = (
    "resent", "per call", "calls", "noise", "95 %", "sender", "receiver", "rate",
)  # fmt: skip
"""Columns that give way on a narrow terminal, the first of them first."""


def _table(results: Sequence[MethodResult], look: Look) -> Iterator[Text]:
    columns = list(_columns(results))
    for title in _LESS_IMPORTANT:
        if _needed(columns) <= look.width:
            break
        columns = [one for one in columns if one.title != title]
    widths = _widths(columns, look.width - _needed(columns))
    placed = list(zip(columns, widths, strict=True))
    titles = (_aligned(one.title, one.title, width) for one, width in placed)
    yield Text(_GAP.join(titles).rstrip(), "bold")
    bars = _Bars(results, look)
    for number, result in enumerate(results):
        row = Text()
        for column, width in placed:
            if column.title in _BARS:
                row.append_text(bars.draw(result, column.title, width))
            else:
                row.append(_aligned(column.cells[number], column.title, width))
            row.append(_GAP)
        row.rstrip()
        yield row


def _aligned(text: str, title: str, width: int) -> str:
    return f"{text:{'<' if title in _LEFT else '>'}{width}}"


_LEFT: Final = frozenset({"method", *_BARS})


def _needed(columns: Sequence[_Column]) -> int:
    return sum(one.least for one in columns) + len(_GAP) * (len(columns) - 1)


def _widths(columns: Sequence[_Column], spare: int) -> list[int]:
    """What is spare goes to the bars, as their least widths are to each other."""
    parts = sum(one.least for one in columns if one.title in _BARS)
    return [
        min(one.least + spare * one.least // parts, _BARS[one.title][1])
        if one.title in _BARS
        else one.least
        for one in columns
    ]


def _columns(results: Sequence[MethodResult]) -> Iterator[_Column]:
    rates = [one.rate_bytes_per_s for one in results]
    best = max((rate for rate in rates if rate), default=0.0)
    size, bits = _step(best, _SIZES), _step(best, _BITS)
    decimals = _decimals(best / size.factor, 3)
    bit_decimals = _decimals(best / bits.factor, 3)
    yield _Column("#", [_count(one.place_by_throughput) for one in results])
    yield _Column("method", [clean(one.method) for one in results])
    yield _Column(f"{size.name}/s", [_fixed(rate, decimals, size) for rate in rates])
    yield _Column("95 %", [_interval(one, decimals, size) for one in results])
    yield _Column(bits.name, [_fixed(rate, bit_decimals, bits) for rate in rates])
    yield _Column("noise", [_percent(one.noise_percent) for one in results])
    yield _Column("rate", [""] * len(results))
    costs = [one.cpu_s_per_gb for one in results]
    far_costs = [one.far.cpu_s_per_gb if one.far else None for one in results]
    decimals = _decimals(min((cost for cost in costs if cost), default=0.0), 2)
    yield _Column("#", [_count(one.place_by_cpu) for one in results])
    yield _Column("CPU s/GB", [_fixed(cost, decimals) for cost in costs])
    yield _Column("sender", [""] * len(results))
    if any(cost is not None for cost in far_costs):
        yield _Column("receiver", [_fixed(cost, decimals) for cost in far_costs])
    yield _Column("calls", [_count(one.near.calls) for one in results])
    yield _Column("per call", [_size(one.near.call_bytes) for one in results])
    if any(_resent(one) for one in results):
        yield _Column("resent", [_count(_resent(one)) for one in results])


def _interval(one: MethodResult, decimals: int, step: _Step) -> str:
    low, high = one.rate_low_bytes_per_s, one.rate_high_bytes_per_s
    if low is None:
        return ABSENT
    return f"{_fixed(low, decimals, step)} to {_fixed(high, decimals, step)}"


class _Bars:
    """Draws the bars of a column on one scale, from 0 to its greatest value."""

    def __init__(self, results: Sequence[MethodResult], look: Look) -> None:
        self._full, self._band, self._middle = _bar_signs(look)
        rates = (one.rate_high_bytes_per_s or one.rate_bytes_per_s or 0.0 for one in results)
        costs = (one.cpu_s_per_gb or 0.0 for one in results)
        self._most = {"rate": max(rates) or 1.0, "sender": max(costs) or 1.0}

    def draw(self, one: MethodResult, title: str, width: int) -> Text:
        """A bar as long as the value; an interval is a band with the value marked in it."""
        by_rate = title == "rate"
        value = (one.rate_bytes_per_s if by_rate else one.cpu_s_per_gb) or 0.0
        low, high = one.rate_low_bytes_per_s, one.rate_high_bytes_per_s
        scale = width / self._most[title]
        place = one.place_by_throughput if by_rate else one.place_by_cpu
        bar = Text(style="green" if place == 1 else "cyan")
        if by_rate and low is not None and high is not None:
            first, middle, last = (min(int(v * scale), width - 1) for v in (low, value, high))
            bar.append(self._full * first)
            bar.append(self._band * (middle - first), "dim")
            bar.append(self._middle, "default")
            bar.append(self._band * (last - middle), "dim")
        else:
            bar.append(self._full * round(value * scale))
        bar.pad_right(width - len(bar))
        return bar


def _bar_signs(look: Look) -> tuple[str, str, str]:
    """Of a bar, of an interval, and of the value in it."""
    return ("█", "▒", "│") if look.unicode else ("#", "-", "|")


def _signs(report: TransferReport, look: Look) -> str:
    """What the signs in the table mean, of those that are there."""
    notes = []
    if any(one.rate_low_bytes_per_s is not None for one in report.results):
        _, band, middle = _bar_signs(look)
        notes.append(f"{middle} median, {band} the 95 % interval around it")
    notes.append("#: place by rate, and by the sender's CPU; the same if no difference was shown")
    notes.append("CPU s/GB: seconds of one processor for 10^9 bytes")
    return "; ".join(notes)


# -- what it shows -------------------------------------------------------------------------


class _Words(NamedTuple):
    """How a metric is spoken of."""

    what: str
    first: str
    any: str
    each: str


_WORDS: Final = {
    RATE: _Words("rate", "is the fastest", "be the fastest", "moves"),
    CPU: _Words("CPU", "needs the least CPU", "need the least", "needs"),
}


def _conclusions(report: TransferReport) -> Iterator[str]:
    """A sentence on the rate and one on CPU: who is first, and how far behind the last is."""
    last = report.results[-1]
    yield _conclusion(report, RATE, report.fastest, last)
    last = max(report.results, key=lambda one: (one.place_by_cpu or 0, one.cpu_s_per_gb or 0.0))
    yield _conclusion(report, CPU, report.cheapest, last)


def _conclusion(
    report: TransferReport, metric: str, first: Sequence[str], last: MethodResult
) -> str:
    words = _WORDS[metric]
    compared = [one for one in report.comparisons if one.metric == metric]
    if all(one.outcome.verdict == TOO_FEW for one in compared):
        return f"Too few connections to tell which {words.first}."
    if len(first) == len(report.results):
        return f"No clear winner in {words.what}: any of them may {words.any}."
    if len(first) == 1:
        text = f"{first[0]} {words.first}"
    else:
        names = f"{', '.join(first[:-1])} and {first[-1]}"
        text = f"No clear winner in {words.what} among {names}"
    behind = (outcome_words(report, one) for one in compared if one.method == last.method)
    return "; ".join([text, *(f"{last.method} {words.each} {outcome}" for outcome in behind)]) + "."


# -- what was in force ---------------------------------------------------------------------


_OWN: Final = {
    "ipv4": "over loopback",
    "ipv6": "over loopback, IPv6",
    "unix": "over a Unix socket",
}
_SOURCES: Final = {"temporary-file": "a temporary file", "memory": "memory"}


def _where(report: TransferReport) -> str:
    plan = report.plan
    return f"to {plan.to}" if plan.to else _OWN[plan.path]


def _conditions(report: TransferReport) -> Iterator[tuple[str, str]]:
    plan, settings = report.plan, [one.settings for one in report.results]
    yield "sent", _sent(report)
    if plan.receiver:
        yield "receiver", f"{plan.receiver}: {RECEIVERS[plan.receiver]}"
    verified_bytes = report.results[0].verified_bytes
    if verified_bytes is not None:
        yield "verified", f"{human(verified_bytes, Unit.BYTES)} arrived with the right checksum"
    yield "in force", _in_force(settings)
    for option in settings[0].options:
        effective, asked = (_value(v, option.unit) for v in (option.effective, option.requested))
        note = "" if effective == asked else f" ({asked} was asked for)"
        yield "set", f"{option.name}={effective}{note}"
    yield "machine", _machine(report.machine)


def _sent(report: TransferReport) -> str:
    plan, slices = report.plan, report.results[0].slices
    connections = report.results[0].connections
    source = _SOURCES.get(plan.source, plan.file)
    text = (
        f"{_plural(len(slices), 'slice')} of {_size(slices[0].payload_bytes)} on "
        f"{_plural(connections, 'connection')} from {source}, {_size(plan.chunk_bytes)} a call"
    )
    return text if len(report.results) == 1 else f"{text}; the methods took turns"


def _in_force(settings: Sequence[Settings]) -> str:
    """Connections differ where the kernel sizes their buffers."""
    first = settings[0]
    parts = [
        first.congestion_control and f"congestion control {first.congestion_control}",
        _range("send buffer", [one.sndbuf_bytes for one in settings]),
        _range("receive buffer", [one.rcvbuf_bytes for one in settings]),
        _range("mss", [one.mss_bytes for one in settings]),
        first.device and f"device {first.device}",
        None if first.gso is None else f"gso {'on' if first.gso else 'off'}",
    ]
    return ", ".join(part for part in parts if part)


def _range(name: str, values: Iterable[int | None]) -> str | None:
    known = sorted(value for value in values if value is not None)
    if not known:
        return None
    ends = dict.fromkeys(human(value, Unit.BYTES) for value in (known[0], known[-1]))
    return f"{name} {' to '.join(ends)}"


def _value(value: OptionValue | None, unit: str) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return human(value, Unit(unit))
    return ABSENT if value is None else value_words(value)


def _machine(machine: Machine) -> str:
    near, far = machine.near_cpu, machine.far_cpu
    if near is None:
        where = f"{machine.processors} processors, the ends kept on none"
    elif far is None or far == near:
        where = f"processor {near} of {machine.processors}"
    else:
        where = f"processors {near} and {far} of {machine.processors}"
    governor = f", governor {machine.governor}" if machine.governor else ""
    before, after = map(_percent, (machine.load_before_percent, machine.load_after_percent))
    return f"{where}{governor}, load {before} before and {after} after"


# -- numbers and prose ---------------------------------------------------------------------


class _Step(NamedTuple):
    factor: float
    name: str


_SIZES: Final = (_Step(1 << 30, "GiB"), _Step(1 << 20, "MiB"), _Step(1 << 10, "KiB"), _Step(1, "B"))
_BITS: Final = tuple(
    _Step(bits_per_s / 8, name)
    for bits_per_s, name in ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s"), (1, "bit/s"))
)
_NO_STEP: Final = _Step(1, "")


def _step(value: float, steps: Sequence[_Step]) -> _Step:
    """The first that the value reaches."""
    return next((step for step in steps if value >= step.factor), steps[-1])


def _decimals(value: float | None, digits: int) -> int:
    """After the point, so that as many digits as that are shown of the value."""
    return max(0, digits - 1 - math.floor(math.log10(value))) if value else 0


def _fixed(value: float | None, decimals: int, step: _Step = _NO_STEP) -> str:
    return ABSENT if value is None else f"{value / step.factor:.{decimals}f}"


def _size(value_bytes: float | None) -> str:
    if value_bytes is None:
        return ABSENT
    step = _step(value_bytes, _SIZES)
    shown = float(f"{value_bytes / step.factor:.3g}")
    return f"{shown:g} {step.name}"


def _count(value: int | None) -> str:
    return ABSENT if value is None else human(value, Unit.COUNT)


def _plural(count: int, what: str) -> str:
    return f"{_count(count)} {what}{'' if count == 1 else 's'}"


def _percent(value: float | None) -> str:
    return ABSENT if value is None else f"{short(value)} %"


_WIDEST: Final = 100
"""Longer lines of prose are hard to read."""
_INDENT: Final = 13


def _wrapped(text: str, look: Look, indent: int = 0) -> list[str]:
    """Lines that fit; a number stays with what it counts."""
    width = min(max(look.width, 40), _WIDEST) - indent
    bound = re.sub(r"(?<=\d) ", "\N{NO-BREAK SPACE}", plain_micro(clean(text), look))
    lines = textwrap.wrap(bound, width, break_on_hyphens=False)
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]


def _prose(text: str, look: Look, style: str = "") -> Iterator[Text]:
    return (Text(line, style) for line in _wrapped(text, look))


def _labelled(facts: Iterable[tuple[str, str]], look: Look) -> Iterator[Text]:
    """Each label with its text, which goes on below itself."""
    for label, text in facts:
        for number, line in enumerate(_wrapped(text, look, _INDENT)):
            name = "" if number else label
            yield Text.assemble((f"  {name:<{_INDENT - 2}}", "dim"), line)
