"""What the journal of changes remembers: enough to find the socket again and put it back."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketIdentity:
    """Which socket it was.  A socket is the same only if every number that is known agrees.

    Cookies are hexadecimal without a prefix, as in ``sk:COOKIE``.  ``start_ticks`` is field 22
    of /proc/PID/stat.  ``label`` is for people: ``worker 1234:5 10.0.0.1:80 - 10.0.0.9:51844``.
    """

    netns_cookie: str | None
    cookie: str
    inode: int
    pid: int
    start_ticks: int
    fd: int
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedChange:
    """One option as it was, and the bytes that are to be set; ``before`` None: unreadable.

    ``kept`` holds the raw values of other options that the change disturbs, by name
    (SO_RCVBUF: SO_BUF_LOCK and TCP_WINDOW_CLAMP).
    """

    option: str
    before: bytes | None
    requested: bytes
    kept: dict[str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class DoneChange:
    """What became of a planned change: the bytes read back, or the errno.

    ``kept`` holds what the options of ``PlannedChange.kept`` read afterwards, as far as it is
    known: an owner who changes one of them later is noticed.
    """

    option: str
    after: bytes | None
    errno: int = 0
    kept: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketEntry:
    """One socket of an entry: the plan, and what is known of its execution.

    A change without its ``DoneChange`` may or may not have happened: the program was killed.
    ``undone`` names the options that were put back since, or that have nothing to put back.
    ``undoing``: an undo was begun and did not come to its end.  ``gone``: the socket was looked
    for and does not exist any more.
    """

    identity: SocketIdentity
    planned: tuple[PlannedChange, ...]
    done: tuple[DoneChange, ...] = ()
    undone: tuple[str, ...] = ()
    undoing: bool = False
    gone: bool = False

    @property
    def pending(self) -> tuple[PlannedChange, ...]:
        """The changes that may still have to be put back, in the order they were made."""
        if self.gone:
            return ()
        return tuple(change for change in self.planned if change.option not in self.undone)

    @property
    def changed(self) -> tuple[PlannedChange, ...]:
        """The pending changes without those that the kernel refused: what an undo is for."""
        vain = {one.option for one in self.done if one.errno and self._is_as_it_was(one)}
        return tuple(change for change in self.pending if change.option not in vain)

    def _is_as_it_was(self, done: DoneChange) -> bool:
        """MPTCP refuses some sets and changes what reads all the same."""
        before = next((one.before for one in self.planned if one.option == done.option), None)
        return done.after is None or done.after == before


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """One command that changed sockets.  ``time_s`` counts from the epoch.

    ``boot`` is the kernel's boot id, which the journal adds itself: cookies and inodes start
    anew with every boot.  It is empty where the kernel does not tell.
    """

    id: str
    time_s: float
    command: str
    sockets: tuple[SocketEntry, ...]
    boot: str = ""
