"""Verdicts on an end that sends: what keeps it from sending more.

The kernel's own chronographs (busy, rwnd_limited, sndbuf_limited) are asked first and then not
believed alone: with cubic a full send buffer leaves sndbuf_limited at 0, and with bbr a closed
window shows as little as 9 % rwnd_limited (both measured).

Sources: tcp_chrono_start() and tcp_cwnd_validate() in net/ipv4/tcp_output.c and tcp_input.c,
tcp_nagle_check(), Linux 6.18.
"""

from __future__ import annotations

from tcptool.analysis import bdp
from tcptool.analysis.verdict.case import Case, Found, micros, percent, rate, size
from tcptool.analysis.verdict.receiver import offers_little, reads_slowly
from tcptool.catalog import thresholds as limits
from tcptool.catalog.registry import UNLIMITED
from tcptool.model.observation import Measures
from tcptool.units import Unit, human


def held_back(case: Case) -> Found | None:
    """Nagle or cork: a tail that waits although there is room for it."""
    own, mss = case.own, case.own.mss_bytes
    held = own.held_percent or 0.0
    if held < limits.HELD_PERCENT or mss is None:
        return None
    large = own.segment_bytes is not None and own.segment_bytes >= limits.SMALL_SEGMENT * mss
    # A stream of large pieces has a tail too, which the next piece takes along: nobody waits.
    if large and (held < limits.MOSTLY_HELD_PERCENT or not own.received_bytes):
        return None
    nodelay, cork = case.option("TCP_NODELAY"), case.option("TCP_CORK")
    is_corked = bool(cork) or (own.held_empty_percent or 0.0) > 50
    if nodelay and not is_corked:
        return None
    evidence = [
        f"0 < notsent_bytes < snd_mss_bytes ({mss}) in {percent(held)} of {own.samples} samples, "
        f"with room in snd_cwnd_packets ({_round(own.cwnd_packets)}) and "
        f"snd_wnd_bytes ({size(own.snd_wnd_bytes)})",
        f"unacked_packets 0 in {percent(own.held_empty_percent)} of those: "
        + ("nothing in flight that it could wait for" if is_corked else "it waits for an ACK"),
    ]
    if own.segment_bytes is not None:
        evidence.append(f"average segment {own.segment_bytes:.0f} bytes")
    if own.rtt_us and own.min_rtt_us:
        evidence.append(f"rtt_us {micros(own.rtt_us)}, min_rtt_us {micros(own.min_rtt_us)}")
    for name, value in (("TCP_NODELAY", nodelay), ("TCP_CORK", cork)):
        if value is not None:
            evidence.append(f"{name} = {int(bool(value))} (read from the socket)")
    confidence = min(limits.CLEAR + held / 100, 0.98)
    return Found("corked" if is_corked else "nagle", confidence, tuple(evidence))


def pacing_cap(case: Case) -> Found | None:
    """SO_MAX_PACING_RATE, and reached."""
    cap, pacing = case.info.max_pacing_rate_bytes_per_s, case.own.pacing_bytes_per_s
    goodput = case.own.goodput_bytes_per_s
    # 0 is no cap: tcp_update_skb_after_send() waits only where the rate is not 0 (measured too).
    if not isinstance(cap, int) or not cap or not pacing or not goodput:
        return None
    if pacing < limits.PACED_PERCENT / 100 * cap or not 0.8 < goodput / cap < 1.25:
        return None
    evidence = (
        f"max_pacing_rate {rate(cap)}, pacing_rate {rate(pacing)}",
        f"acknowledged {rate(goodput)}",
    )
    return Found("pacing-cap", 0.9, evidence)


def receive_window(case: Case) -> Found | None:
    """The peer's window: a small buffer, or an application that reads slowly."""
    own = case.own
    limited, used = own.rwnd_limited_percent, own.snd_wnd_used_percent or 0.0
    moves = own.snd_wnd_spread_percent or 0.0
    if limited is None or not _is_busy(case):
        return None
    full = used >= limits.WINDOW_FULL_PERCENT
    if not (
        limited >= limits.RWND_PERCENT
        or (limited >= limits.RWND_FULL_PERCENT and full)
        or (limited >= limits.RWND_HINT_PERCENT and (full or moves >= limits.WINDOW_MOVES_PERCENT))
    ):
        return None
    confidence = min(max(limited / 100, 0.7), 0.95)
    evidence = [
        f"rwnd_limited_us is {percent(limited)} of busy_time_us",
        f"snd_wnd_bytes {size(own.snd_wnd_bytes)} (at least {size(own.min_snd_wnd_bytes)}, "
        f"spread {percent(moves)}), {percent(used)} of it in flight",
    ]
    if _window_grows(case):
        grown = human(own.snd_wnd_growth_percent or 0.0, Unit.PERCENT)
        evidence.append(f"it grew to {grown} of what it was: the peer is tuning it, give it time")
        return Found("peer-buffer", limits.CLEAR / limits.DOUBT, tuple(evidence))
    if case.other is not None and case.other.rcvbuf_used_percent is not None:
        return _asked(case.other, confidence, evidence)
    if why := _has_shrunk(case):
        return Found("slow-reader", confidence, (*evidence, why))
    evidence.append("the window does not move: the peer reads what arrives")
    if case.info.snd_wscale is not None:
        top = 65_535 << case.info.snd_wscale
        evidence.append(f"its window scale {case.info.snd_wscale} allows {size(top)} at most")
    return Found("peer-buffer", confidence, tuple(evidence))


def _asked(other: Measures, confidence: float, evidence: list[str]) -> Found | None:
    """What the receiver, which is here too, says of its window: it knows, and so it wins."""
    slow, small = reads_slowly(other), offers_little(other)
    if not slow and not small:
        return None
    evidence += [f"the other end: {line}" for line in slow or small]
    return Found("slow-reader" if slow else "peer-buffer", max(confidence, 0.9), tuple(evidence))


def _is_busy(case: Case) -> bool:
    """Whether it sent for so much of the time that shares of that mean something."""
    return (case.own.busy_percent or 0.0) >= limits.BUSY_PERCENT_LEAST


def _window_grows(case: Case) -> bool:
    """Whether the peer's window rises all the time, as the automatic tuning of a new one does."""
    windows = [one.socket.tcp_info.snd_wnd_bytes for one in case.readings if one.socket.tcp_info]
    known = [window for window in windows if window is not None]
    grown = (case.own.snd_wnd_growth_percent or 0.0) >= limits.WINDOW_GROWS_PERCENT
    return grown and min(known) >= known[0] and max(known) == known[-1]


def _has_shrunk(case: Case) -> str:
    """What shows that the window was larger once; cwnd remembers it."""
    own = case.own
    if (own.snd_wnd_standing_percent or 0.0) >= limits.WINDOW_STANDS_PERCENT:
        return ""  # nobody reads so evenly; if it was larger, its buffer was made smaller
    if (own.snd_wnd_spread_percent or 0.0) >= limits.WINDOW_SHRINKS_PERCENT:
        return "the window moves: the peer reads, and not fast enough"
    if own.min_snd_wnd_bytes == 0:
        return "the window was 0 in some samples"
    cwnd, window, mss = own.cwnd_packets, own.snd_wnd_bytes, own.mss_bytes
    if not cwnd or not window or not mss or cwnd <= limits.INITIAL_CWND:
        return ""
    once = limits.CWND_REMEMBERS_BBR if case.is_bbr else limits.CWND_REMEMBERS
    if cwnd * mss < once * window:
        return ""
    return (
        f"snd_cwnd_packets {_round(cwnd)} is {cwnd * mss / window:.1f} times the window, so the "
        "window was that large once"
    )


def send_buffer(case: Case) -> Found | None:
    """The send buffer, by the kernel's clock or by how full it is."""
    own = case.own
    limited = own.sndbuf_limited_percent
    if limited is not None and limited >= limits.SNDBUF_PERCENT and _is_busy(case):
        return Found("send-buffer", 0.9, _buffer_evidence(case))
    is_full = (
        own.wmem_queued_bytes is not None
        and own.sndbuf_bytes is not None
        and (own.sndbuf_used_percent or 0.0) >= limits.SNDBUF_FULL_PERCENT
        and own.notsent_bytes is not None
        and own.notsent_bytes < 2 * (own.mss_bytes or 0)
    )
    if not is_full or (own.cwnd_used_percent or 0.0) >= limits.CWND_FULL_PERCENT:
        return None
    if not _is_fixed(case):
        return None
    return Found("send-buffer", 0.75, _buffer_evidence(case))


def _is_fixed(case: Case) -> bool:
    """Whether the send buffer will not grow by itself."""
    own, most = case.own, case.limit("net.ipv4.tcp_wmem[2]")
    if is_locked(case, "send"):
        return True
    size_bytes, queued = own.sndbuf_bytes or 0, own.wmem_queued_bytes or 0
    if own.sndbuf_moves is False and queued >= size_bytes:
        return True
    return most is not None and size_bytes >= limits.NEARLY_FULL * most


def is_locked(case: Case, which: str) -> bool:
    """Whether SO_BUF_LOCK says that this buffer was set by hand; False where it is not known."""
    locks = case.option("SO_BUF_LOCK")
    return isinstance(locks, tuple) and which in locks


def _buffer_evidence(case: Case) -> tuple[str, ...]:
    own, locks = case.own, case.option("SO_BUF_LOCK")
    lines = [
        f"sndbuf_limited_us is {percent(own.sndbuf_limited_percent)} of busy_time_us",
        f"wmem_queued_bytes {size(own.wmem_queued_bytes)} of sndbuf_bytes "
        f"{size(own.sndbuf_bytes)} ({percent(own.sndbuf_used_percent)}), "
        f"notsent_bytes {_round(own.notsent_bytes)}",
        f"{percent(own.cwnd_used_percent)} of snd_cwnd_packets in flight: cwnd has room",
    ]
    if isinstance(locks, tuple):
        lines.append(f"SO_BUF_LOCK = {','.join(locks) or 'none'} (read from the socket)")
    most = case.limit("net.ipv4.tcp_wmem[2]")
    if most is not None and (own.sndbuf_bytes or 0) >= limits.NEARLY_FULL * most:
        lines.append(f"net.ipv4.tcp_wmem[2] {size(most)} is reached")
    return tuple(lines)


def application_limited(case: Case) -> Found | None:
    """The application gives TCP less than it would carry."""
    own = case.own
    app, busy = own.app_limited_percent, own.busy_percent
    if app is None or own.notsent_bytes is None:
        return None
    has_little = own.notsent_bytes < (own.mss_bytes or 1)
    evidence = [
        f"delivery_rate_app_limited in {percent(app)} of {own.samples} samples",
        f"notsent_bytes {_round(own.notsent_bytes)}, {percent(own.cwnd_used_percent)} of "
        f"snd_cwnd_packets in flight",
    ]
    if busy is not None:
        evidence.append(f"busy_time_us is {percent(busy)} of the time")
    if busy is not None and busy < 50 and app > limits.APP_PERCENT:
        return Found("application-limited", 0.9, tuple(evidence))
    if app >= limits.APP_PERCENT and has_little:
        return Found("application-limited", 0.85, tuple(evidence))
    is_full = (own.sndbuf_used_percent or 0.0) >= limits.SNDBUF_FULL_PERCENT
    if app >= limits.APP_ALWAYS_PERCENT and not is_full:
        return Found("application-limited", 0.8, tuple(evidence))
    return None


def application_by_elimination(case: Case) -> Found | None:
    """Nothing waits to be sent, and neither window is used up."""
    own = case.own
    if own.dry_percent is None or own.cwnd_used_percent is None:
        return None
    if own.dry_percent < limits.DRY_PERCENT or own.cwnd_used_percent >= limits.CWND_USED_PERCENT:
        return None
    if (own.snd_wnd_used_percent or 0.0) >= limits.WINDOW_FULL_PERCENT:
        return None
    evidence = (
        f"less than a segment unsent in {percent(own.dry_percent)} of {own.samples} samples",
        f"in flight {percent(own.cwnd_used_percent)} of snd_cwnd_packets and "
        f"{percent(own.snd_wnd_used_percent)} of snd_wnd_bytes",
    )
    return Found("application-limited", 0.7, evidence)


def reordering(case: Case) -> Found | None:
    """Reordering that is taken for loss, or that alone makes cwnd small."""
    own = case.own
    seen, again, needless = own.reorderings or 0, own.retrans_packets or 0, own.spurious or 0
    is_loss = (own.retrans_percent or 0.0) >= limits.RETRANS_PERCENT
    is_spurious = again > 0 and needless / again >= limits.SPURIOUS_SHARE
    if _is_full(case) or not (is_spurious if is_loss else seen >= limits.REORDERINGS):
        return None
    evidence = (
        f"reord_seen rose by {seen}, reordering_packets {case.info.reordering_packets}",
        f"retransmitted {percent(own.retrans_percent)} of the bytes; {needless} of {again} "
        "retransmissions were needless (dsack_dups)",
        _steadiness(case),
    )
    return Found("reordering", 0.75, evidence)


def _is_full(case: Case) -> bool:
    """Whether the bottleneck is full: data arrives at an even rate, or a queue never empties."""
    own = case.own
    if (own.delivery_steady_percent or 0.0) >= limits.STEADY_PERCENT:
        return True
    low_us, least_us = own.low_rtt_us or 0, own.min_rtt_us or 0
    return least_us > 0 and low_us >= limits.STANDING_QUEUE * least_us


def _steadiness(case: Case) -> str:
    own = case.own
    return (
        "delivery_rate within 10 % of its median in "
        f"{percent(own.delivery_steady_percent)} of the samples; rtt_us seldom below "
        f"{micros(own.low_rtt_us)}, min_rtt_us {micros(own.min_rtt_us)}"
    )


def loss(case: Case) -> Found | None:
    """Loss that limits: the rate is no more than the model gives, and rises and falls with cwnd."""
    evidence = _loss_evidence(case, limits.LOSS_PERCENT)
    if not evidence or _is_full(case) or _beats_model(case):
        return None
    return Found("loss", 0.8, (*evidence, _steadiness(case)))


def path_rate_with_loss(case: Case) -> Found | None:
    """Loss that does not limit: a companion of a full path."""
    evidence = _loss_evidence(case, limits.RETRANS_PERCENT)
    if not evidence:
        return None
    return Found("path-rate-with-loss", 0.8, (*evidence, _steadiness(case)))


def _loss_evidence(case: Case, least_percent: float) -> tuple[str, ...]:
    """What was lost, and what that leaves; empty where it is not worth a word."""
    own, model = case.own, _model_bytes_per_s(case)
    if model is None or (own.retrans_percent or 0.0) < least_percent:
        return ()
    return (
        f"retrans_bytes {percent(own.retrans_percent)} of sent_bytes "
        f"(total_retrans_packets rose by {own.retrans_packets})",
        f"acknowledged {rate(own.goodput_bytes_per_s)}; the loss model 1.22 * mss/(rtt * sqrt(p)) "
        f"gives {rate(model)} at rtt_us {micros(own.rtt_us)}",
    )


def _beats_model(case: Case) -> bool:
    model = _model_bytes_per_s(case) or 0.0
    return (case.own.goodput_bytes_per_s or 0.0) >= limits.LOSS_MODEL_FACTOR * model


def _model_bytes_per_s(case: Case) -> float | None:
    own = case.own
    if not own.mss_bytes or not own.rtt_us or not own.retrans_percent or not own.retrans_packets:
        return None
    return bdp.loss_rate_bytes_per_s(
        own.retrans_percent, own.rtt_us, own.mss_bytes, limits.LOSS_MODEL
    )


def queueing(case: Case) -> Found | None:
    """An inflated round trip: a queue in this host, or on the path."""
    own = case.own
    if not own.rtt_us or not own.min_rtt_us or own.in_flight_packets is None:
        return None
    queue_us = own.rtt_us - own.min_rtt_us
    if own.rtt_us < limits.BLOAT * own.min_rtt_us or queue_us < limits.BLOAT_US:
        return None
    flying = own.in_flight_packets * (own.mss_bytes or 0)
    here = own.wmem_alloc_bytes or 0.0
    evidence = (
        f"rtt_us {micros(own.rtt_us)}, min_rtt_us {micros(own.min_rtt_us)}: "
        f"{micros(queue_us)} in queues",
        f"wmem_alloc_bytes {size(here)} in this host, {size(flying)} in flight",
    )
    is_local = _is_in_this_host(case)
    return Found("local-queue" if is_local else "bufferbloat", 0.85, evidence)


def slow_start(case: Case) -> Found | None:
    """Too young to have found the path's rate."""
    info, growth = case.info, case.own.cwnd_growth_percent
    if growth is None or growth <= 100 * limits.GROWING:
        return None
    if case.is_bbr:
        bbr = case.last.congestion.bbr if case.last.congestion else None
        if bbr is None or (bbr.pacing_gain or 0) < limits.STARTUP_GAIN:
            return None
        why = f"bbr's pacing_gain {bbr.pacing_gain}/256 is that of its startup"
    elif info.snd_ssthresh_packets == UNLIMITED:
        why = "snd_ssthresh_packets is still unlimited"
    else:
        return None
    grown = f"snd_cwnd_packets grew to {growth:.0f} % of what it was"
    return Found("slow-start", 0.8, (why, grown))


def path_rate(case: Case) -> Found | None:
    """A healthy sender on a path that is full."""
    own = case.own
    pacing, goodput = own.pacing_bytes_per_s, own.goodput_bytes_per_s
    paced = goodput / pacing if pacing and goodput else None
    uses_cwnd = (own.cwnd_used_percent or 0.0) >= limits.CWND_USED_PERCENT
    if not uses_cwnd and not (paced is not None and 0.75 < paced < 1.3):
        return None
    evidence = [f"{percent(own.cwnd_used_percent)} of snd_cwnd_packets in flight"]
    evidence.append(f"acknowledged {rate(goodput)}, pacing_rate {rate(pacing)}")
    if own.rtt_us and own.min_rtt_us:
        evidence.append(f"rtt_us {micros(own.rtt_us)}, min_rtt_us {micros(own.min_rtt_us)}")
    return Found("path-rate", 0.8, tuple(evidence))


def local_queue(case: Case) -> Found | None:
    """Data that this host holds back below TCP, in a queue too short to inflate the round trip."""
    own = case.own
    if not own.wmem_alloc_bytes or (own.notsent_bytes or 0.0) <= (own.mss_bytes or 0):
        return None
    if not _is_in_this_host(case):
        return None
    flying = (own.in_flight_packets or 0.0) * (own.mss_bytes or 0)
    evidence = (
        f"wmem_alloc_bytes {size(own.wmem_alloc_bytes)} below TCP, {size(flying)} in flight",
        f"notsent_bytes {size(own.notsent_bytes)} waits above it",
    )
    return Found("local-queue", 0.7, evidence)


def _is_in_this_host(case: Case) -> bool:
    """Whether much of what is in flight has not left this host."""
    flying = (case.own.in_flight_packets or 0.0) * (case.own.mss_bytes or 0)
    here = case.own.wmem_alloc_bytes or 0.0
    return flying > 0 and here >= limits.LOCAL_SHARE * limits.SKB_OVERHEAD * flying


def _round(value: float | None) -> str:
    return "unknown" if value is None else human(round(value), Unit.COUNT)
