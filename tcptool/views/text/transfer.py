"""`probe METHOD` and `probe compare` in a pipe: a heading, and a line for each way of sending.

Every cell is one word, in the unit that its heading ends in; absent is ``-``.  Below, as comments:
what was in force, which method won, and how sure that is.  The words for a comparison are those
of the terminal as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import IO, Final

from tcptool.analysis.comparison import MIN_ROUNDS, NO_DIFFERENCE, TOO_FEW
from tcptool.analysis.transfer import CPU, RATE
from tcptool.model.probe import EndCost, MethodComparison, MethodResult, TransferReport
from tcptool.views.clean import clean, clean_word
from tcptool.views.inspect_sections import ABSENT, value_words
from tcptool.views.look import Look
from tcptool.views.text.options import aligned

GIB: Final = 1 << 30
GBIT_BYTES: Final = 1e9 / 8


def write(report: TransferReport, out: IO[str], look: Look) -> None:
    """Write the rows, best rate first, and comments; above them, if it was cut short."""
    rows = [[_word(value(one)) for value in _COLUMNS.values()] for one in report.results]
    if not report.complete:
        out.write(f"# incomplete: {INCOMPLETE}\n")
    out.writelines(f"{line}\n" for line in aligned([[*_COLUMNS], *rows]))
    out.writelines(f"# {line}\n" for line in (*_conditions(report), *_verdicts(report)))


INCOMPLETE: Final = "ended by Ctrl-C; the figures are of what was measured until then"


def _word(value: object) -> str:
    if value is None:
        return ABSENT
    return f"{value:.6g}" if isinstance(value, float) else clean_word(value_words(value))


def _of(end: EndCost | None, name: str) -> object:
    return None if end is None else getattr(end, name)


def _gib(rate_bytes_per_s: float | None) -> float | None:
    return None if rate_bytes_per_s is None else rate_bytes_per_s / GIB


def _gbit(rate_bytes_per_s: float | None) -> float | None:
    return None if rate_bytes_per_s is None else rate_bytes_per_s / GBIT_BYTES


# `far` is the receiver.  The names are those of JSON where the unit is that of JSON.
_COLUMNS: Final[dict[str, Callable[[MethodResult], object]]] = {
    "place_by_throughput": lambda one: one.place_by_throughput,
    "place_by_cpu": lambda one: one.place_by_cpu,
    "method": lambda one: one.method,
    "rate_gib_per_s": lambda one: _gib(one.rate_bytes_per_s),
    "rate_low_gib_per_s": lambda one: _gib(one.rate_low_bytes_per_s),
    "rate_high_gib_per_s": lambda one: _gib(one.rate_high_bytes_per_s),
    "rate_gbit_per_s": lambda one: _gbit(one.rate_bytes_per_s),
    "noise_percent": lambda one: one.noise_percent,
    "cpu_s_per_gb": lambda one: one.cpu_s_per_gb,
    "user_cpu_s": lambda one: one.near.user_cpu_s,
    "system_cpu_s": lambda one: one.near.system_cpu_s,
    "calls": lambda one: one.near.calls,
    "call_bytes": lambda one: one.near.call_bytes,
    "short_calls": lambda one: one.near.short_calls,
    "waits": lambda one: one.near.waits,
    "far_cpu_s_per_gb": lambda one: _of(one.far, "cpu_s_per_gb"),
    "far_user_cpu_s": lambda one: _of(one.far, "user_cpu_s"),
    "far_system_cpu_s": lambda one: _of(one.far, "system_cpu_s"),
    "far_calls": lambda one: _of(one.far, "calls"),
    "far_call_bytes": lambda one: _of(one.far, "call_bytes"),
    "far_short_calls": lambda one: _of(one.far, "short_calls"),
    "payload_bytes": lambda one: one.payload_bytes,
    "connections": lambda one: one.connections,
    "slices": lambda one: len(one.slices),
    "verified_bytes": lambda one: one.verified_bytes,
    "zerocopy_completed": lambda one: one.zerocopy.completed if one.zerocopy else None,
    "zerocopy_copied": lambda one: one.zerocopy.copied if one.zerocopy else None,
    "rwnd_limited_percent": lambda one: one.rwnd_limited_percent,
    "sndbuf_limited_percent": lambda one: one.sndbuf_limited_percent,
    "retrans_packets": lambda one: one.tcp_info and one.tcp_info.total_retrans_packets,
    "sndbuf_bytes": lambda one: one.settings.sndbuf_bytes,
    "rcvbuf_bytes": lambda one: one.settings.rcvbuf_bytes,
    "mss_bytes": lambda one: one.settings.mss_bytes,
}


# -- what was in force ---------------------------------------------------------------------


def _conditions(report: TransferReport) -> Iterator[str]:
    """The plan, the connection and the machine as ``name=value``, each a word."""
    plan, settings = report.plan, report.results[0].settings
    yield "moved: " + _pairs(plan, "path", "to", "source", "file", "receiver", "verify")
    yield "plan: " + _pairs(
        plan, "size_bytes", "duration_s", "slice_bytes", "chunk_bytes", "vectors", "pipe_bytes",
        "connections", "warmup_rounds", "seed",
    )  # fmt: skip
    yield "in force: " + _pairs(settings, "congestion_control", "device", "gso")
    for option in settings.options:
        yield f"set: {clean_word(option.name)} " + _pairs(option, "requested", "effective")
    yield "machine: " + _pairs(
        report.machine, "processors", "near_cpu", "far_cpu", "governor", "load_before_percent",
        "load_after_percent",
    )  # fmt: skip


def _pairs(record: object, *names: str) -> str:
    return " ".join(f"{name}={_word(getattr(record, name))}" for name in names)


# -- which one wins ------------------------------------------------------------------------


def _verdicts(report: TransferReport) -> Iterator[str]:
    for one in report.results:
        if one.zerocopy:
            yield (
                f"{clean(one.method)}: copied after all:"
                f" {one.zerocopy.copied} of {one.zerocopy.completed} sends"
            )
    if len(report.results) > 1:
        yield f"fastest: {_winners(report, RATE, report.fastest)}"
        yield f"cheapest in CPU: {_winners(report, CPU, report.cheapest)}"
    for compared in report.comparisons:
        what = "rate" if compared.metric == RATE else "CPU"
        yield f"{what} of {clean(compared.method)}: {outcome_words(report, compared)}"


def _winners(report: TransferReport, metric: str, names: Sequence[str]) -> str:
    compared = [one.outcome.verdict for one in report.comparisons if one.metric == metric]
    if compared.count(TOO_FEW) == len(compared):
        return "not known (too few connections)"
    return clean(", ".join(names)) + (" (no clear winner)" if len(names) > 1 else "")


def outcome_words(report: TransferReport, compared: MethodComparison) -> str:
    """How much more or less it is, and from where to where with 95 % confidence."""
    outcome, base = compared.outcome, clean(compared.base)
    effect, low, high = outcome.effect_percent, outcome.low_percent, outcome.high_percent
    if outcome.verdict == TOO_FEW or effect is None or low is None or high is None:
        return (
            f"too few connections to compare with {base}: {outcome.rounds}, it takes {MIN_ROUNDS}"
        )
    if outcome.verdict == NO_DIFFERENCE:
        if low > 0 or high < 0:
            return (
                f"too small a difference from {base} to count ({_signed(low)} to {_signed(high)} %)"
            )
        return (
            f"no difference from {base} shown (could still be {_signed(low)} to {_signed(high)} %)"
        )
    if effect >= _AS_FACTOR_PERCENT:
        factors = (short(1 + percent / 100) for percent in (effect, low, high))
        words = "{} times that of {base} ({} to {})".format(*factors, base=base)
    else:
        word = "more" if effect > 0 else "less"
        size, *bounds = (abs(percent) for percent in (effect, low, high))
        least, most = sorted(bounds)
        words = f"{short(size)} % {word} than {base} ({short(least)} to {short(most)} %)"
    if shares_place(report, compared):
        words += f", which among {len(report.results)} methods may still be chance"
    return words


_AS_FACTOR_PERCENT: Final = 100.0
"""From twice as much on, "2.4 times" is easier to grasp than "140 % more"."""


def shares_place(report: TransferReport, compared: MethodComparison) -> bool:
    """Whether the ranking, which corrects for the number of comparisons, saw no difference."""
    name = "place_by_throughput" if compared.metric == RATE else "place_by_cpu"
    places = {one.method: getattr(one, name) for one in report.results}
    return bool(places[compared.method] == places[compared.base])


def short(number: float) -> str:
    """Two digits, or a whole number: no more is known."""
    return f"{number:.0f}" if abs(number) >= 10 else f"{number:.2g}"


def _signed(percent: float) -> str:
    return f"{percent:+.0f}" if abs(percent) >= 10 else f"{percent:+.2g}"
