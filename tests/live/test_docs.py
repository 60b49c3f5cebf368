"""Every command that the documentation shows runs and succeeds.

Blocks marked ``console`` hold commands after ``$``; what follows is output of a real run and is
not compared.  In them ``4242:7`` stands for a live descriptor and ``8080`` for its port.
"""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SET_UP = ("pip install", "pipx install", "uv tool install", "python3 dev.py", "sudo ", "man ")


def commands() -> Iterator[tuple[str, str]]:
    for document in DOCUMENTS:
        for block in BLOCK.findall(document.read_text()):
            for line in block.splitlines():
                if line.startswith("$ ") and not line.startswith(tuple(f"$ {s}" for s in SET_UP)):
                    yield document.name, line.removeprefix("$ ")


@pytest.fixture
def connection() -> Iterator[tuple[str, int]]:
    """A live connection of this process: its ``PID:FD`` and the server's port."""
    import os

    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
        server.accept()[0],
    ):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.sendall(b"x" * 1000)
        yield f"{os.getpid()}:{client.fileno()}", server.getsockname()[1]


@pytest.mark.parametrize(("document", "command"), list(commands()))
def test_a_documented_command_runs(
    document: str, command: str, connection: tuple[str, int], tmp_path: Path
) -> None:
    target, port = connection
    shown = command.replace("4242:7", target).replace("8080", str(port))
    bin_folder = Path(sys.executable).parent
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", shown],
        cwd=tmp_path,
        env={"PATH": f"{bin_folder}:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # `tcptool … | head` closes the pipe early on purpose: 141 is what that gives.
    allowed = (0, 141) if "| head" in command else (0,)
    assert done.returncode in allowed, f"{document}: {shown}\n{done.stdout}{done.stderr}"


def test_the_documents_show_commands() -> None:
    assert len(list(commands())) > 10
    assert shutil.which("bash")
