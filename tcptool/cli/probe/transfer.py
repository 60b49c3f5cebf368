"""`tcptool probe METHOD`, and what it shares with `tcptool probe compare`."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tcptool.catalog.methods import BY_NAME, CHUNK_BYTES, RECEIVERS
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
    read_duration,
    read_path,
    read_processors,
    read_settings,
    read_size,
)
from tcptool.cli.probe.showing import show_and_save
from tcptool.cli.session import Session
from tcptool.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from tcptool.model.probe import TransferPlan

SIZE: Final = "100M"
"""The guide's file."""
CONNECTIONS: Final = 16
"""Seven methods need ten, each an observation, before any two can be told apart."""

Size = Annotated[
    str,
    typer.Option("--size", metavar="SIZE", help="Bytes to send with each method, as 100M or 1G."),
]
Duration = Annotated[
    str | None,
    typer.Option("--duration", metavar="DURATION", help="Go on for so long, instead of --size."),
]
Connections = Annotated[
    int,
    typer.Option(
        "--connections",
        metavar="N",
        help="Share the bytes, or the time, among so many connections. Each counts as one "
        "observation, and it takes six to say how sure a figure is.",
    ),
]
Warmup = Annotated[
    int, typer.Option("--warmup", metavar="N", help="Slices of each method that do not count.")
]
SliceSize = Annotated[
    str,
    typer.Option("--slice", metavar="SIZE", help="Bytes of one reading; methods take turns."),
]
Chunk = Annotated[
    str | None,
    typer.Option(
        "--chunk",
        metavar="SIZE",
        help="Bytes offered to one call. Without it 256K, for `send` alone 64K.",
        show_default=False,
    ),
]
Vectors = Annotated[
    int,
    typer.Option("--vectors", metavar="N", help="Buffers of one writev, the header among them."),
]
Pipe = Annotated[
    str, typer.Option("--pipe", metavar="SIZE", help="Size of the pipes of splice and vmsplice.")
]
File = Annotated[
    str | None,
    typer.Option(
        "--file",
        metavar="FILE",
        help="Send this file, from its beginning again when it is at its end. Without it a "
        "temporary one is made and removed.",
        show_default=False,
    ),
]
Memory = Annotated[
    bool, typer.Option("--memory", help="Send from memory, not from a file.", metavar="")
]
ReceiverMode = Annotated[
    str | None,
    typer.Option(
        "--receiver",
        metavar="MODE",
        help="How the bytes are taken in: recv, discard (no copy; the default) or splice.",
        show_default=False,
    ),
]
Verify = Annotated[
    bool,
    typer.Option(
        "--verify",
        help="First send all of it once, unmeasured, and compare checksums.",
        metavar="",
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        "--seed", metavar="N", help="Order of the slices and made-up data.", show_default=False
    ),
]


def transfer_command(
    ctx: typer.Context,
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
    """Measure what one way of sending costs: rate, CPU at both ends, system calls.

    Real bytes go from this process to a child over a loopback connection, or to another program.
    Every byte is counted at the other end. Nothing is set on the connection unless asked for.
    """
    session = Session.of(ctx, json=json, color=color, quiet=quiet, debug=debug)
    method = BY_NAME[ctx.info_name or ""]
    chunk = chunk or str(method.chunk_bytes)
    asked = Asked(
        (method.name,), size, duration, connections, warmup, slice_size, chunk, vectors, pipe,
        file, memory, receiver, verify, to, ipv6, unix, cpu, timeout, seed,
    )  # fmt: skip
    run(session, asked, settings, profile, netns, output, "probe-transfer")


@dataclass(frozen=True, slots=True)
class Asked:
    """The words of the command line that make a plan."""

    methods: tuple[str, ...]
    size: str
    duration: str | None
    connections: int
    warmup: int
    slice_size: str
    chunk: str | None
    vectors: int
    pipe: str
    file: str | None
    memory: bool
    receiver: str | None
    verify: bool
    to: str | None
    ipv6: bool
    unix: bool
    cpu: str | None
    timeout: str
    seed: int | None

    def plan(self) -> TransferPlan:
        """What they mean.  Raises UsageError."""
        from tcptool.model.probe import TransferPlan

        duration_s = read_duration("--duration", self.duration)
        for option, number, least in (
            ("--connections", self.connections, 1),
            ("--warmup", self.warmup, 0),
            ("--vectors", self.vectors, 1),
        ):
            if not least <= number <= 1_000_000:
                raise UsageError(
                    f"reading {option}", f"{number} is not between {least} and 1000000"
                )
        if self.file is not None and self.memory:
            raise UsageError("reading --memory", "it does not go with --file", "Give either.")
        return TransferPlan(
            methods=self.methods,
            size_bytes=None if duration_s else read_size("--size", self.size, least=1),
            duration_s=duration_s,
            connections=self.connections,
            warmup_rounds=self.warmup,
            slice_bytes=read_size("--slice", self.slice_size, least=1, most=1 << 40),
            chunk_bytes=read_size("--chunk", self.chunk or str(CHUNK_BYTES), least=1, most=1 << 30),
            vectors=self.vectors,
            pipe_bytes=read_size("--pipe", self.pipe, least=4096, most=1 << 30),
            path=read_path(ipv6=self.ipv6, unix=self.unix, to=self.to),
            to=self.to,
            source="file" if self.file else "memory" if self.memory else "temporary-file",
            file=self.file,
            receiver=self._receiver(),
            verify=self.verify,
            timeout_s=_seconds(self.timeout),
            seed=random.SystemRandom().randrange(1 << 32) if self.seed is None else self.seed,
            processors=read_processors(self.cpu),
        )

    def _receiver(self) -> str | None:
        if self.to is not None:
            if self.receiver is not None:
                why = "how bytes are taken in at --to is not ours to choose"
                raise UsageError(f"choosing --receiver {self.receiver}", why)
            return None
        receiver = self.receiver or ("recv" if self.unix else "discard")
        if receiver not in RECEIVERS:
            raise UsageError(
                f"choosing --receiver {receiver!r}",
                "there is no such way",
                f"One of {', '.join(RECEIVERS)}.",
            )
        return receiver


def _seconds(text: str) -> float:
    return duration_s("--timeout", text)


def run(
    session: Session,
    asked: Asked,
    settings: list[str] | None,
    profile: str | None,
    netns: str | None,
    output: str | None,
    name: str,
) -> None:
    """Measure, show and save."""
    plan = asked.plan()
    assignments = read_settings(settings, profile, plan.path)
    if output is not None:
        from tcptool.linux.results import check_writable

        check_writable(output)
    from tcptool.actions.probe.transfer import transfer

    with session.progress() as progress:
        report = transfer(session.open_kernel(netns), plan, assignments, progress)
    show_and_save(session, name, report, output)
    if not report.complete:
        raise typer.Exit(ExitCode.INTERRUPTED)


EPILOG = """Examples:

  tcptool probe sendfile --size 100M

  tcptool probe send --chunk 4K --receiver recv

  tcptool probe splice --file /usr/bin/python3 --verify

  tcptool probe sendfile --duration 5s --set TCP_CONGESTION=cubic --json | jq .data.results
"""
