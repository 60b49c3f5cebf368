"""How much a path holds, and which limits let a connection fill it.

The arithmetic of `doctor --rtt --rate` and of `diagnose --target`.  Rates are in bytes a second,
round-trip times in microseconds, as everywhere.

Sources: RFC 7323, 2 (window scale); net/ipv4/tcp_input.c, tcp_rcv_space_adjust() and
tcp_sndbuf_expand(); net/ipv4/tcp_output.c, tcp_select_initial_window(), Linux 6.18; Mathis, Semke,
Mahdavi and Ott, The Macroscopic Behavior of the TCP Congestion Avoidance Algorithm (1997).
"""

from __future__ import annotations

import math
from typing import Final

USUAL_MSS_BYTES: Final = 1448
"""Ethernet's 1500 bytes less 20 of IPv4, 20 of TCP and 12 of timestamps."""

WINDOW_SHARE: Final = 0.5
"""Which share of a receive buffer becomes the window, if a socket does not tell: what a fresh
one starts with (TCP_DEFAULT_SCALING_RATIO, net/ipv4/tcp.h).  0.625 was measured with an MTU of
1500, and 0.3 was reported for a driver with jumbo frames, so it is a middle, not the worst case."""

ROOM: Final = 2
"""Automatic tuning aims at twice what arrived in a round trip, so that the sender can double."""

MEMORY_PER_BYTE: Final = 2304 / 1448
"""Send memory that a byte takes: 2304 for a segment of 1448 (measured: a fresh socket has
46080 = 2 * 10 * 2304)."""

SEND_FACTORS: Final = {"bbr": 3}
SEND_FACTOR: Final = 2
"""Send memory that automatic tuning grants, in congestion windows: the algorithm's
sndbuf_expand(), else 2."""

MOST_WINDOW_SCALE: Final = 14
_UNSCALED_WINDOW: Final = 65_535

LARGEST_WINDOW_BYTES: Final = _UNSCALED_WINDOW << MOST_WINDOW_SCALE
"""1 GiB: no connection has more on the way."""

MOST_LIMIT_BYTES: Final = (1 << 31) - 1
"""tcp_rmem and tcp_wmem are ints."""

MATHIS: Final = 0.70
"""The constant of the loss budget, by which NPAD's published 0.010274 % for 4 Mbit/s, 1448 bytes
and 200 ms comes out."""


def bdp_bytes(rate_bytes_per_s: float, rtt_us: float) -> int:
    """Bandwidth-delay product: what must be in flight to fill a path of this rate."""
    # Rounded first: 125 MB/s for 80 ms are 10 000 000 bytes, and no float's error more.
    return math.ceil(round(rate_bytes_per_s * rtt_us / 1_000_000, 6))


def receive_limit_bytes(bdp: int, window_share: float = WINDOW_SHARE) -> int:
    """The tcp_rmem[2] that lets automatic tuning open a window of twice the ``bdp``."""
    return min(math.ceil(ROOM * bdp / window_share), MOST_LIMIT_BYTES)


def send_limit_bytes(bdp: int, congestion_control: str | None = None) -> int:
    """The tcp_wmem[2] that automatic tuning wants for a congestion window of one ``bdp``.

    Big writes make do with 1.1 times the ``bdp``, writes of one segment take 1.6 times
    (measured); this leaves the congestion window room to grow.
    """
    factor = SEND_FACTORS.get(congestion_control or "", SEND_FACTOR)
    return min(math.ceil(factor * MEMORY_PER_BYTE * bdp), MOST_LIMIT_BYTES)


def window_scale(limit_bytes: int) -> int:
    """The window scale of a connection whose receive buffer may grow to ``limit_bytes``.

    It is chosen in the handshake, from the larger one of tcp_rmem[2] and net.core.rmem_max, or
    from SO_RCVBUF where that was set before, and never changes.
    """
    scale = 0
    while scale < MOST_WINDOW_SCALE and _UNSCALED_WINDOW << scale < limit_bytes:
        scale += 1
    return scale


def largest_window_bytes(limit_bytes: int, scale: int, window_share: float = WINDOW_SHARE) -> int:
    """The window that a receive buffer of this size gives, as far as the scale can express it."""
    return min(int(limit_bytes * window_share), _UNSCALED_WINDOW << scale)


def window_rate_bytes_per_s(window_bytes: float, rtt_us: float) -> float:
    """The most that a window allows: one of it each round trip.  ``rtt_us`` is above 0."""
    return window_bytes * 1_000_000 / rtt_us


def loss_budget_percent(
    rate_bytes_per_s: float, rtt_us: float, mss_bytes: int = USUAL_MSS_BYTES, c: float = MATHIS
) -> float:
    """Most of the segments that may be lost at random for cubic or reno to hold the rate.

    p = (C * mss / (rtt * rate)) ** 2, at most 100 %.  bbr stands more.
    """
    in_flight = rate_bytes_per_s * rtt_us / 1_000_000
    return min(100 * (c * mss_bytes / in_flight) ** 2, 100.0)


def loss_rate_bytes_per_s(
    loss_percent: float, rtt_us: float, mss_bytes: float, c: float = MATHIS
) -> float:
    """The rate that cubic or reno hold at a random loss: C * mss / (rtt * sqrt(p)).

    The other way round than ``loss_budget_percent``.  ``loss_percent`` is above 0.
    """
    return c * mss_bytes * 1_000_000 / rtt_us / math.sqrt(loss_percent / 100)
