"""`tcptool profiles`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from tcptool.actions.host import host_facts
from tcptool.actions.profiles import list_profiles, load_profile
from tcptool.cli.common import Color, ColorMode, Debug, Json, Quiet
from tcptool.cli.session import Session
from tcptool.errors import UsageError

if TYPE_CHECKING:
    from tcptool.model.report import Missing


def profiles_command(
    ctx: typer.Context,
    profile_words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[list|show NAME]",
            help="`list`, which is the default, or `show` and a profile: a name, or the path of a "
            "file of your own.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
    color: ColorMode = Color.AUTO,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """List the named sets of options, or show one with the reason of each value.

    `tcptool apply --profile` sets such a set on a socket, `tcptool verify --profile` checks it.
    """
    session = Session.of(ctx, json=json, color=color, quiet=quiet, debug=debug)
    match profile_words or ["list"]:
        case ["list"]:
            _list(session)
        case ["show", word]:
            _show(session, word)
        case words:
            raise UsageError(
                f"reading {' '.join(words)!r}",
                "it is neither `list` nor `show` and one profile",
                f"`tcptool profiles show {words[-1]}` may be meant.",
            )


def _list(session: Session) -> None:
    entries, missing = list_profiles()
    if session.json:
        _write_json(session, "profiles", {"profiles": entries}, missing)
        return
    from tcptool.views.text import profiles as view

    write = view.write_list_for_people if session.on_terminal() else view.write_list
    write(entries, sys.stdout, session.look())
    session.remark(missing, [])


def _show(session: Session, word: str) -> None:
    profile = load_profile(word).profile
    if session.json:
        _write_json(session, "profiles-show", profile, [])
        return
    from tcptool.views.text import profiles as view

    write = view.write_profile_for_people if session.on_terminal() else view.write_profile
    write(profile, word, sys.stdout, session.look())


def _write_json(session: Session, name: str, data: object, missing: list[Missing]) -> None:
    from tcptool.views.json.document import write_document

    host = host_facts(session.open_kernel(None))
    write_document(name, host, data, missing, [], sys.stdout, session.look())


EPILOG = """Examples:

  tcptool profiles

  tcptool profiles show rpc

  tcptool profiles show ./my-service.toml
"""
