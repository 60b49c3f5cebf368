"""Sysctls that bear on TCP: what they mean, what a kernel starts with, what people get wrong.

`doctor` reads these and no others, and `explain` tells about them.  The sysctls of net.ipv4.tcp_*
hold for IPv6 too.  A default of "" depends on the memory or on the kernel's configuration.

Sources: Documentation/networking/ip-sysctl.rst, Documentation/admin-guide/sysctl/net.rst and
net/ipv4/sysctl_net_ipv4.c, Linux 6.18; where another is named it says more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tcptool.units import Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Sysctl:
    """One sysctl.

    ``host_wide``: there is one for the whole host, which only its first network namespace may
    set, and others need not show; the rest are of each network namespace.  ``new_only``:
    connections that are there keep what they began with.
    """

    name: str
    doc: str
    unit: Unit = Unit.COUNT
    default: str = ""
    host_wide: bool = False
    new_only: bool = False
    pitfall: str = ""
    source: str = "ip-sysctl.rst"


_ALL: Final = (
    Sysctl(
        name="net.ipv4.tcp_sack",
        doc="selective acknowledgements: a receiver names what arrived out of order",
        default="1",
        new_only=True,
        pitfall="without them every loss in a window costs a round trip of its own, or a timeout",
    ),
    Sysctl(
        name="net.ipv4.tcp_dsack",
        doc="reports of segments that came twice, by which a sender notices a mistaken repetition",
        default="1",
    ),
    Sysctl(
        name="net.ipv4.tcp_window_scaling",
        doc="windows above 65 535 bytes",
        default="1",
        new_only=True,
        pitfall="without it no connection is faster than 65 535 bytes a round trip: 6.6 Mbit/s at "
        "80 ms",
        source="RFC 7323",
    ),
    Sysctl(
        name="net.ipv4.tcp_timestamps",
        doc="timestamps: better round-trip times, protection against old segments (PAWS), and "
        "window scaling and SACK on connections made with SYN cookies",
        default="1",
        new_only=True,
        source="RFC 7323",
    ),
    Sysctl(
        name="net.ipv4.tcp_moderate_rcvbuf",
        doc="automatic tuning of the receive buffer",
        default="1",
        pitfall="without it every receive buffer stays at tcp_rmem[1]",
    ),
    Sysctl(
        name="net.ipv4.tcp_early_retrans",
        doc="tail loss probes: the last segments of a burst are repaired without a timeout",
        default="3",
        source="RFC 8985",
    ),
    Sysctl(
        name="net.ipv4.tcp_recovery",
        doc="RACK: losses are found by time instead of by three duplicates",
        default="1",
        source="RFC 8985",
    ),
    Sysctl(
        name="net.ipv4.tcp_frto",
        doc="F-RTO: a timeout that was a mistake is noticed and taken back",
        default="2",
        source="RFC 5682",
    ),
    Sysctl(
        name="net.ipv4.tcp_rmem",
        doc="least, first and largest size of a receive buffer that is tuned automatically",
        unit=Unit.BYTES,
        new_only=True,
        pitfall="the second is what every socket starts with; the third counts bookkeeping too, so "
        "the window is about half of it; a change is for new connections",
        source="tcp(7)",
    ),
    Sysctl(
        name="net.ipv4.tcp_wmem",
        doc="least, first and largest size of a send buffer that is tuned automatically",
        unit=Unit.BYTES,
        pitfall="1.6 bytes of it hold one byte of data",
        source="tcp(7)",
    ),
    Sysctl(
        name="net.core.rmem_max",
        doc="most that SO_RCVBUF may ask for; it does not limit automatic tuning",
        unit=Unit.BYTES,
        host_wide=True,
        pitfall="it takes part in choosing the window scale of every connection",
        source="socket(7)",
    ),
    Sysctl(
        name="net.core.wmem_max",
        doc="most that SO_SNDBUF may ask for; it does not limit automatic tuning",
        unit=Unit.BYTES,
        host_wide=True,
        source="socket(7)",
    ),
    Sysctl(
        name="net.ipv4.tcp_mem",
        doc="memory of all TCP sockets, in pages: below the first all is well, from the second on "
        "the kernel saves, at the third it refuses",
        host_wide=True,
        pitfall="pages, not bytes; set from the size of the memory at boot: leave it",
        source="tcp(7)",
    ),
    Sysctl(
        name="net.ipv4.tcp_congestion_control",
        doc="congestion control of new connections",
        pitfall="a connection that is accepted has that of its listener",
    ),
    Sysctl(
        name="net.ipv4.tcp_available_congestion_control",
        doc="congestion controls that are loaded",
    ),
    Sysctl(
        name="net.ipv4.tcp_allowed_congestion_control",
        doc="congestion controls that a program may choose without CAP_NET_ADMIN",
    ),
    Sysctl(
        name="net.core.default_qdisc",
        doc="queueing discipline that a device gets when it is made",
        host_wide=True,
        pitfall="devices that exist keep theirs: `tc qdisc replace` changes those",
        source="Documentation/admin-guide/sysctl/net.rst",
    ),
    Sysctl(
        name="net.core.netdev_max_backlog",
        doc="packets that may wait between the device and the protocols, for each CPU",
        default="1000",
        host_wide=True,
        source="Documentation/admin-guide/sysctl/net.rst",
    ),
    Sysctl(
        name="net.core.netdev_budget",
        doc="packets that one round of receiving takes at most",
        default="300",
        host_wide=True,
        source="Documentation/admin-guide/sysctl/net.rst",
    ),
    Sysctl(
        name="net.core.netdev_budget_usecs",
        doc="microseconds that one round of receiving takes at most",
        host_wide=True,
        source="Documentation/admin-guide/sysctl/net.rst",
    ),
    Sysctl(
        name="net.core.somaxconn",
        doc="longest accept queue that listen() gives; more is cut silently",
        default="4096",
        pitfall="read when listen() is called: a running server keeps its backlog until it does so "
        "again (`tcptool apply PID:FD backlog=N` does)",
    ),
    Sysctl(
        name="net.ipv4.tcp_max_syn_backlog",
        doc="connection requests, for each listener, that may be in their handshake",
        pitfall="not the accept queue: that is listen() and somaxconn",
    ),
    Sysctl(
        name="net.ipv4.tcp_syncookies",
        doc="answer connection requests without remembering them when the queue is full",
        default="1",
        pitfall="2 does so always, 0 drops the requests",
    ),
    Sysctl(
        name="net.ipv4.tcp_abort_on_overflow",
        doc="reset a connection that finds the accept queue full, instead of letting it try again",
        default="0",
        pitfall="a burst that the queue would have absorbed becomes errors at the clients",
    ),
    Sysctl(
        name="net.ipv4.ip_local_port_range",
        doc="local ports that connect() chooses from",
        default="32768 60999",
    ),
    Sysctl(
        name="net.ipv4.ip_local_reserved_ports",
        doc="ports of the range that connect() leaves alone",
    ),
    Sysctl(
        name="net.ipv4.tcp_tw_reuse",
        doc="whether connect() may take a port that is in TIME_WAIT: 0 no, 1 yes, 2 on loopback",
        default="2",
        pitfall="needs timestamps, and helps the end that connects only",
    ),
    Sysctl(
        name="net.ipv4.tcp_tw_recycle",
        doc="gone since Linux 4.12: it refused clients behind a shared address",
        default="0",
        source="commit 4396e46187ca",
    ),
    Sysctl(
        name="net.ipv4.tcp_fin_timeout",
        doc="how long a closed connection waits for the peer's FIN (FIN_WAIT2 without an owner)",
        unit=Unit.SECONDS,
        default="60",
        pitfall="TIME_WAIT is 60 s whatever this says (TCP_TIMEWAIT_LEN)",
        source="tcp(7)",
    ),
    Sysctl(
        name="net.ipv4.tcp_max_tw_buckets",
        doc="most connections in TIME_WAIT; those beyond are closed at once",
    ),
    Sysctl(
        name="net.ipv4.tcp_max_orphans",
        doc="most connections that no process holds any more; those beyond are reset",
        host_wide=True,
    ),
    Sysctl(
        name="net.ipv4.tcp_slow_start_after_idle",
        doc="go back to the initial window after a pause",
        default="1",
        source="RFC 5681, 4.1",
    ),
    Sysctl(
        name="net.ipv4.tcp_mtu_probing",
        doc="find the path's MTU by trying: 0 never, 1 after a black hole was noticed, 2 always",
        default="0",
        source="RFC 4821",
    ),
    Sysctl(
        name="net.ipv4.tcp_base_mss",
        doc="segment size that probing for the MTU begins with",
        unit=Unit.BYTES,
        default="1024",
        source="RFC 4821",
    ),
    Sysctl(
        name="net.ipv4.tcp_notsent_lowat",
        doc="most unsent bytes for which a socket is writable; 4294967295 is no limit",
        unit=Unit.BYTES,
        default="4294967295",
    ),
    Sysctl(
        name="net.ipv4.tcp_keepalive_time",
        doc="idle time before the first keepalive probe, where a program has asked for them",
        unit=Unit.SECONDS,
        default="7200",
        pitfall="only sockets with SO_KEEPALIVE; TCP_KEEPIDLE sets it for one",
        source="tcp(7)",
    ),
    Sysctl(
        name="net.ipv4.tcp_ecn",
        doc="explicit congestion notification: 0 no, 1 asked for, 2 accepted when a peer asks",
        default="2",
        source="RFC 3168",
    ),
    Sysctl(
        name="net.ipv4.tcp_fastopen",
        doc="TCP Fast Open, as bits: 1 for clients, 2 for servers",
        default="1",
        source="RFC 7413",
    ),
    Sysctl(
        name="net.ipv4.tcp_low_latency",
        doc="no effect since Linux 4.14",
        default="0",
        host_wide=True,
    ),
    Sysctl(
        name="net.ipv4.tcp_fack",
        doc="no effect since Linux 4.15",
        default="0",
    ),
    Sysctl(
        name="fs.file-nr",
        doc="open files of the host: allocated, unused, most",
        host_wide=True,
        source="Documentation/admin-guide/sysctl/fs.rst",
    ),
    Sysctl(
        name="fs.nr_open",
        doc="most descriptors that the limit of a process (RLIMIT_NOFILE) may allow",
        default="1048576",
        host_wide=True,
        source="Documentation/admin-guide/sysctl/fs.rst",
    ),
    Sysctl(
        name="net.netfilter.nf_conntrack_count",
        doc="connections that the firewall keeps track of",
        source="Documentation/networking/nf_conntrack-sysctl.rst",
    ),
    Sysctl(
        name="net.netfilter.nf_conntrack_max",
        doc="most connections that the firewall keeps track of; packets of others are dropped",
        host_wide=True,
        source="Documentation/networking/nf_conntrack-sysctl.rst",
    ),
    Sysctl(
        name="net.netfilter.nf_conntrack_tcp_timeout_established",
        doc="how long the firewall remembers an idle connection",
        unit=Unit.SECONDS,
        default="432000",
        source="Documentation/networking/nf_conntrack-sysctl.rst",
    ),
)

SYSCTLS: Final = {one.name: one for one in _ALL}
"""Every sysctl by its name, in the order of ``explain``."""


def path_of(name: str) -> str:
    """Where a sysctl is found below /proc: ``sys/net/ipv4/tcp_sack``."""
    return f"sys/{name.replace('.', '/')}"
