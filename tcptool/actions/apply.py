"""`apply`: set options on live sockets, read back what came of it, remember how to undo it.

The order of things is the promise: everything is read first, the plan is on disk before the
first change, and each socket is borrowed only for the calls themselves.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tcptool.actions.circumstances import BUFFER_LOCK, Surroundings
from tcptool.actions.host import host_facts
from tcptool.actions.subjects import (
    NETNS_COOKIE,
    Selection,
    Subject,
    changed_socket,
    own,
    value_of,
)
from tcptool.analysis.advice import advice, risks
from tcptool.analysis.outcome import (
    FAILED,
    NO_EFFECT,
    NOT_TRIED,
    PLANNED,
    conflicts,
    expected,
    judge,
    order,
)
from tcptool.analysis.undo import disturbed_by
from tcptool.catalog.options import (
    BACKLOG,
    BUFFERS,
    BY_NAME,
    DANGERS,
    RECEIVE_BUFFERS,
    ReadBack,
    Risk,
    SocketOption,
    forceable,
    shown_by,
)
from tcptool.decode.options import decode_option, encode_option
from tcptool.errors import NotFound, TcptoolError, UsageError, from_oserror
from tcptool.linux.borrow import Descriptor
from tcptool.linux.journal import Journal
from tcptool.linux.kernel import Kernel
from tcptool.linux.memory import TcpMemory, tcp_memory
from tcptool.linux.visit import Readings, Step, read_option, read_step, write_option
from tcptool.model.change import (
    Assignment,
    Attempt,
    Change,
    ChangedSocket,
    ChangeReport,
    Circumstances,
    Outcome,
)
from tcptool.model.journal import (
    DoneChange,
    JournalEntry,
    PlannedChange,
    SocketEntry,
    SocketIdentity,
)
from tcptool.model.report import Warning
from tcptool.units import Unit, human

_MOVING: Final = frozenset({ReadBack.MOVING, ReadBack.FADING, ReadBack.IGNORED})
_CLAMP: Final = BY_NAME["TCP_WINDOW_CLAMP"]

UNHARMED: Final = "Nothing was changed."


class Refused(UsageError):
    """An option that tcptool does not set on other programs' sockets, or not without --force."""

    code = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be set, and how boldly.  ``command`` is kept in the journal, for people.

    ``warnings`` are passed on to the report.
    """

    assignments: tuple[Assignment, ...]
    command: str
    dry_run: bool = False
    force: bool = False
    warnings: tuple[Warning, ...] = ()


def checked(
    assignments: Sequence[Assignment], *, force: bool = False, also_clamp: bool = False
) -> tuple[Assignment, ...]:
    """The assignments in the order in which they are to be made.

    Raises Refused for options that must not be set, UsageError for one that is set twice.
    """
    doing = "checking what to set"
    wanted = [*assignments, *(_clamps(assignments) if also_clamp else ())]
    if also_clamp and not any(one.option.name in RECEIVE_BUFFERS for one in assignments):
        raise UsageError(doing, "--also-clamp goes with a receive buffer", UNHARMED)
    seen: set[SocketOption] = set()
    for assignment in wanted:
        option = assignment.option
        if option in seen:
            raise UsageError(doing, f"{option.name} is given twice", UNHARMED)
        seen.add(option)
        if not option.settable:
            raise Refused(doing, f"{option.name} can only be read", UNHARMED)
        if option.risk is Risk.REFUSE and not (force and forceable(option)):
            raise Refused(
                doing,
                f"{option.name} is dangerous on a socket in use. {DANGERS.get(option.name, '')}",
                f"{UNHARMED} --force sets it all the same."
                if forceable(option)
                else f"{UNHARMED} --force does not allow it either: it could not be undone.",
            )
    return tuple(order(wanted))


def _clamps(wanted: Sequence[Assignment]) -> Iterator[Assignment]:
    """The window clamp that lets the window follow a receive buffer, which is doubled.

    A clamp that is asked for by itself stands.
    """
    if any(one.option is _CLAMP for one in wanted):
        return
    for assignment in wanted:
        size = assignment.value
        if assignment.option.name in RECEIVE_BUFFERS and isinstance(size, int) and size > 0:
            clamp = min(2 * size, 2**31 - 1)
            yield Assignment(_CLAMP, clamp, f"{_CLAMP.name}={clamp}")


def own_sockets(kernel: Kernel, wish: Order, family: int) -> ChangeReport:
    """Try the options on a fresh, a listening and a connected socket of our own."""
    with _opened(kernel, family) as sockets:
        subjects = [own(kernel, name, descriptor) for name, descriptor in sockets.items()]
        return apply(kernel, Selection(subjects), wish, None)


@contextlib.contextmanager
def _opened(kernel: Kernel, family: int) -> Iterator[dict[str, Descriptor]]:
    doing = "opening sockets of our own on loopback"
    with contextlib.ExitStack() as stack:
        try:
            sockets = stack.enter_context(kernel.own_sockets(family))
        except OSError as exc:
            raise from_oserror(doing, exc, hint=f"{UNHARMED} Is the interface lo up?") from exc
        yield sockets


# -- the work ------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class _Job:
    """One subject on its way: what was read, what was set, what stopped it."""

    subject: Subject
    before: Readings = field(default_factory=dict)
    after: Readings = field(default_factory=dict)
    disturbed: dict[SocketOption, Readings] = field(default_factory=dict)
    errnos: dict[SocketOption, int] = field(default_factory=dict)
    latest: Readings = field(default_factory=dict)
    overtaken: set[SocketOption] = field(default_factory=set)
    problem: TcptoolError | None = None

    def run(self, steps: Sequence[Step]) -> None:
        """Run the steps on the socket; a refusal is kept in ``problem``."""
        try:
            self.subject.run(steps)
        except TcptoolError as exc:
            self.problem = exc

    def has(self, option: SocketOption) -> bool:
        """False for the backlog of a socket that does not listen: a profile may name both."""
        return option is not BACKLOG or self.subject.socket.state == "listen"

    def setting(self, option: SocketOption, raw: bytes) -> Step:
        """A step that sets an option and reads it back, with those that it disturbs.

        An option that its owner has set since it was read is left to the owner: what is to be
        put back later would be wrong.
        """
        shown = shown_by(option)
        moves = shown.name in BUFFERS or shown.tuned_by_kernel or shown.reads_back in _MOVING

        def step(descriptor: Descriptor) -> None:
            if shown.readable and not moves:
                expected = self.latest.get(shown, self.before.get(shown))
                if read_option(descriptor, shown) != expected:
                    self.overtaken.add(option)
                    return
            self.errnos[option] = write_option(descriptor, option, raw)
            if shown.readable:
                self.after[option] = self.latest[shown] = read_option(descriptor, shown)
            self.disturbed[option] = {o: read_option(descriptor, o) for o in disturbed_by(option)}
            self.latest |= self.disturbed[option]

        return step

    def look_again(self, options: Sequence[SocketOption]) -> None:
        """Find out what came of the option that Ctrl-C interrupted: it may have been set."""
        option = next((one for one in options if one not in self.disturbed), None)
        if option is None:
            return
        shown = shown_by(option)
        now: Readings = {}
        if shown.readable:
            self.run([read_step(now, shown)])
        if shown in now and (option in self.errnos or now[shown] != self.before.get(shown)):
            self.errnos.setdefault(option, 0)
            self.after[option] = now[shown]


def apply(
    kernel: Kernel, selection: Selection, wish: Order, journal: Journal | None
) -> ChangeReport:
    """Set the options on every subject.  Without a journal nothing can be undone.

    Raises TcptoolError, with nothing changed, where no subject can be read, TCP's memory would
    not suffice, or the plan cannot be written down.
    """
    options = [assignment.option for assignment in wish.assignments]
    jobs = [_Job(subject) for subject in selection.subjects]
    for job in jobs:
        job.run([read_step(job.before, option) for option in _to_read(options)])
    ready = [job for job in jobs if job.problem is None]
    if not ready and jobs[0].problem is not None:
        raise jobs[0].problem
    gone = [job for job in jobs if isinstance(job.problem, NotFound)]
    selection.note_lost(len(gone))
    jobs = [job for job in jobs if job not in gone]
    surroundings = {id(j.subject.kernel): Surroundings(j.subject.kernel, options) for j in jobs}
    _check_memory(kernel, ready, wish, surroundings, selection)
    undo_id, complete = None, True
    if not wish.dry_run:
        if journal is not None:
            undo_id = journal.new_id(kernel.wall_clock())
            journal.begin(_entry(undo_id, kernel.wall_clock(), ready, wish))
        complete = _set_all(ready, wish, undo_id, journal)
    sockets = tuple(_result(job, wish, surroundings[id(job.subject.kernel)]) for job in jobs)
    return ChangeReport(
        action="apply",
        dry_run=wish.dry_run,
        complete=complete,
        undo_id=undo_id if any(0 in job.errnos.values() for job in ready) else None,
        agrees=complete and all(c.outcome not in FAILED for s in sockets for c in s.changes),
        sockets=sockets,
        host=host_facts(kernel),
        missing=selection.missing,
        warnings=[
            *selection.warnings,
            *wish.warnings,
            *risks(options),
            *(Warning("conflict", text) for text in conflicts(wish.assignments)),
            *(journal.warnings if journal else ()),
        ],
    )


def _to_read(options: Sequence[SocketOption]) -> list[SocketOption]:
    """Each once: the options, those that setting them disturbs, and what identifies the socket."""
    wanted = [NETNS_COOKIE, BUFFER_LOCK]
    for option in options:
        wanted += [shown_by(option), *disturbed_by(option)]
        if option.name in RECEIVE_BUFFERS:
            wanted.append(_CLAMP)
    return [option for option in dict.fromkeys(wanted) if option.readable]


def _set_all(
    jobs: Sequence[_Job], wish: Order, undo_id: str | None, journal: Journal | None
) -> bool:
    """Make the changes, socket by socket; False if Ctrl-C ended it."""
    encoded = [(a.option, encode_option(a.option, a.value)) for a in wish.assignments]
    job: _Job | None = None
    try:
        for job in jobs:
            job.run([job.setting(option, raw) for option, raw in encoded if job.has(option)])
            if journal is not None and undo_id is not None:
                journal.done(undo_id, _cookie(job.subject), _done(job))
    except KeyboardInterrupt:
        if job is not None:
            job.look_again([option for option, _ in encoded])
            if journal is not None and undo_id is not None:
                journal.done(undo_id, _cookie(job.subject), _done(job))
        return False
    return True


def _cookie(subject: Subject) -> str:
    return subject.socket.cookie or ""


def _done(job: _Job) -> tuple[DoneChange, ...]:
    return tuple(
        DoneChange(
            option=option.name,
            after=_bytes(job.after.get(option)),
            errno=number,
            kept=_all_bytes(job.disturbed.get(option, {})),
        )
        for option, number in job.errnos.items()
    )


def _bytes(reading: bytes | int | None) -> bytes | None:
    return reading if isinstance(reading, bytes) else None


def _all_bytes(readings: Readings) -> dict[str, bytes]:
    return {option.name: raw for option, raw in readings.items() if isinstance(raw, bytes)}


def _entry(undo_id: str, now_s: float, jobs: Sequence[_Job], wish: Order) -> JournalEntry:
    return JournalEntry(
        id=undo_id,
        time_s=now_s,
        command=wish.command,
        sockets=tuple(
            SocketEntry(identity=_identity(job), planned=tuple(_planned(job, wish))) for job in jobs
        ),
    )


def _identity(job: _Job) -> SocketIdentity:
    sock, holder = job.subject.socket, job.subject.holders[0]
    netns = _bytes(job.before.get(NETNS_COOKIE))
    process = holder.process
    return SocketIdentity(
        netns_cookie=str(decode_option(NETNS_COOKIE, netns)).removeprefix("0x") if netns else None,
        cookie=_cookie(job.subject),
        inode=sock.inode or 0,
        pid=process.pid,
        start_ticks=process.start_ticks,
        fd=holder.fd,
        label=f"{process.name} {holder} {sock.local} - {sock.peer}",
    )


def _planned(job: _Job, wish: Order) -> Iterator[PlannedChange]:
    for assignment in wish.assignments:
        option = assignment.option
        if not job.has(option):
            continue
        disturbed = {o: job.before[o] for o in disturbed_by(option) if o in job.before}
        yield PlannedChange(
            option=option.name,
            before=_bytes(job.before.get(option)),
            requested=encode_option(option, assignment.value),
            kept=_all_bytes(disturbed),
        )


# -- memory --------------------------------------------------------------------------------


def _check_memory(
    kernel: Kernel,
    jobs: Sequence[_Job],
    wish: Order,
    surroundings: Mapping[int, Surroundings],
    selection: Selection,
) -> None:
    """Refuse buffers that together could use up the memory of TCP, and so hurt every connection.

    The bound is tcp_mem[1], from where the kernel is short of memory: tcp(7).
    """
    growth_bytes = sum(
        _growth_bytes(job, wish, surroundings[id(job.subject.kernel)]) for job in jobs
    )
    if not growth_bytes or wish.force or not jobs[0].subject.holders:
        return
    memory: TcpMemory | None = tcp_memory(kernel)
    if memory is None:
        selection.warnings.append(
            Warning("memory_unknown", "how much memory TCP may use could not be read: not checked")
        )
        return
    if memory.used_bytes + growth_bytes <= memory.pressure_bytes:
        return
    raise Refused(
        f"growing the buffers of {len(jobs)} {'socket' if len(jobs) == 1 else 'sockets'}",
        f"they may hold {human(growth_bytes, Unit.BYTES)} more, all of TCP holds "
        f"{human(memory.used_bytes, Unit.BYTES)} now and is under pressure from "
        f"{human(memory.pressure_bytes, Unit.BYTES)} on (net.ipv4.tcp_mem[1])",
        f"{UNHARMED} Choose fewer sockets or smaller buffers; --force overrides this.",
    )


def _growth_bytes(job: _Job, wish: Order, surroundings: Surroundings) -> int:
    limits = surroundings.of(job.subject.socket).numbers
    growth = 0
    for assignment in wish.assignments:
        if assignment.option.name in BUFFERS and isinstance(assignment.value, int):
            shown = shown_by(assignment.option)
            before = value_of(shown, job.before.get(shown))
            limit = limits.get(assignment.option.limit_sysctl, assignment.value)
            stored = 2 * min(assignment.value, limit)
            growth += max(0, stored - (before if isinstance(before, int) else 0))
    return growth


# -- the report ----------------------------------------------------------------------------


def _result(job: _Job, wish: Order, surroundings: Surroundings) -> ChangedSocket:
    before = surroundings.of(job.subject.socket, job.before.get(BUFFER_LOCK))
    changes = tuple(_change(job, one, wish, before) for one in wish.assignments)
    clamp = value_of(_CLAMP, job.before.get(_CLAMP))
    notes = advice(job.subject.socket, changes, clamp if isinstance(clamp, int) else None)
    return changed_socket(job.subject, changes, notes, job.before.get(NETNS_COOKIE))


def _change(job: _Job, one: Assignment, wish: Order, before: Circumstances) -> Change:
    option = one.option
    shown = shown_by(option)
    attempt = Attempt(
        assignment=one,
        before=value_of(shown, job.before.get(shown)),
        after=value_of(shown, job.after.get(option)),
        errno=job.errnos.get(option, 0),
    )
    if option in job.errnos:
        outcome = judge(attempt, before)
    elif not job.has(option):
        outcome = Outcome(word=NO_EFFECT, note="the socket does not listen")
    elif wish.dry_run and job.problem is None:
        outcome = Outcome(word=PLANNED, note=expected(one, before))
    else:
        why = job.problem.why if job.problem else "interrupted"
        if option in job.overtaken:
            why = "its owner has changed it just now"
        outcome = Outcome(word=NOT_TRIED, note=why)
    return Change(
        option=option.name,
        unit=option.unit.value,
        before=attempt.before,
        requested=one.value,
        effective=attempt.after,
        outcome=outcome.word,
        note=outcome.note,
        clamped_by=outcome.clamped_by,
        risk=option.risk.value,
    )
