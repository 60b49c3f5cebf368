"""What `list` can show, sort and filter by: one entry per column.

A column says where its value comes from; the decoder compiles a projection from the columns
that were asked for, so nothing else is unpacked.  The fields of ``struct tcp_info`` become
columns by themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, NamedTuple

from tcptool.catalog import derived, diag
from tcptool.catalog.diag import PROTOCOLS
from tcptool.catalog.registry import members
from tcptool.catalog.states import FAMILIES, SHUTDOWNS, TCP_STATES, TIMERS, Meaning
from tcptool.catalog.tcp_info import TcpInfo
from tcptool.units import Unit

NUMBER: Final = "number"
ID: Final = "id"
"""A number that names something: shown as it is, never grouped or scaled."""
TEXT: Final = "text"
WORD: Final = "word"
ADDRESS: Final = "address"
COOKIE: Final = "cookie"
HOLDERS: Final = "holders"

# Tuples, not dataclasses: seven of those would cost 4 ms at every start.


class Header(NamedTuple):
    """A member of the fixed part of each reply (catalog.diag.DIAG_MSG)."""

    member: str


class Info(NamedTuple):
    """A field of ``struct tcp_info`` (catalog.tcp_info.TcpInfo)."""

    field: str


class Attribute(NamedTuple):
    """A number inside an attribute, or with format ``s`` its whole text."""

    number: int
    extension: int
    format: str
    offset: int = 0


class Derived(NamedTuple):
    """A function of other columns; ``inputs`` names them in the order of its parameters."""

    function: Callable[..., Any]
    inputs: tuple[str, ...]


class Endpoint(NamedTuple):
    """Address and port in one text: ``127.0.0.1:80``, ``[::1]:80``."""

    address: str
    port: str


class Holder(NamedTuple):
    """Something about the processes that hold the socket; looked up by its inode."""

    part: str


class Protocol:
    """TCP or MPTCP: known from the request that was answered."""


class Cgroup:
    """The path of the socket's control group; looked up by its id."""


Source = Header | Info | Attribute | Derived | Endpoint | Holder | Cgroup | Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column.  ``name`` ends in the unit and is the JSON key."""

    name: str
    source: Source
    doc: str
    title: str = ""
    unit: Unit = Unit.COUNT
    kind: str = NUMBER
    words: dict[int, Meaning] | None = None
    flags: dict[int, Meaning] | None = None
    aliases: tuple[str, ...] = ()
    width: int = 8


def _skmem(index: int, name: str, doc: str, unit: Unit = Unit.BYTES) -> Column:
    source = Attribute(diag.ATTR_SKMEMINFO, diag.EXT_SKMEMINFO, "I", 4 * index)
    return Column(name=name, source=source, doc=doc, unit=unit)


def _derived(
    function: Callable[..., Any], *inputs: str, unit: Unit = Unit.COUNT, **more: Any
) -> Column:
    doc = (function.__doc__ or "").partition("\n")[0]
    return Column(
        name=function.__name__, source=Derived(function, inputs), doc=doc, unit=unit, **more
    )


_IDENTITY: Final = (
    Column(
        name="state",
        source=Header("state"),
        doc="state of the connection",
        kind=WORD,
        words=TCP_STATES,
        width=11,
    ),
    Column(
        name="protocol",
        source=Protocol(),
        kind=WORD,
        words=PROTOCOLS,
        width=5,
        doc="tcp, or mptcp: a connection whose subflows are TCP sockets with the same inode",
    ),
    Column(
        name="family",
        source=Header("family"),
        kind=WORD,
        words=FAMILIES,
        width=4,
        doc="address family of the socket; an IPv6 socket may carry IPv4 (v4-mapped)",
    ),
    Column(
        name="local_address",
        source=Header("src"),
        doc="our address; v4-mapped shown as IPv4",
        kind=ADDRESS,
        width=15,
    ),
    Column(
        name="local_port",
        kind=ID,
        source=Header("sport"),
        doc="our port",
        width=5,
        aliases=("lport",),
    ),
    Column(
        name="peer_address", source=Header("dst"), doc="the peer's address", kind=ADDRESS, width=15
    ),
    Column(
        name="peer_port",
        kind=ID,
        source=Header("dport"),
        doc="the peer's port",
        width=5,
        aliases=("rport",),
    ),
    Column(
        name="local",
        source=Endpoint("local_address", "local_port"),
        kind=TEXT,
        width=21,
        doc="our address and port",
    ),
    Column(
        name="peer",
        source=Endpoint("peer_address", "peer_port"),
        kind=TEXT,
        width=21,
        doc="the peer's address and port",
    ),
    Column(
        name="process",
        source=Holder("process"),
        kind=TEXT,
        width=15,
        aliases=("comm",),
        doc="name of the process that holds the socket (the first, where several do)",
    ),
    Column(
        name="pid", kind=ID, source=Holder("pid"), doc="process id of the first holder", width=7
    ),
    Column(
        name="fd",
        kind=ID,
        source=Holder("fd"),
        doc="descriptor number in the first holder",
        width=4,
    ),
    Column(
        name="holders",
        source=Holder("holders"),
        kind=HOLDERS,
        width=16,
        doc="every pid:fd that holds the socket",
    ),
    Column(
        name="uid", kind=ID, source=Header("uid"), doc="user id of the socket's creator", width=5
    ),
    Column(
        name="inode",
        kind=ID,
        source=Header("inode"),
        width=8,
        doc="inode of the socket: 0 in an accept queue and when no process holds it",
    ),
    Column(
        name="cookie",
        source=Header("cookie"),
        doc="the kernel's id of this socket, never used twice",
        kind=COOKIE,
        width=10,
    ),
    Column(
        name="ifindex",
        kind=ID,
        source=Header("ifindex"),
        doc="interface that the socket is bound to, 0 for none",
        width=3,
        aliases=("dev",),
    ),
    Column(
        name="cgroup_id",
        kind=ID,
        source=Attribute(diag.ATTR_CGROUP_ID, 0, "Q"),
        doc="id of the control group",
        width=8,
    ),
    Column(name="cgroup", source=Cgroup(), doc="control group of the socket", kind=TEXT, width=24),
    Column(
        name="mark",
        kind=ID,
        source=Attribute(diag.ATTR_MARK, 0, "I"),
        aliases=("fwmark",),
        doc="SO_MARK; shown to CAP_NET_ADMIN only",
    ),
)

_QUEUES: Final = (
    _derived(
        derived.receive_queue_bytes,
        "state",
        "rqueue",
        unit=Unit.BYTES,
        title="recv-q",
        aliases=("recvq", "rqueue"),
    ),
    _derived(
        derived.send_queue_bytes,
        "state",
        "wqueue",
        unit=Unit.BYTES,
        title="send-q",
        aliases=("sendq", "wqueue"),
    ),
    _derived(derived.accept_queue, "state", "rqueue"),
    _derived(derived.backlog, "state", "wqueue"),
    Column(
        name="timer",
        source=Header("timer"),
        doc="timer that is running",
        kind=WORD,
        words=TIMERS,
        width=11,
    ),
    Column(
        name="timer_expires_ms",
        source=Header("expires"),
        unit=Unit.MILLISECONDS,
        doc="time until the timer fires",
    ),
    Column(
        name="timer_retransmits",
        source=Header("retrans"),
        doc="retransmissions or probes sent by the running timer",
    ),
    Column(
        name="shutdown",
        source=Attribute(diag.ATTR_SHUTDOWN, 0, "B"),
        kind=WORD,
        flags=SHUTDOWNS,
        doc="which directions were shut down",
        width=12,
    ),
)

_MEMORY: Final = (
    _skmem(0, "rmem_alloc_bytes", "memory held by received data, bookkeeping included"),
    _skmem(1, "rcvbuf_bytes", "SO_RCVBUF: limit of rmem_alloc"),
    _skmem(2, "wmem_alloc_bytes", "memory of data handed to the device and not yet freed"),
    _skmem(3, "sndbuf_bytes", "SO_SNDBUF: limit of wmem_queued"),
    _skmem(4, "fwd_alloc_bytes", "memory reserved for this socket and free for its next data"),
    _skmem(5, "wmem_queued_bytes", "memory held by the send queue, bookkeeping included"),
    _skmem(6, "optmem_bytes", "memory of options and control messages"),
    _skmem(7, "backlog_bytes", "segments waiting while a process holds the socket's lock"),
    _skmem(
        8,
        "drops",
        "segments dropped by this socket; on a listener, its own queue overflows",
        Unit.COUNT,
    ),
)

_CONGESTION: Final = (
    Column(
        name="congestion",
        source=Attribute(diag.ATTR_CONG, diag.EXT_CONG, "s"),
        kind=TEXT,
        doc="congestion control algorithm",
        aliases=("cong", "cc"),
        width=6,
    ),
    Column(
        name="tos", kind=ID, source=Attribute(diag.ATTR_TOS, diag.EXT_TOS, "B"), doc="IP_TOS byte"
    ),
    Column(
        name="tclass",
        kind=ID,
        source=Attribute(diag.ATTR_TCLASS, diag.EXT_TCLASS, "B"),
        doc="IPV6_TCLASS byte",
    ),
)

_DERIVED: Final = (
    _derived(
        derived.retrans_percent,
        "sent_bytes",
        "retrans_bytes",
        unit=Unit.PERCENT,
        title="retrans",
        aliases=("retrans",),
        width=15,
    ),
    _derived(
        derived.limited_by,
        "busy_time_us",
        "rwnd_limited_us",
        "sndbuf_limited_us",
        "delivery_rate_app_limited",
        title="limited by",
        kind=TEXT,
        width=11,
    ),
    _derived(derived.effective_rcv_wnd_bytes, "rcv_wnd_bytes", "rcv_wscale", unit=Unit.BYTES),
    _derived(derived.queueing_us, "rtt_us", "min_rtt_us", unit=Unit.MICROSECONDS),
)

_HIDDEN: Final = (
    Column(name="rqueue", source=Header("rqueue"), doc="idiag_rqueue as the kernel sends it"),
    Column(name="wqueue", source=Header("wqueue"), doc="idiag_wqueue as the kernel sends it"),
)
"""Inputs of derived columns, not offered themselves: their meaning changes with the state."""


def _info_columns() -> tuple[Column, ...]:
    return tuple(
        Column(
            name=name,
            source=Info(name),
            doc=about.doc,
            unit=about.unit,
            kind=WORD if about.words or about.flags else TEXT if about.hexadecimal else NUMBER,
            words=about.words,
            flags=about.flags,
            aliases=(about.name, about.name.removeprefix("tcpi_")),
        )
        for name, about in members(TcpInfo).items()
        if name != "state"
    )


COLUMNS: Final = {
    column.name: column
    for column in (*_IDENTITY, *_QUEUES, *_MEMORY, *_CONGESTION, *_DERIVED, *_info_columns())
}
"""Every column that can be asked for, in the order of `--columns all`."""

INPUTS: Final = COLUMNS | {column.name: column for column in _HIDDEN}
"""The columns and the hidden inputs of the derived ones."""

TEXT_COLUMNS: Final = (
    "state",
    "protocol",
    "receive_queue_bytes",
    "send_queue_bytes",
    "local",
    "peer",
    "process",
    "holders",
    "rtt_us",
    "retrans_percent",
    "snd_cwnd_packets",
    "limited_by",
)
"""What a person sees without `--columns`."""

JSON_COLUMNS: Final = (
    "state",
    "protocol",
    "family",
    "local_address",
    "local_port",
    "peer_address",
    "peer_port",
    "uid",
    "inode",
    "cookie",
    "receive_queue_bytes",
    "send_queue_bytes",
    "accept_queue",
    "backlog",
    "congestion",
    "rtt_us",
    "rttvar_us",
    "min_rtt_us",
    "snd_cwnd_packets",
    "snd_mss_bytes",
    "unacked_packets",
    "total_retrans_packets",
    "sent_bytes",
    "acked_bytes",
    "received_bytes",
    "delivery_rate_bytes_per_s",
    "holders",
)
"""What a script gets without `--columns`."""

OWNER_COLUMNS: Final = frozenset(
    name for name, column in COLUMNS.items() if isinstance(column.source, Holder)
)


@cache
def column_names() -> dict[str, str]:
    """Every accepted spelling of a column, mapped to its name.

    A column may be named in full, by its aliases (which win), or without its unit where
    that is unambiguous: ``rtt`` is ``rtt_us``.
    """
    spellings: dict[str, str] = {}
    for name, column in COLUMNS.items():
        if column.unit:
            spellings.setdefault(name.removesuffix("_" + column.unit), name)
    for name, column in COLUMNS.items():
        spellings.update(
            dict.fromkeys(column.aliases, name)
            if not isinstance(column.source, Info)
            else {alias: name for alias in column.aliases if alias not in spellings}
        )
    spellings.update({name: name for name in COLUMNS})
    return spellings


def title(column: Column) -> str:
    """The heading of a column whose values carry their own unit."""
    bare = column.name.removesuffix(f"_{column.unit}") if column.unit else column.name
    return column.title or bare.replace("_", " ")
