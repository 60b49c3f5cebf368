"""Checks of devices, their queues and the CPUs: every answer that they give."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tcptool.catalog.severity import Severity
from tcptool.model.host import CpuTicks, Link, Qdisc, Softnet
from tests.unit.analysis.host.hosts import (
    DEVICE,
    LOOPBACK,
    QDISC,
    command,
    host,
    judged,
    seen,
    sock,
    undo,
)

# -- H-06 ----------------------------------------------------------------------------------


def softnet(*, dropped: int = 0, squeezed: int = 0, base: int = 0) -> dict[str, Any]:
    before = (Softnet(0, 0, base, base), Softnet(1, 0, 0, 0))
    after = (Softnet(0, 10_000, base + dropped, base + squeezed), Softnet(1, 0, 0, 0))
    return {"before": {"softnet": before}, "after": {"softnet": after}}


def test_packets_that_a_cpu_dropped() -> None:
    verdict = judged("H-06", host(**softnet(dropped=3)))
    assert (verdict.severity, verdict.summary) == (
        Severity.WARN,
        "3 packets dropped before TCP saw them in 5 s",
    )
    shown = [one.where for one in verdict.evidence]
    assert shown == ["/proc/net/softnet_stat cpu0 dropped", "/proc/sys/net/core/netdev_max_backlog"]
    assert command(verdict) == "sudo sysctl -w net.core.netdev_max_backlog=2000"
    assert undo(verdict) == "sudo sysctl -w net.core.netdev_max_backlog=1000"


def test_in_another_namespace_the_limit_is_out_of_sight() -> None:
    verdict = judged(
        "H-06", host(sysctls={"net.core.netdev_max_backlog": None}, **softnet(dropped=3))
    )
    assert verdict.remedy is not None
    assert verdict.remedy.command is None
    assert "first network namespace" in verdict.remedy.advice


@pytest.mark.parametrize(("squeezed", "severity"), [(100, Severity.OK), (101, Severity.INFO)])
def test_rounds_cut_short(squeezed: int, severity: Severity) -> None:
    verdict = judged("H-06", host(**softnet(squeezed=squeezed)))
    assert verdict.severity is severity
    if severity is Severity.INFO:
        assert command(verdict) == "sudo sysctl -w net.core.netdev_budget_usecs=16000"


def test_drops_of_the_past() -> None:
    verdict = judged("H-06", host(**softnet(base=7)))
    assert verdict.severity is Severity.INFO
    assert verdict.summary == "7 packets dropped before TCP saw them in the past, none in 5 s"
    assert command(verdict) == "tcptool doctor --for 60s"


def test_softnet_counters_wrap() -> None:
    before, after = Softnet(0, 0, 0xFFFF_FFFF, 0), Softnet(0, 10, 1, 0)
    state = host(before={"softnet": (before,)}, after={"softnet": (after,)})
    assert judged("H-06", state).summary.startswith("2 packets")


def test_a_cpu_that_came_meanwhile_is_not_judged() -> None:
    state = host(after={"softnet": (Softnet(5, 10, 1, 0),)})
    assert judged("H-06", state).severity is Severity.SKIP
    assert judged("H-06", host()).severity is Severity.OK


# -- H-07 and H-08 -------------------------------------------------------------------------


def devices(**counters: int) -> dict[str, Any]:
    return {"after": {"links": (LOOPBACK, replace(DEVICE, counters=counters))}}


@pytest.mark.parametrize(
    ("counters", "severity", "text", "run"),
    [
        ({"rx_crc_errors": 2}, Severity.FAIL, "eth0: 2 rx_crc_errors", "ethtool eth0"),
        ({"rx_missed_errors": 5}, Severity.WARN, "eth0: 5 rx_missed_errors", "ethtool -S eth0"),
        ({"rx_dropped": 1}, Severity.WARN, "eth0: 1 rx_dropped", "ethtool -S eth0"),
    ],
)
def test_errors_of_a_device(
    counters: dict[str, int], severity: Severity, text: str, run: str
) -> None:
    verdict = judged("H-07", host(**devices(**counters)))
    assert (verdict.severity, verdict.summary) == (severity, text)
    assert command(verdict) == run


def test_errors_that_do_not_count() -> None:
    old = replace(DEVICE, counters={"rx_dropped": 9, "tx_errors": 3})
    new = replace(DEVICE, counters={"rx_dropped": 9, "tx_errors": 1, "tx_dropped": 4})
    loop = replace(LOOPBACK, counters={"rx_crc_errors": 7})
    state = host(before={"links": (LOOPBACK, old)}, after={"links": (loop, new)})
    verdict = judged("H-07", state)
    assert verdict.severity is Severity.OK  # went back, came new, or is of loopback
    assert "eth0 rx_dropped: 9 in all, 0 in 5 s" in seen(verdict)


@pytest.mark.parametrize(
    ("counters", "severity"),
    [
        ({"rx_packets": 10_000, "rx_dropped": 9}, Severity.INFO),
        ({"rx_packets": 10_000, "rx_dropped": 10}, Severity.WARN),
        ({"rx_packets": 0, "rx_dropped": 1}, Severity.WARN),
        ({"rx_packets": 10_000, "rx_dropped": 1, "tx_dropped": 1}, Severity.WARN),
    ],
)
def test_frames_that_nobody_asked_for(counters: dict[str, int], severity: Severity) -> None:
    before = replace(DEVICE, counters=dict.fromkeys(counters, 5_000_000))
    later = {name: 5_000_000 + grown for name, grown in counters.items()}
    other = replace(DEVICE, name="eth1", index=3)
    state = host(
        before={"links": (before, other)},
        after={"links": (replace(before, counters=later), other)},
    )
    assert judged("H-07", state).severity is severity


def test_a_hostile_name_of_a_device_is_quoted() -> None:
    old = replace(DEVICE, name="$(reboot)")
    new = replace(old, counters={"rx_crc_errors": 2})
    state = host(before={"links": (old,)}, after={"links": (new,)})
    assert command(judged("H-07", state)) == "ethtool '$(reboot)'"


@pytest.mark.parametrize("check", ["H-07", "H-08"])
def test_no_device_was_told_of(check: str) -> None:
    lacks = {"network devices (rtnetlink)": "Operation not permitted (EPERM)"}
    for reason in ({}, lacks):
        state = host(before={"links": ()}, after={"links": ()}, lacks=reason)
        verdict = judged(check, state)
        assert verdict.severity is Severity.SKIP
        assert verdict.summary == next(iter(reason.values()), "no network device was told of")


def linked(*after: Link) -> dict[str, Any]:
    return {"before": {"links": (LOOPBACK, *after)}, "after": {"links": (LOOPBACK, *after)}}


def test_links_that_are_as_they_should_be() -> None:
    assert judged("H-08", host()).summary == "1 device up and steady"
    quiet = replace(DEVICE, duplex="unknown", carrier_changes=None, mtu_bytes=None)
    verdict = judged("H-08", host(**linked(quiet)))
    assert verdict.summary == "1 device up and steady; none tells its duplex mode"
    assert seen(verdict) == "eth0: duplex unknown"
    assert judged("H-08", host(**linked())).summary == "no device but loopback is up"
    assert judged("H-08", host(**linked(replace(DEVICE, up=False)))).severity is Severity.OK


def test_half_duplex() -> None:
    verdict = judged("H-08", host(**linked(replace(DEVICE, duplex="half"))))
    assert (verdict.severity, verdict.summary) == (Severity.FAIL, "half duplex: eth0")
    assert command(verdict) == "ethtool eth0"
    assert verdict.remedy is not None
    assert "autoneg on" in verdict.remedy.advice


@pytest.mark.parametrize(
    ("check", "state", "run"),
    [
        ("H-07", {"rx_crc_errors": 2}, "ethtool eth0"),
        ("H-07", {"rx_missed_errors": 2}, "ethtool -S eth0"),
    ],
)
def test_in_another_namespace_the_commands_enter_it(
    check: str, state: dict[str, int], run: str
) -> None:
    verdict = judged(check, host(**devices(**state), netns="blue"))
    assert command(verdict) == f"sudo nsenter --net=/run/netns/blue {run}"


def test_a_link_that_comes_and_goes() -> None:
    new = replace(DEVICE, carrier_changes=4)
    verdict = judged("H-08", host(after={"links": (LOOPBACK, new)}))
    assert verdict.severity is Severity.WARN
    container = host(after={"links": (LOOPBACK, new)}, default_links=frozenset())
    assert judged("H-08", container).severity is Severity.OK
    assert "went up or down in 5 s: eth0" in verdict.summary


def test_different_mtus() -> None:
    other = replace(DEVICE, name="eth1", index=3, mtu_bytes=9000)
    state = host(**linked(DEVICE, other), default_links=frozenset({"eth0", "eth1"}))
    verdict = judged("H-08", state)
    assert verdict.severity is Severity.INFO
    assert "different MTUs: 1500, 9000" in verdict.summary
    assert judged("H-08", host(**linked(DEVICE, other))).severity is Severity.OK


# -- H-09 and H-10 -------------------------------------------------------------------------

BBR = sock(congestion="bbr")


@pytest.mark.parametrize(
    ("qdiscs", "severity"),
    [
        ((QDISC,), Severity.OK),
        ((replace(QDISC, kind="noqueue"),), Severity.OK),
        ((replace(QDISC, kind="pfifo_fast"),), Severity.INFO),
        ((replace(QDISC, kind="mq"), replace(QDISC, kind="fq", parent=1)), Severity.OK),
        ((replace(QDISC, kind="mq"), replace(QDISC, kind="pfifo", parent=1)), Severity.INFO),
        ((replace(QDISC, kind="mq"),), Severity.INFO),
        ((replace(QDISC, link=1, kind="pfifo_fast"),), Severity.OK),  # no default route there
    ],
)
def test_bbr_and_queueing_disciplines(qdiscs: tuple[Qdisc, ...], severity: Severity) -> None:
    verdict = judged("H-09", host(sockets=(BBR,), after={"qdiscs": qdiscs}))
    assert verdict.severity is severity
    assert bool(verdict.myths) == (severity is Severity.INFO)
    if verdict.remedy:
        assert verdict.remedy.command is None  # no harm was seen


def test_bbr_counts_where_a_connection_uses_it() -> None:
    qdiscs = (replace(QDISC, kind="pfifo_fast"),)
    default = {"net.ipv4.tcp_congestion_control": "bbr"}
    state = host(sysctls=default, sockets=(sock(congestion="cubic"),), after={"qdiscs": qdiscs})
    verdict = judged("H-09", state)
    assert (verdict.severity, verdict.summary) == (Severity.OK, "no connection uses bbr")


@pytest.mark.parametrize("check", ["H-09", "H-10"])
def test_no_queueing_discipline_was_told_of(check: str) -> None:
    verdict = judged(check, host(sockets=(BBR,), after={"qdiscs": ()}))
    assert (verdict.severity, verdict.summary) == (Severity.SKIP, "none was told of")


@pytest.mark.parametrize(
    ("before", "after", "severity"),
    [
        (0, 0, Severity.OK),
        (5, 5, Severity.OK),
        (5, 2, Severity.OK),  # replaced meanwhile
        (5, 9, Severity.WARN),
        (None, None, Severity.OK),
    ],
)
def test_drops_of_a_queueing_discipline(
    before: int | None, after: int | None, severity: Severity
) -> None:
    state = host(
        before={"qdiscs": (replace(QDISC, kind="tbf", drops=before),)},
        after={"qdiscs": (replace(QDISC, kind="tbf", drops=after),)},
    )
    verdict = judged("H-10", state)
    assert verdict.severity is severity
    if severity is Severity.WARN:
        assert verdict.summary == "eth0 dropped 4"
        assert command(verdict) == "tc -s qdisc show dev eth0"


def test_drops_on_purpose() -> None:
    codel, shaper = replace(QDISC, drops=1), replace(QDISC, kind="tbf", handle=5, drops=1)
    more = (replace(codel, drops=3), replace(shaper, drops=1))
    state = host(before={"qdiscs": (codel, shaper)}, after={"qdiscs": more})
    verdict = judged("H-10", state)
    assert (verdict.severity, verdict.summary) == (Severity.INFO, "eth0 dropped 2")
    more = (replace(codel, drops=3), replace(shaper, drops=2))
    state = host(before={"qdiscs": (codel, shaper)}, after={"qdiscs": more})
    assert judged("H-10", state).severity is Severity.WARN


def queue(number: int, kind: str = "fq_codel", **fields: Any) -> Qdisc:
    """A queue of an mq that has no handle, as the kernel makes it by itself."""
    return replace(QDISC, kind=kind, parent=number, **fields)


def test_the_queues_of_a_device_are_told_apart() -> None:
    old = (replace(QDISC, kind="mq", drops=40), queue(1, "pfifo", drops=40), queue(2, "pfifo"))
    verdict = judged("H-10", host(before={"qdiscs": old}, after={"qdiscs": old}))
    assert verdict.severity is Severity.OK  # 40 are old, whichever queue is read last
    mq = replace(QDISC, kind="mq", drops=43)
    new = (mq, queue(1, "pfifo", drops=40), queue(2, "pfifo", drops=3))
    verdict = judged("H-10", host(before={"qdiscs": old}, after={"qdiscs": new}))
    assert (verdict.severity, verdict.summary) == (Severity.WARN, "eth0 dropped 3")


def test_drops_on_purpose_below_an_mq() -> None:
    old = (replace(QDISC, kind="mq"), queue(1), queue(2))
    new = (replace(QDISC, kind="mq", drops=5), queue(1, drops=2), queue(2, drops=3))
    verdict = judged("H-10", host(before={"qdiscs": old}, after={"qdiscs": new}))
    assert (verdict.severity, verdict.summary) == (Severity.INFO, "eth0 dropped 5")


@pytest.mark.parametrize(
    ("parent_drops", "severity", "summary"),
    [(4, Severity.INFO, "eth0 dropped 4"), (6, Severity.WARN, "eth0 dropped 6")],
)
def test_a_shaper_counts_what_is_dropped_below_it(
    parent_drops: int, severity: Severity, summary: str
) -> None:
    htb = replace(QDISC, kind="htb", handle=0x1_0000)
    leaf = replace(QDISC, parent=0x1_0010, handle=0x8001_0000)
    old, new = (htb, leaf), (replace(htb, drops=parent_drops), replace(leaf, drops=4))
    verdict = judged("H-10", host(before={"qdiscs": old}, after={"qdiscs": new}))
    assert (verdict.severity, verdict.summary) == (severity, summary)


@pytest.mark.parametrize("kind", ["ingress", "clsact"])
def test_filters_of_what_arrives_are_no_queue(kind: str) -> None:
    hook = replace(QDISC, kind=kind, handle=0xFFFF_0000, parent=0xFFFF_FFF1)
    state = host(
        before={"qdiscs": (QDISC, hook)}, after={"qdiscs": (QDISC, replace(hook, drops=9))}
    )
    verdict = judged("H-10", state)
    assert (verdict.severity, seen(verdict)) == (Severity.OK, "")


def test_only_a_few_of_many_queues_are_shown() -> None:
    old = tuple(queue(n, "pfifo", drops=7) for n in range(1, 33))
    new = tuple(replace(one, drops=7 + (one.parent > 30) * one.parent) for one in old)
    verdict = judged("H-10", host(before={"qdiscs": old}, after={"qdiscs": new}))
    assert [(one.total, one.grown) for one in verdict.evidence] == [(39, 32), (38, 31)]


def test_a_device_that_is_not_known_any_more() -> None:
    gone = replace(QDISC, link=9, kind="tbf", drops=1)
    state = host(before={"qdiscs": (gone,)}, after={"qdiscs": (replace(gone, drops=2),)})
    assert judged("H-10", state).summary == "device 9 dropped 1"


# -- H-34 ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("softirq", "steal", "severity", "text"),
    [
        (10, 0, Severity.OK, "at most 10 %"),
        (80, 0, Severity.WARN, "cpu0 spends 80 % of its time on receiving"),
        (0, 20, Severity.WARN, "the hypervisor took 10 % of the CPU time"),
        (0, 19, Severity.OK, "9.5 % stolen"),
    ],
)
def test_cpus(softirq: int, steal: int, severity: Severity, text: str) -> None:
    before = (CpuTicks(0, 7000, 500, 300), CpuTicks(1, 7000, 40, 0))
    after = (CpuTicks(0, 7100, 500 + softirq, 300 + steal), CpuTicks(1, 7100, 40, 0))
    links = (LOOPBACK, DEVICE, replace(DEVICE, name="eth1", up=False))
    state = host(before={"cpus": before}, after={"cpus": after, "links": links})
    verdict = judged("H-34", state)
    assert verdict.severity is severity
    assert text in verdict.summary
    queues = [one.where for one in verdict.evidence if one.value == "4 receive queues"]
    assert queues == ["/sys/class/net/eth0/queues"]


def test_a_single_cpu_that_only_receives() -> None:
    before, after = (CpuTicks(0, 0, 0, 0),), (CpuTicks(0, 100, 90, 0),)
    verdict = judged("H-34", host(before={"cpus": before}, after={"cpus": after}))
    assert verdict.severity is Severity.WARN


def test_a_second_must_have_passed() -> None:
    ticks = (CpuTicks(0, 100, 90, 0),)
    state = host(before={"cpus": ticks}, after={"cpus": (CpuTicks(0, 199, 189, 0),)})
    verdict = judged("H-34", state)
    assert (verdict.severity, verdict.summary) == (
        Severity.SKIP,
        "no CPU was looked at for a second: try a longer --for",
    )
    assert judged("H-34", host(after={"cpus": ()})).summary == "no CPU was told of"
