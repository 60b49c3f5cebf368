"""What `serve` tells: in lines, on a screen, and to Prometheus."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from tcptool.catalog.columns import COLUMNS
from tcptool.model.report import Host, Warning
from tcptool.model.serve import (
    ServeEnd,
    ServeEvent,
    ServeRestart,
    ServeStart,
    ServeStats,
    Worker,
    WorkerStats,
)
from tcptool.model.socket_list import SocketList
from tcptool.views.json.serve import stats_page
from tcptool.views.look import Look
from tcptool.views.terminal.serve import LiveView
from tcptool.views.text import serve as text
from tcptool.views.text.metrics import metrics_page

HOST = Host("web1", "6.18.44", "2026-01-02T03:04:05.123Z")
NOTHING: dict[str, Any] = {"host": HOST, "missing": [], "warnings": []}
WORK = WorkerStats(
    clients=3, accepted=1200, answers=5000, answers_2xx=4990, answers_3xx=5, answers_4xx=4,
    answers_5xx=1, remembered=4000, received_bytes=1 << 20, sent_bytes=3 << 20, turned_away=2,
    no_descriptor=1, timed_out=6, lost=7,
)  # fmt: skip
QUIET = replace(WORK, **dict.fromkeys(WorkerStats.__dataclass_fields__, 0))
STATS = ServeStats(
    uptime_s=12.5, total=WORK, p50_us=120.0, p90_us=250.5, p99_us=900.0, p99_9_us=None,
    workers=(Worker(pid=100, restarts=0, stats=WORK), Worker(pid=101, restarts=2, stats=QUIET)),
)  # fmt: skip
START = ServeStart(
    event="start", address="127.0.0.1", port=8080, url="http://127.0.0.1:8080/", mode="http",
    misbehave=None, workers=(100, 101), **NOTHING,
)  # fmt: skip


def lines(event: ServeEvent) -> list[str]:
    out = io.StringIO()
    text.write(event, out, Look())
    return out.getvalue().splitlines()


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (START, "serving http://127.0.0.1:8080/, workers 100, 101"),
        (
            replace(START, url=None, address="::1", mode="sink", workers=(7,)),
            "serving [::1]:8080 (sink), worker 7",
        ),
        (
            replace(START, url=None, port=None, address="/run/\x1b[31msock", workers=(7,)),
            "serving the Unix socket /run/?[31msock, worker 7",
        ),
        (
            replace(START, misbehave="rst", workers=(7,)),
            "serving http://127.0.0.1:8080/, misbehaving: rst, worker 7",
        ),
        (
            ServeRestart(event="restart", why="it was killed", old_pid=1, new_pid=2, **NOTHING),
            "worker 1 ended (it was killed); 2 took its place",
        ),
    ],
)
def test_an_event_is_a_line(event: ServeEvent, said: str) -> None:
    (line,) = lines(event)
    assert line.replace("\ufffd", "?").replace("\\x1b", "?") == said


def test_the_end_sums_up_and_names_what_went_wrong() -> None:
    end = ServeEnd(event="end", ended_by="SIGTERM", cut_off=1, stats=STATS, **NOTHING)
    assert lines(end) == [
        "ended by SIGTERM after 12.5 s: 1 200 clients, 5 000 answers, 1 MiB in, 3 MiB out",
        "time of an answer here: p50 120 µs, p99 900 µs at most",
        "4 answers refused the request (4xx)",
        "1 answer told of a failure (5xx)",
        "2 clients above --max-clients",
        "1 client had no descriptor left",
        "6 clients were idle for too long",
        "7 clients went away in between",
        "1 client was cut off at the end",
    ]
    nothing = replace(STATS, total=QUIET, p50_us=None, p90_us=None, p99_us=None)
    quiet = replace(end, cut_off=0, stats=nothing)
    assert lines(quiet) == ["ended by SIGTERM after 12.5 s: 0 clients, 0 answers, 0 B in, 0 B out"]


def test_prometheus_reads_what_is_written_for_it() -> None:
    page = metrics_page(STATS).decode()
    found = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }
    assert found["tcptool_serve_uptime_seconds",] == 12.5
    assert found["tcptool_serve_clients", ("worker", "0")] == 3
    assert found["tcptool_serve_worker_restarts_total", ("worker", "1")] == 2
    assert found["tcptool_serve_answers_total", ("code", "4xx"), ("worker", "0")] == 4
    assert found["tcptool_serve_sent_bytes_total", ("worker", "0")] == 3 << 20
    assert found["tcptool_serve_answer_seconds", ("quantile", "0.99")] == pytest.approx(0.0009)
    assert ("tcptool_serve_answer_seconds", ("quantile", "0.999")) not in found
    families = [one.name for one in text_string_to_metric_families(page)]
    assert len(families) == len(set(families))
    counted = {name.removeprefix("tcptool_serve_") for name in families}
    assert {"accepted", "lost", "turned_away", "timed_out", "no_descriptor"} <= counted


def test_the_page_for_scripts_is_one_line_of_json() -> None:
    page = stats_page(STATS, HOST)
    assert page.startswith(b'{"schema":"tcptool.serve-stats/1"')
    assert page.count(b"\n") == 1


# -- the screen ----------------------------------------------------------------------------


def sockets(number: int) -> SocketList:
    names = ("peer", "state", "rtt_us", "limited_by")
    columns = tuple(COLUMNS[name] for name in names)
    rows = [(f"192.0.2.{n}:1234", "established", 1500 + n, "application") for n in range(number)]
    return SocketList(HOST, columns, iter([rows]))


def frame(view: LiveView, width: int, height: int) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, height=height).print(view, end="")
    return [line.rstrip() for line in out.getvalue().splitlines()]


def looked(*looks: tuple[ServeStats, SocketList | None], **more: Any) -> LiveView:
    view = LiveView(io.StringIO(), Look(**more))
    view.tell(replace(START, warnings=[Warning("few-descriptors", "too few")]))
    with view:
        for stats, socks in looks:
            view.look(stats, socks)
    return view


def test_the_screen_shows_figures_rates_and_connections() -> None:
    later = replace(STATS, uptime_s=13.5, total=replace(WORK, answers=5600, sent_bytes=4 << 20))
    shown = frame(looked((STATS, sockets(2)), (later, sockets(2))), 120, 30)
    assert shown[0].startswith("serving http://127.0.0.1:8080/")
    assert shown[1] == "too few"
    assert "5 600 answers (600/s)" in shown[2]
    assert "out 8.39 Mbit/s" in shown[2]
    assert "p99 900 µs" in shown[3]
    assert "192.0.2.1:1234" in shown[-1]
    assert "1.5 ms" in shown[-1]


def test_before_the_second_look_there_is_no_rate() -> None:
    shown = frame(looked((replace(STATS, p50_us=None, p99_us=None), None)), 120, 30)
    assert "5 000 answers (-)" in shown[2]
    assert shown[3] == "no answer yet"
    assert not any("192.0.2" in line for line in shown)


@pytest.mark.parametrize(("width", "height"), [(20, 5), (80, 24), (200, 60)])
def test_the_screen_fits(width: int, height: int) -> None:
    shown = frame(looked((STATS, sockets(100))), width, height)
    assert len(shown) <= height
    assert max(map(len, shown)) <= width


def test_without_unicode_the_micro_is_a_u() -> None:
    shown = "\n".join(frame(looked((STATS, None), unicode=False), 120, 30))
    assert "900 us" in shown
    assert "µ" not in shown


def test_the_end_is_written_below_the_screen() -> None:
    out = io.StringIO()
    view = LiveView(out, Look())
    view.tell(START)
    view.look(STATS, None)
    view.tell(ServeEnd(event="end", ended_by="SIGINT", cut_off=0, stats=STATS, **NOTHING))
    assert "ended by SIGINT" in out.getvalue()
