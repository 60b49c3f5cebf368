"""`tcptool apply`."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from tcptool.actions.apply import UNHARMED, Order, apply, checked, own_sockets
from tcptool.actions.subjects import select
from tcptool.catalog.diag import AF_INET, AF_INET6
from tcptool.cli.common import Color, ColorMode, Debug, Json, Netns, Quiet
from tcptool.cli.reading import read_assignments, read_target
from tcptool.cli.session import Session
from tcptool.cli.showing import show_changes
from tcptool.errors import ExitCode, UsageError
from tcptool.linux.journal import open_journal
from tcptool.views.clean import clean

if TYPE_CHECKING:
    from tcptool.actions.subjects import Selection
    from tcptool.linux.kernel import Kernel
    from tcptool.model.change import ChangeReport

_STATUS = {"not-permitted": ExitCode.NOT_PERMITTED, "unsupported": ExitCode.UNSUPPORTED}


def apply_command(
    ctx: typer.Context,
    change_words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TARGET...] [NAME=VALUE...]",
            help="Which sockets, as for `inspect`, or a filter as for `list`; then the options. "
            "Without a TARGET they are tried on sockets of tcptool's own.",
            show_default=False,
        ),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option("--profile", metavar="NAME|FILE", help="Set the options of a profile."),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("-n", "--dry-run", help="Show what would be set; set nothing.", metavar=""),
    ] = False,
    also_clamp: Annotated[
        bool,
        typer.Option(
            "--also-clamp", help="Raise TCP_WINDOW_CLAMP with a receive buffer.", metavar=""
        ),
    ] = False,
    listeners: Annotated[
        bool,
        typer.Option(
            "--listeners", help="Among several sockets, change listening ones too.", metavar=""
        ),
    ] = False,
    yes: Annotated[
        bool, typer.Option("-y", "--yes", help="Change several sockets unasked.", metavar="")
    ] = False,
    most: Annotated[
        int, typer.Option("--max", min=1, metavar="N", help="Change at most N sockets.")
    ] = 1000,
    force: Annotated[
        bool,
        typer.Option("--force", help="Set dangerous options that can be undone.", metavar=""),
    ] = False,
    ipv6: Annotated[
        bool,
        typer.Option("-6", "--ipv6", help="Without a TARGET, try IPv6 sockets.", metavar=""),
    ] = False,
    netns: Netns = None,
    json: Json = False,
    color: ColorMode = Color.AUTO,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Set options on live sockets, and show what the kernel made of them.

    Each option is read, set and read back; the reason of every difference is named. What is
    needed to put it back is written down first: `tcptool undo` does.
    """
    session = Session.of(ctx, json=json, color=color, quiet=quiet, debug=debug)
    words, wanted, flags = read_assignments(change_words, profile)
    if not wanted:
        raise UsageError(
            "reading what to set",
            "neither NAME=VALUE nor --profile was given",
            f"{UNHARMED} As in `tcptool apply 1234:5 TCP_NODELAY=1`.",
        )
    if words and ipv6:
        raise UsageError("using --ipv6 with a TARGET", "it would have no effect", UNHARMED)
    assignments = checked(wanted, force=force, also_clamp=also_clamp)
    command = shlex.join(["tcptool", *sys.argv[1:]])
    wish = Order(
        assignments=assignments, command=command, dry_run=dry_run, force=force, warnings=flags
    )
    kernel = session.open_kernel(netns)
    if words:
        selection = select(kernel, read_target(words), listeners=listeners)
        if not dry_run:
            _confirm(len(selection.subjects), most, yes=yes, what=_what(selection, wish))
        report = _apply(session, kernel, selection, wish)
    else:
        report = own_sockets(kernel, wish, AF_INET6 if ipv6 else AF_INET)
        show_changes(session, report)
    _end(report)


def _apply(session: Session, kernel: Kernel, selection: Selection, wish: Order) -> ChangeReport:
    """Make the changes and show them; whatever comes between, say how to undo them."""
    with contextlib.ExitStack() as stack:
        journal = None if wish.dry_run else stack.enter_context(open_journal(kernel))
        try:
            report = apply(kernel, selection, wish, journal)
            show_changes(session, report)
            sys.stdout.flush()
        except BaseException:
            if journal is not None and journal.begun:
                text = "sockets may have been changed; to put them back"
                print(f"tcptool: {text}: tcptool undo {journal.begun}", file=sys.stderr)
            raise
    if report.undo_id and not session.json and not session.quiet and not session.on_terminal():
        print(f"tcptool: to put it back: tcptool undo {report.undo_id}", file=sys.stderr)
    return report


def _what(selection: Selection, wish: Order) -> str:
    """What is to be set, and whose sockets those are, for a question."""
    owners = {holder.process.name for one in selection.subjects for holder in one.holders}
    return f"{', '.join(one.text for one in wish.assignments)} on {', '.join(sorted(owners))}"


def _confirm(number: int, most: int, *, yes: bool, what: str) -> None:
    """Ask before several sockets are changed.  Raises UsageError unless the answer is yes."""
    doing = f"changing {number} sockets"
    if number > most:
        raise UsageError(
            doing,
            f"that is more than {most}",
            f"{UNHARMED} Narrow the target, or allow more with --max {number}.",
        )
    if number == 1 or yes:
        return
    if not all(stream and stream.isatty() for stream in (sys.stdin, sys.stderr)):
        raise UsageError(doing, "nobody can be asked", f"{UNHARMED} --yes allows it unasked.")
    print(f"{clean(what)}: {number} sockets. Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    if os.read(sys.stdin.fileno(), 100).strip().lower() not in (b"y", b"yes"):
        raise UsageError(doing, "you did not agree", UNHARMED)


def _end(report: ChangeReport) -> None:
    """The exit status: the reason that stands alone, if there is only one, names it."""
    if not report.complete:
        raise typer.Exit(ExitCode.INTERRUPTED)
    if not report.agrees:
        from tcptool.analysis.outcome import FAILED

        words = {c.outcome for sock in report.sockets for c in sock.changes} & FAILED
        raise typer.Exit(
            _STATUS.get(words.pop(), ExitCode.FAILED) if len(words) == 1 else ExitCode.FAILED
        )


EPILOG = """Examples:

  tcptool apply 1234:5 TCP_NODELAY=1

  tcptool apply 1234:5 SO_RCVBUF=4M --also-clamp --dry-run

  tcptool apply 'dport = :5432' TCP_USER_TIMEOUT=30s --yes

  tcptool apply 'state listening and sport = :443' backlog=4096

  tcptool apply --profile guide
"""
