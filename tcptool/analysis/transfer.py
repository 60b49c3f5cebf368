"""From the readings of `probe` to its result: rates, costs, places, and when not to trust them.

A connection is one observation, however many slices it had: slices of one connection share its
buffers, its pages and the mood of its congestion control, and agree with one another far better
than with those of the next (docs/decisions/0007-connection-is-the-observation.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from tcptool.analysis.comparison import MIN_ROUNDS, compare, tiers
from tcptool.analysis.estimates import median, median_interval, noise_percent
from tcptool.catalog.derived import share_percent
from tcptool.catalog.tcp_info import TcpInfo
from tcptool.model.probe import (
    Cost,
    EndCost,
    MethodComparison,
    MethodResult,
    Reading,
    Settings,
    Slice,
    ZeroCopySends,
)
from tcptool.model.report import Warning

GB: Final = 1e9
RATE: Final = "rate"
CPU: Final = "cpu"

_UNSURE_PERCENT: Final = 10.0
"""An interval that reaches further than this to a side cannot tell apart what the usual
differences between methods are (5-30 %)."""
_SHORT_S: Final = 0.000_3
"""Waking the receiver takes 50 to 100 us: in a slice shorter than this it is what is measured."""

_RECENT: Final = 9
"""Slices that a live rate is the median of: one alone jumps too much to be read."""


def slice_sizes(size_bytes: int, slice_bytes: int, connections: int) -> list[list[int]]:
    """The slices of each connection: together the whole, as near to ``slice_bytes`` as can be.

    Equal to the byte.  Where there are fewer bytes than connections, each has one.
    """
    return [
        _parts(size, max(1, round(size / slice_bytes)))
        for size in _parts(size_bytes, min(connections, size_bytes))
    ]


def _parts(whole: int, number: int) -> list[int]:
    small, larger = divmod(whole, number)
    return [small + 1] * larger + [small] * (number - larger)


def recent_rate_bytes_per_s(readings: Sequence[Reading]) -> float | None:
    """What goes through now: the median of the last slices."""
    rates = [rate_bytes_per_s(one.slice) for one in readings[-_RECENT:]]
    known = [rate for rate in rates if rate is not None]
    return median(known) if known else None


def rate_bytes_per_s(one: Slice) -> float | None:
    """Bytes per second of one slice; None where the clock did not move."""
    return one.payload_bytes / one.elapsed_s if one.elapsed_s > 0 else None


def cpu_s_per_gb(one: Slice) -> float:
    """CPU time of the sender for 10^9 bytes."""
    return one.near_cpu_s * GB / one.payload_bytes


def _far_cpu_s_per_gb(one: Slice) -> float | None:
    return None if one.far_cpu_s is None else one.far_cpu_s * GB / one.payload_bytes


def by_connection(
    slices: Sequence[Slice], reading: Callable[[Slice], float | None]
) -> list[float | None]:
    """One value of each connection, in their order: the median of its slices."""
    values: dict[int, list[float]] = {}
    for one in slices:
        known = values.setdefault(one.connection, [])
        if (value := reading(one)) is not None:
            known.append(value)
    return [median(known) if known else None for known in values.values()]


def method_result(
    method: str,
    readings: Sequence[Reading],
    settings: Settings,
    tcp_info: TcpInfo | None,
    zerocopy: ZeroCopySends | None,
    verified_bytes: int | None,
) -> MethodResult:
    """What the readings of one method, at least one, say.  The places are not known yet."""
    slices = tuple(one.slice for one in readings)
    rates, near_cpu, far_cpu = (
        [value for value in by_connection(slices, reading) if value is not None]
        for reading in (rate_bytes_per_s, cpu_s_per_gb, _far_cpu_s_per_gb)
    )
    interval = median_interval(rates)
    payload_bytes = sum(one.payload_bytes for one in slices)
    near = [one.near for one in readings]
    far = [one.far for one in readings if one.far is not None]
    return MethodResult(
        method=method,
        payload_bytes=payload_bytes,
        rate_bytes_per_s=median(rates) if rates else None,
        rate_low_bytes_per_s=interval[0] if interval else None,
        rate_high_bytes_per_s=interval[1] if interval else None,
        noise_percent=noise_percent(rates),
        cpu_s_per_gb=median(near_cpu),
        place_by_throughput=None,
        place_by_cpu=None,
        near=_end_cost(near, payload_bytes, median(near_cpu)),
        far=_end_cost(far, payload_bytes, median(far_cpu)) if far else None,
        zerocopy=zerocopy,
        verified_bytes=verified_bytes,
        settings=settings,
        rwnd_limited_percent=_share(tcp_info, "rwnd_limited_us"),
        sndbuf_limited_percent=_share(tcp_info, "sndbuf_limited_us"),
        tcp_info=tcp_info,
        slices=slices,
    )


def _end_cost(costs: Sequence[Cost], payload_bytes: int, cpu_s_per_gb: float) -> EndCost:
    user_s, system_s, calls, short_calls, waits = map(sum, zip(*costs, strict=True))
    return EndCost(
        user_cpu_s=user_s,
        system_cpu_s=system_s,
        cpu_s_per_gb=cpu_s_per_gb,
        calls=int(calls),
        call_bytes=payload_bytes / calls if calls else None,
        short_calls=int(short_calls),
        waits=int(waits),
    )


def _share(info: TcpInfo | None, name: str) -> float | None:
    return None if info is None else share_percent(getattr(info, name), info.busy_time_us)


# -- which one wins ------------------------------------------------------------------------


def places(results: Sequence[MethodResult], metric: str) -> tuple[tuple[str, ...], ...]:
    """The methods by place, the best first; those that no difference parts share one."""
    series = _series(results, metric)
    return tiers(list(series), series, higher_is_better=metric == RATE)


def ranked(
    results: Sequence[MethodResult],
    by_rate: tuple[tuple[str, ...], ...],
    by_cpu: tuple[tuple[str, ...], ...],
) -> tuple[MethodResult, ...]:
    """The results with their places, in the order of the rate."""
    rate_places, cpu_places = _numbered(by_rate), _numbered(by_cpu)
    order = {method: number for number, method in enumerate(m for tier in by_rate for m in tier)}
    return tuple(
        replace(
            one,
            place_by_throughput=rate_places.get(one.method),
            place_by_cpu=cpu_places.get(one.method),
        )
        for one in sorted(results, key=lambda one: order.get(one.method, len(order)))
    )


def _numbered(tiers_: tuple[tuple[str, ...], ...]) -> dict[str, int]:
    """As in sport: after two first ones comes a third."""
    found: dict[str, int] = {}
    place = 1
    for tier in tiers_:
        found |= dict.fromkeys(tier, place)
        place += len(tier)
    return found


def comparisons(
    results: Sequence[MethodResult], metric: str, places_: tuple[tuple[str, ...], ...]
) -> tuple[MethodComparison, ...]:
    """Every other method against the first of the first place."""
    if not places_:
        return ()
    series, base = _series(results, metric), places_[0][0]
    return tuple(
        MethodComparison(
            metric=metric, method=name, base=base, outcome=compare(values, series[base])
        )
        for name, values in series.items()
        if name != base
    )


def _series(results: Sequence[MethodResult], metric: str) -> Mapping[str, Sequence[float | None]]:
    """A value for each connection, as far as all methods had theirs side by side."""
    reading = rate_bytes_per_s if metric == RATE else cpu_s_per_gb
    series = {one.method: by_connection(one.slices, reading) for one in results}
    rounds = min(map(len, series.values()))
    return {method: values[:rounds] for method, values in series.items()}


# -- when not to trust it ------------------------------------------------------------------


def warnings_of(results: Sequence[MethodResult]) -> list[Warning]:
    """What in the readings themselves speaks against conclusions."""
    warnings = []
    short = [
        one.method
        for one in results
        if one.connections < MIN_ROUNDS or median([s.elapsed_s for s in one.slices]) < _SHORT_S
    ]
    if short:
        text = (
            f"too short to trust: {', '.join(short)}: fewer than {MIN_ROUNDS} connections, or "
            f"slices below {_SHORT_S * 1e6:.0f} us; --connections and a larger --size give more"
        )
        warnings.append(Warning("too-short", text))
    noisy = [one.method for one in results if _is_unsure(one)]
    if noisy:
        text = (
            f"noisy: {', '.join(noisy)}: the rate is known to no better than "
            f"{_UNSURE_PERCENT:.0f} %; more --connections help, a quiet machine more"
        )
        warnings.append(Warning("noisy", text))
    for one in results:
        if one.zerocopy and one.zerocopy.copied:
            text = (
                f"copied: {one.method}: the kernel copied {one.zerocopy.copied} of "
                f"{one.zerocopy.completed} sends after all"
            )
            warnings.append(Warning("copied", text))
    return warnings


def _is_unsure(result: MethodResult) -> bool:
    middle = result.rate_bytes_per_s
    low, high = result.rate_low_bytes_per_s, result.rate_high_bytes_per_s
    if middle is None or low is None or high is None:
        return False  # too short, which is said already
    return max(high - middle, middle - low) > middle * _UNSURE_PERCENT / 100
