"""Random sock_diag messages, and what the slow path says about them column by column."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import strategies as st

from tcptool.analysis.readings import derive
from tcptool.catalog import diag
from tcptool.catalog.columns import COLUMNS, HOLDERS, TEXT, Column
from tcptool.catalog.diag import V4_MAPPED
from tcptool.catalog.registry import UNLIMITED, members
from tcptool.catalog.states import LISTEN, TCP_STATES
from tcptool.catalog.tcp_info import SIZE_BYTES, TcpInfo
from tcptool.decode.diag_request import pack_id
from tcptool.decode.inet_diag import decode_socket
from tcptool.decode.netlink import aligned, attribute, message, messages
from tcptool.decode.projection import Lookups
from tcptool.decode.structure import places
from tcptool.model.filter import Compare, Filter, States
from tcptool.model.owner import Holder, Process
from tcptool.model.sock import Socket
from tests.support.fake_kernel import tcp_info_bytes
from tests.unit.sansio.filters import PORT_COMPARISONS, hosts, trees

HOSTILE = [
    "'",
    '"',
    "{x}",
    "}{",
    "\\",
    "\n",
    "'); import os #",
    "%s",
    "\0",
    "\x1b[31m",
    "{",
    "é\u202e",
]
"""Names that would end a string, a format or a line if they were ever taken for source."""

PROCESS_NAMES = ["nginx", "unlimited", *HOSTILE]
INODES = range(1, 20)
LOOKUPS = Lookups(
    holders={
        inode: [
            Holder(Process(100 + i, PROCESS_NAMES[(inode + i) % len(PROCESS_NAMES)], 1, "S"), i)
            for i in range(inode % 3)
        ]
        for inode in INODES
    },
    cgroups={1: "/", 2: "/system.slice/nginx.service", 3: "/".join(["", *HOSTILE])},
)

U8 = st.integers(0, 0xFF)
U32 = st.sampled_from([0, 1, 5, 0x7FFF_FFFF, 0xFFFF_FFFF]) | st.integers(0, 0xFFFF_FFFF)
PORTS = st.sampled_from([0, 22, 80, 65535]) | st.integers(0, 65535)
IPV4 = st.sampled_from([bytes(4), b"\x7f\0\0\1", b"\x0a\1\2\3"]) | st.binary(min_size=4, max_size=4)
IPV6 = (
    st.sampled_from([bytes(16), bytes(15) + b"\1"])
    | st.binary(min_size=16, max_size=16)
    | IPV4.map(lambda packed: V4_MAPPED + packed)
)
LENGTHS = (104, 120, 136, 144, 160, 168, 192, 200, 224, 232, 240, 248, 280, 400)


@st.composite
def infos(draw: st.DrawFn, state: int) -> bytes:
    """A tcp_info of any length; its state agrees with the message's, as in the kernel."""
    fields: dict[str, int] = {}
    for name in draw(st.lists(st.sampled_from(list(members(TcpInfo))), max_size=8)):
        member, place = members(TcpInfo)[name], places(TcpInfo)[name]
        most = (1 << (place.bits or 8 * (place.end - place.offset))) - 1
        special = [value for value in (member.absent, member.unlimited) if value is not None]
        fields[name] = draw(st.sampled_from([0, 1, most, *special]) | st.integers(0, most))
    background = draw(st.sampled_from([bytes(SIZE_BYTES), b"\1" * SIZE_BYTES]))
    packed = bytearray(a or b for a, b in zip(tcp_info_bytes(**fields), background, strict=True))
    packed[0] = state
    length = draw(st.sampled_from(LENGTHS) | st.integers(0, 300))
    return bytes(packed).ljust(length, b"\xab")[:length]


def values_for(number: int, state: int) -> st.SearchStrategy[bytes]:
    """Values for one attribute, of the kernel's length and of others."""
    if number == diag.ATTR_INFO:
        return infos(state)
    if number == diag.ATTR_CONG:
        name = st.sampled_from([b"cubic\0", b"bbr\0", b"\xff\xfe\0", b"unlimited\0"])
        return name | st.sampled_from(HOSTILE).map(str.encode) | st.binary(max_size=16)
    if number == diag.ATTR_CGROUP_ID:
        return st.sampled_from([1, 2, 3, 4]).map(lambda n: struct.pack("=Q", n)) | st.binary(
            max_size=9
        )
    if number == diag.ATTR_SKMEMINFO:
        return st.binary(min_size=36, max_size=36) | st.binary(max_size=44)
    size = {diag.ATTR_MARK: 4, diag.ATTR_CLASS_ID: 4, diag.ATTR_SOCKOPT: 2}.get(number, 1)
    return st.binary(min_size=size, max_size=size) | st.binary(max_size=6)


_NAMED = {number for name, number in vars(diag).items() if name.startswith("ATTR_")}
ATTRIBUTES = [*sorted(_NAMED - {diag.ATTR_TYPE_MASK, diag.ATTR_ULP_INFO}), 30]


@dataclass(frozen=True)
class Shape:
    """What is the same in a run of messages: family, state and attributes."""

    family: int
    state: int
    attributes: tuple[tuple[int, bytes], ...]
    padded: bool


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    state = draw(st.sampled_from([1, 1, LISTEN, *TCP_STATES, 14]))
    numbers = draw(
        st.lists(st.sampled_from([diag.ATTR_INFO, diag.ATTR_CONG, *ATTRIBUTES]), max_size=7)
    )
    flags = st.sampled_from([0, 0, 0x8000])
    found = tuple((n | draw(flags), draw(values_for(n, state))) for n in numbers)
    return Shape(draw(st.sampled_from([2, 2, 10, 10, 99])), state, found, draw(st.booleans()))


@st.composite
def payloads_of(draw: st.DrawFn, shape: Shape, cookie: int) -> bytes:
    """One message of this shape, without its netlink header."""
    address = IPV4 if shape.family == diag.AF_INET else IPV6
    ends = [(draw(address), draw(PORTS)) for _ in range(2)]
    # Garbage behind an IPv4 address must not matter.
    ends = [(packed.ljust(16, draw(st.sampled_from([b"\0", b"x"]))), port) for packed, port in ends]
    timer, retrans = draw(st.integers(0, 6)), draw(U8)
    inode = draw(st.sampled_from([0, *INODES, 2**32 - 1]))
    head = struct.pack("=BBBB", shape.family, shape.state, timer, retrans)
    key = pack_id(ends[0], ends[1], ifindex=draw(st.integers(0, 3)), cookie=cookie)
    tail = struct.pack("=5I", draw(U32), draw(U32), draw(U32), draw(U32), inode)
    body = head + key + tail
    for number, value in shape.attributes:
        last, body = len(value), body + attribute(number, value)
        if not shape.padded and (number, value) is shape.attributes[-1]:
            body = body[: len(body) - (aligned(last) - last)]
    return body


@st.composite
def datagrams(draw: st.DrawFn) -> bytes:
    """Runs of messages of several shapes, mixed, as a dump sends them; cookies are unique or 0."""
    few = draw(st.lists(shapes(), min_size=1, max_size=3))
    order = draw(st.lists(st.sampled_from(few), min_size=1, max_size=6))
    raw = b""
    for i, shape in enumerate(order):
        cookie = draw(st.sampled_from([0, i + 1, (i + 1) << 32]))
        one = message(diag.SOCK_DIAG_BY_FAMILY, 0, 1, draw(payloads_of(shape, cookie)))
        raw = raw.ljust(aligned(len(raw)), b"\0") + one
    return raw if draw(st.booleans()) else raw.ljust(aligned(len(raw)), b"\0")


# -- the slow path -----------------------------------------------------------------------------


@dataclass(frozen=True)
class SlowRow:
    """A socket as a whole record, asked for its columns."""

    socket: Socket
    lookups: Lookups

    def value_of(self, column: str) -> object:
        """The value of a column as the records hold it, or an address as the kernel has it."""
        sock = self.socket
        if column in ("local_packed", "peer_packed"):
            at = 4 if column == "local_packed" else 20
            return sock.packed_id[at : at + (4 if sock.family == "ipv4" else 16)]
        direct: dict[str, Callable[[], object]] = {
            "local_address": lambda: sock.local.address,
            "local_port": lambda: sock.local.port,
            "peer_address": lambda: sock.peer.address,
            "peer_port": lambda: sock.peer.port,
            "local": lambda: str(sock.local),
            "peer": lambda: str(sock.peer),
            "congestion": lambda: sock.congestion and sock.congestion.name,
            "cgroup": lambda: self.lookups.cgroups.get(sock.cgroup_id or 0),
            "holders": lambda: tuple(map(str, self._holders())),
            "process": lambda: self._first(lambda holder: holder.process.name),
            "pid": lambda: self._first(lambda holder: holder.process.pid),
            "fd": lambda: self._first(lambda holder: holder.fd),
        }
        if column in direct:
            return direct[column]()
        for record in (sock, derive(sock.tcp_info), sock.memory, sock.tcp_info):
            if record is not None and column in {f.name for f in dataclasses.fields(record)}:
                return getattr(record, column)
        return None

    def _holders(self) -> tuple[Holder, ...]:
        return tuple(self.lookups.holders.get(self.socket.inode or 0, ()))

    def _first(self, part: Callable[[Holder], object]) -> object:
        return next(map(part, self._holders()), None)


def slow_rows(datagram: bytes, protocol: int) -> list[SlowRow]:
    """Every message of a datagram through the slow path."""
    return [
        SlowRow(decode_socket(found.payload, protocol), LOOKUPS) for found in messages(datagram)
    ]


# -- filters -----------------------------------------------------------------------------------


def comparisons_with(column: Column) -> st.SearchStrategy[Compare]:
    """Comparisons that the parser of filters makes for a column."""
    name = column.name
    if table := column.words or column.flags:
        words = [meaning.word for meaning in table.values()]
        return st.builds(
            Compare, st.just(name), st.sampled_from(["=", "!="]), st.sampled_from(words)
        )
    if column.kind in (TEXT, HOLDERS):
        texts = [
            "",
            "1",
            "unlimited",
            "cubic",
            "100:0",
            "100:0,101:1",
            "127",
            "network",
            "/",
            *HOSTILE,
        ]
        return st.builds(
            Compare, st.just(name), st.sampled_from(["=", "!=", "~"]), st.sampled_from(texts)
        )
    numbers = st.sampled_from([0, 1, 0.5, 5, 80, 100, 2**32 - 1, 2**64 - 1])
    ordered = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
    found = st.builds(Compare, st.just(name), ordered, numbers)
    if column.name in members(TcpInfo) and members(TcpInfo)[column.name].unlimited is not None:
        found |= st.builds(Compare, st.just(name), st.sampled_from(["=", "!="]), st.just(UNLIMITED))
    return found


COMPARED = [
    c for c in COLUMNS.values() if c.kind not in ("address", "cookie") and c.name != "state"
]
COMPARISONS = st.sampled_from(COMPARED).flatmap(comparisons_with)
STATES = st.sets(st.sampled_from(sorted(TCP_STATES)), min_size=1).map(
    lambda n: States(frozenset(n))
)
COOKIES = st.builds(
    Compare,
    st.just("cookie"),
    st.sampled_from(["=", "!="]),
    st.sampled_from(["1", "2", "100000000"]),
)
ADDRESS_TEXTS = st.builds(
    Compare,
    st.sampled_from(["local_address", "peer_address"]),
    st.just("~"),
    st.sampled_from(["1", ":", "127"]),
)
FILTERS: st.SearchStrategy[Filter] = trees(
    hosts() | PORT_COMPARISONS | COMPARISONS | STATES | COOKIES | ADDRESS_TEXTS
)
