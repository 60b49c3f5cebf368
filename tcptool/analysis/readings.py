"""What one reading, or two of the same socket, say beyond the numbers in them."""

from __future__ import annotations

from tcptool.catalog import derived
from tcptool.catalog.tcp_info import TcpInfo
from tcptool.model.inspection import Derived, Rates

_WRAP_32 = 1 << 32


def derive(info: TcpInfo | None) -> Derived:
    """The values that follow from one reading."""
    known = info or TcpInfo()
    return Derived(
        retrans_percent=derived.retrans_percent(known.sent_bytes, known.retrans_bytes),
        limited_by=derived.limited_by(
            known.busy_time_us,
            known.rwnd_limited_us,
            known.sndbuf_limited_us,
            known.delivery_rate_app_limited,
        ),
        rwnd_limited_percent=derived.share_percent(known.rwnd_limited_us, known.busy_time_us),
        sndbuf_limited_percent=derived.share_percent(known.sndbuf_limited_us, known.busy_time_us),
        queueing_us=derived.queueing_us(known.rtt_us, known.min_rtt_us),
        effective_rcv_wnd_bytes=derived.effective_rcv_wnd_bytes(
            known.rcv_wnd_bytes, known.rcv_wscale
        ),
        cwnd_rate_bytes_per_s=derived.cwnd_rate_bytes_per_s(
            known.snd_cwnd_packets, known.snd_mss_bytes, known.rtt_us
        ),
        window_rate_bytes_per_s=derived.window_rate_bytes_per_s(known.snd_wnd_bytes, known.rtt_us),
    )


def rates(before: TcpInfo | None, after: TcpInfo | None, interval_s: float) -> Rates:
    """Change between two readings.  Without an earlier one, or time between them, nothing."""
    if before is None or after is None or interval_s <= 0:
        return Rates()

    def grown(earlier: int | None, later: int | None) -> int | None:
        if earlier is None or later is None:
            return None
        return later - earlier if later >= earlier else None

    # tcp_disconnect() sets all counters to 0.  Those of 64 bits show it; the others look wrapped.
    wiped = any(
        earlier is not None and later is not None and later < earlier
        for earlier, later in (
            (before.sent_bytes, after.sent_bytes),
            (before.acked_bytes, after.acked_bytes),
            (before.received_bytes, after.received_bytes),
        )
    )

    def wrapped(earlier: int | None, later: int | None) -> int | None:
        if earlier is None or later is None or wiped:
            return None
        return (later - earlier) % _WRAP_32

    def per_second(change: int | None) -> float | None:
        return None if change is None else change / interval_s

    busy = grown(before.busy_time_us, after.busy_time_us)
    return Rates(
        interval_s=interval_s,
        sent_bytes_per_s=per_second(grown(before.sent_bytes, after.sent_bytes)),
        acked_bytes_per_s=per_second(grown(before.acked_bytes, after.acked_bytes)),
        received_bytes_per_s=per_second(grown(before.received_bytes, after.received_bytes)),
        segs_out=wrapped(before.segs_out, after.segs_out),
        segs_in=wrapped(before.segs_in, after.segs_in),
        retrans_packets=wrapped(before.total_retrans_packets, after.total_retrans_packets),
        busy_percent=None if busy is None else min(busy / (interval_s * 1e6) * 100, 100.0),
        rwnd_limited_percent=derived.share_percent(
            grown(before.rwnd_limited_us, after.rwnd_limited_us), busy
        ),
        sndbuf_limited_percent=derived.share_percent(
            grown(before.sndbuf_limited_us, after.sndbuf_limited_us), busy
        ),
    )
