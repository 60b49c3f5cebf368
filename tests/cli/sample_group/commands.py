"""The commands of the group; loaded only when one of them runs."""

from __future__ import annotations

import errno
from typing import Annotated

import typer

from tcptool.cli.common import Debug, Json
from tcptool.cli.session import Session
from tcptool.errors import ExitCode, NotFound, UsageError

ENDINGS: dict[str, BaseException] = {
    "usage": UsageError("reading 'x'", "it is no y", "Give a y."),
    "not-found": NotFound("finding x", "there is none", "Look elsewhere."),
    "answer-is-no": typer.Exit(ExitCode.ANSWER_IS_NO),
    "io": OSError(errno.EIO, "Input/output error"),
    "interrupt": KeyboardInterrupt(),
    "bug": ZeroDivisionError("deliberate"),
}


def paint_command(
    ctx: typer.Context,
    coats: Annotated[int, typer.Option("--coats", metavar="N", help="How often.")] = 1,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Paint in one colour.

    The wall dries by itself.
    """
    session = Session.of(ctx, json=json, debug=debug)
    print(ctx.info_name, coats, session.kernel)


def fail_command(
    ctx: typer.Context,
    how: Annotated[str, typer.Argument(metavar="HOW", help="What to end with.")],
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Fail as told."""
    Session.of(ctx, json=json, debug=debug)
    raise ENDINGS[how]
