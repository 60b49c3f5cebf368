"""The command tree as plain records: what the manual and the completion scripts are made from.

Names of options are sorted, because typer keeps ``-h`` and ``--help`` in a set.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from typer.main import get_command

from tcptool.cli.app import ALIASES, app

PROGRAM = "tcptool"


@dataclass(frozen=True, slots=True)
class Parameter:
    """An option, or an argument if it has no ``spellings``.  A flag has no ``metavar``."""

    name: str
    spellings: tuple[str, ...]
    metavar: str
    help: str
    default: str


@dataclass(frozen=True, slots=True)
class Command:
    """A command.  ``name`` is empty for tcptool itself; ``examples`` are command lines."""

    name: str
    aliases: tuple[str, ...]
    summary: str
    description: tuple[str, ...]
    examples: tuple[str, ...]
    arguments: tuple[Parameter, ...]
    options: tuple[Parameter, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """What a user may type for it."""
        return (self.name, *self.aliases)

    @property
    def page(self) -> str:
        """Name of its manual page."""
        return f"{PROGRAM}-{self.name}" if self.name else PROGRAM


def program() -> Command:
    """tcptool itself."""
    root = get_command(app)
    return _command("", root, root.make_context(PROGRAM, [], resilient_parsing=True))


def commands() -> Iterator[Command]:
    """Every command that is not an alias, in the order of the help."""
    root = get_command(app)
    above = root.make_context(PROGRAM, [], resilient_parsing=True)
    for name, stub in root.commands.items():  # type: ignore[attr-defined]
        if name not in ALIASES:
            ctx = stub.make_context(name, [], parent=above, resilient_parsing=True)
            yield _command(name, ctx.command, ctx)


def _command(name: str, command: Any, ctx: Any) -> Command:
    parameters = [p for p in command.get_params(ctx) if not getattr(p, "hidden", False)]
    paragraphs = [" ".join(text.split()) for text in (command.help or "").split("\n\n")]
    epilog = (command.epilog or "").partition("Examples:")[2]
    return Command(
        name=name,
        aliases=tuple(alias for alias, target in ALIASES.items() if target == name),
        summary=paragraphs[0],
        description=tuple(filter(None, paragraphs[1:])),
        examples=tuple(line.strip() for line in epilog.splitlines() if line.strip()),
        arguments=tuple(_parameter(p) for p in parameters if p.param_type_name == "argument"),
        options=tuple(_parameter(p) for p in parameters if p.param_type_name == "option"),
    )


def _parameter(param: Any) -> Parameter:
    is_option = param.param_type_name == "option"
    shown = is_option and not param.is_flag and param.default is not None
    spellings = sorted((*param.opts, *param.secondary_opts), key=lambda s: (s[:2] == "--", s))
    return Parameter(
        name=param.name,
        spellings=tuple(spellings) if is_option else (),
        metavar=param.metavar or "",
        help=" ".join((param.help or "").split()),
        default=str(param.default) if shown else "",
    )
