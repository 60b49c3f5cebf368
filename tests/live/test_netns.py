"""Other network namespaces: named, by PID, by path, and found without being named."""

from __future__ import annotations

import errno
import subprocess
import sys

import pytest

from tcptool.errors import TcptoolError
from tcptool.linux.kernel import LiveKernel
from tcptool.linux.netns import run_inside
from tests.live.program import NOBODY, PAIR, Run, inspect, options_of, owner, table, tcptool
from tests.support.children import ROOT
from tests.support.netns import NetNs, new_netns

# ip-netns(8) keeps names as mounts below /run/netns: made in a mount namespace of its own.
_NAMED = """
set -e
mount -t tmpfs tmpfs /run
mkdir /run/netns
touch /run/netns/blue
mount --bind "$1" /run/netns/blue
shift
exec "$@"
"""


def with_name(netns: NetNs, *words: str) -> Run:
    """Run tcptool where the namespace is called ``blue``."""
    done = subprocess.run(
        ["unshare", "--mount", *_enter_user(netns), "sh", "-c", _NAMED, "sh", netns.path,
         sys.executable, "-m", "tcptool", *words],
        capture_output=True, check=False, text=True, timeout=60, cwd=ROOT,
    )  # fmt: skip
    return Run(done.returncode, done.stdout, done.stderr)


def _enter_user(netns: NetNs) -> list[str]:
    return ["--map-root-user"] if netns.in_user_namespace else []


def test_namespace_by_name_path_and_pid(netns: NetNs) -> None:
    with owner(netns, setup=PAIR) as one:
        port = one.port("server")
        words = ("list", "-o", "state,local,pid", f"sport = :{port} or dport = :{port}")
        inside = tcptool(*words, netns=netns)
        assert len(inside.lines) == 4
        assert table(inside)[0] == {
            "state": "listen", "local": f"127.0.0.1:{port}", "pid": str(one.pid)
        }  # fmt: skip
        if not netns.in_user_namespace:  # setns(2) from outside would need rights there
            assert tcptool(*words).lines[1:] == []
            assert tcptool(*words, "--netns", netns.path).out == inside.out
            assert tcptool(*words, "--netns", one.pid).out == inside.out
            assert with_name(netns, *words, "--netns", "blue").out == inside.out
            grouped = tcptool("list", "--by", "state", "--netns", one.pid)
            assert table(grouped)[0]["sockets"] == "2"


def test_descriptor_in_another_namespace_is_found(netns: NetNs) -> None:
    if netns.in_user_namespace:
        return
    with owner(netns, setup=PAIR) as one:
        there = inspect(one.at("client"), netns)
        here = inspect(one.at("client"))
        assert here["missing"] == there["missing"]
        # Its namespace, its other end and its options are all found from outside.
        for key in ("netns_inode", "holders", "cgroup", "user", "accecn"):
            assert here["data"][key] == there["data"][key], key
        options, same = options_of(here), options_of(there)
        assert {name for name in options if options[name] != same[name]} <= {"TCP_TIMESTAMP"}
        assert here["data"]["other_end"]["socket"]["cookie"] == one.cookie("conn")
        assert here["data"]["other_end"]["holders"][0]["pid"] == one.pid
        assert here["data"]["netns_inode"] != inspect_own_netns()
        one("client.close()\nconn.close()")
        assert inspect(one.pid)["data"]["socket"]["state"] == "listen"
        # The other ways name a socket of the namespace that is asked.
        tcptool("inspect", f"sk:{one.cookie('server')}").failed(3, "no TCP socket matches")
        run = tcptool("inspect", f"sk:{one.cookie('server')}", "--netns", one.pid, "--json")
        assert run.data["socket"]["local"]["port"] == one.port("server")


def inspect_own_netns() -> int:
    with owner(setup="s = socket.create_server(('127.0.0.1', 0))") as one:
        return int(inspect(one.at("s"))["data"]["netns_inode"])


def test_same_port_in_two_namespaces(netns: NetNs) -> None:
    with new_netns() as other:
        listen = "s = socket.create_server(('127.0.0.1', 8080))"
        with owner(netns, setup=listen) as one, owner(other, setup=listen) as two:
            for namespace, each in ((netns, one), (other, two)):
                [row] = table(tcptool("list", "-o", "local,holders", netns=namespace))
                assert row == {"local": "127.0.0.1:8080", "holders": each.at("s")}


def test_namespace_that_is_none() -> None:
    tcptool("list", "--netns", "no-such-name").failed(
        3, "'no-such-name'", "ENOENT", "ip netns list"
    )
    tcptool("list", "--netns", "/no/such/path").failed(3, "ENOENT")
    tcptool("list", "--netns", 4194305).failed(3, "'4194305'", "ENOENT")
    # Something else that can be opened.
    tcptool("list", "--netns", "/proc/self/stat").failed(
        6, "entering the network namespace", "EINVAL"
    )
    tcptool("inspect", "1:2", "--netns", "no-such-name", "--watch").failed(3, "no-such-name")


def test_what_the_work_raises_is_not_about_entering(netns: NetNs) -> None:
    """A namespace without sock_diag is one of them: the fallback looks at the errno."""

    def work() -> None:
        raise OSError(errno.EPROTONOSUPPORT, "no sock_diag")

    if netns.in_user_namespace:
        return
    with open(netns.path) as opened, pytest.raises(OSError, match="no sock_diag"):
        run_inside(opened.fileno(), work)
    with open("/dev/null") as opened, pytest.raises(TcptoolError, match="entering the network"):
        run_inside(opened.fileno(), work)
    with LiveKernel() as kernel, pytest.raises(FileNotFoundError):
        kernel.inside(netns.path).net_text("no-such-file")


def test_namespace_of_another_user(netns: NetNs) -> None:
    # A child of the other user inside: its PID may be seen, its namespace not entered.
    with owner(netns, uid=NOBODY, setup=PAIR) as one:
        run = tcptool("list", "--netns", one.pid, uid=NOBODY)
        run.failed(4, "entering the network namespace", "EPERM", "CAP_SYS_ADMIN")
        run = tcptool("inspect", one.at("client"), uid=NOBODY)
        run.failed(4, "EPERM", "CAP_SYS_ADMIN")
    with owner(netns, setup=PAIR) as one:
        run = tcptool("list", "--netns", one.pid, uid=NOBODY)
        run.failed(4, f"'{one.pid}'", "EACCES", "root")
