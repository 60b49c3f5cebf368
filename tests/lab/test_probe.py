"""`probe --to` through a path with a rate, a delay and losses."""

from __future__ import annotations

import json
import sys
from typing import Any

from tests.lab.path import path
from tests.support.children import spawn
from tests.support.netns import NetNs

# Reads all connections to their end, and tells how much came when its stdin closes.
SINK = """
import socket, sys, threading
server = socket.create_server((sys.argv[1], 0), family=socket.AF_INET)
print(server.getsockname()[1], flush=True)
def drain(connection):
    with connection:
        while connection.recv(1 << 16):
            pass
def accept():
    while True:
        threading.Thread(target=drain, args=(server.accept()[0],), daemon=True).start()
threading.Thread(target=accept, daemon=True).start()
sys.stdin.read()
"""


def probe(netns: NetNs, *words: str) -> Any:
    """The data of a run that ended well."""
    command = [sys.executable, "-m", "tcptool", "probe", *words, "--json", "--quiet"]
    done = netns.run(*command, check=False, timeout_s=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["data"]


def test_the_rate_is_that_of_the_path_and_not_that_of_the_send_buffer() -> None:
    with (
        path(delay_ms=5, rate_mbit=20, queue_packets=200) as link,
        spawn(SINK, link.FAR_IPV4, netns=link.far) as sink,
    ):
        data = probe(
            link.near, "compare", "--methods", "send,sendfile", "--size", "1M", "--slice", "256K",
            "--to", f"{link.FAR_IPV4}:{sink.ready}", "--timeout", "30s",
        )  # fmt: skip
    for result in data["results"]:
        # A slice fits into the send buffer: counted to there it would take no time at all.
        assert 1e6 < result["rate_bytes_per_s"] * 8 < 20e6 * 1.05, result
        assert result["payload_bytes"] == 1 << 20
        assert result["settings"]["device"] not in (None, "lo")
        assert result["tcp_info"]["min_rtt_us"] >= 10_000


def test_losses_on_the_way_are_told_and_lose_nothing() -> None:
    with (
        path(delay_ms=1, rate_mbit=50, queue_packets=200, forward={"loss": 0.02}, seed=3) as link,
        spawn(SINK, link.FAR_IPV4, netns=link.far) as sink,
    ):
        data = probe(
            link.near, "splice", "--size", "1M", "--slice", "256K", "--connections", "1",
            "--to", f"{link.FAR_IPV4}:{sink.ready}", "--timeout", "30s",
        )  # fmt: skip
    (result,) = data["results"]
    assert result["payload_bytes"] == 1 << 20
    assert result["tcp_info"]["total_retrans_packets"] > 0
    assert result["tcp_info"]["acked_bytes"] >= 1 << 20
