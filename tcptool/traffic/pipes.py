"""Pipes of our own, for splice(2)."""

from __future__ import annotations

import fcntl
import os
from typing import Final

from tcptool.errors import from_oserror

_F_SETPIPE_SZ: Final = 1031  # include/uapi/linux/fcntl.h


def open_pipe(size_bytes: int) -> tuple[int, int]:
    """Its reading and its writing end; the caller closes both.

    The kernel rounds the size up to a power of two of pages.  Raises TcptoolError.
    """
    reading, writing = os.pipe()
    try:
        fcntl.fcntl(writing, _F_SETPIPE_SZ, size_bytes)
    except (OSError, OverflowError) as exc:
        os.close(reading)
        os.close(writing)
        hint = "fs.pipe-max-size is the most that anyone may set; CAP_SYS_RESOURCE goes beyond."
        error = exc if isinstance(exc, OSError) else OSError(22, "")  # beyond an int: EINVAL
        raise from_oserror(f"making a pipe of {size_bytes} bytes", error, hint=hint) from exc
    return reading, writing
