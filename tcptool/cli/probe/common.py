"""Options that the subcommands of `probe` share: spelled, explained and read in one way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Protocol

import typer

from tcptool.cli.common import duration_s
from tcptool.errors import UsageError
from tcptool.units import Unit, parse_value

if TYPE_CHECKING:
    from tcptool.model.change import Assignment
    from tcptool.model.report import Host, Missing, Warning

_SOL_SOCKET: Final = 1  # include/uapi/asm-generic/socket.h

Ipv6 = Annotated[bool, typer.Option("-6", "--ipv6", help="Over IPv6.", metavar="")]
Unix = Annotated[bool, typer.Option("--unix", help="Over a Unix socket, not TCP.", metavar="")]
To = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="HOST:PORT",
        help="Measure to another program, here or elsewhere, instead of a child of tcptool's own.",
    ),
]
SetOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Set a socket option on both ends first, as for `apply`; may be repeated. "
        "Without it nothing is set.",
        show_default=False,
    ),
]
Profile = Annotated[
    str | None,
    typer.Option("--profile", metavar="NAME|FILE", help="Set the options of a profile first."),
]
Processors = Annotated[
    str | None,
    typer.Option(
        "--cpu",
        metavar="NEAR,FAR",
        help="Keep the two ends on these processors; `none` leaves them to the scheduler. "
        "Without it they get one each.",
        show_default=False,
    ),
]
Timeout = Annotated[
    str,
    typer.Option("--timeout", metavar="DURATION", help="Give up after so long without progress."),
]
Output = Annotated[
    str | None,
    typer.Option(
        "-o", "--output", metavar="FILE", help="Save the result, for `probe show` and `probe diff`."
    ),
]


def read_path(*, ipv6: bool, unix: bool, to: str | None) -> str:
    """``ipv4``, ``ipv6`` or ``unix``."""
    if unix and (ipv6 or to):
        other = "-6" if ipv6 else "--to"
        raise UsageError("reading --unix", f"it does not go with {other}", "Give one of them.")
    return "unix" if unix else "ipv6" if ipv6 else "ipv4"


def read_settings(
    words: list[str] | None, profile: str | None, path: str
) -> tuple[Assignment, ...]:
    """What --set and --profile ask for.  Raises UsageError."""
    if not words and profile is None:
        return ()
    from tcptool.cli.reading import read_assignments

    strangers, assignments, _ = read_assignments(words, profile)
    if strangers:
        raise UsageError(
            f"reading --set {strangers[0]!r}", "it is not NAME=VALUE", "As in --set nodelay=1."
        )
    for one in assignments:
        if path == "unix" and one.option.level != _SOL_SOCKET:
            raise UsageError(f"setting {one.option.name}", "a Unix socket has no such option")
        if one.option.level < 0:
            raise UsageError(f"setting {one.option.name}", "it is no socket option of a connection")
    return tuple(assignments)


def read_processors(text: str | None) -> tuple[int, ...] | None:
    """The processors of the two ends; empty for ``none``, None for tcptool's choice."""
    if text is None:
        return None
    if text == "none":
        return ()
    words = text.split(",")
    if len(words) > 2 or not all(word.isdecimal() and len(word) < 6 for word in words):
        raise UsageError(f"reading --cpu {text!r}", "it is not NEAR,FAR", "As in 0,1, or none.")
    return tuple(int(word) for word in words)


def read_size(option: str, text: str, *, least: int, most: int = 1 << 50) -> int:
    """Bytes from ``64K``.  Raises UsageError; the default of ``most`` is beyond any machine."""
    try:
        size = int(parse_value(text, Unit.BYTES))
    except ValueError as exc:
        raise UsageError(f"reading {option}", str(exc)) from exc
    if not least <= size <= most:
        raise UsageError(f"reading {option}", f"{text!r} is not between {least} and {most} bytes")
    return size


class Report(Protocol):
    """What every result of `probe` has."""

    @property
    def host(self) -> Host: ...
    @property
    def missing(self) -> list[Missing]: ...
    @property
    def warnings(self) -> list[Warning]: ...


def read_duration(option: str, text: str | None) -> float | None:
    """Seconds, or None if the option was not given."""
    return None if text is None else duration_s(option, text)
