"""Options that several commands share: spelled, explained and read in one way."""

from __future__ import annotations

import enum
from typing import Annotated

import typer

from tcptool.units import parse_duration_us


class Color(enum.StrEnum):
    """When to write colour."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


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


def duration_s(text: str) -> float:
    """Seconds from ``200ms`` or ``2s``, for an option's parser."""
    try:
        seconds = (
            parse_duration_us(text if not text.replace(".", "").isdecimal() else f"{text}s") / 1e6
        )
    except ValueError as exc:
        raise typer.BadParameter(str(exc)) from exc
    if not 0.01 <= seconds <= 86_400:
        raise typer.BadParameter(f"{text!r} is not between 10ms and 24h")
    return seconds
