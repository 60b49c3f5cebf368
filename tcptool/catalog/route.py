"""The numbers of rtnetlink that `doctor` needs: devices and their queueing disciplines.

Sources: include/uapi/linux/{rtnetlink,if_link,pkt_sched,gen_stats}.h, Linux 6.18.
"""

from __future__ import annotations

from typing import Final

NETLINK_ROUTE: Final = 0
RTM_NEWLINK: Final = 16
RTM_GETLINK: Final = 18
RTM_NEWQDISC: Final = 36
RTM_GETQDISC: Final = 38

IFINFOMSG_BYTES: Final = 16
TCMSG_BYTES: Final = 20
TC_H_ROOT: Final = 0xFFFF_FFFF
"""The parent of a device's own queueing discipline."""

IFLA_ADDRESS: Final = 1
IFLA_IFNAME: Final = 3
IFLA_MTU: Final = 4
IFLA_STATS64: Final = 23
IFLA_CARRIER_CHANGES: Final = 35

STATS64: Final = (
    "rx_packets",
    "tx_packets",
    "rx_bytes",
    "tx_bytes",
    "rx_errors",
    "tx_errors",
    "rx_dropped",
    "tx_dropped",
    "multicast",
    "collisions",
    "rx_length_errors",
    "rx_over_errors",
    "rx_crc_errors",
    "rx_frame_errors",
    "rx_fifo_errors",
    "rx_missed_errors",
)
"""The first members of ``struct rtnl_link_stats64``; later ones are not read."""

IFF_LOOPBACK: Final = 0x8
IFF_UP: Final = 0x1

TCA_KIND: Final = 1
TCA_STATS2: Final = 7
TCA_STATS_QUEUE: Final = 3
"""``struct gnet_stats_queue``: qlen, backlog, drops, requeues, overlimits; 32 bits each."""
