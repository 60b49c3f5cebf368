"""Netlink framing: requests out, messages in.

Lengths come from the kernel and are checked all the same: a truncated or malformed datagram
raises ``MalformedReply``, never anything else.  Source: include/uapi/linux/netlink.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from tcptool.catalog.diag import ATTR_TYPE_MASK, NLMSG_ERROR, NLMSG_HEADER_BYTES
from tcptool.errors import TcptoolError

HEADER: Final = struct.Struct("=IHHII")
_ATTRIBUTE: Final = struct.Struct("=HH")
_ERRNO: Final = struct.Struct("=i")


class MalformedReply(TcptoolError):
    """The kernel's reply does not keep to the protocol as tcptool knows it."""

    code = "malformed_reply"

    def __init__(self, why: str) -> None:
        super().__init__(
            "reading a netlink reply",
            why,
            "This is worth a bug report, with the output of uname -r.",
        )


class Message(NamedTuple):
    """One netlink message; ``payload`` follows the header."""

    type: int
    flags: int
    sequence: int
    payload: bytes


def aligned(length: int) -> int:
    """Round up to the 4 bytes to which netlink aligns messages and attributes."""
    return (length + 3) & ~3


def attribute(number: int, payload: bytes) -> bytes:
    """One attribute of a request, padded."""
    length = _ATTRIBUTE.size + len(payload)
    return _ATTRIBUTE.pack(length, number) + payload + bytes(aligned(length) - length)


def message(type_: int, flags: int, sequence: int, payload: bytes) -> bytes:
    """One message with its header."""
    return HEADER.pack(NLMSG_HEADER_BYTES + len(payload), type_, flags, sequence, 0) + payload


def with_sequence(request: bytes, sequence: int) -> bytes:
    """The same request under another sequence number."""
    length, type_, flags, _, port = HEADER.unpack_from(request)
    return HEADER.pack(length, type_, flags, sequence, port) + request[HEADER.size :]


def messages(datagram: bytes) -> Iterator[Message]:
    """The messages of one datagram."""
    offset = 0
    while offset < len(datagram):
        if len(datagram) - offset < HEADER.size:
            raise MalformedReply(f"{len(datagram) - offset} bytes where a message should begin")
        length, type_, flags, sequence, _ = HEADER.unpack_from(datagram, offset)
        if not HEADER.size <= length <= len(datagram) - offset:
            raise MalformedReply(f"a message of {length} bytes in {len(datagram) - offset}")
        yield Message(type_, flags, sequence, datagram[offset + HEADER.size : offset + length])
        offset += aligned(length)


def error_number(reply: Message) -> int:
    """The errno that an error or done message carries; 0 for success."""
    if len(reply.payload) < _ERRNO.size:
        if reply.type == NLMSG_ERROR:
            raise MalformedReply("an error message without a number")
        return 0
    return -int(_ERRNO.unpack_from(reply.payload)[0])


def attribute_places(payload: bytes, start: int) -> Iterator[tuple[int, int, int]]:
    """Attributes as (type, offset of the value, length of the value).

    ``payload`` may be a whole datagram's slice; the walk begins at ``start``.
    """
    offset, end = start, len(payload)
    while end - offset >= _ATTRIBUTE.size:
        length, type_ = _ATTRIBUTE.unpack_from(payload, offset)
        if not _ATTRIBUTE.size <= length <= end - offset:
            raise MalformedReply(f"an attribute of {length} bytes in {end - offset}")
        yield type_ & ATTR_TYPE_MASK, offset + _ATTRIBUTE.size, length - _ATTRIBUTE.size
        offset += aligned(length)


def attributes(payload: bytes, start: int) -> dict[int, bytes]:
    """Attributes by type; where a type repeats, the last one counts."""
    return {
        type_: payload[offset : offset + length]
        for type_, offset, length in attribute_places(payload, start)
    }


def name_text(raw: bytes) -> str:
    """A NUL-terminated name from the kernel; bytes that are not UTF-8 stay visible."""
    return raw.partition(b"\0")[0].decode(errors="backslashreplace")
