"""`listeners` as a whole command on a fake kernel."""

from __future__ import annotations

import errno
import io
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tcptool.actions.listeners import listeners
from tcptool.actions.resolve import Found, matching
from tcptool.catalog import diag
from tcptool.catalog.listeners import SAMPLE_S
from tcptool.linux.sock_diag import FAMILIES
from tcptool.model.listeners import ListenersPlan, ListenersReport
from tcptool.model.report import Missing
from tcptool.views.look import Look
from tcptool.views.text import listeners as view
from tests.cli.scene import CLIENT, integer, memory, run, web_server
from tests.cli.test_list import refuse
from tests.support.fake_kernel import FakeKernel, descriptor_for, diag_message
from tests.support.golden import Golden

API = ("127.0.0.1", 8080)
GROUP = ("::", 9090)
HOSTILE = "x\x1b[2J y"


def listening(
    local: tuple[str, int], inode: int, queue: int = 0, backlog: int = 128, drops: int = 0
) -> bytes:
    return diag_message(
        "listen", local=local, inode=inode, cookie=0x2000 + inode, rqueue=queue, wqueue=backlog,
        tcp_info={"unacked_packets": queue, "sacked_packets": backlog},
        attributes={
            diag.ATTR_SKMEMINFO: memory(drops=drops),
            diag.ATTR_SKV6ONLY: b"\0",
            diag.ATTR_CGROUP_ID: struct.pack("=Q", 1),
        },
    )  # fmt: skip


def netstat(**counters: int) -> str:
    return f"TcpExt: {' '.join(counters)}\nTcpExt: {' '.join(map(str, counters.values()))}\n"


def overflowing(root: Path) -> FakeKernel:
    """A web server that is well, one that accepts nothing, a group with a stuck member, MPTCP.

    The second drops four connections in each look.
    """
    kernel = web_server(root)
    kernel.sockets += [
        listening(GROUP, 811, queue=17, backlog=16),
        listening(GROUP, 812, queue=1, backlog=16),
        *(
            diag_message(local=("2001:db8::1", 9090), peer=("2001:db8::7", 5000 + n), inode=820 + n)
            for n in range(3)
        ),
        diag_message("syn-recv", local=("127.0.0.1", 8080), peer=("127.0.0.1", 6000)),
        diag_message("syn-recv", local=("127.0.0.1", 443), peer=("127.0.0.1", 6001)),
        listening(("127.0.0.1", 6060), 830, drops=0),
    ]
    kernel.mptcp_sockets.append(listening(("127.0.0.1", 6060), 830))
    kernel.tree.add(50, HOSTILE, sockets={3: 801})
    kernel.tree.add(60, "worker", sockets={4: 811, 5: 820})
    kernel.tree.add(61, "worker", sockets={4: 812, 5: 821, 6: 822})
    for name, value in {
        "core/somaxconn": 128,
        "ipv4/tcp_max_syn_backlog": 512,
        "ipv4/tcp_syncookies": 1,
        "ipv4/tcp_abort_on_overflow": 0,
    }.items():
        kernel.tree.write(f"sys/net/{name}", f"{value}\n")
    steady = list(kernel.sockets)

    def look(number: int) -> None:
        drops = 10 + 4 * number
        kernel.sockets = [*steady, listening(API, 801, queue=129, drops=drops)]
        counters = {"ListenOverflows": drops, "ListenDrops": drops + 3, "SyncookiesSent": number}
        kernel.tree.write("thread-self/net/netstat", netstat(**counters))

    look(0)
    kernel.on_wait = lambda _: look(len(kernel.waits))
    return kernel


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    return overflowing(tmp_path)


def report(kernel: FakeKernel, **more: Any) -> ListenersReport:
    values: dict[str, Any] = {"target": None, "families": FAMILIES, "window_s": 2.0, **more}
    return listeners(kernel, ListenersPlan(**values))


def shown(kernel: FakeKernel, *words: object) -> dict[str, Any]:
    """The listeners of the JSON document by their address; of a group, the last one."""
    data = run(kernel, "listeners", "--json", *words).document["data"]
    return {f"{one['local']['address']}:{one['local']['port']}": one for one in data["listeners"]}


def people(report: ListenersReport, **look: Any) -> str:
    out = io.StringIO()
    view.write_for_people(report, out, Look(**look))
    return out.getvalue()


def test_plain(kernel: FakeKernel, golden: Golden) -> None:
    outcome = run(kernel, "listeners")
    assert (outcome.status, outcome.err) == (0, "")
    golden("listeners/plain.txt", outcome.out)


@pytest.mark.parametrize("width", [80, 140])
def test_for_people(width: int, kernel: FakeKernel, golden: Golden) -> None:
    text = people(report(kernel), width=width)
    golden(f"listeners/people-{width}.txt", text)
    pasted = [line for line in text.splitlines() if "tcptool apply" in line]
    assert max(len(line) for line in text.splitlines() if line not in pasted) <= width
    assert "\x1b" not in text


def test_json(kernel: FakeKernel, golden: Golden) -> None:
    document = run(kernel, "listeners", "--json").document
    assert document["data"]["namespace"].pop("netns_inode") == kernel.netns_inode()
    golden("listeners/document.json", json.dumps(document, indent=2) + "\n")


def test_a_narrow_terminal_loses_columns_and_cuts_the_owners(kernel: FakeKernel) -> None:
    kernel.tree.add(44, "nginx", sockets=dict.fromkeys(range(3, 30), 700))
    text = people(report(kernel, options=True), width=40)
    heading, *rows = text.splitlines()
    assert heading.split() == [
        "listening", "on", "queue", "backlog", "full", "drops", "per", "s", "held", "by",
    ]  # fmt: skip
    assert any(row.endswith("...") for row in rows[:5])


def test_a_group_is_told_as_far_as_its_shares_are_known(tmp_path: Path) -> None:
    kernel = FakeKernel(tmp_path)

    def look(drops: int, queue: int) -> None:
        kernel.sockets = [listening(GROUP, 1, queue, drops=drops), listening(GROUP, 2)]

    look(0, 0)
    assert "an even share is 50 %\n" in people(report(kernel), width=100)
    kernel.on_wait = lambda _: look(len(kernel.waits), 0)
    text = people(report(kernel), width=120).replace("\n", " ")
    assert "an even share is 50 %; one has 100 % of the new drops " in text
    kernel.on_wait = lambda _: look(len(kernel.waits), 3)
    text = people(report(kernel), width=120).replace("\n", " ")
    assert "one has 100 % of what waits and one 100 % of the new drops" in text


def test_colour_is_for_the_severity(kernel: FakeKernel) -> None:
    text = people(report(kernel), width=80, color=True)
    assert "\x1b[31mfail\x1b[0m" in text
    assert "\x1b[32mok  \x1b[0m" in text
    assert "\x1b[" not in people(report(kernel), width=80)


def test_the_queues_are_looked_at_through_the_window(kernel: FakeKernel) -> None:
    found = report(kernel, window_s=0.5)
    assert (found.samples, found.complete) == (6, True)
    assert kernel.waits == pytest.approx([SAMPLE_S] * 5)
    assert found.window_s == pytest.approx(0.5)


def test_a_queue_that_was_full_between_the_readings_is_seen(tmp_path: Path) -> None:
    kernel = FakeKernel(tmp_path)

    def look(_: FakeKernel) -> None:
        queue = 9 if len(kernel.waits) == 3 else 0
        kernel.sockets = [listening(API, 801, queue=queue, backlog=8)]

    look(kernel)
    kernel.on_wait = look
    [one] = report(kernel, window_s=1.0).listeners
    assert (one.accept_queue, one.max_accept_queue, one.full_samples) == (0, 9, 1)
    assert one.verdict.cause == "burst"


def test_all_holders_of_a_prefork_listener(kernel: FakeKernel) -> None:
    one = shown(kernel)["0.0.0.0:443"]
    assert [(holder["pid"], holder["fd"]) for holder in one["holders"]] == [(42, 6), (43, 6)]
    assert (one["drops"], one["new_drops"], one["verdict"]["cause"]) == (3, 0, "dropped-before")


def test_mptcp_is_one_listener(kernel: FakeKernel) -> None:
    one = shown(kernel)["127.0.0.1:6060"]
    assert (one["protocol"], one["drops"]) == ("mptcp", 0)
    assert len(report(kernel).listeners) == 5


def test_handshakes_are_counted_where_they_arrive(kernel: FakeKernel) -> None:
    found = shown(kernel)
    assert found["127.0.0.1:8080"]["syn_recv"] == 1
    assert found["0.0.0.0:443"]["syn_recv"] == 1  # the one that listens at every address
    assert found[":::9090"]["syn_recv"] == 0


def test_members_of_a_group_have_shares(kernel: FakeKernel) -> None:
    found = report(kernel)
    members = [one for one in found.listeners if one.group == 0]
    assert [(one.max_accept_queue, one.connections) for one in members] == [(17, 1), (1, 2)]
    assert sum(one.queue_share_percent or 0 for one in members) == pytest.approx(100)
    assert found.groups[0].verdict.cause == "uneven"


def test_who_has_a_connection_is_not_known_where_members_share_a_process(
    kernel: FakeKernel,
) -> None:
    kernel.tree.add(62, "worker", sockets={4: 811, 5: 812})
    assert {one.connections for one in report(kernel).listeners if one.group == 0} == {None}


@pytest.mark.parametrize(
    ("words", "addresses"),
    [
        ([":8080"], ["127.0.0.1:8080"]),
        (["50:3"], ["127.0.0.1:8080"]),
        (["42"], ["0.0.0.0:443"]),
        (["sk:1000"], ["0.0.0.0:443"]),
        (["127.0.0.1:8080"], ["127.0.0.1:8080"]),
        (["sport", "=", ":443"], ["0.0.0.0:443"]),
        (["process = worker"], [":::9090"]),
        (["drops > 0"], ["0.0.0.0:443", "127.0.0.1:8080"]),
        (["state established"], []),
        (["-6"], [":::9090"]),
        (["-4"], ["0.0.0.0:443", "127.0.0.1:6060", "127.0.0.1:8080"]),
    ],
)
def test_which_listeners(kernel: FakeKernel, words: list[str], addresses: list[str]) -> None:
    kernel.descriptors[50, 3] = descriptor_for(listening(API, 801))
    assert sorted(shown(kernel, *words)) == addresses


def test_a_member_that_was_asked_for_is_judged_beside_the_others(kernel: FakeKernel) -> None:
    found = run(kernel, "listeners", "--json", "pid = 61").document["data"]
    [one] = found["listeners"]
    assert (one["holders"][0]["pid"], one["verdict"]["severity"]) == (61, "ok")
    assert (found["groups"][0]["members"], found["severity"]) == (2, "fail")


@pytest.mark.parametrize("words", [[":1"], ["42:9"], ["99"], ["sk:77"]])
def test_a_target_that_does_not_listen_is_not_found(kernel: FakeKernel, words: list[str]) -> None:
    outcome = run(kernel, "listeners", *words)
    assert (outcome.status, outcome.out) == (3, "")
    assert "shows who listens where" in outcome.err


def test_the_namespace_is_told_only_where_all_listeners_are_asked_for(kernel: FakeKernel) -> None:
    whole = report(kernel)
    assert [one.cause for one in whole.findings] == ["small-backlog"]
    assert report(kernel, families=FAMILIES[:1]).findings == ()
    document = run(kernel, "listeners", ":443", "--json").document["data"]
    assert (document["findings"], document["severity"]) == ([], "info")
    assert document["namespace"]["counters"][0]["new"] == 80


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["--fail-on", "fail"], 1),
        (["--fail-on", "warn"], 1),
        ([":443", "--fail-on", "fail"], 0),
        ([":443", "--fail-on", "warn"], 0),
        ([":9090", "--fail-on", "fail"], 1),
        ([":9090", "--fail-on", "warn"], 1),
        (["-4", "sport = :6060", "--fail-on", "warn"], 0),
        (["--for", "1h1m1s"], 2),
        (["--for", "25h"], 2),
        (["--for", "1ms"], 2),
        (["--fail-on", "info"], 2),
        (["nonsense"], 2),
    ],
)
def test_status(kernel: FakeKernel, words: list[str], status: int) -> None:
    assert run(kernel, "listeners", *words).status == status


def test_ctrl_c_shows_what_was_seen(kernel: FakeKernel) -> None:
    kernel.on_wait = interrupt_at(3)
    outcome = run(kernel, "listeners", "--json")
    assert outcome.status == 130
    data = json.loads(outcome.out)["data"]
    assert (data["complete"], data["samples"]) == (False, 3)
    kernel.on_wait = interrupt_at(len(kernel.waits) + 1)
    plain = run(kernel, "listeners")
    assert "# window_s 0.1, samples 1, interrupted" in plain.out.splitlines()
    assert "1 look in 100 ms, interrupted" in people(interrupted(kernel))


def interrupted(kernel: FakeKernel) -> ListenersReport:
    kernel.on_wait = interrupt_at(len(kernel.waits) + 1)
    return report(kernel)


def interrupt_at(waits: int) -> Callable[[FakeKernel], None]:
    def interrupt(kernel: FakeKernel) -> None:
        if len(kernel.waits) == waits:
            raise KeyboardInterrupt

    return interrupt


def test_ctrl_c_before_the_first_look_shows_nothing(
    kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tcptool.actions.listeners.sockets", stop)
    outcome = run(kernel, "listeners")
    assert (outcome.status, outcome.out) == (130, "")


def test_a_listener_may_come_and_go(tmp_path: Path) -> None:
    kernel = FakeKernel(tmp_path, [listening(API, 801), listening(("127.0.0.1", 81), 802)])

    def change(_: FakeKernel) -> None:
        kernel.sockets = [listening(API, 801), listening(("127.0.0.1", 82), 803)]

    kernel.on_wait = change
    outcome = run(kernel, "listeners", "--json").document
    rows = [(one["local"]["port"], one["presence"]) for one in outcome["data"]["listeners"]]
    assert rows == [(81, "gone"), (82, "new"), (8080, "steady")]
    assert [one["id"] for one in outcome["warnings"]] == ["gone"]
    assert "1 listener went away" in outcome["warnings"][0]["message"]
    kernel.sockets = [listening((f"127.0.0.{n}", 81), 900 + n) for n in (1, 2)]
    assert "2 listeners went away" in run(kernel, "listeners").err
    kernel.sockets = [listening(API, 801), listening(("127.0.0.1", 81), 802)]
    assert "state" in people(report(kernel), width=120).splitlines()[0]


def test_options_are_read_only_if_they_are_asked_for(kernel: FakeKernel) -> None:
    assert {one.options for one in report(kernel).listeners} == {None}
    assert kernel.borrows == []
    options: dict[tuple[int, int], bytes | int] = {
        (1, 15): integer(1),
        (6, 9): integer(3),
        (6, 23): integer(0),
    }
    raw = listening(GROUP, 811, queue=17, backlog=16)
    kernel.descriptors[60, 4] = descriptor_for(raw, options)
    kernel.descriptors[61, 4] = descriptor_for(listening(GROUP, 812), {(1, 15): integer(1)})
    found = {one.inode: one.options for one in report(kernel, options=True).listeners}
    assert found[811] is not None
    assert (found[811].reuseport, found[811].defer_accept_s, found[811].fastopen_queue) == (
        True,
        3,
        0,
    )
    assert found[812] is not None
    assert (found[812].reuseport, found[812].defer_accept_s) == (True, None)
    assert found[801] is None  # not there to be borrowed: gone
    plain = run(kernel, "listeners", "--options").out
    assert " reuseport  defer_accept_s  fastopen_queue " in plain.splitlines()[0]
    assert " reuse  defer  tfo " in people(report(kernel, options=True), width=160).splitlines()[0]


def test_options_that_may_not_be_read_are_missing_once(kernel: FakeKernel) -> None:
    kernel.refusals |= dict.fromkeys((42, 43, 50, 60, 61), errno.EPERM)
    found = report(kernel, options=True)
    assert {one.options for one in found.listeners} == {None}
    assert [one.what for one in found.missing] == ["socket options of some listeners"]


def test_owners_that_may_not_be_seen_are_absent(
    kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tcptool.linux.owners.socket_descriptors", refuse)
    document = run(kernel, "listeners", "--json").document
    data = document["data"]["listeners"]
    assert {one["holders"] is None for one in data} == {True}
    assert [one["what"] for one in document["missing"]] == ["owners of some sockets"]
    commands = [cure["command"] for one in data for cure in one["verdict"]["cures"]]
    assert "tcptool apply sk:2321 backlog=" in "".join(commands)
    text = people(report(kernel), width=80)
    assert "Who must act: its owner, which may not be seen" in text
    assert {line.split()[-1] for line in text.splitlines()[1:6]} == {"-"}


def test_without_sock_diag(tmp_path: Path) -> None:
    kernel = FakeKernel(tmp_path, errno_for_diag=errno.ENOENT)
    kernel.tree.add(42, "nginx", sockets={9: 701})
    row = "{}: 0100007F:{:04X} 00000000:0000 {} 00000000:{:08X} 00:00000000 0  33 0 {} 1 0 20 0 0\n"
    kernel.tree.write(
        "thread-self/net/tcp",
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout"
        f" inode\n{row.format(0, 80, '0A', 5, 701)}{row.format(1, 80, '01', 0, 702)}",
    )
    outcome = run(kernel, "listeners", "--json")
    document = outcome.document
    [one] = document["data"]["listeners"]
    assert (one["accept_queue"], one["backlog"], one["drops"]) == (5, None, None)
    assert (one["full_percent"], one["holders"][0]["pid"]) == (None, 42)
    assert one["verdict"]["severity"] == "skip"
    assert {lack["what"] for lack in document["missing"]} == {
        "what /proc/net/netstat counts",
        "tcp_info, memory, congestion control and cookies",
    }
    assert document["data"]["namespace"]["somaxconn"] is None
    plain = run(kernel, "listeners", ":80")
    assert plain.out.splitlines()[1].split()[:2] == ["skip", "unknown"]
    assert "not shown: tcp_info" in plain.err
    assert "skip" in people(report(kernel), width=80)


class Inside(FakeKernel):
    """Asked about another namespace than the one that tcptool is in."""

    def netns_inode(self) -> int:
        return self.proc.netns_inode(50)


def test_a_sysctl_of_another_namespace_is_set_in_it(tmp_path: Path) -> None:
    outer, inner = FakeKernel(tmp_path / "outer"), Inside(tmp_path / "inner")
    outer.namespaces["blue"] = inner
    inner.sockets.append(listening(API, 801, queue=129))
    inner.tree.add(50, "api", sockets={3: 801}, netns="blue")
    inner.tree.write("sys/net/core/somaxconn", "128\n")
    cures = shown(outer, "--netns", "blue")["127.0.0.1:8080"]["verdict"]["cures"]
    assert [cure["command"] for cure in cures] == [
        "sudo nsenter --target 50 --net sysctl -w net.core.somaxconn=172",
        "tcptool apply 50:3 backlog=172",
    ]
    assert cures[0]["undo"] == "sudo nsenter --target 50 --net sysctl -w net.core.somaxconn=128"


def test_a_socket_whose_namespace_may_not_be_entered_is_not_permitted(
    kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = Missing("its row", "it lives elsewhere", "more rights")
    [found] = [one for one in matching(kernel, None) if one.inode == 801]
    monkeypatch.setattr(
        "tcptool.actions.listeners.resolve",
        lambda *_: [Found(kernel, found, (50, 3), elsewhere=elsewhere)],
    )
    outcome = run(kernel, "listeners", "50:3")
    assert (outcome.status, outcome.out) == (4, "")
    assert "it lives elsewhere" in outcome.err
    assert "more rights" in outcome.err


def test_nothing_listens(tmp_path: Path) -> None:
    kernel = FakeKernel(tmp_path, [diag_message(local=API, peer=CLIENT)])
    document = run(kernel, "listeners", "--json").document
    assert (document["data"]["listeners"], document["data"]["severity"]) == ([], "ok")
    assert len([line for line in run(kernel, "listeners").out.splitlines() if line[0] != "#"]) == 1
    assert people(report(kernel), width=80).startswith("0 listeners, 21 looks in 2 s\n")


def test_names_are_cleaned_and_words_stay_words(kernel: FakeKernel) -> None:
    outcome = run(kernel, "listeners")
    assert "\x1b" not in outcome.out
    heading, *rows = [line for line in outcome.out.splitlines() if not line.startswith("#")]
    assert {len(row.split()) for row in rows} == {len(heading.split())}
    [row] = [row for row in rows if "8080" in row]
    assert row.split()[-1] == r"x\x1b[2J\x20y"
