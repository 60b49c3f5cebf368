"""Limits of buffers that hold a connection back over a real round trip: seen, raised, quicker."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.lab.path import RelayPath, path
from tests.live.program import Owner, owner, tcptool
from tests.support.netns import NetNs

State = Callable[[str], None]

# A stream that stops on demand, and how fast it arrived.
_READ = """
import threading
server = socket.create_server(("10.77.0.2", 8000))
count = 0
def serve():
    global count
    while True:
        conn = server.accept()[0]
        while data := conn.recv(1 << 18):
            count += len(data)
threading.Thread(target=serve, daemon=True).start()
def rate(seconds):
    start = count
    time.sleep(seconds)
    return (count - start) / seconds
"""
_WRITE = """
import threading
going = True
def stream():
    with socket.socket() as out:
        out.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, control)
        out.connect(("10.77.0.2", 8000))
        while going:
            out.sendall(bytes(1 << 16))
def start():
    global thread, going
    going = True
    thread = threading.Thread(target=stream, daemon=True)
    thread.start()
def stop():
    global going
    going = False
    thread.join()
"""


@contextmanager
def stream(**sysctls: str) -> Iterator[tuple[RelayPath, Owner, Owner]]:
    """A writer and a reader, 40 ms apart on a path that has room for more."""
    names = {name.replace("__", "."): value for name, value in sysctls.items()}
    with (
        path(delay_ms=20, rate_mbit=40, sysctls=names) as link,
        owner(link.far, setup=_READ) as reader,
        owner(link.near, setup=_WRITE) as writer,
    ):
        yield link, writer, reader


def limits(netns: NetNs) -> Any:
    """What H-15 says in there."""
    run = tcptool("doctor", "--for", "200ms", "--json", netns=netns)
    return next(one for one in run.data["findings"] if one["id"] == "H-15")


@pytest.mark.parametrize(
    ("sysctl", "text", "side", "control"),
    [
        # A sender of cubic overshoots its buffer, and one look does not tell what it waits for.
        ("net.ipv4.tcp_wmem", "4096 16384 65536", "near", "bbr"),
        ("net.ipv4.tcp_rmem", "4096 131072 131072", "far", "bbr"),
        ("net.ipv4.tcp_rmem", "4096 131072 131072", "far", "cubic"),
    ],
)
def test_a_limit_is_seen_and_raised(
    sysctl: str, text: str, side: str, control: str, delivered: State
) -> None:
    with stream() as (link, writer, reader):
        netns = link.near if side == "near" else link.far
        writer(f"control = {control.encode()!r}")
        netns.run("sysctl", "-w", f"{sysctl}={text}")
        writer("start()")
        before = reader("rate(3)")
        ill = limits(netns)
        assert ill["severity"] == "warn", json.dumps(ill, indent=1)
        assert ill["summary"].startswith(f"{sysctl}[2] holds ")
        command = ill["remedy"]["command"].removeprefix("sudo ")
        netns.run("sh", "-c", command)
        writer("stop()\nstart()")
        after = reader("rate(3)")
        writer("stop()")
        proposed = re.findall(r"\d+", command)[-1]
        delivered(
            f"{sysctl} {text.split()[2]} to {proposed}, {control}: "
            f"{before * 8e-6:.1f} to {after * 8e-6:.1f} Mbit/s"
        )
        assert after > 1.5 * before


@pytest.mark.parametrize("control", ["cubic", "bbr"])
def test_what_the_path_limits_is_left_alone(control: str) -> None:
    with stream() as (link, writer, reader):
        writer(f"control = {control.encode()!r}")
        writer("start()")
        reader("rate(3)")
        for netns in (link.near, link.far):
            found = limits(netns)
            assert found["severity"] == "ok", json.dumps(found, indent=1)
        writer("stop()")


@pytest.mark.parametrize("control", ["cubic", "bbr"])
def test_what_a_path_needs_is_enough_for_it(control: str, delivered: State) -> None:
    with stream() as (link, writer, reader):
        writer(f"control = {control.encode()!r}")
        words = ("--rtt", "40ms", "--rate", "36mbit", "--json")
        needs = tcptool("doctor", *words, netns=link.near).data["path"]
        for netns in (link.near, link.far):
            netns.run(
                "sysctl", "-w", f"net.ipv4.tcp_rmem=4096 16384 {needs['receive']['needed_bytes']}"
            )
            netns.run(
                "sysctl", "-w", f"net.ipv4.tcp_wmem=4096 16384 {needs['send']['needed_bytes']}"
            )
        writer("start()")
        reader("rate(1)")
        rate = reader("rate(3)")
        writer("stop()")
        delivered(f"36 Mbit/s wanted with {control}, {rate * 8e-6:.1f} came")
        assert rate > 0.75 * needs["rate_bytes_per_s"]
        answers = tcptool("doctor", *words, netns=link.near).data["path"]
        assert {answers["receive"]["answer"], answers["send"]["answer"]} == {"enough"}
