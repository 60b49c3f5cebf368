"""Verdicts on an end that receives: whether it holds the sender back.

A receiver knows more than the sender can guess: how much waits unread, and how wide the window
is that it offers.  Source: __tcp_select_window() and tcp_rcv_space_adjust(), Linux 6.18.
"""

from __future__ import annotations

from tcptool.analysis.verdict.case import Case, Found, micros, percent, rate, size
from tcptool.catalog import thresholds as limits
from tcptool.model.observation import Measures


def receiving(case: Case) -> Found | None:
    """What this end does to a sender that sends it most of what moves."""
    if not case.mostly_receives:
        return None
    if slow := reads_slowly(case.own):
        return Found("local-slow-reader", 0.9, slow)
    if small := offers_little(case.own):
        return Found("local-buffer", 0.85, (*small, *why_small(case)))
    return None


def not_limited(case: Case) -> Found | None:
    """Nothing here holds the sender back."""
    own = case.own
    if not case.mostly_receives:
        return None
    evidence = [
        f"received {rate(own.received_bytes_per_s)}; rmem_alloc_bytes is "
        f"{percent(own.rcvbuf_used_percent)} of rcvbuf_bytes",
    ]
    if own.rcv_wnd_used_percent is not None:
        used = percent(own.rcv_wnd_used_percent)
        evidence.append(f"{used} of rcv_wnd_bytes ({size(own.rcv_wnd_bytes)}) used a round trip")
    if own.ooo_packets:
        evidence.append(
            f"rcv_ooopack_packets rose by {own.ooo_packets}: loss or reordering on the way in"
        )
    return Found("not-limited-here", 0.75, tuple(evidence))


def reads_slowly(end: Measures) -> tuple[str, ...]:
    """Why this end's application reads too slowly; empty if it does not, or it is not known."""
    filled, opened = end.rcvbuf_used_percent or 0.0, end.rcv_wnd_open_percent
    is_closing = (
        opened is not None
        and opened < limits.WINDOW_CLOSED_PERCENT
        and filled >= limits.RECEIVE_QUEUE_HINT_PERCENT
    )
    if filled < limits.RECEIVE_QUEUE_PERCENT and not is_closing:
        return ()
    return (
        f"rmem_alloc_bytes is {percent(filled)} of rcvbuf_bytes ({size(end.rcvbuf_bytes)}), "
        f"receive_queue_bytes {size(end.receive_queue_bytes)}",
        f"rcv_wnd_bytes is {percent(opened)} of rcv_ssthresh_bytes",
    )


def offers_little(end: Measures) -> tuple[str, ...]:
    """Why this end's window is too small for the path; empty if it is not, or it is not known."""
    used, opened = end.rcv_wnd_used_percent or 0.0, end.rcv_wnd_open_percent or 0.0
    if (
        used < limits.WINDOW_USED_PERCENT
        or opened <= limits.WINDOW_OPEN_PERCENT
        or (end.rcvbuf_used_percent or 0.0) >= limits.RECEIVE_QUEUE_HINT_PERCENT
    ):
        return ()
    return (
        f"{percent(used)} of rcv_wnd_bytes ({size(end.rcv_wnd_bytes)}) arrives in each "
        f"rcv_rtt_us ({micros(end.rcv_rtt_us)})",
        f"receive_queue_bytes {size(end.receive_queue_bytes)}: the application reads at once",
    )


def stuck(case: Case) -> Found | None:
    """Data that lies in the receive queue, enough to matter, and nothing that reads it."""
    unread = case.unread_bytes
    if case.moved is not False or case.own.samples < 2 or not unread:
        return None
    if case.own.receive_queue_moves:
        return None
    evidence = [
        f"receive_queue_bytes {size(unread)} in every one of {case.own.samples} samples: "
        "nobody reads it",
        f"rcv_wnd_bytes {size(case.own.rcv_wnd_bytes)} is what the peer may still send",
    ]
    if not case.last.inode:
        evidence.append("no process has it: it waits in an accept queue (tcptool listeners)")
        return Found("local-slow-reader", 0.85, tuple(evidence))
    filled, opened = case.own.rcvbuf_used_percent or 0.0, case.own.rcv_wnd_open_percent
    is_closing = opened is not None and opened < limits.WINDOW_CLOSED_PERCENT
    if filled < limits.RECEIVE_QUEUE_HINT_PERCENT and not is_closing:
        return None  # a few bytes that the application looks at with its next request
    return Found("local-slow-reader", 0.85, tuple(evidence))


def why_small(case: Case) -> tuple[str, ...]:
    """What keeps the receive window small, as far as it can be seen."""
    locks, own = case.option("SO_BUF_LOCK"), case.own
    lines = []
    if isinstance(locks, tuple) and "receive" in locks:
        lines.append("SO_BUF_LOCK has receive: somebody set SO_RCVBUF, so it does not grow")
    most = case.limit("net.ipv4.tcp_rmem[2]")
    if most is not None and (own.rcvbuf_bytes or 0) >= limits.NEARLY_FULL * most:
        lines.append(f"net.ipv4.tcp_rmem[2] {size(most)} is reached")
    if is_at_scale_limit(case):
        lines.append(
            f"rcv_wscale {case.info.rcv_wscale} of the handshake allows "
            f"{size(65_535 << (case.info.rcv_wscale or 0))} at most"
        )
    return tuple(lines)


def is_at_scale_limit(case: Case) -> bool:
    """Whether the window scale of the handshake caps the window."""
    scale, window = case.info.rcv_wscale, case.own.rcv_wnd_bytes
    return scale is not None and window is not None and window >= 0.9 * (65_535 << scale)
