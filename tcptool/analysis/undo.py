"""How to put a socket back: what to set, in which order, and what had better be left alone.

A change is put back only while the socket still reads what the change left there.  Anything
else is the owner's decision, made since, and stays.  The exceptions are values that the kernel
moves by itself: the size of a buffer that is tuned automatically, and its window clamp.

It must not ask or set anything; bytes are the kernel's own, so that what is put back is exactly
what was read.

Sources: net/core/sock.c (sk_setsockopt, SO_RCVBUF: twice the value, and a lock against tuning),
net/ipv4/tcp.c (tcp_set_window_clamp, do_tcp_getsockopt), net/ipv4/tcp_input.c
(tcp_rcvbuf_grow, tcp_measure_rcv_mss), net/ipv4/ip_sockglue.c (__ip_sock_set_tos sets the
priority too), Linux 6.18.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from tcptool.catalog.options import BACKLOG, BY_NAME, READ_AS, ReadBack, SocketOption, shown_by
from tcptool.errors import describe_errno
from tcptool.model.journal import DoneChange, PlannedChange, SocketEntry

_SNDBUF, _RCVBUF, _LOCK, _CLAMP = "SO_SNDBUF", "SO_RCVBUF", "SO_BUF_LOCK", "TCP_WINDOW_CLAMP"

DISTURBED: Final[Mapping[str, tuple[str, ...]]] = {
    _SNDBUF: (_LOCK,),
    _RCVBUF: (_LOCK, _CLAMP),
    "SO_SNDBUFFORCE": (_SNDBUF, _LOCK),
    "SO_RCVBUFFORCE": (_RCVBUF, _LOCK, _CLAMP),
    _LOCK: (_SNDBUF, _RCVBUF, _CLAMP),
    "SO_RCVLOWAT": (_RCVBUF, _LOCK, _CLAMP),
    "IP_TOS": ("SO_PRIORITY",),
}
"""Other options that change, at once or soon, when an option is set."""

_FORCED: Final = {_SNDBUF: "SO_SNDBUFFORCE", _RCVBUF: "SO_RCVBUFFORCE"}
"""How to set a buffer beyond net.core.[rw]mem_max."""

_LIMITS: Final = {_SNDBUF: "net.core.wmem_max", _RCVBUF: "net.core.rmem_max"}
_SEND, _RECEIVE = 1, 2
_LOCK_OF: Final = {_SNDBUF: _SEND, _RCVBUF: _RECEIVE, _CLAMP: _RECEIVE}
"""The bit of SO_BUF_LOCK that keeps the kernel from tuning the option."""

_LOCKS_TOUCHED: Final = {
    _SNDBUF: _SEND,
    _RCVBUF: _RECEIVE,
    "SO_SNDBUFFORCE": _SEND,
    "SO_RCVBUFFORCE": _RECEIVE,
    "SO_RCVLOWAT": _RECEIVE,
    _LOCK: _SEND | _RECEIVE,
}

_RANK: Final = {_SNDBUF: 1, _RCVBUF: 1, "SO_PRIORITY": 1, "SO_KEEPALIVE": 1, _LOCK: 2, _CLAMP: 3}
"""What must come later: setting a buffer locks it, IP_TOS sets the priority, and probes of
SO_KEEPALIVE go by the times that are set then."""

_CANNOT: Final = {
    "SO_INCOMING_CPU": "the kernel shows where packets arrive, not what had been set",
    "SO_TXTIME": "once set, it cannot be taken away",
    "TCP_ULP": "a protocol above TCP cannot be taken away",
}
"""Readable options that no setsockopt() puts back."""

_FOLLOWING: Final = frozenset(
    {
        "TCP_KEEPIDLE",
        "TCP_KEEPINTVL",
        "TCP_KEEPCNT",
        "TCP_SYNCNT",
        "TCP_LINGER2",
        "IP_TTL",
        "IPV6_UNICAST_HOPS",
    }
)
"""Options that go by a sysctl until they are set, and read the same either way."""

_MAXSEG_UNSET: Final = (536).to_bytes(4, sys.byteorder)
"""TCP_MSS_DEFAULT, include/uapi/linux/tcp.h: what TCP_MAXSEG reads while nothing is set."""

_LACKING: Final = frozenset({errno.ENOPROTOOPT, errno.EOPNOTSUPP})
"""What a socket answers that has not got the option: MPTCP can be given a buffer, but not back."""

DONE: Final = frozenset({"restored", "already", "faded"})
"""Outcomes that leave nothing to put back."""

SETTLED: Final = DONE | {"cannot"}
"""Outcomes that another attempt would not change."""

Ours = Callable[[SocketOption, bytes, bytes], bool]
"""Whether an option, given some bytes, may read some others: ``analysis.outcome`` knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restoration:
    """What is to become of one change.

    ``word``: ``restore``, or why not: ``already`` (it is as it was), ``faded`` (the kernel has
    dropped it), ``refused`` (the owner has changed it since), ``cannot``.  When it is done, also
    ``restored``, ``inexact`` and ``failed``.  ``before`` is what it shall read, None if unknown.
    ``needs`` names the options that must be set for it, ``clamped_by`` the sysctl that kept a
    size from being restored.
    """

    option: SocketOption
    shown_as: SocketOption
    before: bytes | None
    word: str
    note: str = ""
    needs: tuple[str, ...] = ()
    clamped_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoringStep:
    """One value to set: through the first of ``ways`` that the kernel permits.

    ``target`` is what ``option`` shall read afterwards.
    """

    option: SocketOption
    ways: tuple[SocketOption, ...]
    value: bytes
    target: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What a step came to: the errno, and what the option read right after it."""

    step: RestoringStep
    errno: int
    reads: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoPlan:
    """The changes of one socket with their fate, and the steps in the order they are taken.

    ``unknown`` names options of a newer tcptool, of which nothing is done.
    """

    restorations: tuple[Restoration, ...]
    steps: tuple[RestoringStep, ...]
    unknown: tuple[str, ...]


def known_option(name: str) -> SocketOption | None:
    """The option that a journal names; None if it is of a newer tcptool."""
    return BACKLOG if name == BACKLOG.name else BY_NAME.get(name)


def disturbed_by(option: SocketOption) -> tuple[SocketOption, ...]:
    """The options whose values must be kept to undo a change of ``option``."""
    return tuple(BY_NAME[name] for name in DISTURBED.get(option.name, ()))


def options_to_read(entry: SocketEntry) -> tuple[SocketOption, ...]:
    """What must be read of the socket to plan its undo, each once."""
    names: dict[str, None] = {}
    for change in entry.pending:
        names[READ_AS.get(change.option, change.option)] = None
        names |= dict.fromkeys(change.kept)
        names |= dict.fromkeys((_LOCK,) if change.option in (_CLAMP, *_LOCKS_TOUCHED) else ())
    found = (known_option(name) for name in names)
    return tuple(option for option in found if option is not None and option.readable)


def plan_undo(
    entry: SocketEntry,
    current: Mapping[str, bytes | None],
    ours: Ours,
    newer: Mapping[str, str] | None = None,
) -> UndoPlan:
    """How to put back the pending changes of one socket, newest first.

    ``current`` is what ``options_to_read`` read, by name.  ``newer`` names later commands that
    changed the same options, by option.
    """
    planner = _Planner(entry, current, ours, newer or {})
    known = [
        (change, option)
        for change in reversed(entry.pending)
        if (option := known_option(change.option)) is not None
    ]
    restorations = [planner.restoration(change, option) for change, option in known]
    targets = planner.targets(restorations)
    return UndoPlan(
        restorations=tuple(
            replace(one, needs=_needs(one, targets)) if one.word == "restore" else one
            for one in restorations
        ),
        steps=tuple(planner.steps(targets)),
        unknown=tuple(c.option for c in entry.pending if known_option(c.option) is None),
    )


def _needs(one: Restoration, targets: Mapping[str, bytes]) -> tuple[str, ...]:
    return tuple(
        name for name in (one.shown_as.name, *DISTURBED.get(one.option.name, ())) if name in targets
    )


@dataclass(frozen=True, slots=True)
class _Planner:
    entry: SocketEntry
    current: Mapping[str, bytes | None]
    ours: Ours
    newer: Mapping[str, str]

    def restoration(self, change: PlannedChange, option: SocketOption) -> Restoration:
        """The fate of one change."""
        shown_as = shown_by(option)
        before = change.before
        if before is None:
            before = change.kept.get(shown_as.name)
        word, note = self._fate(change, option, shown_as.name, before)
        return Restoration(option=option, shown_as=shown_as, before=before, word=word, note=note)

    def _fate(
        self,
        change: PlannedChange,
        option: SocketOption,
        shown_as: str,
        before: bytes | None,
    ) -> tuple[str, str]:
        now = self.current.get(shown_as)
        done = self._done(change)
        if done is not None and done.errno:
            return "already", f"it had not been changed: {describe_errno(done.errno)}"
        if option.reads_back is ReadBack.FADING:
            return "faded", "the kernel has dropped it: it never lasts"
        if before is None:
            return "cannot", "it cannot be read, so what it was is not known"
        if now is None:
            return "cannot", "it cannot be read any more"
        if option.name in _CANNOT:
            return "cannot", _CANNOT[option.name]
        if _same(shown_as, now, before) and self._kept_is_as_it_was(change):
            return "already", ""
        if done is not None and _changed_nothing(change, done):
            return "already", "it had read the same before and after the change"
        if _same(shown_as, now, before):  # only what it disturbs is not back
            return "restore", _after_thought(change, option)
        return self._ownership(change, option, now, done)

    def _ownership(
        self,
        change: PlannedChange,
        option: SocketOption,
        now: bytes,
        done: DoneChange | None,
    ) -> tuple[str, str]:
        """Whether the value is still the one that the change left."""
        restored = "restore", _after_thought(change, option)
        tuned = self._is_tuned(READ_AS.get(option.name, option.name))
        if done is not None and done.after is not None:
            if now == done.after or (self.entry.undoing and self._is_disturbed(change)):
                return restored
            if tuned:
                return "restore", "the kernel had tuned it since"
            return "refused", self._who(change, "the owner has changed it since")
        forced = option.name in READ_AS and _int(now) == 2 * _int(change.requested)
        if forced or self.ours(option, change.requested, now) or self._is_disturbed(change):
            return restored
        if tuned:
            return "already", "the kernel tunes it, as before"
        return "refused", self._who(
            change, "it is neither what it was nor what was asked for: the owner has changed it"
        )

    def _who(self, change: PlannedChange, otherwise: str) -> str:
        later = self.newer.get(change.option)
        return f"{later} changed it later: undo that first" if later else otherwise

    def _done(self, change: PlannedChange) -> DoneChange | None:
        return next((one for one in self.entry.done if one.option == change.option), None)

    def _kept_is_as_it_was(self, change: PlannedChange) -> bool:
        return all(_same(name, self.current.get(name), raw) for name, raw in change.kept.items())

    def _is_disturbed(self, change: PlannedChange) -> bool:
        """Whether another change of the same command, or its undo, may have moved the option."""
        others = (one.option for one in self.entry.planned if one is not change)
        return any(change.option in DISTURBED.get(other, ()) for other in others)

    def _is_tuned(self, name: str) -> bool:
        """Whether the kernel may move the option by itself.

        No lock holds the window clamp: it follows the memory that segments take up.
        """
        if name == _CLAMP:
            return True
        locks = self.current.get(_LOCK)
        return locks is not None and name in _LOCK_OF and not _int(locks) & _LOCK_OF[name]

    def targets(self, restorations: Iterable[Restoration]) -> dict[str, bytes]:
        """What each option shall read in the end."""
        targets: dict[str, bytes] = {}
        own = {one.shown_as.name: one for one in restorations}
        for restoration in own.values():
            if restoration.word == "restore" and restoration.before is not None:
                targets[restoration.shown_as.name] = restoration.before
        for change in reversed(self.entry.pending):
            one = own.get(READ_AS.get(change.option, change.option))
            if one is None or one.word != "restore":
                continue
            for kept, raw in change.kept.items():
                if kept not in targets and self._belongs_to(change, kept):
                    targets[kept] = self._kept_target(change, kept, raw, own)
        if _LOCK in self.current and self.current[_LOCK] is not None:
            self._set_locks(targets, restorations)
        return targets

    def _belongs_to(self, change: PlannedChange, kept: str) -> bool:
        """Whether ``kept`` is to be put back too: with SO_BUF_LOCK, only what had been locked."""
        if change.option != _LOCK:
            return True
        return bool(_int(change.before or b"") & _LOCK_OF.get(kept, 0))

    def _kept_target(
        self, change: PlannedChange, kept: str, raw: bytes, own: Mapping[str, Restoration]
    ) -> bytes:
        """The kept value, or the present one if that is the owner's choice."""
        now = self.current.get(kept)
        if now is None:
            return raw
        if kept in own and own[kept].word in ("refused", "cannot"):
            return now
        done = self._done(change)
        after = done.kept.get(kept) if done else None
        if after is None or now in (after, raw) or self._is_tuned(kept):
            return raw
        is_explained = self.entry.undoing or kept in self._changed_options()
        return raw if is_explained else now

    def _changed_options(self) -> Collection[str]:
        return {change.option for change in self.entry.planned}

    def _set_locks(self, targets: dict[str, bytes], restorations: Iterable[Restoration]) -> None:
        """Put back the locks of what is put back, and leave the other one alone."""
        before = next(
            (
                raw
                for change in self.entry.planned
                for raw in (change.before if change.option == _LOCK else change.kept.get(_LOCK),)
                if raw is not None
            ),
            None,
        )
        bits = 0
        for one in restorations:
            if one.word == "restore":
                bits |= _LOCKS_TOUCHED.get(one.option.name, 0)
        if before is None or not bits:
            return
        now = _int(self.current[_LOCK] or b"")
        targets[_LOCK] = _bytes((now & ~bits) | (_int(before) & bits))

    def steps(self, targets: Mapping[str, bytes]) -> Iterable[RestoringStep]:
        """The values to set, in an order in which none disturbs an earlier one."""
        for name in sorted(targets, key=lambda name: _RANK.get(name, 0)):
            option, target = known_option(name), targets[name]
            disturbed = name in (_LOCK, "SO_PRIORITY")  # by the steps before
            if option is None or (_same(name, self.current.get(name), target) and not disturbed):
                continue
            if name == _CLAMP and not _int(target) and name not in self._changed_options():
                continue  # the socket had no window yet, and 0 cannot be set on a connection
            value, ways = target, [option]
            if name in _FORCED:
                value, ways = _bytes(_int(target) // 2), [BY_NAME[_FORCED[name]], option]
            elif name == "TCP_MAXSEG" and target == _MAXSEG_UNSET:
                value = _bytes(0)
            yield RestoringStep(option=option, ways=tuple(ways), value=value, target=target)


def _changed_nothing(change: PlannedChange, done: DoneChange) -> bool:
    if change.before is None or done.after != change.before:
        return False
    return all(done.kept.get(name) == raw for name, raw in change.kept.items())


def _after_thought(change: PlannedChange, option: SocketOption) -> str:
    if option.name in _FOLLOWING:
        return f"it does not follow {option.default_sysctl} any more"
    if option.name in _LOCKS_TOUCHED and option.name != _LOCK and _LOCK not in change.kept:
        return "automatic tuning stays off: this socket has no SO_BUF_LOCK"
    return ""


def finished(plan: UndoPlan, results: Iterable[StepResult]) -> tuple[Restoration, ...]:
    """The fate of every change after the steps were taken."""
    by_name = {result.step.option.name: result for result in results}
    return tuple(
        _finished(one, by_name) if one.word == "restore" else one for one in plan.restorations
    )


def _finished(one: Restoration, results: Mapping[str, StepResult]) -> Restoration:
    own = results.get(one.shown_as.name)
    if own is not None and own.errno:
        return replace(one, word="failed", note=describe_errno(own.errno))
    notes = []
    for name in one.needs:
        result = results.get(name)
        if result is None or (not result.errno and _is_back(result)):
            continue
        what = "" if result is own else f"{name} "
        if result.errno:
            notes.append(f"{what}could not be put back: {describe_errno(result.errno)}")
        else:
            notes.append(f"{what}{_why_not(result)}")
    if not notes:
        return replace(one, word="restored")
    if any(name in results and results[name].errno in _LACKING for name in one.needs):
        return replace(one, word="cannot", note="; ".join(notes))
    is_cut = own is not None and own.step.option.name in _LIMITS and not _is_back(own)
    clamped_by = _LIMITS[one.shown_as.name] if is_cut else None
    return replace(one, word="inexact", note="; ".join(notes), clamped_by=clamped_by)


def _is_back(result: StepResult) -> bool:
    return _same(result.step.option.name, result.reads, result.step.target)


def _same(name: str, reads: bytes | None, wanted: bytes) -> bool:
    """Whether an option reads what is wanted, or what means the same.

    The kernel tunes buffers to odd sizes too, and doubles what is set: those cannot be set, the
    even size below is as good.  The seconds of a SO_LINGER that is off mean nothing, and stay
    what they were: sk_setsockopt() in net/core/sock.c.
    """
    if name == "SO_LINGER" and reads is not None:
        return reads == wanted or not (_int(reads[:4]) or _int(wanted[:4]))
    if name in _FORCED and reads is not None:
        return _int(reads) | 1 == _int(wanted) | 1
    return reads == wanted


def _why_not(result: StepResult) -> str:
    option = result.step.option
    if option.name in _FORCED and result.reads is not None:
        return (
            f"is {_int(result.reads)} bytes instead of {_int(result.step.target)}: beyond "
            f"{_LIMITS[option.name]} it takes CAP_NET_ADMIN in the initial user namespace"
        )
    return "reads something else than it did before"


def _int(raw: bytes) -> int:
    return int.from_bytes(raw, sys.byteorder)


def _bytes(number: int) -> bytes:
    return number.to_bytes(4, sys.byteorder)
