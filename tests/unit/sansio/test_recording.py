"""Recordings in files: what was written is read again, and anything else is no recording."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcptool.model.inspection import HolderRecord
from tcptool.model.observation import RawReading, Reach, Recording, Surroundings
from tcptool.model.report import Host
from tcptool.sansio.recording import SCHEMA, NotARecording, read_recordings, recording_lines

HOST = Host("web1", "6.18.44", "2026-01-02T03:04:05.123Z")
_TEXTS = st.text(max_size=12)
_NUMBERS = st.integers(-(1 << 64), 1 << 64)
_READINGS = st.lists(
    st.builds(
        RawReading,
        st.floats(0, 1e6, allow_nan=False).map(lambda at_s: round(at_s, 6)),
        st.binary(max_size=40),
    ),
    max_size=4,
).map(tuple)
_OPTIONS = st.booleans() | _NUMBERS | _TEXTS | st.lists(_TEXTS, max_size=3).map(tuple)
_REACHES = st.builds(
    Reach,
    handle=st.from_regex(r"\A([0-9]+:[0-9]+|sk:[0-9a-f]+)\Z"),
    netns=st.none() | _TEXTS,
    held=st.booleans(),
    permitted=st.booleans(),
)
_RECORDINGS = st.builds(
    Recording,
    reach=_REACHES,
    holders=st.lists(
        st.builds(
            HolderRecord,
            pid=_NUMBERS,
            fd=_NUMBERS,
            process=_TEXTS,
            start_ticks=_NUMBERS,
        ),
        max_size=2,
    ).map(tuple),
    readings=_READINGS.filter(bool),
    other_reach=st.none() | _REACHES,
    other_end=_READINGS,
    around=st.builds(
        Surroundings,
        options=st.none() | st.dictionaries(_TEXTS, _OPTIONS, max_size=3),
        limits=st.dictionaries(_TEXTS, _NUMBERS, max_size=3),
        elsewhere=st.booleans(),
        inside_pid=st.none() | _NUMBERS,
        congestion_controls=st.lists(_TEXTS, max_size=3).map(tuple),
        allowed_congestion_controls=st.lists(_TEXTS, max_size=3).map(tuple),
        load_percent=st.none() | st.floats(0, 1e6, allow_nan=False),
    ),
    ended=st.booleans(),
)


@given(st.lists(_RECORDINGS, min_size=1, max_size=3), st.booleans())
def test_what_was_written_is_read_again(made: list[Recording], complete: bool) -> None:
    text = "".join(recording_lines("0.1.0", HOST, made, complete=complete))
    assert read_recordings(text) == (HOST, complete, made)


ONE = Recording(
    reach=Reach(handle="42:9", netns="blue"),
    holders=(HolderRecord(pid=42, fd=9, process="nginx", start_ticks=5),),
    readings=(RawReading(0.0, b"\1\2"), RawReading(0.02, b"\3")),
    other_reach=Reach(handle="43:4"),
    other_end=(RawReading(0.01, b"\4"),),
    around=Surroundings(options={"SO_BUF_LOCK": ("send",)}, limits={"a": 1}),
    ended=False,
)
LINES = list(recording_lines("0.1.0", HOST, [ONE], complete=True))
HEAD, SOCKET, READING = (json.loads(line) for line in LINES[:3])


def text_of(*lines: Any) -> str:
    return "".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines)


def test_a_line_is_one_json_object_that_says_what_it_is() -> None:
    assert len(LINES) == 1 + 1 + 2 + 1
    head, first = HEAD, READING
    assert head == {
        "schema": SCHEMA, "tcptool": "0.1.0", "time": HOST.time, "host": "web1",
        "kernel": "6.18.44", "complete": True,
    }  # fmt: skip
    assert [json.loads(line)["event"] for line in LINES[1:]] == ["socket", *["reading"] * 3]
    assert first == {"event": "reading", "socket": 0, "end": "own", "at_s": 0, "reply": "0102"}


def test_what_a_newer_tcptool_adds_is_passed_over() -> None:
    newer = text_of(
        HEAD | {"zone": 1}, {"event": "weather"}, SOCKET | {"mood": None}, READING | {"cpu": 3}
    )
    assert len(read_recordings(newer).recordings[0].readings) == 1


def test_readings_before_their_socket_are_its_own_too() -> None:
    assert read_recordings(text_of(HEAD, READING, SOCKET)).recordings[0].readings


def without(values: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != name}


HOLDER = SOCKET["holders"][0]
BROKEN: list[tuple[str, int, str]] = [
    ("", 1, "not JSON, or was cut short"),
    ("\n", 1, "not JSON, or was cut short"),
    ("[" * 100_000, 1, "not JSON, or was cut short"),
    ("7\n", 1, "not an object"),
    (text_of({"schema": "tcptool.list/1"}), 1, f"'tcptool.list/1', not {SCHEMA!r}"),
    (text_of({"schema": "tcptool.recording/2"}), 1, f"'tcptool.recording/2', not {SCHEMA!r}"),
    *((text_of(without(HEAD, name)), 1, f"{name} is not a text") for name in ("host", "kernel")),
    (text_of(HEAD | {"time": 7}), 1, "time is not a text"),
    (text_of(HEAD), 1, "no socket is in it"),
    (text_of(HEAD, SOCKET), 2, "the socket has no readings"),
    (text_of(HEAD, SOCKET, READING | {"end": "other"}), 2, "the socket has no readings"),
    (text_of(HEAD, SOCKET, READING | {"socket": 1}), 2, "the socket has no readings"),
    (text_of(HEAD, READING), 2, "no socket is in it"),
    (text_of(HEAD, SOCKET, LINES[2][:20]), 3, "not JSON, or was cut short"),
    (text_of(HEAD, SOCKET, [READING]), 3, "not an object"),
    (text_of(HEAD, without(SOCKET, "socket"), READING), 2, "socket is not a whole number"),
    (text_of(HEAD, SOCKET, READING | {"socket": "0"}), 3, "socket is not a whole number"),
    (text_of(HEAD, SOCKET, without(READING, "end")), 3, "end is not a text"),
    *(
        (text_of(HEAD, SOCKET | {side: SOCKET[side] | {"handle": handle}}, READING), 2, why)
        for side in ("reach", "other_reach")
        for handle, why in (
            (7, "handle is not a text"),
            ("42:9; rm -rf /", "is neither PID:FD nor sk:COOKIE"),
            ("42:9\n", "is neither PID:FD nor sk:COOKIE"),
        )
    ),
    *(
        (text_of(HEAD, SOCKET, READING | broken), 3, "does not hold a reading")
        for broken in (
            {"at_s": "x"},
            {"at_s": None},
            {"at_s": float("nan")},
            {"at_s": float("inf")},
            {"at_s": 10**400},
            {"reply": "0"},
            {"reply": "zz"},
            {"reply": 7},
        )
    ),
    *(
        (text_of(HEAD, SOCKET, READING | {"at_s": at_s}), 3, "is no time since its beginning")
        for at_s in (-1, 1e300)
    ),
    *(
        (text_of(HEAD, SOCKET, without(READING, name)), 3, "does not hold a reading")
        for name in ("at_s", "reply")
    ),
    *(
        (text_of(HEAD, without(SOCKET, name), READING), 2, "does not describe a socket")
        for name in SOCKET
        if name not in ("event", "socket")
    ),
    (
        text_of(HEAD, SOCKET | {"reach": SOCKET["reach"] | {"netns": 7}}, READING),
        2,
        "netns is not a text",
    ),
    *(
        (text_of(HEAD, SOCKET | {"reach": without(SOCKET["reach"], name)}, READING), 2, name)
        for name in SOCKET["reach"]
    ),
    *(
        (text_of(HEAD, SOCKET | {"holders": [HOLDER | {name: None}]}, READING), 2, f"{name} is not")
        for name in HOLDER
    ),
    *(
        (text_of(HEAD, SOCKET | broken, READING), 2, "does not describe a socket")
        for broken in (
            {"holders": 7},
            {"holders": [7]},
            {"options": [1]},
            {"reach": None},
            {"other_reach": 7},
            {"inside_pid": "x"},
            {"load_percent": "much"},
            {"load_percent": float("nan")},
            {"limits": {"a": float("inf")}},
            {"limits": None},
            {"limits": {"a": "x"}},
            {"limits": {"a": None}},
            {"congestion_controls": 7},
        )
    ),
]


@pytest.mark.parametrize(("text", "line", "why"), BROKEN)
def test_a_broken_recording_says_which_line_and_why(text: str, line: int, why: str) -> None:
    with pytest.raises(NotARecording) as caught:
        read_recordings(text)
    assert str(caught.value).startswith(f"line {line}: ")
    assert why in str(caught.value)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)


def _spoiled(base: dict[str, Any]) -> st.SearchStrategy[Any]:
    """The object with a few of its values replaced or gone, or another value altogether."""
    change = st.dictionaries(st.sampled_from(sorted(base)), _JSON, max_size=2)
    less = st.sampled_from(sorted(base)).map(lambda name: without(base, name))
    return st.just(base) | change.map(lambda changed: base | changed) | less | _JSON


_ANY_LINES = st.tuples(_spoiled(HEAD), _spoiled(SOCKET), _spoiled(READING)).map(
    lambda lines: text_of(*map(json.dumps, lines)).replace("}{", "}\n{")
)


def _read(text: str) -> None:
    try:
        read_recordings(text)
    except NotARecording:
        return


@given(st.text() | _ANY_LINES)
def test_any_text_is_a_recording_or_none(text: str) -> None:
    _read(text)


@given(st.integers(0, len("".join(LINES)) - 1))
def test_a_file_cut_anywhere_is_a_recording_or_none(length: int) -> None:
    _read("".join(LINES)[:length])


@pytest.mark.parametrize("change", [str.upper, lambda text: text.replace('"', "'")])
def test_a_text_that_looks_like_one(change: Callable[[str], str]) -> None:
    with pytest.raises(NotARecording):
        read_recordings(change("".join(LINES)))
