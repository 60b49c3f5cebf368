"""`tcptool doctor`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tcptool.actions.doctor import Path, doctor, doctor_for_path
from tcptool.catalog.severity import Severity
from tcptool.cli.common import Color, ColorMode, Debug, FailOnOption, Json, Netns, Quiet, duration_s
from tcptool.cli.session import Session
from tcptool.errors import ExitCode, UsageError
from tcptool.units import parse_duration_us, parse_rate

if TYPE_CHECKING:
    from tcptool.model.doctor import DoctorReport

_LONGEST_RTT_US: Final = 60_000_000
_FASTEST_BYTES_PER_S: Final = 125_000_000_000_000
"""A petabit: beyond every line that is to come."""


def doctor_command(
    ctx: typer.Context,
    window: Annotated[
        str | None,
        typer.Option(
            "--for",
            metavar="DURATION",
            help="Time between the two readings. Without it 5s.",
            show_default=False,
        ),
    ] = None,
    rtt: Annotated[
        str | None,
        typer.Option(
            "--rtt",
            metavar="DURATION",
            help="Instead of the checks, say what a path of this round-trip time needs; with "
            "--rate.",
        ),
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option("--rate", metavar="RATE", help="The rate of that path, as `1gbit`."),
    ] = None,
    show_all: Annotated[
        bool, typer.Option("--all", help="Show the checks that are ok in full too.", metavar="")
    ] = False,
    fail_on: FailOnOption = None,
    netns: Netns = None,
    json: Json = False,
    color: ColorMode = Color.AUTO,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Check what harms TCP on this host now, and say what to do about it.

    Counters are read twice and judged by how they grow; settings, sockets and limits are looked
    at once. Nothing is changed. Each finding has its evidence, a command to paste and its undo.
    """
    session = Session.of(ctx, json=json, color=color, quiet=quiet, debug=debug)
    path = _path(rtt, rate, window)
    window_s = duration_s("--for", window or "5s")
    kernel = session.open_kernel(netns)
    if path is not None:
        report = doctor_for_path(kernel, path, netns)
    else:
        with session.progress() as progress:
            report = doctor(kernel, window_s, netns, progress)
    _show(session, report, show_all=show_all)
    if not report.complete:
        raise typer.Exit(ExitCode.INTERRUPTED)
    if fail_on is not None and report.worst.reaches(Severity(fail_on.value)):
        raise typer.Exit(ExitCode.ANSWER_IS_NO)


def _path(rtt: str | None, rate: str | None, window: str | None) -> Path | None:
    if rtt is None and rate is None:
        return None
    if rtt is None or rate is None:
        lacking = "--rtt" if rtt is None else "--rate"
        raise UsageError(
            "reading the path", f"{lacking} is missing", "As in `--rtt 80ms --rate 1gbit`."
        )
    if window is not None:
        hint = "A path is judged by the limits alone; leave --for out."
        raise UsageError("reading --for", "it does not go with --rtt and --rate", hint)
    try:
        rtt_us, rate_bytes_per_s = parse_duration_us(rtt), parse_rate(rate)
    except ValueError as exc:
        raise UsageError("reading the path", str(exc)) from exc
    if not 1 <= rtt_us <= _LONGEST_RTT_US:
        raise UsageError("reading --rtt", f"{rtt!r} is not between 1us and 1m")
    if not 1 <= rate_bytes_per_s <= _FASTEST_BYTES_PER_S:
        raise UsageError("reading --rate", f"{rate!r} is not between 8bit and 1000tbit")
    return Path(rate_bytes_per_s, rtt_us)


def _show(session: Session, report: DoctorReport, *, show_all: bool) -> None:
    if session.json:
        from tcptool.views.json import doctor as json_view

        json_view.write(report, sys.stdout, session.look())
    elif session.on_terminal():
        from tcptool.views.text.doctor import write_for_people

        write_for_people(report, sys.stdout, session.look(), all_checks=show_all)
    else:
        from tcptool.views.text.doctor import write

        write(report, sys.stdout, session.look())
    session.remark(report.missing, report.warnings)


EPILOG = """Examples:

  tcptool doctor

  tcptool doctor --for 30s --fail-on warn

  tcptool doctor --rtt 80ms --rate 1gbit

  tcptool doctor --json | jq '.data.findings[] | select(.severity == "fail")'
"""
