"""The checks of `doctor`: which part of the host each is about, why it matters, and its sources.

What each looks at is in ``analysis/host``; this is what does not depend on the host. Ids never
change and are never used twice. H-29 (delayed acknowledgements) is left out: its count says
nothing about a host, and `inspect` shows it for a connection.

A count since boot is context, never a warning: a host that once had a bad minute is not ill.

The aspects are those of Gregg's USE method (Systems Performance, 2nd edition, 10.5.1).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from tcptool.catalog import host_thresholds as limit
from tcptool.catalog import listeners as queues


class Layer(enum.StrEnum):
    """Parts of the host, in the order in which a segment meets them."""

    DEVICE = "device"
    SOFTIRQ = "softirq"
    IP = "ip"
    TCP = "tcp"
    LISTENER = "listener"
    MEMORY = "memory"
    PORTS = "ports"
    FILES = "files"
    SETTINGS = "settings"


class Aspect(enum.StrEnum):
    """What a check looks for."""

    UTILISATION = "utilisation"
    """how much of a limit is used"""
    SATURATION = "saturation"
    """work that has to wait"""
    ERRORS = "errors"
    """what went wrong, or is set wrongly"""


U, S, E = Aspect.UTILISATION, Aspect.SATURATION, Aspect.ERRORS


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCheck:
    """One check.  ``rule`` says from where on it speaks up, ``why`` what the trouble costs."""

    id: str
    title: str
    layer: Layer
    aspect: Aspect
    rule: str
    why: str
    source: str


_ALL: Final = (
    HostCheck(
        id="H-01",
        title="retransmissions",
        layer=Layer.TCP,
        aspect=E,
        rule=f"of at least {limit.ENOUGH_SEGMENTS} segments sent, data alone: info from "
        f"{limit.LOSS_OK_PERCENT} % sent again, warn above {limit.LOSS_WARN_PERCENT:g} "
        f"%, fail above {limit.LOSS_FAIL_PERCENT:g} %",
        why="Segments are lost on the way, or sent again without need. cubic and reno slow down "
        "with each loss.",
        source="Oracle bpftune acts at 1 % retransmissions; RFC 5681",
    ),
    HostCheck(
        id="H-02",
        title="retransmission timeouts",
        layer=Layer.TCP,
        aspect=E,
        rule=f"warn where more than {limit.TIMEOUTS_PERCENT:g} % of at least "
        f"{limit.ENOUGH_RETRANSMISSIONS} retransmissions of data began with a timeout",
        why="A timeout stops a connection for its round-trip time and 200 ms, then for twice that. "
        "Losses at the end of a transfer, tiny windows and black holes end in timeouts.",
        source="RFC 6298; measured: rtt 44 ms, timeout 244 ms",
    ),
    HostCheck(
        id="H-03",
        title="needless retransmissions",
        layer=Layer.TCP,
        aspect=E,
        rule=f"info where more than {limit.NEEDLESS_PERCENT:g} % of at least "
        f"{limit.ENOUGH_RETRANSMISSIONS} retransmissions came twice",
        why="Peers report that segments came twice: the path reorders or delays them, it does not "
        "lose them.",
        source="RFC 2883",
    ),
    HostCheck(
        id="H-04",
        title="connects without an answer",
        layer=Layer.TCP,
        aspect=E,
        rule="info where a connection request or its answer was sent again; warn where one waits "
        f"now, and more than {limit.FAILED_PERCENT:g} % of those that this host began failed",
        why="Connection requests of this host are dropped, refused or filtered; each repetition "
        "costs a second or more.",
        source="RFC 6298, 2.1 (first timeout of 1 s)",
    ),
    HostCheck(
        id="H-05",
        title="aborted connections",
        layer=Layer.TCP,
        aspect=E,
        rule=f"fail for want of memory; warn where {limit.ENOUGH_EVENTS} connections or more, and "
        f"above {limit.FAILED_PERCENT:g} %, were given up without an answer; else info",
        why="Connections end with a reset instead of a FIN, and data may be lost.",
        source="snmp_counter.rst, TCP abort",
    ),
    HostCheck(
        id="H-06",
        title="packets between device and protocol",
        layer=Layer.SOFTIRQ,
        aspect=S,
        rule="warn where packets were dropped; info where more than "
        f"{limit.SQUEEZED_PERCENT:g} % came in rounds that were cut short",
        why="A CPU does not keep up with what the device delivers. What is dropped here is loss "
        "to TCP.",
        source="net/core/net-procfs.c, softnet_seq_show(); bpftune doubles the backlog",
    ),
    HostCheck(
        id="H-07",
        title="errors and drops of the devices",
        layer=Layer.DEVICE,
        aspect=E,
        rule="fail for checksum errors and collisions; warn for other errors and drops, info "
        f"where only less than {limit.NOISE_PERCENT} % of the packets received were "
        "dropped",
        why="Checksum errors and collisions come from a cable, a connector or a duplex mismatch; "
        "missed packets from a ring that is too small.",
        source="Documentation/networking/statistics.rst; NPAD and NDT look for them first",
    ),
    HostCheck(
        id="H-08",
        title="link of the devices",
        layer=Layer.DEVICE,
        aspect=E,
        rule="fail for half duplex; of the devices of default routes: warn where the link "
        "went up or down, info where their MTUs differ",
        why="A half-duplex link collides with itself, and a link that goes up and down loses what "
        "was in flight.",
        source="Documentation/ABI/testing/sysfs-class-net; NPAD and NDT",
    ),
    HostCheck(
        id="H-09",
        title="queueing discipline for bbr",
        layer=Layer.DEVICE,
        aspect=E,
        rule="info where a connection uses bbr and a device of a default route has another "
        "queueing discipline",
        why="fq paces bbr's segments for less CPU than TCP's own timers, and keeps flows apart.",
        source="commit 218af599fa63 (Linux 4.13)",
    ),
    HostCheck(
        id="H-10",
        title="drops of the queueing disciplines",
        layer=Layer.DEVICE,
        aspect=S,
        rule="warn where one dropped segments, info where it does so on purpose (fq_codel "
        "and its like)",
        why="This host drops its own segments: a shaper or a full queue. TCP sees loss.",
        source="net/sched/sch_api.c, tc(8) -s",
    ),
    HostCheck(
        id="H-11",
        title="congestion control for lossy paths",
        layer=Layer.SETTINGS,
        aspect=U,
        rule=f"info where bbr is not loaded and a connection has {limit.LOSS_WARN_PERCENT:g} "
        f"% of at least {limit.ENOUGH_BYTES // 1_000_000} MB sent again",
        why="On a path that loses 1 % at random, cubic reached 3 Mbit/s where bbr reached 38.",
        source="measured; bpftune changes over at 1 % retransmissions",
    ),
    HostCheck(
        id="H-12",
        title="accept queues",
        layer=Layer.LISTENER,
        aspect=S,
        rule="fail where a queue overflowed, warn where one is 75 % full",
        why="A connection that finds the queue full is dropped: the client believes that it is "
        "connected, or retries after a second.",
        source="listen(2); net/ipv4/tcp_ipv4.c, tcp_v4_syn_recv_sock(); measured",
    ),
    HostCheck(
        id="H-13",
        title="connection requests and SYN cookies",
        layer=Layer.LISTENER,
        aspect=S,
        rule="fail where requests are dropped while cookies are off; warn where they are dropped "
        "though no accept queue was full, where cookies were sent beside one that overflowed, and "
        f"where fewer than {queues.FLOOD_COOKIES_PERCENT} % of {queues.FLOOD_COOKIES_LEAST} or "
        "more came back; info for other cookies",
        why="More requests are in their handshake than the queue holds. Cookies keep the door open "
        "at the price of window scaling and SACK for clients without timestamps.",
        source="ip-sysctl.rst (a warning without a flood: a misconfigured server); measured",
    ),
    HostCheck(
        id="H-14",
        title="memory of TCP",
        layer=Layer.MEMORY,
        aspect=U,
        rule=f"fail under memory pressure; warn at {limit.NEARLY_FULL_PERCENT} % of where it "
        "begins, or where data was squeezed together or dropped; info where tcp_mem "
        "exceeds the memory",
        why="Under pressure the kernel shrinks windows, squeezes buffers and drops segments.",
        source="tcp(7), tcp_mem; bpftune calls 75 % of a limit nearly full",
    ),
    HostCheck(
        id="H-15",
        title="limits of the buffers",
        layer=Layer.MEMORY,
        aspect=U,
        rule="warn where a connection has grown to three quarters of a limit, and what it "
        "moves in a round trip wants a larger one; with a path, where the limit does "
        "not allow its rate",
        why="A connection is no faster than its window each round trip, and the window no larger "
        "than its buffer allows.",
        source="RFC 7323; tcp_rcv_space_adjust(), tcp_sndbuf_expand()",
    ),
    HostCheck(
        id="H-16",
        title="local ports",
        layer=Layer.PORTS,
        aspect=U,
        rule=f"warn where {limit.NEARLY_FULL_PERCENT} % of the local ports are in use to one "
        f"destination, fail at {limit.FULL_PERCENT} %",
        why="When every port to a destination is in use, connect() fails with EADDRNOTAVAIL.",
        source="ip(7), ip_local_port_range; bpftune calls 75 % of a limit nearly full",
    ),
    HostCheck(
        id="H-17",
        title="TIME_WAIT",
        layer=Layer.PORTS,
        aspect=U,
        rule="warn where connections were closed without TIME_WAIT",
        why="Beyond the limit connections are closed without TIME_WAIT, and a late segment may "
        "disturb the next one on the same ports.",
        source="Bernat, Coping with the TCP TIME-WAIT state; RFC 9293, 3.6.1",
    ),
    HostCheck(
        id="H-18",
        title="open files",
        layer=Layer.FILES,
        aspect=U,
        rule=f"warn where a process, or the host, has {limit.FILES_PERCENT} % of its "
        "descriptors open",
        why="With no descriptor left accept() fails with EMFILE, and many servers then spin.",
        source="accept(2); getrlimit(2), RLIMIT_NOFILE",
    ),
    HostCheck(
        id="H-19",
        title="connection tracking",
        layer=Layer.IP,
        aspect=U,
        rule=f"warn where the table is {limit.FILES_PERCENT} % full, fail at "
        f"{limit.FULL_PERCENT} %",
        why="When the table is full, packets of new connections are dropped.",
        source="nf_conntrack-sysctl.rst",
    ),
    HostCheck(
        id="H-20",
        title="connections that nobody closes",
        layer=Layer.TCP,
        aspect=U,
        rule=f"warn for more than {limit.MANY} in CLOSE_WAIT for {limit.OLD_S} s, or for "
        f"{limit.NEARLY_FULL_PERCENT} % of tcp_max_orphans; info while they are younger",
        why="In CLOSE_WAIT the peer has closed and the program has not: a leak of descriptors "
        "that no sysctl mends.",
        source="RFC 9293, 3.6; ip-sysctl.rst, tcp_max_orphans",
    ),
    HostCheck(
        id="H-21",
        title="parts of TCP that are switched off",
        layer=Layer.SETTINGS,
        aspect=E,
        rule="fail where tcp_sack, tcp_window_scaling or tcp_moderate_rcvbuf is 0, warn for others",
        why="Loss recovery, large windows and automatic tuning are what makes TCP fast; old guides "
        "switch them off.",
        source="RFC 7323; RFC 2018; RFC 8985",
    ),
    HostCheck(
        id="H-22",
        title="slow start after a pause",
        layer=Layer.SETTINGS,
        aspect=S,
        rule=f"info where a connection of {limit.LONG_RTT_US // 1000} ms or more that lost "
        "nothing has less than half of the window that it had",
        why="After a pause a connection begins with ten segments again: over 80 ms a reply took "
        "384 ms, without it 72 ms.",
        source="RFC 5681, 4.1; measured",
    ),
    HostCheck(
        id="H-23",
        title="MTU of the paths",
        layer=Layer.SETTINGS,
        aspect=E,
        rule="warn where tcp_mtu_probing is 1 and connections fell back to tcp_base_mss; info "
        "where a default route "
        f"has an MTU above {limit.ETHERNET_BYTES} and tcp_mtu_probing is 0",
        why="Where a router drops large packets and its messages are filtered, a connection hangs "
        "at the first full segment.",
        source="RFC 4821; ESnet fasterdata (with jumbo frames)",
    ),
    HostCheck(
        id="H-24",
        title="send queues",
        layer=Layer.MEMORY,
        aspect=S,
        rule=f"info where what is unsent takes longer than {limit.SLOW_QUEUE_MS} ms to send",
        why="What a program writes waits here first; something urgent cannot overtake it.",
        source="Cloudflare, HTTP/2 prioritization (2018); ELEMENT, EuroSys 2019; measured",
    ),
    HostCheck(
        id="H-25",
        title="idle connections without keepalive",
        layer=Layer.TCP,
        aspect=E,
        rule=f"info where a connection has been idle for more than {limit.FORGOTTEN_S} s and "
        "no keepalive timer runs",
        why="Load balancers and NATs forget an idle connection silently (AWS after 350 s, Azure "
        "after 4 min); the next request then hangs.",
        source="AWS NLB and Azure Load Balancer documentation; RFC 5382",
    ),
    HostCheck(
        id="H-26",
        title="congestion marks",
        layer=Layer.SETTINGS,
        aspect=S,
        rule="never more than ok: for information",
        why="With ECN a queue marks segments instead of dropping them.",
        source="RFC 3168; ip-sysctl.rst, tcp_ecn",
    ),
    HostCheck(
        id="H-27",
        title="TCP Fast Open",
        layer=Layer.TCP,
        aspect=E,
        rule="info where an attempt failed",
        why="Something on the way drops requests with data, which costs a timeout each.",
        source="RFC 7413; ip-sysctl.rst, tcp_fastopen_blackhole_timeout_sec",
    ),
    HostCheck(
        id="H-28",
        title="closed receive windows",
        layer=Layer.MEMORY,
        aspect=S,
        rule="warn where a window was closed each second or more often, or where a receive buffer "
        f"is {limit.NEARLY_FULL_PERCENT} % full after one was; info for others",
        why="A local program reads more slowly than its peer sends, so the peer has to stop.",
        source="snmp_counter.rst, TCPToZeroWindowAdv",
    ),
    HostCheck(
        id="H-30",
        title="first size of the buffers",
        layer=Layer.MEMORY,
        aspect=U,
        rule=f"info from {limit.LARGE_FIRST_BYTES >> 20} MiB",
        why="Every socket starts that large: memory, and queueing delay on slow paths.",
        source="tcp(7); Netflix's 12 MiB (2017) were for its own machines",
    ),
    HostCheck(
        id="H-31",
        title="very large receive buffers",
        layer=Layer.MEMORY,
        aspect=S,
        rule=f"warn where tcp_rmem allows more than {limit.HUGE_LIMIT_BYTES >> 20} MiB and "
        "data was squeezed together",
        why="Squeezing a huge buffer together stalls the CPU, and everything else on it.",
        source="Cloudflare, The story of one latency spike (2015)",
    ),
    HostCheck(
        id="H-32",
        title="settings of old guides",
        layer=Layer.SETTINGS,
        aspect=E,
        rule="warn for tcp_tw_recycle and tcp_abort_on_overflow; info for tcp_tw_reuse=1, "
        "tcp_fin_timeout, tcp_low_latency and tcp_fack",
        why="They are gone, without effect or harmful, and hide what is really wrong.",
        source="ip-sysctl.rst; tcp(7)",
    ),
    HostCheck(
        id="H-33",
        title="rejected segments",
        layer=Layer.IP,
        aspect=E,
        rule=f"warn from {limit.STRAY_PERCENT} % of {limit.ENOUGH_SEGMENTS} segments received, "
        f"or of fewer but from {limit.ENOUGH_EVENTS} segments, or where packets "
        "were dropped for want of memory; below it info",
        why="Segments arrive and are thrown away: faulty, old, or of somebody else.",
        source="snmp_counter.rst",
    ),
    HostCheck(
        id="H-34",
        title="CPU time for the network",
        layer=Layer.SOFTIRQ,
        aspect=S,
        rule=f"over at least a second: warn where one CPU spends {limit.SOFTIRQ_PERCENT:g} % on "
        f"receiving, or {limit.STEAL_PERCENT:g} % of all CPU time is stolen",
        why="One CPU that does all receiving, or a hypervisor that takes CPU time away, limits "
        "every connection.",
        source="proc(5), /proc/stat; Documentation/networking/scaling.rst",
    ),
    HostCheck(
        id="H-35",
        title="what this kernel does not tell",
        layer=Layer.SETTINGS,
        aspect=E,
        rule="info where tcp_info lacks what a check asks for",
        why="tcptool judges by what the kernel counts; what it lacks cannot be judged.",
        source="tcptool-fields(7)",
    ),
    HostCheck(
        id="H-36",
        title="programs that tune",
        layer=Layer.SETTINGS,
        aspect=E,
        rule="info where bpftune or tuned runs",
        why="A change by hand may be taken back, or answered by another one.",
        source="bpftune(8); tuned(8)",
    ),
)

HOST_CHECKS: Final = {one.id: one for one in _ALL}
"""Every check by its id, in that order."""
