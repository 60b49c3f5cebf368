"""The command tree as plain records: what the manual and the completion scripts are made from.

Names of options are sorted, because typer keeps ``-h`` and ``--help`` in a set.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from typer.main import get_command

from tcptool.cli.app import ALIASES, app, page_name

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
    """A command or a group of them.  ``examples`` are command lines.

    ``name`` is what is typed after tcptool, as `probe compare`, and empty for tcptool itself.
    ``page`` is its manual page, and ``kind`` is not empty if that page is the group's.
    """

    name: str
    aliases: tuple[str, ...]
    kind: str
    page: str
    summary: str
    description: tuple[str, ...]
    examples: tuple[str, ...]
    arguments: tuple[Parameter, ...]
    options: tuple[Parameter, ...]

    @property
    def group(self) -> str:
        """Name of the group that it is in; empty for tcptool itself."""
        return self.name.rpartition(" ")[0]

    @property
    def word(self) -> str:
        """What is typed for it after its group."""
        return self.name.rpartition(" ")[2]

    @property
    def names(self) -> tuple[str, ...]:
        """What a user may type for it."""
        return (self.name, *self.aliases)


def program() -> Command:
    """tcptool itself."""
    root = get_command(app)
    ctx = root.make_context(PROGRAM, [], resilient_parsing=True)
    return _command("", ctx)


def commands() -> Iterator[Command]:
    """Every command but the aliases, in the order of the help; a group before its commands."""
    root = get_command(app)
    return _below("", root.make_context(PROGRAM, [], resilient_parsing=True))


def pages() -> Iterator[Command]:
    """A command for every manual page in section 1.

    That of a group has the description, parameters and examples of its commands of a kind, too.
    """
    everything = [program(), *commands()]
    for command in everything:
        alike = [one for one in everything if one.kind and one.group == command.name]
        if alike:
            yield replace(
                alike[0],
                name=command.name,
                kind="",
                summary=command.summary,
                examples=tuple(dict.fromkeys((*command.examples, *alike[0].examples))),
            )
        elif not command.kind:
            yield command


def _below(prefix: str, above: Any) -> Iterator[Command]:
    for word, stub in above.command.commands.items():
        if not stub.hidden:
            ctx = stub.make_context(word, [], parent=above, resilient_parsing=True)
            yield _command(f"{prefix}{word}", ctx, stub.spec.kind)
            if stub.spec.subcommands():
                yield from _below(f"{prefix}{word} ", ctx)


def _command(name: str, ctx: Any, kind: str = "") -> Command:
    command = ctx.command
    parameters = [p for p in command.get_params(ctx) if not getattr(p, "hidden", False)]
    paragraphs = [" ".join(text.split()) for text in (command.help or "").split("\n\n")]
    epilog = (command.epilog or "").partition("Examples:")[2]
    return Command(
        name=name,
        aliases=tuple(alias for alias, target in ALIASES.items() if target == name),
        kind=kind,
        page=page_name(name, kind),
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
