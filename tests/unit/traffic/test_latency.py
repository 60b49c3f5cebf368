"""The loops of `probe latency` on a wire and a clock that are made up."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcptool.errors import TcptoolError
from tcptool.model.latency import Arm
from tcptool.traffic import latency
from tcptool.traffic.latency import Link, Requester, calls_of
from tcptool.traffic.line import TimedOut

PATTERNS = ["one-write", "two-writes", "gathered", "more"]
US, MS = 1_000, 1_000_000
RTT_NS = 100 * US


class Clock:
    """Moves by a microsecond whenever it is looked at, so that no loop spins for ever."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        self.now_ns += US
        return self.now_ns


class Wire(Link):
    """A far end that answers a round trip after it has a request, but for while it is stalled.

    ``room`` are the bytes taken by each send in turn, then all; ``pieces`` those that each
    receive gives, then all that is there.
    """

    def __init__(self, clock: Clock, arm: Arm) -> None:
        self.clock, self.arm = clock, arm
        self.stall_ns = (0, 0)
        self.room: list[int] = []
        self.pieces: list[int] = []
        self.sent: list[tuple[list[bytes], int]] = []
        self.corks: list[tuple[int, int]] = []
        self.taken = 0
        self.answers: list[list[int]] = []
        """When bytes will be there, and how many."""
        self.reply_bytes = arm.reply_bytes
        self.most_answers = 1_000_000

    def cork(self, value: int) -> None:
        self.corks.append((value, self.taken))

    def send(self, buffers: Sequence[bytes | memoryview], flags: int) -> int:
        offered = sum(map(len, buffers))
        got = min(offered, self.room.pop(0)) if self.room else offered
        self.sent.append(([bytes(one) for one in buffers], flags))
        before, self.taken = self.taken, self.taken + got
        complete = self.taken // self.arm.size_bytes - before // self.arm.size_bytes
        at_ns = self.clock.now_ns + RTT_NS
        if self.stall_ns[0] <= at_ns < self.stall_ns[1]:
            at_ns = self.stall_ns[1]
        for _ in range(min(complete, self.most_answers)):
            self.most_answers -= 1
            self.answers.append([at_ns, self.reply_bytes])
        return got

    def receive(self, most: int) -> int:
        there = sum(count for at_ns, count in self.answers if at_ns <= self.clock.now_ns)
        got = left = min(most, there, self.pieces.pop(0) if self.pieces else there)
        while left:
            part = min(left, self.answers[0][1])
            self.answers[0][1] -= part
            left -= part
            if not self.answers[0][1]:
                self.answers.pop(0)
        return got

    def wait(self, timeout_s: float, *, to_send: bool = False) -> tuple[bool, bool]:
        end_ns = self.clock.now_ns + int(timeout_s * 1e9)
        if self.answers and self.answers[0][0] <= end_ns:
            self.clock.now_ns = max(self.clock.now_ns, self.answers[0][0])
            return True, to_send
        if not to_send:
            self.clock.now_ns = end_ns
        return False, to_send


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(latency, "_clock_ns", made)
    return made


def arm(
    pattern: str = "one-write", size: int = 64, reply: int = 64, option: str = "default"
) -> Arm:
    return Arm(pattern, size, reply, pattern, option, False, None)


def pair(clock: Clock, one: Arm, timeout_s: float = 10.0) -> tuple[Wire, Requester]:
    wire = Wire(clock, one)
    return wire, Requester(wire, one, timeout_s)


# -- how a request is sent -----------------------------------------------------------------


@given(st.sampled_from(PATTERNS), st.integers(2, 5000))
def test_every_pattern_sends_the_same_bytes(pattern: str, size: int) -> None:
    calls = calls_of(pattern, size)
    buffers = [buffer for buffers, _ in calls for buffer in buffers]
    assert sum(map(len, buffers)) == size
    assert all(buffers)
    assert len(buffers) == (1 if pattern == "one-write" else 2)
    assert len(calls) == (2 if pattern in ("two-writes", "more") else 1)
    flags = [flags for _, flags in calls]
    assert flags == ([socket.MSG_MORE, 0] if pattern == "more" else [0] * len(calls))


def test_one_byte_is_a_request() -> None:
    assert calls_of("one-write", 1) == (((b"\0",), 0),)


@given(
    st.sampled_from(PATTERNS),
    st.integers(2, 40),
    st.integers(1, 40),
    st.lists(st.integers(0, 50), max_size=30),
    st.lists(st.integers(1, 50), max_size=30),
    st.integers(1, 8),
)
def test_short_sends_and_pieces_of_replies_change_nothing(
    pattern: str, size: int, reply: int, room: list[int], pieces: list[int], count: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock()
        patch.setattr(latency, "_clock_ns", clock)
        wire, requester = pair(clock, arm(pattern, size, reply))
        wire.room, wire.pieces = room, pieces
        requester.closed_loop(count, 60.0)
        assert wire.taken == size * count
        assert wire.answers == []
        assert len(requester.times_ns) == count
        assert min(requester.times_ns) >= RTT_NS


def test_the_cork_is_around_the_request(clock: Clock) -> None:
    wire, requester = pair(clock, arm("two-writes", option="cork"))
    requester.closed_loop(2, 60.0)
    assert wire.corks == [(1, 0), (0, 64), (1, 64), (0, 128)]
    wire, requester = pair(clock, arm("two-writes", option="nodelay"))
    requester.closed_loop(2, 60.0)
    assert wire.corks == []


# -- the two loops -------------------------------------------------------------------------


def test_a_closed_loop_ends_with_its_time(clock: Clock) -> None:
    _, requester = pair(clock, arm())
    requester.closed_loop(1000, 0.01)
    assert 90 <= len(requester.times_ns) <= 100
    _, requester = pair(clock, arm())
    requester.closed_loop(1000, 0.0)
    assert len(requester.times_ns) == 1


def test_an_open_loop_keeps_to_its_schedule(clock: Clock) -> None:
    wire, requester = pair(clock, arm())
    assert requester.open_loop(50, 60.0, 1000) == 0
    assert 49 * MS <= clock.now_ns <= 50 * MS
    assert len(requester.times_ns) == 50
    assert max(requester.times_ns) < RTT_NS + 20 * US
    assert wire.taken == 50 * 64


def test_an_open_loop_ends_with_its_time(clock: Clock) -> None:
    _, requester = pair(clock, arm())
    requester.open_loop(1000, 0.02, 1000)
    assert len(requester.times_ns) == 20
    _, requester = pair(clock, arm())
    requester.open_loop(1_000_000, 0.001, 1_000_000)  # faster than this loop can be
    assert 10 < len(requester.times_ns) < 1000
    _, requester = pair(clock, arm())
    assert requester.open_loop(1000, 0.0, 1) == 0
    assert len(requester.times_ns) == 1


def test_a_stall_shows_in_every_request_that_was_due(clock: Clock) -> None:
    """40 ms in which the far end does nothing, at 1000 requests a second."""
    wire, requester = pair(clock, arm())
    wire.stall_ns = (10 * MS, 50 * MS)
    requester.open_loop(100, 60.0, 1000)
    slow = [one for one in requester.times_ns if one > 5 * MS]
    assert 34 <= len(slow) <= 36
    assert 39 * MS <= max(slow) <= 41 * MS
    assert sum(slow) / len(slow) == pytest.approx(22.5 * MS, rel=0.1)

    clock.now_ns = 0
    wire, requester = pair(clock, arm())
    wire.stall_ns = (10 * MS, 50 * MS)
    requester.closed_loop(1000, 60.0)
    assert len([one for one in requester.times_ns if one > 5 * MS]) == 1


def test_requests_that_leave_an_interval_late_are_counted(clock: Clock) -> None:
    wire, requester = pair(clock, arm())
    send = wire.send

    def slow_once(buffers: Sequence[bytes | memoryview], flags: int) -> int:
        if wire.taken == 64 * 10:
            clock.now_ns += 5 * MS
        return send(buffers, flags)

    wire.send = slow_once  # type: ignore[method-assign]
    late = requester.open_loop(50, 60.0, 1000)
    assert 3 <= late <= 4
    assert len(requester.times_ns) == 50


# -- far ends that do not answer as they should --------------------------------------------


@pytest.mark.parametrize("reply", [65, 128, 1000])
def test_more_than_a_reply_is_noticed(clock: Clock, reply: int) -> None:
    wire, requester = pair(clock, arm())
    wire.reply_bytes = reply
    with pytest.raises(TcptoolError, match="more came than the 64 bytes"):
        requester.closed_loop(3, 60.0)


@pytest.mark.parametrize("reply", [0, 10])
@pytest.mark.parametrize("per_s", [None, 1000])
def test_less_than_a_reply_is_silence(clock: Clock, reply: int, per_s: int | None) -> None:
    wire, requester = pair(clock, arm(), timeout_s=2.0)
    wire.reply_bytes, wire.most_answers = reply, bool(reply)

    def loop() -> None:
        if per_s is None:
            requester.closed_loop(3, 60.0)
        else:
            requester.open_loop(10_000, 60.0, per_s)

    with pytest.raises(TimedOut, match=f"{reply} of the 64 bytes of a reply came, then nothing"):
        loop()
    assert 2000 * MS <= clock.now_ns <= 2010 * MS


def test_a_far_end_that_takes_nothing_more(clock: Clock) -> None:
    wire, requester = pair(clock, arm("gathered"), timeout_s=2.0)
    wire.room = [10, 0]

    def wait(timeout_s: float, *, to_send: bool = False) -> tuple[bool, bool]:
        return False, False

    wire.wait = wait  # type: ignore[method-assign]
    with pytest.raises(TimedOut, match="took no more of the request, then nothing for 2 s"):
        requester.closed_loop(3, 60.0)


def test_the_floor_is_a_time_without_a_network() -> None:
    times_us = latency.floor_times_us()
    assert len(times_us) > 1
    assert min(times_us) >= 0


def test_a_link_tells_the_end_from_nothing_there() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        link = Link(ours)
        assert link.receive(10) == 0
        assert link.wait(0.0) == (False, False)
        assert link.wait(0.0, to_send=True) == (False, True)
        while link.send([bytes(1 << 16)], 0):
            pass
        assert link.wait(0.0, to_send=True) == (False, False)
        theirs.send(b"abc")
        assert link.wait(10.0) == (True, False)
        assert link.receive(2) == 2
        assert link.receive(2) == 1
        theirs.close()
        with pytest.raises((EOFError, ConnectionResetError)):
            link.receive(1)


def test_a_stall_at_the_end_of_a_block_hides_nothing(clock: Clock) -> None:
    """The loop itself is held up, from just before the end until well after it."""
    wire, requester = pair(clock, arm())
    held_up = [0]

    def hold_up(timeout_s: float, *, to_send: bool = False) -> tuple[bool, bool]:
        if not held_up[0] and clock.now_ns >= 15 * MS:
            held_up[0] = 1
            clock.now_ns += 10 * MS
        return Wire.wait(wire, timeout_s, to_send=to_send)

    wire.wait = hold_up  # type: ignore[method-assign]
    late = requester.open_loop(1000, 0.020, 1000)
    assert len(requester.times_ns) == 20
    assert late >= 3
    assert max(requester.times_ns) > 5 * MS
