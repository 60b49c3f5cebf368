"""The numbers of the sock_diag protocol: messages, attributes, request bits, layouts.

Sources: include/uapi/linux/{netlink,sock_diag,inet_diag}.h and net/ipv4/inet_diag.c, Linux 6.18.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tcptool.catalog.states import Meaning

NETLINK_SOCK_DIAG: Final = 4
SOCK_DIAG_BY_FAMILY: Final = 20
NLMSG_ERROR: Final = 2
NLMSG_DONE: Final = 3
NLM_F_REQUEST: Final = 0x1
NLM_F_DUMP: Final = 0x300

AF_INET: Final = 2
AF_INET6: Final = 10
IPPROTO_TCP: Final = 6
IPPROTO_MPTCP: Final = 262

PROTOCOLS: Final = {
    IPPROTO_TCP: Meaning("tcp", "IPPROTO_TCP"),
    IPPROTO_MPTCP: Meaning("mptcp", "IPPROTO_MPTCP: one connection over several paths"),
}

V4_MAPPED: Final = bytes(10) + b"\xff\xff"
"""``::ffff:0:0/96`` (RFC 4291, 2.5.5.2): IPv4 through an IPv6 socket."""

NO_COOKIE: Final = 0xFFFF_FFFF_FFFF_FFFF
"""INET_DIAG_NOCOOKIE twice: "any socket with these addresses"."""

ALL_STATES: Final = 0x0FFF
"""Every ordinary state.  Bit 13 (bound-inactive) is left out on purpose: a dump that asks
for it ignores the ports of the request."""

# Extensions: which attributes a request asks for, as 1 << (attribute - 1).
EXT_MEMINFO: Final = 1 << 0
EXT_INFO: Final = 1 << 1
EXT_VEGASINFO: Final = 1 << 2
EXT_CONG: Final = 1 << 3
EXT_TOS: Final = 1 << 4
EXT_TCLASS: Final = 1 << 5
EXT_SKMEMINFO: Final = 1 << 6
EXT_SHUTDOWN: Final = 1 << 7
EXT_ALL: Final = 0xFF

# Attributes of a reply.
ATTR_MEMINFO: Final = 1
ATTR_INFO: Final = 2
ATTR_VEGASINFO: Final = 3
ATTR_CONG: Final = 4
ATTR_TOS: Final = 5
ATTR_TCLASS: Final = 6
ATTR_SKMEMINFO: Final = 7
ATTR_SHUTDOWN: Final = 8
ATTR_DCTCPINFO: Final = 9
ATTR_PROTOCOL: Final = 10
ATTR_SKV6ONLY: Final = 11
ATTR_MARK: Final = 15
ATTR_BBRINFO: Final = 16
ATTR_CLASS_ID: Final = 17
ATTR_MD5SIG: Final = 18
ATTR_ULP_INFO: Final = 19
ATTR_CGROUP_ID: Final = 21
ATTR_SOCKOPT: Final = 22

SECRET_ATTRIBUTES: Final = frozenset({ATTR_MD5SIG})
"""Raw TCP-MD5 keys, which the kernel hands to root.  Dropped by the parser, unread."""

ATTR_TYPE_MASK: Final = 0x3FFF

# Attributes of a request.
REQ_BYTECODE: Final = 1
REQ_PROTOCOL: Final = 3

NLMSG_HEADER_BYTES: Final = 16
DIAG_MSG_BYTES: Final = 72


class HeaderMember(NamedTuple):
    """One member of ``struct inet_diag_msg``: struct format character(s) and offset."""

    format: str
    offset: int
    big_endian: bool = False


DIAG_MSG: Final = {
    "family": HeaderMember("B", 0),
    "state": HeaderMember("B", 1),
    "timer": HeaderMember("B", 2),
    "retrans": HeaderMember("B", 3),
    "sport": HeaderMember("H", 4, big_endian=True),
    "dport": HeaderMember("H", 6, big_endian=True),
    "src": HeaderMember("16s", 8),
    "dst": HeaderMember("16s", 24),
    "ifindex": HeaderMember("I", 40),
    "cookie": HeaderMember("Q", 44),
    "expires": HeaderMember("I", 52),
    "rqueue": HeaderMember("I", 56),
    "wqueue": HeaderMember("I", 60),
    "uid": HeaderMember("I", 64),
    "inode": HeaderMember("I", 68),
}
"""``struct inet_diag_msg``.  The cookie's two 32-bit halves (low, high) read as one number
on little-endian machines; the decoder puts them together by hand on others."""
