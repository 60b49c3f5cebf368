"""From a TARGET to the sockets that it names.

Every way of naming a socket ends in sock_diag rows; a descriptor is borrowed only to learn
which row is its own, and a caller without that right gets the row by the socket's inode.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from typing import Final

from tcptool.actions.list import lookups_for, owners_for
from tcptool.catalog import diag
from tcptool.catalog.columns import COLUMNS
from tcptool.decode.address import address_text, packed_address
from tcptool.decode.diag_request import cookie_text, pack_id
from tcptool.decode.inet_diag import decode_socket
from tcptool.decode.netlink import messages
from tcptool.decode.proc import parse_thread_group, socket_inode
from tcptool.decode.projection import RAW, Projection, columns_in
from tcptool.decode.tcp_info import decode_tcp_info, unknown_tail
from tcptool.errors import (
    NotFound,
    NotPermitted,
    TcptoolError,
    Unsupported,
    UsageError,
    from_oserror,
)
from tcptool.linux.borrow import (
    SO_COOKIE,
    SO_DOMAIN,
    SO_NETNS_COOKIE,
    SOL_SOCKET,
    Descriptor,
    NotTcp,
    check_identity,
    permission_advice,
)
from tcptool.linux.kernel import Kernel
from tcptool.linux.lookup import find, sockets
from tcptool.linux.owners import socket_descriptors
from tcptool.linux.sock_diag import Dump
from tcptool.model import target as targets
from tcptool.model.filter import And, Compare, Filter, Host, Or
from tcptool.model.report import Missing
from tcptool.model.sock import Endpoint, Socket
from tcptool.sansio.filter_bytecode import compile_for_kernel

IPPROTO_TCP: Final = 6
TCP_INFO: Final = 11
TCP_INFO_BYTES: Final = 1024
SO_BINDTOIFINDEX: Final = 62
MOST_CANDIDATES: Final = 10
FAMILY_NUMBERS: Final = {"ipv4": diag.AF_INET, "ipv6": diag.AF_INET6}


@dataclass(frozen=True, slots=True)
class Found:
    """A socket, the kernel view of its network namespace, and how it was named.

    ``elsewhere`` says why the socket's namespace could not be entered; ``kernel`` is then that
    of its process, and knows nothing about the socket.
    """

    kernel: Kernel
    socket: Socket
    descriptor: tuple[int, int] | None = None
    elsewhere: Missing | None = None


class Ambiguous(UsageError):
    """The target names several sockets where one is needed."""

    code = "ambiguous"


def resolve_one(kernel: Kernel, target: targets.Target) -> Found:
    """The one socket that the target names.  Raises NotFound, NotPermitted, Ambiguous."""
    found = resolve(kernel, target)
    if len(found) == 1:
        return found[0]
    doing = f"looking for {describe(target)}"
    if not found:
        raise NotFound(doing, "no TCP socket matches", "tcptool list shows what is there.")
    lines = [_candidate(one) for one in found[:MOST_CANDIDATES]]
    more = len(found) - len(lines)
    if more:
        lines.append(f"... and {more} more")
    raise Ambiguous(
        doing,
        f"{len(found)} sockets match; name one:\n  " + "\n  ".join(lines),
        "Use PID:FD, sk:COOKIE or ADDR:PORT-ADDR:PORT.",
    )


def _candidate(found: Found) -> str:
    sock = found.socket
    name = (
        f"{found.descriptor[0]}:{found.descriptor[1]}" if found.descriptor else f"sk:{sock.cookie}"
    )
    return f"{name}  {sock.state}  {sock.local} - {sock.peer}"


def describe(target: targets.Target) -> str:
    """The target in words, for messages."""
    match target:
        case targets.Descriptor(pid, fd):
            return f"descriptor {fd} of process {pid}"
        case targets.Process(pid):
            return f"the TCP sockets of process {pid}"
        case targets.Cookie(cookie):
            return f"socket sk:{cookie:x}"
        case targets.Port(port):
            return f"sockets on port {port}"
        case targets.FourTuple(la, lp, pa, pp):
            return f"connection {_end_text(la, lp)}-{_end_text(pa, pp)}"
        case _:
            return "sockets that match the filter"


def _end_text(packed: bytes, port: int) -> Endpoint:
    family = diag.AF_INET if len(packed) == 4 else diag.AF_INET6
    return Endpoint(address_text(family, packed), port)


def resolve(kernel: Kernel, target: targets.Target) -> list[Found]:
    """Every socket that the target names; empty if there is none."""
    match target:
        case targets.Descriptor(pid, fd):
            return [_by_descriptor(kernel, pid, fd)]
        case targets.Process(pid):
            return _by_process(kernel, pid)
        case targets.Cookie(cookie):
            text = cookie_text(cookie)
            return [Found(kernel, s) for s in _search(kernel, lambda s: s.cookie == text)]
        case targets.Port(port):
            either = Or((Compare("local_port", "=", port), Compare("peer_port", "=", port)))
            return [Found(kernel, s) for s in matching(kernel, either)]
        case targets.FourTuple():
            return _by_addresses(kernel, target)
        case targets.FilterTarget(expression):
            return [Found(kernel, s) for s in matching(kernel, expression)]


def matching(kernel: Kernel, expression: Filter | None) -> Iterator[Socket]:
    """Whole records of the sockets that a filter accepts."""
    used = columns_in(expression)
    projection = Projection(
        [COLUMNS["cookie"], COLUMNS["inode"], COLUMNS["local"], COLUMNS["peer"]],
        RAW,
        lookups=lookups_for(kernel, used, owners_for(kernel, used)),
        where=expression,
    )
    part_of_kernel = compile_for_kernel(expression)
    for part in Dump(kernel, states=part_of_kernel.states, bytecode=part_of_kernel.bytecode):
        accepted = set(projection.rows(part.datagram, part.protocol))
        if not accepted:
            continue
        for message in messages(part.datagram):
            sock = decode_socket(message.payload, part.protocol)
            if (sock.cookie, sock.inode, str(sock.local), str(sock.peer)) in accepted:
                yield sock


def _search(kernel: Kernel, wanted: Callable[[Socket], bool]) -> list[Socket]:
    """Walk all sockets.  Each is decoded whole: meant for the one-off look-ups."""
    return [
        sock
        for part in Dump(kernel)
        for message in messages(part.datagram)
        if wanted(sock := decode_socket(message.payload, part.protocol))
    ]


def _by_inodes(kernel: Kernel, inodes: Collection[int]) -> list[Socket]:
    """The sockets with these inodes; an MPTCP connection stands for its subflows."""
    found = _search(kernel, lambda sock: sock.inode in inodes)
    mptcp = {sock.inode for sock in found if sock.protocol == "mptcp"}
    return [sock for sock in found if sock.protocol == "mptcp" or sock.inode not in mptcp]


def whole_connections(found: list[Found]) -> list[Found]:
    """The same sockets, with an MPTCP connection in the place of its subflows."""
    chosen: dict[tuple[int, int | None, str | None], Found] = {}
    for one in map(_whole_connection, found):
        key = (id(one.kernel), one.socket.inode, one.socket.cookie)
        chosen.setdefault(key, one)
    return list(chosen.values())


def _whole_connection(found: Found) -> Found:
    sock = found.socket
    if sock.protocol != "tcp" or sock.ulp != "mptcp" or not sock.inode:
        return found
    above = [s for s in _by_inodes(found.kernel, [sock.inode]) if s.protocol == "mptcp"]
    return replace(found, socket=above[0]) if above else found


def _kernel_of(kernel: Kernel, pid: int) -> Kernel:
    """The view of the process's own network namespace."""
    try:
        elsewhere = kernel.proc.netns_inode(pid) != kernel.netns_inode()
    except OSError:
        return kernel  # not ours to see; the look-up will tell
    return kernel.inside(str(pid)) if elsewhere else kernel


def _leader(kernel: Kernel, pid: int) -> int:
    """The process that a thread id belongs to: pidfd_open(2) takes no other threads."""
    try:
        return parse_thread_group(kernel.proc.read(f"{pid}/status")) or pid
    except OSError:
        return pid  # the look-up will tell


def _by_process(kernel: Kernel, pid: int) -> list[Found]:
    pid = _leader(kernel, pid)
    doing = f"looking for the TCP sockets of process {pid}"
    try:
        descriptors = {inode: fd for fd, inode in socket_descriptors(kernel.proc, pid)}
    except OSError as exc:
        raise _process_error(kernel, doing, pid, exc) from exc
    if not descriptors:
        return []
    there = _kernel_of(kernel, pid)
    return [
        Found(there, sock, (pid, descriptors[sock.inode or 0]))
        for sock in _by_inodes(there, descriptors)
    ]


def _by_descriptor(kernel: Kernel, pid: int, fd: int) -> Found:
    pid = _leader(kernel, pid)
    doing = f"looking at descriptor {fd} of process {pid}"
    try:
        link = kernel.proc.link(pid, fd)
    except OSError as exc:
        raise _process_error(kernel, doing, pid, exc) from exc
    inode = socket_inode(link)
    if inode is None:
        raise NotTcp(
            doing,
            f"it is {link!r}, not a socket",
            f"`tcptool inspect {pid}` lists the TCP sockets of the process.",
        )
    there = _kernel_of(kernel, pid)
    home = _netns_cookie_of(there)
    netns: int | OSError | None = None
    try:
        with kernel.borrow(pid, fd) as descriptor:
            identity = _identify(descriptor, doing, inode)
            if identity.netns_cookie != home:
                netns = _netns_of(descriptor)
    except NotPermitted:
        found = _by_inodes(there, [inode])
        if not found:
            raise NotFound(
                doing,
                "it is no TCP socket, or an unconnected one, or one of another network namespace",
                "tcptool list shows the TCP sockets of this network namespace.",
            ) from None
        return Found(there, found[0], (pid, fd))
    if netns is None:
        return Found(there, identity.find(there) or identity.unlisted(), (pid, fd))
    try:
        if isinstance(netns, OSError):
            raise from_oserror("opening the socket's network namespace", netns) from netns
        beyond = kernel.inside_netns(netns)
        return Found(beyond, identity.find(beyond) or identity.unlisted(), (pid, fd))
    except (NotPermitted, Unsupported) as exc:
        return Found(there, identity.unlisted(), (pid, fd), elsewhere=_elsewhere(exc))


def _elsewhere(refusal: TcptoolError) -> Missing:
    return Missing(
        what="the socket's row in sock_diag",
        why="the socket lives in another network namespace than its process, which cannot be "
        f"entered: {refusal.why}",
        needs="CAP_NET_ADMIN and CAP_SYS_ADMIN in that namespace (run with sudo)",
    )


def _netns_cookie_of(kernel: Kernel) -> int | None:
    """What every socket of this network namespace has as its SO_NETNS_COOKIE."""
    with kernel.fresh_socket(diag.AF_INET) as fresh:
        return _netns_cookie(fresh)


def _netns_cookie(descriptor: Descriptor) -> int | None:
    try:
        return int.from_bytes(descriptor.getsockopt(SOL_SOCKET, SO_NETNS_COOKIE, 8), sys.byteorder)
    except OSError:
        return None  # before Linux 5.14


def _netns_of(descriptor: Descriptor) -> int | OSError:
    try:
        return descriptor.netns()
    except OSError as exc:
        return exc


@dataclass(frozen=True, slots=True)
class _Identity:
    """What a borrowed descriptor told in its microseconds: enough to find its row."""

    protocol: int
    family: int
    inode: int
    cookie: int
    packed_id: bytes
    netns_cookie: int | None
    local: tuple[int, bytes, int]
    peer: tuple[int, bytes, int]
    tcp_info: bytes

    def find(self, kernel: Kernel) -> Socket | None:
        """The row by its key, or by its inode where the key does not lead to it.

        The exact look-up misses MPTCP sockets (keyed by token) and all but one of a
        SO_REUSEPORT group.
        """
        if self.protocol == diag.IPPROTO_TCP:
            sock = find(kernel, self.family, self.packed_id)
            if sock is not None:
                return sock
        return next(iter(_by_inodes(kernel, [self.inode])), None)

    def unlisted(self) -> Socket:
        """A record for a socket that sock_diag does not list, as a fresh or a closed one."""
        info = decode_tcp_info(self.tcp_info) if self.tcp_info else None
        return Socket(
            protocol="mptcp" if self.protocol == diag.IPPROTO_MPTCP else "tcp",
            family="ipv6" if self.family == diag.AF_INET6 else "ipv4",
            state=(info.state if info else None) or "close",
            local=_endpoint(*self.local),
            peer=_endpoint(*self.peer),
            cookie=cookie_text(self.cookie),
            inode=self.inode,
            uid=None,
            ifindex=0,
            timer="off",
            timer_expires_ms=None,
            timer_retransmits=0,
            receive_queue_bytes=None,
            send_queue_bytes=None,
            accept_queue=None,
            backlog=None,
            tcp_info=info,
            tcp_info_bytes=len(self.tcp_info) if self.tcp_info else None,
            tcp_info_unknown=unknown_tail(self.tcp_info),
        )


def _endpoint(family: int, address: bytes, port: int) -> Endpoint:
    return Endpoint(address_text(family, address.ljust(16, b"\0")), port)


def identify(descriptor: Descriptor, doing: str) -> Socket:
    """A record of an open socket from its descriptor alone."""
    return _identify(descriptor, doing, descriptor.inode()).unlisted()


def _identify(descriptor: Descriptor, doing: str, inode: int) -> _Identity:
    def number(option: int, size: int = 4) -> int:
        raw = descriptor.getsockopt(SOL_SOCKET, option, size)
        return int.from_bytes(raw, sys.byteorder)

    protocol = check_identity(descriptor, doing, inode=inode)
    family, cookie = number(SO_DOMAIN), number(SO_COOKIE, 8)
    try:
        ifindex = number(SO_BINDTOIFINDEX)
    except OSError:
        ifindex = 0  # before Linux 5.0
    local = descriptor.local()
    try:
        peer = descriptor.peer()
    except OSError as exc:
        if exc.errno != errno.ENOTCONN:
            raise from_oserror(doing, exc) from exc
        peer = (family, bytes(len(local[1])), 0)
    info = descriptor.getsockopt(IPPROTO_TCP, TCP_INFO, TCP_INFO_BYTES)
    packed_id = pack_id(local[1:], peer[1:], ifindex=ifindex, cookie=cookie)
    netns_cookie = _netns_cookie(descriptor)
    return _Identity(protocol, family, inode, cookie, packed_id, netns_cookie, local, peer, info)


def _by_addresses(kernel: Kernel, wanted: targets.FourTuple) -> list[Found]:
    """The connection with these two ends, named from our end."""
    local = (wanted.local_address, wanted.local_port)
    peer = (wanted.peer_address, wanted.peer_port)
    return [Found(kernel, sock) for sock in connections(kernel, local, peer)]


def connections(
    kernel: Kernel, local: tuple[bytes, int], peer: tuple[bytes, int], *, ifindex: int = 0
) -> list[Socket]:
    """The TCP sockets with these two ends: packed address and port of each.

    The exact look-up misses sockets that are bound to another interface than ``ifindex``,
    link-local ones among them, and knows nothing where sock_diag is missing: then a dump is
    asked.  Two sockets may have the same ends only on different interfaces.
    """
    family = diag.AF_INET if len(local[0]) == 4 else diag.AF_INET6
    ends = (_unmapped(local), _unmapped(peer))
    sock = find(kernel, family, pack_id(local, peer, ifindex=ifindex))
    # Without a cookie the kernel may answer with the listener of that port: compare.
    if sock is not None and (_packed(sock.local), _packed(sock.peer)) == ends:
        return [sock]
    both = And(
        tuple(
            Host(side, address, 8 * len(address), port)
            for side, (address, port) in zip(("local", "peer"), ends, strict=True)
        )
    )
    return [sock for sock in matching(kernel, both) if sock.protocol == "tcp"]


def is_over(sock: Socket) -> bool:
    """True when the kernel only keeps the address: TIME-WAIT, and FIN-WAIT-2 of a closed socket.

    Both are small records with a timer of their own (inet_twsk_diag_fill).
    """
    return sock.timer == "time-wait"


def other_end(kernel: Kernel, sock: Socket) -> Socket | None:
    """The socket with the same addresses the other way round, if it is in this namespace."""
    if not sock.peer.port or sock.protocol != "tcp":
        return None
    local, peer = ((packed_address(end.address), end.port) for end in (sock.local, sock.peer))
    others = connections(kernel, peer, local, ifindex=sock.ifindex)
    own = (sock.cookie, sock.inode)  # its other end may be itself
    return next((other for other in others if (other.cookie, other.inode) != own), None)


def subflows(kernel: Kernel, sock: Socket) -> tuple[Socket, ...]:
    """The TCP sockets below an MPTCP connection: they have its inode."""
    if sock.protocol != "mptcp":
        return ()
    return tuple(s for s in sockets(Dump(kernel)) if s.inode == sock.inode and s.protocol == "tcp")


def _packed(end: Endpoint) -> tuple[bytes, int]:
    return packed_address(end.address), end.port


def _unmapped(end: tuple[bytes, int]) -> tuple[bytes, int]:
    packed, port = end
    return (packed[12:] if packed.startswith(diag.V4_MAPPED) else packed), port


def _process_error(kernel: Kernel, doing: str, pid: int, exc: OSError) -> Exception:
    if exc.errno in (errno.EPERM, errno.EACCES):
        return NotPermitted(
            doing,
            f"{os.strerror(exc.errno)} ({errno.errorcode[exc.errno]})",
            permission_advice(pid) + " Naming the socket by its addresses needs no right.",
        )
    process = kernel.proc.process(pid)
    if process is None:
        return NotFound(
            doing, "no such process", "tcptool list shows the sockets of every process."
        )
    if process.state == "Z":
        return NotFound(doing, "it is a zombie: its descriptors are closed", "")
    return NotFound(
        doing,
        "no such descriptor",
        f"`tcptool inspect {pid}` lists the TCP sockets of the process.",
    )
