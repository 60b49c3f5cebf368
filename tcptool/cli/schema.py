"""`tcptool schema`."""

from __future__ import annotations

import sys
from importlib import resources
from typing import Annotated

import typer

from tcptool.errors import UsageError
from tcptool.sansio.suggest import did_you_mean


def schema_command(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="A command, `list-groups`, `inspect-watch`, `profiles-show` or `error`.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Print the JSON Schema of a command's output.

    Without a NAME, the names are listed. A document names its schema in its first key:
    `tcptool.list/1` is version 1 of `list`. New keys may be added without a new version.
    """
    folder = resources.files("tcptool") / "schemas"
    known = sorted(file.name.removesuffix(".json") for file in folder.iterdir())
    if name is None:
        print(*known, sep="\n")
    elif name not in known:
        raise UsageError(
            f"looking for the schema of {name!r}",
            "there is none" + did_you_mean(name, known),
            f"There are schemas of {', '.join(known)}.",
        )
    else:
        sys.stdout.write((folder / f"{name}.json").read_text())


EPILOG = """Examples:

  tcptool schema list

  tcptool schema list | jq '."$defs".row.properties.rtt_us'
"""
