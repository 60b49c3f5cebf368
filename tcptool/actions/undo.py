"""`undo`: put back what earlier commands changed, on the very sockets that they changed.

A socket is found again by its inode among the descriptors of all processes and recognised by
its cookies; its addresses may belong to another connection by now.  It is read first, and
nothing is set unless it still reads what the change left there (analysis/undo.py).
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from tcptool.actions.circumstances import BUFFER_LOCK, Surroundings
from tcptool.actions.host import host_facts, iso_time
from tcptool.actions.resolve import describe, identify, resolve, whole_connections
from tcptool.actions.subjects import NETNS_COOKIE, Subject, changed_socket
from tcptool.analysis.outcome import PLANNED, agrees
from tcptool.analysis.undo import (
    DONE,
    SETTLED,
    Ours,
    Restoration,
    RestoringStep,
    StepResult,
    UndoPlan,
    finished,
    known_option,
    options_to_read,
    plan_undo,
)
from tcptool.catalog.diag import AF_INET
from tcptool.catalog.options import OptionValue, SocketOption
from tcptool.decode.options import decode_option
from tcptool.errors import NotFound, NotPermitted, TcptoolError
from tcptool.linux.borrow import Descriptor
from tcptool.linux.journal import Journal
from tcptool.linux.kernel import Kernel
from tcptool.linux.lookup import sockets
from tcptool.linux.owners import Owners, find_owners
from tcptool.linux.sock_diag import Dump
from tcptool.linux.visit import Step, read_option, visit, write_option
from tcptool.model.change import Assignment, Change, ChangedSocket, ChangeReport
from tcptool.model.journal import DoneChange, JournalEntry, SocketEntry, SocketIdentity
from tcptool.model.report import Missing, Warning
from tcptool.model.sock import Socket
from tcptool.model.target import Target
from tcptool.model.undo import UndoEntry, UndoList, UndoSocket

STATES: Final = ("open", "changed", "unreachable", "gone", "undone")
"""States of a socket in `undo --list`, the most interesting first."""

_LIST: Final = "`tcptool undo --list` shows what can be undone."
_GONE: Final = "the socket is gone, and what was changed with it"
_ELSEWHERE: Final = "it was made on another host, or before this one was started anew"


class Gone(NotFound):
    """The socket does not exist any more."""

    code = "gone"


@dataclass(frozen=True, slots=True)
class _Job:
    """One socket of one command."""

    entry: JournalEntry
    socket: SocketEntry

    @property
    def identity(self) -> SocketIdentity:
        return self.socket.identity


@dataclass(frozen=True, slots=True)
class _Reached:
    """A socket that was found again, and what its options read, by their names."""

    subject: Subject
    values: dict[str, bytes | None]
    netns: bytes | None


def undo(
    kernel: Kernel,
    journal: Journal,
    *,
    entry_id: str | None = None,
    target: Target | None = None,
    dry_run: bool = False,
) -> ChangeReport:
    """Put back what one command changed, or everything that was changed on the target's sockets.

    With neither, it is the last command that is not undone yet.  ``dry_run`` sets and writes
    nothing.  Raises NotFound if there is no such command or its sockets are all gone, and
    NotPermitted or Unsupported if none of them can be reached.
    """
    replay = journal.replay()
    here = _of_this_boot(journal, replay.entries)
    jobs = _jobs(kernel, journal, replay.entries, entry_id, target)
    pending = _by_cookie(here)
    seeker = _Seeker(kernel, jobs)
    changed: list[ChangedSocket] = []
    errors: list[TcptoolError] = []
    left: list[str] = []
    assumed: dict[str, dict[str, bytes]] = {}
    complete = True
    job: _Job | None = None
    try:
        for job in jobs:
            cookie = job.identity.cookie
            newer = _newer(job, pending[cookie])
            simulated = assumed.setdefault(cookie, {}) if dry_run else None
            try:
                result, is_done = _undo_one(seeker, journal, job, newer, simulated)
                changed.append(result)
            except Gone as exc:
                errors.append(exc)
                is_done = True
                if not dry_run:
                    journal.gone(job.entry.id, cookie)
            except TcptoolError as exc:
                errors.append(exc)
                is_done = False
            if not is_done:
                left.append(job.entry.id)
    except KeyboardInterrupt:
        complete = False
        left += [job.entry.id] if job else []
    if errors and len(errors) == len(jobs):
        raise errors[0]
    unfinished = [job.entry.id for job in jobs] if dry_run else left
    return ChangeReport(
        action="undo",
        dry_run=dry_run,
        complete=complete,
        undo_id=next(iter(unfinished), None),
        agrees=complete and not left,
        sockets=tuple(changed),
        host=host_facts(kernel),
        missing=[Missing(e.doing, e.why, e.hint) for e in errors if not isinstance(e, Gone)],
        warnings=[
            *_damage(replay.damaged),
            *_remarks(jobs, errors, entry_id),
            *journal.warnings,
        ],
    )


def _of_this_boot(journal: Journal, entries: Iterable[JournalEntry]) -> list[JournalEntry]:
    """Cookies and inodes start anew with every boot: older entries name other sockets."""
    return [entry for entry in entries if entry.boot == journal.boot]


def _remarks(
    jobs: Sequence[_Job], errors: Sequence[TcptoolError], entry_id: str | None
) -> Iterator[Warning]:
    if not jobs:
        yield Warning("nothing_to_undo", f"{entry_id} is undone already")
    gone = sum(isinstance(error, Gone) for error in errors)
    if gone:
        count = "1 socket is" if gone == 1 else f"{gone} sockets are"
        yield Warning("gone", f"{count} gone, and what was changed with it")


def _damage(lines: int) -> list[Warning]:
    if not lines:
        return []
    count = "1 line" if lines == 1 else f"{lines} lines"
    return [Warning("journal_damaged", f"{count} of the journal cannot be read: passed over")]


# -- which ---------------------------------------------------------------------------------


def _jobs(
    kernel: Kernel,
    journal: Journal,
    entries: Sequence[JournalEntry],
    entry_id: str | None,
    target: Target | None,
) -> list[_Job]:
    """The sockets to put back, of the newest command first."""
    here = _of_this_boot(journal, entries)
    if entry_id is not None:
        return _jobs_of(entry_id, journal, entries)
    jobs = [_Job(entry, one) for entry in reversed(here) for one in entry.sockets if one.pending]
    doing = "undoing the last change"
    if target is not None:
        doing = f"undoing what was changed on {describe(target)}"
        found = {one.socket.cookie for one in whole_connections(resolve(kernel, target))}
        jobs = [job for job in jobs if job.identity.cookie in found]
    else:
        last = next((job.entry for job in jobs if job.socket.changed), None)
        jobs = [job for job in jobs if job.entry is last]
    if not jobs:
        raise NotFound(doing, f"{journal.path} knows of nothing to undo", _LIST)
    return jobs


def _jobs_of(entry_id: str, journal: Journal, entries: Sequence[JournalEntry]) -> list[_Job]:
    """The sockets of one command; none if it is undone."""
    doing = f"undoing {entry_id}"
    entry = next((one for one in entries if one.id == entry_id), None)
    if entry is None:
        raise NotFound(doing, f"{journal.path} has no such entry", _LIST)
    if entry.boot != journal.boot:
        raise Gone(doing, f"{_ELSEWHERE}: its sockets are gone", _LIST)
    return [_Job(entry, one) for one in entry.sockets if one.pending]


def _by_cookie(entries: Iterable[JournalEntry]) -> dict[str, list[_Job]]:
    """What is pending of every socket, oldest first."""
    jobs: dict[str, list[_Job]] = {}
    for entry in entries:
        for one in entry.sockets:
            if one.pending:
                jobs.setdefault(one.identity.cookie, []).append(_Job(entry, one))
    return jobs


def _newer(job: _Job, of_socket: Sequence[_Job]) -> dict[str, str]:
    """The last command that changed each option of this socket after this one did."""
    ids = [one.entry.id for one in of_socket]
    later = of_socket[ids.index(job.entry.id) + 1 :]
    return {change.option: one.entry.id for one in later for change in one.socket.pending}


# -- finding it again ----------------------------------------------------------------------


class _Seeker:
    """Finds sockets by what the journal knows of them.  The processes are walked once."""

    def __init__(self, kernel: Kernel, jobs: Sequence[_Job]) -> None:
        self.kernel = kernel
        inodes = {job.identity.inode for job in jobs}
        names = {change.option for job in jobs for change in job.socket.pending}
        options = [option for name in names if (option := known_option(name)) is not None]
        self._owners = find_owners(kernel.proc, None, wanted=inodes) if inodes else Owners()
        self._surroundings = Surroundings(kernel, options)
        self._listed: set[tuple[str | None, int | None]] | None = None

    def reach(self, job: _Job) -> _Reached:
        """Read the socket.  Raises Gone, NotPermitted or Unsupported."""
        identity = job.identity
        doing = f"finding {identity.label} again"
        holders = self._owners.of(identity.inode)
        if not holders:
            raise self._unheld(doing, identity)

        def run(steps: Iterable[Step]) -> None:
            cookie = int(identity.cookie, 16)
            try:
                visit(self.kernel, holders, steps, inode=identity.inode, cookie=cookie)
            except NotFound as exc:
                raise Gone(doing, _GONE, _LIST) from exc

        found: list[Socket] = []
        values: dict[str, bytes | None] = {}
        options = dict.fromkeys((*options_to_read(job.socket), NETNS_COOKIE))
        reading = [partial(_read, values, option) for option in options]
        run([lambda descriptor: found.append(identify(descriptor, doing)), *reading])
        netns = values.pop(NETNS_COOKIE.name)
        if identity.netns_cookie not in (None, _hexadecimal(netns)):
            raise Gone(doing, _GONE, _LIST)
        subject = Subject(str(holders[0]), self.kernel, found[0], holders, run)
        return _Reached(subject, values, netns)

    def ours(self, reached: _Reached) -> Ours:
        """Whether a value may be what the kernel made of a request, as ``verify`` sees it."""

        def ours(option: SocketOption, requested: bytes, now: bytes) -> bool:
            locks = reached.values.get(BUFFER_LOCK.name)
            circumstances = self._surroundings.of(reached.subject.socket, locks)
            asked = Assignment(option, decode_option(option, requested), requested.hex())
            return agrees(asked, decode_option(option, now), circumstances).word == "matches"

        return ours

    def _unheld(self, doing: str, identity: SocketIdentity) -> TcptoolError:
        """Gone, or in the hands of a process that may not be looked into."""
        lacks = self._owners.missing()
        if not lacks or not self._may_exist(identity):
            return Gone(doing, _GONE, _LIST)
        return NotPermitted(
            doing, f"no known process holds it, and {lacks[0].why}", f"Needed: {lacks[0].needs}."
        )

    def _may_exist(self, identity: SocketIdentity) -> bool:
        """Whether sock_diag lists it; true as well of what another namespace may have."""
        values: dict[str, bytes | None] = {}
        with self.kernel.fresh_socket(AF_INET) as fresh:
            _read(values, NETNS_COOKIE, fresh)
        if identity.netns_cookie not in (None, _hexadecimal(values[NETNS_COOKIE.name])):
            return True
        if self._listed is None:
            self._listed = {(sock.cookie, sock.inode) for sock in sockets(Dump(self.kernel))}
        return (identity.cookie, identity.inode) in self._listed


def _read(values: dict[str, bytes | None], option: SocketOption, descriptor: Descriptor) -> None:
    value = read_option(descriptor, option)
    values[option.name] = value if isinstance(value, bytes) else None


def _hexadecimal(raw: bytes | None) -> str | None:
    return None if raw is None else f"{int.from_bytes(raw, sys.byteorder):x}"


# -- putting it back -----------------------------------------------------------------------


def _undo_one(
    seeker: _Seeker,
    journal: Journal,
    job: _Job,
    newer: Mapping[str, str],
    assumed: dict[str, bytes] | None,
) -> tuple[ChangedSocket, bool]:
    """Put one socket back, and say whether that left nothing to put back.

    ``assumed`` is given for a dry run: what options of this socket would read by now; what this
    job would do is added.
    """
    reached = seeker.reach(job)
    values = reached.values | (assumed or {})
    plan = plan_undo(job.socket, values, seeker.ours(reached), newer)
    if assumed is None:
        if plan.steps:
            journal.undoing(job.entry.id, job.identity.cookie)
        results = _take(reached.subject, plan.steps)
        fates = finished(plan, results)
        values |= {result.step.option.name: result.reads for result in results}
        # What was set instead is ours as well: another undo may do better.
        again = [
            DoneChange(option=one.option.name, after=values.get(one.shown_as.name))
            for one in fates
            if one.word == "inexact"
        ]
        if again:
            journal.done(job.entry.id, job.identity.cookie, again)
        settled = [one.option.name for one in fates if one.word in SETTLED]
        journal.undone(job.entry.id, job.identity.cookie, settled)
    else:
        fates = _as_planned(plan)
        assumed |= {step.option.name: step.target for step in plan.steps}
    rows = tuple(_row(one, reached.values, values) for one in fates)
    notes = tuple(_advice(job, reached.subject, plan))
    is_done = not plan.unknown and all(one.word in (*DONE, PLANNED) for one in fates)
    return changed_socket(reached.subject, rows, notes, reached.netns), is_done


def _take(subject: Subject, steps: Sequence[RestoringStep]) -> list[StepResult]:
    """Take the steps; each option is read right after it was set, before the kernel tunes it."""
    results: list[StepResult] = []
    if steps:
        subject.run([partial(_take_one, results, step) for step in steps])
    return results


def _take_one(results: list[StepResult], step: RestoringStep, descriptor: Descriptor) -> None:
    number = 0
    for way in step.ways:
        number = write_option(descriptor, way, step.value)
        if number != errno.EPERM:
            break
    value = read_option(descriptor, step.option)
    reads = value if isinstance(value, bytes) else None
    results.append(StepResult(step=step, errno=number, reads=reads))


def _as_planned(plan: UndoPlan) -> tuple[Restoration, ...]:
    return tuple(
        replace(one, word=PLANNED) if one.word == "restore" else one for one in plan.restorations
    )


def _row(
    one: Restoration, before: Mapping[str, bytes | None], after: Mapping[str, bytes | None]
) -> Change:
    shown = one.shown_as
    return Change(
        option=one.option.name,
        unit=shown.unit.value,
        before=_decoded(shown, before.get(shown.name)),
        requested=_decoded(shown, one.before),
        effective=None if one.word == PLANNED else _decoded(shown, after.get(shown.name)),
        outcome=one.word,
        note=one.note,
        clamped_by=one.clamped_by,
        risk=one.option.risk.value,
    )


def _decoded(option: SocketOption, raw: bytes | None) -> OptionValue | None:
    return None if raw is None else decode_option(option, raw)


def _advice(job: _Job, subject: Subject, plan: UndoPlan) -> Iterator[str]:
    """Which command it undoes, and what is not as it was then."""
    yield f"undoes {job.entry.id}: {job.entry.command}"
    identity = job.identity
    known = {(one.process.pid, one.process.start_ticks) for one in subject.holders}
    if (identity.pid, identity.start_ticks) not in known:
        yield f"process {identity.pid}, which held the socket then, does not hold it any more"
    for name in plan.unknown:
        yield f"{name} was left alone: this tcptool does not know it"


# -- the list ------------------------------------------------------------------------------


def list_undo(kernel: Kernel, journal: Journal) -> UndoList:
    """Every command of the journal, newest first, and what can still be put back.

    Each socket with something to put back is borrowed once, to be read; nothing is set.
    """
    replay = journal.replay()
    pending = _by_cookie(_of_this_boot(journal, replay.entries))
    seeker = _Seeker(kernel, [job for jobs in pending.values() for job in jobs])
    entries = []
    missing: list[Missing] = []
    for entry in reversed(replay.entries):
        listed = tuple(_listed(seeker, _Job(entry, one), pending, missing) for one in entry.sockets)
        entries.append(
            UndoEntry(
                id=entry.id,
                time=iso_time(entry.time_s),
                command=entry.command,
                state=min((one.state for one in listed), key=STATES.index),
                sockets=listed,
            )
        )
    return UndoList(tuple(entries), host_facts(kernel), missing, _damage(replay.damaged))


def _listed(
    seeker: _Seeker, job: _Job, pending: Mapping[str, Sequence[_Job]], missing: list[Missing]
) -> UndoSocket:
    one, note = job.socket, ""
    of_socket = pending.get(one.identity.cookie, ())
    if not one.pending:
        state = "gone" if one.gone else "undone"
    elif job not in of_socket:
        state, note = "gone", _ELSEWHERE
    else:
        try:
            state, note = _state(seeker, job, _newer(job, of_socket))
        except Gone:
            state = "gone"
        except TcptoolError as exc:
            state, note = "unreachable", exc.why
            missing.append(Missing(exc.doing, exc.why, exc.hint))
    return UndoSocket(
        label=one.identity.label,
        cookie=one.identity.cookie,
        state=state,
        options=tuple(change.option for change in one.planned),
        note=note,
    )


def _state(seeker: _Seeker, job: _Job, newer: Mapping[str, str]) -> tuple[str, str]:
    reached = seeker.reach(job)
    plan = plan_undo(job.socket, reached.values, seeker.ours(reached), newer)
    notes = [f"{one.option.name}: {one.note}" for one in plan.restorations if one.word == "refused"]
    notes += [f"{name}: this tcptool does not know it" for name in plan.unknown]
    if any(one.word == "restore" for one in plan.restorations):
        return "open", "; ".join(notes)
    return ("changed", "; ".join(notes)) if notes else ("undone", "")
