"""What follows from the readings of `probe pool`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tcptool.analysis import pool as analysis
from tcptool.model.pool_probe import FRESH, PoolArm, PoolMoment, PoolPlan, PoolReading

PLAN = PoolPlan(
    target=None,
    path="ipv4",
    requests=2400,
    duration_s=None,
    blocks=12,
    concurrency=1,
    size_bytes=1024,
    rest_s=0.0,
    arms=("peek", FRESH),
    requests_per_s=None,
    server_closes_after_s=None,
    limit=1000,
    when_full="wait",
    timeout_s=10.0,
    seed=1,
    processors=None,
)


def reading(fresh: int, reused: int, **more: Any) -> PoolReading:
    """A block in which a new connection takes 50 us of 150, and a request on an old one 100."""
    values: dict[str, Any] = {
        "elapsed_s": (fresh * 150 + reused * 100) / 1e6 or 0.001,
        "near_cpu_s": (fresh + reused) * 40e-6,
        "fresh_us": [150.0] * fresh,
        "reused_us": [100.0] * reused,
        "connect_us": [50.0] * fresh,
        "failures": {},
        "created": fresh,
        "invalid_found": 0,
        "stale_handed_out": 0,
        "waits": 0,
        "late": 0,
        "ports": frozenset(range(fresh)),
        "timeline": (PoolMoment(0.1, 1, 0),),
        **more,
    }
    return PoolReading(**values)


def arms(plan: PoolPlan = PLAN, **readings: list[PoolReading]) -> dict[str, PoolArm]:
    return {one.name: one for one in analysis.results(readings, plan)}


def test_what_reuse_is_worth() -> None:
    found = arms(peek=[reading(1, 199)] * 12, fresh=[reading(200, 0)] * 12)
    peek, fresh = found["peek"], found["fresh"]
    assert (peek.requests, peek.created, peek.ports) == (2400, 12, 1)
    assert peek.reuse_percent == pytest.approx(99.5)
    assert (fresh.reuse_percent, fresh.reused, fresh.ports) == (0, None, 200)
    assert peek.rate_per_s == pytest.approx(200 / 0.02005)
    assert (peek.rate_low_per_s, peek.noise_percent) == (peek.rate_per_s, 0)
    assert peek.near_cpu_us == pytest.approx(40)
    assert peek.reused is not None
    assert (peek.reused.p50_us, peek.reused.p99_us) == (100, 100)
    assert (peek.base, peek.outcome, fresh.base) == (None, None, "peek")
    assert fresh.outcome is not None
    assert fresh.outcome.verdict == "less"
    assert analysis.lessons(tuple(found.values())) == (
        "peek: a connection that is there saves 50 us of 150 (33 %)",
    )
    assert peek.late is None
    assert peek.timeline == (PoolMoment(0.1, 1, 0),)
    assert [one.p50_us for one in peek.blocks] == [100.0] * 12


def test_without_an_arm_of_fresh_ones_the_first_requests_tell() -> None:
    found = arms(peek=[reading(20, 180)] * 12)
    assert analysis.lessons(tuple(found.values())) == (
        "peek: a connection that is there saves 50 us of 150 (33 %)",
    )


def test_nothing_saved_is_said_and_nothing_known_is_not() -> None:
    slow = reading(20, 180, reused_us=[200.0] * 180)
    assert "saved nothing" in analysis.lessons(tuple(arms(peek=[slow] * 6).values()))[0]
    assert analysis.lessons(tuple(arms(peek=[reading(1, 0)]).values())) == ()
    assert analysis.lessons(tuple(arms(fresh=[reading(10, 0)]).values())) == ()


def test_a_block_without_an_answer_has_no_rate() -> None:
    nothing = reading(0, 0, failures={"stale": 3, "failed": 1}, stale_handed_out=3)
    (found,) = arms(so_error=[nothing]).values()
    assert (found.requests, found.rate_per_s, found.near_cpu_us) == (0, None, None)
    assert (found.reuse_percent, found.fresh) == (None, None)
    assert [(one.kind, one.count) for one in found.failed] == [("stale", 3), ("failed", 1)]
    assert found.blocks[0].p50_us is None


def test_an_arm_without_a_block_is_left_out() -> None:
    assert list(arms(peek=[reading(1, 9)], fresh=[])) == ["peek"]
    assert arms() == {}


def ids(plan: PoolPlan, **readings: list[PoolReading]) -> dict[str, str]:
    found = analysis.results(readings, plan)
    return {one.id: one.message for one in analysis.warnings_of(found, plan)}


def test_dead_connections_that_were_handed_out_are_a_warning() -> None:
    bad = reading(1, 199, stale_handed_out=1, failures={"stale": 1})
    said = ids(PLAN, so_error=[bad] * 12, peek=[reading(1, 199)] * 12)
    assert "so_error 12" in said["stale-handed-out"]
    assert "so_error: 12 stale" in said["requests-failed"]
    assert "peek" not in said["requests-failed"]
    assert "few-requests" not in said


def test_a_schedule_that_was_missed_is_a_warning_and_a_closed_loop_is_told() -> None:
    by_schedule = replace(PLAN, requests_per_s=100)
    assert "schedule-missed" in ids(by_schedule, peek=[reading(1, 199, late=5)] * 12)
    assert "schedule-missed" not in ids(by_schedule, peek=[reading(1, 199, late=1)] * 12)
    assert "closed-loop" not in ids(by_schedule, peek=[reading(1, 199)] * 12)
    assert "closed-loop" in ids(PLAN, peek=[reading(1, 199)] * 12)


def test_few_requests_are_told() -> None:
    assert "peek had fewer" in ids(PLAN, peek=[reading(1, 9)])["few-requests"]
