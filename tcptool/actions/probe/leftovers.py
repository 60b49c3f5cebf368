"""What connections leave behind in the kernel: counters, TIME_WAIT and ports.

They are of a whole network namespace, so other programs are in them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import NamedTuple

from tcptool.actions.host import sysctl_number
from tcptool.analysis import connect as analysis
from tcptool.decode.address import packed_address
from tcptool.decode.inet_diag import decode_socket
from tcptool.decode.net_counters import parse_counters, parse_ports, parse_sockstat
from tcptool.decode.netlink import messages
from tcptool.errors import describe_errno
from tcptool.linux.kernel import Kernel
from tcptool.linux.sock_diag import Dump
from tcptool.model.connect import PortUse
from tcptool.model.filter import And, Compare, Host
from tcptool.model.report import Missing
from tcptool.sansio.filter_bytecode import compile_for_kernel
from tcptool.traffic.ends import Address


class Snapshot(NamedTuple):
    """What the kernel counted in this network namespace; empty where it could not be read."""

    counters: dict[str, int]
    sockets: dict[str, int]


def snapshot(kernel: Kernel, missing: list[Missing]) -> Snapshot:
    """What stands there now."""
    counters: dict[str, int] = {}
    sockets: dict[str, int] = {}
    for name in ("snmp", "netstat", "sockstat"):
        try:
            text = kernel.net_text(name)
        except OSError as exc:
            why = describe_errno(exc.errno or 0)
            missing.append(Missing(f"what /proc/net/{name} counts", why, "a readable /proc/net"))
            continue
        if name == "sockstat":
            sockets = parse_sockstat(text)
        else:
            counters |= parse_counters(text)
    return Snapshot(counters, sockets)


def port_use(
    kernel: Kernel, address: Address, used: Iterable[int], missing: list[Missing]
) -> PortUse | None:
    """The local ports at the end; None where the range cannot be read."""
    try:
        [ports] = parse_ports(kernel.sysctl("net.ipv4.ip_local_port_range"))
    except (OSError, ValueError):
        missing.append(Missing("local ports", "no net.ipv4.ip_local_port_range", "/proc/sys"))
        return None
    reserved: tuple[range, ...] = ()
    with contextlib.suppress(OSError, ValueError):
        reserved = parse_ports(kernel.sysctl("net.ipv4.ip_local_reserved_ports"))
    host, port = address.name[:2]
    taken = _ports_to(kernel, address.family, host.partition("%")[0], port)
    tw_reuse = sysctl_number(kernel, "net.ipv4.tcp_tw_reuse")
    return analysis.port_use(ports, reserved, len(set(used)), taken, tw_reuse)


def _ports_to(kernel: Kernel, family: int, host: str, port: int) -> set[int]:
    """Local ports that have a connection to this address and port, TIME_WAIT included."""
    address = packed_address(host)
    there = And((Host("peer", address, 8 * len(address)), Compare("peer_port", "=", port)))
    code = compile_for_kernel(there).bytecode
    found = set()
    for part in Dump(kernel, families=(family,), extensions=0, bytecode=code):
        for message in messages(part.datagram):
            sock = decode_socket(message.payload, part.protocol)
            if (sock.peer.address, sock.peer.port) == (host, port):  # /proc/net is not filtered
                found.add(sock.local.port)
    return found
