"""What `doctor` reads of a host, as numbers: the input of its checks.

Nothing here is judged, and nothing is shown as it is.  A source that could not be read is named
in ``lacks`` of the state, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from tcptool.catalog.route import TC_H_ROOT


class Softnet(NamedTuple):
    """One CPU's line of /proc/net/softnet_stat.  32-bit counters: they wrap."""

    cpu: int
    processed: int
    dropped: int
    squeezed: int


class CpuTicks(NamedTuple):
    """What one CPU spent its time on, in clock ticks since boot."""

    cpu: int
    total: int
    softirq: int
    steal: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A network device and its counters since it was made.

    ``duplex`` and ``receive_queues`` are of /sys, and absent where it shows another network
    namespace, or a device that does not tell.
    """

    name: str
    index: int
    loopback: bool
    up: bool
    address: str
    mtu_bytes: int | None
    carrier_changes: int | None
    counters: Mapping[str, int]
    duplex: str | None = None
    receive_queues: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Qdisc:
    """A queueing discipline of the device with index ``link``.

    ``parent`` is the class that it hangs from, whose upper 16 bits are those of the ``handle`` of
    the discipline above.
    """

    link: int
    kind: str
    handle: int
    parent: int
    drops: int | None

    @property
    def root(self) -> bool:
        """Whether it is the device's own, with none above."""
        return self.parent == TC_H_ROOT


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What stood there at one moment.  Empty where a source could not be read."""

    counters: Mapping[str, int]
    sockstat: Mapping[str, int]
    softnet: tuple[Softnet, ...]
    cpus: tuple[CpuTicks, ...]
    links: tuple[Link, ...]
    qdiscs: tuple[Qdisc, ...]


class HostSocket(NamedTuple):
    """What the checks need of a socket.  The fields are columns of `list`, by their names."""

    state: str
    local_address: str
    local_port: int
    peer_address: str
    peer_port: int
    inode: int | None
    cookie: str | None
    timer: str
    accept_queue: int | None
    backlog: int | None
    congestion: str | None
    rtt_us: int | None
    min_rtt_us: int | None
    snd_cwnd_packets: int | None
    snd_ssthresh_packets: float | None
    snd_mss_bytes: int | None
    pmtu_bytes: int | None
    sent_bytes: int | None
    retrans_bytes: int | None
    acked_bytes: int | None
    total_retrans_packets: int | None
    delivery_rate_bytes_per_s: int | None
    notsent_bytes: int | None
    rcv_space_bytes: int | None
    last_data_sent_ms: int | None
    last_data_recv_ms: int | None
    last_ack_recv_ms: int | None
    busy_time_us: int | None
    snd_wnd_bytes: int | None
    limited_by: str | None
    rmem_alloc_bytes: int | None
    rcvbuf_bytes: int | None
    wmem_queued_bytes: int | None
    sndbuf_bytes: int | None
    drops: int | None


class OpenFiles(NamedTuple):
    """Descriptors of a process and its limits; None is no limit."""

    pid: int
    name: str
    open: int
    soft_limit: int | None
    hard_limit: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HostState:
    """Two readings, and what changes slowly, read with the second.

    ``drops_before`` is what each listener, by its cookie, had dropped at the first reading.
    ``holders`` names who holds the socket with an inode, as ``PID:FD`` and the process's name.
    ``default_links`` are the devices of default routes.  ``netns`` is the network namespace
    as the user named it, or None for the caller's own.
    """

    elapsed_s: float
    before: Reading
    after: Reading
    sysctls: Mapping[str, str]
    drops_before: Mapping[str, int]
    sockets: tuple[HostSocket, ...]
    holders: Mapping[int, tuple[str, str]]
    files: tuple[OpenFiles, ...]
    processes: frozenset[str]
    default_links: frozenset[str]
    page_bytes: int
    memory_bytes: int | None
    netns: str | None
    lacks: Mapping[str, str]
