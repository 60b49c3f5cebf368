"""Where a measurement runs: on which processors, under which load, and what that does to trust."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final, NamedTuple

from tcptool.errors import UsageError, describe_errno
from tcptool.linux import machine
from tcptool.model.probe import Machine, Settings
from tcptool.model.report import Warning

_BUSY_PERCENT: Final = 100.0
"""More runnable programs than processors: then a measurement measures the scheduler."""


class Placement(NamedTuple):
    """The processors of the two ends; None for an end that stays where the scheduler puts it."""

    near: int | None
    far: int | None


@contextlib.contextmanager
def placed(processors: tuple[int, ...] | None) -> Iterator[Placement]:
    """Keep this process on the first processor for the block; the second is for the far end.

    None takes two that are allowed, and pins nothing where there is one only; an empty tuple
    pins nothing.  Raises UsageError for a processor that this process may not run on.
    """
    allowed = machine.allowed_processors()
    if processors is None:
        processors = allowed[:2] if len(allowed) > 1 else ()
    barred = [processor for processor in processors if processor not in allowed]
    if barred:
        raise UsageError(
            f"choosing processor {barred[0]}",
            "this process may not run there",
            f"Allowed: {', '.join(map(str, allowed))}.",
        )
    if not processors:
        yield Placement(None, None)
        return
    try:
        machine.keep_on(processors[:1])
    except OSError as exc:
        raise UsageError(
            f"choosing processor {processors[0]}", describe_errno(exc.errno or 0), ""
        ) from exc
    try:
        yield Placement(processors[0], processors[-1])
    finally:
        machine.keep_on(allowed)


def machine_facts(placement: Placement, load_before_percent: float | None) -> Machine:
    """The machine as it is now, at the end of the measurement."""
    return Machine(
        processors=machine.processors(),
        near_cpu=placement.near,
        far_cpu=placement.far,
        governor=machine.governor(placement.near or 0),
        load_before_percent=load_before_percent,
        load_after_percent=machine.load_percent(),
    )


def common_warnings(facts: Machine, settings: Settings, *, loopback: bool) -> list[Warning]:
    """What the reader of any measurement should know before trusting it."""
    warnings = []
    if loopback:
        text = "both ends are on this host: copies and system calls are measured, not a network"
        warnings.append(Warning("loopback", text))
    if loopback and settings.congestion_control == "bbr":
        text = (
            "bbr paces on loopback too, which makes sending slower and uneven; "
            "--set TCP_CONGESTION=cubic measures without it"
        )
        warnings.append(Warning("bbr-on-loopback", text))
    if facts.near_cpu is None:
        text = "the ends are not kept on processors of their own, so figures vary more"
        warnings.append(Warning("not-pinned", text))
    elif loopback and facts.near_cpu == facts.far_cpu:
        text = f"both ends share processor {facts.near_cpu} and take turns on it"
        warnings.append(Warning("one-processor", text))
    loads = [load for load in (facts.load_before_percent, facts.load_after_percent) if load]
    if max(loads, default=0) > _BUSY_PERCENT:
        text = (
            f"load above cores: the load average is {max(loads):.0f} % of the processors, "
            "so other programs are measured too"
        )
        warnings.append(Warning("load-above-cores", text))
    return warnings
