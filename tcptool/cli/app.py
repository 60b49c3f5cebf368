"""The command tree, and the one place where errors become messages and exit statuses.

Commands are loaded when they are run: `--help` and a typing error import none of them.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from tcptool import __version__
from tcptool.cli.session import Session
from tcptool.errors import ExitCode, TcptoolError


class Spec(NamedTuple):
    """Where a command lives, and how it is listed."""

    summary: str
    panel: str
    module: str
    function: str


LOOK: Final = "Look"
META: Final = "Meta"

COMMANDS: Final = {
    "list": Spec(
        "List TCP sockets with their owner, rtt, retransmissions and what limits them.",
        LOOK,
        "tcptool.cli.list",
        "list_command",
    ),
    "inspect": Spec(
        "Show everything that the kernel knows about one socket.",
        LOOK,
        "tcptool.cli.inspect",
        "inspect_command",
    ),
    "explain": Spec(
        "Explain a field, option, state or timer: meaning, unit, pitfalls.",
        LOOK,
        "tcptool.cli.explain",
        "explain_command",
    ),
    "schema": Spec(
        "Print the JSON Schema of a command's output.", META, "tcptool.cli.schema", "schema_command"
    ),
    "completion": Spec(
        "Print the completion script for a shell.",
        META,
        "tcptool.cli.completion",
        "completion_command",
    ),
    "help": Spec("Show the manual page of a command.", META, "tcptool.cli.help", "help_command"),
}
ALIASES: Final = {"ls": "list"}

CONTEXT: Final = {"help_option_names": ["-h", "--help"]}


class LazyCommand(TyperCommand):
    """Listed from its ``Spec``; becomes the real command when it is run or completed."""

    def __init__(self, name: str, spec: Spec, *, hidden: bool = False) -> None:
        super().__init__(
            name,
            callback=None,
            help=spec.summary,
            short_help=spec.summary,
            rich_help_panel=spec.panel,
            hidden=hidden,
        )
        self.spec = spec

    def resolve(self) -> Any:
        """The real command, with its options."""
        module = importlib.import_module(self.spec.module)
        single = typer.Typer(add_completion=False, context_settings=CONTEXT)
        epilog = getattr(module, "EPILOG", None)
        single.command(self.name, epilog=epilog)(getattr(module, self.spec.function))
        return typer.main.get_command(single)

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
    ) -> Any:
        """Build the real command's context, so that it runs instead of this stub."""
        return self.resolve().make_context(info_name, args, parent=parent, **extra)


class Root(TyperGroup):
    """The group of all commands; turns errors into one message and an exit status."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, spec in COMMANDS.items():
            self.add_command(LazyCommand(name, spec))
        for alias, name in ALIASES.items():
            self.add_command(LazyCommand(alias, COMMANDS[name], hidden=True))

    def invoke(self, ctx: Any) -> Any:
        """Run the command; see ``_exit_status`` for what becomes of its errors."""
        ctx.obj = session = ctx.obj if isinstance(ctx.obj, Session) else Session(kernel=ctx.obj)
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except (typer.Exit, typer.Abort, typer.TyperException):
            raise
        except BaseException as exc:
            if isinstance(exc, SystemExit | GeneratorExit):
                raise
            raise typer.Exit(_exit_status(exc, session)) from exc


def _exit_status(exc: BaseException, session: Session) -> int:
    """Say what went wrong, once, on stderr, and choose the status."""
    if session.debug:
        traceback.print_exception(exc)
    if isinstance(exc, TcptoolError):
        for line in session.error_lines(exc):
            print(line, file=sys.stderr)
        return exc.exit_code
    if isinstance(exc, BrokenPipeError):
        _silence_stdout()
        return ExitCode.STDOUT_CLOSED
    if isinstance(exc, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    if isinstance(exc, OSError):
        error = TcptoolError("running the command", str(exc))
        _silence_stdout()
        return _exit_status(error, session)
    for line in session.error_lines(_Bug(exc)):
        print(line, file=sys.stderr)
    return ExitCode.BUG


class _Bug(TcptoolError):
    code = "bug"
    exit_code = ExitCode.BUG

    def __init__(self, exc: BaseException) -> None:
        super().__init__(
            "internal error",
            f"{type(exc).__name__}: {exc}",
            "This is a bug in tcptool; --debug shows where. Please report it.",
        )


def _silence_stdout() -> None:
    """Let the interpreter's last flush go nowhere instead of failing again."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
    except (OSError, ValueError):
        return


app = typer.Typer(
    cls=Root,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings=CONTEXT,
    epilog="Every command has its own help and manual page: `tcptool help COMMAND`.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"tcptool {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: bool = typer.Option(
        False,
        "--version",
        help="Print the version and exit.",
        callback=_print_version,
        is_eager=True,
        metavar="",
    ),
) -> None:
    """Look at, tune and measure TCP connections on Linux."""


def commands() -> Iterator[tuple[str, Spec]]:
    """Every command that is shown, in the order of the help."""
    yield from COMMANDS.items()


def run() -> int:
    """Run `sys.argv`; never returns normally for a usage error (typer exits with 2)."""
    app()
    return ExitCode.OK
