"""`diagnose` on real connections: what it finds, and that their owners cannot notice it."""

from __future__ import annotations

import contextlib
import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tcptool.catalog.verdicts import VERDICTS
from tests.live.program import NOBODY, PAIR, Owner, inspect, owner, tcptool
from tests.live.test_schema import validate
from tests.support.children import ROOT
from tests.support.netns import NetNs
from tests.support.waiting import wait_until

SLOW = (
    PAIR
    + """
import threading
conn.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
def write():
    while True:
        client.sendall(bytes(65536))
def read():
    while conn.recv(2000):
        select.select([], [], [], 0.002)
for work in (write, read):
    threading.Thread(target=work, daemon=True).start()
"""
)
"""A writer that never rests, and a reader that takes 2000 bytes and then does something else."""


def diagnosis(target: object, *words: object, **more: Any) -> Any:
    """The one diagnosis of ``diagnose TARGET --json``."""
    [found] = tcptool("diagnose", target, *words, "--json", **more).data["diagnoses"]
    return found


@contextlib.contextmanager
def sampling(one: Owner, name: str) -> Iterator[subprocess.Popen[str]]:
    """Diagnose a socket for a long time; the block begins when samples are being taken."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tcptool", "diagnose", one.at(name), "--for", "60s", "--json"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        wait_until(lambda: process.pid in asking(), deadline_s=20)
        before = sleeps(process.pid)
        # It sleeps after every sample, and hardly ever before the first.
        wait_until(lambda: sleeps(process.pid) > before + 30, deadline_s=20)
        yield process
    finally:
        process.kill()
        process.communicate()


def asking() -> set[int]:
    """The processes with a NETLINK_SOCK_DIAG socket; its port is their pid."""
    lines = Path("/proc/net/netlink").read_text().splitlines()[1:]
    return {int(line.split()[2]) for line in lines if line.split()[1] == "4"}


def sleeps(pid: int) -> int:
    """How often a process has gone to sleep by itself."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("\nvoluntary_ctxt_switches:")[2].split()[0])


def the_end(process: subprocess.Popen[str], status: int = 0) -> Any:
    """What it wrote; it must end by itself, with this status."""
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (status, "")
    return json.loads(out)["data"]


# -- what it finds -----------------------------------------------------------------------------


def test_a_slow_reader_from_both_ends() -> None:
    with owner(setup=SLOW) as one:
        # Data waits in the sender: tcpi_notsent_bytes.
        wait_until(lambda: one("client.getsockopt(6, 11, 148)[144:] != bytes(4)"))
        sender = diagnosis(one.at("client"), "--for", "2s")
        assert sender["verdict"] in ("slow-reader", "zero-window"), sender
        assert sender["other_handle"] == one.at("conn")
        reader = diagnosis(one.at("conn"), "--for", "2s")
        assert reader["verdict"] == "local-slow-reader", reader
        assert (sender["side"], reader["side"]) == ("sender", "receiver")


def test_many_sockets_are_surveyed(netns: NetNs) -> None:
    with owner(netns, setup=SLOW) as one:
        run = tcptool("diagnose", "--for", "1s", "--json", netns=netns)
        assert run.data["survey"]["sockets"] == 3
        # Both ends of the connection are one case.
        assert [d["state"] for d in run.data["diagnoses"]] == ["established", "listen"]
        assert tcptool("diagnose", one.pid, "--top", "1", "--for", "1s", netns=netns).status == 0
        status = tcptool("diagnose", "--for", "1s", "--fail-on", "warn", netns=netns).status
        assert status == 1


def test_an_idle_connection_and_a_closed_one() -> None:
    with owner(setup=PAIR) as one:
        assert diagnosis(one.at("client"), "--for", "300ms")["verdict"] == "idle"
        assert diagnosis(one.at("server"), "--for", "300ms")["verdict"] == "listening"
        target = one.ends("client")
        one("client.close()\nconn.close()")
        wait_until(lambda: tcptool("inspect", target, "--json").data["socket"]["timer"] != "off")
        closed = diagnosis(target)
        assert (closed["verdict"], closed["ended"], closed["notes"]) == ("closed", False, [])


def test_what_nobody_reads() -> None:
    fill = """
client.setblocking(False)
try:
    while True:
        client.send(bytes(65536))
except BlockingIOError:
    pass
"""
    with owner(setup=PAIR + fill) as one:
        wait_until(lambda: one("client.getsockopt(6, 11, 232)[228:] == bytes(4)"))  # tcpi_snd_wnd
        assert diagnosis(one.at("client"), "--for", "300ms")["verdict"] == "zero-window"
        assert diagnosis(one.at("conn"), "--for", "300ms")["verdict"] == "local-slow-reader"


def test_a_full_accept_queue_and_the_command_that_helps(netns: NetNs, tmp_path: Path) -> None:
    setup = """
server = socket.create_server(("127.0.0.1", 0), backlog=1)
clients = [socket.socket() for _ in range(6)]
for one in clients:
    one.setblocking(False)
    one.connect_ex(server.getsockname())
"""
    env = {"XDG_STATE_HOME": str(tmp_path)}
    with owner(netns, setup=setup) as one:
        wait_until(lambda: backlog_of(one)[0] == 2)  # the kernel takes one more than it says
        found = diagnosis(one.at("server"), "--for", "300ms", netns=netns)
        assert found["verdict"] == "listener-overflow", found
        [command] = [c for c in commands(found) if " backlog=" in c]
        wanted = int(command.rpartition("=")[2])
        assert wanted > 1
        words = shlex.split(command.removeprefix("sudo "))
        assert words[:2] == ["tcptool", "apply"]
        done = tcptool(*words[1:], netns=netns, env=env)
        assert done.status == 0, done
        assert backlog_of(one)[1] == wanted
        assert tcptool("undo", "--last", netns=netns, env=env).status == 0
        assert backlog_of(one)[1] == 1


def backlog_of(one: Owner) -> tuple[int, int]:
    """tcpi_unacked and tcpi_sacked: connections that wait, and the backlog."""
    waiting, backlog = one("struct.unpack_from('=II', server.getsockopt(6, 11, 104), 24)")
    return waiting, backlog


def commands(found: Any) -> list[str]:
    return [advice["command"] for advice in found["advice"] if advice["command"]]


def test_an_mptcp_connection_is_judged_by_its_subflow() -> None:
    setup = """
server = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
server.bind(("127.0.0.1", 0))
server.listen()
client = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
client.connect(server.getsockname())
conn, _ = server.accept()
"""
    if not Path("/proc/sys/net/mptcp/enabled").exists():
        pytest.skip("this kernel has no MPTCP")
    with owner(setup=setup) as one:
        found = diagnosis(one.at("client"), "--for", "300ms")
        assert (found["verdict"], found["protocol"]) == ("idle", "tcp")
        assert found["measures"]["samples"] > 1


# -- who may see what --------------------------------------------------------------------------


def test_an_ordinary_user_gets_a_verdict_and_is_told_what_is_missing(netns: NetNs) -> None:
    with owner(netns, setup=PAIR) as one:
        run = tcptool(
            "diagnose", one.ends("client"), "--for", "300ms", "--json", netns=netns, uid=NOBODY
        )
        [found] = run.data["diagnoses"]
        assert (found["verdict"], found["handle"]) == ("idle", f"sk:{one.cookie('client')}")
        missing = " ".join(one["what"] for one in run.json["missing"])
        assert "TCP_NODELAY, TCP_CORK and SO_BUF_LOCK would make a verdict surer" in missing


def test_options_are_read_where_that_is_allowed() -> None:
    with owner(setup=PAIR + "client.setsockopt(1, socket.SO_KEEPALIVE, 0)") as one:
        found = diagnosis(one.at("client"), "--for", "300ms")
        assert [c for c in commands(found) if "keepalive=1" in c]
        one("client.setsockopt(1, socket.SO_KEEPALIVE, 1)")
        assert commands(diagnosis(one.at("client"), "--for", "300ms")) == []


def test_a_socket_elsewhere_has_the_sysctls_of_its_own_namespace(
    netns: NetNs, tmp_path: Path
) -> None:
    if netns.in_user_namespace:
        pytest.skip("only root may enter the namespace of another process")
    place = "/proc/sys/net/ipv4/tcp_wmem"
    netns.run("sh", "-c", f"echo 4096 16384 777216 > {place}")
    file = tmp_path / "there.jsonl"
    with owner(netns, setup=PAIR) as one:
        diagnosis(one.at("client"), "--for", "300ms", "--record", file)
    about = json.loads(file.read_text().splitlines()[1])
    assert about["limits"]["net.ipv4.tcp_wmem[2]"] == 777_216
    assert Path(place).read_text().split()[2] != "777216"


# -- recordings --------------------------------------------------------------------------------


def test_a_recording_gives_the_same_verdict(tmp_path: Path) -> None:
    file = tmp_path / "slow.jsonl"
    with owner(setup=SLOW) as one:
        then = diagnosis(one.at("client"), "--for", "1s", "--record", file)
    [later] = tcptool("diagnose", "--from", file, "--json").data["diagnoses"]
    changed = {key for key in then if then[key] != later[key]}
    assert changed <= {"again", "advice"}  # a recording cannot be acted upon
    assert [one["text"] for one in later["advice"]] == [one["text"] for one in then["advice"]]
    assert file.stat().st_mode & 0o111 == 0


# -- output ------------------------------------------------------------------------------------


def test_real_output_is_as_its_schema_says(netns: NetNs) -> None:
    with owner(netns, setup=PAIR) as one:
        words = ("--for", "300ms", "--target", "100mbit", "--json")
        for target in ((), (one.at("client"),)):
            run = tcptool("diagnose", *target, *words, netns=netns)
            document = validate(run.out)
            assert {found["verdict"] for found in document["data"]["diagnoses"]} <= set(VERDICTS)
        plain = tcptool("diagnose", "--for", "300ms", netns=netns)
        assert len(plain.lines) == 3


# -- nothing of it is visible to the owner -----------------------------------------------------


def test_a_connection_that_ends_while_it_is_sampled() -> None:
    with owner(setup=PAIR + "conn.setblocking(False)") as one, sampling(one, "client") as process:
        one("client.setsockopt(1, socket.SO_LINGER, struct.pack('=ii', 1, 0))\nclient.close()")
        [found] = the_end(process)["diagnoses"]
        assert found["ended"]
        assert [note for note in found["notes"] if "ended after" in note]


def test_close_sends_its_fin_at_once_and_the_port_is_free() -> None:
    setup = PAIR + "conn.setblocking(False)"
    with owner(setup=setup) as one, sampling(one, "client") as process:
        one("client.close()")
        closed = "bool(select.select([conn], [], [], 0)[0]) and conn.recv(1) == b''"
        wait_until(lambda: one(closed))
        here, there = one.ends("conn").split("-")
        assert inspect(f"{there}-{here}")["data"]["socket"]["state"] == "fin-wait-2"
        one("conn.close()")
        assert the_end(process)["diagnoses"][0]["ended"]
        port = one.port("server")
        one(f"server.close()\nserver = socket.create_server(('127.0.0.1', {port}))")


def test_no_ghost_events_after_close() -> None:
    setup = PAIR + "poller = select.epoll()\npoller.register(client, select.EPOLLIN)"
    with owner(setup=setup) as one, sampling(one, "client"):
        assert one("poller.poll(0)") == []
        # A held duplicate would keep the registration, and report this byte for ever.
        one("conn.send(b'x')")
        wait_until(lambda: one("len(poller.poll(0))") == 1)
        one("client.close()")
        assert one("poller.poll(0)") == []


def test_file_status_flags_and_descriptors_stay_as_they_were() -> None:
    look = "[[fcntl.fcntl(s, fcntl.F_GETFL) for s in (client, conn)], os.listdir('/proc/self/fd')]"
    with owner(setup=PAIR + "conn.setblocking(False)") as one:
        before = one(look)
        with sampling(one, "client"), sampling(one, "conn"):
            assert one(look) == before
        assert one(look) == before


def test_ctrl_c_gives_a_verdict_on_what_was_read() -> None:
    with owner(setup=PAIR) as one, sampling(one, "client") as process:
        process.send_signal(signal.SIGINT)
        data = the_end(process, status=130)
        assert (data["complete"], data["diagnoses"][0]["verdict"]) == (False, "idle")
        assert one("client.send(b'still there')") == 11
