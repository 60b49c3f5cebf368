"""`inspect`: everything about one socket, once or followed over time.

The socket's owner is disturbed as little as can be: the row comes from sock_diag, the options
from one borrow of well under a millisecond, and following never borrows at all.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Final

from tcptool.actions.host import host_facts, sysctl_number
from tcptool.actions.resolve import FAMILY_NUMBERS, Found, is_over, other_end, subflows
from tcptool.analysis.option_marks import BUFFERS, marks
from tcptool.analysis.readings import derive, rates
from tcptool.catalog import diag
from tcptool.catalog.options import OPTIONS, Access, Family, OptionValue, SocketOption
from tcptool.catalog.tcp_info import TcpInfo
from tcptool.decode.options import decode_option
from tcptool.decode.tcp_info import decode_accecn
from tcptool.errors import NotFound, NotPermitted, TcptoolError, Unsupported
from tcptool.linux.cgroups import cgroup_paths
from tcptool.linux.kernel import Kernel
from tcptool.linux.lookup import find, sockets
from tcptool.linux.owners import Owners, find_owners
from tcptool.linux.sock_diag import Dump
from tcptool.linux.users import user_name
from tcptool.linux.visit import Readings, read_option, read_step, visit
from tcptool.model.inspection import (
    Inspection,
    InspectReport,
    OptionReading,
    OtherEnd,
    Rates,
    Sample,
    WatchEnd,
    holder_records,
)
from tcptool.model.owner import Holder
from tcptool.model.report import Missing, Warning
from tcptool.model.sock import Socket

_HANDSHAKING: Final = frozenset({"syn-recv", "new-syn-recv"})


def inspect_socket(found: Found) -> InspectReport:
    """Everything about the socket, and what could not be seen."""
    kernel, sock = found.kernel, found.socket
    missing: list[Missing] = []
    netns_inode = None if found.elsewhere else _netns_inode(kernel)
    other = None if found.elsewhere else other_end(kernel, sock)
    inodes = [s.inode for s in (sock, other) if s is not None and s.inode]
    owners = _owners(kernel, netns_inode, inodes)
    holders = owners.of(sock.inode)
    if not holders and found.descriptor is not None:
        process = kernel.proc.process(found.descriptor[0])
        holders = (Holder(process, found.descriptor[1]),) if process else ()
    options = _options(kernel, sock, holders, missing)
    if sock.inode and not holders:
        missing += owners.missing()
    sock = _with_mark(sock, options)
    found = replace(found, socket=sock)
    inspection = Inspection(
        socket=sock,
        holders=holder_records(holders),
        user=None if sock.uid is None else user_name(sock.uid),
        cgroup=_cgroup(kernel, sock, holders),
        netns_inode=netns_inode,
        accecn=decode_accecn(sock.tcp_info.accecn_raw if sock.tcp_info else None, kernel.release()),
        derived=derive(sock.tcp_info),
        options=options,
        other_end=OtherEnd(socket=other, holders=holder_records(owners.of(other.inode)))
        if other
        else None,
        subflows=subflows(kernel, sock),
    )
    missing += _missing(found)
    return InspectReport(host_facts(kernel), inspection, missing, _warnings(sock))


def _missing(found: Found) -> list[Missing]:
    """What the socket's record lacks."""
    sock = found.socket
    missing = [found.elsewhere] if found.elsewhere else []
    if not _is_whole(sock):
        return missing
    if sock.tcp_info is None and sock.protocol == "tcp":
        missing.append(_NO_TCP_INFO)
    if sock.mark is None and _is_listed(sock):
        missing.append(_NO_MARK)
    return missing


def _warnings(sock: Socket) -> list[Warning]:
    return [_newer_kernel(sock)] if sock.tcp_info_unknown else []


def _is_whole(sock: Socket) -> bool:
    """True for a socket that has options and a tcp_info."""
    return not is_over(sock) and sock.state not in _HANDSHAKING


def _is_listed(sock: Socket) -> bool:
    """True for a row of sock_diag: /proc/net has no cookies, an unlisted socket has no key."""
    return bool(sock.packed_id and sock.cookie)


def _with_mark(sock: Socket, options: tuple[OptionReading, ...] | None) -> Socket:
    """The socket with its SO_MARK, which everybody may read who may borrow the socket."""
    mark = next((o.value for o in options or () if o.name == "SO_MARK"), None)
    return replace(sock, mark=mark) if sock.mark is None and isinstance(mark, int) else sock


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


def _owners(kernel: Kernel, netns_inode: int | None, inodes: list[int]) -> Owners:
    if not inodes:
        return Owners()
    return find_owners(kernel.proc, netns_inode, wanted=set(inodes))


def _netns_inode(kernel: Kernel) -> int | None:
    try:
        return kernel.netns_inode()
    except OSError:
        return None


def _cgroup(kernel: Kernel, sock: Socket, holders: tuple[Holder, ...]) -> str | None:
    if sock.cgroup_id is not None and (path := cgroup_paths(kernel.proc).get(sock.cgroup_id)):
        return path
    return kernel.proc.cgroup(holders[0].process.pid) if holders else None


# -- options -------------------------------------------------------------------------------


def _options(
    kernel: Kernel, sock: Socket, holders: tuple[Holder, ...], missing: list[Missing]
) -> tuple[OptionReading, ...] | None:
    if not holders:
        if _is_whole(sock):
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
    return _readings(kernel, readings, _defaults(kernel, sock, wanted))


def _defaults(kernel: Kernel, sock: Socket, wanted: list[SocketOption]) -> Readings:
    """What a fresh socket of the same family and protocol has."""
    protocol = diag.IPPROTO_MPTCP if sock.protocol == "mptcp" else diag.IPPROTO_TCP
    try:
        with kernel.fresh_socket(FAMILY_NUMBERS[sock.family], protocol) as fresh:
            return {option: read_option(fresh, option) for option in wanted}
    except OSError:
        return {}  # MPTCP or IPv6 has been turned off since


def _borrow_from_one(
    kernel: Kernel, sock: Socket, holders: tuple[Holder, ...], wanted: list[SocketOption]
) -> tuple[Readings, TcptoolError | None]:
    """Read the options through a holder that allows it; decoding waits until it is given back."""
    readings: Readings = {}
    steps = [read_step(readings, option) for option in wanted]
    cookie = int(sock.cookie, 16) if sock.cookie else None
    try:
        visit(kernel, holders, steps, inode=sock.inode or 0, cookie=cookie)
    except TcptoolError as exc:
        return {}, exc
    return readings, None


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
        limit = sysctl_number(kernel, BUFFERS[option.name][1]) if option.name in BUFFERS else None
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


# -- following -----------------------------------------------------------------------------


def watch_socket(
    found: Found, *, interval_s: float, count: int | None
) -> Generator[Sample | WatchEnd, None, None]:
    """Readings every ``interval_s`` until the connection ends, ``count`` is reached or Ctrl-C.

    The last item is a ``WatchEnd``.  The descriptor is never touched: readings come from
    sock_diag by cookie, so the owner cannot notice.  Raises NotFound, NotPermitted or
    Unsupported, before the first reading, for a socket that sock_diag does not list.
    """
    sock = found.socket
    doing = f"following {sock.local} - {sock.peer}"
    if found.elsewhere:
        raise NotPermitted(doing, found.elsewhere.why, found.elsewhere.needs)
    if not sock.packed_id:
        raise NotFound(
            doing,
            "sock_diag does not list an unconnected socket",
            "Follow it when it listens or has a connection; without --watch it is shown as it is.",
        )
    if not _is_listed(sock):
        raise Unsupported(doing, "sock_diag is not available", _NO_TCP_INFO.needs)
    return _follow(found, interval_s, count)


@dataclass(frozen=True, slots=True)
class _Reading:
    """A ``tcp_info`` and when it was read."""

    at: float
    info: TcpInfo


def _follow(
    found: Found, interval_s: float, count: int | None
) -> Generator[Sample | WatchEnd, None, None]:
    kernel, last = found.kernel, found.socket
    missing, warnings = tuple(_missing(found)), tuple(_warnings(last))
    start = due = kernel.monotonic()
    samples, reason = 0, "connection-ended"
    earliest: _Reading | None = None
    latest: _Reading | None = None
    rtts_us: list[int] = []  # the smallest and the largest
    try:
        current: Socket | None = last
        while current is not None and not is_over(current):
            now = kernel.monotonic() if samples else start
            reading = _Reading(now, current.tcp_info) if current.tcp_info else None
            changes = _change(latest, reading)
            samples, last = samples + 1, current
            earliest, latest = earliest or reading, reading or latest
            if reading is not None and reading.info.rtt_us is not None:
                seen = (*rtts_us, reading.info.rtt_us)
                rtts_us = [min(seen), max(seen)]
            yield Sample(
                event="sample",
                elapsed_s=now - start,
                socket=current,
                rates=changes,
                host=host_facts(kernel),
                missing=missing,
                warnings=warnings,
            )
            if samples == count:
                reason = "count-reached"
                break
            due = max(due + interval_s, kernel.monotonic())
            kernel.wait(due - kernel.monotonic())
            current = _again(kernel, last)
    except KeyboardInterrupt:
        reason = "interrupted"
    yield WatchEnd(
        event="end",
        reason=reason,
        samples=samples,
        elapsed_s=kernel.monotonic() - start,
        total=_change(earliest, latest),
        min_rtt_us=rtts_us[0] if rtts_us else None,
        max_rtt_us=rtts_us[-1] if rtts_us else None,
        last=last,
        host=host_facts(kernel),
        missing=missing,
        warnings=warnings,
    )


def _change(before: _Reading | None, after: _Reading | None) -> Rates:
    if before is None or after is None:
        return Rates()
    return rates(before.info, after.info, after.at - before.at)


def _again(kernel: Kernel, sock: Socket) -> Socket | None:
    """The same socket now; None once it has gone.

    A listener of a SO_REUSEPORT group may be out of reach of the exact look-up.
    """
    if sock.protocol == "tcp":
        again = find(kernel, FAMILY_NUMBERS[sock.family], sock.packed_id)
        if again is not None or sock.state != "listen":
            return again
    same = (
        s for s in sockets(Dump(kernel)) if s.cookie == sock.cookie and s.protocol == sock.protocol
    )
    return next(same, None)
