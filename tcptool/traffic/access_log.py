"""The access log of `serve`: a line for each answer, in the common log format.

Source: https://httpd.apache.org/docs/2.4/logs.html#common.  What a client sent is hostile: quotes,
backslashes and what is not printable are escaped as nginx does it.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Callable
from typing import Final

from tcptool.errors import from_oserror
from tcptool.sansio.http1 import Request
from tcptool.traffic.answers import Answer

_STANDARD_ERROR: Final = 2
_ESCAPED: Final = re.compile(r'["\\]|[^ -~]')


class AccessLog:
    """Writes each line with one call, so that lines of several workers stay whole."""

    def __init__(self, path: str, complain: Callable[[str], None]) -> None:
        """``-`` is standard error.  Raises TcptoolError."""
        self._complain = complain
        if path == "-":
            self._fd = _STANDARD_ERROR
            return
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        try:
            self._fd = os.open(path, flags, 0o644)
        except OSError as exc:
            raise from_oserror(f"opening the access log {path!r}", exc) from exc

    def __call__(self, fd: int, request: Request | None, answer: Answer) -> None:
        """Note an answer, as it was made: what a client took of it is not known then."""
        asked = f"{request.method} {request.target} HTTP/{request.version}" if request else "-"
        stamp = time.strftime("%d/%b/%Y:%H:%M:%S %z")
        size = answer.body_bytes if request is None or request.method != "HEAD" else 0
        line = f'{_peer(fd)} - - [{stamp}] "{escaped(asked)}" {answer.status} {size or "-"}\n'
        try:
            os.write(self._fd, line.encode())
        except OSError as exc:
            self._complain(f"writing the access log: {exc.strerror}")


def escaped(text: str) -> str:
    """As nginx does it."""
    return _ESCAPED.sub(lambda match: f"\\x{ord(match[0]):02X}", text)


def _peer(fd: int) -> str:
    sock = socket.socket(fileno=fd)  # asks which family it is of
    try:
        name = sock.getpeername()
    except OSError:
        return "-"
    finally:
        sock.detach()
    return str(name[0]) if isinstance(name, tuple) else "unix:"
