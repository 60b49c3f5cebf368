"""A path between two namespaces that does to packets what the test says, while it runs too.

    with path(delay_ms=25, rate_mbit=10, queue_packets=100, forward={"loss": 0.01}) as link:
        server = link.far.call(socket.create_server, (link.FAR_IPV4, 0))
        client = link.near.call(socket.create_connection, server.getsockname())
        link.forward.set(black_hole=True)
        link.forward.counters().black_holed

Children go in with ``spawn(..., netns=link.near)`` or ``owner(link.near)``.  Everything is gone
when the block ends or this process does, however that happens.  tests/lab/relay.py says what a
path can do.  What only the kernel can do, and quicker paths, are in tests/lab/veth.py.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import pytest

from tests.lab import relay
from tests.lab.ends import DirectionName, Ends, bring_up, new_ends
from tests.lab.relay import NOTHING, Conditions, Counters
from tests.support.children import Child


class Relay:
    """The relay's process, and the conversation with it."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self._lock = threading.Lock()  # an answer belongs to its question

    def tell(self, changes: Mapping[DirectionName, Conditions]) -> dict[str, Counters]:
        """Change conditions; when this returns, they hold for every packet that comes.

        Raises ChildFailed, with what the relay said, if that has ended.
        """
        for conditions in changes.values():
            check(conditions)
        with self._lock:
            with contextlib.suppress(BrokenPipeError):  # it has ended; reading says why
                self.child.tell(json.dumps(changes))
            answer = json.loads(self.child.readline())
        return {name: Counters(**counters) for name, counters in answer.items()}


@dataclass(frozen=True, slots=True)
class Direction:
    """One direction of a path."""

    name: DirectionName
    _relay: Relay

    def set(self, **changes: Unpack[Conditions]) -> Counters:
        """Change some conditions, and return the counters of before."""
        return self._relay.tell({self.name: changes})[self.name]

    def counters(self) -> Counters:
        return self._relay.tell({})[self.name]


@dataclass(frozen=True, slots=True)
class RelayPath(Ends):
    """Two namespaces joined by a relay."""

    forward: Direction
    backward: Direction
    relay_pid: int

    def set(self, **changes: Unpack[Conditions]) -> None:
        """Change some conditions of both directions."""
        for direction in (self.forward, self.backward):
            direction.set(**changes)


@contextlib.contextmanager
def path(
    *,
    mtu_bytes: int = 1500,
    seed: int = 1,
    sysctls: Mapping[str, object] | None = None,
    forward: Conditions | None = None,
    backward: Conditions | None = None,
    **both: Unpack[Conditions],
) -> Iterator[RelayPath]:
    """A path with these conditions both ways; ``forward`` and ``backward`` differ from them.

    ``delay_ms`` is one way: the round trip takes twice that.  The same ``seed`` loses and delays
    the same packets of each direction, counted from its first.  ``sysctls`` are set at both ends
    before anything connects.  Skips the test where there is no root, no /dev/net/tun or no ip(8).
    """
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        pytest.skip("the laboratory needs /dev/net/tun")
    with new_ends(sysctls) as ends:
        # Isolated and without site: it starts quickly, and no coverage slows it down.
        program = [sys.executable, "-IS", str(Path(relay.__file__))]
        words = [*program, ends.near.path, ends.far.path, str(mtu_bytes), str(seed)]
        with Child(words, dict(os.environ), uid=None) as child:
            child.ready = child.readline()
            # With such a queue nothing is lost while the relay waits for a CPU.
            bring_up(ends, relay.DEVICE, mtu_bytes, "txqueuelen 10000")
            said = Relay(child)
            said.tell({"forward": both | (forward or {}), "backward": both | (backward or {})})
            yield RelayPath(
                ends.near,
                ends.far,
                Direction("forward", said),
                Direction("backward", said),
                child.pid,
            )


def check(conditions: Conditions) -> None:
    """Raise what a wrong name or value deserves here, rather than in the relay."""
    if unknown := conditions.keys() - NOTHING.keys():
        raise TypeError(f"no such condition: {', '.join(sorted(unknown))}")
    for probability in (conditions.get("loss", 0.0), conditions.get("reorder", 0.0)):
        if not 0 <= probability <= 1:
            raise ValueError(f"{probability} is not a probability")
    rate_mbit = conditions.get("rate_mbit")
    if rate_mbit is not None and rate_mbit <= 0:
        raise ValueError(f"rate_mbit={rate_mbit}: no limit is None, no packets is black_hole")
