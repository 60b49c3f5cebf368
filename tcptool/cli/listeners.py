"""`tcptool listeners`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from tcptool.actions.listeners import listeners
from tcptool.catalog.severity import Severity
from tcptool.cli.common import (
    Color,
    ColorMode,
    Debug,
    FailOnOption,
    Ipv4,
    Ipv6,
    Json,
    Netns,
    Quiet,
    duration_s,
)
from tcptool.cli.reading import families, read_target
from tcptool.cli.session import Session
from tcptool.errors import ExitCode
from tcptool.model.listeners import ListenersPlan

if TYPE_CHECKING:
    from tcptool.model.listeners import ListenersReport


def listeners_command(
    ctx: typer.Context,
    target: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TARGET...",
            help="Which listeners: PID:FD, PID, sk:COOKIE, :PORT, ADDR:PORT or a filter as for "
            "`list`; without it, all of them.",
            show_default=False,
        ),
    ] = None,
    window: Annotated[
        str, typer.Option("--for", metavar="TIME", help="How long to look at the queues.")
    ] = "2s",
    options: Annotated[
        bool,
        typer.Option(
            "--options",
            help="Borrow each listener for a moment to read SO_REUSEPORT, TCP_DEFER_ACCEPT and "
            "TCP_FASTOPEN.",
            metavar="",
        ),
    ] = False,
    fail_on: FailOnOption = None,
    ipv4: Ipv4 = False,
    ipv6: Ipv6 = False,
    netns: Netns = None,
    json: Json = False,
    color: ColorMode = Color.AUTO,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Show accept queues, backlog, drops and owner of every listener, and what helps.

    A program that does not accept fast enough loses connections that its clients may believe
    are open. The queues are looked at ten times a second; the worst listener comes first, with
    the command that gives it a longer queue while it runs.
    """
    session = Session.of(ctx, json=json, color=color, quiet=quiet, debug=debug)
    plan = ListenersPlan(
        target=read_target(target) if target else None,
        families=families(ipv4=ipv4, ipv6=ipv6),
        window_s=duration_s("--for", window),
        options=options,
    )
    with session.progress() as progress:
        report = listeners(session.open_kernel(netns), plan, progress)
    _show(session, report)
    if not report.complete:
        raise typer.Exit(ExitCode.INTERRUPTED)
    if fail_on is not None and report.severity.reaches(Severity(fail_on.value)):
        raise typer.Exit(ExitCode.ANSWER_IS_NO)


def _show(session: Session, report: ListenersReport) -> None:
    if session.json:
        from tcptool.views.json.document import write_document

        write_document(
            "listeners",
            report.host,
            report,
            report.missing,
            report.warnings,
            sys.stdout,
            session.look(),
        )
    else:
        from tcptool.views.text import listeners as view

        write = view.write_for_people if session.on_terminal() else view.write
        write(report, sys.stdout, session.look())
    session.remark(report.missing, report.warnings)


EPILOG = """Examples:

  tcptool listeners

  tcptool listeners :8080 --for 30s

  tcptool listeners 'drops > 0' --json

  tcptool listeners --fail-on warn
"""
