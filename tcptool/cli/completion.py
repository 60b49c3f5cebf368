"""`tcptool completion`."""

from __future__ import annotations

import enum
import sys
from typing import Annotated, Final

import typer

from tcptool.cli.installed import find_installed
from tcptool.errors import NotFound


class Shell(enum.StrEnum):
    """Shells that there is a script for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


SCRIPTS: Final = {
    Shell.BASH: ("tcptool.bash", "bash-completion/completions/tcptool"),
    Shell.ZSH: ("_tcptool", "zsh/site-functions/_tcptool"),
    Shell.FISH: ("tcptool.fish", "fish/vendor_completions.d/tcptool.fish"),
}
"""File name in completions/, and where it is installed below share/."""


def completion_command(
    shell: Annotated[
        Shell, typer.Argument(metavar="SHELL", help="bash, zsh or fish.", show_default=False)
    ],
) -> None:
    """Print the completion script for a shell.

    Packagers install the script where the shell finds it; this is for everybody else. The
    script asks tcptool for live `PID:FD` when the Tab key is pressed.
    """
    name, installed_name = SCRIPTS[shell]
    path = find_installed("completions", name, installed_name)
    if path is None:
        raise NotFound(
            f"finding the completion script for {shell}",
            "it was not installed with tcptool",
            "It is completions/ in the source of tcptool.",
        )
    sys.stdout.write(path.read_text())


EPILOG = """Examples:

  source <(tcptool completion bash)

  tcptool completion zsh > ~/.zfunc/_tcptool

  tcptool completion fish > ~/.config/fish/completions/tcptool.fish
"""
