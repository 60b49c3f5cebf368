"""`tcptool probe pool`."""

from __future__ import annotations

import enum
from typing import Annotated, Final

import typer

from tcptool.catalog.pool_checks import CHECKS, DEFAULT_CHECK
from tcptool.cli.common import Color, ColorMode, Debug, Json, Netns, Quiet
from tcptool.cli.probe.common import (
    Ipv6,
    Output,
    Processors,
    Profile,
    SetOptions,
    Timeout,
    read_duration,
    read_processors,
    read_settings,
    read_size,
)
from tcptool.cli.probe.showing import show_and_save
from tcptool.cli.session import Session
from tcptool.errors import ExitCode, UsageError
from tcptool.sansio.suggest import did_you_mean

REQUESTS: Final = 2400
"""Twice what p99 takes, in twelve blocks."""
BLOCKS: Final = 12
"""Enough for an interval that one odd block does not move."""
_MOST_REQUESTS: Final = 10_000_000
_MOST_BLOCKS: Final = 1000
_MOST_THREADS: Final = 1000
_MOST_PER_S: Final = 1_000_000
_NAME: Final = "probe-pool"


class WhenFull(enum.StrEnum):
    """What a request does when all connections are in use."""

    WAIT = "wait"
    REFUSE = "refuse"


def pool_command(
    ctx: typer.Context,
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="HOST:PORT|URL",
            help="The HTTP server to ask, without TLS. Without it a `serve` of tcptool's own.",
            show_default=False,
        ),
    ] = None,
    requests: Annotated[
        int | None,
        typer.Option(
            "--requests",
            metavar="N",
            help=f"Requests of each arm. Without it {REQUESTS}.",
            show_default=False,
        ),
    ] = None,
    duration: Annotated[
        str | None,
        typer.Option(
            "--duration", metavar="DURATION", help="Go on for so long, instead of --requests."
        ),
    ] = None,
    concurrency: Annotated[
        int, typer.Option("--concurrency", metavar="N", help="Threads that ask.")
    ] = 1,
    size: Annotated[
        str | None,
        typer.Option(
            "--size",
            metavar="SIZE",
            help="Length of an answer of our own server. Without it 1K.",
            show_default=False,
        ),
    ] = None,
    blocks: Annotated[
        int,
        typer.Option(
            "--blocks",
            metavar="N",
            help="Share them among so many blocks; an interval takes six.",
        ),
    ] = BLOCKS,
    check: Annotated[
        str,
        typer.Option(
            "--check",
            metavar="NAME,...",
            help="How a connection is looked at before it is lent again: "
            f"{', '.join(CHECKS)}. Several are compared.",
        ),
    ] = DEFAULT_CHECK,
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh",
            help="Only with a new connection for each request, without reuse.",
            metavar="",
        ),
    ] = False,
    idle: Annotated[
        str | None,
        typer.Option(
            "--idle", metavar="DURATION", help="In the middle of each block, rest for so long."
        ),
    ] = None,
    rate: Annotated[
        int | None,
        typer.Option(
            "--rate",
            metavar="N",
            help="N requests a second by a schedule (open loop), not as fast as answers come.",
        ),
    ] = None,
    server_closes_after: Annotated[
        str | None,
        typer.Option(
            "--server-closes-after",
            metavar="DURATION",
            help="Let our own server close connections that rest for so long.",
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", help="Connections that the pool may have.")
    ] = 1000,
    when_full: Annotated[
        WhenFull,
        typer.Option(
            "--when-full",
            metavar="WHAT",
            help="When all connections are in use, `wait` for one, or `refuse` the request.",
        ),
    ] = WhenFull.WAIT,
    ipv6: Ipv6 = False,
    settings: SetOptions = None,
    profile: Profile = None,
    cpu: Processors = None,
    timeout: Timeout = "10s",
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", help="Order of the arms in each round.")
    ] = None,
    output: Output = None,
    netns: Netns = None,
    json: Json = False,
    color: ColorMode = Color.AUTO,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Measure what reusing connections saves, and which health check keeps dead ones back.

    Threads ask an HTTP server through a pool of connections, in blocks that take turns with blocks
    without reuse. Each block has a pool of its own.
    """
    from tcptool.actions.probe.pool import pool
    from tcptool.model.pool_probe import FRESH, PoolPlan

    session = Session.of(ctx, json=json, color=color, quiet=quiet, debug=debug)
    _check("--requests", requests, _MOST_REQUESTS)
    _check("--blocks", blocks, _MOST_BLOCKS)
    _check("--concurrency", concurrency, _MOST_THREADS)
    _check("--rate", rate, _MOST_PER_S)
    _check("--limit", limit, _MOST_REQUESTS)
    _refuse_together(target, size, server_closes_after, requests, duration)
    plan = PoolPlan(
        target=target,
        path="ipv6" if ipv6 else "ipv4",
        requests=None if duration else requests or REQUESTS,
        duration_s=read_duration("--duration", duration),
        blocks=blocks,
        concurrency=concurrency,
        size_bytes=None if target else read_size("--size", size or "1K", least=0, most=1 << 30),
        rest_s=read_duration("--idle", idle) or 0.0,
        arms=(FRESH,) if fresh else (*_read_checks(check), FRESH),
        requests_per_s=rate,
        server_closes_after_s=read_duration("--server-closes-after", server_closes_after),
        limit=limit,
        when_full=str(when_full),
        timeout_s=read_duration("--timeout", timeout) or 0.0,
        seed=_seed(seed),
        processors=read_processors(cpu),
    )
    assignments = read_settings(settings, profile, plan.path)
    if output is not None:
        from tcptool.linux.results import check_writable

        check_writable(output)
    with session.progress() as progress:
        report = pool(session.open_kernel(netns), plan, assignments, progress)
    show_and_save(session, _NAME, report, output)
    if not report.complete:
        raise typer.Exit(ExitCode.INTERRUPTED)


def _read_checks(text: str) -> tuple[str, ...]:
    names = [word.strip() for word in text.split(",")]
    for name in names:
        if name not in CHECKS:
            raise UsageError(
                f"choosing check {name!r}",
                "there is no such check" + did_you_mean(name, CHECKS),
                f"One of {', '.join(CHECKS)}.",
            )
    return tuple(dict.fromkeys(names))


def _seed(seed: int | None) -> int:
    import random

    return random.SystemRandom().getrandbits(32) if seed is None else seed


def _check(option: str, number: int | None, most: int) -> None:
    if number is not None and not 1 <= number <= most:
        raise UsageError(f"reading {option}", f"{number} is not between 1 and {most}")


def _refuse_together(
    target: str | None,
    size: str | None,
    server_closes_after: str | None,
    requests: int | None,
    duration: str | None,
) -> None:
    if requests is not None and duration is not None:
        raise UsageError("using --requests with --duration", "either ends the run", "Choose one.")
    for option, value in (("--size", size), ("--server-closes-after", server_closes_after)):
        if target is not None and value is not None:
            raise UsageError(
                f"using {option} with a target",
                "it is for a server of our own",
                "Leave the target out, or the option.",
            )


EPILOG = """Examples:

  tcptool probe pool

  tcptool probe pool 127.0.0.1:8080 --requests 5000 --concurrency 4

  tcptool probe pool --check so_error,peek --idle 1500ms --server-closes-after 1s --blocks 4

  tcptool probe pool http://127.0.0.1:8080/bytes/100000 --rate 500
"""
