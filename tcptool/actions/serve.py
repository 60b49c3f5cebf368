"""`serve`: listen, keep workers running, and tell what happens until a signal ends it."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from tcptool.actions.host import host_facts
from tcptool.actions.list import Query, list_sockets
from tcptool.catalog.states import LISTEN
from tcptool.decode.projection import Rendering
from tcptool.errors import TcptoolError
from tcptool.linux.kernel import Kernel
from tcptool.linux.lookup import sockets
from tcptool.linux.owners import find_owners
from tcptool.linux.sock_diag import Dump
from tcptool.model.filter import And, Compare, Not, States
from tcptool.model.report import Warning
from tcptool.model.serve import (
    HTTP,
    ServeEnd,
    ServeEvent,
    ServePlan,
    ServeRestart,
    ServeStart,
    ServeStats,
)
from tcptool.model.socket_list import SocketList
from tcptool.sansio.filter_bytecode import compile_for_kernel
from tcptool.traffic.listeners import AddressInUse, open_listeners
from tcptool.traffic.worker import Pages, run_worker, worker_setup
from tcptool.traffic.workers import Workers, caught_signals

if TYPE_CHECKING:
    from tcptool.model.change import Assignment
    from tcptool.traffic.far_end import Channel

_OWN_DESCRIPTORS: Final = 64
"""Of a worker that are no clients: far more than it has; files that are being sent come on top."""


class Watch(Protocol):
    """Somebody who looks at the server and its connections every ``every_s`` seconds."""

    every_s: float
    rendering: Rendering
    """Of the values of the connections."""

    def most(self) -> int:
        """So many connections at most, those with the longest send queue first."""

    def look(self, stats: ServeStats, sockets: SocketList | None) -> None:
        """The figures, and the connections, unless it is a Unix socket."""


LIVE_COLUMNS: Final = (
    "peer",
    "state",
    "rtt_us",
    "snd_cwnd_packets",
    "send_queue_bytes",
    "receive_queue_bytes",
    "delivery_rate_bytes_per_s",
    "retrans_percent",
    "limited_by",
)


def serve(
    kernel: Kernel,
    plan: ServePlan,
    assignments: Sequence[Assignment],
    pages: Pages,
    tell: Callable[[ServeEvent], None],
    watch: Watch | None = None,
) -> None:
    """Serve until SIGINT, which ends it at once, or SIGTERM, which lets clients finish first.

    ``tell`` hears of the start, of workers that had to be started again, and of the end; ``watch``
    looks from the start on.  Raises TcptoolError.
    """
    setup = worker_setup(plan, pages)
    warnings = _raise_descriptor_limit(plan)
    try:
        listeners = open_listeners(kernel, plan, assignments)
    except AddressInUse as exc:
        raise _with_holder(kernel, plan, exc) from exc

    def work(number: int, listener: socket.socket, channel: Channel) -> None:
        run_worker(setup, number, listener, channel)

    def restarted(why: str, old_pid: int, new_pid: int) -> None:
        tell(
            ServeRestart(
                event="restart",
                why=why,
                old_pid=old_pid,
                new_pid=new_pid,
                host=host_facts(kernel),
                missing=[],
                warnings=[],
            )
        )

    with contextlib.ExitStack() as opened:
        opened.callback(_remove_name, plan)
        signals = opened.enter_context(caught_signals())
        workers = Workers(listeners, work, restarted)
        opened.callback(workers.end)
        name = listeners[0].getsockname()
        workers.start()
        tell(_start(kernel, plan, name, workers.pids, warnings))

        def look() -> None:
            if watch:
                watch.look(setup.board.stats(), _connections(kernel, name, plan, watch))

        ended_by = workers.run(signals, watch.every_s if watch else None, look)
        if ended_by != signal.SIGINT:
            workers.drain(signals, plan.grace_s)
        workers.end()
        stats = setup.board.stats()
    tell(
        ServeEnd(
            event="end",
            ended_by=ended_by.name,
            cut_off=stats.total.clients,
            stats=stats,
            host=host_facts(kernel),
            missing=[],
            warnings=[],
        )
    )


def _start(
    kernel: Kernel, plan: ServePlan, name: Any, pids: tuple[int, ...], warnings: list[Warning]
) -> ServeStart:
    address, port = (plan.address, None) if plan.unix else name[:2]
    host = f"[{address}]" if ":" in address else address
    return ServeStart(
        event="start",
        address=address,
        port=port,
        url=f"http://{host}:{port}/" if plan.mode == HTTP and not plan.unix else None,
        mode=plan.mode,
        misbehave=plan.misbehave,
        workers=pids,
        host=host_facts(kernel),
        missing=[],
        warnings=warnings,
    )


def _connections(kernel: Kernel, name: Any, plan: ServePlan, watch: Watch) -> SocketList | None:
    if plan.unix:
        return None
    query = Query(
        columns=LIVE_COLUMNS,
        where=And((Compare("local_port", "=", name[1]), Not(States(frozenset({LISTEN}))))),
        sort=("send_queue_bytes", True),
        limit=watch.most(),
    )
    return list_sockets(kernel, query, watch.rendering)


def _raise_descriptor_limit(plan: ServePlan) -> list[Warning]:
    """A client is a descriptor, and 1024 is the usual soft limit.  Workers inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    each = -(-plan.max_clients // plan.workers)
    wanted = each + _OWN_DESCRIPTORS
    if hard != resource.RLIM_INFINITY and wanted > hard:
        wanted = hard
    if soft != resource.RLIM_INFINITY and wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    if wanted >= each + _OWN_DESCRIPTORS:
        return []
    text = (
        f"a worker may have {hard} descriptors, too few for {each} clients: those beyond are "
        "turned away; see `ulimit -Hn`, or --workers"
    )
    return [Warning("few-descriptors", text)]


def _remove_name(plan: ServePlan) -> None:
    if plan.unix:
        with contextlib.suppress(OSError):
            os.unlink(plan.address)


def _with_holder(kernel: Kernel, plan: ServePlan, exc: AddressInUse) -> AddressInUse:
    """Say who listens there, as far as it can be seen."""
    if plan.unix:
        return exc
    where = And((States(frozenset({LISTEN})), Compare("local_port", "=", plan.port)))
    try:
        listening = [
            one
            for one in sockets(Dump(kernel, bytecode=compile_for_kernel(where).bytecode))
            if one.state == "listen" and one.local.port == plan.port
        ]
        owners = find_owners(
            kernel.proc, kernel.netns_inode(), wanted={one.inode for one in listening if one.inode}
        )
    except (OSError, TcptoolError):
        return exc
    held = [holder for one in listening for holder in owners.of(one.inode)]
    if not held:
        return exc
    who = ", ".join(f"{one.process.name} ({one.process.pid}:{one.fd})" for one in held)
    return AddressInUse(exc.doing, f"{exc.why}: held by {who}", exc.hint)
