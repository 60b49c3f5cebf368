"""Heads of answers: what they say, and that they say the same without a body."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tcptool.sansio import http1
from tcptool.sansio.http1 import Request
from tcptool.traffic.answers import (
    CONTINUE,
    HTML,
    REASONS,
    TEXT,
    Answer,
    FilePart,
    error,
    head_of,
    page,
)
from tests.support.http import asked, reply_to

DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
KEEP, CLOSE = "Connection: keep-alive", "Connection: close"


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 784_111_777.9)
    monkeypatch.setattr("tcptool.traffic.answers._date._second", -1)


def lines(head: bytes) -> list[str]:
    text = head.decode()
    assert text.endswith("\r\n\r\n")
    return text[:-4].split("\r\n")


@pytest.mark.parametrize(
    ("request_", "connection"),
    [
        (asked(), []),
        (asked("/", KEEP), []),
        (asked("/", CLOSE), [CLOSE]),
        (asked(version="1.0"), [CLOSE]),
        (asked("/", KEEP, version="1.0"), [KEEP]),
        (asked("a:1", method="CONNECT"), [CLOSE]),
        (None, [CLOSE]),
    ],
)
def test_a_head_says_what_becomes_of_the_connection(
    request_: Request | None, connection: list[str]
) -> None:
    assert lines(head_of(200, request_, 5, "A: b", "C: d")) == [
        "HTTP/1.1 200 OK",
        f"Date: {DATE}",
        "A: b",
        "C: d",
        "Content-Length: 5",
        *connection,
    ]


def test_a_length_may_be_zero_or_not_there() -> None:
    assert lines(head_of(200, asked(), 0))[-1] == "Content-Length: 0"
    assert lines(head_of(304, asked(), None)) == ["HTTP/1.1 304 Not Modified", f"Date: {DATE}"]


def test_the_date_follows_the_clock_wherever_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    for now_s, text in (
        (784_111_777.0, DATE),
        (784_111_778.0, "Sun, 06 Nov 1994 08:49:38 GMT"),
        (0.0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (784_111_777.0, DATE),
    ):
        monkeypatch.setattr("time.time", lambda now_s=now_s: now_s)
        assert lines(head_of(200, None, 0))[1] == f"Date: {text}"


@pytest.mark.parametrize(
    "status", sorted(REASONS.keys() - {304})
)  # it has no body: not for error()
def test_every_status_has_an_answer_that_can_be_read(status: int) -> None:
    request = asked("/x")
    reply = reply_to(request, error(status, request, "why", "A: b"))
    assert reply.status == status
    assert (reply.fields["content-type"], reply.fields["a"]) == (TEXT, "b")
    assert reply.body == f"{status} {REASONS[status]}: why\n".encode()


def test_every_refusal_of_the_reader_has_a_reason() -> None:
    statuses = re.findall(r"Refusal\(([0-9]{3}),", Path(http1.__file__).read_text())
    assert len(statuses) > 10
    assert {int(status) for status in statuses} <= REASONS.keys()


def test_an_error_without_a_request_is_the_last_answer() -> None:
    answer = error(400, None)
    assert lines(answer.head)[-1] == CLOSE
    assert (answer.body, answer.keep_alive) == (b"400 Bad Request\n", False)


@pytest.mark.parametrize("fields", [(), (CLOSE,)])
def test_head_gets_the_head_of_get_and_no_body(fields: tuple[str, ...]) -> None:
    get, head = asked("/", *fields), asked("/", *fields, method="HEAD")
    for whole, empty in (
        (page(get, b"text", HTML, constant=True), page(head, b"text", HTML, constant=True)),
        (error(404, get, "why"), error(404, head, "why")),
    ):
        assert empty == whole._replace(body=b"")
        assert (whole.body_bytes > 0, empty.body_bytes) == (True, 0)
        assert reply_to(get, whole).fields == reply_to(head, empty).fields


def test_a_page() -> None:
    request = asked()
    answer = page(request, b"\xff" * 1000, "a/b")
    assert reply_to(request, answer) == (
        200,
        {"date": DATE, "content-type": "a/b", "content-length": "1000"},
        b"\xff" * 1000,
    )
    assert (answer.keep_alive, answer.constant) == (True, False)


def test_what_follows_a_head_is_counted() -> None:
    assert Answer(200, b"head").body_bytes == 0
    assert Answer(200, b"head", b"body").body_bytes == 4
    assert Answer(200, b"head", pattern_bytes=7).body_bytes == 7
    assert Answer(200, b"head", file=FilePart(-1, 5, 16)).body_bytes == 11


def test_continue_is_a_head_of_its_own() -> None:
    assert lines(CONTINUE) == ["HTTP/1.1 100 Continue"]
