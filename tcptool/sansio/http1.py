"""Reads HTTP/1.x requests for a server: bytes in, requests and refusals out.

Strict: what two parsers could read in two ways (request smuggling) is refused, never repaired.
Bodies are read and thrown away.  No input makes it raise, how the input is cut does not change
what comes out, and it never keeps more than ``Limits`` allow.

It must not read or write a connection, and it decides nothing about methods and resources:
404, 405 and 501 for a method belong to the router, 408 to the owner of the clock.

Sources: RFC 9110 (semantics), RFC 9112 (HTTP/1.1), RFC 3986 3.2 (the authority of a target).

Its patterns follow the rules of http1_grammar.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Final, NamedTuple

from tcptool.sansio.http1_grammar import CHUNK_LINE, FIELD_LINE, OWS, TOKEN, TRAILER_LINE

_EMPTY_LINES: Final = 2
"""Accepted before a request.  RFC 9112 2.2 asks for at least one, as old clients end a body so."""

_LENGTH_DIGITS: Final = 18
"""Of a Content-Length: what surely fits the 63 bits of other people's parsers (RFC 9110 8.6)."""

# RFC 3986 leaves out more than "#", but people do send {, } and | as they are.
_TARGET: Final = rb"[!-\"$-~]++"
_REG_NAME: Final = rb"(?:[0-9A-Za-z\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})"
_IP_LITERAL: Final = rb"\[[0-9A-Za-z\-._~!$&'()*+,;=:]++\]"

_HEAD: Final = re.compile(
    rb"(%b) (%b) HTTP/1\.([0-9])\r\n(?:%b)*+\r\n" % (TOKEN, _TARGET, FIELD_LINE)
)
_REQUEST_LINE: Final = re.compile(rb"%b %b HTTP/([0-9])\.[0-9]" % (TOKEN, _TARGET))
_NEVER_IN_HEAD: Final = re.compile(
    rb"(?P<CR>\r(?!\n|\Z))|(?P<LF>(?<!\r)\n)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
)
_GOVERNING: Final = re.compile(
    rb"\n(?i:(host|connection|content-length|transfer-encoding|expect)):" + OWS + rb"([^\r]*)"
)
"""The fields that this module acts upon, in a head that ``_HEAD`` has matched."""
_FIELD: Final = re.compile(rb"\n([^:\r]++):" + OWS + rb"([^\r]*)")

_HOST: Final = re.compile(rb"(?:%b|%b*)(?::[0-9]*)?" % (_IP_LITERAL, _REG_NAME))
_PLAIN_GET: Final = re.compile(
    rb"GET (/[!-\"$->@-~]*+)(?:\?[!-\"$-~]*+)? HTTP/1\.1\r\n"
    rb"(?i:host):%b(?:%b|%b*)(?::[0-9]*)?\r\n"
    rb"(?:(?!(?i:host|connection|content-length|transfer-encoding|expect):)%b)*\r\n"
    % (OWS, _IP_LITERAL, _REG_NAME, FIELD_LINE)
)
_ABSOLUTE: Final = re.compile(
    rb"(?i:https?)://(?:%b|%b+)(?::[0-9]*)?(?:[/?].*)?" % (_IP_LITERAL, _REG_NAME)
)
_AUTHORITY: Final = re.compile(rb"(?:%b|%b+):[0-9]{1,5}" % (_IP_LITERAL, _REG_NAME))
_LENGTH: Final = re.compile(rb"[0-9]{1,%d}" % _LENGTH_DIGITS)

_CHUNKED: Final = -1
"""Stands for the length of a body whose end only its chunks tell."""

# What a step of RequestReader may return instead of a position:
_MORE: Final = -1  # what there is is too little to go on
_ALL: Final = 1 << 62  # nothing that follows will be used


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a request is read.  Line ends count.

    Raises ValueError if a head could not hold its request line.
    """

    request_line_bytes: int = 8 << 10  # RFC 9112 3 asks for 8000 at least
    head_bytes: int = 32 << 10  # what nginx takes: large_client_header_buffers 4 8k
    fields: int = 100  # Apache httpd: LimitRequestFields
    body_bytes: int | None = 1 << 30  # None: unlimited
    chunk_line_bytes: int = 256  # our choice: a size and some extension, which nobody sends
    trailers_bytes: int = 8 << 10  # our choice: as much as one long line

    def __post_init__(self) -> None:
        if self.head_bytes < self.request_line_bytes:
            raise ValueError("a head holds its request line: head_bytes is the larger limit")

    def allow_body(self, length: int) -> bool:
        """Whether a body may be so long."""
        return self.body_bytes is None or length <= self.body_bytes


DEFAULT_LIMITS: Final = Limits()


class Request(NamedTuple):
    """A request whose body, if it had one, has been read."""

    method: str
    target: str  # as it was sent
    version: str  # 1.0 or 1.1; later ones of major version 1 are used as 1.1 (RFC 9110 2.5)
    keep_alive: bool  # whether another request may follow, as far as the client is concerned
    head: bytes

    def field(self, name: str) -> str | None:
        """The value of a field, without the blanks around it.  ``name`` may be in any case.

        Several fields of that name are one list (RFC 9110 5.3).
        """
        values = _field_named(name).findall(self.head)
        return ", ".join([_text(value) for value in values]) if values else None

    def fields(self) -> list[tuple[str, str]]:
        """Every field line: the name as it was sent, and its value."""
        return [(name.decode(), _text(value)) for name, value in _FIELD.findall(self.head)]


class Refusal(NamedTuple):
    """Why nothing more is read: answer with ``status``, then close the connection."""

    status: int
    reason: str


class Continue(Enum):
    """The type of ``CONTINUE``."""

    CONTINUE = 100


_BODY_TOO_LARGE: Final = Refusal(413, "the body is too large")

CONTINUE: Final = Continue.CONTINUE
"""The client waits for ``100 Continue`` (after the answers to what came before) to send a body."""

Event = Request | Refusal | Continue
_Step = Callable[["RequestReader", bytes, int, list[Event]], int]


def read_whole(data: bytes, limits: Limits = DEFAULT_LIMITS) -> list[Request] | None:
    """The requests in ``data``, if it is nothing but whole, acceptable heads without a body.

    None if it is anything else: then give the same bytes to a ``RequestReader``.  This is for
    the usual case, where one read brings just that and no reader is needed.
    """
    requests: list[Request] = []
    position = 0
    while position < len(data):
        match = _HEAD.match(data, position)
        if match is None:
            return None
        request, body_bytes, _ = _accept(match, limits)
        if body_bytes or isinstance(request, Refusal):
            return None
        requests.append(request)
        if not request.keep_alive:
            break
        position = match.end()
    return requests


def plain_path(data: bytes, limits: Limits = DEFAULT_LIMITS) -> bytes | None:
    """The path, without its query, if ``data`` is one whole GET with nothing special about it.

    That is one of HTTP/1.1 that keeps the connection, has no body and begins with its Host.  None
    for anything else, which may be as good a request: ``read_whole`` tells.
    """
    match = _PLAIN_GET.fullmatch(data)
    if match and len(data) <= limits.request_line_bytes and data.count(b"\n") - 2 <= limits.fields:
        return match[1]
    return None


class RequestReader:
    """The requests of one connection, from its bytes as they come.

    A reader that is ``idle`` may be dropped and a new one used for the next bytes.  One that is
    ``finished`` has given a Refusal, or a request after which the connection is to be closed; it
    ignores what follows (RFC 9112 9.6).
    """

    __slots__ = (
        "_body_bytes", "_empty_lines", "_left", "_limits",
        "_request", "_rest", "_searched", "_step",
    )  # fmt: skip

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._step: _Step = RequestReader._head
        self._rest = b""  # what no step could use yet
        self._searched = 0  # so much of it holds no end of a head, and nothing forbidden
        self._empty_lines = 0
        self._request: Request  # whose body is being read
        self._body_bytes = 0  # of the chunks so far
        self._left = 0  # bytes to come of a body or chunk, or that trailers may still take

    @property
    def idle(self) -> bool:
        """Nothing of a further request has come."""
        return self._step is RequestReader._head and not self._rest

    @property
    def in_head(self) -> bool:
        """A head has begun."""
        return self._step is RequestReader._head and bool(self._rest)

    @property
    def in_body(self) -> bool:
        """A head is complete and its body is not."""
        return self._step not in (RequestReader._head, RequestReader._ignore)

    @property
    def finished(self) -> bool:
        """The connection brings no further request."""
        return self._step is RequestReader._ignore

    def feed(self, data: bytes) -> list[Event]:
        """What the next bytes of the connection complete, in order."""
        events: list[Event] = []
        data = self._rest + data
        position = 0
        while position < len(data):
            reached = self._step(self, data, position, events)
            if reached == _MORE:
                break
            position = reached
        self._rest = data[position:]
        return events

    # Steps.  Each returns the position up to which it has used the data, or _MORE.

    def _head(self, data: bytes, position: int, events: list[Event]) -> int:
        if data.startswith(b"\r\n", position):
            self._empty_lines += 1
            if self._empty_lines > _EMPTY_LINES:
                return self._refuse(events, Refusal(400, "empty lines instead of a request"))
            return position + 2
        limits = self._limits
        limit = position + limits.head_bytes
        blank_line = data.find(b"\r\n\r\n", max(position, self._searched - 3))
        if not 0 <= blank_line <= limit - 4:
            head = data[position : limit + 1]  # the byte over the limit tells that it is too large
            unseen = max(self._searched - 1, 0)
            if len(head) > limits.head_bytes or _NEVER_IN_HEAD.search(head, unseen):
                return self._refuse(events, _flaw(head, limits))
            self._searched = len(head)
            return _MORE
        match = _HEAD.match(data, position)
        if not match:
            return self._refuse(events, _flaw(data[position : blank_line + 4], limits))
        request, self._left, expects_100 = _accept(match, limits)
        if isinstance(request, Refusal):
            return self._refuse(events, request)
        self._searched = self._empty_lines = self._body_bytes = 0
        self._request = request
        if not self._left:
            self._complete(events)
            return match.end()
        if expects_100:
            events.append(CONTINUE)
        chunked = self._left == _CHUNKED
        self._step = RequestReader._chunk_line if chunked else RequestReader._body
        return match.end()

    def _body(self, data: bytes, position: int, events: list[Event]) -> int:
        taken = min(self._left, len(data) - position)
        self._left -= taken
        if not self._left:
            self._complete(events)
        return position + taken

    def _chunk_line(self, data: bytes, position: int, events: list[Event]) -> int:
        limit = position + self._limits.chunk_line_bytes
        end = data.find(b"\n", position, limit) + 1
        if not end and len(data) < limit:
            return _MORE
        match = CHUNK_LINE.fullmatch(data, position, end)
        if not match:
            return self._refuse(events, Refusal(400, "malformed or too long line before a chunk"))
        self._left = int(match[1], 16)
        self._body_bytes += self._left
        if not self._limits.allow_body(self._body_bytes):
            return self._refuse(events, _BODY_TOO_LARGE)
        if self._left:
            self._step = RequestReader._chunk
        else:
            self._step, self._left = RequestReader._trailer, self._limits.trailers_bytes
        return end

    def _chunk(self, data: bytes, position: int, events: list[Event]) -> int:
        taken = min(self._left, len(data) - position)
        self._left -= taken
        if not self._left:
            self._step = RequestReader._chunk_end
        return position + taken

    def _chunk_end(self, data: bytes, position: int, events: list[Event]) -> int:
        end = data[position : position + 2]
        if end == b"\r":
            return _MORE
        if end != b"\r\n":
            return self._refuse(events, Refusal(400, "no CRLF after a chunk"))
        self._step = RequestReader._chunk_line
        return position + 2

    def _trailer(self, data: bytes, position: int, events: list[Event]) -> int:
        """One trailer field line, or the empty line that ends them."""
        limit = position + self._left
        end = data.find(b"\n", position, limit) + 1
        if not end:
            if len(data) < limit:
                return _MORE
            return self._refuse(events, Refusal(431, "the trailer section is too large"))
        if not TRAILER_LINE.fullmatch(data, position, end):
            return self._refuse(events, Refusal(400, "malformed trailer field line"))
        self._left -= end - position
        if end - position == 2:
            self._complete(events)
        return end

    def _ignore(self, data: bytes, position: int, events: list[Event]) -> int:
        return _ALL

    # What ends a request.

    def _complete(self, events: list[Event]) -> None:
        events.append(self._request)
        keep_alive = self._request.keep_alive
        self._step = RequestReader._head if keep_alive else RequestReader._ignore

    def _refuse(self, events: list[Event], refusal: Refusal) -> int:
        events.append(refusal)
        self._step = RequestReader._ignore
        return _ALL


def _text(value: bytes) -> str:
    """A value without the OWS behind it.  Latin-1 gives every byte back (RFC 9110 5.5)."""
    return value.rstrip(b" \t").decode("latin-1")


@lru_cache(maxsize=64)
def _field_named(name: str) -> re.Pattern[bytes]:
    return re.compile(rb"\n(?i:%b):%b([^\r]*)" % (re.escape(name.encode()), OWS))


# --- heads -----------------------------------------------------------------------------------


def _accept(match: re.Match[bytes], limits: Limits) -> tuple[Request | Refusal, int, bool]:
    """A head of correct syntax: the request, the length of its body, and if 100 is expected."""
    head = match[0]
    if len(head) > limits.request_line_bytes or head.count(b"\n") - 2 > limits.fields:
        too_large = _over_limits(head, limits)
        if too_large:
            return too_large, 0, False
    method, target, minor = match.groups()
    if (target[0] != ord("/") or method == b"CONNECT") and not _other_form(method, target):
        return Refusal(400, "this method does not go with this form of target"), 0, False
    fields: dict[bytes, bytes] = {}
    for sent_name, value in _GOVERNING.findall(head):
        name = sent_name.lower()
        if name not in fields:
            fields[name] = value.rstrip(b" \t")
        elif name in (b"host", b"content-length"):
            return Refusal(400, f"more than one {name.decode()} field"), 0, False
        else:
            fields[name] += b"," + value

    version = "1.0" if minor == b"0" else "1.1"
    host = fields.get(b"host")
    if host is None:
        if version == "1.1":
            return Refusal(400, "no host field"), 0, False
    elif not _HOST.fullmatch(host):
        return Refusal(400, "malformed host field"), 0, False
    keep_alive = version == "1.1"
    if b"connection" in fields:
        options = _members(fields[b"connection"])
        keep_alive = b"close" not in options and (keep_alive or b"keep-alive" in options)
    if method == b"CONNECT":  # what follows may be meant for the tunnel
        keep_alive = False
    body_bytes = _body_bytes(fields, version, limits)
    if isinstance(body_bytes, Refusal):
        return body_bytes, 0, False
    expectations = _members(fields[b"expect"]) if b"expect" in fields else set()
    if expectations - {b"100-continue"}:
        return Refusal(417, "an unknown expectation"), 0, False
    request = Request(method.decode(), target.decode(), version, keep_alive, head)
    return request, body_bytes, bool(expectations) and version == "1.1"  # RFC 9110 10.1.1


def _members(value: bytes) -> set[bytes]:
    """The members of a list, in lower case; empty ones do not count (RFC 9110 5.6.1.2)."""
    return {member.strip(b" \t") for member in value.lower().split(b",")} - {b""}


def _other_form(method: bytes, target: bytes) -> bool:
    """Whether the target has the absolute, authority or asterisk form (RFC 9112 3.2)."""
    if method == b"CONNECT":
        return bool(_AUTHORITY.fullmatch(target))
    return (target == b"*" and method == b"OPTIONS") or bool(_ABSOLUTE.fullmatch(target))


def _body_bytes(fields: dict[bytes, bytes], version: str, limits: Limits) -> int | Refusal:
    """The length of the body, or ``_CHUNKED`` (RFC 9112 6.3)."""
    coding = fields.get(b"transfer-encoding")
    length = fields.get(b"content-length")
    if coding is not None:
        if length is not None:
            return Refusal(400, "both transfer-encoding and content-length")
        if version == "1.0":
            return Refusal(400, "transfer-encoding in HTTP/1.0")
        if coding.lower() != b"chunked":
            return Refusal(501, "a transfer coding other than chunked")
        return _CHUNKED
    if length is None:
        return 0
    if not _LENGTH.fullmatch(length):
        return Refusal(400, "malformed content-length")
    return int(length) if limits.allow_body(int(length)) else _BODY_TOO_LARGE


def _over_limits(head: bytes, limits: Limits) -> Refusal | None:
    if head.find(b"\r\n", 0, limits.request_line_bytes) < 0:
        if b" " in head[: limits.request_line_bytes]:
            return Refusal(414, "the request target is too long")
        return Refusal(400, "the request line is too long")
    if len(head) > limits.head_bytes:
        return Refusal(431, "the head is too large")
    if head.count(b"\n") - 2 > limits.fields:
        return Refusal(431, "too many fields")
    return None


def _flaw(head: bytes, limits: Limits) -> Refusal:
    """Why a head (or so much of one as is over the limit) is refused.

    What ``_NEVER_IN_HEAD`` finds is refused before the head is complete, so it comes first here.
    """
    flaw = _NEVER_IN_HEAD.search(head)
    if flaw:
        what = f"bare {flaw.lastgroup}" if flaw.lastgroup else "a control character"
        return Refusal(400, f"{what} in the head")
    too_large = _over_limits(head, limits)
    if too_large:
        return too_large
    request_line = _REQUEST_LINE.fullmatch(head, 0, head.find(b"\r\n"))
    if not request_line:
        return Refusal(400, "malformed request line")
    if request_line[1] != b"1":
        return Refusal(505, "the major version is not 1")
    if b"\n " in head or b"\n\t" in head:
        return Refusal(400, "a folded field line")
    return Refusal(400, "malformed field line")
