"""A thread-safe pool of connections, around the decisions of sansio/pool_policy.py.

    with Pool() as pool, pool.lend("192.0.2.7", 80, timeout_s=5) as connection:
        connection.sock.sendall(...)

Names are looked up, connections opened and closed outside the lock; only decisions are made
inside.  A connection that is left by an exception, or on which something stands that nobody has
read, is closed and never lent again.  After a fork the child has an empty pool.

For HTTP there are urllib3 and httpx; this is for measuring what a pool is worth, and for showing
how one is made.  Sources: tcp(7), recv(2), poll(2); RFC 8305 for trying addresses in turn.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Self

from tcptool.catalog import pool_checks
from tcptool.errors import NotFound, TcptoolError, UsageError, describe_errno
from tcptool.model.pool import PoolStatistics
from tcptool.sansio.pool_policy import Grant, PoolLimits, PoolPolicy, Steps

CLEANED_EVERY_S: Final = 10.0
"""What the guide's pool does; it costs nothing worth naming."""

RawOption = tuple[int, int, int | bytes]

OPTIONS: Final[tuple[RawOption, ...]] = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)
"""Those of the guide: requests leave at once, and a peer that has gone is noticed in 75 s."""

Place = tuple[str, int]
"""Host and port."""


class PoolClosed(TcptoolError):
    """The pool was closed."""

    code = "pool_closed"


class PoolFull(TcptoolError):
    """No connection was free: at once where waiting was not wanted, else in time."""

    code = "pool_full"


class Connection:
    """One that is lent.  ``reused`` if it was there already, else ``connect_s`` is what it took.

    ``sock`` blocks, and must do so when it is given back.  ``timeout_s`` is for whoever uses it:
    what it has set on the socket, None at first.
    """

    __slots__ = (
        "_pool", "connect_s", "number", "place", "policy", "reused", "sock", "timeout_s", "usable",
    )  # fmt: skip

    def __init__(
        self, pool: Pool, policy: PoolPolicy, number: int, place: Place, sock: socket.socket
    ) -> None:
        self._pool, self.policy, self.number = weakref.ref(pool), policy, number
        self.place, self.sock = place, sock
        self.reused = False
        self.connect_s: float | None = None
        self.timeout_s: float | None = None
        self.usable = True

    def discard(self) -> None:
        """It must not be lent again, as after an answer that ends with the connection."""
        self.usable = False

    def was_stale(self) -> None:
        """It was dead when it was lent: the check had not seen that."""
        self.usable = False
        if pool := self._pool():
            pool.count_stale()


class _Waiter:
    """One who waits for a grant, which comes with ``event``."""

    __slots__ = ("event", "grant")

    def __init__(self) -> None:
        self.event = threading.Event()
        self.grant: Grant | None = None


class Pool:
    """Connections to any number of hosts, lent to one at a time; see ``PoolLimits``."""

    def __init__(
        self,
        limits: PoolLimits | None = None,
        *,
        check: str = pool_checks.DEFAULT_CHECK,
        options: Sequence[RawOption] = OPTIONS,
        make_socket: Callable[[int], socket.socket] | None = None,
    ) -> None:
        """``check`` is one of catalog/pool_checks.py; ``options`` are set on each socket.

        Raises UsageError for a check that there is not.
        """
        if check not in _CHECKS:
            raise UsageError("making a pool", f"there is no check {check!r}")
        self._limits = limits or PoolLimits()
        self._is_dead, self._options = _CHECKS[check], tuple(options)
        self._make_socket = make_socket or _new_socket
        self._begin()
        _pools.add(self)

    def _begin(self) -> None:
        """As it is at first, and again in a child that was forked."""
        self._lock = threading.Lock()
        self._policy = PoolPolicy(self._limits)
        self._idle: dict[int, Connection] = {}
        self._waiters: dict[int, _Waiter] = {}
        self._closed = False
        self._invalid = self._stale = 0
        self._cleaner: threading.Thread | None = None
        self._ended = threading.Event()

    # -- lending ---------------------------------------------------------------------------

    @contextmanager
    def lend(
        self, host: str, port: int, *, timeout_s: float, may_wait: bool = True
    ) -> Iterator[Connection]:
        """A connection for the block, opened within the time if there is none.

        It goes back at the end, unless the block was left by an exception.  Raises PoolClosed,
        PoolFull, NotFound for a name that does not exist, and TcptoolError for a connection that
        cannot be made.
        """
        connection = self.take(host, port, timeout_s=timeout_s, may_wait=may_wait)
        try:
            yield connection
        except BaseException:
            connection.usable = False
            raise
        finally:
            self.give_back(connection)

    def take(self, host: str, port: int, *, timeout_s: float, may_wait: bool = True) -> Connection:
        """As ``lend``, without a block: whoever takes it has to ``give_back``."""
        place = (host, port)
        now_s = time.monotonic()
        end_s = now_s + timeout_s
        with self._lock:
            if self._closed:
                raise PoolClosed(_doing(place), "the pool is closed")
            ticket, steps = self._policy.ask(place, now_s, may_wait=may_wait)
            doomed = self._doomed(steps)
            grant, connection, waiter = None, None, None
            if steps.grants:
                (grant,) = steps.grants
                connection = self._idle.pop(grant.connection, None)
            elif may_wait:
                waiter = self._waiters[ticket] = _Waiter()
        if doomed:
            _close(doomed)
        if waiter is not None:
            grant, connection = self._wait(ticket, waiter, place, end_s)
        if grant is None:
            raise PoolFull(_doing(place), f"all {self._limits.total} connections are in use")
        while connection is not None:
            if not self._is_dead(connection.sock):
                connection.reused, connection.connect_s = True, None
                return connection
            with self._lock:
                self._invalid += 1
                steps = self._policy.exchange(ticket, grant.connection, time.monotonic())
                (grant,) = steps.grants
                doomed = [connection, *self._doomed(steps)]
                connection = self._idle.pop(grant.connection, None)
            _close(doomed)
        return self._open(grant.connection, place, end_s)

    def _wait(
        self, ticket: int, waiter: _Waiter, place: Place, end_s: float
    ) -> tuple[Grant, Connection | None]:
        """Until there is a grant, and what it is for: None has to be opened first.

        Raises PoolFull after the time, and PoolClosed.
        """
        waiter.event.wait(max(0.0, end_s - time.monotonic()))
        with self._lock:
            self._waiters.pop(ticket, None)
            if waiter.grant is not None:
                return waiter.grant, self._idle.pop(waiter.grant.connection, None)
            self._policy.withdraw(ticket)
            closed = self._closed
        if closed:
            raise PoolClosed(_doing(place), "the pool was closed meanwhile")
        raise PoolFull(
            _doing(place),
            f"none of {self._limits.total} connections came back in time",
            "A larger limit, or quicker answers.",
        )

    def _open(self, number: int, place: Place, end_s: float) -> Connection:
        begun_s = time.monotonic()
        try:
            sock = self._connect(place, end_s)
        except BaseException:
            with self._lock:
                doomed = self._carry_out(self._policy.lose(number, time.monotonic()))
            _close(doomed)
            raise
        connection = Connection(self, self._policy, number, place, sock)
        connection.connect_s = time.monotonic() - begun_s
        return connection

    def _connect(self, place: Place, end_s: float) -> socket.socket:
        """To the first of its addresses that answers, tried in turn within the time."""
        host, port = place
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError) as exc:
            raise NotFound(f"looking up {host!r}", str(exc), "Give a name that resolves.") from exc
        error: OSError = TimeoutError()
        for number, (family, _, _, _, name) in enumerate(found):
            # One that does not answer leaves time for the others.
            share_s = (end_s - time.monotonic()) / (len(found) - number)
            if share_s <= 0:
                break
            try:
                return self._connect_to(family, name, share_s)
            except OSError as exc:
                error = exc
        if isinstance(error, TimeoutError):
            hint = "Is it the right host, and no firewall?"
            raise TcptoolError(_doing(place), "no answer in time", hint) from error
        raise TcptoolError(_doing(place), describe_errno(error.errno or 0)) from error

    def _connect_to(self, family: int, name: Any, timeout_s: float) -> socket.socket:
        sock = self._make_socket(family)
        try:
            for option in self._options:
                sock.setsockopt(*option)
            sock.settimeout(timeout_s)
            sock.connect(name)
            sock.settimeout(None)  # one that Python waits for would wait in the checks, too
        except BaseException:
            sock.close()
            raise
        return sock

    def give_back(self, connection: Connection) -> None:
        """The end of what ``take`` began; a connection that is not clean is closed."""
        usable = connection.usable
        if usable and self._is_dead is not _peek_is_dead:  # else it will be seen at the next lend
            usable = not _peek_is_dead(connection.sock)
        doomed: list[Connection] = []
        with self._lock:
            now_s = time.monotonic()
            usable = usable and not self._closed and connection.policy is self._policy
            if usable:
                self._idle[connection.number] = connection
                doomed = self._carry_out(self._policy.give_back(connection.number, now_s))
                if self._cleaner is None:
                    self._start_cleaner()
            elif connection.policy is self._policy:
                doomed = self._carry_out(self._policy.lose(connection.number, now_s))
        if not usable:
            doomed.append(connection)
        if doomed:
            _close(doomed)

    # -- under the lock --------------------------------------------------------------------

    def _carry_out(self, steps: Steps) -> list[Connection]:
        """Wake those who are served; returns what is to be closed, without the lock."""
        for grant in steps.grants:
            waiter = self._waiters.pop(grant.ticket)
            waiter.grant = grant
            waiter.event.set()
        return self._doomed(steps)

    def _doomed(self, steps: Steps) -> list[Connection]:
        return [self._idle.pop(number) for number in steps.close]

    def _start_cleaner(self) -> None:
        self._cleaner = threading.Thread(
            target=_clean, args=(weakref.ref(self), self._ended), daemon=True
        )
        self._cleaner.start()

    # -- the rest --------------------------------------------------------------------------

    def clean(self) -> None:
        """Close what is idle for too long, or too old."""
        with self._lock:
            doomed = self._doomed(self._policy.clean(time.monotonic()))
        _close(doomed)

    def count_stale(self) -> None:
        """A connection that was handed out turned out to be dead."""
        with self._lock:
            self._stale += 1

    def statistics(self) -> PoolStatistics:
        """As they are now."""
        with self._lock:
            counts = self._policy.counts()
            return PoolStatistics(
                total=counts.in_use + counts.idle,
                in_use=counts.in_use,
                idle=counts.idle,
                limit=self._limits.total,
                waiting=counts.waiting,
                created=counts.created,
                reused=counts.reused,
                expired=counts.expired,
                evicted=counts.evicted,
                invalid_found=self._invalid,
                stale_handed_out=self._stale,
                waits=counts.waits,
                refused=counts.refused,
            )

    def close(self) -> None:
        """Close what is idle, and wake who waits; what is lent is closed when it comes back."""
        with self._lock:
            self._closed = True
            doomed = self._doomed(self._policy.close())
            waiters = list(self._waiters.values())
            self._waiters.clear()
        self._ended.set()
        for one in waiters:
            one.event.set()
        _close(doomed)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()

    def forget_after_fork(self) -> None:
        """In a child: the connections are its parent's, who goes on using them.

        Closing a duplicate sends nothing.
        """
        idle = list(self._idle.values())
        self._begin()
        _close(idle)


_pools: Final[weakref.WeakSet[Pool]] = weakref.WeakSet()


def _forget_all() -> None:
    for pool in list(_pools):
        pool.forget_after_fork()


os.register_at_fork(after_in_child=_forget_all)


def _clean(reference: weakref.ref[Pool], ended: threading.Event) -> None:
    """What the cleaner does; it keeps no pool alive that nobody else knows."""
    while not ended.wait(CLEANED_EVERY_S):
        pool = reference()
        if pool is None:
            return
        pool.clean()
        del pool


def _close(connections: Iterable[Connection]) -> None:
    for one in connections:
        one.sock.close()


def _doing(place: Place) -> str:
    host, port = place
    return f"connecting to {f'[{host}]' if ':' in host else host}:{port}"


def _new_socket(family: int) -> socket.socket:
    return socket.socket(family, socket.SOCK_STREAM)


# -- checks: whether an idle connection is dead, as far as each can see --------------------


def _nothing(sock: socket.socket) -> bool:
    return False


def _so_error(sock: socket.socket) -> bool:
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0


def _rdhup(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP)
    return bool(poll.poll(0))


def _tcp_info(sock: socket.socket) -> bool:
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != _ESTABLISHED


def _peek_is_dead(sock: socket.socket) -> bool:
    """Closed, reset, or with bytes on it that would be taken for the next answer.

    Whether recv(2) with MSG_PEEK would say anything but EAGAIN, which is an exception in Python:
    poll(2) tells the same in a third of the time.
    """
    poll = select.poll()
    poll.register(sock, select.POLLIN | select.POLLRDHUP)
    return bool(poll.poll(0))


_ESTABLISHED: Final = 1  # include/net/tcp_states.h
_CHECKS: Final[dict[str, Callable[[socket.socket], bool]]] = {
    pool_checks.NONE: _nothing,
    pool_checks.SO_ERROR: _so_error,
    pool_checks.TCP_INFO: _tcp_info,
    pool_checks.RDHUP: _rdhup,
    pool_checks.PEEK: _peek_is_dead,
}
