"""rtnetlink: requests for the devices and queueing disciplines, and their answers as records.

Source: rtnetlink(7); include/uapi/linux/{rtnetlink,if_link,gen_stats}.h, Linux 6.18.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from tcptool.catalog import route
from tcptool.catalog.diag import NLM_F_DUMP, NLM_F_REQUEST
from tcptool.decode.netlink import attributes, message, messages, name_text
from tcptool.model.host import Link, Qdisc

_IFINFO: Final = struct.Struct("=BxHiII")
"""Family, type, index, flags, change mask."""
_TC: Final = struct.Struct("=BxxxiIII")
"""Family, index of the device, handle, parent, info."""
_NUMBER: Final = struct.Struct("=I")
_DROPS: Final = 8


def links_request() -> bytes:
    """A dump of every device of the network namespace."""
    return message(route.RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 0, _IFINFO.pack(0, 0, 0, 0, 0))


def qdiscs_request() -> bytes:
    """A dump of every queueing discipline."""
    return message(route.RTM_GETQDISC, NLM_F_REQUEST | NLM_F_DUMP, 0, _TC.pack(0, 0, 0, 0, 0))


def links(datagram: bytes) -> Iterator[Link]:
    """The devices in one datagram.  Raises MalformedReply."""
    for one in messages(datagram):
        if one.type != route.RTM_NEWLINK or len(one.payload) < _IFINFO.size:
            continue
        _, _, index, flags, _ = _IFINFO.unpack_from(one.payload)
        found = attributes(one.payload, route.IFINFOMSG_BYTES)
        yield Link(
            name=name_text(found.get(route.IFLA_IFNAME, b"")),
            index=index,
            loopback=bool(flags & route.IFF_LOOPBACK),
            up=bool(flags & route.IFF_UP),
            address=found.get(route.IFLA_ADDRESS, b"").hex(":"),
            mtu_bytes=_number(found.get(route.IFLA_MTU, b"")),
            carrier_changes=_number(found.get(route.IFLA_CARRIER_CHANGES, b"")),
            counters=_counters(found.get(route.IFLA_STATS64, b"")),
        )


def qdiscs(datagram: bytes) -> Iterator[Qdisc]:
    """The queueing disciplines in one datagram.  Raises MalformedReply."""
    for one in messages(datagram):
        if one.type != route.RTM_NEWQDISC or len(one.payload) < _TC.size:
            continue
        _, link, handle, parent, _ = _TC.unpack_from(one.payload)
        found = attributes(one.payload, route.TCMSG_BYTES)
        queue = attributes(found.get(route.TCA_STATS2, b""), 0).get(route.TCA_STATS_QUEUE, b"")
        yield Qdisc(
            link=link,
            kind=name_text(found.get(route.TCA_KIND, b"")),
            handle=handle,
            parent=parent,
            drops=_number(queue[_DROPS:]),
        )


def _number(raw: bytes) -> int | None:
    return int(_NUMBER.unpack_from(raw)[0]) if len(raw) >= _NUMBER.size else None


def _counters(raw: bytes) -> dict[str, int]:
    numbers = struct.unpack_from(f"={len(raw) // 8}Q", raw)
    return dict(zip(route.STATS64, numbers, strict=False))
