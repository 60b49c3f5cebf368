"""Network namespaces: how they are named, and doing one thing inside another.

setns(2) moves the calling thread only, so the work runs in a thread that ends right after;
the caller's own namespace is never left.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TypeVar

from tcptool.errors import NotFound, NotPermitted, TcptoolError, from_oserror

Result = TypeVar("Result")

NAMED = "/run/netns"
"""Where `ip netns add` keeps its names: ip-netns(8)."""


def open_netns(reference: str, proc_root: str = "/proc") -> int:
    """Open a namespace by PID, by name or by path.  The caller owns the descriptor."""
    if reference.isdecimal():
        path = f"{proc_root}/{reference}/ns/net"
    elif "/" in reference:
        path = reference
    else:
        path = f"{NAMED}/{reference}"
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as exc:
        raise from_oserror(
            f"opening network namespace {reference!r}",
            exc,
            hint="Give a name of `ip netns list`, a PID or a path; another user's needs root.",
        ) from exc


def run_inside(netns: int, work: Callable[[], Result]) -> Result:
    """Do ``work`` in a thread that has moved into ``netns``; what it raises comes out unchanged.

    Raises NotPermitted, NotFound or another TcptoolError where the namespace cannot be entered.
    """
    outcome: list[Result] = []
    failure: list[BaseException] = []

    def enter_and_work() -> None:
        try:
            _enter(netns)
            outcome.append(work())
        except BaseException as exc:  # noqa: BLE001 - re-raised below, in the caller's thread
            failure.append(exc)

    thread = threading.Thread(target=enter_and_work, name="tcptool-netns")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


def _enter(netns: int) -> None:
    from tcptool.linux.syscalls import setns  # ctypes costs 2 ms, and is seldom needed

    try:
        setns(netns)
    except OSError as exc:
        raise _explained(exc) from exc


def _explained(exc: OSError) -> TcptoolError:
    error = from_oserror("entering the network namespace", exc)
    if isinstance(error, NotPermitted):
        error.hint = "Entering a namespace needs CAP_SYS_ADMIN in it: run tcptool with sudo."
    elif isinstance(error, NotFound):
        error.hint = "It is not a network namespace, or it has gone."
    return error
