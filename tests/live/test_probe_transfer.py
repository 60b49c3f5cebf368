"""`probe METHOD` and `probe compare`, as a user runs them."""

from __future__ import annotations

import errno
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tcptool.catalog.methods import METHODS
from tests.live.program import NOBODY, children_of, owner, tcptool
from tests.support.children import ROOT, spawn
from tests.support.netns import NetNs
from tests.support.waiting import wait_until

ALL = [method.name for method in METHODS]
QUICK = ("--size", "2M", "--slice", "64K")

# A program that reads all connections to their end.
SINK = """
import socket, sys, threading
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
def drain(connection):
    while connection.recv(1 << 20):
        pass
    connection.close()
def accept():
    while True:
        threading.Thread(target=drain, args=(server.accept()[0],), daemon=True).start()
threading.Thread(target=accept, daemon=True).start()
sys.stdin.read()
"""


def probe(*words: object, **more: Any) -> Any:
    """The data of a run that ended well."""
    return tcptool("probe", *words, "--json", "--quiet", **more).data


def started(*words: str) -> subprocess.Popen[bytes]:
    """A run of the real program in the background."""
    return subprocess.Popen(
        [sys.executable, "-m", "tcptool", "probe", *words],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize("method", ALL)
def test_every_method_moves_every_byte(method: str, netns: NetNs) -> None:
    data = probe(method, *QUICK, "--verify", "--seed", 7, netns=netns)
    (result,) = data["results"]
    assert result["method"] == method
    assert result["payload_bytes"] == 2 << 20
    assert sum(one["payload_bytes"] for one in result["slices"]) == 2 << 20
    assert [one["connection"] for one in result["slices"]] == [n // 2 for n in range(32)]
    assert result["verified_bytes"] == 2 << 20
    assert result["rate_low_bytes_per_s"] <= result["rate_bytes_per_s"]
    assert result["rate_bytes_per_s"] <= result["rate_high_bytes_per_s"]
    assert result["near"]["calls"] > 0
    assert result["far"]["calls"] > 0
    assert result["settings"]["device"] == "lo"
    # Of the last connection: the warm-up, and its share.
    assert result["tcp_info"]["sent_bytes"] >= (128 << 10) + (128 << 10)
    assert data["complete"] is True
    assert data["plan"]["seed"] == 7
    assert data["comparisons"] == []
    assert data["fastest"] == data["cheapest"] == [method]


@pytest.mark.parametrize("words", [["-6"], ["--unix"], ["--memory"], ["--receiver", "splice"]])
def test_compare_leaves_out_what_cannot_be(words: list[str], netns: NetNs) -> None:
    document = tcptool("probe", "compare", *QUICK, *words, "--json", netns=netns).json
    data = document["data"]
    names = {result["method"] for result in data["results"]}
    left_out = {
        method.name
        for method in METHODS
        if ("--unix" in words and not method.unix) or ("--memory" in words and not method.memory)
    }
    assert names == set(ALL) - left_out
    assert {one["what"] for one in document["missing"]} == left_out
    places = [result["place_by_throughput"] for result in data["results"]]
    assert places == sorted(places)
    assert places[0] == 1
    assert set(data["fastest"]) == {
        r["method"] for r in data["results"] if r["place_by_throughput"] == 1
    }
    warned = {one["id"] for one in document["warnings"]}
    assert ("copied" in warned) == ("zerocopy" in names)
    assert ("loopback" in warned) == ("--unix" not in words)


def test_a_method_can_be_compared_with_itself(netns: NetNs) -> None:
    data = probe("compare", "--methods", "send,send", *QUICK, netns=netns)
    assert sorted(result["method"] for result in data["results"]) == ["send", "send#2"]
    assert {one["metric"] for one in data["comparisons"]} == {"rate", "cpu"}


def test_what_is_asked_for_is_set_on_both_ends_and_told(netns: NetNs) -> None:
    data = probe(
        "send", *QUICK, "--set", "TCP_CONGESTION=reno", "--set", "rcvbuf=300000", netns=netns
    )
    settings = data["results"][0]["settings"]
    assert settings["congestion_control"] == "reno"
    assert settings["rcvbuf_bytes"] == 600_000
    assert [one["name"] for one in settings["options"]] == ["TCP_CONGESTION", "SO_RCVBUF"]


def test_connections_share_the_bytes(netns: NetNs) -> None:
    data = probe("send", "--size", "1537K", "--slice", "256K", "--connections", 3, netns=netns)
    (result,) = data["results"]
    assert [one["connection"] for one in result["slices"]] == [0, 0, 1, 1, 2, 2]
    assert result["payload_bytes"] == 1537 << 10
    assert result["tcp_info"]["sent_bytes"] < result["payload_bytes"]


def test_few_connections_tell_no_interval(netns: NetNs) -> None:
    document = tcptool("probe", "send", *QUICK, "--connections", 5, "--json", netns=netns).json
    (result,) = document["data"]["results"]
    assert result["rate_low_bytes_per_s"] is result["rate_high_bytes_per_s"] is None
    assert "too-short" in {one["id"] for one in document["warnings"]}


def test_it_can_go_on_for_a_time(netns: NetNs) -> None:
    data = probe("sendfile", "--duration", "300ms", "--slice", "64K", netns=netns)
    assert data["plan"]["size_bytes"] is None
    assert len(data["results"][0]["slices"]) > 6


@pytest.mark.parametrize("size", [1, 3, 65_537])
def test_odd_sizes(size: int, netns: NetNs) -> None:
    (result,) = probe("splice", "--size", size, "--verify", netns=netns)["results"]
    assert result["payload_bytes"] == result["verified_bytes"] == size


def test_a_file_is_sent_and_left_as_it_is(tmp_path: Path, netns: NetNs) -> None:
    file = tmp_path / "a file"
    file.write_bytes(os.urandom(100_001))
    before = file.stat()
    data = probe("compare", "--file", file, "--size", "1M", "--verify", netns=netns)
    assert data["source_bytes"] == 100_001
    assert {r["verified_bytes"] for r in data["results"]} == {100_001}
    assert file.stat().st_mtime_ns == before.st_mtime_ns


def test_the_result_is_saved_as_json(tmp_path: Path, netns: NetNs) -> None:
    file = tmp_path / "result.json"
    run = tcptool("probe", "send", *QUICK, "-o", file, "--json", netns=netns)
    assert json.loads(file.read_text()) == run.json
    assert list(tmp_path.iterdir()) == [file]


def test_an_ordinary_user_can_do_it_all() -> None:
    document = tcptool("probe", "compare", *QUICK, "--json", uid=NOBODY).json
    assert {result["method"] for result in document["data"]["results"]} == set(ALL)


def test_plain_rows_in_a_pipe(netns: NetNs) -> None:
    run = tcptool("probe", "compare", *QUICK, netns=netns)
    rows = [line for line in run.lines if not line.startswith("#")]
    heading = rows[0].split()
    assert all(len(row.split()) == len(heading) for row in rows[1:]), run.out
    assert {row.split()[heading.index("method")] for row in rows[1:]} == set(ALL)
    assert "\x1b" not in run.out


def test_bytes_go_to_another_program(netns: NetNs) -> None:
    with spawn(SINK, netns=netns) as far:
        data = probe("compare", *QUICK, "--to", f"127.0.0.1:{far.ready}", netns=netns)
    assert {result["method"] for result in data["results"]} == set(ALL)
    assert all(result["far"] is None for result in data["results"])
    assert data["plan"]["receiver"] is None


# -- what goes wrong -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "status", "texts"),
    [
        (["--size", "0"], 2, ["--size", "'0' is not between 1"]),
        (["--size", "-1"], 2, ["-1"]),
        (["--size", "many"], 2, ["a size such as"]),
        (["--chunk", "0"], 2, ["--chunk"]),
        (["--slice", "0"], 2, ["--slice"]),
        (["--connections", "0"], 2, ["--connections"]),
        (["--warmup", "-1"], 2, ["--warmup"]),
        (["--receiver", "eat"], 2, ["no such way", "recv, discard, splice"]),
        (["--receiver", "discard", "--unix"], 2, ["Unix socket"]),
        (["--memory"], 2, ["it sends files"]),
        (["--memory", "--file", "x"], 2, ["--file"]),
        (["--unix", "-6"], 2, ["-6"]),
        (["--to", "nonsense"], 2, ["HOST:PORT"]),
        (["--to", "127.0.0.1:1", "--verify"], 2, ["--verify"]),
        (["--to", "127.0.0.1:1", "--receiver", "recv"], 2, ["--to"]),
        (["--to", "127.0.0.1:1"], 6, ["127.0.0.1:1", "ECONNREFUSED", "Nothing listens"]),
        (["--file", "/nowhere/at/all"], 3, ["ENOENT"]),
        (["--file", "/"], 2, ["it is a directory"]),
        (["--file", "/dev/zero"], 2, ["not a regular file"]),
        (["--cpu", "99999"], 2, ["processor 99999", "Allowed: "]),
        (["--cpu", "a,b"], 2, ["NEAR,FAR"]),
        (["--set", "nodelay"], 2, ["NAME=VALUE"]),
        (["--set", "backlog=5"], 2, ["backlog"]),
        (["--unix", "--set", "nodelay=1"], 2, ["no such option"]),
        (["--set", "TCP_CONGESTION=none-such"], 5, ["TCP_CONGESTION", "ENOENT"]),
        (["--pipe", "1"], 2, ["--pipe"]),
        (["-o", "/nowhere/at/all"], 3, ["Nothing was measured."]),
        (["-o", "/"], 6, ["not a regular file"]),
        (["--timeout", "never"], 2, ["--timeout"]),
    ],
)
def test_bad_input_is_an_error_that_says_what_and_why(
    words: list[str], status: int, texts: list[str], netns: NetNs
) -> None:
    tcptool("probe", "sendfile", *words, netns=netns).failed(status, *texts)


def test_zerocopy_over_a_unix_socket_is_not_possible(netns: NetNs) -> None:
    tcptool("probe", "zerocopy", "--unix", netns=netns).failed(5, "Unix sockets lack it")


def test_an_unknown_method_is_named(netns: NetNs) -> None:
    tcptool("probe", "compare", "--methods", "send,sendfiel", netns=netns).failed(
        2, "'sendfiel'", "did you mean sendfile"
    )


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    script = (
        f"mount -t tmpfs -o size=1M none {tmp_path} && "
        f"TMPDIR={tmp_path} exec {sys.executable} -m tcptool probe sendfile --size 4M"
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 6, done
    assert errno.errorcode[errno.ENOSPC] in done.stderr
    assert "--memory needs none" in done.stderr


@pytest.mark.parametrize("begun", [False, True])
def test_a_receiver_that_is_killed_is_told(begun: bool) -> None:
    with started("sendfile", "--duration", "60s") as run:
        wait_until(lambda: measuring(run.pid) if begun else bool(children_of(run.pid)), 30)
        (receiver,) = children_of(run.pid)
        os.kill(receiver, signal.SIGKILL)
        out, err = run.communicate(timeout=30)
    assert run.returncode == 6
    assert out == b""
    assert b"receiver in process %d: it was killed by SIGKILL" % receiver in err


def measuring(pid: int) -> bool:
    """Whether the transfer itself has begun: its socket has sent a lot."""
    rows = tcptool("list", "--json", "state established and sent_bytes > 40M").data["sockets"]
    return any(holder["pid"] == pid for row in rows for holder in row["holders"] or ())


def test_ctrl_c_gives_what_was_measured() -> None:
    with started("compare", "--duration", "60s", "--json") as run:
        wait_until(lambda: measuring(run.pid), deadline_s=30)
        (receiver,) = children_of(run.pid)
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=30)
    assert run.returncode == 130, err
    data = json.loads(out)["data"]
    assert data["complete"] is False
    assert {result["method"] for result in data["results"]} == set(ALL)
    wait_until(lambda: not Path(f"/proc/{receiver}").exists())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_behind_by_one_that_is_killed(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with started("sendfile", "--duration", "60s") as run:
        wait_until(lambda: bool(children_of(run.pid)))
        (receiver,) = children_of(run.pid)
        run.send_signal(number)
        run.communicate(timeout=30)
    assert run.returncode == -number
    wait_until(lambda: not Path(f"/proc/{receiver}").exists())
    assert list(tmp_path.iterdir()) == []


def test_progress_is_for_a_person_and_for_long_runs_only() -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "tcptool", "probe", "sendfile", "--duration", "2s"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm"},
    ) as run:
        os.close(theirs)
        seen = read_all(ours)
        run.wait(timeout=30)
    os.close(ours)
    assert run.returncode == 0
    assert re.search(r"\d+ ?%", seen), seen
    assert "bit/s" in seen
    quick = tcptool("probe", "sendfile", *QUICK)
    assert not set(quick.err) & {"\r", "\x1b"}


def read_all(fd: int) -> str:
    """Everything until the other side is closed."""
    seen = b""
    while select.select([fd], [], [], 30)[0]:
        try:
            piece = os.read(fd, 65_536)
        except OSError:  # EIO: the other side is closed
            break
        if not piece:
            break
        seen += piece
    return seen.decode(errors="replace")


def test_no_sockets_of_ours_stay_in_time_wait(netns: NetNs) -> None:
    probe("compare", *QUICK, netns=netns)
    assert tcptool("list", "--json", netns=netns).data["count"] == 0


def test_other_connections_are_left_alone(netns: NetNs) -> None:
    with owner(netns) as one:
        one("server = socket.create_server(('127.0.0.1', 0))")
        one("client = socket.create_connection(server.getsockname())")
        before = one("client.getsockopt(6, 11, 280)")
        probe("send", *QUICK, netns=netns)
        assert one("client.getsockopt(6, 11, 280)")[:8] == before[:8]


WITHOUT_ZEROCOPY = """
import sys
from tcptool.errors import Unsupported
from tcptool.traffic import transports
def lacks(line): raise Unsupported("setting SO_ZEROCOPY", "Protocol not available (ENOPROTOOPT)")
transports.PREPARATIONS["zerocopy"] = lacks
from tcptool.__main__ import main
sys.exit(main())
"""


def test_compare_leaves_out_a_method_that_the_kernel_lacks(netns: NetNs) -> None:
    words = ("probe", "compare", "--methods", "send,zerocopy,sendfile", *QUICK, "--json", "-q")
    run = tcptool(*words, netns=netns, python=("-c", WITHOUT_ZEROCOPY))
    assert [one["method"] for one in run.data["results"] if one["method"] == "zerocopy"] == []
    assert len(run.data["results"]) == 2
    assert [one["what"] for one in run.json["missing"]] == ["zerocopy"]
    alone = tcptool("probe", "zerocopy", *QUICK, netns=netns, python=("-c", WITHOUT_ZEROCOPY))
    alone.failed(5, "SO_ZEROCOPY")


RESETTING = """
import socket, struct, sys, threading
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
def reset(sock):
    sock.recv(100_000)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
def run():
    while True:
        threading.Thread(target=reset, args=(server.accept()[0],), daemon=True).start()
threading.Thread(target=run, daemon=True).start()
sys.stdin.read()
"""


@pytest.mark.parametrize(
    "words", [(method.name,) for method in METHODS] + [("send", "--memory"), ("writev", "--memory")]
)
def test_a_connection_that_is_reset_is_told_whatever_was_sent(
    words: tuple[str, ...], netns: NetNs
) -> None:
    with spawn(RESETTING, netns=netns) as peer:
        run = tcptool("probe", *words, "--to", f"127.0.0.1:{peer.ready}", "-q", netns=netns)
        run.failed(6, f"sending with {words[0]} to 127.0.0.1:{peer.ready}", "The other end closed")
