"""The few system calls that Python lacks or that must not go through a socket object.

A borrowed descriptor shares its file description with its owner.  Python's socket objects
may set O_NONBLOCK on it and so change the owner's program; ctypes calls on the bare number
cannot.  Nothing here reads data, changes status flags or closes what it did not open;
setsockopt() and listen() alone change a socket, and only when a change was asked for.
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Final

CLONE_NEWNET: Final = 0x40000000
SIOCGSKNS: Final = 0x894C

# The same numbers on every architecture: include/uapi/asm-generic/unistd.h.
_PIDFD_OPEN: Final = 434
_PIDFD_GETFD: Final = 438

_libc: Final = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def pidfd_open(pid: int) -> int:
    """A descriptor for a process: pidfd_open(2), Linux 5.3."""
    return _checked(_libc.syscall(_PIDFD_OPEN, ctypes.c_int(pid), ctypes.c_uint(0)))


def pidfd_getfd(pidfd: int, fd: int) -> int:
    """A duplicate of another process's descriptor: pidfd_getfd(2), Linux 5.6."""
    return _checked(
        _libc.syscall(_PIDFD_GETFD, ctypes.c_int(pidfd), ctypes.c_int(fd), ctypes.c_uint(0))
    )


def setns(fd: int) -> None:
    """Move the calling thread into a network namespace: setns(2)."""
    _checked(_libc.setns(ctypes.c_int(fd), ctypes.c_int(CLONE_NEWNET)))


def socket_netns(fd: int) -> int:
    """A descriptor for the network namespace of a socket: ioctl SIOCGSKNS, Linux 4.10."""
    return _checked(_libc.ioctl(ctypes.c_int(fd), ctypes.c_ulong(SIOCGSKNS), ctypes.c_ulong(0)))


def getsockopt(fd: int, level: int, number: int, size: int) -> bytes:
    """The kernel's bytes for one option, at most ``size`` of them: getsockopt(2)."""
    value = ctypes.create_string_buffer(size)
    length = ctypes.c_uint32(size)
    _checked(_libc.getsockopt(fd, level, number, value, ctypes.byref(length)))
    return value.raw[: length.value]


def setsockopt(fd: int, level: int, number: int, value: bytes) -> None:
    """Give one option these bytes: setsockopt(2)."""
    _checked(_libc.setsockopt(fd, level, number, value, len(value)))


def listen(fd: int, backlog: int) -> None:
    """Set the backlog of a listener: listen(2), net/ipv4/af_inet.c, inet_listen()."""
    _checked(_libc.listen(fd, backlog))


def _address(call: str, fd: int) -> tuple[int, bytes, int]:
    value = ctypes.create_string_buffer(128)
    length = ctypes.c_uint32(len(value))
    _checked(_libc[call](fd, value, ctypes.byref(length)))
    family = struct.unpack_from("=H", value.raw)[0]
    port = struct.unpack_from("!H", value.raw, 2)[0]
    packed = value.raw[4:8] if family == 2 else value.raw[8:24]
    return family, packed, port


def getsockname(fd: int) -> tuple[int, bytes, int]:
    """Family, packed address and port of our end: getsockname(2)."""
    return _address("getsockname", fd)


def getpeername(fd: int) -> tuple[int, bytes, int]:
    """Family, packed address and port of the peer: getpeername(2)."""
    return _address("getpeername", fd)
