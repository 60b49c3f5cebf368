"""Verdicts that follow from the state: handshakes, listeners, ends, silence and stalls.

Source of the rules: tcp_retransmit_timer(), tcp_probe_timer() and tcp_keepalive_timer() in
net/ipv4/tcp_timer.c, Linux 6.18; what they look like was measured over cut and narrowed paths.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import takewhile

from tcptool.analysis.accept_queues import is_near_full
from tcptool.analysis.verdict.case import Case, Found, heard, micros, size
from tcptool.catalog import thresholds as limits
from tcptool.model.observation import Reading
from tcptool.units import Unit, human


def closed(case: Case) -> Found | None:
    """TIME-WAIT and the like."""
    if case.last.timer != "time-wait" and case.last.state not in ("time-wait", "close"):
        return None
    return Found("closed", 0.98, (f"state {case.last.state}",))


def listener(case: Case) -> Found | None:
    """Whether connections wait for accept()."""
    if case.last.state != "listen":
        return None
    queues = [
        (one.socket.accept_queue, one.socket.backlog)
        for one in case.seen.readings
        if one.socket.accept_queue is not None and one.socket.backlog is not None
    ]
    waiting, backlog = max(queues, default=(0, None))
    full = sum(queue > limit for queue, limit in queues)
    if backlog is None:
        return Found("listening", limits.CLEAR, ("the backlog is not known",))
    dropped, near_full = case.own.dropped, is_near_full(waiting, backlog)
    evidence = [f"accept_queue at most {waiting}, backlog {backlog} (and one more)"]
    if full:
        evidence.append(f"full in {full} of {len(queues)} samples")
    if dropped:
        evidence.append(f"drops rose by {dropped} in {human(case.own.duration_s, Unit.SECONDS)}")
    elif full and dropped is not None:
        evidence.append("nobody was dropped meanwhile; the next one will be")
    # The longest queue may have been between two samples: of a short one a place is much.
    was_full = near_full or 0 < waiting >= backlog
    if (dropped and was_full) or 2 * full >= len(queues):
        return Found("listener-overflow", 0.98, tuple(evidence))
    if near_full:
        return Found("listener-filling", 0.9, tuple(evidence))
    return Found("listening", 0.95, tuple(evidence))


def handshake_unanswered(case: Case) -> Found | None:
    """SYNs, or SYN-ACKs, that are sent again."""
    if case.last.state not in ("syn-sent", "syn-recv", "new-syn-recv"):
        return None
    again = max(case.info.retransmits or 0, case.last.timer_retransmits)
    if not again:
        return None
    what = "SYN" if case.last.state == "syn-sent" else "SYN-ACK"
    evidence = [f"state {case.last.state}; the {what} was sent {again + 1} times, no answer"]
    if listener := case.listener:
        evidence.append(
            f"the listener is here: accept_queue {listener.accept_queue}, "
            f"backlog {listener.backlog}"
        )
    if case.last.timer_expires_ms is not None:
        expires = human(case.last.timer_expires_ms, Unit.MILLISECONDS)
        evidence.append(f"next attempt in {expires} (rto_us {micros(case.info.rto_us)})")
    return Found("handshake-unanswered", 0.9, tuple(evidence))


def close_wait(case: Case) -> Found | None:
    """The peer has closed, this side has nothing left to say, and does not close."""
    silent_ms = case.info.last_data_recv_ms
    if case.last.state != "close-wait" or silent_ms is None or _has_queued(case):
        return None
    if case.moved is not False or silent_ms <= limits.FORGOTTEN_MS:
        return None
    evidence = [
        f"state close-wait; last_data_recv_ms {human(silent_ms, Unit.MILLISECONDS)} ago",
        "nothing in the send queue and nothing acknowledged: the application is not answering",
    ]
    if unread := case.unread_bytes:
        evidence.append(f"{size(unread)} wait unread: it does not even look")
    # A half-closed connection may wait for its answer: the longer, the less likely.
    confidence = 0.6 + 0.3 * min(silent_ms / limits.SURELY_FORGOTTEN_MS, 1.0)
    return Found("close-wait", confidence, tuple(evidence))


def zero_window(case: Case) -> Found | None:
    """Data waits and the peer's window is 0; unanswered probes mean that the peer has gone."""
    info = case.info
    closed_window = case.last.timer == "persist" or info.snd_wnd_bytes == 0
    if not closed_window or not info.notsent_bytes or case.moved_out is not False:
        return None
    evidence = [
        f"snd_wnd_bytes {_count(info.snd_wnd_bytes)}, notsent_bytes {info.notsent_bytes} waiting",
        f"acked_bytes did not move in {human(case.own.duration_s, Unit.SECONDS)}; timer "
        f"{case.last.timer}, backoff {_count(info.backoff)}, probes {_count(info.probes)}",
    ]
    silent_ms = info.last_ack_recv_ms
    if (info.probes or 0) >= limits.TIMEOUTS_IN_A_ROW or (
        silent_ms is not None and silent_ms > 2 * _probe_interval_ms(case)
    ):
        if silent_ms is not None:
            evidence.append(f"{heard(silent_ms)}: no answer to the last probes")
        return Found("dead-peer", 0.9, tuple(evidence))
    if case.other is not None and case.other.receive_queue_moves:
        left = size(case.other.receive_queue_bytes)
        evidence.append(f"the other end: receive_queue_bytes {left} and moving: it does read")
        return Found("slow-reader", 0.9, tuple(evidence))
    if silent_ms is not None and not info.probes:
        evidence.append(f"the peer answers: {heard(silent_ms)}")
    return Found("zero-window", 0.95, tuple(evidence))


def _probe_interval_ms(case: Case) -> float:
    """How long it is between two window probes now."""
    rto_ms = (case.info.rto_us or 0) / 1000
    backed_off = rto_ms * (1 << min(case.info.backoff or 0, 16))
    return max(min(backed_off, limits.MOST_PROBE_MS), limits.PROBE_PATIENCE_MS)


def dead_peer(case: Case) -> Found | None:
    """Keepalive probes without an answer for longer than a round trip."""
    info = case.info
    if not info.probes or info.unacked_packets or info.notsent_bytes:
        return None
    unanswered = _trailing(
        case, lambda one: bool(one.socket.tcp_info and one.socket.tcp_info.probes)
    )
    lasted_ms = (unanswered[0].at_s - unanswered[-1].at_s) * 1000
    patience_ms = max(2 * (info.rtt_us or 0) / 1000, limits.PROBE_PATIENCE_MS)
    most = max(one.socket.tcp_info.probes or 0 for one in unanswered if one.socket.tcp_info)
    if lasted_ms < patience_ms and most < limits.TIMEOUTS_IN_A_ROW:
        return None
    count = case.option("TCP_KEEPCNT")
    evidence = [f"probes {info.probes}" + (f" of TCP_KEEPCNT {count}" if count else "")]
    evidence.append(f"unacked_packets 0, notsent_bytes 0, timer {case.last.timer}")
    if info.last_ack_recv_ms is not None:
        evidence.append(f"{heard(info.last_ack_recv_ms)}: nothing was heard since")
    return Found("dead-peer", min(0.6 + 0.1 * most, 0.95), tuple(evidence))


def no_acks(case: Case) -> Found | None:
    """Timeout after timeout: the path has died, or it swallows large segments."""
    info = case.info
    in_a_row = info.retransmits or 0
    if info.ca_state != "loss" or not info.unacked_packets:
        return None
    if in_a_row < limits.TIMEOUTS_IN_A_ROW or _acked_since_loss(case):
        return None
    evidence = [
        f"retransmits {in_a_row}, ca_state loss, rto_us {micros(info.rto_us)}, "
        f"unacked_packets {info.unacked_packets}, lost_packets {_count(info.lost_packets)}",
        "acked_bytes has not moved since the first of these timeouts",
    ]
    mtu = _swallows_large_segments(case)
    if mtu:
        return Found("mtu-black-hole", 0.75, (*evidence, *mtu))
    if info.last_ack_recv_ms is not None:
        evidence.append(f"{heard(info.last_ack_recv_ms)}: nothing was heard since")
    return Found("no-acks", min(0.6 + 0.1 * in_a_row, 0.9), tuple(evidence))


def _acked_since_loss(case: Case) -> bool:
    """Whether anything was acknowledged during the row of timeouts that is going on."""
    rows = _trailing(
        case, lambda one: bool(one.socket.tcp_info and one.socket.tcp_info.retransmits)
    )
    return len({one.socket.tcp_info.acked_bytes for one in rows if one.socket.tcp_info}) > 1


def _swallows_large_segments(case: Case) -> tuple[str, ...]:
    """Why it is large segments only that get no answer; empty if that is not so."""
    info, mss = case.info, case.info.snd_mss_bytes
    if mss is None or info.unacked_packets is None:
        return ()
    flying = (case.last.send_queue_bytes or 0) - (info.notsent_bytes or 0)
    mean_flying = flying // info.unacked_packets  # a message ends with a smaller one
    if flying < limits.FULL_SIZE * mss or mean_flying < limits.SMALL_SEGMENT * mss:
        return ()
    about = f"about {mean_flying} bytes a segment in flight, mss {mss}"
    if case.own.received_bytes:
        return (about, f"yet {case.own.received_bytes} bytes came from the peer meanwhile")
    acked, delivered = info.acked_bytes, info.delivered_packets
    if acked is None or delivered is None or not (info.received_bytes or acked > 1):
        return ()
    # The SYN counts as one byte and, once it is acknowledged, as one packet delivered.
    mean = (acked - 1) / (delivered - 1) if delivered > 1 else 0
    if mean >= limits.FULL_SIZE * mss:
        return ()
    return (about, f"what was acknowledged before had {mean:.0f} bytes a segment")


def idle(case: Case) -> Found | None:
    """No byte either way, and nothing that waits to be sent."""
    if case.own.samples < 2 or case.moved is not False or _has_queued(case):
        return None
    info = case.info
    silence = [ms for ms in (info.last_data_sent_ms, info.last_data_recv_ms) if ms is not None]
    evidence = [f"no byte acknowledged or received in {human(case.own.duration_s, Unit.SECONDS)}"]
    if silence:
        evidence.append(f"last data {human(min(silence), Unit.MILLISECONDS)} ago")
    evidence.append(
        f"send queue {size(case.last.send_queue_bytes)}, receive queue {size(case.unread_bytes)}"
    )
    return Found("idle", 0.95, tuple(evidence))


def _has_queued(case: Case) -> bool:
    info = case.info
    return bool(info.unacked_packets or info.notsent_bytes)


def _trailing(case: Case, holds: Callable[[Reading], bool]) -> list[Reading]:
    """The latest readings for which it holds without a gap, newest first."""
    return list(takewhile(holds, reversed(case.readings)))


def _count(number: int | None) -> str:
    return "unknown" if number is None else str(number)
