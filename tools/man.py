"""Manual pages of the commands: from the command tree, and hand-written sections in docs/man.

The tables have pages in section 7: tools/man_tables.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tcptool.catalog.host_checks import HOST_CHECKS
from tcptool.catalog.methods import METHODS
from tcptool.catalog.misbehaviours import MISBEHAVIOURS
from tcptool.catalog.profiles import BUILT_IN
from tcptool.catalog.verdicts import VERDICTS
from tcptool.errors import EXIT_MEANINGS
from tools import man_tables
from tools.roff import NOTICE, ROOT, head, link, roff
from tools.tree import PROGRAM, Command, Parameter, commands, pages


def files() -> dict[str, str]:
    """Every page by its file name."""
    everything = list(commands())
    return {f"{command.page}.1": _page(command, everything) for command in pages()}


def _page(command: Command, all_commands: list[Command]) -> str:
    inside = [one for one in all_commands if one.group == command.name]
    own = ROOT / "docs" / "man" / f"{command.page.removeprefix(f'{PROGRAM}-')}.roff"
    written = own.read_text().rstrip("\n") if own.exists() else ""
    parts = [
        NOTICE,
        head(command.page, command.summary, 1),
        f".SH SYNOPSIS\n{_synopsis(command, inside)}",
        ".SH DESCRIPTION",
        "\n.PP\n".join(map(roff, _description(command))),
        *(_methods() if command.name == "probe" else []),
        *_section("ARGUMENTS", command.arguments),
        *_section("OPTIONS", command.options),
        *(_commands(command, inside) if inside else []),
        *(_profiles() if command.name == "profiles" else []),
        *(_misbehaviours() if command.name == "serve" else []),
        *(_verdicts() if command.name == "diagnose" else []),
        *(_checks() if command.name == "doctor" else []),
        *([written] if written else []),
        *_examples(command, written),
        ".SH EXIT STATUS",
        *_exit_statuses(command),
        f".SH SEE ALSO\n{_see_also(command, all_commands)}",
    ]
    return "\n".join(parts) + "\n"


def _synopsis(command: Command, inside: list[Command]) -> str:
    words = [f"\\fB{roff(word)}\\fR" for word in (PROGRAM, *command.name.split())]
    options = "[\\fIOPTIONS\\fR]"
    arguments = [_placeholder(argument.metavar) for argument in command.arguments]
    if not inside:
        return " ".join([*words, options, *arguments])
    kinds = dict.fromkeys(one.kind for one in inside if one.kind)
    lines = [[*words, _placeholder(kind), options, *arguments] for kind in kinds]
    own_options = [] if kinds else [options]
    lines.append([*words, *own_options, "\\fICOMMAND\\fR", "[\\fIARGUMENTS\\fR]"])
    return "\n.br\n".join(map(" ".join, lines))


def _placeholder(metavar: str) -> str:
    """``NAME|PID`` with its words in italics and its punctuation upright."""
    return re.sub(r"[A-Z:]{2,}", r"\\fI\g<0>\\fR", roff(metavar))


def _description(command: Command) -> Iterator[str]:
    yield command.summary
    yield from command.description
    for alias in command.aliases:
        yield f"`{PROGRAM} {alias}` is the same command."


def _section(title: str, parameters: tuple[Parameter, ...]) -> Iterator[str]:
    if parameters:
        yield f".SH {title}"
    for parameter in parameters:
        names = ", ".join(f"\\fB{roff(name)}\\fR" for name in parameter.spellings)
        default = f" Default: {roff(parameter.default)}." if parameter.default else ""
        tag = " ".join(filter(None, (names, _placeholder(parameter.metavar))))
        yield f".TP\n{tag}\n{roff(parameter.help)}{default}"


def _commands(group: Command, inside: list[Command]) -> Iterator[str]:
    yield ".SH COMMANDS"
    for command in inside:
        if not command.kind:
            alias = "".join(f", \\fB{roff(name)}\\fR" for name in command.aliases)
            yield f".TP\n\\fB{roff(command.word)}\\fR{alias}\n{roff(command.summary)}"
            if group.name:
                yield f"See {link(command.page, 1)}."


def _methods() -> Iterator[str]:
    yield ".SH METHODS"
    for method in METHODS:
        yield f".TP\n\\fB{roff(method.name)}\\fR\n{roff(method.summary)}"
        yield roff(f"Copies: {method.copies}.")
        if method.pitfall:
            yield roff(f"Pitfall: {method.pitfall}.")


def _misbehaviours() -> Iterator[str]:
    yield ".SH MISBEHAVING"
    yield "\\fB\\-\\-misbehave\\fR makes a server that is bad on purpose, to see what clients and"
    yield ".BR tcptool\\-inspect (1)\nmake of it."
    for name, text in MISBEHAVIOURS.items():
        yield f".TP\n\\fB{roff(name)}\\fR\n{roff(text)}"


def _verdicts() -> Iterator[str]:
    yield ".SH VERDICTS"
    for verdict in VERDICTS.values():
        yield f".TP\n\\fB{roff(verdict.name)}\\fR ({verdict.severity.value})"
        yield roff(f"{verdict.meaning} Decided by: {verdict.decided}.")
        if verdict.pitfall:
            yield roff(f"Pitfall: {verdict.pitfall}")


def _checks() -> Iterator[str]:
    yield ".SH CHECKS"
    for check in HOST_CHECKS.values():
        yield f".TP\n\\fB{roff(check.id)}\\fR {roff(check.title)} ({check.layer}, {check.aspect})"
        yield roff(f"{check.why} Speaks up: {check.rule}.")


def _profiles() -> Iterator[str]:
    yield ".SH PROFILES"
    for profile in BUILT_IN:
        # \%: a name that is to be typed is not hyphenated.
        values = [rf"\%\fB{roff(f'{value.option}={value.value}')}\fR" for value in profile.values]
        about = roff(f"{profile.summary}. {profile.purpose} Sets")
        yield f".TP\n\\fB{roff(profile.name)}\\fR\n{about} {', '.join(values)}."


def _examples(command: Command, written: str) -> Iterator[str]:
    """The examples of the help, where docs/man does not explain others."""
    if command.examples and ".SH EXAMPLES" not in written:
        yield ".SH EXAMPLES\n.EX"
        yield from map(roff, command.examples)
        yield ".EE"


def _exit_statuses(command: Command) -> Iterator[str]:
    if command.name:
        yield "0 when done; the other statuses are the same for every command:"
        yield f"see \\fB{PROGRAM}\\fR(1)."
        return
    for status, meaning in EXIT_MEANINGS.items():
        yield f".TP\n\\fB{status.value}\\fR\n{roff(meaning)}"


def _see_also(command: Command, all_commands: list[Command]) -> str:
    """The pages of all commands, but those inside of a group only from within it."""
    group = command.group or command.name
    near = [one for one in all_commands if one.group in ("", group)]
    links = [
        link(page, 1)
        for page in dict.fromkeys([PROGRAM, *(one.page for one in near)])
        if page != command.page
    ]
    links += [link(page, 7) for page in man_tables.PAGES]
    outside = ["\\fBss\\fR(8)", "\\fBtcp\\fR(7)", "\\fBsock_diag\\fR(7)"]
    return ",\n".join([*links, *outside])
