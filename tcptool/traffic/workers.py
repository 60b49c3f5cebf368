"""Keeps the workers of a server running, and ends them: the parent of all of them.

Signals arrive here and nowhere else: workers ignore those that a terminal or a service manager
sends to everybody, and do what their parent says over a channel.  When the parent dies, however,
the channels close, and the workers end.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from tcptool.errors import TcptoolError
from tcptool.traffic.far_end import Channel, FarEnd, FarEndLost, start_far_end

Work = Callable[[int, socket.socket, Channel], None]
"""What a worker does: its number, its listener, and where orders come from."""

Restarted = Callable[[str, int, int], None]
"""Told why a worker ended, its pid and that of its successor."""

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_READY_S: Final = 10.0
"""How long a fork may take to reach its first line: a host that is so slow serves nobody."""
_SHORT_S: Final = 1.0
_MOST_SHORT: Final = 5
"""So many workers in a row that lived shorter than that: something else is wrong."""


class Workers:
    """One for each listener.  The listeners are closed with them."""

    def __init__(
        self, listeners: Sequence[socket.socket], work: Work, restarted: Restarted
    ) -> None:
        self._listeners, self._work, self._restarted = listeners, work, restarted
        self._alive: dict[int, FarEnd] = {}
        self._begun_s: dict[int, float] = {}
        self._short = 0
        self._poll = select.poll()
        self._had_terminal = _has_terminal()

    @property
    def pids(self) -> tuple[int, ...]:
        """By number."""
        return tuple(self._alive[number].pid for number in sorted(self._alive))

    def start(self) -> None:
        """Fork all of them.  Raises TcptoolError if one cannot begin."""
        for number in range(len(self._listeners)):
            self._start(number)

    def _start(self, number: int) -> None:
        def work(channel: Channel) -> None:
            signal.set_wakeup_fd(-1)
            for one in _SIGNALS:
                signal.signal(one, signal.SIG_IGN)
            for sibling in self._alive.values():
                sibling.let_go()
            for other, listener in enumerate(self._listeners):
                if other != number:
                    listener.close()
            channel.tell(ready=True)  # from here on signals are the parent's alone
            self._work(number, self._listeners[number], channel)

        worker = start_far_end("worker", work, cpu=None)
        try:
            worker.hear(_READY_S)
        except BaseException:
            worker.end()
            raise
        self._alive[number], self._begun_s[number] = worker, time.monotonic()
        self._poll.register(worker, select.POLLIN)

    def run(self, signals: int, every_s: float | None, look: Callable[[], None]) -> signal.Signals:
        """Until a signal comes, which is returned; ``look`` is called now and then.

        ``signals`` is what ``caught_signals`` gave.  Raises TcptoolError for what a worker tells
        of itself, or if workers keep dying.
        """
        self._poll.register(signals, select.POLLIN)
        due_s = time.monotonic()
        while True:
            wait_ms = None
            if every_s is not None:
                if time.monotonic() >= due_s:
                    look()
                    due_s = max(due_s + every_s, time.monotonic())
                wait_ms = max(0.0, due_s - time.monotonic()) * 1000
            for fd, _ in self._poll.poll(wait_ms):
                if fd == signals:
                    for number in os.read(signals, 64):
                        if self._ends(signal.Signals(number)):
                            return signal.Signals(number)
                else:
                    self._replace(next(n for n, one in self._alive.items() if one.fileno() == fd))

    def _replace(self, number: int) -> None:
        old = self._alive[number]
        try:
            old.hear(0)  # raises: a worker says something only to tell why it ends
            raise FarEndLost("serving", f"worker {old.pid} spoke out of turn")
        except FarEndLost as exc:
            why = exc.why
        self._poll.unregister(old)
        old.end()
        del self._alive[number]
        lived_s = time.monotonic() - self._begun_s[number]
        self._short = self._short + 1 if lived_s < _SHORT_S else 0
        if self._short >= _MOST_SHORT:
            raise TcptoolError(
                "keeping workers running",
                f"{self._short} in a row ended at once; the last: {why}",
                "Standard error may tell more.",
            )
        self._start(number)
        self._restarted(why, old.pid, self._alive[number].pid)

    def _ends(self, number: signal.Signals) -> bool:
        """SIGHUP says that the terminal has gone, if there was one; else it means nothing."""
        return number != signal.SIGHUP or (self._had_terminal and not _has_terminal())

    def drain(self, signals: int, grace_s: float) -> None:
        """Let them finish what is under way, so long at most, or until one more signal."""
        for listener in self._listeners:
            listener.close()
        for worker in self._alive.values():
            with contextlib.suppress(FarEndLost):
                worker.tell(do="drain")
        waiting = {worker.fileno() for worker in self._alive.values()}
        end_s = time.monotonic() + grace_s
        while waiting and (left_s := end_s - time.monotonic()) > 0:
            for fd, _ in self._poll.poll(left_s * 1000):
                if fd == signals:
                    if any(self._ends(signal.Signals(n)) for n in os.read(signals, 64)):
                        return
                elif fd in waiting:
                    waiting.remove(fd)
                    self._poll.unregister(fd)

    def end(self) -> None:
        """End those that are left, at once."""
        for worker in self._alive.values():
            worker.let_go()
        for worker in self._alive.values():
            worker.end()
        self._alive.clear()
        for listener in self._listeners:
            listener.close()


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


@contextlib.contextmanager
def caught_signals() -> Iterator[int]:
    """A descriptor that gives the numbers of SIGTERM, SIGINT and SIGHUP as bytes.

    SIGHUP stays ignored where it was, as under nohup(1).
    """
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        for number, handler in handlers.items():
            if number != signal.SIGHUP or handler is not signal.SIG_IGN:
                signal.signal(number, lambda _number, _frame: None)
        yield reading
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(before)
        os.close(reading)
        os.close(writing)
