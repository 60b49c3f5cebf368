"""`tcptool probe connect`."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tcptool.cli.common import Color, ColorMode, Debug, Json, Netns, Quiet
from tcptool.cli.probe.common import (
    Ipv6,
    Output,
    Processors,
    Profile,
    SetOptions,
    Timeout,
    To,
    Unix,
    read_duration,
    read_path,
    read_processors,
    read_settings,
)
from tcptool.cli.probe.showing import show_and_save
from tcptool.cli.session import Session
from tcptool.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from tcptool.model.connect import ConnectReport

CONNECTIONS: Final = 2000
"""Twice what p99 takes; a fourteenth of the usual port range."""
_MOST_CONNECTIONS: Final = 10_000_000
_LONGEST_S: Final = 600.0
"""The times of all connections are kept in memory, up to 32 bytes each."""
_LARGEST_BACKLOG: Final = 0x7FFF_FFFF
"""listen(2) takes an int."""
_NAME: Final = "probe-connect"


class Exchange(enum.StrEnum):
    """What is done with each connection."""

    NONE = "none"
    REQUEST = "request"


class Closer(enum.StrEnum):
    """Who closes first."""

    CLIENT = "client"
    SERVER = "server"
    RESET = "reset"


def connect_command(
    ctx: typer.Context,
    connections: Annotated[
        int | None,
        typer.Option(
            "--connections",
            metavar="N",
            help=f"How many to make, after a warm-up. Without it {CONNECTIONS}.",
            show_default=False,
        ),
    ] = None,
    duration: Annotated[
        str | None,
        typer.Option(
            "--duration",
            metavar="DURATION",
            help="Go on for so long, at most 10m, instead of --connections.",
        ),
    ] = None,
    concurrency: Annotated[
        int, typer.Option("--concurrency", metavar="N", help="Connections in flight.")
    ] = 1,
    exchange: Annotated[
        Exchange | None,
        typer.Option(
            "--exchange",
            metavar="WHAT",
            help="What to do with each: `none`, or `request` for one byte there and one back. "
            "Without it `none`.",
            show_default=False,
        ),
    ] = None,
    close: Annotated[
        Closer,
        typer.Option(
            "--close",
            metavar="WHO",
            help="Who closes first, and so has the TIME_WAIT: `client` (this end), `server`, or "
            "`reset`, which leaves none.",
        ),
    ] = Closer.CLIENT,
    fast_open: Annotated[
        bool,
        typer.Option(
            "--fast-open",
            help="Ask for TCP Fast Open: the request goes with the SYN. Means --exchange request.",
            metavar="",
        ),
    ] = False,
    backlog: Annotated[
        int | None,
        typer.Option(
            "--backlog",
            metavar="N",
            help="Room in the accept queue of our own listener. Without it 4096, or what "
            "net.core.somaxconn allows.",
            show_default=False,
        ),
    ] = None,
    to: To = None,
    ipv6: Ipv6 = False,
    unix: Unix = False,
    settings: SetOptions = None,
    profile: Profile = None,
    cpu: Processors = None,
    timeout: Timeout = "10s",
    output: Output = None,
    netns: Netns = None,
    json: Json = False,
    color: ColorMode = Color.AUTO,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Measure how fast connections are made and closed, and what that leaves behind.

    This process connects, over loopback, to a child that accepts, or to any
    listener. Each connection is timed; ports, TIME_WAIT and what the kernel
    dropped are counted.
    """
    from tcptool.actions.probe.connect import BLOCKS, connect
    from tcptool.model.connect import ConnectPlan

    session = Session.of(ctx, json=json, color=color, quiet=quiet, debug=debug)
    _check("--connections", connections, _MOST_CONNECTIONS)
    _check("--concurrency", concurrency, _MOST_CONNECTIONS)
    _check("--backlog", backlog, _LARGEST_BACKLOG)
    duration_s = _read_duration(duration, connections)
    plan = ConnectPlan(
        connections=None if duration_s else connections or CONNECTIONS,
        duration_s=duration_s,
        blocks=BLOCKS,
        concurrency=concurrency,
        exchange=str(exchange or (Exchange.REQUEST if fast_open else Exchange.NONE)),
        closer=str(close),
        fast_open=fast_open,
        backlog=backlog,
        path=read_path(ipv6=ipv6, unix=unix, to=to),
        to=to,
        timeout_s=read_duration("--timeout", timeout) or 0.0,
        processors=read_processors(cpu),
    )
    assignments = read_settings(settings, profile, plan.path)
    if output is not None:
        from tcptool.linux.results import check_writable

        check_writable(output)
    with session.progress() as progress:
        report = connect(session.open_kernel(netns), plan, assignments, progress)
    show_and_save(session, _NAME, report, output)
    raise typer.Exit(_status(report))


def _check(option: str, number: int | None, most: int) -> None:
    if number is not None and not 1 <= number <= most:
        raise UsageError(f"reading {option}", f"{number} is not between 1 and {most}")


def _read_duration(text: str | None, connections: int | None) -> float | None:
    duration_s = read_duration("--duration", text)
    if duration_s is None:
        return None
    if connections is not None:
        raise UsageError("reading --duration", "it does not go with --connections", "Give either.")
    if duration_s > _LONGEST_S:
        raise UsageError("reading --duration", f"{text!r} is longer than 10m")
    return duration_s


def _status(report: ConnectReport) -> ExitCode:
    from tcptool.model.connect import INTERRUPTED

    if report.ended_by == INTERRUPTED:
        return ExitCode.INTERRUPTED
    return ExitCode.OK if report.complete and report.made else ExitCode.FAILED


EPILOG = """Examples:

  tcptool probe connect

  tcptool probe connect --exchange request --concurrency 64 --duration 5s

  tcptool probe connect --close server

  tcptool probe connect --to 192.0.2.7:443 --connections 100 --json | jq .data.connect
"""
