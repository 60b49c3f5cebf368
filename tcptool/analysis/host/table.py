"""Every check of `doctor` by its id, and the one place where they run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from tcptool.analysis.host import devices, limits, loss, memory, queues, settings
from tcptool.analysis.host.facts import Facts, Lacks, Verdict
from tcptool.catalog.host_checks import HOST_CHECKS, Layer
from tcptool.catalog.myths import MYTHS
from tcptool.catalog.severity import Severity
from tcptool.model.doctor import Finding
from tcptool.model.host import HostState

CHECKS: Final[dict[str, Callable[[Facts], Verdict]]] = {
    "H-01": loss.retransmissions,
    "H-02": loss.timeouts,
    "H-03": loss.needless,
    "H-04": loss.unanswered_connects,
    "H-05": loss.aborts,
    "H-06": devices.softnet,
    "H-07": devices.device_errors,
    "H-08": devices.links,
    "H-09": devices.pacing,
    "H-10": devices.qdisc_drops,
    "H-11": settings.lossy_paths,
    "H-12": queues.accept_queues,
    "H-13": queues.syn_cookies,
    "H-14": memory.memory,
    "H-15": memory.buffer_limits,
    "H-16": limits.local_ports,
    "H-17": limits.time_wait,
    "H-18": limits.open_files,
    "H-19": limits.tracked,
    "H-20": limits.unclosed,
    "H-21": settings.switched_off,
    "H-22": settings.idle_restart,
    "H-23": settings.path_mtu,
    "H-24": memory.send_queues,
    "H-25": settings.idle_without_keepalive,
    "H-26": settings.congestion_marks,
    "H-27": loss.fast_open,
    "H-28": memory.closed_windows,
    "H-30": memory.first_sizes,
    "H-31": memory.huge_buffers,
    "H-32": settings.old_guides,
    "H-33": loss.rejected,
    "H-34": devices.cpus,
    "H-35": settings.untold,
    "H-36": settings.tuners,
}


def examine(state: HostState) -> tuple[Finding, ...]:
    """Make every check; the findings come worst first, see ``worst_first``."""
    facts = Facts(state)
    return worst_first(finding(check, _made(function, facts)) for check, function in CHECKS.items())


def _made(function: Callable[[Facts], Verdict], facts: Facts) -> Verdict:
    try:
        return function(facts)
    except Lacks as lack:
        return Verdict(Severity.SKIP, str(lack))


def finding(check: str, verdict: Verdict) -> Finding:
    """A verdict with what the catalog knows about its check."""
    about = HOST_CHECKS[check]
    return Finding(
        id=check,
        title=about.title,
        layer=about.layer,
        aspect=about.aspect,
        severity=verdict.severity,
        summary=verdict.summary,
        evidence=verdict.evidence,
        rule=about.rule,
        why=about.why,
        remedy=verdict.remedy,
        myths=tuple(MYTHS[name] for name in verdict.myths),
        source=about.source,
    )


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Layer by layer, the one with the worst finding first, and in a layer the worst first."""
    found = list(findings)
    worst: dict[Layer, int] = {}
    for one in found:
        worst[one.layer] = max(worst.get(one.layer, 0), _badness(one.severity))
    layers = list(Layer)
    found.sort(
        key=lambda one: (
            -worst[one.layer],
            layers.index(one.layer),
            -_badness(one.severity),
            one.id,
        )
    )
    return tuple(found)


def worst(findings: Iterable[Finding]) -> Severity:
    """The worst severity; ``skip`` of none."""
    return max((one.severity for one in findings), key=_badness, default=Severity.SKIP)


def _badness(severity: Severity) -> int:
    return list(Severity).index(severity)
