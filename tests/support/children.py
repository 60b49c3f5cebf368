"""Child programs for live tests, which say when they are ready.

The first line that a child writes to stdout means "ready": usually a child in a test does
``print(json.dumps({"port": port}), flush=True); sys.stdin.read()``.  Its stdin is a pipe that
closes when the tests end, however they end, so a child that reads it does not outlive them.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import re
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from tests.support.netns import NetNs

ROOT = Path(__file__).resolve().parent.parent.parent
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*\Z")
_running: set[subprocess.Popen[bytes]] = set()


class ChildFailed(AssertionError):
    """A child was not ready in time, or ended with an error of its own."""


class Child:
    """A running child program; as a context manager, it is stopped at the end.

    ``pid`` is the program's own, also inside a namespace.  ``ready`` is what it said first: the
    value if that line was JSON, else the line.
    """

    def __init__(self, command: list[str], env: dict[str, str], uid: int | None) -> None:
        self._name = " ".join(command)[:200]
        self._unread = b""
        # A file, not a pipe, which would fill: nobody reads it unless the child fails.
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop()
        self._last_words = ""
        self.process = subprocess.Popen(
            command,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=env,
            user=uid,
            group=uid,
            extra_groups=None if uid is None else [],
        )
        _running.add(self.process)
        self.pid = self.process.pid
        self.ready: Any = None

    def readline(self, deadline_s: float = 10.0) -> str:
        """The next line of its stdout, without the newline."""
        assert self.process.stdout is not None
        fd = self.process.stdout.fileno()
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        end = time.monotonic() + deadline_s
        while b"\n" not in self._unread:
            if not poll.poll(max(0.0, end - time.monotonic()) * 1000):
                raise ChildFailed(self._describe(f"said nothing for {deadline_s} s"))
            chunk = os.read(fd, 65536)
            if not chunk:
                status = self.process.wait(timeout=deadline_s)
                raise ChildFailed(self._describe(f"ended with status {status}"))
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode()

    def tell(self, line: str) -> None:
        """Write a line to its stdin."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())

    def stderr(self) -> str:
        """What it has written to stderr so far."""
        if self._stderr.closed:
            return self._last_words
        # pread: the position in the file is shared with the child.
        size = os.fstat(self._stderr.fileno()).st_size
        return os.pread(self._stderr.fileno(), size, 0).decode(errors="replace")

    def stop(self) -> int:
        """End it (SIGTERM, after two seconds SIGKILL) and return its exit status."""
        process = self.process
        if process in _running:
            process.terminate()
            try:
                process.wait(timeout=2)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                pipe.close()
            self._last_words = self.stderr()
            self._stderr.close()
            _running.discard(process)
        return process.returncode

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        status = self.process.poll()
        self.stop()
        if kind is not None:
            # pytest shows it under the failure.
            print(self._describe("in a test that failed"), file=sys.stderr)
        elif status is not None and status > 0:
            # Killed by a signal is the test's own doing, an error status is not.
            raise ChildFailed(self._describe(f"ended with status {status}"))

    def _describe(self, what: str) -> str:
        return f"child {self.pid} {what}: {self._name}\nstderr: {self.stderr() or '(empty)'}"


def spawn(
    program: str,
    *args: object,
    netns: NetNs | None = None,
    uid: int | None = None,
    env: dict[str, str] | None = None,
    deadline_s: float = 10.0,
) -> Child:
    """Start a Python program and wait until it is ready.

    ``program`` is a module (``tests.live.echo``, ``tcptool``) or source text.  ``netns`` is the
    namespace to start in; ``uid`` the user (and group) to become, which skips the test unless
    this is root; ``env`` is added to this process's environment.  Raises ChildFailed, with the
    child's stderr, if it does not say that it is ready within ``deadline_s`` seconds.
    """
    python, paths = sys.executable, [str(ROOT)]
    variables = dict(os.environ)
    if uid is not None:
        if not _may_become(uid):
            pytest.skip(f"only root may become user {uid}")
        python = _python_for_others()
        # The environment is inside the tree, so the system's Python can borrow its packages.
        paths += [path for path in sys.path if Path(path).is_relative_to(ROOT / ".venv")]
        # Another user cannot write coverage data here.
        variables = {k: v for k, v in variables.items() if not k.startswith("COVERAGE_PROCESS")}
    variables |= {"PYTHONPATH": os.pathsep.join(paths)} | (env or {})
    option = "-m" if _MODULE.match(program) else "-c"
    command = [python, option, program, *map(str, args)]
    if netns is not None:
        command = [*netns.enter(uid), *command]
        uid = None  # nsenter must still be root when it starts; it changes the user itself
    child = Child(command, variables, uid)
    try:
        child.ready = child.readline(deadline_s)
    except BaseException:
        child.stop()
        raise
    with contextlib.suppress(ValueError):
        child.ready = json.loads(child.ready)
    return child


def _may_become(uid: int) -> bool:
    """Whether this is root, and of more than a user namespace that has no such user."""
    lines = Path("/proc/self/uid_map").read_text().splitlines()
    ranges = [(int(first), int(count)) for first, _, count in map(str.split, lines)]
    return os.geteuid() == 0 and any(first <= uid < first + count for first, count in ranges)


def _python_for_others() -> str:
    """An interpreter that any user may start: this one may be under a private home."""
    here = Path(sys.executable).resolve()
    if all(folder.stat().st_mode & 0o001 for folder in here.parents):
        return sys.executable
    return "/usr/bin/python3"


@atexit.register
def _kill_all() -> None:
    for process in _running:
        process.kill()
        process.wait()
