"""vmsplice(2), which Python lacks."""

from __future__ import annotations

import ctypes
import mmap
import os
from typing import Final

_SPLICE_F_NONBLOCK: Final = 2
"""A pipe that has no room for all takes a part, instead of waiting for a reader: that is us."""


class _IoVec(ctypes.Structure):
    """struct iovec."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


_libc: Final = ctypes.CDLL(None, use_errno=True)
_libc.vmsplice.restype = ctypes.c_ssize_t


def address_of(pages: mmap.mmap) -> int:
    """Where the mapping begins."""
    return ctypes.addressof(ctypes.c_char.from_buffer(pages))


def vmsplice_pages(pipe: int, address: int, size: int) -> int:
    """Put mapped pages into a pipe; returns how many bytes it took.  Raises OSError."""
    vector = _IoVec(address, size)
    taken: int = _libc.vmsplice(
        ctypes.c_int(pipe), ctypes.byref(vector), ctypes.c_ulong(1), _SPLICE_F_NONBLOCK
    )
    if taken < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return taken
