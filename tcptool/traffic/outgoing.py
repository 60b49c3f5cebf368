"""What is still to be sent on one connection: bytes, then some of a pattern or of a file."""

from __future__ import annotations

import os
import socket
from typing import Final

from tcptool.sansio.send_cursor import SendCursor
from tcptool.traffic.answers import FilePart

_SIGNS: Final = bytes(range(0x20, 0x7F)) * 2
_LINES: Final = b"".join(_SIGNS[first : first + 72] + b"\r\n" for first in range(95))
PATTERN: Final = memoryview(_LINES * 37)
"""The lines of the character generator (RFC 864), 260 kB of them."""
_PATTERNS: Final = 4
"""In one call."""
_SMALL_FILE_BYTES: Final = 64 << 10
"""Up to here a file is read and sent in one call with its head; above, sendfile(2) is faster."""
_SENDFILE_BYTES: Final = 1 << 20
_TURN_BYTES: Final = 4 << 20
"""Sent before others have their turn: what a socket buffer of the kernel's own sizing holds."""


class FileShrank(Exception):
    """There is less of the file than its head has promised."""


class Outgoing:
    """Bytes on their way out; the file is closed with this, or once it was sent."""

    __slots__ = ("_cursor", "_part", "_pattern_bytes", "sent_bytes")

    def __init__(
        self, first: list[bytes], pattern_bytes: int = 0, part: FilePart | None = None
    ) -> None:
        """Raises FileShrank or OSError, and closes the file, if it cannot be read."""
        self.sent_bytes = 0
        self._pattern_bytes, self._part = pattern_bytes, part
        buffers: list[bytes | memoryview] = [*first]
        if part and part.stop - part.start <= _SMALL_FILE_BYTES:
            buffers.append(_read(part))
            self._part = None
        self._cursor = SendCursor([*buffers, *self._patterns()])

    def send(self, fd: int) -> bool | None:
        """Send until all is sent (True), the socket takes no more (False) or it is another's turn.

        Raises FileShrank, or OSError for a lost connection.
        """
        stop = self.sent_bytes + _TURN_BYTES
        try:
            while self.sent_bytes < stop:
                if not self._cursor.done:
                    self._send_buffers(fd)
                elif self._part:
                    self._send_file(fd, self._part)
                elif self._pattern_bytes:
                    self._cursor = SendCursor(self._patterns())
                else:
                    return True
        except BlockingIOError:
            return False
        return None

    def close(self) -> None:
        """Close the file."""
        if self._part:
            os.close(self._part.fd)
            self._part = None

    def _patterns(self) -> list[memoryview]:
        """The next of the pattern; counted as sent, since the cursor has it."""
        size = min(self._pattern_bytes, _PATTERNS * len(PATTERN))
        self._pattern_bytes -= size
        whole, rest = divmod(size, len(PATTERN))
        return [PATTERN] * whole + [PATTERN[:rest]] * bool(rest)

    def _send_buffers(self, fd: int) -> None:
        pending = self._cursor.pending()
        sent = _send_more(fd, pending[0]) if self._part else os.writev(fd, pending)
        self._cursor.sent(sent)
        self.sent_bytes += sent

    def _send_file(self, fd: int, part: FilePart) -> None:
        sent = os.sendfile(fd, part.fd, part.start, min(part.stop - part.start, _SENDFILE_BYTES))
        if not sent:
            raise FileShrank
        self.sent_bytes += sent
        self._part = part._replace(start=part.start + sent)
        if part.start + sent == part.stop:
            self.close()


def _read(part: FilePart) -> bytes:
    """All of a part; its file is closed.  Raises FileShrank or OSError."""
    size = part.stop - part.start
    try:
        data = os.pread(part.fd, size, part.start)
    finally:
        os.close(part.fd)
    if len(data) < size:
        raise FileShrank
    return data


def _send_more(fd: int, data: memoryview) -> int:
    """send(2) with MSG_MORE: the head waits for the file, and leaves in one segment with it."""
    # Of what kind it is does not matter to send(2); asking the kernel would cost three calls.
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fd)
    try:
        return sock.send(data, socket.MSG_MORE)
    finally:
        sock.detach()
