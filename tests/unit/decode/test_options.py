"""decode_option against hand-made answers of the kernel."""

from __future__ import annotations

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcptool.catalog.options import BY_NAME, OPTIONS, Codec, OptionValue, SocketOption
from tcptool.decode.options import MEMINFO_KEYS, decode_option


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
