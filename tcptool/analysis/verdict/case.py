"""What a verdict is drawn from, and what it consists of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from tcptool.analysis.measures import measure, since_reset
from tcptool.catalog import thresholds as limits
from tcptool.catalog.options import OptionValue
from tcptool.catalog.tcp_info import TcpInfo
from tcptool.model.observation import Measures, Observation, Reading
from tcptool.model.sock import Socket
from tcptool.units import Unit, human

_MOVING: Final = frozenset(
    {"established", "close-wait", "fin-wait-1", "fin-wait-2", "closing", "last-ack"}
)


class Case(NamedTuple):
    """One connection: its samples, what they come to, and the other end's if it is here.

    ``readings`` are those with a tcp_info after the last reset, of states that carry data.
    """

    seen: Observation
    readings: Sequence[Reading]
    last: Socket
    info: TcpInfo
    own: Measures
    other: Measures | None

    def option(self, name: str) -> OptionValue | None:
        """The socket's option; None where it could not be read."""
        options = self.seen.around.options
        return None if options is None else options.get(name)

    def limit(self, name: str) -> int | None:
        """A sysctl of the socket's namespace; None where it could not be read."""
        return self.seen.around.limits.get(name)

    @property
    def is_bbr(self) -> bool:
        """Whether the sender is paced by bbr's model, which other thresholds hold for."""
        return self.congestion == "bbr"

    @property
    def congestion(self) -> str | None:
        """Name of the congestion control."""
        return self.last.congestion.name if self.last.congestion else None

    @property
    def moved(self) -> bool:
        """Whether a byte was acknowledged or received during the samples."""
        return bool(self.own.acked_bytes or self.own.received_bytes)

    @property
    def mostly_receives(self) -> bool:
        """Whether this end is the receiver: more came than went, and not by request and answer.

        A client whose answers are larger than its requests sends nearly as often as it receives:
        then what it sends, and when, decides.
        """
        if (self.own.received_bytes or 0) <= (self.own.acked_bytes or 0):
            return False
        sent, received = self.own.sent_segs, self.own.received_segs
        return sent is None or not received or sent <= limits.REQUEST_SHARE * received


class Found(NamedTuple):
    """A verdict that fits: its name in the catalog, 0 to 1, and why."""

    verdict: str
    confidence: float
    evidence: tuple[str, ...]


Test = Callable[[Case], Found | None]


def open_case(seen: Observation) -> Case:
    """The case of an observation that has a reading."""
    last = seen.readings[-1].socket
    is_moving = last.state in _MOVING
    data = _data(seen.readings) if is_moving else seen.readings
    other = since_reset(seen.other_end)
    return Case(
        seen=seen,
        readings=since_reset(data) if is_moving else data,
        last=last,
        info=last.tcp_info or TcpInfo(),
        own=measure(data),
        other=measure(other) if other else None,
    )


def _data(readings: Sequence[Reading]) -> Sequence[Reading]:
    """The readings after the handshake."""
    return [one for one in readings if one.socket.state in _MOVING]


def percent(value: float | None) -> str:
    """A share for evidence; ``unknown`` where the kernel does not tell."""
    return "unknown" if value is None else human(value, Unit.PERCENT)


def size(value: float | None) -> str:
    """Bytes for evidence."""
    return "unknown" if value is None else human(value, Unit.BYTES)


def rate(value: float | None) -> str:
    """Bytes per second for evidence, as bits."""
    return "unknown" if value is None else human(value, Unit.BYTES_PER_SECOND)


def micros(value: float | None) -> str:
    """Microseconds for evidence."""
    return "unknown" if value is None else human(value, Unit.MICROSECONDS)
