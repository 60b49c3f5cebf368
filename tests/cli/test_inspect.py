"""`inspect` as a whole command on a fake kernel."""

from __future__ import annotations

import errno
import json
import re
import struct
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tcptool.actions.inspect import inspect_socket
from tcptool.actions.resolve import resolve_one
from tcptool.catalog import diag
from tcptool.catalog.registry import members
from tcptool.catalog.tcp_info import TcpInfo
from tcptool.linux.borrow import SO_COOKIE, SOL_SOCKET
from tcptool.linux.visit import SLICE_S
from tcptool.sansio.target import parse_target
from tests.cli.scene import CLIENT, INFO, WEB, run, web_server
from tests.support.fake_kernel import (
    FakeDescriptor,
    FakeKernel,
    descriptor_for,
    diag_message,
    tcp_info_bytes,
)
from tests.support.golden import Golden


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    return web_server(tmp_path)


def steady(text: str) -> str:
    """The text without the inode of a file that stands for a namespace."""
    text = re.sub(r"(netns_inode +)\d+", r"\g<1>4026531840", text)
    return re.sub(r'("netns_inode": ?)\d+', r"\g<1>4026531840", text)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("connection", ["42:9"]),
        ("listener", ["42:6"]),
        ("time-wait", ["sk:1003"]),
        ("explained", ["42:9", "--explain"]),
    ],
)
def test_plain(name: str, words: list[str], kernel: FakeKernel, golden: Golden) -> None:
    outcome = run(kernel, "inspect", *words)
    assert (outcome.status, outcome.err) == (0, "")
    golden(f"inspect/{name}.txt", steady(outcome.out))


def test_json(kernel: FakeKernel, golden: Golden) -> None:
    outcome = run(kernel, "inspect", "42:9", "--json")
    assert outcome.out.count("\n") == 1
    golden("inspect/connection.json", steady(json.dumps(outcome.document, indent=2)) + "\n")
    data = outcome.document["data"]
    assert list(data["socket"]["tcp_info"]) == list(members(TcpInfo))
    assert data["socket"]["tcp_info"]["snd_ssthresh_packets"] == "unlimited"
    assert data["socket"]["tcp_info"]["rcv_rtt_us"] is None
    assert (data["derived"]["retrans_percent"], data["derived"]["queueing_us"]) == (0.25, 4400)


@pytest.mark.parametrize(
    "target",
    [
        "42:9",
        "sk:1001",
        "192.0.2.10:443-198.51.100.7:51844",
        ":51844",
        "198.51.100.7:51844",
        "state established",
        "process = nginx and rtt < 50ms",
        "inode = 701",
    ],
)
def test_every_way_to_name_it(target: str, kernel: FakeKernel) -> None:
    data = run(kernel, "inspect", target, "--json").document["data"]
    assert data["socket"]["cookie"] == "1001"
    assert [(h["pid"], h["fd"]) for h in data["holders"]] == [(42, 9)]
    assert data["options"]


def test_marks_of_the_options(kernel: FakeKernel) -> None:
    data = run(kernel, "inspect", "42:9", "--json").document["data"]
    marks = {option["name"]: option["marks"] for option in data["options"]}
    assert marks["TCP_NODELAY"] == ["changed"]
    assert marks["SO_SNDBUF"] == ["pinned", "clamped"]
    assert marks["TCP_KEEPIDLE"] == []


@pytest.mark.parametrize("length", [104, 280, 400])
def test_tcp_info_of_any_length(length: int, tmp_path: Path) -> None:
    kernel = FakeKernel(tmp_path)
    raw = tcp_info_bytes(length=length, state=1, **INFO)
    if length > 280:
        raw = raw[:280] + bytes(range(1, length - 280 + 1))
    sock = diag_message(local=WEB, peer=CLIENT, cookie=1, inode=5, attributes={diag.ATTR_INFO: raw})
    kernel.sockets.append(sock)
    kernel.tree.add(7, "old", sockets={3: 5})
    kernel.descriptors[7, 3] = descriptor_for(sock)
    document = run(kernel, "inspect", "7:3", "--json").document
    sock_data = document["data"]["socket"]
    info = sock_data["tcp_info"]
    assert (info["rtt_us"], info["total_retrans_packets"]) == (24_500, 7)
    assert sock_data["tcp_info_bytes"] == length
    has_rest = length > 104
    assert (info["min_rtt_us"] is not None, info["snd_wnd_bytes"] is not None) == (has_rest,) * 2
    assert (document["data"]["derived"]["retrans_percent"] is not None) == has_rest
    if length == 400:
        assert sock_data["tcp_info_unknown"] == bytes(range(1, 121)).hex()
        assert [warning["id"] for warning in document["warnings"]] == ["newer_tcp_info"]
    else:
        assert (sock_data["tcp_info_unknown"], document["warnings"]) == (None, [])
    # The other views take it as well.
    plain = run(kernel, "inspect", "7:3", "--explain")
    assert (plain.status, bool(re.search(r"min_rtt_us +20100", plain.out))) == (0, has_rest)
    listed = run(kernel, "list", "--json", "-o", "rtt,min_rtt,retrans").document["data"]["sockets"]
    assert [row["rtt_us"] for row in listed] == [24_500]
    assert (listed[0]["min_rtt_us"], listed[0]["retrans_percent"]) == (
        (20_100, 0.25) if has_rest else (None, None)
    )


def test_refused_options_are_named(kernel: FakeKernel) -> None:
    kernel.refusals[42] = errno.EPERM
    document = run(kernel, "inspect", "42:9", "--json").document
    assert document["data"]["options"] is None
    assert document["data"]["socket"]["tcp_info"]["rtt_us"] == 24_500
    [missing] = document["missing"]
    assert (missing["what"], "EPERM" in missing["why"]) == ("socket options", True)
    plain = run(kernel, "inspect", "42:9")
    assert plain.status == 0
    assert "missing." in plain.out


def test_kernel_without_pidfd_getfd(kernel: FakeKernel) -> None:
    kernel.refusals[42] = errno.ENOSYS
    outcome = run(kernel, "inspect", "42:9")
    assert (outcome.status, outcome.out) == (5, "")
    assert "Linux 5.6" in outcome.err
    # What the message advises works, and says why there are no options.
    document = run(kernel, "inspect", "sk:1001", "--json").document
    assert "ENOSYS" in document["missing"][0]["why"]


def test_descriptor_that_is_another_socket_by_now(kernel: FakeKernel) -> None:
    kernel.descriptors[42, 9] = kernel.descriptors[42, 11]
    outcome = run(kernel, "inspect", "42:9", "--json")
    assert (outcome.status, outcome.out) == (3, "")
    assert json.loads(outcome.err)["error"]["code"] == "stale"


class Slow(FakeDescriptor):
    """A descriptor of a busy socket: every option takes some time."""

    def __init__(self, kernel: FakeKernel, like: FakeDescriptor, option_s: float) -> None:
        super().__init__(like.options, inode=701, local=WEB, peer=CLIENT)
        self.kernel, self.option_s = kernel, option_s

    def getsockopt(self, level: int, number: int, size: int) -> bytes:
        self.kernel.ticks += self.option_s
        return super().getsockopt(level, number, size)


@pytest.mark.parametrize("reused", [False, True])
def test_busy_socket_is_borrowed_in_slices(
    reused: bool, kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = resolve_one(kernel, parse_target("sk:1001"))
    expected = inspect_socket(found).inspection.options
    option_s = SLICE_S / 20
    kernel.descriptors[42, 9] = slow = Slow(kernel, kernel.descriptors[42, 9], option_s)
    starts: list[int] = []
    borrow = FakeKernel.borrow

    def noted(here: FakeKernel, pid: int, fd: int) -> Any:
        starts.append(len(slow.reads))
        if reused and len(starts) == 2:
            slow.options[SOL_SOCKET, SO_COOKIE] = struct.pack("=Q", 7)
        return borrow(here, pid, fd)

    monkeypatch.setattr(FakeKernel, "borrow", noted)
    options = inspect_socket(found).inspection.options
    looks = [after - before for before, after in pairwise([*starts, len(slow.reads)])]
    assert max(looks) * option_s <= SLICE_S + option_s
    if reused:  # between two slices: nothing is shown, and not the other socket's values
        assert (options, len(looks)) == (None, 2)
    else:
        assert options == expected
        assert len(looks) > 2


def test_namespace_that_may_not_be_entered(kernel: FakeKernel) -> None:
    """The socket is of another network namespace than its process, and so unknown to sock_diag."""
    kernel.fresh_options[1, 71] = struct.pack("=Q", 1)
    kernel.descriptors[42, 9].options[1, 71] = struct.pack("=Q", 2)
    document = run(kernel, "inspect", "42:9", "--json").document
    data = document["data"]
    assert data["socket"]["peer"] == {"address": CLIENT[0], "port": CLIENT[1]}
    assert (data["netns_inode"], data["other_end"], data["holders"][0]["pid"]) == (None, None, 42)
    assert data["options"]
    [missing] = document["missing"]
    assert "another network namespace" in missing["why"]
    assert "CAP_NET_ADMIN" in missing["needs"]
    outcome = run(kernel, "inspect", "42:9", "--watch")
    assert (outcome.status, outcome.out) == (4, "")


def test_addresses_without_sock_diag(kernel: FakeKernel) -> None:
    kernel.errno_for_diag = errno.ENOENT
    kernel.tree.write(
        "thread-self/net/tcp",
        "heading\n   0: 0A0200C0:01BB 076433C6:CA84 01 00000000:00000000 00:00000000 00000000"
        "     0        0 701 1 0000000000000000 20 4 30 10 -1\n",
    )
    document = run(kernel, "inspect", "192.0.2.10:443-198.51.100.7:51844", "--json").document
    assert document["data"]["socket"]["inode"] == 701
    # sudo would show no more: /proc has none of it.
    del kernel.descriptors[42, 9]
    document = run(kernel, "inspect", "192.0.2.10:443-198.51.100.7:51844", "--json").document
    assert {each["what"] for each in document["missing"]} == {"socket options", "tcp_info"}
    outcome = run(kernel, "inspect", "192.0.2.10:443-198.51.100.7:51844", "--watch")
    assert (outcome.status, outcome.out) == (5, "")
    assert "sock_diag is not available" in outcome.err


# -- following ---------------------------------------------------------------------------------


def test_watch_until_the_connection_ends(kernel: FakeKernel, golden: Golden) -> None:
    def later(here: FakeKernel) -> None:
        passed = len(here.waits)
        if passed == 3:
            del here.sockets[1]
            return
        more = {"acked_bytes": 4_000_000 + 250_000 * passed, "rtt_us": 24_500 + 1_000 * passed}
        here.sockets[1] = diag_message(
            local=WEB, peer=CLIENT, inode=701, cookie=0x1001, tcp_info=INFO | more
        )

    kernel.on_wait = later
    outcome = run(kernel, "inspect", "42:9", "--watch", "-i", "500ms")
    assert (outcome.status, outcome.err) == (0, "")
    golden("inspect/watch.txt", outcome.out)
    assert kernel.waits == [0.5] * 3
    assert kernel.borrows == [(42, 9)]  # to find it, and never again


def test_watch_json_lines(kernel: FakeKernel) -> None:
    outcome = run(kernel, "inspect", "42:9", "-w", "-c", "2", "--json")
    lines = [json.loads(line) for line in outcome.out.splitlines()]
    assert [line["data"]["event"] for line in lines] == ["sample", "sample", "end"]
    assert {line["schema"] for line in lines} == {"tcptool.inspect-watch/1"}
    assert lines[-1]["data"]["reason"] == "count-reached"


def test_watch_interrupted(kernel: FakeKernel) -> None:
    def interrupt(_: FakeKernel) -> None:
        raise KeyboardInterrupt

    kernel.on_wait = interrupt
    outcome = run(kernel, "inspect", "42:9", "--watch")
    assert (outcome.status, outcome.err) == (0, "")
    assert "# interrupted after 1.0 s, 1 readings" in outcome.out


def test_watch_tells_what_is_missing(kernel: FakeKernel) -> None:
    kernel.sockets[1] = diag_message(
        local=WEB, peer=CLIENT, inode=701, cookie=0x1001, tcp_info=INFO
    )
    raw = tcp_info_bytes(length=280, state=1, **INFO) + b"\1" * 8
    newer = diag_message(local=WEB, peer=CLIENT, cookie=1, attributes={diag.ATTR_INFO: raw})
    for sock, warnings in ((kernel.sockets[1], []), (newer, ["newer_tcp_info"])):
        kernel.sockets[1] = sock
        lines = run(kernel, "inspect", ":51844", "-w", "-c", "1", "--json").out.splitlines()
        for line in map(json.loads, lines):
            assert [each["what"] for each in line["missing"]] == ["mark (SO_MARK)"]
            assert [each["id"] for each in line["warnings"]] == warnings


def test_watch_needs_two_readings_for_a_total(kernel: FakeKernel) -> None:
    monotonic = kernel.monotonic

    def later() -> float:
        kernel.ticks += 0.001
        return monotonic()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeKernel, "monotonic", lambda _: later())
        lines = run(kernel, "inspect", "42:9", "-w", "-c", "1", "--json").out.splitlines()
    first, end = (json.loads(line)["data"] for line in lines)
    assert first["elapsed_s"] == 0
    assert end["elapsed_s"] > 0
    assert set(end["total"].values()) == {None}
