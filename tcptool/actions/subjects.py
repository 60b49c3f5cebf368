"""The sockets that a change or a check is for, and how each of them is reached.

A target may name one socket or thousands.  Sockets that have no options any more (TIME-WAIT)
or not yet (a handshake), and sockets that no known process holds, are left out and counted; if
the target names only those, that is the error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from tcptool.actions.resolve import Found, describe, identify, resolve, whole_connections
from tcptool.catalog.options import BY_NAME, OptionValue, SocketOption
from tcptool.decode.options import decode_option
from tcptool.errors import NotFound, NotPermitted
from tcptool.linux.borrow import Descriptor
from tcptool.linux.kernel import Kernel
from tcptool.linux.owners import Owners, find_owners
from tcptool.linux.visit import Step, visit
from tcptool.model.change import Change, ChangedSocket
from tcptool.model.inspection import holder_records
from tcptool.model.owner import Holder
from tcptool.model.report import Missing, Warning
from tcptool.model.sock import Socket
from tcptool.model.target import Target

NETNS_COOKIE: Final = BY_NAME["SO_NETNS_COOKIE"]


@dataclass(frozen=True, slots=True)
class Subject:
    """One socket.  ``run`` executes steps on it, in slices where it is another program's.

    ``name`` is what a person calls it; ``kernel`` knows its network namespace.
    """

    name: str
    kernel: Kernel
    socket: Socket
    holders: tuple[Holder, ...]
    run: Callable[[Iterable[Step]], None]


@dataclass(slots=True)
class Selection:
    """Subjects, and what was left out and why."""

    subjects: list[Subject]
    missing: list[Missing] = field(default_factory=list)
    warnings: list[Warning] = field(default_factory=list)

    def note_lost(self, number: int) -> None:
        """Say that so many subjects went away, or could not be reached any more."""
        if number:
            text = f"{_count(number)} could not be reached any more and left out"
            self.warnings.append(Warning("lost", text))


def select(kernel: Kernel, target: Target, *, listeners: bool = False) -> Selection:
    """The sockets that the target names, with their holders.

    Among several sockets a listening one is left out unless ``listeners`` asks for it or there
    are no others.  Raises NotFound, NotPermitted or Unsupported when nothing remains.
    """
    doing = f"looking for {describe(target)}"
    found = whole_connections(resolve(kernel, target))
    if not found:
        raise NotFound(doing, "no TCP socket matches", "tcptool list shows what is there.")
    selection = Selection([])
    chosen = _with_options(found, doing, selection)
    if not listeners:
        chosen = _without_listeners(chosen, selection)
    by_kernel = {id(one.kernel): one.kernel for one in chosen}
    owners = {
        key: _owners(
            one, [f.socket for f in chosen if id(f.kernel) == key and f.descriptor is None]
        )
        for key, one in by_kernel.items()
    }
    for one in chosen:
        holders = _holders(one, owners[id(one.kernel)])
        if holders:
            selection.subjects.append(_subject(one, holders))
    selection.subjects.sort(key=_place)  # the kernel's order is that of a hash
    unheld = len(chosen) - len(selection.subjects)
    if unheld:
        _report_unheld(doing, unheld, selection, owners.values())
    return selection


def _with_options(found: list[Found], doing: str, selection: Selection) -> list[Found]:
    chosen = [one for one in found if one.socket.inode and one.socket.timer != "time-wait"]
    left_out = len(found) - len(chosen)
    if not chosen:
        state = found[0].socket.state
        raise NotFound(
            doing,
            f"the socket is in state {state} and no process has it: it has no options"
            if left_out == 1
            else f"none of the {left_out} sockets is held by a process: they have no options",
            "Nothing was changed.",
        )
    if left_out:
        selection.warnings.append(
            Warning("no_options", f"{_count(left_out)} left out: TIME-WAIT, or nobody has it")
        )
    return chosen


def _without_listeners(found: list[Found], selection: Selection) -> list[Found]:
    others = [one for one in found if one.socket.state != "listen"]
    left_out = len(found) - len(others)
    if not others or not left_out:
        return found
    selection.warnings.append(
        Warning(
            "listeners_left_out",
            f"{_count(left_out)} left out because it listens; --listeners takes it too"
            if left_out == 1
            else f"{_count(left_out)} left out because they listen; --listeners takes them too",
        )
    )
    return others


def _owners(kernel: Kernel, unnamed: list[Socket]) -> Owners:
    """Who holds the sockets that were not named by their descriptor."""
    if not unnamed:
        return Owners()
    wanted = {sock.inode for sock in unnamed if sock.inode}
    return find_owners(kernel.proc, kernel.netns_inode(), wanted=wanted)


def _holders(one: Found, owners: Owners) -> tuple[Holder, ...]:
    if one.descriptor is None:
        return owners.of(one.socket.inode)
    pid, fd = one.descriptor
    process = one.kernel.proc.process(pid)
    return (Holder(process, fd),) if process else ()


def _report_unheld(doing: str, unheld: int, selection: Selection, owners: Iterable[Owners]) -> None:
    missing = next((lack for one in owners for lack in one.missing()), None)
    if not selection.subjects:
        raise (
            NotPermitted(doing, missing.why, f"Nothing was changed. Needed: {missing.needs}.")
            if missing
            else NotFound(
                doing,
                "no process holds the socket: it waits in an accept queue, or was closed",
                "Nothing was changed.",
            )
        )
    selection.missing.append(
        missing or Missing(_count(unheld), "no process holds them", "an owner that accepts them")
    )
    selection.warnings.append(Warning("not_reached", f"{_count(unheld)} left out: no known holder"))


def _subject(one: Found, holders: tuple[Holder, ...]) -> Subject:
    sock = one.socket
    cookie = int(sock.cookie, 16) if sock.cookie else None

    def run(steps: Iterable[Step]) -> None:
        visit(one.kernel, holders, steps, inode=sock.inode or 0, cookie=cookie)

    return Subject(str(holders[0]), one.kernel, sock, holders, run)


def _place(subject: Subject) -> tuple[int, int]:
    """Subjects are shown by process and descriptor."""
    return subject.holders[0].process.pid, subject.holders[0].fd


def _count(number: int) -> str:
    return "1 socket" if number == 1 else f"{number} sockets"


def own(kernel: Kernel, name: str, descriptor: Descriptor) -> Subject:
    """A socket of our own as a subject: nobody is disturbed, so its steps run at once."""

    def run(steps: Iterable[Step]) -> None:
        for step in steps:
            step(descriptor)

    return Subject(name, kernel, identify(descriptor, "looking at a socket of our own"), (), run)


def value_of(option: SocketOption, reading: bytes | int | None) -> OptionValue | None:
    """The decoded value; None where the kernel gave none."""
    return decode_option(option, reading) if isinstance(reading, bytes) else None


def changed_socket(
    subject: Subject, changes: tuple[Change, ...], notes: tuple[str, ...], netns: bytes | int | None
) -> ChangedSocket:
    """The subject with its rows; ``netns`` is what its SO_NETNS_COOKIE reads."""
    sock = subject.socket
    known = value_of(NETNS_COOKIE, netns)
    return ChangedSocket(
        name=subject.name,
        protocol=sock.protocol,
        family=sock.family,
        state=sock.state,
        local=sock.local,
        peer=sock.peer,
        cookie=sock.cookie,
        inode=sock.inode,
        netns_cookie=None if known is None else str(known).removeprefix("0x"),
        holders=holder_records(subject.holders),
        changes=changes,
        advice=notes,
    )
