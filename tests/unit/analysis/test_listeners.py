"""What queues, groups and counters mean, and what helps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tcptool.analysis import listeners as analysis
from tcptool.analysis.accept_queues import Track
from tcptool.analysis.listeners import (
    Around,
    Case,
    enough_backlog,
    judge,
    judge_namespace,
    who,
)
from tcptool.catalog import listeners as facts
from tcptool.catalog.severity import Severity
from tcptool.model.inspection import HolderRecord
from tcptool.model.listeners import (
    CounterReading,
    Listener,
    ListenerOptions,
    ListenNamespace,
    QueueVerdict,
)
from tcptool.model.sock import Endpoint, Socket
from tests.unit.analysis.test_accept_queues import listener, only, watched

NGINX = (
    HolderRecord(pid=42, fd=6, process="nginx", start_ticks=1),
    HolderRecord(pid=43, fd=6, process="nginx", start_ticks=1),
)


def around(*, elsewhere: bool = False, settings: Any = None, **counters: int | None) -> Around:
    """A namespace with the usual settings, and what its counters rose by."""
    values: dict[str, Any] = {
        "netns_inode": 1,
        "somaxconn": 4096,
        "tcp_max_syn_backlog": 2048,
        "tcp_syncookies": 1,
        "tcp_abort_on_overflow": 0,
        **(settings or {}),
    }
    readings = tuple(
        CounterReading(name=f"TcpExt{name}", total=new, new=new, rate_per_s=None)
        for name, new in counters.items()
    )
    return Around(namespace=ListenNamespace(counters=readings, **values), elsewhere=elsewhere)


QUIET = around(ListenOverflows=0, TCPReqQFullDrop=0)
HOLDING_BACK = around(ListenOverflows=0, ListenDrops=0, TCPDeferAcceptDrop=4)


def track(*looks: Socket) -> Track:
    return only(watched(*looks))


def judged(
    track: Track,
    holders: Sequence[HolderRecord] | None,
    around: Around,
    options: ListenerOptions | None = None,
) -> QueueVerdict:
    return judge(Case(track, holders, around, options))


def deferring(seconds: int | None) -> ListenerOptions:
    return ListenerOptions(reuseport=None, defer_accept_s=seconds, fastopen_queue=None)


def commands(verdict: QueueVerdict) -> list[str]:
    return [cure.command for cure in verdict.cures]


def test_an_empty_queue_is_fine() -> None:
    verdict = judged(track(listener(0), listener(1)), NGINX, QUIET)
    assert verdict == analysis.FINE
    assert judged(track(listener(0, 8, None)), NGINX, QUIET) == analysis.FINE


def test_what_cannot_be_read_is_not_judged() -> None:
    verdict = judged(track(listener(3, None, None)), NGINX, QUIET)
    assert (verdict.severity, verdict.cause) == (Severity.SKIP, facts.UNKNOWN)


def test_a_queue_that_is_always_full_is_the_program_s_doing() -> None:
    verdict = judged(track(listener(3, 2, 5), listener(3, 2, 10)), NGINX, QUIET)
    assert (verdict.severity, verdict.cause) == (Severity.FAIL, facts.NOT_ACCEPTING)
    assert "nginx does not accept" in verdict.message
    assert "5 tries were dropped" in verdict.message
    assert "believe that they are connected" in verdict.message
    assert verdict.blame == "nginx (pid 42 and 1 more)"
    assert commands(verdict) == ["tcptool apply 42:6 backlog=10"]
    assert verdict.cures[0].undo == "tcptool apply 42:6 backlog=2"
    assert "buys time" in verdict.cures[0].why


def test_one_look_at_a_full_queue_does_not_tell_that_it_is_always_full() -> None:
    assert judged(track(listener(3, 2)), NGINX, QUIET).cause == facts.BURST


def test_a_queue_that_is_full_at_times_is_a_burst() -> None:
    verdict = judged(track(listener(0, 2), listener(3, 2)), NGINX, QUIET)
    # Nobody came who found it full, so nothing is lost yet.
    assert (verdict.severity, verdict.cause) == (Severity.WARN, facts.BURST)
    assert "was full at 1 of 2 looks: the backlog of 2 is small" in verdict.message
    assert "nothing was dropped, but the next ones will be" in verdict.message
    assert "configuration" in verdict.cures[0].why


@pytest.mark.parametrize("overflows", [around(ListenOverflows=3), around()])
def test_an_overflow_between_two_looks_is_a_burst(overflows: Around) -> None:
    verdict = judged(track(listener(0, 128), listener(0, 128, 3)), NGINX, overflows)
    assert (verdict.severity, verdict.cause) == (Severity.FAIL, facts.BURST)
    assert "overflowed between two looks" in verdict.message
    assert commands(verdict) == ["tcptool apply 42:6 backlog=176"]  # 129 and 3, to three quarters


def test_drops_without_a_known_backlog_have_no_cure() -> None:
    verdict = judged(track(listener(1, None), listener(1, None, 3)), NGINX, around())
    assert verdict.cause == facts.BURST
    assert "the backlog is small" in verdict.message
    assert verdict.cures == ()


def test_a_reset_is_told_where_the_sysctl_asks_for_it() -> None:
    verdict = judged(
        track(listener(3, 2), listener(3, 2, 1)),
        NGINX,
        around(settings={"tcp_abort_on_overflow": 1}),
    )
    assert "get a reset" in verdict.message


def test_a_full_syn_queue_without_cookies() -> None:
    off = around(ListenOverflows=0, settings={"tcp_syncookies": 0})
    verdict = judged(track(listener(), listener(drops=2)), NGINX, off)
    assert (verdict.severity, verdict.cause) == (Severity.FAIL, facts.SYN_QUEUE)
    assert "SYN cookies are off" in verdict.message
    assert commands(verdict) == ["sudo sysctl -w net.ipv4.tcp_syncookies=1"]
    assert verdict.cures[0].undo == "sudo sysctl -w net.ipv4.tcp_syncookies=0"


def test_a_full_syn_queue_that_the_counter_tells_of() -> None:
    verdict = judged(
        track(listener(), listener(drops=2)), NGINX, around(ListenOverflows=0, TCPReqQFullDrop=2)
    )
    assert (verdict.cause, verdict.cures) == (facts.SYN_QUEUE, ())
    assert "flood" in (verdict.blame or "")


def test_drops_for_which_no_queue_is_the_reason() -> None:
    verdict = judged(track(listener(), listener(drops=2)), NGINX, QUIET)
    assert (verdict.severity, verdict.cause) == (Severity.WARN, facts.OTHER_DROPS)
    assert "no route back" in verdict.message
    assert (verdict.blame, verdict.cures) == (None, ())
    assert verdict.message.endswith("; 2 tries were dropped")


def test_handshakes_that_were_held_back_are_not_lost() -> None:
    """TCP_DEFER_ACCEPT: a listener counts among its drops what only waits for data."""
    held_back = track(listener(drops=1), listener(drops=5))
    assert judged(held_back, NGINX, HOLDING_BACK) == analysis.FINE
    mixed = around(ListenOverflows=9, ListenDrops=9, TCPDeferAcceptDrop=5)
    verdict = judged(held_back, NGINX, mixed)
    assert (verdict.severity, verdict.cause) == (Severity.INFO, facts.DEFERRED)
    assert judged(held_back, NGINX, mixed, deferring(5)).cause == facts.DEFERRED
    assert judged(held_back, NGINX, mixed, deferring(None)).cause == facts.DEFERRED
    assert judged(held_back, NGINX, mixed, deferring(0)).cause == facts.BURST
    few = around(ListenOverflows=9, ListenDrops=9, TCPDeferAcceptDrop=3)
    assert judged(held_back, NGINX, few).cause == facts.BURST


def test_old_drops_that_may_have_been_held_back_are_no_warning() -> None:
    old = track(listener(drops=4), listener(drops=4))
    lost = around(ListenDrops=9, TCPDeferAcceptDrop=4)
    assert judged(old, NGINX, lost).cause == facts.DEFERRED
    assert judged(old, NGINX, lost, deferring(0)).cause == facts.DROPPED_BEFORE
    assert judged(old, NGINX, HOLDING_BACK) == analysis.FINE
    assert judged(old, NGINX, HOLDING_BACK, deferring(0)) == analysis.FINE


def test_packets_that_no_queue_dropped_are_a_warning() -> None:
    verdict = judged(
        track(listener(), listener(drops=5)), NGINX, around(ListenDrops=0, TCPDeferAcceptDrop=0)
    )
    assert (verdict.severity, verdict.cause) == (Severity.WARN, facts.DISCARDED)


def test_a_try_that_counts_twice_is_one() -> None:
    twice = around(ListenOverflows=3, ListenDrops=3)
    verdict = judged(track(listener(9, 8), listener(9, 8, 6)), NGINX, twice)
    assert "3 tries were dropped" in verdict.message
    assert commands(verdict) == ["tcptool apply 42:6 backlog=16"]  # 9 and 3, to three quarters


def test_what_was_held_back_needs_no_longer_queue() -> None:
    full = track(listener(9, 8), listener(9, 8, 4))
    assert enough_backlog(Case(full, NGINX, HOLDING_BACK)) == 12
    assert enough_backlog(Case(full, NGINX, around())) == 17
    assert "nothing was dropped" in judged(full, NGINX, HOLDING_BACK).message
    assert "4 tries were dropped" in judged(full, NGINX, around()).message
    one = track(listener(9, 8), listener(9, 8, 1))
    assert "1 try was dropped" in judged(one, NGINX, around()).message


def test_a_queue_that_is_nearly_full_is_a_warning() -> None:
    verdict = judged(track(listener(0, 7), listener(6, 7, 0)), NGINX, QUIET)
    assert (verdict.severity, verdict.cause) == (Severity.WARN, facts.NEAR_FULL)
    assert verdict.message == (
        "6 of the 8 connections that may wait for accept() have waited; nothing was dropped now"
    )
    assert commands(verdict) == ["tcptool apply 42:6 backlog=8"]
    assert judged(track(listener(5, 7)), NGINX, QUIET) == analysis.FINE


def test_a_queue_that_never_empties_is_told_as_such() -> None:
    verdict = judged(track(listener(6, 7), listener(7, 7)), NGINX, QUIET)
    assert "never fewer than 6: nginx hardly accepts" in verdict.message
    assert "buys time" in verdict.cures[0].why


@pytest.mark.parametrize(
    ("overflows", "severity", "text"),
    [
        (None, Severity.FAIL, "while it is full, connections are dropped"),
        (2, Severity.FAIL, "while it is full, connections are dropped"),
        (0, Severity.FAIL, "nothing was dropped"),
    ],
)
def test_where_a_listener_does_not_tell_its_drops_the_namespace_does(
    overflows: int | None, severity: Severity, text: str
) -> None:
    full = track(listener(3, 2, None), listener(3, 2, None))
    verdict = judged(full, NGINX, around(ListenOverflows=overflows))
    assert verdict.severity is severity
    assert text in verdict.message


def test_old_drops_are_context_without_a_cure() -> None:
    verdict = judged(track(listener(0, 8, 5), listener(0, 8, 5)), NGINX, QUIET)
    assert (verdict.severity, verdict.cause) == (Severity.INFO, facts.DROPPED_BEFORE)
    assert "dropped 5" in verdict.message
    assert (verdict.blame, verdict.cures) == (None, ())


def test_somaxconn_is_raised_first() -> None:
    low = around(settings={"somaxconn": 128})
    verdict = judged(track(listener(0, 128), listener(129, 128)), NGINX, low)
    assert commands(verdict) == [
        "sudo sysctl -w net.core.somaxconn=172",
        "tcptool apply 42:6 backlog=172",
    ]
    assert verdict.cures[0].undo == "sudo sysctl -w net.core.somaxconn=128"
    assert verdict.cures[0].risk
    assert (verdict.cures[0].persistence or "").startswith("net.core.somaxconn = 172 in /etc")
    assert (verdict.cures[1].risk, verdict.cures[1].persistence) == (None, None)
    assert "may have been cut" in verdict.message
    assert verdict.blame == "nginx (pid 42 and 1 more), and net.core.somaxconn"


def test_a_sysctl_of_another_namespace_is_set_in_it() -> None:
    low = around(elsewhere=True, settings={"somaxconn": 128})
    verdict = judged(track(listener(129, 128)), NGINX, low)
    assert commands(verdict)[0] == "sudo nsenter --target 42 --net sysctl -w net.core.somaxconn=172"


def test_no_command_that_would_miss_the_namespace_is_suggested() -> None:
    there = around(
        elsewhere=True, ListenOverflows=0, settings={"somaxconn": 128, "tcp_syncookies": 0}
    )
    assert judged(track(listener(129, 128)), None, there).cures == ()
    dropping = track(listener(), listener(drops=2))
    assert judged(dropping, None, there).cures == ()
    assert commands(judged(dropping, NGINX, there)) == [
        "sudo nsenter --target 42 --net sysctl -w net.ipv4.tcp_syncookies=1"
    ]


def test_an_unknown_somaxconn_is_left_alone() -> None:
    verdict = judged(track(listener(9, 8)), NGINX, around(settings={"somaxconn": None}))
    assert commands(verdict) == ["tcptool apply 42:6 backlog=12"]
    assert "may have been cut" not in verdict.message


@pytest.mark.parametrize(
    ("holders", "cookie", "blame", "command"),
    [
        (NGINX[:1], "1", "nginx (pid 42)", ["tcptool apply 42:6 backlog=12"]),
        (None, "abc", "its owner, which may not be seen", ["sudo tcptool apply sk:abc backlog=12"]),
        (None, None, "its owner, which may not be seen", []),
        (
            (),
            "abc",
            "its owner, which is no process of this network namespace; it may be the kernel",
            [],
        ),
    ],
)
def test_the_owner_is_named_as_far_as_it_is_known(
    holders: Sequence[HolderRecord] | None, cookie: str | None, blame: str, command: list[str]
) -> None:
    verdict = judged(track(listener(9, 8, cookie=cookie)), holders, QUIET)
    assert verdict.blame == blame
    assert commands(verdict) == command


def test_the_owner_is_named_in_the_words_too() -> None:
    full = track(listener(9, 8), listener(9, 8))
    assert "the program does not accept" in judged(full, None, QUIET).message
    assert "the program does not accept" in judged(full, (), QUIET).message
    assert who(NGINX) == "nginx (pid 42 and 1 more)"


def test_a_suggested_backlog_is_enough_and_the_smallest() -> None:
    for waiting in (1, 2, 3, 10, 96, 97, 500):
        enough = enough_backlog(Case(track(listener(waiting, 8)), NGINX, QUIET))
        assert 100 * waiting / (enough + 1) < facts.NEAR_FULL_PERCENT <= 100 * waiting / enough


def test_a_suggested_backlog_has_a_limit() -> None:
    flooded = track(listener(0, 65_535), listener(65_536, 65_535, 1 << 20))
    assert enough_backlog(Case(flooded, NGINX, around())) == facts.MOST_BACKLOG
    assert judged(flooded, NGINX, around()).cures == ()


def test_no_cure_is_to_reset_clients() -> None:
    everything = [
        judged(track(*looks), NGINX, surroundings)
        for looks in ([listener(9, 8, 1), listener(9, 8, 9)], [listener(), listener(drops=3)])
        for surroundings in (QUIET, around(), around(settings={"tcp_syncookies": 0}))
    ]
    assert not [text for one in everything for text in commands(one) if "abort" in text]


# -- groups ------------------------------------------------------------------------------------


def member(queue: int | None, backlog: int = 15, drops: int | None = 0, **more: Any) -> Listener:
    looks = track(
        listener(queue, backlog, drops if drops is None else 0), listener(queue, backlog, drops)
    )
    values: dict[str, Any] = {
        "local": Endpoint("0.0.0.0", 80),
        "protocol": "tcp",
        "family": "ipv4",
        "v6only": None,
        "ifindex": 0,
        "cookie": "1",
        "inode": 7,
        "uid": 0,
        "cgroup": None,
        "holders": NGINX[:1],
        "presence": "steady",
        "accept_queue": queue,
        "min_accept_queue": queue,
        "max_accept_queue": queue,
        "backlog": backlog,
        "capped": False,
        "full_percent": looks.full_percent,
        "samples": 2,
        "full_samples": looks.full_samples,
        "drops": drops,
        "new_drops": drops,
        "peak_drops": drops,
        "drops_per_s": None,
        "syn_recv": 0,
        "group": 0,
        "queue_share_percent": None,
        "connections": None,
        "options": None,
        "verdict": judged(looks, NGINX[:1], QUIET),
        **more,
    }
    return Listener(**values)


def test_an_even_group_is_fine() -> None:
    group = analysis.group_of([member(2), member(2), member(0), member(0)])
    assert (group.members, group.even_percent, group.most_queue_percent) == (4, 25, 50)
    assert (group.max_accept_queue, group.new_drops, group.most_drops_percent) == (4, 0, None)
    assert group.verdict == analysis.FINE


def test_a_group_that_is_full_everywhere_is_not_uneven() -> None:
    assert analysis.group_of([member(16), member(16)]).verdict == analysis.FINE


def test_a_member_that_is_stuck_makes_a_group_uneven() -> None:
    group = analysis.group_of([member(0), member(16, drops=4), member(12, drops=1)])
    assert (group.verdict.severity, group.verdict.cause) == (Severity.FAIL, facts.UNEVEN)
    assert "2 of 3 members are full " in group.verdict.message
    assert group.verdict.blame == "nginx (pid 42)"
    assert group.most_drops_percent == 80
    near = analysis.group_of([member(0), member(12)])
    assert near.verdict.severity is Severity.WARN
    assert "1 of 2 members is full " in near.verdict.message


def test_a_member_that_drops_for_no_queue_is_not_full() -> None:
    assert analysis.group_of([member(0, drops=3), member(0)]).verdict == analysis.FINE


def test_a_group_of_which_nothing_is_known_has_no_shares() -> None:
    unknown = member(None, drops=None)
    group = analysis.group_of([unknown, unknown])
    assert (group.max_accept_queue, group.new_drops) == (None, None)
    assert (group.most_queue_percent, group.most_drops_percent) == (None, None)


@pytest.mark.parametrize(
    ("part", "parts", "share"),
    [(1, [1, 3], 25), (None, [None, 3], None), (0, [0, 0], None), (3, [3, None], 100)],
)
def test_shares(part: int | None, parts: list[int | None], share: float | None) -> None:
    assert analysis.share_percent(part, parts) == share


# -- the namespace -----------------------------------------------------------------------------


def found(surroundings: Around, *listeners: Listener) -> list[tuple[Severity, str]]:
    return [(one.severity, one.cause) for one in judge_namespace(surroundings, listeners)]


def test_a_quiet_namespace_has_nothing_to_tell() -> None:
    assert found(QUIET) == []
    assert found(around()) == []


def test_an_overflow_is_told_unless_a_listener_explains_it() -> None:
    overflowing = around(ListenOverflows=4)
    assert found(overflowing) == [(Severity.FAIL, facts.OVERFLOW)]
    assert found(overflowing, member(0)) == [(Severity.FAIL, facts.OVERFLOW)]
    assert found(overflowing, member(0, drops=4)) == [(Severity.FAIL, facts.OVERFLOW)]
    assert found(overflowing, member(16)) == []


def test_cookies_with_overflows_are_a_small_backlog() -> None:
    both = around(ListenOverflows=5, SyncookiesSent=5, SyncookiesRecv=0)
    [verdict] = judge_namespace(both, [member(16, drops=5)])
    assert (verdict.severity, verdict.cause) == (Severity.WARN, facts.SMALL_BACKLOG)
    assert "not an attack" in verdict.message


@pytest.mark.parametrize(
    ("sent", "back", "expected"),
    [
        (1000, 99, (Severity.WARN, facts.FLOOD)),
        (1000, 100, (Severity.INFO, facts.SYN_BURST)),
        (99, 0, (Severity.INFO, facts.SYN_BURST)),
        (100, None, (Severity.WARN, facts.FLOOD)),
    ],
)
def test_cookies_that_do_not_come_back_are_a_flood(
    sent: int, back: int | None, expected: tuple[Severity, str]
) -> None:
    assert found(around(SyncookiesSent=sent, SyncookiesRecv=back)) == [expected]


def test_cookies_that_are_always_sent_tell_nothing() -> None:
    always = around(SyncookiesSent=1000, settings={"tcp_syncookies": 2})
    assert found(always) == []


def test_the_worst_counts() -> None:
    assert analysis.worst([]) is Severity.OK
    info = replace(analysis.FINE, severity=Severity.INFO)
    assert analysis.worst([analysis.FINE, info, analysis.UNKNOWN]) is Severity.INFO


def test_every_cause_has_a_meaning() -> None:
    words = {
        value
        for name, value in vars(facts).items()
        if name.isupper() and isinstance(value, str) and "." not in value
    }
    assert words - facts.COUNTERS.keys() == facts.CAUSES.keys()
