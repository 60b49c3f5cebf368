"""Which values of an option to try on a socket of our own, and what the answers show.

A trial must harm nobody.  Options that are refused on other programs' sockets are not tried on
our own either, because several of them reach beyond the socket: TCP_TX_DELAY and IP_MINTTL
turn on code for the whole host for good, SO_TIMESTAMP does while it is set, TCP_ULP loads a
module.  This module does not set anything: the caller gives the function that does.

Sources: sk_setsockopt() in net/core/sock.c, do_tcp_setsockopt() in net/ipv4/tcp.c,
do_ip_setsockopt() in net/ipv4/ip_sockglue.c, do_ipv6_setsockopt() in net/ipv6/ipv6_sockglue.c,
Linux 6.18.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from tcptool.catalog.options import Codec, OptionValue, Risk, SocketOption, carried
from tcptool.model.option_report import Trial

Try: TypeAlias = Callable[[OptionValue], Trial]
"""Sets one value on a socket of our own and says what became of it."""

CONGESTION: Final = "TCP_CONGESTION"
"""The option whose choices the kernel lists itself."""

_HARMLESS: Final = frozenset({"SO_MARK", "SO_RCVMARK", "IP_TRANSPARENT"})
"""Refused on a connection, but on a socket that never sends it is a number in its record."""

_NUMERIC: Final = frozenset({Codec.INT, Codec.UINT, Codec.UINT64, Codec.TOS})

_LARGEST: Final = carried(Codec.INT)[1]

_VALUES: Final[dict[str, tuple[OptionValue, ...]]] = {
    "SO_PRIORITY": (0, 6, _LARGEST),  # above 6 it takes a capability
    "SO_RESERVE_MEM": (0,),  # more would take memory from the cgroup's other processes
    "TCP_LINGER2": (-1, 1, _LARGEST),  # 0 reads as the sysctl
    "TCP_WINDOW_CLAMP": (1, _LARGEST),  # 0 takes the clamp away
    "TCP_RTO_MIN_US": (1, 200_000),
    "TCP_DELACK_MAX_US": (1, 200_000),
    "IP_TOS": (0, 255),  # further bits are lost
    "IPV6_UNICAST_HOPS": (0, 255),  # -1 reads as the route's
}
"""Where the ends of the range of numbers would show less, or too much."""


def trial_values(option: SocketOption, choices: Sequence[str]) -> tuple[OptionValue, ...]:
    """The values to try, the smallest first; ``choices`` are the names of TCP_CONGESTION.

    Numbers are tried at both ends of their range, words one by one, a boolean as true.
    """
    if not option.settable or (option.risk is Risk.REFUSE and option.name not in _HARMLESS):
        return ()
    if option.level < 0:  # the backlog: a listener of our own could be reached from outside
        return ()
    if option.name in _VALUES:
        return _VALUES[option.name]
    if option.name == CONGESTION:
        return tuple(choices)
    if option.codec is Codec.BOOLEAN:
        return (True,)
    if option.codec is Codec.ENUM:
        return tuple(meaning.word for meaning in option.words.values())
    if option.codec is Codec.FLAGS and option.maximum is not None:
        return ((), tuple(meaning.word for meaning in option.words.values()))
    if option.codec in _NUMERIC:
        lowest = 0 if option.minimum is None else option.minimum
        highest = carried(option.codec)[1] if option.maximum is None else option.maximum
        return (lowest, highest)
    return ()


def explore(option: SocketOption, choices: Sequence[str], attempt: Try) -> tuple[Trial, ...]:
    """Try the values, and where a number at an end is refused, find the last one that is not."""
    values = trial_values(option, choices)
    trials = [attempt(value) for value in values]
    if option.codec in _NUMERIC and len(trials) > 1:
        refused = [trial.error == "EINVAL" for trial in (trials[0], trials[-1])]
        if refused == [True, False]:
            trials[1:1] = _edge(attempt, accepted=values[-1], refused=values[0])
        elif refused == [False, True]:
            trials[-1:-1] = _edge(attempt, accepted=values[0], refused=values[-1])
    return tuple(trials)


def _edge(attempt: Try, *, accepted: OptionValue, refused: OptionValue) -> list[Trial]:
    """The accepted value nearest to the refused one; 17 trials for TCP_RTO_MIN_US."""
    assert isinstance(accepted, int)
    assert isinstance(refused, int)
    nearest: list[Trial] = []
    while abs(accepted - refused) > 1:
        middle = (accepted + refused) // 2
        trial = attempt(middle)
        if trial.error is None:
            accepted, nearest = middle, [trial]
        else:
            refused = middle
    return nearest


def found_ends(
    option: SocketOption, trials: Sequence[Trial]
) -> tuple[OptionValue | None, OptionValue | None]:
    """The smallest and the largest number that was accepted, as they read back."""
    accepted = [trial for trial in trials if trial.error is None]
    if option.codec not in _NUMERIC or len(accepted) < 2:
        return None, None
    return _stored(accepted[0]), _stored(accepted[-1])


def _stored(trial: Trial) -> OptionValue:
    return trial.asked if trial.effective is None else trial.effective


def found_choices(option: SocketOption, trials: Sequence[Trial]) -> tuple[str, ...]:
    """The words that were accepted, or the flags that were accepted together."""
    accepted = [trial.asked for trial in trials if trial.error is None]
    if option.codec is Codec.FLAGS and accepted and isinstance(accepted[-1], tuple):
        return accepted[-1]
    if option.codec not in (Codec.ENUM, Codec.STRING):
        return ()
    return tuple(map(str, accepted))


def may_set(trials: Sequence[Trial]) -> bool | None:
    """Whether the caller has the right to all that was tried; None if that was not seen."""
    if any(trial.error in ("EPERM", "EACCES") for trial in trials):
        return False
    return True if any(trial.error is None for trial in trials) else None
