"""rtnetlink messages as the kernel writes them: devices and queueing disciplines."""

from __future__ import annotations

import struct

from tcptool.catalog import route
from tcptool.decode.netlink import attribute, message


def link_message(
    name: str,
    index: int,
    *,
    flags: int = route.IFF_UP,
    address: bytes = b"\x02\0\0\0\0\1",
    mtu: int = 1500,
    carrier_changes: int = 2,
    **counters: int,
) -> bytes:
    """One RTM_NEWLINK; ``counters`` are members of struct rtnl_link_stats64."""
    stats = struct.pack(
        f"={len(route.STATS64) + 9}Q", *(counters.get(n, 0) for n in route.STATS64), *[0] * 9
    )
    body = struct.pack("=BxHiII", 0, 1, index, flags, 0)
    body += attribute(route.IFLA_IFNAME, name.encode() + b"\0")
    body += attribute(route.IFLA_ADDRESS, address)
    body += attribute(route.IFLA_MTU, struct.pack("=I", mtu))
    body += attribute(route.IFLA_CARRIER_CHANGES, struct.pack("=I", carrier_changes))
    body += attribute(route.IFLA_STATS64, stats)
    return message(route.RTM_NEWLINK, 2, 0, body)


def qdisc_message(
    link: int, kind: str, *, drops: int = 0, parent: int = 0xFFFF_FFFF, handle: int = 0
) -> bytes:
    """One RTM_NEWQDISC."""
    body = struct.pack("=BxxxiIII", 0, link, handle, parent, 2)
    body += attribute(route.TCA_KIND, kind.encode() + b"\0")
    queue = attribute(route.TCA_STATS_QUEUE, struct.pack("=5I", 0, 0, drops, 0, 0))
    body += attribute(route.TCA_STATS2, attribute(1, bytes(16)) + queue)
    return message(route.RTM_NEWQDISC, 2, 0, body)
