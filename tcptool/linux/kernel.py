"""The narrow door to Linux: everything tcptool asks of the system goes through ``Kernel``.

Actions take a ``Kernel``; tests give them a fake one that replays recorded replies.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Final, Protocol, Self, TypeVar

from tcptool.catalog.diag import IPPROTO_TCP
from tcptool.catalog.route import NETLINK_ROUTE
from tcptool.linux.netlink import DiagSocket
from tcptool.linux.netns import open_netns, run_inside
from tcptool.linux.procfs import ProcFs
from tcptool.linux.sysfs import SysFs

if TYPE_CHECKING:
    from tcptool.linux.borrow import Descriptor

Result = TypeVar("Result")

_CONNECT_S: Final = 1.0
"""Longest wait for a connection of our own on loopback: there may be a firewall."""


class Kernel(Protocol):
    """What tcptool asks of Linux."""

    proc: ProcFs
    sys: SysFs

    def diag(self, request: bytes) -> Iterator[bytes]:
        """Send one sock_diag request; yield datagrams of socket messages.

        Raises OSError with the kernel's errno: ENOENT for an exact query that finds nothing
        and for a protocol without a handler.
        """

    def route(self, request: bytes) -> Iterator[bytes]:
        """Send one rtnetlink request for a dump; yield datagrams of its answers.

        Raises OSError with the kernel's errno.
        """

    def borrow(self, pid: int, fd: int) -> AbstractContextManager[Descriptor]:
        """A duplicate of another process's descriptor, for as short as possible."""

    def fresh_socket(
        self, family: int, protocol: int = IPPROTO_TCP
    ) -> AbstractContextManager[Descriptor]:
        """A new, unconnected socket of our own: what the defaults look like.  Raises OSError."""

    def own_sockets(self, family: int) -> AbstractContextManager[dict[str, Descriptor]]:
        """Sockets of our own to try things on: ``fresh``, ``listening`` and ``connected``.

        The last two are on loopback.  Raises OSError.
        """

    def own_socket(self, family: int) -> socket.socket:
        """A new stream socket to send and receive with; the caller closes it.  Raises OSError."""

    def sysctl(self, name: str) -> str:
        """The text of a sysctl of this network namespace, as ``net.core.wmem_max``.

        Raises OSError; some exist in the first namespace only.
        """

    def net_text(self, name: str) -> str:
        """A file of /proc/net in this network namespace, as ``tcp6``.  Raises OSError."""

    def netns_inode(self) -> int:
        """Identity of the network namespace that ``diag`` speaks to."""

    def inside(self, reference: str) -> Kernel:
        """The same for another network namespace, by name, PID or path."""

    def inside_netns(self, netns: int) -> Kernel:
        """The same for a network namespace that is open; the descriptor is not the caller's
        any more.
        """

    def hostname(self) -> str:
        """Name of this host."""

    def release(self) -> str:
        """Release of this kernel, as ``6.18.44``."""

    def wall_clock(self) -> float:
        """Seconds since the epoch."""

    def monotonic(self) -> float:
        """Seconds of a clock that never jumps."""

    def wait(self, seconds: float) -> None:
        """Let time pass: the pace of a live view."""


class LiveKernel:
    """The running kernel.  ``netns`` is a descriptor that stays the caller's, or None.

    It keeps its netlink sockets for the next question, and the namespaces it was asked to look
    into.  A program that goes on afterwards uses it as a context manager, or calls ``close``.
    """

    def __init__(self, netns: int | None = None) -> None:
        self.proc = ProcFs()
        self.sys = SysFs()
        self._netns = netns
        self._idle: list[DiagSocket] = []
        self._opened = ExitStack()

    def close(self) -> None:
        """Close the netlink sockets, and with them everything that ``inside`` gave."""
        while self._idle:
            self._idle.pop().close()
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _here(self, work: Callable[[], Result]) -> Result:
        return work() if self._netns is None else run_inside(self._netns, work)

    def diag(self, request: bytes) -> Iterator[bytes]:
        """See ``Kernel``.  A conversation that is given up half-way costs its socket."""
        conversation = self._idle.pop() if self._idle else self._here(DiagSocket)
        finished = False
        try:
            yield from conversation.ask(request)
            finished = True
        except OSError:
            finished = True  # an answer like any other: the socket is at rest
            raise
        finally:
            if finished:
                self._idle.append(conversation)
            else:
                conversation.close()

    def route(self, request: bytes) -> Iterator[bytes]:
        """See ``Kernel``.  Asked seldom, so the socket is not kept."""
        conversation = self._here(lambda: DiagSocket(NETLINK_ROUTE))
        try:
            yield from conversation.ask(request)
        finally:
            conversation.close()

    def borrow(self, pid: int, fd: int) -> AbstractContextManager[Descriptor]:
        """See ``Kernel``."""
        from tcptool.linux.borrow import borrow  # ctypes costs 2 ms; `list` borrows nothing

        return borrow(pid, fd)

    @contextmanager
    def fresh_socket(self, family: int, protocol: int = IPPROTO_TCP) -> Iterator[Descriptor]:
        """See ``Kernel``."""
        from tcptool.linux.borrow import OpenDescriptor

        own = self._here(lambda: socket.socket(family, socket.SOCK_STREAM, protocol))
        with own:
            yield OpenDescriptor(own.fileno())

    @contextmanager
    def own_sockets(self, family: int) -> Iterator[dict[str, Descriptor]]:
        """See ``Kernel``."""
        from tcptool.linux.borrow import OpenDescriptor

        loopback = "::1" if family == socket.AF_INET6 else "127.0.0.1"
        with ExitStack() as opened:

            def new() -> socket.socket:
                return opened.enter_context(socket.socket(family, socket.SOCK_STREAM))

            def connect() -> dict[str, socket.socket]:
                made = {"fresh": new(), "listening": new(), "connected": new()}
                made["listening"].bind((loopback, 0))
                made["listening"].listen()
                made["connected"].settimeout(_CONNECT_S)
                made["connected"].connect(made["listening"].getsockname())
                made["connected"].settimeout(None)
                opened.enter_context(made["listening"].accept()[0])
                return made

            yield {name: OpenDescriptor(own.fileno()) for name, own in self._here(connect).items()}

    def own_socket(self, family: int) -> socket.socket:
        """See ``Kernel``."""
        return self._here(lambda: socket.socket(family, socket.SOCK_STREAM))

    def sysctl(self, name: str) -> str:
        """See ``Kernel``.  /proc/sys/net is that of whoever opens it."""
        return self._here(lambda: self.proc.read(f"sys/{name.replace('.', '/')}").strip())

    def net_text(self, name: str) -> str:
        """See ``Kernel``.  /proc/net is the main thread's; thread-self follows setns."""
        return self._here(lambda: self.proc.read(f"thread-self/net/{name}"))

    def netns_inode(self) -> int:
        """See ``Kernel``."""
        if self._netns is not None:
            return os.fstat(self._netns).st_ino
        return self.proc.netns_inode("self")

    def inside(self, reference: str) -> LiveKernel:
        """See ``Kernel``.  The namespace stays open until this kernel is closed."""
        return self.inside_netns(open_netns(reference))

    def inside_netns(self, netns: int) -> LiveKernel:
        """See ``Kernel``.  It is closed with this kernel."""
        self._opened.callback(os.close, netns)
        return self._opened.enter_context(LiveKernel(netns))

    def hostname(self) -> str:
        """See ``Kernel``."""
        return os.uname().nodename

    def release(self) -> str:
        """See ``Kernel``."""
        return os.uname().release

    def wall_clock(self) -> float:
        """See ``Kernel``."""
        return time.time()

    def monotonic(self) -> float:
        """See ``Kernel``."""
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        """See ``Kernel``."""
        time.sleep(max(seconds, 0))
