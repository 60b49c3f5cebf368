"""From where on a reading of a connection means something: the thresholds of `diagnose`.

Where no other source is named, a threshold separates the paths of tests/lab on Linux 6.18, cubic
and bbr, and bench/diagnose.py shows how well.
"""

from __future__ import annotations

from typing import Final

# -- sampling ------------------------------------------------------------------------------

PACE_S: Final = 0.020
"""Time between two samples: a Nagle stall is 40 ms (TCP_DELACK_MIN, include/net/tcp.h)."""
FAST_PACE_S: Final = 0.005
"""The same for paths with a min_rtt below ``FAST_PATH_US``."""
FAST_PATH_US: Final = 5_000
WINDOW_S: Final = 4.0
MAX_WINDOW_S: Final = 10.0
WINDOW_ROUND_TRIPS: Final = 20
"""A window shorter than so many round trips sees only part of a congestion control's cycle."""
FEW_SAMPLES: Final = 50
"""With fewer, the share of samples in which something was so is only a hint."""
SHORT_WINDOW_S: Final = 0.9
"""The chronographs count in ticks of 1 to 10 ms (CONFIG_HZ): 100 ticks are exact to a percent."""

# -- confidence ----------------------------------------------------------------------------

CLEAR: Final = 0.5
"""Below it, a verdict is called unclear."""
DOUBT: Final = 0.85
"""What a confidence is multiplied with for each reason to doubt the samples."""
BUSY_PERCENT: Final = 100.0
"""Load average per processor from which what looks like the network may be this host."""

# -- states --------------------------------------------------------------------------------

FORGOTTEN_MS: Final = 5_000
"""How long CLOSE-WAIT may last before the application seems to have forgotten it."""
SURELY_FORGOTTEN_MS: Final = 60_000
MOST_PROBE_MS: Final = 120_000
"""TCP_RTO_MAX: window probes are never further apart."""
PROBE_PATIENCE_MS: Final = 200
"""An answer to a keepalive probe takes a round trip; this is the least that is waited for."""
TIMEOUTS_IN_A_ROW: Final = 2
FULL_SIZE: Final = 0.8
"""Share of the MSS from which a segment is full-size."""

# -- sender --------------------------------------------------------------------------------

HELD_PERCENT: Final = 20.0
"""Share of the samples with a held-back tail: 63-98 % with Nagle or cork, 0 % without."""
MOSTLY_HELD_PERCENT: Final = 50.0
"""The same where segments are large: the tail of a message of several segments waits."""
SMALL_SEGMENT: Final = 0.5
"""Share of the MSS below which the average segment is small."""
BUSY_PERCENT_LEAST: Final = 10.0
"""Share of the time below which a share of the busy time means little: a few ticks of it."""
RWND_PERCENT: Final = 50.0
RWND_FULL_PERCENT: Final = 15.0
RWND_HINT_PERCENT: Final = 5.0
"""bbr shows a receiver-bound sender with 9-55 % rwnd_limited, cubic with 100 %."""
WINDOW_FULL_PERCENT: Final = 75.0
WINDOW_MOVES_PERCENT: Final = 15.0
WINDOW_SHRINKS_PERCENT: Final = 5.0
WINDOW_STANDS_PERCENT: Final = 80.0
"""Share of samples in which snd_wnd is its median: 100 % for a small buffer, unless its reader
gets no processor for a while; 1-68 % for a slow reader."""
WINDOW_GROWS_PERCENT: Final = 120.0
CWND_REMEMBERS: Final = 3.0
CWND_REMEMBERS_BBR: Final = 5.0
"""cwnd * mss over the window: cwnd only grows while it is used, so it shows what the window was.
2.0 (cubic) and 2.4-4.0 (bbr) for a small buffer, 5.7-12 for a slow reader."""
INITIAL_CWND: Final = 10
"""TCP_INIT_CWND, include/net/tcp.h; RFC 6928."""
SNDBUF_PERCENT: Final = 30.0
SNDBUF_FULL_PERCENT: Final = 66.0
"""The kernel's own rule for EPOLLOUT: sk_stream_is_writeable(), include/net/sock.h."""
NEARLY_FULL: Final = 0.75
"""Share of a sysctl's limit from which the limit counts as reached (bpftune)."""
CWND_USED_PERCENT: Final = 90.0
CWND_FULL_PERCENT: Final = 95.0
APP_PERCENT: Final = 50.0
APP_ALWAYS_PERCENT: Final = 90.0
DRY_PERCENT: Final = 80.0
RETRANS_PERCENT: Final = 0.3
LOSS_PERCENT: Final = 0.1
"""Enough for loss to be what limits, if the path is not full and the rate is what it allows."""
LOSS_MODEL: Final = 1.22
"""sqrt(3/2) of Mathis, Semke, Mahdavi and Ott, "The macroscopic behavior of the TCP congestion
avoidance algorithm", 1997."""
LOSS_MODEL_FACTOR: Final = 2.5
"""Above so many times the model, it is not loss that limits."""
STEADY_PERCENT: Final = 75.0
"""Share of samples with a delivery rate near its median, from which the path is full: 93-100 %
behind a full bottleneck, 16-49 % where loss or reordering makes cwnd rise and fall."""
STANDING_QUEUE: Final = 1.2
"""Round trip of the quickest tenth of the samples over min_rtt, from which a queue never empties,
so the path is full: 1.2-1.6 with a queue of half a round trip or more, at most 1.07 with loss."""
SPURIOUS_SHARE: Final = 0.3
"""Share of retransmissions that the peer reports as needless, from which they are not loss."""
REORDERINGS: Final = 10
PACED_PERCENT: Final = 95.0
BLOAT: Final = 2.0
BLOAT_US: Final = 20_000
LOCAL_SHARE: Final = 0.5
SKB_OVERHEAD: Final = 1.6
"""Memory that a segment takes in wmem_alloc over its length (skb->truesize)."""
GROWING: Final = 1.2
STARTUP_GAIN: Final = 700
"""bbr's pacing gain in startup is 739/256 (bbr_high_gain, net/ipv4/tcp_bbr.c)."""
TIMEOUT_SHARE_PERCENT: Final = 5.0
"""Share of samples in the congestion state loss, from which timeouts are mentioned."""

# -- receiver ------------------------------------------------------------------------------

REQUEST_SHARE: Final = 0.1
"""Segments with data sent over those received, above which it is request and answer."""
RECEIVE_QUEUE_PERCENT: Final = 40.0
RECEIVE_QUEUE_HINT_PERCENT: Final = 15.0
WINDOW_CLOSED_PERCENT: Final = 60.0
"""rcv_wnd over rcv_ssthresh: 0-43 % for a slow reader."""
WINDOW_USED_PERCENT: Final = 75.0
WINDOW_OPEN_PERCENT: Final = 90.0
"""87-98 % used and 99 % open for a small buffer, 2-47 % used otherwise."""
