"""NAME=VALUE: what people write, what it means, and that it can be written back."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcptool.catalog.options import (
    BACKLOG,
    BY_NAME,
    OPTIONS,
    Codec,
    OptionValue,
    SocketOption,
    find_option,
)
from tcptool.catalog.states import word
from tcptool.decode.options import decode_option, encode_option
from tcptool.errors import UsageError
from tcptool.sansio.assignment import (
    accepted,
    parse_assignment,
    parse_option_value,
    split_words,
    value_text,
)

STRUCTURES = frozenset({Codec.ID, Codec.MEMINFO, Codec.TXTIME, Codec.STRUCT})
"""Codecs that no text stands for."""

SETTABLE = [BACKLOG, *(o for o in OPTIONS if o.settable and o.codec not in STRUCTURES)]


def named(option: SocketOption, number: int) -> OptionValue:
    known = option.words.get(number)
    return known.word if known else number


def numbers(lowest: int, highest: int) -> Callable[[SocketOption], st.SearchStrategy[OptionValue]]:
    """Numbers and the words that stand for some of them; those that have a word come up often."""

    def values(option: SocketOption) -> st.SearchStrategy[OptionValue]:
        with_word = [number for number in option.words if lowest <= number <= highest]
        anything = st.integers(lowest, highest)
        chosen = st.sampled_from(with_word) | anything if with_word else anything
        return chosen.map(lambda number: named(option, number))

    return values


def flags(option: SocketOption) -> st.SearchStrategy[OptionValue]:
    return st.integers(0, (1 << 32) - 1).map(
        lambda bits: decode_option(option, bits.to_bytes(4, sys.byteorder))
    )


VALUES: dict[Codec, Callable[[SocketOption], st.SearchStrategy[OptionValue]]] = {
    Codec.BOOLEAN: lambda _: st.booleans(),
    Codec.INT: numbers(-(1 << 31), (1 << 31) - 1),
    Codec.UINT: numbers(0, (1 << 32) - 1),
    Codec.UINT64: numbers(0, (1 << 64) - 1),
    Codec.TIMEVAL: numbers(0, (1 << 31) * 1_000_000 - 1),
    Codec.ENUM: lambda option: st.integers(-(1 << 31), (1 << 31) - 1).map(
        lambda number: word(option.words, number)
    ),
    Codec.FLAGS: flags,
    Codec.STRING: lambda option: st.text(
        st.characters(min_codepoint=32, max_codepoint=126), max_size=option.size - 1
    ).map(str.strip),
    Codec.TOS: lambda _: st.integers(-1, 255),
    Codec.LINGER: lambda _: st.fixed_dictionaries(
        {"enabled": st.booleans(), "seconds": st.integers(0, (1 << 31) - 1)}
    ),
    Codec.PORT_RANGE: lambda _: st.fixed_dictionaries(
        {"lowest": st.integers(0, 65_535), "highest": st.integers(0, 65_535)}
    ),
}
"""For each codec, every value that its bytes carry and that has a text."""


@given(st.data())
def test_a_value_survives_its_text_and_its_bytes(data: st.DataObject) -> None:
    option = data.draw(st.sampled_from(SETTABLE))
    value = data.draw(VALUES[option.codec](option))
    again = parse_option_value(option, value_text(option, value))
    assert again == value
    assert type(again) is type(value)
    assert decode_option(option, encode_option(option, value)) == value


@pytest.mark.parametrize("option", SETTABLE, ids=lambda option: option.name)
def test_every_word_and_both_ends_of_a_range_survive(option: SocketOption) -> None:
    ends = {option.minimum, option.maximum, *option.also, *option.words} - {None}
    if option.codec in (Codec.BOOLEAN, Codec.FLAGS):
        ends = set()  # they are written as words
    for number in ends:
        value = parse_option_value(option, str(number))
        assert parse_option_value(option, value_text(option, value)) == value
    for number, meaning in option.words.items():
        value = parse_option_value(option, meaning.word)
        assert value == ((meaning.word,) if option.codec is Codec.FLAGS else meaning.word)
        raw = encode_option(option, value)
        assert decode_option(option, raw) == value
        assert parse_option_value(option, value_text(option, value)) == value, number


@given(st.text())
def test_no_text_is_worse_than_a_usage_error(text: str) -> None:
    with contextlib.suppress(UsageError):
        parse_assignment(text)


@given(st.data())
def test_no_value_is_worse_than_a_usage_error(data: st.DataObject) -> None:
    option = data.draw(st.sampled_from([*OPTIONS, BACKLOG]))
    like_values = st.text("0123456789-+.:,xkKmMs%/ onfeua", max_size=30)
    text = data.draw(like_values | st.text(max_size=20))
    with contextlib.suppress(UsageError):
        encode_option(option, parse_assignment(f"{option.name}={text}").value)


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("TCP_NODELAY=1", "TCP_NODELAY", True),
        ("nodelay=ON", "TCP_NODELAY", True),
        ("tcp-nodelay=no", "TCP_NODELAY", False),
        ("Nodelay=false", "TCP_NODELAY", False),
        ("SO_SNDBUF=1M", "SO_SNDBUF", 1 << 20),
        ("sndbuf=64k", "SO_SNDBUF", 65_536),
        ("sndbuf= 4096 ", "SO_SNDBUF", 4096),
        ("sndbuf=0x1000", "SO_SNDBUF", 4096),
        ("sndbuf=-1", "SO_SNDBUF", -1),
        ("TCP_USER_TIMEOUT=30s", "TCP_USER_TIMEOUT", 30_000),
        ("user_timeout=250", "TCP_USER_TIMEOUT", 250),
        ("keepidle=2m", "TCP_KEEPIDLE", 120),
        ("TCP_RTO_MIN_US=20ms", "TCP_RTO_MIN_US", 20_000),
        ("TCP_CONGESTION=bbr", "TCP_CONGESTION", "bbr"),
        ("SO_BINDTODEVICE=", "SO_BINDTODEVICE", ""),
        ("SO_LINGER=on:5s", "SO_LINGER", {"enabled": True, "seconds": 5}),
        ("SO_LINGER=ON:2m", "SO_LINGER", {"enabled": True, "seconds": 120}),
        ("SO_LINGER=0", "SO_LINGER", {"enabled": False, "seconds": 0}),
        ("SO_RCVTIMEO=20000", "SO_RCVTIMEO", 20_000),
        ("SO_LINGER=off", "SO_LINGER", {"enabled": False, "seconds": 0}),
        ("SO_LINGER=off:3s", "SO_LINGER", {"enabled": False, "seconds": 3}),
        ("IP_TOS=ef", "IP_TOS", 0xB8),
        ("tos=AF41", "IP_TOS", 0x88),
        ("tos=dscp-2", "IP_TOS", 8),
        ("tos=0xb9", "IP_TOS", 0xB9),
        ("tos=-1", "IP_TOS", -1),
        ("SO_MAX_PACING_RATE=100mbit", "SO_MAX_PACING_RATE", 12_500_000),
        ("max_pacing_rate=1250000", "SO_MAX_PACING_RATE", 1_250_000),
        ("max_pacing_rate=unlimited", "SO_MAX_PACING_RATE", "unlimited"),
        (f"max_pacing_rate={(1 << 64) - 1}", "SO_MAX_PACING_RATE", "unlimited"),
        ("SO_BUF_LOCK=none", "SO_BUF_LOCK", ()),
        ("SO_BUF_LOCK=send, Receive", "SO_BUF_LOCK", ("send", "receive")),
        ("SO_BUF_LOCK=3", "SO_BUF_LOCK", ("send", "receive")),
        ("SO_BUF_LOCK=6", "SO_BUF_LOCK", ("receive", "unknown-4")),
        ("SO_BUF_LOCK=send,unknown-4", "SO_BUF_LOCK", ("send", "unknown-4")),
        ("IP_MTU_DISCOVER=probe", "IP_MTU_DISCOVER", "probe"),
        ("mtu_discover=3", "IP_MTU_DISCOVER", "probe"),
        ("mtu_discover=unknown-9", "IP_MTU_DISCOVER", "unknown-9"),
        ("mtu_discover=-2", "IP_MTU_DISCOVER", "unknown--2"),
        ("SO_RCVTIMEO=200ms", "SO_RCVTIMEO", 200_000),
        ("SO_RCVTIMEO=unlimited", "SO_RCVTIMEO", "unlimited"),
        ("SO_RCVTIMEO=0", "SO_RCVTIMEO", "unlimited"),
        ("SO_RCVTIMEO=0s", "SO_RCVTIMEO", "unlimited"),
        (
            "IP_LOCAL_PORT_RANGE=40000-50000",
            "IP_LOCAL_PORT_RANGE",
            {"lowest": 40_000, "highest": 50_000},
        ),
        ("backlog=4096", "backlog", 4096),
        ("BACKLOG=-1", "backlog", -1),
    ],
)
def test_human_forms(text: str, name: str, value: OptionValue) -> None:
    one = parse_assignment(text)
    assert (one.option, one.value, one.text) == (find_option(name), value, text)
    assert type(one.value) is type(value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "NAME=VALUE"),
        ("TCP_NODELAY", "NAME=VALUE"),
        ("=1", "NAME=VALUE"),
        ("NODELAJ=1", "did you mean NODELAY"),
        ("TCP_NODELAJ=1", "did you mean TCP_NODELAY"),
        ("nodelay=2", "1, on, yes, true"),
        ("nodelay=", "1, on, yes, true"),
        ("sndbuf=big", "a size such as"),
        ("sndbuf=4G", "is not between -2147483648 and 2147483647"),
        ("sndbuf=0x", "a size such as"),
        ("keepidle=1500ms", "is not a whole number of s"),
        ("keepcnt=1.5", "is not a whole number"),
        ("keepidle=10furlongs", "a time such as 60s"),
        ("user_timeout=soon", "a time such as 30s"),
        ("max_pacing_rate=-1", "is not between 0 and"),
        ("max_pacing_rate=fast", "a rate such as 100mbit"),
        ("rto_min_us=x", "a time such as 20ms"),
        ("SO_LINGER=on", "off, or on and a time"),
        ("SO_LINGER=on:", "off, or on and a time"),
        ("SO_LINGER=7", "off, or on and a time"),
        ("SO_LINGER=on:1500ms", "off, or on and a time"),
        ("SO_LINGER=maybe", "off, or on and a time"),
        ("SO_LINGER=on:2147483648", "off, or on and a time"),
        ("tos=best", "a DSCP such as ef"),
        ("tos=dscp-64", "six bits"),
        ("tos=256", "is not between -1 and 255"),
        ("SO_BUF_LOCK=sned", "'sned' is none of its words"),
        ("SO_BUF_LOCK=unknown-3", "'unknown-3' is none of its words"),
        ("SO_BUF_LOCK=unknown-4294967296", "is none of its words"),
        ("SO_BUF_LOCK=", "none, send, receive; or a number"),
        ("mtu_discover=perhaps", "dont, want, do, probe, interface, omit or a number"),
        ("SO_RCVTIMEO=5x", "a time such as 200ms, 5s or 20000 (microseconds)"),
        ("SO_RCVTIMEO=2147483648s", "a time such as"),
        ("IP_LOCAL_PORT_RANGE=40000", "two ports as in 40000-50000"),
        ("IP_LOCAL_PORT_RANGE=1-70000", "a port is at most 65535"),
        ("TCP_CONGESTION=bür", "is not a name of at most 15 characters"),
        ("TCP_CONGESTION=0123456789abcdef", "is not a name of at most 15 characters"),
        ("TCP_CONGESTION=a\tb", "is not a name of at most 15 characters"),
        ("TCP_MD5SIG=1", "cannot be written as text"),
        ("SO_TXTIME=1", "cannot be written as text"),
        ("backlog=many", "limited to net.core.somaxconn"),
    ],
)
def test_what_is_refused_says_what_is_accepted(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_assignment(text)
    assert said in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize("option", [*OPTIONS, BACKLOG], ids=lambda option: option.name)
def test_what_is_accepted_is_said_in_words(option: SocketOption) -> None:
    text = accepted(option)
    assert text == text.strip() != ""
    assert "  " not in text
    assert option.range_text in text
    if option.settable and option.codec not in {*STRUCTURES, Codec.STRING}:
        for meaning in option.words.values():
            assert meaning.word in text


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("TCP_NODELAY", True, "1"),
        ("TCP_NODELAY", False, "0"),
        ("IP_TOS", 0xB8, "ef"),
        ("IP_TOS", 8, "dscp-2"),
        ("IP_TOS", 0xB9, "185"),
        ("IP_TOS", -1, "-1"),
        ("SO_BUF_LOCK", (), "none"),
        ("SO_BUF_LOCK", ("send", "receive"), "send,receive"),
        ("SO_LINGER", {"enabled": False, "seconds": 3}, "off:3s"),
        ("IP_LOCAL_PORT_RANGE", {"lowest": 1, "highest": 2}, "1-2"),
        ("SO_RCVTIMEO", 1500, "1500us"),
        ("SO_RCVTIMEO", "unlimited", "unlimited"),
        ("TCP_CONGESTION", "bbr", "bbr"),
    ],
)
def test_text_of_a_value(name: str, value: OptionValue, text: str) -> None:
    assert value_text(BY_NAME[name], value) == text


FIELDS = {"rtt", "dport", "sndbuf"}


@pytest.mark.parametrize(
    ("words", "target", "given_words"),
    [
        ([], (), ()),
        (["1:2"], ("1:2",), ()),
        (["a=1"], (), ("a=1",)),
        (["1:2", "nodelay=1", "cork=0"], ("1:2",), ("nodelay=1", "cork=0")),
        (["dport", "=", ":5432", "nodelay=1"], ("dport", "=", ":5432"), ("nodelay=1",)),
        (["rtt=50ms", "nodelay=1"], ("rtt=50ms",), ("nodelay=1",)),
        (["nodelay=1", "rtt=50ms"], ("nodelay=1", "rtt=50ms"), ()),
        (["RTT=50ms"], ("RTT=50ms",), ()),
        (["sndbuf=1M"], (), ("sndbuf=1M",)),  # an option comes before a column
        (["nodelay=1", "1:2"], ("nodelay=1", "1:2"), ()),
        (["1:2", "nodelaj=1"], ("1:2",), ("nodelaj=1",)),  # a slip, not a filter
        (["sport = :80 and rtt=5"], ("sport = :80 and rtt=5",), ()),
    ],
)
def test_assignments_are_the_last_words(
    words: list[str], target: tuple[str, ...], given_words: tuple[str, ...]
) -> None:
    assert split_words(words, FIELDS) == (target, given_words)
