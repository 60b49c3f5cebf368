"""The table of socket options: complete, consistent, and clear about what must not be read."""

from __future__ import annotations

import ast
import re
import socket
from pathlib import Path

import pytest

from tcptool.catalog import options as catalog
from tcptool.catalog.options import (
    BACKLOG,
    BY_NAME,
    DANGERS,
    DSCP,
    OPTIONS,
    Access,
    Codec,
    Family,
    ReadBack,
    Reading,
    Risk,
    SocketOption,
    When,
    accepted_range,
    carried,
    dscp_word,
    find_option,
    forceable,
)
from tcptool.units import Unit

PREFIXES = {1: "SO_", 6: "TCP_", 0: "IP_", 41: "IPV6_"}

# facts/kernel.md 7.5, and with them all keys and everything that repair mode exposes.
DESTRUCTIVE = {"SO_ERROR", "SO_PEERPIDFD", "TCP_SAVED_SYN", "TCP_ZEROCOPY_RECEIVE"}
SECRET = {
    "TCP_AO_ADD_KEY",
    "TCP_AO_DEL_KEY",
    "TCP_AO_GET_KEYS",
    "TCP_AO_INFO",
    "TCP_AO_REPAIR",
    "TCP_FASTOPEN_KEY",
    "TCP_MD5SIG",
    "TCP_MD5SIG_EXT",
    "TCP_QUEUE_SEQ",
    "TCP_REPAIR",
    "TCP_REPAIR_OPTIONS",
    "TCP_REPAIR_QUEUE",
    "TCP_REPAIR_WINDOW",
}
ELSEWHERE = {"SO_ATTACH_FILTER", "SO_MEMINFO", "SO_PEERNAME", "TCP_CC_INFO", "TCP_INFO"}

# kernel.md 7.4: what may be set on a running connection of another program without a warning.
LIVE_SAFE = {
    "TCP_NODELAY", "TCP_QUICKACK", "SO_SNDBUF", "SO_BUF_LOCK", "TCP_CONGESTION",
    "TCP_NOTSENT_LOWAT", "TCP_RTO_MIN_US", "TCP_DELACK_MAX_US", "IP_TOS", "IPV6_TCLASS",
    "SO_PRIORITY", "IP_TTL", "IPV6_UNICAST_HOPS", "SO_TXREHASH", "TCP_LINGER2",
    "TCP_DEFER_ACCEPT", "TCP_FASTOPEN",
}  # fmt: skip
LIVE_WARN = {
    "SO_SNDBUFFORCE", "SO_RCVBUFFORCE", "SO_RCVBUF", "TCP_WINDOW_CLAMP", "SO_MAX_PACING_RATE",
    "SO_KEEPALIVE", "TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT",
    "TCP_RTO_MAX_MS", "SO_LINGER", "TCP_CORK",
}  # fmt: skip
DENIED = {
    "SO_BINDTODEVICE", "SO_BINDTOIFINDEX", "IP_MINTTL", "SO_RCVLOWAT", "TCP_REPAIR",
    "TCP_REPAIR_QUEUE", "TCP_QUEUE_SEQ", "TCP_REPAIR_OPTIONS", "TCP_TIMESTAMP",
    "TCP_REPAIR_WINDOW", "TCP_ULP", "TCP_MD5SIG", "TCP_MD5SIG_EXT", "TCP_AO_ADD_KEY",
    "TCP_AO_DEL_KEY", "TCP_AO_INFO", "TCP_AO_GET_KEYS", "TCP_AO_REPAIR", "SO_ATTACH_FILTER",
    "SO_DETACH_FILTER", "SO_LOCK_FILTER", "SO_ATTACH_BPF", "SO_ATTACH_REUSEPORT_CBPF",
    "SO_ATTACH_REUSEPORT_EBPF", "SO_DETACH_REUSEPORT_BPF", "SO_OOBINLINE", "SO_TIMESTAMP",
    "SO_TIMESTAMPNS", "SO_TIMESTAMPING", "SO_INQ", "TCP_INQ", "SO_RCVMARK", "SO_ZEROCOPY",
    "SO_TXTIME", "SO_PEEK_OFF", "IP_OPTIONS", "IP_RECVERR", "TCP_TX_DELAY", "SO_MARK",
    "SO_DONTROUTE", "SO_RCVTIMEO", "SO_SNDTIMEO", "SO_RCVTIMEO_NEW", "SO_SNDTIMEO_NEW",
}  # fmt: skip

SIZES = {
    Codec.BOOLEAN: 4,
    Codec.INT: 4,
    Codec.UINT: 4,
    Codec.UINT64: 8,
    Codec.ID: 8,
    Codec.ENUM: 4,
    Codec.FLAGS: 4,
    Codec.STRING: 16,
    Codec.TOS: 4,
    Codec.LINGER: 8,
    Codec.TIMEVAL: 16,
    Codec.PORT_RANGE: 4,
    Codec.MEMINFO: 36,
    Codec.TXTIME: 8,
}
HAVE_UNITS = {Codec.INT, Codec.UINT, Codec.UINT64, Codec.TIMEVAL}
HAVE_WORDS = {Codec.ENUM, Codec.FLAGS}
MAY_HAVE_WORDS = HAVE_WORDS | HAVE_UNITS

NUMERIC = HAVE_UNITS | HAVE_WORDS | {Codec.TOS}

each_option = pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)


def names(**wanted: object) -> set[str]:
    return {o.name for o in OPTIONS if all(getattr(o, k) is v for k, v in wanted.items())}


def test_names_and_numbers_are_unique() -> None:
    assert len({o.name for o in OPTIONS}) == len(OPTIONS) == len(BY_NAME)
    assert len({(o.level, o.number) for o in OPTIONS}) == len(OPTIONS)


def test_options_stand_in_the_order_of_their_numbers() -> None:
    levels = [level for level in PREFIXES for o in OPTIONS if o.level == level]
    assert [o.level for o in OPTIONS] == levels
    for level in PREFIXES:
        numbers = [o.number for o in OPTIONS if o.level == level]
        assert numbers == sorted(numbers)


@each_option
def test_name_tells_the_level(option: SocketOption) -> None:
    assert re.fullmatch(PREFIXES[option.level] + "[A-Z0-9_]+", option.name)
    assert (option.level == catalog.IPPROTO_IPV6) == (option.family is Family.IPV6)


@each_option
def test_number_is_that_of_the_standard_library_where_it_has_one(option: SocketOption) -> None:
    assert getattr(socket, option.name, option.number) == option.number


@each_option
def test_texts_are_sentences(option: SocketOption) -> None:
    assert re.fullmatch(r"[A-Za-z].*\.", option.doc)
    assert option.source
    if option.pitfall:
        assert re.fullmatch(r"\S.*\.", option.pitfall)
    assert all(meaning.word and meaning.doc for meaning in option.words.values())
    for text in (option.doc, option.pitfall, option.range_text, option.when_text):
        assert "  " not in text


@each_option
def test_a_surprise_is_explained(option: SocketOption) -> None:
    surprises = option.reads_back is not ReadBack.SAME and option.settable
    if surprises or option.risk is Risk.REFUSE or option.when is When.KILLS:
        assert option.pitfall


@each_option
def test_codec_unit_and_size_fit(option: SocketOption) -> None:
    assert option.size == SIZES.get(option.codec, option.size)
    assert option.unit is Unit.COUNT or option.codec in HAVE_UNITS
    assert option.key.endswith(option.unit.value)
    assert not option.words or option.codec in MAY_HAVE_WORDS
    assert option.words or option.codec not in HAVE_WORDS
    if option.readable:
        assert option.size > 0


@each_option
def test_access_and_effect_agree(option: SocketOption) -> None:
    assert option.settable == (option.when is not When.FIXED)
    if not option.settable or option.access is Access.WRITE_ONLY:
        assert option.reads_back is ReadBack.NOTHING
    if not option.settable:
        assert (option.privilege, option.minimum, option.maximum) == ("", None, None)
        assert (option.also, option.limit_sysctl) == ((), "")


@each_option
def test_default_has_one_source(option: SocketOption) -> None:
    assert option.default is None or not option.default_sysctl
    if option.access is Access.WRITE_ONLY or option.reading is not Reading.READ:
        assert option.default is None
        assert not option.default_sysctl
    if isinstance(option.default, str) and option.codec is not Codec.STRING:
        assert option.default in {meaning.word for meaning in option.words.values()}
    assert re.fullmatch(r"|net(\.[a-z0-9_]+)+(\[\d\])?", option.default_sysctl)


@each_option
def test_range_is_not_empty(option: SocketOption) -> None:
    if option.minimum is not None and option.maximum is not None:
        assert option.minimum <= option.maximum
    for number in option.also:
        assert option.minimum is not None
        assert number < option.minimum
    assert re.fullmatch(r"|net(\.[a-z0-9_]+)+(\[\d\])?", option.limit_sysctl)
    if option.codec in NUMERIC:
        lowest, highest = carried(option.codec)
        bounds = {option.minimum, option.maximum, *option.also, *option.words} - {None}
        assert all(isinstance(n, int) and lowest <= n <= highest for n in bounds)


def test_what_must_never_be_read_is_exactly_this() -> None:
    assert names(reading=Reading.DESTRUCTIVE) == DESTRUCTIVE
    assert names(reading=Reading.SECRET) == SECRET
    assert names(reading=Reading.ELSEWHERE) == ELSEWHERE
    assert names(readable=True).isdisjoint(DESTRUCTIVE | SECRET | ELSEWHERE)
    assert names(readable=True).isdisjoint(names(access=Access.WRITE_ONLY))


def test_what_is_safe_live_is_exactly_the_allow_list() -> None:
    assert {o.name for o in OPTIONS if o.settable and o.risk is Risk.SAFE} == LIVE_SAFE
    assert names(risk=Risk.WARN) >= LIVE_WARN
    assert names(risk=Risk.REFUSE) >= DENIED


def test_every_refusal_has_its_reason() -> None:
    refused = {o.name for o in OPTIONS if o.settable and o.risk is Risk.REFUSE}
    assert DANGERS.keys() == refused
    for reason in DANGERS.values():
        assert re.fullmatch(r"[A-Z].*\.", reason)


def test_force_is_for_what_can_be_put_back() -> None:
    forced = {o.name for o in OPTIONS if o.risk is Risk.REFUSE and forceable(o)}
    assert forced == {
        "SO_DONTROUTE", "SO_OOBINLINE", "SO_RCVLOWAT", "SO_RCVTIMEO", "SO_SNDTIMEO",
        "SO_RCVTIMEO_NEW", "SO_SNDTIMEO_NEW", "SO_TIMESTAMP", "SO_TIMESTAMPNS", "SO_TIMESTAMPING",
        "SO_MARK", "SO_PEEK_OFF", "SO_ZEROCOPY", "SO_RCVMARK", "SO_RCVPRIORITY", "TCP_INQ",
        "TCP_FASTOPEN_NO_COOKIE", "TCP_TX_DELAY", "IP_TRANSPARENT", "IP_MINTTL", "IP_UNICAST_IF",
        "IPV6_MINHOPCOUNT",
    }  # fmt: skip


def test_the_backlog_is_an_option_of_listen() -> None:
    assert BACKLOG not in OPTIONS
    assert BACKLOG.name not in BY_NAME
    assert (BACKLOG.level, BACKLOG.when, BACKLOG.risk) == (-1, When.LISTENER, Risk.SAFE)
    assert find_option("backlog") is find_option(" Backlog") is BACKLOG


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("TCP_KEEPIDLE", "1 to 32767"),
        ("SO_BUSY_POLL", "0 or more"),
        ("TCP_MAXSEG", "88 to 32767; or 0 for no limit"),
        ("IP_TOS", "a byte; longer numbers lose the high bits, -1 stands for 252"),
        (
            "TCP_DELACK_MAX_US",
            "at most 200000; more than one tick (4000 at 250 Hz), rounded up to a tick",
        ),
        ("TCP_NODELAY", ""),
    ],
)
def test_accepted_range_in_words(name: str, text: str) -> None:
    assert accepted_range(BY_NAME[name]) == text


def test_accept_does_not_pass_these_on() -> None:
    kept_back = {
        o.name
        for o in OPTIONS
        if o.settable and o.readable and not o.inherited and o.when is not When.NO_EFFECT
    }
    assert kept_back == {
        "SO_PRIORITY", "SO_INCOMING_CPU", "TCP_DEFER_ACCEPT", "TCP_FASTOPEN", "TCP_TIMESTAMP",
        "IP_OPTIONS",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("TCP_NODELAY", "tcp_nodelay"),
        ("TCP_KEEPIDLE", "tcp_keepidle_s"),
        ("SO_SNDBUF", "so_sndbuf_bytes"),
        ("SO_RCVTIMEO", "so_rcvtimeo_us"),
        ("TCP_RTO_MAX_MS", "tcp_rto_max_ms"),
        ("SO_MAX_PACING_RATE", "so_max_pacing_rate_bytes_per_s"),
    ],
)
def test_key_ends_in_the_unit_once(name: str, key: str) -> None:
    assert BY_NAME[name].key == key


def test_keys_are_unique() -> None:
    assert len({option.key for option in OPTIONS}) == len(OPTIONS)


def test_an_option_shows_its_name() -> None:
    assert repr(BY_NAME["TCP_NODELAY"]) == "<SocketOption TCP_NODELAY>"


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("TCP_NODELAY", "TCP_NODELAY"),
        ("tcp_nodelay", "TCP_NODELAY"),
        ("tcp-nodelay", "TCP_NODELAY"),
        (" NoDelay ", "TCP_NODELAY"),
        ("sndbuf", "SO_SNDBUF"),
        ("tos", "IP_TOS"),
        ("v6only", "IPV6_V6ONLY"),
        # on several levels: TCP_, SO_, IP_, IPV6_
        ("timestamp", "TCP_TIMESTAMP"),
        ("inq", "TCP_INQ"),
        ("so_inq", "SO_INQ"),
        ("mtu_discover", "IP_MTU_DISCOVER"),
        ("freebind", "IP_FREEBIND"),
    ],
)
def test_find_option_takes_any_case_and_no_prefix(asked: str, found: str) -> None:
    assert find_option(asked) is BY_NAME[found]


@pytest.mark.parametrize("asked", ["", "TCP_", "nonsense", "TCP_SO_SNDBUF", "sndbuf="])
def test_find_option_does_not_guess(asked: str) -> None:
    assert find_option(asked) is None


@each_option
def test_find_option_finds_every_option(option: SocketOption) -> None:
    assert find_option(option.name.lower()) is option


def test_dscp_word_ignores_the_ecn_bits() -> None:
    assert dscp_word(0xB8) == dscp_word(0xBB) == "ef"
    assert dscp_word(0) == "cs0"
    assert dscp_word(0xFC) == "dscp-63"
    assert all(0 <= number < 64 for number in DSCP)


def test_table_asks_nobody() -> None:
    source = Path(catalog.__file__).read_text(encoding="utf-8")
    imported = {
        name
        for node in ast.walk(ast.parse(source))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [str(node.module)]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported.isdisjoint({"os", "socket", "subprocess"})
