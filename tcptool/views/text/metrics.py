"""The page `/metrics` of `serve`, in the text format of Prometheus, version 0.0.4.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/.  No label holds what came
from elsewhere, so nothing has to be escaped.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tcptool.model.serve import ServeStats, WorkerStats

_GAUGES: Final = {"clients": "Clients that are connected."}
_COUNTERS: Final = {
    "accepted": "Clients that came.",
    "remembered": "Answers that were still known.",
    "received_bytes": "Bytes read from clients.",
    "sent_bytes": "Bytes written to clients.",
    "turned_away": "Clients above the limit.",
    "no_descriptor": "Clients for whom no descriptor was left.",
    "timed_out": "Clients that did nothing for too long.",
    "lost": "Clients that went away in the middle of something.",
}
_CLASSES: Final = ("2xx", "3xx", "4xx", "5xx")


def metrics_page(stats: ServeStats) -> bytes:
    """Everything that `/stats` has, by worker."""
    return ("\n".join(_lines(stats)) + "\n").encode()


def _lines(stats: ServeStats) -> Iterator[str]:
    yield from _head("tcptool_serve_uptime_seconds", "gauge", "Time since the start.")
    yield f"tcptool_serve_uptime_seconds {stats.uptime_s:.3f}"
    yield from _head("tcptool_serve_worker_restarts_total", "counter", "Workers started again.")
    for number, worker in enumerate(stats.workers):
        yield f'tcptool_serve_worker_restarts_total{{worker="{number}"}} {worker.restarts}'
    for name, text in _GAUGES.items():
        yield from _of_workers(stats, f"tcptool_serve_{name}", "gauge", name, text)
    for name, text in _COUNTERS.items():
        yield from _of_workers(stats, f"tcptool_serve_{name}_total", "counter", name, text)
    yield from _head("tcptool_serve_answers_total", "counter", "Final answers by class of status.")
    for number, worker in enumerate(stats.workers):
        for kind in _CLASSES:
            value = getattr(worker.stats, f"answers_{kind}")
            labels = f'worker="{number}",code="{kind}"'
            yield f"tcptool_serve_answers_total{{{labels}}} {value}"
    yield from _times(stats)


def _times(stats: ServeStats) -> Iterator[str]:
    name = "tcptool_serve_answer_seconds"
    yield from _head(name, "gauge", "Upper bound of the time that this share of answers took.")
    shares = (("0.5", stats.p50_us), ("0.9", stats.p90_us), ("0.99", stats.p99_us))
    for share, value in (*shares, ("0.999", stats.p99_9_us)):
        if value is not None:
            yield f'{name}{{quantile="{share}"}} {value / 1e6:.9f}'


def _of_workers(stats: ServeStats, name: str, kind: str, key: str, text: str) -> Iterator[str]:
    yield from _head(name, kind, text)
    for number, worker in enumerate(stats.workers):
        yield f'{name}{{worker="{number}"}} {_value(worker.stats, key)}'


def _head(name: str, kind: str, text: str) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"


def _value(stats: WorkerStats, key: str) -> int:
    return int(getattr(stats, key))
