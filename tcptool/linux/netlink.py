"""A conversation with sock_diag, or with rtnetlink, over a netlink socket.

One request at a time per socket (a second dump gets EBUSY).  A dump is pulled by its reader,
so a slow reader loses nothing.  A netlink socket stays in the network namespace where it
was opened.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from typing import Final

from tcptool.catalog.diag import NETLINK_SOCK_DIAG, NLM_F_DUMP, NLMSG_DONE, NLMSG_ERROR
from tcptool.decode.netlink import (
    HEADER,
    MalformedReply,
    Message,
    error_number,
    messages,
    with_sequence,
)

RECEIVE_BYTES: Final = 65_536
"""The kernel sends at most 32 KiB, but sizes its datagrams by the largest buffer it ever saw,
and cuts off silently what a later, smaller one cannot hold."""

_DONE_BYTES: Final = HEADER.size + 4


class DiagSocket:
    """One netlink socket and its sequence numbers."""

    def __init__(self, protocol: int = NETLINK_SOCK_DIAG) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol
        )
        self._sequence = 0

    def close(self) -> None:
        """Close the socket; a dump that is under way ends."""
        self._socket.close()

    def ask(self, request: bytes) -> Iterator[bytes]:
        """Send a request and yield datagrams that hold its answers and nothing else.

        Raises OSError with the kernel's errno.  Abandoning the iterator leaves replies
        unread: close the socket then.
        """
        self._sequence += 1
        is_dump = HEADER.unpack_from(request)[2] & NLM_F_DUMP == NLM_F_DUMP
        self._socket.send(with_sequence(request, self._sequence))
        while True:
            datagram, _, flags, _ = self._socket.recvmsg(RECEIVE_BYTES)
            if flags & socket.MSG_TRUNC:
                raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
            if len(datagram) < HEADER.size:
                raise MalformedReply(f"a datagram of {len(datagram)} bytes")
            if HEADER.unpack_from(datagram)[3] != self._sequence:
                continue  # the rest of a dump that was given up
            data, end = split_end(datagram)
            if data:
                yield data
            if end is not None:
                number = error_number(end)
                if number:
                    raise OSError(number, os.strerror(number))
            if end is not None or not is_dump:
                return


def split_end(datagram: bytes) -> tuple[bytes, Message | None]:
    """Part a datagram into its socket messages and the message that ends the reply, if any.

    The end may share the last datagram with sockets.  Walking every message to look for it
    would cost as much as decoding them, so only a datagram whose last bytes look like an end
    is walked.
    """
    if HEADER.unpack_from(datagram)[1] in (NLMSG_DONE, NLMSG_ERROR):
        return b"", next(messages(datagram))
    if len(datagram) > _DONE_BYTES:
        length, type_, _, sequence, _ = HEADER.unpack_from(datagram, len(datagram) - _DONE_BYTES)
        looks_like_end = (
            length == _DONE_BYTES
            and type_ == NLMSG_DONE
            and sequence == HEADER.unpack_from(datagram)[3]
        )
        if looks_like_end:
            *_, last = messages(datagram)
            if last.type == NLMSG_DONE:
                return datagram[:-_DONE_BYTES], last
    return datagram, None
