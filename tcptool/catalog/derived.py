"""Values that tcptool works out from what the kernel reports.

Every function takes the named readings, any of which may be None, and returns None when the
answer cannot be known.  The docstring's first line is what ``tcptool explain`` prints.
"""

from __future__ import annotations

from typing import Final

from tcptool.catalog.states import LISTEN

LIMIT_SHARE: Final = 0.3
"""Share of the busy time from which a limit is named: bbr shows a receiver-bound sender as
30-50 % (measured on Linux 6.18 over two dozen paths)."""

UNKNOWN_BACKLOG: Final = 0xFFFF_FFFF
"""What a listener of /proc/net, which does not tell its backlog, has in the place of it.  The
kernel's own is at most net.core.somaxconn, an int."""


def receive_queue_bytes(state: int, rqueue: int) -> int | None:
    """Bytes that arrived and that the application has not read yet."""
    return None if state == LISTEN else rqueue


def send_queue_bytes(state: int, wqueue: int) -> int | None:
    """Bytes written by the application and not yet acknowledged by the peer."""
    return None if state == LISTEN else wqueue


def accept_queue(state: int, rqueue: int) -> int | None:
    """Connections of a listener that wait for accept()."""
    return rqueue if state == LISTEN else None


def backlog(state: int, wqueue: int) -> int | None:
    """Most connections of a listener that may wait for accept(); above it they are dropped."""
    return wqueue if state == LISTEN and wqueue != UNKNOWN_BACKLOG else None


def retrans_percent(sent_bytes: int | None, retrans_bytes: int | None) -> float | None:
    """Share of the bytes sent that were retransmissions: retrans_bytes / sent_bytes."""
    if not sent_bytes or retrans_bytes is None:
        return None
    return 100 * retrans_bytes / sent_bytes


def effective_rcv_wnd_bytes(rcv_wnd_bytes: int | None, rcv_wscale: int | None) -> int | None:
    """Our receive window as the peer sees it: min(rcv_wnd, 65 535 << rcv_wscale)."""
    if rcv_wnd_bytes is None or rcv_wscale is None:
        return None
    return min(rcv_wnd_bytes, 65_535 << rcv_wscale)


def queueing_us(rtt_us: int | None, min_rtt_us: int | None) -> int | None:
    """Round-trip time above the smallest seen lately: rtt - min_rtt, mostly queues on the way."""
    if rtt_us is None or min_rtt_us is None:
        return None
    return max(rtt_us - min_rtt_us, 0)


def cwnd_rate_bytes_per_s(
    snd_cwnd_packets: int | None, snd_mss_bytes: int | None, rtt_us: int | None
) -> float | None:
    """Most that the congestion window allows: snd_cwnd * snd_mss / rtt."""
    if snd_cwnd_packets is None or snd_mss_bytes is None or not rtt_us:
        return None
    return snd_cwnd_packets * snd_mss_bytes * 1_000_000 / rtt_us


def window_rate_bytes_per_s(snd_wnd_bytes: int | None, rtt_us: int | None) -> float | None:
    """Most that the peer's receive window allows: snd_wnd / rtt."""
    if snd_wnd_bytes is None or not rtt_us:
        return None
    return snd_wnd_bytes * 1_000_000 / rtt_us


def share_percent(part_us: int | None, whole_us: int | None) -> float | None:
    """One time as a share of another."""
    if part_us is None or not whole_us:
        return None
    return 100 * part_us / whole_us


def limited_by(
    busy_time_us: int | None,
    rwnd_limited_us: int | None,
    sndbuf_limited_us: int | None,
    app_limited: int | None,
) -> str | None:
    """What held the sender back over its life: peer-window, send-buffer, application or network.

    peer-window or send-buffer when that took 30 % of the busy time, else application when
    the last delivery was limited by it, else network.  ``-`` (null in JSON) for a connection
    that never had anything to send.  A hint; `tcptool explain` of each input says what it misses.
    """
    if not busy_time_us or rwnd_limited_us is None or sndbuf_limited_us is None:
        return None
    if max(rwnd_limited_us, sndbuf_limited_us) >= LIMIT_SHARE * busy_time_us:
        return "peer-window" if rwnd_limited_us >= sndbuf_limited_us else "send-buffer"
    return "application" if app_limited else "network"
