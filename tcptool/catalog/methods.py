"""The ways of sending that `probe` measures, and the ways of taking in what was sent.

Sources: the manual pages of the calls in section 2, and measurements on Linux 6.18.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

CHUNK_BYTES: Final = 256 << 10
"""Offered to one call.  From here on Python costs less than the noise: rate over that of the
same loop in C 0.99 at 256 KiB, 0.91 at 64 KiB, 0.76 at 4 KiB (sendfile, loopback)."""
SLICE_BYTES: Final = 4 << 20
"""Moved by one method until it is the next one's turn: small enough that the host's changes of
speed meet all methods alike (ratios within 5-6 % instead of 43 % for 100 MiB at a time)."""
PIPE_BYTES: Final = 1 << 20
"""What anyone may set: fs.pipe-max-size.  30-60 % faster than the usual 64 KiB."""
VECTORS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One way of sending.  ``copies`` says which copies of the bytes the processor makes.

    ``memory``: it can send what is not in a file.  ``unix``: Unix sockets have it too.
    ``chunk_bytes`` is the default where the method is measured alone.
    """

    name: str
    summary: str
    copies: str
    memory: bool
    unix: bool
    chunk_bytes: int = CHUNK_BYTES
    pitfall: str = ""


METHODS: Final = (
    Method(
        name="send",
        summary="Read a chunk of the file into a buffer, then send(2) it.",
        copies="file to buffer, buffer to socket; from memory only the second",
        memory=True,
        unix=True,
        chunk_bytes=64 << 10,  # that of the guide's optimized_send
    ),
    Method(
        name="writev",
        summary="Read a chunk, then writev(2) it as header and body in one call.",
        copies="file to buffer, buffer to socket; from memory only the second",
        memory=True,
        unix=True,
        pitfall="a call takes at most 1024 buffers (UIO_MAXIOV)",
    ),
    Method(
        name="sendfile",
        summary="sendfile(2): the pages of the file go to the socket as they are.",
        copies="none at the sender",
        memory=False,
        unix=True,
        pitfall="returns 0, not an error, when the file became shorter",
    ),
    Method(
        name="splice",
        summary="splice(2) from the file into a pipe, and from the pipe to the socket.",
        copies="none at the sender",
        memory=False,
        unix=True,
        pitfall="SPLICE_F_MORE on the last piece holds it back for 200 ms",
    ),
    Method(
        name="mmap",
        summary="Map the file once, then send(2) from the mapped pages.",
        copies="page to socket",
        memory=False,
        unix=True,
        pitfall="mapping and faults cost more than they save for a file that is sent once",
    ),
    Method(
        name="zerocopy",
        summary="send(2) with MSG_ZEROCOPY from mapped pages, completions read.",
        copies="none, if the device can; on loopback the kernel copies after all",
        memory=True,
        unix=False,
        pitfall="the pages must not change until the completion has been read",
    ),
    Method(
        name="vmsplice",
        summary="vmsplice(2) mapped pages into a pipe, splice(2) from the pipe to the socket.",
        copies="none at the sender",
        memory=True,
        unix=True,
        pitfall="nothing tells when the pages may change again",
    ),
)
BY_NAME: Final = {method.name: method for method in METHODS}


def method_of(label: str) -> Method:
    """The method behind a label; ``sendfile#2`` is sendfile again, compared with itself."""
    return BY_NAME[label.partition("#")[0]]


RECEIVERS: Final = {
    "recv": "recv(2) into a buffer: one copy, as nearly every program does it",
    "discard": "recv(2) with MSG_TRUNC: the kernel drops the bytes, nothing is copied",
    "splice": "splice(2) through a pipe to /dev/null: nothing is copied",
}
