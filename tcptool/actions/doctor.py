"""`doctor`: what harms TCP on this host now.  It changes nothing.

Two readings, and everything is judged by what grew between them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tcptool.actions.host import host_facts
from tcptool.analysis.host.facts import Facts, Lacks, Verdict
from tcptool.analysis.host.path import judge_path, path_needs
from tcptool.analysis.host.table import examine, finding, worst
from tcptool.catalog.severity import Severity
from tcptool.linux import host as reading
from tcptool.linux.kernel import Kernel
from tcptool.model.doctor import DoctorReport, Finding, PathNeeds
from tcptool.model.host import HostState, Reading
from tcptool.model.report import Missing, Warning

_BUSY_PERCENT: Final = 100.0
"""More runnable programs than processors: then what is slow may be slow for want of CPU."""
_STEP_S: Final = 0.25
"""How often a person at a terminal is told how far it is."""
_NOTHING: Final = Reading(counters={}, sockstat={}, softnet=(), cpus=(), links=(), qdiscs=())

Tell = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class Path:
    """A path that the limits are to be judged by."""

    rate_bytes_per_s: int
    rtt_us: int


def doctor(kernel: Kernel, window_s: float, netns: str | None, tell: Tell) -> DoctorReport:
    """Read twice, ``window_s`` apart, and make every check.

    ``netns`` is how the user named the namespace of ``kernel``, for the commands that are
    proposed.  Ctrl-C ends the wait: what was seen until then is judged.
    """
    # Of the first reading the reasons are not kept: what failed then may be there now.
    drops_before = reading.read_listener_drops(kernel)
    before, begun = reading.read_counters(kernel, {}), kernel.monotonic()
    complete = _wait(kernel, begun + window_s, window_s, tell)
    lacks: reading.Lacks = {}
    after, ended = reading.read_counters(kernel, lacks), kernel.monotonic()
    sockets, missing = reading.read_sockets(kernel, lacks)
    holders, unseen = reading.read_holders(kernel, sockets, lacks)
    processes = reading.read_processes(kernel, lacks)
    state = HostState(
        elapsed_s=ended - begun,
        before=before,
        after=after,
        sysctls=reading.read_sysctls(kernel, lacks),
        drops_before=drops_before,
        sockets=sockets,
        holders=holders,
        files=processes.files,
        processes=processes.names,
        default_links=reading.read_default_links(kernel, lacks),
        page_bytes=reading.page_bytes(),
        memory_bytes=reading.read_memory_bytes(kernel),
        netns=netns,
        lacks=lacks,
    )
    warnings = _warnings(kernel, len(after.cpus))
    lost = [*missing, *_unseen(state, unseen), *processes.missing]
    return _report(kernel, state, examine(state), None, lost, warnings, complete)


def _wait(kernel: Kernel, until: float, whole_s: float, tell: Tell) -> bool:
    """Wait in small steps; False if Ctrl-C ended it."""
    with contextlib.suppress(KeyboardInterrupt):
        while (left := until - kernel.monotonic()) > 0:
            tell(1 - left / whole_s, "reading counters twice")
            kernel.wait(min(left, _STEP_S))
        return True
    return False


def doctor_for_path(kernel: Kernel, path: Path, netns: str | None) -> DoctorReport:
    """What a path needs, and whether the limits of this host are enough.  Nothing is waited for."""
    lacks: reading.Lacks = {}
    state = HostState(
        elapsed_s=0.0,
        before=_NOTHING,
        after=_NOTHING,
        sysctls=reading.read_sysctls(kernel, lacks),
        drops_before={},
        sockets=(),
        holders={},
        files=(),
        processes=frozenset(),
        default_links=frozenset(),
        page_bytes=reading.page_bytes(),
        memory_bytes=None,
        netns=netns,
        lacks=lacks,
    )
    facts = Facts(state)
    needs = path_needs(facts, path.rate_bytes_per_s, path.rtt_us)
    try:
        verdict = judge_path(facts, needs)
    except Lacks as lack:
        verdict = Verdict(Severity.SKIP, str(lack))
    return _report(kernel, state, (finding("H-15", verdict),), needs, [], [], True)


def _report(
    kernel: Kernel,
    state: HostState,
    findings: tuple[Finding, ...],
    path: PathNeeds | None,
    missing: list[Missing],
    warnings: list[Warning],
    complete: bool,
) -> DoctorReport:
    return DoctorReport(
        window_s=None if path else state.elapsed_s,
        complete=complete,
        worst=worst(findings),
        path=path,
        findings=findings,
        host=host_facts(kernel),
        missing=missing,
        warnings=warnings,
    )


def _unseen(state: HostState, why: list[Missing]) -> list[Missing]:
    """Why owners are not known, if a socket has none that could be seen."""
    without = (one for one in state.sockets if one.inode and one.inode not in state.holders)
    return why if any(without) else []


def _warnings(kernel: Kernel, processors: int) -> list[Warning]:
    load = reading.load_percent(kernel, processors)
    if load is None or load <= _BUSY_PERCENT:
        return []
    text = (
        f"load above cores: the load average is {load:.0f} % of the processors, so queues and "
        "timeouts may come from a want of CPU"
    )
    return [Warning("load-above-cores", text)]
