"""Answers of the server: a status, a head, and bytes that follow it.

A body is bytes, so many bytes of a pattern, or a part of an open file that sendfile(2) sends.
Nothing here touches a connection.  Sources: RFC 9110, 9112 and 6585.
"""

from __future__ import annotations

import email.utils
import time
from typing import Final, NamedTuple

from tcptool.sansio.http1 import Request

REASONS: Final = {
    200: "OK",
    206: "Partial Content",
    301: "Moved Permanently",
    304: "Not Modified",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    412: "Precondition Failed",
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    417: "Expectation Failed",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
HTML: Final = "text/html; charset=utf-8"
TEXT: Final = "text/plain; charset=utf-8"


class FilePart(NamedTuple):
    """Bytes of an open file from ``start`` up to ``stop``; whoever has it closes ``fd``."""

    fd: int
    start: int
    stop: int


class Answer(NamedTuple):
    """What goes back; the connection ends with it unless ``keep_alive``.

    ``pattern_bytes`` of a pattern, or a part of a file, follow the body.  ``constant`` says that
    the same request gets the same bytes for the rest of this second.
    """

    status: int
    head: bytes
    body: bytes = b""
    pattern_bytes: int = 0
    file: FilePart | None = None
    keep_alive: bool = True
    constant: bool = False

    @property
    def body_bytes(self) -> int:
        """What follows the head."""
        return (
            len(self.body)
            + self.pattern_bytes
            + (self.file.stop - self.file.start if self.file else 0)
        )


def page(request: Request, body: bytes, kind: str, *, constant: bool = False) -> Answer:
    """200 with a body of that media type."""
    head = head_of(200, request, len(body), f"Content-Type: {kind}")
    sent = b"" if request.method == "HEAD" else body
    return Answer(200, head, sent, 0, None, request.keep_alive, constant)


def error(status: int, request: Request | None, why: str = "", *fields: str) -> Answer:
    """``request`` is None where what follows cannot be understood: the connection ends."""
    text = f"{status} {REASONS[status]}{': ' if why else ''}{why}\n".encode()
    head = head_of(status, request, len(text), f"Content-Type: {TEXT}", *fields)
    sent = b"" if request is not None and request.method == "HEAD" else text
    return Answer(status, head, sent, keep_alive=request is not None and request.keep_alive)


def head_of(status: int, request: Request | None, size: int | None, *fields: str) -> bytes:
    """The head; ``size`` is None where there is no body and no length of one."""
    lines = [f"HTTP/1.1 {status} {REASONS[status]}", f"Date: {_date.now()}", *fields]
    if size is not None:
        lines.append(f"Content-Length: {size}")
    if request is None or not request.keep_alive:
        lines.append("Connection: close")
    elif request.version == "1.0":
        lines.append("Connection: keep-alive")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


class _Date:
    """The text of the Date field, made once a second.

    By the wall clock, which may jump; nothing else depends on it.
    """

    def __init__(self) -> None:
        self._text, self._second = "", -1

    def now(self) -> str:
        second = int(time.time())
        if second != self._second:
            self._text, self._second = email.utils.formatdate(second, usegmt=True), second
        return self._text


_date: Final = _Date()
