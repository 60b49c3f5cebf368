"""What is put back, in which order, and what is left alone."""

from __future__ import annotations

import errno
import struct
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcptool.analysis.undo import (
    DISTURBED,
    DONE,
    SETTLED,
    Restoration,
    StepResult,
    UndoPlan,
    disturbed_by,
    finished,
    known_option,
    options_to_read,
    plan_undo,
)
from tcptool.catalog.options import BACKLOG, BY_NAME, SocketOption
from tcptool.model.journal import DoneChange, PlannedChange, SocketEntry, SocketIdentity

IDENTITY = SocketIdentity(
    netns_cookie="1", cookie="2a", inode=7, pid=42, start_ticks=1000, fd=9, label="x"
)
NONE, SEND, RECEIVE, BOTH = 0, 1, 2, 3


def raw(number: int) -> bytes:
    return struct.pack("=i", number)


def raws(**values: int) -> dict[str, bytes]:
    return {name: raw(value) for name, value in values.items()}


def planned(option: str, before: int | None, requested: int = 0, **kept: int) -> PlannedChange:
    return PlannedChange(
        option=option,
        before=None if before is None else raw(before),
        requested=raw(requested),
        kept=raws(**kept),
    )


def done(option: str, after: int | None, number: int = 0, **kept: int) -> DoneChange:
    read = None if after is None else raw(after)
    return DoneChange(option=option, after=read, errno=number, kept=raws(**kept))


def entry(*changes: PlannedChange | DoneChange) -> SocketEntry:
    return SocketEntry(
        identity=IDENTITY,
        planned=tuple(c for c in changes if isinstance(c, PlannedChange)),
        done=tuple(c for c in changes if isinstance(c, DoneChange)),
    )


def never(_option: SocketOption, _requested: bytes, _now: bytes) -> bool:
    return False


def exactly(_option: SocketOption, requested: bytes, now: bytes) -> bool:
    return requested == now


def plan(
    socket: SocketEntry, newer: Mapping[str, str] | None = None, /, **current: int | None
) -> UndoPlan:
    values = {name: None if value is None else raw(value) for name, value in current.items()}
    return plan_undo(socket, values, exactly, newer)


def words(made: UndoPlan) -> dict[str, str]:
    return {one.option.name: one.word for one in made.restorations}


def steps(made: UndoPlan) -> list[tuple[str, int]]:
    """What is set first, by the option that is tried first."""
    return [(one.ways[0].name, struct.unpack("=i", one.value)[0]) for one in made.steps]


def only(made: UndoPlan) -> Restoration:
    (one,) = made.restorations
    return one


NODELAY = entry(planned("TCP_NODELAY", 0, 1), done("TCP_NODELAY", 1))


# -- one option ----------------------------------------------------------------------------


def test_a_value_that_is_still_ours_is_put_back() -> None:
    made = plan(NODELAY, TCP_NODELAY=1)
    assert (words(made), steps(made)) == ({"TCP_NODELAY": "restore"}, [("TCP_NODELAY", 0)])


def test_a_value_that_is_as_it_was_needs_nothing() -> None:
    made = plan(NODELAY, TCP_NODELAY=0)
    assert (words(made), steps(made)) == ({"TCP_NODELAY": "already"}, [])


def test_a_value_that_the_owner_has_changed_is_left_alone() -> None:
    socket = entry(planned("TCP_KEEPIDLE", 7200, 60), done("TCP_KEEPIDLE", 60))
    made = plan(socket, TCP_KEEPIDLE=30)
    assert (words(made), steps(made)) == ({"TCP_KEEPIDLE": "refused"}, [])
    assert "owner" in only(made).note


def test_a_value_that_another_command_has_changed_is_put_back_by_undoing_that_one() -> None:
    socket = entry(planned("TCP_KEEPIDLE", 7200, 60), done("TCP_KEEPIDLE", 60))
    made = plan(socket, {"TCP_KEEPIDLE": "k7"}, TCP_KEEPIDLE=30)
    assert only(made).note == "k7 changed it later: undo that first"


def test_a_change_that_changed_nothing_is_no_business_of_later_ones() -> None:
    socket = entry(planned("TCP_NODELAY", 1, 1), done("TCP_NODELAY", 1))
    assert words(plan(socket, TCP_NODELAY=0)) == {"TCP_NODELAY": "already"}


def test_a_change_that_had_been_refused_has_nothing_to_put_back() -> None:
    socket = entry(planned("TCP_KEEPIDLE", 7200, 0), done("TCP_KEEPIDLE", 7200, errno.EINVAL))
    made = plan(socket, TCP_KEEPIDLE=30)
    assert words(made) == {"TCP_KEEPIDLE": "already"}
    assert "EINVAL" in only(made).note


def test_what_follows_a_sysctl_does_not_any_more() -> None:
    socket = entry(planned("TCP_KEEPIDLE", 7200, 60), done("TCP_KEEPIDLE", 60))
    assert "net.ipv4.tcp_keepalive_time" in only(plan(socket, TCP_KEEPIDLE=60)).note


@pytest.mark.parametrize(("now", "word"), [(0, "already"), (1, "restore"), (9, "refused")])
def test_a_change_that_nobody_knows_the_end_of(now: int, word: str) -> None:
    """tcptool was killed: it happened, or it did not, or the owner has changed it since."""
    made = plan(entry(planned("TCP_NODELAY", 0, 1)), TCP_NODELAY=now)
    assert words(made) == {"TCP_NODELAY": word}


def test_what_cannot_be_put_back_is_named() -> None:
    for option, before, now in (
        ("SO_BUSY_POLL_BUDGET", None, None),  # it cannot be read
        ("TCP_NODELAY", 0, None),  # it cannot be read any more
        ("SO_INCOMING_CPU", 1, 2),
    ):
        socket = entry(planned(option, before, 5), done(option, 5))
        made = plan(socket, **{option: now})
        assert (words(made), steps(made)) == ({option: "cannot"}, [])
        assert only(made).note


def test_what_fades_by_itself_is_gone() -> None:
    socket = entry(planned("TCP_QUICKACK", 1, 0), done("TCP_QUICKACK", 0))
    assert words(plan(socket, TCP_QUICKACK=0)) == {"TCP_QUICKACK": "faded"}


def test_an_option_of_a_newer_tcptool_is_left_alone() -> None:
    socket = entry(planned("TCP_FROM_THE_FUTURE", 0, 1), *NODELAY.planned, *NODELAY.done)
    made = plan(socket, TCP_NODELAY=1)
    assert made.unknown == ("TCP_FROM_THE_FUTURE",)
    assert words(made) == {"TCP_NODELAY": "restore"}
    assert [one.name for one in options_to_read(socket)] == ["TCP_NODELAY"]


def test_what_is_undone_is_not_undone_again() -> None:
    socket = replace(NODELAY, undone=("TCP_NODELAY",))
    assert plan(socket) == UndoPlan(restorations=(), steps=(), unknown=())


def test_a_backlog_is_put_back_by_listen() -> None:
    socket = entry(planned("backlog", 128, 4096), done("backlog", 4096))
    made = plan(socket, backlog=4096)
    assert [(one.ways, one.value) for one in made.steps] == [((BACKLOG,), raw(128))]
    assert known_option("backlog") is BACKLOG


def test_a_segment_size_that_was_not_set_is_unset() -> None:
    """536 is what a listener reads while nothing is set; setting it would pin it."""
    socket = entry(planned("TCP_MAXSEG", 536, 1000), done("TCP_MAXSEG", 1000))
    made = plan(socket, TCP_MAXSEG=1000)
    assert (steps(made), made.steps[0].target) == ([("TCP_MAXSEG", 0)], raw(536))
    socket = entry(planned("TCP_MAXSEG", 900, 1000), done("TCP_MAXSEG", 1000))
    assert steps(plan(socket, TCP_MAXSEG=1000)) == [("TCP_MAXSEG", 900)]


# -- several options -----------------------------------------------------------------------


def test_changes_are_put_back_in_reverse() -> None:
    names = ("TCP_NODELAY", "TCP_CORK", "TCP_SYNCNT")
    socket = entry(*(planned(name, 0, 1) for name in names), *(done(name, 1) for name in names))
    made = plan(socket, **dict.fromkeys(names, 1))
    assert [name for name, _ in steps(made)] == ["TCP_SYNCNT", "TCP_CORK", "TCP_NODELAY"]


def test_the_times_of_probes_come_before_the_probes() -> None:
    names = ("TCP_KEEPIDLE", "SO_KEEPALIVE")
    socket = entry(*(planned(name, 1, 0) for name in names), *(done(name, 0) for name in names))
    made = plan(socket, TCP_KEEPIDLE=0, SO_KEEPALIVE=0)
    assert [name for name, _ in steps(made)] == ["TCP_KEEPIDLE", "SO_KEEPALIVE"]


TOS = planned("IP_TOS", 0, 0xB8, SO_PRIORITY=6)
TOS_DONE = done("IP_TOS", 0xB8, SO_PRIORITY=4)


def test_the_priority_that_ip_tos_sets_is_put_back_after_it() -> None:
    made = plan(entry(TOS, TOS_DONE), IP_TOS=0xB8, SO_PRIORITY=4)
    assert steps(made) == [("IP_TOS", 0), ("SO_PRIORITY", 6)]


def test_a_priority_that_the_owner_chose_since_survives_ip_tos() -> None:
    made = plan(entry(TOS, TOS_DONE), IP_TOS=0xB8, SO_PRIORITY=2)
    assert steps(made) == [("IP_TOS", 0), ("SO_PRIORITY", 2)]


def test_an_unreadable_priority_is_set_as_it_was() -> None:
    made = plan(entry(TOS), IP_TOS=0xB8, SO_PRIORITY=None)
    assert steps(made) == [("IP_TOS", 0), ("SO_PRIORITY", 6)]


def test_a_priority_that_is_refused_itself_survives_ip_tos() -> None:
    priority = planned("SO_PRIORITY", 6, 1), done("SO_PRIORITY", 1)
    made = plan(entry(TOS, priority[0], TOS_DONE, priority[1]), IP_TOS=0xB8, SO_PRIORITY=3)
    assert words(made) == {"IP_TOS": "restore", "SO_PRIORITY": "refused"}
    assert steps(made) == [("IP_TOS", 0), ("SO_PRIORITY", 3)]


def test_a_priority_that_is_put_back_itself_is_set_once() -> None:
    priority = planned("SO_PRIORITY", 6, 1), done("SO_PRIORITY", 1)
    made = plan(entry(TOS, priority[0], TOS_DONE, priority[1]), IP_TOS=0xB8, SO_PRIORITY=1)
    assert steps(made) == [("IP_TOS", 0), ("SO_PRIORITY", 6)]


def test_an_option_that_another_change_disturbed_is_put_back_though_it_reads_neither() -> None:
    """Killed after IP_TOS, before SO_PRIORITY: the priority is what IP_TOS made of it."""
    socket = entry(TOS, planned("SO_PRIORITY", 6, 1))
    made = plan(socket, IP_TOS=0xB8, SO_PRIORITY=4)
    assert words(made) == {"IP_TOS": "restore", "SO_PRIORITY": "restore"}
    assert steps(made) == [("IP_TOS", 0), ("SO_PRIORITY", 6)]


# -- buffers -------------------------------------------------------------------------------

BEFORE = {"SO_BUF_LOCK": NONE, "TCP_WINDOW_CLAMP": 10_937_880}
RCVBUF = planned("SO_RCVBUF", 17_500_608, 65_536, **BEFORE)
RCVBUF_DONE = done("SO_RCVBUF", 131_072, SO_BUF_LOCK=RECEIVE, TCP_WINDOW_CLAMP=10_937_880)


def test_a_tuned_buffer_gets_its_size_then_its_freedom_then_its_clamp() -> None:
    made = plan(
        entry(RCVBUF, RCVBUF_DONE), SO_RCVBUF=131_072, SO_BUF_LOCK=RECEIVE, TCP_WINDOW_CLAMP=65_536
    )
    assert steps(made) == [
        ("SO_RCVBUFFORCE", 8_750_304),
        ("SO_BUF_LOCK", NONE),
        ("TCP_WINDOW_CLAMP", 10_937_880),
    ]
    assert [way.name for way in made.steps[0].ways] == ["SO_RCVBUFFORCE", "SO_RCVBUF"]
    assert only(made).needs == ("SO_RCVBUF", "SO_BUF_LOCK", "TCP_WINDOW_CLAMP")


def test_half_a_restoration_is_finished() -> None:
    """undo was killed after the size: it reads as before, but is still locked."""
    made = plan(
        entry(RCVBUF, RCVBUF_DONE),
        SO_RCVBUF=17_500_608,
        SO_BUF_LOCK=RECEIVE,
        TCP_WINDOW_CLAMP=10_937_880,
    )
    assert (words(made), steps(made)) == ({"SO_RCVBUF": "restore"}, [("SO_BUF_LOCK", NONE)])


def test_the_lock_of_the_other_buffer_is_not_touched() -> None:
    """The owner has locked the send buffer since."""
    made = plan(
        entry(RCVBUF, RCVBUF_DONE),
        SO_RCVBUF=131_072,
        SO_BUF_LOCK=BOTH,
        TCP_WINDOW_CLAMP=10_937_880,
    )
    assert ("SO_BUF_LOCK", SEND) in steps(made)


def test_a_buffer_that_is_tuned_again_has_moved_by_itself() -> None:
    """Its size was set and its lock cleared in one command; the kernel went on from there."""
    lock = planned("SO_BUF_LOCK", NONE, NONE, SO_RCVBUF=17_500_608)
    socket = entry(RCVBUF, lock, RCVBUF_DONE, done("SO_BUF_LOCK", NONE, SO_RCVBUF=131_072))
    made = plan(socket, SO_RCVBUF=400_000, SO_BUF_LOCK=NONE, TCP_WINDOW_CLAMP=10_937_880)
    assert words(made)["SO_RCVBUF"] == "restore"
    assert steps(made) == [("SO_RCVBUFFORCE", 8_750_304), ("SO_BUF_LOCK", NONE)]


def test_a_locked_buffer_that_has_moved_was_moved_by_the_owner() -> None:
    made = plan(
        entry(RCVBUF, RCVBUF_DONE),
        SO_RCVBUF=400_000,
        SO_BUF_LOCK=RECEIVE,
        TCP_WINDOW_CLAMP=10_937_880,
    )
    assert (words(made), steps(made)) == ({"SO_RCVBUF": "refused"}, [])


def test_a_buffer_that_was_never_reached_goes_on_being_tuned() -> None:
    """Killed before the first change: shrinking it now would only harm."""
    made = plan(entry(RCVBUF), SO_RCVBUF=20_000_000, **BEFORE)
    assert (words(made), steps(made)) == ({"SO_RCVBUF": "already"}, [])


def test_a_lock_that_is_cleared_is_put_back_with_the_size_that_it_had_kept() -> None:
    lock = planned("SO_BUF_LOCK", SEND, NONE, SO_SNDBUF=9216, SO_RCVBUF=131_072)
    socket = entry(lock, done("SO_BUF_LOCK", NONE, SO_SNDBUF=9216, SO_RCVBUF=131_072))
    made = plan(socket, SO_BUF_LOCK=NONE, SO_SNDBUF=4_194_304, SO_RCVBUF=6_000_000)
    assert steps(made) == [("SO_SNDBUFFORCE", 4608), ("SO_BUF_LOCK", SEND)]


def test_a_killed_change_of_the_lock_is_put_back() -> None:
    """SO_RCVBUF has locked the buffer, SO_BUF_LOCK=none did not follow any more."""
    lock = planned("SO_BUF_LOCK", NONE, NONE, SO_RCVBUF=17_500_608)
    made = plan(
        entry(planned("SO_RCVBUF", 17_500_608, 131_072, **BEFORE), lock),
        SO_RCVBUF=131_072,
        SO_BUF_LOCK=RECEIVE,
        TCP_WINDOW_CLAMP=10_937_880,
    )
    assert words(made) == {"SO_BUF_LOCK": "restore", "SO_RCVBUF": "restore"}
    assert steps(made) == [("SO_RCVBUFFORCE", 8_750_304), ("SO_BUF_LOCK", NONE)]


@pytest.mark.parametrize("locks", [NONE, RECEIVE])
def test_a_clamp_that_the_kernel_has_moved_is_put_back(locks: int) -> None:
    socket = entry(planned("TCP_WINDOW_CLAMP", 65_536, 4096), done("TCP_WINDOW_CLAMP", 4096))
    made = plan(socket, TCP_WINDOW_CLAMP=30_000, SO_BUF_LOCK=locks)
    assert steps(made) == [("TCP_WINDOW_CLAMP", 65_536)]
    assert "kernel" in only(made).note


def test_no_clamp_on_a_socket_that_has_connected_since_stays_with_the_kernel() -> None:
    rcvbuf = planned("SO_RCVBUF", 131_072, 4096, SO_BUF_LOCK=NONE, TCP_WINDOW_CLAMP=0)
    after = done("SO_RCVBUF", 8192, SO_BUF_LOCK=RECEIVE, TCP_WINDOW_CLAMP=0)
    current = {"SO_RCVBUF": 8192, "SO_BUF_LOCK": RECEIVE, "TCP_WINDOW_CLAMP": 5000}
    assert "TCP_WINDOW_CLAMP" not in dict(steps(plan(entry(rcvbuf, after), **current)))
    clamp = planned("TCP_WINDOW_CLAMP", 0, 5000), done("TCP_WINDOW_CLAMP", 5000)
    made = plan(entry(rcvbuf, clamp[0], after, clamp[1]), **current)
    assert dict(steps(made))["TCP_WINDOW_CLAMP"] == 0


def test_a_socket_without_a_lock_stays_untuned() -> None:
    """MPTCP, or Linux before 5.15."""
    socket = entry(planned("SO_SNDBUF", 16_384, 65_536), done("SO_SNDBUF", 131_072))
    made = plan(socket, SO_SNDBUF=131_072, SO_BUF_LOCK=None)
    assert steps(made) == [("SO_SNDBUFFORCE", 8192)]
    assert "SO_BUF_LOCK" in only(made).note


@pytest.mark.parametrize("after", [262_144, None])
def test_a_forced_size_shows_in_the_plain_option(after: int | None) -> None:
    change = planned(
        "SO_RCVBUFFORCE", None, 131_072, SO_RCVBUF=131_072, SO_BUF_LOCK=NONE, TCP_WINDOW_CLAMP=9
    )
    socket = entry(change, done("SO_RCVBUFFORCE", after))
    assert "SO_RCVBUFFORCE" not in [option.name for option in options_to_read(socket)]
    made = plan(socket, SO_RCVBUF=262_144, SO_BUF_LOCK=RECEIVE, TCP_WINDOW_CLAMP=9)
    assert steps(made) == [("SO_RCVBUFFORCE", 65_536), ("SO_BUF_LOCK", NONE)]
    assert only(made).shown_as.name == "SO_RCVBUF"


@pytest.mark.parametrize("now", [131_073, 131_072])
def test_of_an_odd_size_the_even_one_below_is_as_good(now: int) -> None:
    """The kernel doubles what is set, and tunes to any size."""
    change = planned("SO_RCVBUF", 131_073, 4096, **BEFORE)
    made = plan(entry(change, done("SO_RCVBUF", 8192)), SO_RCVBUF=now, **BEFORE)
    assert words(made) == {"SO_RCVBUF": "already"}


@pytest.mark.parametrize(("now", "word"), [((0, 5), "already"), ((1, 5), "restore")])
def test_linger_that_is_off_is_off_whatever_its_seconds(now: tuple[int, int], word: str) -> None:
    """The kernel does not take the seconds with the switch off."""
    off, on, reads = (struct.pack("=ii", *pair) for pair in ((0, 0), (1, 5), now))
    change = PlannedChange(option="SO_LINGER", before=off, requested=on, kept={})
    made = plan_undo(entry(change), {"SO_LINGER": reads}, exactly, {})
    assert words(made) == {"SO_LINGER": word}


def test_an_undo_that_was_killed_has_disturbed_options_itself() -> None:
    """It had put back IP_TOS, which sets the priority, and SO_RCVBUF, which locks."""
    lock = planned("SO_BUF_LOCK", NONE, NONE)
    priority = planned("SO_PRIORITY", 6, 1)
    results = RCVBUF_DONE, done("SO_BUF_LOCK", NONE), TOS_DONE, done("SO_PRIORITY", 1)
    socket = entry(RCVBUF, lock, TOS, priority, *results)
    current = {
        **BEFORE, "SO_RCVBUF": 17_500_608, "SO_BUF_LOCK": RECEIVE, "IP_TOS": 0, "SO_PRIORITY": 0,
    }  # fmt: skip
    assert words(plan(socket, **current))["SO_PRIORITY"] == "refused"
    made = plan(replace(socket, undoing=True), **current)
    assert (words(made)["SO_PRIORITY"], words(made)["SO_RCVBUF"]) == ("restore", "restore")
    assert steps(made) == [("SO_PRIORITY", 6), ("SO_BUF_LOCK", NONE)]


def test_an_undo_that_was_killed_has_disturbed_what_was_kept_itself() -> None:
    made = plan(replace(entry(TOS, TOS_DONE), undoing=True), IP_TOS=0, SO_PRIORITY=0)
    assert steps(made) == [("SO_PRIORITY", 6)]


# -- afterwards ----------------------------------------------------------------------------


def after(made: UndoPlan, **outcomes: tuple[int, int | None]) -> Restoration:
    """The only change, after each step came to (errno, what it reads); the others succeed."""
    results = []
    for step in made.steps:
        number, reads = outcomes.get(step.option.name, (0, 0))
        known = step.option.name in outcomes
        value = (None if reads is None else raw(reads)) if known else step.target
        results.append(StepResult(step=step, errno=number, reads=value))
    (one,) = finished(made, results)
    return one


RCVBUF_MADE = plan(
    entry(RCVBUF, RCVBUF_DONE), SO_RCVBUF=131_072, SO_BUF_LOCK=RECEIVE, TCP_WINDOW_CLAMP=65_536
)


def test_what_reads_as_before_is_restored() -> None:
    assert after(RCVBUF_MADE).word == "restored"
    change = planned("SO_SNDBUF", 131_073, 4096), done("SO_SNDBUF", 8192)
    made = plan(entry(*change), SO_SNDBUF=8192)
    assert after(made, SO_SNDBUF=(0, 131_072)).word == "restored"
    assert after(made, SO_SNDBUF=(0, 131_074)).word == "inexact"


def test_a_size_beyond_the_limit_is_not_exact() -> None:
    one = after(RCVBUF_MADE, SO_RCVBUF=(0, 8_388_608))
    assert (one.word, one.clamped_by) == ("inexact", "net.core.rmem_max")
    assert "8388608 bytes instead of 17500608" in one.note
    assert "CAP_NET_ADMIN" in one.note


def test_what_goes_with_it_counts_too() -> None:
    one = after(RCVBUF_MADE, SO_BUF_LOCK=(errno.EPERM, RECEIVE))
    assert (one.word, one.clamped_by) == ("inexact", None)
    assert one.note.startswith("SO_BUF_LOCK could not be put back: ")
    one = after(RCVBUF_MADE, SO_BUF_LOCK=(errno.EOPNOTSUPP, RECEIVE))
    assert one.word == "cannot"  # MPTCP: another attempt would not change it
    one = after(RCVBUF_MADE, TCP_WINDOW_CLAMP=(0, 5))
    assert one.note == "TCP_WINDOW_CLAMP reads something else than it did before"
    one = after(RCVBUF_MADE, SO_BUF_LOCK=(0, None))
    assert one.note == "SO_BUF_LOCK reads something else than it did before"


def test_what_the_kernel_refuses_is_failed() -> None:
    one = after(plan(NODELAY, TCP_NODELAY=1), TCP_NODELAY=(errno.EINVAL, 1))
    assert (one.word, "EINVAL" in one.note) == ("failed", True)


def test_what_was_not_to_be_put_back_keeps_its_word() -> None:
    assert after(plan(NODELAY, TCP_NODELAY=0)).word == "already"


# -- rules ---------------------------------------------------------------------------------


def test_what_is_disturbed_can_be_read_and_set() -> None:
    for name, others in DISTURBED.items():
        assert disturbed_by(BY_NAME[name]) == tuple(BY_NAME[other] for other in others)
        assert all(BY_NAME[other].readable and BY_NAME[other].settable for other in others)
    assert disturbed_by(BY_NAME["TCP_NODELAY"]) == ()


def test_outcomes_that_leave_nothing_are_settled() -> None:
    assert DONE < SETTLED


OPTIONS = st.sampled_from(
    [
        "SO_RCVBUF",
        "SO_SNDBUF",
        "SO_BUF_LOCK",
        "TCP_WINDOW_CLAMP",
        "IP_TOS",
        "SO_PRIORITY",
        "TCP_CORK",
    ]
)
VALUES = st.integers(0, 3).map(raw)


@given(
    st.lists(OPTIONS, unique=True),
    st.dictionaries(OPTIONS, VALUES),
    st.dictionaries(OPTIONS, st.none() | VALUES),
    st.dictionaries(OPTIONS, VALUES),
)
def test_any_state_has_a_plan_that_touches_only_what_was_changed(
    names: list[str],
    before: dict[str, bytes],
    current: dict[str, bytes | None],
    afterwards: dict[str, bytes],
) -> None:
    def kept(name: str, values: Mapping[str, bytes]) -> dict[str, bytes]:
        return {other: values[other] for other in DISTURBED.get(name, ()) if other in values}

    socket = SocketEntry(
        identity=IDENTITY,
        planned=tuple(
            PlannedChange(
                option=name, before=before.get(name), requested=raw(1), kept=kept(name, before)
            )
            for name in names
        ),
        done=tuple(
            DoneChange(option=name, after=afterwards[name], kept=kept(name, afterwards))
            for name in names
            if name in afterwards
        ),
    )
    made = plan_undo(socket, current, never)
    assert [one.option.name for one in made.restorations] == names[::-1]
    touched = {name for one in names for name in (one, *DISTURBED.get(one, ()))}
    assert {step.option.name for step in made.steps} <= touched
    assert made.steps == () or any(one.word == "restore" for one in made.restorations)
    # Refused values are not touched, but for the bits of a lock and what must be set again.
    for one in made.restorations:
        for step in made.steps:
            if (
                step.option is one.option
                and one.word == "refused"
                and one.option.name != "SO_BUF_LOCK"
            ):
                assert step.target == current[one.option.name]
