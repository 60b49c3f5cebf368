"""What decides, beside the value, what setting an option does: read from this kernel."""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping
from typing import Final

from tcptool.actions.host import sysctl_number
from tcptool.analysis.outcome import needed_sysctls
from tcptool.catalog.diag import AF_INET
from tcptool.catalog.options import BY_NAME, SOL_SOCKET, SocketOption
from tcptool.decode.options import decode_option
from tcptool.linux.kernel import Kernel
from tcptool.model.change import Circumstances
from tcptool.model.sock import Socket

BUFFER_LOCK: Final = BY_NAME["SO_BUF_LOCK"]

_TIMEOUT: Final = BY_NAME["SO_RCVTIMEO"]
_TIMEVAL: Final = struct.Struct("=qq")


class Surroundings:
    """The sysctls and the tick of one kernel view, each read once, when it is first needed."""

    def __init__(self, kernel: Kernel, options: Collection[SocketOption]) -> None:
        self._kernel = kernel
        self._names = needed_sysctls(options)
        self._numbers: Mapping[str, int] | None = None
        self._jiffy_us: int | None = None

    def of(self, sock: Socket, locks: bytes | int | None = None) -> Circumstances:
        """The circumstances of one socket; ``locks`` is what SO_BUF_LOCK reads."""
        if self._numbers is None:
            self._numbers = {
                n: v for n in self._names if (v := sysctl_number(self._kernel, n)) is not None
            }
            self._jiffy_us = _jiffy_us(self._kernel)
        words = decode_option(BUFFER_LOCK, locks) if isinstance(locks, bytes) else ()
        return Circumstances(
            state=sock.state,
            family=sock.family,
            protocol=sock.protocol,
            numbers=self._numbers,
            jiffy_us=self._jiffy_us,
            locks=words if isinstance(words, tuple) else (),
        )


def _jiffy_us(kernel: Kernel) -> int | None:
    """Length of a kernel tick: a timeout of a microsecond is rounded up to one."""
    try:
        with kernel.fresh_socket(AF_INET) as fresh:
            fresh.setsockopt(SOL_SOCKET, _TIMEOUT.number, _TIMEVAL.pack(0, 1))
            raw = fresh.getsockopt(SOL_SOCKET, _TIMEOUT.number, _TIMEVAL.size)
            return int(_TIMEVAL.unpack(raw)[1])
    except (OSError, struct.error):
        return None
