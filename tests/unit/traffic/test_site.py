"""Which answer a request gets, without files."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcptool.sansio.http1 import Refusal, read_whole
from tcptool.traffic import site
from tcptool.traffic.answers import Answer
from tcptool.traffic.outgoing import PATTERN
from tcptool.traffic.site import HELLO, MOST_BYTES, Site
from tests.support.http import asked, reply_to

SITE = Site(None, lambda: b'{"a": 1}', lambda: b"a 1\n")
OCTETS = "application/octet-stream"
HTML, TEXT = "text/html; charset=utf-8", "text/plain; charset=utf-8"
METRICS = "text/plain; version=0.0.4; charset=utf-8"


@pytest.mark.parametrize(
    ("target", "kind", "body"),
    [
        ("/", HTML, HELLO),
        ("/?a=b", HTML, HELLO),
        ("http://t", HTML, HELLO),
        ("http://t?a", HTML, HELLO),
        ("HTTPS://t:1/?/stats", HTML, HELLO),
        ("/stats", "application/json", b'{"a": 1}'),
        ("/stats?x", "application/json", b'{"a": 1}'),
        ("http://t/stats", "application/json", b'{"a": 1}'),
        ("/metrics", METRICS, b"a 1\n"),
        ("/bytes/0", OCTETS, b""),
        ("/bytes/1", OCTETS, bytes(PATTERN[:1])),
        ("/bytes/00100?x", OCTETS, bytes(PATTERN[:100])),
    ],
)
def test_what_is_there(target: str, kind: str, body: bytes) -> None:
    get, head = asked(target), asked(target, method="HEAD")
    reply = reply_to(get, SITE.answer(get))
    assert (reply.status, reply.fields["content-type"], reply.body) == (200, kind, body)
    assert reply_to(head, SITE.answer(head)) == reply._replace(body=b"")


@pytest.mark.parametrize(
    "target",
    [
        "/none", "//", "/stats/", "/Stats", "/./", "//stats", "/bytes", "/bytes/", "/bytes/x",
        "/bytes/-1", "/bytes/+1", "/bytes/1.0", "/bytes/1/", "/bytes/%31", "/bytes/1_0",
        f"/bytes/{MOST_BYTES + 1}", f"/bytes/{10**15}", f"/bytes/{'1' * 5000}", "http://t/none",
        "http://t//stats", "/http://t/stats",
    ],
)  # fmt: skip
def test_what_is_not_there(target: str) -> None:
    request = asked(target)
    reply = reply_to(request, SITE.answer(request))
    assert reply.status == 404
    assert reply.body.startswith(b"404 Not Found")


def test_the_most_that_there_is() -> None:
    answer = SITE.answer(asked(f"/bytes/{MOST_BYTES}"))
    assert (answer.status, answer.pattern_bytes) == (200, MOST_BYTES)
    assert f"\r\nContent-Length: {MOST_BYTES}\r\n".encode() in answer.head


def test_an_echo_is_the_head_as_it_came() -> None:
    request = asked("/echo?a=%0d%0ab", "X-Y:  \xe9\t<b>", "connection: x")
    reply = reply_to(request, SITE.answer(request))
    assert (reply.status, reply.fields["content-type"]) == (200, TEXT)
    assert reply.body == request.head


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        *((method, "/", 405) for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH")),
        ("POST", "/none", 405),
        ("OPTIONS", "*", 405),
        ("CONNECT", "t:443", 405),
        ("get", "/", 501),
        ("BREW", "/", 501),
        ("BREW", "/none", 501),
    ],
)
def test_methods(method: str, target: str, status: int) -> None:
    request = asked(target, method=method)
    answer = SITE.answer(request)
    assert answer.status == status
    assert answer.keep_alive == (method != "CONNECT")
    assert (b"\r\nAllow: GET, HEAD\r\n" in answer.head) == (status == 405)


def test_only_what_is_the_same_for_everybody_may_be_remembered() -> None:
    assert SITE.answer(asked("/")).constant
    assert SITE.answer(asked("/", method="HEAD")).constant
    for target in ("/stats", "/metrics", "/echo", "/bytes/1", "/none"):
        assert not SITE.answer(asked(target)).constant


@pytest.mark.parametrize(
    ("answer", "status", "body", "field"),
    [
        (site.refused(Refusal(431, "too many fields")), 431, "too many fields", None),
        (site.too_many(), 503, "too many clients", ("retry-after", "1")),
        (site.too_slow(), 408, "the request did not come to its end in time", None),
    ],
)
def test_answers_to_no_request(
    answer: Answer, status: int, body: str, field: tuple[str, str] | None
) -> None:
    reply = reply_to(asked(), answer)
    assert (reply.status, reply.fields["connection"]) == (status, "close")
    assert reply.body.decode().endswith(f": {body}\n")
    assert field is None or field in reply.fields.items()


# No more of a request is in a head than its status.
_TARGETS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=60)
_VALUES = st.text(st.characters(codec="latin-1", categories=("L", "N", "P", "S", "Zs")))
_HEAD = re.compile(
    rb"HTTP/1\.1 [0-9]{3} [A-Za-z -]+\r\nDate: [A-Za-z0-9 ,:]+\r\n"
    rb"Content-Type: [a-z/-]+(?:; version=0\.0\.4)?(?:; charset=utf-8)?\r\n"
    rb"(?:Allow: GET, HEAD\r\n)?Content-Length: [0-9]+\r\n"
    rb"(?:Connection: (?:close|keep-alive)\r\n)?\r\n"
)


@given(
    st.sampled_from(["GET", "HEAD", "POST", "X!"]),
    st.sampled_from(["/", "/echo", "/bytes/", "/stats?", "http://t", "/%0d%0aA:%20b/", "//"]),
    _TARGETS,
    _VALUES,
    st.sampled_from(["1.0", "1.1"]),
)
def test_nothing_of_a_request_gets_into_a_head(
    method: str, start: str, rest: str, value: str, version: str
) -> None:
    line = f"{method} {start}{rest} HTTP/{version}\r\nHost: t\r\nA: {value}\r\n\r\n"
    for request in read_whole(line.encode("latin-1")) or []:
        answer = SITE.answer(request)
        assert _HEAD.fullmatch(answer.head)
        assert answer.file is None
