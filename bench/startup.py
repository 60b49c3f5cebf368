"""How long short commands take: `python -m bench.startup`.

Start-up is what a person waits for at a prompt and after Tab.  The measure is the same
interpreter doing nothing; ss is shown beside it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import socket
import sys

from bench.rig import (
    TCPTOOL,
    Command,
    established,
    interleaved,
    machine,
    median_ms,
    private_network,
    ratio,
    spread_percent,
    table,
)

PASS, SS_VERSION, SSP = "python3 -c pass", "ss --version", "ss -tinp"
VERSION, LIST, INSPECT = "--version", "list", "inspect PID:FD"
COMPLETE = "__complete sockets 1"

_MUST = {VERSION: "<= 1.5", LIST: "<= 5.5", INSPECT: "<= 5.5"}
"""What must be reached against ``PASS``."""


def _commands(pid: int, fd: int) -> list[Command]:
    ss = shutil.which("ss")
    if ss is None:
        raise SystemExit("bench.startup: ss is not installed (Debian: iproute2)")
    target = f"{pid}:{fd}"
    return [
        Command(PASS, (sys.executable, "-c", "pass")),
        Command(VERSION, (TCPTOOL, "--version"), rows=1),
        # remarks: of processes that even root may not look into
        Command(LIST, (TCPTOOL, "list"), remarks=True),
        Command(
            INSPECT, (TCPTOOL, "inspect", target), needle=target.encode(), rows=1, remarks=True
        ),
        Command(COMPLETE, (TCPTOOL, "__complete", "sockets", "1")),
        Command("import typer", (sys.executable, "-c", "import typer")),
        Command(SS_VERSION, (ss, "--version"), rows=1),
        Command(SSP, (ss, "-tinp")),
    ]


def main() -> None:
    """Time, and print one table."""
    parser = argparse.ArgumentParser(prog="bench.startup", description=__doc__)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--sockets", type=int, default=0, help="established sockets beside")
    options = parser.parse_args()
    private_network()
    print(machine())
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        if options.sockets:
            stack.enter_context(established(options.sockets))
        commands = _commands(os.getpid(), listener.fileno())
        runs = interleaved(commands, options.rounds)
    rows = []
    for command in commands:
        ours = runs[command.name]
        against = f"{ratio(ours, runs[PASS]):.2f}"
        must = f" (must {_MUST[command.name]})" if command.name in _MUST else ""
        rows.append(
            [
                f"`{command.name}`",
                f"{median_ms(ours):.1f}",
                f"{spread_percent(ours):.0f} %",
                against + must,
                f"{ratio(ours, runs[SSP]):.2f}",
            ]
        )
    print(f"\n{options.sockets + 1} sockets, {options.rounds} rounds\n")
    print(table(["command", "ms", "spread", f"/ {PASS}", f"/ {SSP}"], rows))


if __name__ == "__main__":
    main()
