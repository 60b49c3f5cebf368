"""What is accepted and what is refused, however the bytes arrive; and the same as h11 reads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcptool.sansio.http1 import (
    CONTINUE,
    DEFAULT_LIMITS,
    Event,
    Limits,
    Refusal,
    Request,
    RequestReader,
    plain_path,
    read_whole,
)
from tests.unit.sansio.http1_examples import disagreement, random_requests

SMALL = Limits(
    request_line_bytes=32,
    head_bytes=64,
    fields=3,
    body_bytes=20,
    chunk_line_bytes=8,
    trailers_bytes=12,
)

# --- examples: the bytes of a connection, and what the reader says --------------------------------

GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
ONE = "GET / 1.1 keep"
POSTED = "POST / 1.1 keep"

GOOD = [
    (GET + b"\r\n", ONE),
    (b"GET /a?b=%20|{} HTTP/1.1\r\nhOST:\t a:80 \t\r\n\r\n", "GET /a?b=%20|{} 1.1 keep"),
    (b"!x-9~ /a HTTP/1.1\r\nHost: a\r\n\r\n", "!x-9~ /a 1.1 keep"),
    (b"GET / HTTP/1.9\r\nHost: a\r\n\r\n", ONE),
    (b"GET / HTTP/1.0\r\n\r\n", "GET / 1.0 close"),
    (GET + b"X: \xff\t\x80 ~\r\nY:\r\n\r\n", ONE),
    # hosts
    (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", ONE),
    (b"GET / HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\n\r\n", ONE),
    (b"GET / HTTP/1.1\r\nHost: [v1.a:b]\r\n\r\n", ONE),
    (b"GET / HTTP/1.1\r\nHost: a%2Db_c.d:\r\n\r\n", ONE),
    # forms of the target
    (b"GET http://a.b:80/c?d HTTP/1.1\r\nHost: a\r\n\r\n", "GET http://a.b:80/c?d 1.1 keep"),
    (b"OPTIONS HTTPS://[::1] HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS HTTPS://[::1] 1.1 keep"),
    (b"GET http://a?b HTTP/1.1\r\nHost: a\r\n\r\n", "GET http://a?b 1.1 keep"),
    (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * 1.1 keep"),
    (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n\x16\x03", "CONNECT a:443 1.1 close"),
    # connection options
    (GET + b"Connection: close\r\n\r\n", "GET / 1.1 close"),
    (GET + b"Connection: x, ,CLOSE\t,y\r\n\r\n", "GET / 1.1 close"),
    (GET + b"Connection: keep-alive\r\nconnection: close\r\n\r\n", "GET / 1.1 close"),
    (GET + b"Connection: closed, keep-alive\r\n\r\n", ONE),
    (GET + b"Connection:\r\n\r\n", ONE),
    (b"GET / HTTP/1.0\r\nConnection: a, Keep-Alive\r\n\r\n", "GET / 1.0 keep"),
    (b"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", "GET / 1.0 close"),
    # one after the other
    (GET + b"\r\n" + GET + b"\r\n", f"{ONE}, {ONE}"),
    (b"\r\n\r\n" + GET + b"\r\n\r\n" + GET + b"\r\n", f"{ONE}, {ONE}"),
    (GET + b"Connection: close\r\n\r\n" + GET + b"\r\n", "GET / 1.1 close"),
    (b"GET / HTTP/1.0\r\n\r\nwhatever\0", "GET / 1.0 close"),
    # bodies of a known length
    (POST + b"Content-Length: 3\r\n\r\na\r\n" + GET + b"\r\n", f"{POSTED}, {ONE}"),
    (POST + b"content-length:\t003 \r\n\r\n\0\n\r\r\n" + GET + b"\r\n", f"{POSTED}, {ONE}"),
    (POST + b"Content-Length: 0\r\n\r\n" + GET + b"\r\n", f"{POSTED}, {ONE}"),
    (GET + b"Content-Length: 1\r\n\r\nx", ONE),
    (b"POST / HTTP/1.0\r\nContent-Length: 1\r\n\r\nx", "POST / 1.0 close"),
    (POST + b"Content-Length: 3\r\n\r\nab", ""),
    # chunks
    (CHUNKED + b"0\r\n\r\n" + GET + b"\r\n", f"{POSTED}, {ONE}"),
    (CHUNKED + b"3\r\n\r\n0\r\n00A\r\n0123456789\r\n0000\r\n\r\n", POSTED),
    (CHUNKED + b'1;a;b=c;d="\\"e;\xff\\\\"\r\nx\r\n0;a\r\n\r\n', POSTED),
    (CHUNKED + b'1 ;\ta = b\t; c\t= ""\r\nx\r\n0\r\n\r\n', POSTED),
    (CHUNKED + b"0\r\nX: y\r\nContent-Length: 9\r\n\r\n" + GET + b"\r\n", f"{POSTED}, {ONE}"),
    (POST + b"transfer-encoding: \tCHUNKED \r\n\r\n0\r\n\r\n", POSTED),
    (CHUNKED + b"0000000000000001\r\nx\r\n0\r\n\r\n", POSTED),
    (CHUNKED + b"1\r\nx\r\n0\r\n", ""),
    # expectations
    (POST + b"Expect: 100-continue\r\nContent-Length: 1\r\n\r\nx", f"100, {POSTED}"),
    (
        POST + b"expect: 100-CONTINUE,\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        f"100, {POSTED}",
    ),
    (POST + b"Expect: 100-continue\r\nContent-Length: 1\r\n\r\n", "100"),
    (GET + b"\r\n" + POST + b"Expect: 100-continue\r\nContent-Length: 1\r\n\r\n", f"{ONE}, 100"),
    (POST + b"Expect: 100-continue\r\nContent-Length: 0\r\n\r\n", POSTED),
    (GET + b"Expect: 100-continue\r\n\r\n", ONE),
    (
        b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
        "POST / 1.0 close",
    ),
    # not yet
    (b"", ""),
    (b"\r", ""),
    (b"GET / HTTP/1.1\r\nHost: a\r\n\r", ""),
]

BAD = [
    # the request line
    (b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", "400 malformed request line"),
    (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "400 malformed request line"),
    (b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", "400 malformed request line"),
    (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "400 malformed request line"),
    (b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", "400 malformed request line"),
    (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "400 malformed request line"),
    (b"GET /\r\nHost: a\r\n\r\n", "400 malformed request line"),
    (b"GET / http/1.1\r\nHost: a\r\n\r\n", "400 malformed request line"),
    (b"GET / HTTP/1\r\nHost: a\r\n\r\n", "400 malformed request line"),
    (b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", "400 malformed request line"),
    (b"GET / HTTP/11.1\r\nHost: a\r\n\r\n", "400 malformed request line"),
    (b"GET / HTTP/1.\r\nHost: a\r\n\r\n", "400 malformed request line"),
    (b"G@T / HTTP/1.1\r\nHost: a\r\n\r\n", "400 malformed request line"),
    (b"GET /\xe9 HTTP/1.1\r\nHost: a\r\n\r\n", "400 malformed request line"),
    (b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", "400 malformed request line"),
    (b"GET / HTTP/1.1\r\n", ""),
    (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", "505"),
    (b"GET / HTTP/0.9\r\n\r\n", "505"),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505"),
    (b"\x16\x03\x01\x02\0", "400 a control character"),
    (b"\r\n\r\n\r\n" + GET + b"\r\n", "400 empty lines"),
    # the form of the target
    (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", "400 this method"),
    (b"OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n", "400 this method"),
    (b"GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", "400 this method"),
    (b"GET a/b HTTP/1.1\r\nHost: a\r\n\r\n", "400 this method"),
    (b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "400 this method"),
    (b"GET http:///b HTTP/1.1\r\nHost: a\r\n\r\n", "400 this method"),
    (b"GET http://a@b/ HTTP/1.1\r\nHost: a\r\n\r\n", "400 this method"),
    (b"GET http://a\\b/ HTTP/1.1\r\nHost: a\r\n\r\n", "400 this method"),
    (b"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", "400 this method"),
    (b"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", "400 this method"),
    (b"CONNECT a: HTTP/1.1\r\nHost: a\r\n\r\n", "400 this method"),
    (b"CONNECT :80 HTTP/1.1\r\nHost: a\r\n\r\n", "400 this method"),
    (b"CONNECT http://a:80 HTTP/1.1\r\nHost: a\r\n\r\n", "400 this method"),
    # the field lines
    (GET + b"A : b\r\n\r\n", "400 malformed field line"),
    (GET + b"A\t: b\r\n\r\n", "400 malformed field line"),
    (GET + b": b\r\n\r\n", "400 malformed field line"),
    (GET + b"A\r\n\r\n", "400 malformed field line"),
    (GET + b"A(b): c\r\n\r\n", "400 malformed field line"),
    (GET + b"\xe9: c\r\n\r\n", "400 malformed field line"),
    (GET + b"A: b\r\n c\r\n\r\n", "400 a folded field line"),
    (GET + b"A: b\r\n\tc: d\r\n\r\n", "400 a folded field line"),
    (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", "400 a folded field line"),
    (GET + b"A: b\0\r\n\r\n", "400 a control character"),
    (GET + b"A: \x1bb\r\n\r\n", "400 a control character"),
    (GET + b"A: b\x7f\r\n\r\n", "400 a control character"),
    (GET + b"A: b\x0b\r\n\r\n", "400 a control character"),
    (GET + b"A: b\rC: d\r\n\r\n", "400 bare CR"),
    (GET + b"A: b\r\r\n\r\n", "400 bare CR"),
    (GET + b"\r\rA: b\r\n\r\n", "400 bare CR"),
    (GET + b"A: b\nC: d\r\n\r\n", "400 bare LF"),
    (GET + b"\n", "400 bare LF"),
    (b"GET / HTTP/1.1\nHost: a\n\n", "400 bare LF"),
    (b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "400 bare LF"),
    (b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", "400 bare CR"),
    (POST + b"Content-Length: 1\r\n\r\n\r\n" + GET + b"\r\n", f"{POSTED}, 400 bare LF"),
    # hosts
    (b"GET / HTTP/1.1\r\n\r\n", "400 no host field"),
    (b"GET / HTTP/1.2\r\nA: b\r\n\r\n", "400 no host field"),
    (GET + b"host: a\r\n\r\n", "400 more than one host field"),
    (b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", "400 more than one host field"),
    (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "400 malformed host field"),
    (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "400 malformed host field"),
    (b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", "400 malformed host field"),
    (b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", "400 malformed host field"),
    (b"GET / HTTP/1.1\r\nHost: a%2\r\n\r\n", "400 malformed host field"),
    (b"GET / HTTP/1.1\r\nHost: ::1\r\n\r\n", "400 malformed host field"),
    (b"GET / HTTP/1.0\r\nHost: [::1\r\n\r\n", "400 malformed host field"),
    (b"GET / HTTP/1.1\r\nHost: \xe9\r\n\r\n", "400 malformed host field"),
    # the length of the body
    (POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\nx", "400 more than one content-length"),
    (POST + b"Content-Length: 1, 1\r\n\r\nx", "400 malformed content-length"),
    (POST + b"Content-Length: +1\r\n\r\nx", "400 malformed content-length"),
    (POST + b"Content-Length: -1\r\n\r\nx", "400 malformed content-length"),
    (POST + b"Content-Length: 1 1\r\n\r\nx", "400 malformed content-length"),
    (POST + b"Content-Length: 1_0\r\n\r\nx", "400 malformed content-length"),
    (POST + b"Content-Length: 0x1\r\n\r\nx", "400 malformed content-length"),
    (POST + b"Content-Length: \xb2\r\n\r\nx", "400 malformed content-length"),
    (POST + b"Content-Length:\r\n\r\nx", "400 malformed content-length"),
    (POST + b"Content-Length: 1000000000000000000\r\n\r\nx", "400 malformed content-length"),
    (POST + b"Content-Length: 999999999999999999\r\n\r\nx", "413"),
    (POST + b"Content-Length: 1073741825\r\n\r\nx", "413"),
    (POST + b"Transfer-Encoding: gzip\r\n\r\n", "501"),
    (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n", "501"),
    (POST + b"Transfer-Encoding: chunked;a=b\r\n\r\n", "501"),
    (POST + b"Transfer-Encoding: identity\r\n\r\n", "501"),
    (POST + b"Transfer-Encoding:\r\n\r\n", "501"),
    (POST + b"Transfer-Encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n", "501"),
    (POST + b"Transfer-Encoding: \x0cchunked\r\n\r\n", "400 a control character"),
    (POST + b"Transfer-Encoding : chunked\r\n\r\n", "400 malformed field line"),
    (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", "400 both"),
    (POST + b"Content-Length: 1\r\nTransfer-Encoding: x\r\n\r\n", "400 both"),
    (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "400 transfer-encoding"),
    # chunks
    (CHUNKED + b"\r\n", "400 malformed or too long line"),
    (CHUNKED + b"g\r\n", "400 malformed or too long line"),
    (CHUNKED + b"0x1\r\nx\r\n", "400 malformed or too long line"),
    (CHUNKED + b"+1\r\nx\r\n", "400 malformed or too long line"),
    (CHUNKED + b"1 \r\nx\r\n", "400 malformed or too long line"),
    (CHUNKED + b" 1\r\nx\r\n", "400 malformed or too long line"),
    (CHUNKED + b"1\nx\r\n", "400 malformed or too long line"),
    (CHUNKED + b"1\r\r\nx\r\n", "400 malformed or too long line"),
    (CHUNKED + b"1;\r\nx\r\n", "400 malformed or too long line"),
    (CHUNKED + b"1;a=\r\nx\r\n", "400 malformed or too long line"),
    (CHUNKED + b'1;a="b\r\nx\r\n', "400 malformed or too long line"),
    (CHUNKED + b"1;a\n\r\nx\r\n", "400 malformed or too long line"),
    (CHUNKED + b"1;\xe9\r\nx\r\n", "400 malformed or too long line"),
    (CHUNKED + b"00000000000000001\r\nx\r\n", "400 malformed or too long line"),
    (CHUNKED + b"FFFFFFFFFFFFFFFF\r\nx\r\n", "413"),
    (CHUNKED + b"1\r\nxy\r\n", "400 no CRLF after a chunk"),
    (CHUNKED + b"1\r\nx\n", "400 no CRLF after a chunk"),
    (CHUNKED + b"1\r\nx\r\r\n", "400 no CRLF after a chunk"),
    (CHUNKED + b"0\r\nA : b\r\n\r\n", "400 malformed trailer"),
    (CHUNKED + b"0\r\nA: b\r\n c\r\n\r\n", "400 malformed trailer"),
    (CHUNKED + b"0\r\nA: b\n\r\n", "400 malformed trailer"),
    (CHUNKED + b"0\r\nA: b\0\r\n\r\n", "400 malformed trailer"),
    (CHUNKED + b"0\r\n\n", "400 malformed trailer"),
    (CHUNKED + b"0\r\n\rx\n", "400 malformed trailer"),
    # expectations
    (POST + b"Expect: 200-ok\r\nContent-Length: 1\r\n\r\nx", "417"),
    (POST + b"Expect: 100-continue, more\r\nContent-Length: 1\r\n\r\nx", "417"),
    (GET + b"Expect: 100-continue\r\nexpect: 100-continued\r\n\r\n", "417"),
    # what came before counts, what follows does not
    (GET + b"\r\nGET\r\n\r\n" + GET + b"\r\n", f"{ONE}, 400 malformed request line"),
]

LIMITED = [  # with the limits of SMALL
    (b"GET /345678901234567 HTTP/1.1\r\nHost: a\r\n\r\n", "GET /345678901234567 1.1 keep"),
    (b"GET /34567890123456789012 HTTP/1.1\r\nHost: a\r\n\r\n", "414"),
    (b"GET /" + b"x" * 70 + b" HTTP/1.1\r\nHost: a\r\n\r\n", "414"),
    (b"GET /" + b"x" * 60, "414"),
    (b"GET /" + b"x" * 59, ""),
    (b"GET /" + b"x" * 55 + b"\0" + b"x" * 10, "400 a control character"),
    (b"GET /" + b"x" * 60 + b"\0" + b"x" * 10, "414"),
    (b"GET" + b"x" * 30 + b" / HTTP/1.1\r\nHost: a\r\n\r\n", "400 the request line is too long"),
    (GET + b"A: " + b"x" * 32 + b"\r\n\r\n", ONE),
    (GET + b"A: " + b"x" * 33 + b"\r\n\r\n", "431 the head"),
    (GET + b"A: " + b"x" * 36 + b"\r", "431 the head"),
    (GET + b"A: " + b"x" * 35 + b"\r", ""),
    (GET + b"A: " + b"x" * 35 + b"\r\n\0", "431 the head"),
    (GET + b"\r\n" + GET + b"A: " + b"x" * 33 + b"\r\n\r\n", f"{ONE}, 431 the head"),
    (GET + b"A:\r\nB:\r\n\r\n", ONE),
    (GET + b"A:\r\nB:\r\nC:\r\n\r\n", "431 too many fields"),
    (GET + b"A:\r\nB:\r\nC\r\n\r\n", "431 too many fields"),
    (POST + b"Content-Length: 20\r\n\r\n" + b"x" * 20, POSTED),
    (POST + b"Content-Length: 21\r\n\r\n", "413"),
    (b"P / HTTP/1.1\r\nHost:\r\nExpect:100-continue\r\nContent-Length:21\r\n\r\n", "413"),
    (CHUNKED + b"A\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", POSTED),
    (CHUNKED + b"A\r\n0123456789\r\nB\r\n", "413"),
    (CHUNKED + b"1;34567\r\nx\r\n", "400 malformed or too long line"),
    (CHUNKED + b"1;3456\r\nx\r\n0;3456\r\n\r\n", POSTED),
    (CHUNKED + b"00000001", "400 malformed or too long line"),
    (CHUNKED + b"0000001", ""),
    (CHUNKED + b"0\r\nA: b\r\nC:\r\n\r\n", POSTED),
    (CHUNKED + b"0\r\nA: b\r\nC:d\r\n\r\n", "431 the trailer"),
    (CHUNKED + b"0\r\nA: b\r\nC:de\r\n", ""),
    (CHUNKED + b"0\r\nA: b\r\nC:def\r\n", "431 the trailer"),
    (CHUNKED + b"0\r\nA: 45678\r\n\r\n", POSTED),
    (CHUNKED + b"0\r\nA: 456789\r\n\r\n", "431 the trailer"),
    (CHUNKED + b"0\r\n12345678901", ""),
    (CHUNKED + b"0\r\n123456789012", "431 the trailer"),
]  # fmt: skip

EXAMPLES = [
    *((data, said, DEFAULT_LIMITS) for data, said in GOOD + BAD),
    *((data, said, SMALL) for data, said in LIMITED),
]


def show(event: Event) -> str:
    if isinstance(event, Request):
        how = "keep" if event.keep_alive else "close"
        return f"{event.method} {event.target} {event.version} {how}"
    return f"{event.status} {event.reason}" if isinstance(event, Refusal) else str(event.value)


def pieces(data: bytes, *cuts: int) -> Iterator[bytes]:
    for start, end in zip((0, *cuts), (*cuts, len(data)), strict=True):
        yield data[start:end]


def read(reader: RequestReader, parts: Iterator[bytes]) -> list[Event]:
    return [event for part in parts for event in reader.feed(part)]


@pytest.mark.parametrize(("data", "said", "limits"), EXAMPLES)
def test_what_is_said(data: bytes, said: str, limits: Limits) -> None:
    shown = [show(event) for event in RequestReader(limits).feed(data)]
    expected = said.split(", ") if said else []
    assert len(shown) == len(expected)
    for one, start in zip(shown, expected, strict=True):
        assert one.startswith(start)


@pytest.mark.parametrize(("data", "limits"), [(data, limits) for data, _, limits in EXAMPLES])
def test_every_cut_gives_the_same(data: bytes, limits: Limits) -> None:
    whole = RequestReader(limits)
    events = whole.feed(data)

    def compare(parts: Iterator[bytes]) -> None:
        reader = RequestReader(limits)
        assert read(reader, parts) == events
        assert reader.idle == whole.idle
        assert reader.in_head == whole.in_head
        assert reader.in_body == whole.in_body
        assert reader.finished == whole.finished
        assert reader._rest == whole._rest

    compare(data[at : at + 1] for at in range(len(data)))
    for first in range(len(data) + 1):
        compare(pieces(data, first))
        for second in range(first + 1, len(data)):
            compare(pieces(data, first, second))


@pytest.mark.parametrize(("data", "limits"), [(data, limits) for data, _, limits in EXAMPLES])
def test_reading_heads_without_a_reader(data: bytes, limits: Limits) -> None:
    """The same requests, or None where there is more to say or to wait for."""
    whole = read_whole(data, limits)
    reader = RequestReader(limits)
    events = reader.feed(data)
    if data == b"".join(event.head for event in events if isinstance(event, Request)):
        assert whole == events
    elif whole is not None:
        assert whole == events
        assert reader.finished, "what follows does not count"


PLAIN = [
    (GET + b"\r\n", b"/"),
    (b"GET /a/b?c=d/e HTTP/1.1\r\nhOsT:\t[::1]:80\r\nX: y\r\nHosts: z\r\n\r\n", b"/a/b"),
    (b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", None),
    (b"GET / HTTP/1.0\r\nHost: a\r\n\r\n", None),
    (GET + b"Connection: keep-alive\r\n\r\n", None),
    (GET + b"host: a\r\n\r\n", None),
    (GET + b"Content-length: 0\r\n\r\n", None),
    (GET + b"X: y\r\n", None),
    (GET + b"\r\n" + GET + b"\r\n", None),
    (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", None),
    (b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", None),
    (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 100 + b"\r\n", None),
    (b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % (b"x" * 9000), None),
]


@pytest.mark.parametrize(("data", "path"), PLAIN)
def test_the_path_of_a_plain_get(data: bytes, path: bytes | None) -> None:
    assert plain_path(data) == path


def same_as_read_whole(data: bytes) -> bool:
    """What is plain is one acceptable request with that path; whether it is plain."""
    path = plain_path(data)
    if path is not None:
        found = read_whole(data)
        assert found is not None
        (request,) = found
        assert (request.method, request.version, request.keep_alive) == ("GET", "1.1", True)
        assert request.target.encode().partition(b"?")[0] == path
    return path is not None


@pytest.mark.parametrize("data", [data for data, _ in GOOD + BAD])
def test_what_is_plain_is_acceptable(data: bytes) -> None:
    same_as_read_whole(data)


@given(st.integers(0))
def test_what_is_plain_is_acceptable_at_random(seed: int) -> None:
    random = Random(seed)
    for _ in range(100):
        same_as_read_whole(random_requests(random))


def test_some_random_requests_are_plain() -> None:
    """Or the comparison would prove nothing."""
    random = Random(0)
    assert any(same_as_read_whole(random_requests(random)) for _ in range(3000))


# --- what a reader and a request tell -------------------------------------------------------------


def test_the_state_of_a_reader() -> None:
    reader = RequestReader()

    def states() -> list[str]:
        names = ("idle", "in_head", "in_body", "finished")
        return [name for name in names if getattr(reader, name)]

    assert states() == ["idle"]
    assert reader.feed(b"") == []
    assert states() == ["idle"]
    reader.feed(b"\r\n")
    assert states() == ["idle"], "an empty line begins nothing"
    reader.feed(b"P")
    assert states() == ["in_head"]
    reader.feed(CHUNKED[1:])
    assert states() == ["in_body"]
    for part in (b"1", b"\r\n", b"x", b"\r", b"\n0\r\n", b"A: b\r\n"):
        assert reader.feed(part) == []
        assert states() == ["in_body"]
    assert [show(event) for event in reader.feed(b"\r\n")] == [POSTED]
    assert states() == ["idle"]
    reader.feed(POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n1")
    assert states() == ["in_body"]
    reader.feed(b"2\0")
    assert states() == ["finished"]
    assert reader.feed(GET + b"\r\n") == []
    assert states() == ["finished"]


def test_after_the_last_request_nothing_is_read() -> None:
    reader = RequestReader()
    assert len(reader.feed(GET + b"Connection: close\r\n\r\n" + GET)) == 1
    assert reader.finished
    assert reader.feed(b"\0" * 100) == []
    assert reader._rest == b""


def test_the_fields_of_a_request() -> None:
    lines = b"range:bytes=0-1\r\nCookie:  a=\xe9; b \t\r\nVIA: a\r\nvia: b,c\r\nX.Y:\r\nXaY: no\r\n"
    (request,) = read_whole(GET + lines + b"\r\n") or []
    assert request.field("range") == "bytes=0-1"
    assert request.field("Range") == "bytes=0-1"
    assert request.field("cookie") == "a=é; b"
    assert request.field("via") == "a, b,c"
    assert request.field("x.y") == ""
    assert request.field("ange") is None
    assert request.field("get / http/1.1\r\nhost") is None
    assert request.fields() == [
        ("Host", "a"),
        ("range", "bytes=0-1"),
        ("Cookie", "a=é; b"),
        ("VIA", "a"),
        ("via", "b,c"),
        ("X.Y", ""),
        ("XaY", "no"),
    ]
    assert request.head == GET + lines + b"\r\n"


def test_continue_is_one_of_a_kind() -> None:
    events = RequestReader().feed(POST + b"Expect: 100-continue\r\nContent-Length: 1\r\n\r\n")
    assert events == [CONTINUE]


def test_a_body_may_be_unlimited() -> None:
    limits = Limits(body_bytes=None)
    reader = RequestReader(limits)
    assert reader.feed(CHUNKED + b"FFFFFFFFFFFFFFFF\r\n") == []
    assert reader.in_body
    assert RequestReader(limits).feed(POST + b"Content-Length: 999999999999999999\r\n\r\n") == []


def test_limits_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="head_bytes is the larger"):
        Limits(request_line_bytes=100, head_bytes=99)


# --- anything at all --------------------------------------------------------------------------

NEARLY_HTTP = st.lists(
    st.sampled_from(
        [GET, POST, CHUNKED, b"Content-Length: 5\r\n", b"\r\n", b"1\r\nx\r\n", b"0\r\n", b"A: b"]
    )
    | st.binary(max_size=6),
    max_size=12,
).map(b"".join)
CUTS = st.lists(st.integers(0, 200), max_size=6)


def kept_at_most(limits: Limits) -> int:
    """Before its limit a line is kept without its end, and the body of a request never."""
    return max(limits.head_bytes, limits.chunk_line_bytes, limits.trailers_bytes)


@given(NEARLY_HTTP, CUTS, st.sampled_from([SMALL, DEFAULT_LIMITS]))
def test_anything_is_read_and_little_is_kept(data: bytes, cuts: list[int], limits: Limits) -> None:
    reader = RequestReader(limits)
    events: list[Event] = []
    for part in pieces(data, *sorted(min(cut, len(data)) for cut in cuts)):
        events += reader.feed(part)
        assert len(reader._rest) <= kept_at_most(limits)
    assert events == RequestReader(limits).feed(data)
    assert sum(isinstance(event, Refusal) for event in events) <= 1
    assert not any(isinstance(event, Refusal) for event in events[:-1])
    heads = read_whole(data, limits)
    assert heads is None or heads == events


@pytest.mark.parametrize(
    ("start", "endless"),
    [
        (b"", b"G"),
        (b"GET /", b"x"),
        (GET, b"A: b\r\n"),
        (GET + b"A: ", b"x"),
        (POST + b"Content-Length: 1000000\r\n\r\n", b"x"),
        (CHUNKED + b"F4240\r\n", b"x"),
        (CHUNKED, b"1\r\nx\r\n"),
        (CHUNKED, b"0"),
        (CHUNKED + b"1;", b"x"),
        (CHUNKED + b"0\r\n", b"A: b\r\n"),
        (CHUNKED + b"0\r\nA: ", b"x"),
        (b"", b"\r\n"),
    ],
)
@pytest.mark.parametrize("at_once", [1, 4096])
def test_what_never_ends_is_not_kept(start: bytes, endless: bytes, at_once: int) -> None:
    reader = RequestReader()
    reader.feed(start)
    for _ in range(40_000 // len(endless) // at_once + 1):
        reader.feed(endless * at_once)
        assert len(reader._rest) <= kept_at_most(DEFAULT_LIMITS)
    assert reader.finished or b"\r\n\r\n" in start


# --- what went in comes out ---------------------------------------------------------------------

TOKEN = st.text("!#$%&'*+-.^_`|~019azAZ", min_size=1, max_size=8)
VALUE = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=12).map(
    lambda text: text.strip(" ")
)
OUR_FIELDS = {"host", "connection", "content-length", "transfer-encoding", "expect"}
FIELDS = st.lists(st.tuples(TOKEN.filter(lambda name: name.lower() not in OUR_FIELDS), VALUE))


@st.composite
def requests(draw: st.DrawFn) -> tuple[Request, bytes]:
    """A valid request, and its bytes with those of a body."""
    method = draw(TOKEN.filter(lambda name: name != "CONNECT"))
    target = draw(st.from_regex(r"/[!\"$-~]{0,8}", fullmatch=True))
    minor = draw(st.sampled_from("01"))
    wanted = draw(st.sampled_from(["", "close", "keep-alive", "KEEP-alive, x", "x,Close"]))
    fields = [*draw(FIELDS), ("hOsT", draw(st.sampled_from(["", "a.b", "a:1", "[::1]"])))]
    keep_alive = "lose" not in wanted and (minor == "1" or bool(wanted))
    if wanted:
        fields.append(("Connection", wanted))
    body = b""
    kind = draw(st.sampled_from(["none", "length", "chunks"] if minor == "1" else ["length"]))
    if kind == "length":
        body = draw(st.binary())
        fields.append(("content-LENGTH", str(len(body))))
    elif kind == "chunks":
        chunks = draw(st.lists(st.binary(min_size=1)))
        extension = draw(st.sampled_from([b"", b";a", b';a="b\\"";c']))
        body = b"".join(b"%x%b\r\n%b\r\n" % (len(one), extension, one) for one in chunks)
        body += b"0\r\n" + draw(st.sampled_from([b"", b"A: b\r\n"])) + b"\r\n"
        fields.append(("Transfer-encoding", "chunked"))
    fields = draw(st.permutations(fields))
    blanks = draw(st.sampled_from(["", " ", "\t "]))
    lines = [f"{method} {target} HTTP/1.{minor}"]
    lines += [f"{name}:{blanks}{value}{blanks}" for name, value in fields]
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    return Request(method, target, f"1.{minor}", keep_alive, head), head + body


@given(st.lists(requests(), max_size=4), CUTS)
def test_what_went_in_comes_out(sent: list[tuple[Request, bytes]], cuts: list[int]) -> None:
    data = b"".join(one for _, one in sent)
    expected: list[Event] = []
    for request, _ in sent:
        expected.append(request)
        if not request.keep_alive:
            break
    reader = RequestReader()
    parts = pieces(data, *sorted(min(cut, len(data)) for cut in cuts))
    assert read(reader, parts) == expected
    assert reader.idle or reader.finished


@given(requests())
def test_fields_come_out(sent: tuple[Request, bytes]) -> None:
    request, _ = sent
    lines = request.head.decode("latin-1").split("\r\n")[1:-2]
    pairs = [line.split(":", 1) for line in lines]
    assert request.fields() == [(name, value.strip(" \t")) for name, value in pairs]
    for name, _ in pairs:
        values = [value.strip(" \t") for other, value in pairs if other.lower() == name.lower()]
        assert request.field(name) == ", ".join(values)


# --- h11 ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [data for data, _ in GOOD + BAD])
def test_examples_agree_with_h11(data: bytes) -> None:
    assert not disagreement(data)[0]


@given(st.integers(0))
def test_random_requests_agree_with_h11(seed: int) -> None:
    """``python -m bench.http1`` does this for as long as one likes."""
    random = Random(seed)
    for _ in range(100):
        data = random_requests(random)
        assert not disagreement(data)[0], data


@given(NEARLY_HTTP)
def test_nearly_http_agrees_with_h11(data: bytes) -> None:
    assert not disagreement(data)[0]


@given(requests())
def test_valid_requests_agree_with_h11(sent: tuple[Request, bytes]) -> None:
    assert disagreement(sent[1]) == ("", "both accept")


def test_random_requests_are_of_every_kind() -> None:
    """Or the comparison would prove little."""
    random = Random(0)
    kinds = {re.sub(":.*", "", disagreement(random_requests(random))[1]) for _ in range(3000)}
    assert kinds >= {"both accept", "both refuse", "only we refuse"}
