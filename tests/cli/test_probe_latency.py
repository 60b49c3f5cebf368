"""`probe latency` as a whole command: what it understands, refuses and writes.

The connections are real ones on loopback, with children that answer: a block of 20 requests takes
about a millisecond.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tcptool.errors import ExitCode
from tcptool.model.latency import Arm, RoundTrips
from tcptool.traffic.latency import Exchange
from tests.cli.scene import Outcome, run
from tests.support.fake_kernel import FakeKernel

QUICK = ("--requests", 20, "--blocks", 2, "--duration", "200ms")


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    return FakeKernel(tmp_path)


def probe(kernel: FakeKernel, *words: object) -> Outcome:
    return run(kernel, "probe", "latency", *QUICK, *words)


def data(kernel: FakeKernel, *words: object) -> Any:
    outcome = probe(kernel, *words, "--json", "-q")
    assert (outcome.status, outcome.err) == (0, ""), outcome
    return json.loads(outcome.out)["data"]


def test_a_line_for_each_arm(kernel: FakeKernel) -> None:
    before = os.sched_getaffinity(0)
    outcome = probe(kernel, "--matrix", "nodelay,cork,quickack", "--pattern", "one-write")
    assert outcome.status == 0, outcome
    heading, *lines = outcome.out.splitlines()
    rows = [dict(zip(heading.split(), line.split(), strict=True)) for line in lines]
    assert [row["name"] for row in rows] == ["default", "nodelay", "cork", "quickack"]
    assert {row["loop"] for row in rows} == {"closed"}
    assert {row["requests"] for row in rows} == {"40"}
    assert {row["p99_us"] for row in rows} == {"-"}
    assert all(0 < float(row["p50_us"]) <= float(row["max_us"]) for row in rows)
    assert [row["base"] for row in rows] == ["-", "default", "default", "default"]
    assert [row["verdict"] for row in rows] == ["-", "too-few", "too-few", "too-few"]
    assert "not a network" in outcome.err
    assert "coordinated omission" in outcome.err
    assert "p99 takes 1000 requests" in outcome.err
    assert os.sched_getaffinity(0) == before


def test_json_and_the_saved_file_are_the_same(kernel: FakeKernel, tmp_path: Path) -> None:
    saved = tmp_path / "result.json"
    outcome = probe(kernel, "--json", "-o", saved, "--seed", 5)
    assert (outcome.status, outcome.err) == (0, "")
    document = json.loads(outcome.out)
    assert document["schema"] == "tcptool.probe-latency/1"
    assert json.loads(saved.read_text()) == document
    found = document["data"]
    assert (found["complete"], found["loop"], found["plan"]["seed"]) == (True, "closed", 5)
    assert 0 < found["floor_us"] < found["arms"][0]["max_us"]
    assert {one["id"] for one in document["warnings"]} >= {"loopback", "closed-loop"}


def test_the_defaults(kernel: FakeKernel) -> None:
    plan = data(kernel)["plan"]
    assert (plan["patterns"], plan["matrix"]) == (["one-write"], [])
    assert (plan["sizes_bytes"], plan["reply_bytes"]) == ([64], 64)
    assert data(kernel, "--matrix", "nodelay")["plan"]["patterns"] == ["two-writes"]
    words = ("--pattern", "wwr, single,more", "--size", "2, 1K", "--reply", "3")
    plan = data(kernel, *words)["plan"]
    assert plan["patterns"] == ["two-writes", "one-write", "more"]
    assert (plan["sizes_bytes"], plan["reply_bytes"]) == ([2, 1024], 3)


def test_a_unix_socket_has_no_segments(kernel: FakeKernel) -> None:
    found = data(kernel, "--unix", "--under-load")
    quiet, loaded = found["arms"]
    assert quiet["data_segments"] is quiet["retrans_packets"] is None
    assert found["settings"]["congestion_control"] is None
    assert quiet["load_rate_bytes_per_s"] is None
    assert loaded["load_rate_bytes_per_s"] > 0
    assert (loaded["base"], loaded["name"]) == (quiet["name"], "one-write+load")


def test_an_open_loop_counts_what_left_late(kernel: FakeKernel) -> None:
    found = data(kernel, "--rate", 500)
    assert (found["loop"], found["plan"]["requests_per_s"]) == ("open", 500)
    assert found["arms"][0]["late"] is not None


def test_what_is_set_is_reported(kernel: FakeKernel) -> None:
    (option,) = data(kernel, "--set", "nodelay=1")["settings"]["options"]
    assert (option["name"], option["effective"]) == ("TCP_NODELAY", True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--size", "0"], "nothing to time without a byte"),
        (["--size", "64,0"], "nothing to time without a byte"),
        (["--size", "8,8"], "8 is given 2 times"),
        (["--size", "x"], "is not a size"),
        (["--size", ""], "is not a size"),
        (["--size", "65M"], "more than 64 MiB"),
        (["--reply", "0"], "nothing to time without a byte"),
        (["--reply", "9", "--to", "127.0.0.1:7"], "does not go with --to"),
        (["--rate", "0"], "0 is not between 1 and 1000000"),
        (["--requests", "0"], "0 is not between 1 and 1000000"),
        (["--blocks", "201"], "201 is not between 1 and 200"),
        (["--duration", "1ms"], "not between 10ms and 24h"),
        (["--pattern", "to-writes"], "did you mean two-writes"),
        (["--pattern", "wwr,two-writes"], "two-writes is given 2 times"),
        (["--pattern", "more", "--size", "1"], "needs two bytes"),
        (["--matrix", "nodely"], "did you mean nodelay"),
        (["--matrix", ""], "no such thing"),
        (["--matrix", "cork,cork"], "cork is given 2 times"),
        (["--matrix", "nodelay", "--unix"], "a Unix socket has none of these"),
        (["--matrix", "quickack", "--to", "127.0.0.1:7"], "not ours to set"),
        (["--set", "nodelay=1", "--unix"], "no such option"),
        (["--unix", "-6"], "does not go with -6"),
        (["--to", "nowhere"], "not HOST:PORT"),
        (["--cpu", "x"], "not NEAR,FAR"),
    ],
)
def test_what_makes_no_sense_is_refused(kernel: FakeKernel, words: list[str], said: str) -> None:
    outcome = probe(kernel, *words)
    assert (outcome.status, outcome.out) == (ExitCode.USAGE, "")
    assert said in outcome.err
    assert outcome.err.count("tcptool: ") == 1


def test_nothing_is_measured_for_a_file_that_cannot_be_written(
    kernel: FakeKernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Exchange, "block", None)
    outcome = probe(kernel, "-o", tmp_path / "no" / "file")
    assert outcome.status == ExitCode.NOT_FOUND
    assert "Nothing was measured." in outcome.err


def interrupt_after(monkeypatch: pytest.MonkeyPatch, blocks: int) -> None:
    """Ctrl-C in the block after so many."""
    left, block = [blocks], Exchange.block

    def counted(self: Exchange, arm: Arm, requests: int, limit_s: float) -> RoundTrips:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return block(self, arm, requests, limit_s)

    monkeypatch.setattr(Exchange, "block", counted)


def test_ctrl_c_keeps_what_was_measured(
    kernel: FakeKernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_after(monkeypatch, 2 + 3)  # the warm-up, a round, and half of one
    saved = tmp_path / "result.json"
    outcome = probe(kernel, "--matrix", "nodelay", "--json", "-o", saved, "--blocks", 9)
    assert outcome.status == ExitCode.INTERRUPTED
    found = json.loads(outcome.out)["data"]
    assert found["complete"] is False
    assert sorted(len(arm["blocks"]) for arm in found["arms"]) == [1, 2]
    assert json.loads(saved.read_text())["data"] == found


@pytest.mark.parametrize("blocks", [0, 1, 2])
def test_ctrl_c_before_there_is_anything_to_tell(
    kernel: FakeKernel, blocks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_after(monkeypatch, blocks)
    outcome = probe(kernel, "--matrix", "nodelay", "--json")
    assert (outcome.status, outcome.out) == (ExitCode.INTERRUPTED, "")


def test_an_arm_without_a_block_is_left_out(
    kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_after(monkeypatch, 3)
    outcome = probe(kernel, "--matrix", "nodelay", "--json")
    (arm,) = json.loads(outcome.out)["data"]["arms"]
    assert arm["outcome"] is None
