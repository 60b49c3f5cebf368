"""`apply` on the sockets of other programs: what it sets, what it leaves alone, how it can end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tcptool.actions.apply import Order, apply, checked
from tcptool.actions.subjects import select
from tcptool.actions.undo import undo
from tcptool.errors import NotFound
from tcptool.linux.journal import open_journal
from tcptool.linux.kernel import LiveKernel
from tcptool.model import target as targets
from tcptool.sansio.assignment import parse_assignment
from tests.live.program import NOBODY, PAIR, Owner, Run, owner, table
from tests.live.program import tcptool as run_tcptool
from tests.live.test_schema import validate
from tests.live.test_undo import NEEDS_INIT_USER_NAMESPACE, OPTIONS, TRAFFIC, assert_same, number
from tests.support.children import ROOT
from tests.support.netns import NetNs

NODELAY, CORK, KEEPIDLE = (6, 1), (6, 3), (6, 4)
MANY = 200
MANY_PAIRS = f"""
server = socket.create_server(("127.0.0.1", 0), backlog={MANY})
clients = [socket.create_connection(server.getsockname()) for _ in range({MANY})]
conns = [server.accept()[0] for _ in range({MANY})]
"""

# tcptool, which sends itself SIGNAL at its setsockopt() of number AT, before or after the call.
_INTERRUPTED = """
import os, signal, sys
from importlib import import_module
from tcptool.__main__ import main
module = import_module("tcptool.actions.apply")
real, count = module.write_option, 0
def write_option(*words):
    global count
    count += 1
    here, before = count == int(os.environ["AT"]), os.environ["WHEN"] == "before"
    if here and before:
        os.kill(os.getpid(), signal.Signals[os.environ["SIGNAL"]])
    result = real(*words)
    if here and not before:
        os.kill(os.getpid(), signal.Signals[os.environ["SIGNAL"]])
    return result
module.write_option = write_option
sys.exit(main())
"""
# tcptool, whose files may not grow.
_FULL = """
import resource, sys
from tcptool.__main__ import main
most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (0, most))
try:
    sys.exit(main())
finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))  # what measures coverage writes a file
"""


class Tool:
    """The command line with a journal of its own."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.journal = state / "tcptool" / "journal"
        self.env = {"XDG_STATE_HOME": str(state)}

    def __call__(self, *words: object, env: dict[str, str] | None = None, **more: Any) -> Run:
        return run_tcptool(*words, env=self.env | (env or {}), **more)

    def interrupted(self, signal_name: str, when: str, at: int, *words: object) -> Run:
        env = {"SIGNAL": signal_name, "WHEN": when, "AT": str(at)}
        return self(*words, env=env, python=("-c", _INTERRUPTED))

    def start(self, *words: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "tcptool", *map(str, words)],
            cwd=ROOT, env=os.environ | self.env, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    @property
    def journal_bytes(self) -> int:
        try:
            return self.journal.stat().st_size
        except FileNotFoundError:
            return 0


@pytest.fixture
def tool(tmp_path: Path) -> Tool:
    return Tool(tmp_path / "state")


@pytest.fixture
def pair() -> Iterator[Owner]:
    with owner(setup=PAIR) as one:
        yield one


@pytest.fixture
def many() -> Iterator[Owner]:
    with owner(setup=MANY_PAIRS) as one:
        yield one


def value(one: Owner, name: str, option: tuple[int, int]) -> int:
    return int(one(f"{name}.getsockopt{option}"))


def of_all(one: Owner, *options: tuple[int, int]) -> Any:
    """What every socket of MANY_PAIRS reads."""
    return one(f"[[s.getsockopt(*o) for o in {options}] for s in (server, *conns, *clients)]")


def raw_values(one: Owner, name: str) -> dict[str, str]:
    pairs = list(OPTIONS.values())
    found = one(f"[{name}.getsockopt(level, n, 16).hex() for level, n in {pairs}]")
    return dict(zip(OPTIONS, found, strict=True))


def rows(run: Run) -> list[tuple[str, str]]:
    """Option and outcome of every row, also of a command that failed."""
    heading, *lines = (line.split() for line in run.out.splitlines())
    assert heading[:6] == ["socket", "option", "before", "requested", "effective", "outcome"]
    return [(line[1], line[5]) for line in lines]


# -- what it sets --------------------------------------------------------------------------


def test_one_option_and_its_undo(tool: Tool, pair: Owner) -> None:
    (row,) = table(tool("apply", pair.at("conn"), "nodelay=1"))
    assert row == {
        "socket": pair.at("conn"),
        "option": "TCP_NODELAY",
        "before": "no",
        "requested": "yes",
        "effective": "yes",
        "outcome": "set",
        "note": "-",
    }
    assert (value(pair, "conn", NODELAY), value(pair, "client", NODELAY)) == (1, 0)
    assert tool("undo", "--last").status == 0
    assert value(pair, "conn", NODELAY) == 0
    assert tool("undo", "--last").status == 3


def test_several_options_in_the_order_that_works(tool: Tool, pair: Owner) -> None:
    before = raw_values(pair, "conn")
    words = ["SO_PRIORITY=1", "SO_KEEPALIVE=on", "ip_tos=ef", "TCP_KEEPIDLE=1m", "user_timeout=30s"]
    run = tool("apply", pair.at("conn"), *words)
    names = [option for option, _ in rows(run)]
    assert names.index("IP_TOS") < names.index("SO_PRIORITY")  # which it would overwrite
    assert names.index("TCP_KEEPIDLE") < names.index("SO_KEEPALIVE")
    assert {outcome for _, outcome in rows(run)} == {"set"}
    assert value(pair, "conn", (1, 12)) == 1
    assert value(pair, "conn", (6, 18)) == 30_000
    assert tool("undo", "--last").status == 0
    assert raw_values(pair, "conn") == before
    assert value(pair, "conn", (6, 18)) == 0


def test_linger_is_off_again_though_its_seconds_stay(tool: Tool, pair: Owner) -> None:
    assert tool("apply", pair.at("conn"), "SO_LINGER=on:5s").status == 0
    assert [row["outcome"] for row in table(tool("undo", "--last"))] == ["restored"]
    assert pair("struct.unpack('ii', conn.getsockopt(1, 13, 8))") == [0, 5]
    assert tool("undo", "--last").status == 3


def test_a_listener_and_what_its_connections_inherit(tool: Tool, pair: Owner) -> None:
    run = tool("apply", pair.at("server"), "backlog=17", "nodelay=1", "--json")
    (sock,) = run.data["sockets"]
    assert [c["effective"] for c in sock["changes"]] == [17, True]
    (said,) = sock["advice"]
    assert "inherit TCP_NODELAY" in said
    pair("later = socket.create_connection(server.getsockname())\nconn2 = server.accept()[0]")
    assert [value(pair, name, NODELAY) for name in ("conn2", "conn", "later")] == [1, 0, 0]
    assert tool("undo", "--last").status == 0
    assert pair("server.getsockopt(6, 11, 32)[28]") == 128
    assert value(pair, "conn2", NODELAY) == 1  # it has been a socket of its own since


def test_backlog_on_a_connection(tool: Tool, pair: Owner) -> None:
    run = tool("apply", pair.at("conn"), "backlog=17")
    assert rows(run) == [("backlog", "no-effect")]
    assert "does not listen" in run.out


def test_a_size_that_the_kernel_cuts_is_counted_as_cut(tool: Tool, pair: Owner) -> None:
    """1 GiB would be refused for the memory of TCP; what net.core.rmem_max leaves is not."""
    run = tool("apply", pair.at("conn"), "rcvbuf=1G")
    assert rows(run) == [("SO_RCVBUF", "clamped")]
    assert tool("undo", "--last").status == 0


def test_all_sockets_of_a_process_need_yes(tool: Tool, pair: Owner) -> None:
    tool("apply", pair.pid, "nodelay=1").failed(2, "2 sockets", "Nothing was changed. --yes")
    assert [value(pair, name, NODELAY) for name in ("conn", "client", "server")] == [0, 0, 0]
    assert tool.journal_bytes == 0
    run = tool("apply", pair.pid, "nodelay=1", "--yes")
    assert [row["outcome"] for row in table(run)] == ["set", "set"]
    assert "1 socket left out because it listens; --listeners" in run.err
    assert [value(pair, name, NODELAY) for name in ("conn", "client", "server")] == [1, 1, 0]
    assert len(table(tool("apply", pair.pid, "nodelay=0", "--yes", "--listeners"))) == 3
    tool("apply", pair.pid, "nodelay=1", "--yes", "--max", 1).failed(2, "more than 1", "--max 2")


def test_a_filter(tool: Tool, pair: Owner) -> None:
    port = pair.port("server")
    run = tool("apply", "state", "established", "and", "sport", "=", f":{port}", "nodelay=1")
    (row,) = table(run)
    assert row["socket"] == pair.at("conn")
    assert [value(pair, name, NODELAY) for name in ("conn", "client")] == [1, 0]


@pytest.mark.parametrize("words", [["sk"], ["addresses"]], ids=["cookie", "addresses"])
def test_other_names_of_one_socket(words: list[str], tool: Tool, pair: Owner) -> None:
    name = f"sk:{pair.cookie('conn')}" if words == ["sk"] else pair.ends("conn")
    assert tool("apply", name, "nodelay=1").status == 0
    assert [value(pair, name, NODELAY) for name in ("conn", "client")] == [1, 0]


def test_a_dry_run_changes_and_writes_nothing(tool: Tool, pair: Owner) -> None:
    before = raw_values(pair, "conn")
    run = tool("apply", pair.pid, "nodelay=1", "sndbuf=100000", "--dry-run")
    assert set(rows(run)) == {("TCP_NODELAY", "planned"), ("SO_SNDBUF", "planned")}
    assert "will read 200000" in run.out
    assert raw_values(pair, "conn") == before
    assert not tool.state.exists()


def test_sockets_of_its_own(tool: Tool) -> None:
    for words in ([], ["-6"]):
        names = [row["socket"] for row in table(tool("apply", "nodelay=1", *words))]
        assert names == ["fresh", "listening", "connected"]
    assert not tool.journal.exists()  # they are gone: nothing can be undone


@pytest.mark.parametrize("host", ["::1", "127.0.0.1"], ids=["ipv6", "v4-mapped"])
def test_ipv6(host: str, tool: Tool) -> None:
    setup = f"""
server = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
client = socket.create_connection(({host!r}, server.getsockname()[1]))
conn, _ = server.accept()
"""
    with owner(setup=setup) as one:
        words = [one.at("conn"), "nodelay=1", "IPV6_TCLASS=ef" if ":" in host else "IP_TOS=ef"]
        assert {outcome for _, outcome in rows(tool("apply", *words))} == {"set"}
        assert value(one, "conn", NODELAY) == 1
        assert value(one, "conn", (41, 67) if ":" in host else (0, 1)) == 0xB8
        assert tool("undo", "--last").status == 0
        assert value(one, "conn", (41, 67) if ":" in host else (0, 1)) == 0


def test_mptcp(tool: Tool) -> None:
    with owner(setup="server = socket.socket(2, 1, 262)\nserver.listen()") as one:
        run = tool("apply", one.at("server"), "nodelay=1", "SO_KEEPALIVE=1", "--json")
        (sock,) = run.data["sockets"]
        assert sock["protocol"] == "mptcp"
        assert [change["outcome"] for change in sock["changes"]] == ["set", "set"]
        assert (value(one, "server", NODELAY), value(one, "server", (1, 9))) == (1, 1)
        missing = tool("apply", one.at("server"), "SO_ZEROCOPY=1", "--force")
        assert (missing.status, rows(missing)) == (5, [("SO_ZEROCOPY", "unsupported")])
        assert tool("undo", "--target", one.at("server")).status == 0
        assert (value(one, "server", NODELAY), value(one, "server", (1, 9))) == (0, 0)


def test_another_namespace(tool: Tool, netns: NetNs) -> None:
    with owner(netns=netns, setup=PAIR) as one:
        run = tool("apply", "--netns", one.pid, f":{one.port('client')}", "nodelay=1", "--yes")
        assert {row["outcome"] for row in table(run)} == {"set"}
        assert value(one, "client", NODELAY) == 1
        assert tool("apply", one.at("conn"), "TCP_KEEPIDLE=60").status == 0  # found by its owner
        assert tool("undo", "--last").status == tool("undo", "--last").status == 0
        assert (value(one, "client", NODELAY), value(one, "conn", KEEPIDLE)) == (0, 7200)


@pytest.mark.parametrize("words", [[], ["--dry-run"], ["keepidle=40000"]], ids=str)
def test_json(words: list[str], tool: Tool, pair: Owner) -> None:
    run = tool("apply", pair.pid, "nodelay=1", "SO_LINGER=on:5s", "--yes", "--json", *words)
    document = validate(run.out)
    assert document["schema"] == "tcptool.apply/1"
    assert document["data"]["agrees"] is (run.status == 0)
    assert (document["data"]["undo_id"] is None) is ("--dry-run" in words)
    assert len(document["data"]["sockets"]) == 2


@NEEDS_INIT_USER_NAMESPACE
def test_a_buffer_that_the_kernel_has_tuned_is_put_back(tool: Tool, pair: Owner) -> None:
    pair(TRAFFIC)
    pair("talk(client, conn, 1 << 26)\ntalk(conn, client, 1 << 20)")
    before = {name: raw_values(pair, name) for name in ("conn", "client")}
    assert number(before["conn"]["SO_RCVBUF"]) > 131_072
    assert tool("apply", pair.at("conn"), "rcvbuf=200000", "--also-clamp").status == 0
    assert tool("apply", pair.at("client"), "sndbuf=200000", "rcvbuf=100000").status == 0
    pair("talk(client, conn, 1 << 22)")
    assert value(pair, "conn", OPTIONS["SO_RCVBUF"]) == 400_000
    assert tool("undo", "--last").status == tool("undo", "--last").status == 0
    for name, values in before.items():
        assert_same(raw_values(pair, name), values)


# -- what it refuses -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "texts"),
    [
        (["nodelaay=1"], ["no option nodelaay", "did you mean"]),
        (["keepidle=abc"], ["TCP_KEEPIDLE", "Accepted"]),
        (["TCP_REPAIR=1"], ["dangerous", "--force does not allow it either"]),
        (["TCP_REPAIR=1", "--force"], ["dangerous", "--force does not allow it either"]),
        (["SO_DONTROUTE=1"], ["dangerous", "Nothing was changed. --force"]),
        (["SO_TYPE=1"], ["SO_TYPE"]),
        (["nodelay=1", "TCP_NODELAY=0"], ["TCP_NODELAY is given 2 times"]),
        ([], ["neither NAME=VALUE nor --profile"]),
    ],
    ids=str,
)
def test_wrong_words_change_nothing(
    words: list[str], texts: list[str], tool: Tool, pair: Owner
) -> None:
    before = raw_values(pair, "conn")
    tool("apply", pair.at("conn"), *words).failed(2, *texts)
    assert raw_values(pair, "conn") == before
    assert not tool.state.exists()


def test_force(tool: Tool, pair: Owner) -> None:
    assert tool("apply", pair.at("conn"), "SO_DONTROUTE=1", "--force").status == 0
    assert value(pair, "conn", (1, 5)) == 1
    assert tool("undo", "--last").status == 0
    assert value(pair, "conn", (1, 5)) == 0


def test_what_the_kernel_refuses_does_not_stop_the_rest(tool: Tool, pair: Owner) -> None:
    run = tool("apply", pair.at("conn"), "keepidle=40000", "nodelay=1", "congestion=nonesuch")
    found = dict(rows(run))
    assert run.status == 6
    assert (found["TCP_KEEPIDLE"], found["TCP_NODELAY"]) == ("refused", "set")
    assert found["TCP_CONGESTION"] == "failed"
    assert "no such algorithm" in run.out
    assert (value(pair, "conn", KEEPIDLE), value(pair, "conn", NODELAY)) == (7200, 1)
    assert tool("undo", "--last").status == 0
    assert value(pair, "conn", NODELAY) == 0


@pytest.mark.parametrize("words", [["fd"], ["addresses"]], ids=["descriptor", "addresses"])
def test_without_the_right(words: list[str], tool: Tool, pair: Owner) -> None:
    name = pair.at("conn") if words == ["fd"] else pair.ends("conn")
    tool("apply", name, "nodelay=1", uid=NOBODY).failed(4)
    assert value(pair, "conn", NODELAY) == 0
    assert not tool.state.exists()


def test_a_process_that_is_gone(tool: Tool) -> None:
    with owner(setup=PAIR) as one:
        name = one.at("conn")
    tool("apply", name, "nodelay=1").failed(3)
    assert not tool.state.exists()


def test_a_descriptor_that_is_another_socket_meanwhile(tool: Tool, pair: Owner) -> None:
    (wanted,) = checked([parse_assignment("nodelay=1")])
    wish = Order(assignments=(wanted,), command="apply")
    path = str(tool.journal)
    with LiveKernel() as kernel, open_journal(kernel, path) as journal:
        named = targets.Descriptor(pair.pid, pair("conn.fileno()"))
        selection = select(kernel, named)
        pair("other = socket.socket()\nos.dup2(other.fileno(), conn.fileno())")
        with pytest.raises(NotFound):
            apply(kernel, selection, wish, journal)
        assert value(pair, "other", NODELAY) == 0
        assert journal.entries() == ()


@pytest.mark.parametrize("place", ["read-only", "file"])
def test_without_a_place_for_the_journal(place: str, tmp_path: Path, pair: Owner) -> None:
    (tmp_path / "file").touch()
    tool = Tool(Path("/proc") if place == "read-only" else tmp_path / "file")
    run = tool("apply", pair.at("conn"), "nodelay=1")
    run.failed(6, "opening the journal", "Nothing was changed", "XDG_STATE_HOME")
    assert value(pair, "conn", NODELAY) == 0


def test_with_a_full_place_for_the_journal(tool: Tool, pair: Owner) -> None:
    run = tool("apply", pair.at("conn"), "nodelay=1", python=("-c", _FULL))
    run.failed(6, "how to undo the change", "Nothing was changed", "XDG_STATE_HOME")
    assert value(pair, "conn", NODELAY) == 0


# -- how little it disturbs ----------------------------------------------------------------

# Sends on `client`, as an event loop does, until told to stop; `conn` reads all of it.
_BUSY = """
import hashlib, threading
client.setblocking(False)
poller = select.epoll()
poller.register(client, select.EPOLLOUT)
sent, arrived, going, number = hashlib.sha256(), hashlib.sha256(), True, 0

def send():
    global number
    while going:
        assert poller.poll(10)
        block = number.to_bytes(8, "big") * 512
        try:
            sent.update(block[:client.send(block)])
        except BlockingIOError:  # TCP_NOTSENT_LOWAT was set between the two calls
            continue
        number += 1

def receive():
    while data := conn.recv(1 << 18):
        arrived.update(data)

threads = [threading.Thread(target=work, daemon=True) for work in (send, receive)]
for thread in threads:
    thread.start()

def habits():
    "What a program may rely on: flags, and how many descriptors it has."
    asked = [(one, get) for one in (client, conn) for get in (fcntl.F_GETFL, fcntl.F_GETFD)]
    return [*(fcntl.fcntl(*one) for one in asked), len(os.listdir("/proc/self/fd"))]
"""
# After the traffic: nothing but what this program does is seen in its poller, or by the peer.
_LEAVING = """
going = False
threads[0].join()
poller.unregister(client)  # fails if the registration was lost
poller.register(client, select.EPOLLIN | select.EPOLLOUT)
events = [kind for _, kind in poller.poll(0)]
client.close()
ghosts = poller.poll(0)
threads[1].join(5)  # it sees the FIN, unless somebody still holds the socket
[events, ghosts, threads[1].is_alive(), sent.digest() == arrived.digest(), number > 1000]
"""
ROUNDS = 1250
DISTURBING = {
    "TCP_NODELAY=1": (6, 1),
    "TCP_CORK=1": (6, 3),
    "TCP_NOTSENT_LOWAT=16384": (6, 25),
    "TCP_USER_TIMEOUT=30s": (6, 18),
}


@pytest.mark.timeout(300)  # 20 s where nothing else runs
def test_thousands_of_changes_of_a_busy_connection(tool: Tool, pair: Owner) -> None:
    """Four options at both ends, set and put back each time; in this process, to be quick."""
    wish = Order(assignments=checked(list(map(parse_assignment, DISTURBING))), command="apply")
    pair(_BUSY)

    def state() -> list[Any]:
        read = [value(pair, end, o) for end in ("client", "conn") for o in DISTURBING.values()]
        return [pair("habits()"), read]

    before = state()
    opened = set()
    with LiveKernel() as kernel:
        for number in range(ROUNDS):
            # A new journal now and then: undo reads all of it.
            with open_journal(kernel, f"{tool.state}{number // 10}/journal") as journal:
                report = apply(kernel, select(kernel, targets.Process(pair.pid)), wish, journal)
                assert [c.outcome for s in report.sockets for c in s.changes] == ["set"] * 8
                assert undo(kernel, journal).agrees
            opened.add(len(os.listdir("/proc/self/fd")))
    assert len(opened) == 1  # it keeps nothing either
    assert state() == before
    epollout = 4
    assert pair(_LEAVING) == [[epollout], [], False, True, True]


# -- how it can end ------------------------------------------------------------------------

WORDS = ("nodelay=1", "TCP_KEEPIDLE=60", "--yes", "--listeners")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", [1, 2, MANY, 4 * MANY + 2])
def test_killed_at_a_certain_option(when: str, at: int, tool: Tool, many: Owner) -> None:
    before = of_all(many, NODELAY, KEEPIDLE)
    run = tool.interrupted("SIGKILL", when, at, "apply", many.pid, *WORDS)
    assert run.status == -signal.SIGKILL
    changed = sum(1 for one in of_all(many, NODELAY, KEEPIDLE) for v in one if v in (1, 60))
    assert changed == at - (when == "before")
    assert tool("undo", "--last").status == 0
    assert of_all(many, NODELAY, KEEPIDLE) == before


def test_killed_at_any_moment(tool: Tool, many: Owner) -> None:
    before = of_all(many, NODELAY, KEEPIDLE)
    assert tool("apply", many.pid, *WORDS).status == 0
    assert tool("undo", "--last").status == 0
    whole_bytes = 0
    for share in (0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.95):
        start_bytes = tool.journal_bytes
        with tool.start("apply", many.pid, *WORDS) as process:
            while process.poll() is None:
                if tool.journal_bytes > start_bytes + share * whole_bytes:
                    process.kill()
        if not whole_bytes:
            whole_bytes = 2 * (tool.journal_bytes - start_bytes)  # the plan is about half of it
        undo = tool("undo", "--last")
        assert undo.status == 0, undo
        assert of_all(many, NODELAY, KEEPIDLE) == before, share


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", [1, 2, 101])
def test_ctrl_c(when: str, at: int, tool: Tool, many: Owner) -> None:
    before = of_all(many, NODELAY, KEEPIDLE)
    run = tool.interrupted("SIGINT", when, at, "apply", many.pid, *WORDS, "--json")
    assert run.status == 130, run
    data = json.loads(run.out)["data"]
    assert (data["complete"], data["agrees"]) == (False, False)
    changes = [change for sock in data["sockets"] for change in sock["changes"]]
    # What it says was set is what was set: no more, no less.
    done = sum(change["outcome"] == "set" for change in changes)
    changed = sum(1 for one in of_all(many, NODELAY, KEEPIDLE) for v in one if v in (1, 60))
    assert done == changed < len(changes)
    assert {change["outcome"] for change in changes} <= {"set", "not-tried"}
    assert (data["undo_id"] is None) == (done == 0)
    if done:
        assert tool("undo", data["undo_id"]).status == 0
    assert of_all(many, NODELAY, KEEPIDLE) == before


def test_two_at_once(tool: Tool, many: Owner) -> None:
    before = of_all(many, NODELAY, KEEPIDLE)
    words = [(many.pid, f"TCP_KEEPIDLE={seconds}", "--yes", "--listeners") for seconds in (60, 70)]
    with tool.start("apply", *words[0]) as one, tool.start("apply", *words[1]) as other:
        said = [process.communicate()[1] for process in (one, other)]
    assert (one.returncode, other.returncode) == (0, 0), said
    seen = {keepidle for _, keepidle in of_all(many, NODELAY, KEEPIDLE)}
    assert len(seen) == 1  # one after the other, not by turns
    first, second = (tool("undo", "--last") for _ in range(2))
    assert (first.status, second.status) == (0, 0), (first, second)
    assert of_all(many, NODELAY, KEEPIDLE) == before
