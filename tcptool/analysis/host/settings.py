"""Checks of settings: what is switched off, what old guides changed, what cannot be seen."""

from __future__ import annotations

from typing import Final

from tcptool.analysis.host.facts import (
    SHOWN,
    Facts,
    Lacks,
    Verdict,
    count,
    is_loopback,
    ok,
    share_percent,
    words,
)
from tcptool.catalog.host_thresholds import (
    ENOUGH_BYTES,
    ETHERNET_BYTES,
    FORGOTTEN_S,
    LONG_RTT_US,
    LOSS_WARN_PERCENT,
)
from tcptool.catalog.severity import Severity
from tcptool.catalog.sysctls import SYSCTLS
from tcptool.model.doctor import Evidence, Remedy
from tcptool.model.host import HostSocket
from tcptool.units import Unit, human

_TIMESTAMPS_BYTES: Final = 12
_TUNERS: Final = ("bpftune", "tuned")

# How bad it is that this is 0: which harm follows for every connection, or for some.
_SWITCHES: Final = {
    "net.ipv4.tcp_sack": Severity.FAIL,
    "net.ipv4.tcp_window_scaling": Severity.FAIL,
    "net.ipv4.tcp_moderate_rcvbuf": Severity.FAIL,
    "net.ipv4.tcp_timestamps": Severity.WARN,
    "net.ipv4.tcp_dsack": Severity.WARN,
    "net.ipv4.tcp_early_retrans": Severity.WARN,
    "net.ipv4.tcp_recovery": Severity.WARN,
    "net.ipv4.tcp_frto": Severity.WARN,
}
_FASTER: Final = ("net.ipv4.tcp_sack", "net.ipv4.tcp_timestamps")

# What old guides set, how bad that is, and the answer to it.
_GUIDES: Final = {
    "net.ipv4.tcp_tw_recycle": (Severity.WARN, "tw-recycle"),
    "net.ipv4.tcp_abort_on_overflow": (Severity.WARN, "abort-on-overflow"),
    "net.ipv4.tcp_tw_reuse": (Severity.INFO, "tw-reuse"),
    "net.ipv4.tcp_fin_timeout": (Severity.INFO, "fin-timeout"),
    "net.ipv4.tcp_low_latency": (Severity.INFO, "no-effect"),
    "net.ipv4.tcp_fack": (Severity.INFO, "no-effect"),
}
_NO_GUIDE: Final = {"net.ipv4.tcp_tw_reuse": ("0", "2")}
"""Beside the default, values that no guide sets for speed."""

# A field of tcp_info that stands for its generation, and what is not known without it.
_GENERATIONS: Final = {
    "busy_time_us": "what held a sender back (Linux 4.10)",
    "snd_wnd_bytes": "the peer's window (Linux 5.4)",
}


def switched_off(facts: Facts) -> Verdict:
    """H-21: parts of TCP that are 0."""
    known = [name for name in _SWITCHES if facts.has(name)]
    if not known:
        raise Lacks(facts.why("/proc/sys/net/ipv4/tcp_sack", "no setting of TCP could be read"))
    off = [name for name in known if facts.number(name) == 0]
    if not off:
        return ok(
            "loss recovery, large windows and automatic tuning are on", *facts.setting(*known)
        )
    severity = Severity.FAIL if Severity.FAIL in map(_SWITCHES.get, off) else Severity.WARN
    remedy = facts.set(
        {name: SYSCTLS[name].default for name in off},
        f"Put the defaults back{facts.for_whom(off)}.",
        "none that is known",
    )
    myths = ("sack-and-timestamps",) if any(name in _FASTER for name in off) else ()
    summary = words(f"{name.rpartition('.')[2]} is off" for name in off)
    return Verdict(severity, summary, facts.setting(*off), remedy, myths)


def old_guides(facts: Facts) -> Verdict:
    """H-32: settings that old guides recommend."""
    known = [name for name in _GUIDES if facts.has(name)]
    if not known:
        raise Lacks(facts.why("/proc/sys/net/ipv4/tcp_fin_timeout", "none of them could be read"))
    seen = [
        name
        for name in known
        if facts.text(name) not in (SYSCTLS[name].default, *_NO_GUIDE.get(name, ()))
    ]
    if not seen:
        return ok("nothing is set that old guides recommend", *facts.setting(*known))
    severity = (
        Severity.WARN if any(_GUIDES[name][0] is Severity.WARN for name in seen) else Severity.INFO
    )
    remedy = facts.set(
        {name: SYSCTLS[name].default for name in seen},
        "Put the defaults back, unless you know why they were changed.",
        "none that is known",
    )
    myths = tuple(dict.fromkeys(_GUIDES[name][1] for name in seen))
    summary = words(f"{name.rpartition('.')[2]} is {facts.text(name)}" for name in seen)
    return Verdict(severity, summary, facts.setting(*seen), remedy, myths)


def lossy_paths(facts: Facts) -> Verdict:
    """H-11: connections that lose while bbr is not at hand."""
    available = facts.text("net.ipv4.tcp_available_congestion_control").split()
    evidence = facts.setting(
        "net.ipv4.tcp_congestion_control",
        "net.ipv4.tcp_available_congestion_control",
        "net.ipv4.tcp_allowed_congestion_control",
    )
    if "bbr" in available:
        return ok("bbr is available to whoever needs it", *evidence)
    lossy = [one for one in facts.connections() if _loses(one)]
    if not lossy:
        return ok("no connection loses so much that bbr would help", *evidence)
    shown = tuple(
        Evidence(facts.name(one), f"{one.retrans_bytes} of {one.sent_bytes} bytes sent again")
        for one in lossy[:SHOWN]
    )
    remedy = Remedy(
        advice="Load bbr and try it on one connection: `tcptool apply PID:FD TCP_CONGESTION=bbr`.",
        command="sudo modprobe tcp_bbr",
        persistence="tcp_bbr in /etc/modules-load.d/tcp_bbr.conf",
        risk="none until a connection uses it; bbr takes more than its share beside cubic at times",
        undo="sudo modprobe -r tcp_bbr",
    )
    summary = f"{count(len(lossy), 'connection')} with 1 % loss or more, and bbr is not loaded"
    return Verdict(Severity.INFO, summary, (*evidence, *shown), remedy)


def _loses(one: HostSocket) -> bool:
    sent = one.sent_bytes or 0
    share = share_percent(one.retrans_bytes or 0, sent)
    return sent >= ENOUGH_BYTES and share >= LOSS_WARN_PERCENT and one.congestion != "bbr"


def idle_restart(facts: Facts) -> Verdict:
    """H-22: connections whose window fell back across a pause."""
    setting = facts.setting("net.ipv4.tcp_slow_start_after_idle")
    if facts.number("net.ipv4.tcp_slow_start_after_idle") == 0:
        return ok("off: connections keep their window across a pause", *setting)
    fallen = [one for one in facts.connections() if _has_fallen_back(one)]
    if not fallen:
        return ok("no connection was seen whose window fell back across a pause", *setting)
    shown = tuple(
        Evidence(
            facts.name(one),
            f"window of {one.snd_cwnd_packets} segments, {one.snd_ssthresh_packets:.0f} before",
        )
        for one in fallen[:SHOWN]
    )
    remedy = facts.set(
        {"net.ipv4.tcp_slow_start_after_idle": "0"},
        "Worth a try for requests and replies over long paths.",
        "a burst after each pause, which shallow buffers on the way may drop",
    )
    summary = f"{count(len(fallen), 'connection')} began anew after a pause, without a loss"
    return Verdict(Severity.INFO, summary, (*setting, *shown), remedy)


def _has_fallen_back(one: HostSocket) -> bool:
    """Its window is less than half of its threshold, though it lost nothing and had filled it.

    tcp_cwnd_restart() keeps three quarters of the old window as the threshold.
    """
    cwnd, before = one.snd_cwnd_packets, one.snd_ssthresh_packets
    if cwnd is None or before is None or before == float("inf") or one.total_retrans_packets:
        return False
    filled = (one.acked_bytes or 0) >= before * (one.snd_mss_bytes or 0)
    long = (one.min_rtt_us or 0) >= LONG_RTT_US
    return one.congestion != "bbr" and 2 * cwnd <= before and filled and long


def path_mtu(facts: Facts) -> Verdict:
    """H-23: jumbo frames, and connections that probing for the MTU has saved."""
    probing = facts.number("net.ipv4.tcp_mtu_probing")
    setting = facts.setting("net.ipv4.tcp_mtu_probing", "net.ipv4.tcp_base_mss")
    base = facts.number("net.ipv4.tcp_base_mss")
    small = [
        one
        for one in facts.connections()
        if one.snd_mss_bytes in (base, base - _TIMESTAMPS_BYTES)
        and (one.pmtu_bytes or 0) >= ETHERNET_BYTES
    ]
    # Where probing never waits for a black hole (2), every connection begins with small segments.
    if probing == 1 and small:
        shown = (
            Evidence(
                facts.name(one), f"segments of {one.snd_mss_bytes} bytes, MTU {one.pmtu_bytes}"
            )
            for one in small[:SHOWN]
        )
        summary = f"{count(len(small), 'connection')} fell back to small segments: a black hole"
        advice = 'Let the path\'s routers send "fragmentation needed", or lower the MTU here.'
        return Verdict(Severity.WARN, summary, (*setting, *shown), Remedy(advice=advice))
    jumbo = [
        one
        for one in facts.state.after.links
        if one.name in facts.state.default_links and (one.mtu_bytes or 0) > ETHERNET_BYTES
    ]
    if not probing and jumbo:
        summary = words(f"{one.name} has an MTU of {one.mtu_bytes}" for one in jumbo)
        shown = (Evidence(one.name, f"mtu {one.mtu_bytes}") for one in jumbo)
        advice = (
            "Leave it while transfers do not stall. If one does, tcp_mtu_probing=1 finds a way "
            "after a black hole was noticed."
        )
        return Verdict(Severity.INFO, summary, (*setting, *shown), Remedy(advice=advice))
    return ok("no sign of an MTU that does not fit", *setting)


def idle_without_keepalive(facts: Facts) -> Verdict:
    """H-25: idle connections that something on the way may have forgotten."""
    setting = facts.setting("net.ipv4.tcp_keepalive_time")
    idle = [
        one
        for one in facts.connections()
        if one.timer == "off" and not is_loopback(one) and _idle_ms(one) > 1000 * FORGOTTEN_S
    ]
    if not idle:
        return ok("no connection has been idle for long without keepalive", *setting)
    idle.sort(key=_idle_ms, reverse=True)
    shown = (
        Evidence(facts.name(one), f"idle for {human(_idle_ms(one), Unit.MILLISECONDS)}")
        for one in idle[:SHOWN]
    )
    remedy = Remedy(
        advice="Harmless where nothing on the way forgets. Else let the program probe more often "
        "than the shortest timeout on the way; the sysctl reaches only sockets with SO_KEEPALIVE.",
        command=facts.tcptool("profiles", "show", "rpc") if facts.state.netns is None else None,
    )
    summary = f"{count(len(idle), 'connection')} idle for more than {FORGOTTEN_S} s, unprobed"
    return Verdict(Severity.INFO, summary, (*setting, *shown), remedy)


def _idle_ms(one: HostSocket) -> int:
    """Time since data went either way; 0 where it is not told."""
    sent_ms, received_ms = one.last_data_sent_ms, one.last_data_recv_ms
    return 0 if sent_ms is None or received_ms is None else min(sent_ms, received_ms)


def congestion_marks(facts: Facts) -> Verdict:
    """H-26: ECN, for information."""
    value = facts.text("net.ipv4.tcp_ecn")
    marks = facts.counter("TcpExtTCPDeliveredCE")
    evidence = (*facts.setting("net.ipv4.tcp_ecn"), *facts.shown(marks))
    meaning = {"0": "off", "1": "asked for", "2": "accepted when a peer asks"}.get(value, value)
    return ok(f"ECN is {meaning}; {marks.grown} marks in {facts.window()}", *evidence)


def untold(facts: Facts) -> Verdict:
    """H-35: what an older kernel does not count."""
    known = [one for one in facts.connections() if one.rtt_us is not None]
    if not known:
        raise Lacks("no connection is there to see it by")
    lacking = {
        name: text
        for name, text in _GENERATIONS.items()
        if all(getattr(one, name) is None for one in known)
    }
    evidence = tuple(Evidence(f"tcp_info {name}", "not told") for name in lacking)
    if not lacking:
        return ok("the kernel tells everything that the checks ask for", *evidence)
    summary = f"not told: {words(lacking.values())}"
    advice = "A newer kernel tells more; until then those verdicts are left out."
    return Verdict(Severity.INFO, summary, evidence, Remedy(advice=advice))


def tuners(facts: Facts) -> Verdict:
    """H-36: programs that change settings by themselves."""
    if not facts.state.processes:
        raise Lacks(facts.why("processes", "no process could be seen"))
    found = [name for name in _TUNERS if name in facts.state.processes]
    if not found:
        return ok("no program is known to tune this host")
    advice = "Change its configuration rather than a sysctl beside it."
    command = "tuned-adm active" if "tuned" in found else "journalctl -u bpftune"
    evidence = tuple(Evidence("/proc", f"process {name}") for name in found)
    remedy = Remedy(advice=advice, command=command)
    return Verdict(Severity.INFO, f"running: {words(found)}", evidence, remedy)
