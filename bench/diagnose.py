"""How good `tcptool diagnose` is, and what it costs: `python -m bench.diagnose`.

--matrix       every scenario of tests/lab/scenarios.py, again and again in random order: what
               was expected, and what was said (root; three seconds each)
--first-pass   one look at 10 000 connections, against `list`, which reads the same of them
--owner        what the owner of a busy connection loses while it is diagnosed
--fingerprints what the kernel counts in each scenario: what a verdict can go by
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import statistics
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from bench.rig import (
    TCPTOOL,
    Command,
    Failed,
    environment,
    established,
    interleaved,
    machine,
    median_ms,
    private_network,
    ratio,
    spread_percent,
    table,
)
from bench.watch import Bulk, bulk_transfer, window
from tests.lab.diagnosing import diagnose
from tests.lab.scenarios import SCENARIOS, Scenario

CONFIDENT: Final = 0.7
"""A wrong verdict of a healthy connection counts as an accusation from here on."""

_STRETCH: Final = 1.5
"""With --vary a path is up to so much longer and slower, or shorter and quicker."""

_BESIDE: Final = 4
"""Quiet scenarios at a time."""

_DEADLINE_S: Final = 10.0

# -- right and wrong -----------------------------------------------------------------------


class Attempt(NamedTuple):
    """One scenario, once."""

    scenario: Scenario
    verdict: str
    confidence: float

    @property
    def right(self) -> bool:
        return self.verdict in self.scenario.expected


def _attempt(scenario: Scenario) -> Attempt:
    """Whatever goes wrong is a verdict too: it counts."""
    try:
        with scenario.open() as case:
            said = diagnose(case, scenario.window_s)
    except Exception as error:  # noqa: BLE001 - a failed attempt must not end the others
        print(f"{scenario.name}: {type(error).__name__}: {error}", flush=True)
        return Attempt(scenario, "(failed)", 0.0)
    attempt = Attempt(scenario, said.verdict, said.confidence)
    if not attempt.right:
        print(f"{scenario.name}: {said}", flush=True)
    return attempt


def _varied(scenario: Scenario, chance: random.Random) -> Scenario:
    """The same on another path that holds as much, so buffers and queues mean the same there."""
    if scenario.rate_mbit is None:
        return scenario
    stretch = _STRETCH ** chance.uniform(-1, 1)
    return replace(
        scenario, rtt_ms=scenario.rtt_ms * stretch, rate_mbit=scenario.rate_mbit / stretch
    )


def _attempts(scenarios: Sequence[Scenario], runs: int, seed: int, vary: bool) -> list[Attempt]:
    chance = random.Random(seed)
    done: list[Attempt] = []
    for _ in range(runs):
        order = chance.sample(scenarios, len(scenarios))
        if vary:
            order = [_varied(one, chance) for one in order]
        with ThreadPoolExecutor(_BESIDE) as pool:
            done += pool.map(_attempt, [one for one in order if one.quiet])
        done += [_attempt(one) for one in order if not one.quiet]
    return done


def _matrix(attempts: Sequence[Attempt]) -> str:
    """Expected by got: how often, and the mean confidence; one column for all that is right."""
    cells: dict[tuple[str, str], list[float]] = defaultdict(list)
    for one in attempts:
        expected = " or ".join(sorted(one.scenario.expected))
        cells[expected, "right" if one.right else one.verdict].append(one.confidence)
    wrong = sorted({column for _, column in cells} - {"right"})
    rows = [
        [row, *(_cell(cells.get((row, column), [])) for column in ("right", *wrong))]
        for row in sorted({row for row, _ in cells})
    ]
    return table(["expected \\ got", "right", *wrong], rows)


def _cell(confidences: Sequence[float]) -> str:
    return f"{len(confidences)} ({statistics.mean(confidences):.2f})" if confidences else ""


def _by_scenario(attempts: Sequence[Attempt]) -> str:
    rows = []
    for scenario in SCENARIOS:
        ours = [one for one in attempts if one.scenario.name == scenario.name]
        if not ours:
            continue
        wrong = Counter(one.verdict for one in ours if not one.right)
        confidences = [one.confidence for one in ours if one.right]
        rows.append(
            [
                scenario.name,
                " or ".join(sorted(scenario.expected)),
                f"{len(confidences)} of {len(ours)}",
                f"{statistics.mean(confidences):.2f}" if confidences else "",
                ", ".join(f"{count} {verdict}" for verdict, count in wrong.most_common()),
            ]
        )
    return table(["scenario", "expected", "right", "mean confidence", "taken for"], rows)


def _summary(attempts: Sequence[Attempt]) -> str:
    right = sum(one.right for one in attempts)
    healthy = [one for one in attempts if one.scenario.healthy]
    accused = [one for one in healthy if not one.right and one.confidence >= CONFIDENT]
    failed = sum(one.verdict == "(failed)" for one in attempts)
    return (
        f"{right} of {len(attempts)} right ({100 * right / len(attempts):.1f} %), "
        f"{failed} failed among the others; {len(accused)} of {len(healthy)} healthy ones accused "
        f"with a confidence of {CONFIDENT} or more"
    )


def _print_matrix(scenarios: Sequence[Scenario], runs: int, seed: int, vary: bool) -> None:
    before = os.getloadavg()[0]
    attempts = _attempts(scenarios, runs, seed, vary)
    print(
        f"\n{len(scenarios)} scenarios, {runs} runs, seed {seed}"
        f"{', on paths drawn anew' if vary else ''}; "
        f"load average {before:.1f} before, {os.getloadavg()[0]:.1f} after\n"
    )
    print(_summary(attempts), _matrix(attempts), _by_scenario(attempts), sep="\n\n")


# -- one look at many ----------------------------------------------------------------------


def _print_first_pass(sockets: int, rounds: int) -> None:
    commands = [
        Command("list", (TCPTOOL, "list", "--json"), needle=b'"inode":', rows=sockets),
        Command(
            "diagnose",
            (TCPTOOL, "diagnose", "--top", "0", "state established", "--json"),
            needle=f'"sockets":{sockets},'.encode(),  # of the survey
            rows=1,
            remarks=True,
        ),
    ]
    with established(sockets):
        runs = interleaved(commands, rounds)
    rows = [
        [
            f"`{' '.join(command.argv[1:])}`",
            f"{median_ms(runs[command.name]):.0f}",
            f"{spread_percent(runs[command.name]):.0f} %",
            f"{ratio(runs[command.name], runs['list']):.2f}",
        ]
        for command in commands
    ]
    print(f"\n{sockets} sockets, {rounds} rounds\n")
    print(table(["command", "ms", "spread", "/ list"], rows))


# -- what the owner loses ------------------------------------------------------------------


class Diagnosed(NamedTuple):
    """A window while the tool was looking."""

    bytes_per_s: float
    cpu_s: float


def _diagnosed(bulk: Bulk, look_s: float) -> Diagnosed:
    argv = [TCPTOOL, "diagnose", f"{bulk.pid}:{bulk.fd}", "--for", f"{look_s:g}s", "--json"]
    tool = subprocess.Popen(
        argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment()
    )
    try:
        _wait_for_socket(tool)
        bytes_per_s = window(bulk, look_s / 2)
        if tool.poll() is not None:
            raise Failed("the tool ended before the window did")
        _, status, usage = os.wait4(tool.pid, 0)
        tool.returncode = os.waitstatus_to_exitcode(status)
    finally:
        if tool.returncode is None:
            tool.kill()
        remarks = tool.communicate()[1]
    if tool.returncode:
        raise Failed(f"the tool ended with {tool.returncode}: {remarks!r}")
    return Diagnosed(bytes_per_s, usage.ru_utime + usage.ru_stime)


def _wait_for_socket(tool: subprocess.Popen[bytes]) -> None:
    """Wait until it has started: it asks the kernel through a socket."""
    deadline = time.monotonic() + _DEADLINE_S
    while True:
        with contextlib.suppress(FileNotFoundError):  # a descriptor that is gone already
            names = [os.readlink(fd) for fd in Path(f"/proc/{tool.pid}/fd").iterdir()]
            if any(name.startswith("socket:") for name in names):
                return
        if tool.poll() is not None or time.monotonic() > deadline:
            raise Failed("the tool did not start to look")
        time.sleep(0.01)


def _print_owner(rounds: int, look_s: float) -> None:
    alone: list[float] = []
    looked: list[Diagnosed] = []
    with bulk_transfer() as bulk:
        for number in range(rounds):
            if number % 2:
                looked.append(_diagnosed(bulk, look_s))
            alone.append(window(bulk, look_s / 2))
            if not number % 2:
                looked.append(_diagnosed(bulk, look_s))
    ratios = [one.bytes_per_s / other for one, other in zip(looked, alone, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    rows = [
        ["owner alone, GB/s", f"{statistics.median(alone) / 1e9:.2f}"],
        [
            "owner diagnosed, GB/s",
            f"{statistics.median(one.bytes_per_s for one in looked) / 1e9:.2f}",
        ],
        ["diagnosed / alone", f"{middle:.3f} (quartiles {low:.3f} to {high:.3f})"],
        ["processor time of a run, s", f"{statistics.median(one.cpu_s for one in looked):.2f}"],
    ]
    print(f"\ndiagnose PID:FD --for {look_s:g}s, {rounds} rounds\n")
    print(table(["", "median"], rows))


def main() -> None:
    """Do what is asked, and print one table or more."""
    parser = argparse.ArgumentParser(
        prog="bench.diagnose",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_mutually_exclusive_group(required=True)
    for name in ("matrix", "first-pass", "owner", "fingerprints"):
        what.add_argument(f"--{name}", action="store_true")
    parser.add_argument("--runs", type=int, default=5, help="of each scenario")
    parser.add_argument("--only", nargs="+", default=[], help="parts of names of scenarios")
    parser.add_argument("--seed", type=int, default=random.randrange(1000), help="of the order")
    parser.add_argument(
        "--vary", action="store_true", help="round trips and rates other than those of the table"
    )
    parser.add_argument("--sockets", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--for", type=float, default=4.0, dest="look_s", help="seconds")
    options = parser.parse_args()
    scenarios = [
        one
        for one in SCENARIOS
        if not options.only or any(part in one.name for part in options.only)
    ]
    print(machine())
    if options.matrix:
        _print_matrix(scenarios, options.runs, options.seed, options.vary)
    elif options.fingerprints:
        from bench.fingerprints import print_fingerprints

        print_fingerprints(scenarios)
    else:
        private_network()
        if options.owner:
            _print_owner(options.rounds, options.look_s)
        else:
            _print_first_pass(options.sockets, options.rounds)


if __name__ == "__main__":
    main()
