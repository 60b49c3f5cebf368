"""`tcptool explain`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tcptool.actions.explain import every_explanation, explain
from tcptool.actions.host import host_facts
from tcptool.cli.common import Color, ColorMode, Debug, Json
from tcptool.cli.session import Session


def explain_command(
    ctx: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME...",
            help="Fields, columns, options, states, counters or sysctls, as "
            "`rtt`, `tcpi_rcv_space`, `SO_SNDBUF`, `close-wait` or `tcp_rmem`.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
    color: ColorMode = Color.AUTO,
    debug: Debug = False,
) -> None:
    """Explain a field, option, state, counter, sysctl or verdict: meaning, unit, pitfalls.

    Without a NAME, all names are listed.
    """
    session = Session.of(ctx, json=json, color=color, debug=debug)
    entries = (
        [entry for name in names for entry in explain(name)] if names else list(every_explanation())
    )
    if json:
        from tcptool.views.json.document import write_document

        host = host_facts(session.open_kernel(None))
        write_document("explain", host, entries, [], [], sys.stdout, session.look())
        return
    from tcptool.views.text import explain as view

    if names:
        view.write(entries, sys.stdout, session.look())
    else:
        view.write_names(entries, sys.stdout)


EPILOG = """Examples:

  tcptool explain rtt

  tcptool explain rwnd_limited SO_SNDBUF close-wait

  tcptool explain tcp_rmem ListenOverflows
"""
