"""Verdicts that follow from the state: what one reading nearly settles."""

from __future__ import annotations

from typing import Any

import pytest

from tcptool.catalog import thresholds as limits
from tcptool.catalog.listeners import NEAR_FULL_PERCENT
from tcptool.catalog.verdicts import UNCLEAR
from tcptool.model.diagnosis import Diagnosis
from tests.unit.analysis.verdict.observations import judged, readings


def still(
    state: str = "established",
    info: dict[str, Any] | None = None,
    rise: dict[str, Any] | None = None,
    memory: dict[str, Any] | None = None,
    samples: int = 201,
    options: dict[str, Any] | None = None,
    **sock_fields: Any,
) -> Diagnosis:
    """A connection in which nothing moves unless ``rise`` says so."""
    quiet = {"acked_bytes": 1000, "received_bytes": 1000, "unacked_packets": 0, "notsent_bytes": 0}
    made = readings(
        info=quiet | (info or {}), rise=rise, memory=memory,
        sock_fields={"state": state} | sock_fields, samples=samples,
    )  # fmt: skip
    return judged(made, options=options)


def text(found: Diagnosis) -> str:
    return "\n".join(found.evidence)


# -- the end -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "timer"), [("time-wait", "time-wait"), ("fin-wait-2", "time-wait"), ("close", "off")]
)
def test_closed(state: str, timer: str) -> None:
    assert judged(
        readings({}, samples=1, sock_fields={"state": state, "timer": timer})
    ).verdict == ("closed")


# -- listeners ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("waiting", "backlog", "drops", "verdict"),
    [
        (3, 2, [5, 6], "listener-overflow"),
        (3, 2, 5, "listener-overflow"),  # full, and nobody came who found it so
        ([0, 3, 0], 2, 5, "listener-filling"),
        ([0, 3, 0], 2, [5, 6], "listener-overflow"),  # in one sample is enough
        (0, 100, [5, 6], "listening"),  # dropped, and not by this queue
        (2, 2, [5, 6], "listener-overflow"),
        (2, 2, 5, "listening"),  # two of three places
        (3, 3, 5, "listener-filling"),
        (3, 2, None, "listener-overflow"),  # drops are not told
        ([0, 3, 0], 2, None, "listener-filling"),
        (0, 0, [5, 6], "listening"),
        (round(NEAR_FULL_PERCENT) + 1, 100, 5, "listener-filling"),  # of 101 places
        (round(NEAR_FULL_PERCENT), 100, 5, "listening"),
        (0, 100, 5, "listening"),
        (0, 0, 5, "listening"),
        (0, 0, None, "listening"),
    ],
)
def test_listeners(waiting: Any, backlog: int, drops: Any, verdict: str) -> None:
    found = still("listen", accept_queue=waiting, backlog=backlog, memory={"drops": drops})
    assert found.verdict == verdict
    assert f"backlog {backlog}" in text(found)
    assert ("drops rose by 1" in text(found)) is (drops == [5, 6])


@pytest.mark.parametrize(("waiting", "backlog"), [(3, None), (None, 2)])
def test_listener_of_which_half_is_known(waiting: int | None, backlog: int | None) -> None:
    assert still("listen", accept_queue=waiting, backlog=backlog).verdict == "listening"


def test_listener_of_which_little_is_known() -> None:
    found = still("listen", accept_queue=None, backlog=None)
    assert (found.verdict, found.evidence) == ("listening", ("the backlog is not known",))


def test_listener_that_was_in_sight_once() -> None:
    assert still("listen", accept_queue=3, backlog=2, samples=1).verdict == "listener-overflow"


# -- handshakes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "info", "timer_retransmits", "verdict", "what"),
    [
        ("syn-sent", {"retransmits": 2}, 0, "handshake-unanswered", "the SYN was sent 3 times"),
        ("syn-sent", {}, 3, "handshake-unanswered", "the SYN was sent 4 times"),
        ("syn-recv", {}, 1, "handshake-unanswered", "the SYN-ACK was sent 2 times"),
        ("new-syn-recv", {}, 1, "handshake-unanswered", "the SYN-ACK was sent 2 times"),
        ("syn-sent", {}, 0, UNCLEAR, ""),
    ],
)
def test_handshakes(
    state: str, info: dict[str, Any], timer_retransmits: int, verdict: str, what: str
) -> None:
    found = still(
        state, info | {"unacked_packets": 1, "rto_us": 2_000_000},
        timer="retransmit", timer_retransmits=timer_retransmits,
    )  # fmt: skip
    assert found.verdict == verdict
    assert what in text(found)


def test_when_a_syn_is_sent_again() -> None:
    found = still("syn-sent", {"retransmits": 1, "rto_us": 2_000_000}, timer_expires_ms=1500)
    assert "next attempt in 1.5 s (rto_us 2 s)" in text(found)


# -- half-closed -------------------------------------------------------------------------------

LONG_AGO = {"last_data_recv_ms": limits.FORGOTTEN_MS + 1}


@pytest.mark.parametrize(
    ("state", "info", "rise", "verdict"),
    [
        ("close-wait", LONG_AGO, {}, "close-wait"),
        ("close-wait", {"last_data_recv_ms": limits.FORGOTTEN_MS}, {}, "idle"),
        ("close-wait", {"last_data_recv_ms": None}, {}, "idle"),
        ("fin-wait-2", LONG_AGO, {}, "idle"),
    ],
)
def test_close_wait(state: str, info: dict[str, Any], rise: dict[str, Any], verdict: str) -> None:
    assert still(state, info, rise).verdict == verdict


@pytest.mark.parametrize(
    ("info", "rise"),
    [
        (LONG_AGO, {"acked_bytes": 100}),
        (LONG_AGO | {"unacked_packets": 1}, {}),
        (LONG_AGO | {"notsent_bytes": 1}, {}),
    ],
)
def test_close_wait_that_still_answers_is_not_forgotten(
    info: dict[str, Any], rise: dict[str, Any]
) -> None:
    assert still("close-wait", info, rise).verdict != "close-wait"


# -- a closed window ---------------------------------------------------------------------------

CLOSED = {"snd_wnd_bytes": 0, "notsent_bytes": 5000, "probes": 0, "last_ack_recv_ms": 100}


@pytest.mark.parametrize(
    ("info", "fields", "verdict"),
    [
        (CLOSED, {}, "zero-window"),
        (CLOSED | {"snd_wnd_bytes": None}, {"timer": "persist"}, "zero-window"),
        (CLOSED | {"snd_wnd_bytes": 10}, {"timer": "persist"}, "zero-window"),
        (CLOSED | {"probes": None, "last_ack_recv_ms": None}, {}, "zero-window"),
        (CLOSED | {"probes": limits.TIMEOUTS_IN_A_ROW}, {}, "dead-peer"),
        (CLOSED | {"probes": limits.TIMEOUTS_IN_A_ROW, "last_ack_recv_ms": None}, {}, "dead-peer"),
        # Silent for twice the time between two probes.
        (CLOSED | {"rto_us": 300_000, "backoff": 1, "last_ack_recv_ms": 1201}, {}, "dead-peer"),
        (CLOSED | {"rto_us": 300_000, "backoff": 1, "last_ack_recv_ms": 1199}, {}, "zero-window"),
        (CLOSED | {"snd_wnd_bytes": None}, {}, UNCLEAR),
        (CLOSED | {"notsent_bytes": 0}, {}, "idle"),
    ],
)
def test_windows(info: dict[str, Any], fields: dict[str, Any], verdict: str) -> None:
    found = still(info=info, **fields)
    assert found.verdict == verdict
    known = info["last_ack_recv_ms"] is not None
    assert ("the peer answers" in text(found)) is (verdict == "zero-window" and known)
    assert ("no answer to the last probes" in text(found)) is (verdict == "dead-peer" and known)


@pytest.mark.parametrize(
    ("queues", "verdict"), [([100, 50], "slow-reader"), ([100], "zero-window")]
)
def test_the_other_end_shows_whether_it_reads(queues: list[int], verdict: str) -> None:
    other = readings({}, sock_fields={"receive_queue_bytes": queues}, samples=4)
    quiet = {"acked_bytes": 1000, "received_bytes": 1000, "unacked_packets": 0}
    assert judged(readings(quiet | CLOSED), other).verdict == verdict


def test_a_window_that_opened_during_the_samples_is_no_stall() -> None:
    assert still(info=CLOSED, rise={"acked_bytes": 9000}).verdict != "zero-window"


# -- probes without an answer ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("info", "verdict"),
    [
        ({"probes": 1}, "dead-peer"),
        ({"probes": [0] * 200 + [1]}, "idle"),  # for one sample: the answer may be on its way
        ({"probes": [0] * 199 + [1, 1]}, "idle"),
        ({"probes": [0] * 200 + [limits.TIMEOUTS_IN_A_ROW]}, "dead-peer"),
        ({"probes": [1] * 200 + [0]}, "idle"),  # answered
        ({"probes": 1, "unacked_packets": 1}, UNCLEAR),
        ({"probes": [0] * 180 + [1] * 21, "rtt_us": 10**6}, "idle"),  # within two round trips
        ({"probes": [0] * 180 + [1] * 21, "rtt_us": 1000}, "dead-peer"),
    ],
)
def test_probes(info: dict[str, Any], verdict: str) -> None:
    assert still(info=info).verdict == verdict


def test_more_unanswered_probes_make_it_surer() -> None:
    found = [still(info={"probes": n, "last_ack_recv_ms": 900}) for n in (1, 2, 3, 9)]
    assert [one.confidence for one in found] == [0.7, 0.8, 0.9, 0.95]
    assert "nothing was heard since" in text(found[0])
    found[0] = still(info={"probes": 2}, options={"TCP_KEEPCNT": 9})
    assert "probes 2 of TCP_KEEPCNT 9" in text(found[0])
    assert "last_ack_recv_ms" not in text(found[0])


def test_probes_seen_before_the_kernel_told_nothing_do_not_count() -> None:
    seen = readings({"probes": 1}, samples=3)
    silent = [one._replace(socket=readings({})[0].socket) for one in seen]
    assert judged([*silent[:2], seen[2]]).verdict != "dead-peer"


# -- timeouts ----------------------------------------------------------------------------------

LOST = {
    "ca_state": "loss",
    "retransmits": 3,
    "unacked_packets": 10,
    "lost_packets": 10,
    "snd_mss_bytes": 1000,
    "acked_bytes": 10_001,
    "delivered_packets": 11,  # 1000 bytes a segment
    "notsent_bytes": 500,
}
FULL: dict[str, Any] = {"send_queue_bytes": 10_500}
"""Ten full segments in flight and what is not sent."""
SMALL_BEFORE = {"acked_bytes": 1001}


@pytest.mark.parametrize(
    ("info", "fields", "verdict"),
    [
        ({}, FULL, "no-acks"),
        ({}, {}, "no-acks"),
        ({"retransmits": limits.TIMEOUTS_IN_A_ROW}, FULL, "no-acks"),
        (SMALL_BEFORE, FULL, "mtu-black-hole"),
        (SMALL_BEFORE, {"send_queue_bytes": 1200}, "no-acks"),  # not one that is full-size
        (SMALL_BEFORE, {"send_queue_bytes": 5000}, "no-acks"),  # ten of 450 bytes
        (SMALL_BEFORE, {"send_queue_bytes": None}, "no-acks"),
        (SMALL_BEFORE | {"snd_mss_bytes": None}, FULL, "no-acks"),
        (SMALL_BEFORE | {"acked_bytes": None}, FULL, "no-acks"),
        (SMALL_BEFORE | {"delivered_packets": None}, FULL, "no-acks"),
        # Nothing ever passed: neither is more likely.
        ({"acked_bytes": 1, "delivered_packets": 1, "received_bytes": 0}, FULL, "no-acks"),
        # Small ones come from the peer, so it is there.
        ({"acked_bytes": 1, "delivered_packets": 1, "received_bytes": 60}, FULL, "mtu-black-hole"),
    ],
)
def test_timeouts(info: dict[str, Any], fields: dict[str, Any], verdict: str) -> None:
    found = still(info=LOST | info, **fields)
    assert found.verdict == verdict
    assert "acked_bytes has not moved" in text(found)


@pytest.mark.parametrize(
    ("info", "rise"),
    [
        ({"retransmits": limits.TIMEOUTS_IN_A_ROW - 1}, {}),
        ({"ca_state": "recovery"}, {}),
        ({"ca_state": None}, {}),
        ({"unacked_packets": None}, {}),
        ({}, {"acked_bytes": 5000}),  # it goes on, slowly
    ],
)
def test_timeouts_that_are_no_end(info: dict[str, Any], rise: dict[str, Any]) -> None:
    assert still(info=LOST | info, rise=rise, **FULL).verdict not in ("no-acks", "mtu-black-hole")


def test_acknowledgements_before_the_timeouts_do_not_matter() -> None:
    info = LOST | {"retransmits": [0, 0, 1, 2], "acked_bytes": [1000, 2000, 10_001, 10_001]}
    assert still(info=info, **FULL).verdict == "no-acks"


def test_a_peer_that_still_sends_is_there() -> None:
    found = still(info=LOST, rise={"received_bytes": 700}, **FULL)
    assert found.verdict == "mtu-black-hole"
    assert "700 bytes came from the peer meanwhile" in text(found)


def test_when_a_dead_peer_was_heard_last() -> None:
    assert "last_ack_recv_ms 4 s" in text(still(info=LOST | {"last_ack_recv_ms": 4000}, **FULL))


# -- silence -----------------------------------------------------------------------------------


def test_idle() -> None:
    found = still(info={"last_data_sent_ms": 9000, "last_data_recv_ms": 7000})
    assert found.verdict == "idle"
    assert "last data 7 s ago" in text(found)
    assert "last data" not in text(still())


@pytest.mark.parametrize(
    ("more", "verdict"),
    [
        ({"samples": 1}, UNCLEAR),
        ({"info": {"notsent_bytes": 1}}, UNCLEAR),
    ],
)
def test_something_waits_so_it_is_not_idle(more: dict[str, Any], verdict: str) -> None:
    assert still(**more).verdict == verdict
