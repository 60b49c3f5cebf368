"""What setting an option came to: what the kernel promises for a value, against what reads back.

"Asked for 8 MiB and reads 8 MiB" is a value that was cut in half and doubled.  Only who knows
what should read can say whether a set did what was meant, so this module holds the rules of the
kernel: doubling, limits, floors, rounding, bits that it keeps, options that do nothing in this
state, options that fade.  A rule foretells one reading.  What decides it and could not be read (a
sysctl, the tick) is taken from the reading itself, as far as that is plausible.

It must not set or read anything.

Sources: sk_setsockopt() in net/core/sock.c, do_tcp_setsockopt() and do_tcp_getsockopt() in
net/ipv4/tcp.c, net/ipv4/ip_sockglue.c, net/ipv6/ipv6_sockglue.c, net/mptcp/sockopt.c, Linux 6.18.
tests/live/test_outcome_kernel.py proves it against the running kernel.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from tcptool.catalog.options import (
    Codec,
    Family,
    Mptcp,
    OptionValue,
    ReadBack,
    SocketOption,
    When,
    accepted_range,
)
from tcptool.errors import describe_errno
from tcptool.model.change import Assignment, Attempt, Circumstances, Outcome
from tcptool.units import Unit

SET: Final = "set"
UNCHANGED: Final = "unchanged"
DOUBLED: Final = "doubled"
CLAMPED: Final = "clamped"
RAISED: Final = "raised"
ROUNDED: Final = "rounded"
MASKED: Final = "masked"
MOMENTARY: Final = "momentary"
NO_EFFECT: Final = "no-effect"
MOVING: Final = "moving"
REFUSED: Final = "refused"
NOT_PERMITTED: Final = "not-permitted"
UNSUPPORTED: Final = "unsupported"
FAILED_OTHERWISE: Final = "failed"
DIFFERENT: Final = "different"
MATCHES: Final = "matches"
DIFFERS: Final = "differs"
NOT_CHECKABLE: Final = "not-checkable"
NOT_TRIED: Final = "not-tried"
PLANNED: Final = "planned"

WORDS: Final[dict[str, str]] = {
    SET: "it is as asked",
    UNCHANGED: "it was so already",
    DOUBLED: "stored, and doubled by the kernel to pay for its bookkeeping",
    CLAMPED: "cut to a limit, which the note names",
    RAISED: "raised to the least that the kernel stores",
    ROUNDED: "rounded up to what the kernel can store: ticks of its clock, or SYN-ACK timeouts",
    MASKED: "some bits are the kernel's own, and are left out or added",
    MOMENTARY: "it holds for the moment, then the kernel drops it",
    NO_EFFECT: "it does nothing on a socket in this state",
    MOVING: "accepted; the kernel goes on changing what reads",
    REFUSED: "the kernel does not accept this value, or not in this state",
    NOT_PERMITTED: "a right is missing, which the note names",
    UNSUPPORTED: "this kernel, or this kind of socket, does not have the option",
    FAILED_OTHERWISE: "another error, which the note names",
    DIFFERENT: "accepted, but what reads is not what this kernel is known to make of it",
    PLANNED: "what would be set; nothing was changed",
    NOT_TRIED: "something stopped it before this option",
    MATCHES: "it is what setting the value gives",
    DIFFERS: "it is not what setting the value gives",
    NOT_CHECKABLE: "nothing that reads could tell",
}
"""What became of an option, and its meaning.  The last three are the answers of `verify`."""

FAILED: Final[frozenset[str]] = frozenset(
    {REFUSED, NOT_PERMITTED, UNSUPPORTED, FAILED_OTHERWISE, DIFFERENT, NOT_TRIED}
)
"""Words after which the option is not as asked."""

_CLOSED: Final = frozenset({"closed", "close"})
_UNCONNECTED: Final = _CLOSED | {"bound-inactive"}
_BEFORE_DATA: Final = _UNCONNECTED | {"listen"}

_LEAST_SNDBUF: Final = 4608
_LEAST_RCVBUF: Final = 2304
"""SOCK_MIN_SNDBUF and SOCK_MIN_RCVBUF, include/net/sock.h: by the size of struct sk_buff, which
is at most this; less on 32-bit processors."""

_MOST_HALF: Final = (1 << 31) // 2 - 1
"""INT_MAX / 2: a buffer is not doubled beyond the largest int."""

_LONGEST_TICK_US: Final = 10_000
"""HZ=100, the slowest clock of kernel/Kconfig.hz."""

_MOST_LINGER2_S: Final = 120
"""TCP_FIN_TIMEOUT_MAX, include/net/tcp.h."""

_MOST_SYNACKS: Final = 255
_MOST_RTO_S: Final = 120
"""TCP_DEFER_ACCEPT is kept as a number of SYN-ACKs, one byte; TCP_RTO_MAX, include/net/tcp.h."""

_LARGEST_PAGE: Final = 65_536
_UNKNOWN: Final = "unknown-"
_ECN: Final = 3

_FASTOPEN: Final = "net.ipv4.tcp_fastopen"
_SERVER: Final = 2
"""TFO_SERVER_ENABLE, include/net/tcp.h."""

_STAND_INS: Final = frozenset({"TCP_LINGER2", "IP_TTL"})
"""Options of which one value stands for the sysctl that is their default."""


def needed_sysctls(options: Collection[SocketOption]) -> tuple[str, ...]:
    """The sysctls that decide what these options read, as ``Circumstances.numbers`` names them."""
    limits = [option.limit_sysctl for option in options if option.limit_sysctl]
    stand_ins = [option.default_sysctl for option in options if option.name in _STAND_INS]
    switches = [_FASTOPEN for option in options if option.name == "TCP_FASTOPEN"]
    return tuple(dict.fromkeys(limits + stand_ins + switches))


# -- what the kernel promises --------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Promise:
    """What reads after a set: ``reads``, None if nothing is promised, and how that came about.

    ``moves``: the kernel may have changed it since.  ``guessed``: by a limit that could not be
    read, and was taken from the reading.
    """

    reads: OptionValue | None
    word: str = SET
    note: str = ""
    clamped_by: str | None = None
    moves: bool = False
    guessed: bool = False


@dataclass(frozen=True, slots=True)
class _Case:
    """A value asked for, as a number, and what bears upon it; ``actual`` is None if unread."""

    assignment: Assignment
    asked: int
    actual: int | None
    circumstances: Circumstances


_Rule: TypeAlias = Callable[[_Case], _Promise]


def _promise(
    assignment: Assignment, circumstances: Circumstances, actual: OptionValue | None = None
) -> _Promise:
    option, value = assignment.option, assignment.value
    if option.codec is Codec.LINGER:
        return _linger(value, actual)
    if option.name == "IPV6_ADDR_PREFERENCES":
        return _address_preferences(value, actual)
    rule = _RULES.get(option.name)
    asked = _number(option, value)
    if rule is None or asked is None:
        return _Promise(reads=value)
    read = None if actual is None else _number(option, actual)
    return rule(_Case(assignment, asked, read, circumstances))


def _number(option: SocketOption, value: OptionValue) -> int | None:
    """The number that a value or its word stands for; None for what is no number."""
    if isinstance(value, int):
        return value
    if isinstance(value, str) and value.startswith(_UNKNOWN):
        return int(value.removeprefix(_UNKNOWN))
    return next((n for n, meaning in option.words.items() if meaning.word == value), None)


def _shown(case: _Case, number: int) -> OptionValue:
    """A number as it would be read: sentinels by their word."""
    known = case.assignment.option.words.get(number)
    return known.word if known else number


def _limit(case: _Case, known: int | None, seen: int | None) -> int | None:
    """The limit that cuts the value, None if none does; one that is not ``known`` may be seen."""
    limit = seen if known is None else known
    return limit if limit is not None and limit < _unsigned(case.asked) else None


def _unsigned(asked: int) -> int:
    """The kernel compares with a limit without the sign: a negative number is more than any."""
    return asked if asked >= 0 else 1 << 32


def _why_cut(case: _Case, limit: int, name: str) -> str:
    if case.asked < 0:
        return f"a negative number means {name}, {limit}"
    return f"{name} cuts {case.asked} to {limit}"


def _buffer(least: int) -> _Rule:
    """SO_SNDBUF and SO_RCVBUF: cut to the sysctl, doubled, at least ``least``."""

    def rule(case: _Case) -> _Promise:
        name = case.assignment.option.limit_sysctl
        known, read = case.circumstances.numbers.get(name), case.actual
        limit = _limit(case, known, read // 2 if read is not None and read > least else None)
        if limit is None:
            return _doubled(case, _unsigned(case.asked), least)
        return _Promise(
            reads=max(2 * limit, least),
            word=CLAMPED,
            note=f"{_why_cut(case, limit, name)}, which the kernel doubles",
            clamped_by=name,
            guessed=known is None,
        )

    return rule


def _forced_buffer(least: int) -> _Rule:
    """SO_SNDBUFFORCE and SO_RCVBUFFORCE: no limit, and a negative number is 0."""
    return lambda case: _doubled(case, max(case.asked, 0), least)


def _doubled(case: _Case, wanted: int, least: int) -> _Promise:
    doubled = 2 * min(wanted, _MOST_HALF)
    if doubled < least:
        floor = _floor(case, doubled, least)
        note = f"{floor} is the least that the kernel gives"
        return _Promise(reads=floor, word=RAISED, note=note)
    note = "the kernel doubles it, to pay for its bookkeeping"
    return _Promise(reads=doubled, word=DOUBLED, note=note)


def _floor(case: _Case, wanted: int, least: int) -> int:
    """The least that is stored: what reads, if that is not above ``least``."""
    read = case.actual
    return read if read is not None and wanted <= read <= least else least


def _queue(case: _Case) -> _Promise:
    """TCP_FASTOPEN and the backlog: cut to the sysctl."""
    name = case.assignment.option.limit_sysctl
    known = case.circumstances.numbers.get(name)
    limit = _limit(case, known, case.actual)
    if limit is None:
        return _Promise(reads=case.asked)
    return _Promise(
        reads=limit,
        word=CLAMPED,
        note=_why_cut(case, limit, name),
        clamped_by=name,
        guessed=known is None,
    )


def _low_water(case: _Case) -> _Promise:
    """SO_RCVLOWAT, tcp_set_rcvlowat(): at most half of what the receive buffer may become."""
    if case.asked == 0:
        return _Promise(reads=1, word=RAISED, note="0 is stored as 1")
    name = case.assignment.option.limit_sysctl
    locked = "receive" in case.circumstances.locks
    most = None if locked else case.circumstances.numbers.get(name)
    limit = _limit(case, None if most is None else most // 2, case.actual)
    if limit is None:
        return _Promise(reads=case.asked)
    whole = "the receive buffer, which is locked" if locked else name
    return _Promise(
        reads=limit,
        word=CLAMPED,
        note=f"{limit}, half of {whole}, is the most",
        clamped_by=None if locked else name,
        guessed=most is None,
    )


def _ticks(case: _Case) -> _Promise:
    """Times that are kept in ticks: rounded up."""
    scale = 1000 if case.assignment.option.unit is Unit.MILLISECONDS else 1
    asked_us = case.asked * scale
    tick_us = case.circumstances.jiffy_us
    rounded_us = -(-asked_us // (tick_us or 1)) * (tick_us or 1)
    vague = tick_us is None or 1_000_000 % tick_us != 0  # HZ=300: a tick is 3333.3 µs
    if case.actual is not None and vague:
        longest_us = 2 * (tick_us or _LONGEST_TICK_US)
        if asked_us <= case.actual * scale <= asked_us + longest_us:
            rounded_us = case.actual * scale
    reads = -(-rounded_us // scale)
    if reads == case.asked:
        return _Promise(reads=_shown(case, reads))
    of = f", {tick_us} µs" if tick_us else ""
    return _Promise(
        reads=_shown(case, reads), word=ROUNDED, note=f"rounded up to the kernel's tick{of}"
    )


def _synacks(case: _Case) -> _Promise:
    """TCP_DEFER_ACCEPT, secs_to_retrans(): the sum of SYN-ACK timeouts that covers it."""
    if case.asked <= 0:
        return _Promise(
            reads=0,
            word=SET if case.asked == 0 else RAISED,
            note="" if case.asked == 0 else "a negative number means 0",
        )
    seconds, timeout, count = 1, 1, 1
    while seconds < case.asked and count < _MOST_SYNACKS:
        timeout = min(2 * timeout, _MOST_RTO_S)
        seconds, count = seconds + timeout, count + 1
    if seconds == case.asked:
        return _Promise(reads=seconds)
    if seconds < case.asked:
        return _Promise(reads=seconds, word=CLAMPED, note=f"{seconds} is the most: 255 SYN-ACKs")
    note = "rounded up to a sum of SYN-ACK timeouts: 1, 3, 7, 15, 31, 63, 127 …"
    return _Promise(reads=seconds, word=ROUNDED, note=note)


def _fin_wait(case: _Case) -> _Promise:
    """TCP_LINGER2: 0 stands for the sysctl, at most 120 s, negative for none."""
    if case.asked == 0:
        return _Promise(
            reads=case.circumstances.numbers.get(case.assignment.option.default_sysctl),
            note=f"0 stands for {case.assignment.option.default_sysctl}, which reads instead",
        )
    if case.asked < 0:
        return _Promise(reads=_shown(case, -1), note="any negative number means no FIN_WAIT2")
    if case.asked > _MOST_LINGER2_S:
        note = f"{_MOST_LINGER2_S} seconds are the most that the kernel takes"
        return _Promise(reads=_MOST_LINGER2_S, word=CLAMPED, note=note)
    return _Promise(reads=case.asked)


def _window_clamp(case: _Case) -> _Promise:
    """TCP_WINDOW_CLAMP, tcp_set_window_clamp(): at least half of the least receive buffer."""
    moves = case.circumstances.state not in _UNCONNECTED
    least = _LEAST_RCVBUF // 2
    if case.asked == 0 or case.asked >= least:
        return _Promise(reads=case.asked, moves=moves)
    floor = _floor(case, max(case.asked, 0), least)
    note = f"{floor} is the least that the kernel takes"
    return _Promise(reads=floor, word=RAISED, note=note, moves=moves)


def _segment_size(case: _Case) -> _Promise:
    """TCP_MAXSEG before the handshake is done, or on a listener."""
    if case.asked == 0:
        return _Promise(reads=None, note="0 takes the limit away; the size in use reads instead")
    if case.circumstances.state == "syn-sent":
        return _Promise(reads=None, note="the size in use reads instead")
    return _Promise(reads=case.asked)


def _tos(case: _Case) -> _Promise:
    """IP_TOS and IPV6_TCLASS: the two low bits are TCP's, set where ECN was negotiated."""
    asked = case.asked & 0xFF
    if case.asked == -1 and case.assignment.option.family is Family.IPV6:
        asked = 0
    ecn = case.actual & _ECN if case.actual is not None else 0
    reads = asked & ~_ECN | ecn
    if reads == case.asked:
        return _Promise(reads=reads)
    note = "the two ECN bits belong to TCP"
    if not 0 <= case.asked <= 0xFF:
        note = f"one byte is taken, and {note}"
    return _Promise(reads=reads, word=MASKED, note=note)


def _hops(case: _Case) -> _Promise:
    """IP_TTL and IPV6_UNICAST_HOPS: -1 leaves it to the host."""
    if case.asked != -1:
        return _Promise(reads=case.asked)
    if case.assignment.option.family is Family.IPV4:
        name = case.assignment.option.default_sysctl
        reads = case.circumstances.numbers.get(name)
        return _Promise(reads=reads, note=f"-1 stands for {name}, which reads instead")
    return _Promise(reads=None, note="-1 leaves it to the route, whose limit reads instead")


def _pages(case: _Case) -> _Promise:
    """SO_RESERVE_MEM: rounded up to pages, whose size is the processor's."""
    read = case.actual
    if read is None or not case.asked < read < case.asked + _LARGEST_PAGE:
        return _Promise(reads=case.asked)
    return _Promise(reads=read, word=ROUNDED, note="rounded up to pages")


def _unpromised(note: str) -> _Rule:
    return lambda _case: _Promise(reads=None, word=MOVING, note=note)


def _linger(value: OptionValue, actual: OptionValue | None) -> _Promise:
    """SO_LINGER: the seconds are taken only with the switch on."""
    if isinstance(value, Mapping) and isinstance(actual, Mapping) and not value["enabled"]:
        note = "off; the seconds stay what they were" if value != actual else ""
        return _Promise(reads={"enabled": False, "seconds": actual["seconds"]}, note=note)
    return _Promise(reads=value)


_PREFERENCES_KEPT: Final = frozenset(
    {"temporary", "public", "care-of", "temporary-or-public-default", "home"}
)


def _address_preferences(value: OptionValue, actual: OptionValue | None) -> _Promise:
    """IPV6_ADDR_PREFERENCES: of opposites one always reads; what is unknown is not kept."""
    if isinstance(value, tuple) and isinstance(actual, tuple):
        kept = _PREFERENCES_KEPT & set(value)
        if kept <= set(actual) and set(actual) != set(value):
            note = "the kernel completes what was left out, and keeps no cga"
            return _Promise(reads=actual, word=MASKED, note=note)
    return _Promise(reads=value)


_RULES: Final[Mapping[str, _Rule]] = {
    "SO_SNDBUF": _buffer(_LEAST_SNDBUF),
    "SO_RCVBUF": _buffer(_LEAST_RCVBUF),
    "SO_SNDBUFFORCE": _forced_buffer(_LEAST_SNDBUF),
    "SO_RCVBUFFORCE": _forced_buffer(_LEAST_RCVBUF),
    "SO_RCVLOWAT": _low_water,
    "SO_RCVTIMEO": _ticks,
    "SO_SNDTIMEO": _ticks,
    "SO_RCVTIMEO_NEW": _ticks,
    "SO_SNDTIMEO_NEW": _ticks,
    "SO_RESERVE_MEM": _pages,
    "TCP_MAXSEG": _segment_size,
    "TCP_LINGER2": _fin_wait,
    "TCP_DEFER_ACCEPT": _synacks,
    "TCP_WINDOW_CLAMP": _window_clamp,
    "TCP_FASTOPEN": _queue,
    "TCP_TIMESTAMP": _unpromised("it is a clock"),
    "TCP_RTO_MAX_MS": _ticks,
    "TCP_RTO_MIN_US": _ticks,
    "TCP_DELACK_MAX_US": _ticks,
    "IP_TOS": _tos,
    "IP_TTL": _hops,
    "IPV6_TCLASS": _tos,
    "IPV6_UNICAST_HOPS": _hops,
    "IPV6_MTU": _unpromised("it limits fragments; the path MTU reads instead"),
    "backlog": _queue,
}


_LOCKED_BY: Final = {
    "SO_SNDBUF": "send",
    "SO_SNDBUFFORCE": "send",
    "SO_RCVBUF": "receive",
    "SO_RCVBUFFORCE": "receive",
}
"""The word of SO_BUF_LOCK that keeps the kernel from tuning the buffer."""


def _same(one: OptionValue | None, other: OptionValue | None) -> bool:
    """Whether two values are equal; the order of flags means nothing."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        return set(one) == set(other)
    return one == other


# -- what stands in the way ----------------------------------------------------------------

_EFFECTIVE_ONWARDS: Final = frozenset({"TCP_MAXSEG", "TCP_SYNCNT"})
"""Of the options for before connect(), those that a listener hands on to its handshakes, and that
still count while the SYN is unanswered."""

_ACCEPTED_IN: Final[Mapping[str, tuple[frozenset[str], str]]] = {
    "TCP_FASTOPEN": (_BEFORE_DATA, "it is not accepted on a connection"),
    "TCP_FASTOPEN_CONNECT": (_UNCONNECTED, "it is accepted only before connect()"),
    "TCP_FASTOPEN_NO_COOKIE": (_BEFORE_DATA, "it is not accepted on a connection"),
    "IPV6_V6ONLY": (_CLOSED, "it is accepted only before bind()"),
    "backlog": (frozenset({"listen"}), "the socket does not listen"),
}
"""The states in which the kernel takes an option, and why not in others."""


_IGNORED_BY_MPTCP: Final = frozenset({"SO_DONTROUTE", "SO_PASSPIDFD"})
"""mptcp_setsockopt_sol_socket(): taken for the sake of old programs."""

_STORED_BY_MPTCP: Final = frozenset({"TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT"})
"""Options whose range a fresh MPTCP socket does not check; its subflows do, in silence."""


def _useless(assignment: Assignment, circumstances: Circumstances) -> str:
    """Why an option that is accepted does nothing in this state; empty if it does something."""
    option, state = assignment.option, circumstances.state
    if option.when is When.NO_EFFECT:
        return "TCP makes no use of it"
    if circumstances.protocol == "mptcp":
        if option.name in _IGNORED_BY_MPTCP:
            return "an MPTCP socket accepts it and ignores it"
        if _only_stored(assignment, circumstances) and _outside(assignment):
            return f"an MPTCP connection takes only {accepted_range(option)}"
    if option.when is When.BEFORE_BIND and state not in _CLOSED:
        return "it counts only before bind()"
    if option.when is When.BEFORE_CONNECT and state not in _UNCONNECTED:
        if option.name in _EFFECTIVE_ONWARDS and state in ("listen", "syn-sent"):
            return ""
        return "it counts only before connect()"
    if option.when is When.LISTENER and state not in _BEFORE_DATA:
        return "it counts only on a listener"
    return ""


def _only_stored(assignment: Assignment, circumstances: Circumstances) -> bool:
    """Whether the kernel stores any number, because there is nothing yet that checks it."""
    fresh = circumstances.protocol == "mptcp" and circumstances.state in _CLOSED
    return fresh and assignment.option.name in _STORED_BY_MPTCP


def _obstacle(assignment: Assignment, circumstances: Circumstances) -> Outcome | None:
    """Why the kernel will not take the value, as far as that can be known before."""
    option = assignment.option
    if circumstances.protocol == "mptcp" and option.mptcp in (Mptcp.MISSING, Mptcp.REFUSED):
        return Outcome(word=UNSUPPORTED, note="an MPTCP socket does not have it")
    if option.family is Family.IPV6 and circumstances.family == "ipv4":
        return Outcome(word=UNSUPPORTED, note="an IPv4 socket does not have it")
    states, why = _ACCEPTED_IN.get(option.name, (None, ""))
    if states is not None and circumstances.state not in states:
        return Outcome(word=REFUSED, note=why)
    if circumstances.protocol == "mptcp" and circumstances.state not in _BEFORE_DATA:
        early = option.when in (When.BEFORE_BIND, When.KILLS)
        if early or option.name == "IP_LOCAL_PORT_RANGE":
            return Outcome(word=REFUSED, note="an MPTCP socket takes it only before connect()")
    stored = _only_stored(assignment, circumstances)
    why = "" if stored else _unacceptable(assignment, circumstances)
    return Outcome(word=REFUSED, note=why) if why else None


def _unacceptable(assignment: Assignment, circumstances: Circumstances) -> str:
    """Why this value is not accepted; empty if it may be."""
    option, value = assignment.option, assignment.value
    if option.codec is Codec.PORT_RANGE and isinstance(value, Mapping):
        lowest, highest = value["lowest"], value["highest"]
        if isinstance(lowest, int) and isinstance(highest, int) and 0 < highest < lowest:
            return "the lowest port is above the highest"
    number = _number(option, value)
    if number is None:
        return ""
    connected = circumstances.state not in _UNCONNECTED
    if option.name == "TCP_WINDOW_CLAMP" and number == 0 and connected:
        return "0 is accepted only before connect()"
    within_a_tick = option.name in _ABOVE_A_TICK and number <= (circumstances.jiffy_us or 0)
    if within_a_tick or _outside(assignment):
        return f"accepted: {accepted_range(option)}"
    return ""


_ABOVE_A_TICK: Final = frozenset({"TCP_RTO_MIN_US", "TCP_DELACK_MAX_US"})
"""Times of at least two ticks: TCP_TIMEOUT_MIN, include/net/tcp.h."""


def _outside(assignment: Assignment) -> bool:
    """Whether a number is out of the range that setsockopt() accepts."""
    option, value = assignment.option, assignment.value
    number = None if isinstance(value, bool) else _number(option, value)
    if number is None or number in option.also:
        return False
    low, high = option.minimum, option.maximum
    return (low is not None and number < low) or (high is not None and number > high)


_NOT_PERMITTED: Final = frozenset({errno.EPERM, errno.EACCES})
_LACKING: Final = frozenset({errno.ENOPROTOOPT, errno.EOPNOTSUPP})
_NOT_ACCEPTED: Final = frozenset({errno.EINVAL, errno.EDOM, errno.ERANGE})

_NEXT: Final[Mapping[tuple[str, int], str]] = {
    ("TCP_CONGESTION", errno.ENOENT): "this kernel has no such algorithm: "
    "`sysctl net.ipv4.tcp_available_congestion_control` lists those that are loaded",
    ("TCP_ULP", errno.ENOENT): "this kernel has no such protocol: "
    "`sysctl net.ipv4.tcp_available_ulp` lists those that are loaded",
    ("SO_BINDTODEVICE", errno.ENODEV): "there is no such interface: `ip link` lists them",
    ("IP_UNICAST_IF", errno.EADDRNOTAVAIL): "there is no such interface: `ip link` lists them",
    ("SO_RESERVE_MEM", errno.EOPNOTSUPP): "the socket belongs to no memory cgroup",
    ("SO_RESERVE_MEM", errno.EINVAL): "it can only be raised",
    ("TCP_FASTOPEN_CONNECT", errno.EOPNOTSUPP): "bit 1 of net.ipv4.tcp_fastopen is clear",
    ("SO_LOCK_FILTER", errno.EPERM): "once set it cannot be cleared",
    ("SO_TIMESTAMPING", errno.EINVAL): "opt-id needs a connection, opt-id-tcp needs opt-id, "
    "opt-stats needs opt-tsonly, bind-phc needs a clock",
    ("SO_TIMESTAMPING", errno.EOPNOTSUPP): "bind-phc needs an interface with a hardware clock",
    ("IPV6_ADDR_PREFERENCES", errno.EINVAL): "two of the flags contradict each other",
}
"""What an error means for an option, where it does not mean what it does elsewhere."""


def _failure(attempt: Attempt, circumstances: Circumstances) -> Outcome:
    assignment, after = attempt.assignment, attempt.after
    option, number = assignment.option, attempt.errno
    obstacle = _obstacle(assignment, circumstances)
    known = _NEXT.get((option.name, number), "")
    if number in _NOT_PERMITTED:
        word, note = NOT_PERMITTED, known or _missing_right(option)
    elif number in _LACKING:
        word, note = UNSUPPORTED, known or "this kernel does not have it for TCP"
    elif number in _NOT_ACCEPTED:
        span = accepted_range(option)
        word = REFUSED
        note = known or (f"accepted: {span}" if span else "the kernel does not accept this value")
    else:
        word, note = FAILED_OTHERWISE, known or describe_errno(number)
    if obstacle is not None and obstacle.word == word:
        note = obstacle.note
    # net/mptcp/sockopt.c sets the options of level IP before it finds that it is too late.
    if _same(after, assignment.value) and not _same(attempt.before, after):
        note += "; it reads as asked all the same"
    return Outcome(word=word, note=note)


def _missing_right(option: SocketOption) -> str:
    if not option.privilege:
        return "a security module or a BPF program of the cgroup refuses it"
    text = f"needs {option.privilege}"
    if option.name == "TCP_CONGESTION":
        text += "; nobody may change it where the route fixes the algorithm"
    return text


# -- the answers ---------------------------------------------------------------------------


def judge(attempt: Attempt, circumstances: Circumstances) -> Outcome:
    """What a set came to, by what reads before and after it."""
    assignment, after = attempt.assignment, attempt.after
    option = assignment.option
    if attempt.errno:
        return _failure(attempt, circumstances)
    useless = _useless(assignment, circumstances)
    if useless:
        return Outcome(word=NO_EFFECT, note=useless)
    if after is None:
        return Outcome(word=SET, note="it cannot be read back")
    if option.reads_back is ReadBack.FADING:
        return Outcome(word=MOMENTARY, note=option.when_text)
    promise = _promise(assignment, circumstances, after)
    if promise.reads is not None and not _same(promise.reads, after):
        if promise.moves:
            return Outcome(word=MOVING, note="the kernel has changed it since")
        return Outcome(
            word=DIFFERENT, note=f"{_text(promise.reads)} should read, but {_text(after)} does"
        )
    # A value that was cut and then doubled may read as asked, before and after.
    as_asked = promise.word == SET and _same(after, assignment.value)
    if as_asked and _same(attempt.before, after):
        return Outcome(word=UNCHANGED)
    return Outcome(
        word=promise.word,
        note=promise.note or _remark(option, circumstances),
        clamped_by=promise.clamped_by,
    )


def _remark(option: SocketOption, circumstances: Circumstances) -> str:
    """What keeps a value that is set as asked from having its effect."""
    if option.family is Family.IPV4 and circumstances.family == "ipv6":
        return "it acts only where the IPv6 socket carries an IPv4 connection"
    if (
        option.name == "TCP_FASTOPEN"
        and not circumstances.numbers.get(_FASTOPEN, _SERVER) & _SERVER
    ):
        return f"it does nothing until bit {_SERVER} of {_FASTOPEN} is set"
    return ""


def _text(value: OptionValue) -> str:
    if isinstance(value, tuple):
        return ",".join(value) or "none"
    if isinstance(value, Mapping):
        return " ".join(f"{key}={_text(part)}" for key, part in value.items())
    return str(value).lower() if isinstance(value, bool) else str(value)


def agrees(
    assignment: Assignment, actual: OptionValue | None, circumstances: Circumstances
) -> Outcome:
    """Whether the socket is as setting the value would leave it: `verify`.

    It never demands what no setsockopt() could bring about, or what the kernel changes itself.
    """
    option = assignment.option
    if actual is None:
        return _unread(assignment, circumstances)
    same = _same(actual, assignment.value)
    if option.reads_back is ReadBack.FADING:
        note = "" if same else f"the kernel drops it: it holds {option.when_text}"
        return Outcome(word=MATCHES if same else NOT_CHECKABLE, note=note)
    useless = _useless(assignment, circumstances)
    # What was set before bind() can be seen on a listener, and mattered.
    if useless and not (option.when is When.BEFORE_BIND and circumstances.state in _BEFORE_DATA):
        return Outcome(word=MATCHES if same else NOT_CHECKABLE, note=useless)
    promise = _promise(assignment, circumstances, actual)
    fits = promise.reads is not None and _same(promise.reads, actual)
    if fits and promise.guessed and not same:
        return Outcome(word=NOT_CHECKABLE, note="the limit that cuts it could not be read")
    if fits:
        return Outcome(word=MATCHES, note=promise.note, clamped_by=promise.clamped_by)
    if promise.reads is None or promise.moves:
        note = promise.note or "the kernel changes it by itself"
        return Outcome(word=NOT_CHECKABLE, note=note)
    notes = []
    if not _same(promise.reads, assignment.value):
        notes.append(f"{_text(promise.reads)} should read")
    if option.name in _LOCKED_BY and _LOCKED_BY[option.name] not in circumstances.locks:
        notes.append("the buffer is not locked, so the kernel tunes it")
    return Outcome(word=DIFFERS, note="; ".join(notes))


def _unread(assignment: Assignment, circumstances: Circumstances) -> Outcome:
    """Why there is no reading to compare with."""
    option = assignment.option
    obstacle = _obstacle(assignment, circumstances)
    if obstacle is not None and obstacle.word == UNSUPPORTED:
        return obstacle
    if option.name in _ACCEPTED_IN and obstacle is not None:
        return Outcome(word=NOT_CHECKABLE, note=obstacle.note)
    if not option.readable:
        return Outcome(word=NOT_CHECKABLE, note="it cannot be read")
    if option.reads_back is ReadBack.MOVING:  # IPV6_MTU without a connection
        return Outcome(word=NOT_CHECKABLE, note="it cannot be read in this state")
    return Outcome(word=UNSUPPORTED, note="the kernel does not show it on this socket")


def expected(assignment: Assignment, circumstances: Circumstances) -> str:
    """What setting the value will come to, in a sentence; empty if it will simply be set."""
    option = assignment.option
    obstacle = _obstacle(assignment, circumstances)
    if obstacle is not None:
        return f"will be refused: {obstacle.note}"
    useless = _useless(assignment, circumstances)
    if useless:
        return f"will have no effect: {useless}"
    if option.reads_back is ReadBack.FADING:
        return f"will hold {option.when_text}"
    promise = _promise(assignment, circumstances)
    if promise.reads is None:
        return promise.note
    if promise.word == SET and _same(promise.reads, assignment.value):
        return _remark(option, circumstances)
    return f"will read {_text(promise.reads)}: {promise.note}"


# -- several at once -----------------------------------------------------------------------

_AFTER: Final[Mapping[str, frozenset[str]]] = {
    "SO_PRIORITY": frozenset({"IP_TOS"}),  # which sets the priority too
    "SO_BUF_LOCK": frozenset({"SO_SNDBUF", "SO_RCVBUF", "SO_SNDBUFFORCE", "SO_RCVBUFFORCE"}),
    "TCP_WINDOW_CLAMP": frozenset({"SO_RCVBUF", "SO_RCVBUFFORCE", "SO_RCVLOWAT"}),
    "SO_RCVBUF": frozenset({"SO_RCVLOWAT"}),  # which enlarges a buffer that is not locked
    "SO_RCVBUFFORCE": frozenset({"SO_RCVLOWAT"}),
}
_AFTER_IF_ON: Final[Mapping[str, frozenset[str]]] = {
    # The timer is armed by the times of this moment.
    "SO_KEEPALIVE": frozenset({"TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT"}),
    # Setting it sends what is held back, so that nothing waits under the old rules.
    "TCP_NODELAY": frozenset({"TCP_CORK"}),
}
"""Options, and those that must be set before them; the second table if the value is not 0."""


def order(assignments: Sequence[Assignment]) -> list[Assignment]:
    """The order to set them in: the caller's, but that no option undoes another."""
    left, ordered = list(assignments), []
    while left:
        names = {assignment.option.name for assignment in left}
        first = next(one for one in left if not names & _predecessors(one))
        left.remove(first)
        ordered.append(first)
    return ordered


def _predecessors(assignment: Assignment) -> frozenset[str]:
    name = assignment.option.name
    always = _AFTER.get(name, frozenset())
    return always | _AFTER_IF_ON[name] if assignment.value and name in _AFTER_IF_ON else always


_TWINS: Final = (
    ("SO_SNDBUF", "SO_SNDBUFFORCE"),
    ("SO_RCVBUF", "SO_RCVBUFFORCE"),
    ("SO_RCVTIMEO", "SO_RCVTIMEO_NEW"),
    ("SO_SNDTIMEO", "SO_SNDTIMEO_NEW"),
    ("SO_TIMESTAMP", "SO_TIMESTAMPNS"),
    ("IP_FREEBIND", "IPV6_FREEBIND"),
)
"""Two options for one setting of the kernel: what is set last stands."""


def conflicts(assignments: Sequence[Assignment]) -> list[str]:
    """What contradicts itself in a set of assignments, in sentences."""
    values = {assignment.option.name: assignment.value for assignment in assignments}
    found = []
    if values.get("TCP_NODELAY") and values.get("TCP_CORK"):
        found.append(
            "TCP_NODELAY and TCP_CORK: the cork wins, and a segment that is not full waits for up "
            "to 200 ms."
        )
    patience_s = _keepalive_s(values)
    timeout_ms = values.get("TCP_USER_TIMEOUT")
    if patience_s is not None and isinstance(timeout_ms, int) and timeout_ms > 1000 * patience_s:
        found.append(
            f"TCP_USER_TIMEOUT is {timeout_ms} ms, and TCP_KEEPIDLE + TCP_KEEPINTVL * TCP_KEEPCNT "
            f"is {patience_s} s: the longer one counts, because it replaces TCP_KEEPCNT."
        )
    lock = values.get("SO_BUF_LOCK")
    for name, word in _LOCKED_BY.items():
        if name in values and isinstance(lock, tuple) and word not in lock:
            found.append(
                f"{name} and SO_BUF_LOCK={_text(lock)}: the size is only where the kernel's own "
                "tuning starts."
            )
    found += [
        f"{one} and {other} are the same setting: the last one stands."
        for one, other in _TWINS
        if one in values and other in values
    ]
    return found


def _keepalive_s(values: Mapping[str, OptionValue]) -> int | None:
    """How long keepalive waits for a peer that is silent, if all of it is given."""
    idle, interval, count = (
        values.get(name) for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")
    )
    if isinstance(idle, int) and isinstance(interval, int) and isinstance(count, int):
        return idle + interval * count
    return None
