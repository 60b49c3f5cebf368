"""Packed IP addresses to text and back, without a resolver.

``socket.inet_ntop`` and ``inet_pton`` only convert: they open nothing and ask nobody.
"""

from __future__ import annotations

import socket

from tcptool.catalog.diag import AF_INET, V4_MAPPED


def address_text(family: int, packed: bytes) -> str:
    """Text of the address in a 16-byte field; a v4-mapped one is written as IPv4."""
    if family == AF_INET:
        return socket.inet_ntop(socket.AF_INET, packed[:4])
    if packed.startswith(V4_MAPPED):
        return socket.inet_ntop(socket.AF_INET, packed[12:16])
    return socket.inet_ntop(socket.AF_INET6, packed[:16])


def packed_address(text: str) -> bytes:
    """4 or 16 bytes; ValueError for anything that is not an address."""
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    try:
        return socket.inet_pton(family, text)
    except OSError:
        raise ValueError(f"{text!r} is not an IP address") from None
