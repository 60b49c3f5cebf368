"""`probe connect`: how fast connections are made, used and closed, and what they leave behind.

The run is one block to warm up and twelve that count.  Counters, TIME_WAIT and ports are read
before and after it, never inside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple

from tcptool.actions.host import host_facts, sysctl_number
from tcptool.actions.probe import leftovers
from tcptool.actions.probe.leftovers import Snapshot
from tcptool.actions.probe.surroundings import common_warnings, machine_facts, placed
from tcptool.analysis import connect as analysis
from tcptool.analysis.estimates import median, median_interval, noise_percent
from tcptool.errors import UsageError, errno_name
from tcptool.linux import machine
from tcptool.linux.kernel import Kernel
from tcptool.model.connect import (
    DONE,
    INTERRUPTED,
    ConnectPlan,
    ConnectReading,
    ConnectReport,
    FastOpenUse,
    Percentiles,
    PortUse,
)
from tcptool.model.probe import Machine, Settings
from tcptool.model.report import Missing, Warning
from tcptool.traffic.connect import Connector, open_connector

if TYPE_CHECKING:
    from tcptool.model.change import Assignment

BLOCKS: Final = 12
"""Enough for an interval that one odd block does not move (diagnosis by ranks takes six)."""

Progress = Callable[[float, str], None]
"""Told the share that is done, and a few words, between blocks."""


class _Found(NamedTuple):
    """What the run brought."""

    settings: Settings
    readings: list[ConnectReading]
    ended_by: str
    ports: PortUse | None
    refused: str | None


def connect(
    kernel: Kernel,
    plan: ConnectPlan,
    assignments: Sequence[Assignment],
    progress: Progress = lambda _share, _text: None,
) -> ConnectReport:
    """Measure.  Ctrl-C, and a lack of ports, end it early, with what was measured.

    Raises UsageError for a plan that makes no sense, and TcptoolError if not even one
    connection can be made, or our own far end dies.
    """
    _check(plan)
    missing: list[Missing] = []
    load = machine.load_percent()
    with placed(plan.processors) as placement:
        before = _snapshot(kernel, plan, missing)
        found = _measure(kernel, plan, assignments, placement.far, progress, missing)
        after = _snapshot(kernel, plan, [])
        facts = machine_facts(placement, load)
    report = _report(kernel, plan, facts, found, before, after, missing)
    common = common_warnings(facts, found.settings, loopback=found.settings.device == "lo")
    warnings = [one for one in common if one.id != "bbr-on-loopback"]  # no byte here is paced
    if _elsewhere(kernel):
        text = (
            "a socket in another network namespace takes a thread that enters it, some 0.1 ms, "
            "which the rate includes; run tcptool inside (`ip netns exec`) for rates"
        )
        warnings.append(Warning("socket-in-netns", text))
    return replace(report, warnings=[*warnings, *analysis.warnings_of(report)])


def _check(plan: ConnectPlan) -> None:
    """Raise UsageError for what cannot be."""
    doing = "planning the connections"
    if plan.to and plan.exchange == "request":
        raise UsageError(
            doing, f"nothing tells what {plan.to} would answer", "Requests need our own far end."
        )
    if plan.to and plan.closer == "server":
        raise UsageError(doing, f"nothing tells {plan.to} to close first", "Use client or reset.")
    if plan.to and plan.backlog:
        raise UsageError(doing, f"the backlog of {plan.to} is its own", "Leave out --backlog.")
    if plan.fast_open and plan.exchange != "request":
        raise UsageError(
            doing, "fast open needs data to put into the SYN", "Add --exchange request."
        )
    if plan.path != "unix":
        return
    if plan.fast_open or plan.closer == "reset":
        what = "fast open" if plan.fast_open else "reset"
        raise UsageError(doing, f"a Unix socket has no {what}", "Use TCP for that.")
    if plan.backlog and plan.backlog < plan.concurrency:
        raise UsageError(
            doing,
            f"connect() to a Unix socket fails (EAGAIN) when its backlog is full, and "
            f"{plan.concurrency} at a time may fill {plan.backlog}",
            "A larger --backlog.",
        )


def _measure(
    kernel: Kernel,
    plan: ConnectPlan,
    assignments: Sequence[Assignment],
    far_cpu: int | None,
    progress: Progress,
    missing: list[Missing],
) -> _Found:
    readings: list[ConnectReading] = []
    with open_connector(kernel, plan, assignments, far_cpu) as (connector, settings):
        ended_by = DONE
        try:
            for reading in _blocks(connector, plan, progress):
                readings.append(reading)
                ended_by = reading.ended_by
        except KeyboardInterrupt:  # between two blocks
            ended_by = INTERRUPTED
        if ended_by == INTERRUPTED and not any(one.made for one in analysis.measured(readings)):
            raise KeyboardInterrupt  # before there was anything to tell
        ports = None
        if plan.path != "unix":
            ports = leftovers.port_use(kernel, connector.address, connector.ports, missing)
    return _Found(settings, readings, ended_by, ports, connector.refused)


def _blocks(
    connector: Connector, plan: ConnectPlan, progress: Progress
) -> Iterator[ConnectReading]:
    """The warm-up and the blocks, up to the one that is cut short."""
    blocks: list[tuple[int | None, float | None]]
    if plan.connections is not None:
        counts = analysis.shares(plan.connections, plan.blocks)
        blocks = [(count, None) for count in (counts[0], *counts)]
    else:
        duration_s = (plan.duration_s or 0.0) / plan.blocks
        blocks = [(None, duration_s)] * (plan.blocks + 1)
    text = "warming up"
    for number, (connections, duration_s_) in enumerate(blocks):
        progress(number / len(blocks), text)
        reading = connector.block(connections, duration_s_)
        yield reading
        if reading.ended_by != DONE:
            return
        text = f"{reading.made / reading.elapsed_s:.0f} connections/s"


def _report(
    kernel: Kernel,
    plan: ConnectPlan,
    facts: Machine,
    found: _Found,
    before: Snapshot,
    after: Snapshot,
    missing: list[Missing],
) -> ConnectReport:
    """Everything but the warnings."""
    readings = analysis.measured(found.readings)
    blocks = tuple(map(analysis.block, readings))
    rates = analysis.rates_per_s(blocks)
    interval = median_interval(rates)

    def times(name: str) -> Percentiles | None:
        return analysis.percentiles(
            chain.from_iterable(getattr(reading, name) for reading in readings)
        )

    numbers = {number for reading in readings for number in reading.failures}
    return ConnectReport(
        plan=plan,
        machine=facts,
        settings=found.settings,
        complete=found.ended_by == DONE,
        ended_by=found.ended_by,
        made=sum(one.made for one in blocks),
        failed=analysis.failures(readings, {number: errno_name(number) for number in numbers}),
        rate_per_s=median(rates) if rates else None,
        rate_low_per_s=interval[0] if interval else None,
        rate_high_per_s=interval[1] if interval else None,
        noise_percent=noise_percent(rates),
        near_cpu_us=analysis.cpu_us(blocks),
        far_cpu_us=analysis.cpu_us(blocks, far=True),
        connect=times("connect_us"),
        exchange=times("exchange_us"),
        answer=times("answer_us"),
        close=times("close_us"),
        fast_open=_fast_open(kernel, readings, found.refused) if plan.fast_open else None,
        tw_before=before.sockets.get("TCP tw"),
        tw_after=after.sockets.get("TCP tw"),
        ports=found.ports,
        counters=analysis.growth(before.counters, after.counters) if after.counters else None,
        blocks=blocks,
        host=host_facts(kernel),
        missing=missing,
        warnings=[],
    )


# -- what the kernel says ------------------------------------------------------------------


def _snapshot(kernel: Kernel, plan: ConnectPlan, missing: list[Missing]) -> Snapshot:
    return Snapshot({}, {}) if plan.path == "unix" else leftovers.snapshot(kernel, missing)


def _fast_open(
    kernel: Kernel, readings: Sequence[ConnectReading], refused: str | None
) -> FastOpenUse:
    return FastOpenUse(
        used=sum(one.fast_open_used for one in readings),
        asked=sum(len(one.answer_us) for one in readings),
        enabled=sysctl_number(kernel, "net.ipv4.tcp_fastopen"),
        refused=refused,
    )


def _elsewhere(kernel: Kernel) -> bool:
    """Whether the sockets are made in another network namespace than this process's."""
    try:
        return kernel.netns_inode() != kernel.proc.netns_inode("self")
    except OSError:
        return False
