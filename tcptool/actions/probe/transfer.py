"""`probe METHOD` and `probe compare`: move bytes in interleaved slices, and judge the readings.

Each round gives every method one slice of the same bytes, in an order drawn anew.  After some
rounds all methods go on with a new connection each, and a warm-up.  CPU time and clock are read
around each slice only, so progress and judging cost the measurement nothing.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from tcptool.actions.host import host_facts
from tcptool.actions.probe.surroundings import Placement, common_warnings, machine_facts, placed
from tcptool.analysis import transfer as analysis
from tcptool.catalog.methods import method_of
from tcptool.catalog.tcp_info import TcpInfo
from tcptool.errors import NotPermitted, TcptoolError, Unsupported, UsageError
from tcptool.linux import machine
from tcptool.linux.kernel import Kernel
from tcptool.model.probe import (
    Reading,
    Settings,
    TransferPlan,
    TransferReport,
    ZeroCopySends,
)
from tcptool.model.report import Missing
from tcptool.traffic import ends
from tcptool.traffic.source import Source, open_source
from tcptool.traffic.transfer import Transfer, open_transfer
from tcptool.units import Unit, human

if TYPE_CHECKING:
    from tcptool.model.change import Assignment

Progress = Callable[[float, str], None]
"""Told the share that is done, and a few words, between slices."""

_MOST_SLICES: Final = 1_000_000
"""Half a gigabyte of readings."""
_MADE_BYTES: Final = 100 << 20
"""Made-up data for a run that lasts a given time: the guide's file."""


def transfer(
    kernel: Kernel,
    plan: TransferPlan,
    assignments: Sequence[Assignment],
    progress: Progress = lambda _share, _text: None,
) -> TransferReport:
    """Measure.  Ctrl-C ends it early, with what was measured.  Raises TcptoolError."""
    plan, missing = _possible(plan)
    load = machine.load_percent()
    with placed(plan.processors) as placement:
        source = open_source(
            plan.file,
            memory=plan.source == "memory",
            size_bytes=plan.size_bytes or (sys.maxsize if plan.file else _MADE_BYTES),
            seed=plan.seed,
        )
        try:
            run = _Run(kernel, plan, assignments, source, placement, progress)
            run.measure()
        finally:
            source.close()
        facts = machine_facts(placement, load)
    if not run.tallies:
        raise KeyboardInterrupt  # before there was anything to tell
    missing += run.missing
    results = [
        analysis.method_result(
            method,
            tally.readings,
            tally.settings,
            tally.tcp_info,
            ZeroCopySends(completed=tally.completed, copied=tally.copied)
            if tally.completed
            else None,
            run.verified_bytes,
        )
        for method, tally in run.tallies.items()
    ]
    by_rate, by_cpu = (analysis.places(results, metric) for metric in (analysis.RATE, analysis.CPU))
    settings = results[0].settings
    return TransferReport(
        host=host_facts(kernel),
        plan=plan,
        machine=facts,
        complete=run.complete,
        source_bytes=source.size_bytes,
        results=analysis.ranked(results, by_rate, by_cpu),
        comparisons=(
            *analysis.comparisons(results, analysis.RATE, by_rate),
            *analysis.comparisons(results, analysis.CPU, by_cpu),
        ),
        fastest=by_rate[0] if by_rate else (),
        cheapest=by_cpu[0] if by_cpu else (),
        missing=missing,
        warnings=[
            *common_warnings(facts, settings, loopback=settings.device == "lo"),
            *analysis.warnings_of(results),
        ],
    )


def _possible(plan: TransferPlan) -> tuple[TransferPlan, list[Missing]]:
    """The plan without methods that cannot do it; one that was asked for alone is an error."""
    if plan.path == "unix" and plan.receiver == "discard":
        raise UsageError(
            "choosing --receiver discard",
            "a Unix socket copies all the same (MSG_TRUNC does nothing there)",
            "Use recv or splice.",
        )
    if plan.size_bytes and plan.size_bytes // plan.slice_bytes > _MOST_SLICES:
        raise UsageError(
            "planning the slices",
            f"--size makes more than {_MOST_SLICES} of them, and each is kept",
            "A larger --slice, or less.",
        )
    if plan.verify and plan.to:
        raise UsageError("reading --verify", f"nothing tells what arrived at {plan.to}")
    missing = []
    for name in plan.methods:
        method = method_of(name)
        if plan.source == "memory" and not method.memory:
            missing.append(Missing(name, "it sends files, not memory", "no --memory"))
        elif plan.path == "unix" and not method.unix:
            missing.append(Missing(name, "Unix sockets lack it", "no --unix"))
    barred = {one.what for one in missing}
    left = tuple(name for name in plan.methods if name not in barred)
    if not left:
        error = UsageError if plan.source == "memory" else Unsupported
        raise error(f"probing {missing[0].what}", missing[0].why, f"It needs {missing[0].needs}.")
    return replace(plan, methods=left), missing


@dataclass(slots=True)
class _Tally:
    """What one method did, over all its connections."""

    settings: Settings
    readings: list[Reading] = field(default_factory=list)
    tcp_info: TcpInfo | None = None
    completed: int = 0
    copied: int = 0


class _Run:
    """The measurement as it goes on."""

    def __init__(
        self,
        kernel: Kernel,
        plan: TransferPlan,
        assignments: Sequence[Assignment],
        source: Source,
        placement: Placement,
        progress: Progress,
    ) -> None:
        self._kernel, self._plan, self._assignments = kernel, plan, assignments
        self._source, self._placement, self._progress = source, placement, progress
        self._random = random.Random(plan.seed)
        self._sent_bytes = 0
        """By each method; the source goes on where the last connection was."""
        self.tallies: dict[str, _Tally] = {}
        self.missing: list[Missing] = []
        self.verified_bytes: int | None = None
        self.complete = False

    def measure(self) -> None:
        """Use up all connections; what there is after Ctrl-C is kept."""
        plan = self._plan
        try:
            with open_transfer(
                self._kernel, plan, self._assignments, self._source, self._placement.far
            ) as moving:
                methods: Iterable[str] = plan.methods
                for connection, sizes in enumerate(self._sizes()):
                    with moving.connected(methods):
                        self._use(moving, connection, sizes)
                        methods = tuple(moving.lines)
            self.complete = True
        except KeyboardInterrupt:
            self.tallies = {name: one for name, one in self.tallies.items() if one.readings}

    def _use(self, moving: Transfer, connection: int, sizes: Iterable[int]) -> None:
        """All that the connections of one set are for."""
        plan = self._plan
        self._prepare(moving)
        if plan.verify and not connection:
            self._verify(moving)
        try:
            for _ in range(plan.warmup_rounds):
                size = min(plan.slice_bytes, plan.size_bytes or _MADE_BYTES)
                self._round(moving, connection, size)
            if not connection:
                self.tallies = {name: _Tally(moving.settings(name)) for name in moving.lines}
            for size in sizes:
                for reading in self._round(moving, connection, size):
                    self.tallies[reading.method].readings.append(reading)
                self._sent_bytes += size
            moving.finish()
            self._source.check_size()
        finally:
            for method, line in moving.lines.items():
                if tally := self.tallies.get(method):
                    tally.tcp_info = ends.tcp_info(line.sock)
                    tally.completed += line.zerocopy_completed
                    tally.copied += line.zerocopy_copied

    def _prepare(self, moving: Transfer) -> None:
        """Leave out what this kernel cannot do, unless nothing is left."""
        for method in list(moving.lines):
            try:
                moving.prepare(method)
            except (Unsupported, NotPermitted) as exc:
                if len(moving.lines) == 1:
                    raise
                moving.leave_out(method)
                self.missing.append(Missing(method, str(exc), "a kernel that can"))

    def _verify(self, moving: Transfer) -> None:
        """Send all of the data once with each method, unmeasured, and compare checksums."""
        size = min(self._plan.size_bytes or _MADE_BYTES, self._source.size_bytes)
        expected = self._source.digest(size)
        for number, method in enumerate(moving.lines):
            self._progress(number / len(moving.lines), f"verifying {method}")
            self.verified_bytes = size
            if moving.digest(method, size) != expected:
                raise TcptoolError(
                    f"verifying {method}",
                    f"what arrived of {size} bytes is not what was sent",
                    "A bug in tcptool or in this kernel: please report it.",
                )

    def _sizes(self) -> Iterator[Iterable[int]]:
        """For each connection the size of each slice to come."""
        plan = self._plan
        if plan.size_bytes is not None:
            for sizes in analysis.slice_sizes(plan.size_bytes, plan.slice_bytes, plan.connections):
                yield self._told(sizes, plan.size_bytes)
        else:
            for number in range(plan.connections):
                yield self._timed(number)

    def _told(self, sizes: Iterable[int], size_bytes: int) -> Iterator[int]:
        for size in sizes:
            self._tell(self._sent_bytes / size_bytes)
            yield size

    def _timed(self, number: int) -> Iterator[int]:
        """Slices for as long as this connection has; its warm-up does not count."""
        plan = self._plan
        begun_s, share_s = time.monotonic(), (plan.duration_s or 0.0) / plan.connections
        while (elapsed_s := time.monotonic() - begun_s) < share_s:
            self._tell((number + elapsed_s / share_s) / plan.connections)
            yield plan.slice_bytes

    def _tell(self, share: float) -> None:
        method, tally = next(iter(self.tallies.items()))
        rate = analysis.recent_rate_bytes_per_s(tally.readings)
        text = f"{method} {human(rate, Unit.BYTES_PER_SECOND)}" if rate else ""
        self._progress(share, text)

    def _round(self, moving: Transfer, connection: int, size: int) -> list[Reading]:
        """One slice of every method, in an order of its own."""
        order, start = list(moving.lines), self._sent_bytes
        self._random.shuffle(order)
        return [moving.move(method, start, size, connection) for method in order]
