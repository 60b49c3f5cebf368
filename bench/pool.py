"""The pool against urllib3's, http.client and a bare socket, and a stress: `python -m bench.pool`.

One request at a time to `tcptool serve`, which runs on the first processor, and the clients on the
second; they take turns in rounds, and the ratio of each round counts.  Every answer is checked.
Nothing here asserts a time.
"""

from __future__ import annotations

import argparse
import http.client
import importlib
import json
import os
import socket
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any, Final

from bench.rig import TCPTOOL, Failed, environment, machine, private_network, table
from tcptool.traffic.http_client import Url, get
from tcptool.traffic.pool import Pool
from tests.live.pool_server import stress

_BODY_BYTES: Final = 1000
_PATH: Final = f"/bytes/{_BODY_BYTES}"
_MUSTS: Final = {"urllib3": ">= 1.5", "bare socket": ">= 0.85"}

Client = Callable[[int], None]
"""Asks so many times."""


@contextmanager
def served(processor: int) -> Iterator[int]:
    """A server of ours; its port."""
    argv = ("taskset", "-c", str(processor), TCPTOOL, "serve", "--port", "0", "--json")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=environment()) as server:
        assert server.stdout is not None
        try:
            yield json.loads(server.stdout.readline())["data"]["port"]
        finally:
            server.terminate()


def pooled(port: int) -> Client:
    """The pool of tcptool."""
    pool, url = Pool(), Url("127.0.0.1", port, _PATH)
    request = url.request

    def ask(times: int) -> None:
        for _ in range(times):
            response = get(pool, url, request, 10).response
            if (response.status, response.body_bytes) != (200, _BODY_BYTES):
                raise Failed(f"pool: {response}")

    return ask


def bare(port: int) -> Client:
    """One socket, no checks: as much as reading the answer takes."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.settimeout(None)
    request = Url("127.0.0.1", port, _PATH).request

    def ask(times: int) -> None:
        for _ in range(times):
            sock.sendall(request)
            data = sock.recv(65536)
            end = data.find(b"\r\n\r\n") + 4
            if not data.startswith(b"HTTP/1.1 200 ") or len(data) - end != _BODY_BYTES:
                raise Failed(f"bare socket: {data!r}")

    return ask


def new_connections(port: int) -> Client:
    """A connection for each request."""
    pool, url = Pool(), Url("127.0.0.1", port, _PATH)
    request = url.request

    def ask(times: int) -> None:
        for _ in range(times):
            get(pool, url, request, 10, fresh=True)

    return ask


def standard(port: int) -> Client:
    """http.client on one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port)

    def ask(times: int) -> None:
        for _ in range(times):
            connection.request("GET", _PATH)
            answer = connection.getresponse()
            if answer.status != 200 or len(answer.read()) != _BODY_BYTES:
                raise Failed("http.client")

    return ask


def urllib3_pool(port: int) -> Client | None:
    """urllib3's pool, if there is one."""
    try:
        urllib3: Any = importlib.import_module("urllib3")
    except ImportError:
        return None
    pool = urllib3.HTTPConnectionPool("127.0.0.1", port, maxsize=1)

    def ask(times: int) -> None:
        for _ in range(times):
            answer = pool.request("GET", _PATH)
            if answer.status != 200 or len(answer.data) != _BODY_BYTES:
                raise Failed("urllib3")

    return ask


def compare(rounds: int, requests: int) -> None:
    """All clients in turn."""
    near, far = (sorted(os.sched_getaffinity(0)) * 2)[:2]
    with served(near) as port:
        os.sched_setaffinity(0, {far})
        found = {
            "pool": pooled(port),
            "bare socket": bare(port),
            "urllib3": urllib3_pool(port),
            "http.client": standard(port),
            "a new connection each": new_connections(port),
        }
        clients = {name: client for name, client in found.items() if client}
        if len(clients) < len(found):
            print("\nurllib3 is left out: it is not installed")
        rates: dict[str, list[float]] = {name: [] for name in clients}
        for client in clients.values():
            client(requests // 10 + 1)
        for number in range(rounds):
            turn = number % len(clients)
            for name in (*list(clients)[turn:], *list(clients)[:turn]):
                begun_s = perf_counter()
                clients[name](requests)
                rates[name].append(requests / (perf_counter() - begun_s))
    rows = []
    for name, values in rates.items():
        ratios = [ours / theirs for ours, theirs in zip(rates["pool"], values, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        must = f" (must {_MUSTS[name]})" if name in _MUSTS else ""
        shown = "" if name == "pool" else f"{middle:.2f} ({low:.2f} to {high:.2f}){must}"
        rows.append([name, f"{statistics.median(values):.0f}", shown])
    print(f"\nOne request at a time, {_BODY_BYTES} bytes, {rounds} rounds of {requests}\n")
    print(table(["", "requests/s", "pool / it"], rows), flush=True)


def under_stress(seconds: float) -> int:
    """64 threads, 16 connections, a server that closes, resets and stalls at random."""
    before = len(os.listdir("/proc/self/fd"))
    outcome = stress(threads=64, seconds=seconds)
    left = len(os.listdir("/proc/self/fd")) - before
    counts = outcome.statistics
    rows = [
        ["answered", str(outcome.answered)],
        ["failed: the server reset or closed", str(outcome.failed)],
        ["wrong or crossed answers", str(len(outcome.wrong))],
        ["connections made, used again", f"{counts.created}, {counts.reused}"],
        ["found dead, handed out dead", f"{counts.invalid_found}, {counts.stale_handed_out}"],
        ["requests that had to wait", str(counts.waits)],
        ["still lent, descriptors left", f"{counts.in_use}, {left}"],
    ]
    print(f"\n64 threads on 16 connections for {seconds:g} s\n")
    print(table(["", "number"], rows), flush=True)
    return 1 if outcome.wrong or counts.in_use or left > 2 else 0


def main() -> int:
    """Parse the command line and print the tables; status 1 if the stress found anything."""
    parser = argparse.ArgumentParser(prog="bench.pool", description=__doc__)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--requests", type=int, default=2000, help="of each client in a round")
    parser.add_argument("--stress", type=float, default=60.0, help="seconds; 0 leaves it out")
    options = parser.parse_args()
    private_network()
    print(machine(), flush=True)
    compare(options.rounds, options.requests)
    return under_stress(options.stress) if options.stress else 0


if __name__ == "__main__":
    sys.exit(main())
