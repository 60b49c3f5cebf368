"""What one worker of `serve` is made of: the server of a listener, and the service it gives."""

from __future__ import annotations

import contextlib
import os
import socket
import traceback
from collections.abc import Callable
from typing import Final, NamedTuple

from tcptool.catalog import misbehaviours
from tcptool.errors import TcptoolError
from tcptool.model.serve import HTTP, SINK, ServePlan, ServeStats
from tcptool.traffic.access_log import AccessLog
from tcptool.traffic.counters import Board
from tcptool.traffic.far_end import Channel
from tcptool.traffic.files import Files
from tcptool.traffic.http import HttpService
from tcptool.traffic.misbehave import Corked, HalfClosing, Resetting
from tcptool.traffic.server import Server, Service
from tcptool.traffic.site import Site
from tcptool.traffic.streams import Chargen, NoRead, Sink, SlowRead

_SLOW_ACCEPTS_PER_S: Final = 1.0
_STANDARD_ERROR: Final = 2


class Pages(NamedTuple):
    """How figures are shown to clients: as JSON, and in the text format of Prometheus."""

    stats: Callable[[ServeStats], bytes]
    metrics: Callable[[ServeStats], bytes]


class WorkerSetup(NamedTuple):
    """What all workers share; opened before they are forked, so that what cannot be is told."""

    plan: ServePlan
    pages: Pages
    board: Board
    files: Files | None
    log: AccessLog | None


def worker_setup(plan: ServePlan, pages: Pages) -> WorkerSetup:
    """Raises TcptoolError for a directory or a log that cannot be opened."""
    files = Files(plan.root) if plan.root is not None else None
    log = AccessLog(plan.access_log, _complain) if plan.access_log is not None else None
    return WorkerSetup(plan, pages, Board(plan.workers), files, log)


def run_worker(setup: WorkerSetup, number: int, listener: socket.socket, channel: Channel) -> None:
    """Serve the listener until the channel says otherwise."""
    plan, board = setup.plan, setup.board
    counters = board.start(number, os.getpid())

    def publish() -> None:
        board.publish(number, counters)

    server = Server(
        listener,
        channel,
        counters,
        publish,
        _complain,
        max_clients=-(-plan.max_clients // plan.workers),
        idle_timeout_s=plan.idle_timeout_s,
        accepts_per_s=_SLOW_ACCEPTS_PER_S if plan.misbehave == misbehaviours.SLOW_ACCEPT else None,
    )
    try:
        server.run(_service(setup, server, publish))
    except (OSError, TcptoolError):
        raise  # the channel tells
    except Exception as exc:
        at = traceback.extract_tb(exc.__traceback__)[-1]
        _complain(
            f"internal error in worker {os.getpid()}: {type(exc).__name__}: {exc} "
            f"({at.filename}:{at.lineno}); this is a bug in tcptool, please report it"
        )
        raise


def _service(setup: WorkerSetup, server: Server, publish: Callable[[], None]) -> Service:
    plan, pages = setup.plan, setup.pages
    if plan.misbehave in (misbehaviours.NO_READ, misbehaviours.SLOW_READ):
        return NoRead(server) if plan.misbehave == misbehaviours.NO_READ else SlowRead(server)
    if plan.mode != HTTP:
        return Sink(server) if plan.mode == SINK else Chargen(server)

    def shown(view: Callable[[ServeStats], bytes]) -> bytes:
        service.settle()
        publish()
        return view(setup.board.stats())

    site = Site(setup.files, lambda: shown(pages.stats), lambda: shown(pages.metrics))
    kind = _HTTP.get(plan.misbehave or "", HttpService)
    service = kind(server, site, _complain, setup.log)
    return service


_HTTP: Final[dict[str, type[HttpService]]] = {
    misbehaviours.RST: Resetting,
    misbehaviours.CORKED: Corked,
    misbehaviours.HALF_CLOSE: HalfClosing,
}


def _complain(text: str) -> None:
    """A worker has nobody but whoever reads standard error to tell what went wrong."""
    with contextlib.suppress(OSError):
        os.write(_STANDARD_ERROR, f"tcptool: {text}\n".encode(errors="backslashreplace"))
