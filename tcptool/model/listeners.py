"""What `listeners` saw of the listening sockets of a network namespace, and what it means.

Two readings some seconds apart and looks at the accept queues between them.  A number that the
kernel did not report, or that cannot be told from what it did, is None.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tcptool.catalog.severity import Severity
from tcptool.model.inspection import HolderRecord
from tcptool.model.report import Host, Missing, Warning
from tcptool.model.sock import Endpoint
from tcptool.model.target import Target

STEADY = "steady"
NEW = "new"
GONE = "gone"
"""Whether a listener was there at both readings, came between them, or went away."""


@dataclass(frozen=True, slots=True)
class ListenersPlan:
    """Which listeners to look at, and for how long.  ``target`` is None for all of them.

    With ``options`` each is borrowed for a moment to read some of its socket options.
    """

    target: Target | None
    families: tuple[int, ...]
    window_s: float
    options: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cure:
    """A command that helps now, the one that puts back what it changes, and how far it helps.

    ``persistence`` says how to keep it over a reboot, where the program's configuration does not;
    ``risk`` what it may do to others.
    """

    command: str
    undo: str
    why: str
    persistence: str | None = None
    risk: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueVerdict:
    """What a listener's queues, or the counters of its namespace, mean.

    ``cause`` is a word of ``catalog.listeners.CAUSES``; ``blame`` says who must act, and is None
    where nobody must.  ``cures`` are to be run in their order.
    """

    severity: Severity
    cause: str
    message: str
    blame: str | None = None
    cures: tuple[Cure, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerOptions:
    """Socket options that decide what a listener does with a handshake.

    ``defer_accept_s`` is how long a connection without data is kept from accept(), 0 for not at
    all; ``fastopen_queue`` is the length of the queue of TCP Fast Open, 0 for none.
    """

    reuseport: bool | None
    defer_accept_s: int | None
    fastopen_queue: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """One listening socket.

    ``accept_queue`` is that of the last look, ``min_accept_queue`` and ``max_accept_queue`` are
    over all looks.  The kernel lets ``backlog`` + 1 connections wait; ``full_percent`` is the
    longest queue as a share of that, and ``full_samples`` are the looks at which no other would
    have found room.  ``capped``: the backlog equals net.core.somaxconn, so that what the program
    asked for may have been cut.

    ``drops`` counts since it began to listen: SYNs that it dropped, each retry anew, last ACKs
    that found no room, each twice, and those that TCP_DEFER_ACCEPT held back, which are no loss.
    ``new_drops`` fell between the readings, ``peak_drops`` of them in one second.
    ``syn_recv`` handshakes are under way at its address and port; listeners that share those
    share the number.

    ``holders`` is None where they may not be seen.  ``group`` is the place in ``groups`` of its
    SO_REUSEPORT group; ``queue_share_percent`` its share of all that waits there.  The kernel
    does not tell how many connections a member has accepted: ``connections`` are the established
    ones at the group's port that its processes hold, None where another member shares them.
    """

    local: Endpoint
    protocol: str
    family: str
    v6only: bool | None
    ifindex: int
    cookie: str | None
    inode: int | None
    uid: int | None
    cgroup: str | None
    holders: tuple[HolderRecord, ...] | None
    presence: str
    accept_queue: int | None
    min_accept_queue: int | None
    max_accept_queue: int | None
    backlog: int | None
    capped: bool | None
    full_percent: float | None
    samples: int
    full_samples: int | None
    drops: int | None
    new_drops: int | None
    peak_drops: int | None
    drops_per_s: float | None
    syn_recv: int | None
    group: int | None
    queue_share_percent: float | None
    connections: int | None
    options: ListenerOptions | None
    verdict: QueueVerdict


@dataclass(frozen=True, slots=True, kw_only=True)
class ReuseportGroup:
    """Listeners that share an address and port through SO_REUSEPORT.

    ``even_percent`` is what each member would have if the load lay evenly, ``most_queue_percent``
    and ``most_drops_percent`` are what the member with the most has of what waits and of the new
    drops; None where there are none.
    """

    local: Endpoint
    family: str
    members: int
    even_percent: float
    max_accept_queue: int | None
    new_drops: int | None
    most_queue_percent: float | None
    most_drops_percent: float | None
    verdict: QueueVerdict


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterReading:
    """A counter of the network namespace: since it was made, and between the readings."""

    name: str
    total: int | None
    new: int | None
    rate_per_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenNamespace:
    """What the network namespace counted and how it is set; its other programs are in it."""

    netns_inode: int | None
    counters: tuple[CounterReading, ...]
    somaxconn: int | None
    tcp_max_syn_backlog: int | None
    tcp_syncookies: int | None
    tcp_abort_on_overflow: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenersReport:
    """All listeners that were asked for, the worst first.

    ``severity`` is that of the worst finding; what the namespace counted is among them only
    where all of its listeners were asked for.
    """

    window_s: float
    samples: int
    complete: bool
    severity: Severity
    listeners: tuple[Listener, ...]
    groups: tuple[ReuseportGroup, ...]
    namespace: ListenNamespace
    findings: tuple[QueueVerdict, ...]
    host: Host = field(metadata={"internal": True})
    missing: list[Missing] = field(metadata={"internal": True})
    warnings: list[Warning] = field(metadata={"internal": True})
