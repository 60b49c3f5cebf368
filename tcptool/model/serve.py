"""What `serve` was asked to do, what its workers count, and what it tells when."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from tcptool.model.report import Host, Missing, Warning

HTTP: Final = "http"
SINK: Final = "sink"
CHARGEN: Final = "chargen"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServePlan:
    """What to serve, and within which limits.

    ``address`` is a host to bind, or with ``unix`` a path; ``port`` 0 lets the kernel choose.
    ``mode`` is ``http``, ``sink`` (read and drop) or ``chargen`` (write for ever); ``misbehave``
    one of catalog/misbehaviours.py, or None.  ``max_clients`` are those of all workers together.
    ``idle_timeout_s`` is how long a client may do nothing, or take to send a head; ``grace_s``
    how long clients may take to finish after SIGTERM.  ``access_log`` is a file, or ``-`` for
    standard error.
    """

    address: str
    port: int
    unix: bool
    mode: str
    misbehave: str | None
    root: str | None
    workers: int
    backlog: int
    max_clients: int
    idle_timeout_s: float
    grace_s: float
    access_log: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStats:
    """What one worker, or all of them, did since the start; all grow but ``clients``.

    ``clients`` are connected now.  Answers are final ones, by class of status; ``remembered`` of
    them were to bytes that had been answered in the same second.  ``turned_away`` clients were
    above the limit, and ``no_descriptor`` came when the process had no descriptor left; both
    got a 503.  ``timed_out`` clients did nothing for too long.  ``lost`` ones went away, or reset
    the connection, in the middle of something.
    """

    clients: int
    accepted: int
    answers: int
    answers_2xx: int
    answers_3xx: int
    answers_4xx: int
    answers_5xx: int
    remembered: int
    received_bytes: int
    sent_bytes: int
    turned_away: int
    no_descriptor: int
    timed_out: int
    lost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A worker: its process, how often it had to be started again, and what it did."""

    pid: int
    restarts: int
    stats: WorkerStats


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeStats:
    """What a server did so far.

    An answer counts with the time of the whole turn of the loop that it was made in, from the
    return of epoll_wait(2), so the percentiles are upper bounds (and each is that of a bucket 9 %
    wide).  They are None before there was an answer.
    """

    uptime_s: float
    total: WorkerStats
    p50_us: float | None
    p90_us: float | None
    p99_us: float | None
    p99_9_us: float | None
    workers: tuple[Worker, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeStart:
    """Where it listens.  Without a ``port`` it is a Unix socket, without a ``url`` no HTTP."""

    event: str
    address: str
    port: int | None
    url: str | None
    mode: str
    misbehave: str | None
    workers: tuple[int, ...]
    host: Host = field(metadata={"internal": True})
    missing: list[Missing] = field(metadata={"internal": True})
    warnings: list[Warning] = field(metadata={"internal": True})


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeRestart:
    """A worker died, and another took its place."""

    event: str
    why: str
    old_pid: int
    new_pid: int
    host: Host = field(metadata={"internal": True})
    missing: list[Missing] = field(metadata={"internal": True})
    warnings: list[Warning] = field(metadata={"internal": True})


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeEnd:
    """How it ended: ``ended_by`` is a signal.  ``cut_off`` clients were not finished by then."""

    event: str
    ended_by: str
    cut_off: int
    stats: ServeStats
    host: Host = field(metadata={"internal": True})
    missing: list[Missing] = field(metadata={"internal": True})
    warnings: list[Warning] = field(metadata={"internal": True})


ServeEvent = ServeStart | ServeRestart | ServeEnd
