"""`verify`: does a socket have the options that it should have?  It changes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from tcptool.actions.circumstances import BUFFER_LOCK, Surroundings
from tcptool.actions.host import host_facts
from tcptool.actions.subjects import (
    NETNS_COOKIE,
    Selection,
    Subject,
    changed_socket,
    value_of,
)
from tcptool.analysis.outcome import DIFFERS, agrees
from tcptool.catalog.options import shown_by
from tcptool.errors import NotFound, TcptoolError
from tcptool.linux.kernel import Kernel
from tcptool.linux.visit import Readings, read_step
from tcptool.model.change import Assignment, Change, ChangedSocket, ChangeReport
from tcptool.model.report import Missing


def verify(kernel: Kernel, selection: Selection, assignments: Sequence[Assignment]) -> ChangeReport:
    """Compare every subject with what it should be.

    One that went away since it was listed is left out; one that may not be looked into is
    missing, and then the answer is not yes.  Raises TcptoolError where no subject can be read.
    """
    options = [assignment.option for assignment in assignments]
    surroundings = {id(s.kernel): Surroundings(s.kernel, options) for s in selection.subjects}
    sockets, problems = [], []
    for subject in selection.subjects:
        try:
            sockets.append(_verified(subject, assignments, surroundings[id(subject.kernel)]))
        except TcptoolError as exc:  # gone since it was listed
            problems.append(exc)
    if not sockets:
        raise problems[0]
    barred = [exc for exc in problems if not isinstance(exc, NotFound)]
    selection.note_lost(len(problems) - len(barred))
    selection.missing += [Missing(exc.doing, exc.why, exc.hint) for exc in barred]
    return ChangeReport(
        action="verify",
        dry_run=False,
        undo_id=None,
        agrees=not selection.missing
        and all(c.outcome != DIFFERS for s in sockets for c in s.changes),
        sockets=tuple(sockets),
        host=host_facts(kernel),
        missing=selection.missing,
        warnings=selection.warnings,
    )


def _verified(
    subject: Subject, assignments: Sequence[Assignment], surroundings: Surroundings
) -> ChangedSocket:
    readings: Readings = {}
    wanted = [NETNS_COOKIE, BUFFER_LOCK, *(shown_by(a.option) for a in assignments)]
    subject.run([read_step(readings, o) for o in dict.fromkeys(wanted) if o.readable])
    known = surroundings.of(subject.socket, readings.get(BUFFER_LOCK))
    rows = []
    for one in assignments:
        shown = shown_by(one.option)
        actual = value_of(shown, readings.get(shown))
        outcome = agrees(one, actual, known)
        rows.append(
            Change(
                option=one.option.name,
                unit=one.option.unit.value,
                before=None,
                requested=one.value,
                effective=actual,
                outcome=outcome.word,
                note=outcome.note,
                clamped_by=outcome.clamped_by,
                risk=one.option.risk.value,
            )
        )
    return changed_socket(subject, tuple(rows), (), readings.get(NETNS_COOKIE))
