"""`listeners` on real accept queues that overflow, are shared, stuck and cured."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tcptool.cli.app import app
from tests.live.program import NOBODY, Owner, Run, owner, ss, table_of, tcptool, unprintable
from tests.live.test_list import HOLDERS, WithoutSockDiag
from tests.support.children import spawn
from tests.support.netns import NetNs
from tests.support.waiting import wait_until

# A backlog of 2 lets 3 connections wait; the SYNs of the others are dropped, and sent again.
OVERFLOW = """
server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen(2)
for _ in range(8):
    one = socket.socket()
    one.setblocking(False)
    one.connect_ex(server.getsockname())
    kept.append(one)
"""
WINDOW = ("--for", "1.5s")
"""Long enough for a SYN to be sent again."""


def look(netns: NetNs, *words: object, **more: Any) -> Any:
    """The data of ``listeners --json``."""
    return tcptool("listeners", "--json", *words, netns=netns, **more).data


def listener_at(data: Any, port: int) -> Any:
    [one] = [one for one in data["listeners"] if one["local"]["port"] == port]
    return one


def dropping(netns: NetNs, port: int) -> Any:
    """The data of a look in which the listener dropped: a SYN is sent again after a second."""

    def seen() -> Any:
        data = look(netns, *WINDOW)
        return data if listener_at(data, port)["new_drops"] else None

    return wait_until(seen, deadline_s=40)


def counter(data: Any, name: str) -> Any:
    return next(one for one in data["namespace"]["counters"] if one["name"] == f"TcpExt{name}")


def paste(netns: NetNs | None, command: str, home: Path) -> None:
    """Run a command that tcptool printed, as a person would who pastes it."""
    run = netns.run if netns else run_here
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {"PATH": path, "HOME": str(home), "XDG_STATE_HOME": str(home / "state")}
    run("bash", "-c", command.removeprefix("sudo "), env=env)  # we are root there


def run_here(*command: str, env: dict[str, str]) -> None:
    subprocess.run(command, check=True, env=env, capture_output=True)


def plain_table(run: Run) -> list[dict[str, str]]:
    return table_of([line for line in run.lines if not line.startswith("#")])


def established(one: Owner) -> int:
    """How many of its clients are connected."""
    return int(one("sum(c.getsockopt(6, 11, 1)[0] == 1 for c in kept)"))


def test_an_overflow_is_seen_and_the_pasted_command_cures_it(netns: NetNs, tmp_path: Path) -> None:
    with owner(netns, setup=OVERFLOW) as one:
        port = one.port("server")
        data = dropping(netns, port)
        found = listener_at(data, port)
        assert (found["accept_queue"], found["backlog"], found["full_percent"]) == (3, 2, 100)
        assert found["full_samples"] == found["samples"] > 10
        assert found["drops"] >= found["new_drops"] + 5
        assert found["drops_per_s"] > 0
        assert (found["verdict"]["severity"], found["verdict"]["cause"]) == (
            "fail",
            "not-accepting",
        )
        assert data["severity"] == "fail"
        assert counter(data, "ListenOverflows")["new"] == counter(data, "ListenDrops")["new"]
        assert counter(data, "ListenOverflows")["new"] == pytest.approx(found["new_drops"], abs=5)
        [cure] = found["verdict"]["cures"]
        assert cure["command"].startswith(f"tcptool apply {one.at('server')} backlog=")
        assert established(one) == 3
        paste(netns, cure["command"], tmp_path)
        wait_until(lambda: established(one) == 8, deadline_s=40)
        after = listener_at(look(netns, "--for", "300ms"), port)
        assert after["backlog"] == int(cure["command"].rpartition("=")[2])
        assert (after["accept_queue"], after["new_drops"], after["full_samples"]) == (8, 0, 0)
        assert (after["verdict"]["severity"], after["verdict"]["cause"]) == (
            "info",
            "dropped-before",
        )
        paste(netns, cure["undo"], tmp_path)
        assert listener_at(look(netns, "--for", "100ms"), port)["backlog"] == 2


def test_drops_are_those_of_ss_and_the_status_tells(netns: NetNs) -> None:
    with owner(netns, setup=OVERFLOW) as one:
        here = f":{one.port('server')}"

        def agree() -> bool:  # a SYN may be sent again between the two
            [line] = [line for line in ss(netns, "-tlnmH") if "skmem" in line]
            drops = re.search(r",d(\d+)\)", line)
            assert drops is not None
            [row] = plain_table(tcptool("listeners", here, "--for", "10ms", netns=netns))
            return row["severity"] in ("warn", "fail") and row["drops"] == drops[1]

        wait_until(agree, deadline_s=20)
        failing = tcptool("listeners", here, "--for", "10ms", "--fail-on", "warn", netns=netns)
        assert failing.status == 1
        assert failing.out
        one("while kept: kept.pop().close()\nserver.close()")
        assert tcptool("listeners", here, "--for", "10ms", netns=netns).status == 3
        nothing = tcptool("listeners", "--for", "10ms", "--fail-on", "warn", netns=netns)
        assert nothing.status == 0


def test_every_holder_of_a_prefork_listener_is_named(netns: NetNs) -> None:
    setup = "conn = server = socket.create_server(('127.0.0.1', 0))\n"
    with owner(netns, setup=setup + HOLDERS) as one:
        fd, again, child = one("conn.fileno()"), one("again"), one("pid")
        [found] = look(netns, str(child), "--for", "10ms")["listeners"]
        assert [(each["pid"], each["fd"]) for each in found["holders"]] == sorted(
            (pid, number) for pid in (one.pid, child) for number in (fd, again)
        )


MEMBER = """
import threading
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
server.bind(("127.0.0.1", WHERE))
server.listen(4)
def accept():
    while True:
        kept.append(server.accept()[0])
if ACCEPTS:
    threading.Thread(target=accept, daemon=True).start()
"""
CLIENTS = """
for _ in range(60):
    one = socket.socket()
    one.setblocking(False)
    one.connect_ex(("127.0.0.1", WHERE))
    kept.append(one)
"""


def member(port: int, *, accepts: bool) -> str:
    return MEMBER.replace("WHERE", str(port)).replace("ACCEPTS", str(accepts))


def test_a_stuck_member_of_a_reuseport_group_is_found(netns: NetNs) -> None:
    with owner(netns, setup=member(0, accepts=False)) as stuck:
        port = stuck.port("server")
        clients = CLIENTS.replace("WHERE", str(port))
        with owner(netns, setup=member(port, accepts=True)) as busy, owner(netns) as many:
            many(clients)
            wait_until(lambda: busy("len(kept)") >= 10)
            data = look(netns, f":{port}", *WINDOW)
            by_pid = {one["holders"][0]["pid"]: one for one in data["listeners"]}
            assert by_pid.keys() == {stuck.pid, busy.pid}
            assert by_pid[stuck.pid]["accept_queue"] == 5
            assert by_pid[stuck.pid]["verdict"]["cause"] == "not-accepting"
            assert by_pid[stuck.pid]["connections"] == 0
            assert by_pid[busy.pid]["connections"] == busy("len(kept)")
            [group] = data["groups"]
            assert (group["members"], group["most_queue_percent"]) == (2, 100)
            assert (group["verdict"]["severity"], group["verdict"]["cause"]) == ("fail", "uneven")
            assert f"pid {stuck.pid}" in group["verdict"]["blame"]


def test_a_low_somaxconn_is_raised_first_and_in_the_right_namespace(
    netns: NetNs, tmp_path: Path
) -> None:
    if netns.in_user_namespace:
        pytest.skip("only root may enter the namespace from outside")
    netns.run("sysctl", "-w", "net.core.somaxconn=2")
    with owner(netns, setup=OVERFLOW.replace("listen(2)", "listen(500)")) as one:
        target = one.at("server")
        run = tcptool("listeners", target, "--json", *WINDOW)  # from outside
        [found] = run.data["listeners"]
        assert (found["backlog"], found["capped"], found["accept_queue"]) == (2, True, 3)
        assert "net.core.somaxconn" in found["verdict"]["blame"]
        first, second = found["verdict"]["cures"]
        ours = Path("/proc/sys/net/core/somaxconn").read_text()
        for cure in (first, second):
            paste(None, cure["command"], tmp_path)
        assert Path("/proc/sys/net/core/somaxconn").read_text() == ours
        [after] = tcptool("listeners", target, "--json", "--for", "100ms").data["listeners"]
        assert after["backlog"] == int(second["command"].rpartition("=")[2]) > 2
        paste(None, first["undo"], tmp_path)
        assert netns.run("sysctl", "-n", "net.core.somaxconn").stdout.strip() == "2"


def test_another_namespace_has_its_own_counters_and_settings(netns: NetNs) -> None:
    if netns.in_user_namespace:
        pytest.skip("only root may enter the namespace from outside")
    netns.run("sysctl", "-w", "net.core.somaxconn=77", "net.ipv4.tcp_max_syn_backlog=78")
    with owner(netns, setup=OVERFLOW) as one:
        data = tcptool("listeners", "--json", "--for", "10ms", "--netns", netns.pid).data
        [found] = data["listeners"]
        assert found["local"]["port"] == one.port("server")
        assert found["holders"][0]["pid"] == one.pid
        assert counter(data, "ListenOverflows")["total"] == found["drops"] >= 5
        there = data["namespace"]
        assert (there["somaxconn"], there["tcp_max_syn_backlog"]) == (77, 78)
        assert there["netns_inode"] == os.stat(netns.path).st_ino


def test_an_ordinary_user_sees_the_queues_and_not_the_owners(netns: NetNs) -> None:
    with owner(netns, setup=OVERFLOW) as one:
        words = ("listeners", "--json", "--options", "--for", "10ms")
        run = tcptool(*words, netns=netns, uid=NOBODY)
        found = listener_at(run.data, one.port("server"))
        assert (found["accept_queue"], found["backlog"]) == (3, 2)
        assert found["drops"] >= 5
        assert (found["holders"], found["options"]) == (None, None)
        assert found["verdict"]["cures"][0]["command"].startswith("sudo tcptool apply sk:")
        [missing] = [one for one in run.json["missing"] if "owners" in one["what"]]
        assert "CAP_SYS_PTRACE" in missing["needs"]


FAMILIES = """
def listen(address, protocol=0, dual=False):
    one = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, 1, protocol)
    if ":" in address:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not dual)
    one.bind((address, 0))
    one.listen(8)
    return one
v4, v6, both = listen("127.0.0.1"), listen("::1"), listen("::", dual=True)
mapped = listen("::ffff:127.0.0.1", dual=True)
for listener, address in ((both, "127.0.0.1"), (mapped, "127.0.0.1"), (v6, "::1")):
    kept.append(socket.create_connection((address, listener.getsockname()[1])))
"""


def test_families(netns: NetNs) -> None:
    with owner(netns, setup=FAMILIES) as one:
        ports = {name: one.port(name) for name in ("v4", "v6", "both", "mapped")}
        data = look(netns, "--for", "10ms")
        found = {name: listener_at(data, port) for name, port in ports.items()}
        assert {
            name: (
                each["family"], each["v6only"], each["local"]["address"], each["accept_queue"]
            )
            for name, each in found.items()
        } == {
            "v4": ("ipv4", None, "127.0.0.1", 0),
            "v6": ("ipv6", True, "::1", 1),
            "both": ("ipv6", False, "::", 1),
            "mapped": ("ipv6", False, "127.0.0.1", 1),
        }  # fmt: skip
        four, six = (look(netns, option, "--for", "10ms")["listeners"] for option in ("-4", "-6"))
        assert (len(four), len(six)) == (1, 3)


def test_an_mptcp_listener_is_one_and_has_its_drops(netns: NetNs) -> None:
    if not Path("/proc/sys/net/mptcp/enabled").exists():
        pytest.skip("this kernel has no MPTCP")
    setup = OVERFLOW.replace("socket.socket()", "socket.socket(2, 1, 262)", 1)
    with owner(netns, setup=setup) as one:
        [found] = look(netns, "--for", "10ms")["listeners"]
        assert (found["protocol"], found["accept_queue"], found["backlog"]) == ("mptcp", 3, 2)
        assert found["drops"] >= 5
        assert found["holders"][0]["pid"] == one.pid
        for words in ([one.at("server")], ["drops > 0"], ["protocol = mptcp"]):
            assert len(look(netns, *words, "--for", "10ms")["listeners"]) == 1


HANDSHAKES_AND_A_FULL_QUEUE = """
def knock(address, times):
    for _ in range(times):
        one = socket.socket()
        one.setblocking(False)
        one.bind((address, 0))
        one.connect_ex(server.getsockname())
        kept.append(one)
"""


def test_clients_that_believe_that_they_are_connected_count_once(netns: NetNs) -> None:
    server = OVERFLOW.partition("for _")[0].replace("listen(2)", "listen(4)")
    with owner(netns, setup=server + HANDSHAKES_AND_A_FULL_QUEUE) as one:
        connect_without_end(netns, one)
        one("knock('127.0.0.1', 3)")  # their handshakes lack the last step, here
        netns.run("nft", "flush ruleset")
        one("knock('127.0.0.2', 5)")  # these fill the queue first
        wait_until(lambda: established(one) == 8)
        data = dropping(netns, one.port("server"))  # the SYN-ACKs are sent again, and answered
        found = listener_at(data, one.port("server"))
        assert found["accept_queue"] == 5
        assert established(one) == 8
        lost = counter(data, "ListenDrops")["new"]
        assert 1 <= lost < found["new_drops"]
        word = "try was" if lost == 1 else "tries were"
        assert f"; {lost} {word} dropped: " in found["verdict"]["message"]


RULES = """
table ip tests {
  chain in { type filter hook input priority 0; tcp dport PORT tcp flags & (syn|ack) == ack drop; }
}
"""


def connect_without_end(netns: NetNs, one: Owner) -> None:
    """Fill the SYN queue: the last ACK of each handshake is lost."""
    if shutil.which("nft") is None:
        pytest.skip("needs nft (Debian package nftables)")
    netns.run("nft", RULES.replace("PORT", str(one.port("server"))))


def test_handshakes_that_are_stuck_fill_the_syn_queue(netns: NetNs) -> None:
    server = OVERFLOW.partition("for _")[0]
    with owner(netns, setup=server) as one:
        connect_without_end(netns, one)
        one(OVERFLOW.partition("server.listen(2)")[2])
        found = listener_at(look(netns, "--for", "10ms"), one.port("server"))
        assert found["syn_recv"] in (2, 3)  # the backlog; kernels differ in whether one more fits
        assert found["accept_queue"] == 0


KNOCK = """
import threading
def knock():
    while True:
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex(server.getsockname())
        kept.append(one)
        time.sleep(0.02)
threading.Thread(target=knock, daemon=True).start()
"""


def test_syn_cookies_without_an_overflow_are_no_small_accept_queue(netns: NetNs) -> None:
    with owner(netns, setup=OVERFLOW.partition("for _")[0]) as one:
        connect_without_end(netns, one)
        one(KNOCK)
        data = look(netns, *WINDOW)
        assert 1 <= counter(data, "SyncookiesSent")["new"] < 100
        assert counter(data, "ListenOverflows")["new"] == 0
        assert [each["cause"] for each in data["findings"]] == ["syn-burst"]


def test_a_full_syn_queue_without_cookies_drops(netns: NetNs) -> None:
    netns.run("sysctl", "-w", "net.ipv4.tcp_syncookies=0")
    with owner(netns, setup=OVERFLOW.partition("for _")[0]) as one:
        connect_without_end(netns, one)
        one(OVERFLOW.partition("server.listen(2)")[2])
        found = listener_at(dropping(netns, one.port("server")), one.port("server"))
        assert (found["verdict"]["severity"], found["verdict"]["cause"]) == ("fail", "syn-queue")
        [cure] = found["verdict"]["cures"]
        assert cure["command"].endswith("sysctl -w net.ipv4.tcp_syncookies=1")
        run = tcptool("doctor", "--for", "3s", "--json", netns=netns)  # each SYN comes again
        judged = {one["id"]: one for one in run.data["findings"]}
        assert judged["H-12"]["severity"] == "ok"
        assert (judged["H-13"]["severity"], judged["H-13"]["remedy"]["command"]) == (
            "fail",
            cure["command"],
        )


DEFERRED = """
server = socket.socket()
server.bind(("127.0.0.1", 0))
server.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 5)
server.listen(64)
for _ in range(6):
    kept.append(socket.create_connection(server.getsockname()))
"""


def test_handshakes_that_are_held_back_are_not_lost(netns: NetNs) -> None:
    with owner(netns, setup=DEFERRED) as one:
        port = one.port("server")
        found = listener_at(look(netns, "--for", "10ms"), port)
        assert (found["syn_recv"], found["accept_queue"]) == (6, 0)
        assert found["drops"] >= 6
        assert (found["verdict"]["severity"], found["verdict"]["cause"]) == ("ok", "none")
        with owner(netns, setup=OVERFLOW):  # now connections are lost, too: by the other one
            assert listener_at(look(netns, "--for", "10ms"), port)["verdict"]["cause"] == "deferred"


def test_options_are_those_that_the_program_set(netns: NetNs) -> None:
    setup = member(0, accepts=False)
    setup += "server.setsockopt(6, 9, 5)\nserver.setsockopt(6, 23, 16)\n"
    with owner(netns, setup=setup) as one:
        [found] = look(netns, one.at("server"), "--options", "--for", "10ms")["listeners"]
        assert found["options"] == {
            "reuseport": True,
            "defer_accept_s": one("server.getsockopt(6, 9)"),
            "fastopen_queue": 16,
        }


def test_a_hostile_name_is_harmless(netns: NetNs) -> None:
    name = 'ctypes.CDLL(None).prctl(15, b"\\x1b[2J\\r\\n[red] x")\n'
    with owner(netns, setup=name + OVERFLOW):
        run = tcptool("listeners", "--for", "10ms", netns=netns)
        assert run.status == 0
        assert unprintable(run.out) == []
        assert r"\x1b[2J" in run.out
        assert len(plain_table(run)) == 1


CHURN = """
import socket, sys, threading
def churn():
    while True:
        with socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0)):
            pass
threading.Thread(target=churn, daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
"""


def test_listeners_that_come_and_go_do_no_harm(netns: NetNs) -> None:
    with owner(netns, setup=OVERFLOW) as one, spawn(CHURN, netns=netns):
        run = tcptool("listeners", "--options", "--json", "--for", "1s", netns=netns)
        found = listener_at(run.data, one.port("server"))
        assert (found["presence"], found["samples"]) == ("steady", run.data["samples"])
        assert {each["presence"] for each in run.data["listeners"]} >= {"steady", "gone"}


def test_proc_net_stands_in_for_sock_diag(netns: NetNs) -> None:
    with owner(netns, setup=OVERFLOW) as one:
        namespace = os.open(netns.path, os.O_RDONLY)
        try:
            kernel = WithoutSockDiag(2, namespace)
            words = ["listeners", "--json", "--for", "10ms"]
            result = CliRunner().invoke(app, words, obj=kernel)
        finally:
            os.close(namespace)
        found = listener_at(json.loads(result.stdout)["data"], one.port("server"))
        assert (found["accept_queue"], found["backlog"], found["drops"]) == (3, None, None)
        assert found["holders"][0]["pid"] == one.pid
        assert found["verdict"]["severity"] == "skip"
