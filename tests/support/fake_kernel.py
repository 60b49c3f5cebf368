"""A Kernel without a system: sockets are bytes, processes are files under a temporary root.

``FakeKernel`` is a ``tcptool.linux.kernel.Kernel`` that answers sock_diag requests from messages
which a test has made (``diag_message``) or recorded, as net/ipv4/inet_diag.c would: by family,
protocol, states and extensions, or exactly by packed id and cookie.  It does not run filter
bytecode, so a dump gives more than was asked for; callers must cope with that anyway.

A typical test::

    kernel = FakeKernel(tmp_path)
    web = diag_message(local=("127.0.0.1", 80), peer=("127.0.0.1", 5000), inode=7,
                       tcp_info={"rtt_us": 1500})
    kernel.sockets.append(web)
    kernel.tree.add(42, "nginx", sockets={3: 7})
    kernel.descriptors[42, 3] = descriptor_for(web)
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from tcptool.catalog import diag
from tcptool.catalog.diag import IPPROTO_TCP, V4_MAPPED
from tcptool.catalog.registry import UNLIMITED, Member, members
from tcptool.catalog.route import RTM_GETLINK
from tcptool.catalog.states import LISTEN, TCP_STATES, TIMERS, Meaning, number
from tcptool.catalog.tcp_info import SIZE_BYTES, TcpInfo
from tcptool.decode.address import packed_address
from tcptool.decode.diag_request import cookie_halves, pack_id
from tcptool.decode.netlink import (
    HEADER,
    aligned,
    attribute,
    attribute_places,
    message,
    messages,
    with_sequence,
)
from tcptool.decode.structure import layout
from tcptool.errors import from_oserror
from tcptool.linux.borrow import (
    SO_COOKIE,
    SO_DOMAIN,
    SO_PROTOCOL,
    SO_TYPE,
    SOL_SOCKET,
    Descriptor,
    explain,
)
from tcptool.linux.procfs import ProcFs
from tcptool.linux.sysfs import SysFs

Address = tuple[str, int]
FieldValue = int | str | tuple[str, ...] | None

SO_BINDTOIFINDEX: Final = 62
TCP_INFO_OPTION: Final = 11
SOMAXCONN: Final = 4096
_BODY: Final = diag.NLMSG_HEADER_BYTES
_ID: Final = slice(_BODY + 4, _BODY + 52)

# Which request bit brings which attributes: inet_sk_diag_fill() and inet_diag_msg_attrs_fill().
# An attribute that is not named here comes unasked.
_BROUGHT_BY: Final = {
    diag.ATTR_MEMINFO: diag.EXT_MEMINFO,
    diag.ATTR_INFO: diag.EXT_INFO,
    diag.ATTR_MD5SIG: diag.EXT_INFO,
    diag.ATTR_VEGASINFO: diag.EXT_VEGASINFO,
    diag.ATTR_DCTCPINFO: diag.EXT_VEGASINFO,
    diag.ATTR_BBRINFO: diag.EXT_VEGASINFO,
    diag.ATTR_CONG: diag.EXT_CONG,
    diag.ATTR_TOS: diag.EXT_TOS,
    diag.ATTR_TCLASS: diag.EXT_TCLASS,
    diag.ATTR_CLASS_ID: diag.EXT_TCLASS,
    diag.ATTR_SKMEMINFO: diag.EXT_SKMEMINFO,
}


# -- sockets as bytes --------------------------------------------------------------------------


def diag_message(
    state: str | int = "established",
    *,
    local: Address = ("127.0.0.1", 80),
    peer: Address | None = None,
    family: int | None = None,
    cookie: int = 0,
    inode: int = 0,
    uid: int = 0,
    ifindex: int = 0,
    rqueue: int = 0,
    wqueue: int = 0,
    timer: str | int = "off",
    expires_ms: int = 0,
    retrans: int = 0,
    attributes: Mapping[int, bytes] | None = None,
    tcp_info: Mapping[str, FieldValue] | None = None,
    congestion: str | None = None,
) -> bytes:
    """One sock_diag message with its netlink header, padded to 4 bytes.

    ``peer`` is the unspecified address with port 0 unless given.  ``family`` follows from the
    local address; with AF_INET6, IPv4 addresses become v4-mapped.  ``tcp_info`` (fields as for
    ``tcp_info_bytes``; the state is this socket's) and ``congestion`` are short for their
    attributes; ``attributes`` come after them, in the order given.
    """
    state_number = _number_of(TCP_STATES, state)
    if family is None:
        family = diag.AF_INET6 if ":" in local[0] else diag.AF_INET
    if peer is None:
        peer = ("::" if ":" in local[0] else "0.0.0.0", 0)
    ends = [_packed_end(end, family) for end in (local, peer)]
    head = struct.pack("=BBBB", family, state_number, _number_of(TIMERS, timer), retrans)
    tail = struct.pack("=5I", expires_ms, rqueue, wqueue, uid, inode)
    body = head + pack_id(ends[0], ends[1], ifindex=ifindex, cookie=cookie) + tail
    if tcp_info is not None:
        fields = {"state": state_number, **tcp_info}
        body += attribute(diag.ATTR_INFO, _packed(TcpInfo, fields, SIZE_BYTES))
    if congestion is not None:
        body += attribute(diag.ATTR_CONG, congestion.encode() + b"\0")
    for kind, value in (attributes or {}).items():
        body += attribute(kind, value)
    return message(diag.SOCK_DIAG_BY_FAMILY, 0, 0, body)


def tcp_info_bytes(*, length: int = SIZE_BYTES, **fields: FieldValue) -> bytes:
    """A ``struct tcp_info`` of any length; what is not named is zero.

    ``fields`` are names of ``TcpInfo`` with the kernel's numbers, or with what a decoded record
    shows: words, ``"unlimited"``, hexadecimal text, and None for a field's "no value yet".
    """
    return _packed(TcpInfo, fields, length)


def structure_bytes(record: type, *, length: int | None = None, **fields: FieldValue) -> bytes:
    """The C structure that a catalog record mirrors, as ``tcp_info_bytes`` does for TcpInfo."""
    return _packed(record, fields, length)


def _packed(record: type, fields: Mapping[str, FieldValue], length: int | None) -> bytes:
    image = layout(record)()
    for name, value in fields.items():
        member = members(record)[name]
        setattr(image, member.name, _raw_number(member, value))
    raw = bytes(image)
    size = ctypes.sizeof(image) if length is None else length
    return raw[:size].ljust(size, b"\0")


def _raw_number(member: Member, value: FieldValue) -> int:
    if value is None:
        assert member.absent is not None, f"{member.name} has no number for 'no value yet'"
        return member.absent
    if isinstance(value, int):
        return value
    if value == UNLIMITED and member.unlimited is not None:
        return member.unlimited
    if isinstance(value, tuple):
        return sum(_number_of(member.flags or {}, word) for word in value)
    if member.hexadecimal:
        return int.from_bytes(bytes.fromhex(value), sys.byteorder)
    return _number_of(member.words or {}, value)


def _number_of(table: dict[int, Meaning], value: str | int) -> int:
    found = value if isinstance(value, int) else number(table, value)
    assert found is not None, f"{value!r} is none of {[meaning.word for meaning in table.values()]}"
    return found


def _packed_end(end: Address, family: int) -> tuple[bytes, int]:
    packed = packed_address(end[0])
    if family == diag.AF_INET6 and len(packed) == 4:
        packed = bytes(16) if packed == bytes(4) else V4_MAPPED + packed
    return packed, end[1]


# -- descriptors -------------------------------------------------------------------------------


SO_BUF_LOCK: Final = 72
_BUFFERS: Final = {(SOL_SOCKET, 7): (4608, 1), (SOL_SOCKET, 8): (2304, 2)}
"""The smallest size and the lock of SO_SNDBUF and SO_RCVBUF (net/core/sock.c, sk_setsockopt)."""

_FORCED: Final = {(SOL_SOCKET, 32): (SOL_SOCKET, 7), (SOL_SOCKET, 33): (SOL_SOCKET, 8)}
"""SO_SNDBUFFORCE and SO_RCVBUFFORCE, and the options that they set."""


class FakeDescriptor:
    """An open socket that may be asked for its options, and given others.

    ``options`` holds the kernel's bytes, or the errno with which it refuses, by level and
    number; what is not there gives ENOPROTOOPT.  Without a ``peer`` there is ENOTCONN.
    ``reads`` lists the options that were asked for.

    A set stores the bytes, and for the buffers what sock_setsockopt() makes of them: twice the
    value, up to ``most_buffer_bytes`` unless it is forced, and the lock.  ``on_set`` is called
    before with level, number and bytes; it may raise OSError.  ``writes`` lists what was set.
    ``listen`` changes the backlog in the TCP_INFO of a listener; any other socket refuses.
    """

    def __init__(
        self,
        options: Mapping[tuple[int, int], bytes | int] | None = None,
        *,
        inode: int = 0,
        local: Address = ("0.0.0.0", 0),
        peer: Address | None = None,
        family: int | None = None,
    ) -> None:
        self.options = dict(options or {})
        self.reads: list[tuple[int, int]] = []
        self.writes: list[tuple[int, int, bytes]] = []
        self.on_set: Callable[[int, int, bytes], None] | None = None
        self.most_buffer_bytes = 212_992
        self._inode, self._local, self._peer = inode, local, peer
        self._family = family or (diag.AF_INET6 if ":" in local[0] else diag.AF_INET)

    def getsockopt(self, level: int, number: int, size: int) -> bytes:
        """See ``Descriptor``."""
        self.reads.append((level, number))
        value = self.options.get((level, number), errno.ENOPROTOOPT)
        if isinstance(value, int):
            raise OSError(value, os.strerror(value))
        return value[:size]

    def setsockopt(self, level: int, number: int, value: bytes) -> None:
        """See ``Descriptor``."""
        if self.on_set is not None:
            self.on_set(level, number, value)
        read_as = _FORCED.get((level, number), (level, number))
        known = self.options.get(read_as, errno.ENOPROTOOPT)
        if isinstance(known, int):
            raise OSError(known, os.strerror(known))
        self.writes.append((level, number, value))
        if read_as in _BUFFERS:
            least, lock = _BUFFERS[read_as]
            asked = struct.unpack("=i", value)[0]
            if read_as == (level, number):
                asked = min(asked % 2**32, self.most_buffer_bytes)
            value = struct.pack("=i", max(2 * min(asked, (1 << 30) - 1), least))  # INT_MAX / 2
            locks = self.options.get((SOL_SOCKET, SO_BUF_LOCK))
            if isinstance(locks, bytes):
                both = struct.unpack("=i", locks)[0] | lock
                self.options[SOL_SOCKET, SO_BUF_LOCK] = struct.pack("=i", both)
        self.options[read_as] = value

    def listen(self, backlog: int) -> None:
        """See ``Descriptor``."""
        info = self.options.get((socket.IPPROTO_TCP, TCP_INFO_OPTION))
        if not isinstance(info, bytes) or info[0] != LISTEN:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        stored = struct.pack("=I", min(backlog % 2**32, SOMAXCONN))
        self.options[socket.IPPROTO_TCP, TCP_INFO_OPTION] = info[:28] + stored + info[32:]

    def inode(self) -> int:
        """See ``Descriptor``."""
        return self._inode

    def local(self) -> tuple[int, bytes, int]:
        """See ``Descriptor``."""
        return self._end(self._local)

    def peer(self) -> tuple[int, bytes, int]:
        """See ``Descriptor``."""
        if self._peer is None:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        return self._end(self._peer)

    def netns(self) -> int:
        """See ``Descriptor``: as for a caller without the right."""
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    def _end(self, end: Address) -> tuple[int, bytes, int]:
        return self._family, *_packed_end(end, self._family)


def identity_options(
    family: int, *, protocol: int = diag.IPPROTO_TCP, cookie: int = 0, ifindex: int = 0
) -> dict[tuple[int, int], bytes | int]:
    """The options by which a descriptor is recognised as a TCP socket."""
    return {
        (SOL_SOCKET, SO_DOMAIN): struct.pack("=i", family),
        (SOL_SOCKET, SO_TYPE): struct.pack("=i", socket.SOCK_STREAM),
        (SOL_SOCKET, SO_PROTOCOL): struct.pack("=i", protocol),
        (SOL_SOCKET, SO_COOKIE): struct.pack("=Q", cookie),
        (SOL_SOCKET, SO_BINDTOIFINDEX): struct.pack("=i", ifindex),
    }


def descriptor_for(
    raw: bytes,
    options: Mapping[tuple[int, int], bytes | int] | None = None,
    *,
    protocol: int = diag.IPPROTO_TCP,
) -> FakeDescriptor:
    """The descriptor of the socket that a message describes, with ``options`` added to its own."""
    entry = _entry(raw, protocol)
    family = entry.family
    known = identity_options(
        family,
        protocol=protocol,
        cookie=cookie_halves(struct.unpack_from("=Q", raw, _BODY + 44)[0]),
        ifindex=struct.unpack_from("=I", raw, _BODY + 40)[0],
    )
    info = dict(_attributes(raw)).get(diag.ATTR_INFO)
    if info is not None and protocol == diag.IPPROTO_TCP:
        known[socket.IPPROTO_TCP, TCP_INFO_OPTION] = info
    size = 4 if family == diag.AF_INET else 16
    local, peer = (
        (socket.inet_ntop(family, raw[at : at + size]), port)
        for at, port in ((_BODY + 8, entry.local_port), (_BODY + 24, entry.peer_port))
    )
    inode = struct.unpack_from("=I", raw, _BODY + 68)[0]
    return FakeDescriptor(
        {**known, **(options or {})},
        inode=inode,
        local=local,
        peer=peer if entry.peer_port else None,
        family=family,
    )


# -- /proc -------------------------------------------------------------------------------------


class ProcTree:
    """Files that look like /proc, for ``ProcFs`` to read.

    Every process is in the network namespace of ``self`` unless ``netns`` says otherwise.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._namespaces = root / ".namespaces"
        self._namespaces.mkdir(parents=True)
        self._enter("self", "host")

    def add(
        self,
        pid: int,
        name: str,
        *,
        sockets: Mapping[int, int] | None = None,
        links: Mapping[int, str] | None = None,
        start_ticks: int = 1000,
        state: str = "S",
        netns: str = "host",
        cgroup: str | None = None,
    ) -> None:
        """Add a process.

        ``sockets`` maps its descriptors to inodes, ``links`` others to what they point to
        (``/dev/null``); ``netns`` is any word, and the same word is the same namespace.
        """
        folder = self.root / str(pid)
        (folder / "fd").mkdir(parents=True)
        for fd, inode in (sockets or {}).items():
            (folder / "fd" / str(fd)).symlink_to(f"socket:[{inode}]")
        for fd, link in (links or {}).items():
            (folder / "fd" / str(fd)).symlink_to(link)
        (folder / "stat").write_bytes(stat_text(pid, name, start_ticks, state).encode())
        if cgroup is not None:
            (folder / "cgroup").write_bytes(f"0::{cgroup}\n".encode())
        self._enter(str(pid), netns)

    def remove(self, pid: int) -> None:
        """The process has ended."""
        (self.root / str(pid)).rename(self._namespaces / f"gone-{pid}")

    def write(self, path: str, text: str) -> None:
        """A file below the root: ``sys/net/core/wmem_max``, ``thread-self/net/tcp``."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())

    def _enter(self, process: str, netns: str) -> None:
        namespace = self._namespaces / netns
        namespace.touch()
        place = self.root / process / "ns" / "net"
        place.parent.mkdir(parents=True)
        place.hardlink_to(namespace)  # one inode for each namespace


def stat_text(pid: int, name: str, start_ticks: int = 1000, state: str = "S") -> str:
    """/proc/PID/stat as do_task_stat() in fs/proc/array.c writes it, with 52 fields."""
    fields = [state, *["0"] * 18, str(start_ticks), *["0"] * 30]
    return f"{pid} ({name}) {' '.join(fields)}\n"


# -- the kernel --------------------------------------------------------------------------------


class _Entry(NamedTuple):
    """What a request is compared with."""

    raw: bytes
    protocol: int
    family: int
    state: int
    local_port: int
    peer_port: int
    local: bytes
    peer: bytes
    ifindex: int
    cookie: bytes


@dataclass(slots=True)
class FakeKernel:
    """See the module.  Every attribute may be changed while a test runs.

    ``sockets`` and ``mptcp_sockets`` hold messages with their netlink headers, one or several
    in each item.  ``errno_for_diag`` makes every request fail as on a kernel without sock_diag;
    ``has_mptcp`` is False for one without MPTCP.  ``refusals`` gives the errno with which
    borrowing from a process fails.  ``namespaces`` holds the kernels that ``inside`` gives, by
    name, pid or path.  ``datagram_bytes`` is the most that one datagram of a dump carries.
    ``links`` and ``qdiscs`` hold the rtnetlink messages that ``route`` gives, and
    ``errno_for_route`` makes it fail.

    ``wait`` does not wait: it moves both clocks on and then calls ``on_wait``, which may change
    the sockets or raise KeyboardInterrupt.  ``requests``, ``borrows`` and ``waits`` list what
    was asked of the kernel.
    """

    root: Path
    sockets: list[bytes] = field(default_factory=list)
    mptcp_sockets: list[bytes] = field(default_factory=list)
    descriptors: dict[tuple[int, int], FakeDescriptor] = field(default_factory=dict)
    fresh_options: dict[tuple[int, int], bytes | int] = field(default_factory=dict)
    refusals: dict[int, int] = field(default_factory=dict)
    namespaces: dict[str, FakeKernel] = field(default_factory=dict)
    errno_for_diag: int | None = None
    has_mptcp: bool = True
    datagram_bytes: int = 32_768
    host: str = "testhost"
    kernel_release: str = "6.18.44"
    time: float = 1_767_323_045.123  # 2026-01-02T03:04:05.123Z
    ticks: float = 1000.0
    on_wait: Callable[[FakeKernel], None] | None = None
    requests: list[bytes] = field(default_factory=list)
    borrows: list[tuple[int, int]] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    links: list[bytes] = field(default_factory=list)
    qdiscs: list[bytes] = field(default_factory=list)
    errno_for_route: int | None = None
    tree: ProcTree = field(init=False)
    proc: ProcFs = field(init=False)
    sys: SysFs = field(init=False)

    def __post_init__(self) -> None:
        self.tree = ProcTree(self.root / "proc")
        self.proc = ProcFs(str(self.tree.root))
        self.sys = SysFs(str(self.root / "sys"))

    def diag(self, request: bytes) -> Iterator[bytes]:
        """See ``Kernel``."""
        self.requests.append(request)
        wanted = _Request.parse(request)
        if self.errno_for_diag is not None:
            raise OSError(self.errno_for_diag, os.strerror(self.errno_for_diag))
        number = _refusal(wanted, has_mptcp=self.has_mptcp)
        if number:
            raise OSError(number, os.strerror(number))
        entries = self._entries(wanted.protocol)
        if wanted.is_dump:
            yield from self._dump(wanted, entries)
        else:
            yield _trimmed(_exactly(wanted, entries), wanted.extensions)

    def route(self, request: bytes) -> Iterator[bytes]:
        """See ``Kernel``: the messages of ``links`` or ``qdiscs``."""
        if self.errno_for_route is not None:
            raise OSError(self.errno_for_route, os.strerror(self.errno_for_route))
        kind = next(messages(request)).type
        yield from self.links if kind == RTM_GETLINK else self.qdiscs

    def _entries(self, protocol: int) -> list[_Entry]:
        raw = self.mptcp_sockets if protocol == diag.IPPROTO_MPTCP else self.sockets
        return [
            _entry(message(found.type, found.flags, 0, found.payload), protocol)
            for item in raw
            for found in messages(item)
        ]

    def _dump(self, wanted: _Request, entries: Iterable[_Entry]) -> Iterator[bytes]:
        datagram = b""
        for entry in entries:
            if entry.family != wanted.family or not 1 << entry.state & wanted.states:
                continue
            raw = _trimmed(entry.raw, wanted.extensions)
            if datagram and len(datagram) + len(raw) > self.datagram_bytes:
                yield datagram
                datagram = b""
            datagram += raw
        if datagram:
            yield datagram

    @contextmanager
    def borrow(self, pid: int, fd: int) -> Iterator[FakeDescriptor]:
        """See ``Kernel``: ESRCH, EBADF and ``refusals`` are explained by the real code."""
        self.borrows.append((pid, fd))
        number = self.refusals.get(pid, 0)
        if not number and not (self.tree.root / str(pid)).exists():
            number = errno.ESRCH
        if not number and (pid, fd) not in self.descriptors:
            number = errno.EBADF
        if number:
            cause = OSError(number, os.strerror(number))
            raise explain(f"borrowing descriptor {fd} of process {pid}", pid, cause) from cause
        yield self.descriptors[pid, fd]

    @contextmanager
    def fresh_socket(self, family: int, protocol: int = IPPROTO_TCP) -> Iterator[FakeDescriptor]:
        """See ``Kernel``: a socket with ``fresh_options``."""
        unspecified = "::" if family == diag.AF_INET6 else "0.0.0.0"
        options = {**identity_options(family, protocol=protocol), **self.fresh_options}
        yield FakeDescriptor(options, local=(unspecified, 0), family=family)

    def sysctl(self, name: str) -> str:
        """See ``Kernel``: ``tree.write("sys/net/core/wmem_max", ...)`` gives it a text."""
        return self.proc.read(f"sys/{name.replace('.', '/')}").strip()

    @contextmanager
    def own_sockets(self, family: int) -> Iterator[dict[str, Descriptor]]:
        """See ``Kernel``: three sockets with ``fresh_options``, all of them unconnected."""
        with ExitStack() as stack:
            names = ("fresh", "listening", "connected")
            yield {name: stack.enter_context(self.fresh_socket(family)) for name in names}

    def own_socket(self, family: int) -> socket.socket:
        """See ``Kernel``: a real one, on this host's loopback."""
        return socket.socket(family, socket.SOCK_STREAM)

    def net_text(self, name: str) -> str:
        """See ``Kernel``: ``tree.write("thread-self/net/tcp", ...)`` gives it a text."""
        return self.proc.read(f"thread-self/net/{name}")

    def netns_inode(self) -> int:
        """See ``Kernel``."""
        return self.proc.netns_inode("self")

    def inside(self, reference: str) -> FakeKernel:
        """See ``Kernel``."""
        if reference not in self.namespaces:
            cause = OSError(errno.ENOENT, os.strerror(errno.ENOENT))
            raise from_oserror(f"opening network namespace {reference!r}", cause) from cause
        return self.namespaces[reference]

    def inside_netns(self, netns: int) -> FakeKernel:
        """See ``Kernel``: no descriptor of this kernel gives one."""
        raise NotImplementedError(netns)

    def hostname(self) -> str:
        """See ``Kernel``."""
        return self.host

    def release(self) -> str:
        """See ``Kernel``."""
        return self.kernel_release

    def wall_clock(self) -> float:
        """See ``Kernel``."""
        return self.time

    def monotonic(self) -> float:
        """See ``Kernel``."""
        return self.ticks

    def wait(self, seconds: float) -> None:
        """See ``Kernel``."""
        passed = max(seconds, 0.0)
        self.waits.append(passed)
        self.time += passed
        self.ticks += passed
        if self.on_wait is not None:
            self.on_wait(self)


class _Request(NamedTuple):
    """``struct inet_diag_req_v2`` with what is around it."""

    is_dump: bool
    family: int
    protocol: int
    extensions: int
    states: int
    ports: tuple[int, int]
    ends: tuple[bytes, bytes]
    ifindex: int
    cookie: bytes

    @classmethod
    def parse(cls, raw: bytes) -> _Request:
        flags = HEADER.unpack_from(raw)[2]
        family, protocol, extensions, _, states = struct.unpack_from("=BBBBI", raw, _BODY)
        id_at = _BODY + 8
        for kind, at, length in attribute_places(raw, id_at + 48):
            if kind == diag.REQ_PROTOCOL:
                protocol = int.from_bytes(raw[at : at + length], sys.byteorder)
        return cls(
            flags & diag.NLM_F_DUMP == diag.NLM_F_DUMP,
            family,
            protocol,
            extensions,
            states,
            struct.unpack_from("!HH", raw, id_at),
            (
                _unmapped(family, raw[id_at + 4 : id_at + 20]),
                _unmapped(family, raw[id_at + 20 : id_at + 36]),
            ),
            struct.unpack_from("=I", raw, id_at + 36)[0],
            raw[id_at + 40 : id_at + 48],
        )


def _refusal(wanted: _Request, *, has_mptcp: bool) -> int:
    """The errno for a request that no socket could answer."""
    if wanted.family == 0:
        return errno.ENOENT
    if wanted.family not in (diag.AF_INET, diag.AF_INET6):
        return errno.EINVAL
    protocols = (diag.IPPROTO_TCP, diag.IPPROTO_MPTCP) if has_mptcp else (diag.IPPROTO_TCP,)
    return 0 if wanted.protocol in protocols else errno.ENOENT


def _exactly(wanted: _Request, entries: Iterable[_Entry]) -> bytes:
    """The socket with this key, as inet_diag_find_one_icsk(): ENOENT if there is none.

    The look-up comes first and the cookie after, so a connection that has gone leads to the
    listener of its port, and of several listeners of one port only the first is within reach.
    """
    found = None
    if wanted.protocol == diag.IPPROTO_TCP:  # MPTCP sockets are looked up by token instead
        here = [entry for entry in entries if entry.ifindex in (0, wanted.ifindex)]
        found = next((entry for entry in here if _is_connection(entry, wanted)), None)
        found = found or next((entry for entry in here if _is_listener(entry, wanted)), None)
    no_cookie = struct.pack("=Q", diag.NO_COOKIE)
    if found is None or wanted.cookie not in (no_cookie, found.cookie):
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    return found.raw


def _is_connection(entry: _Entry, wanted: _Request) -> bool:
    return (
        entry.state != LISTEN
        and (entry.local_port, entry.peer_port) == wanted.ports
        and (entry.local, entry.peer) == wanted.ends
    )


def _is_listener(entry: _Entry, wanted: _Request) -> bool:
    if entry.state != LISTEN or entry.local_port != wanted.ports[0]:
        return False
    if entry.local in (bytes(4), bytes(16)):  # the wildcard; :: also takes IPv4
        return len(entry.local) >= len(wanted.ends[0])
    return entry.local == wanted.ends[0]


def _entry(raw: bytes, protocol: int) -> _Entry:
    family = raw[_BODY]
    local_port, peer_port = struct.unpack_from("!HH", raw, _BODY + 4)
    return _Entry(
        raw + bytes(aligned(len(raw)) - len(raw)),
        protocol,
        family,
        raw[_BODY + 1],
        local_port,
        peer_port,
        _unmapped(family, raw[_BODY + 8 : _BODY + 24]),
        _unmapped(family, raw[_BODY + 24 : _BODY + 40]),
        struct.unpack_from("=I", raw, _BODY + 40)[0],
        raw[_BODY + 44 : _BODY + 52],
    )


def _unmapped(family: int, packed: bytes) -> bytes:
    """4 bytes for IPv4, on an IPv6 socket too, else 16: how the kernel's look-up sees it."""
    if family == diag.AF_INET:
        return packed[:4]
    return packed[12:] if packed.startswith(V4_MAPPED) else packed


def _attributes(raw: bytes) -> Iterator[tuple[int, bytes]]:
    end = HEADER.unpack_from(raw)[0]
    for kind, at, length in attribute_places(raw[:end], _BODY + diag.DIAG_MSG_BYTES):
        yield kind, raw[at : at + length]


def _trimmed(raw: bytes, extensions: int) -> bytes:
    """The same message with only the attributes that the request brings."""
    kept = raw[_BODY : _BODY + diag.DIAG_MSG_BYTES]
    for kind, value in _attributes(raw):
        bit = _BROUGHT_BY.get(kind, 0)
        if not bit or bit & extensions:
            kept += attribute(kind, value)
    return with_sequence(message(diag.SOCK_DIAG_BY_FAMILY, 0, 0, kept), 1)
