"""One socket as sock_diag describes it, and the parts it is made of.

``None`` means that the kernel did not report the value.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tcptool.catalog.attributes import BbrInfo, DctcpInfo, MptcpInfo, SocketMemory, VegasInfo
from tcptool.catalog.tcp_info import TcpInfo


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One end of a connection.  A v4-mapped IPv6 address is written as IPv4."""

    address: str
    port: int

    def __str__(self) -> str:
        shown = f"[{self.address}]" if ":" in self.address else self.address
        return f"{shown}:{self.port or '*'}"


@dataclass(frozen=True, slots=True)
class AccEcn:
    """State of Accurate ECN, from the last four bytes of ``tcp_info``."""

    fail_mode: int
    opt_seen: int
    ecn_mode: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Congestion:
    """The congestion control algorithm and what it reports about itself."""

    name: str | None = None
    bbr: BbrInfo | None = None
    bbr_bandwidth_bytes_per_s: int | None = None
    dctcp: DctcpInfo | None = None
    vegas: VegasInfo | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagFlags:
    """The bits of the SOCKOPT attribute: what sock_diag tells of options without a descriptor."""

    recverr: bool
    is_icsk: bool
    freebind: bool
    hdrincl: bool
    mc_loop: bool
    transparent: bool
    mc_all: bool
    nodefrag: bool
    bind_address_no_port: bool
    recverr_rfc4884: bool
    defer_connect: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Socket:
    """One socket.

    ``receive_queue_bytes`` and ``send_queue_bytes`` are absent on a listener, which has an
    ``accept_queue`` and a ``backlog`` instead.  ``cookie`` is hexadecimal, as ``ss -e`` prints it.
    """

    protocol: str
    family: str
    state: str
    local: Endpoint
    peer: Endpoint
    cookie: str | None
    inode: int | None
    uid: int | None
    ifindex: int
    timer: str
    timer_expires_ms: int | None
    timer_retransmits: int
    receive_queue_bytes: int | None
    send_queue_bytes: int | None
    accept_queue: int | None
    backlog: int | None
    shutdown: tuple[str, ...] | None = None
    cgroup_id: int | None = None
    mark: int | None = None
    tos: int | None = None
    tclass: int | None = None
    class_id: int | None = None
    v6only: bool | None = None
    ulp: str | None = None
    flags: DiagFlags | None = None
    memory: SocketMemory | None = None
    congestion: Congestion | None = None
    tcp_info: TcpInfo | None = None
    tcp_info_bytes: int | None = None
    tcp_info_unknown: str | None = None
    mptcp_info: MptcpInfo | None = None
    # The kernel's own key, for an exact query later.
    packed_id: bytes = field(default=b"", metadata={"internal": True})
