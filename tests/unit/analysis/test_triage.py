"""Which of many sockets deserve more than a look."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcptool.analysis.triage import SUSPECT, Look, activity, score
from tcptool.catalog import thresholds as limits
from tcptool.catalog.listeners import NEAR_FULL_PERCENT
from tcptool.catalog.states import TCP_STATES, TIMERS

WELL: dict[str, Any] = dict.fromkeys(Look._fields) | {
    "state": "established",
    "last_data_sent_ms": 5,
    "last_data_recv_ms": 5,
}
BUSY = {"busy_time_us": 1000, "rwnd_limited_us": 0, "sndbuf_limited_us": 0}
BACKLOG = {"state": "listen", "backlog": 100}


def look(**fields: Any) -> Look:
    return Look(**WELL | fields)


SUSPECTS: list[dict[str, Any]] = [
    {"state": "listen", "accept_queue": 3, "backlog": 2},
    BACKLOG | {"accept_queue": round(NEAR_FULL_PERCENT) + 1},
    {"state": "syn-sent", "retransmits": 1},
    {"state": "syn-sent"},
    {"state": "syn-recv", "timer_retransmits": 1},
    {"state": "close-wait", "last_data_recv_ms": limits.FORGOTTEN_MS + 1},
    {"state": "close-wait"},
    {"retransmits": 2, "unacked_packets": 1},
    {"timer": "persist"},
    {"snd_wnd_bytes": 0, "notsent_bytes": 1},
    {"probes": 1},
    BUSY | {"rwnd_limited_us": 1000},
    BUSY | {"sndbuf_limited_us": 500},
    {"sent_bytes": 1000, "retrans_bytes": 100},
    {"receive_queue_bytes": 1},
    {"rtt_us": 80_000, "min_rtt_us": 10_000, "notsent_bytes": 9},
]
WELL_ENOUGH: list[dict[str, Any]] = [
    {},
    {"state": "listen"},
    {"state": "listen", "accept_queue": 3},
    BACKLOG | {"accept_queue": 0},
    BACKLOG | {"accept_queue": round(NEAR_FULL_PERCENT)},
    {"state": "time-wait", "timer": "time-wait", "receive_queue_bytes": 1},
    {"receive_queue_bytes": 1, "last_data_sent_ms": 10**6, "last_data_recv_ms": 10**6},
    {"retransmits": 2},  # answered since
    {"snd_wnd_bytes": 0},  # and nothing to send
    BUSY,
    {"sent_bytes": 10**6, "retrans_bytes": 100},
    {"rtt_us": 30_000, "min_rtt_us": 29_000},
    {
        "last_data_sent_ms": 10**6,
        "last_data_recv_ms": 10**6,
        "busy_time_us": 9,
        "rwnd_limited_us": 9,
    },
    {"last_data_sent_ms": None, "last_data_recv_ms": None},
]


@pytest.mark.parametrize("fields", SUSPECTS, ids=str)
def test_signs_of_trouble(fields: dict[str, Any]) -> None:
    assert score(look(**fields)) >= SUSPECT


@pytest.mark.parametrize("fields", WELL_ENOUGH, ids=str)
def test_no_sign_of_trouble(fields: dict[str, Any]) -> None:
    assert score(look(**fields)) < SUSPECT


@pytest.mark.parametrize(
    ("worse", "milder"),
    [
        ({"state": "syn-sent", "retransmits": 3}, {"state": "syn-sent"}),
        ({"retransmits": 4, "unacked_packets": 1}, {"retransmits": 2, "unacked_packets": 1}),
        (
            {"state": "close-wait", "last_data_recv_ms": limits.FORGOTTEN_MS + 1},
            {"state": "close-wait", "last_data_recv_ms": limits.FORGOTTEN_MS},
        ),
        (
            {"state": "close-wait", "last_data_recv_ms": limits.FORGOTTEN_MS + 1},
            {"state": "close-wait", "last_data_recv_ms": 10**6, "send_queue_bytes": 1},
        ),
        ({"timer": "persist"}, BUSY | {"rwnd_limited_us": 1000}),
        (BUSY | {"rwnd_limited_us": 900}, BUSY | {"rwnd_limited_us": 100}),
        ({"notsent_bytes": 1}, {}),
        ({}, {"last_data_sent_ms": 5000, "last_data_recv_ms": 5000}),
        # A queue that nobody empties matters although the connection is silent.
        (
            {"last_data_sent_ms": 10**6, "last_data_recv_ms": 10**6, "send_queue_bytes": 1,
             "notsent_bytes": 1},
            {"last_data_sent_ms": 10**6, "last_data_recv_ms": 10**6},
        ),
    ],
)  # fmt: skip
def test_the_worse_one_is_looked_at(worse: dict[str, Any], milder: dict[str, Any]) -> None:
    assert score(look(**worse)) > score(look(**milder))


_NUMBERS = st.none() | st.sampled_from([0, 1, 2**32 - 1, 2**64 - 1]) | st.integers(0, 10**9)
_LOOKS = st.builds(
    Look,
    **dict.fromkeys(Look._fields, _NUMBERS)
    | {
        "state": st.sampled_from([meaning.word for meaning in TCP_STATES.values()]),
        "timer": st.none() | st.sampled_from([meaning.word for meaning in TIMERS.values()]),
    },
)


@given(_LOOKS)
def test_any_row_has_a_score_and_an_activity(row: Look) -> None:
    assert 0 <= score(row) <= 100
    assert activity(row) >= 0


def test_activity_is_what_was_carried_both_ways() -> None:
    assert activity(look(acked_bytes=5, received_bytes=7)) == 12
    assert activity(look(received_bytes=7)) == 7
