"""Which of many connections were quiet for too long, without looking at all of them.

A timing wheel (Varghese and Lauck, 1987) that is lazy: activity writes one number and moves
nothing.  A descriptor is looked at when the time is up that it had at the last look, so once in
the limit at most, and then forgotten, called idle or entered again.  Time is passed in, in ticks:
whole numbers that never go back.
"""

from __future__ import annotations


class IdleWheel:
    """Descriptors, and the tick of their last activity.

    Activity is ``wheel.last[fd] = tick``, for descriptors that were added.
    """

    __slots__ = ("_buckets", "_entered", "_limit", "_tick", "last")

    def __init__(self, limit_ticks: int, tick: int = 0) -> None:
        """A descriptor is idle ``limit_ticks``, at least 1, after its last activity."""
        if limit_ticks < 1:
            raise ValueError("a limit is at least one tick")
        self._limit, self._tick = limit_ticks, tick
        self._buckets: list[list[int]] = [[] for _ in range(limit_ticks + 1)]
        self._entered = bytearray()
        """Whether the descriptor is in a bucket: in one at most, whoever has its number now."""
        self.last: list[int] = []
        """By descriptor; negative for one that is not there."""

    def add(self, fd: int, tick: int) -> None:
        """A descriptor that is active now.  ``tick`` is not before that of ``idle``."""
        if fd >= len(self.last):
            more = fd + 1 - len(self.last)
            self.last += [-1] * more
            self._entered += bytes(more)
        self.last[fd] = tick
        if not self._entered[fd]:  # else its place comes up sooner, and it is entered again then
            self._enter(fd, tick)

    def remove(self, fd: int) -> None:
        """A descriptor that was closed; its number may come back."""
        self.last[fd] = -1

    def idle(self, tick: int) -> list[int]:
        """The descriptors whose limit is up; they are not in the wheel any more."""
        found = []
        # After a pause longer than the limit each bucket is looked at once, not once a tick.
        for passed in range(max(self._tick + 1, tick - self._limit), tick + 1):
            number = passed % len(self._buckets)
            bucket, self._buckets[number] = self._buckets[number], []
            for fd in bucket:
                self._entered[fd] = 0
                last = self.last[fd]
                if last < 0:
                    continue
                if last + self._limit <= tick:
                    self.last[fd] = -1
                    found.append(fd)
                else:
                    self._enter(fd, last)
        self._tick = max(self._tick, tick)
        return found

    def _enter(self, fd: int, last: int) -> None:
        self._entered[fd] = 1
        self._buckets[(last + self._limit) % len(self._buckets)].append(fd)
