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
    def moved(self) -> bool | None:
        """Whether data moved during the samples; None where the kernel does not tell."""
        own, window_ms = self.own, self.own.duration_s * 1000
        if own.acked_bytes is not None or own.received_bytes is not None:
            return bool(own.acked_bytes or own.received_bytes)
        silent = (self.info.last_data_sent_ms, self.info.last_data_recv_ms)
        known = [ms for ms in silent if ms is not None]
        return min(known) < window_ms if known else None

    @property
    def moved_out(self) -> bool | None:
        """Whether the peer acknowledged data during the samples; None where it is not known."""
        return None if self.own.acked_bytes is None else bool(self.own.acked_bytes)

    @property
    def unread_bytes(self) -> int:
        """What waits in the receive queue; a FIN counts there as a byte."""
        queue = self.last.receive_queue_bytes or 0
        return max(queue - 1, 0) if self.last.state == "close-wait" else queue

    @property
    def listener(self) -> Socket | None:
        """The listener on this host that the connection is being made to."""
        end = self.seen.other_end[-1].socket if self.seen.other_end else None
        return end if end is not None and end.state == "listen" else None

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


def heard(last_ack_recv_ms: int) -> str:
    """When the peer was last heard, for evidence."""
    return f"last_ack_recv_ms {human(last_ack_recv_ms, Unit.MILLISECONDS)}"


def rate(value: float | None) -> str:
    """Bytes per second for evidence, as bits."""
    return "unknown" if value is None else human(value, Unit.BYTES_PER_SECOND)


def micros(value: float | None) -> str:
    """Microseconds for evidence."""
    return "unknown" if value is None else human(value, Unit.MICROSECONDS)
