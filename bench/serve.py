"""`tcptool serve` against nginx, uvicorn, asyncio and two servers in C: `python -m bench.serve`.

Server on one processor, load (bench/load.c) on another, all of it in a private network namespace.
The servers take turns, round by round, and only the ratios of the rounds count.  All serve the same
bytes: the hello page of tcptool.  Each answer of each run is checked, and every connection that is
to stay is seen to be open at the end.  Nothing here asserts a time.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import importlib.metadata
import importlib.util
import json
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Final, NamedTuple

import psutil

from bench.rig import ROOT, TCPTOOL, Failed, environment, machine, private_network, table

_FILE_BYTES: Final = 1 << 20
_FILE_PATH: Final = "/data"
_IDLE: Final = 9900
"""Held while memory is read: with those that ask, what the guide's array of 10 000 has room for."""
_MEMORY_MUST_BYTES: Final = 100
_QUIET_S: Final = 0.2
_QUIET_PERCENT: Final = 15.0
"""More than a stray tick of the clock in that time is somebody else's work."""
_MOST_CLIENTS: Final = 20_000
_FIRST_PORT: Final = 8001
_DEADLINE_S: Final = 60.0
"""Of one start or stop.  The load ends by itself when nothing is answered."""
_PAGE: Final = b"<!doctype html><title>bench</title>" + b"<p>Some text." * 20 + b"\n"
"""What the others serve when tcptool is not among them."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What the runs share.  ``folder`` holds the programs, the page and the file."""

    folder: Path
    rounds: int
    seconds: float
    vary: str
    descriptors: int
    patience_s: float
    near: int
    far: int

    @property
    def most_idle(self) -> int:
        """nginx closes idle connections when a sixteenth of its room is left."""
        return min(_IDLE, self.descriptors * 9 // 10)

    @property
    def page(self) -> Path:
        return self.folder / "page"

    @property
    def site(self) -> Path:
        """The directory of the file."""
        return self.folder / "site"

    @property
    def data(self) -> Path:
        return Path(f"{self.site}{_FILE_PATH}")


# -- servers -------------------------------------------------------------------------------


def _tcptool(_bench: Bench, _port: int) -> tuple[str, ...]:
    return (TCPTOOL, "serve", "--port", "0", "--json", "--max-clients", str(_MOST_CLIENTS))


def _nginx(bench: Bench, port: int) -> tuple[str, ...]:
    """One worker, no log, and whatever makes it quicker for these requests.

    tcp_nopush is left off: with it a file of 1 MiB takes twice as long on loopback.
    """
    page = bench.page.read_text().replace("\\", r"\\").replace('"', r"\"")
    if "$" in page:
        raise Failed("nginx has no way to return a dollar sign")
    file = bench.folder / "nginx.conf"
    file.write_text(f"""
        daemon off; pid {bench.folder}/nginx.pid; user root;
        worker_processes 1;
        events {{ use epoll; worker_connections {bench.descriptors}; }}
        http {{
            access_log off; default_type text/html;
            keepalive_timeout 3600s; keepalive_requests 1000000000;
            sendfile on; open_file_cache max=100;
            server {{
                listen 127.0.0.1:{port} backlog=4096;
                location / {{ return 200 "{page}"; }}
                location = {_FILE_PATH} {{ root {bench.site}; }}
            }}
        }}
    """)
    nginx = shutil.which("nginx") or ""
    return (nginx, "-p", str(bench.folder), "-c", str(file), "-e", "stderr")


def _uvicorn(_bench: Bench, port: int) -> tuple[str, ...]:
    """With uvloop and httptools where they are installed."""
    quiet = ("--no-access-log", "--log-level", "warning", "--lifespan", "off")
    where = ("--app-dir", str(ROOT / "bench"), "--port", str(port))
    stay = ("--timeout-keep-alive", "3600", "--backlog", "4096")
    return (sys.executable, "-m", "uvicorn", "serve_asyncio:app", *where, *quiet, *stay)


def _uvicorn_h11(bench: Bench, port: int) -> tuple[str, ...]:
    """As `pip install uvicorn` gives it."""
    return (*_uvicorn(bench, port), "--loop", "asyncio", "--http", "h11")


def _asyncio(bench: Bench, port: int) -> tuple[str, ...]:
    return (sys.executable, str(ROOT / "bench" / "serve_asyncio.py"), str(port), str(bench.page))


def _in_c(name: str) -> Callable[[Bench, int], tuple[str, ...]]:
    return lambda bench, port: (str(bench.folder / name), str(port), str(bench.page))


_SERVERS: Final[Mapping[str, Callable[[Bench, int], tuple[str, ...]]]] = {
    "tcptool": _tcptool,
    "nginx": _nginx,
    "uvicorn": _uvicorn,
    "uvicorn-h11": _uvicorn_h11,
    "asyncio": _asyncio,
    "guide": _in_c("serve_guide"),
    "best": _in_c("serve_best"),
}


def _why_not(name: str) -> str | None:
    """What is missing to run that server."""
    if name == "tcptool":
        done = subprocess.run((TCPTOOL, "serve", "--help"), capture_output=True, check=False)
        return "it has no command `serve`" if done.returncode else None
    if name == "nginx" and not shutil.which("nginx"):
        return "it is not installed (Debian: nginx-light)"
    if name.startswith("uvicorn") and not importlib.util.find_spec("uvicorn"):
        return "it cannot be imported (pip install uvicorn uvloop httptools)"
    return None


def _versions(names: Sequence[str]) -> str:
    """Of what is not ours."""
    found = []
    if "nginx" in names:
        text = subprocess.run(("nginx", "-v"), capture_output=True, text=True, check=True).stderr
        found.append(text.strip().partition(": ")[2])
    if any(name.startswith("uvicorn") for name in names):
        for package in ("uvicorn", "uvloop", "httptools", "h11"):
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                found.append(f"{package} {importlib.metadata.version(package)}")
    return ", ".join(found)


class Running(NamedTuple):
    """A server that accepts connections."""

    pid: int
    port: int


@contextlib.contextmanager
def _on(processor: int) -> Iterator[None]:
    """What is started here stays on that processor."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {processor})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def running(bench: Bench, name: str, *words: str) -> Iterator[Running]:
    """That server, for the block.  Raises Failed if it ends early, or says anything on stderr."""
    port = _FIRST_PORT + list(_SERVERS).index(name)
    argv = (*_SERVERS[name](bench, port), *words)
    own = environment() | {"BENCH_BODY": str(bench.page)}
    with tempfile.TemporaryFile() as remarks:
        with _on(bench.near):
            server = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=remarks, env=own)
        try:
            if name == "tcptool":
                assert server.stdout is not None
                port = json.loads(server.stdout.readline() or "{}").get("data", {}).get("port", 0)
            _wait_for(server, port)
            yield Running(server.pid, port)
            ended = server.poll()
        finally:
            server.terminate()
            try:
                server.communicate(timeout=_DEADLINE_S)
            finally:
                server.kill()
                remarks.seek(0)
                said = remarks.read(400).decode(errors="replace")
                if said:
                    print(f"{name} says: {said}", file=sys.stderr, flush=True)
    if ended is not None or said:
        raise Failed(f"{' '.join(argv)}: status {ended}, stderr: {said!r}")


def _wait_for(server: subprocess.Popen[bytes], port: int) -> None:
    deadline_s = monotonic() + _DEADLINE_S
    while server.poll() is None and monotonic() < deadline_s:
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        sleep(0.01)
    raise Failed("a server does not listen")


def _hello_page(bench: Bench) -> bytes:
    """What tcptool serves at /."""
    with running(bench, "tcptool") as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=_DEADLINE_S)
        connection.request("GET", "/")
        page = connection.getresponse().read()
        connection.close()
    return page


# -- load ----------------------------------------------------------------------------------


class Loaded(NamedTuple):
    """What one run of the load measured; ``busy`` shares are of its own processor and the other."""

    rate_per_s: float
    p50_us: float
    p99_us: float
    max_us: float
    busy_share: float
    server_busy_share: float


def _load_words(bench: Bench, server: Running, body: Path, *words: str) -> tuple[str, ...]:
    pinned = ("--cpu", str(bench.far), "--server-cpu", str(bench.near))
    where = ("--port", str(server.port), "--body", str(body))
    return (str(bench.folder / "load"), *where, *pinned, *words)


def _load(bench: Bench, server: Running, body: Path, *words: str) -> Loaded:
    """One run, in which every answer was right."""
    argv = (*_load_words(bench, server, body, *words), "--seconds", str(bench.seconds))
    data = json.loads(_run(*argv))
    return Loaded(**{name: data[name] for name in Loaded._fields})


def _is_quiet(bench: Bench) -> bool:
    """Wait, not for ever, until nothing else uses the processors."""
    deadline_s = monotonic() + bench.patience_s
    while True:
        percents = psutil.cpu_percent(_QUIET_S, percpu=True)
        if max(percents[bench.near], percents[bench.far]) <= _QUIET_PERCENT:
            return True
        if monotonic() >= deadline_s:
            return False


def _run(*argv: str) -> str:
    """Raises Failed for any exit status but 0, and for remarks."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode or done.stderr:
        raise Failed(f"{' '.join(argv)}: exit status {done.returncode}, stderr: {done.stderr!r}")
    return done.stdout


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is asked, ``must``: the least ratio of tcptool to that server, and which servers can."""

    title: str
    words: tuple[str, ...] = ()
    idle: int = 0
    vary: bool = False
    file: bool = False
    must: Mapping[str, float] = field(default_factory=dict)
    servers: tuple[str, ...] = tuple(_SERVERS)


_SAME: Final = {"nginx": 1.0, "best": 0.75, "uvicorn": 4.0}
_OTHERS_THAN_GUIDE: Final = tuple(name for name in _SERVERS if name != "guide")

SCENARIOS: Final[Mapping[str, Scenario]] = {
    "same-64": Scenario("identical heads, 64 connections", must=_SAME),
    "same-512": Scenario("identical heads, 512 connections", ("--connections", "512"), must=_SAME),
    "varied-64": Scenario("every head different, 64 connections", vary=True, must={"nginx": 0.75}),
    "varied-512": Scenario(
        "every head different, 512 connections",
        ("--connections", "512"),
        vary=True,
        must={"nginx": 0.75},
    ),
    "idle-5000": Scenario("64 connections beside 5000 idle ones", idle=5000, must={"guide": 4.0}),
    "idle-9900": Scenario("64 connections beside 9900 idle ones", idle=_IDLE),
    "pipelined": Scenario(
        "64 connections, 16 requests in a row (the guide's server answers one of them)",
        ("--depth", "16"),
        servers=_OTHERS_THAN_GUIDE,
    ),
    "file": Scenario(
        "a file of 1 MiB by sendfile, 16 connections",
        ("--connections", "16", "--path", _FILE_PATH),
        file=True,
        servers=("tcptool", "nginx"),
    ),
    "close": Scenario("a connection for each request, 64 at a time", ("--close",)),
}
"""All with small bodies but the file.  ``must`` is from the goals (facts/performance.md, 0.1)."""


def measure(bench: Bench, scenario: Scenario, names: Sequence[str]) -> dict[str, list[Loaded]]:
    """All rounds of all these servers, each round in another order.

    Prints how many runs began while something else used the processors.
    """
    disturbed = 0
    idle = min(scenario.idle, bench.most_idle)
    words = (*scenario.words, "--idle", str(idle))
    words += ("--vary", bench.vary) if scenario.vary else ()
    body = bench.data if scenario.file else bench.page
    found: dict[str, list[Loaded]] = {name: [] for name in names}
    with contextlib.ExitStack() as stack:
        servers = {}
        for name in names:
            root = ("--root", str(bench.site)) if scenario.file and name == "tcptool" else ()
            servers[name] = stack.enter_context(running(bench, name, *root))
        for number in range(bench.rounds):
            turn = number % len(names)
            for name in (*names[turn:], *names[:turn]):
                disturbed += not _is_quiet(bench)
                try:
                    found[name].append(_load(bench, servers[name], body, *words))
                except Failed as failed:
                    raise Failed(f"{name}: {failed}") from None
    if disturbed:
        print(f"\n{disturbed} of {bench.rounds * len(names)} runs began on busy processors")
    return found


# -- memory --------------------------------------------------------------------------------


def _pss_bytes(pid: int) -> int:
    """The memory of a process and its children, in user space; shared pages are shared out."""
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    total = 0
    for process in processes:
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total << 10


def _memory(bench: Bench, name: str) -> tuple[int, int]:
    """Bytes before and with idle connections that asked once, of a new server that was warm."""
    with running(bench, name) as server:
        _run(*_load_words(bench, server, bench.page, "--seconds", "0.2"))
        before = _pss_bytes(server.pid)
        words = ("--hold", "--connections", "0", "--idle", str(bench.most_idle))
        argv = _load_words(bench, server, bench.page, *words)
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as load:
            assert load.stdout is not None
            held = load.stdout.readline() == b"holding\n"
            after = _pss_bytes(server.pid)
            load.communicate()
    if not held or load.returncode:
        raise Failed(f"{' '.join(argv)}: exit status {load.returncode}")
    return before, after


def memory(bench: Bench, names: Sequence[str]) -> None:
    """Print the memory of idle connections, from three starts of each server."""
    rows = []
    for name in names:
        starts = [_memory(bench, name) for _ in range(3)]
        each = statistics.median(after - before for before, after in starts) / bench.most_idle
        must = _MEMORY_MUST_BYTES if name == "tcptool" else None
        shown = f"{each:.0f}"
        if must is not None:
            shown = f"{shown if each <= must else f'**{shown}**'} (must <= {must})"
        total = statistics.median(after for _, after in starts) / (1 << 20)
        rows.append([name, shown, f"{total:.1f}"])
    print(f"\nmemory: PSS with {bench.most_idle} idle connections that asked once\n")
    print(table(["server", "bytes a connection", "MiB in all"], rows), flush=True)


# -- report --------------------------------------------------------------------------------


def _ratio(ours: Sequence[Loaded], theirs: Sequence[Loaded], must: float | None) -> str:
    """Median and quartiles of the ratios of the rounds, bold if it is not what it must be."""
    ratios = [one.rate_per_s / other.rate_per_s for one, other in zip(ours, theirs, strict=True)]
    middle = statistics.median(ratios)
    shown = f"{middle:.2f}"
    if len(ratios) > 1:
        low, _, high = statistics.quantiles(ratios, n=4)
        shown += f" ({low:.2f} to {high:.2f})"
    if must is None:
        return shown
    return f"{shown if middle >= must else f'**{shown}**'} (must >= {must:g})"


def report(scenario: Scenario, found: Mapping[str, Sequence[Loaded]]) -> str:
    """A row for each server, against the first."""
    first, *_ = found
    rows = []
    for name, runs in found.items():

        def median(field: str, runs: Sequence[Loaded] = runs) -> float:
            return float(statistics.median(getattr(one, field) for one in runs))

        must = scenario.must.get(name) if first == "tcptool" else None
        cost_us = statistics.median(1e6 * one.server_busy_share / one.rate_per_s for one in runs)
        rows.append(
            [
                name,
                f"{median('rate_per_s'):.0f}",
                "" if name == first else _ratio(found[first], runs, must),
                *(f"{median(field):.0f}" for field in ("p50_us", "p99_us", "max_us")),
                f"{cost_us:.2f}",
                *(f"{100 * median(field):.0f} %" for field in ("server_busy_share", "busy_share")),
            ]
        )
    columns = ("p50 µs", "p99 µs", "max µs", "server µs each", "server busy", "load busy")
    return table(["server", "answers/s", f"{first} / it", *columns], rows)


# -- the command line ----------------------------------------------------------------------


def _compile(folder: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        raise SystemExit("bench.serve: there is no C compiler (Debian: gcc)")
    for name in ("load", "serve_guide", "serve_best"):
        source = str(ROOT / "bench" / f"{name}.c")
        _run(compiler, "-std=c11", "-O2", "-Wall", "-Wextra", "-o", str(folder / name), source)


def _descriptors() -> int:
    """How many a process may have: the limit is raised to its most, for what is started too."""
    _, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    return limit


def _available(names: Sequence[str]) -> list[str]:
    left = []
    for name in _SERVERS:
        if name in names:
            why = _why_not(name)
            if why:
                print(f"\n{name} is left out: {why}")
            else:
                left.append(name)
    return left


def main() -> None:
    """Parse the command line and print the tables."""
    parser = argparse.ArgumentParser(prog="bench.serve", description=__doc__)
    choices = (*SCENARIOS, "memory")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each run")
    parser.add_argument("--only", nargs="+", choices=choices, default=choices)
    parser.add_argument("--servers", nargs="+", choices=_SERVERS, default=list(_SERVERS))
    parser.add_argument(
        "--patience", type=float, default=5.0, help="seconds to wait for idle processors, each run"
    )
    parser.add_argument(
        "--vary", choices=("query", "header"), default="query", help="where heads differ"
    )
    options = parser.parse_args()
    processors = sorted(os.sched_getaffinity(0))
    private_network()
    print(machine())
    names = _available(options.servers)
    if not names:
        raise SystemExit("bench.serve: there is no server to measure")
    print(f"\n{_versions(names) or 'nothing of others'}, {options.rounds} rounds", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(
            folder=Path(folder),
            rounds=options.rounds,
            seconds=options.seconds,
            vary=options.vary,
            descriptors=_descriptors(),
            patience_s=options.patience,
            near=processors[0],
            far=processors[min(1, len(processors) - 1)],
        )
        if bench.most_idle < _IDLE:
            print(
                f"\nat most {bench.most_idle} idle connections, for {bench.descriptors} descriptors"
            )
        _compile(bench.folder)
        bench.site.mkdir()
        bench.data.write_bytes(os.urandom(_FILE_BYTES))
        bench.page.write_bytes(_hello_page(bench) if "tcptool" in names else _PAGE)
        for name in options.only:
            if name == "memory":
                memory(bench, names)
                continue
            scenario = SCENARIOS[name]
            able = [one for one in names if one in scenario.servers]
            if able:
                print(f"\n{name}: {scenario.title}", flush=True)
                found = measure(bench, scenario, able)
                print(f"\n{report(scenario, found)}", flush=True)


if __name__ == "__main__":
    main()
