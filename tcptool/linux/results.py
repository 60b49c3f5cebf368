"""Results in files: read with a limit, written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import tempfile
from typing import Final

from tcptool.errors import NotFound, TcptoolError, UsageError, from_oserror

STDIN: Final = "-"
_MODE: Final = 0o666
"""Less the umask, as any file that a program writes."""
_MOST_BYTES: Final = 256 << 20
"""A day of readings is far below it; a larger file is something else."""


def check_writable(path: str) -> None:
    """Prove before a long measurement that its result can be saved.  Raises TcptoolError."""
    doing = f"saving the result in {path!r}"
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        if not path:
            raise UsageError(doing, "the name is empty", "Nothing was measured.") from None
    except OSError as exc:
        raise from_oserror(doing, exc, hint="Nothing was measured.") from exc
    else:
        if not stat.S_ISREG(mode):
            raise TcptoolError(doing, "it is not a regular file", "--json writes to stdout.")
    try:
        with tempfile.TemporaryFile(dir=os.path.dirname(path) or "."):
            return
    except OSError as exc:
        raise from_oserror(doing, exc, hint="Nothing was measured.") from exc


def write_whole(path: str, text: str, *, mode: int = _MODE) -> None:
    """Write a file; an old one stays as it is until all of the new one is on disk.

    ``mode`` is less the umask.  Raises TcptoolError.
    """
    try:
        fd, draft = tempfile.mkstemp(prefix=".tcptool-", dir=os.path.dirname(path) or ".")
        try:
            with open(fd, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(fd)
                os.fchmod(fd, mode & ~_umask())
            os.replace(draft, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(draft)
            raise
    except OSError as exc:
        hint = "What was there before is as it was."
        raise from_oserror(f"saving the result in {path!r}", exc, hint=hint) from exc


def _umask() -> int:
    """Reading it means setting it."""
    mask = os.umask(0o77)
    os.umask(mask)
    return mask


def read_text(path: str, *, hint: str = "`probe -o FILE` writes results.") -> str:
    """The text of a saved result; ``-`` is standard input.

    ``hint`` says what makes such a file.  Raises TcptoolError.
    """
    doing = f"reading {path!r}" if path != STDIN else "reading standard input"
    if path == STDIN and sys.stdin is None:
        raise NotFound(doing, "it is closed", "Give the name of a file.")
    try:
        with sys.stdin.buffer if path == STDIN else open(path, "rb") as file:
            raw = file.read(_MOST_BYTES + 1)
    except OSError as exc:
        raise from_oserror(doing, exc) from exc
    if len(raw) > _MOST_BYTES:
        raise TcptoolError(doing, f"it is larger than {_MOST_BYTES >> 20} MiB")
    try:
        return raw.decode()
    except UnicodeDecodeError as exc:
        raise TcptoolError(doing, "it is not text", hint) from exc
