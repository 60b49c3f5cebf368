"""From the readings of `probe connect` to its result, and when not to trust it.

Sources: percentiles, medians and intervals as in ``estimates``; the counters are those of
net/ipv4/proc.c, Linux 6.18.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from tcptool.analysis.estimates import enough_for, median, percentile
from tcptool.model.connect import (
    DONE,
    FAILURES,
    INTERRUPTED,
    NO_ANSWER,
    NO_PORTS_LEFT,
    ConnectBlock,
    ConnectFailures,
    ConnectReading,
    ConnectReport,
    CounterGrowth,
    FastOpenUse,
    Percentiles,
    PortUse,
)
from tcptool.model.report import Warning

TIME_WAIT_S: Final = 60
"""TCP_TIMEWAIT_LEN, include/net/tcp.h; no sysctl changes it."""
_MANY_PORTS_PERCENT: Final = 10
"""A warning while nine times as much room is left."""
_FEWEST_BLOCKS: Final = 6
"""What an interval of 95 % takes."""
_ROUNDS_OF_A_BLOCK: Final = 10
"""Start and end of a block, when fewer are in flight, are then a tenth of it at most."""
_CLIENT, _SERVER = 1, 2
"""Bits of net.ipv4.tcp_fastopen: Documentation/networking/ip-sysctl.rst."""

_COUNTERS: Final = {
    "active_opens": "TcpActiveOpens",
    "passive_opens": "TcpPassiveOpens",
    "attempt_fails": "TcpAttemptFails",
    "retrans_segs": "TcpRetransSegs",
    "syn_retrans": "TcpExtTCPSynRetrans",
    "rto_timeouts": "TcpExtTCPTimeouts",
    "listen_overflows": "TcpExtListenOverflows",
    "listen_drops": "TcpExtListenDrops",
    "tw_overflows": "TcpExtTCPTimeWaitOverflow",
}


# -- from readings to records --------------------------------------------------------------


def shares(connections: int, blocks: int) -> list[int]:
    """How many connections each block makes: as even as can be, and none without any."""
    small, larger = divmod(connections, blocks)
    return [n for n in [small + 1] * larger + [small] * (blocks - larger) if n]


def measured(readings: Sequence[ConnectReading]) -> Sequence[ConnectReading]:
    """The readings without the first, which warmed up, unless it is all there is."""
    return readings[1:] or readings


def block(reading: ConnectReading) -> ConnectBlock:
    """What stays of a reading in the report."""
    times = percentiles(reading.connect_us)
    return ConnectBlock(
        made=reading.made,
        elapsed_s=reading.elapsed_s,
        near_cpu_s=reading.near_cpu_s,
        far_cpu_s=reading.far_cpu_s,
        connect_p50_us=times.p50_us if times else None,
    )


def rates_per_s(blocks: Iterable[ConnectBlock]) -> list[float]:
    """Connections per second, of every block in which there were any."""
    return [one.made / one.elapsed_s for one in blocks if one.made and one.elapsed_s > 0]


def cpu_us(blocks: Iterable[ConnectBlock], *, far: bool = False) -> float | None:
    """Median CPU time per connection at one end; None if it is not known."""
    used = ((one.far_cpu_s if far else one.near_cpu_s, one.made) for one in blocks)
    values = [cpu_s * 1e6 / made for cpu_s, made in used if made and cpu_s is not None]
    return median(values) if values else None


def percentiles(values_us: Iterable[float]) -> Percentiles | None:
    """None if nothing was measured."""
    ordered = sorted(values_us)
    if not ordered:
        return None

    def at(percent: float) -> float | None:
        return percentile(ordered, percent) if len(ordered) >= enough_for(percent) else None

    return Percentiles(
        count=len(ordered),
        p50_us=at(50),
        p90_us=at(90),
        p99_us=at(99),
        p99_9_us=at(99.9),
        max_us=ordered[-1],
    )


def failures(
    readings: Iterable[ConnectReading], names: Mapping[int, str]
) -> tuple[ConnectFailures, ...]:
    """How many failed with each errno, the most frequent first; ``names`` has their names."""
    total: Counter[int] = Counter()
    for one in readings:
        total.update(one.failures)
    return tuple(ConnectFailures(error=names[n], count=count) for n, count in total.most_common())


def growth(before: Mapping[str, int], after: Mapping[str, int]) -> CounterGrowth:
    """What was added to the counters, which are named as by nstat(8)."""
    return CounterGrowth(
        **{
            name: after[counter] - before[counter] if counter in before.keys() & after else None
            for name, counter in _COUNTERS.items()
        }
    )


def port_use(
    ports: range,
    reserved: Iterable[range],
    used: int,
    taken: Iterable[int] | None,
    tw_reuse: int | None,
) -> PortUse:
    """What the run made of the local ports; ``taken`` may hold ports outside the range."""
    barred = {port for span in reserved for port in span if port in ports}
    held = None if taken is None else {port for port in taken if port in ports}
    return PortUse(
        first=ports.start,
        last=ports.stop - 1,
        reserved=len(barred),
        used=used,
        taken=None if held is None else len(held),
        left=None if held is None else len(ports) - len(barred | held),
        tw_reuse=tw_reuse,
    )


# -- what the reader should know -----------------------------------------------------------


def warnings_of(report: ConnectReport) -> list[Warning]:
    """What in the result speaks against conclusions, or asks for something to be done."""
    found = {
        report.ended_by: _ending(report),
        "some-failed": _failed(report),
        "time-wait-grew": _time_wait(report),
        "listen-overflow": _overflow(report),
        "syn-retransmitted": _retransmitted(report),
        "fast-open-unused": report.fast_open and _unused(report.fast_open, report.plan.to),
        "too-few": _too_few(report),
        "short-blocks": _short_blocks(report),
    }
    return [Warning(name, text) for name, text in found.items() if text]


def _ending(report: ConnectReport) -> str | None:
    timeout = f"{report.plan.timeout_s:g} s"
    return {
        DONE: None,
        INTERRUPTED: None,
        NO_PORTS_LEFT: _no_ports(report),
        NO_ANSWER: f"nothing happened for {timeout}, so the run was ended; --timeout waits longer",
        FAILURES: "so many connections failed one after the other that the run was ended",
    }[report.ended_by]


def _no_ports(report: ConnectReport) -> str:
    where = f" of {_range(report.ports)}" if report.ports else ""
    text = f"no local port{where} was left for one more connection (EADDRNOTAVAIL)"
    if report.plan.closer == "client":
        text += (
            f"; this end closes first, so each port waits {TIME_WAIT_S} s in TIME_WAIT: keep "
            "connections open, let the other end close first (--close server), or widen "
            "net.ipv4.ip_local_port_range"
        )
    else:
        text += "; widen net.ipv4.ip_local_port_range"
    return f"{text}; `tcptool list state time-wait` shows who has them"


def _range(ports: PortUse) -> str:
    return f"{ports.first}..{ports.last}"


def _failed(report: ConnectReport) -> str | None:
    if not report.failed:
        return None
    names = ", ".join(f"{one.count} with {one.error}" for one in report.failed)
    return f"connections failed: {names}; the times are those of the others"


def _time_wait(report: ConnectReport) -> str | None:
    """The run left many in TIME_WAIT, and would run out of ports if it went on."""
    if report.tw_before is None or report.tw_after is None or report.ports is None:
        return None
    grown = report.tw_after - report.tw_before
    count = report.ports.last - report.ports.first + 1 - report.ports.reserved
    if grown * 100 < count * _MANY_PORTS_PERCENT:
        return None
    text = f"{grown} connections more are in TIME_WAIT, each for {TIME_WAIT_S} s"
    if report.plan.closer != "client":
        return f"{text}, on the side that closes first: memory there, no port here"
    text += f", and each keeps its port for this destination, which has {count}"
    if report.rate_per_s and report.rate_per_s * TIME_WAIT_S > count:
        text += f": at this rate they last {count / report.rate_per_s:.2g} s"
    if report.ports.tw_reuse:
        where = " on loopback" if report.ports.tw_reuse == 2 else ""
        text += f" (net.ipv4.tcp_tw_reuse lets them be used again{where} after a second)"
    return text


def _overflow(report: ConnectReport) -> str | None:
    dropped = report.counters and report.counters.listen_overflows
    if not dropped:
        return None
    return (
        f"an accept queue here was full {dropped} times, and what came was dropped: whoever "
        "connects waits a second for the next try; a larger --backlog (up to net.core.somaxconn) "
        "or a quicker accept() helps"
    )


def _retransmitted(report: ConnectReport) -> str | None:
    again = report.counters and report.counters.syn_retrans
    if not again:
        return None
    return (
        f"{again} SYN or SYN-ACK segments of this network namespace were sent again, the first "
        "time after a second: the longest times show that"
    )


def _unused(use: FastOpenUse, to: str | None) -> str | None:
    if use.used == use.asked:
        return None
    text = f"fast open used in {use.used} of {use.asked}"
    enabled = _CLIENT | _SERVER if use.enabled is None else use.enabled
    lacking = [
        f"{bit} ({who})"
        for bit, who in ((_CLIENT, "clients"), (_SERVER, "servers"))
        if not enabled & bit
    ]
    if lacking:
        return f"{text}: net.ipv4.tcp_fastopen is {use.enabled}, which lacks {', '.join(lacking)}"
    return f"{text}: the kernel notes {use.refused}" if use.refused else text


def _too_few(report: ConnectReport) -> str | None:
    lacks = []
    if report.made < enough_for(99):
        lacks.append(f"p99 takes {enough_for(99)} connections")
    if report.rate_low_per_s is None:
        lacks.append(f"an interval of the rate takes {_FEWEST_BLOCKS} blocks")
    if not lacks:
        return None
    return f"too few to trust ({report.made}): {', '.join(lacks)}; --connections or --duration"


def _short_blocks(report: ConnectReport) -> str | None:
    flights = report.plan.concurrency
    least = min((one.made for one in report.blocks), default=0)
    if flights == 1 or not report.rate_low_per_s or least >= flights * _ROUNDS_OF_A_BLOCK:
        return None
    return (
        f"short blocks: {least} connections for {flights} at a time, so that the start and the end "
        "of a block weigh on the rate; --connections or --duration"
    )
