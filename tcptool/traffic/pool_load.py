"""Threads that ask an HTTP server through a pool, for `probe pool`: a block at a time.

Each block has a pool of its own, and so begins without a connection.  In a closed loop a thread
asks when its answer is there; in an open loop requests are due by a schedule, and count from
then.  The server is a worker of `serve` in a child, or another program.
"""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from tcptool.decode.options import encode_option
from tcptool.errors import NotFound, TcptoolError
from tcptool.linux.kernel import Kernel
from tcptool.model.pool_probe import FRESH, WAIT, PoolMoment, PoolPlan, PoolReading
from tcptool.model.probe import Settings
from tcptool.model.serve import HTTP, ServePlan
from tcptool.sansio.pool_policy import PoolLimits
from tcptool.traffic import ends
from tcptool.traffic.far_end import Channel, FarEnd, far_end
from tcptool.traffic.http_client import Stale, Url, get, parse_url
from tcptool.traffic.listeners import open_listeners
from tcptool.traffic.pool import OPTIONS, Pool, PoolFull, RawOption
from tcptool.traffic.worker import Pages, run_worker, worker_setup

if TYPE_CHECKING:
    from tcptool.model.change import Assignment

_LOOKS_PER_S: Final = 100.0
_MOST_MOMENTS: Final = 400
"""Of a timeline: longer blocks are looked at less often."""
_MOST_FAILURES: Final = 100
"""Of a thread in a row: then the server is gone, and going on would only count failures."""


class Load:
    """A server and the threads that ask it.  ``settings`` is what was in force on a connection."""

    def __init__(
        self,
        kernel: Kernel,
        plan: PoolPlan,
        url: Url,
        address: ends.Address,
        options: Sequence[RawOption],
        far: FarEnd | None,
        settings: Settings,
    ) -> None:
        self._kernel, self._plan, self._url, self._far = kernel, plan, url, far
        self._options = options
        self.address, self.settings = address, settings

    def block(
        self, arm: str, requests: int | None, duration_s: float | None, *, rest_s: float
    ) -> PoolReading:
        """So many requests, or for so long, on a new pool.  Raises TcptoolError, and Ctrl-C."""
        plan = self._plan
        pool = Pool(
            PoolLimits(total=plan.limit),
            check="none" if arm == FRESH else arm,
            options=self._options,
            make_socket=self._kernel.own_socket,
        )
        block = _Block(plan, pool, self._url, arm == FRESH)
        cpu_s = time.process_time()
        with pool:
            halves = 2 if rest_s else 1
            for half in range(halves):
                if half:
                    time.sleep(rest_s)  # a rest that was asked for, not a wait
                share = None if requests is None else _share(requests, half, halves)
                block.run(share, None if duration_s is None else duration_s / halves)
        if block.error:
            self._explain()
            raise block.error
        return block.reading(pool, time.process_time() - cpu_s)

    def _explain(self) -> None:
        if self._far:
            self._far.explain()


def _share(requests: int, half: int, halves: int) -> int:
    return requests * (half + 1) // halves - requests * half // halves


class _Block:
    """What the threads of a block share."""

    def __init__(self, plan: PoolPlan, pool: Pool, url: Url, fresh: bool) -> None:
        self._plan, self._pool, self._url, self._fresh = plan, pool, url, fresh
        self._request = url.request
        self._lock = threading.Lock()
        self._elapsed_s = 0.0
        self._fresh_us: list[float] = []
        self._reused_us: list[float] = []
        self._connect_us: list[float] = []
        self._ports: set[int] = set()
        self._failures: Counter[str] = Counter()
        self._late = 0
        self._timeline: list[PoolMoment] = []
        self._stop = threading.Event()
        self.error: TcptoolError | None = None

    def run(self, requests: int | None, duration_s: float | None) -> None:
        """Until all threads are done; Ctrl-C ends them first."""
        begun_s = time.monotonic()
        end_s = None if duration_s is None else begun_s + duration_s
        numbers = itertools.count()
        threads = [
            threading.Thread(target=self._ask, args=(numbers, requests, begun_s, end_s))
            for _ in range(self._plan.concurrency)
        ]
        try:
            for one in threads:
                one.start()
            self._look_on(threads, begun_s)
        finally:
            self._stop.set()
            for one in threads:
                if one.ident is not None:
                    one.join()
            self._stop.clear()
        self._elapsed_s += time.monotonic() - begun_s

    def _look_on(self, threads: list[threading.Thread], begun_s: float) -> None:
        """Note what the pool has, until the threads end."""
        pause_s = 1 / _LOOKS_PER_S
        for one in threads:
            while one.is_alive():
                one.join(pause_s)
                statistics = self._pool.statistics()
                elapsed_s = self._elapsed_s + time.monotonic() - begun_s
                moment = PoolMoment(elapsed_s, statistics.in_use, statistics.idle)
                self._timeline.append(moment)
                if len(self._timeline) >= _MOST_MOMENTS:
                    del self._timeline[1::2]
                    pause_s *= 2

    def _ask(
        self, numbers: Iterator[int], requests: int | None, begun_s: float, end_s: float | None
    ) -> None:
        per_s = self._plan.requests_per_s
        failed_in_a_row = 0
        while not self._stop.is_set():
            number = next(numbers)
            if requests is not None and number >= requests:
                return
            due_s = time.monotonic()
            if per_s is not None:
                due_s = begun_s + number / per_s
                if end_s is not None and due_s >= end_s:
                    return
                if (wait_s := due_s - time.monotonic()) > 0:
                    self._stop.wait(wait_s)
            elif end_s is not None and due_s >= end_s:
                return
            late = per_s is not None and time.monotonic() - due_s > 1 / per_s
            failed_in_a_row = 0 if self._ask_once(due_s, late) else failed_in_a_row + 1
            if failed_in_a_row >= _MOST_FAILURES:
                return

    def _ask_once(self, due_s: float, late: bool) -> bool:
        try:
            answer = get(
                self._pool,
                self._url,
                self._request,
                self._plan.timeout_s,
                fresh=self._fresh,
                may_wait=self._plan.when_full == WAIT,
            )
        except TcptoolError as exc:
            with self._lock:
                self._failures[_KINDS.get(exc.code, "failed")] += 1
                self._late += late
                if not isinstance(exc, Stale | PoolFull):
                    self.error = self.error or exc
                    if not self._reused_us and not self._fresh_us:
                        self._stop.set()  # nothing has ever been answered
            return False
        elapsed_us = (time.monotonic() - due_s) * 1e6
        with self._lock:
            self._late += late
            if answer.connect_s is None:
                self._reused_us.append(elapsed_us)
            else:
                self._fresh_us.append(elapsed_us)
                self._connect_us.append(answer.connect_s * 1e6)
                self._ports.add(answer.port)
        return True

    def reading(self, pool: Pool, cpu_s: float) -> PoolReading:
        """What the block gave."""
        statistics = pool.statistics()
        return PoolReading(
            elapsed_s=self._elapsed_s,
            near_cpu_s=cpu_s,
            fresh_us=self._fresh_us,
            reused_us=self._reused_us,
            connect_us=self._connect_us,
            failures=self._failures,
            created=statistics.created,
            invalid_found=statistics.invalid_found,
            stale_handed_out=statistics.stale_handed_out,
            waits=statistics.waits,
            late=self._late,
            ports=frozenset(self._ports),
            timeline=tuple(self._timeline),
        )


_KINDS: Final = {"stale_connection": "stale", "pool_full": "no connection free"}
"""What a failure is called in the report, by the code of its error."""


# -- the server ----------------------------------------------------------------------------


@contextmanager
def open_load(
    kernel: Kernel, plan: PoolPlan, assignments: Sequence[Assignment], far_cpu: int | None
) -> Iterator[Load]:
    """Start a server, unless there is one, and try one connection to it."""
    options: list[RawOption] = [*OPTIONS]
    for one in assignments:
        options.append((one.option.level, one.option.number, encode_option(one.option, one.value)))
    if plan.target is not None:
        url = parse_url(plan.target)
        address = _address(url, plan)
        yield _tried(kernel, plan, url, address, assignments, options, None)
        return
    serve_plan = _serve_plan(plan)
    setup = worker_setup(serve_plan, Pages(lambda _: b"", lambda _: b""))
    (listener,) = open_listeners(kernel, serve_plan, assignments)
    with listener:
        family, name = listener.family, listener.getsockname()

        def work(channel: Channel) -> None:
            run_worker(setup, 0, listener, channel)

        with far_end("server", work, cpu=far_cpu) as far:
            listener.close()  # or connections would wait in its queue when the server has gone
            address = ends.Address(family, name)
            url = Url(name[0], name[1], f"/bytes/{plan.size_bytes}")
            yield _tried(kernel, plan, url, address, assignments, options, far)


def _tried(
    kernel: Kernel,
    plan: PoolPlan,
    url: Url,
    address: ends.Address,
    assignments: Sequence[Assignment],
    options: Sequence[RawOption],
    far: FarEnd | None,
) -> Load:
    with ends.connect(kernel, address, assignments, plan.timeout_s) as trial:
        settings = ends.settings(kernel, trial, assignments, None)
        ends.reset_at_close(trial)
    return Load(kernel, plan, url, address, options, far, settings)


def _address(url: Url, plan: PoolPlan) -> ends.Address:
    family = socket.AF_INET6 if plan.path == "ipv6" else socket.AF_UNSPEC
    try:
        found = socket.getaddrinfo(url.host, url.port, family, socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as exc:
        raise NotFound(f"looking up {url.host!r}", str(exc), "Give a name that resolves.") from exc
    chosen, _, _, _, name = found[0]
    return ends.Address(chosen, name)


def _serve_plan(plan: PoolPlan) -> ServePlan:
    return ServePlan(
        address="::1" if plan.path == "ipv6" else "127.0.0.1",
        port=0,
        unix=False,
        mode=HTTP,
        misbehave=None,
        root=None,
        workers=1,
        backlog=4096,
        max_clients=1 << 20,
        idle_timeout_s=plan.server_closes_after_s or 3600.0,
        grace_s=0.0,
        access_log=None,
    )
