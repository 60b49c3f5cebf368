"""What a command is asked to look at: the TARGET of its command line.

Made by ``sansio.target``.
"""

from __future__ import annotations

from dataclasses import dataclass

from tcptool.model.filter import Filter


@dataclass(frozen=True, slots=True)
class Descriptor:
    """``PID:FD``: one descriptor of one process."""

    pid: int
    fd: int


@dataclass(frozen=True, slots=True)
class Process:
    """``PID``: every TCP socket that the process holds."""

    pid: int


@dataclass(frozen=True, slots=True)
class Cookie:
    """``sk:COOKIE``: the socket with this kernel id."""

    cookie: int


@dataclass(frozen=True, slots=True)
class Port:
    """``:PORT``: sockets with this port on either side."""

    port: int


@dataclass(frozen=True, slots=True)
class FourTuple:
    """``ADDR:PORT-ADDR:PORT``: one connection.  Addresses are packed, both 4 or both 16 bytes."""

    local_address: bytes
    local_port: int
    peer_address: bytes
    peer_port: int


@dataclass(frozen=True, slots=True)
class FilterTarget:
    """Every socket that passes a filter."""

    filter: Filter


Target = Descriptor | Process | Cookie | Port | FourTuple | FilterTarget
