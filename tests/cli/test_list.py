"""`list` as a whole command on a fake kernel."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tcptool.catalog.columns import COLUMNS, JSON_COLUMNS
from tcptool.linux.procfs import ProcFs
from tests.cli.scene import CLIENT, WEB, run, web_server
from tests.support.fake_kernel import FakeKernel, diag_message
from tests.support.golden import Golden


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    return web_server(tmp_path)


def test_plain_list(kernel: FakeKernel, golden: Golden) -> None:
    outcome = run(kernel, "list")
    assert (outcome.status, outcome.err) == (0, "")
    golden("list/plain.txt", outcome.out)
    assert run(kernel, "ls").out == outcome.out


def test_groups(kernel: FakeKernel, golden: Golden) -> None:
    text = ""
    for what in ("process", "port", "peer", "state", "cgroup"):
        outcome = run(kernel, "list", "--by", what)
        assert (outcome.status, outcome.err) == (0, "")
        text += f"$ tcptool list --by {what}\n{outcome.out}\n"
    golden("list/groups.txt", text)


def test_json(kernel: FakeKernel, golden: Golden) -> None:
    outcome = run(kernel, "list", "--json")
    document = outcome.document
    assert outcome.out.count("\n") == 1
    assert [list(row) for row in document["data"]["sockets"]] == [list(JSON_COLUMNS)] * 4
    assert document["data"]["count"] == 4
    golden("list/document.json", json.dumps(document, indent=2) + "\n")


def test_all_columns_in_every_form(kernel: FakeKernel) -> None:
    rows = run(kernel, "list", "--json", "-o", "all").document["data"]["sockets"]
    assert [list(row) for row in rows] == [list(COLUMNS)] * 4
    plain = run(kernel, "list", "-o", "all")
    heading, *lines = (line.split() for line in plain.out.splitlines())
    assert heading == list(COLUMNS)
    assert {len(line) for line in lines} == {len(heading)}
    without = run(kernel, "list", "-o", "all", "--no-owners", "--json").document
    assert "holders" not in without["data"]["sockets"][0]
    assert "cookie" in without["data"]["sockets"][0]


def test_columns_are_chosen_and_added(kernel: FakeKernel) -> None:
    assert run(kernel, "list", "-o", "rtt, snd_cwnd").out.splitlines()[0].split() == [
        "rtt_us",
        "snd_cwnd_packets",
    ]
    default = run(kernel, "list").out.splitlines()[0].split()
    added = run(kernel, "list", "-o", "+inode,rtt").out.splitlines()[0].split()
    assert added == [*default, "inode"]


@pytest.mark.parametrize(
    ("words", "cookies"),
    [
        (["state established"], ["1001"]),
        (["rtt > 20ms"], ["1001", "1002"]),
        (["rtt", ">", "20ms", "and", "retrans", ">", "0.1%"], ["1001"]),
        (["retrans < 1%"], ["1001", "1002"]),
        (["process = nginx and not state listen"], ["1001", "1002"]),
        (["process = postgres"], []),
        (["-6"], ["1002"]),
        (["-4"], ["1000", "1001", "1003"]),
        (["dst 198.51.100.0/24"], ["1001", "1003"]),
        (["sport = :443 and state time-wait"], ["1003"]),
        (["--sort", "rtt"], ["1002", "1001", "1000", "1003"]),
        (["--sort", "rtt", "--reverse"], ["1001", "1002", "1000", "1003"]),
        (["--sort", "state", "-n", "1"], ["1003"]),
        (["-n", "2"], ["1000", "1001"]),
        (["pid = 42 or pid = 43"], ["1000", "1001", "1002"]),
    ],
)
def test_which_sockets(kernel: FakeKernel, words: list[str], cookies: list[str]) -> None:
    document = run(kernel, "list", "--json", "-o", "cookie", *words).document
    assert [row["cookie"] for row in document["data"]["sockets"]] == cookies
    assert document["data"]["count"] == len(cookies)


def test_owners_are_not_looked_for_in_vain(kernel: FakeKernel) -> None:
    kernel.tree.remove(42)
    (kernel.tree.root / "42").mkdir()
    looks: list[int] = []
    original = kernel.proc.netns_inode

    def count(pid: int | str) -> int:
        looks.append(0)
        return original(pid)

    kernel.proc.netns_inode = count  # type: ignore[method-assign]
    assert run(kernel, "list", "-o", "state,rtt").status == 0
    assert run(kernel, "list", "--no-owners").status == 0
    assert looks == []
    assert run(kernel, "list").status == 0
    assert looks


def test_dump_in_many_datagrams(kernel: FakeKernel) -> None:
    kernel.sockets += [
        diag_message(local=("127.0.0.1", 5000 + i), cookie=0x2000 + i, inode=9000 + i)
        for i in range(500)
    ]
    kernel.datagram_bytes = 4096
    rows = run(kernel, "list", "--json").document["data"]["sockets"]
    assert len(rows) == 504
    assert len({row["cookie"] for row in rows}) == 504
    # A socket that the kernel shows twice while others come and go is one socket.
    kernel.sockets.append(kernel.sockets[-1])
    assert len(run(kernel, "list", "--json").document["data"]["sockets"]) == 504


def test_without_sock_diag(tmp_path: Path) -> None:
    kernel = FakeKernel(tmp_path, errno_for_diag=errno.ENOENT)
    kernel.tree.add(42, "nginx", sockets={9: 701})
    kernel.tree.write(
        "thread-self/net/tcp",
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout"
        " inode\n   0: 0100007F:0050 0100007F:1F90 01 00000005:00000003 00:00000000 00000000    33"
        "        0 701 1 0 20 0 0 10 -1\n",
    )
    outcome = run(kernel, "list")
    assert outcome.status == 0
    [row] = outcome.out.splitlines()[1:]
    assert row.split() == [
        "established", "tcp", "3", "5", "127.0.0.1:80", "127.0.0.1:8080", "nginx", "42:9",
        "-", "-", "-", "-",
    ]  # fmt: skip
    assert outcome.err.startswith("tcptool: not shown: tcp_info")
    assert "ENOENT" in outcome.err
    quiet = run(kernel, "list", "--quiet")
    assert (quiet.out, quiet.err) == (outcome.out, "")
    document = run(kernel, "list", "--json").document
    assert [each["what"] for each in document["missing"]] == [
        "tcp_info, memory, congestion control and cookies"
    ]


def test_another_namespace(kernel: FakeKernel, tmp_path: Path) -> None:
    kernel.namespaces["blue"] = other = FakeKernel(tmp_path / "blue")
    other.sockets.append(diag_message(local=WEB, peer=CLIENT, cookie=0x77))
    rows = run(kernel, "list", "--netns", "blue", "--json").document["data"]["sockets"]
    assert [row["cookie"] for row in rows] == ["77"]
    outcome = run(kernel, "list", "--netns", "green")
    assert (outcome.status, outcome.out) == (3, "")
    assert "'green'" in outcome.err


def test_nothing_to_list(tmp_path: Path) -> None:
    kernel = FakeKernel(tmp_path)
    assert len(run(kernel, "list").out.splitlines()) == 1
    assert run(kernel, "list", "--json").document["data"] == {"sockets": [], "count": 0}
    assert run(kernel, "list", "--by", "state", "--json").document["data"]["groups"] == []
    assert len(run(kernel, "list", "--by", "state").out.splitlines()) == 1


def refuse(proc: ProcFs, pid: int) -> Iterator[tuple[int, int]]:
    raise PermissionError(errno.EACCES, f"{pid}")


def test_a_holder_that_cannot_be_seen_is_absent_and_no_holder_is_an_empty_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = FakeKernel(tmp_path, [diag_message(cookie=5, inode=701)])
    kernel.tree.add(43, "secret")
    rows = json.loads(run(kernel, "list", "--json").out)["data"]["sockets"]
    assert [row["holders"] for row in rows] == [[]]
    monkeypatch.setattr("tcptool.linux.owners.socket_descriptors", refuse)
    document = json.loads(run(kernel, "list", "--json").out)
    assert [row["holders"] for row in document["data"]["sockets"]] == [None]
    assert document["missing"][0]["what"] == "owners of some sockets"


def test_what_is_missing_is_told_also_when_a_limit_cuts_the_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = FakeKernel(tmp_path, [diag_message(cookie=n, inode=700 + n) for n in (1, 2, 3)])
    kernel.tree.add(43, "secret")
    monkeypatch.setattr("tcptool.linux.owners.socket_descriptors", refuse)
    document = json.loads(run(kernel, "list", "--json", "--limit", "1").out)
    assert document["data"]["count"] == 1
    assert [lack["what"] for lack in document["missing"]] == ["owners of some sockets"]


@pytest.mark.parametrize(
    "words", [["--columns", ""], ["--columns", ","], ["--by", "port", "--sort", "rtt"]]
)
def test_words_that_contradict_or_say_nothing_are_refused(tmp_path: Path, words: list[str]) -> None:
    outcome = run(FakeKernel(tmp_path), "list", *words)
    assert (outcome.status, outcome.out) == (2, "")
