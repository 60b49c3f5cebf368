"""Which answer a request gets: the server's own pages, bytes by the number, and files."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from tcptool.sansio.http1 import Refusal, Request
from tcptool.traffic.answers import HTML, TEXT, Answer, error, head_of, page
from tcptool.traffic.files import Files

_KNOWN_METHODS: Final = frozenset(
    {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}
)
"""RFC 9110, 9.3, and 5789: what is known but not GET or HEAD is 405, and not 501."""
_BYTES: Final = re.compile(r"/bytes/([0-9]{1,15})")
_ORIGIN: Final = re.compile(r"https?://[^/?]*", re.IGNORECASE)
"""Of an absolute target (RFC 9112, 3.2.2); whose it is does not matter here."""

MOST_BYTES: Final = 1 << 40
"""What `/bytes/N` gives at most."""

HELLO: Final = b"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>tcptool serve</title></head>
<body><h1>It works</h1>
<p>This is <code>tcptool serve</code>: see <a href="/stats">/stats</a>,
<a href="/metrics">/metrics</a>, <a href="/bytes/1000">/bytes/1000</a> and
<a href="/echo">/echo</a>.</p></body></html>
"""


class Site:
    """Answers requests.  ``stats`` and ``metrics`` give the bodies of these pages."""

    def __init__(
        self, files: Files | None, stats: Callable[[], bytes], metrics: Callable[[], bytes]
    ) -> None:
        self._files, self._stats, self._metrics = files, stats, metrics

    def answer(self, request: Request) -> Answer:
        """For a request that was read to its end.  Raises OSError for a fault of the files."""
        if request.method not in ("GET", "HEAD"):
            known = request.method in _KNOWN_METHODS
            return error(405, request, "", "Allow: GET, HEAD") if known else error(501, request)
        path = request.target.partition("?")[0]
        if path[0] != "/":
            path = _ORIGIN.sub("", path, count=1) or "/"
        if path == "/stats":
            return page(request, self._stats(), "application/json")
        if path == "/metrics":
            return page(request, self._metrics(), "text/plain; version=0.0.4; charset=utf-8")
        if path == "/echo":
            return page(request, request.head, TEXT)
        if match := _BYTES.fullmatch(path):
            return _bytes(request, int(match[1]))
        if self._files and (answer := self._files.answer(request, path)):
            return answer
        if path == "/":
            return page(request, HELLO, HTML, constant=True)
        return error(404, request)


def refused(refusal: Refusal) -> Answer:
    """For what was no request."""
    return error(refusal.status, None, refusal.reason)


def too_many() -> Answer:
    """For a client above the limit."""
    return error(503, None, "too many clients", "Retry-After: 1")


def too_slow() -> Answer:
    """For a head that did not come to its end."""
    return error(408, None, "the request did not come to its end in time")


def _bytes(request: Request, size: int) -> Answer:
    if size > MOST_BYTES:
        return error(404, request, f"there are {MOST_BYTES} at most")
    head = head_of(200, request, size, "Content-Type: application/octet-stream")
    sent = 0 if request.method == "HEAD" else size
    return Answer(200, head, pattern_bytes=sent, keep_alive=request.keep_alive)
