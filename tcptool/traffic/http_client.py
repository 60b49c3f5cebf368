"""One GET over a connection of a pool, with a deadline: what `probe pool` measures.

It follows no redirect, speaks no TLS and keeps no cookies: for real work there are urllib3 and
httpx.  Source: RFC 9112.
"""

from __future__ import annotations

import errno
import re
import socket
import struct
import time
from typing import Final, NamedTuple

from tcptool.errors import TcptoolError, UsageError, describe_errno
from tcptool.sansio.http1_response import Flaw, Response, ResponseReader, read_at_once
from tcptool.traffic.pool import Connection, Pool

_READ_BYTES: Final = 64 << 10
_URL: Final = re.compile(
    r"(?:http://)?(?P<host>\[[0-9A-Fa-f:.%]+\]|[^\s/?#:\[\]@]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[!-~]*)?"
)


class Url(NamedTuple):
    """Where to ask, and for what: the request is ready."""

    host: str
    port: int
    path: str

    @property
    def request(self) -> bytes:
        """A GET that keeps the connection."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"GET {self.path} HTTP/1.1\r\nHost: {host}:{self.port}\r\n\r\n".encode("latin-1")


def parse_url(text: str) -> Url:
    """``HOST:PORT`` or ``http://HOST:PORT/PATH``, IPv6 in brackets.  Raises UsageError."""
    doing, hint = f"reading {text!r}", "As in 127.0.0.1:8080 or http://[::1]:8080/page."
    if text.startswith("https://"):
        raise UsageError(doing, "there is no TLS here", "Ask a server without it.")
    match = _URL.fullmatch(text)
    if match is None or not 0 < (port := int(match["port"] or 80)) <= 0xFFFF:
        raise UsageError(doing, "it is neither HOST:PORT nor a URL of http", hint)
    return Url(match["host"].strip("[]"), port, match["path"] or "/")


class Answer(NamedTuple):
    """A response and how it came.  ``connect_s`` is None on a connection that was there.

    ``port`` is the local one.
    """

    response: Response
    connect_s: float | None
    port: int


class Stale(TcptoolError):
    """A connection of the pool was dead: the request is lost, and may be sent again."""

    code = "stale_connection"


def get(
    pool: Pool,
    url: Url,
    request: bytes,
    timeout_s: float,
    *,
    fresh: bool = False,
    may_wait: bool = True,
) -> Answer:
    """Ask, and read the whole response.  ``request`` is that of the URL.

    A ``fresh`` connection is not given back to others; ``may_wait`` is for one of the pool.
    Raises Stale, PoolFull, PoolClosed and other TcptoolErrors; whatever goes wrong, the connection
    is closed.
    """
    end_s = time.monotonic() + timeout_s
    connection = pool.take(url.host, url.port, timeout_s=timeout_s, may_wait=may_wait)
    usable, connection.usable = connection.usable, False  # until the response is whole
    try:
        _let_calls_take(connection, timeout_s)
        begun = False
        try:
            connection.sock.sendall(request)
            data = connection.sock.recv(_READ_BYTES)
            begun = bool(data)
            whole = read_at_once(data)
            response, surplus = (whole, False) if whole else _read_on(connection, data, end_s)
        except OSError as exc:
            raise _failure(connection, url, begun, exc) from exc
        if isinstance(response, Flaw):
            if not begun:
                raise _failure(connection, url, begun, None)
            raise TcptoolError(_doing(url), response.reason, "Is it an HTTP server?")
        connection.usable = usable and response.keep_alive and not (fresh or surplus)
        port = connection.sock.getsockname()[1] if connection.connect_s is not None else 0
        return Answer(response, connection.connect_s, port)
    finally:
        pool.give_back(connection)


def _read_on(connection: Connection, data: bytes, end_s: float) -> tuple[Response | Flaw, bool]:
    """The response that begins with the data, and whether more came than that."""
    reader = ResponseReader()
    while True:
        outcome = reader.feed(data) if data else reader.end()
        if outcome is not None:
            return outcome, reader.surplus
        left_s = end_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError(errno.ETIMEDOUT, "")
        _let_calls_take(connection, left_s)
        data = connection.sock.recv(_READ_BYTES)


def _let_calls_take(connection: Connection, timeout_s: float) -> None:
    """The kernel's own timeouts: those of Python would cost a poll(2) before each call."""
    if connection.timeout_s == timeout_s:
        return
    sock = connection.sock
    connection.timeout_s = timeout_s
    seconds, rest_s = divmod(max(timeout_s, 0.001), 1)
    value = struct.pack("ll", int(seconds), int(rest_s * 1e6))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, value)


def _failure(connection: Connection, url: Url, begun: bool, exc: OSError | None) -> TcptoolError:
    """What the end of the connection means: a reused one may have been dead from the start."""
    timed_out = isinstance(exc, TimeoutError | BlockingIOError)
    if connection.reused and not begun and not timed_out:
        connection.was_stale()
        return Stale(_doing(url), "the pool handed out a connection that the server had closed")
    if timed_out:
        return TcptoolError(_doing(url), "no answer in time", "--timeout waits longer.")
    why = describe_errno(exc.errno or 0) if exc else "the server closed the connection"
    return TcptoolError(_doing(url), why)


def _doing(url: Url) -> str:
    host = f"[{url.host}]" if ":" in url.host else url.host
    return f"asking http://{host}:{url.port}{url.path}"
