"""`tcptool probe compare`."""

from __future__ import annotations

from typing import Annotated

import typer

from tcptool.catalog.methods import BY_NAME
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
)
from tcptool.cli.probe.transfer import (
    CONNECTIONS,
    SIZE,
    Asked,
    Chunk,
    Connections,
    Duration,
    File,
    Memory,
    Pipe,
    ReceiverMode,
    Seed,
    Size,
    SliceSize,
    Vectors,
    Verify,
    Warmup,
    run,
)
from tcptool.cli.session import Session
from tcptool.errors import UsageError
from tcptool.sansio.suggest import did_you_mean


def compare_command(
    ctx: typer.Context,
    methods: Annotated[
        str,
        typer.Option(
            "--methods",
            metavar="NAME,...",
            help="The methods to compare; two are enough, and the same one twice is allowed.",
        ),
    ] = ",".join(BY_NAME),
    size: Size = SIZE,
    duration: Duration = None,
    connections: Connections = CONNECTIONS,
    warmup: Warmup = 2,
    slice_size: SliceSize = "4M",
    chunk: Chunk = None,
    vectors: Vectors = 16,
    pipe: Pipe = "1M",
    file: File = None,
    memory: Memory = False,
    receiver: ReceiverMode = None,
    verify: Verify = False,
    to: To = None,
    ipv6: Ipv6 = False,
    unix: Unix = False,
    settings: SetOptions = None,
    profile: Profile = None,
    cpu: Processors = None,
    timeout: Timeout = "10s",
    seed: Seed = None,
    output: Output = None,
    netns: Netns = None,
    json: Json = False,
    color: ColorMode = Color.AUTO,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Measure all ways of sending side by side, and rank them by rate and by CPU time.

    They take turns, slice by slice, so that the machine's moods meet all of them alike. Methods
    that no difference parts share a place; several in the first mean that there is no clear
    winner.
    """
    session = Session.of(ctx, json=json, color=color, quiet=quiet, debug=debug)
    asked = Asked(
        _read_methods(methods), size, duration, connections, warmup, slice_size, chunk, vectors,
        pipe, file, memory, receiver, verify, to, ipv6, unix, cpu, timeout, seed,
    )  # fmt: skip
    run(session, asked, settings, profile, netns, output, "probe-compare")


def _read_methods(text: str) -> tuple[str, ...]:
    names = [word.strip() for word in text.split(",")]
    for name in names:
        if name not in BY_NAME:
            raise UsageError(
                f"choosing method {name!r}",
                "there is no such method" + did_you_mean(name, BY_NAME),
                f"One of {', '.join(BY_NAME)}.",
            )
    # A method that is named again gets a label of its own.
    return tuple(
        name if (times := names[: number + 1].count(name)) == 1 else f"{name}#{times}"
        for number, name in enumerate(names)
    )


EPILOG = """Examples:

  tcptool probe compare

  tcptool probe compare --methods send,sendfile --receiver recv --connections 30

  tcptool probe compare --unix

  tcptool probe compare -o before.json
"""
