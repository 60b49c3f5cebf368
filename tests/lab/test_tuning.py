"""What the laboratory is for: a slow connection of another program, made quick by `apply`.

Each test measures before and after, puts it back with `undo`, and checks that every byte arrived.
Bounds are physical (no delayed ACK comes before 40 ms) or very wide: the machine may be busy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab.path import RelayPath, path
from tests.live.program import Owner, Run, owner, tcptool

State = Callable[[str], None]

# Both programs: a stream of blocks, each of them different, until the sender is told to stop.
_STREAM = """
import hashlib, threading
digest, news, count, going = hashlib.sha256(), threading.Condition(), 0, True

def note(data):
    global count
    digest.update(data)
    with news:
        count += len(data)
        news.notify_all()

def send():
    number = 0
    while going:
        block = number.to_bytes(8, "big") * 2048
        conn.sendall(block)
        note(block)
        number += 1
    conn.shutdown(socket.SHUT_WR)

def receive():
    while data := conn.recv(1 << 18):
        note(data)

def seconds_for(size):
    "Seconds until so many more bytes have arrived."
    with news:
        start, end = time.monotonic(), count + size
        news.wait_for(lambda: count >= end)
        return time.monotonic() - start

def start(work):
    global thread
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
"""

# The client asks in two small writes, as many programs do: a head, then a body.
_ASK = """
import hashlib
def receive(size):
    data = b""
    while len(data) < size:
        piece = conn.recv(size - len(data))
        assert piece, "the connection ended"
        data += piece
    return data

asked, answered, number = hashlib.sha256(), hashlib.sha256(), 0

def ask():
    "Milliseconds of one request."
    global number
    number += 1
    head, body = number.to_bytes(20, "big"), number.to_bytes(30, "little")
    asked.update(head + body)
    start = time.monotonic()
    conn.sendall(head)
    conn.sendall(body)
    answered.update(receive(50))
    return (time.monotonic() - start) * 1e3

def median_ms(times):
    return sorted(ask() for _ in range(times))[times // 2]
"""
_ANSWER = """
import threading
def answer():
    while True:
        data = b""
        while len(data) < 50:
            piece = conn.recv(50 - len(data))
            if not piece:
                return
            data += piece
        conn.sendall(data)
threading.Thread(target=answer, daemon=True).start()
"""


@contextmanager
def ends(link: RelayPath, before_connect: str = "") -> Iterator[tuple[Owner, Owner]]:
    """A program at each end of the path, each with its end of one connection as ``conn``."""
    with owner(link.near) as near, owner(link.far) as far:
        far(f"server = socket.create_server(({link.FAR_IPV4!r}, 0))")
        near(f"conn = socket.socket()\n{before_connect}")
        near(f"conn.connect(({link.FAR_IPV4!r}, {far.port('server')}))")
        far("conn, _ = server.accept()")
        yield near, far


@pytest.fixture
def tool(tmp_path: Path) -> Callable[..., Run]:
    """tcptool with a journal of its own; it has to end well."""

    def run(*words: object) -> Run:
        done = tcptool(*words, env={"XDG_STATE_HOME": str(tmp_path)})
        assert done.status == 0, done
        return done

    return run


def mbit(far: Owner, size_bytes: int) -> float:
    """The rate at which the next bytes arrive."""
    return size_bytes * 8 / float(far(f"seconds_for({size_bytes})")) / 1e6


def start_stream(near: Owner, far: Owner) -> None:
    far(_STREAM)
    near(_STREAM)
    far("start(receive)")
    near("start(send)")


def assert_intact(near: Owner, far: Owner) -> None:
    """End the stream: what has arrived is what was sent."""
    near("going = False\nthread.join()")
    far("thread.join()")
    sent, arrived = near("[count, digest.hexdigest()]"), far("[count, digest.hexdigest()]")
    assert sent == arrived
    assert sent[0] > 0


def test_nodelay_ends_a_nagle_stall(tool: Callable[..., Run], delivered: State) -> None:
    with path(delay_ms=1) as link, ends(link) as (near, far):
        far(_ANSWER)
        near(_ASK)
        near("median_ms(30)")  # at first the far end acknowledges at once
        before_ms = near("median_ms(15)")
        tool("apply", near.at("conn"), "nodelay=1")
        after_ms = near("median_ms(15)")
        tool("undo", "--last")
        assert near("conn.getsockopt(6, 1)") == 0
        undone_ms = near("median_ms(15)")
        assert near("asked.digest() == answered.digest()")
    assert before_ms >= 35  # TCP_DELACK_MIN is 40 ms: include/net/tcp.h
    assert 2 <= after_ms < before_ms / 2
    assert undone_ms >= 35
    delivered(
        f"rtt 2 ms, two small writes: {before_ms:.1f} ms; with TCP_NODELAY {after_ms:.1f} ms; "
        f"undone {undone_ms:.1f} ms"
    )


def test_buf_lock_frees_a_pinned_sender(tool: Callable[..., Run], delivered: State) -> None:
    pinned = "conn.setsockopt(1, socket.SO_SNDBUF, 32768)"
    with path(delay_ms=25, rate_mbit=60) as link, ends(link, pinned) as (near, far):
        values = "[conn.getsockopt(1, n) for n in (7, 72)]"
        assert near(values) == [65536, 1]
        start_stream(near, far)
        far("seconds_for(200_000)")
        before = mbit(far, 1_000_000)
        tool("apply", near.at("conn"), "SO_BUF_LOCK=none")
        far("seconds_for(2_000_000)")  # the window opens
        after = mbit(far, 6_000_000)
        grown_bytes, lock = near(values)
        tool("undo", "--last")
        assert near(values) == [65536, 1]
        far("seconds_for(4_000_000)")  # what was queued
        undone = mbit(far, 1_000_000)
        assert_intact(near, far)
    assert (grown_bytes > 3 * 65536, lock) == (True, 0)
    assert after >= 3 * before
    assert undone < after / 2
    delivered(
        f"rtt 50 ms, SO_SNDBUF 32K: {before:.1f} Mbit/s; with SO_BUF_LOCK=none {after:.1f}; "
        f"undone {undone:.1f}"
    )


def test_bbr_on_a_lossy_path(tool: Callable[..., Run], delivered: State) -> None:
    cubic = "conn.setsockopt(6, socket.TCP_CONGESTION, b'cubic')"
    name = "conn.getsockopt(6, 13, 16).rstrip(b'\\0')"
    with (
        path(delay_ms=10, rate_mbit=40, forward={"loss": 0.01}) as link,
        ends(link, cubic) as (near, far),
    ):
        start_stream(near, far)
        far("seconds_for(1_000_000)")  # slow start, and its end
        before = mbit(far, 1_000_000)
        tool("apply", near.at("conn"), "congestion=bbr")
        assert near(name) == "bbr"
        far("seconds_for(1_500_000)")
        after = mbit(far, 6_000_000)
        tool("undo", "--last")
        assert near(name) == "cubic"
        assert_intact(near, far)
        lost = link.forward.counters().lost
    assert lost > 0
    assert after >= 2 * before
    delivered(f"rtt 20 ms, loss 1 %: {before:.1f} Mbit/s with cubic, {after:.1f} with bbr")
