"""`inspect`: everything about one socket, once or followed over time.

The socket's owner is disturbed as little as can be: the row comes from sock_diag, the options
from one borrow of well under a millisecond, and following never borrows at all.
"""

from __future__ import annotations

import errno
from collections.abc import Generator
from typing import Final

from tcptool.actions.host import host_facts
from tcptool.actions.resolve import Found
from tcptool.analysis.option_marks import BUFFERS, marks
from tcptool.analysis.readings import derive, rates
from tcptool.catalog import diag
from tcptool.catalog.options import OPTIONS, Access, Family, OptionValue, SocketOption
from tcptool.decode.address import packed_address
from tcptool.decode.diag_request import pack_id
from tcptool.decode.options import decode_option
from tcptool.decode.tcp_info import decode_accecn
from tcptool.errors import NotPermitted, TcptoolError
from tcptool.linux.borrow import Descriptor, check_identity
from tcptool.linux.cgroups import cgroup_paths
from tcptool.linux.kernel import Kernel
from tcptool.linux.lookup import find, sockets
from tcptool.linux.owners import Owners, find_owners
from tcptool.linux.sock_diag import Dump
from tcptool.linux.users import user_name
from tcptool.model.inspection import (
    HolderRecord,
    Inspection,
    InspectReport,
    OptionReading,
    OtherEnd,
    Sample,
    WatchEnd,
)
from tcptool.model.owner import Holder
from tcptool.model.report import Missing, Warning
from tcptool.model.sock import Socket

_FAMILIES: Final = {"ipv4": diag.AF_INET, "ipv6": diag.AF_INET6}
_HANDSHAKING: Final = frozenset({"time-wait", "syn-recv", "new-syn-recv"})

Readings = dict[SocketOption, bytes | int]
"""An option's raw value, or the errno with which the kernel refused it."""


def inspect_socket(found: Found) -> InspectReport:
    """Everything about the socket, and what could not be seen."""
    kernel, sock = found.kernel, found.socket
    missing: list[Missing] = []
    warnings: list[Warning] = []
    other = _other_end(kernel, sock)
    owners = _owners(kernel, [s.inode for s in (sock, other) if s is not None and s.inode])
    holders = owners.of(sock.inode)
    if not holders and found.descriptor is not None:
        process = kernel.proc.process(found.descriptor[0])
        holders = (Holder(process, found.descriptor[1]),) if process else ()
    options = _options(kernel, sock, holders, missing)
    if sock.inode and not holders:
        missing += owners.missing()
    if sock.tcp_info is None and sock.protocol == "tcp" and sock.state not in _HANDSHAKING:
        missing.append(_NO_TCP_INFO)
    if sock.mark is None and sock.state not in _HANDSHAKING:
        missing.append(_NO_MARK)
    if sock.tcp_info_unknown:
        warnings.append(_newer_kernel(sock))
    inspection = Inspection(
        socket=sock,
        holders=_records(holders),
        user=None if sock.uid is None else user_name(sock.uid),
        cgroup=_cgroup(kernel, sock, holders),
        netns_inode=_netns_inode(kernel),
        accecn=decode_accecn(sock.tcp_info.accecn_raw if sock.tcp_info else None, kernel.release()),
        derived=derive(sock.tcp_info),
        options=options,
        other_end=OtherEnd(socket=other, holders=_records(owners.of(other.inode)))
        if other
        else None,
        subflows=_subflows(kernel, sock),
    )
    return InspectReport(host_facts(kernel), inspection, missing, warnings)


_NO_TCP_INFO: Final = Missing(
    what="tcp_info",
    why="sock_diag gave no INFO attribute",
    needs="a kernel with CONFIG_INET_TCP_DIAG",
)
_NO_MARK: Final = Missing(
    what="mark (SO_MARK)",
    why="sock_diag shows it to privileged callers only",
    needs="CAP_NET_ADMIN (run with sudo)",
)


def _newer_kernel(sock: Socket) -> Warning:
    return Warning(
        "newer_tcp_info",
        f"this kernel's tcp_info has {sock.tcp_info_bytes} bytes, more than tcptool knows; "
        "the rest is in tcp_info_unknown",
    )


def _owners(kernel: Kernel, inodes: list[int]) -> Owners:
    if not inodes:
        return Owners()
    return find_owners(kernel.proc, _netns_inode(kernel), set(inodes))


def _netns_inode(kernel: Kernel) -> int | None:
    try:
        return kernel.netns_inode()
    except OSError:
        return None


def _records(holders: tuple[Holder, ...]) -> tuple[HolderRecord, ...]:
    return tuple(
        HolderRecord(
            pid=h.process.pid, fd=h.fd, process=h.process.name, start_ticks=h.process.start_ticks
        )
        for h in holders
    )


def _cgroup(kernel: Kernel, sock: Socket, holders: tuple[Holder, ...]) -> str | None:
    if sock.cgroup_id is not None and (path := cgroup_paths(kernel.proc).get(sock.cgroup_id)):
        return path
    return kernel.proc.cgroup(holders[0].process.pid) if holders else None


def _other_end(kernel: Kernel, sock: Socket) -> Socket | None:
    """The socket with the same addresses the other way round, if it is in this namespace."""
    if not sock.peer.port or sock.protocol != "tcp":
        return None
    local, peer = packed_address(sock.local.address), packed_address(sock.peer.address)
    family = diag.AF_INET if len(local) == 4 else diag.AF_INET6
    other = find(kernel, family, pack_id((peer, sock.peer.port), (local, sock.local.port)))
    # Without a cookie the kernel may answer with the listener of that port.
    if other is None or (other.local, other.peer) != (sock.peer, sock.local):
        return None
    return None if other.cookie == sock.cookie else other


def _subflows(kernel: Kernel, sock: Socket) -> tuple[Socket, ...]:
    """The TCP sockets below an MPTCP connection: they have its inode."""
    if sock.protocol != "mptcp":
        return ()
    return tuple(s for s in sockets(Dump(kernel)) if s.inode == sock.inode and s.protocol == "tcp")


# -- options -------------------------------------------------------------------------------


def _options(
    kernel: Kernel, sock: Socket, holders: tuple[Holder, ...], missing: list[Missing]
) -> tuple[OptionReading, ...] | None:
    if not holders:
        if sock.state not in _HANDSHAKING:
            missing.append(
                Missing(
                    what="socket options",
                    why="no process that holds the socket is known",
                    needs="a descriptor: CAP_SYS_PTRACE shows other users' (run with sudo); "
                    "sockets in an accept queue and orphans have none",
                )
            )
        return None
    wanted = [o for o in OPTIONS if o.readable and o.family in (Family.ANY, sock.family)]
    readings, refusal = _borrow_from_one(kernel, sock, holders, wanted)
    if refusal is not None:
        missing.append(
            Missing(
                what="socket options",
                why=f"{refusal.doing}: {refusal.why}",
                needs=refusal.hint
                if isinstance(refusal, NotPermitted)
                else "the socket to stay open",
            )
        )
        return None
    family = _FAMILIES.get(sock.family, diag.AF_INET)
    with kernel.fresh_socket(family) as fresh:
        defaults = read_options(fresh, wanted)
    return _readings(kernel, readings, defaults)


def _borrow_from_one(
    kernel: Kernel, sock: Socket, holders: tuple[Holder, ...], wanted: list[SocketOption]
) -> tuple[Readings, TcptoolError | None]:
    """Read the options through the first holder that allows it."""
    refusal: TcptoolError | None = None
    cookie = int(sock.cookie, 16) if sock.cookie else None
    for holder in holders:
        doing = f"borrowing descriptor {holder.fd} of process {holder.process.pid}"
        try:
            with kernel.borrow(holder.process.pid, holder.fd) as descriptor:
                check_identity(descriptor, doing, inode=sock.inode, cookie=cookie)
                return read_options(descriptor, wanted), None
        except TcptoolError as exc:
            refusal = refusal or exc
    return {}, refusal


def read_options(descriptor: Descriptor, wanted: list[SocketOption]) -> Readings:
    """The raw values; decoding waits until the descriptor has been given back."""
    readings: Readings = {}
    for option in wanted:
        try:
            readings[option] = descriptor.getsockopt(option.level, option.number, option.size)
        except OSError as exc:
            readings[option] = exc.errno or errno.EIO
    return readings


def _readings(kernel: Kernel, raw: Readings, raw_defaults: Readings) -> tuple[OptionReading, ...]:
    def decoded(readings: Readings, option: SocketOption) -> OptionValue | None:
        value = readings.get(option)
        return decode_option(option, value) if isinstance(value, bytes) else None

    locks = next((decoded(raw, option) for option in raw if option.name == "SO_BUF_LOCK"), None)
    result = []
    for option in raw:
        value, default = decoded(raw, option), decoded(raw_defaults, option)
        if value is None:
            continue  # this kernel, this state or this protocol does not have it
        if option.access is Access.READ_ONLY:
            default = None  # a fresh socket's cookie is nobody's default
        limit = _sysctl(kernel, BUFFERS[option.name][1]) if option.name in BUFFERS else None
        result.append(
            OptionReading(
                name=option.name,
                value=value,
                unit=option.unit.value,
                default=default,
                marks=marks(option, value, default, locks=locks, limit_bytes=limit),
            )
        )
    return tuple(result)


def _sysctl(kernel: Kernel, name: str) -> int | None:
    try:
        return int(kernel.proc.read(f"sys/net/{name}"))
    except (OSError, ValueError):
        return None


# -- following -----------------------------------------------------------------------------


def watch_socket(
    found: Found, *, interval_s: float, count: int | None
) -> Generator[Sample | WatchEnd, None, None]:
    """Readings every ``interval_s`` until the connection ends, ``count`` is reached or Ctrl-C.

    The last item is a ``WatchEnd``.  The descriptor is never touched: readings come from
    sock_diag by cookie, so the owner cannot notice.
    """
    kernel, first = found.kernel, found.socket
    start = due = kernel.monotonic()
    previous, previous_at, samples, reason = first, start, 0, "connection-ended"
    smallest, largest = None, None
    try:
        current: Socket | None = first
        while current is not None:
            now = kernel.monotonic()
            changes = rates(
                previous.tcp_info if samples else None, current.tcp_info, now - previous_at
            )
            samples += 1
            previous, previous_at = current, now
            rtt = current.tcp_info.rtt_us if current.tcp_info else None
            if rtt is not None:
                smallest = rtt if smallest is None else min(smallest, rtt)
                largest = rtt if largest is None else max(largest, rtt)
            yield Sample(
                event="sample",
                elapsed_s=now - start,
                socket=current,
                rates=changes,
                host=host_facts(kernel),
            )
            if samples == count:
                reason = "count-reached"
                break
            due = max(due + interval_s, kernel.monotonic())
            kernel.wait(due - kernel.monotonic())
            current = _again(kernel, previous)
    except KeyboardInterrupt:
        reason = "interrupted"
    elapsed_s = previous_at - start
    yield WatchEnd(
        event="end",
        reason=reason,
        samples=samples,
        elapsed_s=elapsed_s,
        total=rates(first.tcp_info, previous.tcp_info, elapsed_s),
        min_rtt_us=smallest,
        max_rtt_us=largest,
        last=previous,
        host=host_facts(kernel),
    )


def _again(kernel: Kernel, sock: Socket) -> Socket | None:
    """The same socket now; None once it has gone.

    A listener of a SO_REUSEPORT group may be out of reach of the exact look-up.
    """
    if not sock.packed_id:
        return None
    if sock.protocol == "tcp":
        again = find(kernel, _FAMILIES[sock.family], sock.packed_id)
        if again is not None or sock.state != "listen":
            return again
    same = (
        s for s in sockets(Dump(kernel)) if s.cookie == sock.cookie and s.protocol == sock.protocol
    )
    return next(same, None)
