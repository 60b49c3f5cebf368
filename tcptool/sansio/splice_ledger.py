"""Which splice(2) comes next when bytes move from a file through a pipe to a socket.

Either half may move less than it was asked to.  What a short second half leaves behind is still
in the pipe, so the pipe is drained until it is empty before it is filled again: nothing is
stranded, and the socket gets every byte once and in order.

It must not touch a descriptor.  Sources: splice(2), vmsplice(2), and splice_to_socket() in
fs/splice.c, Linux 6.18.
"""

from __future__ import annotations


class SourceEnded(EOFError):
    """A splice moved nothing: the source is shorter than it was said to be.

    ``left_bytes`` were still to be moved.  What went before them was sent with SPLICE_F_MORE, so
    a last part of it may wait in the socket (tcp(7), TCP_CORK: 200 ms) unless it is shut down.
    """

    def __init__(self, left_bytes: int) -> None:
        super().__init__(f"the source ended with {left_bytes} bytes left to move")
        self.left_bytes = left_bytes


class SpliceLedger:
    """Where the bytes of one transfer are: in the source, in the pipe, or moved.

        while not ledger.done:
            if ledger.fill_bytes:
                ledger.filled(splice(source, pipe, ledger.fill_bytes, start + ledger.moved_bytes))
            else:
                flags = SPLICE_F_MORE if ledger.more else 0
                ledger.drained(splice(pipe, socket, ledger.in_pipe_bytes, flags))

    For reading only:

    ``fill_bytes``     how much to put into the pipe now: one chunk or the rest; 0 unless the
                       pipe is empty
    ``in_pipe_bytes``  how much to take out.  Never ask for more: splice_to_socket() sends batches
                       of 16 buffers, and where the last one is full it would expect another and
                       set MSG_MORE itself (16 buffers and one byte too many: 204 ms, measured)
    ``more``           bytes remain in the source beyond those in the pipe.  SPLICE_F_MORE on the
                       last piece would hold it back for 200 ms (tcp(7), TCP_CORK)
    ``moved_bytes``    what the socket has taken
    ``done``           the socket has taken everything

    They are attributes, not properties: this is the inner loop of a throughput measurement.
    """

    __slots__ = (
        "_chunk_bytes",
        "_total_bytes",
        "done",
        "fill_bytes",
        "in_pipe_bytes",
        "more",
        "moved_bytes",
    )

    def __init__(self, total_bytes: int, chunk_bytes: int) -> None:
        """Raises ValueError for a negative total or a chunk without a byte."""
        if total_bytes < 0 or chunk_bytes < 1:
            raise ValueError(f"cannot move {total_bytes} bytes in chunks of {chunk_bytes}")
        self._total_bytes = total_bytes
        self._chunk_bytes = chunk_bytes
        self.fill_bytes = min(chunk_bytes, total_bytes)
        self.in_pipe_bytes = 0
        self.moved_bytes = 0
        self.more = total_bytes > 0
        self.done = total_bytes == 0

    @property
    def left_bytes(self) -> int:
        """What the socket has not taken yet, in the source or in the pipe."""
        return self._total_bytes - self.moved_bytes

    def filled(self, count: int) -> None:
        """The source gave ``count`` of the ``fill_bytes`` asked for.

        Raises SourceEnded if it gave none.  Raises ValueError, as ``drained`` does, for a count
        that the call cannot return.
        """
        if not 0 < count <= self.fill_bytes:
            raise self._refusal(count, self.fill_bytes)
        self.fill_bytes = 0
        self.in_pipe_bytes = count
        self.more = self.moved_bytes + count < self._total_bytes

    def drained(self, count: int) -> None:
        """The socket took ``count`` of the ``in_pipe_bytes`` offered.

        A full socket is EAGAIN, not 0.  0 from a pipe that holds bytes is what splice_to_socket()
        makes of ENODATA: the file was cut short before they were read.  That raises SourceEnded,
        as calling again would not help; the pipe must not be used again.
        """
        if not 0 < count <= self.in_pipe_bytes:
            raise self._refusal(count, self.in_pipe_bytes)
        self.in_pipe_bytes -= count
        self.moved_bytes += count
        if not self.in_pipe_bytes:
            self.fill_bytes = min(self._chunk_bytes, self.left_bytes)
            self.done = not self.fill_bytes

    def _refusal(self, count: int, asked_bytes: int) -> SourceEnded | ValueError:
        if count == 0 and asked_bytes:
            return SourceEnded(self.left_bytes)
        return ValueError(f"{count} bytes cannot have been moved where {asked_bytes} were due")
