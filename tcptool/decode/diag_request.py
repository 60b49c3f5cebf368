"""sock_diag for TCP: requests as bytes, and the key by which the kernel knows a socket.

Source: include/uapi/linux/inet_diag.h, net/ipv4/inet_diag.c, Linux 6.18.
"""

from __future__ import annotations

import struct
import sys
from typing import Final

from tcptool.catalog import diag
from tcptool.decode.netlink import attribute, message

_REQUEST: Final = struct.Struct("=BBBBI")
_PORTS: Final = struct.Struct("!HH")
_ANY_ID: Final = bytes(44 - 4) + struct.pack("=Q", diag.NO_COOKIE)


def dump_request(
    family: int,
    *,
    protocol: int = diag.IPPROTO_TCP,
    states: int = diag.ALL_STATES,
    extensions: int = diag.EXT_ALL,
    bytecode: bytes = b"",
) -> bytes:
    """Ask for every socket of a family, or for those that ``bytecode`` accepts."""
    extra = attribute(diag.REQ_BYTECODE, bytecode) if bytecode else b""
    return _request(diag.NLM_F_DUMP, family, protocol, extensions, states, _ANY_ID, extra)


def exact_request(
    family: int,
    packed_id: bytes,
    *,
    protocol: int = diag.IPPROTO_TCP,
    extensions: int = diag.EXT_ALL,
) -> bytes:
    """Ask for the one socket with these addresses and this cookie.

    ``packed_id`` comes from a reply, or from ``pack_id``.  Without a cookie a connection
    that has gone makes the kernel answer with the *listener* of that port, so check the answer.
    """
    return _request(0, family, protocol, extensions, diag.ALL_STATES, packed_id, b"")


def _request(
    flags: int,
    family: int,
    protocol: int,
    extensions: int,
    states: int,
    packed_id: bytes,
    extra: bytes,
) -> bytes:
    if protocol > 0xFF:  # does not fit the request's one byte: INET_DIAG_REQ_PROTOCOL carries it
        extra += attribute(diag.REQ_PROTOCOL, struct.pack("=I", protocol))
    head = _REQUEST.pack(family, protocol & 0xFF, extensions, 0, states)
    return message(
        diag.SOCK_DIAG_BY_FAMILY, diag.NLM_F_REQUEST | flags, 0, head + packed_id + extra
    )


def pack_id(
    local: tuple[bytes, int],
    peer: tuple[bytes, int],
    *,
    ifindex: int = 0,
    cookie: int = diag.NO_COOKIE,
) -> bytes:
    """The kernel's key of a connection, from packed addresses (4 or 16 bytes) and ports."""
    ports = _PORTS.pack(local[1], peer[1])
    addresses = local[0].ljust(16, b"\0") + peer[0].ljust(16, b"\0")
    return ports + addresses + struct.pack("=IQ", ifindex, cookie_halves(cookie))


def cookie_halves(number: int) -> int:
    """Exchange a cookie with its form in a message, two 32-bit halves with the low one first."""
    if sys.byteorder == "little":
        return number
    return (number & 0xFFFF_FFFF) << 32 | number >> 32


def cookie_text(number: int) -> str | None:
    """A cookie as ``ss -e`` prints it; None for a socket that has none."""
    return f"{number:x}" if number else None
