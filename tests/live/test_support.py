"""The helpers that every other live test trusts: namespaces, children, waiting."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from tests.support.children import ChildFailed, spawn
from tests.support.netns import NetNs, new_netns
from tests.support.waiting import wait_until

LISTENER = """
import json, os, socket, sys
with socket.create_server(("127.0.0.1", 0)) as server:
    print(json.dumps({"port": server.getsockname()[1], "uid": os.getuid()}), flush=True)
    sys.stdin.read()
"""
ECHO = """
import sys
print("hello", flush=True)
for line in sys.stdin:
    print(line.upper(), end="", flush=True)
"""


def connect(port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(5)
        return client.connect_ex(("127.0.0.1", port)) == 0


def inode_of(namespace: str) -> int:
    return Path(namespace).stat().st_ino


def test_namespace_is_another_one_and_its_loopback_is_up(netns: NetNs) -> None:
    assert inode_of(netns.path) != inode_of("/proc/self/ns/net")
    interfaces = netns.run("cat", "/proc/net/dev").stdout.splitlines()[2:]
    assert [line.split(":")[0].strip() for line in interfaces] == ["lo"]
    with spawn(LISTENER, netns=netns) as child:
        netns.run(
            sys.executable,
            "-c",
            "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1]))).close()",
            str(child.ready["port"]),
        )
        assert not connect(child.ready["port"])


def test_call_runs_inside_and_the_caller_stays_outside(netns: NetNs) -> None:
    outside = inode_of("/proc/thread-self/ns/net")
    assert netns.call(inode_of, "/proc/thread-self/ns/net") == inode_of(netns.path)
    assert inode_of("/proc/thread-self/ns/net") == outside


def test_call_raises_what_the_function_raises(netns: NetNs) -> None:
    with pytest.raises(FileNotFoundError):
        netns.call(inode_of, "/proc/self/ns/none")


def test_socket_made_by_call_stays_in_the_namespace(netns: NetNs) -> None:
    with netns.call(socket.create_server, ("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert netns.call(connect, port)
        assert not connect(port)


def test_failing_command_inside_fails_the_test_and_shows_why(netns: NetNs) -> None:
    with pytest.raises(pytest.fail.Exception, match="no-such-file"):
        netns.run("cat", "/no-such-file")
    assert netns.run("false", check=False).returncode == 1


def test_namespace_ends_with_its_block() -> None:
    with new_netns() as first, new_netns() as second:
        assert inode_of(first.path) != inode_of(second.path)
    assert not Path(first.path).exists()


def test_child_says_when_it_is_ready_and_ends_when_stopped() -> None:
    with spawn(LISTENER) as child:
        assert connect(child.ready["port"])
        os.kill(child.pid, 0)
    assert child.process.returncode == -signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)


def test_pid_is_the_programs_own_also_inside_a_namespace(netns: NetNs) -> None:
    with spawn(LISTENER, netns=netns) as child:
        assert inode_of(f"/proc/{child.pid}/ns/net") == inode_of(netns.path)
        assert (
            Path(f"/proc/{child.pid}/cmdline").read_bytes().startswith(os.fsencode(sys.executable))
        )


def test_child_answers_line_by_line() -> None:
    with spawn(ECHO) as child:
        assert child.ready == "hello"
        child.tell("one")
        child.tell("two")
        assert [child.readline(), child.readline()] == ["ONE", "TWO"]


def test_child_gets_its_arguments_and_may_be_a_module() -> None:
    with spawn("import sys; print(sys.argv[1:])", "a", 1) as child:
        assert child.ready == "['a', '1']"
    with spawn("platform") as child:
        assert child.ready.startswith("Linux")


@pytest.mark.parametrize("inside", [False, True])
def test_child_may_be_another_user(inside: bool, netns: NetNs) -> None:
    with spawn(LISTENER, uid=65534, netns=netns if inside else None) as child:
        assert child.ready["uid"] == 65534
        status = Path(f"/proc/{child.pid}/status").read_text()
        assert "\nUid:\t65534\t65534\t65534\t65534\n" in status
        assert "\nGid:\t65534\t65534\t65534\t65534\n" in status
        assert "\nGroups:\t \n" in status


def test_child_that_is_not_ready_shows_its_stderr() -> None:
    with pytest.raises(ChildFailed, match=r"status 1(.|\n)*deliberate"):
        spawn("raise RuntimeError('deliberate')")
    with pytest.raises(ChildFailed, match=r"said nothing for 0\.2 s"):
        spawn("import sys; sys.stdin.read()", deadline_s=0.2)


def test_child_that_breaks_later_fails_the_test() -> None:
    child = spawn("print('ready', flush=True); raise RuntimeError('deliberate')")
    wait_until(lambda: child.process.poll() is not None)
    with pytest.raises(ChildFailed, match="deliberate"), child:
        pass
    assert "deliberate" in child.stderr()


def test_waiting_returns_the_result_and_gives_up_in_time() -> None:
    results = iter([0, "", None, "there"])
    assert wait_until(lambda: next(results)) == "there"
    started = time.monotonic()
    with pytest.raises(TimeoutError, match=r"still False after 0\.1 s"):
        wait_until(lambda: False, deadline_s=0.1)
    assert time.monotonic() - started < 5
