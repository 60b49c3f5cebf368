"""Checks of what sockets hold: memory, buffers, queues and windows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from tcptool.analysis import bdp
from tcptool.analysis.host.facts import (
    SHOWN,
    Facts,
    Lacks,
    Verdict,
    count,
    is_loopback,
    ok,
    percent,
    share_percent,
    size,
    words,
)
from tcptool.catalog.host_thresholds import (
    HUGE_LIMIT_BYTES,
    LARGE_FIRST_BYTES,
    NEARLY_FULL_PERCENT,
    SLOW_QUEUE_MS,
)
from tcptool.catalog.severity import Severity
from tcptool.model.doctor import Evidence, Remedy
from tcptool.model.host import HostSocket
from tcptool.units import Unit, human

RMEM, WMEM = "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"
_RECENT_LIMIT_BYTES: Final = 32 << 20
"""tcp_rmem[2] of recent kernels: net/ipv4/tcp.c, tcp_init()."""
_NO_LOWAT: Final = 0xFFFF_FFFF
_LOWAT_BYTES: Final = 131_072
"""Measured: 365 ms from write to read became 150, at the same rate (profile `http2-server`)."""

_TROUBLES: Final = {
    "TcpExtTCPRcvCollapsed": "segments squeezed together",
    "TcpExtPruneCalled": "full receive buffers",
    "TcpExtRcvPruned": "drops by a full buffer",
    "TcpExtOfoPruned": "drops of out-of-order data",
    "TcpExtTCPBacklogDrop": "drops by a full backlog",
    "TcpExtTCPRcvQDrop": "drops by a full receive queue",
    "TcpExtTCPZeroWindowDrop": "drops beyond a closed window",
}


def memory(facts: Facts) -> Verdict:
    """H-14: what all of TCP holds, and whether the kernel had to save."""
    pressure = facts.counters("TcpExtTCPMemoryPressures", "TcpExtTCPMemoryPressuresChrono")
    troubles = facts.counters(*_TROUBLES)
    shown = facts.shown(*(one for one in (*pressure, *troubles) if one.total))
    grown = [one for one in troubles if one.grown]
    used, limit = _pages(facts)
    evidence = (*_use(used, limit), *facts.setting("net.ipv4.tcp_mem"), *shown)
    if any(one.grown for one in pressure):
        summary = f"memory pressure in {facts.window()}"
        return Verdict(Severity.FAIL, summary, (*evidence, *_hogs(facts)), _find_hogs(facts))
    if used is not None and limit and used > limit:
        # It lasts until less than tcp_mem[0] is in use, and is counted where it begins.
        summary = f"memory pressure lasts: {used} pages, above {limit} of tcp_mem[1]"
        return Verdict(Severity.FAIL, summary, (*evidence, *_hogs(facts)), _find_hogs(facts))
    if used is not None and limit and share_percent(used, limit) >= NEARLY_FULL_PERCENT:
        summary = f"{percent(share_percent(used, limit))} of the memory at which pressure begins"
        return Verdict(Severity.WARN, summary, (*evidence, *_hogs(facts)), _find_hogs(facts))
    if grown:
        summary = words(f"{_TROUBLES[one.name]}: {one.grown}" for one in grown)
        return Verdict(Severity.WARN, summary, (*evidence, *_hogs(facts)), _find_hogs(facts))
    if (
        limit
        and facts.state.memory_bytes
        and limit * facts.state.page_bytes > facts.state.memory_bytes
    ):
        summary = f"tcp_mem allows {size(limit * facts.state.page_bytes)}, more than there is"
        remedy = Remedy(
            advice="Remove the setting: at boot the kernel chooses by the size of the memory.",
            command="grep -rs tcp_mem /etc/sysctl.conf /etc/sysctl.d /usr/lib/sysctl.d",
        )
        return Verdict(Severity.INFO, summary, evidence, remedy, ("tcp-mem-in-bytes",))
    times = sum(one.total for one in pressure if one.name == "TcpExtTCPMemoryPressures")
    if times:
        return facts.past(f"memory pressure {times} times", *evidence)
    if used is None or not limit:
        return ok("no pressure, and no drop for want of memory", *evidence)
    share = percent(share_percent(used, limit))
    return ok(f"{share} of the memory at which pressure begins", *evidence)


def _pages(facts: Facts) -> tuple[int | None, int | None]:
    """Pages that TCP holds, and those at which pressure begins; None where they are not told."""
    try:
        return facts.sockstat("TCP mem"), facts.number("net.ipv4.tcp_mem", 1)
    except Lacks:
        return None, None


def _use(used: int | None, limit: int | None) -> Iterable[Evidence]:
    if used is not None:
        yield Evidence("/proc/net/sockstat TCP mem", f"{used} pages, pressure begins at {limit}")


def _hogs(facts: Facts) -> list[Evidence]:
    """The processes whose sockets hold most."""
    if "sockets" in facts.state.lacks:
        return []
    held: Counter[str] = Counter()
    for one in facts.state.sockets:
        held[facts.process(one)] += (one.rmem_alloc_bytes or 0) + (one.wmem_queued_bytes or 0)
    return [Evidence(name, f"sockets hold {size(n)}") for name, n in held.most_common(SHOWN) if n]


def _find_hogs(facts: Facts) -> Remedy:
    return Remedy(
        advice="Find the sockets that hold most, and the reader that is slow. With a smaller "
        "tcp_rmem[2] each holds less; tcp_mem itself is not to be set by hand.",
        command=facts.tcptool(
            "list", "--sort", "rmem_alloc", "--limit", "10", "--columns", "+rmem_alloc,wmem_queued"
        ),
    )


def buffer_limits(facts: Facts) -> Verdict:
    """H-15: sockets that have grown to a limit that their path needs more than."""
    receive, send = facts.number(RMEM, 2), facts.number(WMEM, 2)
    busy = [one for one in facts.connections() if not is_loopback(one)]
    needs: dict[str, tuple[int, HostSocket]] = {}
    for one in busy:
        for name, need, limit in (
            (RMEM, _receive_need(one, receive), receive),
            (WMEM, _send_need(one, send), send),
        ):
            if need > max(limit, needs[name][0] if name in needs else 0):
                needs[name] = (need, one)
    evidence = (
        *facts.setting(RMEM, WMEM, "net.core.rmem_max", "net.core.wmem_max"),
        *(
            Evidence(facts.name(one), f"at the limit of {name}[2]; its path wants {size(need)}")
            for name, (need, one) in needs.items()
        ),
    )
    if not needs:
        return ok("no connection is held back by the limits of its buffers", *evidence)
    summary = words(f"{name}[2] holds {facts.name(one)} back" for name, (_, one) in needs.items())
    return Verdict(
        Severity.WARN,
        summary,
        evidence,
        raise_limits(facts, {name: need for name, (need, _) in needs.items()}),
        ("bigger-is-better",),
    )


def _receive_need(one: HostSocket, limit: int) -> int:
    """What the receive limit should be for this socket; 0 if that does not hold it back.

    rcv_space is what arrived in a round trip: the bandwidth-delay product as the receiver sees it.
    It is held back where that fills the window that the limit gives.
    """
    arrived = one.rcv_space_bytes or 0
    if (
        not _at_limit(one.rcvbuf_bytes, limit)
        or share_percent(arrived, bdp.WINDOW_SHARE * limit) < NEARLY_FULL_PERCENT
    ):
        return 0
    return bdp.receive_limit_bytes(arrived)


def _send_need(one: HostSocket, limit: int) -> int:
    """What the send limit should be for this socket; 0 if that does not hold it back.

    One look tells it of bbr.  A sender of cubic overshoots its buffer in bursts, and what one look
    shows to be delivered is no measure of its path: raised to that, it went from 24.7 to 26.7
    Mbit/s of 40.  That takes the samples of `diagnose`.
    """
    if not _at_limit(one.sndbuf_bytes, limit) or one.limited_by != "send-buffer":
        return 0
    in_flight = bdp.bdp_bytes(one.delivery_rate_bytes_per_s or 0, one.min_rtt_us or 0)
    return bdp.send_limit_bytes(in_flight, one.congestion)


def _at_limit(size_bytes: int | None, limit: int) -> bool:
    """Whether automatic tuning has come near its limit.

    A larger buffer was set by SO_RCVBUF or SO_SNDBUF, which no sysctl of TCP raises.
    """
    return NEARLY_FULL_PERCENT <= share_percent(size_bytes or 0, limit) <= 100


def raise_limits(facts: Facts, limits: dict[str, int]) -> Remedy:
    """Raise the last number of tcp_rmem or tcp_wmem to what is needed."""
    values = {
        name: " ".join(map(str, (*facts.numbers(name)[:2], needed)))
        for name, needed in limits.items()
    }
    return facts.set(
        values,
        f"Raise the limit of automatic tuning to what the path needs{facts.for_whom(values)}.",
        "every connection may grow that far: watch tcp_mem, and the queueing delay on slow paths",
    )


def send_queues(facts: Facts) -> Verdict:
    """H-24: data that waits in send queues for long before it is sent."""
    lowat = facts.number("net.ipv4.tcp_notsent_lowat")
    waits = [(wait, one) for one in facts.connections() if (wait := _wait_ms(one))]
    slow = sorted((pair for pair in waits if pair[0] > SLOW_QUEUE_MS), key=lambda one: -one[0])
    evidence = (
        *facts.setting("net.ipv4.tcp_notsent_lowat"),
        *(
            Evidence(facts.name(one), f"{one.notsent_bytes} bytes unsent, {_time(wait)} of sending")
            for wait, one in slow[:SHOWN]
        ),
    )
    if not slow:
        return ok("no send queue holds more than 200 ms of sending", *evidence)
    summary = (
        f"{count(len(slow), 'send queue')} of more than 200 ms, the longest {_time(slow[0][0])}"
    )
    if lowat != _NO_LOWAT:
        return Verdict(Severity.INFO, summary, evidence, Remedy(advice="Leave it: a limit is set."))
    remedy = Remedy(
        advice="Leave it where only bulk data flows. Where something urgent shares the connection, "
        "limit its own unsent data.",
        command=facts.apply(slow[0][1], f"TCP_NOTSENT_LOWAT={_LOWAT_BYTES}"),
        persistence="in the program: setsockopt(TCP_NOTSENT_LOWAT)",
        risk="a program that writes slowly may lose rate: 9.4 became 5.1 Mbit/s at 16 KiB, nothing "
        "at 128 KiB",
        undo="sudo tcptool undo --last",
    )
    return Verdict(Severity.INFO, summary, evidence, remedy)


def _wait_ms(one: HostSocket) -> float:
    """How long the unsent data takes at the last delivery rate; 0 if there is none."""
    if not one.notsent_bytes or not one.delivery_rate_bytes_per_s:
        return 0.0
    return 1000 * one.notsent_bytes / one.delivery_rate_bytes_per_s


def _time(wait_ms: float) -> str:
    return human(round(wait_ms), Unit.MILLISECONDS)


def closed_windows(facts: Facts) -> Verdict:
    """H-28: local programs that do not read."""
    closed = facts.counter("TcpExtTCPToZeroWindowAdv")
    others = facts.counters("TcpExtTCPWantZeroWindowAdv", "TcpExtTCPFromZeroWindowAdv")
    evidence = facts.shown(closed, *others)
    if not closed.grown:
        return ok("no receive window was closed", *evidence)
    readers = [] if "sockets" in facts.state.lacks else _slow_readers(facts)
    often = closed.grown >= facts.state.elapsed_s
    remedy = Remedy(
        advice="Look at the program that reads too slowly; a larger buffer only delays it.",
        command=facts.tcptool("list", "--sort", "receive_queue", "--limit", "10"),
    )
    summary = f"{count(closed.grown, 'receive window')} closed in {facts.window()}"
    severity = Severity.WARN if often or readers else Severity.INFO
    return Verdict(severity, summary, (*evidence, *readers), remedy)


def _slow_readers(facts: Facts) -> list[Evidence]:
    full = [
        (share, one)
        for one in facts.state.sockets
        if (share := share_percent(one.rmem_alloc_bytes or 0, one.rcvbuf_bytes or 0))
        >= NEARLY_FULL_PERCENT
    ]
    full.sort(key=lambda pair: -pair[0])
    return [
        Evidence(facts.name(one), f"receive buffer {percent(share)} full")
        for share, one in full[:SHOWN]
    ]


def first_sizes(facts: Facts) -> Verdict:
    """H-30: buffers that start large."""
    first = {name: facts.number(name, 1) for name in (RMEM, WMEM)}
    large = {name: value for name, value in first.items() if value >= LARGE_FIRST_BYTES}
    evidence = facts.setting(RMEM, WMEM)
    if not large:
        return ok("buffers start small and grow as needed", *evidence)
    usual = {RMEM: 131_072, WMEM: 16_384}
    values = {}
    for name in large:
        numbers = facts.numbers(name)
        values[name] = " ".join(map(str, (numbers[0], usual[name], *numbers[2:])))
    remedy = facts.set(
        values,
        "Put the kernel's own first size back: automatic tuning grows what needs more.",
        "the first round trips of a fast transfer are slower",
    )
    summary = words(f"{name} starts at {size(value)}" for name, value in large.items())
    return Verdict(Severity.INFO, summary, evidence, remedy, ("bigger-is-better",))


def huge_buffers(facts: Facts) -> Verdict:
    """H-31: receive buffers so large that squeezing them stalls the CPU."""
    limit = facts.number(RMEM, 2)
    squeezed = facts.counter("TcpExtTCPRcvCollapsed")
    evidence = (*facts.setting(RMEM), *facts.shown(squeezed))
    if limit <= HUGE_LIMIT_BYTES:
        return ok(f"receive buffers grow to {size(limit)} at most", *evidence)
    if not squeezed.grown:
        return ok(f"receive buffers may grow to {size(limit)}; none was squeezed", *evidence)
    numbers = facts.numbers(RMEM)
    remedy = facts.set(
        {RMEM: " ".join(map(str, (*numbers[:2], _RECENT_LIMIT_BYTES)))},
        "Lower the limit to what the fastest path needs: `tcptool doctor --rtt --rate` says.",
        f"a path that needs more becomes slower{facts.for_whom([RMEM])}",
    )
    summary = f"{squeezed.grown} segments squeezed in buffers of up to {size(limit)}"
    return Verdict(Severity.WARN, summary, evidence, remedy, ("bigger-is-better",))
