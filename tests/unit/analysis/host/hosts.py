"""Hosts to judge: a healthy one, and what differs from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tcptool.analysis.host.facts import Facts, Lacks, Verdict
from tcptool.analysis.host.table import CHECKS
from tcptool.catalog.counters import COUNTERS
from tcptool.catalog.severity import Severity
from tcptool.catalog.sysctls import SYSCTLS
from tcptool.model.host import (
    CpuTicks,
    HostSocket,
    HostState,
    Link,
    Qdisc,
    Reading,
    Softnet,
)

SYSCTL_TEXTS = {name: one.default for name, one in SYSCTLS.items() if one.default} | {
    "net.ipv4.tcp_rmem": "4096 131072 33554432",
    "net.ipv4.tcp_wmem": "4096 16384 4194304",
    "net.core.rmem_max": "212992",
    "net.core.wmem_max": "212992",
    "net.ipv4.tcp_mem": "22416 29888 44832",
    "net.ipv4.tcp_congestion_control": "cubic",
    "net.ipv4.tcp_available_congestion_control": "reno cubic",
    "net.ipv4.tcp_allowed_congestion_control": "reno cubic",
    "net.core.default_qdisc": "pfifo_fast",
    "net.core.netdev_budget_usecs": "8000",
    "net.ipv4.tcp_max_syn_backlog": "512",
    "net.ipv4.ip_local_reserved_ports": "",
    "net.ipv4.tcp_max_tw_buckets": "16384",
    "net.ipv4.tcp_max_orphans": "16384",
    "net.netfilter.nf_conntrack_count": "10",
    "net.netfilter.nf_conntrack_max": "1000",
    "fs.file-nr": "500 0 100000",
}
DEVICE = Link(
    name="eth0",
    index=2,
    loopback=False,
    up=True,
    address="02:00:00:00:00:01",
    mtu_bytes=1500,
    carrier_changes=2,
    counters={"rx_dropped": 0, "rx_crc_errors": 0, "rx_missed_errors": 0},
    duplex="full",
    receive_queues=4,
)
LOOPBACK = replace(DEVICE, name="lo", index=1, loopback=True)
QDISC = Qdisc(link=2, kind="fq_codel", handle=0, parent=0xFFFF_FFFF, drops=0)
READING = Reading(
    counters=dict.fromkeys(COUNTERS, 0),
    sockstat={"TCP tw": 5, "TCP orphan": 1, "TCP mem": 100},
    softnet=(Softnet(0, 1000, 0, 0), Softnet(1, 1000, 0, 0)),
    cpus=(CpuTicks(0, 1000, 10, 0), CpuTicks(1, 1000, 10, 0)),
    links=(LOOPBACK, DEVICE),
    qdiscs=(QDISC,),
)
HOST = HostState(
    elapsed_s=5.0,
    before=READING,
    after=replace(READING, cpus=(CpuTicks(0, 1500, 20, 0), CpuTicks(1, 1500, 20, 0))),
    sysctls=SYSCTL_TEXTS,
    drops_before={},
    sockets=(),
    holders={},
    files=(),
    processes=frozenset({"systemd", "sshd"}),
    default_links=frozenset({"eth0"}),
    page_bytes=4096,
    memory_bytes=8 << 30,
    netns=None,
    lacks={},
)


def host(
    grown: Mapping[str, int] | None = None,
    since_boot: Mapping[str, int] | None = None,
    sysctls: Mapping[str, str | None] | None = None,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    **more: Any,
) -> HostState:
    """A healthy host, but for counters that grew or stand, sysctls, and parts of the readings.

    A sysctl of None is not there.
    """
    old = {**READING.counters, **(since_boot or {})}
    new = {name: old[name] + (grown or {}).get(name, 0) for name in old}
    texts = {k: v for k, v in {**SYSCTL_TEXTS, **(sysctls or {})}.items() if v is not None}
    return replace(
        HOST,
        before=replace(HOST.before, **{"counters": old, **(before or {})}),
        after=replace(HOST.after, **{"counters": new, **(after or {})}),
        sysctls=texts,
        **more,
    )


def without(*counters: str, **more: Any) -> HostState:
    """A kernel that lacks these counters."""
    left = {name: 0 for name in READING.counters if name not in counters}
    return host(before={"counters": left}, after={"counters": left}, **more)


def sock(**fields: Any) -> HostSocket:
    """An established connection of 192.0.2.1 with a server far away."""
    usual: dict[str, Any] = dict.fromkeys(HostSocket._fields) | {
        "state": "established",
        "local_address": "192.0.2.1",
        "local_port": 40_000,
        "peer_address": "198.51.100.7",
        "peer_port": 443,
        "timer": "off",
    }
    return HostSocket(**{**usual, **fields})


def listener(**fields: Any) -> HostSocket:
    """A listening socket."""
    usual = {"state": "listen", "cookie": "abc", "local_address": "0.0.0.0", "local_port": 443}
    return sock(**{**usual, "peer_address": "0.0.0.0", "peer_port": 0, **fields})


def judged(check: str, state: HostState) -> Verdict:
    """What one check says."""
    try:
        return CHECKS[check](Facts(state))
    except Lacks as lack:
        return Verdict(Severity.SKIP, str(lack))


def seen(verdict: Verdict) -> str:
    """The evidence as one text."""
    return "\n".join(f"{one.where}: {one.value}" for one in verdict.evidence)


def command(verdict: Verdict) -> str:
    """What is to be pasted."""
    assert verdict.remedy is not None
    assert verdict.remedy.command is not None
    return verdict.remedy.command


def undo(verdict: Verdict) -> str:
    """What takes it back."""
    assert verdict.remedy is not None
    assert verdict.remedy.undo is not None
    return verdict.remedy.undo
