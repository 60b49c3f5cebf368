"""Recordings of sockets: the kernel's replies become readings."""

from __future__ import annotations

from collections.abc import Iterable

from tcptool.decode.inet_diag import decode_socket
from tcptool.model.observation import Observation, RawReading, Reading, Recording


def observe(recording: Recording, *, live: bool) -> Observation:
    """The recording, decoded; ``live`` if it was made just now.  Raises MalformedReply."""
    return Observation(
        reach=recording.reach,
        holders=recording.holders,
        readings=_readings(recording.readings),
        other_reach=recording.other_reach,
        other_end=_readings(recording.other_end),
        around=recording.around,
        ended=recording.ended,
        live=live and not recording.ended,
    )


def _readings(raw: Iterable[RawReading]) -> tuple[Reading, ...]:
    return tuple(Reading(at_s, decode_socket(reply)) for at_s, reply in raw)
