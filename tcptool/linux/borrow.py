"""Borrow a socket from a running process: look or set, give back, within a millisecond.

While a duplicate is held, the owner's close() sends no FIN, a closed listener keeps its port,
and the owner's epoll may report ghosts.  So nothing here is kept: ``borrow`` is a context
whose body makes a handful of getsockopt or setsockopt calls and nothing that can block.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from tcptool.catalog.diag import AF_INET, AF_INET6, IPPROTO_MPTCP, IPPROTO_TCP
from tcptool.errors import (
    NotFound,
    NotPermitted,
    TcptoolError,
    Unsupported,
    describe_errno,
    from_oserror,
)
from tcptool.linux import syscalls

SOL_SOCKET: Final = 1
SO_TYPE: Final = 3
SO_PROTOCOL: Final = 38
SO_DOMAIN: Final = 39
SO_COOKIE: Final = 57
SO_NETNS_COOKIE: Final = 71
SOCK_STREAM: Final = 1


class Stale(NotFound):
    """The descriptor does not refer to the expected socket any more."""

    code = "stale"


class NotTcp(NotFound):
    """The descriptor is open, but it is not a TCP socket."""

    code = "not_tcp"


class Descriptor(Protocol):
    """An open socket that may be asked for its options, and given others."""

    def getsockopt(self, level: int, number: int, size: int) -> bytes:
        """The kernel's bytes for one option.  Raises OSError."""

    def setsockopt(self, level: int, number: int, value: bytes) -> None:
        """Give one option these bytes.  Raises OSError."""

    def listen(self, backlog: int) -> None:
        """Set the backlog of a listener.  On a bound socket that does not listen it starts to,
        so look at its state first.  Raises OSError: EINVAL on a connection.
        """

    def inode(self) -> int:
        """Inode of the socket."""

    def local(self) -> tuple[int, bytes, int]:
        """Family, packed address and port of our end.  Raises OSError."""

    def peer(self) -> tuple[int, bytes, int]:
        """Family, packed address and port of the peer.  Raises OSError."""

    def netns(self) -> int:
        """A descriptor for the socket's network namespace; the caller closes it.

        Raises OSError: EPERM without CAP_NET_ADMIN in that namespace.
        """


class OpenDescriptor:
    """A descriptor of our own process, borrowed or not.  It does not close itself."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def getsockopt(self, level: int, number: int, size: int) -> bytes:
        """See ``Descriptor``."""
        return syscalls.getsockopt(self._fd, level, number, size)

    def setsockopt(self, level: int, number: int, value: bytes) -> None:
        """See ``Descriptor``."""
        syscalls.setsockopt(self._fd, level, number, value)

    def listen(self, backlog: int) -> None:
        """See ``Descriptor``."""
        syscalls.listen(self._fd, backlog)

    def inode(self) -> int:
        """See ``Descriptor``."""
        return os.fstat(self._fd).st_ino

    def local(self) -> tuple[int, bytes, int]:
        """See ``Descriptor``."""
        return syscalls.getsockname(self._fd)

    def peer(self) -> tuple[int, bytes, int]:
        """See ``Descriptor``."""
        return syscalls.getpeername(self._fd)

    def netns(self) -> int:
        """See ``Descriptor``."""
        return syscalls.socket_netns(self._fd)


@contextmanager
def borrow(pid: int, fd: int) -> Iterator[OpenDescriptor]:
    """Duplicate descriptor ``fd`` of process ``pid`` for the length of the body.

    Raises NotFound, NotPermitted or Unsupported, explained.
    """
    doing = f"borrowing descriptor {fd} of process {pid}"
    try:
        pidfd = syscalls.pidfd_open(pid)
    except OSError as exc:
        raise explain(doing, pid, exc) from exc
    try:
        duplicate = syscalls.pidfd_getfd(pidfd, fd)
    except OSError as exc:
        raise explain(doing, pid, exc) from exc
    finally:
        os.close(pidfd)
    try:
        yield OpenDescriptor(duplicate)
    finally:
        os.close(duplicate)


def explain(doing: str, pid: int, exc: OSError) -> TcptoolError:
    """The error for a refused look into a process, with what would help."""
    number = exc.errno or 0
    if number == errno.ESRCH:
        why = f"no such process, or it has ended ({errno.errorcode[number]})"
        return NotFound(doing, why, "tcptool list shows what is there now.")
    if number == errno.EBADF:
        return NotFound(
            doing,
            f"no such descriptor ({errno.errorcode[number]})",
            f"`tcptool inspect {pid}` lists the TCP sockets of the process.",
        )
    if number in (errno.EPERM, errno.EACCES):
        return NotPermitted(doing, describe_errno(number), permission_advice(pid))
    if number == errno.ENOSYS:
        return Unsupported(
            doing,
            describe_errno(number),
            "pidfd_getfd needs Linux 5.6 and no seccomp filter against it. "
            "Name the socket by its addresses to see all but its options.",
        )
    return from_oserror(doing, exc)


def permission_advice(pid: int) -> str:
    """Say why this process may not be looked into and what would help.

    pidfd_getfd asks for the same right as a debugger (ptrace(2), access mode checking).
    """
    scope = _ptrace_scope()
    me = os.geteuid()
    try:
        owner = os.stat(f"/proc/{pid}").st_uid
    except OSError:
        owner = me
    if scope == 3:
        return (
            "kernel.yama.ptrace_scope is 3: nobody may look into a process until the next reboot."
        )
    if owner != me:
        return f"Process {pid} belongs to user {owner}; you are user {me}. Run tcptool with sudo."
    if scope:
        return f"kernel.yama.ptrace_scope is {scope} and process {pid} is not our child. Use sudo."
    return f"Process {pid} has more privileges or is protected. CAP_SYS_PTRACE is needed (sudo)."


def _ptrace_scope() -> int:
    try:
        with open("/proc/sys/kernel/yama/ptrace_scope") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0


def check_identity(
    descriptor: Descriptor, doing: str, *, inode: int | None = None, cookie: int | None = None
) -> int:
    """Make sure that this is the expected TCP socket; return its protocol number.

    Catches a reused descriptor or pid (inode, cookie) and everything that is not TCP.
    """

    def number(option: int, size: int) -> int:
        return int.from_bytes(descriptor.getsockopt(SOL_SOCKET, option, size), sys.byteorder)

    if inode is not None and descriptor.inode() != inode:
        raise Stale(
            doing, "the descriptor refers to another file now", "Nothing was read. Try again."
        )
    try:
        domain, kind, protocol = number(SO_DOMAIN, 4), number(SO_TYPE, 4), number(SO_PROTOCOL, 4)
    except OSError as exc:
        if exc.errno != errno.ENOTSOCK:
            raise
        raise NotTcp(doing, "it is not a socket (ENOTSOCK)", _WHERE_SOCKETS) from exc
    is_ip = domain in (AF_INET, AF_INET6)
    if not is_ip or kind != SOCK_STREAM or protocol not in (IPPROTO_TCP, IPPROTO_MPTCP):
        raise NotTcp(
            doing, f"it is {_describe(domain, kind, protocol)}, not a TCP socket", _WHERE_SOCKETS
        )
    if cookie is not None and number(SO_COOKIE, 8) != cookie:
        raise Stale(
            doing, "the descriptor refers to another socket now", "Nothing was read. Try again."
        )
    return protocol


_WHERE_SOCKETS: Final = "`tcptool list` shows the TCP sockets of every process."

_DOMAINS: Final = {
    1: "a Unix",
    2: "an IPv4",
    10: "an IPv6",
    16: "a netlink",
    17: "a packet",
    40: "a vsock",
}
_KINDS: Final = {1: "stream", 2: "datagram", 3: "raw", 5: "seqpacket"}
_PROTOCOLS: Final = {17: " (UDP)", 132: " (SCTP)", 1: " (ICMP)"}


def _describe(domain: int, kind: int, protocol: int) -> str:
    name = _DOMAINS.get(domain, f"an address family {domain}")
    detail = _PROTOCOLS.get(protocol, "") if domain in (AF_INET, AF_INET6) else ""
    return f"{name} {_KINDS.get(kind, f'type {kind}')} socket{detail}"
