"""`tcptool probe latency`."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tcptool.catalog.latency import ONE_WRITE, OPTIONS, PATTERN_ALIASES, PATTERNS, TWO_WRITES
from tcptool.cli.common import Color, ColorMode, Debug, Json, Netns, Quiet, duration_s
from tcptool.cli.probe.common import (
    Ipv6,
    Output,
    Processors,
    Profile,
    SetOptions,
    Timeout,
    To,
    Unix,
    read_path,
    read_processors,
    read_settings,
    read_size,
)
from tcptool.cli.probe.showing import show_and_save
from tcptool.cli.session import Session
from tcptool.errors import ExitCode, UsageError
from tcptool.sansio.suggest import did_you_mean

if TYPE_CHECKING:
    from tcptool.model.latency import LatencyPlan

_LARGEST_BYTES: Final = 64 << 20
"""More is a transfer, which `probe METHOD` measures."""
_REPLY: Final = "64"
_MOST: Final = 1_000_000
"""Requests of a block, and requests a second: far more than this loop can do."""
_MOST_BLOCKS: Final = 200
"""Beyond it the exact rank tests would have to be approximated."""


def latency_command(
    ctx: typer.Context,
    size: Annotated[
        str,
        typer.Option("--size", metavar="SIZE,...", help="Bytes of a request; several to compare."),
    ] = "64",
    reply: Annotated[
        str | None,
        typer.Option(
            "--reply",
            metavar="SIZE",
            help="Bytes of a reply: 64 without it. With --to what was sent comes back.",
            show_default=False,
        ),
    ] = None,
    pattern: Annotated[
        str | None,
        typer.Option(
            "--pattern",
            metavar="NAME,...",
            help="How a request is sent: one-write (the default), two-writes (the default with "
            "--matrix; also write-write-read or wwr), gathered (one sendmsg of two parts) or more "
            "(MSG_MORE on the first of two writes); several to compare.",
            show_default=False,
        ),
    ] = None,
    matrix: Annotated[
        str | None,
        typer.Option(
            "--matrix",
            metavar="NAME,...",
            help="Compare each of nodelay, cork and quickack alone with the default.",
            show_default=False,
        ),
    ] = None,
    rate: Annotated[
        int | None,
        typer.Option(
            "--rate",
            metavar="N",
            help="Send N requests a second by a schedule, and measure from it (open loop). "
            "Without it the next request waits for the reply (closed loop).",
            show_default=False,
        ),
    ] = None,
    under_load: Annotated[
        bool,
        typer.Option(
            "--under-load",
            help="Measure each with and without a second connection that is flooded.",
            metavar="",
        ),
    ] = False,
    requests: Annotated[
        int, typer.Option("--requests", metavar="N", help="Requests of a block, at most.")
    ] = 2000,
    blocks: Annotated[
        int,
        typer.Option("--blocks", metavar="N", help="Blocks of each, every one a new connection."),
    ] = 12,
    duration: Annotated[
        str,
        typer.Option("--duration", metavar="DURATION", help="End a block after this long."),
    ] = "1s",
    to: To = None,
    ipv6: Ipv6 = False,
    unix: Unix = False,
    settings: SetOptions = None,
    profile: Profile = None,
    cpu: Processors = None,
    timeout: Timeout = "10s",
    seed: Annotated[
        int | None,
        typer.Option("--seed", metavar="N", help="Order of the blocks.", show_default=False),
    ] = None,
    output: Output = None,
    netns: Netns = None,
    json: Json = False,
    color: ColorMode = Color.AUTO,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Time requests and replies over one connection, and compare ways of sending them.

    What is compared takes turns, block by block, and each block is a new connection. The other
    end is a child of tcptool's own, or any echo server. Nothing is set unless asked for.
    """
    session = Session.of(ctx, json=json, color=color, quiet=quiet, debug=debug)
    plan = Asked(
        size, reply, pattern, matrix, rate, under_load, requests, blocks, duration, to, ipv6, unix,
        cpu, timeout, seed,
    ).plan()  # fmt: skip
    assignments = read_settings(settings, profile, plan.path)
    if output is not None:
        from tcptool.linux.results import check_writable

        check_writable(output)
    from tcptool.actions.probe.latency import latency

    with session.progress() as progress:
        report = latency(session.open_kernel(netns), plan, assignments, progress)
    show_and_save(session, "probe-latency", report, output)
    if not report.complete:
        raise typer.Exit(ExitCode.INTERRUPTED)


@dataclass(frozen=True, slots=True)
class Asked:
    """The words of the command line that make a plan."""

    size: str
    reply: str | None
    pattern: str | None
    matrix: str | None
    rate: int | None
    under_load: bool
    requests: int
    blocks: int
    duration: str
    to: str | None
    ipv6: bool
    unix: bool
    cpu: str | None
    timeout: str
    seed: int | None

    def plan(self) -> LatencyPlan:
        """What they mean.  Raises UsageError."""
        from tcptool.model.latency import LatencyPlan

        _check_range("--rate", 1 if self.rate is None else self.rate, _MOST)
        _check_range("--requests", self.requests, _MOST)
        _check_range("--blocks", self.blocks, _MOST_BLOCKS)
        sizes = tuple(_size("--size", word.strip()) for word in self.size.split(","))
        _check_once("--size", sizes)
        if self.to is not None and self.reply is not None:
            raise UsageError(
                "reading --reply",
                "it does not go with --to",
                "An echo server sends back the request.",
            )
        pattern = self.pattern or (ONE_WRITE if self.matrix is None else TWO_WRITES)
        return LatencyPlan(
            requests=self.requests,
            blocks=self.blocks,
            block_limit_s=duration_s("--duration", self.duration),
            sizes_bytes=sizes,
            reply_bytes=_size("--reply", self.reply or _REPLY) if self.to is None else None,
            patterns=_names("--pattern", pattern, PATTERNS, PATTERN_ALIASES),
            matrix=() if self.matrix is None else _names("--matrix", self.matrix, OPTIONS, {}),
            requests_per_s=self.rate,
            under_load=self.under_load,
            path=read_path(ipv6=self.ipv6, unix=self.unix, to=self.to),
            to=self.to,
            timeout_s=duration_s("--timeout", self.timeout),
            seed=random.SystemRandom().randrange(1 << 32) if self.seed is None else self.seed,
            processors=read_processors(self.cpu),
        )


def _check_range(option: str, number: int, most: int) -> None:
    if not 1 <= number <= most:
        raise UsageError(f"reading {option}", f"{number} is not between 1 and {most}")


def _size(option: str, text: str) -> int:
    size = read_size(option, text, least=0)
    if not size:
        raise UsageError(f"reading {option} {text!r}", "there is nothing to time without a byte")
    if size > _LARGEST_BYTES:
        raise UsageError(
            f"reading {option} {text!r}",
            "it is more than 64 MiB",
            "`tcptool probe compare` measures transfers.",
        )
    return size


def _names(
    option: str, text: str, known: Collection[str], aliases: Mapping[str, str]
) -> tuple[str, ...]:
    """The names of the list, each of which must be known."""
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if word not in known and word not in aliases:
            raise UsageError(
                f"reading {option} {word!r}",
                "there is no such thing to compare" + did_you_mean(word, [*known, *aliases]),
                f"One of {', '.join(known)}, or several with commas.",
            )
    names = tuple(aliases.get(word, word) for word in words)
    _check_once(option, names)
    return names


def _check_once(option: str, values: Iterable[object]) -> None:
    for value, times in Counter(values).items():
        if times > 1:
            raise UsageError(f"reading {option}", f"{value} is given {times} times")


EPILOG = """Examples:

  tcptool probe latency

  tcptool probe latency --matrix nodelay,cork,quickack

  tcptool probe latency --pattern two-writes,one-write,gathered,more

  tcptool probe latency --rate 2000 --under-load

  tcptool probe latency --to 192.0.2.7:7 --size 1,1K,64K
"""
