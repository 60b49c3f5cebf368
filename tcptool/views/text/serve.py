"""What `serve` tells as text: where it listens, what became of workers, and a summary."""

from __future__ import annotations

from typing import IO

from tcptool.model.serve import ServeEnd, ServeEvent, ServeRestart, ServeStart, WorkerStats
from tcptool.units import Unit, human
from tcptool.views.clean import clean
from tcptool.views.look import Look
from tcptool.views.terminal.console import plain_micro


def write(event: ServeEvent, out: IO[str], look: Look) -> None:
    """Write what happened, and flush: somebody may wait for it."""
    out.writelines(f"{plain_micro(line, look)}\n" for line in lines(event))
    out.flush()


def lines(event: ServeEvent) -> list[str]:
    """What happened, in one line, and the end in several."""
    if isinstance(event, ServeStart):
        return [_start(event)]
    if isinstance(event, ServeRestart):
        why = clean(event.why)
        return [f"worker {event.old_pid} ended ({why}); {event.new_pid} took its place"]
    return _end(event)


def _start(event: ServeStart) -> str:
    if event.url:
        where = event.url
    elif event.port is None:
        where = f"the Unix socket {clean(event.address)}"
    else:
        host = f"[{event.address}]" if ":" in event.address else event.address
        where = f"{host}:{event.port}"
    what = f", misbehaving: {event.misbehave}" if event.misbehave else ""
    mode = "" if event.mode == "http" else f" ({event.mode})"
    pids = ", ".join(map(str, event.workers))
    return f"serving {where}{mode}{what}, worker{'s' * (len(event.workers) > 1)} {pids}"


def _end(event: ServeEnd) -> list[str]:
    stats, total = event.stats, event.stats.total
    said = [
        f"ended by {event.ended_by} after {human(round(stats.uptime_s, 1), Unit.SECONDS)}: "
        f"{_count(total.accepted, 'client')}, {_count(total.answers, 'answer')}, "
        f"{human(total.received_bytes, Unit.BYTES)} in, {human(total.sent_bytes, Unit.BYTES)} out"
    ]
    if stats.p50_us is not None and stats.p99_us is not None:
        p50, p99 = (human(round(one), Unit.MICROSECONDS) for one in (stats.p50_us, stats.p99_us))
        said.append(f"time of an answer here: p50 {p50}, p99 {p99} at most")
    return said + _troubles(total, event.cut_off)


def _count(number: int, noun: str) -> str:
    return f"{human(number, Unit.COUNT)} {noun}{'s' * (number != 1)}"


def _troubles(total: WorkerStats, cut_off: int) -> list[str]:
    """What did not go well, if anything."""
    found = (
        (
            total.answers_4xx,
            "answer refused the request (4xx)",
            "answers refused the request (4xx)",
        ),
        (total.answers_5xx, "answer told of a failure (5xx)", "answers told of a failure (5xx)"),
        (total.turned_away, "client above --max-clients", "clients above --max-clients"),
        (total.no_descriptor, "client had no descriptor left", "clients had no descriptor left"),
        (total.timed_out, "client was idle for too long", "clients were idle for too long"),
        (total.lost, "client went away in between", "clients went away in between"),
        (cut_off, "client was cut off at the end", "clients were cut off at the end"),
    )
    return [
        f"{human(number, Unit.COUNT)} {one if number == 1 else many}"
        for number, one, many in found
        if number
    ]
