"""What a wanted rate takes: what is there, what is not, and what is possible instead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tcptool.analysis import bdp
from tcptool.analysis.verdict.goal import with_goal
from tcptool.analysis.verdict.judge import diagnose
from tcptool.model.diagnosis import Goal, Requirement
from tcptool.model.observation import Reading
from tests.unit.analysis.verdict.observations import MIB, observed, receiver, sender

WANTED = 12_500_000
"""100 Mbit/s: 250,000 bytes at the 20 ms of these paths."""
WIDE: dict[str, Any] = {"snd_wnd_bytes": MIB}


def goal_of(own: Sequence[Reading], wanted: int = WANTED, **around: Any) -> Goal:
    seen = observed(own, **around)
    goal = with_goal(diagnose(seen), seen, wanted).goal
    assert goal is not None
    assert goal.rate_bytes_per_s == wanted
    return goal


def row(goal: Goal, name: str) -> Requirement:
    [one] = [one for one in goal.requirements if one.name == name]
    return one


def test_without_a_goal_the_diagnosis_stays() -> None:
    seen = observed(sender())
    found = diagnose(seen)
    assert with_goal(found, seen, None) is found


def test_within_reach() -> None:
    goal = goal_of(sender(**WIDE))
    assert goal.reachable is True
    assert [one.name for one in goal.requirements] == [
        "snd_wnd_bytes", "net.ipv4.tcp_wmem[2]", "retrans_percent",
    ]  # fmt: skip
    assert all(one.met for one in goal.requirements)
    assert row(goal, "snd_wnd_bytes").needed == bdp.bdp_bytes(WANTED, 20_000)
    assert (goal.rtt_us, goal.offers) == (20_000, ())
    assert goal.goodput_bytes_per_s == pytest.approx(1_250_000)


@pytest.mark.parametrize(
    ("end", "around", "name", "who", "met"),
    [
        ({"snd_wnd_bytes": 65_536}, {}, "snd_wnd_bytes", "peer", False),
        ({"info": {"snd_wnd_bytes": None}}, {}, "snd_wnd_bytes", "peer", None),
        ({}, {"sysctls": {"net.ipv4.tcp_wmem[2]": 99_999}}, "net.ipv4.tcp_wmem[2]", "host", False),
        ({}, {"sysctls": {}}, "net.ipv4.tcp_wmem[2]", "host", None),
        (
            {"sndbuf_bytes": 65_536},
            {"options": {"SO_BUF_LOCK": ("send",)}},
            "sndbuf_bytes",
            "application",
            False,
        ),
        (
            {"sndbuf_bytes": 4 * MIB},
            {"options": {"SO_BUF_LOCK": ("send",)}},
            "sndbuf_bytes",
            "application",
            True,
        ),
        (
            {"info": {"max_pacing_rate_bytes_per_s": WANTED - 1}},
            {},
            "max_pacing_rate_bytes_per_s",
            "application",
            False,
        ),
        (
            {"info": {"max_pacing_rate_bytes_per_s": WANTED}},
            {},
            "max_pacing_rate_bytes_per_s",
            "application",
            True,
        ),
        ({"retrans_percent": 1}, {}, "retrans_percent", "path", False),
        ({"info": {"sent_bytes": None}}, {}, "retrans_percent", "path", None),
    ],
)
def test_what_a_rate_needs(
    end: dict[str, Any], around: dict[str, Any], name: str, who: str, met: bool | None
) -> None:
    goal = goal_of(sender(**WIDE | end), **around)
    one = row(goal, name)
    assert (one.who, one.met) == (who, met)
    assert goal.reachable is met  # all the others are met
    assert (one.present is None) is (met is None)
    assert one.needed > 0


def test_a_rate_that_is_there_is_within_reach_whatever_a_model_says() -> None:
    goal = goal_of(sender(mbit=101, snd_wnd_bytes=65_536, retrans_percent=1))
    assert (goal.reachable, goal.offers) == (True, ())
    assert goal_of(sender(mbit=99, snd_wnd_bytes=65_536)).reachable is False


def test_what_holds_it_back_now_may_still_be_in_the_way() -> None:
    bloated = {"rtt_ms": 60, "notsent_bytes": 500_000, "cwnd_used_percent": 100}
    goal = goal_of(sender(**WIDE | bloated))
    assert all(one.met for one in goal.requirements)
    assert goal.reachable is None


def test_what_fails_outweighs_what_is_not_known() -> None:
    assert goal_of(sender(snd_wnd_bytes=65_536), sysctls={}).reachable is False


def test_bbr_has_no_loss_budget_and_a_larger_buffer() -> None:
    names = [one.name for one in goal_of(sender(**WIDE, congestion="bbr")).requirements]
    assert "retrans_percent" not in names
    needed = {
        control: row(goal_of(sender(**WIDE, congestion=control)), "net.ipv4.tcp_wmem[2]").needed
        for control in ("bbr", "cubic")
    }
    assert needed["bbr"] > needed["cubic"]


def test_a_receiver_needs_its_own_window() -> None:
    goal = goal_of(receiver(rcv_wnd_bytes=65_536))
    assert [(one.name, one.who, one.met) for one in goal.requirements] == [
        ("rcv_wnd_bytes", "host", False),
        ("net.ipv4.tcp_rmem[2]", "host", True),
    ]
    assert goal.goodput_bytes_per_s == pytest.approx(1_250_000)
    assert goal.offers[0].startswith("this window (65536 B) carries 26.2 Mbit/s at 20 ms")


def test_offers_are_less_than_was_wanted() -> None:
    goal = goal_of(sender(snd_wnd_bytes=125_000, retrans_percent=1))
    assert goal.offers[0] == (
        "this window (122 KiB) carries 50 Mbit/s at 20 ms, and 100 Mbit/s over a round trip of "
        "10 ms or less"
    )
    assert goal.offers[1].startswith("this loss (1 %) leaves cubic ")
    unnamed = goal_of(sender(**WIDE, retrans_percent=1, congestion=None))
    assert "leaves this congestion control " in unnamed.offers[0]


@pytest.mark.parametrize(
    "end",
    [
        WIDE,
        WIDE | {"info": {"snd_wnd_bytes": None}},
        {"snd_wnd_bytes": 250_000},
        WIDE | {"congestion": "bbr", "retrans_percent": 1},
        WIDE | {"retrans_percent": 0.0005, "mbit": 90},  # more is possible with it
        WIDE | {"info": {"sent_bytes": None}},
    ],
)
def test_nothing_to_offer(end: dict[str, Any]) -> None:
    assert goal_of(sender(**end)).offers == ()


def test_the_usual_segment_stands_for_one_that_is_not_known() -> None:
    bare = sender(**WIDE, retrans_percent=1, info={"snd_mss_bytes": None})
    known = sender(**WIDE, retrans_percent=1, mss_bytes=bdp.USUAL_MSS_BYTES)
    assert goal_of(bare).offers == goal_of(known).offers


@pytest.mark.parametrize(
    ("info", "rtt_us"),
    [({"min_rtt_us": None}, 20_000), ({"min_rtt_us": 10_000}, 10_000), ({"rtt_us": 0}, 20_000)],
)
def test_the_shortest_round_trip_counts(info: dict[str, Any], rtt_us: int) -> None:
    assert goal_of(sender(**WIDE, info=info)).rtt_us == rtt_us


def test_without_a_round_trip_nothing_can_be_told() -> None:
    seen = observed(sender(info={"rtt_us": None, "min_rtt_us": None}))
    assert with_goal(diagnose(seen), seen, WANTED).goal is None
