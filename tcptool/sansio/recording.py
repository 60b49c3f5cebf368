"""Recordings of dense samples as lines of JSON, with the kernel's own bytes.

    {"schema": "tcptool.recording/1", "tcptool", "time", "host", "kernel", "complete"}
    {"event": "socket", "socket": 0, "reach", "holders", "other_reach", "ended", "options",
     "limits", "elsewhere", "inside_pid", "congestion_controls", "allowed_congestion_controls",
     "load_percent"}
    {"event": "reading", "socket": 0, "end": "own" | "other", "at_s", "reply": hexadecimal}

A reply is what sock_diag answered, an inet_diag_msg with its attributes, so a newer tcptool reads
more of it.  It holds addresses and ports, and no keys.  Unknown keys and events are passed over.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any, Final, NamedTuple

from tcptool.catalog.options import OptionValue
from tcptool.model.inspection import HolderRecord
from tcptool.model.observation import RawReading, Reach, Recording, Surroundings
from tcptool.model.report import Host

SCHEMA: Final = "tcptool.recording/1"
_HANDLE: Final = re.compile("[0-9]+:[0-9]+|sk:[0-9a-f]+")
_ENDS: Final = ("own", "other")
_LONGEST_S: Final = 1e9
"""Some 30 years: a larger number is a mistake, and leads to infinite rates."""


class NotARecording(ValueError):
    """What is wrong with the text, and in which line."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"line {line}: {why}")


def recording_lines(
    version: str, host: Host, recordings: Iterable[Recording], *, complete: bool
) -> Iterator[str]:
    """The lines of a file, each with its end; ``complete`` unless Ctrl-C ended the sampling."""
    yield _line(
        schema=SCHEMA,
        tcptool=version,
        time=host.time,
        host=host.host,
        kernel=host.kernel,
        complete=complete,
    )
    for number, one in enumerate(recordings):
        around = one.around
        yield _line(
            event="socket",
            socket=number,
            reach=asdict(one.reach),
            holders=[asdict(holder) for holder in one.holders],
            other_reach=None if one.other_reach is None else asdict(one.other_reach),
            ended=one.ended,
            options=None if around.options is None else dict(around.options),
            limits=dict(around.limits),
            elsewhere=around.elsewhere,
            inside_pid=around.inside_pid,
            congestion_controls=list(around.congestion_controls),
            allowed_congestion_controls=list(around.allowed_congestion_controls),
            load_percent=around.load_percent,
        )
        for end, readings in zip(_ENDS, (one.readings, one.other_end), strict=True):
            for at_s, reply in readings:
                yield _line(event="reading", socket=number, end=end, at_s=at_s, reply=reply.hex())


def _line(**values: Any) -> str:
    return json.dumps(values, separators=(",", ":"), allow_nan=False) + "\n"


class Recorded(NamedTuple):
    """Where and when it was made, whether the sampling came to its end, and what was sampled."""

    host: Host
    complete: bool
    recordings: list[Recording]


def read_recordings(text: str) -> Recorded:
    """What a file holds.  Raises NotARecording."""
    lines = text.splitlines()
    head = _parsed(1, lines[0] if lines else "")
    if head.get("schema") != SCHEMA:
        raise NotARecording(1, f"its schema is {head.get('schema')!r}, not {SCHEMA!r}")
    host = Host(*(_text(1, head, name) for name in ("host", "kernel", "time")))
    sockets: dict[int, Mapping[str, Any]] = {}
    readings: dict[tuple[int, str], list[RawReading]] = {}
    for number, line in enumerate(lines[1:], 2):
        values = _parsed(number, line)
        if values.get("event") == "socket":
            sockets[_whole(number, values, "socket")] = values | {"line": number}
        elif values.get("event") == "reading":
            key = _whole(number, values, "socket"), _text(number, values, "end")
            readings.setdefault(key, []).append(_reading(number, values))
    made = [
        _recording(about, *(readings.get((key, end), []) for end in _ENDS))
        for key, about in sockets.items()
    ]
    if not made:
        raise NotARecording(len(lines), "no socket is in it")
    return Recorded(host, head.get("complete") is True, made)


def _recording(
    about: Mapping[str, Any], own: list[RawReading], other: list[RawReading]
) -> Recording:
    line: int = about["line"]
    if not own:
        raise NotARecording(line, "the socket has no readings")
    try:
        options, load = about["options"], about["load_percent"]
        return Recording(
            reach=_reach(line, about["reach"]),
            holders=tuple(_holder(line, one) for one in about["holders"]),
            readings=tuple(own),
            other_reach=None
            if about["other_reach"] is None
            else _reach(line, about["other_reach"]),
            other_end=tuple(other),
            around=Surroundings(
                options=None if options is None else {k: _option(v) for k, v in options.items()},
                limits={str(name): int(value) for name, value in about["limits"].items()},
                elsewhere=bool(about["elsewhere"]),
                inside_pid=None if about["inside_pid"] is None else int(about["inside_pid"]),
                congestion_controls=tuple(map(str, about["congestion_controls"])),
                allowed_congestion_controls=tuple(map(str, about["allowed_congestion_controls"])),
                load_percent=None if load is None else _finite(load),
            ),
            ended=bool(about["ended"]),
        )
    except NotARecording:
        raise
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as exc:
        raise NotARecording(line, f"it does not describe a socket ({exc!r})") from exc


def _reach(line: int, one: Mapping[str, Any]) -> Reach:
    handle = _text(line, one, "handle")
    if not _HANDLE.fullmatch(handle):  # it becomes part of command lines
        raise NotARecording(line, f"{handle!r} is neither PID:FD nor sk:COOKIE")
    netns = one["netns"]
    return Reach(
        handle=handle,
        netns=None if netns is None else _text(line, one, "netns"),
        held=bool(one["held"]),
        permitted=bool(one["permitted"]),
    )


def _holder(line: int, one: Mapping[str, Any]) -> HolderRecord:
    return HolderRecord(
        pid=_whole(line, one, "pid"),
        fd=_whole(line, one, "fd"),
        process=_text(line, one, "process"),
        start_ticks=_whole(line, one, "start_ticks"),
    )


def _option(value: Any) -> OptionValue:
    """JSON has no tuples; flags are one."""
    option: OptionValue = tuple(map(str, value)) if isinstance(value, list) else value
    return option


def _reading(line: int, values: Mapping[str, Any]) -> RawReading:
    try:
        at_s, reply = round(_finite(values["at_s"]), 6), bytes.fromhex(values["reply"])
    except (KeyError, TypeError, ValueError, OverflowError) as exc:
        raise NotARecording(line, f"it does not hold a reading ({exc!r})") from exc
    if not 0 <= at_s < _LONGEST_S:
        raise NotARecording(line, f"at_s {at_s} is no time since its beginning")
    return RawReading(at_s, reply)


def _finite(value: Any) -> float:
    """A number of JSON, which Python would read NaN and Infinity from too."""
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is no number")
    return number


def _parsed(line: int, text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise NotARecording(line, "it is not JSON, or was cut short") from exc
    if not isinstance(values, dict):
        raise NotARecording(line, "it is not an object")
    return values


def _text(line: int, values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    if not isinstance(value, str):
        raise NotARecording(line, f"{name} is not a text")
    return value


def _whole(line: int, values: Mapping[str, Any], name: str) -> int:
    value = values.get(name)
    if not isinstance(value, int):
        raise NotARecording(line, f"{name} is not a whole number")
    return value
