"""Undo on real sockets: exact, from wherever tcptool was killed, and on no other socket."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tcptool.actions.undo import Gone, list_undo, undo
from tcptool.errors import NotFound, NotPermitted
from tcptool.linux.journal import open_journal
from tcptool.linux.kernel import LiveKernel
from tcptool.model import target as targets
from tcptool.model.change import ChangeReport
from tcptool.model.undo import UndoList
from tests.live.program import NOBODY, PAIR, Owner, owner
from tests.support.children import ROOT, spawn
from tests.support.netns import NetNs
from tests.support.waiting import wait_until

OPTIONS = {
    "SO_SNDBUF": (1, 7),
    "SO_RCVBUF": (1, 8),
    "SO_BUF_LOCK": (1, 72),
    "TCP_WINDOW_CLAMP": (6, 10),
    "SO_PRIORITY": (1, 12),
    "IP_TOS": (0, 1),
    "TCP_NODELAY": (6, 1),
    "TCP_KEEPIDLE": (6, 4),
    "SO_KEEPALIVE": (1, 9),
    "TCP_CONGESTION": (6, 13),
}
NEEDS_INIT_USER_NAMESPACE = pytest.mark.skipif(
    os.geteuid() != 0, reason="SO_RCVBUFFORCE takes CAP_NET_ADMIN in the initial user namespace"
)


def raw(number: int) -> str:
    return number.to_bytes(4, sys.byteorder, signed=True).hex()


CHANGES = [
    f"SO_RCVBUF={raw(20_000)}",
    f"SO_SNDBUF={raw(20_000)}",
    f"IP_TOS={raw(0xB8)}",
    f"SO_PRIORITY={raw(1)}",
    f"SO_BUF_LOCK={raw(0)}",
    f"TCP_WINDOW_CLAMP={raw(5_000)}",
    f"TCP_KEEPIDLE={raw(60)}",
    f"SO_KEEPALIVE={raw(1)}",
    f"TCP_CONGESTION={b'reno'.hex()}",
]


class Changed:
    """A journal of its own, an owner with a connection, and a way to change its options."""

    def __init__(self, path: Path, owner: Owner) -> None:
        self.path, self.owner = str(path), owner

    def change(self, name: str, *words: str, kill_at: int = -1) -> int:
        """Change options of the owner's socket; the changer's exit status."""
        fd = self.owner(f"{name}.fileno()")
        command = [sys.executable, "-m", "tests.live.changer", self.path, self.owner.pid, fd]
        done = subprocess.run(
            [*map(str, command), str(kill_at), *words],
            cwd=ROOT, check=False, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        return done.returncode

    def undo(self, **selection: Any) -> ChangeReport:
        with LiveKernel() as kernel, open_journal(kernel, self.path) as journal:
            return undo(kernel, journal, **selection)

    def list(self) -> UndoList:
        with LiveKernel() as kernel, open_journal(kernel, self.path, read_only=True) as journal:
            return list_undo(kernel, journal)

    def values(self, name: str) -> dict[str, str]:
        """Every option of the owner's socket, as bytes in hexadecimal."""
        pairs = list(OPTIONS.values())
        found = self.owner(f"[{name}.getsockopt(level, n, 16).hex() for level, n in {pairs}]")
        return dict(zip(OPTIONS, found, strict=True))


@pytest.fixture
def changed(tmp_path: Path) -> Iterator[Changed]:
    with owner(setup=PAIR) as one:
        yield Changed(tmp_path / "state" / "tcptool" / "journal", one)


TRAFFIC = """
import threading
def talk(sender, receiver, total):
    def read():
        left = total
        while left:
            left -= len(receiver.recv(min(left, 1 << 20)))
    reader = threading.Thread(target=read)
    reader.start()
    sender.sendall(bytes(total))
    reader.join()
"""


def assert_same(values: dict[str, str], before: dict[str, str]) -> None:
    """All of them; of an odd size, which the kernel makes and nobody can set, the even below."""
    for name, wanted in before.items():
        odd = 1 if name in ("SO_RCVBUF", "SO_SNDBUF") else 0
        assert number(values[name]) | odd == number(wanted) | odd, name


def number(text: str) -> int:
    return int.from_bytes(bytes.fromhex(text), sys.byteorder)


def outcomes(report: ChangeReport) -> dict[str, str]:
    return {change.option: change.outcome for sock in report.sockets for change in sock.changes}


@NEEDS_INIT_USER_NAMESPACE
def test_buffers_that_the_kernel_has_tuned_are_put_back(changed: Changed) -> None:
    changed.owner(TRAFFIC)
    changed.owner("talk(client, conn, 1 << 27)\ntalk(conn, client, 1 << 20)")
    before = changed.values("conn"), changed.values("client")
    assert number(before[0]["SO_RCVBUF"]) > 131_072
    changed.change("conn", f"SO_RCVBUF={raw(200_000)}")
    changed.change("client", f"SO_SNDBUF={raw(200_000)}", f"SO_RCVBUF={raw(9_000_000)}")
    changed.owner("talk(client, conn, 1 << 24)")
    assert changed.values("conn")["SO_RCVBUF"] == raw(400_000)
    for _ in range(2):
        report = changed.undo()
        assert report.agrees, report
    assert_same(changed.values("conn"), before[0])
    assert_same(changed.values("client"), before[1])
    changed.owner("talk(client, conn, 1 << 22)\ntalk(conn, client, 1 << 22)")
    with pytest.raises(NotFound):
        changed.undo()


@NEEDS_INIT_USER_NAMESPACE
@pytest.mark.parametrize("talks", [False, True], ids=["idle", "busy"])
def test_whenever_it_is_killed_undo_finishes(talks: bool, changed: Changed) -> None:
    changed.owner(TRAFFIC)
    changed.owner("talk(client, conn, 1 << 24)")
    steps = 2 + 2 * len(CHANGES)
    for kill_at in range(steps + 1):
        before = changed.values("conn")
        ending = changed.change("conn", *CHANGES, kill_at=kill_at)
        assert ending == (0 if kill_at == steps else -signal.SIGKILL)
        if talks:
            changed.owner("talk(conn, client, 1 << 16)")
        if kill_at == 0:
            continue  # not even the plan was written
        report = changed.undo(entry_id=changed.list().entries[0].id)
        assert report.agrees, (kill_at, report)
        assert_same(changed.values("conn"), before)


# Kills itself before the setsockopt() of this number.
_DYING = """
import os, signal, sys
from tcptool.actions import undo as module
from tcptool.linux.journal import open_journal
from tcptool.linux.kernel import LiveKernel
path, left = sys.argv[1], int(sys.argv[2])
real = module.write_option
def write_option(*words):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*words)
module.write_option = write_option
with LiveKernel() as kernel, open_journal(kernel, path) as journal:
    assert module.undo(kernel, journal).agrees
"""


@NEEDS_INIT_USER_NAMESPACE
def test_an_undo_that_is_killed_is_finished_by_the_next(changed: Changed) -> None:
    before = changed.values("conn")
    for left in range(100):
        changed.change("conn", *CHANGES)
        died = subprocess.run(
            [sys.executable, "-c", _DYING, changed.path, str(left)],
            cwd=ROOT, check=False, capture_output=True, text=True,
        )  # fmt: skip
        assert died.returncode in (0, -signal.SIGKILL), died.stderr
        if died.returncode:
            report = changed.undo()
            assert report.agrees, (left, report)
        assert changed.values("conn") == before, left
        if not died.returncode:
            break
    assert left > len(CHANGES) / 2


def test_a_backlog_is_put_back(changed: Changed) -> None:
    before = changed.owner("server.getsockopt(6, 11, 32)[28:32].hex()")
    changed.change("server", f"backlog={raw(7)}")
    assert changed.owner("server.getsockopt(6, 11, 32)[28:32].hex()") == raw(7)
    assert changed.undo().agrees
    assert changed.owner("server.getsockopt(6, 11, 32)[28:32].hex()") == before


def test_what_the_owner_changed_since_is_left_alone(changed: Changed) -> None:
    changed.change("conn", f"TCP_KEEPIDLE={raw(60)}", f"TCP_NODELAY={raw(1)}")
    changed.owner("conn.setsockopt(6, 4, 33)")
    report = changed.undo()
    assert (report.agrees, report.undo_id is None) == (False, False)
    assert outcomes(report) == {"TCP_NODELAY": "restored", "TCP_KEEPIDLE": "refused"}
    assert changed.values("conn")["TCP_KEEPIDLE"] == raw(33)
    assert changed.values("conn")["TCP_NODELAY"] == raw(0)
    (entry,) = changed.list().entries
    assert (entry.state, entry.sockets[0].state) == ("changed", "changed")


def test_another_socket_under_the_same_number_is_left_alone(changed: Changed) -> None:
    changed.change("conn", f"TCP_NODELAY={raw(1)}")
    changed.owner(
        "fd = conn.fileno()\nconn.close()\nother = socket.socket()\n"
        "os.dup2(other.fileno(), fd)\nother.setsockopt(6, 1, 1)"
    )
    assert changed.list().entries[0].state == "gone"
    with pytest.raises(Gone, match="the socket is gone"):
        changed.undo()
    assert changed.owner("other.getsockopt(6, 1)") == 1
    with pytest.raises(NotFound, match="nothing to undo"):
        changed.undo()  # it is remembered


def test_the_socket_is_found_wherever_it_is_held(changed: Changed) -> None:
    changed.change("conn", f"TCP_NODELAY={raw(1)}")
    child = changed.owner(
        "pid = os.fork()\nif pid == 0:\n    signal.pause()\nconn.setsockopt(6, 4, 77)\n"
        "peer_of = conn.getpeername()\nconn.close()\npid"
    )
    try:
        report = changed.undo()
        assert outcomes(report) == {"TCP_NODELAY": "restored"}
        (sock,) = report.sockets
        assert [holder.pid for holder in sock.holders] == [child]
        assert any("does not hold it any more" in line for line in sock.advice)
    finally:
        changed.owner(f"os.kill({child}, 9), os.waitpid({child}, 0)")


def test_a_socket_of_another_namespace(netns: NetNs, tmp_path: Path) -> None:
    with owner(netns=netns, setup=PAIR) as one:
        changed = Changed(tmp_path / "tcptool" / "journal", one)
        changed.change("conn", f"TCP_NODELAY={raw(1)}")
        assert changed.list().entries[0].state == "open"
        assert changed.undo().agrees
        assert changed.values("conn")["TCP_NODELAY"] == raw(0)


def test_newest_first_for_a_target(changed: Changed) -> None:
    before = changed.values("conn")
    for seconds in (60, 70, 80):
        changed.change("conn", f"TCP_KEEPIDLE={raw(seconds)}")
    oldest = changed.list().entries[-1]
    report = changed.undo(entry_id=oldest.id)
    assert outcomes(report) == {"TCP_KEEPIDLE": "refused"}
    assert "changed it later: undo that first" in report.sockets[0].changes[0].note
    wanted = targets.Descriptor(changed.owner.pid, changed.owner("conn.fileno()"))
    planned = changed.undo(target=wanted, dry_run=True)
    assert [c.outcome for s in planned.sockets for c in s.changes] == ["planned"] * 3
    assert changed.values("conn")["TCP_KEEPIDLE"] == raw(80)
    report = changed.undo(target=wanted)
    assert [c.effective for s in report.sockets for c in s.changes] == [70, 60, 7200]
    assert (report.agrees, changed.values("conn")) == (True, before)


def test_an_owner_that_ended_took_the_change_with_it(tmp_path: Path) -> None:
    with owner(setup=PAIR) as one:
        changed = Changed(tmp_path / "tcptool" / "journal", one)
        changed.change("conn", f"TCP_NODELAY={raw(1)}")
    with pytest.raises(Gone):
        changed.undo(dry_run=True)
    with pytest.raises(Gone):
        changed.undo()
    assert changed.list().entries[0].state == "gone"


# As another user: undoes from a copy of the journal, and says what came of it.
_AS_OTHER = """
import json, sys
from tcptool.actions.undo import list_undo, undo
from tcptool.errors import TcptoolError
from tcptool.linux.journal import Journal
from tcptool.linux.kernel import LiveKernel
import os
kernel = LiveKernel()
boot = kernel.proc.read("sys/kernel/random/boot_id").strip()
fd = os.memfd_create("journal")
os.write(fd, bytes.fromhex(sys.argv[1]))
journal = Journal("copy", fd, boot)
state = list_undo(kernel, journal).entries[0].state
try:
    undo(kernel, journal)
    said = "nothing"
except TcptoolError as exc:
    said = type(exc).__name__
print(json.dumps([state, said]))
"""


def test_without_the_right_it_is_unreachable_not_gone(changed: Changed) -> None:
    changed.change("conn", f"TCP_NODELAY={raw(1)}")
    copy = Path(changed.path).read_bytes().hex()
    with spawn(_AS_OTHER, copy, uid=NOBODY, deadline_s=30) as child:
        assert child.ready == ["unreachable", NotPermitted.__name__]
    changed.owner("conn.close(); client.close()")
    with spawn(_AS_OTHER, copy, uid=NOBODY, deadline_s=30) as child:
        assert child.ready == ["gone", Gone.__name__]


def test_a_connection_under_traffic_loses_no_byte(changed: Changed) -> None:
    changed.owner(TRAFFIC)
    changed.owner(
        "done = []\n"
        "worker = threading.Thread(target=lambda: (talk(client, conn, 1 << 28), done.append(1)))\n"
        "worker.start()"
    )
    for _ in range(3):
        changed.change("conn", f"SO_RCVBUF={raw(100_000)}", f"TCP_NODELAY={raw(1)}")
        assert changed.undo().agrees
    wait_until(lambda: changed.owner("done"), deadline_s=60)
    assert changed.owner("os.get_blocking(conn.fileno())") is True
