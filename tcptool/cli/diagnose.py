"""`tcptool diagnose`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from tcptool.actions.diagnose import Plan, report, take
from tcptool.actions.host import host_facts
from tcptool.cli.common import (
    Color,
    ColorMode,
    Debug,
    FailOn,
    FailOnOption,
    Json,
    Netns,
    Quiet,
    duration_s,
    is_given,
)
from tcptool.cli.reading import read_target
from tcptool.cli.session import Session
from tcptool.errors import ExitCode, UsageError
from tcptool.units import parse_rate

if TYPE_CHECKING:
    from tcptool.model.diagnosis import DiagnoseReport


def diagnose_command(
    ctx: typer.Context,
    target: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TARGET...]",
            help="Which sockets, as for `inspect`, or a filter as for `list`; all without one.",
            show_default=False,
        ),
    ] = None,
    for_time: Annotated[
        str | None,
        typer.Option(
            "--for", metavar="TIME", help="How long to sample: 4s, longer on a long path."
        ),
    ] = None,
    top: Annotated[
        int,
        typer.Option(
            "--top", min=0, max=100, metavar="N", help="Of many sockets, sample the N worst."
        ),
    ] = 5,
    rate: Annotated[
        str | None,
        typer.Option("--target", metavar="RATE", help="What would 100mbit take here?"),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--from", metavar="FILE", help="Judge a recording; - is stdin."),
    ] = None,
    record: Annotated[
        str | None,
        typer.Option("--record", metavar="FILE", help="Keep the samples for --from."),
    ] = None,
    fail_on: FailOnOption = None,
    netns: Netns = None,
    json: Json = False,
    color: ColorMode = Color.AUTO,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Say why connections are slow, with the evidence and the command that helps.

    Samples a connection densely for some seconds, names what holds it back with a confidence,
    says who must act and gives the command. Of many sockets, the worst are sampled.
    Nothing is changed, and the connection's owner notices nothing.
    """
    session = Session.of(ctx, json=json, color=color, quiet=quiet, debug=debug)
    plan = Plan(
        for_s=None if for_time is None else duration_s("--for", for_time),
        top=top,
        goal_bytes_per_s=None if rate is None else _rate(rate),
        netns=netns,
    )
    if source is not None:
        if target or any(is_given(ctx, name) for name in ("record", "for_time", "netns", "top")):
            raise UsageError(
                "reading --from",
                "a recording has its sockets and samples",
                "Leave TARGET, --for, --top, --netns and --record out.",
            )
        from tcptool.actions.recording import load

        host, taken = load(source)
    else:
        kernel = session.open_kernel(netns)
        if record is not None:
            from tcptool.linux.results import check_writable

            check_writable(record)
        with session.progress() as progress:
            taken = take(kernel, read_target(target) if target else None, plan, progress)
        host = host_facts(kernel)
        if record is not None:
            from tcptool.actions.recording import save

            save(record, host, taken)
    made = report(host, taken, plan)
    _show(session, made)
    _end(made, fail_on)


def _rate(text: str) -> int:
    try:
        wanted = parse_rate(text)
    except ValueError as exc:
        raise UsageError("reading --target", str(exc)) from exc
    if not wanted:
        raise UsageError("reading --target", "the rate is 0", "As in --target 100mbit.")
    return wanted


def _show(session: Session, made: DiagnoseReport) -> None:
    if session.json:
        from tcptool.views.json.document import write_document

        write_document(
            "diagnose", made.host, made, made.missing, made.warnings, sys.stdout, session.look()
        )
    else:
        from tcptool.views.text import diagnose as view

        write = view.write_for_people if session.on_terminal() else view.write
        write(made, sys.stdout, session.look())
    session.remark(made.missing, made.warnings)


def _end(made: DiagnoseReport, fail_on: FailOn | None) -> None:
    """The exit status: Ctrl-C, then whether a finding is as bad as was asked about."""
    if not made.complete:
        raise typer.Exit(ExitCode.INTERRUPTED)
    if fail_on is None:
        return
    from tcptool.catalog.severity import Severity

    threshold = Severity(fail_on.value)
    missed = any(one.goal and one.goal.reachable is False for one in made.diagnoses)
    if any(one.severity.reaches(threshold) for one in made.diagnoses) or missed:
        raise typer.Exit(ExitCode.ANSWER_IS_NO)


EPILOG = """Examples:

  tcptool diagnose 1234:5

  tcptool diagnose 'process = nginx' --top 3

  tcptool diagnose 1234:5 --target 100mbit

  tcptool diagnose --fail-on fail --json | jq '.data.diagnoses[].verdict'

  tcptool diagnose :5432 --record slow.jsonl && tcptool diagnose --from slow.jsonl
"""
