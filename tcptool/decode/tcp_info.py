"""Decode ``struct tcp_info`` as returned by a kernel of any age."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from typing import Final

from tcptool.catalog.registry import members
from tcptool.catalog.states import LISTEN
from tcptool.catalog.tcp_info import SIZE_BYTES, TcpInfo
from tcptool.decode.structure import decode_structure
from tcptool.model.sock import AccEcn

_RE_ENCODED_IN: Final = (7, 0)


def decode_tcp_info(raw: bytes) -> TcpInfo:
    """Turn the kernel's bytes into a record; what ``raw`` lacks stays None.

    The kernel fills only a few fields for a listening socket and stores its queue in two
    others (tcp_get_info(), net/ipv4/tcp.c); for a listener the rest is absent, not zero.
    """
    info = decode_structure(TcpInfo, raw)
    if not raw or raw[0] != LISTEN:
        return info
    unfilled = {name: None for name, member in members(TcpInfo).items() if not member.listening}
    return replace(info, **unfilled)


def unknown_tail(raw: bytes) -> str | None:
    """What a newer kernel sent beyond the structure known here, as hex; None if nothing."""
    return raw[SIZE_BYTES:].hex() or None


def decode_accecn(raw_hex: str | None, release: str) -> AccEcn | None:
    """Read the last four bytes of ``tcp_info``, or None where their layout is not known.

    Linux 6.18 holds two 16-bit numbers there; 7.0 re-encoded the same bytes as bit fields
    without changing the length, so here, and only here, the release decides.
    """
    version = re.match(r"(\d+)\.(\d+)", release)
    if raw_hex is None or version is None:
        return None
    raw = bytes.fromhex(raw_hex)
    first, second = (int.from_bytes(raw[i : i + 2], sys.byteorder) for i in (0, 2))
    if (int(version[1]), int(version[2])) < _RE_ENCODED_IN:
        return AccEcn(fail_mode=first, opt_seen=second, ecn_mode=None)
    return AccEcn(fail_mode=first >> 4 & 0xF, opt_seen=first >> 2 & 0x3, ecn_mode=first & 0x3)
