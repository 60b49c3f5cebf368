"""The command tree, and the one place where errors become messages and exit statuses.

Commands are loaded when they are run: `--help` and a typing error import none of them.  A group,
such as `probe`, holds a table of commands of its own.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import sys
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from tcptool import __version__
from tcptool.cli.session import Session
from tcptool.errors import ExitCode, UsageError


class Spec(NamedTuple):
    """Where a command lives, and how it is listed.

    A group has no function: the commands in it are the table COMMANDS of its module.
    """

    summary: str
    panel: str
    module: str
    function: str = ""
    kind: str = ""
    """What the commands of one function are, as METHOD.  Their manual page is the group's."""

    def subcommands(self) -> dict[str, Spec]:
        """The commands of a group; a command has none."""
        if self.function:
            return {}
        table: dict[str, Spec] = importlib.import_module(self.module).COMMANDS
        return table


LOOK: Final = "Look"
JUDGE: Final = "Judge"
TUNE: Final = "Tune"
MEASURE: Final = "Measure"
SERVE: Final = "Serve"
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
    "listeners": Spec(
        "Show accept queues, backlog, drops and owner of every listener, and what helps.",
        LOOK,
        "tcptool.cli.listeners",
        "listeners_command",
    ),
    "diagnose": Spec(
        "Say why connections are slow, with the evidence and the command that helps.",
        JUDGE,
        "tcptool.cli.diagnose",
        "diagnose_command",
    ),
    "doctor": Spec(
        "Check what harms TCP on this host now, and say what to do about it.",
        JUDGE,
        "tcptool.cli.doctor",
        "doctor_command",
    ),
    "explain": Spec(
        "Explain a field, option, state, counter, sysctl or verdict: meaning, unit, pitfalls.",
        JUDGE,
        "tcptool.cli.explain",
        "explain_command",
    ),
    "apply": Spec(
        "Set options on live sockets, and show what the kernel made of them.",
        TUNE,
        "tcptool.cli.apply",
        "apply_command",
    ),
    "verify": Spec(
        "Check that sockets have the options that they should have; exit 1 if not.",
        TUNE,
        "tcptool.cli.verify",
        "verify_command",
    ),
    "undo": Spec(
        "Put back what `apply` changed on live sockets.",
        TUNE,
        "tcptool.cli.undo",
        "undo_command",
    ),
    "options": Spec(
        "Show every socket option and what this kernel does with it.",
        TUNE,
        "tcptool.cli.options",
        "options_command",
    ),
    "profiles": Spec(
        "List the named sets of options, or show one with the reason of each value.",
        TUNE,
        "tcptool.cli.profiles",
        "profiles_command",
    ),
    "probe": Spec(
        "Measure what moving bytes costs: rate, CPU and system calls of each way to send.",
        MEASURE,
        "tcptool.cli.probe",
    ),
    "serve": Spec(
        "Serve HTTP on an epoll loop, to check a client, a path, a load generator or a tuning.",
        SERVE,
        "tcptool.cli.serve",
        "serve_command",
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
    """Listed from its ``Spec``; becomes the real command or group when it is run."""

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
        """The real command with its options, or the real group with its commands."""
        module = importlib.import_module(self.spec.module)
        epilog = getattr(module, "EPILOG", None)
        if not self.spec.function:
            return TyperGroup(
                name=self.name,
                commands=[LazyCommand(*entry) for entry in self.spec.subcommands().items()],
                help=self.spec.summary,
                epilog=epilog,
                no_args_is_help=True,
                context_settings=CONTEXT,
            )
        function = getattr(module, self.spec.function)
        # The summary comes from the table, because several commands may share a function.
        _, _, details = (inspect.getdoc(function) or "").partition("\n\n")
        single = typer.Typer(add_completion=False, context_settings=CONTEXT)
        single.command(self.name, epilog=epilog, help=f"{self.spec.summary}\n\n{details}")(function)
        return typer.main.get_command(single)

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
    ) -> Any:
        """Build the real command's context, so that it runs instead of this stub."""
        return self.resolve().make_context(info_name, args, parent=parent, **extra)


class Root(TyperGroup):
    """The group of all commands; see ``_ending`` for what becomes of their errors."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, spec in COMMANDS.items():
            self.add_command(LazyCommand(name, spec))
        for alias, name in ALIASES.items():
            self.add_command(LazyCommand(alias, COMMANDS[name], hidden=True))

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
    ) -> Any:
        """Begin the invocation; ``obj``, if it is given, is the kernel to ask."""
        session = Session(kernel=extra.pop("obj", None), json="--json" in args)
        with _ending(session):
            return super().make_context(info_name, args, parent, obj=session, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with _ending(ctx.obj):
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result


@contextlib.contextmanager
def _ending(session: Session) -> Iterator[None]:
    """Turn what ends a command early into one message and an exit status."""
    try:
        yield
    except (typer.Exit, typer.Abort, SystemExit, GeneratorExit):
        raise
    except typer.TyperException as exc:
        if not session.json:
            raise  # typer shows it with the usage
        error = UsageError("reading the command line", exc.format_message(), _where_to_look(exc))
        raise typer.Exit(session.exit_status(error)) from exc
    except BaseException as exc:
        raise typer.Exit(session.exit_status(exc)) from exc


def _where_to_look(exc: typer.TyperException) -> str:
    ctx = getattr(exc, "ctx", None)
    return f"Try '{ctx.command_path} --help'." if ctx else ""


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
    """Every command by what is typed for it, as `probe compare`, in the order of the help."""
    for name, spec in COMMANDS.items():
        yield name, spec
        for word, inner in spec.subcommands().items():
            yield f"{name} {word}", inner


def page_name(name: str, kind: str = "") -> str:
    """The manual page, in section 1, that describes a command; of a kind, that of their group."""
    words = name.split()
    return "-".join(["tcptool", *(words[:-1] if kind else words)])


def run() -> int:
    """Run `sys.argv`; never returns normally for a usage error (typer exits with 2)."""
    app()
    return ExitCode.OK
