"""Names that the host gives to numbers: services and interfaces."""

from __future__ import annotations

import socket


def service_port(name: str) -> int | None:
    """The TCP port of a service, from /etc/services; None if unknown."""
    try:
        return socket.getservbyname(name, "tcp")
    except OSError:
        return None


def interface_index(name: str) -> int | None:
    """The index of a network interface of this namespace; None if unknown."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return None
