"""Requests made at random, and what h11 makes of them: an oracle for tcptool.sansio.http1."""

from __future__ import annotations

import re
from random import Random
from typing import Final, NamedTuple

import h11

from tcptool.sansio.http1 import CONTINUE, Event, Refusal, Request, RequestReader

# --- what h11 makes of the same bytes -----------------------------------------------------------


class Reading(NamedTuple):
    """A request, however it was read."""

    method: str
    target: str
    later_than_1_0: bool
    fields: list[tuple[str, str]]
    keep_alive: bool
    expects_100: bool


class Oracle(NamedTuple):
    """What h11 read, up to where each request reached, and the state in which it stopped."""

    readings: list[Reading]
    ends: list[int]
    refused: bool
    in_body: bool


def _field(name: str, value: str) -> tuple[str, str]:
    return name.lower(), value.lower() if name.lower() == "transfer-encoding" else value


def ask_h11(data: bytes) -> Oracle:
    """h11 with the differences that we mean.

    * Empty lines before a request are skipped, two at most (RFC 9112 2.2); h11 refuses them.
    * HTTP/1.0 stays open if it asks for that; h11 always closes it.
    * CONNECT is never kept open; h11 leaves it to the application.
    """
    readings: list[Reading] = []
    ends: list[int] = []
    start = 0
    while True:
        for _ in range(2):
            start += 2 * data.startswith(b"\r\n", start)
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 30)
        connection.receive_data(data[start:])
        reading: Reading | None = None
        ended = False
        while not ended:
            try:
                event = connection.next_event() if start < len(data) else h11.NEED_DATA
            except h11.RemoteProtocolError:
                return Oracle(readings, ends, True, False)
            if isinstance(event, h11.Request):
                reading = _reading(event, connection.they_are_waiting_for_100_continue)
            ended = isinstance(event, h11.EndOfMessage)
            if event is h11.NEED_DATA:
                return Oracle(readings, ends, False, reading is not None)
        assert reading is not None
        readings.append(reading)
        start = len(data) - len(connection.trailing_data[0])
        ends.append(start)
        if not reading.keep_alive:
            return Oracle(readings, ends, False, False)


def _reading(request: h11.Request, waiting: bool) -> Reading:
    fields = [
        _field(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers
    ]
    options = [
        option.strip(" \t")
        for name, value in fields
        if name == "connection"
        for option in value.lower().split(",")
    ]
    later = request.http_version > b"1.0"
    keep_alive = "close" not in options and (later or "keep-alive" in options)
    lengths = [value for name, value in fields if name == "content-length"]
    has_body = bool(lengths and int(lengths[0])) or ("transfer-encoding", "chunked") in fields
    return Reading(
        request.method.decode("latin-1"),
        request.target.decode("latin-1"),
        later,
        fields,
        keep_alive and request.method != b"CONNECT",
        waiting and has_body,
    )


# --- the comparison -----------------------------------------------------------------------------


_BLANK_BEFORE_EXTENSION: Final = re.compile(rb"[0-9A-Fa-f][ \t]+;")
"""RFC 9112 7.1.1 has BWS there, and RFC 9110 5.6.3 a recipient that must bear it."""


def disagreement(data: bytes) -> tuple[str, str]:
    """What is wrong with our reading of ``data`` (empty: nothing), and how it compares.

    What h11 refuses we have to refuse; we may refuse more.  A request has to be given with its
    last byte as h11 sees it, not before and not later: so both agree on the length of its body.
    """
    oracle = ask_h11(data)
    reader = RequestReader()
    events: list[Event] = []
    position = 0
    for reading, end in zip(oracle.readings, oracle.ends, strict=True):
        before = reader.feed(data[position : end - 1])
        last = reader.feed(data[end - 1 : end])
        position = end
        events += before + last
        if isinstance(events[-1] if events else None, Refusal):
            break
        if any(isinstance(event, Request) for event in before):
            return f"given too early: {events[-1]}", ""
        if not last or not isinstance(request := last[-1], Request):
            return f"not given: {reading}", ""
        expects_100 = CONTINUE in before or CONTINUE in last
        fields = [_field(name, value) for name, value in request.fields()]
        ours = Reading(
            request.method,
            request.target,
            request.version != "1.0",
            fields,
            request.keep_alive,
            expects_100,
        )
        if ours != reading:
            return f"{ours}\n instead of {reading}", ""
    else:
        events += reader.feed(data[position:])
    if events != RequestReader().feed(data):
        return "another reading when not cut", ""
    if events and isinstance(events[-1], Refusal):
        status, reason = events[-1]
        return "", f"both refuse: {status}" if oracle.refused else f"only we refuse: {reason}"
    if oracle.refused and _BLANK_BEFORE_EXTENSION.search(data):
        return "", "h11 refuses a blank before a chunk extension"
    if sum(isinstance(event, Request) for event in events) > len(oracle.readings):
        return f"h11 does not read {events[-1]}", ""
    if oracle.refused:
        # An unfinished head that begins with a blank is refused by h11 before its end.
        refused_early = reader.in_head and data[oracle.ends[-1] if oracle.ends else 0 :]
        if refused_early and refused_early.lstrip(b"\r\n")[:1] in (b" ", b"\t", b""):
            return "", "h11 refuses before the end of the head"
        return "only h11 refuses", ""
    if reader.in_body != oracle.in_body:
        return "not the same state at the end", ""
    return "", "both accept"


# --- requests at random -------------------------------------------------------------------------

_METHODS: Final = (b"GET", b"HEAD", b"POST", b"PUT", b"OPTIONS", b"M-SEARCH", b"CONNECT", b"x")
_TARGETS: Final = (
    b"/", b"/bytes/10?a=b", b"*", b"http://a/b", b"HTTPS://[::1]:80", b"a:80", b"a", b"/%00",
)  # fmt: skip
_VERSIONS: Final = (b"HTTP/1.1",) * 20 + (b"HTTP/1.0",) * 8 + (b"HTTP/1.2", b"HTTP/2.0", b"HTTP/1")
_FIELDS: Final = (
    b"Accept: */*", b"X-A:", b"x-a: \t b c \t", b"Range: bytes=0-", b"Cookie: a=\xe9;b", b"A: a:b",
    b"Connection: close", b"connection: Keep-Alive", b"CONNECTION: x , close", b"Connection: ,",
    b"Expect: 100-continue", b"expect: 100-Continue,", b"Expect: more",
    b"Host: b", b"Upgrade: h2c",
)  # fmt: skip
_FRAMINGS: Final = (
    b"Content-Length: 3", b"content-length:03", b"Content-Length: 3, 3", b"Content-Length: +3",
    b"Content-Length: 0", b"Content-Length: 99999999999999999999", b"Content-Length: 0x3",
    b"Transfer-Encoding: chunked", b"transfer-encoding:\tCHUNKED ", b"Transfer-Encoding: gzip",
    b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: \x0bchunked",
)  # fmt: skip
_CHUNKS: Final = (
    b"3\r\nabc\r\n", b"00A;a=b\r\n0123456789\r\n", b'1; a="\\"\xff" ;b\r\n\n\r\n', b"2\r\n\r\n\r\n",
    b"1 ;a\r\na\r\n", b"1 \r\na\r\n", b"-1\r\na\r\n", b"0x1\r\na\r\n",
    b"11111111111111111\r\n", b"1\r\nab\r\n",
)  # fmt: skip
_ENDS: Final = (b"0\r\n\r\n",) * 4 + (
    b"000;a\r\nX: y\r\n\r\n",
    b"0\r\n X: y\r\n\r\n",
    b"0\r\nX :y\r\n\r\n",
)
_NOISE: Final = (
    b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"\0", b" ", b"\t", b":", b",", b";", b'"', b"\x0b",
    b"\x7f", b"\xff", b"0", b"1", b"a", b"#", b"@", b"\r\n ", b"GET / HTTP/1.1\r\n", b"Host: a\r\n",
)  # fmt: skip


def _one_request(random: Random) -> bytes:
    """Often valid, and never far from it."""
    chance, choose = random.random, random.choice
    usual = chance() < 0.7
    line = b"%b %b %b" % (
        choose(_METHODS[:6] if usual else _METHODS),
        choose(_TARGETS[:2] if usual else _TARGETS),
        choose(_VERSIONS),
    )
    fields = [choose(_FIELDS) for _ in range(random.randrange(4))]
    if chance() < 0.95:
        fields.append(choose((b"Host: a", b"host:a:80", b"HOST: [::1]:80 ", b"Host:")))
    body = b""
    if chance() < 0.5:
        for _ in range(1 if chance() < 0.9 else 2):
            fields.append(choose(_FRAMINGS[:2] + _FRAMINGS[7:9] if usual else _FRAMINGS))
        good = chance() < 0.7
        chunks = [choose(_CHUNKS[:4] if good else _CHUNKS) for _ in range(random.randrange(4))]
        chunked = b"chunked" in fields[-1].lower()
        body = b"".join([*chunks, choose(_ENDS)]) if chunked else b"abc"
    random.shuffle(fields)
    return b"\r\n".join([line, *fields, b"", b""]) + body


def random_requests(random: Random) -> bytes:
    """One to three requests, with up to three bytes or lines of them damaged."""
    data = b"".join([_one_request(random) for _ in range(random.choice((1, 1, 1, 2, 3)))])
    if random.random() < 0.1:
        data = b"\r\n" * random.randrange(4) + data
    for _ in range(random.choice((0, 0, 0, 1, 1, 2, 3))):
        at = random.randrange(len(data) + 1)
        gap = random.choice((0, 0, 1, 1, 2, 9))
        filling = random.choice(_NOISE) if random.random() < 0.8 else b""
        data = data[:at] + filling + data[at + gap :]
    return data[: random.randrange(len(data) + 1)] if random.random() < 0.1 else data
