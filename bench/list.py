"""`tcptool list` against ss, pyroute2 and psutil: `python -m bench.list`.

First the rows are compared with those of ss; then the commands are timed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from typing import Any, Final

from bench.rig import (
    TCPTOOL,
    Command,
    Failed,
    Run,
    environment,
    established,
    interleaved,
    machine,
    median_ms,
    private_network,
    ratio,
    run,
    spread_percent,
    table,
)

_PYROUTE2: Final = """
from socket import AF_INET, AF_INET6
from pyroute2 import DiagSocket
with DiagSocket() as ds:
    ds.bind()
    for family in AF_INET, AF_INET6:
        for sock in ds.get_sock_stats(family=family, extensions=0xFF):
            print(sock["idiag_src"], sock["idiag_dst"])
"""
_PSUTIL: Final = """
import psutil
for one in psutil.net_connections("tcp"):
    print(one.laddr, one.raddr, one.pid, one.fd)
"""

SS, SSP, PYROUTE2, PSUTIL = "ss -tinHO", "ss -tinpHO", "pyroute2", "psutil"
LEAN, LEAN_OWNERS = "list --json --no-owners", "list --json"
FULL, FULL_OWNERS = "list --json -o all --no-owners", "list --json -o all"
TEXT, TEXT_OWNERS = "list --no-owners", "list"

_MUST: Final = {
    (50_000, LEAN, SS): "<= 0.8",
    (50_000, LEAN_OWNERS, SSP): "<= 0.4",
    (50_000, FULL, SS): "<= 1.6",
    (10_000, LEAN_OWNERS, SSP): "<= 0.7",
    (50_000, LEAN, PYROUTE2): "<= 0.067",
}
"""What must be reached, by sockets, command and peer."""

_MEMORY_MUST: Final = "<= 30 MiB"
_MIB: Final = 1 << 20


def _commands(sockets: int, *, slow_rounds: int) -> list[Command]:
    def ours(arguments: str) -> Command:
        words = arguments.split()
        in_json = "--json" in words
        return Command(
            f"{arguments}",
            (TCPTOOL, *words),
            rows=sockets if in_json else sockets + 1,
            needle=b'"inode":' if in_json else b"\n",
            remarks=not in_json,
        )

    ss = shutil.which("ss")
    if ss is None:
        raise SystemExit("bench.list: ss is not installed (Debian: iproute2)")
    commands = [
        Command(SS, (ss, "-tinHO"), rows=sockets),
        Command(SSP, (ss, "-tinpHO"), rows=sockets),
        *map(ours, (LEAN, LEAN_OWNERS, FULL, FULL_OWNERS, TEXT, TEXT_OWNERS)),
        Command(PSUTIL, (sys.executable, "-c", _PSUTIL), rows=sockets),
    ]
    if importlib.util.find_spec("pyroute2"):
        most = slow_rounds if sockets > 10_000 else None
        argv = (sys.executable, "-c", _PYROUTE2)
        commands.append(Command(PYROUTE2, argv, rows=sockets, most_rounds=most))
    return commands


# -- the same rows -------------------------------------------------------------------------

_SS_INFO: Final = {"cwnd": r" cwnd:(\d+)", "rtt": r" rtt:([\d.]+)/", "inode": r" ino:(\d+)"}


def _rows_of_ss() -> set[tuple[Any, ...]]:
    rows = set()
    for line in _output("ss", "-tineHO").splitlines():
        state, receive, send, local, peer = line.split()[:5]
        cwnd, rtt, inode = (
            (found := re.search(pattern, line)) and found[1] for pattern in _SS_INFO.values()
        )
        rows.add(
            (
                {"ESTAB": "established", "LISTEN": "listen"}.get(state, state),
                int(receive),
                int(send),
                local,
                peer,
                int(cwnd or 0),
                round(1000 * float(rtt or 0)),
                int(inode or 0),
            )
        )
    return rows


def _our_rows() -> set[tuple[Any, ...]]:
    columns = (
        "state",
        "receive_queue_bytes",
        "send_queue_bytes",
        "local",
        "peer",
        "snd_cwnd_packets",
        "rtt_us",
        "inode",
    )
    text = _output(TCPTOOL, "list", "--json", "--no-owners", "--columns", ",".join(columns))
    return {tuple(row[name] for name in columns) for row in json.loads(text)["data"]["sockets"]}


def _output(*argv: str) -> str:
    return subprocess.run(
        argv, check=True, stdout=subprocess.PIPE, text=True, env=environment()
    ).stdout


def _compare_rows(sockets: int) -> None:
    """Compare in a child: parsed rows would make this process large (see ``rig.run``)."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            theirs, ours = _rows_of_ss(), _our_rows()
            different = sorted(theirs ^ ours)
            if different or len(ours) != sockets:
                print(
                    f"{len(ours)} rows; {len(different)} differ from ss:", *different[:6], sep="\n"
                )
            else:
                status = 0
        finally:
            sys.stdout.flush()
            os._exit(status)
    if os.waitpid(pid, 0)[1]:
        raise Failed("the rows differ from those of ss")


# -- report --------------------------------------------------------------------------------


def _report(sockets: int, runs: dict[str, list[Run]], empty: dict[str, Run]) -> str:
    rows = []
    for name, ours in runs.items():
        cells = [f"`{name}`", f"{median_ms(ours):.0f}", f"{spread_percent(ours):.0f} %"]
        for peer in (SS, SSP, PYROUTE2, PSUTIL):
            if peer == name or peer not in runs:
                cells.append("")
                continue
            must = _MUST.get((sockets, name, peer))
            shown = f"{ratio(ours, runs[peer]):.3g}"
            cells.append(f"**{shown}** (must {must})" if must else shown)
        rss = max(one.rss_bytes for one in ours)
        cells.append(f"{rss / _MIB:.1f}")
        over = f"{(rss - empty[name].rss_bytes) / _MIB:.1f}"
        needs = sockets == 50_000 and name.startswith("list")
        cells.append(f"{over} (must {_MEMORY_MUST})" if needs else over)
        rows.append(cells)
    heading = ["command", "ms", "spread", *(f"/ {peer}" for peer in (SS, SSP, PYROUTE2, PSUTIL))]
    return table([*heading, "RSS MiB", "over an empty run"], rows)


def main() -> None:
    """Time, and print one table for each number of sockets."""
    parser = argparse.ArgumentParser(prog="bench.list", description=__doc__)
    parser.add_argument("--sockets", type=int, nargs="+", default=[1000, 10_000, 50_000])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument(
        "--slow-rounds", type=int, default=2, help="of pyroute2 above 10 000 sockets"
    )
    options = parser.parse_args()
    private_network()
    print(machine())
    empty = {command.name: run(command) for command in _commands(0, slow_rounds=1)}
    for sockets in options.sockets:
        with established(sockets):
            _compare_rows(sockets)
            commands = _commands(sockets, slow_rounds=options.slow_rounds)
            runs = interleaved(commands, options.rounds)
        print(f"\n{sockets} sockets, {options.rounds} rounds; rows equal to those of ss\n")
        print(_report(sockets, runs, empty), flush=True)


if __name__ == "__main__":
    main()
