"""What workers count, and what their parent and siblings read of it."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcptool.traffic.counters import Board, Counters, percentile_us


def test_answers_count_by_class_and_together() -> None:
    counters = Counters()
    for status, number in ((200, 3), (206, 1), (304, 2), (404, 1), (503, 5)):
        counters.answered(status, number)
    stats = counters.stats()
    assert (stats.answers_2xx, stats.answers_3xx, stats.answers_4xx) == (4, 2, 1)
    assert (stats.answers_5xx, stats.answers) == (5, 12)


@given(st.lists(st.floats(1e-6, 10), min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.99]))
def test_a_percentile_is_an_upper_bound_no_more_than_a_bucket_away(
    times_s: list[float], share: float
) -> None:
    counters = Counters()
    for one in times_s:
        counters.turn_took(one, 1)
    found = percentile_us(counters.turns, share)
    assert found is not None
    place = next(n for n in range(1, len(times_s) + 1) if n >= share * len(times_s))
    exact_us = sorted(times_s)[place - 1] * 1e6
    assert exact_us <= found * 1.000001
    assert found <= max(exact_us, 1) * 2 ** (1 / 8) * 1.000001


def test_no_answer_has_no_percentile_and_a_long_turn_fits() -> None:
    counters = Counters()
    assert percentile_us(counters.turns, 0.5) is None
    counters.turn_took(3600, 1)
    assert percentile_us(counters.turns, 0.5) == 2**24


def test_a_board_shows_all_workers_and_who_is_started_again_goes_on() -> None:
    board = Board(2)
    first = board.start(0, 100)
    first.clients, first.accepted = 5, 9
    first.answered(200, 7)
    first.turn_took(0.001, 7)
    board.publish(0, first)
    second = board.start(1, 101)
    second.answered(404)
    board.publish(1, second)
    stats = board.stats()
    assert (stats.total.clients, stats.total.accepted, stats.total.answers) == (5, 9, 8)
    assert [(one.pid, one.restarts) for one in stats.workers] == [(100, 0), (101, 0)]
    assert stats.p50_us == pytest.approx(1000, rel=0.1)

    again = board.start(0, 200)
    assert (again.clients, again.accepted, again.answers) == (0, 9, 7)
    stats = board.stats()
    assert [(one.pid, one.restarts) for one in stats.workers] == [(200, 1), (101, 0)]


def test_a_child_that_was_forked_writes_what_its_parent_reads() -> None:
    board = Board(1)
    pid = os.fork()
    if not pid:
        counters = board.start(0, 1)
        counters.sent_bytes = 1 << 40
        board.publish(0, counters)
        os._exit(0)
    os.waitpid(pid, 0)
    assert board.stats().total.sent_bytes == 1 << 40
