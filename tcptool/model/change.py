"""Changes of socket options: what is asked for, what bears upon it, and what came of it.

``apply``, ``verify`` and ``undo`` pass these records on; the journal keeps their raw bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tcptool.catalog.options import OptionValue, SocketOption
from tcptool.model.inspection import HolderRecord
from tcptool.model.report import Host, Missing, Warning
from tcptool.model.sock import Endpoint


@dataclass(frozen=True, slots=True)
class Assignment:
    """An option and the value asked for, in the option's unit; ``text`` is as it was typed."""

    option: SocketOption
    value: OptionValue
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What decides, beside the value, what setting an option does.

    ``state`` is a TCP state word; a fresh socket is ``close``.  ``numbers`` holds sysctls by
    their full name, with the place of a number among several: ``net.ipv4.tcp_rmem[2]``; one
    that could not be read is missing.  ``jiffy_us`` is the length of a kernel tick, None if
    it is not known.  ``locks`` are the words of SO_BUF_LOCK.
    """

    state: str
    family: str = "ipv4"
    protocol: str = "tcp"
    numbers: Mapping[str, int] = field(default_factory=dict)
    jiffy_us: int | None = None
    locks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One setsockopt() and what was read before and after it.

    ``before`` and ``after`` are None where the option cannot be read; ``errno`` is 0 for a
    set that the kernel accepted.
    """

    assignment: Assignment
    before: OptionValue | None
    after: OptionValue | None
    errno: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of it: ``word`` is one of ``analysis.outcome.WORDS``, ``note`` the reason.

    ``clamped_by`` names the sysctl that cut the value.
    """

    word: str
    note: str = ""
    clamped_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One row of `apply` and `verify`: an option of one socket, in ``unit``.

    ``requested`` is what was asked for, ``effective`` what reads back.  `undo` asks for what the
    option had been, which is None where that could not be read.
    """

    option: str
    unit: str
    before: OptionValue | None
    requested: OptionValue | None
    effective: OptionValue | None
    outcome: str
    note: str
    clamped_by: str | None
    risk: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedSocket:
    """One socket and its rows; ``advice`` says what the person should know or do next."""

    name: str
    protocol: str
    family: str
    state: str
    local: Endpoint
    peer: Endpoint
    cookie: str | None
    inode: int | None
    netns_cookie: str | None
    holders: tuple[HolderRecord, ...]
    changes: tuple[Change, ...]
    advice: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeReport:
    """What `apply`, `verify` or `undo` did.

    ``undo_id`` is what `tcptool undo` takes to put it back, None if nothing was changed.
    ``agrees`` is the answer of `verify`, and elsewhere whether nothing failed.  ``complete``
    is False if Ctrl-C ended it before the last socket.
    """

    action: str
    dry_run: bool
    complete: bool = True
    undo_id: str | None
    agrees: bool
    sockets: tuple[ChangedSocket, ...]
    host: Host = field(metadata={"internal": True})
    missing: list[Missing] = field(metadata={"internal": True})
    warnings: list[Warning] = field(metadata={"internal": True})
