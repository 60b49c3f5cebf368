"""Options that several commands share: spelled, explained and read in one way."""

from __future__ import annotations

import enum
from typing import Annotated

import typer

from tcptool.catalog.severity import Severity
from tcptool.errors import UsageError
from tcptool.units import Unit, parse_value


class Color(enum.StrEnum):
    """When to write colour."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class FailOn(enum.StrEnum):
    """From which severity the exit status is 1."""

    WARN = Severity.WARN.value
    FAIL = Severity.FAIL.value


FailOnOption = Annotated[
    FailOn | None,
    typer.Option(
        "--fail-on",
        metavar="warn|fail",
        help="Exit with 1 if a finding is as bad as that, or worse.",
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Write JSON to stdout and nothing else.", metavar="")
]
Netns = Annotated[
    str | None,
    typer.Option("--netns", metavar="NAME|PID|PATH", help="Look into another network namespace."),
]
Ipv4 = Annotated[bool, typer.Option("-4", "--ipv4", help="IPv4 sockets only.", metavar="")]
Ipv6 = Annotated[bool, typer.Option("-6", "--ipv6", help="IPv6 sockets only.", metavar="")]
ColorMode = Annotated[
    Color, typer.Option("--color", metavar="WHEN", help="Use colour: auto, always or never.")
]
Quiet = Annotated[
    bool, typer.Option("-q", "--quiet", help="No remarks on stderr, only errors.", metavar="")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", metavar="")]


def duration_s(option: str, text: str) -> float:
    """Seconds from the ``200ms`` or ``2s`` that an option was given; a bare number is seconds."""
    try:
        seconds = parse_value(text, Unit.SECONDS)
    except ValueError as exc:
        raise UsageError(f"reading {option}", str(exc)) from exc
    if not 0.01 <= seconds <= 86_400:
        raise UsageError(f"reading {option}", f"{text!r} is not between 10ms and 24h")
    return seconds


def is_given(ctx: typer.Context, name: str) -> bool:
    """Whether the parameter stands on the command line, be it with its default."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
