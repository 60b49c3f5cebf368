"""What the conditions of a request for a file, and its range, ask for.

It must not look at the file: it is told the validators and the size.

Source: RFC 9110, 13 (conditions) and 14 (ranges), 5.6.7 (dates).
"""

from __future__ import annotations

import email.utils
import re
from datetime import UTC
from typing import Final, NamedTuple

from tcptool.sansio.http1 import Request

_CONDITIONAL: Final = re.compile(rb"\n(?i:range|if-[a-z-]+):")
"""Few requests have one of these fields, and to look for each of them takes its time."""

_RANGE: Final = re.compile(
    r"bytes=[ \t]*(?:([0-9]{1,40})-([0-9]{0,40})|-([0-9]{1,40}))", re.IGNORECASE
)
"""One range of bytes.  More digits than that are not worth reading: a range may be ignored."""

_TIME: Final = "[0-9]{2}:[0-9]{2}:[0-9]{2}"
_DATE: Final = re.compile(
    rf"[A-Z][a-z]{{2}}, [0-9]{{2}} [A-Z][a-z]{{2}} [1-9][0-9]{{3}} {_TIME} GMT"
    rf"|[A-Z][a-z]{{5,8}}, [0-9]{{2}}-[A-Z][a-z]{{2}}-[0-9]{{2}} {_TIME} GMT"  # RFC 850
    rf"|[A-Z][a-z]{{2}} [A-Z][a-z]{{2}} [ 0-9][0-9] {_TIME} [1-9][0-9]{{3}}"  # asctime(3)
)
"""The three forms of a date.  Who sends the year 1 means no date at all."""


class Validators(NamedTuple):
    """What tells whether a client has the file as it is now.

    ``etag`` is a strong one, with its quotes.  ``modified_s`` are whole seconds since 1970, and
    not in the future.
    """

    etag: str
    modified_s: int

    @property
    def last_modified(self) -> str:
        """The date."""
        return email.utils.formatdate(self.modified_s, usegmt=True)


def unmet(request: Request, validators: Validators) -> int | None:
    """The status instead of the file: 412 or 304.  None if no condition is against it.

    Tags go before dates, and what the client wants to be the same before what it wants to be
    another (RFC 9110, 13.2.2).
    """
    if not _CONDITIONAL.search(request.head):
        return None
    etag, modified_s = validators
    tags = request.field("if-match")
    if tags is not None:
        if etag not in _members(tags) and tags != "*":
            return 412
    else:
        date_s = http_date_s(request.field("if-unmodified-since"))
        if date_s is not None and modified_s > date_s:
            return 412
    tags = request.field("if-none-match")
    if tags is not None:
        is_known = etag in [tag.removeprefix("W/") for tag in _members(tags)] or tags == "*"
    else:
        date_s = http_date_s(request.field("if-modified-since"))
        is_known = date_s is not None and modified_s <= date_s
    return 304 if is_known else None


def wanted(request: Request, validators: Validators, size: int) -> range | None:
    """The positions of the bytes; an empty range if none of them is there (416).

    None for the whole file: nothing else is asked for, or what is asked for is several ranges,
    malformed, of another unit, or the rest of what was another file (If-Range).  A date in there
    has to be the very one that was sent, and a weak tag is never good enough.  No part of an empty
    file could be told in an answer, and some clients always ask for a range: they get it whole.
    """
    if request.method != "GET" or not size or not _CONDITIONAL.search(request.head):
        return None
    match = _RANGE.fullmatch(request.field("range") or "")
    if not match:
        return None
    condition = request.field("if-range")
    if condition is not None and condition not in (validators.etag, validators.last_modified):
        return None
    first, last, suffix = match.groups()
    if suffix:
        return range(max(0, size - int(suffix)), size)
    if last and int(last) < int(first):
        return None  # RFC 9110, 14.1.1: invalid
    return range(min(int(first), size), min(int(last) + 1, size) if last else size)


def http_date_s(text: str | None) -> int | None:
    """Seconds since 1970; None for what is not one HTTP date.

    Years of two digits are from 1969 to 2068.
    """
    if text is None or not _DATE.fullmatch(text):
        return None
    try:
        date = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return int(date.replace(tzinfo=UTC).timestamp())  # asctime names no zone


def _members(tags: str) -> list[str]:
    """Of a list.  A tag may have commas in it, but then it is none of ours."""
    return [tag.strip(" \t") for tag in tags.split(",")]
