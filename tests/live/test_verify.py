"""`verify` on the sockets of other programs: its answer, and that it changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.program import NOBODY, PAIR, Owner, Run, owner, table, tcptool
from tests.live.test_schema import validate
from tests.support.netns import NetNs


@pytest.fixture
def pair() -> Iterator[Owner]:
    with owner(setup=PAIR) as one:
        yield one


def verify(*words: object, netns: NetNs | None = None, uid: int | None = None) -> Run:
    return tcptool("verify", *words, netns=netns, uid=uid)


def outcomes(run: Run) -> dict[str, str]:
    """Of one socket, by option, also if the answer was no."""
    _, *rows = (line.split() for line in run.out.splitlines())
    return {row[1]: row[5] for row in rows}


def everything(one: Owner, name: str) -> object:
    """Options of every kind, as the owner reads them."""
    pairs = [(1, n) for n in (7, 8, 9, 12, 13, 72)] + [(6, n) for n in (1, 3, 4, 10, 13, 18, 25)]
    return one(f"[{name}.getsockopt(level, n, 16).hex() for level, n in {pairs}]")


def test_yes_and_no(pair: Owner) -> None:
    pair("conn.setsockopt(6, 1, 1)\nconn.setsockopt(6, 4, 60)")
    before = everything(pair, "conn")
    yes = verify(pair.at("conn"), "nodelay=1", "keepidle=60s")
    assert [row["outcome"] for row in table(yes)] == ["matches", "matches"]
    no = verify(pair.at("conn"), "nodelay=1", "keepidle=61")
    assert no.status == 1
    assert outcomes(no) == {"TCP_NODELAY": "matches", "TCP_KEEPIDLE": "differs"}
    assert no.err == ""
    assert everything(pair, "conn") == before


def test_what_apply_has_set_matches_and_no_more_after_undo(pair: Owner, tmp_path: Path) -> None:
    env = {"XDG_STATE_HOME": str(tmp_path)}
    # Doubled, cut to a sysctl, rounded, with bits of the kernel's own.
    most = int(Path("/proc/sys/net/core/rmem_max").read_text())
    words = ["sndbuf=100000", f"rcvbuf={most + 1}", "IP_TOS=0xbb", "nodelay=1", "SO_LINGER=on:5s"]
    assert verify(pair.at("conn"), *words).status == 1
    assert tcptool("apply", pair.at("conn"), *words, env=env).status == 0
    run = verify(pair.at("conn"), *words)
    assert (run.status, set(outcomes(run).values())) == (0, {"matches"}), run
    assert tcptool("undo", "--last", env=env).status == 0
    run = verify(pair.at("conn"), *words)
    assert (run.status, set(outcomes(run).values())) == (1, {"differs"}), run


def test_what_cannot_be_is_not_demanded(pair: Owner) -> None:
    run = verify(pair.at("conn"), "TCP_QUICKACK=0", "TCP_NODELAY=0")
    assert run.status == 0
    assert outcomes(run) == {"TCP_QUICKACK": "not-checkable", "TCP_NODELAY": "matches"}
    assert pair("conn.getsockopt(6, 12)") == 1  # though it reads something else now


def test_several_sockets(pair: Owner) -> None:
    pair("conn.setsockopt(6, 1, 1)")
    run = verify(pair.pid, "nodelay=1")  # nothing is changed: no --yes
    rows = [line.split() for line in run.out.splitlines()[1:]]
    assert run.status == 1
    assert {row[0]: row[5] for row in rows} == {
        pair.at("conn"): "matches",
        pair.at("client"): "differs",
    }
    assert "1 socket left out because it listens" in run.err
    port = pair.port("server")
    assert verify("sport", "=", f":{port}", "and", "state", "established", "nodelay=1").status == 0
    assert verify("state", "listening", "and", "sport", "=", f":{port}", "backlog=128").status == 0


def test_a_profile(pair: Owner) -> None:
    no = verify(pair.at("conn"), "--profile", "rpc", "--json")
    document = json.loads(no.out)
    assert (no.status, document["data"]["agrees"]) == (1, False)
    names = [change["option"] for change in document["data"]["sockets"][0]["changes"]]
    assert "TCP_NODELAY" in names


@pytest.mark.parametrize("asked", ["nodelay=0", "nodelay=1"])
def test_json(asked: str, pair: Owner) -> None:
    run = verify(pair.at("conn"), asked, "--json")
    document = validate(run.out)
    assert document["schema"] == "tcptool.verify/1"
    assert document["data"]["agrees"] is (run.status == 0) is (asked == "nodelay=0")
    assert document["data"]["undo_id"] is None


def test_another_namespace(netns: NetNs) -> None:
    with owner(netns=netns, setup=PAIR) as one:
        words = ["--netns", one.pid, one.ends("client")]
        assert verify(*words, "nodelay=0").status == 0
        assert verify(*words, "nodelay=1").status == 1


def test_errors(pair: Owner) -> None:
    verify(pair.at("conn"), "nodelaay=1").failed(2, "did you mean")
    verify(pair.at("conn")).failed(2, "a TARGET and NAME=VALUE or --profile are needed")
    verify("nodelay=1").failed(2, "a TARGET and NAME=VALUE or --profile are needed")
    verify(pair.at("conn"), "nodelay=1", uid=NOBODY).failed(4)
    pair("conn.close(); client.close(); server.close()")
    verify(pair.pid, "nodelay=1").failed(3)
