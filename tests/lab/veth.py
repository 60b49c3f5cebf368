"""A path that the kernel alone makes: a veth pair, `tbf` for a rate, `nft` for loss.

    with veth_path(forward={"rate_mbit": 10, "queue_ms": 300}, drop_syn_every=2) as link:
        ...
        link.forward.set(loss=0.01)
        link.forward.dropped()

It has the same two ends as tests/lab/path.py and is quicker, but it has no delay other than that
of a full queue, and its losses are not the same twice (those of SYN are).
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypedDict, Unpack

from tests.lab.ends import DirectionName, Ends, bring_up, commands, need, new_ends
from tests.support.netns import NetNs

DEVICE: Final = "lab0"


class VethConditions(TypedDict, total=False):
    """What one direction does to packets."""

    rate_mbit: float | None
    """The rate of the bottleneck, in 10^6 bit/s, lengths with the 14 bytes of Ethernet."""
    burst_bytes: int
    """How much may pass at once after a pause."""
    queue_ms: float
    """How long a packet waits for the bottleneck at most; one that would wait longer is dropped."""
    loss: float
    """The probability, 0 to 1, that a TCP packet is dropped on arrival."""
    drop_syn_every: int | None
    """Drop one SYN of so many on arrival, and the first of them: 2 drops the 1st, 3rd, 5th, …"""


NOTHING: Final = VethConditions(
    rate_mbit=None, burst_bytes=16384, queue_ms=300.0, loss=0.0, drop_syn_every=None
)
"""A path that only joins.  It names every condition there is."""


@dataclass(slots=True)
class VethDirection:
    """One direction of a path: the rate is limited where it begins, packets drop at its end."""

    name: DirectionName
    _begin: NetNs
    _end: NetNs
    _conditions: VethConditions = field(default_factory=lambda: NOTHING)

    def set(self, **changes: Unpack[VethConditions]) -> None:
        """Change some conditions.  Packets in the queue may be lost, and ``dropped`` is 0 again."""
        if unknown := changes.keys() - NOTHING.keys():
            raise TypeError(f"no such condition: {', '.join(sorted(unknown))}")
        self._conditions = {**self._conditions, **changes}
        commands(self._begin, self._rate())
        commands(self._end, f"nft -f - <<'.'\n{self._drops()}.")

    def dropped(self) -> int:
        """How many packets were dropped on arrival, SYN or not, since the last ``set``."""
        listing = json.loads(self._end.run("nft", "-j", "list", "counters").stdout)
        return sum(one["counter"]["packets"] for one in listing["nftables"] if "counter" in one)

    def tail_dropped(self) -> int:
        """How many packets did not get into the queue of the bottleneck since the last ``set``."""
        shown = self._begin.run("tc", "-s", "qdisc", "show", "dev", DEVICE).stdout
        found = re.search(r"dropped (\d+)", shown)
        return int(found[1]) if found else 0

    def _rate(self) -> str:
        conditions = self._conditions
        if conditions["rate_mbit"] is None:
            return f"tc qdisc delete dev {DEVICE} root 2>/dev/null || true"  # there may be none
        return (
            f"tc qdisc replace dev {DEVICE} root tbf rate {conditions['rate_mbit'] * 1e6:.0f}bit"
            f" burst {conditions['burst_bytes']} latency {conditions['queue_ms'] * 1e3:.0f}us"
        )

    def _drops(self) -> str:
        conditions, rules = self._conditions, []
        if conditions["drop_syn_every"] is not None:
            number = f"numgen inc mod {conditions['drop_syn_every']}"
            rules.append(f"tcp flags & (syn | ack) == syn {number} 0 counter name syn drop")
        if conditions["loss"]:
            number = f"numgen random mod 1000000 < {round(conditions['loss'] * 1e6)}"
            rules.append(f"meta l4proto tcp {number} counter name loss drop")
        lines = [
            "table inet lab",  # so that there is one to delete
            "delete table inet lab",
            "table inet lab {",
            "counter syn {}",
            "counter loss {}",
            "chain arrival {",
            "type filter hook input priority 0",
            *rules,
            "}",
            "}",
        ]
        return "".join(f"{line}\n" for line in lines)


@dataclass(frozen=True, slots=True)
class VethPath(Ends):
    """Two namespaces joined by a veth pair."""

    forward: VethDirection
    backward: VethDirection


@contextlib.contextmanager
def veth_path(
    *,
    mtu_bytes: int = 1500,
    sysctls: Mapping[str, object] | None = None,
    forward: VethConditions | None = None,
    backward: VethConditions | None = None,
    **both: Unpack[VethConditions],
) -> Iterator[VethPath]:
    """A path with these conditions both ways; ``forward`` and ``backward`` differ from them.

    ``sysctls`` are set at both ends before anything connects.  Skips the test where there is no
    root, or no ip(8), tc(8) or nft(8).
    """
    for command in ("tc", "nft"):
        need(command)
    with new_ends(sysctls) as ends:
        pair = f"ip link add {DEVICE} type veth peer name {DEVICE} netns {ends.far.pid}"
        commands(ends.near, pair)
        # Otherwise TCP hands over up to 64 KiB at once, and one drop loses all of it.
        bring_up(ends, DEVICE, mtu_bytes, "gso_max_segs 1")
        link = VethPath(
            ends.near,
            ends.far,
            VethDirection("forward", ends.near, ends.far),
            VethDirection("backward", ends.far, ends.near),
        )
        for direction, own in ((link.forward, forward), (link.backward, backward)):
            direction.set(**both | (own or {}))
        yield link
