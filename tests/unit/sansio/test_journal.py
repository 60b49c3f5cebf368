"""The journal's lines: what was written is read again, and no cut or damage changes its meaning."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcptool.model.journal import (
    DoneChange,
    JournalEntry,
    PlannedChange,
    SocketEntry,
    SocketIdentity,
)
from tcptool.sansio.journal import (
    Replay,
    done_line,
    entry_id,
    gone_line,
    plan_lines,
    replay,
    undoing_line,
    undone_line,
)

NAMES = st.sampled_from(["SO_RCVBUF", "TCP_NODELAY", "IP_TOS", "backlog"])
RAW = st.binary(max_size=16)
KEPT = st.dictionaries(st.sampled_from(["SO_BUF_LOCK", "TCP_WINDOW_CLAMP"]), RAW)
COOKIES = st.integers(0, 2**64 - 1).map("{:x}".format)
IDENTITIES = st.builds(
    SocketIdentity,
    netns_cookie=st.none() | COOKIES,
    cookie=COOKIES,
    inode=st.integers(0, 2**32 - 1),
    pid=st.integers(1, 2**22),
    start_ticks=st.integers(0, 2**63),
    fd=st.integers(0, 2**20),
    label=st.text(),
)
PLANNED = st.builds(PlannedChange, option=NAMES, before=st.none() | RAW, requested=RAW, kept=KEPT)
DONE = st.builds(
    DoneChange, option=NAMES, after=st.none() | RAW, errno=st.integers(0, 4095), kept=KEPT
)
PLANS = st.lists(PLANNED, max_size=3, unique_by=lambda change: change.option).map(tuple)
PLANNED_SOCKETS = st.builds(SocketEntry, identity=IDENTITIES, planned=PLANS)
PLANNED_ENTRIES = st.builds(
    JournalEntry,
    id=st.integers(1, 10**12).map(str),
    time_s=st.floats(0, 2**33),
    command=st.text(),
    sockets=st.lists(
        PLANNED_SOCKETS, min_size=1, max_size=3, unique_by=lambda one: one.identity.cookie
    ).map(tuple),
    boot=st.sampled_from(["", "b1"]),
)
ENTRIES = st.lists(PLANNED_ENTRIES, max_size=3, unique_by=lambda entry: entry.id)


@st.composite
def histories(draw: st.DrawFn) -> list[bytes]:
    """Lines in an order that may happen: what is noted of a socket comes after its plan."""
    lines: list[bytes] = []
    places: list[tuple[str, str]] = []
    for entry in draw(ENTRIES):
        lines += plan_lines(entry).splitlines(keepends=True)
        places += [(entry.id, one.identity.cookie) for one in entry.sockets]
        for _ in range(draw(st.integers(0, 4))):
            name, cookie = draw(st.sampled_from(places))
            lines.append(
                draw(
                    st.one_of(
                        st.lists(DONE, max_size=3).map(partial(done_line, name, cookie)),
                        st.lists(NAMES, max_size=3).map(partial(undone_line, name, cookie)),
                        st.just(gone_line(name, cookie)),
                        st.just(undoing_line(name, cookie)),
                    )
                )
            )
    return lines


@given(ENTRIES)
def test_what_was_planned_is_read_again(entries: list[JournalEntry]) -> None:
    assert replay(b"".join(map(plan_lines, entries))) == Replay(tuple(entries))


@given(PLANNED_ENTRIES, st.data())
def test_what_became_of_it_is_added(entry: JournalEntry, data: st.DataObject) -> None:
    first = entry.sockets[0]
    cookie = first.identity.cookie
    done = data.draw(st.lists(DONE, unique_by=lambda change: change.option))
    undone = data.draw(st.lists(NAMES, unique=True))
    is_gone, is_undoing = data.draw(st.booleans()), data.draw(st.booleans())
    lines = plan_lines(entry) + done_line(entry.id, cookie, done)
    lines += undoing_line(entry.id, cookie) + undone_line(entry.id, cookie, undone[:1])
    lines += undone_line(entry.id, cookie, undone)
    lines += undoing_line(entry.id, cookie) if is_undoing else b""
    lines += gone_line(entry.id, cookie) if is_gone else b""
    known = replace(first, done=tuple(done), undone=tuple(undone))
    known = replace(known, undoing=is_undoing, gone=is_gone)
    wanted = replace(entry, sockets=(known, *entry.sockets[1:]))
    assert replay(lines) == Replay((wanted,))


def test_a_later_result_of_an_option_takes_the_place_of_an_earlier_one() -> None:
    entry = PLAN
    changes = [DoneChange(option="A", after=None, errno=1), DoneChange(option="B", after=b"")]
    lines = plan_lines(entry) + done_line("1", "c", changes)
    again = DoneChange(option="A", after=b"\1")
    replayed = replay(lines + done_line("1", "c", [again])).entries[0]
    assert replayed.sockets[0].done == (changes[1], again)


@given(histories(), st.data())
def test_a_cut_anywhere_leaves_what_was_written_before(
    lines: list[bytes], data: st.DataObject
) -> None:
    whole = b"".join(lines)
    cut = data.draw(st.integers(0, len(whole)))
    kept, rest = [], cut
    for line in lines:
        if rest < len(line) - 1:  # without its line end a line is complete
            break
        kept.append(line)
        rest -= len(line)
    torn = rest > 0
    wanted = replace_damage(replay(b"".join(kept)), torn)
    assert replay(whole[:cut]) == wanted
    # The next writer begins on a new line, and is understood.
    more = plan_lines(replace(PLAN, id="zz"))
    longer = replay(whole[:cut] + b"\n" + more)
    assert longer.entries[:-1] == wanted.entries
    assert (longer.entries[-1].id, longer.damaged) == ("zz", wanted.damaged)


def replace_damage(replayed: Replay, torn: bool) -> Replay:
    return replace(replayed, damaged=replayed.damaged + torn)


@given(histories(), st.data())
def test_damage_to_one_line_harms_no_other(lines: list[bytes], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(lines)))
    rubbish = data.draw(st.binary(min_size=1).filter(lambda raw: b"\n" not in raw))
    text = b"".join(lines[:place]) + b"\xff" + rubbish + b"\n" + b"".join(lines[place:])
    assert replay(text) == replace_damage(replay(b"".join(lines)), True)


@given(st.binary())
def test_any_bytes_can_be_read(data: bytes) -> None:
    replay(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=3,
)
PLAN = JournalEntry(
    id="1",
    time_s=5.0,
    command="apply",
    boot="",
    sockets=(
        SocketEntry(
            identity=SocketIdentity(
                netns_cookie=None, cookie="c", inode=1, pid=1, start_ticks=1, fd=1, label="x"
            ),
            planned=(PlannedChange(option="A", before=b"", requested=b"", kept={"K": b"\1"}),),
        ),
    ),
)
CHANGE = DoneChange(option="A", after=b"", kept={"K": b"\1"})
LINES = {
    "plan": plan_lines(PLAN),
    "done": done_line("1", "c", [CHANGE]),
    "undone": undone_line("1", "c", ["A"]),
    "gone": gone_line("1", "c"),
}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value in a document."""
    keys: list[Any] = list(value) if isinstance(value, dict) else []
    if isinstance(value, list):
        keys = list(range(len(value)))
    below = [one for key in keys for one in places(value[key], (*path, key))]
    return [path, *below] if path else below


@given(st.sampled_from(list(LINES)), JSON, st.data())
def test_any_value_in_any_place_can_be_read(kind: str, other: Any, data: st.DataObject) -> None:
    document = json.loads(LINES[kind])
    *way, last = data.draw(st.sampled_from(places(document)))
    holder = document
    for key in way:
        holder = holder[key]
    holder[last] = other
    before = b"" if kind == "plan" else LINES["plan"]
    replay(before + json.dumps(document).encode() + b"\n")


@pytest.mark.parametrize(
    "line",
    [
        b"[]",
        b"{}",
        b"1",
        b"[" * 100_000,
        LINES["gone"].replace(b"gone", b"from the future"),
        LINES["gone"].replace(b'"c"', b'"another"'),
        LINES["gone"].replace(b'"1"', b'"another"'),
        LINES["undone"].replace(b'"A"', b"1"),
        LINES["done"].replace(b'"errno":0', b'"errno":4096'),
        LINES["done"].replace(b'"errno":0', b'"errno":true'),
        LINES["done"].replace(b'"after":""', b'"after":"x"'),
        LINES["done"].replace(b'[{"option"', b'[1,{"option"'),
        LINES["plan"].replace(b"5.0", b"NaN"),
        LINES["plan"].replace(b"5.0", b"1e300"),
        LINES["plan"].replace(b'"cookie":"c"', b'"cookie":"C!"'),
        LINES["plan"].replace(b'"netns_cookie":null', b'"netns_cookie":"!"'),
    ],
    ids=lambda line: line[:60].decode(),
)
def test_a_line_that_says_nothing_is_counted(line: bytes) -> None:
    known = replay(LINES["plan"])
    assert replay(LINES["plan"] + line + b"\n") == replace(known, damaged=1)


def test_a_plan_that_comes_twice_does_not_forget_what_was_done() -> None:
    once = replay(LINES["plan"] + LINES["undone"])
    assert replay(LINES["plan"] + LINES["undone"] + LINES["plan"]) == once


def test_what_is_pending() -> None:
    socket = replay(LINES["plan"]).entries[0].sockets[0]
    assert socket.pending == socket.planned
    assert replace(socket, undone=("A",)).pending == ()
    assert replace(socket, gone=True).pending == ()


def test_ids_are_short_and_sort_by_time() -> None:
    times_s = (1_767_323_045.1, 1_767_323_045.102, 1_800_000_000.0, 2_800_000_000.0)
    ids = [entry_id(time_s, b"") for time_s in times_s]
    assert ids == sorted(ids)
    assert {len(one) for one in ids} == {8}


def test_an_id_is_above_those_in_the_journal() -> None:
    """Though the clock stands still or was set back, and whatever people wrote in a command."""
    first = entry_id(1000.0, b"")
    tail = plan_lines(replace(PLAN, id=first, command='"id":"zzzzzzzz"'))
    second = entry_id(1000.0, tail)
    assert int(second, 36) == int(first, 36) + 1
    assert int(entry_id(5.0, tail + gone_line(second, "c")), 36) == int(second, 36) + 1
