"""`tcptool options`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tcptool.actions.options import select_options, survey_options
from tcptool.catalog.options import Risk
from tcptool.cli.common import Color, ColorMode, Debug, Json, Netns, Quiet
from tcptool.cli.session import Session


def options_command(
    ctx: typer.Context,
    option_names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME...",
            help="Options, with or without prefix, as `SO_SNDBUF` or `nodelay`, which are shown in "
            "full; or the beginning of several, as `keep` or `tcp_`, for a table of them.",
            show_default=False,
        ),
    ] = None,
    settable: Annotated[
        bool, typer.Option("--settable", help="Only options that can be set.", metavar="")
    ] = False,
    risk: Annotated[
        Risk | None,
        typer.Option(
            "--risk",
            metavar="CLASS",
            help="Only options of one risk on a live socket: safe, warn or refuse.",
        ),
    ] = None,
    netns: Netns = None,
    json: Json = False,
    color: ColorMode = Color.AUTO,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Show every socket option and what this kernel does with it.

    Defaults are read, and harmless values tried, on new sockets of tcptool's own; nobody else's
    socket is touched. Without a NAME there is a table of all options.
    """
    session = Session.of(ctx, json=json, color=color, quiet=quiet, debug=debug)
    chosen = select_options(option_names or (), settable=settable, risk=risk)
    report = survey_options(session.open_kernel(netns), chosen)
    if json:
        from tcptool.views.json.document import write_document

        write_document(
            "options", report.host, report.options, report.missing, report.warnings,
            sys.stdout, session.look(),
        )  # fmt: skip
    else:
        from tcptool.views.text import options as view

        write = view.write
        if len(chosen) <= len(option_names or ()):
            write = view.write_in_full
        elif session.on_terminal():
            from tcptool.views.terminal.options import write
        write(report, sys.stdout, session.look())
    session.remark(report.missing, report.warnings)


EPILOG = """Examples:

  tcptool options

  tcptool options SO_SNDBUF nodelay

  tcptool options keep --settable

  tcptool options --risk safe --json | jq -r '.data[].name'
"""
