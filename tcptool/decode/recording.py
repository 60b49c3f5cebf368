"""Recordings of sockets: the kernel's replies become readings."""

from __future__ import annotations

from collections.abc import Iterable

from tcptool.decode.inet_diag import decode_socket
from tcptool.model.observation import Observation, RawReading, Reading, Recording


def observe(recording: Recording) -> Observation:
    """The recording, decoded.  Raises MalformedReply."""
    return Observation(
        handle=recording.handle,
        netns=recording.netns,
        holders=recording.holders,
        readings=_readings(recording.readings),
        other_handle=recording.other_handle,
        other_end=_readings(recording.other_end),
        around=recording.around,
        ended=recording.ended,
    )


def _readings(raw: Iterable[RawReading]) -> tuple[Reading, ...]:
    return tuple(Reading(at_s, decode_socket(reply)) for at_s, reply in raw)
