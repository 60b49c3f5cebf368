"""Files under a directory as answers.

A name is opened one component at a time without following a symbolic link (open(2), O_NOFOLLOW),
so none leads out of the directory, whatever it looks like.  Source: RFC 9110.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from typing import Final
from urllib.parse import quote, quote_from_bytes, unquote_to_bytes

from tcptool.catalog.media_types import media_type
from tcptool.errors import UsageError, from_oserror
from tcptool.sansio.http1 import Request
from tcptool.sansio.http_conditions import Validators, unmet, wanted
from tcptool.traffic.answers import Answer, FilePart, error, head_of

_INDEX: Final = b"index.html"
_NO_SUCH_FILE: Final = frozenset(
    {
        errno.ENOENT,
        errno.ENOTDIR,
        errno.ELOOP,  # a symbolic link
        errno.ENAMETOOLONG,
    }
)
"""There is no such file, as far as a client is to know."""
_QUERY: Final = "!$%&'()*+,/:;=?@"
"""What need not be encoded in a query, beside letters, digits and -._~ (RFC 3986, 3.4)."""


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

        The file of an answer is the caller's, who closes it.  A directory with an index is named
        with a slash behind it: who leaves it out is sent there, so that relative links work.

        Raises OSError for a fault of the file system, or where no descriptor is left.
        """
        names = _names(path)
        if names is None:
            return None
        try:
            fd = self._open(names)
        except PermissionError:
            return error(403, request)
        if fd is None:
            return None
        answer = None
        try:
            found = os.fstat(fd)
            if stat.S_ISREG(found.st_mode):
                answer = _of_file(request, names[-1], fd, found)
            elif not path.endswith("/") and _has_index(fd):
                answer = error(301, request, "", f"Location: {_location(names, request.target)}")
            return answer
        finally:
            if answer is None or answer.file is None:
                os.close(fd)

    def _open(self, names: list[bytes]) -> int | None:
        """The file or directory, read only; None if there is none that may be seen."""
        folder = os.dup(self._root)
        try:
            for name in names[:-1]:
                flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW
                inner = os.open(name, flags, dir_fd=folder)
                os.close(folder)
                folder = inner
            # To open a device or a FIFO can do something: a writer that waits for a reader goes on.
            mode = os.stat(names[-1], dir_fd=folder, follow_symlinks=False).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                return None
            # Not blocking: if it became a FIFO just now, it would hold up everybody.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
            return os.open(names[-1], flags, dir_fd=folder)
        except OSError as exc:
            if exc.errno in _NO_SUCH_FILE:
                return None
            raise
        finally:
            os.close(folder)


def _names(path: str) -> list[bytes] | None:
    """The components of a path; None for one that no file can have.

    They are told apart before they are decoded: an encoded slash is a part of a name.  A "%" that
    encodes nothing stands for itself.
    """
    names = [unquote_to_bytes(part) for part in path.split("/")]
    if any(name == b".." or b"/" in name or b"\0" in name for name in names):
        return None
    is_folder = not names[-1]
    names = [name for name in names if name not in (b"", b".")]
    return [*names, _INDEX] if is_folder or not names else names


def _has_index(folder: int) -> bool:
    try:
        return stat.S_ISREG(os.stat(_INDEX, dir_fd=folder, follow_symlinks=False).st_mode)
    except OSError:
        return False


def _location(names: list[bytes], target: str) -> str:
    """Of a directory.  Made from its names: "//host/" would lead to another server."""
    path = "".join([f"/{quote_from_bytes(name, safe='')}" for name in names])
    _, mark, query = target.partition("?")
    return f"{path}/{mark}{quote(query, safe=_QUERY)}"


def _of_file(request: Request, name: bytes, fd: int, found: os.stat_result) -> Answer:
    size = found.st_size
    # The inode and its last change, because an older file may take the place of this one, with
    # its own time of modification.  Linux 6.13 and later tell two changes apart however quickly
    # they follow, if one was looked at (Documentation/filesystems/multigrain-ts.rst).
    etag = f'"{found.st_ino:x}-{size:x}-{found.st_ctime_ns:x}"'
    # Not in the future (RFC 9110, 8.8.2.1), nor so long ago that there is no date for it.
    modified_s = max(0, min(found.st_mtime_ns // 10**9, int(time.time())))
    validators = Validators(etag, modified_s)
    about = [f"Last-Modified: {validators.last_modified}", f"ETag: {etag}", "Accept-Ranges: bytes"]
    status = unmet(request, validators)
    if status == 304:
        return Answer(304, head_of(304, request, None, *about), keep_alive=request.keep_alive)
    if status is not None:
        return error(status, request)
    part = wanted(request, validators, size)
    if part is None:
        status, part = 200, range(size)
    elif part:
        status = 206
        about.append(f"Content-Range: bytes {part.start}-{part.stop - 1}/{size}")
    else:
        return error(416, request, "", f"Content-Range: bytes */{size}")
    head = head_of(status, request, len(part), *about, f"Content-Type: {media_type(name)}")
    file = FilePart(fd, part.start, part.stop) if part and request.method != "HEAD" else None
    return Answer(status, head, file=file, keep_alive=request.keep_alive)
