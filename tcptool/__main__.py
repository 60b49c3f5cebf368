"""The `tcptool` command.

Only `--version` and the completion helper run before typer is imported: the first because
scripts ask for it, the second because a person waits for Tab.  Whatever goes wrong outside of
the command tree, while loading it or writing the last of the answer, ends here.
"""

from __future__ import annotations

import io
import os
import sys

from tcptool import __version__


def main() -> int:
    """Run the command line and return its exit status."""
    try:
        _prepare_streams()
        try:
            return _run(sys.argv[1:])
        finally:
            sys.stdout.flush()  # here, because the interpreter fails with a traceback
    except KeyboardInterrupt:
        return 130  # INTERRUPTED; errors.py may be what was being loaded
    except Exception as exc:  # noqa: BLE001 - nothing may end with a traceback
        from tcptool.cli.session import Session

        return Session(json="--json" in sys.argv, debug="--debug" in sys.argv).exit_status(exc)


def _run(arguments: list[str]) -> int:
    if arguments == ["--version"]:
        print(f"tcptool {__version__}")
        return 0
    if arguments[:1] == ["__complete"]:
        from tcptool.cli.complete import complete

        return complete(arguments[1:])
    if not (sys.stdout.isatty() and sys.stderr.isatty()):
        # typer draws boxes into pipes otherwise; it reads this once, when it is imported.
        os.environ.setdefault("TYPER_USE_RICH", "0")
    from tcptool.cli.app import run

    return run()


class _Remarks(io.FileIO):
    """Standard error: a remark that cannot be written does not change how a command ends."""

    def write(self, data: bytes | bytearray | memoryview) -> int:  # type: ignore[override]
        try:
            return super().write(data)
        except OSError:
            return len(data)


def _prepare_streams() -> None:
    """Write what an encoding lacks as an escape, and stand in for streams that are closed.

    Python has None for those.  A closed stdout is like one whose reader has gone.
    """
    if sys.stdout is None:
        reader, writer = os.pipe()
        os.close(reader)
        sys.stdout = os.fdopen(writer, "w")
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.stderr = io.TextIOWrapper(
        io.BufferedWriter(_Remarks(sys.stderr.fileno(), "w", closefd=False)),
        encoding=sys.stderr.encoding,
        errors="backslashreplace",
        line_buffering=True,
    )


if __name__ == "__main__":
    raise SystemExit(main())
