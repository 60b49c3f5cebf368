"""Shows tcptool at work: `python3 dev.py demo`.

Opens loopback connections of its own in child processes (a bulk transfer, a request and response
pair, an idle one) and runs `list`, `inspect` and `explain` on them for real.  The children end
with this process, however it ends: each lives until its stdin closes.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

HOST: Final = "127.0.0.1"
BULK_BYTES_PER_S: Final = 20_000_000
"""Enough to see, and next to nothing for the machine."""
REQUESTS_PER_S: Final = 50
PR_SET_NAME: Final = 15  # include/uapi/linux/prctl.h
SO_MAX_PACING_RATE: Final = 47  # include/uapi/asm-generic/socket.h
PATH: Final = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"


class DemoFailed(Exception):
    """A child or a command did not do its part."""


# -- what the children do ----------------------------------------------------------------------


def serve() -> None:
    """Take in what comes; answer every request with a kilobyte."""
    with socket.create_server((HOST, 0)) as server:
        say(port=server.getsockname()[1])
        while True:
            connection, _ = server.accept()
            threading.Thread(target=answer, args=(connection,), daemon=True).start()


def answer(connection: socket.socket) -> None:
    with connection, contextlib.suppress(OSError):
        while received := connection.recv(65_536):
            if received == b"request":
                connection.sendall(bytes(1000))


def bulk(port: int) -> None:
    """Send without end, as fast as the kernel is told to pace it."""
    with connect(port) as connection:
        connection.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, BULK_BYTES_PER_S)
        connection.sendall(bytes(BULK_BYTES_PER_S // 10))
        say_where(connection)
        while True:
            connection.sendall(bytes(65_536))


def request(port: int) -> None:
    """Ask, wait for the answer, think, ask again."""
    think = threading.Event()
    with connect(port) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(1 << 40):
            connection.sendall(b"request")
            connection.recv(65_536)
            if number == 10:
                say_where(connection)
            think.wait(1 / REQUESTS_PER_S)


def idle(port: int) -> None:
    """Stay connected, with keepalive, and send nothing."""
    with connect(port) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
        say_where(connection)
        threading.Event().wait()


def connect(port: int) -> socket.socket:
    return socket.create_connection((HOST, port), timeout=None)


def say(**values: Any) -> None:
    print(json.dumps(values), flush=True)


def say_where(connection: socket.socket) -> None:
    say(pid=os.getpid(), fd=connection.fileno())


ROLES: Final[dict[str, Callable[..., None]]] = {
    "demo-server": serve,
    "demo-bulk": bulk,
    "demo-request": request,
    "demo-idle": idle,
}


def play(name: str, arguments: list[str]) -> None:
    """Be a child: under this name, until stdin closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends us
    ctypes.CDLL(None).prctl(PR_SET_NAME, name.encode())
    threading.Thread(
        target=ROLES[name], args=[int(each) for each in arguments], daemon=True
    ).start()
    sys.stdin.read()


# -- what the user sees ------------------------------------------------------------------------


@dataclass(frozen=True)
class Scene:
    """The connections on show: the server's port, and PID:FD of the bulk sender."""

    port: int
    bulk: str


@contextlib.contextmanager
def children() -> Iterator[Scene]:
    """Start the children, and end them."""
    with contextlib.ExitStack() as stack:
        port = start(stack, "demo-server")["port"]
        where = {name: start(stack, name, port) for name in ROLES if name != "demo-server"}
        sender = where["demo-bulk"]
        yield Scene(port, f"{sender['pid']}:{sender['fd']}")


def start(stack: contextlib.ExitStack, name: str, *arguments: int) -> dict[str, Any]:
    """Start a child, to be ended with the stack, and return what it says when it is ready."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tools.demo", name, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    stack.enter_context(child)  # closes its pipes and waits for it
    stack.callback(child.terminate)
    assert child.stdout is not None
    line = child.stdout.readline()
    if not line:
        raise DemoFailed(f"{name} did not start")
    ready: dict[str, Any] = json.loads(line)
    return ready


def steps(scene: Scene) -> Iterator[tuple[str, str]]:
    """What to look at, and the command to look at it."""
    ours = f"'sport = :{scene.port} or dport = :{scene.port}'"
    yield (
        "Every socket of this demo: both ends of three connections, and a listener. "
        "Each has its process, its round-trip time, and what limits it.",
        f"tcptool list {ours}",
    )
    yield (
        "The same, one row a process: who has how many connections, and who moves the bytes.",
        f"tcptool list --by process {ours}",
    )
    yield (
        "Everything about the bulk sender. It paces itself: see so_max_pacing_rate, marked "
        "`changed`, and the other end, which is on this host too.",
        f"tcptool inspect {scene.bulk}",
    )
    yield (
        "The same socket, followed: a line a reading, then a summary. Watching never touches "
        "the socket; acked_bytes_per_s is what gets through.",
        f"tcptool inspect {scene.bulk} --watch --count 5 --interval 300ms",
    )
    yield (
        "For scripts: all of it as JSON, of which this is the part that tcptool works out.",
        f"tcptool inspect {scene.bulk} --json | python -m json.tool | "
        """sed -n '/"derived"/,/}/p'""",
    )
    yield ("What does a field mean, and how does it mislead?", "tcptool explain rtt")


def show(meaning: str, command: str) -> None:
    """Print what to look at and the command line, then run it."""
    bold, plain = ("\x1b[1m", "\x1b[0m") if sys.stdout.isatty() else ("", "")
    print(f"\n# {meaning}\n{bold}$ {command}{plain}", flush=True)
    words = ["sh", "-c", command] if "|" in command else shlex.split(command)
    # Not a tty for the watch: it would take the whole screen, and give it back empty.
    through = subprocess.PIPE if "--watch" in words else None
    with subprocess.Popen(
        words, env={**os.environ, "PATH": PATH}, stdout=through, text=True
    ) as run:
        for line in run.stdout or ():
            print(line, end="", flush=True)
    if run.returncode != 0:
        raise DemoFailed(f"`{command}` ended with status {run.returncode}")


def main() -> int:
    """Run the demo; its children are gone when this returns."""
    if len(sys.argv) > 1:
        play(sys.argv[1], sys.argv[2:])
        return 0
    try:
        with children() as scene:
            for meaning, command in steps(scene):
                show(meaning, command)
        print(
            "\nThe connections of the demo are closed. Try `tcptool list` on your own.", flush=True
        )
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the last flush fails quietly
        return 141
    except (DemoFailed, OSError) as exc:
        print(f"demo: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
