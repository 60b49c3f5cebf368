"""The first pass of `diagnose` over many sockets: one reading of each says whom to look at.

A reading has no deltas, so this only ranks: how likely is it that somebody suffers here now?
What is stuck comes first, then what waits, then what has waited most of its life.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from tcptool.analysis.accept_queues import is_near_full
from tcptool.catalog import thresholds as limits

_STALE_MS: Final = 60_000
"""A connection without data for longer is idle, whatever it has been through."""


class Look(NamedTuple):
    """What the first pass reads of a socket; the names are those of the columns of `list`."""

    state: str
    timer: str | None
    timer_retransmits: int | None
    accept_queue: int | None
    backlog: int | None
    receive_queue_bytes: int | None
    send_queue_bytes: int | None
    retransmits: int | None
    probes: int | None
    unacked_packets: int | None
    notsent_bytes: int | None
    snd_wnd_bytes: int | None
    rtt_us: int | None
    min_rtt_us: int | None
    busy_time_us: int | None
    rwnd_limited_us: int | None
    sndbuf_limited_us: int | None
    sent_bytes: int | None
    retrans_bytes: int | None
    acked_bytes: int | None
    received_bytes: int | None
    last_data_sent_ms: int | None
    last_data_recv_ms: int | None


SUSPECT: Final = 10.0
"""The score from which a socket shows a sign of trouble; below it only activity counts."""


def score(row: tuple[Any, ...]) -> float:
    """How much a socket, read as a ``Look``, deserves to be looked at: 0 to 100."""
    look = Look(*row)
    if look.state == "listen":
        return _listener(look)
    if look.timer == "time-wait":
        return 0.0
    if look.state in ("syn-sent", "syn-recv", "new-syn-recv"):
        return 90.0 if look.retransmits or look.timer_retransmits else 20.0
    if look.state == "close-wait":
        forgotten = (look.last_data_recv_ms or 0) > limits.FORGOTTEN_MS
        return 60.0 if forgotten and not look.send_queue_bytes else 20.0
    if look.retransmits and look.unacked_packets:
        return min(80.0 + look.retransmits, 95.0)
    if look.timer == "persist" or (look.snd_wnd_bytes == 0 and look.notsent_bytes):
        return 85.0
    if look.probes:
        return 75.0
    return _flow(look)


def _listener(look: Look) -> float:
    if not look.accept_queue or look.backlog is None:
        return 0.0
    if look.accept_queue > look.backlog:
        return 95.0
    return 70.0 if is_near_full(look.accept_queue, look.backlog) else 5.0


def _flow(look: Look) -> float:
    """A connection that is alive: what it waits for now, and what it has waited for."""
    silent_ms = min(
        (ms for ms in (look.last_data_sent_ms, look.last_data_recv_ms) if ms is not None),
        default=0,
    )
    if silent_ms > _STALE_MS and not look.send_queue_bytes:
        return 8.0 if look.receive_queue_bytes else 0.0
    busy = look.busy_time_us or 0
    signs = 0.0
    if busy:
        held = max(look.rwnd_limited_us or 0, look.sndbuf_limited_us or 0)
        signs += 30.0 * min(held / busy, 1.0)
    if look.sent_bytes and look.retrans_bytes:
        signs += min(100 * look.retrans_bytes / look.sent_bytes, 10.0) * 2
    if look.rtt_us and look.min_rtt_us and look.rtt_us - look.min_rtt_us >= limits.BLOAT_US:
        signs += min(look.rtt_us / look.min_rtt_us, 10.0)
    if look.receive_queue_bytes:
        signs += 10.0
    if look.notsent_bytes:
        signs += 5.0
    return signs + (4.0 if silent_ms < 1000 else 0.0)


def activity(row: tuple[Any, ...]) -> int:
    """Bytes that a socket has carried: among equals, the busier one is looked at."""
    look = Look(*row)
    return (look.acked_bytes or 0) + (look.received_bytes or 0)
