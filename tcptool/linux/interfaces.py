"""Network interfaces: which one has an address, and whether it takes large segments."""

from __future__ import annotations

import array
import contextlib
import fcntl
import ipaddress
import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tcptool.linux.kernel import Kernel

_SIOCGIFCONF: Final = 0x8912  # include/uapi/linux/sockios.h
_IFREQ: Final = struct.Struct("16s4x4s16x")
"""Name, and the address of a struct sockaddr_in: include/uapi/linux/if.h, 64-bit."""
_INTERFACES: Final = 256
"""Addresses that there is room for; those beyond are not found."""
_SIOCETHTOOL: Final = 0x8946  # include/uapi/linux/sockios.h
_ETHTOOL_GGSO: Final = 0x23  # include/uapi/linux/ethtool.h


def interface_of(kernel: Kernel, fd: int, address: str) -> str | None:
    """The interface that has this address, as ``eth0``; None if none seems to.

    ``fd`` is a socket of the network namespace that ``kernel`` speaks to.
    """
    wanted = ipaddress.ip_address(address.partition("%")[0])
    if wanted.is_loopback:
        return "lo"
    if isinstance(wanted, ipaddress.IPv6Address):
        if wanted.ipv4_mapped is None:
            return _with_ipv6(kernel, wanted.packed.hex())
        wanted = wanted.ipv4_mapped
    return _with_ipv4(fd, wanted.packed)


def _with_ipv6(kernel: Kernel, address_hex: str) -> str | None:
    """Source: /proc/net/if_inet6, net/ipv6/addrconf.c, if6_seq_show()."""
    with contextlib.suppress(OSError):
        for line in kernel.net_text("if_inet6").splitlines():
            words = line.split()
            if words[0] == address_hex:
                return words[-1]
    return None


def _with_ipv4(fd: int, packed: bytes) -> str | None:
    """Source: netdevice(7), SIOCGIFCONF."""
    room = array.array("B", bytes(_IFREQ.size * _INTERFACES))
    request = struct.pack("iP", len(room), room.buffer_info()[0])
    try:
        used = struct.unpack_from("i", fcntl.ioctl(fd, _SIOCGIFCONF, request))[0]
    except OSError:
        return None
    for name, one in _IFREQ.iter_unpack(room.tobytes()[:used]):
        if one == packed:
            return str(name.partition(b"\0")[0].decode("ascii", "backslashreplace"))
    return None


def takes_large_segments(fd: int, interface: str) -> bool | None:
    """Whether segments larger than the mss are handed to it (GSO); None where it does not tell.

    ``fd`` is a socket of the interface's network namespace.  Source: ioctl SIOCETHTOOL,
    net/ethtool/ioctl.c, ETHTOOL_GGSO.
    """
    value = array.array("I", [_ETHTOOL_GGSO, 0])
    request = struct.pack("16sP16x", interface.encode(), value.buffer_info()[0])
    try:
        fcntl.ioctl(fd, _SIOCETHTOOL, request)
    except OSError:
        return None
    return bool(value[1])
