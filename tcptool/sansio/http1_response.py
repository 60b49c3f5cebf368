"""Reads one HTTP/1.x response for a client: bytes in, a response or a flaw out.

As strict as the reader of requests (http1.py): what two parsers could read in two ways is a flaw.
The body is counted, and kept only if that is asked for.  No input makes it raise, and how the
input is cut does not change what comes out.

It must not read or write a connection, and knows nothing of time.

Sources: RFC 9112, 6.3 (where a body ends) and 9.3 (whether another response may follow).
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from tcptool.sansio.http1_grammar import CHUNK_LINE, FIELD_LINE, OWS, TRAILER_LINE

_MOST_HEAD_BYTES: Final = 64 << 10
_MOST_LINE_BYTES: Final = 256
"""Of the line before a chunk: a size and some extension, which nobody sends."""
_MOST_TRAILER_BYTES: Final = 8 << 10
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")
_HEAD: Final = re.compile(
    rb"HTTP/1\.([0-9]) ([1-9][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*+)?\r\n(?:%b)*+\r\n" % FIELD_LINE
)
_GOVERNING: Final = re.compile(
    rb"\n(?i:(connection|content-length|transfer-encoding)):" + OWS + rb"([^\r]*)"
)


_NOT_GOVERNING: Final = (
    rb"(?:(?!(?i:connection|content-length|transfer-encoding):)%b)*" % FIELD_LINE
)
_PLAIN: Final = re.compile(
    rb"HTTP/1\.1 ((?!204|304)[2-5][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*+)?\r\n"
    rb"%b(?i:content-length):%b([0-9]{1,18})%b\r\n%b\r\n"
    % (_NOT_GOVERNING, OWS, OWS, _NOT_GOVERNING)
)


class Response(NamedTuple):
    """A response that is whole.  ``body`` is None unless it was to be kept.

    ``keep_alive`` says whether the connection may be used again.
    """

    status: int
    keep_alive: bool
    head: bytes
    body_bytes: int
    body: bytes | None


class Flaw(NamedTuple):
    """Why what came is no response."""

    reason: str


Outcome = Response | Flaw | None
"""None: there is more to come."""


def read_at_once(data: bytes) -> Response | None:
    """The response to a GET, if ``data`` is just that, whole, with nothing special about it.

    That is one of HTTP/1.1 that keeps the connection and says how long its body is.  None for
    anything else, which may be as good: then a ``ResponseReader`` tells.
    """
    match = _PLAIN.match(data)
    if match is None or match.end() + int(match[2]) != len(data):
        return None
    return Response(int(match[1]), True, match[0], int(match[2]), None)


class ResponseReader:
    """The response to one request.  ``surplus`` bytes came after its end: nobody asked for them.

    ``begun`` says whether anything has come at all.
    """

    __slots__ = (
        "_body", "_body_bytes", "_chunk_state", "_head", "_keep_alive", "_keep_body", "_left",
        "_method", "_rest", "_status", "begun", "outcome", "surplus",
    )  # fmt: skip

    def __init__(self, method: str = "GET", *, keep_body: bool = False) -> None:
        self._method, self._keep_body = method, keep_body
        self._rest = b""
        self._head = b""
        self._status, self._keep_alive = 0, False
        self._left = 0  # bytes to come of a body or chunk; for trailers, what they may still take
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._chunk_state = _NO_CHUNKS
        self.begun = False
        self.surplus = False
        self.outcome: Outcome = None

    def feed(self, data: bytes) -> Outcome:
        """What the next bytes of the connection complete."""
        self.begun = self.begun or bool(data)
        if self.outcome is not None:
            self.surplus = self.surplus or bool(data)
            return self.outcome
        self._rest += data
        while self._step():
            pass
        self.surplus = self.outcome is not None and bool(self._rest)
        return self.outcome

    def end(self) -> Outcome:
        """The connection has been closed: that ends some bodies, and is a flaw elsewhere."""
        if self.outcome is None:
            if self._head and self._left == _UNTIL_CLOSE:
                self._keep_alive = False
                self._complete()
            else:
                self._flaw("it ended in the middle" if self.begun else "nothing came")
        return self.outcome

    # Steps.  Each uses some of the rest, and says whether there may be another.

    def _step(self) -> bool:
        if not self._head:
            return self._read_head()
        if self._chunk_state in (_NO_CHUNKS, _IN_CHUNK):
            return self._read_bytes()
        return self._read_chunk_line()

    def _read_head(self) -> bool:
        end = self._rest.find(b"\r\n\r\n", 0, _MOST_HEAD_BYTES) + 4
        if end < 4:
            if len(self._rest) >= _MOST_HEAD_BYTES:
                self._flaw("the head is too large")
            return False
        match = _HEAD.fullmatch(self._rest, 0, end)
        if not match:
            return self._flaw("malformed head")
        self._rest = self._rest[end:]
        status = int(match[2])
        if status < 200 and status != 101:
            return True  # an interim response
        fields: dict[bytes, bytes] = {}
        for sent_name, value in _GOVERNING.findall(match[0]):
            name = sent_name.lower()
            if name in fields and name == b"content-length":
                return self._flaw("more than one content-length field")
            fields[name] = fields[name] + b"," + value if name in fields else value.rstrip(b" \t")
        self._status, self._head = status, match[0]
        options = {one.strip(b" \t") for one in fields.get(b"connection", b"").lower().split(b",")}
        self._keep_alive = b"close" not in options and (
            match[1] != b"0" or b"keep-alive" in options
        )
        return self._find_body(fields)

    def _find_body(self, fields: dict[bytes, bytes]) -> bool:
        """RFC 9112, 6.3."""
        coding, length = fields.get(b"transfer-encoding"), fields.get(b"content-length")
        if self._status == 101:
            return self._flaw("the server changes the protocol")
        if self._method == "HEAD" or self._status in (204, 304):
            return self._complete()
        if coding is not None:
            if length is not None:
                return self._flaw("both transfer-encoding and content-length")
            if coding.lower() != b"chunked":
                return self._flaw("a transfer coding other than chunked")
            self._chunk_state = _BEFORE_CHUNK
            return True
        if length is None:
            self._left = _UNTIL_CLOSE
            return True
        if not _LENGTH.fullmatch(length):
            return self._flaw("malformed content-length")
        self._left = int(length)
        return True if self._left else self._complete()

    def _read_bytes(self) -> bool:
        """Of a body whose end is known or the connection's, or of a chunk."""
        taken = self._rest if self._left == _UNTIL_CLOSE else self._rest[: self._left]
        if not taken:
            return False
        self._rest = self._rest[len(taken) :]
        self._body_bytes += len(taken)
        if self._keep_body:
            self._body.append(taken)
        if self._left != _UNTIL_CLOSE:
            self._left -= len(taken)
            if not self._left:
                if self._chunk_state == _NO_CHUNKS:
                    return self._complete()
                self._chunk_state = _AFTER_CHUNK
        return True

    def _read_chunk_line(self) -> bool:
        limit = self._left if self._chunk_state == _TRAILERS else _MOST_LINE_BYTES
        end = self._rest.find(b"\n", 0, limit) + 1
        if not end:
            if len(self._rest) >= limit:
                self._flaw("a line of the chunked coding is too long")
            return False
        line, self._rest = self._rest[:end], self._rest[end:]
        if self._chunk_state == _AFTER_CHUNK:
            if line != b"\r\n":
                return self._flaw("no CRLF after a chunk")
            self._chunk_state = _BEFORE_CHUNK
            return True
        if self._chunk_state == _TRAILERS:
            if not TRAILER_LINE.fullmatch(line):
                return self._flaw("malformed trailer field line")
            self._left -= end
            return self._complete() if line == b"\r\n" else True
        match = CHUNK_LINE.fullmatch(line)
        if not match:
            return self._flaw("malformed line before a chunk")
        self._left = int(match[1], 16)
        self._chunk_state = _IN_CHUNK if self._left else _TRAILERS
        self._left = self._left or _MOST_TRAILER_BYTES
        return True

    def _complete(self) -> bool:
        body = b"".join(self._body) if self._keep_body else None
        self.outcome = Response(self._status, self._keep_alive, self._head, self._body_bytes, body)
        return False

    def _flaw(self, reason: str) -> bool:
        self.outcome = Flaw(reason)
        return False


_UNTIL_CLOSE: Final = -1
_NO_CHUNKS, _BEFORE_CHUNK, _IN_CHUNK, _AFTER_CHUNK, _TRAILERS = range(5)
