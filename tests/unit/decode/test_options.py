"""decode_option against hand-made answers of the kernel."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcptool.catalog.options import BACKLOG, BY_NAME, OPTIONS, Codec, OptionValue, SocketOption
from tcptool.decode.options import MEMINFO_KEYS, decode_option, encode_option


def i32(*numbers: int) -> bytes:
    return struct.pack(f"={len(numbers)}i", *numbers)


def u32(number: int) -> bytes:
    return struct.pack("=I", number)


def u64(number: int) -> bytes:
    return struct.pack("=Q", number)


@pytest.mark.parametrize(
    ("name", "raw", "value"),
    [
        ("TCP_NODELAY", i32(0), False),
        ("TCP_NODELAY", i32(1), True),
        ("SO_REUSEADDR", i32(2), True),  # while TCP_REPAIR is on
        ("TCP_KEEPIDLE", i32(7200), 7200),
        ("SO_PRIORITY", i32(-1), -1),
        ("TCP_LINGER2", i32(-1), "none"),
        ("TCP_LINGER2", i32(60), 60),
        ("SO_INCOMING_CPU", i32(-1), "none"),
        ("SO_INCOMING_CPU", i32(3), 3),
        ("SO_PEEK_OFF", i32(-1), "off"),
        ("SO_MARK", u32(0xFFFFFFFF), 4294967295),
        ("TCP_NOTSENT_LOWAT", u32(4294967295), "unlimited"),
        ("TCP_NOTSENT_LOWAT", u32(0), 0),
        ("SO_MAX_PACING_RATE", u64((1 << 64) - 1), "unlimited"),
        ("SO_MAX_PACING_RATE", u64(2_500_000), 2_500_000),
        ("SO_MAX_PACING_RATE", u64(0), 0),
        ("SO_COOKIE", u64(0x20_0000_0000_0001), "0x20000000000001"),
        ("SO_NETNS_COOKIE", u64(1), "0x1"),
        ("SO_DOMAIN", i32(2), "ipv4"),
        ("SO_DOMAIN", i32(10), "ipv6"),
        ("SO_TYPE", i32(1), "stream"),
        ("SO_PROTOCOL", i32(262), "mptcp"),
        ("SO_PROTOCOL", i32(33), "unknown-33"),
        ("IP_MTU_DISCOVER", i32(1), "want"),
        ("IP_MTU_DISCOVER", i32(-1), "unknown--1"),
        ("SO_BUF_LOCK", i32(0), ()),
        ("SO_BUF_LOCK", i32(3), ("send", "receive")),
        ("SO_BUF_LOCK", i32(6), ("receive", "unknown-4")),
        ("SO_TIMESTAMPING", i32(0x18), ("rx-software", "software")),
        ("TCP_CONGESTION", b"bbr".ljust(16, b"\0"), "bbr"),
        ("TCP_CONGESTION", b"a" * 16, "a" * 16),
        ("TCP_CONGESTION", b"reno\0cubic", "reno"),
        ("SO_BINDTODEVICE", b"eth\xff\0", "eth\\xff"),
        ("SO_BINDTODEVICE", b"", ""),
        ("IP_TOS", i32(0xB8), 184),
        ("IP_TTL", i32(64), 64),
        ("SO_LINGER", i32(1, 7), {"enabled": True, "seconds": 7}),
        ("SO_LINGER", i32(0, 0), {"enabled": False, "seconds": 0}),
        ("SO_RCVTIMEO", struct.pack("=qq", 0, 0), "unlimited"),
        ("SO_RCVTIMEO", struct.pack("=qq", 2, 4000), 2_004_000),
        ("IP_LOCAL_PORT_RANGE", u32(40000 | 50000 << 16), {"lowest": 40000, "highest": 50000}),
        (
            "SO_MEMINFO",
            struct.pack("=9I", *range(9)),
            dict(zip(MEMINFO_KEYS, range(9), strict=True)),
        ),
        ("SO_TXTIME", i32(1, 2), {"clock": "monotonic", "flags": ("report-errors",)}),
        ("SO_TXTIME", i32(99, 0), {"clock": "unknown-99", "flags": ()}),
        ("IP_OPTIONS", b"\x01\x01\x01\x00", "hex:01010100"),
        ("IP_OPTIONS", b"", "hex:"),
    ],
)
def test_value(name: str, raw: bytes, value: OptionValue) -> None:
    decoded = decode_option(BY_NAME[name], raw)
    assert decoded == value
    assert type(decoded) is type(value)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_an_answer_of_the_wrong_length_is_shown_as_it_came(option: SocketOption) -> None:
    if option.codec is not Codec.STRING:
        assert decode_option(option, b"\x01\x02\x03") == "hex:010203"
        assert decode_option(option, b"") == "hex:"
        assert decode_option(option, b"\xff" * 99) == f"hex:{'ff' * 99}"


@given(option=st.sampled_from(OPTIONS), raw=st.binary(max_size=64))
def test_no_answer_makes_the_decoder_fail(option: SocketOption, raw: bytes) -> None:
    json.dumps(decode_option(option, raw), allow_nan=False)


@given(st.data())
def test_no_answer_of_the_right_length_makes_the_decoder_fail(data: st.DataObject) -> None:
    option = data.draw(st.sampled_from(OPTIONS))
    raw = data.draw(st.binary(min_size=option.size, max_size=option.size))
    json.dumps(decode_option(option, raw), allow_nan=False)


def test_words_appear_for_every_number_the_table_names() -> None:
    for option in OPTIONS:
        for number, meaning in option.words.items():
            if option.codec is Codec.ENUM:
                assert decode_option(option, i32(number)) == meaning.word
            elif option.codec is Codec.FLAGS:
                assert decode_option(option, u32(number)) == (meaning.word,)


CARRIED = [option for option in (*OPTIONS, BACKLOG) if option.settable]
STRUCTURES = (Codec.ID, Codec.MEMINFO, Codec.TXTIME, Codec.STRUCT)
"""What tcptool only shows."""


@pytest.mark.parametrize(
    ("name", "value", "raw"),
    [
        ("TCP_NODELAY", True, i32(1)),
        ("TCP_NODELAY", False, i32(0)),
        ("SO_SNDBUF", 1 << 20, i32(1 << 20)),
        ("SO_SNDBUF", -1, i32(-1)),
        ("TCP_LINGER2", "none", i32(-1)),
        ("TCP_NOTSENT_LOWAT", "unlimited", u32(0xFFFFFFFF)),
        ("SO_MARK", 0xFFFFFFFF, u32(0xFFFFFFFF)),
        ("SO_MAX_PACING_RATE", "unlimited", u64((1 << 64) - 1)),
        ("SO_MAX_PACING_RATE", 12_500_000, u64(12_500_000)),
        ("IP_MTU_DISCOVER", "probe", i32(3)),
        ("IP_MTU_DISCOVER", "unknown-9", i32(9)),
        ("IP_MTU_DISCOVER", "unknown--1", i32(-1)),
        ("SO_BUF_LOCK", (), u32(0)),
        ("SO_BUF_LOCK", ("send", "receive"), u32(3)),
        ("SO_BUF_LOCK", ("send", "unknown-4"), u32(5)),
        ("TCP_CONGESTION", "bbr", b"bbr\0"),
        ("SO_BINDTODEVICE", "", b"\0"),
        ("IP_TOS", 0xB8, i32(0xB8)),
        ("SO_LINGER", {"enabled": True, "seconds": 7}, i32(1, 7)),
        ("SO_RCVTIMEO", 2_004_000, struct.pack("=qq", 2, 4000)),
        ("SO_RCVTIMEO", "unlimited", struct.pack("=qq", 0, 0)),
        ("IP_LOCAL_PORT_RANGE", {"lowest": 40_000, "highest": 50_000}, u32(40000 | 50000 << 16)),
    ],
)
def test_bytes_of_a_value(name: str, value: OptionValue, raw: bytes) -> None:
    assert encode_option(BY_NAME[name], value) == raw


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TCP_KEEPIDLE", "long"),
        ("TCP_KEEPIDLE", 1 << 31),
        ("TCP_KEEPIDLE", (1,)),
        ("TCP_KEEPIDLE", {"seconds": 1}),
        ("SO_MARK", -1),
        ("SO_MAX_PACING_RATE", 1 << 64),
        ("IP_MTU_DISCOVER", "perhaps"),
        ("IP_MTU_DISCOVER", "unknown-many"),
        ("SO_BUF_LOCK", "send"),
        ("SO_BUF_LOCK", ("sned",)),
        ("SO_LINGER", True),
        ("SO_LINGER", {"enabled": True}),
        ("SO_LINGER", {"enabled": True, "seconds": 1 << 31}),
        ("SO_RCVTIMEO", 1 << 90),
        ("IP_LOCAL_PORT_RANGE", 5),
        ("IP_LOCAL_PORT_RANGE", {"lowest": 1}),
        ("IP_LOCAL_PORT_RANGE", {"lowest": "1", "highest": 2}),
        ("IP_LOCAL_PORT_RANGE", {"lowest": 1, "highest": "2"}),
        ("IP_LOCAL_PORT_RANGE", {"lowest": 1, "highest": 1 << 16}),
        ("IP_LOCAL_PORT_RANGE", {"lowest": 1 << 16, "highest": 2}),
        ("SO_COOKIE", "0x1"),
        ("TCP_MD5SIG", "hex:00"),
    ],
)
def test_a_value_that_the_bytes_cannot_carry(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match="is no value of"):
        encode_option(BY_NAME[name], value)


@given(st.data())
def test_what_was_decoded_gives_the_same_bytes_again(data: st.DataObject) -> None:
    option = data.draw(st.sampled_from([o for o in CARRIED if o.codec not in STRUCTURES]))
    value = decode_option(option, data.draw(st.binary(min_size=option.size, max_size=option.size)))
    try:
        raw = encode_option(option, value)
    except ValueError:
        # Only numbers that the kernel never gives: a name that is no text, a time out of range.
        assert option.codec in (Codec.STRING, Codec.TIMEVAL)
        return
    assert decode_option(option, raw) == value
