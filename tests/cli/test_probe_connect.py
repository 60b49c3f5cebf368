"""`probe connect` as a whole command: what it understands, refuses and writes.

The connections are real ones, over a Unix socket or over loopback with a reset at their end, so
that none stays in TIME_WAIT; the counters and ports are those of the fake kernel.
"""

from __future__ import annotations

import errno
import json
import os
import socket
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tcptool.errors import ExitCode
from tcptool.model.connect import ConnectReading
from tcptool.traffic.connect import Connector, _Acceptor
from tcptool.traffic.ends import reset_at_close
from tests.cli.scene import Outcome, run
from tests.support.fake_kernel import FakeKernel, diag_message

FEW = ("--connections", 24)
RESET = (*FEW, "--close", "reset")

SOCKSTAT = "sockets: used 9\nTCP: inuse 1 orphan 0 tw 4 alloc 5 mem 1\n"
SNMP = "Tcp: ActiveOpens PassiveOpens RetransSegs\nTcp: 10 20 30\n"
NETSTAT = "TcpExt: ListenDrops TCPTimeouts\nTcpExt: 1 2\n"


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    """One whose counters stand still, with a port range of its own."""
    kernel = FakeKernel(tmp_path)
    tree = {"sockstat": SOCKSTAT, "snmp": SNMP, "netstat": NETSTAT}
    for name, text in tree.items():
        kernel.tree.write(f"thread-self/net/{name}", text)
    kernel.tree.write("sys/net/ipv4/ip_local_port_range", "1024\t65535\n")
    kernel.tree.write("sys/net/ipv4/ip_local_reserved_ports", "2000-2002,2004\n")
    kernel.tree.write("sys/net/ipv4/tcp_tw_reuse", "2\n")
    return kernel


def probe(kernel: FakeKernel, *words: object) -> Outcome:
    return run(kernel, "probe", "connect", *words)


def data(kernel: FakeKernel, *words: object) -> Any:
    outcome = probe(kernel, *words, "--json", "-q")
    assert (outcome.status, outcome.err) == (0, ""), outcome
    return json.loads(outcome.out)["data"]


def test_a_line_for_each_figure(kernel: FakeKernel) -> None:
    before = os.sched_getaffinity(0)
    outcome = probe(kernel, *RESET)
    assert outcome.status == 0, outcome
    heading, *lines = outcome.out.splitlines()
    assert heading.split() == ["figure", "value"]
    rows = dict(line.split() for line in lines)
    assert (rows["made"], rows["failed"], rows["closer"]) == ("24", "0", "reset")
    assert (rows["tw_before"], rows["tw_after"], rows["grown_listen_drops"]) == ("4", "4", "0")
    assert rows["grown_syn_retrans"] == "-"
    assert float(rows["rate_low_per_s"]) <= float(rows["rate_per_s"])
    assert "not a network" in outcome.err
    assert "p99 takes 1000 connections" in outcome.err
    assert os.sched_getaffinity(0) == before


def test_json_and_the_saved_file_are_the_same(kernel: FakeKernel, tmp_path: Path) -> None:
    saved = tmp_path / "result.json"
    outcome = probe(kernel, *RESET, "--json", "-o", saved)
    assert (outcome.status, outcome.err) == (0, "")
    document = json.loads(outcome.out)
    assert document["schema"] == "tcptool.probe-connect/1"
    assert json.loads(saved.read_text()) == document
    assert document["missing"] == []
    assert {one["id"] for one in document["warnings"]} >= {"loopback", "too-few"}
    found = document["data"]
    assert (found["complete"], found["ended_by"], found["made"]) == (True, "done", 24)
    assert [block["made"] for block in found["blocks"]] == [2] * 12


def test_the_defaults(kernel: FakeKernel) -> None:
    plan = data(kernel, "--unix")["plan"]
    assert (plan["connections"], plan["duration_s"], plan["blocks"]) == (2000, None, 12)
    assert (plan["concurrency"], plan["exchange"], plan["closer"]) == (1, "none", "client")
    assert (plan["fast_open"], plan["backlog"], plan["timeout_s"]) == (False, None, 10.0)
    plan = data(kernel, "--unix", "--duration", "20ms", "--exchange", "request")["plan"]
    assert (plan["connections"], plan["duration_s"]) == (None, 0.02)
    assert plan["exchange"] == "request"


def test_a_unix_socket_has_neither_ports_nor_counters(kernel: FakeKernel) -> None:
    found = data(kernel, *FEW, "--unix", "--exchange", "request", "--concurrency", 3)
    for name in ("ports", "counters", "tw_before", "tw_after", "fast_open"):
        assert found[name] is None, name
    assert found["made"] == found["connect"]["count"] == found["exchange"]["count"] == 24


def test_ports_of_others_to_the_same_place_do_not_count(kernel: FakeKernel) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        there = listener.getsockname()
        kernel.sockets += [
            diag_message("time-wait", local=("127.0.0.1", 5000), peer=there, cookie=1),
            diag_message("time-wait", local=("127.0.0.1", 2001), peer=there, cookie=2),
            diag_message("time-wait", local=("127.0.0.1", 5001), peer=("127.0.0.1", 1), cookie=3),
        ]
        found = data(kernel, *RESET, "--to", f"127.0.0.1:{there[1]}")["ports"]
    assert (found["first"], found["last"], found["tw_reuse"]) == (1024, 65535, 2)
    assert (found["reserved"], found["taken"]) == (4, 2)
    assert found["left"] == 65_535 - 1023 - 4 - 1  # one is reserved and taken


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    outcome = probe(FakeKernel(tmp_path), *RESET, "--json")
    assert outcome.status == 0
    document = json.loads(outcome.out)
    for name in ("ports", "counters", "tw_before", "tw_after"):
        assert document["data"][name] is None, name
    assert [one["what"] for one in document["missing"]] == [
        "what /proc/net/snmp counts",
        "what /proc/net/netstat counts",
        "what /proc/net/sockstat counts",
        "local ports",
    ]


def test_what_is_set_is_reported(kernel: FakeKernel) -> None:
    (option,) = data(kernel, *RESET, "--set", "nodelay=1")["settings"]["options"]
    assert (option["name"], option["effective"]) == ("TCP_NODELAY", True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--connections", "0"], "0 is not between 1 and 10000000"),
        (["--connections", "-1"], "-1 is not between 1 and 10000000"),
        (["--connections", "10000001"], "10000001 is not between 1 and 10000000"),
        (["--concurrency", "0"], "0 is not between 1 and 10000000"),
        (["--backlog", "0"], "0 is not between 1 and 2147483647"),
        (["--backlog", "2147483648"], "is not between 1 and 2147483647"),
        (["--duration", "0"], "not between 10ms and 24h"),
        (["--duration", "soon"], "reading --duration"),
        (["--duration", "10m1s"], "reading --duration"),
        (["--duration", "601s"], "longer than 10m"),
        (["--duration", "1s", "--connections", "5"], "does not go with --connections"),
        (["--timeout", "0"], "not between 10ms and 24h"),
        (["--timeout", "never"], "reading --timeout"),
        (["--exchange", "request", "--to", "127.0.0.1:7"], "nothing tells what 127.0.0.1:7"),
        (["--fast-open", "--to", "127.0.0.1:7"], "nothing tells what 127.0.0.1:7 would answer"),
        (["--close", "server", "--to", "127.0.0.1:7"], "nothing tells 127.0.0.1:7 to close first"),
        (["--backlog", "5", "--to", "127.0.0.1:7"], "the backlog of 127.0.0.1:7 is its own"),
        (["--fast-open", "--exchange", "none"], "fast open needs data"),
        (["--fast-open", "--unix"], "a Unix socket has no fast open"),
        (["--close", "reset", "--unix"], "a Unix socket has no reset"),
        (["--backlog", "3", "--concurrency", "4", "--unix"], "4 at a time may fill 3"),
        (["--set", "nodelay=1", "--unix"], "no such option"),
        (["--set", "nodelay"], "NAME=VALUE"),
        (["--unix", "-6"], "does not go with -6"),
        (["--unix", "--to", "127.0.0.1:7"], "does not go with --to"),
        (["--to", "nowhere"], "not HOST:PORT"),
        (["--to", "127.0.0.1:0"], "not HOST:PORT"),
        (["--to", ""], "not HOST:PORT"),
        (["--cpu", "x"], "not NEAR,FAR"),
        (["--cpu", "99999"], "processor 99999"),
    ],
)
def test_what_makes_no_sense_is_refused(kernel: FakeKernel, words: list[str], said: str) -> None:
    outcome = probe(kernel, *words)
    assert (outcome.status, outcome.out) == (ExitCode.USAGE, "")
    assert said in outcome.err
    assert outcome.err.count("tcptool: ") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--exchange", "bytes"], "'none', 'request'"),
        (["--close", "me"], "'client', 'server', 'reset'"),
        (["--connections", "many"], "'many'"),
        (["extra"], "extra"),
    ],
)
def test_what_is_no_word_of_it_is_refused(kernel: FakeKernel, words: list[str], said: str) -> None:
    outcome = probe(kernel, *words)
    assert (outcome.status, outcome.out) == (ExitCode.USAGE, "")
    assert said in outcome.err


def test_nothing_is_measured_for_a_file_that_cannot_be_written(
    kernel: FakeKernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Connector, "block", None)
    outcome = probe(kernel, "-o", tmp_path / "no" / "file")
    assert outcome.status == ExitCode.NOT_FOUND
    assert "Nothing was measured." in outcome.err


# -- what ends it --------------------------------------------------------------------------


def interrupt_after(monkeypatch: pytest.MonkeyPatch, blocks: int) -> None:
    """Ctrl-C between two blocks, after so many."""
    left, block = [blocks], Connector.block

    def counted(
        self: Connector, connections: int | None, duration_s: float | None
    ) -> ConnectReading:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return block(self, connections, duration_s)

    monkeypatch.setattr(Connector, "block", counted)


@pytest.mark.parametrize(("blocks", "made"), [(1, 2), (2, 2), (4, 6)])
def test_ctrl_c_keeps_what_was_measured(
    kernel: FakeKernel, tmp_path: Path, blocks: int, made: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the warm-up only if there is nothing else."""
    interrupt_after(monkeypatch, blocks)
    saved = tmp_path / "result.json"
    outcome = probe(kernel, *RESET, "--json", "-o", saved)
    assert outcome.status == ExitCode.INTERRUPTED
    found = json.loads(outcome.out)["data"]
    assert (found["complete"], found["ended_by"]) == (False, "interrupted")
    assert (found["made"], len(found["blocks"])) == (made, max(1, blocks - 1))
    assert json.loads(saved.read_text())["data"] == found


def test_ctrl_c_before_there_is_anything_to_tell(
    kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_after(monkeypatch, 0)
    outcome = probe(kernel, *RESET, "--json")
    assert (outcome.status, outcome.out) == (ExitCode.INTERRUPTED, "")


def interrupted_at_connection(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Ctrl-C within a block, when so many have been started."""
    left, start = [count], Connector._start

    def counted(self: Connector) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        start(self)

    monkeypatch.setattr(Connector, "_start", counted)


@pytest.mark.parametrize(("started", "made"), [(1, 1), (2, None), (3, 1), (5, 3)])
def test_ctrl_c_within_a_block_keeps_its_connections(
    kernel: FakeKernel, started: int, made: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the first two the warm-up has ended, and nothing has been measured."""
    interrupted_at_connection(monkeypatch, started)
    outcome = probe(kernel, *RESET, "--json")
    assert outcome.status == ExitCode.INTERRUPTED
    if made is None:
        assert outcome.out == ""
    else:
        found = json.loads(outcome.out)["data"]
        assert (found["made"], found["complete"]) == (made, False)


def failing(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Each connection fails so, but for the first, which is a trial."""
    made: list[socket.socket] = []

    class Failing(socket.socket):
        def connect_ex(self, _address: Any) -> int:
            return number

    def own_socket(_kernel: FakeKernel, family: int) -> socket.socket:
        made.append((Failing if made else socket.socket)(family, socket.SOCK_STREAM))
        return made[-1]

    monkeypatch.setattr(FakeKernel, "own_socket", own_socket)


def test_no_end_of_failures_ends_it(kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, errno.EHOSTUNREACH)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        to = f"127.0.0.1:{listener.getsockname()[1]}"
        outcome = probe(kernel, "--close", "reset", "--to", to, "--json")
        assert outcome.status == ExitCode.FAILED
        document = json.loads(outcome.out)
        found = document["data"]
        assert (found["complete"], found["ended_by"], found["made"]) == (False, "failures", 0)
        assert found["failed"] == [{"error": "EHOSTUNREACH", "count": 100}]
        assert {"failures", "some-failed"} <= {one["id"] for one in document["warnings"]}


def test_all_of_a_few_that_fail_are_a_failure_too(
    kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, errno.EHOSTUNREACH)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        to = f"127.0.0.1:{listener.getsockname()[1]}"
        outcome = probe(kernel, *RESET, "--to", to, "--json")
    assert outcome.status == ExitCode.FAILED
    found = json.loads(outcome.out)["data"]
    assert (found["complete"], found["made"], found["rate_per_s"]) == (True, 0, None)
    assert found["failed"] == [{"error": "EHOSTUNREACH", "count": 24}]
    assert found["connect"] is None


def test_times_are_those_of_connections_that_did_not_fail(
    kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every third is reset when its request comes; the acceptor is forked from this process."""
    serve, numbers = _Acceptor._serve, count(1)

    def resets_some(self: _Acceptor, fd: int) -> None:
        if next(numbers) % 3:
            serve(self, fd)
            return
        sock = self._open.pop(fd)
        reset_at_close(sock)
        sock.close()

    monkeypatch.setattr(_Acceptor, "_serve", resets_some)
    words = ("--exchange", "request", "--close", "reset", "--concurrency", 2, *FEW)
    found = data(kernel, *words)
    (failed,) = found["failed"]
    assert (failed["error"], found["made"] + failed["count"]) == ("ECONNRESET", 24)
    assert found["made"] > 0
    assert found["connect"]["count"] == found["answer"]["count"] == found["made"]
