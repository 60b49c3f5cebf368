"""What was seen of one connection during some seconds: the input of a diagnosis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from tcptool.catalog.options import OptionValue
from tcptool.model.inspection import HolderRecord
from tcptool.model.sock import Socket


class RawReading(NamedTuple):
    """One reply of sock_diag, without its netlink header and without secrets.

    ``at_s`` counts from the beginning of the observation.
    """

    at_s: float
    reply: bytes


class Reading(NamedTuple):
    """The same, decoded."""

    at_s: float
    socket: Socket


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What decides beside the readings.  What could not be read is absent.

    ``options`` are those of the socket, read once; None without the right to.  ``limits`` are
    sysctls of the socket's own network namespace, one number each, as ``net.ipv4.tcp_wmem[2]``.
    ``elsewhere`` is whether that is another one than the caller's, ``inside_pid`` a process in
    it.  Ordinary users may choose ``allowed_congestion_controls`` only.
    """

    options: Mapping[str, OptionValue] | None = None
    limits: Mapping[str, int] = field(default_factory=dict)
    elsewhere: bool = False
    inside_pid: int | None = None
    congestion_controls: tuple[str, ...] = ()
    allowed_congestion_controls: tuple[str, ...] = ()
    load_percent: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How a command line gets at a socket.

    ``handle`` is PID:FD, or sk:COOKIE; ``netns`` is what ``--netns`` needs beside it.  ``held`` is
    whether a process is known that has it: else nobody can set its options.  ``permitted`` is
    whether the caller may borrow it.
    """

    handle: str
    netns: str | None = None
    held: bool = True
    permitted: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """An observation as it is kept: with the kernel's own bytes, so that it can be decoded again.

    ``other_end`` is the peer's socket when it is on this host, ``other_reach`` the way to it; of a
    connection that is being made, the listener.  ``ended`` is whether the connection ended while
    it was watched.
    """

    reach: Reach
    holders: tuple[HolderRecord, ...]
    readings: tuple[RawReading, ...]
    other_reach: Reach | None
    other_end: tuple[RawReading, ...]
    around: Surroundings
    ended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """A recording, decoded.  ``live``: the socket can still be acted upon."""

    reach: Reach
    holders: tuple[HolderRecord, ...]
    readings: tuple[Reading, ...]
    other_reach: Reach | None
    other_end: tuple[Reading, ...]
    around: Surroundings
    ended: bool
    live: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """What the samples of one socket come to.

    Bytes, packets and times are changes over the window, unless they are a median (rtt,
    windows, buffers).  Percentages of samples: ``app_limited`` had the bit, ``held`` had
    0 < notsent < mss with room in window and cwnd, ``held_empty`` (of those held) had nothing in
    flight, ``snd_wnd_standing`` had the median of it, ``delivery_steady`` had a delivery rate
    within 10 % of its median, ``dry`` had less than a segment unsent, ``in_loss`` were in the
    congestion state loss.
    """

    samples: int
    duration_s: float
    reset: bool
    mss_bytes: int | None = None
    rtt_us: float | None = None
    low_rtt_us: int | None = None
    """Only a tenth of the samples had a shorter round trip."""
    min_rtt_us: int | None = None
    acked_bytes: int | None = None
    received_bytes: int | None = None
    sent_bytes: int | None = None
    retrans_bytes: int | None = None
    sent_segs: int | None = None
    """Segments with data, as ``received_segs``."""
    received_segs: int | None = None
    segment_bytes: float | None = None
    """Average length of a segment with data."""
    goodput_bytes_per_s: float | None = None
    received_bytes_per_s: float | None = None
    pacing_bytes_per_s: float | None = None
    delivery_steady_percent: float | None = None
    retrans_packets: int | None = None
    retrans_percent: float | None = None
    timeouts: int | None = None
    spurious: int | None = None
    reorderings: int | None = None
    ooo_packets: int | None = None
    ce_percent: float | None = None
    in_loss_percent: float | None = None
    busy_percent: float | None = None
    rwnd_limited_percent: float | None = None
    sndbuf_limited_percent: float | None = None
    app_limited_percent: float | None = None
    held_percent: float | None = None
    held_empty_percent: float | None = None
    held_ms: float | None = None
    """Average time that a tail was held back."""
    dry_percent: float | None = None
    in_flight_packets: float | None = None
    cwnd_used_percent: float | None = None
    cwnd_packets: float | None = None
    cwnd_growth_percent: float | None = None
    notsent_bytes: float | None = None
    snd_wnd_bytes: float | None = None
    min_snd_wnd_bytes: int | None = None
    snd_wnd_used_percent: float | None = None
    snd_wnd_spread_percent: float | None = None
    snd_wnd_standing_percent: float | None = None
    snd_wnd_growth_percent: float | None = None
    sndbuf_bytes: float | None = None
    sndbuf_moves: bool | None = None
    wmem_queued_bytes: float | None = None
    wmem_alloc_bytes: float | None = None
    sndbuf_used_percent: float | None = None
    receive_queue_bytes: float | None = None
    receive_queue_moves: bool | None = None
    rcvbuf_bytes: float | None = None
    rcvbuf_used_percent: float | None = None
    rcv_rtt_us: float | None = None
    rcv_wnd_bytes: float | None = None
    rcv_wnd_open_percent: float | None = None
    rcv_wnd_used_percent: float | None = None
    dropped: int | None = None
