"""The wheel finds exactly the descriptors that were quiet for the limit, as a scan would."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tcptool.sansio.idle_wheel import IdleWheel

FDS = st.integers(0, 12)


class AgainstAScan(RuleBasedStateMachine):
    """Every descriptor with its last activity, in a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.limit = 5
        self.tick = 7
        self.wheel = IdleWheel(self.limit, self.tick)
        self.last: dict[int, int] = {}

    @rule(fd=FDS)
    def opened(self, fd: int) -> None:
        if fd not in self.last:
            self.wheel.add(fd, self.tick)
            self.last[fd] = self.tick

    @rule(fd=FDS)
    def active(self, fd: int) -> None:
        if fd in self.last:
            self.wheel.last[fd] = self.last[fd] = self.tick

    @rule(fd=FDS)
    def closed(self, fd: int) -> None:
        if fd in self.last:
            self.wheel.remove(fd)
            del self.last[fd]

    @rule(ticks=st.integers(0, 30))
    def time_passes(self, ticks: int) -> None:
        self.tick += ticks
        late = {fd for fd, last in self.last.items() if last + self.limit <= self.tick}
        found = self.wheel.idle(self.tick)
        assert sorted(found) == sorted(late)
        for fd in late:
            del self.last[fd]

    @precondition(lambda self: self.last)
    @rule(ticks=st.integers(1, 30))
    def nobody_looks_for_a_while(self, ticks: int) -> None:
        self.time_passes(ticks)

    @invariant()
    def a_number_is_in_one_bucket_at_most(self) -> None:
        entries = [fd for bucket in self.wheel._buckets for fd in bucket]
        assert len(entries) == len(set(entries))
        assert set(self.last) <= set(entries)


TestAgainstAScan = AgainstAScan.TestCase


def test_a_limit_is_a_tick_at_least() -> None:
    with pytest.raises(ValueError, match="at least one tick"):
        IdleWheel(0)


def test_activity_puts_off_the_end_to_the_tick() -> None:
    wheel = IdleWheel(3)
    wheel.add(4, 0)
    wheel.last[4] = 2
    assert wheel.idle(4) == []
    assert wheel.idle(5) == [4]
    assert wheel.idle(50) == []


def test_the_next_owner_of_a_number_has_its_own_time() -> None:
    wheel = IdleWheel(3)
    wheel.add(4, 0)
    wheel.remove(4)
    wheel.add(4, 2)
    assert wheel.idle(4) == []
    assert wheel.idle(5) == [4]
