"""What one invocation of tcptool carries around: the kernel, and how to speak to the user."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from tcptool.errors import TcptoolError

if TYPE_CHECKING:
    from tcptool.linux.kernel import Kernel
    from tcptool.model.report import Missing, Warning
    from tcptool.views.look import Look


@dataclass
class Session:
    """``kernel`` is given by tests; otherwise the running one is used."""

    kernel: Kernel | None = None
    json: bool = False
    color: str = "auto"
    quiet: bool = False
    debug: bool = False

    @classmethod
    def of(
        cls,
        ctx: typer.Context,
        *,
        json: bool,
        color: str = "auto",
        quiet: bool = False,
        debug: bool = False,
    ) -> Session:
        """The invocation's session, with the options that the command was given."""
        session: Session = ctx.obj
        session.json, session.color, session.quiet, session.debug = json, color, quiet, debug
        return session

    def open_kernel(self, netns: str | None) -> Kernel:
        """The kernel to ask, in the network namespace that was named."""
        from tcptool.linux.kernel import LiveKernel

        kernel = self.kernel or LiveKernel()
        return kernel.inside(netns) if netns else kernel

    def use_color(self) -> bool:
        """Whether to write colour to stdout."""
        return wants_color(self.color, os.environ, sys.stdout.isatty())

    def look(self, *, explain: bool = False) -> Look:
        """How the answer is to look on this stdout; COLUMNS counts."""
        from tcptool.views.look import Look

        encoding = (sys.stdout.encoding or "ascii").lower()
        return Look(
            width=shutil.get_terminal_size().columns,
            color=self.use_color(),
            pretty=sys.stdout.isatty(),
            unicode=encoding.replace("-", "").startswith("utf"),
            explain=explain,
        )

    def on_terminal(self) -> bool:
        """Whether a person reads stdout."""
        return sys.stdout.isatty() and not self.json

    def error_lines(self, error: TcptoolError) -> list[str]:
        """The error as the user asked for it: one JSON line, or a message with its hint."""
        if self.json:
            from tcptool.views.json.document import error_document

            return [error_document(error)]
        from tcptool.views.clean import clean_lines

        lines = [f"tcptool: {clean_lines(str(error))}"]
        return [*lines, f"  {error.hint}"] if error.hint else lines

    def remark(self, missing: list[Missing], warnings: list[Warning]) -> None:
        """Tell a person on stderr what the report could not show."""
        if self.quiet or self.json:
            return
        for lack in missing:
            print(
                f"tcptool: not shown: {lack.what}: {lack.why}; needs {lack.needs}", file=sys.stderr
            )
        for warning in warnings:
            print(f"tcptool: {warning.message}", file=sys.stderr)


def wants_color(mode: str, environment: Mapping[str, str], is_terminal: bool) -> bool:
    """--color > NO_COLOR > FORCE_COLOR, CLICOLOR_FORCE > CLICOLOR=0 > TERM=dumb > a terminal."""
    if mode != "auto":
        return mode == "always"
    if environment.get("NO_COLOR"):
        return False
    if environment.get("FORCE_COLOR") or environment.get("CLICOLOR_FORCE", "0") != "0":
        return True
    if environment.get("CLICOLOR") == "0" or environment.get("TERM") == "dumb":
        return False
    return is_terminal
