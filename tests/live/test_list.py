"""`list` on real sockets: the rows of ss, with owners, chosen, sorted and grouped."""

from __future__ import annotations

import collections
import ctypes
import errno
import json
import os
import platform
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tcptool.cli.app import app
from tcptool.linux.kernel import LiveKernel
from tests.live.program import NOBODY, Owner, owner, settled, ss, table, tcptool
from tests.support.children import spawn
from tests.support.netns import NetNs, new_netns
from tests.support.waiting import wait_until

# Every state that a test can bring about and hold, both families, with and without an owner.
_WORLD = """
def listen(address, backlog=8, protocol=0, dual=False):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    one = socket.socket(family, socket.SOCK_STREAM, protocol)
    if family == socket.AF_INET6:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not dual)
    one.bind((address, 0))
    one.listen(backlog)
    return one

def connect(listener, address, protocol=0, wait=True):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    one = socket.socket(family, socket.SOCK_STREAM, protocol)
    one.setblocking(wait)
    one.connect_ex((address, listener.getsockname()[1]))
    one.setblocking(True)
    return one

def pair(listener, address, protocol=0):
    one = connect(listener, address, protocol)
    return one, listener.accept()[0]

v4, v6 = listen("127.0.0.1"), listen("::1")
both = listen("::", dual=True)
a4, b4 = pair(v4, "127.0.0.1")
a6, b6 = pair(v6, "::1")
mapped4, mapped6 = pair(both, "127.0.0.1")
both4, both6 = pair(both, "::1")
a4.sendall(b"x" * 1000)
a6.sendall(b"x" * 2000)
# CLOSE-WAIT and FIN-WAIT-2
half_closed, close_wait = pair(v4, "127.0.0.1")
half_closed.shutdown(socket.SHUT_WR)
# an orphan in FIN-WAIT-2, and TIME-WAIT
orphaned, close_wait6 = pair(v6, "::1")
orphaned.close()
for listener, address in ((v4, "127.0.0.1"), (v6, "::1")):
    first, second = pair(listener, address)
    first.close(); second.close()
# an accept queue with two connections that nobody accepts
waiting = listen("127.0.0.1")
queued = [connect(waiting, "127.0.0.1") for _ in range(2)]
# SYN-SENT: the accept queue takes one more than the backlog, the rest of the SYNs are dropped
full = listen("127.0.0.1", backlog=0)
kept += [connect(full, "127.0.0.1")]
kept += [connect(full, "127.0.0.1", wait=False)]
bound = socket.socket(); bound.bind(("127.0.0.1", 0))
# for the packet filter
deaf = listen("127.0.0.1")
gone, stuck = pair(deaf, "127.0.0.1")
"""

_RULES = """
table ip tests {{
  chain in {{
    type filter hook input priority 0;
    tcp dport {0} tcp flags & (syn|ack) == ack drop
  }}
}}
"""

_STATES = {"ESTAB": "established", "UNCONN": "close"}


def rows_of_ss(netns: NetNs) -> collections.Counter[Any]:
    """State, queues, ends, inode and cookie of every TCP and MPTCP socket."""
    found: collections.Counter[Any] = collections.Counter()
    for line in [*ss(netns, "-tanHe"), *ss(netns, "-ManHe")]:
        state, receive, send, local, peer, *more = line.split()
        extra = dict(word.split(":", 1) for word in more if ":" in word)
        state = _STATES.get(state, state.lower())
        ends = (*end_of_ss(local), *end_of_ss(peer))
        found[state, int(receive), int(send), *ends, int(extra.get("ino", 0)), extra["sk"]] += 1
    return found


def end_of_ss(text: str) -> tuple[str, int]:
    address, _, port = text.rpartition(":")
    address = address.strip("[]").removeprefix("::ffff:")
    return ("::" if address == "*" else address), int(port.replace("*", "0"))


def rows_of_tcptool(netns: NetNs) -> collections.Counter[Any]:
    found: collections.Counter[Any] = collections.Counter()
    for row in tcptool("list", "--json", netns=netns).data["sockets"]:
        queues = ("accept_queue", "backlog")
        if row["state"] != "listen":
            queues = ("receive_queue_bytes", "send_queue_bytes")
        numbers = (row[name] or 0 for name in queues)
        ends = (row[f"{side}_{part}"] for side in ("local", "peer") for part in ("address", "port"))
        found[row["state"], *numbers, *ends, row["inode"] or 0, row["cookie"]] += 1
    return found


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[NetNs, Owner]]:
    """A namespace with sockets in every state that lasts."""
    if shutil.which("nft") is None:
        pytest.skip("needs nft (Debian package nftables)")
    with new_netns() as netns, owner(netns, setup=_WORLD) as one:
        port = one.port("deaf")
        netns.run("nft", _RULES.format(port))
        one("syn_recv = connect(deaf, '127.0.0.1')")  # its ACK is dropped: SYN-RECV over there
        one("gone.close()")  # its FIN, which has an ACK, is dropped: FIN-WAIT-1
        if Path("/proc/sys/net/mptcp/enabled").exists():
            one("m = listen('127.0.0.1', protocol=262)\nma, mb = pair(m, '127.0.0.1', 262)")
            one("ma.sendall(b'x' * 500)\nmb.recv(1)")
        settled(one, "half_closed", 5)
        yield netns, one


def test_rows_equal_those_of_ss(world: tuple[NetNs, Owner]) -> None:
    netns, _ = world
    ours: collections.Counter[Any] = collections.Counter()
    theirs: collections.Counter[Any] = collections.Counter()

    def agree() -> bool:  # a timer may fire between the two
        nonlocal ours, theirs
        theirs, ours = rows_of_ss(netns), rows_of_tcptool(netns)
        return ours == theirs

    try:
        wait_until(agree, deadline_s=15)
    except TimeoutError:
        assert sorted(ours - theirs) == sorted(theirs - ours)
    states = {row[0] for row in ours}
    assert states >= {
        "listen", "established", "syn-sent", "syn-recv", "fin-wait-1", "fin-wait-2", "close-wait",
        "time-wait",
    }  # fmt: skip
    assert {row[3] for row in ours} >= {"127.0.0.1", "::1", "::"}
    in_queues = [row for row in ours if row[0] == "established" and row[-2] == 0]
    assert len(in_queues) >= 3  # two in one accept queue, one in the full one
    if Path("/proc/sys/net/mptcp/enabled").exists():
        assert max(collections.Counter(row[3:7] for row in ours).values()) == 2


def test_v4_mapped_sockets_are_ipv4_addresses_of_ipv6_sockets(world: tuple[NetNs, Owner]) -> None:
    netns, one = world
    run = tcptool("list", "-6", "--json", f"sport = :{one.port('both')}", netns=netns)
    found = {(row["family"], row["state"], row["peer_address"]) for row in run.data["sockets"]}
    assert found == {
        ("ipv6", "listen", "::"),
        ("ipv6", "established", "127.0.0.1"),
        ("ipv6", "established", "::1"),
    }


def test_family_options_choose(world: tuple[NetNs, Owner]) -> None:
    netns, _ = world
    families = {
        option: collections.Counter(
            row["family"]
            for row in tcptool("list", *option.split(), "--json", netns=netns).data["sockets"]
        )
        for option in ("-4", "-6", "-4 -6", "")
    }
    assert families["-4"].keys() == {"ipv4"}
    assert families["-6"].keys() == {"ipv6"}
    assert families["-4 -6"] == families[""] == families["-4"] + families["-6"]


def test_sockets_without_an_owner_have_none(world: tuple[NetNs, Owner]) -> None:
    netns, one = world
    words = "inode = 0 or state time-wait or state syn-recv"
    columns = "state,inode,uid,holders,process,rtt"
    rows = tcptool("list", "--json", "-o", columns, words, netns=netns).data["sockets"]
    assert {row["state"] for row in rows} >= {"time-wait", "established", "syn-recv", "fin-wait-1"}
    for row in rows:
        assert (row["holders"], row["process"]) == ([], None), row
        if row["state"] in ("time-wait", "syn-recv"):
            assert (row["inode"], row["uid"], row["rtt_us"]) == (None, None, None), row
    assert one.pid  # the owner is there all the time


def test_plain_rows_hold_the_values_of_the_json(world: tuple[NetNs, Owner]) -> None:
    netns, one = world
    port = one.port("v4")
    names = "state,local,peer,inode,cookie,pid,receive_queue_bytes,backlog,congestion,rcvbuf"
    words = ("list", "-o", names, f"sport = :{port} or dport = :{port}")
    rows = tcptool(*words, "--json", netns=netns).data["sockets"]
    as_text = [
        {name: "-" if value is None else str(value) for name, value in row.items()} for row in rows
    ]
    assert table(tcptool(*words, netns=netns)) == as_text
    assert len(rows) >= 5


HOLDERS = """
here, there = socket.socketpair()
again = os.dup(conn.fileno())
pid = os.fork()
if not pid:
    here.close()
    there.recv(1)  # until the parent ends
    os._exit(0)
there.close()
"""


def test_every_holder_of_a_socket_is_listed(netns: NetNs) -> None:
    pair = "server = socket.create_server(('127.0.0.1', 0))\n"
    pair += "client = socket.create_connection(server.getsockname())\nconn, _ = server.accept()\n"
    with owner(netns, setup=pair + HOLDERS) as one:
        fd, again, child = one("conn.fileno()"), one("again"), one("pid")
        expected = sorted((pid, number) for pid in (one.pid, child) for number in (fd, again))
        words = f"sport = :{one.port('conn')} and state established"
        [row] = tcptool("list", "--json", words, netns=netns).data["sockets"]
        assert [(each["pid"], each["fd"]) for each in row["holders"]] == expected
        columns = "holders,pid,fd"
        [plain] = table(tcptool("list", "-o", columns, words, netns=netns))
        assert plain["holders"] == ",".join(f"{pid}:{number}" for pid, number in expected)
        assert (int(plain["pid"]), int(plain["fd"])) == expected[0]
        document = tcptool("inspect", f"{child}:{again}", "--json", netns=netns).data
        assert [(each["pid"], each["fd"]) for each in document["holders"]] == expected


QUEUES = """
server = socket.create_server(("127.0.0.1", 0))
port = server.getsockname()[1]
for size in (300, 100, 500, 200, 400):
    one = socket.create_connection(("127.0.0.1", port))
    one.sendall(b"x" * size)
    kept += [one, server.accept()[0]]
"""


def test_sort_limit_and_reverse(netns: NetNs) -> None:
    with owner(netns, setup=QUEUES) as one:
        there = f"sport = :{one('port')}"

        def sizes(*options: str) -> list[str]:
            words = ("list", "-o", "receive_queue_bytes", *options, there)
            return [row["receive_queue_bytes"] for row in table(tcptool(*words, netns=netns))]

        # The listener has no such queue: last in either direction.
        assert sizes("--sort", "recvq") == ["500", "400", "300", "200", "100", "-"]
        assert sizes("-s", "recvq", "-r") == ["100", "200", "300", "400", "500", "-"]
        assert sizes("-s", "recvq", "-n", "2") == ["500", "400"]
        assert sizes("-s", "recvq", "-r", "-n", "1") == ["100"]
        assert len(sizes("-n", "4")) == 4
        assert sizes("-s", "recvq", "-n", "2", "recvq < 300") == ["200", "100"]


NAMED = """
ctypes.CDLL(None).prctl(15, sys.argv and b"NAME")
server = socket.create_server(("127.0.0.1", 0))
for _ in range(COUNT):
    one = socket.create_connection(server.getsockname())
    one.sendall(b"12345")
    kept += [one, server.accept()[0]]
"""


def test_grouping_counts_and_sums(netns: NetNs) -> None:
    first, second = (
        NAMED.replace("NAME", name).replace("COUNT", str(count))
        for name, count in (("grp-one", 3), ("grp-two", 1))
    )
    with owner(netns, setup=first) as one, owner(netns, setup=second):
        data = tcptool("list", "--by", "process", "--json", netns=netns).data
        assert data["by"] == "process"
        groups = {group.pop("group"): group for group in data["groups"]}
        assert list(groups) == ["grp-one", "grp-two"]  # largest first
        assert [(g["sockets"], g["established"]) for g in groups.values()] == [(7, 6), (3, 2)]
        assert [g["receive_queue_bytes"] for g in groups.values()] == [15, 5]
        assert [g["sent_bytes"] for g in groups.values()] == [15, 5]
        assert groups["grp-one"]["retrans_percent"] == 0
        [row] = table(tcptool("list", "--by", "process", "-n", "1", netns=netns))
        assert (row["process"], row["sockets"]) == ("grp-one", "7")
        by_state = table(tcptool("list", "--by", "state", netns=netns))
        assert [(g["state"], g["sockets"]) for g in by_state] == [
            ("established", "8"),
            ("listen", "2"),
        ]
        by_port = table(tcptool("list", "--by", "port", netns=netns))
        assert (by_port[0]["port"], by_port[0]["sockets"]) == (str(one.port("server")), "4")
        by_peer = table(tcptool("list", "--by", "peer", "state established", netns=netns))
        assert [(g["peer"], g["sockets"]) for g in by_peer] == [("127.0.0.1", "8")]


def test_filter_by_owner(netns: NetNs) -> None:
    setup = NAMED.replace("NAME", "flt-me").replace("COUNT", "1")
    with owner(netns, setup=setup) as one, owner(netns, setup=setup.replace("flt-me", "other")):
        rows = table(tcptool("list", "process = flt-me and state established", netns=netns))
        assert {row["process"] for row in rows} == {"flt-me"}
        assert len(rows) == 2
        assert table(tcptool("list", f"pid = {one.pid} and state listen", netns=netns))


def test_ordinary_user_sees_every_socket_with_its_tcp_info(world: tuple[NetNs, Owner]) -> None:
    netns, one = world
    words = ("list", "--json", "-o", "local,peer,cookie,uid,rtt,rcvbuf,congestion,holders")
    as_root = tcptool(*words, "state established", netns=netns).json
    run = tcptool(*words, "state established", netns=netns, uid=NOBODY)
    rows = run.data["sockets"]
    of_root = as_root["data"]["sockets"]
    assert [row["cookie"] for row in rows] == [row["cookie"] for row in of_root]
    for row, other in zip(rows, of_root, strict=True):
        # Nobody holds what waits for accept(); who holds the others cannot be seen.
        holders: list[object] | None = [] if other["holders"] == [] else None
        assert row == {**other, "holders": holders}
    assert any(row["rtt_us"] for row in rows)
    assert any(each["pid"] == one.pid for row in of_root for each in row["holders"])
    [missing] = [each for each in run.json["missing"] if "owners" in each["what"]]
    assert "CAP_SYS_PTRACE" in missing["needs"]
    plain = tcptool("list", "state established", netns=netns, uid=NOBODY)
    assert (plain.status, len(plain.out.splitlines())) == (0, len(rows) + 1)
    assert "CAP_SYS_PTRACE" in plain.err
    quiet = tcptool("list", "--quiet", "state established", netns=netns, uid=NOBODY)
    assert (quiet.out, quiet.err) == (plain.out, "")


# -- without sock_diag -------------------------------------------------------------------------

_FALLBACK = "state,local,peer,inode,uid,receive_queue_bytes,send_queue_bytes,pid"


class WithoutSockDiag(LiveKernel):
    """A kernel that has no handler for TCP, or no sock_diag at all."""

    def __init__(self, number: int, netns: int | None = None) -> None:
        super().__init__(netns)
        self.number = number

    def diag(self, request: bytes) -> Iterator[bytes]:
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EPROTONOSUPPORT])
def test_proc_net_stands_in_for_sock_diag(number: int, world: tuple[NetNs, Owner]) -> None:
    netns, _ = world
    namespace = os.open(netns.path, os.O_RDONLY)
    try:
        kernel = WithoutSockDiag(number, namespace)
        result = CliRunner().invoke(app, ["list", "--json", "-o", _FALLBACK + ",rtt"], obj=kernel)
        document = json.loads(result.stdout)
    finally:
        os.close(namespace)
    assert (result.exit_code, result.stderr) == (0, "")
    without_mptcp_and_unbound = "local_port > 0"
    full = tcptool("list", "--json", "-o", _FALLBACK, without_mptcp_and_unbound, netns=netns)
    everything = [tuple(row.values()) for row in full.data["sockets"]]
    rows = [tuple(row.values()) for row in document["data"]["sockets"]]
    assert all(row[-1] is None for row in rows)
    assert {row[:-1] for row in rows} <= set(everything)
    # What only sock_diag has: MPTCP connections and sockets that are merely bound.
    assert len(set(everything) - {row[:-1] for row in rows}) <= 4
    [missing] = [each for each in document["missing"] if "tcp_info" in each["what"]]
    assert errno.errorcode[number] in missing["why"]
    assert "CONFIG_INET_TCP_DIAG" in missing["needs"]


# seccomp(2): no AF_NETLINK for this process and what it starts.
_SANDBOX = """
import ctypes, errno, runpy, struct, sys
code = [(0x20, 0, 0, 0), (0x15, 0, 3, {socket}), (0x20, 0, 0, 16), (0x15, 0, 1, 16),
        (0x06, 0, 0, 0x50000 | getattr(errno, "{error}")), (0x06, 0, 0, 0x7fff0000)]
program = b"".join(struct.pack("=HBBI", *each) for each in code)
text = ctypes.create_string_buffer(program)
fprog = struct.pack("@HP", len(code), ctypes.addressof(text))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, fprog, 0, 0) == 0, ctypes.get_errno()
sys.argv[0] = "tcptool"
runpy.run_module("tcptool", run_name="__main__")
"""
_SOCKET_CALL = {"x86_64": 41, "aarch64": 198}
"""Number of socket(2): arch/x86/entry/syscalls/syscall_64.tbl, asm-generic/unistd.h."""


@pytest.mark.parametrize("error", ["EPERM", "EAFNOSUPPORT"])
def test_sandbox_without_netlink_still_lists(error: str, netns: NetNs) -> None:
    assert ctypes.sizeof(ctypes.c_void_p) == 8
    program = _SANDBOX.format(socket=_SOCKET_CALL[platform.machine()], error=error)
    with owner(netns, setup=QUEUES) as one:
        run = tcptool("list", "-s", "recvq", netns=netns, python=("-c", program))
        rows = table(run)
        assert [row["receive_queue_bytes"] for row in rows[:5]] == [
            "500",
            "400",
            "300",
            "200",
            "100",
        ]
        assert {row["local"] for row in rows[:5]} == {f"127.0.0.1:{one('port')}"}
        assert {row["rtt_us"] for row in rows} == {"-"}
        assert len(rows) == 11
        assert f"sock_diag is not available ({error})" in run.err


# -- while sockets come and go -----------------------------------------------------------------

_CHURN = """
import socket, sys, threading
server = socket.create_server(("127.0.0.1", 0), backlog=512)
def accept():
    while True:
        server.accept()[0].close()
threading.Thread(target=accept, daemon=True).start()
def connect():
    while True:
        one = socket.create_connection(server.getsockname())
        one.setsockopt(1, 13, b"\\1\\0\\0\\0\\0\\0\\0\\0")  # SO_LINGER: no TIME-WAIT, ports last
        one.close()
threading.Thread(target=connect, daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
"""


def test_dump_during_a_storm_of_connections(netns: NetNs) -> None:
    with owner(netns, setup=QUEUES) as one, spawn(_CHURN, netns=netns):
        for options in (("--by", "state"), ("-s", "rtt", "-n", "20")):
            document = tcptool("list", "--json", *options, netns=netns).json
            assert document["warnings"] == []
        for _ in range(4):
            run = tcptool("list", "--json", netns=netns)
            cookies = [row["cookie"] for row in run.data["sockets"] if row["cookie"]]
            assert len(cookies) == len(set(cookies))
            steady = [row for row in run.data["sockets"] if row["local_port"] == one("port")]
            assert len(steady) == 6
            assert run.err == ""


def test_names_of_columns_are_checked_before_the_kernel_is_asked() -> None:
    run = tcptool("list", "-o", "rtt,rrt")
    run.failed(2, "rrt", "did you mean")
    assert re.search(r"explain", run.err)
