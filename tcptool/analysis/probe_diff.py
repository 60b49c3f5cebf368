"""What two results of `probe` differ in, figure by figure and in their circumstances.

They were measured one after the other, so the machine's drift counts as difference; the report
says so, and nothing here can take it out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Final, NamedTuple

from tcptool.analysis.comparison import LESS, MORE, TOO_FEW, compare_unpaired
from tcptool.analysis.estimates import median
from tcptool.analysis.transfer import by_connection, cpu_s_per_gb, rate_bytes_per_s
from tcptool.model.connect import ConnectReport
from tcptool.model.latency import LatencyReport
from tcptool.model.pool_probe import PoolReport
from tcptool.model.probe import TransferReport
from tcptool.model.probe_diff import Change, Circumstance, Quantity
from tcptool.units import Unit

Report = TransferReport | LatencyReport | ConnectReport | PoolReport


class _Series(NamedTuple):
    """The readings of one figure."""

    unit: str
    more_is_better: bool
    values: Sequence[float | None]


Key = tuple[str, str]
"""Of what, and which metric of it."""


def series_of(report: Report) -> dict[Key, _Series]:
    """The figures of a result that can be compared."""
    return dict(_figures(report))


def _figures(report: Report) -> Iterator[tuple[Key, _Series]]:
    if isinstance(report, TransferReport):
        for one in report.results:
            rates = by_connection(one.slices, rate_bytes_per_s)
            yield (one.method, "rate"), _Series(Unit.BYTES_PER_SECOND.value, True, rates)
            costs = by_connection(one.slices, cpu_s_per_gb)
            yield (one.method, "cpu"), _Series(Unit.SECONDS_PER_GIGABYTE.value, False, costs)
    elif isinstance(report, LatencyReport):
        for arm in report.arms:
            for name in ("p50", "p99"):
                times = [getattr(block, f"{name}_us") for block in arm.blocks]
                yield (arm.name, name), _Series(Unit.MICROSECONDS.value, False, times)
    elif isinstance(report, PoolReport):
        for pooled in report.arms:
            some = [one for one in pooled.blocks if one.elapsed_s > 0]
            rates_ = [one.requests / one.elapsed_s for one in some]
            yield (pooled.name, "per_s"), _Series("", True, rates_)
            middles = [one.p50_us for one in some]
            yield (pooled.name, "p50"), _Series(Unit.MICROSECONDS.value, False, middles)
    else:
        blocks = [one for one in report.blocks if one.elapsed_s > 0]
        rates = [one.made / one.elapsed_s for one in blocks]
        yield ("connections", "per_s"), _Series("", True, rates)
        times = [one.connect_p50_us for one in blocks]
        yield ("connect", "p50"), _Series(Unit.MICROSECONDS.value, False, times)


def changes(
    before: Mapping[Key, _Series], after: Mapping[Key, _Series], threshold_percent: float
) -> tuple[Change, ...]:
    """What became of each figure that both have."""
    return tuple(
        _change(key, old, after[key], threshold_percent)
        for key, old in before.items()
        if key in after and any(old.values) and any(after[key].values)
    )


def is_judged(changes: Iterable[Change]) -> bool:
    """Whether there were enough readings of any figure to tell."""
    return any(one.outcome.verdict != TOO_FEW for one in changes)


def _change(key: Key, old: _Series, new: _Series, threshold_percent: float) -> Change:
    outcome = compare_unpaired(new.values, old.values, threshold_percent)
    return Change(
        of=key[0],
        metric=key[1],
        before=_median(old),
        after=_median(new),
        outcome=outcome,
        worse=outcome.verdict == (LESS if old.more_is_better else MORE),
    )


def _median(series: _Series) -> Quantity:
    known = [value for value in series.values if value is not None]
    return Quantity(median(known) if known else None, series.unit)


_EXPECTED: Final = frozenset(
    {"seed", "load_before_percent", "load_after_percent", "timeout_s", "time"}
)
"""Differs from run to run without meaning anything for the figures."""


def circumstances(before: Report, after: Report) -> tuple[Circumstance, ...]:
    """What was asked for, in force or there in one run and not in the other."""
    found: list[Circumstance] = []
    for old, new in zip(_conditions(before), _conditions(after), strict=True):
        found += differences(old, new)
    if isinstance(before, TransferReport) and isinstance(after, TransferReport):
        sizes = before.source_bytes, after.source_bytes
        if sizes[0] != sizes[1]:
            found.append(Circumstance("source_bytes", str(sizes[0]), str(sizes[1])))
    return tuple(found)


def _conditions(report: Report) -> tuple[object, object, object]:
    settings: object
    if isinstance(report, TransferReport):
        settings = report.results[0].settings if report.results else None
    else:
        settings = report.settings
    return report.plan, report.machine, settings


_GROWS: Final = frozenset({"sndbuf_bytes", "rcvbuf_bytes"})
"""The kernel tunes them as it goes, unless they were set, which ``options`` tells."""


def differences(old: object, new: object) -> Iterator[Circumstance]:
    """The fields of two records of one kind that say something else."""
    if not (is_dataclass(old) and is_dataclass(new)):
        return
    for field in fields(old):
        if field.name in _EXPECTED or field.name in _GROWS:
            continue
        a, b = getattr(old, field.name), getattr(new, field.name)
        if a != b:
            yield Circumstance(field.name, _text(a), _text(b))


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(_text, value)) or "-"
    if is_dataclass(value):  # an option that was set
        return f"{getattr(value, 'name', '')}={getattr(value, 'effective', '')}"
    return "-" if value is None else str(value)
