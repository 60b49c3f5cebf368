"""From where on a reading of a host means something: the thresholds of `doctor`.

Where "a choice of ours" is the source, nobody else has named a better number.
"""

from __future__ import annotations

from typing import Final

# -- limits of any kind ----------------------------------------------------------------------

NEARLY_FULL_PERCENT: Final = 75
"""From here a limit is nearly used up: Oracle bpftune, NEARLY_FULL()."""

# -- loss, and what else goes wrong on the way -----------------------------------------------

ENOUGH_SEGMENTS: Final = 1000
"""Fewer sent segments say nothing about a share of 1 %: it would be ten of them."""
LOSS_FAIL_PERCENT: Final = 3.0
"""Three times the share at which bpftune acts.  By Mathis's formula cubic is then down to a fifth
of what 0.1 % allows."""
LOSS_WARN_PERCENT: Final = 1.0
"""Oracle bpftune changes a remote host over to bbr from here."""
LOSS_OK_PERCENT: Final = 0.1
"""Below it cubic does well on most paths (measured, see BBR in catalog/profiles.py)."""
ENOUGH_RETRANSMISSIONS: Final = 20
"""Fewer say nothing about a share of 20 %: it would be four of them."""
TIMEOUTS_PERCENT: Final = 20.0
"""More than one in five: tail loss probes, on by default (RFC 8985), should leave fewer."""
NEEDLESS_PERCENT: Final = 30.0
"""A third of all retransmissions is more than a few late acknowledgements make."""
ENOUGH_EVENTS: Final = 5
"""A choice of ours: one or two of anything happen on every host."""
FAILED_PERCENT: Final = 1.0
"""More than one connection in a hundred; single ones fail or vanish on every host."""
STRAY_PERCENT: Final = 0.1
"""A choice of ours: below one in a thousand it is the noise that every public host hears."""

# -- devices and CPUs ------------------------------------------------------------------------

NOISE_PERCENT: Final = 0.1
"""A choice of ours: below one in a thousand received, drops without a missed packet are frames of
protocols that the kernel does not know (net/core/dev.c, __netif_receive_skb_core())."""
SQUEEZED_PERCENT: Final = 1.0
"""Rounds of receiving that ended with work left, in percent of all packets.  Single ones are
normal under load; Red Hat's tuning guide looks at the count only while it grows."""
SOFTIRQ_PERCENT: Final = 80.0
"""A choice of ours: a CPU that does little else than receive, so a little more is lost."""
STEAL_PERCENT: Final = 10.0
"""A choice of ours: below a tenth, time that the hypervisor gives to others is everyday."""
DROPS_ON_PURPOSE: Final = ("fq_codel", "codel", "cake", "fq_pie", "pie", "red")
"""Active queue management: a drop tells a sender to slow down, and keeps the queue short."""
NOT_ON_THE_WAY_OUT: Final = ("ingress", "clsact")
"""Hooks for filters, mostly of what arrives: no queue.  What they drop, somebody's rule drops."""
ENOUGH_TICKS: Final = 100
"""A second of a CPU (USER_HZ): of less a single tick would be more than a percent."""
FQ: Final = ("fq", "fq_codel", "fq_pie", "cake", "noqueue")
"""Queueing disciplines that keep flows apart; a device without a queue has none to set."""

# -- memory ----------------------------------------------------------------------------------

LARGE_FIRST_BYTES: Final = 1 << 20
"""Eight times the kernel's 131072, from which a first buffer is no kernel's own choice."""
HUGE_LIMIT_BYTES: Final = 64 << 20
"""Cloudflare saw stalls of milliseconds with far less; ESnet asks for no more than this."""
SLOW_QUEUE_MS: Final = 200
"""What a person notices as a delay; twice a usual round trip between continents."""

# -- what runs out ---------------------------------------------------------------------------

FULL_PERCENT: Final = 95
"""A choice of ours: so few are left that a burst of connections takes them."""
FILES_PERCENT: Final = 80
"""A choice of ours: from here a burst of connections reaches the limit."""
OLD_S: Final = 60
"""A program that has not closed after a minute has forgotten to; it is as long as TIME_WAIT."""
MANY: Final = 10
"""A single one is a program that is slow, more of them are a pattern."""

# -- settings --------------------------------------------------------------------------------

ENOUGH_BYTES: Final = 1_000_000
"""Some 700 segments, of which 1 % are seven: fewer say nothing about a share of 1 %."""
LONG_RTT_US: Final = 20_000
"""Below it slow start costs less than a person or a program notices."""
FORGOTTEN_S: Final = 350
"""AWS Network Load Balancer; Azure's 4 min are shorter, the 2 h 4 min of RFC 5382 longer."""
ETHERNET_BYTES: Final = 1500
"""RFC 894."""
