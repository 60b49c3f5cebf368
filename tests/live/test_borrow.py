"""Looking into another process: with which right, at which socket, and without a trace."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tcptool.actions.inspect import inspect_socket, watch_socket
from tcptool.actions.resolve import Found, resolve_one
from tcptool.errors import NotFound, NotPermitted
from tcptool.linux.borrow import OpenDescriptor, Stale, borrow
from tcptool.linux.kernel import LiveKernel
from tcptool.sansio.target import parse_target
from tests.live.program import NOBODY, PAIR, inspect, options_of, owner, settled, tcptool
from tests.support.netns import NetNs, new_netns
from tests.support.waiting import wait_until


def own_descriptors() -> list[str]:
    """What this process has open, but for what the look itself opens."""
    links = []
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            links.append(os.readlink(entry))
    return sorted(link for link in links if "/fd" not in link)


# -- rights ------------------------------------------------------------------------------------


def test_ordinary_user_looks_into_own_processes(netns: NetNs) -> None:
    setup = PAIR + "client.setsockopt(6, socket.TCP_NODELAY, 1)"
    with owner(netns, uid=NOBODY, setup=setup) as one:
        document = inspect(one.at("client"), netns, uid=NOBODY)
        assert options_of(document)["TCP_NODELAY"]["marks"] == ["changed"]
        assert document["data"]["user"] is not None
        assert document["data"]["holders"][0]["pid"] == one.pid
        # sock_diag keeps the mark from ordinary users, the socket itself does not.
        assert (document["missing"], document["data"]["socket"]["mark"]) == ([], 0)
        # By its addresses too: the walk finds the holder, and may borrow from it.
        assert options_of(inspect(one.ends("client"), netns, uid=NOBODY))


def test_ordinary_user_may_not_look_into_anothers_process(netns: NetNs) -> None:
    with owner(netns, setup=PAIR) as one:
        run = tcptool("inspect", one.at("client"), netns=netns, uid=NOBODY)
        run.failed(
            4,
            f"process {one.pid}",
            "EACCES",
            "belongs to user 0",
            f"user {NOBODY}",
            "by its addresses",
        )
        run = tcptool("inspect", one.pid, netns=netns, uid=NOBODY)
        run.failed(4, f"process {one.pid}", "sudo")
        # What the hint promises.
        assert tcptool("inspect", one.ends("client"), netns=netns, uid=NOBODY).status == 0


def test_root_looks_into_everybodys_process(netns: NetNs) -> None:
    with owner(netns, uid=NOBODY, setup=PAIR) as one:
        data = inspect(one.at("client"), netns)["data"]
        assert (data["socket"]["uid"], data["options"] is not None) == (NOBODY, True)


def test_process_that_protects_itself(netns: NetNs) -> None:
    protect = "ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)"  # PR_SET_DUMPABLE
    with owner(netns, uid=NOBODY, setup=PAIR + protect) as one:
        tcptool("inspect", one.at("client"), netns=netns, uid=NOBODY).failed(4, "EACCES", "sudo")
        document = inspect(one.ends("client"), netns, uid=NOBODY)
        assert document["data"]["socket"]["tcp_info"]["rtt_us"] > 0
        assert "CAP_SYS_PTRACE" in str(document["missing"])
        assert inspect(one.at("client"), netns)["data"]["options"]  # root still sees it


class Guarded(LiveKernel):
    """A kernel whose security module lets us read /proc, but not take a descriptor."""

    def borrow(self, pid: int, fd: int) -> contextlib.AbstractContextManager[OpenDescriptor]:
        raise NotPermitted(f"borrowing descriptor {fd} of process {pid}", "EPERM", "Ask the guard.")


def test_refused_borrow_still_shows_the_row() -> None:
    with owner(setup=PAIR) as one, Guarded() as kernel:
        found = resolve_one(kernel, parse_target(one.at("client")))
        assert found.socket.cookie == one.cookie("client")
        report = inspect_socket(found)
        assert report.inspection.options is None
        assert report.inspection.holders[0].pid == one.pid
        [missing] = [each for each in report.missing if each.what == "socket options"]
        assert ("EPERM" in missing.why, missing.needs) == (True, "Ask the guard.")
        one("fresh = socket.socket()")
        with pytest.raises(NotFound, match="unconnected"):
            resolve_one(kernel, parse_target(one.at("fresh")))


def test_borrow_that_the_first_holder_refuses_goes_to_the_next() -> None:
    fork = "pid = os.fork()\nif not pid:\n    signal.pause()"
    with owner(setup=PAIR + "ours, theirs = os.pipe()\n" + fork) as one:
        try:
            refused: list[int] = []

            class Picky(LiveKernel):
                def borrow(self, pid: int, fd: int) -> Any:
                    if pid == min(one.pid, child):
                        refused.append(pid)
                        raise NotPermitted("borrowing", "EPERM", "")
                    return super().borrow(pid, fd)

            child = one("pid")
            fd = one("client.fileno()")
            with Picky() as kernel:
                target = parse_target(f"{max(one.pid, child)}:{fd}")
                report = inspect_socket(resolve_one(kernel, target))
            assert refused == [min(one.pid, child)]
            assert report.inspection.options
        finally:
            one("os.kill(pid, signal.SIGKILL), os.waitpid(pid, 0)")


def test_socket_of_another_namespace_than_its_process() -> None:
    with new_netns() as beyond:
        if beyond.in_user_namespace:
            return
        setup = f"""
libc = ctypes.CDLL(None)
home, there = (os.open(path, 0) for path in ("/proc/self/ns/net", "{beyond.path}"))
libc.setns(there, 0)
{PAIR}
libc.setns(home, 0)
"""
        with owner(setup=setup) as one:
            document = inspect(one.at("client"))
            sock, data = document["data"]["socket"], document["data"]
            assert (sock["peer"]["port"], sock["state"]) == (one.port("server"), "established")
            assert sock["memory"] is not None  # which only sock_diag tells
            assert data["netns_inode"] == os.stat(beyond.path).st_ino
            assert data["other_end"]["socket"]["cookie"] == one.cookie("conn")
            assert data["holders"][0]["pid"] == one.pid
            assert (data["options"] is not None, document["missing"]) == (True, [])


def test_owner_that_closes_after_the_borrow_leaves_the_peer() -> None:
    with owner(setup=PAIR) as one:

        class Late(LiveKernel):
            @contextlib.contextmanager
            def borrow(self, pid: int, fd: int) -> Iterator[OpenDescriptor]:
                with borrow(pid, fd) as descriptor:
                    yield descriptor
                reset = "client.setsockopt(1, 13, struct.pack('=ii', 1, 0))"
                one(f"ends = client.getpeername()\n{reset}\nclient.close()")

        with Late() as kernel:
            found = resolve_one(kernel, parse_target(one.at("client")))
            assert str(found.socket.peer) == "{}:{}".format(*one("ends"))
            with pytest.raises(NotFound, match="does not list"):
                watch_socket(found, interval_s=1, count=1)


def test_thread_id_stands_for_its_process() -> None:
    thread = """
import threading
known = threading.Event()
threading.Thread(target=known.wait, daemon=True).start()
others = [int(name) for name in os.listdir("/proc/self/task") if int(name) != os.getpid()]
"""
    with owner(setup=PAIR + thread) as one:
        [tid], fd = one("others"), one("client.fileno()")
        document = inspect(f"{tid}:{fd}")
        assert document["data"]["holders"] == inspect(one.at("client"))["data"]["holders"]
        assert document["data"]["options"]
        one("client.close()\nconn.close()")
        assert inspect(tid)["data"]["socket"]["state"] == "listen"


# -- the right socket --------------------------------------------------------------------------


class Meddler(LiveKernel):
    """Something happens in the owner just before a descriptor is borrowed."""

    def __init__(self, meddle: Callable[[], Any]) -> None:
        super().__init__()
        self.meddle = meddle
        self.borrowed: list[tuple[int, int]] = []

    @contextlib.contextmanager
    def borrow(self, pid: int, fd: int) -> Iterator[OpenDescriptor]:
        self.borrowed.append((pid, fd))
        self.meddle()
        with borrow(pid, fd) as descriptor:
            yield descriptor


REUSED = {
    "another TCP socket": "os.dup2(conn.fileno(), client.fileno())",
    "a file": "os.dup2(os.open('/dev/null', 0), client.fileno())",
    "a Unix socket": "u = socket.socket(socket.AF_UNIX)\nos.dup2(u.fileno(), client.fileno())",
}


@pytest.mark.parametrize("what", REUSED)
def test_descriptor_reused_between_two_calls(what: str) -> None:
    with (
        owner(setup=PAIR) as one,
        Meddler(lambda: one(REUSED[what])) as kernel,
        LiveKernel() as plain,
    ):
        target = parse_target(one.at("client"))
        with pytest.raises(Stale, match="another file now") as refused:
            resolve_one(kernel, target)
        assert (refused.value.exit_code, kernel.borrowed) == (
            3,
            [(one.pid, one("client.fileno()"))],
        )
        # Found in time, reused before its options were read: none are shown.
        one("client = socket.create_connection(server.getsockname())\nconn, _ = server.accept()")
        found = resolve_one(plain, parse_target(one.at("client")))
        report = inspect_socket(Found(kernel, found.socket, found.descriptor))
        assert report.inspection.options is None
        assert "socket options" in {each.what for each in report.missing}


def test_descriptor_closed_between_two_calls() -> None:
    with owner(setup=PAIR) as one, Meddler(lambda: one("client.close()")) as kernel:
        target = parse_target(one.at("client"))
        with pytest.raises(NotFound, match="EBADF"):
            resolve_one(kernel, target)


def test_process_ends_between_two_calls() -> None:
    with owner(setup=PAIR + "pid = os.fork()\nif not pid:\n    signal.pause()") as one:
        target = parse_target(f"{one('pid')}:{one('client.fileno()')}")
        kernel = Meddler(lambda: one("os.kill(pid, signal.SIGKILL), os.waitpid(pid, 0)"))
        with kernel, pytest.raises(NotFound, match="ESRCH"):
            resolve_one(kernel, target)


# -- without a trace ---------------------------------------------------------------------------


def test_borrowed_descriptor_is_given_back() -> None:
    with owner(setup=PAIR) as one, LiveKernel() as kernel:
        inspect_socket(resolve_one(kernel, parse_target(one.at("client"))))
        before = own_descriptors()
        for name in ("client", "server"):
            inspect_socket(resolve_one(kernel, parse_target(one.at(name))))
        with pytest.raises(Stale), borrow(one.pid, one("client.fileno()")):
            raise Stale("doing", "why")
        assert own_descriptors() == before
    assert len(own_descriptors()) < len(before)


STATUS = "[fcntl.fcntl(s, fcntl.F_GETFL) for s in (server, client, conn)]"


def test_file_status_flags_stay_as_they_were() -> None:
    with owner(setup=PAIR + "conn.setblocking(False)") as one:
        before = one(STATUS)
        assert before[1] != before[2]
        for name in ("server", "client", "conn"):
            assert tcptool("inspect", one.at(name)).status == 0
        assert one(STATUS) == before


def test_what_reading_would_destroy_stays() -> None:
    setup = """
server = socket.create_server(("127.0.0.1", 0))
server.setsockopt(6, 27, 1)  # TCP_SAVE_SYN
client = socket.create_connection(server.getsockname())
conn, _ = server.accept()
other = socket.create_connection(server.getsockname())
reset, _ = server.accept()
reset.setsockopt(1, socket.SO_LINGER, struct.pack("=ii", 1, 0))
reset.close()
client.send(b"unread")
"""
    with owner(setup=setup) as one:
        settled(one, "other", 7)
        for name in ("conn", "other", "server"):
            assert tcptool("inspect", one.at(name)).status == 0
        assert (
            one("len(conn.getsockopt(6, 28, 512))") >= 40
        )  # TCP_SAVED_SYN: a second read is empty
        assert one("other.getsockopt(1, socket.SO_ERROR) == errno.ECONNRESET")
        assert one("conn.recv(100)") == "unread"


def test_owner_may_close_right_after() -> None:
    # The kernel stays open, as in a program that uses the actions.
    with owner(setup=PAIR + "conn.setblocking(False)") as one, LiveKernel() as kernel:
        inspect_socket(resolve_one(kernel, parse_target(one.at("client"))))
        inspect_socket(resolve_one(kernel, parse_target(one.at("server"))))
        port = one.port("server")
        one("client.close()\nserver.close()")
        closed = "select.select([conn], [], [], 0)[0] and conn.recv(1) == b''"
        wait_until(lambda: one(closed))
        # The port is free again: nobody holds the listener.
        one(f"server = socket.create_server(('127.0.0.1', {port}))")


def test_options_of_the_owner_are_not_changed() -> None:
    with owner(setup=PAIR + "client.setsockopt(1, socket.SO_SNDBUF, 30000)") as one:
        everything = """
found = {}
for level in (0, 1, 6):
    for number in range(80):
        if (level, number) in {(1, 4), (6, 11), (6, 24), (6, 28), (6, 35), (1, 55), (1, 77)}:
            # SO_ERROR, TCP_INFO, TIMESTAMP, SAVED_SYN, ZEROCOPY_RECEIVE; SO_MEMINFO, PEERPIDFD
            continue
        try:
            found[f"{level}:{number}"] = client.getsockopt(level, number, 16)
        except OSError as exc:
            found[f"{level}:{number}"] = exc.errno
found
"""
        before = one(everything)
        assert tcptool("inspect", one.at("client")).status == 0
        assert one(everything) == before
        assert struct.unpack("=i", before["1:7"].encode("latin-1"))[0] == 60000
