"""`inspect` as a whole command on a fake kernel."""

from __future__ import annotations

import errno
import json
import re
from pathlib import Path

import pytest

from tcptool.catalog import diag
from tcptool.catalog.registry import members
from tcptool.catalog.tcp_info import TcpInfo
from tests.cli.scene import CLIENT, INFO, WEB, run, web_server
from tests.support.fake_kernel import FakeKernel, descriptor_for, diag_message, tcp_info_bytes
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
    assert "# interrupted after 0.0 s, 1 readings" in outcome.out
