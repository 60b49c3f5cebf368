"""Visits to another program's socket: steps run on a borrowed descriptor, in short slices.

A visit borrows, checks that it is the expected socket, does a few steps and gives the
descriptor back; a long list of steps takes several visits, each checked anew.  Steps must not
block, must not write files and must not decode: that waits until the descriptor is back.
"""

from __future__ import annotations

import errno
import sys
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from tcptool.catalog.options import BACKLOG, IPPROTO_TCP, SocketOption
from tcptool.errors import TcptoolError
from tcptool.linux.borrow import Descriptor, check_identity
from tcptool.linux.kernel import Kernel
from tcptool.model.owner import Holder

SLICE_S: Final = 0.0005
"""Longest look at a borrowed socket.  Idle, all options take a third of it; each of them waits
for the socket's lock, which a busy connection holds most of the time."""

Step = Callable[[Descriptor], None]

Readings = dict[SocketOption, bytes | int]
"""An option's raw value, or the errno with which the kernel refused it."""

_TCP_INFO: Final = 11
_TCPI_STATE: Final = slice(0, 1)
_TCPI_SACKED: Final = slice(28, 32)
_LISTEN: Final = b"\n"


def visit(
    kernel: Kernel,
    holders: Sequence[Holder],
    steps: Iterable[Step],
    *,
    inode: int,
    cookie: int | None,
) -> None:
    """Run every step once, in order, through the first of the holders that allows it.

    Raises the first holder's refusal if none allows it: NotFound (also when the descriptor
    refers to another socket now), NotPermitted or Unsupported.  Steps that have run stay done.
    """
    left = deque(steps)
    refusal: TcptoolError | None = None
    for holder in holders:
        pid, fd = holder.process.pid, holder.fd
        try:
            while left:
                with kernel.borrow(pid, fd) as descriptor:
                    until = kernel.monotonic() + SLICE_S
                    doing = f"borrowing descriptor {fd} of process {pid}"
                    check_identity(descriptor, doing, inode=inode, cookie=cookie)
                    left.popleft()(descriptor)
                    while left and kernel.monotonic() < until:
                        left.popleft()(descriptor)
            return
        except TcptoolError as exc:
            refusal = refusal or exc
    if refusal is not None:
        raise refusal


def read_step(readings: Readings, option: SocketOption) -> Step:
    """A step that puts the option's raw value into ``readings``."""

    def step(descriptor: Descriptor) -> None:
        readings[option] = read_option(descriptor, option)

    return step


def read_option(descriptor: Descriptor, option: SocketOption) -> bytes | int:
    """The option's raw value, or the errno with which the kernel refuses it."""
    try:
        if option is BACKLOG:
            return _backlog(descriptor)
        return descriptor.getsockopt(option.level, option.number, option.size)
    except OSError as exc:
        return exc.errno or errno.EIO


def write_option(descriptor: Descriptor, option: SocketOption, raw: bytes) -> int:
    """Set the option; the errno, 0 if the kernel accepts it."""
    try:
        if option is BACKLOG:
            _backlog(descriptor)  # listen() on a fresh socket would make it a listener
            descriptor.listen(int.from_bytes(raw, sys.byteorder, signed=True))
        else:
            descriptor.setsockopt(option.level, option.number, raw)
    except OSError as exc:
        return exc.errno or errno.EIO
    return 0


def _backlog(descriptor: Descriptor) -> bytes:
    """A listener's backlog: tcp_get_info() in net/ipv4/tcp.c gives it as tcpi_sacked."""
    info = descriptor.getsockopt(IPPROTO_TCP, _TCP_INFO, _TCPI_SACKED.stop)
    if info[_TCPI_STATE] != _LISTEN:
        raise OSError(errno.EINVAL, "not a listener")
    return info[_TCPI_SACKED]
