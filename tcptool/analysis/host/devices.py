"""Checks of network devices, of their queues, and of the CPUs that serve them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Final

from tcptool.analysis.host.facts import (
    Facts,
    Lacks,
    Verdict,
    count,
    ok,
    percent,
    share_percent,
    words,
)
from tcptool.catalog.host_thresholds import (
    DROPS_ON_PURPOSE,
    FQ,
    NOISE_PERCENT,
    SOFTIRQ_PERCENT,
    SQUEEZED_PERCENT,
    STEAL_PERCENT,
)
from tcptool.catalog.severity import Severity
from tcptool.model.doctor import Evidence, Remedy
from tcptool.model.host import CpuTicks, Link, Qdisc

_WRAP: Final = 1 << 32
"""The counters of softnet_stat have 32 bits."""
MULTI_QUEUE: Final = ("mq", "mqprio")


def softnet(facts: Facts) -> Verdict:
    """H-06: packets that a CPU did not get to."""
    before = {one.cpu: one for one in facts.state.before.softnet}
    pairs = [(before[one.cpu], one) for one in facts.state.after.softnet if one.cpu in before]
    if not pairs:
        raise Lacks(facts.why("/proc/net/softnet_stat", "no /proc/net/softnet_stat"))
    dropped, squeezed, processed = (
        sum((getattr(b, name) - getattr(a, name)) % _WRAP for a, b in pairs)
        for name in ("dropped", "squeezed", "processed")
    )
    evidence = tuple(
        Evidence(
            f"/proc/net/softnet_stat cpu{b.cpu}", f"dropped {b.dropped}, squeezed {b.squeezed}"
        )
        for _, b in pairs
        if b.dropped or b.squeezed
    )
    if dropped:
        return Verdict(
            Severity.WARN,
            f"{count(dropped, 'packet')} dropped before TCP saw them in {facts.window()}",
            (*evidence, *facts.setting("net.core.netdev_max_backlog")),
            _twice(
                facts,
                "net.core.netdev_max_backlog",
                "Give packets more room to wait, only while the drops go on.",
                "packets wait longer; it does not make the CPU faster",
            ),
        )
    share = share_percent(squeezed, processed)
    if share > SQUEEZED_PERCENT:
        return Verdict(
            Severity.INFO,
            f"rounds of receiving cut short: {percent(share)} of {processed} packets",
            (*evidence, *facts.setting("net.core.netdev_budget", "net.core.netdev_budget_usecs")),
            _twice(
                facts,
                "net.core.netdev_budget",
                "Let a round take more packets, if latency suffers.",
                "programs wait longer for the CPU; netdev_budget_usecs may be what ends the rounds",
            ),
        )
    total = sum(b.dropped for _, b in pairs)
    if total:
        return facts.past(f"{count(total, 'packet')} dropped before TCP saw them", *evidence)
    return ok("no packet was dropped before TCP saw it", *evidence)


def _twice(facts: Facts, sysctl: str, advice: str, risk: str) -> Remedy:
    """Double a limit, as bpftune does; advice alone where it is out of sight."""
    if not facts.has(sysctl):
        return Remedy(advice=f"{advice} {sysctl} is in the host's first network namespace.")
    return facts.set({sysctl: str(2 * facts.number(sysctl))}, advice, risk)


def _links(facts: Facts) -> list[tuple[Link, Link]]:
    """Every device that is up and no loopback, before and after.  Raises Lacks."""
    before = {(one.index, one.name): one for one in facts.state.before.links}
    pairs = [
        (before[one.index, one.name], one)
        for one in facts.state.after.links
        if one.up and not one.loopback and (one.index, one.name) in before
    ]
    if not facts.state.after.links:
        raise Lacks(facts.why("network devices (rtnetlink)", "no network device was told of"))
    return pairs


def device_errors(facts: Facts) -> Verdict:
    """H-07: what the devices count as errors and drops."""
    grown: dict[str, dict[str, int]] = {}
    evidence: list[Evidence] = []
    for before, after in _links(facts):
        for name in (*_BROKEN, *_SHORT):
            one = after.counters.get(name, 0)
            growth = one - before.counters.get(name, one)
            if growth > 0:
                grown.setdefault(after.name, {})[name] = growth
            if one:
                text = f"{one} in all, {facts.in_window(max(growth, 0))}"
                evidence.append(Evidence(f"{after.name} {name}", text))
    if not grown:
        return ok("no device counted an error or a drop", *evidence)
    summary = words(
        f"{name}: " + words(f"{growth} {what}" for what, growth in found.items())
        for name, found in grown.items()
    )
    broken = any(what in _BROKEN for found in grown.values() for what in found)
    first = shlex.quote(next(iter(grown)))
    if broken:
        advice = "Change the cable or the transceiver; compare speed and duplex of both ends."
        remedy = Remedy(advice=advice, command=f"ethtool {first}")
        return Verdict(Severity.FAIL, summary, tuple(evidence), remedy)
    if all(_is_noise(number, grown.get(name, {})) for name, number in _received(facts)):
        advice = "Leave it: frames that nobody here asked for (LLDP, STP) are counted so."
        return Verdict(Severity.INFO, summary, tuple(evidence), Remedy(advice=advice))
    advice = (
        "See what the driver counts; missed packets want a larger receive ring "
        "(`ethtool -g` shows its limit, `ethtool -G` sets it)."
    )
    remedy = Remedy(advice=advice, command=f"ethtool -S {first}")
    return Verdict(Severity.WARN, summary, tuple(evidence), remedy)


def _received(facts: Facts) -> Iterator[tuple[str, int]]:
    """The devices and how many packets each received."""
    for before, after in _links(facts):
        yield (
            after.name,
            after.counters.get("rx_packets", 0) - before.counters.get("rx_packets", 0),
        )


def _is_noise(received: int, grown: dict[str, int]) -> bool:
    """Nothing, or few drops among many packets."""
    share = share_percent(grown.get("rx_dropped", 0), received)
    return not grown or (grown.keys() == {"rx_dropped"} and received > 0 and share < NOISE_PERCENT)


_BROKEN: Final = ("rx_crc_errors", "collisions")
"""Signs of broken hardware or of two duplex modes (NDT's classics)."""
_SHORT: Final = ("rx_missed_errors", "rx_dropped", "tx_dropped", "rx_errors", "tx_errors")


def links(facts: Facts) -> Verdict:
    """H-08: duplex, links that come and go, different MTUs."""
    pairs = _links(facts)
    if not pairs:
        return ok("no device but loopback is up")
    evidence = tuple(_link_facts(after) for _, after in pairs)
    half = [after.name for _, after in pairs if after.duplex == "half"]
    if half:
        return Verdict(
            Severity.FAIL,
            f"half duplex: {words(half)}",
            evidence,
            Remedy(
                advice="Let both ends negotiate; a fixed setting at one end makes the other guess.",
                command=facts.inside(f"ethtool -s {shlex.quote(half[0])} autoneg on"),
                risk="the link goes down for a moment",
            ),
        )
    # Others come and go with the containers behind them.
    ours = [(a, b) for a, b in pairs if b.name in facts.state.default_links]
    flapping = [b.name for a, b in ours if (b.carrier_changes or 0) > (a.carrier_changes or 0)]
    if flapping:
        advice = "Look at cable, transceiver and switch port."
        remedy = Remedy(advice=advice, command="sudo dmesg | grep -i 'link'")
        summary = f"the link went up or down in {facts.window()}: {words(flapping)}"
        return Verdict(Severity.WARN, summary, evidence, remedy)
    mtus = sorted({b.mtu_bytes for _, b in ours if b.mtu_bytes is not None})
    if len(mtus) > 1:
        summary = f"the devices of the default routes have different MTUs: {words(map(str, mtus))}"
        advice = "Leave it if the networks differ; else give both the smaller one."
        return Verdict(Severity.INFO, summary, evidence, Remedy(advice=advice))
    duplex = {after.duplex for _, after in pairs}
    told = "" if duplex - {None, "unknown"} else "; none tells its duplex mode"
    return ok(f"{count(len(pairs), 'device')} up and steady{told}", *evidence)


def _link_facts(link: Link) -> Evidence:
    words_ = {
        "mtu": link.mtu_bytes,
        "duplex": link.duplex,
        "carrier_changes": link.carrier_changes,
    }
    text = ", ".join(f"{name} {value}" for name, value in words_.items() if value is not None)
    return Evidence(link.name, text)


def pacing(facts: Facts) -> Verdict:
    """H-09: bbr on a queueing discipline other than fq."""
    using = [one for one in facts.connections() if one.congestion == "bbr"]
    default = facts.text("net.ipv4.tcp_congestion_control") == "bbr"
    if not using and not default:
        return ok("bbr is not in use")
    if not facts.state.after.qdiscs:
        raise Lacks(facts.why("queueing disciplines (rtnetlink)", "none was told of"))
    kinds = dict(_default_qdiscs(facts))
    evidence = (
        *(Evidence(f"tc qdisc show dev {name}", kind) for name, kind in kinds.items()),
        *facts.setting("net.ipv4.tcp_congestion_control", "net.core.default_qdisc"),
    )
    others = {name: kind for name, kind in kinds.items() if kind not in FQ}
    if not others:
        return ok("bbr has fq, or no queue to pace", *evidence)
    shown = words(f"{name} has {kind}" for name, kind in others.items())
    advice = "Leave it: TCP paces by itself. fq is worth a try where sending takes much CPU."
    return Verdict(
        Severity.INFO,
        f"bbr is in use and {shown}",
        evidence,
        Remedy(advice=advice),
        ("bbr-needs-fq", "default-qdisc"),
    )


def _default_qdiscs(facts: Facts) -> Iterator[tuple[str, str]]:
    """The queueing discipline of each device of a default route; that of an mq's queues."""
    names = {one.index: one.name for one in facts.state.after.links}
    for index, name in names.items():
        if name not in facts.state.default_links:
            continue
        mine = [one for one in facts.state.after.qdiscs if one.link == index]
        root = next((one.kind for one in mine if one.root), None)
        if root in MULTI_QUEUE:
            root = next((one.kind for one in mine if not one.root), root)
        if root is not None:
            yield name, root


def qdisc_drops(facts: Facts) -> Verdict:
    """H-10: segments that this host dropped before it sent them."""
    if not facts.state.after.qdiscs:
        raise Lacks(facts.why("queueing disciplines (rtnetlink)", "none was told of"))
    names = {one.index: one.name for one in facts.state.after.links}
    before = {_key(one): one.drops or 0 for one in facts.state.before.qdiscs}
    evidence: list[Evidence] = []
    dropping: dict[str, int] = {}
    on_purpose = True
    for one in facts.state.after.qdiscs:
        drops = one.drops or 0
        grown = drops - before.get(_key(one), drops)
        name = names.get(one.link, f"device {one.link}")
        if drops:
            text = f"{drops} drops in all, {facts.in_window(max(grown, 0))}"
            evidence.append(Evidence(f"tc -s qdisc show dev {name} ({one.kind})", text))
        if grown > 0:
            dropping[name] = dropping.get(name, 0) + grown
            on_purpose = on_purpose and one.kind in DROPS_ON_PURPOSE
    if not dropping:
        return ok("no queueing discipline dropped anything", *evidence)
    summary = words(f"{name} dropped {number}" for name, number in dropping.items())
    if on_purpose:
        advice = "Leave it: it drops on purpose, to keep delays short while the link is full."
        return Verdict(Severity.INFO, summary, tuple(evidence), Remedy(advice=advice))
    remedy = Remedy(
        advice="A shaper or a full queue of this host: is its rate meant?",
        command=f"tc -s qdisc show dev {shlex.quote(next(iter(dropping)))}",
    )
    return Verdict(Severity.WARN, summary, tuple(evidence), remedy)


def _key(one: Qdisc) -> tuple[int, int, str, bool]:
    return one.link, one.handle, one.kind, one.root


def cpus(facts: Facts) -> Verdict:
    """H-34: a CPU that only receives, or that the hypervisor takes away."""
    before = {one.cpu: one for one in facts.state.before.cpus}
    pairs = [(before[one.cpu], one) for one in facts.state.after.cpus if one.cpu in before]
    busy = [(a, b) for a, b in pairs if b.total > a.total]
    if not busy:
        raise Lacks(facts.why("/proc/stat", "no time passed on any CPU"))
    steal = share_percent(_ticks(busy, "steal"), _ticks(busy, "total"))
    receiving = {b.cpu: share_percent(b.softirq - a.softirq, b.total - a.total) for a, b in busy}
    cpu, most = max(receiving.items(), key=lambda one: one[1])
    queues = tuple(
        Evidence(f"/sys/class/net/{one.name}/queues", count(one.receive_queues, "receive queue"))
        for one in facts.state.after.links
        if one.receive_queues and not one.loopback and one.up
    )
    evidence = (
        Evidence(
            "/proc/stat", f"cpu{cpu} softirq {percent(most)}, all CPUs steal {percent(steal)}"
        ),
        *queues,
    )
    if most >= SOFTIRQ_PERCENT and len(busy) > 1:
        remedy = Remedy(
            advice="Spread receiving over the CPUs: more receive queues (RSS), or RPS.",
            command="grep -E 'CPU|NET_RX' /proc/softirqs",
        )
        summary = f"cpu{cpu} spends {percent(most)} of its time on receiving"
        return Verdict(Severity.WARN, summary, evidence, remedy)
    if steal >= STEAL_PERCENT:
        summary = f"the hypervisor took {percent(steal)} of the CPU time"
        remedy = Remedy(advice="Move to a host with less load, or to a larger machine.")
        return Verdict(Severity.WARN, summary, evidence, remedy)
    return ok(f"at most {percent(most)} of a CPU for receiving, {percent(steal)} stolen", *evidence)


def _ticks(pairs: list[tuple[CpuTicks, CpuTicks]], name: str) -> int:
    return sum(max(getattr(b, name) - getattr(a, name), 0) for a, b in pairs)
