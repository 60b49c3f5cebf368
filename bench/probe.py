"""`tcptool probe` against the same loops in C, iperf3 and itself: `python -m bench.probe`.

Two programs that run one after the other also differ by what the machine did meanwhile.  So they
take turns, and the ratio of each round is what counts.  Every run is checked: exit status,
standard error, and that each method moved every byte.  Nothing here asserts a time.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, Final, NamedTuple, TypeVar

from bench.rig import ROOT, TCPTOOL, Failed, environment, machine, private_network, table
from tcptool.catalog.methods import BY_NAME, CHUNK_BYTES, RECEIVERS, SLICE_BYTES
from tcptool.units import Unit, human, parse_size

_RATE_MUST: Final = ">= 0.90"
_CV_MUST: Final = "<= 10 %"
_TRANSFER_MUST: Final = "<= 1 s"
_COMPARE_RUNS: Final = 10
"""What the goal for the CV is about."""
_SAME_RUNS: Final = 20
"""At 95 % confidence, one of so many may find a difference where there is none."""

_AHEAD: Final = ("sendfile", "splice")
_BEHIND: Final = ("send", "writev")
"""Without and with a copy at the sender: an order that is to be found every time."""

_VERDICTS: Final = ("no-difference", "more", "less")

_GB: Final = 1e9
_MIB: Final = 1 << 20
_DEADLINE_S: Final = 120.0
"""Of one run: some hundred times what any of them takes."""
_LONGER: Final = 10
"""So many times the size goes against iperf3, whose time holds its start and its end."""
_CONTROLS: Final = Path("/proc/sys/net/ipv4")

_Side = TypeVar("_Side")


@dataclass(frozen=True, slots=True)
class Bench:
    """What the comparisons share.  ``chunk_file`` holds what iperf3 sends over and over."""

    file: str
    chunk_file: str
    reference: str
    receivers: Sequence[str]
    size_bytes: int
    rounds: int
    near: int
    far: int


@dataclass(frozen=True, slots=True)
class Setting:
    """How the bytes are taken in, and the congestion control to set; None sets nothing."""

    receiver: str
    congestion: str | None

    @property
    def words(self) -> tuple[str, ...]:
        """For `tcptool probe`."""
        words = ("--receiver", self.receiver)
        return (*words, "--set", f"TCP_CONGESTION={self.congestion}") if self.congestion else words

    def __str__(self) -> str:
        default = "".join(_names("tcp_congestion_control"))
        return f"receiver {self.receiver}, {self.congestion or f'{default} (default)'}"


def _names(setting: str) -> set[str]:
    return set((_CONTROLS / setting).read_text().split())


def _settings(receiver: str) -> list[Setting]:
    """With the default congestion control, and with cubic where that is another one."""
    others = {"cubic"} & _names("tcp_available_congestion_control")
    others -= _names("tcp_congestion_control")
    return [Setting(receiver, control) for control in (None, *others)]


class Slice(NamedTuple):
    """One reading."""

    connection: int
    payload_bytes: int
    elapsed_s: float
    near_cpu_s: float
    far_cpu_s: float


class Figures(NamedTuple):
    """Of one method in one run."""

    rate_bytes_per_s: float
    near_cpu_s_per_gb: float
    far_cpu_s_per_gb: float


_Readings = dict[str, list[Slice]]


def _figures(slices: Sequence[Slice]) -> Figures:
    """Medians over the slices."""
    return Figures(
        statistics.median(one.payload_bytes / one.elapsed_s for one in slices),
        statistics.median(one.near_cpu_s * _GB / one.payload_bytes for one in slices),
        statistics.median(one.far_cpu_s * _GB / one.payload_bytes for one in slices),
    )


# -- runs ----------------------------------------------------------------------------------


class Ran(NamedTuple):
    """What a program printed, and its time from before its start to its end."""

    text: str
    wall_s: float


def _run(*argv: str) -> Ran:
    """Raises Failed for any exit status but 0, and for remarks."""
    begun_s = perf_counter()
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=_DEADLINE_S, env=environment(), check=False
    )
    wall_s = perf_counter() - begun_s
    if done.returncode or done.stderr:
        raise Failed(f"{' '.join(argv)}: exit status {done.returncode}, stderr: {done.stderr!r}")
    return Ran(done.stdout, wall_s)


def _probe(bench: Bench, *words: str, size_bytes: int | None = None) -> tuple[Any, Ran]:
    """The data of one `tcptool probe` with every byte in its place, and its run."""
    size = bench.size_bytes if size_bytes is None else size_bytes
    argv = (TCPTOOL, "probe", *words, "--size", str(size), "--cpu", f"{bench.near},{bench.far}")
    ran = _run(*argv, "--json", "--quiet")
    data = json.loads(ran.text)["data"]
    _check(argv, _readings(data), size)
    return data, ran


def _compare(bench: Bench, setting: Setting) -> _Readings:
    """The readings of one `probe compare` of the file, on one connection as in C.

    More of them tell how sure a figure is; here the rounds do.
    """
    words = ("compare", "--file", bench.file, "--connections", "1")
    data, _ = _probe(bench, *words, *setting.words)
    return _readings(data)


def _readings(data: Any) -> _Readings:
    return {
        result["method"]: [Slice(**reading) for reading in result["slices"]]
        for result in data["results"]
    }


def _transfer_s(data: Any) -> float:
    """The time of all slices that count."""
    return sum(one.elapsed_s for slices in _readings(data).values() for one in slices)


def _reference(bench: Bench, setting: Setting) -> _Readings:
    """The readings of one run of the C program, with all methods."""
    numbers = (bench.size_bytes, SLICE_BYTES, CHUNK_BYTES, bench.near, bench.far)
    how = (setting.receiver, setting.congestion or "")
    argv = (bench.reference, bench.file, *how, *map(str, numbers), *BY_NAME)
    readings: _Readings = {method: [] for method in BY_NAME}
    for line in _run(*argv).text.splitlines():
        method, payload, elapsed, near, far = line.split()
        readings[method].append(Slice(0, int(payload), float(elapsed), float(near), float(far)))
    _check(argv, readings, bench.size_bytes)
    return readings


def _check(argv: Iterable[str], readings: _Readings, size_bytes: int) -> None:
    moved = {method: sum(one.payload_bytes for one in some) for method, some in readings.items()}
    if set(moved.values()) != {size_bytes}:
        raise Failed(f"{' '.join(argv)}: moved {moved}, not {size_bytes} bytes each")


def _compiled(folder: str) -> str:
    """The path of the C program."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise SystemExit("bench.probe: there is no C compiler (Debian: gcc)")
    source, program = ROOT / "bench" / "probe_reference.c", str(Path(folder, "probe_reference"))
    _run(compiler, "-std=c11", "-O2", "-Wall", "-Wextra", "-o", program, str(source))
    return program


def _once(bench: Bench, method: str, setting: Setting, size_bytes: int) -> Figures:
    """One transfer in one slice, as iperf3 does it."""
    once = ("--connections", "1", "--slice", str(size_bytes), "--warmup", "0")
    words = (method, "--file", bench.chunk_file, "--chunk", str(CHUNK_BYTES), *once, *setting.words)
    data, _ = _probe(bench, *words, size_bytes=size_bytes)
    return _figures(_readings(data)[method])


def _iperf3(bench: Bench, iperf3: str, flag: str, setting: Setting, size_bytes: int) -> Figures:
    """One run of its server and its client."""
    serve = (iperf3, "-s", "-1", "-B", "127.0.0.1", "--forceflush")
    send = [iperf3, "-c", "127.0.0.1", "-J", "-n", str(size_bytes), "-l", str(CHUNK_BYTES)]
    send += ["-A", f"{bench.near},{bench.far}"]
    send += [flag] if flag else []
    send += ["-C", setting.congestion] if setting.congestion else []
    with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True, env=environment()) as server:
        try:
            if not any("listening" in line for line in server.stdout or ()):
                raise Failed(f"{' '.join(serve)}: it does not listen")
            end = json.loads(_run(*send).text)["end"]
            server.communicate(timeout=_DEADLINE_S)
        finally:
            server.kill()
    if server.returncode or end["sum_sent"]["bytes"] < size_bytes:
        raise Failed(f"{' '.join(send)}: {end}, status of the server {server.returncode}")
    # Its server leaves unread what is still under way when the client says that it has finished.
    moved, elapsed_s = end["sum_received"]["bytes"], end["sum_received"]["seconds"]
    percent = end["cpu_utilization_percent"]
    near, far = (
        percent[f"{side}_total"] / 100 * elapsed_s * _GB / moved for side in ("host", "remote")
    )
    return Figures(moved / elapsed_s, near, far)


def _in_turns(
    rounds: int, ours: Callable[[], _Side], theirs: Callable[[], _Side]
) -> list[tuple[_Side, _Side]]:
    """Both once to warm up, then a pair for each round, in turns begun by the one and the other."""
    ours()
    theirs()
    pairs = []
    for number in range(rounds):
        if number % 2:
            second = theirs()
            pairs.append((ours(), second))
        else:
            pairs.append((ours(), theirs()))
    return pairs


# -- numbers -------------------------------------------------------------------------------


def _ratio(pairs: Sequence[tuple[float, float]]) -> str:
    """Median and quartiles of the ratios of the rounds, as ``0.98 (0.95 to 1.01)``."""
    ratios = [ours / theirs for ours, theirs in pairs]
    if len(ratios) < 2:
        return f"{ratios[0]:.2f}"
    low, middle, high = statistics.quantiles(ratios, n=4)
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


_COLUMNS: Final = ("rate", "sender CPU", "receiver CPU")


def _cells(pairs: Sequence[tuple[Figures, Figures]], must: str = "") -> list[str]:
    """The rates of both sides, and the ratios of what ``_COLUMNS`` says."""
    rate, near, far = (
        [(ours[field], theirs[field]) for ours, theirs in pairs] for field in range(3)
    )
    medians = (statistics.median(side) / _GB for side in zip(*rate, strict=True))
    shown = f"**{_ratio(rate)}** (must {must})" if must else _ratio(rate)
    return [*(f"{median:.2f}" for median in medians), shown, _ratio(near), _ratio(far)]


# -- comparisons ---------------------------------------------------------------------------


def against_c(bench: Bench) -> None:
    """Each method, and the same loop in C."""
    for setting in (one for receiver in bench.receivers for one in _settings(receiver)):
        ours, theirs = partial(_compare, bench, setting), partial(_reference, bench, setting)
        pairs = _in_turns(bench.rounds, ours, theirs)
        rows = []
        for method in BY_NAME:
            figures = [(_figures(a[method]), _figures(b[method])) for a, b in pairs]
            rows.append([method, *_cells(figures, _RATE_MUST)])
        print(f"\n`probe compare` / the same loops in C, {setting}, {bench.rounds} rounds\n")
        print(table(["", "tcptool GB/s", "C GB/s", *_COLUMNS], rows), flush=True)


def against_iperf3(bench: Bench) -> None:
    """One transfer on a new connection by either, of one chunk that is sent over and over."""
    iperf3 = shutil.which("iperf3")
    if iperf3 is None:
        print("\niperf3 is left out: it is not installed")
        return
    size_bytes = bench.size_bytes * _LONGER
    known, rows = _run(iperf3, "--help").text, []
    for flag, method, receiver in (
        ("", "mmap", "recv"),
        ("-Z", "sendfile", "recv"),
        ("--skip-rx-copy", "mmap", "discard"),
    ):
        name = f"iperf3 {flag}".strip()
        if flag not in known:
            print(f"\n`{name}` is left out: this iperf3 does not have it")
            continue
        for setting in _settings(receiver):
            ours = partial(_once, bench, method, setting, size_bytes)
            theirs = partial(_iperf3, bench, iperf3, flag, setting, size_bytes)
            pairs = _in_turns(bench.rounds, ours, theirs)
            rows.append([f"`probe {method}` / `{name}`, {setting}", *_cells(pairs)])
    version = " ".join(_run(iperf3, "--version").text.split()[:2])
    print(f"\n{version}, {human(size_bytes, Unit.BYTES)}, {bench.rounds} rounds\n")
    print(table(["", "tcptool GB/s", "iperf3 GB/s", *_COLUMNS], rows), flush=True)


def steadiness(bench: Bench) -> None:
    """Whether one `probe compare` says what the next one says."""
    rows = []
    for setting in _settings("discard"):
        runs = [_probe(bench, "compare", *setting.words)[0] for _ in range(_COMPARE_RUNS)]
        rates = [_reported(data, "rate_bytes_per_s") for data in runs]
        places = [_reported(data, "place_by_throughput") for data in runs]
        ratios = [one["sendfile"] / one["send"] for one in rates]
        cv_percent = 100 * statistics.stdev(ratios) / statistics.mean(ratios)
        transfer_s = statistics.median(map(_transfer_s, runs))
        same = Counter(tuple(sorted(one.items())) for one in places).most_common(1)[0][1]
        placed = sum(
            max(one[method] for method in _AHEAD) < min(one[method] for method in _BEHIND)
            for one in places
        )
        rows.append(
            [
                str(setting),
                f"**{cv_percent:.1f} %** (must {_CV_MUST})",
                f"**{transfer_s:.2f} s** (must {_TRANSFER_MUST})",
                *(f"{count} of {len(runs)}" for count in (placed, same)),
            ]
        )
    order = f"{', '.join(_AHEAD)} placed before {', '.join(_BEHIND)}"
    print(f"\n`probe compare`, {_COMPARE_RUNS} runs\n")
    heading = ["", "CV of sendfile / send", "transfer", order, "all places the same"]
    print(table(heading, rows), flush=True)


def _reported(data: Any, key: str) -> dict[str, float]:
    """One figure of each method."""
    return {result["method"]: result[key] for result in data["results"]}


def against_itself(bench: Bench) -> None:
    """How often a method is said to differ from itself."""
    rows = []
    for setting in _settings("discard"):
        found: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for _ in range(_SAME_RUNS):
            data, _ran = _probe(bench, "compare", "--methods", "sendfile,sendfile", *setting.words)
            for one in data["comparisons"]:
                found[one["metric"]][one["outcome"]["verdict"]] += 1
        rows += [
            [f"{metric}, {setting}", *(str(verdicts[one]) for one in _VERDICTS)]
            for metric, verdicts in found.items()
        ]
    print(f"\n`probe compare --methods sendfile,sendfile`, {_SAME_RUNS} runs\n")
    print(table(["", *_VERDICTS], rows), flush=True)


def whole_command(bench: Bench) -> None:
    """Where the time of `probe sendfile` goes, from before its start to its end."""
    nothing, shown, least, of_file, whole, slices = (
        *("python3 -c pass", "--help", "probe sendfile --size 1"),
        *("probe sendfile --file FILE", "probe sendfile", "slices"),
    )
    times_s: dict[str, list[float]] = {slices: []}

    def run_whole() -> float:
        data, ran = _probe(bench, "sendfile")
        times_s[slices].append(_transfer_s(data))
        return ran.wall_s

    runs: dict[str, Callable[[], float]] = {
        nothing: lambda: _run(sys.executable, "-c", "pass").wall_s,
        shown: lambda: _run(TCPTOOL, "--help").wall_s,
        least: lambda: _probe(bench, "sendfile", size_bytes=1)[1].wall_s,
        of_file: lambda: _probe(bench, "sendfile", "--file", bench.file)[1].wall_s,
        whole: run_whole,
    }
    for number in range(bench.rounds):
        turn = number % len(runs)
        for name in (*list(runs)[turn:], *list(runs)[:turn]):
            times_s.setdefault(name, []).append(runs[name]())

    def median_s(name: str, *without: str) -> float:
        rounds = zip(*(times_s[one] for one in (name, *without)), strict=True)
        return float(statistics.median(total - sum(others) for total, *others in rounds))

    parts_s = {
        "Python starts": median_s(nothing),
        "imports, command line, two processes, the result": median_s(least, nothing),
        "a file is made": median_s(whole, of_file),
        "slices that count": median_s(slices),
        "slices that do not count, and between slices": median_s(of_file, least, slices),
    }
    rows = [[f"`{name}`", *_milliseconds(median_s(name), median_s(whole))] for name in runs]
    rows += [[name, *_milliseconds(part_s, median_s(whole))] for name, part_s in parts_s.items()]
    print(f"\n{human(bench.size_bytes, Unit.BYTES)}, {bench.rounds} rounds\n")
    print(table(["", "ms", f"of `{whole}`"], rows), flush=True)


def _milliseconds(part_s: float, whole_s: float) -> list[str]:
    return [f"{1000 * part_s:.0f}", f"{100 * part_s / whole_s:.0f} %"]


_COMPARISONS: Final = {
    "c": against_c,
    "compare": steadiness,
    "iperf3": against_iperf3,
    "whole": whole_command,
    "same": against_itself,
}


def main() -> None:
    """Parse the command line and print the tables."""
    parser = argparse.ArgumentParser(prog="bench.probe", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--size", type=parse_size, default="100M", help="for each method")
    parser.add_argument(
        "--receivers",
        nargs="+",
        choices=RECEIVERS,
        default=["discard", "recv"],
        help="of the loops",
    )
    parser.add_argument("--only", nargs="+", choices=_COMPARISONS, default=_COMPARISONS)
    options = parser.parse_args()
    processors = sorted(os.sched_getaffinity(0))
    private_network()
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        file, chunk_file = Path(folder, "data"), Path(folder, "chunk")
        with file.open("wb") as data:
            for start in range(0, options.size, _MIB):
                data.write(os.urandom(min(_MIB, options.size - start)))
        chunk_file.write_bytes(os.urandom(CHUNK_BYTES))
        bench = Bench(
            file=str(file),
            chunk_file=str(chunk_file),
            reference=_compiled(folder),
            receivers=options.receivers,
            size_bytes=options.size,
            rounds=options.rounds,
            near=processors[0],
            far=processors[min(1, len(processors) - 1)],
        )
        for name in options.only:
            _COMPARISONS[name](bench)


if __name__ == "__main__":
    main()
