"""The other end of a measurement on this host: a forked child, told what to do over a channel.

The child is forked before any data socket is made, so that it never holds a duplicate of one of
our ends: when this process dies, however it dies, the child's channel closes and it ends too.
Messages are JSON, one a datagram (unix(7), SOCK_SEQPACKET): they go to and fro between the
timed parts, never inside them.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from tcptool.errors import (
    NotFound,
    NotPermitted,
    TcptoolError,
    Unsupported,
    UsageError,
    from_oserror,
)

_MESSAGE_BYTES: Final = 65_536
"""Longest message: raw struct tcp_info in hex and a few numbers are below 2 KiB."""
_REAP_S: Final = 2.0
"""How long a child that was asked to end may take until it is killed."""


_KINDS: Final = {kind.code: kind for kind in (UsageError, NotFound, NotPermitted, Unsupported)}
"""Errors that keep their exit status on the way from the child."""


class FarEndLost(TcptoolError):
    """The child is gone, or did not answer in time."""

    code = "far_end_lost"


class Channel:
    """One end of the conversation.  ``hear`` gives the next message."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def fileno(self) -> int:
        """For poll()."""
        return self._sock.fileno()

    def close(self) -> None:
        """Let the other end know that nothing more comes."""
        self._sock.close()

    def tell(self, **message: Any) -> None:
        """Send a message.  Raises BrokenPipeError if the other end has gone."""
        self._sock.send(json.dumps(message).encode())

    def hear(self) -> dict[str, Any]:
        """Wait for the next message.  Raises EOFError if the other end has gone."""
        text = self._sock.recv(_MESSAGE_BYTES)
        if not text:
            raise EOFError
        message: dict[str, Any] = json.loads(text)
        return message


class FarEnd:
    """The child, seen from here.  ``name`` says what it is, as ``receiver``."""

    def __init__(self, name: str, pid: int, channel: Channel) -> None:
        self.name, self.pid = name, pid
        self._channel = channel
        self._status: int | None = None

    def fileno(self) -> int:
        """For poll(): readable when it has said something, or has ended."""
        return self._channel.fileno()

    def tell(self, **message: Any) -> None:
        """Tell it something.  Raises FarEndLost."""
        try:
            self._channel.tell(**message)
        except OSError as exc:
            raise self.lost() from exc

    def hear(self, timeout_s: float) -> dict[str, Any]:
        """Its next message.  Raises FarEndLost if there is none in time, or it has ended.

        An error of its own, told as ``error``, is raised here.
        """
        if not self._speaks_within(timeout_s):
            raise FarEndLost(
                f"measuring with the {self.name} in process {self.pid}",
                f"it said nothing for {timeout_s:g} s",
                "A stopped process or a very slow path; --timeout waits longer.",
            )
        try:
            message = self._channel.hear()
        except (EOFError, OSError) as exc:
            raise self.lost() from exc
        if error := message.get("error"):
            kind = _KINDS.get(error["code"], TcptoolError)
            raise kind(f"{error['doing']} (the {self.name})", error["why"], error["hint"])
        return message

    def explain(self) -> None:
        """Raise why a connection to it broke, if that is known: its own error, or its end."""
        if self._speaks_within(_REAP_S):
            self.hear(0)

    def _speaks_within(self, timeout_s: float) -> bool:
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        return bool(poll.poll(timeout_s * 1000))

    def lost(self) -> FarEndLost:
        """The error that says how it ended."""
        status = self._reap()
        if status is None:
            why = "it closed the connection"
        elif status < 0:
            why = f"it was killed by {signal.Signals(-status).name}"
        else:
            why = f"it ended with status {status}"
        return FarEndLost(
            f"measuring with the {self.name} in process {self.pid}",
            why,
            "Nothing is left behind; run it again.",
        )

    def _reap(self) -> int | None:
        """Its exit status, negative for a signal; None if it lives on for now."""
        end = time.monotonic() + _REAP_S
        with contextlib.suppress(ProcessLookupError):
            pidfd = os.pidfd_open(self.pid)
            try:
                poll = select.poll()
                poll.register(pidfd, select.POLLIN)
                poll.poll(max(0.0, end - time.monotonic()) * 1000)
            finally:
                os.close(pidfd)
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._status = os.waitstatus_to_exitcode(status) if pid else None
        return self._status

    def let_go(self) -> None:
        """Close the channel, which ends it, without waiting for that.

        A child that was forked later has to do so as well, or the channel never closes.
        """
        self._channel.close()

    def end(self) -> None:
        """Close the channel, which ends it, and wait for that; kill it if it lingers."""
        self.let_go()
        if self._reap() is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


@contextlib.contextmanager
def far_end(name: str, work: Callable[[Channel], None], *, cpu: int | None) -> Iterator[FarEnd]:
    """``start_far_end``; the child is gone when the block ends."""
    child = start_far_end(name, work, cpu=cpu)
    try:
        yield child
    finally:
        child.end()


def start_far_end(name: str, work: Callable[[Channel], None], *, cpu: int | None) -> FarEnd:
    """Fork a child that does ``work`` on that processor, until it is told to ``end``.

    ``work`` returns, or its ``hear`` raises EOFError, when the channel closes.  An OSError or
    TcptoolError of it is told over the channel.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if not pid:
        ours.close()
        _be_the_child(work, Channel(theirs), cpu)
    theirs.close()
    return FarEnd(name, pid, Channel(ours))


def _be_the_child(work: Callable[[Channel], None], channel: Channel, cpu: int | None) -> None:
    """Never returns: what the parent has open and buffered is not the child's to flush."""
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if cpu is not None:
            os.sched_setaffinity(0, {cpu})
        _told(work, channel)
        status = 0
    finally:
        os._exit(status)


def _told(work: Callable[[Channel], None], channel: Channel) -> None:
    """Do the work; tell what goes wrong."""
    try:
        work(channel)
        return
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent has gone, or is about to say why it ends the run
    except OSError as exc:
        error = from_oserror("measuring", exc)
    except TcptoolError as exc:
        error = exc
    told = {"code": error.code, "doing": error.doing, "why": error.why, "hint": error.hint}
    with contextlib.suppress(OSError):
        channel.tell(error=told)
