"""Every socket option of a TCP socket: what it is for and what this kernel does with it.

One entry per option, and the only place that knows its numbers, its unit, what is stored
for a value that was asked for, when it takes effect, whether accept() passes it on and
what it can break.  Readable, read-only, dangerous and never-to-be-read options stand in
one table, because a tool that does not know an option cannot refuse it.

This module holds facts.  It must not read or set anything, and it must not import
``socket``: several numbers are absent there, and all of them are the kernel's to choose.
The numbers are those of asm-generic/socket.h (x86, arm, riscv, s390, powerpc from 5.1 on
for the newer ones); alpha, mips, parisc and sparc number SOL_SOCKET differently.

Sources: socket(7), tcp(7), ip(7), ipv6(7); include/uapi/asm-generic/socket.h,
include/uapi/linux/{tcp,in,in6}.h, net/core/sock.c, net/ipv4/tcp.c, net/ipv4/ip_sockglue.c,
net/ipv6/ipv6_sockglue.c, net/mptcp/sockopt.c.  Behaviour was measured on Linux 6.18.44
(HZ=250); ``since`` is for the manual only and is never compared with a running kernel.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from tcptool.catalog.states import FAMILIES, Meaning
from tcptool.units import Unit

SOL_SOCKET: Final = 1
IPPROTO_IP: Final = 0
IPPROTO_TCP: Final = 6
IPPROTO_IPV6: Final = 41

OptionValue: TypeAlias = (
    bool | int | str | tuple[str, ...] | Mapping[str, bool | int | str | tuple[str, ...]]
)
"""A value as tcptool shows it: what ``decode_option`` returns and ``default`` states."""


class Codec(enum.StrEnum):
    """How the kernel's bytes are read."""

    BOOLEAN = "boolean"
    INT = "int"
    """signed 32 bit; a number that ``words`` names is shown as its word"""
    UINT = "uint"
    """unsigned 32 bit; likewise"""
    UINT64 = "uint64"
    """unsigned 64 bit; likewise"""
    ID = "id"
    """unsigned 64 bit, shown in hexadecimal: above 2**53 a JSON number would lose digits"""
    ENUM = "enum"
    """32 bit, always shown as a word of ``words``"""
    FLAGS = "flags"
    """32 bit, shown as the words of the set bits"""
    STRING = "string"
    TOS = "tos"
    """the TOS or traffic-class byte: six bits DSCP, two bits ECN"""
    LINGER = "linger"
    """struct linger: two ints"""
    TIMEVAL = "timeval"
    """two 64-bit numbers: seconds and microseconds"""
    PORT_RANGE = "port-range"
    """lowest port in the low half, highest port in the high half of 32 bits"""
    MEMINFO = "meminfo"
    """nine 32-bit counters, include/uapi/linux/sock_diag.h"""
    TXTIME = "txtime"
    """struct sock_txtime: clock id and flags"""
    STRUCT = "struct"
    """anything else; never interpreted here"""


class Family(enum.StrEnum):
    """The packets an option works on.  IPv6 sockets carry IPv4 too (v4-mapped addresses)."""

    ANY = "any"
    IPV4 = "ipv4"
    IPV6 = "ipv6"


class When(enum.StrEnum):
    """When a new value takes effect on a socket that is already in use."""

    NOW = "now"
    NEXT_CALL = "next-call"
    AT_CLOSE = "at-close"
    LISTENER = "listener"
    BEFORE_CONNECT = "before-connect"
    BEFORE_BIND = "before-bind"
    ONE_SHOT = "one-shot"
    NO_EFFECT = "no-effect"
    KILLS = "kills"
    FIXED = "fixed"
    """it cannot be set"""


class ReadBack(enum.StrEnum):
    """What is read after a set that succeeded."""

    SAME = "same"
    DOUBLED = "doubled"
    CLAMPED = "clamped"
    ROUNDED = "rounded"
    MASKED = "masked"
    MOVING = "moving"
    """the kernel goes on changing it, or reports something related instead"""
    FADING = "fading"
    IGNORED = "ignored"
    """the set succeeds and changes nothing"""
    NOTHING = "nothing"
    """it cannot be set, or it cannot be read"""


class Risk(enum.StrEnum):
    """What setting it on a running connection of another program can do."""

    SAFE = "safe"
    WARN = "warn"
    """it can slow, stall or end the connection, or has no use there; named in a warning"""
    REFUSE = "refuse"
    """it breaks the connection, changes what the program reads, or cannot be undone"""


class Access(enum.StrEnum):
    """What the kernel offers; whether tcptool uses it is ``Reading``."""

    READ_WRITE = "read-write"
    READ_ONLY = "read-only"
    WRITE_ONLY = "write-only"


class Reading(enum.StrEnum):
    """Whether tcptool may ask for it.  Only READ may ever be read."""

    READ = "read"
    ELSEWHERE = "elsewhere"
    """harmless, but a better source exists; not read as an option"""
    DESTRUCTIVE = "destructive"
    """reading takes it away from the program, consumes data or installs a descriptor"""
    SECRET = "secret"
    """keys, or the numbers with which segments can be forged"""


class Mptcp(enum.StrEnum):
    """What a fresh MPTCP socket does when the option is set, or read if it is read-only.

    Where a set fails, so does mostly the read, with EOPNOTSUPP.
    """

    OK = "ok"
    MISSING = "missing"
    """setting fails with ENOPROTOOPT"""
    REFUSED = "refused"
    """setting fails with EOPNOTSUPP"""
    UNKNOWN = "unknown"
    """not measured"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class SocketOption:
    """One socket option.

    ``size`` is the number of bytes to offer getsockopt().  ``minimum`` and ``maximum`` are
    the range that setsockopt() accepts without an error, in ``unit``; ``range_text`` says
    in words what the two numbers cannot.  ``default`` is the decoded value of a fresh
    socket, or ``default_sysctl`` names the sysctl that it equals (``[1]``: the second
    number in it); neither means that it depends on the socket or the host.  ``inherited``:
    a connection accepted later starts with the listener's value.  ``tuned_by_kernel``: on a
    bound or connected socket it reads something else than on a fresh one though nobody has
    set it, so the difference says nothing about the owner.  ``also`` are numbers outside the
    range that are accepted all the same; ``limit_sysctl`` is the sysctl to which a larger value
    is cut without an error.  ``words`` names enumerated values, flag bits and sentinels.
    ``eq=False``: entries are compared by identity, there is one of each.
    """

    name: str
    level: int
    number: int
    codec: Codec
    doc: str
    source: str
    unit: Unit = Unit.COUNT
    size: int = 4
    family: Family = Family.ANY
    minimum: int | None = None
    maximum: int | None = None
    also: tuple[int, ...] = ()
    limit_sysctl: str = ""
    range_text: str = ""
    default: OptionValue | None = None
    default_sysctl: str = ""
    when: When = When.NOW
    when_text: str = ""
    reads_back: ReadBack = ReadBack.SAME
    inherited: bool = True
    privilege: str = ""
    risk: Risk = Risk.WARN
    access: Access = Access.READ_WRITE
    reading: Reading = Reading.READ
    since: str = ""
    pitfall: str = ""
    mptcp: Mptcp = Mptcp.UNKNOWN
    tuned_by_kernel: bool = False
    words: dict[int, Meaning] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Short, and cheap to define: a generated one would list 30 fields."""
        return f"<SocketOption {self.name}>"

    @property
    def readable(self) -> bool:
        """True if tcptool may ask the kernel for it."""
        return self.reading is Reading.READ and self.access is not Access.WRITE_ONLY

    @property
    def settable(self) -> bool:
        """True if the kernel offers setting it at all; ``risk`` says whether one should."""
        return self.access is not Access.READ_ONLY

    @property
    def key(self) -> str:
        """The name in records and JSON, ending in the unit: ``tcp_keepidle_s``."""
        lowered, suffix = self.name.lower(), self.unit.value
        return lowered if not suffix or lowered.endswith(f"_{suffix}") else f"{lowered}_{suffix}"


UNLIMITED: Final = Meaning("unlimited", "no limit is set")

BUFFER_LOCKS: Final = {
    1: Meaning("send", "SO_SNDBUF was set by hand: the send buffer is not tuned automatically"),
    2: Meaning("receive", "SO_RCVBUF was set by hand: the receive buffer is not tuned either"),
}
SOCKET_TYPES: Final = {
    1: Meaning("stream", "SOCK_STREAM: TCP, MPTCP, SCTP or a unix stream"),
    2: Meaning("datagram", "SOCK_DGRAM: UDP"),
    3: Meaning("raw", "SOCK_RAW"),
    5: Meaning("seqpacket", "SOCK_SEQPACKET"),
}
PROTOCOLS: Final = {
    6: Meaning("tcp", "IPPROTO_TCP"),
    17: Meaning("udp", "IPPROTO_UDP"),
    132: Meaning("sctp", "IPPROTO_SCTP"),
    262: Meaning("mptcp", "IPPROTO_MPTCP; an MPTCP socket, also after a fallback to TCP"),
}
MTU_DISCOVERY: Final = {
    0: Meaning("dont", "never set DF: routers may fragment"),
    1: Meaning("want", "discover the path MTU where the route allows it; the usual setting"),
    2: Meaning("do", "always set DF"),
    3: Meaning("probe", "set DF and ignore the path MTU that is known"),
    4: Meaning("interface", "use the interface's MTU, never DF, believe no ICMP message"),
    5: Meaning("omit", "like interface, but local fragmentation is allowed"),
}
SAVE_SYN_MODES: Final = {
    0: Meaning("off", "SYN headers are not kept"),
    1: Meaning("network", "the IP and TCP headers of each SYN are kept"),
    2: Meaning("link", "the link-layer, IP and TCP headers of each SYN are kept"),
}
TIMESTAMPING_FLAGS: Final = {
    1 << 0: Meaning("tx-hardware", "stamp sent packets in the card"),
    1 << 1: Meaning("tx-software", "stamp sent packets when they leave the kernel"),
    1 << 2: Meaning("rx-hardware", "stamp received packets in the card"),
    1 << 3: Meaning("rx-software", "stamp received packets when they enter the kernel"),
    1 << 4: Meaning("software", "report software stamps"),
    1 << 5: Meaning("sys-hardware", "ignored; kept for old programs"),
    1 << 6: Meaning("raw-hardware", "report hardware stamps"),
    1 << 7: Meaning("opt-id", "number the stamps; on TCP by byte"),
    1 << 8: Meaning("tx-sched", "stamp before the packet scheduler"),
    1 << 9: Meaning("tx-ack", "stamp when all data is acknowledged"),
    1 << 10: Meaning("opt-cmsg", "always add a control message"),
    1 << 11: Meaning("opt-tsonly", "return the stamp without the packet"),
    1 << 12: Meaning("opt-stats", "add TCP statistics to transmit stamps"),
    1 << 13: Meaning("opt-pktinfo", "add interface and length of received packets"),
    1 << 14: Meaning("opt-tx-swhw", "give both software and hardware stamps"),
    1 << 15: Meaning("bind-phc", "use the named hardware clock"),
    1 << 16: Meaning("opt-id-tcp", "number from the byte after the one now unacknowledged"),
    1 << 17: Meaning("opt-rx-filter", "report received stamps only where asked for here"),
    1 << 18: Meaning("tx-completion", "stamp when the card reports completion"),
}
TXTIME_FLAGS: Final = {
    1: Meaning("deadline-mode", "the time is a deadline, not the moment to send"),
    2: Meaning("report-errors", "packets dropped for their time are reported"),
}
CLOCKS: Final = {
    0: Meaning("realtime", "CLOCK_REALTIME"),
    1: Meaning("monotonic", "CLOCK_MONOTONIC"),
    11: Meaning("tai", "CLOCK_TAI"),
}
ADDRESS_PREFERENCES: Final = {
    0x0001: Meaning("temporary", "prefer temporary (privacy) source addresses"),
    0x0002: Meaning("public", "prefer public source addresses"),
    0x0004: Meaning("care-of", "prefer the care-of address (mobile IPv6)"),
    0x0008: Meaning("cga", "prefer cryptographically generated addresses"),
    0x0100: Meaning("temporary-or-public-default", "neither temporary nor public is preferred"),
    0x0400: Meaning("home", "prefer the home address (mobile IPv6)"),
    0x0800: Meaning("non-cga", "prefer addresses that are not cryptographically generated"),
}
DSCP: Final = {
    0: Meaning("cs0", "best effort, the default"),
    1: Meaning("le", "lower effort: background traffic (RFC 8622)"),
    8: Meaning("cs1", "class selector 1, formerly background traffic"),
    10: Meaning("af11", "high-throughput data, low drop precedence"),
    12: Meaning("af12", "high-throughput data, medium drop precedence"),
    14: Meaning("af13", "high-throughput data, high drop precedence"),
    16: Meaning("cs2", "operations and management"),
    18: Meaning("af21", "low-latency data, low drop precedence"),
    20: Meaning("af22", "low-latency data, medium drop precedence"),
    22: Meaning("af23", "low-latency data, high drop precedence"),
    24: Meaning("cs3", "broadcast video"),
    26: Meaning("af31", "multimedia streaming, low drop precedence"),
    28: Meaning("af32", "multimedia streaming, medium drop precedence"),
    30: Meaning("af33", "multimedia streaming, high drop precedence"),
    32: Meaning("cs4", "real-time interactive"),
    34: Meaning("af41", "multimedia conferencing, low drop precedence"),
    36: Meaning("af42", "multimedia conferencing, medium drop precedence"),
    38: Meaning("af43", "multimedia conferencing, high drop precedence"),
    40: Meaning("cs5", "signalling"),
    44: Meaning("voice-admit", "admitted voice (RFC 5865)"),
    46: Meaning("ef", "expedited forwarding: voice"),
    48: Meaning("cs6", "network control"),
    56: Meaning("cs7", "reserved for network control"),
}
"""RFC 4594, RFC 5865, RFC 8622.  A TOS byte is the DSCP times four plus two ECN bits."""


OPTIONS: Final[tuple[SocketOption, ...]] = (
    # ------------------------------------------------------------------ SOL_SOCKET
    SocketOption(
        name="SO_DEBUG",
        level=SOL_SOCKET,
        number=1,
        codec=Codec.BOOLEAN,
        default=False,
        when=When.NO_EFFECT,
        privilege="CAP_NET_ADMIN in the initial user namespace",
        mptcp=Mptcp.OK,
        doc="Marks the socket for kernel debugging, which TCP no longer has.",
        pitfall="Without the capability the error is EACCES, not EPERM.",
        source="socket(7)",
    ),
    SocketOption(
        name="SO_REUSEADDR",
        level=SOL_SOCKET,
        number=2,
        codec=Codec.BOOLEAN,
        default=False,
        when=When.BEFORE_BIND,
        mptcp=Mptcp.OK,
        doc="Lets bind() take a port on which old connections still wait in TIME_WAIT; "
        "every restarting server needs it.",
        pitfall="Set after bind() it is accepted and changes nothing for this socket. "
        "The kernel's number is 2, shown as true, while TCP_REPAIR is on.",
        source="socket(7)",
    ),
    SocketOption(
        name="SO_TYPE",
        level=SOL_SOCKET,
        number=3,
        codec=Codec.ENUM,
        words=SOCKET_TYPES,
        access=Access.READ_ONLY,
        when=When.FIXED,
        reads_back=ReadBack.NOTHING,
        mptcp=Mptcp.OK,
        doc="The type the socket was made with; a TCP socket is a stream. "
        "With SO_DOMAIN and SO_PROTOCOL it identifies a borrowed descriptor.",
        source="socket(7)",
    ),
    SocketOption(
        name="SO_ERROR",
        level=SOL_SOCKET,
        number=4,
        codec=Codec.INT,
        access=Access.READ_ONLY,
        reading=Reading.DESTRUCTIVE,
        when=When.FIXED,
        reads_back=ReadBack.NOTHING,
        inherited=False,
        risk=Risk.REFUSE,
        doc="The pending error of the socket, such as ECONNRESET.",
        pitfall="Reading clears it: the program that owns the socket then never learns of it.",
        source="socket(7)",
    ),
    SocketOption(
        name="SO_DONTROUTE",
        level=SOL_SOCKET,
        number=5,
        codec=Codec.BOOLEAN,
        default=False,
        risk=Risk.REFUSE,
        mptcp=Mptcp.OK,
        doc="Sends only to hosts on a directly connected network, without gateways.",
        pitfall="It drops the cached route at once: a connection through a gateway stalls.",
        source="socket(7)",
    ),
    SocketOption(
        name="SO_BROADCAST",
        level=SOL_SOCKET,
        number=6,
        codec=Codec.BOOLEAN,
        default=False,
        when=When.NO_EFFECT,
        mptcp=Mptcp.OK,
        doc="Allows datagrams to broadcast addresses.",
        pitfall="TCP has no broadcast: accepted, stored and never used.",
        source="socket(7)",
    ),
    SocketOption(
        name="SO_SNDBUF",
        level=SOL_SOCKET,
        number=7,
        codec=Codec.INT,
        unit=Unit.BYTES,
        limit_sysctl="net.core.wmem_max",
        range_text="any number; limited to net.core.wmem_max, then doubled, at least 4608; "
        "a negative number means the maximum",
        default_sysctl="net.ipv4.tcp_wmem[1]",
        reads_back=ReadBack.DOUBLED,
        risk=Risk.SAFE,
        mptcp=Mptcp.OK,
        doc="Size of the send buffer: how much may be unsent or unacknowledged before "
        "send() waits. Writers that wait are woken by a larger value.",
        pitfall="The kernel doubles the value to pay for its bookkeeping: 64K reads 128K. "
        "A value above net.core.wmem_max is cut to it first, without an error. Setting it turns "
        "automatic tuning off (SO_BUF_LOCK), and a tuned buffer is usually the better one. "
        "It grows by itself once connected.",
        source="socket(7)",
    ),
    SocketOption(
        name="SO_RCVBUF",
        level=SOL_SOCKET,
        number=8,
        codec=Codec.INT,
        unit=Unit.BYTES,
        limit_sysctl="net.core.rmem_max",
        range_text="any number; limited to net.core.rmem_max, then doubled, at least 2304; "
        "a negative number means the maximum",
        default_sysctl="net.ipv4.tcp_rmem[1]",
        reads_back=ReadBack.DOUBLED,
        risk=Risk.WARN,
        mptcp=Mptcp.OK,
        doc="Size of the receive buffer, from which the advertised window follows.",
        pitfall="The kernel doubles the value, and cuts it to net.core.rmem_max first. Setting it "
        "turns automatic tuning off (SO_BUF_LOCK). Raising it on a live socket does nothing "
        "alone if it had been set before the handshake: raise TCP_WINDOW_CLAMP too, up to 65535 "
        "shifted by the window scale of the SYN. Lowering it drops queued segments.",
        source="socket(7)",
    ),
    SocketOption(
        name="SO_KEEPALIVE",
        level=SOL_SOCKET,
        number=9,
        codec=Codec.BOOLEAN,
        default=False,
        risk=Risk.WARN,
        mptcp=Mptcp.OK,
        doc="Probes an idle connection, so that a peer that vanished is noticed.",
        pitfall="It arms the timer now; with short TCP_KEEP* values a connection whose peer is "
        "unreachable for a moment ends. It does not run while data is unacknowledged: then "
        "TCP_USER_TIMEOUT counts.",
        source="socket(7)",
    ),
    SocketOption(
        name="SO_OOBINLINE",
        level=SOL_SOCKET,
        number=10,
        codec=Codec.BOOLEAN,
        default=False,
        risk=Risk.REFUSE,
        mptcp=Mptcp.REFUSED,
        doc="Puts urgent data into the normal stream.",
        pitfall="It changes which bytes the program reads.",
        source="socket(7)",
    ),
    SocketOption(
        name="SO_NO_CHECK",
        level=SOL_SOCKET,
        number=11,
        codec=Codec.BOOLEAN,
        default=False,
        when=When.NO_EFFECT,
        mptcp=Mptcp.OK,
        doc="Sends UDP datagrams without a checksum.",
        pitfall="TCP always has its checksum: accepted, stored and never used.",
        source="net/core/sock.c",
    ),
    SocketOption(
        name="SO_PRIORITY",
        level=SOL_SOCKET,
        number=12,
        codec=Codec.INT,
        range_text="0 to 6; any other number with the capability",
        default=0,
        inherited=False,
        privilege="CAP_NET_ADMIN or CAP_NET_RAW in the socket's network namespace, "
        "for values outside 0 to 6",
        risk=Risk.SAFE,
        mptcp=Mptcp.OK,
        doc="Priority of the socket's packets: the packet scheduler's class.",
        pitfall="Setting IP_TOS overwrites it: set the priority afterwards. An accepted "
        "connection starts at 0 whatever the listener has.",
        source="socket(7)",
    ),
    SocketOption(
        name="SO_LINGER",
        level=SOL_SOCKET,
        number=13,
        codec=Codec.LINGER,
        size=8,
        range_text="enabled: any non-zero number reads 1; seconds are taken only when enabled",
        default={"enabled": False, "seconds": 0},
        when=When.AT_CLOSE,
        reads_back=ReadBack.MOVING,
        risk=Risk.WARN,
        mptcp=Mptcp.OK,
        doc="What the last close() does with unsent data: with a time, wait so long; with a "
        "time of 0, throw it away and reset the connection.",
        pitfall="Enabled with 0 seconds, the owner's close() sends RST and the peer loses what it "
        "had not read. The last close may be ours. Disabled, the seconds stay what they were; "
        "negative seconds overflow and mean for ever.",
        source="socket(7)",
    ),
    SocketOption(
        name="SO_BSDCOMPAT",
        level=SOL_SOCKET,
        number=14,
        codec=Codec.BOOLEAN,
        default=False,
        when=When.NO_EFFECT,
        reads_back=ReadBack.IGNORED,
        mptcp=Mptcp.OK,
        doc="A compatibility switch of Linux 2.2.",
        pitfall="Accepted, and always reads 0.",
        source="net/core/sock.c",
    ),
    SocketOption(
        name="SO_REUSEPORT",
        level=SOL_SOCKET,
        number=15,
        codec=Codec.BOOLEAN,
        default=False,
        when=When.BEFORE_BIND,
        mptcp=Mptcp.OK,
        since="3.9",
        doc="Lets several listeners share one port; the kernel spreads connections over them.",
        pitfall="It must be set on all of them before bind(): set later on a bound listener, a "
        "second bind() still fails with EADDRINUSE.",
        source="socket(7)",
    ),
    SocketOption(
        name="SO_RCVLOWAT",
        level=SOL_SOCKET,
        number=18,
        codec=Codec.INT,
        unit=Unit.BYTES,
        limit_sysctl="net.ipv4.tcp_rmem[2]",
        range_text="0 is stored as 1; at most half of net.ipv4.tcp_rmem[2], or half of a "
        "receive buffer that is locked; negative means that maximum",
        default=1,
        reads_back=ReadBack.CLAMPED,
        risk=Risk.REFUSE,
        mptcp=Mptcp.OK,
        doc="How many bytes must be there before a reader is woken.",
        pitfall="A large value also enlarges the receive buffer and the window clamp, and setting "
        "1 again does not shrink them. Readers can stall for ever.",
        source="socket(7)",
    ),
    SocketOption(
        name="SO_SNDLOWAT",
        level=SOL_SOCKET,
        number=19,
        codec=Codec.INT,
        unit=Unit.BYTES,
        default=1,
        access=Access.READ_ONLY,
        when=When.FIXED,
        reads_back=ReadBack.NOTHING,
        mptcp=Mptcp.OK,
        doc="Always 1 on Linux; TCP_NOTSENT_LOWAT is the working relative.",
        source="socket(7)",
    ),
    SocketOption(
        name="SO_RCVTIMEO",
        level=SOL_SOCKET,
        number=20,
        codec=Codec.TIMEVAL,
        unit=Unit.MICROSECONDS,
        size=16,
        words={0: UNLIMITED},
        minimum=0,
        range_text="the microseconds part must be below 1000000",
        default="unlimited",
        when=When.NEXT_CALL,
        when_text="a thread that already waits goes on waiting",
        reads_back=ReadBack.ROUNDED,
        risk=Risk.REFUSE,
        mptcp=Mptcp.OK,
        doc="How long a blocking receive may wait before it gives up with EAGAIN.",
        pitfall="Rounded up to the kernel's tick (1 µs becomes 4 ms at 250 Hz). Negative seconds "
        "mean no waiting at all, yet read (0, 0) like unlimited. Programs that do not "
        "expect EAGAIN take it for an error.",
        source="socket(7)",
    ),
    SocketOption(
        name="SO_SNDTIMEO",
        level=SOL_SOCKET,
        number=21,
        codec=Codec.TIMEVAL,
        unit=Unit.MICROSECONDS,
        size=16,
        words={0: UNLIMITED},
        minimum=0,
        range_text="the microseconds part must be below 1000000",
        default="unlimited",
        when=When.NEXT_CALL,
        when_text="a thread that already waits goes on waiting",
        reads_back=ReadBack.ROUNDED,
        risk=Risk.REFUSE,
        mptcp=Mptcp.OK,
        doc="How long a blocking send or connect may wait before it gives up.",
        pitfall="Rounded up to the kernel's tick (1 µs becomes 4 ms at 250 Hz). Negative seconds "
        "mean no waiting at all, yet read (0, 0) like unlimited.",
        source="socket(7)",
    ),
    SocketOption(
        name="SO_BINDTODEVICE",
        level=SOL_SOCKET,
        number=25,
        codec=Codec.STRING,
        size=16,
        range_text="an interface name of at most 15 bytes; ENODEV if there is none",
        default="",
        when=When.KILLS,
        when_text="before connect it chooses the interface",
        privilege="CAP_NET_RAW in the socket's network namespace, to change or clear it",
        risk=Risk.REFUSE,
        mptcp=Mptcp.OK,
        doc="Ties the socket to one network interface.",
        pitfall="On a live connection it is fatal: the next segment finds no socket and the "
        "connection is reset.",
        source="socket(7)",
    ),
    SocketOption(
        name="SO_ATTACH_FILTER",
        level=SOL_SOCKET,
        number=26,
        codec=Codec.STRUCT,
        size=0,
        reading=Reading.ELSEWHERE,
        reads_back=ReadBack.NOTHING,
        inherited=True,
        risk=Risk.REFUSE,
        mptcp=Mptcp.REFUSED,
        since="2.2",
        doc="Attaches a classic BPF program that drops received segments.",
        pitfall="Reading it (as SO_GET_FILTER) counts in instructions, not in bytes. A wrong "
        "filter stalls the connection.",
        source="socket(7)",
    ),
    SocketOption(
        name="SO_DETACH_FILTER",
        level=SOL_SOCKET,
        number=27,
        codec=Codec.STRUCT,
        size=0,
        access=Access.WRITE_ONLY,
        reads_back=ReadBack.NOTHING,
        risk=Risk.REFUSE,
        mptcp=Mptcp.REFUSED,
        since="2.2",
        doc="Removes the attached BPF program, classic or extended.",
        pitfall="The program's owner may rely on it for its safety; it cannot be read, "
        "so it cannot be put back.",
        source="socket(7)",
    ),
    SocketOption(
        name="SO_PEERNAME",
        level=SOL_SOCKET,
        number=28,
        codec=Codec.STRUCT,
        size=28,
        access=Access.READ_ONLY,
        reading=Reading.ELSEWHERE,
        when=When.FIXED,
        reads_back=ReadBack.NOTHING,
        inherited=False,
        doc="The peer's address, which sock_diag and getpeername() give as well.",
        pitfall="ENOTCONN unless connected; EINVAL if more bytes are offered than the address has.",
        source="net/core/sock.c",
    ),
    SocketOption(
        name="SO_TIMESTAMP",
        level=SOL_SOCKET,
        number=29,
        codec=Codec.BOOLEAN,
        default=False,
        risk=Risk.REFUSE,
        mptcp=Mptcp.OK,
        doc="Adds the time of arrival, in microseconds, to every recvmsg().",
        pitfall="It adds control messages: the program sees data it did not ask for.",
        source="socket(7)",
    ),
    SocketOption(
        name="SO_ACCEPTCONN",
        level=SOL_SOCKET,
        number=30,
        codec=Codec.BOOLEAN,
        default=False,
        access=Access.READ_ONLY,
        when=When.FIXED,
        reads_back=ReadBack.NOTHING,
        inherited=False,
        mptcp=Mptcp.OK,
        doc="True if the socket listens.",
        source="socket(7)",
    ),
    SocketOption(
        name="SO_SNDBUFFORCE",
        level=SOL_SOCKET,
        number=32,
        codec=Codec.INT,
        unit=Unit.BYTES,
        range_text="any number, doubled; 2147483647 is stored as 2147483646; "
        "negative means the minimum of 4608",
        access=Access.WRITE_ONLY,
        reads_back=ReadBack.NOTHING,
        privilege="CAP_NET_ADMIN in the initial user namespace",
        risk=Risk.WARN,
        mptcp=Mptcp.OK,
        since="2.6.14",
        doc="SO_SNDBUF without the limit of net.core.wmem_max.",
        pitfall="Read SO_SNDBUF to see what was stored: double. On many sockets it can use up "
        "net.ipv4.tcp_mem, and then every connection of the host suffers.",
        source="socket(7)",
    ),
    SocketOption(
        name="SO_RCVBUFFORCE",
        level=SOL_SOCKET,
        number=33,
        codec=Codec.INT,
        unit=Unit.BYTES,
        range_text="any number, doubled; 2147483647 is stored as 2147483646; "
        "negative means the minimum of 2304",
        access=Access.WRITE_ONLY,
        reads_back=ReadBack.NOTHING,
        privilege="CAP_NET_ADMIN in the initial user namespace",
        risk=Risk.WARN,
        mptcp=Mptcp.OK,
        since="2.6.14",
        doc="SO_RCVBUF without the limit of net.core.rmem_max.",
        pitfall="Read SO_RCVBUF to see what was stored: double. On many sockets it can use up "
        "net.ipv4.tcp_mem, and then every connection of the host suffers.",
        source="socket(7)",
    ),
    SocketOption(
        name="SO_TIMESTAMPNS",
        level=SOL_SOCKET,
        number=35,
        codec=Codec.BOOLEAN,
        default=False,
        risk=Risk.REFUSE,
        mptcp=Mptcp.OK,
        since="2.6.22",
        doc="Adds the time of arrival, in nanoseconds, to every recvmsg().",
        pitfall="It adds control messages: the program sees data it did not ask for.",
        source="socket(7)",
    ),
    SocketOption(
        name="SO_MARK",
        level=SOL_SOCKET,
        number=36,
        codec=Codec.UINT,
        default=0,
        privilege="CAP_NET_ADMIN or CAP_NET_RAW in the socket's network namespace",
        risk=Risk.REFUSE,
        mptcp=Mptcp.OK,
        since="2.6.25",
        doc="A number on every packet, for policy routing and netfilter.",
        pitfall="It can send the connection down another route or into a firewall rule.",
        source="socket(7)",
    ),
    SocketOption(
        name="SO_TIMESTAMPING",
        level=SOL_SOCKET,
        number=37,
        codec=Codec.FLAGS,
        words=TIMESTAMPING_FLAGS,
        default=(),
        risk=Risk.REFUSE,
        mptcp=Mptcp.OK,
        since="2.6.30",
        doc="Asks for time stamps of sent and received packets.",
        pitfall="It adds control messages and fills the error queue of the program.",
        source="Documentation/networking/timestamping.rst",
    ),
    SocketOption(
        name="SO_PROTOCOL",
        level=SOL_SOCKET,
        number=38,
        codec=Codec.ENUM,
        words=PROTOCOLS,
        access=Access.READ_ONLY,
        when=When.FIXED,
        reads_back=ReadBack.NOTHING,
        mptcp=Mptcp.OK,
        since="2.6.32",
        doc="The protocol the socket was made with: tcp or mptcp.",
        pitfall="An MPTCP socket that fell back to TCP still reads mptcp; see TCP_IS_MPTCP.",
        source="socket(7)",
    ),
    SocketOption(
        name="SO_DOMAIN",
        level=SOL_SOCKET,
        number=39,
        codec=Codec.ENUM,
        words=FAMILIES,
        access=Access.READ_ONLY,
        when=When.FIXED,
        reads_back=ReadBack.NOTHING,
        mptcp=Mptcp.OK,
        since="2.6.32",
        doc="The address family the socket was made with.",
        pitfall="An IPv6 socket may carry an IPv4 connection (a v4-mapped address).",
        source="socket(7)",
    ),
    SocketOption(
        name="SO_PEEK_OFF",
        level=SOL_SOCKET,
        number=42,
        codec=Codec.INT,
        words={-1: Meaning("off", "MSG_PEEK always starts at the first byte")},
        default="off",
        risk=Risk.REFUSE,
        mptcp=Mptcp.REFUSED,
        since="3.4",
        doc="Where the next receive with MSG_PEEK starts.",
        pitfall="It changes what the program's own MSG_PEEK returns, and moves with each peek.",
        source="socket(7)",
    ),
    SocketOption(
        name="SO_LOCK_FILTER",
        level=SOL_SOCKET,
        number=44,
        codec=Codec.BOOLEAN,
        default=False,
        risk=Risk.REFUSE,
        mptcp=Mptcp.REFUSED,
        since="3.9",
        doc="Forbids changing the attached BPF program from now on.",
        pitfall="It cannot be undone: clearing it fails with EPERM.",
        source="socket(7)",
    ),
    SocketOption(
        name="SO_BUSY_POLL",
        level=SOL_SOCKET,
        number=46,
        codec=Codec.INT,
        unit=Unit.MICROSECONDS,
        minimum=0,
        default_sysctl="net.core.busy_read",
        privilege="CAP_NET_ADMIN to raise it, on older kernels; not on 6.18",
        risk=Risk.WARN,
        mptcp=Mptcp.OK,
        since="3.11",
        doc="How long a reader polls the network card before it sleeps: less latency for "
        "a busy processor.",
        pitfall="It burns processor time, and does nothing where the driver has no busy polling.",
        source="socket(7)",
    ),
    SocketOption(
        name="SO_MAX_PACING_RATE",
        level=SOL_SOCKET,
        number=47,
        codec=Codec.UINT64,
        unit=Unit.BYTES_PER_SECOND,
        size=8,
        words={(1 << 64) - 1: UNLIMITED},
        range_text="any number of bytes per second; all ones: unlimited",
        default="unlimited",
        when_text="a lower rate at once, a higher one at the next update",
        risk=Risk.WARN,
        mptcp=Mptcp.REFUSED,
        since="3.13",
        doc="Upper limit of the sending rate; the kernel spaces the packets evenly.",
        pitfall="0 means not paced, not stopped. With 4 bytes instead of 8 the limit ends at "
        "4.3 GB/s. It works without the fq packet scheduler.",
        source="socket(7)",
    ),
    SocketOption(
        name="SO_INCOMING_CPU",
        level=SOL_SOCKET,
        number=49,
        codec=Codec.INT,
        words={-1: Meaning("none", "no packet has arrived and no processor was chosen")},
        default="none",
        when=When.LISTENER,
        reads_back=ReadBack.MOVING,
        inherited=False,
        risk=Risk.WARN,
        mptcp=Mptcp.OK,
        since="3.19",
        tuned_by_kernel=True,
        doc="The processor that handled the last received packet; set on listeners that share a "
        "port, it picks the listener by processor.",
        pitfall="A connection reads where the last packet was handled, not what was set. Numbers "
        "of processors that do not exist are accepted.",
        source="socket(7)",
    ),
    SocketOption(
        name="SO_ATTACH_BPF",
        level=SOL_SOCKET,
        number=50,
        codec=Codec.INT,
        access=Access.WRITE_ONLY,
        reads_back=ReadBack.NOTHING,
        risk=Risk.REFUSE,
        mptcp=Mptcp.REFUSED,
        since="3.19",
        doc="Attaches an extended BPF program that drops received segments.",
        pitfall="A wrong program stalls the connection.",
        source="socket(7)",
    ),
    SocketOption(
        name="SO_ATTACH_REUSEPORT_CBPF",
        level=SOL_SOCKET,
        number=51,
        codec=Codec.STRUCT,
        size=0,
        access=Access.WRITE_ONLY,
        when=When.LISTENER,
        reads_back=ReadBack.NOTHING,
        risk=Risk.REFUSE,
        mptcp=Mptcp.REFUSED,
        since="4.5",
        doc="A classic BPF program that picks the listener of a shared port.",
        pitfall="It redirects the new connections of every listener in the group.",
        source="socket(7)",
    ),
    SocketOption(
        name="SO_ATTACH_REUSEPORT_EBPF",
        level=SOL_SOCKET,
        number=52,
        codec=Codec.INT,
        access=Access.WRITE_ONLY,
        when=When.LISTENER,
        reads_back=ReadBack.NOTHING,
        risk=Risk.REFUSE,
        mptcp=Mptcp.REFUSED,
        since="4.5",
        doc="An extended BPF program that picks the listener of a shared port.",
        pitfall="It redirects the new connections of every listener in the group.",
        source="socket(7)",
    ),
    SocketOption(
        name="SO_CNX_ADVICE",
        level=SOL_SOCKET,
        number=53,
        codec=Codec.INT,
        range_text="1; any other number is accepted and ignored",
        access=Access.WRITE_ONLY,
        when=When.ONE_SHOT,
        reads_back=ReadBack.NOTHING,
        inherited=False,
        risk=Risk.REFUSE,
        mptcp=Mptcp.REFUSED,
        since="4.6",
        doc="Tells the kernel that the connection does badly: it looks for another route.",
        pitfall="The connection may move to another path; there is no way back.",
        source="net/core/sock.c",
    ),
    SocketOption(
        name="SO_MEMINFO",
        level=SOL_SOCKET,
        number=55,
        codec=Codec.MEMINFO,
        size=36,
        access=Access.READ_ONLY,
        when=When.FIXED,
        reads_back=ReadBack.NOTHING,
        inherited=False,
        mptcp=Mptcp.OK,
        since="4.12",
        doc="The memory of the socket: what is queued, the limits, and how many segments were "
        "dropped for lack of room. Cheap, and needs no privilege.",
        pitfall="Sizes are memory, not payload: a byte on the wire costs about two.",
        source="include/uapi/linux/sock_diag.h",
        reading=Reading.ELSEWHERE,
    ),
    SocketOption(
        name="SO_INCOMING_NAPI_ID",
        level=SOL_SOCKET,
        number=56,
        codec=Codec.UINT,
        default=0,
        access=Access.READ_ONLY,
        when=When.FIXED,
        reads_back=ReadBack.NOTHING,
        inherited=False,
        mptcp=Mptcp.OK,
        since="4.12",
        doc="The receive queue of the network card that the last packet came from; "
        "0 where there is none, as on loopback.",
        source="socket(7)",
    ),
    SocketOption(
        name="SO_COOKIE",
        level=SOL_SOCKET,
        number=57,
        codec=Codec.ID,
        size=8,
        access=Access.READ_ONLY,
        when=When.FIXED,
        reads_back=ReadBack.NOTHING,
        inherited=False,
        mptcp=Mptcp.OK,
        since="4.12",
        doc="A number that no other socket gets until the next boot: the safe name of a "
        "socket, the same in sock_diag and in trace events.",
        pitfall="Given out at the first question, in batches per processor: it does not grow "
        "with time.",
        source="net/core/sock_diag.c",
    ),
    SocketOption(
        name="SO_ZEROCOPY",
        level=SOL_SOCKET,
        number=60,
        codec=Codec.BOOLEAN,
        minimum=0,
        maximum=1,
        default=False,
        risk=Risk.REFUSE,
        mptcp=Mptcp.REFUSED,
        since="4.14",
        doc="Allows MSG_ZEROCOPY: the kernel sends from the program's own pages.",
        pitfall="Only a program that reads completions from the error queue can use it. "
        "Loopback copies nevertheless.",
        source="Documentation/networking/msg_zerocopy.rst",
    ),
    SocketOption(
        name="SO_TXTIME",
        level=SOL_SOCKET,
        number=61,
        codec=Codec.TXTIME,
        size=8,
        default={"clock": "realtime", "flags": ()},
        privilege="CAP_NET_ADMIN in the socket's network namespace for any clock but monotonic",
        risk=Risk.REFUSE,
        mptcp=Mptcp.REFUSED,
        since="4.19",
        doc="Lets the program say when each packet is to be sent.",
        pitfall="It cannot be cleared. Never set, it reads as the clock realtime without flags.",
        source="net/core/sock.c",
    ),
    SocketOption(
        name="SO_BINDTOIFINDEX",
        level=SOL_SOCKET,
        number=62,
        codec=Codec.INT,
        minimum=0,
        default=0,
        when=When.KILLS,
        when_text="before connect it chooses the interface",
        privilege="CAP_NET_RAW in the socket's network namespace, to change or clear it",
        risk=Risk.REFUSE,
        mptcp=Mptcp.OK,
        since="5.1",
        doc="Ties the socket to one network interface, by number.",
        pitfall="On a live connection it is fatal. Nobody checks that the interface exists.",
        source="net/core/sock.c",
    ),
    SocketOption(
        name="SO_RCVTIMEO_NEW",
        level=SOL_SOCKET,
        number=66,
        codec=Codec.TIMEVAL,
        unit=Unit.MICROSECONDS,
        size=16,
        words={0: UNLIMITED},
        minimum=0,
        range_text="the microseconds part must be below 1000000",
        default="unlimited",
        when=When.NEXT_CALL,
        when_text="a thread that already waits goes on waiting",
        reads_back=ReadBack.ROUNDED,
        risk=Risk.REFUSE,
        mptcp=Mptcp.OK,
        since="5.1",
        doc="SO_RCVTIMEO with 64-bit seconds on every architecture.",
        pitfall="The same value as SO_RCVTIMEO, rounded up to the kernel's tick.",
        source="include/uapi/asm-generic/socket.h",
    ),
    SocketOption(
        name="SO_SNDTIMEO_NEW",
        level=SOL_SOCKET,
        number=67,
        codec=Codec.TIMEVAL,
        unit=Unit.MICROSECONDS,
        size=16,
        words={0: UNLIMITED},
        minimum=0,
        range_text="the microseconds part must be below 1000000",
        default="unlimited",
        when=When.NEXT_CALL,
        when_text="a thread that already waits goes on waiting",
        reads_back=ReadBack.ROUNDED,
        risk=Risk.REFUSE,
        mptcp=Mptcp.OK,
        since="5.1",
        doc="SO_SNDTIMEO with 64-bit seconds on every architecture.",
        pitfall="The same value as SO_SNDTIMEO, rounded up to the kernel's tick.",
        source="include/uapi/asm-generic/socket.h",
    ),
    SocketOption(
        name="SO_DETACH_REUSEPORT_BPF",
        level=SOL_SOCKET,
        number=68,
        codec=Codec.STRUCT,
        size=0,
        access=Access.WRITE_ONLY,
        when=When.LISTENER,
        reads_back=ReadBack.NOTHING,
        risk=Risk.REFUSE,
        mptcp=Mptcp.REFUSED,
        since="5.3",
        doc="Removes the BPF program that picks the listener of a shared port.",
        pitfall="It redirects the new connections of every listener in the group, and the "
        "program cannot be put back.",
        source="socket(7)",
    ),
    SocketOption(
        name="SO_PREFER_BUSY_POLL",
        level=SOL_SOCKET,
        number=69,
        codec=Codec.BOOLEAN,
        default=False,
        privilege="CAP_NET_ADMIN in the initial user namespace, to turn it on",
        risk=Risk.WARN,
        mptcp=Mptcp.OK,
        since="5.11",
        doc="Keeps the network card's interrupts off while the program polls.",
        pitfall="It works only together with busy polling and deferred interrupts of the card.",
        source="net/core/sock.c",
    ),
    SocketOption(
        name="SO_BUSY_POLL_BUDGET",
        level=SOL_SOCKET,
        number=70,
        codec=Codec.INT,
        unit=Unit.PACKETS,
        minimum=0,
        maximum=65535,
        access=Access.WRITE_ONLY,
        reads_back=ReadBack.NOTHING,
        privilege="CAP_NET_ADMIN in the initial user namespace, to raise it",
        risk=Risk.WARN,
        mptcp=Mptcp.OK,
        since="5.11",
        doc="How many packets one round of busy polling may handle.",
        pitfall="It cannot be read back.",
        source="net/core/sock.c",
    ),
    SocketOption(
        name="SO_NETNS_COOKIE",
        level=SOL_SOCKET,
        number=71,
        codec=Codec.ID,
        size=8,
        access=Access.READ_ONLY,
        when=When.FIXED,
        reads_back=ReadBack.NOTHING,
        mptcp=Mptcp.OK,
        since="5.14",
        doc="The number of the network namespace that the socket lives in.",
        pitfall="Offering any other length than 8 bytes gives EINVAL.",
        source="net/core/sock.c",
    ),
    SocketOption(
        name="SO_BUF_LOCK",
        level=SOL_SOCKET,
        number=72,
        codec=Codec.FLAGS,
        words=BUFFER_LOCKS,
        minimum=0,
        maximum=3,
        default=(),
        risk=Risk.SAFE,
        mptcp=Mptcp.REFUSED,
        since="5.15",
        doc="Which buffers were set by hand and are no longer tuned automatically; setting 0 "
        "gives them back to the kernel.",
        pitfall="After a receive buffer was made very small, unlocking alone does not make it "
        "grow: set a larger SO_RCVBUF first, then unlock.",
        source="net/core/sock.c",
    ),
    SocketOption(
        name="SO_RESERVE_MEM",
        level=SOL_SOCKET,
        number=73,
        codec=Codec.INT,
        unit=Unit.BYTES,
        minimum=0,
        default=0,
        reads_back=ReadBack.ROUNDED,
        risk=Risk.WARN,
        mptcp=Mptcp.REFUSED,
        since="5.17",
        doc="Memory set aside for this socket, so that it works under memory pressure.",
        pitfall="EOPNOTSUPP unless the socket belongs to a memory cgroup; rounded up to pages.",
        source="net/core/sock.c",
    ),
    SocketOption(
        name="SO_TXREHASH",
        level=SOL_SOCKET,
        number=74,
        codec=Codec.BOOLEAN,
        minimum=-1,
        maximum=1,
        range_text="-1 stands for net.core.txrehash",
        default_sysctl="net.core.txrehash",
        reads_back=ReadBack.MOVING,
        risk=Risk.SAFE,
        mptcp=Mptcp.REFUSED,
        since="5.19",
        doc="Chooses another of several equal paths after a retransmission timeout.",
        pitfall="After -1 it reads as the sysctl's value.",
        source="net/core/sock.c",
    ),
    SocketOption(
        name="SO_RCVMARK",
        level=SOL_SOCKET,
        number=75,
        codec=Codec.BOOLEAN,
        default=False,
        privilege="CAP_NET_ADMIN or CAP_NET_RAW in the socket's network namespace",
        risk=Risk.REFUSE,
        mptcp=Mptcp.REFUSED,
        since="5.19",
        doc="Adds the mark of each received packet to recvmsg().",
        pitfall="It adds control messages: the program sees data it did not ask for.",
        source="net/core/sock.c",
    ),
    SocketOption(
        name="SO_PASSPIDFD",
        level=SOL_SOCKET,
        number=76,
        codec=Codec.BOOLEAN,
        risk=Risk.REFUSE,
        when=When.NO_EFFECT,
        inherited=False,
        mptcp=Mptcp.OK,
        since="6.5",
        doc="Adds the sender's pidfd to messages of unix sockets.",
        pitfall="Unix sockets only: EOPNOTSUPP on TCP. An MPTCP socket accepts it.",
        source="net/core/sock.c",
    ),
    SocketOption(
        name="SO_PEERPIDFD",
        level=SOL_SOCKET,
        number=77,
        codec=Codec.INT,
        access=Access.READ_ONLY,
        reading=Reading.DESTRUCTIVE,
        when=When.FIXED,
        reads_back=ReadBack.NOTHING,
        inherited=False,
        risk=Risk.REFUSE,
        since="6.5",
        doc="A pidfd of the peer of a unix socket.",
        pitfall="Reading opens a descriptor in the process that asks. Unix sockets only.",
        source="net/core/sock.c",
    ),
    SocketOption(
        name="SO_RCVPRIORITY",
        level=SOL_SOCKET,
        number=82,
        codec=Codec.BOOLEAN,
        default=False,
        risk=Risk.REFUSE,
        mptcp=Mptcp.REFUSED,
        since="6.14",
        doc="Adds the priority of each received packet to recvmsg().",
        pitfall="It adds control messages: the program sees data it did not ask for.",
        source="net/core/sock.c",
    ),
    SocketOption(
        name="SO_PASSRIGHTS",
        level=SOL_SOCKET,
        number=83,
        codec=Codec.BOOLEAN,
        risk=Risk.REFUSE,
        when=When.NO_EFFECT,
        inherited=False,
        mptcp=Mptcp.REFUSED,
        since="6.16",
        doc="Allows receiving descriptors over a unix socket.",
        pitfall="Unix sockets only: EOPNOTSUPP on TCP.",
        source="net/core/sock.c",
    ),
    SocketOption(
        name="SO_INQ",
        level=SOL_SOCKET,
        number=84,
        codec=Codec.BOOLEAN,
        risk=Risk.REFUSE,
        when=When.NO_EFFECT,
        inherited=False,
        mptcp=Mptcp.REFUSED,
        since="6.17",
        doc="Adds the number of bytes left to read to messages of unix sockets.",
        pitfall="Unix sockets only: ENOPROTOOPT on TCP, where TCP_INQ is meant.",
        source="net/unix/af_unix.c",
    ),
    # ----------------------------------------------------------------- IPPROTO_TCP
    SocketOption(
        name="TCP_NODELAY",
        level=IPPROTO_TCP,
        number=1,
        codec=Codec.BOOLEAN,
        default=False,
        when_text="queued data is pushed at once",
        risk=Risk.SAFE,
        mptcp=Mptcp.OK,
        doc="Sends small segments at once instead of waiting for the acknowledgement of the "
        "last one (Nagle's algorithm off).",
        pitfall="While TCP_CORK is set, the cork wins; setting TCP_NODELAY still flushes once.",
        source="tcp(7)",
    ),
    SocketOption(
        name="TCP_MAXSEG",
        level=IPPROTO_TCP,
        number=2,
        codec=Codec.INT,
        unit=Unit.BYTES,
        minimum=88,
        maximum=32767,
        also=(0,),
        range_text="or 0 for no limit",
        default=536,
        when=When.BEFORE_CONNECT,
        reads_back=ReadBack.MOVING,
        risk=Risk.WARN,
        mptcp=Mptcp.OK,
        tuned_by_kernel=True,
        doc="Upper limit of the segment size; on a connection it reads the size in use.",
        pitfall="On a connection it is accepted and changes nothing. It reads the current segment "
        "size there, not what was set, so writing back what was read may be EINVAL (32768 on "
        "loopback). An accepted connection reads 12 less, for timestamps.",
        source="tcp(7)",
    ),
    SocketOption(
        name="TCP_CORK",
        level=IPPROTO_TCP,
        number=3,
        codec=Codec.BOOLEAN,
        default=False,
        when_text="clearing it sends what was held back",
        risk=Risk.WARN,
        mptcp=Mptcp.OK,
        since="2.2",
        doc="Holds back segments that are not full, so that header and body leave together.",
        pitfall="A partial segment is held for up to 200 ms, also when TCP_NODELAY is set.",
        source="tcp(7)",
    ),
    SocketOption(
        name="TCP_KEEPIDLE",
        level=IPPROTO_TCP,
        number=4,
        codec=Codec.INT,
        unit=Unit.SECONDS,
        minimum=1,
        maximum=32767,
        default_sysctl="net.ipv4.tcp_keepalive_time",
        when_text="the timer is set anew: after a longer idle time the probe goes out at once",
        risk=Risk.WARN,
        mptcp=Mptcp.OK,
        since="2.4",
        doc="How long a connection must be idle before the first keepalive probe.",
        pitfall="It needs SO_KEEPALIVE. It reads the value in use: whether that was set or comes "
        "from the sysctl cannot be seen, and a set value no longer follows the sysctl.",
        source="tcp(7)",
    ),
    SocketOption(
        name="TCP_KEEPINTVL",
        level=IPPROTO_TCP,
        number=5,
        codec=Codec.INT,
        unit=Unit.SECONDS,
        minimum=1,
        maximum=32767,
        default_sysctl="net.ipv4.tcp_keepalive_intvl",
        when_text="from the next probe",
        risk=Risk.WARN,
        mptcp=Mptcp.OK,
        since="2.4",
        doc="Time between two keepalive probes.",
        pitfall="It reads the value in use: set and inherited from the sysctl look the same.",
        source="tcp(7)",
    ),
    SocketOption(
        name="TCP_KEEPCNT",
        level=IPPROTO_TCP,
        number=6,
        codec=Codec.INT,
        minimum=1,
        maximum=127,
        default_sysctl="net.ipv4.tcp_keepalive_probes",
        risk=Risk.WARN,
        mptcp=Mptcp.OK,
        since="2.4",
        doc="How many unanswered keepalive probes end the connection.",
        pitfall="Ignored while TCP_USER_TIMEOUT is above 0: then that time decides.",
        source="tcp(7)",
    ),
    SocketOption(
        name="TCP_SYNCNT",
        level=IPPROTO_TCP,
        number=7,
        codec=Codec.INT,
        minimum=1,
        maximum=127,
        default_sysctl="net.ipv4.tcp_syn_retries",
        when=When.BEFORE_CONNECT,
        risk=Risk.WARN,
        mptcp=Mptcp.MISSING,
        since="2.4",
        doc="How often a SYN is sent again before connect() fails.",
        pitfall="connect() fails after 2**(n+1)-1 seconds: 1 gives 3 s, 2 gives 7 s, "
        "6 gives 127 s. On a connection it is accepted and changes nothing.",
        source="tcp(7)",
    ),
    SocketOption(
        name="TCP_LINGER2",
        level=IPPROTO_TCP,
        number=8,
        codec=Codec.INT,
        unit=Unit.SECONDS,
        words={-1: Meaning("none", "there is no FIN_WAIT2 after close(): straight to closed")},
        range_text="0 stands for net.ipv4.tcp_fin_timeout; more than 120 is stored as 120; "
        "negative: no FIN_WAIT2",
        default_sysctl="net.ipv4.tcp_fin_timeout",
        when=When.AT_CLOSE,
        reads_back=ReadBack.CLAMPED,
        risk=Risk.SAFE,
        mptcp=Mptcp.MISSING,
        since="2.4",
        doc="How long a closed socket waits in FIN_WAIT2 for the peer's FIN.",
        pitfall="0 reads as the sysctl's value, above 120 as 120, any negative number as -1.",
        source="tcp(7)",
    ),
    SocketOption(
        name="TCP_DEFER_ACCEPT",
        level=IPPROTO_TCP,
        number=9,
        codec=Codec.INT,
        unit=Unit.SECONDS,
        range_text="rounded up to 1, 3, 7, 15, 31, 63, 127 …; negative means 0",
        default=0,
        when=When.LISTENER,
        reads_back=ReadBack.ROUNDED,
        inherited=False,
        risk=Risk.SAFE,
        mptcp=Mptcp.OK,
        since="2.4",
        doc="Wakes the server only when a new connection has sent data, for at most this long.",
        pitfall="The value becomes the sum of SYN-ACK timeouts that covers it: 2 reads 3, 100000 "
        "reads 29887. A silent client is handed over after the time nevertheless.",
        source="tcp(7)",
    ),
    SocketOption(
        name="TCP_WINDOW_CLAMP",
        level=IPPROTO_TCP,
        number=10,
        codec=Codec.INT,
        unit=Unit.BYTES,
        range_text="at least 1152, which smaller numbers become; 0 only before connect",
        default=0,
        reads_back=ReadBack.MOVING,
        risk=Risk.WARN,
        mptcp=Mptcp.MISSING,
        since="2.4",
        tuned_by_kernel=True,
        doc="Upper limit of the window that is advertised to the peer; 0: none yet.",
        pitfall="Automatic tuning moves the value. The window cannot exceed 65535 shifted by the "
        "window scale of the handshake, whatever is set. A small value throttles the peer.",
        source="tcp(7)",
    ),
    SocketOption(
        name="TCP_INFO",
        level=IPPROTO_TCP,
        number=11,
        codec=Codec.STRUCT,
        size=512,
        access=Access.READ_ONLY,
        reading=Reading.ELSEWHERE,
        when=When.FIXED,
        reads_back=ReadBack.NOTHING,
        inherited=False,
        mptcp=Mptcp.OK,
        since="2.4",
        doc="The state and the counters of the connection, struct tcp_info: see "
        "catalog/tcp_info.py.",
        pitfall="The length of the answer says which fields the kernel has. On an MPTCP socket it "
        "describes the first subflow.",
        source="tcp(7)",
    ),
    SocketOption(
        name="TCP_QUICKACK",
        level=IPPROTO_TCP,
        number=12,
        codec=Codec.BOOLEAN,
        default=True,
        when=When.ONE_SHOT,
        when_text="until the program answers the next request",
        reads_back=ReadBack.FADING,
        risk=Risk.SAFE,
        mptcp=Mptcp.MISSING,
        since="2.4.4",
        tuned_by_kernel=True,
        doc="Acknowledges at once instead of waiting for data to go along; true means that the "
        "connection is not in interactive (ping-pong) mode.",
        pitfall="Not permanent: the kernel clears it at the program's next answer, so it helps one "
        "round. TCP_DELACK_MAX_US lasts. A value with bit 0 clear, such as 2, acknowledges "
        "now and then goes back.",
        source="tcp(7)",
    ),
    SocketOption(
        name="TCP_CONGESTION",
        level=IPPROTO_TCP,
        number=13,
        codec=Codec.STRING,
        size=16,
        range_text="a name of at most 15 bytes out of net.ipv4.tcp_available_congestion_control; "
        "case matters; ENOENT if it is unknown",
        default_sysctl="net.ipv4.tcp_congestion_control",
        privilege="CAP_NET_ADMIN in the socket's network namespace for an algorithm that is not "
        "in net.ipv4.tcp_allowed_congestion_control",
        risk=Risk.SAFE,
        mptcp=Mptcp.OK,
        since="2.6.13",
        doc="The congestion control algorithm. It can be changed in mid-connection and is the "
        "strongest lever there: 4 to 506 Mbit/s at 1 % loss from cubic to bbr.",
        pitfall="EPERM where the route fixes the algorithm. The new one starts without what the "
        "old one had learned.",
        source="tcp(7)",
    ),
    SocketOption(
        name="TCP_MD5SIG",
        level=IPPROTO_TCP,
        number=14,
        codec=Codec.STRUCT,
        size=0,
        access=Access.WRITE_ONLY,
        reading=Reading.SECRET,
        reads_back=ReadBack.NOTHING,
        risk=Risk.REFUSE,
        mptcp=Mptcp.MISSING,
        since="2.6.20",
        doc="Adds a key for signing segments (RFC 2385, for BGP).",
        pitfall="The peer drops every segment until it has the same key.",
        source="tcp(7)",
    ),
    SocketOption(
        name="TCP_THIN_LINEAR_TIMEOUTS",
        level=IPPROTO_TCP,
        number=16,
        codec=Codec.BOOLEAN,
        minimum=0,
        maximum=1,
        default=False,
        risk=Risk.WARN,
        mptcp=Mptcp.MISSING,
        since="2.6.34",
        doc="Retransmits at constant intervals for a while, on streams with few packets in flight.",
        pitfall="Only while fewer than four packets are in flight.",
        source="Documentation/networking/tcp-thin.rst",
    ),
    SocketOption(
        name="TCP_THIN_DUPACK",
        level=IPPROTO_TCP,
        number=17,
        codec=Codec.BOOLEAN,
        minimum=0,
        maximum=1,
        default=False,
        when=When.NO_EFFECT,
        reads_back=ReadBack.IGNORED,
        risk=Risk.WARN,
        mptcp=Mptcp.MISSING,
        since="2.6.34",
        doc="Once: fast retransmit after one duplicate acknowledgement. Replaced by RACK.",
        pitfall="Accepted, and always reads 0.",
        source="net/ipv4/tcp.c",
    ),
    SocketOption(
        name="TCP_USER_TIMEOUT",
        level=IPPROTO_TCP,
        number=18,
        codec=Codec.INT,
        unit=Unit.MILLISECONDS,
        minimum=0,
        maximum=2147483647,
        default=0,
        when_text="at the next retransmission or probe timer",
        risk=Risk.WARN,
        mptcp=Mptcp.MISSING,
        since="2.6.37",
        doc="How long sent data may stay unacknowledged before the connection ends with "
        "ETIMEDOUT; 0 leaves it to net.ipv4.tcp_retries2 (about 15 minutes).",
        pitfall="The clock started at the first retransmission: a low value ends a connection that "
        "is stalled just now. It also limits connect() and a closed window, and "
        "replaces TCP_KEEPCNT.",
        source="tcp(7)",
    ),
    SocketOption(
        name="TCP_REPAIR",
        level=IPPROTO_TCP,
        number=19,
        codec=Codec.INT,
        reading=Reading.SECRET,
        when=When.KILLS,
        privilege="CAP_NET_ADMIN in the socket's user namespace",
        risk=Risk.REFUSE,
        mptcp=Mptcp.MISSING,
        since="3.5",
        doc="Freezes a connection so that its state can be copied (checkpoint and restore).",
        pitfall="Sends fail while it is on, and close() sends no FIN: the peer is left alone.",
        source="net/ipv4/tcp.c",
    ),
    SocketOption(
        name="TCP_REPAIR_QUEUE",
        level=IPPROTO_TCP,
        number=20,
        codec=Codec.INT,
        reading=Reading.SECRET,
        privilege="CAP_NET_ADMIN in the socket's user namespace",
        risk=Risk.REFUSE,
        mptcp=Mptcp.MISSING,
        since="3.5",
        doc="The queue that repair mode works on.",
        pitfall="EINVAL outside repair mode.",
        source="net/ipv4/tcp.c",
    ),
    SocketOption(
        name="TCP_QUEUE_SEQ",
        level=IPPROTO_TCP,
        number=21,
        codec=Codec.UINT,
        reading=Reading.SECRET,
        privilege="CAP_NET_ADMIN in the socket's user namespace",
        risk=Risk.REFUSE,
        mptcp=Mptcp.MISSING,
        since="3.5",
        doc="The sequence number of the queue that repair mode works on.",
        pitfall="Whoever knows it can forge segments of this connection.",
        source="net/ipv4/tcp.c",
    ),
    SocketOption(
        name="TCP_REPAIR_OPTIONS",
        level=IPPROTO_TCP,
        number=22,
        codec=Codec.STRUCT,
        size=0,
        access=Access.WRITE_ONLY,
        reading=Reading.SECRET,
        reads_back=ReadBack.NOTHING,
        privilege="CAP_NET_ADMIN in the socket's user namespace",
        risk=Risk.REFUSE,
        mptcp=Mptcp.MISSING,
        since="3.5",
        doc="Restores negotiated TCP options in repair mode.",
        pitfall="It breaks the agreement with the peer.",
        source="net/ipv4/tcp.c",
    ),
    SocketOption(
        name="TCP_FASTOPEN",
        level=IPPROTO_TCP,
        number=23,
        codec=Codec.INT,
        minimum=0,
        limit_sysctl="net.core.somaxconn",
        range_text="limited to net.core.somaxconn; EINVAL on a connection",
        default=0,
        when=When.LISTENER,
        reads_back=ReadBack.CLAMPED,
        inherited=False,
        risk=Risk.SAFE,
        mptcp=Mptcp.OK,
        since="3.7",
        doc="Accepts data in the SYN: how many such connections may wait; 0 turns it off.",
        pitfall="Without bit 2 in net.ipv4.tcp_fastopen it does nothing; the default of that "
        "sysctl is 1, the client side only. Above net.core.somaxconn it is cut without an error.",
        source="tcp(7)",
    ),
    SocketOption(
        name="TCP_TIMESTAMP",
        level=IPPROTO_TCP,
        number=24,
        codec=Codec.UINT,
        when=When.KILLS,
        reads_back=ReadBack.MOVING,
        inherited=False,
        privilege="repair mode, thus CAP_NET_ADMIN in the socket's user namespace",
        risk=Risk.REFUSE,
        mptcp=Mptcp.MISSING,
        since="3.9",
        tuned_by_kernel=True,
        doc="The clock that the socket's timestamps show now, in ms (or µs where negotiated).",
        pitfall="A clock: it differs at each reading. Settable in repair mode only, else EPERM.",
        source="net/ipv4/tcp.c",
    ),
    SocketOption(
        name="TCP_NOTSENT_LOWAT",
        level=IPPROTO_TCP,
        number=25,
        codec=Codec.UINT,
        unit=Unit.BYTES,
        words={(1 << 32) - 1: UNLIMITED},
        range_text="any number; 0 stands for net.ipv4.tcp_notsent_lowat; all ones: unlimited",
        default=0,
        risk=Risk.SAFE,
        mptcp=Mptcp.OK,
        since="3.12",
        doc="How many unsent bytes may wait before the socket counts as not writable: less "
        "delay for data that is written later, at the same rate.",
        pitfall="0 does not mean none: it follows net.ipv4.tcp_notsent_lowat (unlimited by "
        "default) and still reads 0.",
        source="Documentation/networking/ip-sysctl.rst",
    ),
    SocketOption(
        name="TCP_CC_INFO",
        level=IPPROTO_TCP,
        number=26,
        codec=Codec.STRUCT,
        size=64,
        access=Access.READ_ONLY,
        reading=Reading.ELSEWHERE,
        when=When.FIXED,
        reads_back=ReadBack.NOTHING,
        inherited=False,
        since="4.1",
        doc="What the congestion control algorithm tells of itself; sock_diag gives the same.",
        pitfall="Its layout depends on the algorithm: 20 bytes for bbr, none for cubic and reno.",
        source="include/uapi/linux/inet_diag.h",
    ),
    SocketOption(
        name="TCP_SAVE_SYN",
        level=IPPROTO_TCP,
        number=27,
        codec=Codec.ENUM,
        words=SAVE_SYN_MODES,
        minimum=0,
        maximum=2,
        default="off",
        when=When.LISTENER,
        risk=Risk.WARN,
        mptcp=Mptcp.MISSING,
        since="4.2",
        doc="Keeps the headers of each connection's SYN for the server to read.",
        pitfall="Memory for every connection until the server reads it.",
        source="net/ipv4/tcp.c",
    ),
    SocketOption(
        name="TCP_SAVED_SYN",
        level=IPPROTO_TCP,
        number=28,
        codec=Codec.STRUCT,
        size=0,
        access=Access.READ_ONLY,
        reading=Reading.DESTRUCTIVE,
        when=When.FIXED,
        reads_back=ReadBack.NOTHING,
        inherited=False,
        risk=Risk.REFUSE,
        since="4.2",
        doc="The kept headers of the SYN of this connection.",
        pitfall="Reading frees them: the server that asked for them finds nothing.",
        source="net/ipv4/tcp.c",
    ),
    SocketOption(
        name="TCP_REPAIR_WINDOW",
        level=IPPROTO_TCP,
        number=29,
        codec=Codec.STRUCT,
        size=20,
        reading=Reading.SECRET,
        reads_back=ReadBack.NOTHING,
        privilege="CAP_NET_ADMIN in the socket's user namespace",
        risk=Risk.REFUSE,
        mptcp=Mptcp.MISSING,
        since="4.8",
        doc="The window state that repair mode copies.",
        pitfall="Whoever knows it can forge segments of this connection.",
        source="net/ipv4/tcp.c",
    ),
    SocketOption(
        name="TCP_FASTOPEN_CONNECT",
        level=IPPROTO_TCP,
        number=30,
        codec=Codec.BOOLEAN,
        minimum=0,
        maximum=1,
        default=False,
        when=When.BEFORE_CONNECT,
        risk=Risk.WARN,
        mptcp=Mptcp.OK,
        since="4.11",
        doc="connect() returns at once and the first write travels in the SYN.",
        pitfall="EINVAL once connected; EOPNOTSUPP if bit 1 of net.ipv4.tcp_fastopen is clear. "
        "Errors of connect() appear at the first write.",
        source="tcp(7)",
    ),
    SocketOption(
        name="TCP_ULP",
        level=IPPROTO_TCP,
        number=31,
        codec=Codec.STRING,
        size=16,
        range_text="a name out of net.ipv4.tcp_available_ulp; ENOENT if it is unknown",
        default="",
        risk=Risk.REFUSE,
        mptcp=Mptcp.MISSING,
        since="4.13",
        doc="The protocol laid over TCP inside the kernel, such as tls.",
        pitfall="It cannot be undone.",
        source="net/ipv4/tcp_ulp.c",
    ),
    SocketOption(
        name="TCP_MD5SIG_EXT",
        level=IPPROTO_TCP,
        number=32,
        codec=Codec.STRUCT,
        size=0,
        access=Access.WRITE_ONLY,
        reading=Reading.SECRET,
        reads_back=ReadBack.NOTHING,
        risk=Risk.REFUSE,
        mptcp=Mptcp.MISSING,
        since="4.14",
        doc="TCP_MD5SIG for address prefixes.",
        pitfall="The peer drops every segment until it has the same key.",
        source="tcp(7)",
    ),
    SocketOption(
        name="TCP_FASTOPEN_KEY",
        level=IPPROTO_TCP,
        number=33,
        codec=Codec.STRUCT,
        size=0,
        range_text="16 or 32 bytes",
        reading=Reading.SECRET,
        when=When.LISTENER,
        reads_back=ReadBack.NOTHING,
        risk=Risk.REFUSE,
        mptcp=Mptcp.OK,
        since="4.15",
        doc="The key that Fast Open cookies are made with.",
        pitfall="Reading it gives the raw key, with which cookies can be forged.",
        source="Documentation/networking/ip-sysctl.rst",
    ),
    SocketOption(
        name="TCP_FASTOPEN_NO_COOKIE",
        level=IPPROTO_TCP,
        number=34,
        codec=Codec.BOOLEAN,
        minimum=0,
        maximum=1,
        default=False,
        when=When.LISTENER,
        when_text="or before connect",
        risk=Risk.REFUSE,
        mptcp=Mptcp.OK,
        since="4.15",
        doc="Fast Open without a cookie.",
        pitfall="Anybody can then make the server work with forged source addresses. "
        "EINVAL on a connection.",
        source="Documentation/networking/ip-sysctl.rst",
    ),
    SocketOption(
        name="TCP_ZEROCOPY_RECEIVE",
        level=IPPROTO_TCP,
        number=35,
        codec=Codec.STRUCT,
        size=0,
        access=Access.READ_ONLY,
        reading=Reading.DESTRUCTIVE,
        when=When.FIXED,
        reads_back=ReadBack.NOTHING,
        inherited=False,
        risk=Risk.REFUSE,
        since="4.18",
        doc="Maps received data into the memory of the program that asks.",
        pitfall="Reading consumes data of the stream.",
        source="net/ipv4/tcp.c",
    ),
    SocketOption(
        name="TCP_INQ",
        level=IPPROTO_TCP,
        number=36,
        codec=Codec.BOOLEAN,
        minimum=0,
        maximum=1,
        default=False,
        risk=Risk.REFUSE,
        mptcp=Mptcp.OK,
        since="4.18",
        doc="Adds the number of bytes left to read to every recvmsg().",
        pitfall="It adds control messages: the program sees data it did not ask for.",
        source="tcp(7)",
    ),
    SocketOption(
        name="TCP_TX_DELAY",
        level=IPPROTO_TCP,
        number=37,
        codec=Codec.INT,
        unit=Unit.MICROSECONDS,
        minimum=0,
        maximum=(1 << 28) - 1,
        default=0,
        risk=Risk.REFUSE,
        mptcp=Mptcp.MISSING,
        since="5.3",
        doc="Delays every sent packet, to imitate a long path; needs the fq packet scheduler.",
        pitfall="Without fq nothing is delayed, yet the measured round-trip time jumps by the "
        "value: only the statistics are poisoned.",
        source="net/ipv4/tcp.c",
    ),
    SocketOption(
        name="TCP_AO_ADD_KEY",
        level=IPPROTO_TCP,
        number=38,
        codec=Codec.STRUCT,
        size=0,
        access=Access.WRITE_ONLY,
        reading=Reading.SECRET,
        reads_back=ReadBack.NOTHING,
        risk=Risk.REFUSE,
        mptcp=Mptcp.MISSING,
        since="6.7",
        doc="Adds a key for authenticated segments (TCP-AO, RFC 5925).",
        pitfall="The peer drops every segment until it has the same key.",
        source="Documentation/networking/tcp_ao.rst",
    ),
    SocketOption(
        name="TCP_AO_DEL_KEY",
        level=IPPROTO_TCP,
        number=39,
        codec=Codec.STRUCT,
        size=0,
        access=Access.WRITE_ONLY,
        reading=Reading.SECRET,
        reads_back=ReadBack.NOTHING,
        risk=Risk.REFUSE,
        mptcp=Mptcp.MISSING,
        since="6.7",
        doc="Removes a TCP-AO key.",
        pitfall="The peer drops every segment signed with another key.",
        source="Documentation/networking/tcp_ao.rst",
    ),
    SocketOption(
        name="TCP_AO_INFO",
        level=IPPROTO_TCP,
        number=40,
        codec=Codec.STRUCT,
        size=0,
        reading=Reading.SECRET,
        reads_back=ReadBack.NOTHING,
        risk=Risk.REFUSE,
        mptcp=Mptcp.MISSING,
        since="6.7",
        doc="State and counters of TCP-AO on this socket.",
        pitfall="Setting it changes the key in use.",
        source="Documentation/networking/tcp_ao.rst",
    ),
    SocketOption(
        name="TCP_AO_GET_KEYS",
        level=IPPROTO_TCP,
        number=41,
        codec=Codec.STRUCT,
        size=0,
        access=Access.READ_ONLY,
        reading=Reading.SECRET,
        when=When.FIXED,
        reads_back=ReadBack.NOTHING,
        risk=Risk.REFUSE,
        since="6.7",
        doc="The TCP-AO keys of this socket.",
        pitfall="The answer holds the raw keys.",
        source="Documentation/networking/tcp_ao.rst",
    ),
    SocketOption(
        name="TCP_AO_REPAIR",
        level=IPPROTO_TCP,
        number=42,
        codec=Codec.STRUCT,
        size=0,
        reading=Reading.SECRET,
        reads_back=ReadBack.NOTHING,
        privilege="CAP_NET_ADMIN in the socket's user namespace",
        risk=Risk.REFUSE,
        mptcp=Mptcp.MISSING,
        since="6.7",
        doc="The TCP-AO state that repair mode copies.",
        pitfall="Whoever knows it can forge segments of this connection.",
        source="Documentation/networking/tcp_ao.rst",
    ),
    SocketOption(
        name="TCP_IS_MPTCP",
        level=IPPROTO_TCP,
        number=43,
        codec=Codec.BOOLEAN,
        default=False,
        access=Access.READ_ONLY,
        when=When.FIXED,
        reads_back=ReadBack.NOTHING,
        mptcp=Mptcp.OK,
        since="6.10",
        doc="True if the connection really speaks MPTCP; false after a fallback to TCP.",
        source="net/ipv4/tcp.c",
    ),
    SocketOption(
        name="TCP_RTO_MAX_MS",
        level=IPPROTO_TCP,
        number=44,
        codec=Codec.INT,
        unit=Unit.MILLISECONDS,
        minimum=1000,
        maximum=120000,
        range_text="rounded up to a tick",
        default_sysctl="net.ipv4.tcp_rto_max_ms",
        reads_back=ReadBack.ROUNDED,
        risk=Risk.WARN,
        mptcp=Mptcp.MISSING,
        since="6.15",
        doc="Upper limit of the retransmission timeout: how rarely a silent peer is tried.",
        pitfall="The number of attempts stays the same, so a low value gives up sooner: at 1000 a "
        "dead peer is found after 15 s instead of 15 minutes. Rounded up to the kernel's tick.",
        source="net/ipv4/tcp.c",
    ),
    SocketOption(
        name="TCP_RTO_MIN_US",
        level=IPPROTO_TCP,
        number=45,
        codec=Codec.INT,
        unit=Unit.MICROSECONDS,
        maximum=200000,
        range_text="more than one tick (4000 at 250 Hz), rounded up to a tick",
        default_sysctl="net.ipv4.tcp_rto_min_us",
        reads_back=ReadBack.ROUNDED,
        risk=Risk.SAFE,
        mptcp=Mptcp.MISSING,
        since="6.15",
        doc="Lower limit of the retransmission timeout: how soon a lost packet is sent again.",
        pitfall="Rounded up to the kernel's tick. Below the peer's delayed acknowledgement (40 ms "
        "and more) packets are sent twice for nothing.",
        source="net/ipv4/tcp.c",
    ),
    SocketOption(
        name="TCP_DELACK_MAX_US",
        level=IPPROTO_TCP,
        number=46,
        codec=Codec.INT,
        unit=Unit.MICROSECONDS,
        maximum=200000,
        range_text="more than one tick (4000 at 250 Hz), rounded up to a tick",
        default=200000,
        reads_back=ReadBack.ROUNDED,
        risk=Risk.SAFE,
        mptcp=Mptcp.MISSING,
        since="6.15",
        doc="How long an acknowledgement may be held back: the only lasting cure of "
        "delayed acknowledgements on the receiver.",
        pitfall="Rounded up to the kernel's tick.",
        source="net/ipv4/tcp.c",
    ),
    # ------------------------------------------------------------------ IPPROTO_IP
    SocketOption(
        name="IP_TOS",
        level=IPPROTO_IP,
        number=1,
        codec=Codec.TOS,
        family=Family.IPV4,
        range_text="a byte; longer numbers lose the high bits, -1 stands for 252",
        default=0,
        when_text="from the next packet",
        reads_back=ReadBack.MASKED,
        risk=Risk.SAFE,
        mptcp=Mptcp.OK,
        doc="The DSCP of IPv4 packets, by which routers choose a queue.",
        pitfall="TCP owns the two ECN bits: they are masked out (0xb9 reads 0xb8). It also sets "
        "SO_PRIORITY, so set the priority afterwards, and looks up the route again.",
        source="ip(7)",
    ),
    SocketOption(
        name="IP_TTL",
        level=IPPROTO_IP,
        number=2,
        codec=Codec.INT,
        family=Family.IPV4,
        minimum=1,
        maximum=255,
        also=(-1,),
        range_text="or -1 for net.ipv4.ip_default_ttl",
        default_sysctl="net.ipv4.ip_default_ttl",
        when_text="from the next packet",
        reads_back=ReadBack.MOVING,
        risk=Risk.SAFE,
        mptcp=Mptcp.REFUSED,
        doc="How many routers an IPv4 packet may pass.",
        pitfall="After -1 it reads as the sysctl's value.",
        source="ip(7)",
    ),
    SocketOption(
        name="IP_OPTIONS",
        level=IPPROTO_IP,
        number=4,
        codec=Codec.STRUCT,
        size=40,
        family=Family.IPV4,
        range_text="at most 40 bytes",
        risk=Risk.REFUSE,
        inherited=False,
        mptcp=Mptcp.MISSING,
        doc="IPv4 options in every packet, such as source routes.",
        pitfall="They shrink the segments, and many routers drop packets with options. An accepted "
        "connection takes them from its own SYN, not from the listener.",
        source="ip(7)",
    ),
    SocketOption(
        name="IP_MTU_DISCOVER",
        level=IPPROTO_IP,
        number=10,
        codec=Codec.ENUM,
        words=MTU_DISCOVERY,
        family=Family.IPV4,
        minimum=0,
        maximum=5,
        default="want",
        when_text="from the next packet",
        risk=Risk.WARN,
        mptcp=Mptcp.REFUSED,
        since="2.2",
        doc="Whether packets may be fragmented on the way (the DF bit).",
        pitfall='net.ipv4.ip_no_pmtu_disc makes "dont" the default. With "do" and "probe", a path '
        "that swallows ICMP messages stalls the connection.",
        source="ip(7)",
    ),
    SocketOption(
        name="IP_RECVERR",
        level=IPPROTO_IP,
        number=11,
        codec=Codec.BOOLEAN,
        family=Family.IPV4,
        default=False,
        risk=Risk.REFUSE,
        mptcp=Mptcp.REFUSED,
        since="2.2",
        doc="Reports ICMP errors to the program at once.",
        pitfall="Clearing it throws away the program's error queue; setting it makes passing "
        "ICMP errors end the connection.",
        source="ip(7)",
    ),
    SocketOption(
        name="IP_MTU",
        level=IPPROTO_IP,
        number=14,
        codec=Codec.INT,
        unit=Unit.BYTES,
        family=Family.IPV4,
        access=Access.READ_ONLY,
        when=When.FIXED,
        reads_back=ReadBack.NOTHING,
        inherited=False,
        mptcp=Mptcp.REFUSED,
        since="2.2",
        doc="The path MTU that is known now.",
        pitfall="ENOTCONN unless connected.",
        source="ip(7)",
    ),
    SocketOption(
        name="IP_FREEBIND",
        level=IPPROTO_IP,
        number=15,
        codec=Codec.BOOLEAN,
        family=Family.IPV4,
        default=False,
        when=When.BEFORE_BIND,
        risk=Risk.WARN,
        mptcp=Mptcp.OK,
        since="2.4",
        doc="Lets bind() take an address that the host does not have (yet).",
        pitfall="On a bound socket it is accepted and changes nothing.",
        source="ip(7)",
    ),
    SocketOption(
        name="IP_TRANSPARENT",
        level=IPPROTO_IP,
        number=19,
        codec=Codec.BOOLEAN,
        family=Family.IPV4,
        default=False,
        when=When.BEFORE_BIND,
        privilege="CAP_NET_RAW or CAP_NET_ADMIN in the socket's network namespace",
        risk=Risk.REFUSE,
        mptcp=Mptcp.OK,
        since="2.6.24",
        doc="Lets a proxy bind to addresses of other hosts and accept their connections.",
        pitfall="On a bound socket it is accepted and changes nothing useful.",
        source="ip(7)",
    ),
    SocketOption(
        name="IP_MINTTL",
        level=IPPROTO_IP,
        number=21,
        codec=Codec.INT,
        family=Family.IPV4,
        minimum=0,
        maximum=255,
        default=0,
        risk=Risk.REFUSE,
        mptcp=Mptcp.REFUSED,
        since="2.6.34",
        doc="Drops received packets with a smaller TTL (protection of BGP sessions).",
        pitfall="255 stalls every connection through a router.",
        source="net/ipv4/ip_sockglue.c",
    ),
    SocketOption(
        name="IP_BIND_ADDRESS_NO_PORT",
        level=IPPROTO_IP,
        number=24,
        codec=Codec.BOOLEAN,
        default=False,
        when=When.BEFORE_BIND,
        risk=Risk.WARN,
        mptcp=Mptcp.OK,
        since="4.2",
        doc="bind() to an address with port 0 leaves the choice of port to connect(): far more "
        "outgoing connections fit.",
        pitfall="On a connection it is accepted and changes nothing.",
        source="ip(7)",
    ),
    SocketOption(
        name="IP_UNICAST_IF",
        level=IPPROTO_IP,
        number=50,
        codec=Codec.INT,
        family=Family.IPV4,
        default=0,
        when=When.BEFORE_CONNECT,
        reads_back=ReadBack.MOVING,
        risk=Risk.REFUSE,
        mptcp=Mptcp.MISSING,
        since="3.4",
        doc="The interface for outgoing packets without binding to it; a number in network "
        "byte order.",
        pitfall="The byte order makes small numbers look huge. EINVAL unless exactly 4 bytes; "
        "EADDRNOTAVAIL if there is no such interface.",
        source="net/ipv4/ip_sockglue.c",
    ),
    SocketOption(
        name="IP_LOCAL_PORT_RANGE",
        level=IPPROTO_IP,
        number=51,
        codec=Codec.PORT_RANGE,
        range_text="lowest at most highest, else EINVAL; 0 for an end leaves it to the system",
        default={"lowest": 0, "highest": 0},
        when=When.BEFORE_CONNECT,
        when_text="or before bind to port 0",
        risk=Risk.WARN,
        mptcp=Mptcp.OK,
        since="6.3",
        doc="The local ports this socket may choose from, inside "
        "net.ipv4.ip_local_port_range; 0 and 0: all of them.",
        pitfall="On a connection it is accepted and changes nothing.",
        source="ip(7)",
    ),
    # ---------------------------------------------------------------- IPPROTO_IPV6
    SocketOption(
        name="IPV6_UNICAST_HOPS",
        level=IPPROTO_IPV6,
        number=16,
        codec=Codec.INT,
        family=Family.IPV6,
        minimum=-1,
        maximum=255,
        range_text="-1 stands for the route's or the interface's limit",
        default_sysctl="net.ipv6.conf.all.hop_limit",
        when_text="from the next packet",
        reads_back=ReadBack.MOVING,
        risk=Risk.SAFE,
        mptcp=Mptcp.REFUSED,
        tuned_by_kernel=True,
        doc="How many routers an IPv6 packet may pass.",
        pitfall="Never set, it reads what the route says once connected.",
        source="ipv6(7)",
    ),
    SocketOption(
        name="IPV6_MTU_DISCOVER",
        level=IPPROTO_IPV6,
        number=23,
        codec=Codec.ENUM,
        words=MTU_DISCOVERY,
        family=Family.IPV6,
        minimum=0,
        maximum=5,
        default="want",
        when_text="from the next packet",
        risk=Risk.WARN,
        mptcp=Mptcp.REFUSED,
        doc="Whether this host may fragment packets; IPv6 routers never do.",
        pitfall='With "do" and "probe", a path that swallows ICMP messages stalls the connection.',
        source="ipv6(7)",
    ),
    SocketOption(
        name="IPV6_MTU",
        level=IPPROTO_IPV6,
        number=24,
        codec=Codec.INT,
        unit=Unit.BYTES,
        family=Family.IPV6,
        minimum=1280,
        also=(0,),
        range_text="or 0 for none",
        reads_back=ReadBack.MOVING,
        risk=Risk.WARN,
        mptcp=Mptcp.REFUSED,
        tuned_by_kernel=True,
        doc="Reads the path MTU; setting it limits the fragments of this socket.",
        pitfall="What is set is not what is read. ENOTCONN unless connected.",
        source="ipv6(7)",
    ),
    SocketOption(
        name="IPV6_RECVERR",
        level=IPPROTO_IPV6,
        number=25,
        codec=Codec.BOOLEAN,
        family=Family.IPV6,
        default=False,
        risk=Risk.REFUSE,
        mptcp=Mptcp.REFUSED,
        doc="Reports ICMPv6 errors to the program at once.",
        pitfall="Clearing it throws away the program's error queue; setting it makes passing "
        "ICMP errors end the connection.",
        source="ipv6(7)",
    ),
    SocketOption(
        name="IPV6_V6ONLY",
        level=IPPROTO_IPV6,
        number=26,
        codec=Codec.BOOLEAN,
        family=Family.IPV6,
        default_sysctl="net.ipv6.bindv6only",
        when=When.BEFORE_BIND,
        risk=Risk.WARN,
        mptcp=Mptcp.OK,
        since="2.6",
        tuned_by_kernel=True,
        doc="Keeps an IPv6 listener from taking IPv4 connections too.",
        pitfall="EINVAL after bind(). Binding to a specific IPv6 address turns it on by itself.",
        source="ipv6(7)",
    ),
    SocketOption(
        name="IPV6_DONTFRAG",
        level=IPPROTO_IPV6,
        number=62,
        codec=Codec.BOOLEAN,
        family=Family.IPV6,
        default=False,
        risk=Risk.WARN,
        mptcp=Mptcp.REFUSED,
        since="2.6.35",
        doc="Never fragments datagrams; TCP chooses fitting segments anyway.",
        pitfall="It needs 4 bytes: with 1 byte it is accepted and reads 0.",
        source="net/ipv6/ipv6_sockglue.c",
    ),
    SocketOption(
        name="IPV6_TCLASS",
        level=IPPROTO_IPV6,
        number=67,
        codec=Codec.TOS,
        family=Family.IPV6,
        minimum=-1,
        maximum=255,
        range_text="-1 stands for 0",
        default=0,
        when_text="from the next packet",
        reads_back=ReadBack.MASKED,
        risk=Risk.SAFE,
        mptcp=Mptcp.REFUSED,
        since="2.6.14",
        doc="The DSCP of IPv6 packets, by which routers choose a queue.",
        pitfall="TCP owns the two ECN bits: they are masked out. On a v4-mapped connection IP_TOS "
        "counts instead.",
        source="net/ipv6/ipv6_sockglue.c",
    ),
    SocketOption(
        name="IPV6_AUTOFLOWLABEL",
        level=IPPROTO_IPV6,
        number=70,
        codec=Codec.BOOLEAN,
        family=Family.IPV6,
        risk=Risk.WARN,
        mptcp=Mptcp.REFUSED,
        since="3.17",
        doc="Marks the packets of a connection with a flow label computed from it, by which "
        "routers spread load.",
        pitfall="Never set, it follows net.ipv6.auto_flowlabels (true by default). It needs "
        "4 bytes: with 1 byte it is accepted and reads 0.",
        source="net/ipv6/ipv6_sockglue.c",
    ),
    SocketOption(
        name="IPV6_ADDR_PREFERENCES",
        level=IPPROTO_IPV6,
        number=72,
        codec=Codec.FLAGS,
        words=ADDRESS_PREFERENCES,
        family=Family.IPV6,
        default=("temporary-or-public-default", "home"),
        when=When.BEFORE_CONNECT,
        reads_back=ReadBack.MOVING,
        risk=Risk.WARN,
        mptcp=Mptcp.MISSING,
        since="2.6.26",
        doc="Which of the host's own addresses are preferred as the source (RFC 5014).",
        pitfall="The kernel completes what was left out: every pair of opposites reads as decided.",
        source="net/ipv6/ipv6_sockglue.c",
    ),
    SocketOption(
        name="IPV6_MINHOPCOUNT",
        level=IPPROTO_IPV6,
        number=73,
        codec=Codec.INT,
        family=Family.IPV6,
        minimum=0,
        maximum=255,
        default=0,
        risk=Risk.REFUSE,
        mptcp=Mptcp.REFUSED,
        since="2.6.35",
        doc="Drops received packets with a smaller hop limit (protection of BGP sessions).",
        pitfall="255 stalls every connection through a router.",
        source="net/ipv6/ipv6_sockglue.c",
    ),
    SocketOption(
        name="IPV6_FREEBIND",
        level=IPPROTO_IPV6,
        number=78,
        codec=Codec.BOOLEAN,
        family=Family.IPV6,
        default=False,
        when=When.BEFORE_BIND,
        risk=Risk.WARN,
        mptcp=Mptcp.OK,
        since="4.15",
        doc="Lets bind() take an address that the host does not have (yet).",
        pitfall="It is the same bit as IP_FREEBIND. On a bound socket it changes nothing.",
        source="net/ipv6/ipv6_sockglue.c",
    ),
)

BACKLOG: Final = SocketOption(
    name="backlog",
    level=-1,
    number=0,
    codec=Codec.INT,
    limit_sysctl="net.core.somaxconn",
    range_text="limited to net.core.somaxconn; a negative number means the maximum",
    when=When.LISTENER,
    when_text="at once",
    reads_back=ReadBack.CLAMPED,
    inherited=False,
    risk=Risk.SAFE,
    mptcp=Mptcp.OK,
    doc="How many connections may wait for accept(): what listen() was given.",
    pitfall="Above net.core.somaxconn it is cut without an error. A longer queue hides a program "
    "that accepts too slowly; it does not make it quicker.",
    source="listen(2); net/ipv4/af_inet.c",
)
"""Set by listen() once more and read from struct tcp_info: not an option of setsockopt(), so it
has no level, and it stands outside OPTIONS."""

BY_NAME: Final[Mapping[str, SocketOption]] = {option.name: option for option in OPTIONS}

READ_AS: Final[Mapping[str, str]] = {
    "SO_SNDBUFFORCE": "SO_SNDBUF",
    "SO_RCVBUFFORCE": "SO_RCVBUF",
}
"""Options that can only be set, and the ones that show what became of it."""


RECEIVE_BUFFERS: Final = frozenset({"SO_RCVBUF", "SO_RCVBUFFORCE"})
BUFFERS: Final = RECEIVE_BUFFERS | {"SO_SNDBUF", "SO_SNDBUFFORCE"}
"""Options that set the size of a buffer, and pin it."""


def shown_by(option: SocketOption) -> SocketOption:
    """The option that reads what became of setting this one: mostly itself."""
    return BY_NAME.get(READ_AS.get(option.name, ""), option)


_PREFIXES: Final = ("", "TCP_", "SO_", "IP_", "IPV6_")


def find_option(name: str) -> SocketOption | None:
    """The option of this name, in any case, with or without its prefix.

    ``nodelay``, ``TCP_NODELAY`` and ``tcp-nodelay`` are the same.  A name without a prefix
    that several levels have is looked for in the order TCP_, SO_, IP_, IPV6_: ``timestamp``
    is TCP_TIMESTAMP, ``mtu_discover`` is IP_MTU_DISCOVER.  ``backlog`` is that of listen().
    """
    wanted = name.strip().upper().replace("-", "_")
    if wanted == BACKLOG.name.upper():
        return BACKLOG
    return next((BY_NAME[p + wanted] for p in _PREFIXES if p + wanted in BY_NAME), None)


def dscp_word(tos: int) -> str:
    """The name of the DSCP in a TOS or traffic-class byte: ``0xb8`` is ``ef``."""
    known = DSCP.get(tos >> 2)
    return known.word if known else f"dscp-{tos >> 2}"


_NUMBERS: Final = {
    Codec.INT: (-(1 << 31), (1 << 31) - 1),
    Codec.TOS: (-(1 << 31), (1 << 31) - 1),
    Codec.ENUM: (-(1 << 31), (1 << 31) - 1),
    Codec.UINT: (0, (1 << 32) - 1),
    Codec.FLAGS: (0, (1 << 32) - 1),
    Codec.UINT64: (0, (1 << 64) - 1),
    Codec.TIMEVAL: (0, (1 << 63) - 1),
}


def carried(codec: Codec) -> tuple[int, int]:
    """The smallest and the largest number that the bytes of a numeric codec can carry.

    Negative times are left out: the kernel takes them for no waiting at all, yet reads 0.
    """
    return _NUMBERS[codec]


def accepted_range(option: SocketOption) -> str:
    """What setsockopt() accepts, in words: ``1 to 32767``; empty if it accepts everything."""
    low, high = option.minimum, option.maximum
    numbers = ""
    if low is not None:
        numbers = f"{low} or more" if high is None else f"{low} to {high}"
    elif high is not None:
        numbers = f"at most {high}"
    return "; ".join(filter(None, (numbers, option.range_text)))


_EXTRA_DATA: Final = "It adds control messages: the program receives what it did not ask for."
_FILTER: Final = "A program in the kernel decides from then on which segments arrive."
_GROUP: Final = "It redirects the new connections of every listener that shares the port."
_KEYS: Final = "The peer drops every segment that is not signed as it expects."
_REPAIR: Final = "It freezes the connection and lets its state be overwritten."
_TIMEOUT: Final = "The program's blocking calls fail with EAGAIN, which many take for an error."
_BOUND: Final = "The next segment finds no socket, and the connection is reset."
_DROPS: Final = "Segments that came through a router are dropped, and the connection stalls."
_ERRORS: Final = "Turned on, passing ICMP errors end the connection; off, queued errors are lost."
_UNIX: Final = "Unix sockets only: TCP does not have it."

DANGERS: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        ("SO_TIMESTAMP", "SO_TIMESTAMPNS", "SO_TIMESTAMPING", "SO_RCVMARK", "SO_RCVPRIORITY",
         "TCP_INQ"), _EXTRA_DATA),
    **dict.fromkeys(("SO_ATTACH_FILTER", "SO_ATTACH_BPF"), _FILTER),
    **dict.fromkeys(
        ("SO_ATTACH_REUSEPORT_CBPF", "SO_ATTACH_REUSEPORT_EBPF", "SO_DETACH_REUSEPORT_BPF"),
        _GROUP),
    **dict.fromkeys(
        ("TCP_MD5SIG", "TCP_MD5SIG_EXT", "TCP_AO_ADD_KEY", "TCP_AO_DEL_KEY", "TCP_AO_INFO"),
        _KEYS),
    **dict.fromkeys(
        ("TCP_REPAIR", "TCP_REPAIR_QUEUE", "TCP_QUEUE_SEQ", "TCP_REPAIR_OPTIONS",
         "TCP_REPAIR_WINDOW", "TCP_TIMESTAMP", "TCP_AO_REPAIR"), _REPAIR),
    **dict.fromkeys(
        ("SO_RCVTIMEO", "SO_SNDTIMEO", "SO_RCVTIMEO_NEW", "SO_SNDTIMEO_NEW"), _TIMEOUT),
    **dict.fromkeys(("SO_BINDTODEVICE", "SO_BINDTOIFINDEX"), _BOUND),
    **dict.fromkeys(("IP_MINTTL", "IPV6_MINHOPCOUNT"), _DROPS),
    **dict.fromkeys(("IP_RECVERR", "IPV6_RECVERR"), _ERRORS),
    **dict.fromkeys(("SO_PASSPIDFD", "SO_PASSRIGHTS", "SO_INQ"), _UNIX),
    "SO_DONTROUTE": "A connection through a gateway stalls at once.",
    "SO_OOBINLINE": "It changes which bytes the program reads.",
    "SO_RCVLOWAT": "A program that waits for less data is not woken: it can stall for ever.",
    "SO_DETACH_FILTER": "The filter may protect the program, and it cannot be put back.",
    "SO_MARK": "Another route or a firewall rule may take the connection.",
    "SO_PEEK_OFF": "It changes what the program's own reads with MSG_PEEK return.",
    "SO_LOCK_FILTER": "It cannot be undone.",
    "SO_CNX_ADVICE": "The connection may move to another path, and there is no way back.",
    "SO_ZEROCOPY": "Buffers that the program has sent may not be used again until it reads "
    "completions, of which it knows nothing.",
    "SO_TXTIME": "Packets wait for times that the program does not give, and it cannot be undone.",
    "TCP_ULP": "The stream is handed to another protocol, and it cannot be undone.",
    "TCP_FASTOPEN_KEY": "Clients' cookies become void, and the old key cannot be kept safely.",
    "TCP_FASTOPEN_NO_COOKIE": "Anybody can make the server work with forged source addresses.",
    "TCP_TX_DELAY": "It delays every packet, or without fq only falsifies the measured times.",
    "IP_OPTIONS": "Many routers drop packets with options.",
    "IP_TRANSPARENT": "The socket may answer for addresses of other hosts.",
    "IP_UNICAST_IF": "Packets may leave through another interface and never arrive.",
}  # fmt: skip
"""Why tcptool refuses to set an option of Risk.REFUSE on a socket in use."""

_NEVER_FORCED: Final = frozenset(
    {
        "SO_LOCK_FILTER", "TCP_ULP",  # no setsockopt() takes them back
        "TCP_TIMESTAMP",  # a clock: what it was is past
        "IP_RECVERR", "IPV6_RECVERR",  # turning it off throws the queued errors away
    }
)  # fmt: skip


def forceable(option: SocketOption) -> bool:
    """Whether ``--force`` may set an option of Risk.REFUSE: only what can be put back.

    It must be readable, so that what it was is known, and it must not end the connection
    before anybody can undo it.  Structures have no text that could be typed.
    """
    return (
        option.readable
        and option.settable
        and option.codec not in (Codec.STRUCT, Codec.TXTIME)
        and option.when not in (When.KILLS, When.NO_EFFECT)
        and option.name not in _NEVER_FORCED
    )
