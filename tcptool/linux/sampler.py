"""Dense samples of a few sockets through sock_diag, by cookie: their owners cannot notice.

A sample is the kernel's reply as it is; decoding waits until the sampling is over, so that the
sampler takes some 20 microseconds a sample and not the time of which it measures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from tcptool.catalog.states import LISTEN
from tcptool.decode.inet_diag import without_secrets
from tcptool.decode.netlink import messages
from tcptool.linux.kernel import Kernel
from tcptool.linux.lookup import find_reply
from tcptool.linux.sock_diag import Dump
from tcptool.model.observation import RawReading

_TIME_WAIT: Final = 3
"""The timer of a connection that is over: the kernel keeps little more than its address."""
_TIMER: Final = 2
_REST: Final = 10
"""Many sockets are read less often: a tenth of the time is spent on them at most."""
_COOKIE: Final = slice(44, 52)
"""Where a reply has what ends the key."""


@dataclass(slots=True)
class Watched:
    """One socket to sample.  ``packed_id`` is the kernel's key, with its cookie."""

    kernel: Kernel
    family: int
    packed_id: bytes
    listens: bool = False
    readings: list[RawReading] = field(default_factory=list)
    ended: bool = False

    def reply(self) -> bytes | None:
        """The kernel's reply now; None once the socket has gone.

        A listener of a SO_REUSEPORT group may be out of reach of the exact look-up.
        """
        found = find_reply(self.kernel, self.family, self.packed_id)
        if found is not None or not self.listens:
            return found
        dump = Dump(self.kernel, families=(self.family,), states=1 << LISTEN)
        return next(
            (
                message.payload
                for part in dump
                for message in messages(part.datagram)
                if message.payload[_COOKIE] == self.packed_id[-8:]
            ),
            None,
        )


def sample(
    watched: Sequence[Watched],
    clock: Kernel,
    *,
    pace_s: float,
    for_s: float,
    progress: Callable[[float, str], None],
) -> bool:
    """Read every socket at the same pace until the time is over or all have ended.

    Returns whether it came to its end: Ctrl-C stops it, with what was read so far.
    """
    start = due = clock.monotonic()
    try:
        while True:
            began = clock.monotonic()
            for one in watched:
                if not one.ended:
                    _read(one, clock, start)
            now = clock.monotonic()
            due += pace_s
            if due < now:
                due = now + pace_s  # late: what was missed is not made up for
            due = max(due, began + _REST * (now - began))
            passed_s = due - start
            if passed_s > for_s or all(one.ended for one in watched):
                return True
            progress(passed_s / for_s, "sampling")
            clock.wait(due - clock.monotonic())
    except KeyboardInterrupt:
        return False


def _read(one: Watched, clock: Kernel, start: float) -> None:
    reply = one.reply()
    at_s = clock.monotonic() - start  # afterwards: the kernel may have waited for the socket
    is_over = reply is None or reply[_TIMER] == _TIME_WAIT
    if reply is not None and not (is_over and one.readings):
        # Microseconds, so that a recording tells the same.
        one.readings.append(RawReading(round(at_s, 6), without_secrets(reply)))
    one.ended = is_over
