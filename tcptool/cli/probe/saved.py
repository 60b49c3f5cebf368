"""`tcptool probe show` and `tcptool probe diff`."""

from __future__ import annotations

from typing import Annotated

import typer

from tcptool.cli.common import Color, ColorMode, Debug, Json, Quiet
from tcptool.cli.probe.showing import show
from tcptool.cli.session import Session
from tcptool.errors import ExitCode, UsageError
from tcptool.units import Unit, parse_value


def show_command(
    ctx: typer.Context,
    saved_file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="A result that `-o` saved; `-` is standard input.",
            show_default=False,
        ),
    ],
    json: Json = False,
    color: ColorMode = Color.AUTO,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Show a saved result again, as it was shown when it was measured."""
    from tcptool.actions.probe.saved import load

    session = Session.of(ctx, json=json, color=color, quiet=quiet, debug=debug)
    saved = load(saved_file)
    origin = saved.origin
    where = f"{origin.host}, Linux {origin.kernel}, tcptool {origin.tcptool}"
    session.note(f"measured {origin.time} on {where}")
    show(session, saved.name, saved.report)


def diff_command(
    ctx: typer.Context,
    before: Annotated[
        str,
        typer.Argument(metavar="BEFORE", help="A saved result.", show_default=False),
    ],
    after: Annotated[
        str,
        typer.Argument(metavar="AFTER", help="A later one of the same kind.", show_default=False),
    ],
    fail_above: Annotated[
        str | None,
        typer.Option(
            "--fail-above",
            metavar="PERCENT",
            help="Exit 1 if a figure got worse by this or more, and that is no chance; 6 if "
            "nothing could be judged.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
    color: ColorMode = Color.AUTO,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Compare two saved results, figure by figure.

    They were not measured side by side, so what the machine did between them counts as
    difference.
    """
    from tcptool.actions.probe.saved import diff, load

    session = Session.of(ctx, json=json, color=color, quiet=quiet, debug=debug)
    threshold = _percent(fail_above)
    report = diff(session.open_kernel(None), load(before), load(after), threshold)
    show(session, "probe-diff", report)
    if fail_above is None:
        return
    if any(change.worse for change in report.changes):
        raise typer.Exit(ExitCode.ANSWER_IS_NO)
    if any(one.id == "nothing-judged" for one in report.warnings):
        raise typer.Exit(ExitCode.FAILED)


_USUAL_PERCENT = 5.0
"""What counts as a difference otherwise: analysis/comparison.py."""


def _percent(text: str | None) -> float:
    if text is None:
        return _USUAL_PERCENT
    try:
        percent = float(parse_value(text, Unit.PERCENT))
    except ValueError as exc:
        raise UsageError(f"reading --fail-above {text!r}", str(exc), "As in 5%.") from exc
    if not 0 < percent <= 1000:
        raise UsageError(f"reading --fail-above {text!r}", "it is not between 0 and 1000 %")
    return percent


EPILOG = """Examples:

  tcptool probe compare -o before.json

  tcptool probe show before.json

  tcptool probe diff before.json after.json --fail-above 10%
"""
