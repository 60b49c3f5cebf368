"""Files under a directory as answers: type, validators, conditions and ranges.

A name is opened one component at a time without following a symbolic link (open(2), O_NOFOLLOW),
so none leads out of the directory, whatever it looks like.  Source: RFC 9110, 8.8, 13 and 14.
"""

from __future__ import annotations

import email.utils
import errno
import mimetypes
import os
import re
import stat
from typing import Final
from urllib.parse import unquote_to_bytes

from tcptool.errors import UsageError, from_oserror
from tcptool.sansio.http1 import Request
from tcptool.traffic.answers import Answer, FilePart, error, head_of

_INDEX: Final = b"index.html"
_RANGE: Final = re.compile(r"bytes=\s*([0-9]{0,18})-([0-9]{0,18})\s*")
"""One range; for several, or another unit, all of it is sent (RFC 9110, 14.2)."""
_NO_SUCH_FILE: Final = frozenset(
    {
        errno.ENOENT,
        errno.ENOTDIR,
        errno.ELOOP,  # a symbolic link
        errno.EACCES,
        errno.EPERM,
        errno.ENAMETOOLONG,
        errno.ENXIO,  # a socket, or a FIFO that nobody writes to
    }
)
"""There is no such file, as far as a client is to know."""


class Files:
    """What is under a directory; its descriptor is closed with this."""

    def __init__(self, root: str) -> None:
        """Raises TcptoolError."""
        doing = f"opening --root {root!r}"
        try:
            self._root = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except NotADirectoryError as exc:
            raise UsageError(doing, "it is not a directory") from exc
        except OSError as exc:
            raise from_oserror(doing, exc) from exc

    def close(self) -> None:
        """Close the directory."""
        os.close(self._root)

    def answer(self, request: Request, path: str) -> Answer | None:
        """For a target without its query; None if there is no such file.

        Raises OSError for a fault of the file system, or where no descriptor is left.
        """
        names = _names(path)
        if names is None:
            return None
        fd = self._open(names)
        if fd is None:
            return None
        try:
            answer = _of_file(request, names[-1], fd)
        except BaseException:
            os.close(fd)
            raise
        if answer is None or answer.file is None:
            os.close(fd)
        return answer

    def _open(self, names: list[bytes]) -> int | None:
        """The file, read only; None if there is none that may be seen."""
        folder = os.dup(self._root)
        try:
            for name in names[:-1]:
                flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW
                inner = os.open(name, flags, dir_fd=folder)
                os.close(folder)
                folder = inner
            # Not blocking: a FIFO would hold up everybody.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
            return os.open(names[-1], flags, dir_fd=folder)
        except OSError as exc:
            if exc.errno in _NO_SUCH_FILE:
                return None
            raise
        finally:
            os.close(folder)


def _names(path: str) -> list[bytes] | None:
    """The components of a path; None for one that no file can have."""
    raw = unquote_to_bytes(path)
    names = [name for name in raw.split(b"/") if name not in (b"", b".")]
    if b".." in names or b"\0" in raw:
        return None
    return [*names, _INDEX] if not names or raw.endswith(b"/") else names


def _of_file(request: Request, name: bytes, fd: int) -> Answer | None:
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        return None
    size = found.st_size
    etag, modified_s = f'"{found.st_mtime_ns:x}-{size:x}"', int(found.st_mtime)
    about = [
        f"Last-Modified: {email.utils.formatdate(modified_s, usegmt=True)}",
        f"ETag: {etag}",
        "Accept-Ranges: bytes",
    ]
    if _is_unchanged(request, etag, modified_s):
        head = head_of(304, request, None, *about)
        return Answer(304, head, keep_alive=request.keep_alive)
    kind, coding = mimetypes.guess_type(os.fsdecode(name))
    about.append(f"Content-Type: {kind or 'application/octet-stream'}")
    if coding:
        about.append(f"Content-Encoding: {coding}")
    status, part = 200, range(size)
    if request.method == "GET" and _wants_range(request, etag, modified_s):
        wanted = _range(request.field("range") or "", size)
        if wanted is not None and not wanted:
            return error(416, request, "", f"Content-Range: bytes */{size}")
        if wanted:
            status, part = 206, wanted
            about.append(f"Content-Range: bytes {part.start}-{part.stop - 1}/{size}")
    answer = Answer(
        status, head_of(status, request, len(part), *about), keep_alive=request.keep_alive
    )
    if request.method == "HEAD" or not part:
        return answer
    return answer._replace(file=FilePart(fd, part.start, part.stop))


def _is_unchanged(request: Request, etag: str, modified_s: int) -> bool:
    """If-None-Match goes before If-Modified-Since (RFC 9110, 13.2.2)."""
    tags = request.field("if-none-match")
    if tags is not None:
        known = [tag.strip().removeprefix("W/") for tag in tags.split(",")]
        return "*" in known or etag in known
    since_s = _seconds(request.field("if-modified-since"))
    return since_s is not None and modified_s <= since_s


def _wants_range(request: Request, etag: str, modified_s: int) -> bool:
    """A range counts only for what the client has the beginning of (If-Range)."""
    if request.field("range") is None:
        return False
    condition = request.field("if-range")
    if condition is None:
        return True
    return condition == etag or _seconds(condition) == modified_s


def _range(text: str, size: int) -> range | None:
    """The positions; empty if none of them is there, None if it is not one range of bytes."""
    match = _RANGE.fullmatch(text)
    if match is None or match[0].strip().endswith("=-"):
        return None
    first, last = match.groups()
    if not first:
        return range(max(0, size - int(last)), size)
    if last and int(last) < int(first):
        return None  # RFC 9110, 14.1.1: invalid, so it is ignored
    return range(min(int(first), size), min(int(last) + 1, size) if last else size)


def _seconds(date: str | None) -> int | None:
    """Of an HTTP date; None for what is none."""
    if date is None:
        return None
    try:
        return int(email.utils.parsedate_to_datetime(date).timestamp())
    except (ValueError, OverflowError):
        return None
