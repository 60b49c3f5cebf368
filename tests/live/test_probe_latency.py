"""`probe latency` as a user runs it: what the kernel promises, and far ends that misbehave."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.live.program import children_of, table, tcptool
from tests.live.test_rough_weather import Terminal, screen_lines
from tests.support.children import ROOT, Child, spawn
from tests.support.netns import NetNs
from tests.support.waiting import wait_until

FEW = ("--requests", 50, "--blocks", 2, "--duration", "10s")

# Does with each connection, in a thread of its own, what the argument says.
SERVER = """
import socket, sys, threading
behaviours = {
    "echo": lambda got, count: got,
    "closes": lambda got, count: got if count < 3 else None,
    "doubles": lambda got, count: got + got,
    "discards": lambda got, count: b"",
    "halves": lambda got, count: got[: len(got) // 2],
}
behave = behaviours[sys.argv[1]]
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
def serve(connection):
    with connection:
        count = 0
        while got := connection.recv(1 << 16):
            answer = behave(got, count)
            if answer is None:
                return
            count += 1
            try:
                connection.sendall(answer)
            except OSError:
                return
def accept():
    while True:
        threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
threading.Thread(target=accept, daemon=True).start()
sys.stdin.read()
"""


def probe(*words: object, **more: Any) -> Any:
    """The data of a run that ended well."""
    return tcptool("probe", "latency", *words, "--json", **more).data


def arms(data: Any) -> dict[str, Any]:
    return {arm["name"]: arm for arm in data["arms"]}


def server(behaviour: str) -> Child:
    return spawn(SERVER, behaviour)


def segments_a_request(arm: Any) -> float:
    return float(arm["data_segments"] / arm["requests"])


# -- what the kernel promises --------------------------------------------------------------


def test_two_writes_wait_for_a_delayed_ack_and_every_remedy_works(netns: NetNs) -> None:
    """The kernel delays an ACK for 40 ms or longer: TCP_DELACK_MIN, include/net/tcp.h."""
    data = probe(
        "--matrix", "nodelay,cork,quickack", "--blocks", 6, "--requests", 100,
        "--duration", "300ms", netns=netns,
    )  # fmt: skip
    found = arms(data)
    slow = found.pop("default")
    assert slow["pattern"] == "two-writes"
    assert slow["p50_us"] >= 20_000
    assert slow["requests"] < found["nodelay"]["requests"]  # the time ended its blocks
    for arm in found.values():
        assert slow["p50_us"] >= 5 * arm["p50_us"], arm
        assert arm["outcome"]["verdict"] == "less"
        assert arm["p50_low_us"] <= arm["p50_us"] <= arm["p50_high_us"]
        assert len(arm["blocks"]) == 6
    assert 1.5 < segments_a_request(slow) < 2.5
    assert 1.5 < segments_a_request(found["nodelay"]) < 2.5
    assert 0.5 < segments_a_request(found["cork"]) < 1.5
    assert [one["id"] for one in data["lessons"]] == ["delayed-ack"]
    assert data["settings"]["device"] == "lo"
    assert data["settings"]["options"] == []


def test_one_call_or_one_segment_is_another_remedy(netns: NetNs) -> None:
    patterns = "two-writes,one-write,gathered,more"
    words = ("--requests", 10, "--blocks", 2)
    found = arms(probe("--pattern", patterns, *words, netns=netns))
    slow = found.pop("two-writes")
    for arm in found.values():
        assert slow["p50_us"] >= 5 * arm["p50_us"], arm
        assert 0.5 < segments_a_request(arm) < 1.5


def test_a_cork_that_stays_costs_200_ms(netns: NetNs) -> None:
    words = ("--requests", 1, "--blocks", 1, "--duration", "10ms")
    data = probe(*words, "--profile", "guide", netns=netns)
    assert data["arms"][0]["p50_us"] >= 150_000
    assert [one["id"] for one in data["lessons"]] == ["corked"]


@pytest.mark.parametrize("words", [["-6"], ["--unix"]])
def test_other_ways_to_the_far_end(words: list[str], netns: NetNs) -> None:
    data = probe(*FEW, *words, netns=netns)
    assert data["plan"]["path"] == {"-6": "ipv6", "--unix": "unix"}[words[0]]
    assert data["arms"][0]["requests"] == 100


def test_under_load_each_is_measured_twice(netns: NetNs) -> None:
    data = probe(*FEW, "--under-load", "--matrix", "nodelay", "--pattern", "one-write", netns=netns)
    found = arms(data)
    assert list(found) == ["default", "default+load", "nodelay", "nodelay+load"]
    for name, arm in found.items():
        assert arm["under_load"] == (arm["load_rate_bytes_per_s"] is not None)
        if arm["under_load"]:
            assert arm["load_rate_bytes_per_s"] > 0
            assert arm["base"] == name.removesuffix("+load")


def test_an_open_loop(netns: NetNs) -> None:
    data = probe(*FEW, "--rate", 1000, "--set", "nodelay=1", netns=netns)
    assert data["loop"] == "open"
    assert data["arms"][0]["requests"] == 100


def test_in_another_network_namespace(netns: NetNs) -> None:
    if netns.in_user_namespace:
        return
    data = probe(*FEW, "--netns", netns.pid, "--under-load")
    assert data["arms"][0]["requests"] == 100


# -- other programs ------------------------------------------------------------------------


def test_an_echo_server() -> None:
    with server("echo") as child:
        to = ("--to", f"127.0.0.1:{child.ready}")
        data = probe(*FEW, *to, "--size", "1,64,1M", "--requests", 20)
        assert data["plan"]["reply_bytes"] is None
        assert {(arm["size_bytes"], arm["reply_bytes"]) for arm in data["arms"]} == {
            (1, 1), (64, 64), (1 << 20, 1 << 20),
        }  # fmt: skip
        assert {arm["requests"] for arm in data["arms"]} == {40}
        assert data["settings"]["rcvbuf_bytes"] is None
        loaded = arms(probe(*FEW, *to, "--under-load"))["one-write+load"]
        assert loaded["load_rate_bytes_per_s"] > 0


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        ("closes", "the other end closed the connection"),
        ("doubles", "more came than the 64 bytes of a reply"),
        ("discards", "0 of the 64 bytes of a reply came, then nothing for 0.2 s"),
        ("halves", "32 of the 64 bytes of a reply came, then nothing for 0.2 s"),
    ],
)
@pytest.mark.parametrize("loop", [[], ["--rate", "100"]])
def test_a_program_that_is_no_echo_server(behaviour: str, said: str, loop: list[str]) -> None:
    with server(behaviour) as child:
        run = tcptool(
            "probe", "latency", *FEW, "--to", f"127.0.0.1:{child.ready}", "--timeout", "200ms",
            *loop,
        )  # fmt: skip
    run.failed(6, said, "must send back what it gets")


def test_nobody_there(netns: NetNs) -> None:
    run = tcptool("probe", "latency", "--to", "127.0.0.1:9", netns=netns)
    run.failed(6, "connecting to 127.0.0.1:9", "ECONNREFUSED")


# -- rough weather -------------------------------------------------------------------------


def started(*words: object) -> subprocess.Popen[bytes]:
    """A run of the real program in the background that would last for a minute."""
    return subprocess.Popen(
        [sys.executable, "-m", "tcptool", "probe", "latency", "--duration", "50ms",
         "--requests", "1000", "--blocks", "200", *map(str, words)],
        cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def is_measuring(pid: int) -> bool:
    """Whether it has waited for more replies than there are in the first blocks of two arms."""
    text = Path(f"/proc/{pid}/status").read_text()
    waits = int(text.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
    return bool(children_of(pid)) and waits > 4000


@pytest.mark.parametrize("words", [[], ["--under-load"]])
def test_ctrl_c_gives_what_was_measured(words: list[str]) -> None:
    with started("--json", *words) as run:
        wait_until(lambda: is_measuring(run.pid), deadline_s=30)
        children = children_of(run.pid)
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=30)
    assert (run.returncode, err) == (130, b"")
    data = json.loads(out)["data"]
    assert data["complete"] is False
    assert len(data["arms"][0]["blocks"]) >= 1
    wait_until(lambda: not any(Path(f"/proc/{child}").exists() for child in children))


@pytest.mark.parametrize("words", [[], ["--under-load"]])
def test_a_far_end_that_is_killed(words: list[str]) -> None:
    with started(*words) as run:
        wait_until(lambda: is_measuring(run.pid), deadline_s=30)
        os.kill(children_of(run.pid)[0], signal.SIGKILL)
        out, err = run.communicate(timeout=30)
    assert (run.returncode, out) == (6, b"")
    assert b"measuring with the responder in process" in err
    assert b"it was killed by SIGKILL" in err


def test_a_far_end_that_is_stopped() -> None:
    with started("--timeout", "300ms") as run:
        wait_until(lambda: is_measuring(run.pid), deadline_s=30)
        (child,) = children_of(run.pid)
        os.kill(child, signal.SIGSTOP)
        out, err = run.communicate(timeout=30)
    assert (run.returncode, out) == (6, b"")
    assert b"for 0.3 s" in err
    assert not Path(f"/proc/{child}").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_child_outlives_one_that_is_killed(number: signal.Signals) -> None:
    with started("--under-load") as run:
        wait_until(lambda: len(children_of(run.pid)) == 2 and is_measuring(run.pid), deadline_s=30)
        children = children_of(run.pid)
        run.send_signal(number)
        run.communicate(timeout=30)
    assert run.returncode == -number
    wait_until(lambda: not any(Path(f"/proc/{child}").exists() for child in children))


def test_nothing_is_left_in_time_wait(netns: NetNs) -> None:
    probe(*FEW, "--under-load", netns=netns)
    assert tcptool("list", "state time-wait", "--json", netns=netns).data["count"] == 0


# -- what a person sees --------------------------------------------------------------------


def test_on_a_terminal_the_table_fits_and_the_lesson_is_told() -> None:
    words = ["--matrix", "nodelay,cork", "--blocks", "6", "--requests", "100"]
    terminal = Terminal(["probe", "latency", *words, "--duration", "200ms", "-q"], 80)
    text = terminal.read_until(None)
    assert terminal.close() == 0
    lines = screen_lines(text)
    assert max(map(len, lines)) <= 80
    assert any("p50" in line and "max" in line for line in lines)
    assert any("times shorter than default" in line for line in lines)
    assert any("Two writes wait for a delayed ACK" in line for line in lines)


def test_in_a_pipe_every_cell_is_a_word(netns: NetNs) -> None:
    rows = table(tcptool("probe", "latency", *FEW, "--under-load", "-q", netns=netns))
    assert [row["name"] for row in rows] == ["one-write", "one-write+load"]
    assert [row["under_load"] for row in rows] == ["no", "yes"]
