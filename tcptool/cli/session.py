"""What one invocation of tcptool carries around: the kernel, and how to speak to the user.

Loads nothing that takes time: when something fails, this may be all that is needed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tcptool.errors import ExitCode, TcptoolError, UsageError

if TYPE_CHECKING:
    import typer

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

        if netns == "":
            raise UsageError("reading --netns ''", "it is empty", "Give a name, a PID or a path.")
        kernel = self.kernel or LiveKernel()
        return kernel if netns is None else kernel.inside(netns)

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

    def on_screen(self) -> bool:
        """Whether that person's terminal can be drawn on; rich calls the same ones dumb."""
        return self.on_terminal() and os.environ.get("TERM") not in ("dumb", "unknown")

    @contextlib.contextmanager
    def progress(self) -> Iterator[Callable[[float, str], None]]:
        """Tell a person at a terminal how far a long run is: the share done, and a few words."""
        if self.quiet or not sys.stderr.isatty() or os.environ.get("TERM") in ("dumb", "unknown"):
            yield lambda _share, _text: None
            return
        from tcptool.views.terminal.progress import Progress

        with Progress(sys.stderr) as shown:
            yield shown

    def exit_status(self, exc: BaseException) -> int:
        """Say what went wrong, once, on stderr, and choose the status."""
        if self.debug:
            traceback.print_exception(exc)
        if isinstance(exc, KeyboardInterrupt):
            return ExitCode.INTERRUPTED
        if isinstance(exc, OSError):
            _silence_stdout()
            if isinstance(exc, BrokenPipeError):
                return ExitCode.STDOUT_CLOSED
            exc = TcptoolError("running the command", str(exc))
        error = exc if isinstance(exc, TcptoolError) else _Bug(exc)
        for line in self.error_lines(error):
            print(line, file=sys.stderr)
        return error.exit_code

    def error_lines(self, error: TcptoolError) -> list[str]:
        """The error as the user asked for it: one JSON line, or a message with its hint."""
        if self.json:
            from tcptool.views.json.document import error_document

            return [error_document(error)]
        from tcptool.views.clean import clean_lines

        lines = [f"tcptool: {clean_lines(str(error))}"]
        return [*lines, f"  {error.hint}"] if error.hint else lines

    def note(self, text: str) -> None:
        """Tell a person on stderr what is good to know."""
        if self.quiet or self.json:
            return
        from tcptool.views.clean import clean

        print(f"tcptool: {clean(text)}", file=sys.stderr)

    def remark(self, missing: list[Missing], warnings: list[Warning]) -> None:
        """Tell a person on stderr what the report could not show."""
        if self.quiet or self.json or not (missing or warnings):
            return
        from tcptool.views.clean import clean

        for lack in missing:
            text = f"not shown: {lack.what}: {lack.why}; needs {lack.needs}"
            print(f"tcptool: {clean(text)}", file=sys.stderr)
        for warning in warnings:
            print(f"tcptool: {clean(warning.message)}", file=sys.stderr)


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


def wants_color(mode: str, environment: Mapping[str, str], is_terminal: bool) -> bool:
    """--color > NO_COLOR > FORCE_COLOR, CLICOLOR_FORCE > CLICOLOR=0 > TERM=dumb > a terminal."""
    if mode != "auto":
        return mode == "always"
    if environment.get("NO_COLOR"):
        return False
    if environment.get("FORCE_COLOR") or environment.get("CLICOLOR_FORCE", "") not in ("", "0"):
        return True
    if environment.get("CLICOLOR") == "0" or environment.get("TERM") == "dumb":
        return False
    return is_terminal
