"""What looks at the listeners of a namespace come to.  It is fed sockets and times.

Listeners come and go between looks.  They are known by their inode, which /proc/net has too and
both rows of an MPTCP listener share.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tcptool.catalog.listeners import COUNTERS, NEAR_FULL_PERCENT, SYN_RETRY_S
from tcptool.model.listeners import GONE, NEW, STEADY, CounterReading
from tcptool.model.sock import Socket

Key = int | str | None
Place = tuple[str, str, int]
"""Family, address and port at which somebody listens."""

_ANY = {"ipv4": "0.0.0.0", "ipv6": "::"}


def key_of(sock: Socket) -> Key:
    """What tells a listener from all others, also after it has gone."""
    return sock.inode or sock.cookie


def place_of(sock: Socket) -> Place:
    """Where it listens."""
    return sock.family, sock.local.address, sock.local.port


def whole_listeners(sockets: Iterable[Socket]) -> Iterator[Socket]:
    """Listeners, each of them once.

    One of MPTCP is two rows of one inode: its own, and that of the TCP socket below it, which
    counts the drops (mptcp_diag_dump_listeners() in net/mptcp/mptcp_diag.c; measured).
    """
    rows = [sock for sock in sockets if sock.state == "listen"]
    below = {sock.inode: sock for sock in rows if sock.protocol == "tcp"}
    above = {sock.inode for sock in rows if sock.protocol == "mptcp"}
    for sock in rows:
        if sock.protocol == "mptcp":
            yield replace(sock, memory=below.get(sock.inode, sock).memory)
        elif sock.inode not in above:
            yield sock


@dataclass(slots=True, eq=False)
class Track:
    """One listener over all looks.  ``full_percent`` is the fullest that it was."""

    first_s: float
    last_s: float
    last: Socket
    samples: int = 0
    full_samples: int | None = None
    min_accept_queue: int | None = None
    max_accept_queue: int | None = None
    full_percent: float | None = None
    new_drops: int | None = None
    peak_drops: int | None = None
    _recent: deque[tuple[float, int]] = field(default_factory=deque)

    def look(self, elapsed_s: float, sock: Socket) -> None:
        """Add a look at it."""
        self.last_s, self.last = elapsed_s, sock
        self.samples += 1
        queue = sock.accept_queue
        if queue is not None:
            self.min_accept_queue = min(_known(queue, self.min_accept_queue))
            self.max_accept_queue = max(_known(queue, self.max_accept_queue))
            if sock.backlog is not None:
                self.full_samples = (self.full_samples or 0) + (queue > sock.backlog)
                self.full_percent = max(full_percent(queue, sock.backlog), self.full_percent or 0)
        self._count(elapsed_s, drops_of(sock))

    def _count(self, elapsed_s: float, drops: int | None) -> None:
        if drops is None:
            return
        if not self._recent:
            self.new_drops = self.peak_drops = 0
        elif self.new_drops is not None and self.peak_drops is not None:
            while len(self._recent) > 1 and elapsed_s - self._recent[0][0] > SYN_RETRY_S:
                self._recent.popleft()
            risen = drops - self._recent[-1][1]
            if risen < 0:  # 32 bits have run over: nothing can be said
                self.new_drops = self.peak_drops = None
            else:
                self.new_drops += risen
                self.peak_drops = max(self.peak_drops, drops - self._recent[0][1])
        self._recent.append((elapsed_s, drops))

    @property
    def drops_per_s(self) -> float | None:
        """Rate of the drops while it was seen; None where it was seen only once."""
        return per_second(self.new_drops, self.last_s - self.first_s)


def _known(*values: int | None) -> list[int]:
    return [value for value in values if value is not None]


def full_percent(queue: int, backlog: int) -> float:
    """How full an accept queue is.  It takes one more than its backlog: sk_acceptq_is_full()."""
    return 100 * queue / (backlog + 1)


def is_near_full(queue: int, backlog: int) -> bool:
    """Whether an accept queue is nearly used up."""
    return full_percent(queue, backlog) >= NEAR_FULL_PERCENT


def drops_of(sock: Socket) -> int | None:
    """What the listener has dropped since it began to listen."""
    return sock.memory.drops if sock.memory else None


def per_second(change: int | None, elapsed_s: float) -> float | None:
    """A rate; None without a change that is known, or without time in which it fell."""
    return None if change is None or elapsed_s <= 0 else change / elapsed_s


@dataclass(slots=True)
class Watch:
    """All listeners over all looks."""

    tracks: dict[Key, Track] = field(default_factory=dict)
    samples: int = 0
    first_s: float = 0.0
    last_s: float = 0.0

    def look(self, elapsed_s: float, sockets: Iterable[Socket]) -> None:
        """Add a look at all of them."""
        if not self.samples:
            self.first_s = elapsed_s
        self.samples += 1
        self.last_s = elapsed_s
        for sock in {key_of(sock): sock for sock in whole_listeners(sockets)}.values():
            track = self.tracks.setdefault(key_of(sock), Track(elapsed_s, elapsed_s, sock))
            track.look(elapsed_s, sock)

    def presence(self, track: Track) -> str:
        """Whether it was there at the first look and at the last one."""
        if track.last_s < self.last_s:
            return GONE
        return NEW if track.first_s > self.first_s else STEADY

    def groups(self) -> list[list[Track]]:
        """Listeners that share an address and port now, and so must have SO_REUSEPORT.

        As inet_reuseport_add_sock() in net/ipv4/inet_hashtables.c compares them.
        """
        found: dict[tuple[object, ...], list[Track]] = {}
        for track in self.tracks.values():
            sock = track.last
            if self.presence(track) != GONE:
                group = (*place_of(sock), sock.ifindex, sock.v6only, sock.uid)
                found.setdefault(group, []).append(track)
        return [members for members in found.values() if len(members) > 1]


def handshakes(listeners: Iterable[Socket], half_open: Iterable[Socket]) -> Counter[Place]:
    """How many handshakes are under way where each of them listens.

    A handshake belongs to a listener of its own address, or else to one of all addresses.
    """
    places = {place_of(sock) for sock in listeners}
    found: Counter[Place] = Counter()
    for sock in half_open:
        own = place_of(sock)
        found[own if own in places else (own[0], _ANY.get(own[0], ""), own[2])] += 1
    return found


def member_connections(
    members: Sequence[frozenset[int]], connections: Iterable[frozenset[int]]
) -> list[int | None]:
    """How many connections the processes of each member hold.

    ``members`` and ``connections`` are the pids that hold them.  Where members share a process,
    or the holders of one are not known, nobody can tell whose a connection is.
    """
    known = [pids for pids in members if pids]
    if len(known) < len(members) or len(frozenset().union(*known)) < sum(map(len, known)):
        return [None] * len(members)
    held = list(connections)
    return [sum(1 for pids in held if pids & own) for own in known]


def counter_readings(
    before: Mapping[str, int], after: Mapping[str, int], elapsed_s: float
) -> tuple[CounterReading, ...]:
    """The counters of the namespace; one that went backwards has no change."""

    def reading(name: str) -> CounterReading:
        earlier, later = before.get(name), after.get(name)
        new = None if earlier is None or later is None or later < earlier else later - earlier
        return CounterReading(
            name=name, total=later, new=new, rate_per_s=per_second(new, elapsed_s)
        )

    return tuple(map(reading, COUNTERS))
