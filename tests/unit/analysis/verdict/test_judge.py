"""The order of the tests, doubts, notes; and that no reading of any kernel makes it fail."""

from __future__ import annotations

import math
import shlex
from dataclasses import asdict, fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcptool.analysis.verdict.case import Case, Found
from tcptool.analysis.verdict.goal import with_goal
from tcptool.analysis.verdict.judge import FLOWS, STATES, diagnose
from tcptool.catalog import thresholds as limits
from tcptool.catalog.attributes import BbrInfo, SocketMemory
from tcptool.catalog.registry import UNLIMITED, members
from tcptool.catalog.states import CA_STATES, TCP_STATES, TIMERS
from tcptool.catalog.tcp_info import TcpInfo
from tcptool.catalog.verdicts import UNCLEAR, VERDICTS
from tcptool.model.diagnosis import Diagnosis
from tcptool.model.observation import Observation, Reach, Reading
from tcptool.model.sock import Congestion
from tcptool.sansio.assignment import parse_assignment
from tests.unit.analysis.verdict.observations import (
    LIMITS,
    judged,
    observed,
    readings,
    receiver,
    sender,
    sock,
)

BULK: dict[str, Any] = {"notsent_bytes": 500_000, "cwnd_used_percent": 100}
HELD: dict[str, Any] = {
    "notsent_bytes": 100, "segment_bytes": 100, "cwnd_packets": 10, "cwnd_used_percent": 10,
    "snd_wnd_bytes": 65_536,
}  # fmt: skip


# -- the order ---------------------------------------------------------------------------------


def test_every_test_is_asked_once() -> None:
    assert len({*STATES, *FLOWS}) == len(STATES) + len(FLOWS)


def test_a_state_wins_over_a_flow() -> None:
    closed = {"snd_wnd_bytes": 0, "notsent_bytes": 5000}
    assert judged(sender(rwnd_percent=100, mbit=0, info=closed)).verdict == "zero-window"


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        ({**HELD, "held_percent": 60}, {"rwnd_percent": 100}, "nagle"),
        ({"rwnd_percent": 100}, {"sndbuf_percent": 60}, "peer-buffer"),
        ({"sndbuf_percent": 60}, {"app_percent": 100}, "send-buffer"),
        ({"app_percent": 100}, {"retrans_percent": 2}, "application-limited"),
        ({"retrans_percent": 2, "mbit": 1}, {"info": {"snd_ssthresh_packets": UNLIMITED}}, "loss"),
        ({"rtt_ms": 90}, {"retrans_percent": 2}, "bufferbloat"),
    ],
)
def test_the_first_that_fits_wins(
    first: dict[str, Any], second: dict[str, Any], verdict: str
) -> None:
    basis = {"notsent_bytes": 0 if "app" in verdict else 9000}
    assert judged(sender(**basis | first | second)).verdict == verdict


# -- doubts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "load", "doubts"),
    [
        ({}, None, []),
        ({}, limits.BUSY_PERCENT, []),
        ({}, limits.BUSY_PERCENT + 1, ["overloaded"]),
        ({"samples": limits.FEW_SAMPLES, "pace_s": 0.1}, 0, []),
        ({"samples": limits.FEW_SAMPLES - 1, "pace_s": 0.1}, 0, ["only 49 samples"]),
        ({"rtt_ms": 250, "min_rtt_ms": 250}, 0, ["only 16 round trips"]),
        ({"rtt_ms": 0}, 0, []),
        ({"rtt_ms": 1, "min_rtt_ms": 1, "pace_s": 0.004}, 0, ["less than a second"]),
        ({"samples": 10, "rtt_ms": 90, "min_rtt_ms": 90}, 150, ["overloaded", "only 10", "only 2"]),
    ],
)
def test_doubts(end: dict[str, Any], load: float | None, doubts: list[str]) -> None:
    sure = judged(sender(**BULK)).confidence
    found = judged(sender(**BULK | end), load_percent=load)
    assert len(found.notes) == len(doubts)
    for note, doubt in zip(found.notes, doubts, strict=True):
        assert doubt in note
    if found.verdict in ("path-rate", UNCLEAR):
        assert found.confidence == pytest.approx(sure * limits.DOUBT ** len(doubts), abs=0.01)


def test_enough_doubts_make_it_unclear_and_what_is_closest_is_said() -> None:
    found = judged(sender(**BULK, samples=10, rtt_ms=39), load_percent=300)
    assert (found.verdict, found.leaning) == (UNCLEAR, "path-rate")
    assert found.severity == VERDICTS[UNCLEAR].severity
    assert found.confidence < limits.CLEAR
    assert (found.cost, found.advice) == (None, ())


def test_a_state_is_not_doubted() -> None:
    found = judged(readings({}, samples=2, sock_fields={"state": "time-wait"}), load_percent=300)
    assert (found.verdict, found.confidence, found.notes) == ("closed", 0.98, ())


def test_nothing_that_fits_is_unclear_and_leans_nowhere() -> None:
    found = judged(readings({}, samples=1))
    assert (found.verdict, found.leaning, found.confidence) == (UNCLEAR, None, 0.2)
    assert found.evidence == ("1 samples in 0 s", "state established, timer off")
    assert "acknowledged" in " ".join(judged(sender(**BULK, samples=2, mbit=0)).evidence)


# -- notes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "around", "note"),
    [
        ({}, {"ended": True}, "the connection ended after 4 s"),
        ({"info": {"sent_bytes": [9**9, 0, 0, 0, 0]}}, {}, "counters went back to 0"),
        ({"rise": {"total_rto": 3}}, {}, "3 retransmission timeouts"),
        (
            {"info": {"ca_state": ["open"] * 4 + ["loss"], "total_rto": None}},
            {},
            "in the congestion state loss in 19.9 %",
        ),
        (
            {"retrans_percent": 1, "rise": {"total_retrans_packets": 10, "dsack_dups": 4}},
            {},
            "4 of 10 retransmissions were needless",
        ),
        ({"rise": {"delivered_ce_packets": 90}}, {}, "the path marks congestion (ECN)"),
    ],
)
def test_notes(end: dict[str, Any], around: dict[str, Any], note: str) -> None:
    found = judged(sender(**BULK | end), **around)
    assert [one for one in found.notes if note in one], found.notes
    assert not [one for one in judged(sender(**BULK)).notes if note in one]


@pytest.mark.parametrize(
    "end",
    [
        {"info": {"ca_state": ["open"] * 40 + ["loss"], "total_rto": None}},
        {"info": {"ca_state": None, "total_rto": None}},
        {"rise": {"total_retrans_packets": 10, "dsack_dups": 9}},  # few
        {"retrans_percent": 1, "rise": {"total_retrans_packets": 10, "dsack_dups": 3}},
        {"retrans_percent": 1, "info": {"dsack_dups": None}},
        {"info": {"delivered_ce_packets": None}},
    ],
)
def test_nothing_to_note(end: dict[str, Any]) -> None:
    assert judged(sender(**BULK | end)).notes == ()


# -- what it is not ----------------------------------------------------------------------------


def test_the_usual_suspects_are_named() -> None:
    assert judged(sender(**BULK)).not_this == (
        "rwnd_limited 0 %",
        "sndbuf_limited 0 %",
        "app_limited 0 %",
        "retransmitted 0 %",
    )


@pytest.mark.parametrize(
    ("end", "gone"),
    [
        ({"rwnd_percent": 100}, "rwnd_limited"),
        ({"sndbuf_percent": 100}, "sndbuf_limited"),
        ({"app_percent": 100, "notsent_bytes": 0}, "app_limited"),
        ({"retrans_percent": 1, "mbit": 1}, "retransmitted"),
        ({"info": {"busy_time_us": None}}, "rwnd_limited"),
    ],
)
def test_what_it_is_is_not_excluded(end: dict[str, Any], gone: str) -> None:
    assert not [one for one in judged(sender(**BULK | end)).not_this if one.startswith(gone)]


def test_a_receiver_has_no_usual_suspects() -> None:
    assert judged(receiver()).not_this == ()


def test_what_is_half_suspected_is_still_not_excluded_when_it_is_unclear() -> None:
    found = judged(sender(**BULK | {"rwnd_percent": 60, "samples": 20}), load_percent=300)
    assert (found.verdict, found.leaning) == (UNCLEAR, "peer-buffer")
    assert not [one for one in found.not_this if one.startswith("rwnd")]


# -- who it was --------------------------------------------------------------------------------


BLUE = Reach(handle="42:9", netns="blue")


def test_identity_comes_from_the_last_reading() -> None:
    found = judged(sender(**BULK), receiver(), reach=BLUE, ended=True)
    assert (found.handle, found.other_handle, found.ended) == ("42:9", "43:4", True)
    assert (found.congestion, found.side, found.cookie) == ("cubic", "sender", "1001")
    assert found.again == "tcptool diagnose 42:9 --netns blue"
    assert found.goal is None
    bare = judged(readings({}, sock_fields={"state": "time-wait"}))
    assert (bare.congestion, bare.side, bare.again) == (None, None, "tcptool diagnose 42:9")


def test_what_is_over_cannot_be_diagnosed_again() -> None:
    assert judged(sender(**BULK), live=False).again is None


def test_the_handshake_is_left_out_of_a_connection_s_numbers() -> None:
    waiting = readings(
        {"rtt_us": 0, "acked_bytes": 0}, samples=3, sock_fields={"state": "syn-sent"}
    )
    moving = [Reading(one.at_s + 3, one.socket) for one in sender(**BULK)]
    found = judged([*waiting, *moving])
    assert (found.verdict, found.measures.samples) == ("path-rate", len(moving))


def test_an_old_kernel_is_judged_by_what_it_tells() -> None:
    """104 bytes of tcp_info: no queue, no clocks, no delivery; loss and round trips are there."""
    young = {"snd_cwnd_packets": [10, 20, 40], "snd_ssthresh_packets": UNLIMITED}
    assert judged(sender(**BULK, info_bytes=104)).verdict == "path-rate"
    assert judged(sender(**BULK, info_bytes=104, info=young)).verdict == "slow-start"
    lost = {"ca_state": "loss", "retransmits": 3}
    assert judged(sender(**BULK, info_bytes=104, info=lost)).verdict == "no-acks"


def test_a_socket_without_tcp_info() -> None:
    bare = [Reading(i / 50, sock(tcp_info=None)) for i in range(100)]
    found = judged(bare)
    assert (found.verdict, found.measures.samples) == (UNCLEAR, 0)


# -- nothing makes it fail ---------------------------------------------------------------------

_HUGE = (0, 1, 2, 1448, 2**16 - 1, 2**31 - 1, 2**32 - 1, 2**63, 2**64 - 1)
_NUMBERS = st.none() | st.sampled_from(_HUGE) | st.integers(0, 10**7)
_WORDS = {
    "ca_state": st.none() | st.sampled_from([*(m.word for m in CA_STATES.values()), "unknown-9"]),
    "state": st.none(),
    "options": st.none() | st.sampled_from([(), ("timestamps",)]),
    "fastopen_client_fail": st.none(),
    "accecn_raw": st.none(),
    "delivery_rate_app_limited": st.none() | st.sampled_from([0, 1]),
}


def _field(name: str) -> st.SearchStrategy[Any]:
    if name in _WORDS:
        return _WORDS[name]
    limited = members(TcpInfo)[name].unlimited is not None
    return _NUMBERS | st.just(UNLIMITED) if limited else _NUMBERS


_FIELDS = {f.name: _field(f.name) for f in fields(TcpInfo)}
_SCALE = st.none() | st.integers(0, 15)
_FIELDS |= {"snd_wscale": _SCALE, "rcv_wscale": _SCALE}  # four bits
_MEMORY = st.builds(SocketMemory, **{f.name: _NUMBERS for f in fields(SocketMemory)})
_CONGESTION = st.builds(
    Congestion,
    name=st.none() | st.sampled_from(["cubic", "bbr", "", "\x1b[31m"]),
    bbr=st.none() | st.builds(BbrInfo, pacing_gain=_NUMBERS),
)


@st.composite
def _infos(draw: st.DrawFn) -> TcpInfo:
    """Of a kernel that knows the first fields only, with any of them absent or odd."""
    odd = draw(st.dictionaries(st.sampled_from(sorted(_FIELDS)), st.none(), max_size=12))
    made = {name: draw(_FIELDS[name]) for name in odd}
    others = dict.fromkeys(_FIELDS.keys() - _WORDS, draw(st.sampled_from([None, 0, 1, 5000])))
    return TcpInfo(**others | made)


@st.composite
def _ends(draw: st.DrawFn, most: int = 5) -> list[Reading]:
    state = st.sampled_from([m.word for m in TCP_STATES.values()])
    steps = draw(st.lists(st.floats(0, 2), max_size=most, min_size=1))
    same = draw(st.booleans())  # a connection whose fields do not change, and one that is all odd
    one = draw(_infos())
    at_s, made = 0.0, []
    first = draw(state)
    for step in steps:
        at_s += step
        info = draw(st.none() | st.just(one) if same else st.none() | _infos())
        fields_of = {
            "tcp_info": info,
            "timer": draw(st.sampled_from([m.word for m in TIMERS.values()])),
            "timer_expires_ms": draw(_NUMBERS),
            "timer_retransmits": draw(st.integers(0, 255)),
            "receive_queue_bytes": draw(_NUMBERS),
            "send_queue_bytes": draw(_NUMBERS),
            "accept_queue": draw(_NUMBERS),
            "backlog": draw(_NUMBERS),
            "memory": draw(st.none() | _MEMORY),
            "congestion": draw(st.none() | _CONGESTION),
        }
        made.append(Reading(at_s, sock(first if same else draw(state), **fields_of)))
    return made


_OPTIONS = st.none() | st.dictionaries(
    st.sampled_from(
        [
            "TCP_NODELAY",
            "TCP_CORK",
            "SO_BUF_LOCK",
            "SO_KEEPALIVE",
            "TCP_KEEPCNT",
            "TCP_USER_TIMEOUT",
        ]
    ),
    st.sampled_from([True, False, 0, 1, 30_000, (), ("send",), ("send", "receive"), "odd"]),
)


_REACHES = st.builds(
    Reach,
    handle=st.sampled_from(["42:9", "sk:1001"]),
    netns=st.sampled_from([None, "blue", "a name; with 'quotes'"]),
    held=st.booleans(),
    permitted=st.booleans(),
)


@st.composite
def _observations(draw: st.DrawFn) -> Observation:
    kept = draw(st.sets(st.sampled_from(sorted(LIMITS))))
    return observed(
        draw(_ends()),
        draw(st.just([]) | _ends(2)),
        options=draw(_OPTIONS),
        sysctls={name: draw(st.sampled_from([0, 1, 2**31 - 1, LIMITS[name]])) for name in kept},
        controls=draw(st.sampled_from([(), ("cubic",), ("bbr", "cubic")])),
        load_percent=draw(st.none() | st.floats(0, 1e6)),
        reach=draw(_REACHES),
        other_reach=draw(st.none() | _REACHES),
        live=draw(st.booleans()),
        ended=draw(st.booleans()),
    )


def check(found: Diagnosis) -> None:
    assert found.verdict in VERDICTS
    assert 0 <= found.confidence <= 1
    assert (found.verdict == UNCLEAR) is (found.confidence < limits.CLEAR)
    assert found.leaning is None or found.verdict == UNCLEAR
    assert found.evidence
    for name, value in asdict(found.measures).items():
        assert not isinstance(value, float) or math.isfinite(value), name
    for one in found.advice:
        words = shlex.split(one.command or "")
        if "tcptool" in words:
            values = [word for word in words if "=" in word]
            assert values
            for word in values:
                parse_assignment(word)


@given(_observations(), st.none() | st.sampled_from([1, 10**6, 2**63]))
def test_any_observation_has_a_diagnosis(seen: Observation, wanted: int | None) -> None:
    found = with_goal(diagnose(seen), seen, wanted)
    check(found)
    assert found.goal is None or found.goal.rate_bytes_per_s == wanted


@given(st.sampled_from([*STATES, *FLOWS]), _observations())
def test_any_test_alone_has_an_answer(test: Any, seen: Observation) -> None:
    """Also the tests that another one usually answers before."""
    from tcptool.analysis.verdict.case import open_case

    found = test(open_case(seen))
    assert isinstance(found, Found | None)
    if found is not None:
        assert found.verdict in VERDICTS
        assert 0 <= found.confidence <= 1


def test_a_case_without_options_or_limits_answers_none() -> None:
    from tcptool.analysis.verdict.case import open_case

    case: Case = open_case(observed(sender(samples=2), sysctls={}))
    assert (case.option("TCP_NODELAY"), case.limit("net.ipv4.tcp_wmem[2]")) == (None, None)
