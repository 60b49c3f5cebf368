"""What the workers of a server count, where all of them and their parent can read it.

Each worker counts in plain numbers of its own and copies them, a few times a second, to its place
in memory that was mapped before it was forked.  One that took the place of another goes on
from there.  A reader may see a copy half made: for figures to look at that is good enough.
"""

from __future__ import annotations

import math
import mmap
import struct
import time
from collections.abc import Sequence
from typing import Final

from tcptool.model.serve import ServeStats, Worker, WorkerStats

_NAMES: Final = (
    "clients",
    "accepted",
    "answers_2xx",
    "answers_3xx",
    "answers_4xx",
    "answers_5xx",
    "remembered",
    "received_bytes",
    "sent_bytes",
    "turned_away",
    "no_descriptor",
    "timed_out",
    "lost",
)

_STEPS: Final = 8
"""Buckets of the times for each power of two: 9 % wide."""
_BUCKETS: Final = 24 * _STEPS
"""Up to 16 s."""
_SLOT: Final = struct.Struct(f"={len(_NAMES) + _BUCKETS}Q")
_WORKER: Final = struct.Struct("=QQ")
"""Its pid, and how often it was started again."""


class Counters:
    """Those of one worker, in the order of ``WorkerStats``; see there."""

    __slots__ = (*_NAMES, "turns")

    clients: int
    accepted: int
    answers_2xx: int
    answers_3xx: int
    answers_4xx: int
    answers_5xx: int
    remembered: int
    received_bytes: int
    sent_bytes: int
    turned_away: int
    no_descriptor: int
    timed_out: int
    lost: int

    def __init__(self, values: Sequence[int] = (0,) * (len(_NAMES) + _BUCKETS)) -> None:
        for name, value in zip(_NAMES, values, strict=False):
            setattr(self, name, value)
        self.turns = list(values[len(_NAMES) :])
        """Answers by the time of the turn they were made in."""

    def answered(self, status: int, number: int = 1) -> None:
        """Count final answers."""
        if status < 300:
            self.answers_2xx += number
        elif status < 400:
            self.answers_3xx += number
        elif status < 500:
            self.answers_4xx += number
        else:
            self.answers_5xx += number

    @property
    def answers(self) -> int:
        """All final ones."""
        return self.answers_2xx + self.answers_3xx + self.answers_4xx + self.answers_5xx

    def turn_took(self, elapsed_s: float, answers: int) -> None:
        """So many answers were made in a turn of this length."""
        step = int(_STEPS * math.log2(max(1.0, elapsed_s * 1e6)))
        self.turns[min(step, _BUCKETS - 1)] += answers

    def values(self) -> list[int]:
        """All of them, as the constructor takes them."""
        return [getattr(self, name) for name in _NAMES] + self.turns

    def stats(self) -> WorkerStats:
        """As a record."""
        values = {name: getattr(self, name) for name in _NAMES}
        return WorkerStats(answers=self.answers, **values)


def percentile_us(turns: Sequence[int], share: float) -> float | None:
    """The upper end of the bucket in which this share of the answers is reached."""
    wanted = share * sum(turns)
    if not wanted:
        return None
    reached = 0
    for step, number in enumerate(turns):  # noqa: B007 - the step at which it stops counts
        reached += number
        if reached >= wanted:
            break
    return float(2 ** ((step + 1) / _STEPS))


class Board:
    """A place for the counters of each worker, in memory that forked children share."""

    def __init__(self, workers: int) -> None:
        self._pages = mmap.mmap(-1, workers * (_SLOT.size + _WORKER.size))
        self._workers, self._begun_s = workers, time.monotonic()

    def publish(self, worker: int, counters: Counters) -> None:
        """Let the others see them."""
        _SLOT.pack_into(self._pages, worker * _SLOT.size, *counters.values())

    def read(self, worker: int) -> Counters:
        """Those of one worker as they were when it last told."""
        return Counters(_SLOT.unpack_from(self._pages, worker * _SLOT.size))

    def start(self, worker: int, pid: int) -> Counters:
        """The counters for a new process, which go on from those of the one before."""
        counters = self.read(worker)
        counters.clients = 0
        self.publish(worker, counters)
        before, restarts = _WORKER.unpack_from(self._pages, self._place(worker))
        _WORKER.pack_into(self._pages, self._place(worker), pid, restarts + bool(before))
        return counters

    def stats(self) -> ServeStats:
        """What all of them did."""
        counters = [self.read(number) for number in range(self._workers)]
        whole = Counters(
            [sum(column) for column in zip(*(one.values() for one in counters), strict=True)]
        )
        places = map(self._place, range(self._workers))
        named = [_WORKER.unpack_from(self._pages, place) for place in places]
        p50, p90, p99, p99_9 = (
            percentile_us(whole.turns, share) for share in (0.5, 0.9, 0.99, 0.999)
        )
        return ServeStats(
            uptime_s=time.monotonic() - self._begun_s,
            total=whole.stats(),
            p50_us=p50,
            p90_us=p90,
            p99_us=p99,
            p99_9_us=p99_9,
            workers=tuple(
                Worker(pid=pid, restarts=restarts, stats=one.stats())
                for (pid, restarts), one in zip(named, counters, strict=True)
            ),
        )

    def _place(self, worker: int) -> int:
        return self._workers * _SLOT.size + worker * _WORKER.size
