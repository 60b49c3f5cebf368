"""The ways of sending, one small function each, all with one signature.

``(line, source, start, stop)`` sends the bytes of the source from ``start`` up to ``stop``: all
of them, in order, once.  They raise TcptoolError for what the source or a deadline does, and
OSError for a lost connection, or EFAULT where a mapped file became shorter.  What each copies is
in catalog/methods.py.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Final

from tcptool.errors import NotPermitted, describe_errno
from tcptool.sansio.send_cursor import IOV_MAX, SendCursor
from tcptool.sansio.splice_ledger import SourceEnded, SpliceLedger
from tcptool.traffic.line import MSG_ZEROCOPY, Line
from tcptool.traffic.source import Source

Transport = Callable[[Line, Source, int, int], None]

_HEADER_BYTES: Final = 256
"""The first vector of a writev: about the head of an HTTP response."""


def send(line: Line, source: Source, start: int, stop: int) -> None:
    """read(2) and send(2)."""
    if source.fd is None:
        _send_all(line, memoryview(source.pages)[start:stop])
        return
    room = line.room()
    while start < stop:
        got = _read(line, source, room[: stop - start], start)
        _send_all(line, room[:got])
        start += got


def writev(line: Line, source: Source, start: int, stop: int) -> None:
    """Header and body in one call, and in the next what that left."""
    if source.fd is None:
        while start < stop:
            end = min(start + line.chunk_bytes, stop)
            _write_vectors(line, _vectors(line, memoryview(source.pages)[start:end]), end - start)
            start = end
        return
    room = line.room()
    full = _vectors(line, room)
    while start < stop:
        got = _read(line, source, room[: stop - start], start)
        vectors = full if got == len(room) else _vectors(line, room[:got])
        _write_vectors(line, vectors, got)
        start += got


def sendfile(line: Line, source: Source, start: int, stop: int) -> None:
    """sendfile(2)."""
    fd, chunk = _file(source), line.chunk_bytes
    while start < stop:
        size = min(chunk, stop - start)
        line.calls += 1
        try:
            sent = os.sendfile(line.fd, fd, start, size)
        except BlockingIOError:
            line.wait()
            continue
        if not sent:
            raise source.shrank()
        line.short_calls += sent < size
        start += sent


def splice(line: Line, source: Source, start: int, stop: int) -> None:
    """splice(2) into a pipe, and from there."""
    fd = _file(source)
    _, writing = line.pipe()

    def fill(size: int, position: int) -> int:
        return os.splice(fd, writing, size, position, flags=os.SPLICE_F_MOVE)

    _through_pipe(line, source, start, stop, fill)


def mmap(line: Line, source: Source, start: int, stop: int) -> None:
    """send(2) from the mapped pages."""
    _file(source)
    _send_all(line, memoryview(source.pages)[start:stop])


def zerocopy(line: Line, source: Source, start: int, stop: int) -> None:
    """send(2) with MSG_ZEROCOPY from the mapped pages."""
    _send_all(line, memoryview(source.pages)[start:stop], MSG_ZEROCOPY)


def vmsplice(line: Line, source: Source, start: int, stop: int) -> None:
    """vmsplice(2) the mapped pages into a pipe, splice(2) from there."""
    from tcptool.traffic.vmsplice import address_of, vmsplice_pages

    address = address_of(source.pages)
    _, writing = line.pipe()

    def fill(size: int, position: int) -> int:
        return vmsplice_pages(writing, address + position, size)

    _through_pipe(line, source, start, stop, fill)


TRANSPORTS: Final[dict[str, Transport]] = {
    "send": send,
    "writev": writev,
    "sendfile": sendfile,
    "splice": splice,
    "mmap": mmap,
    "zerocopy": zerocopy,
    "vmsplice": vmsplice,
}
"""By the name in catalog/methods.py."""

PREPARATIONS: Final[dict[str, Callable[[Line], object]]] = {
    "splice": Line.pipe,
    "zerocopy": Line.allow_zerocopy,
    "vmsplice": Line.pipe,
}
"""What a method needs before its first byte.  They raise TcptoolError, Unsupported among them."""


# -- steps ---------------------------------------------------------------------------------


def _file(source: Source) -> int:
    if source.fd is None:
        raise ValueError("memory has no descriptor")  # the plan rules it out
    return source.fd


def _read(line: Line, source: Source, room: memoryview, start: int) -> int:
    line.calls += 1
    got = os.preadv(_file(source), [room], start)
    if not got:
        raise source.shrank()
    return got


def _vectors(line: Line, chunk: memoryview) -> list[memoryview]:
    """A header, and the rest in equal pieces."""
    body = len(chunk) - _HEADER_BYTES
    if line.vectors == 1 or body <= 0:
        return [chunk]
    step = -(-body // (line.vectors - 1))
    starts = range(_HEADER_BYTES, len(chunk), step)
    return [chunk[:_HEADER_BYTES], *(chunk[start : start + step] for start in starts)]


def _write_vectors(line: Line, vectors: list[memoryview], size: int) -> None:
    """``size`` is what the vectors hold together."""
    line.calls += 1
    try:
        sent = os.writev(line.fd, vectors[:IOV_MAX])
    except BlockingIOError:
        line.wait()
        sent = 0
    if sent == size:
        return  # nearly always; a cursor for every chunk would take a tenth of the rate
    line.short_calls += sent > 0
    cursor = SendCursor(vectors)
    cursor.sent(sent)
    while not cursor.done:
        line.calls += 1
        try:
            sent = os.writev(line.fd, cursor.pending())
        except BlockingIOError:
            line.wait()
            continue
        cursor.sent(sent)
        line.short_calls += not cursor.done


def _send_all(line: Line, rest: memoryview, flags: int = 0) -> None:
    send, chunk = line.sock.send, line.chunk_bytes
    position, end = 0, len(rest)
    while position < end:
        offered = rest[position : position + chunk]
        line.calls += 1
        try:
            sent = send(offered, flags)
        except BlockingIOError:
            line.wait()
            continue
        except OSError as exc:
            if exc.errno != errno.ENOBUFS:
                raise
            if line.zerocopy_completed == line.zerocopy_sends:
                raise NotPermitted(
                    f"sending {len(offered)} bytes with MSG_ZEROCOPY",
                    describe_errno(errno.ENOBUFS),
                    "The pages are locked meanwhile: see `ulimit -l` and net.core.optmem_max.",
                ) from exc
            line.wait_for_completions()  # no room for more of them: net.core.optmem_max
            continue
        line.zerocopy_sends += bool(flags)
        line.short_calls += sent < len(offered)
        position += sent


def _through_pipe(
    line: Line, source: Source, start: int, stop: int, fill: Callable[[int, int], int]
) -> None:
    """``fill(size, position)`` puts bytes of the source into the pipe."""
    reading, _ = line.pipe()
    ledger = SpliceLedger(stop - start, line.chunk_bytes)
    while not ledger.done:
        line.calls += 1
        if not ledger.in_pipe_bytes:
            try:
                ledger.filled(fill(ledger.fill_bytes, start + ledger.moved_bytes))
            except SourceEnded as exc:
                raise source.shrank() from exc
            continue
        flags = os.SPLICE_F_MOVE | (os.SPLICE_F_MORE if ledger.more else 0)
        offered = ledger.in_pipe_bytes
        try:
            moved = os.splice(reading, line.fd, offered, flags=flags)
        except BlockingIOError:
            line.wait()
            continue
        ledger.drained(moved)
        line.short_calls += moved < offered
