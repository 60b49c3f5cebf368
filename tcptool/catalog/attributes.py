"""The structures that sock_diag attributes carry, beside ``struct tcp_info``.

Sources: include/uapi/linux/inet_diag.h, include/uapi/linux/sock_diag.h and
include/uapi/linux/mptcp.h (mptcp_info), Linux 6.18.
"""

from __future__ import annotations

from dataclasses import dataclass

from tcptool.catalog.registry import member
from tcptool.units import Unit

C = Unit.COUNT
Count = int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BbrInfo:
    """``struct tcp_bbr_info``.  The 64-bit bandwidth comes in two halves."""

    bw_lo: Count = member(
        "bbr_bw_lo", "uint32", C, "estimated bandwidth, low half (bytes per second)"
    )
    bw_hi: Count = member("bbr_bw_hi", "uint32", C, "estimated bandwidth, high half")
    min_rtt_us: Count = member(
        "bbr_min_rtt",
        "uint32",
        Unit.MICROSECONDS,
        "bbr's own smallest round-trip time",
        absent=0xFFFFFFFF,
    )
    pacing_gain: Count = member("bbr_pacing_gain", "uint32", C, "pacing gain, in 1/256")
    cwnd_gain: Count = member("bbr_cwnd_gain", "uint32", C, "window gain, in 1/256")


@dataclass(frozen=True, slots=True, kw_only=True)
class VegasInfo:
    """``struct tcpvegas_info``; vegas, veno, yeah, nv and illinois share it."""

    enabled: Count = member("tcpv_enabled", "uint32", C, "1 while the delay-based part is active")
    rttcnt: Count = member("tcpv_rttcnt", "uint32", C, "round-trip samples in this round")
    rtt_us: Count = member("tcpv_rtt", "uint32", Unit.MICROSECONDS, "round-trip time of this round")
    minrtt_us: Count = member(
        "tcpv_minrtt", "uint32", Unit.MICROSECONDS, "smallest in this round", absent=0x7FFFFFFF
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DctcpInfo:
    """``struct tcp_dctcp_info``."""

    enabled: Count = member(
        "dctcp_enabled", "uint16", C, "1 when ECN was negotiated and dctcp is active"
    )
    ce_state: Count = member("dctcp_ce_state", "uint16", C, "1 while arriving segments carry CE")
    alpha: Count = member("dctcp_alpha", "uint32", C, "fraction of marked bytes, in 1/1024")
    ab_ecn: Count = member("dctcp_ab_ecn", "uint32", C, "marked bytes in this round")
    ab_tot: Count = member("dctcp_ab_tot", "uint32", C, "acknowledged bytes in this round")


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketMemory:
    """``SO_MEMINFO``: the memory that a socket holds."""

    rmem_alloc_bytes: Count = member(
        "SK_MEMINFO_RMEM_ALLOC",
        "uint32",
        Unit.BYTES,
        "memory held by received data, bookkeeping included",
    )
    rcvbuf_bytes: Count = member(
        "SK_MEMINFO_RCVBUF", "uint32", Unit.BYTES, "SO_RCVBUF: limit of rmem_alloc"
    )
    wmem_alloc_bytes: Count = member(
        "SK_MEMINFO_WMEM_ALLOC",
        "uint32",
        Unit.BYTES,
        "memory of data handed to the device and not yet freed",
    )
    sndbuf_bytes: Count = member(
        "SK_MEMINFO_SNDBUF",
        "uint32",
        Unit.BYTES,
        "SO_SNDBUF: limit of wmem_queued",
        pitfall="the queue may exceed it: 1.03 to 3.9 times was measured",
    )
    fwd_alloc_bytes: Count = member(
        "SK_MEMINFO_FWD_ALLOC",
        "uint32",
        Unit.BYTES,
        "memory reserved for this socket, free for its next data",
    )
    wmem_queued_bytes: Count = member(
        "SK_MEMINFO_WMEM_QUEUED",
        "uint32",
        Unit.BYTES,
        "memory held by the send queue, bookkeeping included",
    )
    optmem_bytes: Count = member(
        "SK_MEMINFO_OPTMEM", "uint32", Unit.BYTES, "memory of options and control messages"
    )
    backlog_bytes: Count = member(
        "SK_MEMINFO_BACKLOG",
        "uint32",
        Unit.BYTES,
        "segments waiting while a process holds the socket's lock",
    )
    drops: Count = member(
        "SK_MEMINFO_DROPS",
        "uint32",
        C,
        "segments dropped by this socket; on a listener, its own queue overflows",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MptcpInfo:
    """``struct mptcp_info`` of an MPTCP connection (its subflows are TCP sockets of their own)."""

    subflows: Count = member("mptcpi_subflows", "uint8", C, "additional subflows in use")
    add_addr_signal: Count = member(
        "mptcpi_add_addr_signal", "uint8", C, "addresses announced to the peer"
    )
    add_addr_accepted: Count = member(
        "mptcpi_add_addr_accepted", "uint8", C, "addresses accepted from the peer"
    )
    subflows_max: Count = member("mptcpi_subflows_max", "uint8", C, "most additional subflows")
    add_addr_signal_max: Count = member(
        "mptcpi_add_addr_signal_max", "uint8", C, "most addresses to announce"
    )
    add_addr_accepted_max: Count = member(
        "mptcpi_add_addr_accepted_max", "uint8", C, "most addresses to accept"
    )
    flags: Count = member(
        "mptcpi_flags", "uint32", C, "1: fell back to TCP; 2: the peer's key was received"
    )
    token: Count = member(
        "mptcpi_token", "uint32", C, "the local token that names this connection to the peer"
    )
    write_seq: Count = member(
        "mptcpi_write_seq", "uint64", C, "next data sequence number to be written"
    )
    snd_una: Count = member(
        "mptcpi_snd_una", "uint64", C, "first data sequence number not acknowledged"
    )
    rcv_nxt: Count = member("mptcpi_rcv_nxt", "uint64", C, "next data sequence number expected")
    local_addr_used: Count = member("mptcpi_local_addr_used", "uint8", C, "local addresses in use")
    local_addr_max: Count = member("mptcpi_local_addr_max", "uint8", C, "most local addresses")
    csum_enabled: Count = member("mptcpi_csum_enabled", "uint8", C, "1 when data checksums are on")
    retransmits: Count = member(
        "mptcpi_retransmits", "uint32", C, "retransmissions at the MPTCP level"
    )
    retrans_bytes: Count = member(
        "mptcpi_bytes_retrans", "uint64", Unit.BYTES, "bytes retransmitted at that level"
    )
    sent_bytes: Count = member(
        "mptcpi_bytes_sent", "uint64", Unit.BYTES, "bytes sent over all subflows"
    )
    received_bytes: Count = member(
        "mptcpi_bytes_received", "uint64", Unit.BYTES, "bytes received over all subflows"
    )
    acked_bytes: Count = member(
        "mptcpi_bytes_acked", "uint64", Unit.BYTES, "bytes acknowledged by the peer"
    )
    subflows_total: Count = member(
        "mptcpi_subflows_total", "uint8", C, "subflows, the first one included"
    )
    endp_laminar_max: Count = member(
        "mptcpi_endp_laminar_max", "uint8", C, "most laminar endpoints"
    )
    endp_fullmesh_max: Count = member(
        "mptcpi_endp_fullmesh_max", "uint8", C, "most fullmesh endpoints"
    )
    reserved: Count = member("reserved", "uint8", C, "unused")
    last_data_sent_ms: Count = member(
        "mptcpi_last_data_sent", "uint32", Unit.MILLISECONDS, "time since data was last sent"
    )
    last_data_recv_ms: Count = member(
        "mptcpi_last_data_recv", "uint32", Unit.MILLISECONDS, "time since data last arrived"
    )
    last_ack_recv_ms: Count = member(
        "mptcpi_last_ack_recv", "uint32", Unit.MILLISECONDS, "time since an acknowledgement arrived"
    )
