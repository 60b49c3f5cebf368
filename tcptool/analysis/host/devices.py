"""Checks of network devices, of their queues, and of the CPUs that serve them."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from tcptool.analysis.host.facts import (
    SHOWN,
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
    ENOUGH_TICKS,
    FQ,
    NOISE_PERCENT,
    NOT_ON_THE_WAY_OUT,
    SOFTIRQ_PERCENT,
    SQUEEZED_PERCENT,
    STEAL_PERCENT,
)
from tcptool.catalog.severity import Severity
from tcptool.model.doctor import Evidence, Remedy
from tcptool.model.host import CpuTicks, Link, Qdisc, Reading, Softnet

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
        sum(_grown(one, name) for one in pairs) for name in ("dropped", "squeezed", "processed")
    )
    counted = [
        facts.counted(
            f"/proc/net/softnet_stat cpu{one[1].cpu} {name}",
            getattr(one[1], name),
            _grown(one, name),
        )
        for one in pairs
        for name in ("dropped", "squeezed")
    ]
    evidence = _worst(counted)
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
                "net.core.netdev_budget_usecs",
                "Let a round take longer, if latency suffers: of rounds that netdev_budget ends, "
                "each has taken some 300 packets, which is less than 1 %.",
                "programs wait longer for the CPU",
            ),
        )
    total = sum(b.dropped for _, b in pairs)
    if total:
        return facts.past(f"{count(total, 'packet')} dropped before TCP saw them", *evidence)
    return ok("no packet was dropped before TCP saw it", *evidence)


def _grown(pair: tuple[Softnet, Softnet], name: str) -> int:
    before, after = pair
    return int(getattr(after, name) - getattr(before, name)) % _WRAP


def _worst(counted: Iterable[Evidence]) -> tuple[Evidence, ...]:
    """The counts that grew most, or else are highest: a host may have hundreds of CPUs."""
    found = [one for one in counted if one.total]
    if any(one.grown for one in found):
        found = [one for one in found if one.grown]
    found.sort(key=lambda one: (one.grown or 0, one.total or 0), reverse=True)
    return tuple(found[:SHOWN])


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
    counted: list[Evidence] = []
    for before, after in _links(facts):
        for name in (*_BROKEN, *_SHORT):
            one = after.counters.get(name, 0)
            growth = one - before.counters.get(name, one)
            if growth > 0:
                grown.setdefault(after.name, {})[name] = growth
            counted.append(facts.counted(f"{after.name} {name}", one, max(growth, 0)))
    evidence = _worst(counted)
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
        remedy = Remedy(advice=advice, command=facts.inside(f"ethtool {first}"))
        return Verdict(Severity.FAIL, summary, evidence, remedy)
    if all(_is_noise(number, grown.get(name, {})) for name, number in _received(facts)):
        advice = "Leave it: frames that nobody here asked for (LLDP, STP) are counted so."
        return Verdict(Severity.INFO, summary, evidence, Remedy(advice=advice))
    advice = (
        "See what the driver counts; missed packets want a larger receive ring "
        "(`ethtool -g` shows its limit, `ethtool -G` sets it)."
    )
    remedy = Remedy(advice=advice, command=facts.inside(f"ethtool -S {first}"))
    return Verdict(Severity.WARN, summary, evidence, remedy)


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
    shown = sorted(pairs, key=lambda one: one[1].name not in facts.state.default_links)
    evidence = tuple(_link_facts(after) for _, after in shown[:SHOWN])
    half = [after.name for _, after in pairs if after.duplex == "half"]
    if half:
        advice = (
            "Let both ends negotiate (`ethtool -s DEVICE autoneg on`, which takes the link down "
            "for a moment); a fixed setting at one end makes the other guess."
        )
        remedy = Remedy(advice=advice, command=facts.inside(f"ethtool {shlex.quote(half[0])}"))
        return Verdict(Severity.FAIL, f"half duplex: {words(half)}", evidence, remedy)
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
    if not any(one.congestion == "bbr" for one in facts.connections()):
        return ok("no connection uses bbr")
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
        mine = [one for one in _on_the_way_out(facts.state.after) if one.link == index]
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
    old, new = _own_drops(facts.state.before), _own_drops(facts.state.after)
    counted: list[Evidence] = []
    dropping: dict[str, int] = {}
    kinds: set[str] = set()
    for one, drops in new.items():
        grown = max(drops - old.get(one, drops), 0)
        name = names.get(one.link, f"device {one.link}")
        counted.append(facts.counted(f"tc -s qdisc show dev {name} ({one.kind})", drops, grown))
        if grown:
            dropping[name] = dropping.get(name, 0) + grown
            kinds.add(one.kind)
    evidence = _worst(counted)
    if not dropping:
        return ok("no queueing discipline dropped anything", *evidence)
    summary = words(f"{name} dropped {number}" for name, number in dropping.items())
    if kinds <= set(DROPS_ON_PURPOSE):
        advice = "Leave it: it drops on purpose, to keep delays short while the link is full."
        return Verdict(Severity.INFO, summary, evidence, Remedy(advice=advice))
    worst = max(dropping, key=lambda name: dropping[name])
    remedy = Remedy(
        advice="A shaper or a full queue of this host: is its rate meant?",
        command=facts.inside(f"tc -s qdisc show dev {shlex.quote(worst)}"),
    )
    return Verdict(Severity.WARN, summary, evidence, remedy)


class _Place(NamedTuple):
    """What tells a queueing discipline from all others: the queues of an mq have no handle."""

    link: int
    parent: int
    handle: int
    kind: str


def _own_drops(reading: Reading) -> dict[_Place, int]:
    """What each queueing discipline dropped itself.

    One with others below counts their drops too: mq adds them up when it is asked (mq_dump() in
    net/sched/sch_mq.c), the others as they fall (qdisc_tree_reduce_backlog()).
    """
    found = {
        _Place(one.link, one.parent, one.handle, one.kind): one for one in _on_the_way_out(reading)
    }
    below: Counter[tuple[int, int]] = Counter()
    for one in found.values():
        if not one.root:
            below[one.link, one.parent >> 16] += one.drops or 0
    return {
        # Without a handle it has others below only if it is the device's own.
        place: max((one.drops or 0) - below[one.link, one.handle >> 16], 0)
        if one.root or one.handle
        else one.drops or 0
        for place, one in found.items()
    }


def _on_the_way_out(reading: Reading) -> list[Qdisc]:
    return [one for one in reading.qdiscs if one.kind not in NOT_ON_THE_WAY_OUT]


def cpus(facts: Facts) -> Verdict:
    """H-34: a CPU that only receives, or that the hypervisor takes away."""
    before = {one.cpu: one for one in facts.state.before.cpus}
    pairs = [(before[one.cpu], one) for one in facts.state.after.cpus if one.cpu in before]
    if not pairs:
        raise Lacks(facts.why("/proc/stat", "no CPU was told of"))
    busy = [(a, b) for a, b in pairs if b.total - a.total >= ENOUGH_TICKS]
    if not busy:
        raise Lacks("no CPU was looked at for a second: try a longer --for")
    steal = share_percent(_ticks(busy, "steal"), _ticks(busy, "total"))
    receiving = {b.cpu: share_percent(b.softirq - a.softirq, b.total - a.total) for a, b in busy}
    cpu, most = max(receiving.items(), key=lambda one: one[1])
    queues = tuple(
        Evidence(f"/sys/class/net/{one.name}/queues", count(one.receive_queues, "receive queue"))
        for one in facts.state.after.links
        if one.receive_queues and not one.loopback and one.up
    )[:SHOWN]
    evidence = (
        Evidence(
            "/proc/stat", f"cpu{cpu} softirq {percent(most)}, all CPUs steal {percent(steal)}"
        ),
        *queues,
    )
    if most >= SOFTIRQ_PERCENT:
        remedy = Remedy(
            advice="Spread receiving over the CPUs: more receive queues (RSS), or RPS; where there "
            "is one CPU, it needs a second one.",
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
