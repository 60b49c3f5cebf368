"""Private network namespaces for tests that send packets or change network settings.

A helper process holds the namespace and ends when the pipe to it closes, so nothing is left
behind even if the tests are killed: no name in /run/netns, no interface, no process.

Root may do everything.  An ordinary user gets a namespace inside a user namespace of its own:
commands and children run in it as its root, but `call` needs the tests themselves to be root
(`unshare --user --map-root-user python3 dev.py test` makes them so).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

import pytest

P = ParamSpec("P")
T = TypeVar("T")

CLONE_NEWNET = 0x40000000  # include/uapi/linux/sched.h

# Sets lo up without ip(8), which a minimal machine lacks, then lives until its stdin closes.
# SIOCGIFFLAGS, SIOCSIFFLAGS: include/uapi/linux/sockios.h; IFF_UP: include/uapi/linux/if.h.
_HOLDER = """
import fcntl, socket, struct, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
    request = bytearray(struct.pack("16sH22x", b"lo", 0))
    fcntl.ioctl(any_socket, 0x8913, request)
    flags = struct.unpack_from("H", request, 16)[0]
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH22x", b"lo", flags | 1))
print("ready", flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True, slots=True)
class NetNs:
    """A private network namespace with `lo` up and nothing else in it.

    ``pid`` is the process that holds it, for `ip link add ... netns PID` and /proc/PID/ns/net.
    """

    pid: int
    in_user_namespace: bool

    @property
    def path(self) -> str:
        return f"/proc/{self.pid}/ns/net"

    def enter(self, uid: int | None = None) -> list[str]:
        """The words to put before a command so that it runs inside; it keeps its own pid."""
        words = ["nsenter", f"--net={self.path}"]
        if self.in_user_namespace:
            words += [f"--user=/proc/{self.pid}/ns/user", "--preserve-credentials"]
        elif uid is not None:
            words += [f"--setuid={uid}", f"--setgid={uid}"]
        return [*words, "--"]

    def run(
        self,
        *command: str,
        check: bool = True,
        timeout_s: float = 30.0,
        env: dict[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside to its end; with ``check``, a failure fails the test."""
        done = subprocess.run(
            [*self.enter(), *command],
            capture_output=True,
            check=False,
            text=True,
            timeout=timeout_s,
            env=env,
        )
        if check and done.returncode != 0:
            pytest.fail(
                f"{' '.join(command)}: status {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call ``function`` inside, in a thread of its own, and return or raise what it does.

        Sockets made there stay in the namespace and may be used by the caller afterwards.
        /proc/net and /proc/self/net show the tests' own namespace; /proc/thread-self/net this one.
        """
        if self.in_user_namespace:
            pytest.skip("a thread cannot enter a user namespace: run the tests as root")

        def inside() -> T:
            # A namespace belongs to a thread, and this one ends with the call.
            libc = ctypes.CDLL(None, use_errno=True)
            fd = os.open(self.path, os.O_RDONLY)
            try:
                if libc.setns(fd, CLONE_NEWNET) != 0:
                    number = ctypes.get_errno()
                    raise OSError(number, f"setns: {os.strerror(number)}")
            finally:
                os.close(fd)
            return function(*args, **kwargs)

        with ThreadPoolExecutor(max_workers=1) as pool:
            return pool.submit(inside).result()


@contextlib.contextmanager
def new_netns() -> Iterator[NetNs]:
    """A new network namespace, gone at the end; skips the test where none can be made."""
    in_user_namespace = os.geteuid() != 0
    words = ["--user", "--map-root-user"] if in_user_namespace else []
    holder = subprocess.Popen(
        ["unshare", *words, "--net", sys.executable, "-I", "-c", _HOLDER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    # No deadline: the holder says "ready" or ends, and pytest-timeout watches the test.
    if holder.stdout.readline() != "ready\n":
        _, why = holder.communicate()
        pytest.skip(f"cannot make a network namespace: {why.strip()}")
    try:
        yield NetNs(holder.pid, in_user_namespace)
    finally:
        holder.communicate()


@pytest.fixture
def netns() -> Iterator[NetNs]:
    """A private network namespace for one test.  For several, use ``new_netns`` itself."""
    with new_netns() as namespace:
        yield namespace
