"""What the kernel says about one TCP connection: ``struct tcp_info``, whole, to Linux 6.18.

The kernel returns as much of the structure as it knows, so the length of the reply says
which fields exist.  ``None`` means the kernel did not report the field; zero means zero.
Two members share a byte with padding of older kernels and read 0 there, not absent:
``delivery_rate_app_limited`` and ``fastopen_client_fail``.

Source: include/uapi/linux/tcp.h and tcp_get_info() in net/ipv4/tcp.c, Linux 6.18.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tcptool.catalog.registry import UNLIMITED, member
from tcptool.catalog.states import CA_STATES, FASTOPEN_FAILURES, TCP_STATES, TCPI_OPTIONS
from tcptool.units import Unit

GROUPS: Final = {
    "path": "Path",
    "sender": "Sending",
    "receiver": "Receiving",
    "loss": "Loss and recovery",
    "limits": "What held the sender back",
    "totals": "Totals since the connection began",
    "ecn": "Explicit congestion notification",
}

C = Unit.COUNT
B = Unit.BYTES
P = Unit.PACKETS
US = Unit.MICROSECONDS
MS = Unit.MILLISECONDS
RATE = Unit.BYTES_PER_SECOND

UNLIMITED_RATE: Final = (1 << 64) - 1
"""``~0ULL``, the kernel's "no limit" for 64-bit pacing rates."""

INFINITE_SSTHRESH: Final = 0x7FFFFFFF
"""TCP_INFINITE_SSTHRESH in include/net/tcp.h."""

NO_MIN_RTT: Final = 0xFFFFFFFF
"""``~0U``: the windowed minimum filter holds no sample yet."""

Count = int | None
Limit = int | str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpInfo:
    """One reading of ``TCP_INFO``.  Counters count since the connection began."""

    state: str | None = member(
        "tcpi_state",
        "uint8",
        C,
        "state of the connection",
        group="path",
        words=TCP_STATES,
        listening=True,
    )
    ca_state: str | None = member(
        "tcpi_ca_state",
        "uint8",
        C,
        "state of congestion avoidance and loss recovery",
        group="loss",
        words=CA_STATES,
    )
    retransmits: Count = member(
        "tcpi_retransmits",
        "uint8",
        C,
        "retransmission timeouts in a row, without progress",
        group="loss",
        pitfall="the current run, 0 again after progress; the total is total_retrans",
    )
    probes: Count = member(
        "tcpi_probes",
        "uint8",
        C,
        "unanswered zero-window or keepalive probes",
        group="loss",
        pitfall="stays 0 while the peer answers, window closed or not; see backoff and snd_wnd",
    )
    backoff: Count = member(
        "tcpi_backoff",
        "uint8",
        C,
        "how many times the retransmission or persist timer was doubled",
        group="loss",
    )
    options: tuple[str, ...] | None = member(
        "tcpi_options",
        "uint8",
        C,
        "what both ends negotiated in the handshake",
        group="path",
        flags=TCPI_OPTIONS,
    )
    snd_wscale: Count = member(
        "tcpi_snd_wscale",
        "uint8",
        C,
        "window scale of the peer: its windows are shifted left by this",
        group="path",
        bits=4,
    )
    rcv_wscale: Count = member(
        "tcpi_rcv_wscale",
        "uint8",
        C,
        "our window scale; fixed at the SYN",
        group="path",
        bits=4,
        pitfall="our window can never exceed 65 535 << rcv_wscale, whatever the buffer",
    )
    delivery_rate_app_limited: Count = member(
        "tcpi_delivery_rate_app_limited",
        "uint8",
        C,
        "1 when the last delivery rate was limited by the application, not by the path",
        group="limits",
        bits=1,
        since="4.9",
        pitfall="already 1 on a connection that never sent; reads 0, not absent, before 4.9",
    )
    fastopen_client_fail: str | None = member(
        "tcpi_fastopen_client_fail",
        "uint8",
        C,
        "why TCP Fast Open did not work for this client",
        group="path",
        bits=2,
        since="5.5",
        words=FASTOPEN_FAILURES,
        pitfall="reads none, not absent, before 5.5",
    )
    rto_us: Count = member(
        "tcpi_rto",
        "uint32",
        US,
        "retransmission timeout, including its back-off",
        group="path",
        pitfall="in steps of the kernel's tick (4 ms at HZ=250); at least 200 ms by default",
    )
    ato_us: Count = member(
        "tcpi_ato",
        "uint32",
        US,
        "how long an acknowledgement may be delayed (estimate)",
        group="receiver",
    )
    snd_mss_bytes: Count = member(
        "tcpi_snd_mss",
        "uint32",
        B,
        "payload bytes in a full segment that we send",
        group="path",
    )
    rcv_mss_bytes: Count = member(
        "tcpi_rcv_mss",
        "uint32",
        B,
        "estimate of the peer's segment size",
        group="path",
        pitfall="a guess of 536 until data arrives",
    )
    unacked_packets: Count = member(
        "tcpi_unacked",
        "uint32",
        P,
        "segments sent and not yet acknowledged",
        group="sender",
        pitfall="on a listener the kernel stores the accept queue here",
    )
    sacked_packets: Count = member(
        "tcpi_sacked",
        "uint32",
        P,
        "segments in flight that the peer has selectively acknowledged",
        group="loss",
        pitfall="on a listener the kernel stores the backlog here",
    )
    lost_packets: Count = member(
        "tcpi_lost",
        "uint32",
        P,
        "segments in flight that are taken as lost (estimate, now)",
        group="loss",
    )
    retrans_packets: Count = member(
        "tcpi_retrans",
        "uint32",
        P,
        "retransmitted segments in flight now",
        group="loss",
        pitfall="not a total; that is total_retrans",
    )
    fackets: Count = member(
        "tcpi_fackets",
        "uint32",
        C,
        "forward acknowledgements; unused",
        group="loss",
        pitfall="always 0 since Linux 4.15",
    )
    last_data_sent_ms: Count = member(
        "tcpi_last_data_sent",
        "uint32",
        MS,
        "time since data was last sent",
        group="sender",
        needs="data_segs_out",
    )
    last_ack_sent_ms: Count = member(
        "tcpi_last_ack_sent",
        "uint32",
        MS,
        "unused",
        group="receiver",
        pitfall='always 0: the kernel has "not remembered" it since 2.4',
    )
    last_data_recv_ms: Count = member(
        "tcpi_last_data_recv",
        "uint32",
        MS,
        "time since data last arrived",
        group="receiver",
        needs="data_segs_in",
    )
    last_ack_recv_ms: Count = member(
        "tcpi_last_ack_recv",
        "uint32",
        MS,
        "time since an acknowledgement last arrived",
        group="sender",
        needs="segs_in",
        pitfall="the best sign of life of the peer: it grows without end when the path is dead",
    )
    pmtu_bytes: Count = member(
        "tcpi_pmtu",
        "uint32",
        B,
        "path MTU: the largest IP packet to this peer",
        group="path",
    )
    rcv_ssthresh_bytes: Count = member(
        "tcpi_rcv_ssthresh",
        "uint32",
        B,
        "window that we are willing to grow to",
        group="receiver",
    )
    rtt_us: Count = member(
        "tcpi_rtt",
        "uint32",
        US,
        "smoothed round-trip time",
        group="path",
        absent=0,
        pitfall="contains delayed acknowledgements and every queue on the way; compare min_rtt",
    )
    rttvar_us: Count = member(
        "tcpi_rttvar",
        "uint32",
        US,
        "mean deviation of the round-trip time",
        group="path",
        pitfall="250 ms until the first sample",
    )
    snd_ssthresh_packets: Limit = member(
        "tcpi_snd_ssthresh",
        "uint32",
        P,
        "slow-start threshold",
        group="sender",
        unlimited=INFINITE_SSTHRESH,
        pitfall="unlimited means that no loss has ended slow start yet",
    )
    snd_cwnd_packets: Count = member(
        "tcpi_snd_cwnd",
        "uint32",
        P,
        "congestion window: segments that may be in flight",
        group="sender",
        pitfall="does not show the restart after idle before the next send",
    )
    advmss_bytes: Count = member(
        "tcpi_advmss",
        "uint32",
        B,
        "segment size that we advertised",
        group="path",
    )
    reordering_packets: Count = member(
        "tcpi_reordering",
        "uint32",
        P,
        "reordering that is tolerated before a segment counts as lost",
        group="loss",
        pitfall="3 means none was seen; up to net.ipv4.tcp_max_reordering",
    )
    rcv_rtt_us: Count = member(
        "tcpi_rcv_rtt",
        "uint32",
        US,
        "round-trip time as the receiver estimates it",
        group="receiver",
        absent=0,
        pitfall="measured once a window: inflated when the sender idles",
    )
    rcv_space_bytes: Count = member(
        "tcpi_rcv_space",
        "uint32",
        B,
        "bytes that the application consumed in one rcv_rtt",
        group="receiver",
        pitfall="input of the buffer autotuning, not free space and not the window",
    )
    total_retrans_packets: Count = member(
        "tcpi_total_retrans",
        "uint32",
        P,
        "segments retransmitted since the connection began",
        group="loss",
        pitfall="includes tail-loss probes and retransmitted SYNs",
    )
    pacing_rate_bytes_per_s: Limit = member(
        "tcpi_pacing_rate",
        "uint64",
        RATE,
        "rate at which the kernel would pace this connection",
        group="sender",
        since="3.15",
        unlimited=UNLIMITED_RATE,
        listening=True,
        pitfall="computed for cubic too, though nothing is paced unless pacing is on",
    )
    max_pacing_rate_bytes_per_s: Limit = member(
        "tcpi_max_pacing_rate",
        "uint64",
        RATE,
        "upper limit set with SO_MAX_PACING_RATE",
        group="sender",
        since="3.15",
        unlimited=UNLIMITED_RATE,
        listening=True,
    )
    acked_bytes: Count = member(
        "tcpi_bytes_acked",
        "uint64",
        B,
        "bytes that the peer has acknowledged",
        group="totals",
        since="4.1",
        pitfall="the side that connected counts its SYN as one byte, and each side its FIN",
    )
    received_bytes: Count = member(
        "tcpi_bytes_received",
        "uint64",
        B,
        "bytes received in order",
        group="totals",
        since="4.1",
        pitfall="counts the peer's FIN as one byte",
    )
    segs_out: Count = member(
        "tcpi_segs_out",
        "uint32",
        C,
        "segments sent, with and without data",
        group="totals",
        since="4.2",
        pitfall="wraps at 2^32",
    )
    segs_in: Count = member(
        "tcpi_segs_in",
        "uint32",
        C,
        "segments received, with and without data",
        group="totals",
        since="4.2",
        pitfall="wraps at 2^32",
    )
    notsent_bytes: Count = member(
        "tcpi_notsent_bytes",
        "uint32",
        B,
        "bytes in the send queue that were never sent",
        group="sender",
        since="4.6",
    )
    min_rtt_us: Count = member(
        "tcpi_min_rtt",
        "uint32",
        US,
        "smallest round-trip time seen lately",
        group="path",
        since="4.6",
        absent=NO_MIN_RTT,
        pitfall="over a window of net.ipv4.tcp_min_rtt_wlen (300 s); the path without queues",
    )
    data_segs_in: Count = member(
        "tcpi_data_segs_in",
        "uint32",
        C,
        "segments with data received",
        group="totals",
        since="4.6",
        pitfall="wraps at 2^32",
    )
    data_segs_out: Count = member(
        "tcpi_data_segs_out",
        "uint32",
        C,
        "segments with data sent, retransmissions included",
        group="totals",
        since="4.6",
        pitfall="wraps at 2^32",
    )
    delivery_rate_bytes_per_s: Count = member(
        "tcpi_delivery_rate",
        "uint64",
        RATE,
        "rate at which data was last delivered to the peer",
        group="sender",
        since="4.9",
        absent=0,
        pitfall="one sample; says nothing about the path while app_limited is 1",
    )
    busy_time_us: Count = member(
        "tcpi_busy_time",
        "uint64",
        US,
        "time with data to send or in flight",
        group="limits",
        since="4.10",
        pitfall="a total that includes rwnd_limited and sndbuf_limited; in steps of the tick",
    )
    rwnd_limited_us: Count = member(
        "tcpi_rwnd_limited",
        "uint64",
        US,
        "time held back by the peer's receive window",
        group="limits",
        since="4.10",
        pitfall="bbr shows only a third to a half of what cubic shows",
    )
    sndbuf_limited_us: Count = member(
        "tcpi_sndbuf_limited",
        "uint64",
        US,
        "time held back by our send buffer",
        group="limits",
        since="4.10",
        pitfall="stays 0 for blocking writers; then look at the send queue against SO_SNDBUF",
    )
    delivered_packets: Count = member(
        "tcpi_delivered",
        "uint32",
        P,
        "segments delivered to the peer, the SYN included",
        group="totals",
        since="4.18",
    )
    delivered_ce_packets: Count = member(
        "tcpi_delivered_ce",
        "uint32",
        P,
        "delivered segments that were marked congested (ECN CE)",
        group="ecn",
        since="4.18",
    )
    sent_bytes: Count = member(
        "tcpi_bytes_sent",
        "uint64",
        B,
        "payload bytes sent, retransmissions included",
        group="totals",
        since="4.19",
    )
    retrans_bytes: Count = member(
        "tcpi_bytes_retrans",
        "uint64",
        B,
        "payload bytes retransmitted",
        group="loss",
        since="4.19",
        pitfall="the loss rate is retrans_bytes / sent_bytes",
    )
    dsack_dups: Count = member(
        "tcpi_dsack_dups",
        "uint32",
        C,
        "duplicates that the peer reported: needless retransmissions",
        group="loss",
        since="4.19",
    )
    reord_seen: Count = member(
        "tcpi_reord_seen",
        "uint32",
        C,
        "reordering events seen",
        group="loss",
        since="4.19",
    )
    rcv_ooopack_packets: Count = member(
        "tcpi_rcv_ooopack",
        "uint32",
        P,
        "segments that arrived out of order",
        group="receiver",
        since="5.4",
        pitfall="the receiver's view of loss and reordering",
    )
    snd_wnd_bytes: Count = member(
        "tcpi_snd_wnd",
        "uint32",
        B,
        "the peer's receive window, scaled",
        group="sender",
        since="5.4",
        pitfall="0 is a closed window: the peer's application does not read",
    )
    rcv_wnd_bytes: Count = member(
        "tcpi_rcv_wnd",
        "uint32",
        B,
        "our receive window",
        group="receiver",
        since="6.2",
        pitfall="before the cap of 65 535 << rcv_wscale that the peer really sees",
    )
    rehash: Count = member(
        "tcpi_rehash",
        "uint32",
        C,
        "times the flow was moved to another path (new hash), as after a timeout",
        group="loss",
        since="6.2",
    )
    total_rto: Count = member(
        "tcpi_total_rto",
        "uint16",
        C,
        "retransmission timeouts since the connection began",
        group="loss",
        since="6.7",
    )
    total_rto_recoveries: Count = member(
        "tcpi_total_rto_recoveries",
        "uint16",
        C,
        "recoveries from a timeout that ended",
        group="loss",
        since="6.7",
    )
    total_rto_time_ms: Count = member(
        "tcpi_total_rto_time",
        "uint32",
        MS,
        "time spent recovering from timeouts",
        group="loss",
        since="6.7",
    )
    received_ce_packets: Count = member(
        "tcpi_received_ce",
        "uint32",
        P,
        "received segments that were marked congested (ECN CE)",
        group="ecn",
        since="6.18",
    )
    delivered_e1_bytes: Count = member(
        "tcpi_delivered_e1_bytes",
        "uint32",
        B,
        "bytes delivered with ECT(1), as the peer counts them",
        group="ecn",
        since="6.18",
        pitfall="only with AccECN; 0 otherwise",
    )
    delivered_e0_bytes: Count = member(
        "tcpi_delivered_e0_bytes",
        "uint32",
        B,
        "bytes delivered with ECT(0), as the peer counts them",
        group="ecn",
        since="6.18",
        pitfall="only with AccECN; 0 otherwise",
    )
    delivered_ce_bytes: Count = member(
        "tcpi_delivered_ce_bytes",
        "uint32",
        B,
        "bytes delivered with CE, as the peer counts them",
        group="ecn",
        since="6.18",
        pitfall="only with AccECN; 0 otherwise",
    )
    received_e1_bytes: Count = member(
        "tcpi_received_e1_bytes",
        "uint32",
        B,
        "bytes received with ECT(1)",
        group="ecn",
        since="6.18",
    )
    received_e0_bytes: Count = member(
        "tcpi_received_e0_bytes",
        "uint32",
        B,
        "bytes received with ECT(0)",
        group="ecn",
        since="6.18",
    )
    received_ce_bytes: Count = member(
        "tcpi_received_ce_bytes",
        "uint32",
        B,
        "bytes received with CE",
        group="ecn",
        since="6.18",
    )
    accecn_raw: str | None = member(
        "tcpi_accecn",
        "uint32",
        C,
        "state of Accurate ECN: four bytes as the kernel sent them",
        group="ecn",
        since="6.18",
        hexadecimal=True,
        pitfall="6.18 holds two 16-bit numbers, 7.0 re-encoded the same bytes as bit fields",
    )


SIZE_BYTES: Final = 280
"""``sizeof(struct tcp_info)`` in Linux 6.18 and 7.0."""

__all__ = ["GROUPS", "SIZE_BYTES", "UNLIMITED", "TcpInfo"]
