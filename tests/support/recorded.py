"""Recorded kernel replies of tests/data/sock_diag, by file name."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tcptool.catalog import diag
from tcptool.decode.netlink import messages

FOLDER: Final = Path(__file__).parent.parent / "data" / "sock_diag"
PROTOCOLS: Final = {
    "dump-ipv4": diag.IPPROTO_TCP,
    "dump-ipv6": diag.IPPROTO_TCP,
    "dump-ipv4-bare": diag.IPPROTO_TCP,
    "dump-mptcp": diag.IPPROTO_MPTCP,
    "exact-ipv6": diag.IPPROTO_TCP,
}
"""Every recording and the protocol that it was asked for."""


def recorded(name: str) -> bytes:
    """The datagrams of one recording, joined."""
    return bytes.fromhex((FOLDER / f"{name}.hex").read_text())


def recorded_text(name: str) -> str:
    """A recorded text file."""
    return (FOLDER / name).read_text()


def payloads(name: str) -> list[bytes]:
    """The messages of one recording, without their netlink headers."""
    return [found.payload for found in messages(recorded(name))]
