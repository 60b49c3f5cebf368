"""The `tcptool` command.

Only `--version` and the completion helper run before typer is imported: the first because
scripts ask for it, the second because a person waits for Tab.
"""

from __future__ import annotations

import os
import sys

from tcptool import __version__


def main() -> int:
    """Run the command line and return its exit status."""
    arguments = sys.argv[1:]
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
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


if __name__ == "__main__":
    raise SystemExit(main())
