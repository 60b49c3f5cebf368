"""Rows of changes as text: for people, and one word a cell in a pipe."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest

from tcptool.catalog.options import BY_NAME, OptionValue
from tcptool.model.change import Change, ChangedSocket, ChangeReport
from tcptool.model.inspection import HolderRecord
from tcptool.model.report import Host
from tcptool.model.sock import Endpoint
from tcptool.views.look import Look
from tcptool.views.text import changes as view

HOST = Host(time="2026-01-02T03:04:05.123Z", host="testhost", kernel="6.18.44")
EVIL = "evil\x1b[2J name"


def change(name: str, *values: OptionValue | None, note: str = "") -> Change:
    before, requested, effective = values
    option = BY_NAME[name]
    return Change(
        option=name, unit=option.unit.value, before=before, requested=requested,
        effective=effective, outcome="set", note=note, clamped_by=None, risk=option.risk.value,
    )  # fmt: skip


def holder(pid: int, fd: int, process: str) -> HolderRecord:
    return HolderRecord(pid=pid, fd=fd, process=process, start_ticks=1000)


SOCKET = ChangedSocket(
    name="42:9", protocol="tcp", family="ipv4", state="established",
    local=Endpoint("192.0.2.10", 443), peer=Endpoint("198.51.100.7", 51844), cookie="1001",
    inode=701, netns_cookie="1", holders=(holder(42, 9, "nginx"),), changes=(),
    advice=(),
)  # fmt: skip


def report(*sockets: ChangedSocket, action: str = "apply", dry_run: bool = False) -> ChangeReport:
    return ChangeReport(
        action=action, dry_run=dry_run, undo_id=None if dry_run else "m0", agrees=True,
        sockets=sockets, host=HOST, missing=[], warnings=[],
    )  # fmt: skip


def with_changes(*rows: Change) -> ChangedSocket:
    return replace(SOCKET, changes=rows)


def plain(made: ChangeReport) -> list[list[str]]:
    out = io.StringIO()
    view.write(made, out, Look())
    return [line.split(None, 6) for line in out.getvalue().splitlines()]


def for_people(made: ChangeReport, look: Look | None = None) -> list[str]:
    out = io.StringIO()
    view.write_for_people(made, out, look or Look())
    return out.getvalue().splitlines()


VALUES: list[tuple[str, OptionValue | None, str, str]] = [
    ("TCP_NODELAY", True, "yes", "yes"),
    ("TCP_NODELAY", None, "-", "-"),
    ("SO_SNDBUF", 425_984, "425984", "416 KiB"),
    ("TCP_USER_TIMEOUT", 30_000, "30000", "30 s"),
    ("SO_BUF_LOCK", (), "none", "none"),
    ("SO_BUF_LOCK", ("send", "receive"), "send,receive", "send,receive"),
    ("SO_MAX_PACING_RATE", "unlimited", "unlimited", "unlimited"),
    ("TCP_CONGESTION", "bbr", "bbr", "bbr"),
    ("SO_BINDTODEVICE", "", "none", "none"),
]


@pytest.mark.parametrize(("name", "value", "word", "text"), VALUES)
def test_a_value(name: str, value: OptionValue | None, word: str, text: str) -> None:
    made = report(with_changes(change(name, value, value, value)))
    assert plain(made)[1] == ["42:9", name, word, word, word, "set", "-"]
    shown = re.split(" {2,}", for_people(made)[2])
    assert shown == ["", name, text, text, text, "set"]


def test_a_struct_is_one_word() -> None:
    value = {"enabled": True, "seconds": 5}
    row = plain(report(with_changes(change("SO_LINGER", value, value, value))))[1]
    assert row[2:5] == ["enabled=yes,seconds=5"] * 3


def test_every_socket_under_one_heading() -> None:
    one = with_changes(change("TCP_NODELAY", False, True, True, note="a  note of words"))
    rows = plain(report(one, replace(one, name="42:11")))
    assert rows[0] == ["socket", "option", "before", "requested", "effective", "outcome", "note"]
    assert [row[0] for row in rows[1:]] == ["42:9", "42:11"]
    assert rows[1][6] == "a  note of words"


def test_text_of_others_is_harmless() -> None:
    hostile = replace(
        with_changes(change("TCP_CONGESTION", EVIL, EVIL, EVIL, note=EVIL)),
        holders=(holder(42, 9, EVIL),), name=EVIL, advice=(EVIL,),
    )  # fmt: skip
    lines = [" ".join(row) for row in plain(report(hostile))] + for_people(report(hostile))
    assert all(line.isprintable() for line in lines), lines
    assert len(plain(report(hostile))[1]) == 7


def test_for_people_the_socket_stands_above_its_lines() -> None:
    lines = for_people(report(with_changes(change("TCP_NODELAY", False, True, True))))
    assert lines == [
        "42:9 (nginx)  established  192.0.2.10:443 - 198.51.100.7:51844",
        "  option       before  requested  effective  outcome",
        "  TCP_NODELAY  no      yes        yes        set",
        "To put it back: tcptool undo m0",
    ]


@pytest.mark.parametrize(
    ("made", "last"),
    [
        (report(SOCKET, dry_run=True), "A dry run: nothing was set."),
        (report(SOCKET), "To put it back: tcptool undo m0"),
        (report(SOCKET, action="undo"), "  option  before  requested  effective  outcome"),
        (replace(report(SOCKET), undo_id=None), "  option  before  requested  effective  outcome"),
    ],
)
def test_the_last_line_says_what_next(made: ChangeReport, last: str) -> None:
    assert for_people(made)[-1] == last


def test_who_holds_it() -> None:
    shared = (*SOCKET.holders, holder(43, 6, "worker"))
    assert for_people(report(replace(SOCKET, holders=shared)))[0].startswith(
        "42:9 (nginx), 43:6 (worker)  established"
    )


def test_sockets_of_our_own_stand_side_by_side() -> None:
    own = replace(SOCKET, holders=(), changes=(change("TCP_NODELAY", False, True, True),))
    noted = change("TCP_NODELAY", False, True, None, note="a note")
    fresh = replace(own, name="fresh", advice=("Advice.",))
    other = replace(own, name="connected", changes=(noted,), advice=("Advice.",))
    assert for_people(report(fresh, other)) == [
        "Tried on sockets of tcptool's own; nobody else's was touched.",
        "  option       requested  fresh socket  connected socket",
        "  TCP_NODELAY  yes        yes set       - set",
        "  TCP_NODELAY: a note (connected)",
        "  Advice.",
        "To put it back: tcptool undo m0",
    ]
    both = replace(fresh, changes=(noted,)), other
    assert "  TCP_NODELAY: a note" in for_people(report(*both))
    assert for_people(replace(report(), undo_id=None)) == []


@pytest.mark.parametrize(("width", "most"), [(10, 40), (60, 60), (500, 100)])
def test_notes_and_advice_are_wrapped(width: int, most: int) -> None:
    words = "word " * 60
    noted = replace(with_changes(change("TCP_NODELAY", 0, 1, 1, note=words)), advice=(words,))
    lines = for_people(report(noted), Look(width=width))
    wrapped = [line for line in lines if "word" in line]
    assert most - 5 < max(map(len, wrapped)) <= most
    assert " ".join(wrapped).split().count("word") == 120


def test_only_the_heading_is_bold() -> None:
    lines = for_people(report(SOCKET), Look(color=True))
    assert lines[0].startswith("\x1b[1m42:9")
    assert lines[0].endswith("\x1b[0m")
    assert not any("\x1b" in line for line in lines[1:])
