"""`tcptool help`."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from tcptool.cli.app import ALIASES, commands, page_name
from tcptool.cli.installed import find_installed
from tcptool.errors import UsageError
from tcptool.sansio.suggest import did_you_mean

TABLES: Final = {"fields": "tcptool-fields.7", "options.7": "tcptool-options.7"}
"""Topics that are no commands.  `options` alone is the command of that name."""

NAMES: Final = {name.replace(" ", "-"): name for name, _ in commands()} | ALIASES
"""The command that a topic is about.  `probe-compare` is how its page is called, too."""

TOPICS: Final = (*NAMES, *TABLES)

_PAGES: Final = {name: f"{page_name(name, spec.kind)}.1" for name, spec in commands()}

_FORMATTERS: Final = (
    ("man", "-l"),
    ("mandoc", "-T", "utf8"),
    ("groff", "-man", "-T", "utf8", "-P", "-cbu"),
)
"""Programs that turn a page into text, best first; the file name is added."""

_OVERSTRIKE: Final = re.compile(r".\x08|\x1b\[[0-9;]*m")
"""How they write bold and underlined: a character, backspace, again; or SGR sequences."""


def help_command(
    ctx: typer.Context,
    topic: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TOPIC]",
            help="A command, as `list` or `probe compare`; `fields`, the values that tcptool "
            "shows; or `options.7`, the socket options.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Show the manual page of a command.

    On a terminal, man(1) shows it; in a pipe it is plain text. The pages are found wherever
    tcptool was installed, also where man(1) by itself does not look.
    """
    wanted = "-".join(topic or ())
    if topic and wanted not in TOPICS:
        raise UsageError(
            f"looking for help on {' '.join(topic or ())!r}",
            "there is no such topic" + did_you_mean(wanted, TOPICS),
            f"Topics are {', '.join(TOPICS)}.",
        )
    name = NAMES.get(wanted, "")
    page = TABLES.get(wanted) or _PAGES.get(name, "tcptool.1")
    section = f"man{page[-1]}"
    path = find_installed(f"man/{section}", page, f"man/{section}/{page}")
    if path is None or not (_show(path) if sys.stdout.isatty() else _print(path)):
        print(_usage(ctx, name))


def _show(page: Path) -> bool:
    """Let man(1) show the page in its pager; False if it cannot."""
    if shutil.which("man") is None:
        return _print(page)
    return subprocess.run(["man", "-l", str(page)], check=False).returncode == 0


def _print(page: Path) -> bool:
    """Print the page as plain text; False if no program here can format it."""
    for formatter in _FORMATTERS:
        if shutil.which(formatter[0]) is None:
            continue
        done = subprocess.run([*formatter, str(page)], check=False, capture_output=True)
        if done.returncode == 0 and done.stdout:
            sys.stdout.write(_OVERSTRIKE.sub("", done.stdout.decode(errors="replace")))
            return True
    return False


def _usage(ctx: typer.Context, name: str) -> str:
    """What --help shows, for a host without manual pages."""
    above: Any = ctx.parent
    for word in name.split():
        command = above.command.get_command(above, word)
        above = command.make_context(word, [], above, resilient_parsing=True)
    help_text: str = above.get_help()
    return help_text


EPILOG = """Examples:

  tcptool help

  tcptool help list

  tcptool help probe compare

  tcptool help fields | less

  tcptool help options.7
"""
