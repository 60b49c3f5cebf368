"""Make the README's pictures: `inspect` on a real connection and `probe compare`, as a terminal
shows them.

The output of the command, run in a pseudo-terminal, becomes an SVG that loads nothing from
anywhere.  Not checked against the committed files: a real run differs each time.
"""

from __future__ import annotations

import io
import os
import pty
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.text import Text

DOCS = Path(__file__).parents[1] / "docs"

# rich's own format fetches fonts from a content network; this one uses what is installed.
SVG = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: monospace; font-size: {char_height}px;
  line-height: {line_height}px; white-space: pre; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/></clipPath>{lines}</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">{matrix}</g></g></svg>
"""


def run_in_terminal(command: list[str], width: int) -> str:
    """Everything that a command writes to a terminal of that width."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"COLUMNS": str(width), "TERM": "xterm-256color"}
    child = subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    written = bytearray()
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # EIO: the child's side is closed
            break
        if not piece:
            break
        written += piece
    child.wait()
    os.close(ours)
    return written.decode()


def draw(words: list[str], title: str, file: str, *, width: int, lines: int) -> None:
    """Run a command of tcptool and make the first lines of its output a picture."""
    command = [sys.executable, "-m", "tcptool", *words, "--color", "always", "--quiet"]
    output = run_in_terminal(command, width)
    shown = "\n".join(output.replace("\r\n", "\n").rstrip("\n").split("\n")[:lines])
    screen = Console(record=True, width=width, file=io.StringIO(), force_terminal=True)
    screen.print(Text.from_ansi(shown))
    (DOCS / file).write_text(screen.export_svg(title=title, code_format=SVG, unique_id="tcptool"))


def inspected() -> None:
    """Open a connection and inspect it."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
        server.accept()[0] as accepted,
    ):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        for _ in range(200):
            client.sendall(b"x" * 20_000)
            received = 0
            while received < 20_000:
                received += len(accepted.recv(65536))
        target = f"{os.getpid()}:{client.fileno()}"
        title = "tcptool inspect PID:FD"
        draw(["inspect", target], title, "inspect.svg", width=160, lines=66)


def main() -> int:
    """Draw both, or the one that is named."""
    pictures: dict[str, Callable[[], None]] = {
        "inspect": inspected,
        "probe-compare": lambda: draw(
            ["probe", "compare"], "tcptool probe compare", "probe-compare.svg", width=100, lines=60
        ),
    }
    for name in sys.argv[1:] or pictures:
        pictures[name]()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
