"""Asking sock_diag for all sockets, or for those that its own filter accepts.

A dump is not a snapshot: while thousands of connections come and go, rows may be missed or
come twice.  Where the kernel has no sock_diag, /proc/net/tcp and tcp6 stand in, and what they
lack is named in ``missing``.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from tcptool.catalog import diag
from tcptool.decode.diag_request import dump_request
from tcptool.decode.proc import net_tcp_as_diag
from tcptool.errors import from_oserror
from tcptool.linux.kernel import Kernel
from tcptool.model.report import Missing

FAMILIES: Final = (diag.AF_INET, diag.AF_INET6)

# No handler for the protocol (tcp_diag is not loaded), no netlink family, no AF_NETLINK,
# or a sandbox that forbids it.
NO_SOCK_DIAG: Final = frozenset(
    {errno.ENOENT, errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT, errno.EPERM, errno.EACCES}
)
_PROC_NET: Final = {diag.AF_INET: "tcp", diag.AF_INET6: "tcp6"}


@dataclass(frozen=True, slots=True)
class Part:
    """One datagram of a dump.  Every message in it is of this family's dump and protocol."""

    protocol: int
    datagram: bytes


@dataclass(slots=True)
class Dump:
    """Every socket of a network namespace, datagram by datagram; iterate it once.

    ``missing`` is complete when the iteration has ended.
    """

    kernel: Kernel
    families: Iterable[int] = FAMILIES
    states: int = diag.ALL_STATES
    extensions: int = diag.EXT_ALL
    bytecode: bytes = b""
    missing: list[Missing] = field(default_factory=list)

    def __iter__(self) -> Iterator[Part]:
        if not self.states:
            return
        for family in self.families:
            for protocol in (diag.IPPROTO_TCP, diag.IPPROTO_MPTCP):
                yield from self._dump(family, protocol)

    def _dump(self, family: int, protocol: int) -> Iterator[Part]:
        request = dump_request(
            family,
            protocol=protocol,
            states=self.states,
            extensions=self.extensions,
            bytecode=self.bytecode,
        )
        try:
            for datagram in self.kernel.diag(request):
                yield Part(protocol, datagram)
        except OSError as exc:
            if exc.errno not in NO_SOCK_DIAG:
                raise from_oserror("dumping the TCP sockets through sock_diag", exc) from exc
            if protocol == diag.IPPROTO_TCP:
                yield from self._from_proc(family, exc)

    def _from_proc(self, family: int, cause: OSError) -> Iterator[Part]:
        """The rows of /proc/net, unfiltered: the caller applies its filter anyway."""
        lost = Missing(
            what="tcp_info, memory, congestion control and cookies",
            why=f"sock_diag is not available ({errno.errorcode[cause.errno or 0]}); "
            "the rows come from /proc/net",
            needs="a kernel with CONFIG_INET_TCP_DIAG (modprobe tcp_diag)",
        )
        if lost not in self.missing:
            self.missing.append(lost)
        try:
            text = self.kernel.net_text(_PROC_NET[family])
        except FileNotFoundError:
            return  # a kernel without IPv6
        for datagram in net_tcp_as_diag(text, family):
            if 1 << datagram[diag.NLMSG_HEADER_BYTES + 1] & self.states:
                yield Part(diag.IPPROTO_TCP, datagram)
