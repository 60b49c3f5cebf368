"""What changing options costs: `python -m bench.apply`.

One command for many sockets against a loop of commands for one socket each, and one command for
one socket against a start that does nothing.  Commands take turns; every run is checked.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from typing import Final

from bench.rig import (
    TCPTOOL,
    Command,
    Run,
    established,
    interleaved,
    machine,
    median_ms,
    private_network,
    ratio,
    spread_percent,
    table,
)

_FILTER: Final = "state established"
_CHANGES: Final = ("TCP_NODELAY=1", "TCP_USER_TIMEOUT=30s")


def _commands(sockets: int, one: str, state: str) -> list[Command]:
    remembered = {"XDG_STATE_HOME": state}

    def ours(name: str, *words: str, rows: int) -> Command:
        return Command(
            name,
            (TCPTOOL, *words, "--json"),
            needle=b'"option":"TCP_NODELAY"',
            rows=rows,
            remarks=True,
            environment=remembered,
        )

    many = ("--yes", "--max", str(sockets))
    return [
        Command("python3 -c pass", (sys.executable, "-c", "pass")),
        Command("--help", (TCPTOOL, "apply", "--help"), environment=remembered),
        ours("apply, one socket", "apply", one, *_CHANGES, rows=1),
        ours("verify, one socket", "verify", one, *_CHANGES, rows=1),
        ours("apply, all in one command", "apply", _FILTER, *_CHANGES, *many, rows=sockets),
        ours("verify, all in one command", "verify", _FILTER, *_CHANGES, rows=sockets),
    ]


def _descriptor_of_one() -> str:
    """PID:FD of some established socket."""
    from tcptool.actions.resolve import resolve
    from tcptool.linux.kernel import LiveKernel
    from tcptool.linux.owners import find_owners
    from tcptool.sansio.target import parse_target

    with LiveKernel() as kernel:
        target = parse_target(_FILTER, service_port=lambda _: None, interface_index=lambda _: None)
        found = resolve(kernel, target)[0].socket
        owners = find_owners(kernel.proc, kernel.netns_inode(), wanted={found.inode or 0})
        return str(owners.of(found.inode)[0])


def _report(sockets: int, runs: dict[str, list[Run]]) -> str:
    nothing = runs["python3 -c pass"]
    single = runs["apply, one socket"]
    rows = []
    for name, own in runs.items():
        many = name.endswith("one command")
        each_us = 1000 * median_ms(own) / sockets if many else 1000 * median_ms(own)
        loop = statistics.median(
            one.wall_s / (other.wall_s * sockets) for one, other in zip(own, single, strict=True)
        )
        rows.append(
            [
                name,
                f"{median_ms(own):.0f}",
                f"{spread_percent(own):.0f} %",
                f"{each_us:.0f}",
                f"{ratio(own, nothing):.1f}",
                f"1 / {1 / loop:.0f}" if many else "",
            ]
        )
    heading = ("command", "ms", "spread", "µs a socket", "/ pass", "/ a loop of single applies")
    return f"{sockets} sockets, {len(nothing)} rounds\n\n{table(heading, rows)}"


def main() -> None:
    """Parse the command line and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.apply")
    parser.add_argument("--sockets", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=9)
    chosen = parser.parse_args()
    private_network()
    print(machine(), end="\n\n")
    with tempfile.TemporaryDirectory() as state, established(chosen.sockets):
        os.chmod(state, 0o700)
        commands = _commands(chosen.sockets, _descriptor_of_one(), state)
        print(_report(chosen.sockets, interleaved(commands, chosen.rounds)))


if __name__ == "__main__":
    main()
