"""Which connection of a pool a request gets: decisions only.

Rules, which hold between any two calls:

1. Never more connections than the limits, of all hosts together and of one; one that is being
   opened counts.
2. A connection is lent to one at a time.
3. Nobody waits who could be served: by an idle connection to his host, by a new one within
   the limits, or by a new one in place of an idle one of another host.
4. Those who wait are served in the order in which they came, as far as rule 1 allows.

Idle connections are lent most recently used first: the others grow old and can be closed.
Time is passed in: seconds of a clock that never goes back.  It opens and closes nothing; it
numbers connections, and says what to do with which.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimits:
    """How many connections there may be, and how old they may get; None for no limit.

    Raises ValueError for limits under which nothing could be lent.
    """

    total: int = 1000
    per_host: int | None = None
    idle_s: float = 30.0
    age_s: float | None = None

    def __post_init__(self) -> None:
        if min(self.total, self.total if self.per_host is None else self.per_host) < 1:
            raise ValueError("a pool holds one connection at least")
        if self.idle_s < 0 or (self.age_s is not None and self.age_s < 0):
            raise ValueError("a time is not negative")


class Grant(NamedTuple):
    """Who asked with this ticket gets this connection; a ``fresh`` one is to be opened first."""

    ticket: int
    connection: int
    fresh: bool


class Steps(NamedTuple):
    """What to do now: connections to close, and requests that were waiting and are served."""

    close: tuple[int, ...] = ()
    grants: tuple[Grant, ...] = ()


_NOTHING = Steps()


class PoolCounts(NamedTuple):
    """What there is, and what happened so far."""

    in_use: int
    idle: int
    waiting: int
    created: int
    reused: int
    expired: int
    evicted: int
    waits: int
    refused: int


class _Connection:
    __slots__ = ("born_s", "host", "idle_since_s")

    def __init__(self, host: Hashable, born_s: float) -> None:
        self.host, self.born_s = host, born_s
        self.idle_since_s: float | None = None
        """None while it is lent."""


class PoolPolicy:
    """The connections of a pool by number, and those who wait for one by ticket."""

    def __init__(self, limits: PoolLimits) -> None:
        self.limits = limits
        self._connections: dict[int, _Connection] = {}
        self._idle: dict[int, None] = {}
        """The most recently used last."""
        self._idle_of: defaultdict[Hashable, dict[int, None]] = defaultdict(dict)
        """The same, by host."""
        self._of_host: Counter[Hashable] = Counter()
        self._waiting: dict[int, Hashable] = {}
        self._next = 0
        self._created = self._reused = self._expired = self._evicted = 0
        self._waits = self._refused = 0

    def ask(self, host: Hashable, now_s: float, *, may_wait: bool = True) -> tuple[int, Steps]:
        """A ticket, and what to do.

        Without a grant for the ticket it waits, until another call grants it, or ``withdraw``;
        or if it may not wait, it is refused.
        """
        ticket = self._number()
        close: list[int] = []
        grant = self._serve(ticket, host, now_s, close)
        if grant:
            return ticket, Steps(tuple(close), (grant,))
        if may_wait:
            self._waits += 1
            self._waiting[ticket] = host
        else:
            self._refused += 1
        return ticket, Steps(tuple(close))

    def give_back(self, connection: int, now_s: float) -> Steps:
        """It may be lent again.  Raises ValueError if it was not lent."""
        one = self._lent(connection)
        one.idle_since_s = now_s
        self._idle[connection] = self._idle_of[one.host][connection] = None
        return self._serve_waiting(now_s)

    def lose(self, connection: int, now_s: float) -> Steps:
        """A lent one that could not be opened, or must not be lent again; the caller closes it.

        Raises ValueError if it was not lent.
        """
        self._lent(connection)
        self._remove(connection)
        return self._serve_waiting(now_s)

    def exchange(self, ticket: int, connection: int, now_s: float) -> Steps:
        """A lent one turned out to be dead: another in its place, before anybody else is served.

        The caller closes it.  Raises ValueError if it was not lent.
        """
        host = self._lent(connection).host
        self._remove(connection)
        close: list[int] = []
        grant = self._serve(ticket, host, now_s, close)
        assert grant is not None  # its own place is free
        return Steps(tuple(close), (grant,))

    def withdraw(self, ticket: int) -> bool:
        """Whoever waited does so no longer.  False if the ticket does not wait (any more)."""
        return self._waiting.pop(ticket, None) is not None

    def clean(self, now_s: float) -> Steps:
        """Expire what is idle for too long, or too old."""
        old = tuple(one for one in self._idle if self._is_old(one, now_s))
        for connection in old:
            self._expire(connection)
        return Steps(old)

    def close(self) -> Steps:
        """Give up what is idle, and let nobody wait.  Lent ones come back by ``lose``."""
        idle = tuple(self._idle)
        for connection in idle:
            self._remove(connection)
        self._waiting.clear()
        return Steps(idle)

    def counts(self) -> PoolCounts:
        """As they are now."""
        return PoolCounts(
            in_use=len(self._connections) - len(self._idle),
            idle=len(self._idle),
            waiting=len(self._waiting),
            created=self._created,
            reused=self._reused,
            expired=self._expired,
            evicted=self._evicted,
            waits=self._waits,
            refused=self._refused,
        )

    # -- decisions -------------------------------------------------------------------------

    def _serve(self, ticket: int, host: Hashable, now_s: float, close: list[int]) -> Grant | None:
        """A connection for one who asks, if rule 1 allows it; what has to go for it is closed."""
        while idle := self._idle_of.get(host):
            connection = next(reversed(idle))
            if self._is_old(connection, now_s):
                self._expire(connection)
                close.append(connection)
                continue
            self._lend(connection)
            return Grant(ticket, connection, False)
        per_host = self.limits.per_host
        if per_host is not None and self._of_host[host] >= per_host:
            return None
        if len(self._connections) >= self.limits.total:
            if not self._idle:
                return None
            oldest = next(iter(self._idle))  # of another host, or it would have been lent
            self._remove(oldest)
            self._evicted += 1
            close.append(oldest)
        connection = self._number()
        self._connections[connection] = _Connection(host, now_s)
        self._of_host[host] += 1
        self._created += 1
        return Grant(ticket, connection, True)

    def _serve_waiting(self, now_s: float) -> Steps:
        """One place became free: the first who can be served gets it."""
        if not self._waiting:
            return _NOTHING
        close: list[int] = []
        for ticket, host in list(self._waiting.items()):
            grant = self._serve(ticket, host, now_s, close)
            if grant:
                del self._waiting[ticket]
                return Steps(tuple(close), (grant,))
        return Steps(tuple(close))

    def _lend(self, connection: int) -> None:
        one = self._connections[connection]
        self._no_longer_idle(connection, one)
        one.idle_since_s = None
        self._reused += 1

    def _expire(self, connection: int) -> None:
        self._remove(connection)
        self._expired += 1

    def _is_old(self, connection: int, now_s: float) -> bool:
        one, limits = self._connections[connection], self.limits
        idle_s = now_s - (now_s if one.idle_since_s is None else one.idle_since_s)
        too_old = limits.age_s is not None and now_s - one.born_s > limits.age_s
        return too_old or idle_s > limits.idle_s

    def _lent(self, connection: int) -> _Connection:
        one = self._connections.get(connection)
        if one is None or one.idle_since_s is not None:
            raise ValueError(f"connection {connection} is not lent")
        return one

    def _remove(self, connection: int) -> None:
        one = self._connections.pop(connection)
        if one.idle_since_s is not None:
            self._no_longer_idle(connection, one)
        self._of_host[one.host] -= 1
        if not self._of_host[one.host]:
            del self._of_host[one.host]

    def _no_longer_idle(self, connection: int, one: _Connection) -> None:
        del self._idle[connection], self._idle_of[one.host][connection]
        if not self._idle_of[one.host]:
            del self._idle_of[one.host]

    def _number(self) -> int:
        self._next += 1
        return self._next
