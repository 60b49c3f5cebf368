"""`tcptool undo`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from tcptool.actions.undo import list_undo, undo
from tcptool.cli.common import Color, ColorMode, Debug, Json, Netns, Quiet
from tcptool.cli.reading import read_target
from tcptool.cli.session import Session
from tcptool.cli.showing import show_changes
from tcptool.errors import ExitCode, UsageError
from tcptool.linux.journal import open_journal

if TYPE_CHECKING:
    from tcptool.linux.kernel import Kernel


def undo_command(
    ctx: typer.Context,
    entry: Annotated[
        str | None,
        typer.Argument(
            metavar="[ID]",
            help="What to undo: the id that `apply` printed and `--list` shows.",
            show_default=False,
        ),
    ] = None,
    last: Annotated[
        bool, typer.Option("--last", help="Undo the last command that is not undone.", metavar="")
    ] = False,
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            metavar="TARGET",
            help="Undo every change of the sockets that this names, the newest first.",
        ),
    ] = None,
    list_: Annotated[
        bool,
        typer.Option("--list", help="Show what was changed and can be undone.", metavar=""),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "-n", "--dry-run", help="Show what would be put back; set nothing.", metavar=""
        ),
    ] = False,
    netns: Netns = None,
    json: Json = False,
    color: ColorMode = Color.AUTO,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Put back what `apply` changed on live sockets.

    Each socket is found again by its kernel ids, wherever it is held now, and gets back exactly
    what it had, buffers that the kernel tunes included. A socket or a value that is no longer the
    one that was changed is left alone.
    """
    session = Session.of(ctx, json=json, color=color, quiet=quiet, debug=debug)
    if (entry is not None) + last + (target is not None) + list_ != 1:
        raise UsageError(
            "choosing what to undo",
            "one of ID, --last, --target and --list is needed, and only one",
            "`tcptool undo --list` shows what can be undone.",
        )
    kernel = session.open_kernel(netns)
    if list_:
        _list(session, kernel, dry_run=dry_run)
    else:
        _undo(session, kernel, entry, target, dry_run=dry_run)


def _list(session: Session, kernel: Kernel, *, dry_run: bool) -> None:
    if dry_run:
        raise UsageError("using --dry-run with --list", "it would have no effect")
    with open_journal(kernel, read_only=True) as journal:
        report = list_undo(kernel, journal)
    if session.json:
        from tcptool.views.json import undo as json_view

        json_view.write_list(report, sys.stdout, session.look())
    else:
        from tcptool.views.text import undo as view

        write = view.write_list_for_people if session.on_terminal() else view.write_list
        write(report, sys.stdout, session.look())
    session.remark(report.missing, report.warnings)


def _undo(
    session: Session, kernel: Kernel, entry: str | None, words: str | None, *, dry_run: bool
) -> None:
    target = None if words is None else read_target([words])
    with open_journal(kernel, read_only=dry_run) as journal:
        report = undo(kernel, journal, entry_id=entry, target=target, dry_run=dry_run)
    show_changes(session, report)
    if not report.agrees:
        raise typer.Exit(ExitCode.FAILED if report.complete else ExitCode.INTERRUPTED)


EPILOG = """Examples:

  tcptool undo --list

  tcptool undo --last --dry-run

  tcptool undo mw0q3k7f

  tcptool undo --target 1234:5
"""
