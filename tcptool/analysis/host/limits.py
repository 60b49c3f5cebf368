"""Checks of what runs out: local ports, TIME_WAIT, descriptors, tracked connections."""

from __future__ import annotations

from collections import Counter
from typing import Final

from tcptool.analysis.host.facts import (
    SHOWN,
    Facts,
    Lacks,
    Verdict,
    count,
    ok,
    percent,
    share_percent,
)
from tcptool.catalog.host_thresholds import (
    FILES_PERCENT,
    FULL_PERCENT,
    MANY,
    NEARLY_FULL_PERCENT,
    OLD_S,
)
from tcptool.catalog.severity import Severity
from tcptool.decode.net_counters import parse_ports
from tcptool.model.doctor import Evidence, Remedy
from tcptool.model.host import HostSocket, OpenFiles
from tcptool.units import Unit, human

TIME_WAIT_S: Final = 60
"""TCP_TIMEWAIT_LEN, include/net/tcp.h."""
_RANGE = "net.ipv4.ip_local_port_range"
_USUAL_RANGE: Final = (32_768, 60_999)
_WIDE_RANGE: Final = (10_240, 65_535)
"""Netflix (2017); above the ports of most servers."""
_NR_OPEN: Final = "fs.nr_open"
_USUAL_NR_OPEN: Final = 1 << 20
"""What it starts with: fs/file.c."""
_CLOSED: Final = ("time-wait", "close-wait", "fin-wait-1", "fin-wait-2", "last-ack", "closing")
_USES_PORT: Final = ("established", "syn-sent", *_CLOSED)


def local_ports(facts: Facts) -> Verdict:
    """H-16: the destination to which most local ports are in use."""
    try:
        [ports] = parse_ports(facts.text(_RANGE))
    except ValueError:
        raise Lacks(f"{_RANGE} is {facts.text(_RANGE)!r}") from None
    free = set(ports) - _reserved(facts)
    if not free:
        raise Lacks(f"{_RANGE} leaves no port")
    used = _ports_in_use(facts, free)
    settings = facts.setting(_RANGE, "net.ipv4.tcp_tw_reuse")
    if not used:
        return ok("no port of the range is in use", *settings)
    (source, peer, port), taken = max(used.items(), key=lambda one: len(one[1]))
    share = share_percent(len(taken), len(free))
    where = f"{source} - {peer}:{port}"
    evidence = (*settings, Evidence(where, f"{len(taken)} of {len(free)} local ports in use"))
    summary = f"{percent(share)} of the {len(free)} local ports are in use to {peer}:{port}"
    if share < NEARLY_FULL_PERCENT:
        return ok(summary, *evidence)
    severity = Severity.FAIL if share >= FULL_PERCENT else Severity.WARN
    return Verdict(severity, summary, evidence, _more_ports(facts, ports), ("tw-reuse",))


def _reserved(facts: Facts) -> set[int]:
    try:
        ranges = parse_ports(facts.text("net.ipv4.ip_local_reserved_ports"))
    except (Lacks, ValueError):
        return set()
    return {port for one in ranges for port in one}


def _ports_in_use(facts: Facts, ports: set[int]) -> dict[tuple[str, str, int], set[int]]:
    """Ports of connections that this host began, by source, destination and its port.

    One in TIME_WAIT does not count where tcp_tw_reuse lets connect() have it.
    """
    listening = {one.local_port for one in facts.sockets("listen")}
    reuse = facts.number("net.ipv4.tcp_tw_reuse") if facts.has("net.ipv4.tcp_tw_reuse") else 0
    used: dict[tuple[str, str, int], set[int]] = {}
    for one in facts.sockets(*_USES_PORT):
        if one.local_port not in ports or one.local_port in listening:
            continue
        if one.state == "time-wait" and (reuse == 1 or (reuse == 2 and _over_loopback(one))):
            continue
        key = (one.local_address, one.peer_address, one.peer_port)
        used.setdefault(key, set()).add(one.local_port)
    return used


def _over_loopback(one: HostSocket) -> bool:
    """Whether tcp_tw_reuse=2 means it: by its addresses alone, whatever host they are of.

    tcp_twsk_unique(), net/ipv4/tcp_ipv4.c.  A socket bound to lo counts too, which is not told.
    """
    return any(
        address.removeprefix("::ffff:").startswith("127.") or address == "::1"
        for address in (one.local_address, one.peer_address)
    )


def _more_ports(facts: Facts, ports: range) -> Remedy:
    rate = human(float(f"{len(ports) / TIME_WAIT_S:.3g}"), Unit.COUNT)
    usual = len(ports) < _USUAL_RANGE[1] - _USUAL_RANGE[0] + 1
    low, high = _USUAL_RANGE if usual else _WIDE_RANGE
    low, high = min(low, ports.start), max(high, ports.stop - 1)
    advice = (
        "Reuse connections first: where this host closes, a port is out of use for 60 s, which is "
        f"{rate} connections a second to one destination. More addresses at either end, or "
        "IP_BIND_ADDRESS_NO_PORT, help too."
    )
    if (low, high) == (ports.start, ports.stop - 1):
        return Remedy(advice=advice)
    return facts.set(
        {_RANGE: f"{low} {high}"},
        advice,
        "a server that starts later may find its port taken: reserve it in "
        "net.ipv4.ip_local_reserved_ports",
    )


def time_wait(facts: Facts) -> Verdict:
    """H-17: TIME_WAIT, which is harmless until there are too many."""
    waiting = facts.sockstat("TCP tw")
    overflow = facts.counter("TcpExtTCPTimeWaitOverflow")
    limit = "net.ipv4.tcp_max_tw_buckets"
    evidence = (
        Evidence("/proc/net/sockstat TCP tw", str(waiting)),
        *facts.shown(overflow),
        *facts.setting(limit),
    )
    if overflow.total and not overflow.grown:
        return facts.past(f"{count(overflow.total, 'connection')} without TIME_WAIT", *evidence)
    if not overflow.grown:
        return ok(f"{waiting} in TIME_WAIT, which is harmless", *evidence)
    remedy = Remedy(advice="Reuse connections, or let the clients close first.")
    if facts.has(limit):
        remedy = facts.set(
            {limit: str(2 * facts.number(limit))},
            f"{remedy.advice} A larger limit costs about 300 bytes each.",
            "memory of the kernel",
        )
    summary = f"{count(overflow.grown, 'connection')} closed without TIME_WAIT: too many"
    return Verdict(Severity.WARN, summary, evidence, remedy, ("fin-timeout",))


def open_files(facts: Facts) -> Verdict:
    """H-18: processes near their limit of descriptors, and the host near its own."""
    known = [one for one in facts.state.files if one.soft_limit]
    evidence = list(facts.setting("fs.file-nr"))
    host_share = 0.0
    if facts.has("fs.file-nr"):
        host_share = share_percent(facts.number("fs.file-nr"), facts.number("fs.file-nr", 2))
    if not known and not evidence:
        raise Lacks(facts.why("processes", "no process could be looked into"))
    known.sort(key=_files_used, reverse=True)
    near = [one for one in known if _files_used(one) >= FILES_PERCENT]
    evidence += [
        Evidence(f"/proc/{one.pid}/fd ({one.name})", f"{one.open} open, limit {one.soft_limit}")
        for one in (near or known)[:SHOWN]
    ]
    if near:
        one = near[0]
        summary = f"{one.name} ({one.pid}) has {one.open} of {one.soft_limit} descriptors open"
        return Verdict(Severity.WARN, summary, tuple(evidence), _more_files(facts, one))
    if host_share >= FILES_PERCENT:
        summary = f"{percent(host_share)} of the host's open files are in use"
        advice = "Find who holds them before fs.file-max is raised."
        remedy = Remedy(advice=advice, command=facts.tcptool("list", "--by", "process"))
        return Verdict(Severity.WARN, summary, tuple(evidence), remedy)
    return ok("no process is near its limit of descriptors", *evidence)


def _files_used(one: OpenFiles) -> float:
    return share_percent(one.open, one.soft_limit or 0)


def _more_files(facts: Facts, one: OpenFiles) -> Remedy:
    """Twice the limit.  Neither may be above fs.nr_open: do_prlimit() in kernel/sys.c."""
    most = facts.number(_NR_OPEN) if facts.has(_NR_OPEN) else _USUAL_NR_OPEN
    soft, old = one.soft_limit or 0, min(one.hard_limit or most, most)
    wanted = min(2 * soft, most)
    if soft < old:
        wanted = min(wanted, old)
    advice = (
        "Look for descriptors that are never closed (H-20); if all are needed, raise the limit."
    )
    if wanted <= soft:
        return Remedy(advice=f"{advice} It stands at {_NR_OPEN}, which must be raised first.")
    return Remedy(
        advice=advice,
        command=f"sudo prlimit --pid {one.pid} --nofile={wanted}:{max(wanted, old)}",
        persistence="LimitNOFILE= in the unit of the service",
        risk="a leak takes longer to be noticed",
        undo=f"sudo prlimit --pid {one.pid} --nofile={soft}:{old}",
    )


def tracked(facts: Facts) -> Verdict:
    """H-19: the firewall's table of connections."""
    names = ("net.netfilter.nf_conntrack_count", "net.netfilter.nf_conntrack_max")
    if not facts.has(names[0]):
        raise Lacks("no connections are tracked here: nf_conntrack is not loaded, or out of sight")
    used, limit = map(facts.number, names)
    idle = "net.netfilter.nf_conntrack_tcp_timeout_established"
    evidence = facts.setting(*names, idle)
    share = share_percent(used, limit)
    summary = f"{percent(share)} of the table of tracked connections is in use"
    if share < FILES_PERCENT:
        return ok(summary, *evidence)
    severity = Severity.FAIL if share >= FULL_PERCENT else Severity.WARN
    remedy = facts.set(
        {names[1]: str(2 * limit)},
        "Do not track what needs no firewall; forget idle connections sooner than after 5 days "
        "(nf_conntrack_tcp_timeout_established). With a larger table "
        "net.netfilter.nf_conntrack_buckets should grow too, or finding an entry takes longer.",
        "about 320 bytes of kernel memory for each entry; it is the limit of the whole host, and "
        "no other network namespace may change it",
    )
    return Verdict(severity, summary, evidence, remedy)


def unclosed(facts: Facts) -> Verdict:
    """H-20: CLOSE_WAIT, orphans and half-made connections."""
    waiting = facts.sockets("close-wait")
    old = [one for one in waiting if (one.last_ack_recv_ms or 0) >= 1000 * OLD_S]
    orphans, limit = _orphans(facts)
    half_open = [f"{len(facts.sockets(s))} {s}" for s in ("syn-recv", "fin-wait-2")]
    evidence = [Evidence("sockets", ", ".join([f"{len(waiting)} close-wait", *half_open]))]
    if orphans is not None:
        evidence.append(Evidence("/proc/net/sockstat TCP orphan", f"{orphans} of {limit}"))
    evidence += _owners(facts, waiting)
    if len(old) > MANY:
        age = human(max(one.last_ack_recv_ms or 0 for one in old) // 1000, Unit.SECONDS)
        summary = f"{len(old)} connections in CLOSE_WAIT for more than {OLD_S} s, up to {age}"
        return Verdict(Severity.WARN, summary, tuple(evidence), _close(facts))
    if orphans is not None and share_percent(orphans, limit or 0) >= NEARLY_FULL_PERCENT:
        summary = f"{orphans} of {limit} connections without a process"
        advice = "Peers do not acknowledge the end: beyond the limit connections are reset."
        command = facts.tcptool("list", "inode = 0 and not state time-wait", "--by", "state")
        return Verdict(
            Severity.WARN, summary, tuple(evidence), Remedy(advice=advice, command=command)
        )
    if len(waiting) > MANY:
        summary = f"{len(waiting)} connections in CLOSE_WAIT, {len(old)} for more than {OLD_S} s"
        return Verdict(Severity.INFO, summary, tuple(evidence), _close(facts))
    return ok(f"{len(waiting)} in CLOSE_WAIT, {_or_unknown(orphans)} orphans", *evidence)


def _or_unknown(number: int | None) -> str:
    return "an unknown number of" if number is None else str(number)


def _orphans(facts: Facts) -> tuple[int | None, int | None]:
    try:
        return facts.sockstat("TCP orphan"), facts.number("net.ipv4.tcp_max_orphans")
    except Lacks:
        return None, None


def _owners(facts: Facts, waiting: list[HostSocket]) -> list[Evidence]:
    held = Counter(facts.process(one) for one in waiting)
    return [Evidence(name, f"{number} in close-wait") for name, number in held.most_common(SHOWN)]


def _close(facts: Facts) -> Remedy:
    return Remedy(
        advice="The program does not close what its peers have closed: its own bug, which no "
        "sysctl mends. A restart frees the descriptors.",
        command=facts.tcptool("list", "--by", "process", "state", "close-wait"),
    )
