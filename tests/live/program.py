"""The real command line, and owners: child programs that do with sockets what a test tells them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.children import ROOT, Child, spawn
from tests.support.netns import NetNs
from tests.support.waiting import wait_until

NOBODY = 65534
WITH_ASCII = {"PYTHONIOENCODING": "ascii"}

# Runs each JSON string that comes on stdin and answers with the value of its last expression.
_OWNER = """
import ast, ctypes, errno, fcntl, json, os, select, signal, socket, struct, sys, time
names = {**globals(), "kept": []}
print("ready", flush=True)
for line in sys.stdin:
    tree = ast.parse(json.loads(line))
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<test>", "exec"), names)
    value = eval(compile(ast.Expression(last.value), "<test>", "eval"), names) if last else None
    print(json.dumps(value, default=lambda other: other.decode("latin-1")), flush=True)
"""

# Runs tcptool to its end, where only another user or another namespace can.
_RUNNER = """
import json, subprocess, sys
command = [sys.executable, "-m", "tcptool", *sys.argv[1:]]
done = subprocess.run(command, capture_output=True, text=True)
print(json.dumps([done.returncode, done.stdout, done.stderr]))
"""


@dataclass(frozen=True)
class Run:
    """How a command ended and what it wrote."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The document on stdout of a command that must have ended well."""
        assert self.status == 0, self
        return json.loads(self.out)

    @property
    def data(self) -> Any:
        return self.json["data"]

    @property
    def lines(self) -> list[str]:
        """The lines on stdout of a command that must have ended well."""
        assert self.status == 0, self
        return self.out.splitlines()

    def failed(self, status: int, *texts: str) -> str:
        """Check that it failed as it should: this status, one message on stderr, no traceback."""
        assert (self.status, self.out) == (status, ""), self
        assert "Traceback" not in self.err, self
        assert self.err.startswith("tcptool: "), self
        assert self.err.count("tcptool: ") == 1, self
        for text in texts:
            assert text in self.err, self
        return self.err


def tcptool(
    *args: object,
    netns: NetNs | None = None,
    uid: int | None = None,
    env: dict[str, str] | None = None,
    python: tuple[str, ...] = ("-m", "tcptool"),
) -> Run:
    """Run tcptool to its end, in a namespace or as another user."""
    words = list(map(str, args))
    if uid is not None:
        with spawn(_RUNNER, *words, netns=netns, uid=uid, env=env, deadline_s=60) as child:
            return Run(*child.ready)
    done = subprocess.run(
        [*(netns.enter() if netns else []), sys.executable, *python, *words],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
        cwd=ROOT,
        env=os.environ | (env or {}),
        stdin=subprocess.DEVNULL,
    )
    return Run(done.returncode, done.stdout, done.stderr)


def start(*args: object, netns: NetNs | None = None, env: dict[str, str] | None = None) -> Child:
    """Start tcptool and wait for its first line; it runs until it ends or is stopped."""
    return spawn("tcptool", *args, netns=netns, env=env, deadline_s=30)


class Owner:
    """A process that does what it is told; its sockets end with it.

    ``owner("expression")`` answers with the value, ``owner("a = 1\\nb = 2")`` runs statements;
    bytes come as latin-1 text.
    The usual modules are there, and names last from one call to the next.
    """

    def __init__(self, child: Child) -> None:
        self._child = child
        self.pid = child.pid

    def __call__(self, source: str) -> Any:
        self._child.tell(json.dumps(source))
        return json.loads(self._child.readline())

    def at(self, name: str) -> str:
        """``PID:FD`` of the socket that the owner calls ``name``."""
        return f"{self.pid}:{self(f'{name}.fileno()')}"

    def ends(self, name: str) -> str:
        """``ADDR:PORT-ADDR:PORT`` of a connected socket."""
        texts = []
        for call in ("getsockname", "getpeername"):
            address, port = self(f"{name}.{call}()[:2]")
            texts.append(f"[{address}]:{port}" if ":" in address else f"{address}:{port}")
        return "-".join(texts)

    def port(self, name: str) -> int:
        """The local port of a socket."""
        return int(self(f"{name}.getsockname()[1]"))

    def cookie(self, name: str) -> str:
        """The kernel's id of a socket, as ``sk:`` takes it."""
        return f"{self(f'int.from_bytes({name}.getsockopt(1, 57, 8), sys.byteorder)'):x}"


@contextlib.contextmanager
def owner(netns: NetNs | None = None, uid: int | None = None, setup: str = "") -> Iterator[Owner]:
    """A new owner, in a namespace or as another user."""
    with spawn(_OWNER, netns=netns, uid=uid) as child:
        one = Owner(child)
        if setup:
            one(setup)
        yield one


PAIR = """
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
conn, _ = server.accept()
"""
"""An owner's set-up: a listener, and both ends of one connection."""


def inspect(target: object, netns: NetNs | None = None, **more: Any) -> Any:
    """The whole document of ``inspect TARGET --json``."""
    return tcptool("inspect", target, "--json", netns=netns, **more).json


def options_of(document: Any) -> dict[str, dict[str, Any]]:
    """The options in an ``inspect`` document, by name."""
    return {option["name"]: option for option in document["data"]["options"]}


def table(run: Run) -> list[dict[str, str]]:
    """The rows of a plain list, by heading."""
    return table_of(run.lines)


def table_of(lines: list[str]) -> list[dict[str, str]]:
    """Rows under a heading."""
    heading, *rows = (line.split() for line in lines)
    return [dict(zip(heading, row, strict=True)) for row in rows]


def ss(netns: NetNs | None, *args: str) -> list[str]:
    """The lines of ss."""
    command = ["ss", *args]
    if netns is not None:
        return netns.run(*command).stdout.splitlines()
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout.splitlines()


def settled(owner: Owner, name: str, state: int) -> None:
    """Wait until a socket of the owner is in this state: its number in struct tcp_info."""
    wait_until(lambda: owner(f"{name}.getsockopt(6, 11, 1)[0]") == state)


def unprintable(text: str) -> list[str]:
    """Characters that a terminal would obey, or that turn or hide what it shows."""
    return re.findall(r"[^\x20-\x7e\n]", "".join(c for c in text if not c.isprintable()))


def children_of(pid: int) -> list[int]:
    """Its living children."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]
