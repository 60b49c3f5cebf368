"""What is still to be sent of a list of buffers, with writev(2) or sendmsg(2).

The kernel may take any part of what it is offered: all of it, some buffers whole and a piece of
the next, or less.  A cursor turns "it took so many bytes" into "offer these next".

It must not touch a descriptor and must not copy what it is given.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

IOV_MAX: Final = 1024
"""UIO_MAXIOV of include/uapi/linux/uio.h.  With more vectors a call is not short but fails:
writev with EINVAL (lib/iov_iter.c), sendmsg with EMSGSIZE (net/socket.c)."""


class SendCursor:
    """A position in a list of buffers.

        while not cursor.done:
            cursor.sent(os.writev(fd, cursor.pending()))

    ``remaining_bytes`` is what is left of all buffers, beyond those of one call too; it is for
    reading only.  The cursor and the lists it gives hold the buffers: an mmap can be closed only
    when they are gone, and a buffer must not change before it is sent.
    """

    __slots__ = ("_next", "_views", "remaining_bytes")

    def __init__(self, buffers: Iterable[ReadableBuffer]) -> None:
        # Empty buffers would use up vectors, and a call with nothing else would return 0.
        self._views = [view for buffer in buffers if (view := memoryview(buffer)).nbytes]
        self._next = 0
        self.remaining_bytes = sum([view.nbytes for view in self._views])

    @property
    def done(self) -> bool:
        """True once every byte is sent."""
        return not self.remaining_bytes

    def pending(self) -> list[memoryview]:
        """The vectors for the next call: the unsent rest, or its first ``IOV_MAX`` buffers."""
        return self._views[self._next : self._next + IOV_MAX]

    def sent(self, count: int) -> None:
        """Move on by ``count`` bytes, in steps of the buffers that they complete.

        Raises ValueError, and stays where it is, if no call with ``pending()`` can return that.
        """
        views, at, rest = self._views, self._next, count
        end = min(at + IOV_MAX, len(views))
        while at < end and rest >= (size := views[at].nbytes):
            rest -= size
            at += 1
        if rest:
            if rest < 0 or at == end:
                raise ValueError(f"{count} bytes cannot have been sent of what was pending")
            views[at] = views[at].cast("B")[rest:]  # bytes, whatever the items of the buffer are
        self._next = at
        self.remaining_bytes -= count
