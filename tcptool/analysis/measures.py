"""Dense samples of one socket as numbers that verdicts can be drawn from.

Formulas: facts on the chronographs from net/ipv4/tcp.c (tcp_get_info_chrono_stats); what is in
flight is the kernel's tcp_packets_in_flight (include/net/tcp.h), Linux 6.18.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Final

from tcptool.catalog.derived import effective_rcv_wnd_bytes, share_percent
from tcptool.catalog.tcp_info import TcpInfo
from tcptool.model.observation import Measures, Reading
from tcptool.model.sock import Socket

_WRAP_32: Final = 1 << 32
_WRAP_16: Final = 1 << 16
_NEAR: Final = 0.1
_COUNTERS_64: Final = ("acked_bytes", "received_bytes", "sent_bytes")


def measure(readings: Sequence[Reading]) -> Measures:
    """What the readings come to; those before a reset of the counters do not count."""
    known = since_reset(readings)
    infos = [one.socket.tcp_info or TcpInfo() for one in known]
    if not infos:
        return Measures(samples=0, duration_s=0, reset=False)
    duration_s = known[-1].at_s - known[0].at_s
    change = _Changes(infos[0], infos[-1])
    acked, received = change.of("acked_bytes"), change.of("received_bytes")
    sent, retrans = change.of("sent_bytes"), change.of("retrans_bytes")
    segments = change.of("data_segs_out")
    busy, delivered = change.of("busy_time_us"), change.of("delivered_packets")
    received_rate = _per_second(received, duration_s)
    held = [_is_held(info) for info in infos]
    rcv_wnd = _median(_offered(i) for i in infos)
    rcv_rtt = _median(_round_trip(i) for i in infos)
    return Measures(
        samples=len(infos),
        duration_s=duration_s,
        reset=len(known) < sum(one.socket.tcp_info is not None for one in readings),
        mss_bytes=infos[-1].snd_mss_bytes,
        rtt_us=_median(i.rtt_us for i in infos),
        low_rtt_us=_tenth(i.rtt_us for i in infos),
        min_rtt_us=infos[-1].min_rtt_us,
        acked_bytes=acked,
        received_bytes=received,
        sent_bytes=sent,
        retrans_bytes=retrans,
        sent_segs=segments,
        received_segs=change.of("data_segs_in"),
        segment_bytes=sent / segments if sent and segments else None,
        goodput_bytes_per_s=_per_second(acked, duration_s),
        received_bytes_per_s=received_rate,
        pacing_bytes_per_s=_median(_finite(i.pacing_rate_bytes_per_s) for i in infos),
        delivery_steady_percent=_steady(i.delivery_rate_bytes_per_s for i in infos),
        retrans_packets=change.of("total_retrans_packets"),
        retrans_percent=share_percent(retrans, sent),
        timeouts=change.of("total_rto"),
        spurious=change.of("dsack_dups"),
        reorderings=change.of("reord_seen"),
        ooo_packets=change.of("rcv_ooopack_packets"),
        ce_percent=share_percent(change.of("delivered_ce_packets"), delivered),
        in_loss_percent=_share(None if i.ca_state is None else i.ca_state == "loss" for i in infos),
        busy_percent=None
        if busy is None or not duration_s
        else min(busy / duration_s / 1e4, 100.0),
        rwnd_limited_percent=_part(change.of("rwnd_limited_us"), busy),
        sndbuf_limited_percent=_part(change.of("sndbuf_limited_us"), busy),
        app_limited_percent=_share(
            None if i.delivery_rate_app_limited is None else bool(i.delivery_rate_app_limited)
            for i in infos
        ),
        held_percent=_share(held),
        held_empty_percent=_share(
            i.unacked_packets == 0 for i, one in zip(infos, held, strict=True) if one
        ),
        held_ms=_episode_ms(known, held),
        dry_percent=_share(
            None if i.notsent_bytes is None else i.notsent_bytes < (i.snd_mss_bytes or 1)
            for i in infos
        ),
        in_flight_packets=_median(in_flight(i) for i in infos),
        cwnd_used_percent=_median(share_percent(in_flight(i), i.snd_cwnd_packets) for i in infos),
        cwnd_packets=_median(i.snd_cwnd_packets for i in infos),
        cwnd_growth_percent=share_percent(infos[-1].snd_cwnd_packets, infos[0].snd_cwnd_packets),
        notsent_bytes=_median(i.notsent_bytes for i in infos),
        snd_wnd_bytes=_median(i.snd_wnd_bytes for i in infos),
        min_snd_wnd_bytes=min(
            (i.snd_wnd_bytes for i in infos if i.snd_wnd_bytes is not None), default=None
        ),
        snd_wnd_used_percent=_median(
            share_percent(_in_flight_bytes(i), i.snd_wnd_bytes) for i in infos
        ),
        snd_wnd_spread_percent=_spread(i.snd_wnd_bytes for i in infos),
        snd_wnd_standing_percent=_standing(i.snd_wnd_bytes for i in infos),
        snd_wnd_growth_percent=share_percent(infos[-1].snd_wnd_bytes, infos[0].snd_wnd_bytes),
        rcv_rtt_us=rcv_rtt,
        rcv_wnd_bytes=rcv_wnd,
        rcv_wnd_open_percent=_median(
            share_percent(i.rcv_wnd_bytes, i.rcv_ssthresh_bytes) for i in infos
        ),
        rcv_wnd_used_percent=_window_used(received_rate, rcv_rtt, rcv_wnd),
        **_memory([one.socket for one in known]),
    )


def since_reset(readings: Sequence[Reading]) -> Sequence[Reading]:
    """The readings with a tcp_info after the last time that a counter went back.

    connect() on a descriptor that was connected before sets them to 0: tcp_disconnect().
    """
    known = [one for one in readings if one.socket.tcp_info is not None]
    first = 0
    for place, (before, after) in enumerate(pairwise(known), 1):
        if any(_went_back(before.socket, after.socket, name) for name in _COUNTERS_64):
            first = place
    return known[first:]


def _went_back(before: Socket, after: Socket, name: str) -> bool:
    earlier, later = getattr(before.tcp_info, name), getattr(after.tcp_info, name)
    return earlier is not None and later is not None and later < earlier


def in_flight(info: TcpInfo) -> int | None:
    """Packets that the path or the peer has: tcp_packets_in_flight()."""
    parts = (info.unacked_packets, info.sacked_packets, info.lost_packets, info.retrans_packets)
    unacked, sacked, lost, retrans = parts
    if unacked is None or sacked is None or lost is None or retrans is None:
        return None
    return max(unacked - sacked - lost + retrans, 0)


def _in_flight_bytes(info: TcpInfo) -> int | None:
    packets = in_flight(info)
    return None if packets is None or info.snd_mss_bytes is None else packets * info.snd_mss_bytes


def _is_held(info: TcpInfo) -> bool | None:
    """Whether less than a segment waits although window and cwnd have room for it."""
    packets, mss, unsent = in_flight(info), info.snd_mss_bytes, info.notsent_bytes
    if packets is None or mss is None or unsent is None or info.snd_cwnd_packets is None:
        return None
    window = info.snd_wnd_bytes  # absent on older kernels: then it counts as open
    fits = window is None or unsent <= window - packets * mss
    return 0 < unsent < mss and packets < info.snd_cwnd_packets and fits


def _episode_ms(readings: Sequence[Reading], held: Sequence[bool | None]) -> float | None:
    """How long a tail was held back on average.

    A segment that leaves ends an episode, also where the next tail is held by the next sample.
    """
    sent = [(one.socket.tcp_info or TcpInfo()).data_segs_out for one in readings]
    episodes = len({segs for segs, is_held in zip(sent, held, strict=True) if is_held})
    if not episodes or len(readings) < 2:
        return None
    pace_s = (readings[-1].at_s - readings[0].at_s) / (len(readings) - 1)
    return sum(map(bool, held)) * pace_s * 1000 / episodes


class _Changes:
    """How much counters grew from the first reading to the last."""

    def __init__(self, first: TcpInfo, last: TcpInfo) -> None:
        self._first, self._last = first, last

    def of(self, name: str) -> int | None:
        earlier, later = getattr(self._first, name), getattr(self._last, name)
        if earlier is None or later is None:
            return None
        change: int = later - earlier
        if change >= 0:
            return change
        if name.endswith("_us"):
            return 0  # the chronographs are read without a lock, and may seem to go back a tick
        return change % (_WRAP_16 if name == "total_rto" else _WRAP_32)


def _memory(sockets: Sequence[Socket]) -> dict[str, Any]:
    known = [sock.memory for sock in sockets if sock.memory is not None]
    sizes = {one.sndbuf_bytes for one in known}

    def median(name: str) -> float | None:
        return _median(getattr(one, name) for one in known)

    drops = [one.drops for one in known if one.drops is not None]
    return {
        "sndbuf_bytes": median("sndbuf_bytes"),
        "sndbuf_moves": len(sizes) > 1 if known else None,
        "wmem_queued_bytes": median("wmem_queued_bytes"),
        "wmem_alloc_bytes": median("wmem_alloc_bytes"),
        "sndbuf_used_percent": _median(
            share_percent(one.wmem_queued_bytes, one.sndbuf_bytes) for one in known
        ),
        "receive_queue_bytes": _median(sock.receive_queue_bytes for sock in sockets),
        "receive_queue_moves": len({sock.receive_queue_bytes for sock in sockets}) > 1,
        "rcvbuf_bytes": median("rcvbuf_bytes"),
        "rcvbuf_used_percent": _median(
            share_percent(one.rmem_alloc_bytes, one.rcvbuf_bytes) for one in known
        ),
        "dropped": (drops[-1] - drops[0]) % _WRAP_32 if drops else None,
    }


def _offered(info: TcpInfo) -> int | None:
    """The window as the peer sees it: the scale of the handshake caps it."""
    capped = effective_rcv_wnd_bytes(info.rcv_wnd_bytes, info.rcv_wscale)
    return info.rcv_wnd_bytes if capped is None else capped


def _round_trip(info: TcpInfo) -> int | None:
    """The receiver's round trip; without timestamps it is the time that a window takes to come."""
    return info.rcv_rtt_us if "timestamps" in (info.options or ()) else None


def _window_used(
    rate: float | None, rcv_rtt_us: float | None, window: float | None
) -> float | None:
    """How much of the window we offered came in each round trip."""
    if rate is None or not rcv_rtt_us or not window:
        return None
    return 100 * rate * rcv_rtt_us / 1e6 / window


def _part(part: int | None, whole: int | None) -> float | None:
    """A chronograph's share; lock-free readers may see a little more than the whole."""
    percent = share_percent(part, whole)
    return None if percent is None else min(percent, 100.0)


def _per_second(amount: int | None, duration_s: float) -> float | None:
    return None if amount is None or duration_s <= 0 else amount / duration_s


def _finite(limit: object) -> int | None:
    """A rate that is a number; "unlimited" is none."""
    return limit if isinstance(limit, int) else None


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _share(values: Iterable[bool | None]) -> float | None:
    known = [value for value in values if value is not None]
    return 100 * sum(known) / len(known) if known else None


def _tenth(values: Iterable[int | None]) -> int | None:
    known = sorted(value for value in values if value is not None)
    return known[len(known) // 10] if known else None


def _steady(values: Iterable[int | None]) -> float | None:
    """Share of the values that are near their median."""
    known = [value for value in values if value is not None]
    middle = _median(known)
    return _share(abs(value - middle) <= _NEAR * middle for value in known) if middle else None


def _standing(values: Iterable[int | None]) -> float | None:
    """Share of the values that are their median, unless that is 0."""
    known = [value for value in values if value is not None]
    middle = _median(known)
    return _share(value == middle for value in known) if middle else None


def _spread(values: Iterable[int | None]) -> float | None:
    """Standard deviation over the mean."""
    known = [value for value in values if value is not None]
    mean = statistics.fmean(known) if known else 0
    return 100 * statistics.pstdev(known) / mean if mean else None
