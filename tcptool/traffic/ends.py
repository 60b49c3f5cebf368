"""Connections of our own: made with the options that were asked for, and described.

Nothing is set unless it was asked for.  Unix sockets get an abstract name from the kernel
(unix(7), autobind), so that no file is left behind.
"""

from __future__ import annotations

import errno
import fcntl
import socket
import struct
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tcptool.catalog.tcp_info import TcpInfo
from tcptool.decode.options import decode_option, encode_option
from tcptool.decode.tcp_info import decode_tcp_info
from tcptool.errors import (
    NotFound,
    TcptoolError,
    Unsupported,
    UsageError,
    describe_errno,
    from_oserror,
)
from tcptool.linux.interfaces import interface_of, takes_large_segments
from tcptool.linux.kernel import Kernel
from tcptool.model.probe import OptionInForce, Settings

if TYPE_CHECKING:
    from tcptool.model.change import Assignment

FAMILIES: Final = {
    "ipv4": socket.AF_INET,
    "ipv6": socket.AF_INET6,
    "unix": socket.AF_UNIX,
}
_LOOPBACK: Final[dict[str, Any]] = {"ipv4": ("127.0.0.1", 0), "ipv6": ("::1", 0), "unix": ""}
_TCP_INFO_BYTES: Final = 1024
"""Room for struct tcp_info to come; 280 bytes in Linux 6.18."""
_SIOCOUTQ: Final = 0x5411
"""Bytes that the peer has not acknowledged: tcp(7)."""


class Address(NamedTuple):
    """Where to connect to; ``name`` is what Python's connect() takes."""

    family: int
    name: Any

    def __str__(self) -> str:
        if self.family == socket.AF_UNIX:
            return "a Unix socket of our own"
        host, port = self.name[:2]
        return f"[{host}]:{port}" if self.family == socket.AF_INET6 else f"{host}:{port}"


def families(path: str) -> tuple[int, ...]:
    """IPv6 is a wish that counts, IPv4 is the default where a name has both."""
    inet, inet6 = socket.AF_INET, socket.AF_INET6
    return (inet6,) if path == "ipv6" else (inet, inet6)


def look_up(to: str, families: Sequence[int]) -> Address:
    """The first address of ``HOST:PORT`` (IPv6 in brackets).  Raises UsageError, NotFound."""
    doing = f"reading --to {to!r}"
    host, colon, port = to.rpartition(":")
    if not (colon and host and port.isdecimal() and 0 < int(port) <= 0xFFFF):
        raise UsageError(
            doing, "it is not HOST:PORT", "As in 192.0.2.7:5001 or [2001:db8::7]:5001."
        )
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as exc:
        raise NotFound(f"looking up {host!r}", str(exc), "Give a name that resolves here.") from exc
    for family, _, _, _, name in found:
        if family in families:
            return Address(family, name)
    raise NotFound(f"looking up {host!r}", "it has no address of the family that was asked for")


def listen(
    kernel: Kernel, path: str, assignments: Iterable[Assignment], backlog: int
) -> socket.socket:
    """A listener on loopback, or without a name in the file system; accepted ones inherit."""
    own = _new(kernel, FAMILIES[path])
    try:
        set_options(own, assignments)
        own.bind(_LOOPBACK[path])
        own.listen(backlog)
    except OSError as exc:
        own.close()
        raise from_oserror("listening on loopback", exc) from exc
    except BaseException:
        own.close()
        raise
    return own


def address_of(listener: socket.socket) -> Address:
    """Where to find a listener."""
    return Address(listener.family, listener.getsockname())


def connect(
    kernel: Kernel, address: Address, assignments: Iterable[Assignment], timeout_s: float
) -> socket.socket:
    """A connection, not blocking.  Raises TcptoolError: refused, unreachable, no answer in time."""
    own = _new(kernel, address.family)
    doing = f"connecting to {address}"
    try:
        set_options(own, assignments)
        own.settimeout(timeout_s)
        own.connect(address.name)
        own.setblocking(False)
    except TimeoutError as exc:
        own.close()
        raise TcptoolError(
            doing, f"no answer within {timeout_s:g} s", "Is it the right host, and no firewall?"
        ) from exc
    except OSError as exc:
        own.close()
        raise from_oserror(doing, exc, hint=_HINTS.get(exc.errno or 0, "")) from exc
    except BaseException:
        own.close()
        raise
    return own


_HINTS: Final = {
    errno.ECONNREFUSED: "Nothing listens there. What is to be sent needs a program that reads it.",
    errno.EADDRNOTAVAIL: "No port is free: see net.ipv4.ip_local_port_range, and `tcptool list "
    "state time-wait`.",
}


def _new(kernel: Kernel, family: int) -> socket.socket:
    try:
        return kernel.own_socket(family)
    except OSError as exc:
        raise from_oserror("making a socket", exc) from exc


def set_options(own: socket.socket, assignments: Iterable[Assignment]) -> None:
    """Set what was asked for.  Raises TcptoolError."""
    for one in assignments:
        option = one.option
        try:
            own.setsockopt(option.level, option.number, encode_option(option, one.value))
        except OSError as exc:
            doing = f"setting {option.name} on a socket of our own"
            hint = f"`tcptool options {option.name}` shows what this kernel accepts."
            if exc.errno == errno.ENOENT:  # a congestion control that is not there
                raise Unsupported(doing, describe_errno(errno.ENOENT), hint) from exc
            raise from_oserror(doing, exc, hint=hint) from exc


# -- what is in force ----------------------------------------------------------------------


def tcp_info(own: socket.socket) -> TcpInfo | None:
    """What the kernel knows of this connection; None for a Unix socket."""
    if own.family == socket.AF_UNIX:
        return None
    return decode_tcp_info(own.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES))


def settings(
    kernel: Kernel,
    own: socket.socket,
    assignments: Iterable[Assignment],
    rcvbuf_bytes: int | None,
) -> Settings:
    """What is in force; ``rcvbuf_bytes`` is told by the other end, if it is ours."""
    tcp = own.family != socket.AF_UNIX
    device = interface_of(kernel, own.fileno(), own.getsockname()[0]) if tcp else None
    return Settings(
        congestion_control=_congestion_control(own) if tcp else None,
        sndbuf_bytes=own.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF),
        rcvbuf_bytes=rcvbuf_bytes,
        mss_bytes=own.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) if tcp else None,
        device=device,
        gso=takes_large_segments(own.fileno(), device) if device else None,
        options=tuple(_in_force(own, one) for one in assignments),
    )


def _congestion_control(own: socket.socket) -> str:
    raw = own.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)  # TCP_CA_NAME_MAX
    return raw.partition(b"\0")[0].decode("ascii", "backslashreplace")


def _in_force(own: socket.socket, one: Assignment) -> OptionInForce:
    option = one.option
    try:
        raw = own.getsockopt(option.level, option.number, option.size)
    except OSError:
        effective = None
    else:
        effective = decode_option(option, raw)
    return OptionInForce(
        name=option.name, unit=option.unit.value, requested=one.value, effective=effective
    )


def unacknowledged_bytes(own: socket.socket) -> int:
    """Bytes sent, or waiting to be, that the peer has not acknowledged: ioctl SIOCOUTQ."""
    answer = fcntl.ioctl(own, _SIOCOUTQ, bytes(4))
    return int(struct.unpack("=i", answer)[0])


def reset_at_close(own: socket.socket) -> None:
    """Leave no TIME_WAIT behind."""
    own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def failure(doing: str, exc: OSError) -> TcptoolError:
    """The error for a call on a connection of ours that failed."""
    return TcptoolError(doing, describe_errno(exc.errno or errno.EIO), "The other end closed it.")
