"""decode_tcp_info: replies of any length and age."""

from __future__ import annotations

import dataclasses
import struct
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcptool.catalog.registry import UNLIMITED, members
from tcptool.catalog.states import LISTEN
from tcptool.catalog.tcp_info import SIZE_BYTES, TcpInfo
from tcptool.decode.structure import places
from tcptool.decode.tcp_info import decode_accecn, decode_tcp_info, unknown_tail
from tcptool.model.sock import AccEcn
from tests.support.fake_kernel import tcp_info_bytes

#                      state ca  rexmit probes backoff opts wscales bits  rto = 0x31ce0 = 204000
REPLY = bytes.fromhex("01    00  00     00     00      07   7a      01    e01c0300")

# facts of each kernel's reply: its length and the first field that it lacks.
LENGTHS = {
    104: "pacing_rate_bytes_per_s",
    120: "acked_bytes",
    136: "segs_out",
    144: "notsent_bytes",
    160: "delivery_rate_bytes_per_s",
    168: "busy_time_us",
    192: "delivered_packets",
    200: "sent_bytes",
    224: "rcv_ooopack_packets",
    232: "rcv_wnd_bytes",
    240: "total_rto",
    248: "received_ce_packets",
    280: None,
    400: None,
}
NAMES = list(members(TcpInfo))
FULL = tcp_info_bytes(**dict.fromkeys(NAMES, 1))


def known(info: TcpInfo) -> list[str]:
    return [name for name in NAMES if getattr(info, name) is not None]


@pytest.mark.skipif(sys.byteorder != "little", reason="the reply is a little-endian one")
def test_window_scales_come_from_the_right_half_of_the_byte() -> None:
    info = decode_tcp_info(REPLY)
    assert (info.snd_wscale, info.rcv_wscale) == (10, 7)
    assert (info.state, info.options) == ("established", ("timestamps", "sack", "wscale"))
    assert info.rto_us == 204_000


@pytest.mark.skipif(sys.byteorder != "little", reason="the bytes are little-endian ones")
@pytest.mark.parametrize(
    ("byte", "app_limited", "failure"),
    [(0, 0, "none"), (1, 1, "none"), (2, 0, "cookie-unavailable"), (7, 1, "syn-retransmitted")],
)
def test_two_fields_share_the_seventh_byte(byte: int, app_limited: int, failure: str) -> None:
    info = decode_tcp_info(bytes(7) + bytes([byte]))
    assert (info.delivery_rate_app_limited, info.fastopen_client_fail) == (app_limited, failure)


@pytest.mark.parametrize("length", LENGTHS)
def test_the_length_of_the_reply_says_which_fields_exist(length: int) -> None:
    first_lacking = LENGTHS[length]
    expected = NAMES if first_lacking is None else NAMES[: NAMES.index(first_lacking)]
    assert known(decode_tcp_info(FULL.ljust(length, b"\1")[:length])) == expected


@pytest.mark.parametrize("name", NAMES)
def test_a_field_cut_off_is_absent_not_zero(name: str) -> None:
    end = places(TcpInfo)[name].end
    assert getattr(decode_tcp_info(FULL[:end]), name) is not None
    assert getattr(decode_tcp_info(FULL[: end - 1]), name) is None


def test_a_zero_that_the_kernel_sent_stays_zero() -> None:
    info = decode_tcp_info(bytes(SIZE_BYTES))
    assert (info.retransmits, info.snd_cwnd_packets, info.sent_bytes, info.total_rto) == (
        0,
        0,
        0,
        0,
    )


@given(st.binary(max_size=600))
def test_no_reply_makes_the_decoder_fail(raw: bytes) -> None:
    info = decode_tcp_info(raw)
    assert unknown_tail(raw) == (raw[280:].hex() or None)
    if not raw:
        assert info == TcpInfo()


@pytest.mark.parametrize(
    ("name", "raw", "shown"),
    [
        ("snd_ssthresh_packets", 0x7FFF_FFFF, UNLIMITED),
        ("snd_ssthresh_packets", 0x7FFF_FFFE, 0x7FFF_FFFE),
        ("pacing_rate_bytes_per_s", 2**64 - 1, UNLIMITED),
        ("max_pacing_rate_bytes_per_s", 2**64 - 1, UNLIMITED),
        ("max_pacing_rate_bytes_per_s", 0, 0),
        ("min_rtt_us", 0xFFFF_FFFF, None),
        ("min_rtt_us", 0, 0),
        ("rtt_us", 0, None),
        ("rcv_rtt_us", 0, None),
        ("delivery_rate_bytes_per_s", 0, None),
        ("ca_state", 4, "loss"),
        ("ca_state", 9, "unknown-9"),
        ("state", 14, "unknown-14"),
    ],
)
def test_a_sentinel_is_decoded_to_its_name(name: str, raw: int, shown: object) -> None:
    assert getattr(decode_tcp_info(tcp_info_bytes(**{name: raw})), name) == shown


@pytest.mark.parametrize(
    ("name", "counter"),
    [
        ("last_data_sent_ms", "data_segs_out"),
        ("last_data_recv_ms", "data_segs_in"),
        ("last_ack_recv_ms", "segs_in"),
    ],
)
def test_a_time_since_something_that_never_happened_is_absent(name: str, counter: str) -> None:
    nonsense = 760_948  # uptime minus 300 s
    never = tcp_info_bytes(**{name: nonsense, counter: 0})
    once = tcp_info_bytes(**{name: nonsense, counter: 1})
    assert getattr(decode_tcp_info(never), name) is None
    assert getattr(decode_tcp_info(once), name) == nonsense
    # Too old a kernel to have the counter: the value is all there is.
    assert getattr(decode_tcp_info(never[:104]), name) == nonsense


def test_a_listener_has_only_what_the_kernel_fills() -> None:
    info = decode_tcp_info(tcp_info_bytes(**dict.fromkeys(NAMES, 1) | {"state": LISTEN}))
    assert known(info) == ["state", "pacing_rate_bytes_per_s", "max_pacing_rate_bytes_per_s"]
    assert info.state == "listen"


def test_what_a_newer_kernel_adds_is_kept_as_hex() -> None:
    assert unknown_tail(FULL + b"\xab\xcd") == "abcd"
    assert unknown_tail(FULL) is None
    assert unknown_tail(b"") is None


def accecn(first: int, second: int, release: str) -> AccEcn | None:
    raw = tcp_info_bytes()[:276] + struct.pack("=HH", first, second)
    return decode_accecn(decode_tcp_info(raw).accecn_raw, release)


@pytest.mark.parametrize("release", ["6.18.44", "6.18.0-rc1", "6.19", "6.18-custom"])
def test_accecn_of_6_18_is_two_numbers(release: str) -> None:
    assert accecn(3, 2, release) == AccEcn(fail_mode=3, opt_seen=2, ecn_mode=None)


@pytest.mark.skipif(sys.byteorder != "little", reason="bit fields lie the other way round")
@pytest.mark.parametrize("release", ["7.0.0", "7.1-rc3", "10.2"])
def test_accecn_of_7_0_is_bit_fields(release: str) -> None:
    packed = 2 | 1 << 2 | 9 << 4  # ecn_mode:2, opt_seen:2, fail_mode:4
    assert accecn(packed, 0, release) == AccEcn(fail_mode=9, opt_seen=1, ecn_mode=2)


@pytest.mark.parametrize("release", ["", "linux", "7", "v7.0"])
def test_accecn_of_an_unknown_release_is_not_guessed(release: str) -> None:
    assert accecn(3, 2, release) is None


def test_accecn_that_was_not_sent_is_absent() -> None:
    assert decode_accecn(decode_tcp_info(FULL[:248]).accecn_raw, "6.18.44") is None


def test_a_record_can_be_packed_again() -> None:
    shown = {
        name: value
        for name, value in dataclasses.asdict(decode_tcp_info(FULL)).items()
        if value is not None
    }
    assert tcp_info_bytes(**shown) == FULL
