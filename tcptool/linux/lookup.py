"""Whole records of sockets: of a dump, or of exactly one by its key."""

from __future__ import annotations

from collections.abc import Iterator

from tcptool.catalog import diag
from tcptool.decode.diag_request import exact_request
from tcptool.decode.inet_diag import decode_socket
from tcptool.decode.netlink import messages
from tcptool.errors import from_oserror
from tcptool.linux.kernel import Kernel
from tcptool.linux.sock_diag import NO_SOCK_DIAG, Dump
from tcptool.model.sock import Socket


def sockets(dump: Dump) -> Iterator[Socket]:
    """The whole record of every socket in a dump."""
    for part in dump:
        for message in messages(part.datagram):
            yield decode_socket(message.payload, part.protocol)


def find(
    kernel: Kernel, family: int, packed_id: bytes, protocol: int = diag.IPPROTO_TCP
) -> Socket | None:
    """The one socket with this key, or None.

    Some 10 microseconds instead of a dump.  The key should hold a cookie; without one, the
    kernel answers with a listener where the connection has gone, so compare the answer.
    """
    reply = find_reply(kernel, family, packed_id, protocol)
    return None if reply is None else decode_socket(reply, protocol)


def find_reply(
    kernel: Kernel, family: int, packed_id: bytes, protocol: int = diag.IPPROTO_TCP
) -> bytes | None:
    """The same, not decoded: for who asks often and decodes later."""
    request = exact_request(family, packed_id, protocol=protocol)
    try:
        replies = list(kernel.diag(request))
    except OSError as exc:
        if exc.errno in NO_SOCK_DIAG:
            return None  # gone, or no sock_diag at all: a dump will tell
        raise from_oserror("asking sock_diag for one socket", exc) from exc
    return next((message.payload for message in messages(b"".join(replies))), None)
