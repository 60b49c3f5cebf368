"""`tcptool verify`."""

from __future__ import annotations

from typing import Annotated

import typer

from tcptool.actions.subjects import select
from tcptool.actions.verify import verify
from tcptool.cli.common import Color, ColorMode, Debug, Json, Netns, Quiet
from tcptool.cli.reading import read_assignments, read_target
from tcptool.cli.session import Session
from tcptool.cli.showing import show_changes
from tcptool.errors import ExitCode, UsageError


def verify_command(
    ctx: typer.Context,
    change_words: Annotated[
        list[str],
        typer.Argument(
            metavar="TARGET... [NAME=VALUE...]",
            help="Which sockets, as for `inspect`, or a filter as for `list`; then the options.",
            show_default=False,
        ),
    ],
    profile: Annotated[
        str | None,
        typer.Option("--profile", metavar="NAME|FILE", help="Check the options of a profile."),
    ] = None,
    listeners: Annotated[
        bool,
        typer.Option(
            "--listeners", help="Among several sockets, check listening ones too.", metavar=""
        ),
    ] = False,
    netns: Netns = None,
    json: Json = False,
    color: ColorMode = Color.AUTO,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Check that sockets have the options that they should have; exit 1 if not.

    Doubled buffers, limits of sysctls and rounding count as agreement; options that fade or
    that this kernel lacks are not demanded. Nothing is changed.
    """
    session = Session.of(ctx, json=json, color=color, quiet=quiet, debug=debug)
    words, wanted, _ = read_assignments(change_words, profile)
    if not words or not wanted:
        raise UsageError(
            "reading what to verify",
            "a TARGET and NAME=VALUE or --profile are needed",
            "As in `tcptool verify 1234:5 --profile rpc`.",
        )
    kernel = session.open_kernel(netns)
    report = verify(kernel, select(kernel, read_target(words), listeners=listeners), wanted)
    show_changes(session, report)
    if not report.agrees:
        raise typer.Exit(ExitCode.ANSWER_IS_NO)


EPILOG = """Examples:

  tcptool verify 1234:5 TCP_NODELAY=1 SO_KEEPALIVE=1

  tcptool verify 'dport = :5432' --profile db-client --json

  tcptool verify :8080 --profile rpc || echo "not tuned"
"""
