"""sock_diag for TCP: replies to ``Socket`` records.

Source: include/uapi/linux/inet_diag.h, net/ipv4/inet_diag.c, net/ipv4/tcp_diag.c, Linux 6.18.
"""

from __future__ import annotations

import struct
import sys
from typing import Final

from tcptool.catalog import diag
from tcptool.catalog.attributes import BbrInfo, DctcpInfo, MptcpInfo, SocketMemory, VegasInfo
from tcptool.catalog.derived import accept_queue, backlog, receive_queue_bytes, send_queue_bytes
from tcptool.catalog.states import FAMILIES, SHUTDOWNS, TCP_STATES, TIMERS, word, words
from tcptool.decode.address import address_text
from tcptool.decode.diag_request import cookie_halves, cookie_text
from tcptool.decode.netlink import (
    MalformedReply,
    attribute,
    attribute_places,
    attributes,
    name_text,
)
from tcptool.decode.structure import decode_structure
from tcptool.decode.tcp_info import decode_tcp_info, unknown_tail
from tcptool.model.sock import Congestion, DiagFlags, Endpoint, Socket

_HEADER: Final = struct.Struct("=BBBB48s5I")
_PORTS: Final = struct.Struct("!HH")
_FLAG_BITS: Final = (
    "recverr",
    "is_icsk",
    "freebind",
    "hdrincl",
    "mc_loop",
    "transparent",
    "mc_all",
    "nodefrag",
    "bind_address_no_port",
    "recverr_rfc4884",
    "defer_connect",
)
_ULP_NAME: Final = 1


def decode_socket(payload: bytes, protocol: int = diag.IPPROTO_TCP) -> Socket:
    """One reply, without its netlink header, as a record.

    Raises ``MalformedReply``; an attribute of an unexpected length never does.
    """
    if len(payload) < _HEADER.size:
        raise MalformedReply(f"a socket of {len(payload)} bytes, not {_HEADER.size} or more")
    family, state, timer, retrans, packed_id, expires, rqueue, wqueue, uid, inode = (
        _HEADER.unpack_from(payload)
    )
    found = attributes(payload, _HEADER.size)
    for secret in diag.SECRET_ATTRIBUTES:
        found.pop(secret, None)
    sport, dport = _PORTS.unpack_from(packed_id)
    ifindex, raw_cookie = struct.unpack_from("=IQ", packed_id, 36)
    has_inode = state not in _WITHOUT_OWNER
    info = found.get(diag.ATTR_INFO)
    is_mptcp = protocol == diag.IPPROTO_MPTCP
    return Socket(
        protocol=word(diag.PROTOCOLS, protocol),
        family=word(FAMILIES, family),
        state=word(TCP_STATES, state),
        local=Endpoint(address_text(family, packed_id[4:20]), sport),
        peer=Endpoint(address_text(family, packed_id[20:36]), dport),
        cookie=cookie_text(cookie_halves(raw_cookie)),
        inode=inode if has_inode else None,
        uid=uid if has_inode else None,
        ifindex=ifindex,
        timer=word(TIMERS, timer),
        timer_expires_ms=expires if timer else None,
        timer_retransmits=retrans,
        receive_queue_bytes=receive_queue_bytes(state, rqueue),
        send_queue_bytes=send_queue_bytes(state, wqueue),
        accept_queue=accept_queue(state, rqueue),
        backlog=backlog(state, wqueue),
        shutdown=_flags(found.get(diag.ATTR_SHUTDOWN)),
        cgroup_id=_number(found.get(diag.ATTR_CGROUP_ID), 8),
        mark=_number(found.get(diag.ATTR_MARK), 4),
        tos=_number(found.get(diag.ATTR_TOS), 1),
        tclass=_number(found.get(diag.ATTR_TCLASS), 1),
        class_id=_number(found.get(diag.ATTR_CLASS_ID), 4),
        v6only=_boolean(found.get(diag.ATTR_SKV6ONLY)),
        ulp=_ulp(found.get(diag.ATTR_ULP_INFO)),
        flags=_sockopt(found.get(diag.ATTR_SOCKOPT)),
        memory=decode_structure(SocketMemory, found[diag.ATTR_SKMEMINFO])
        if diag.ATTR_SKMEMINFO in found
        else None,
        congestion=_congestion(found),
        tcp_info=None if info is None or is_mptcp else decode_tcp_info(info),
        tcp_info_bytes=None if info is None or is_mptcp else len(info),
        tcp_info_unknown=None if info is None or is_mptcp else unknown_tail(info),
        mptcp_info=decode_structure(MptcpInfo, info) if info is not None and is_mptcp else None,
        packed_id=packed_id,
    )


def without_secrets(payload: bytes) -> bytes:
    """The same reply without the attributes that hold keys: fit to be written to a file."""
    kept = [payload[: _HEADER.size]]
    kept += [
        attribute(number, payload[offset : offset + length])
        for number, offset, length in attribute_places(payload, _HEADER.size)
        if number not in diag.SECRET_ATTRIBUTES
    ]
    return b"".join(kept)


_WITHOUT_OWNER: Final = frozenset({3, 6, 12})
"""SYN_RECV, TIME_WAIT and NEW_SYN_RECV rows are no full sockets: their uid and inode are 0."""


def _number(raw: bytes | None, size: int) -> int | None:
    return (
        int.from_bytes(raw[:size], sys.byteorder) if raw is not None and len(raw) >= size else None
    )


def _boolean(raw: bytes | None) -> bool | None:
    number = _number(raw, 1)
    return None if number is None else bool(number)


def _flags(raw: bytes | None) -> tuple[str, ...] | None:
    number = _number(raw, 1)
    return None if number is None else words(SHUTDOWNS, number)


def _sockopt(raw: bytes | None) -> DiagFlags | None:
    if raw is None or len(raw) < 2:
        return None
    # C bit fields count from the low bit on little-endian, from the high bit on big-endian.
    order = range(8) if sys.byteorder == "little" else range(7, -1, -1)
    bits = [byte >> i & 1 for byte in raw[:2] for i in order]
    return DiagFlags(**{name: bool(bit) for name, bit in zip(_FLAG_BITS, bits, strict=False)})


def _ulp(raw: bytes | None) -> str | None:
    if raw is None:
        return None
    name = attributes(raw, 0).get(_ULP_NAME)
    return None if name is None else name_text(name)


def _congestion(found: dict[int, bytes]) -> Congestion | None:
    name = found.get(diag.ATTR_CONG)
    bbr = (
        decode_structure(BbrInfo, found[diag.ATTR_BBRINFO]) if diag.ATTR_BBRINFO in found else None
    )
    dctcp, vegas = found.get(diag.ATTR_DCTCPINFO), found.get(diag.ATTR_VEGASINFO)
    if name is None and bbr is None and dctcp is None and vegas is None:
        return None
    bandwidth = None
    if bbr is not None and bbr.bw_lo is not None and bbr.bw_hi is not None:
        bandwidth = bbr.bw_hi << 32 | bbr.bw_lo
    return Congestion(
        name=None if name is None else name_text(name),
        bbr=bbr,
        bbr_bandwidth_bytes_per_s=bandwidth,
        dctcp=None if dctcp is None else decode_structure(DctcpInfo, dctcp),
        vegas=None if vegas is None else decode_structure(VegasInfo, vegas),
    )
