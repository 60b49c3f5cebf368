"""Where a measurement runs, and what that does to trust."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import pytest

from tcptool.actions.probe.surroundings import Placement, common_warnings, machine_facts, placed
from tcptool.errors import UsageError
from tcptool.linux import machine
from tcptool.model.probe import Machine, Settings

QUIET = Machine(
    processors=4,
    near_cpu=0,
    far_cpu=1,
    governor="performance",
    load_before_percent=3.0,
    load_after_percent=None,
)
CUBIC = Settings(
    congestion_control="cubic",
    sndbuf_bytes=1,
    rcvbuf_bytes=1,
    mss_bytes=1,
    device="lo",
    gso=True,
    options=(),
)


def test_this_process_is_kept_on_a_processor_and_let_go() -> None:
    before = os.sched_getaffinity(0)
    first = min(before)
    with placed((first,)) as placement:
        assert os.sched_getaffinity(0) == {first}
        assert placement == Placement(first, first)
        assert machine_facts(placement, 1.0).near_cpu == first
    assert os.sched_getaffinity(0) == before
    with placed(()) as placement:
        assert placement == Placement(None, None)
        assert os.sched_getaffinity(0) == before


def test_the_ends_get_a_processor_each_where_there_are_two(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept: list[tuple[int, ...]] = []
    monkeypatch.setattr(machine, "allowed_processors", lambda: (3, 5, 7))
    monkeypatch.setattr(machine, "keep_on", kept.append)
    with placed(None) as placement:
        assert placement == Placement(3, 5)
    assert kept == [(3,), (3, 5, 7)]
    monkeypatch.setattr(machine, "allowed_processors", lambda: (3,))
    with placed(None) as placement:
        assert placement == Placement(None, None)
    with pytest.raises(UsageError, match=r"processor 9.*may not run there"), placed((3, 9)):
        pass


@pytest.mark.parametrize(
    ("facts", "settings", "loopback", "ids"),
    [
        ({}, {}, False, []),
        ({}, {}, True, ["loopback"]),
        ({}, {"congestion_control": "bbr"}, True, ["loopback", "bbr-on-loopback"]),
        ({}, {"congestion_control": "bbr"}, False, []),
        ({"near_cpu": None, "far_cpu": None}, {}, False, ["not-pinned"]),
        ({"far_cpu": 0}, {}, True, ["loopback", "one-processor"]),
        ({"load_after_percent": 101.0}, {}, False, ["load-above-cores"]),
        ({"load_before_percent": None}, {}, False, []),
    ],
)
def test_what_speaks_against_trusting_a_measurement(
    facts: dict[str, Any], settings: dict[str, Any], loopback: bool, ids: list[str]
) -> None:
    found = common_warnings(replace(QUIET, **facts), replace(CUBIC, **settings), loopback=loopback)
    assert [one.id for one in found] == ids
