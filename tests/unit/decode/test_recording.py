"""Recorded replies become readings."""

from __future__ import annotations

import pytest

from tcptool.decode.inet_diag import decode_socket
from tcptool.decode.netlink import MalformedReply, messages
from tcptool.decode.recording import observe
from tcptool.model.observation import RawReading, Reach, Reading, Recording, Surroundings
from tests.support.fake_kernel import diag_message

OWN, OTHER = (
    next(iter(messages(diag_message(local=("127.0.0.1", port), tcp_info={"rtt_us": port})))).payload
    for port in (80, 81)
)


def recording(own: bytes, other: bytes, *, ended: bool = False) -> Recording:
    return Recording(
        reach=Reach(handle="42:9", netns="blue"),
        holders=(),
        readings=(RawReading(0.0, own), RawReading(0.5, own)),
        other_reach=Reach(handle="43:4"),
        other_end=(RawReading(0.25, other),),
        around=Surroundings(load_percent=3.0),
        ended=ended,
    )


def test_both_ends_are_decoded_and_the_rest_stays() -> None:
    made, seen = recording(OWN, OTHER), observe(recording(OWN, OTHER), live=True)
    assert seen.readings == (Reading(0.0, decode_socket(OWN)), Reading(0.5, decode_socket(OWN)))
    assert seen.other_end == (Reading(0.25, decode_socket(OTHER)),)
    for name in ("reach", "holders", "other_reach", "around", "ended"):
        assert getattr(seen, name) == getattr(made, name)


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("ended", [True, False])
def test_what_has_ended_cannot_be_acted_upon(live: bool, ended: bool) -> None:
    assert observe(recording(OWN, OTHER, ended=ended), live=live).live is (live and not ended)


@pytest.mark.parametrize(("own", "other"), [(OWN[:70], OTHER), (OWN, b"")])
def test_a_reply_that_is_none_is_refused(own: bytes, other: bytes) -> None:
    with pytest.raises(MalformedReply):
        observe(recording(own, other), live=True)
