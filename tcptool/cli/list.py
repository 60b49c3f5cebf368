"""`tcptool list`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from tcptool.actions.list import GROUPINGS, Query, group_sockets, list_sockets
from tcptool.catalog.columns import COLUMNS, JSON_COLUMNS, OWNER_COLUMNS, TEXT_COLUMNS
from tcptool.cli.common import Color, ColorMode, Debug, Ipv4, Ipv6, Json, Netns, Quiet
from tcptool.cli.reading import column_name, families, read_filter
from tcptool.cli.session import Session
from tcptool.errors import UsageError

if TYPE_CHECKING:
    from tcptool.linux.kernel import Kernel


def list_command(
    ctx: typer.Context,
    expression: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILTER...",
            help="Which sockets: words of ss, or values of any "
            "column, as in `state established and rtt > 50ms`.",
            show_default=False,
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--columns",
            metavar="NAME,...",
            help="Columns to show, or `all`; +NAME adds one to the default.",
        ),
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option("-s", "--sort", metavar="COLUMN", help="Sort by a column, largest first."),
    ] = None,
    reverse: Annotated[
        bool, typer.Option("-r", "--reverse", help="Sort smallest first.", metavar="")
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option("-n", "--limit", min=1, metavar="N", help="Show at most N rows."),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            "--by", metavar="WHAT", help="One row per process, port, peer, state or cgroup."
        ),
    ] = None,
    no_owners: Annotated[
        bool, typer.Option("--no-owners", help="Do not look for the processes; faster.", metavar="")
    ] = False,
    ipv4: Ipv4 = False,
    ipv6: Ipv6 = False,
    netns: Netns = None,
    json: Json = False,
    color: ColorMode = Color.AUTO,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """List TCP sockets with their owner, rtt, retransmissions and what limits them.

    Without a FILTER every socket of this network namespace is shown. In a pipe each socket is
    one line, values are in the unit that the heading names and nothing is cut off.
    """
    session = Session.of(ctx, json=json, color=color, quiet=quiet, debug=debug)
    if by is not None and (columns or sort or reverse or no_owners):
        raise UsageError(
            "grouping with --by",
            "--columns, --sort and --no-owners are for rows of sockets",
            "Leave them out; the groups come largest first.",
        )
    shown = _columns(columns, json=json, owners=not no_owners)
    query = Query(
        columns=shown,
        where=read_filter(expression),
        families=families(ipv4=ipv4, ipv6=ipv6),
        sort=None if sort is None else (column_name(sort), not reverse),
        limit=limit,
    )
    kernel = session.open_kernel(netns)
    show = _show_groups if by else _show_sockets
    show(session, kernel, query, by)


def _columns(wanted: str | None, *, json: bool, owners: bool) -> tuple[str, ...]:
    """The columns to show: the default of the output, all, a list, or the default and some."""
    default: tuple[str, ...] = JSON_COLUMNS if json else TEXT_COLUMNS
    if not owners:
        default = tuple(name for name in default if name not in OWNER_COLUMNS)
    if wanted is None:
        return default
    if wanted == "all":
        return tuple(name for name in COLUMNS if owners or name not in OWNER_COLUMNS)
    words = [word.strip() for word in wanted.split(",") if word.strip("+ ")]
    if not words:
        raise UsageError("choosing columns", "none was named", "Name some, or leave --columns out.")
    added = wanted.startswith("+")
    names = [column_name(word.removeprefix("+")) for word in words]
    return tuple(dict.fromkeys([*default, *names] if added else names))


def _show_sockets(session: Session, kernel: Kernel, query: Query, _by: str | None) -> None:
    if session.json:
        from tcptool.views.json import list as view
    elif session.on_terminal():
        from tcptool.views.terminal import list as view  # type: ignore[no-redef]
    else:
        from tcptool.views.text import list as view  # type: ignore[no-redef]
    report = list_sockets(kernel, query, view.RENDERING)
    view.write(report, sys.stdout, session.look())
    session.remark(report.missing, report.warnings)


def _show_groups(session: Session, kernel: Kernel, query: Query, by: str | None) -> None:
    if by not in GROUPINGS:
        raise UsageError(f"grouping by {by!r}", "unknown", f"Group by {', '.join(GROUPINGS)}.")
    report = group_sockets(kernel, query, by)
    if session.json:
        from tcptool.views.json.document import write_document

        data = {"by": report.by, "groups": report.groups}
        write_document(
            "list-groups",
            report.host,
            data,
            report.missing,
            report.warnings,
            sys.stdout,
            session.look(),
        )
    else:
        from tcptool.views.text import groups as view

        write = view.write_for_people if session.on_terminal() else view.write
        write(report, sys.stdout, session.look())
    session.remark(report.missing, report.warnings)


EPILOG = """Examples:

  tcptool list 'state established and rtt > 50ms'

  tcptool ls --sort retrans --limit 10

  tcptool ls --by process

  tcptool ls --json 'dport = :443' | jq '.data.sockets[].peer_address'
"""
