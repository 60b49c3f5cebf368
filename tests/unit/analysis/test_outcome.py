"""What a set came to, by the numbers: tests/live/test_outcome_kernel.py asks the kernel."""

from __future__ import annotations

import errno
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcptool.analysis.outcome import (
    FAILED,
    WORDS,
    agrees,
    conflicts,
    expected,
    judge,
    needed_sysctls,
    order,
)
from tcptool.catalog.options import BACKLOG, BY_NAME, OPTIONS, Codec, OptionValue, carried
from tcptool.model.change import Assignment, Attempt, Circumstances, Outcome

MIB = 1 << 20
OFF = {"enabled": False, "seconds": 0}
PORTS = {"lowest": 1, "highest": 2}
SYSCTLS = {
    "net.core.wmem_max": 4 * MIB,
    "net.core.rmem_max": 4 * MIB,
    "net.core.somaxconn": 4096,
    "net.ipv4.tcp_rmem[2]": 32 * MIB,
    "net.ipv4.tcp_fin_timeout": 60,
    "net.ipv4.ip_default_ttl": 64,
    "net.ipv4.tcp_fastopen": 3,
}
CONNECTION = Circumstances(state="established", numbers=SYSCTLS, jiffy_us=4000)
FRESH = Circumstances(state="closed", numbers=SYSCTLS, jiffy_us=4000)
LISTENER = Circumstances(state="listen", numbers=SYSCTLS, jiffy_us=4000)
MPTCP = Circumstances(state="established", protocol="mptcp", numbers=SYSCTLS, jiffy_us=4000)
IPV6 = Circumstances(state="established", family="ipv6", numbers=SYSCTLS, jiffy_us=4000)
BLIND = Circumstances(state="established")
"""Neither sysctls nor the tick could be read."""


def asked(name: str, value: OptionValue) -> Assignment:
    option = BACKLOG if name == BACKLOG.name else BY_NAME[name]
    return Assignment(option, value, f"{name}={value}")


def came_to(
    name: str,
    value: OptionValue,
    after: OptionValue | None,
    circumstances: Circumstances = CONNECTION,
    *,
    before: OptionValue | None = None,
    errno: int = 0,
) -> Outcome:
    attempt = Attempt(assignment=asked(name, value), before=before, after=after, errno=errno)
    return judge(attempt, circumstances)


def failed_with(
    number: int, name: str, value: OptionValue, circumstances: Circumstances = CONNECTION
) -> Outcome:
    return came_to(name, value, None, circumstances, errno=number)


# -- judge ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "after", "word"),
    [
        ("TCP_NODELAY", True, True, "set"),
        ("TCP_CONGESTION", "bbr", "bbr", "set"),
        ("SO_BUF_LOCK", ("receive", "send"), ("send", "receive"), "set"),
        ("SO_SNDBUF", 65_536, 131_072, "doubled"),
        ("SO_SNDBUF", 8 * MIB, 8 * MIB, "clamped"),
        ("SO_SNDBUF", -1, 8 * MIB, "clamped"),
        ("SO_SNDBUF", 0, 4608, "raised"),
        ("SO_SNDBUF", 2303, 4608, "raised"),
        ("SO_SNDBUF", 2304, 4608, "doubled"),
        ("SO_RCVBUF", 1000, 2304, "raised"),
        ("SO_RCVBUF", 1000, 2240, "raised"),  # 32-bit processors
        ("SO_SNDBUFFORCE", 8 * MIB, 16 * MIB, "doubled"),
        ("SO_SNDBUFFORCE", (1 << 31) - 1, (1 << 31) - 2, "doubled"),
        ("SO_RCVBUFFORCE", -5, 2304, "raised"),
        ("SO_RCVLOWAT", 0, 1, "raised"),
        ("SO_RCVLOWAT", 5, 5, "set"),
        ("SO_RCVLOWAT", -1, 16 * MIB, "clamped"),
        ("SO_RCVTIMEO", 1, 4000, "rounded"),
        ("SO_RCVTIMEO", 8000, 8000, "set"),
        ("SO_RCVTIMEO", "unlimited", "unlimited", "set"),
        ("SO_RESERVE_MEM", 1, 4096, "rounded"),
        ("SO_RESERVE_MEM", 4096, 4096, "set"),
        ("SO_LINGER", OFF, {"enabled": False, "seconds": 7}, "set"),
        ("SO_LINGER", {"enabled": True, "seconds": 5}, {"enabled": True, "seconds": 5}, "set"),
        ("TCP_LINGER2", 0, 60, "set"),
        ("TCP_LINGER2", -3, "none", "set"),
        ("TCP_LINGER2", 500, 120, "clamped"),
        ("TCP_LINGER2", 30, 30, "set"),
        ("TCP_WINDOW_CLAMP", 1, 1152, "raised"),
        ("TCP_WINDOW_CLAMP", 5000, 5000, "set"),
        ("TCP_WINDOW_CLAMP", 5000, 6000, "moving"),
        ("TCP_QUICKACK", True, True, "momentary"),
        ("TCP_QUICKACK", True, False, "momentary"),
        ("TCP_RTO_MAX_MS", 5001, 5004, "rounded"),
        ("TCP_RTO_MIN_US", 20_000, 20_000, "set"),
        ("TCP_MAXSEG", 1000, 1448, "no-effect"),
        ("TCP_SYNCNT", 3, 3, "no-effect"),
        ("TCP_DEFER_ACCEPT", 3, 3, "no-effect"),
        ("TCP_THIN_DUPACK", True, False, "no-effect"),
        ("SO_REUSEPORT", True, True, "no-effect"),
        ("SO_BUSY_POLL_BUDGET", 8, None, "set"),
        ("IP_TOS", 0xB8, 0xB8, "set"),
        ("IP_TOS", 0xB9, 0xB8, "masked"),
        ("IP_TOS", 0xB8, 0xBA, "masked"),  # ECN was negotiated
        ("IP_TOS", -1, 252, "masked"),
        ("IP_TTL", -1, 64, "set"),
        ("IP_TTL", 9, 9, "set"),
        # what the kernel should not do
        ("TCP_NODELAY", True, False, "different"),
        ("SO_SNDBUF", 65_536, 65_536, "different"),
        ("SO_SNDBUF", 8 * MIB, 4 * MIB, "different"),
        ("SO_RCVBUF", 1000, 1999, "different"),
        ("SO_RCVBUF", 1000, 2305, "different"),
        ("SO_RCVTIMEO", 1, 8000, "different"),
        ("SO_RESERVE_MEM", 1, 65_537, "different"),
        ("SO_LINGER", OFF, {"enabled": True, "seconds": 0}, "different"),
        ("TCP_LINGER2", 0, 61, "different"),
        ("TCP_LINGER2", 121, 121, "different"),
        ("IP_TOS", 0xB8, 0xB4, "different"),
    ],
)  # fmt: skip
def test_word_on_a_connection(
    name: str, value: OptionValue, after: OptionValue | None, word: str
) -> None:
    outcome = came_to(name, value, after)
    assert outcome.word == word
    assert (outcome.clamped_by is not None) <= (word == "clamped")
    if word not in ("set", "unchanged"):
        assert outcome.note


@pytest.mark.parametrize(
    ("name", "value", "after", "word"),
    [
        ("TCP_MAXSEG", 1000, 1000, "set"),
        ("TCP_MAXSEG", 1000, 536, "different"),
        ("TCP_MAXSEG", 0, 536, "set"),
        ("TCP_SYNCNT", 3, 3, "set"),
        ("TCP_WINDOW_CLAMP", 5000, 6000, "different"),
        ("TCP_DEFER_ACCEPT", 0, 0, "set"),
        ("TCP_DEFER_ACCEPT", -9, 0, "raised"),
        ("TCP_DEFER_ACCEPT", 7, 7, "set"),
        ("TCP_DEFER_ACCEPT", 2, 3, "rounded"),
        ("TCP_DEFER_ACCEPT", 128, 247, "rounded"),
        ("TCP_DEFER_ACCEPT", 29_887, 29_887, "set"),
        ("TCP_DEFER_ACCEPT", 100_000, 29_887, "clamped"),
        ("TCP_DEFER_ACCEPT", 2, 2, "different"),
        ("TCP_FASTOPEN", 5, 5, "set"),
        ("TCP_FASTOPEN", 100_000, 4096, "clamped"),
        ("SO_REUSEADDR", True, True, "set"),
        ("SO_BSDCOMPAT", True, False, "no-effect"),
    ],
)
def test_word_on_a_fresh_socket(
    name: str, value: OptionValue, after: OptionValue, word: str
) -> None:
    assert came_to(name, value, after, FRESH).word == word


@pytest.mark.parametrize(
    ("name", "value", "after", "word"),
    [
        ("backlog", 500, 500, "set"),
        ("backlog", 100_000, 4096, "clamped"),
        ("backlog", -1, 4096, "clamped"),
        ("backlog", 500, 400, "different"),
        ("TCP_MAXSEG", 1000, 1000, "set"),
        ("TCP_SYNCNT", 3, 3, "set"),
        ("IP_LOCAL_PORT_RANGE", PORTS, PORTS, "no-effect"),
        ("SO_REUSEADDR", True, True, "no-effect"),
    ],
)  # fmt: skip
def test_word_on_a_listener(name: str, value: OptionValue, after: OptionValue, word: str) -> None:
    assert came_to(name, value, after, LISTENER).word == word


@pytest.mark.parametrize(
    ("name", "value", "after", "word"),
    [
        ("IPV6_TCLASS", 0xB8, 0xB8, "set"),
        ("IPV6_TCLASS", -1, 0, "masked"),
        ("IPV6_UNICAST_HOPS", -1, 64, "set"),
        ("IPV6_UNICAST_HOPS", 9, 9, "set"),
        ("IPV6_MTU", 1400, 65_536, "moving"),
        ("TCP_TIMESTAMP", 5, 77, "moving"),
    ],
)
def test_word_on_an_ipv6_connection(
    name: str, value: OptionValue, after: OptionValue, word: str
) -> None:
    assert came_to(name, value, after, IPV6).word == word


@pytest.mark.parametrize(
    ("value", "after", "word"),
    [
        (("public", "home"), ("public", "home"), "set"),
        (("public",), ("public", "home"), "masked"),
        (("cga",), ("temporary-or-public-default", "home"), "masked"),
        (("public",), ("temporary", "home"), "different"),
    ],
)
def test_address_preferences_are_completed(
    value: tuple[str, ...], after: tuple[str, ...], word: str
) -> None:
    fresh = Circumstances(state="closed", family="ipv6")
    assert came_to("IPV6_ADDR_PREFERENCES", value, after, fresh).word == word


def test_unchanged_is_what_read_as_asked_before_and_after() -> None:
    assert came_to("TCP_NODELAY", True, True, before=True).word == "unchanged"
    assert came_to("TCP_NODELAY", True, True, before=False).word == "set"
    # It is set all the same, and locked now.
    assert came_to("SO_SNDBUF", 65_536, 131_072, before=131_072).word == "doubled"
    assert came_to("SO_SNDBUF", 8 * MIB, 8 * MIB, before=8 * MIB).word == "clamped"


def test_clamped_names_the_sysctl_and_both_numbers() -> None:
    outcome = came_to("SO_SNDBUF", 8 * MIB, 8 * MIB)
    assert outcome.clamped_by == "net.core.wmem_max"
    assert outcome.note == (
        "net.core.wmem_max cuts 8388608 to 4194304, which the kernel doubles"
    )  # fmt: skip
    negative = came_to("SO_RCVBUF", -1, 8 * MIB)
    assert negative.note == (
        "a negative number means net.core.rmem_max, 4194304, which the kernel doubles"
    )
    assert came_to("TCP_LINGER2", 500, 120).clamped_by is None


def test_low_water_of_a_locked_buffer_ends_at_half_of_it() -> None:
    locked = Circumstances(state="established", numbers=SYSCTLS, locks=("receive",))
    outcome = came_to("SO_RCVLOWAT", 100_000, 20_000, locked)
    assert (outcome.word, outcome.clamped_by) == ("clamped", None)
    assert "20000, half of the receive buffer" in outcome.note


def test_what_could_not_be_read_is_taken_from_the_reading() -> None:
    assert came_to("SO_SNDBUF", 8 * MIB, 8 * MIB, BLIND).word == "clamped"
    assert came_to("SO_SNDBUF", 8 * MIB, 16 * MIB, BLIND).word == "doubled"
    assert came_to("SO_SNDBUF", 8 * MIB, 16 * MIB + 2, BLIND).word == "different"
    assert came_to("SO_RCVLOWAT", -1, 999, BLIND).word == "clamped"
    assert came_to("TCP_LINGER2", 0, 33, BLIND).word == "set"
    assert came_to("IP_TTL", -1, 99, BLIND).word == "set"
    words = {20_001: "set", 24_000: "rounded", 30_000: "rounded", 50_000: "different"}
    for after, word in words.items():
        assert came_to("TCP_RTO_MIN_US", 20_001, after, BLIND).word == word


def test_a_tick_that_is_no_whole_number_of_microseconds() -> None:
    hz_300 = Circumstances(state="established", jiffy_us=3333)
    assert came_to("SO_RCVTIMEO", 10_000, 13_333, hz_300).word == "rounded"
    assert came_to("SO_RCVTIMEO", 10_000, 20_000, hz_300).word == "different"
    assert came_to("SO_RCVTIMEO", 10_000, 9_999, hz_300).word == "different"


def test_an_option_of_ipv4_on_an_ipv6_socket_comes_with_a_remark() -> None:
    assert "carries an IPv4 connection" in came_to("IP_TOS", 0xB8, 0xB8, IPV6).note
    assert expected(asked("IP_TTL", 9), IPV6)
    assert not expected(asked("IP_TTL", 9), CONNECTION)


def test_fastopen_that_is_not_enabled_comes_with_a_remark() -> None:
    client_only = Circumstances(state="listen", numbers={"net.ipv4.tcp_fastopen": 1})
    assert "net.ipv4.tcp_fastopen" in came_to("TCP_FASTOPEN", 5, 5, client_only).note
    assert not came_to("TCP_FASTOPEN", 5, 5, LISTENER).note
    assert not came_to("TCP_FASTOPEN", 5, 5, BLIND).note.startswith("it does nothing")


# -- errors --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "name", "value", "word", "note"),
    [
        (errno.EINVAL, "TCP_KEEPIDLE", 0, "refused", "1 to 32767"),
        (errno.EINVAL, "TCP_MAXSEG", 5, "refused", "88 to 32767; or 0"),
        (errno.EINVAL, "TCP_RTO_MIN_US", 4000, "refused", "more than one tick"),
        (errno.EINVAL, "TCP_WINDOW_CLAMP", 0, "refused", "only before connect"),
        (errno.EINVAL, "TCP_FASTOPEN", 5, "refused", "not accepted on a connection"),
        (errno.EINVAL, "TCP_FASTOPEN_CONNECT", True, "refused", "only before connect"),
        (errno.EINVAL, "backlog", 5, "refused", "does not listen"),
        (errno.EINVAL, "SO_BUF_LOCK", ("unknown-4",), "refused", "0 to 3"),
        (errno.EINVAL, "IP_MTU_DISCOVER", "unknown-9", "refused", "0 to 5"),
        (errno.EINVAL, "IP_LOCAL_PORT_RANGE", {"lowest": 5, "highest": 4}, "refused", "above"),
        (errno.EINVAL, "SO_RESERVE_MEM", 1, "refused", "only be raised"),
        (errno.EINVAL, "SO_ZEROCOPY", True, "refused", "0 to 1"),
        (errno.EINVAL, "TCP_NODELAY", True, "refused", "does not accept"),
        (errno.EDOM, "SO_RCVTIMEO", 1, "refused", "below 1000000"),
        (errno.EPERM, "TCP_CONGESTION", "bbr", "not-permitted", "tcp_allowed_congestion_control"),
        (errno.EPERM, "SO_SNDBUFFORCE", 1, "not-permitted", "CAP_NET_ADMIN in the initial"),
        (errno.EACCES, "SO_DEBUG", True, "not-permitted", "CAP_NET_ADMIN"),
        (errno.EPERM, "SO_LOCK_FILTER", False, "not-permitted", "once set"),
        (errno.EPERM, "TCP_NODELAY", True, "not-permitted", "BPF"),
        (errno.ENOPROTOOPT, "TCP_RTO_MAX_MS", 5000, "unsupported", "this kernel"),
        (errno.EOPNOTSUPP, "SO_RESERVE_MEM", 1, "unsupported", "memory cgroup"),
        (errno.ENOPROTOOPT, "IPV6_TCLASS", 0, "unsupported", "an IPv4 socket"),
        (errno.ENOENT, "TCP_CONGESTION", "nosuch", "failed", "tcp_available_congestion_control"),
        (errno.ENODEV, "SO_BINDTODEVICE", "nosuch", "failed", "ip link"),
        (errno.ENOMEM, "TCP_NODELAY", True, "failed", "ENOMEM"),
    ],
)
def test_error(number: int, name: str, value: OptionValue, word: str, note: str) -> None:
    outcome = failed_with(number, name, value)
    assert outcome.word == word
    assert outcome.word in FAILED
    assert note in outcome.note


def test_what_an_mptcp_socket_lacks_is_not_the_kernels_lack() -> None:
    for name, number in {"TCP_USER_TIMEOUT": errno.ENOPROTOOPT, "IP_TTL": errno.EOPNOTSUPP}.items():
        outcome = failed_with(number, name, 10, MPTCP)
        assert outcome == Outcome(word="unsupported", note="an MPTCP socket does not have it")
    # It does have this one, so this is another kernel.
    assert "this kernel" in failed_with(errno.ENOPROTOOPT, "TCP_NODELAY", True, MPTCP).note


def test_mptcp_takes_some_options_only_before_connect() -> None:
    for name in ("SO_REUSEADDR", "SO_BINDTOIFINDEX", "IP_FREEBIND"):
        assert "only before connect()" in failed_with(errno.EINVAL, name, True, MPTCP).note
    late = failed_with(errno.EINVAL, "IP_LOCAL_PORT_RANGE", PORTS, MPTCP)
    assert late.note == "an MPTCP socket takes it only before connect()"


def test_a_refusal_that_changed_something_says_so() -> None:
    outcome = came_to("IP_FREEBIND", True, True, MPTCP, before=False, errno=errno.EINVAL)
    assert outcome.word == "refused"
    assert outcome.note.endswith("; it reads as asked all the same")
    before = came_to("IP_FREEBIND", True, True, MPTCP, before=True, errno=errno.EINVAL)
    assert "all the same" not in before.note


def test_mptcp_ignores_or_only_stores_some() -> None:
    fresh = Circumstances(state="closed", protocol="mptcp")
    assert came_to("SO_DONTROUTE", True, False, fresh).word == "no-effect"
    stored = came_to("TCP_KEEPCNT", 500, 500, fresh)
    assert (stored.word, stored.note) == ("no-effect", "an MPTCP connection takes only 1 to 127")
    assert came_to("TCP_KEEPCNT", 5, 5, fresh).word == "set"
    assert failed_with(errno.EINVAL, "TCP_KEEPCNT", 500, MPTCP).word == "refused"


# -- agrees --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "actual", "word"),
    [
        ("TCP_NODELAY", True, True, "matches"),
        ("TCP_NODELAY", True, False, "differs"),
        ("SO_SNDBUF", 8 * MIB, 8 * MIB, "matches"),
        ("SO_SNDBUF", 8 * MIB, 16 * MIB, "differs"),
        ("SO_SNDBUF", 65_536, 131_072, "matches"),
        ("SO_SNDBUF", 65_536, 65_536, "differs"),
        ("SO_SNDBUF", 0, 4608, "matches"),
        ("SO_SNDBUFFORCE", 1, None, "not-checkable"),
        ("SO_RCVTIMEO", 1, 4000, "matches"),
        ("SO_LINGER", OFF, {"enabled": False, "seconds": 9}, "matches"),
        ("SO_LINGER", OFF, {"enabled": True, "seconds": 0}, "differs"),
        ("IP_TOS", 0xB8, 0xBA, "matches"),
        ("IP_TOS", 0xB8, 0x20, "differs"),
        ("TCP_QUICKACK", True, True, "matches"),
        ("TCP_QUICKACK", True, False, "not-checkable"),
        ("TCP_MAXSEG", 1000, 1448, "not-checkable"),
        ("SO_REUSEADDR", True, False, "not-checkable"),
        ("SO_REUSEADDR", True, True, "matches"),
        ("TCP_THIN_DUPACK", True, False, "not-checkable"),
        ("TCP_WINDOW_CLAMP", 5000, 5000, "matches"),
        ("TCP_WINDOW_CLAMP", 5000, 9000, "not-checkable"),
        ("TCP_RTO_MAX_MS", 5000, None, "unsupported"),
        ("IPV6_TCLASS", 0, None, "unsupported"),
        ("IPV6_MTU", 1400, 65_536, "not-checkable"),
        ("backlog", 5, None, "not-checkable"),
        ("TCP_KEEPIDLE", 0, 7200, "differs"),
    ],
)  # fmt: skip
def test_agrees_on_a_connection(
    name: str, value: OptionValue, actual: OptionValue | None, word: str
) -> None:
    outcome = agrees(asked(name, value), actual, CONNECTION)
    assert outcome.word == word
    assert outcome.note or word in ("matches", "differs")


def test_a_difference_says_what_should_read_where_it_is_not_what_was_asked() -> None:
    assert agrees(asked("TCP_NODELAY", True), False, CONNECTION).note == ""
    doubled = agrees(asked("SO_SNDBUF", 65_536), 65_536, CONNECTION)
    assert doubled.note.startswith("131072 should read")


def test_a_match_that_was_clamped_says_so() -> None:
    outcome = agrees(asked("SO_SNDBUF", 8 * MIB), 8 * MIB, CONNECTION)
    assert (outcome.word, outcome.clamped_by) == ("matches", "net.core.wmem_max")
    assert "8388608 to 4194304" in outcome.note


def test_without_the_limit_a_smaller_reading_can_not_be_told_from_a_clamp() -> None:
    assert agrees(asked("SO_SNDBUF", 8 * MIB), 8 * MIB - 2, BLIND).word == "not-checkable"
    assert agrees(asked("SO_SNDBUF", MIB), 2 * MIB, BLIND).word == "matches"
    assert agrees(asked("SO_SNDBUF", MIB), 4 * MIB, BLIND).word == "differs"
    assert agrees(asked("backlog", 500), 400, LISTENER).word == "differs"


def test_a_buffer_that_differs_says_if_the_kernel_tunes_it() -> None:
    locked = Circumstances(state="established", numbers=SYSCTLS, locks=("send",))
    assert "tunes it" in agrees(asked("SO_SNDBUF", MIB), MIB, CONNECTION).note
    assert "tunes it" not in agrees(asked("SO_SNDBUF", MIB), MIB, locked).note


def test_what_counted_before_bind_is_checked_on_a_listener() -> None:
    assert agrees(asked("SO_REUSEADDR", True), False, LISTENER).word == "differs"
    assert agrees(asked("SO_REUSEADDR", True), True, LISTENER).word == "matches"


def test_an_unread_option_of_an_mptcp_socket_is_unsupported() -> None:
    outcome = agrees(asked("TCP_USER_TIMEOUT", 10), None, MPTCP)
    assert outcome == Outcome(word="unsupported", note="an MPTCP socket does not have it")


def test_the_path_mtu_cannot_be_read_without_a_connection() -> None:
    fresh = Circumstances(state="closed", family="ipv6")
    assert agrees(asked("IPV6_MTU", 1400), None, fresh).word == "not-checkable"


# -- expected ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("TCP_NODELAY", True, ""),
        ("SO_SNDBUF", 65_536, "will read 131072: the kernel doubles it"),
        ("SO_SNDBUF", 8 * MIB, "will read 8388608: net.core.wmem_max cuts 8388608 to 4194304"),
        ("SO_SNDBUF", 1, "will read 4608: 4608 is the least"),
        ("SO_RCVTIMEO", 1, "will read 4000: rounded up to the kernel's tick, 4000 µs"),
        ("TCP_MAXSEG", 1000, "will have no effect: it counts only before connect()"),
        ("TCP_QUICKACK", True, "will hold until the program answers"),
        ("TCP_KEEPIDLE", 0, "will be refused: accepted: 1 to 32767"),
        ("TCP_FASTOPEN", 5, "will be refused: it is not accepted on a connection"),
        ("TCP_RTO_MIN_US", 1, "will be refused: accepted: at most 200000"),
        ("IPV6_TCLASS", 0, "will be refused: an IPv4 socket"),
        ("IP_TTL", -1, "will read 64: -1 stands for net.ipv4.ip_default_ttl"),
    ],
)
def test_expected_on_a_connection(name: str, value: OptionValue, text: str) -> None:
    foretold = expected(asked(name, value), CONNECTION)
    assert foretold.startswith(text)
    assert bool(foretold) == bool(text)


def test_expected_without_the_sysctls_claims_no_limit() -> None:
    assert expected(asked("SO_SNDBUF", 8 * MIB), BLIND).startswith("will read 16777216:")
    assert "the kernel's tick" not in expected(asked("SO_RCVTIMEO", 1), BLIND)
    assert expected(asked("TCP_LINGER2", 0), BLIND) == (
        "0 stands for net.ipv4.tcp_fin_timeout, which reads instead"
    )


def test_expected_of_a_half_open_connection() -> None:
    syn_sent = Circumstances(state="syn-sent")
    assert expected(asked("TCP_SYNCNT", 3), syn_sent) == ""
    assert expected(asked("TCP_MAXSEG", 1000), syn_sent) == "the size in use reads instead"


def test_what_only_the_reading_can_tell_is_not_foretold() -> None:
    fresh = Circumstances(state="closed", family="ipv6")
    assert expected(asked("IPV6_ADDR_PREFERENCES", ("public",)), fresh) == ""
    assert expected(asked("SO_LINGER", OFF), FRESH) == ""
    assert expected(asked("IP_LOCAL_PORT_RANGE", PORTS), FRESH) == ""


def test_flags_and_structures_are_written_out() -> None:
    linger = asked("SO_LINGER", {"enabled": True, "seconds": 5})
    after: OptionValue = {"enabled": True, "seconds": 6}
    outcome = judge(Attempt(assignment=linger, before=None, after=after), CONNECTION)
    assert outcome.note == "enabled=true seconds=5 should read, but enabled=true seconds=6 does"
    locks = asked("SO_BUF_LOCK", ("send", "receive"))
    outcome = judge(Attempt(assignment=locks, before=None, after=()), CONNECTION)
    assert outcome.note == "send,receive should read, but none does"


# -- order and conflicts -------------------------------------------------------------------


def ordered(**values: OptionValue) -> list[str]:
    return [a.option.name for a in order([asked(name, value) for name, value in values.items()])]


def test_order_keeps_the_callers_where_nothing_speaks_against_it() -> None:
    assert ordered(TCP_USER_TIMEOUT=1, TCP_NODELAY=True, SO_SNDBUF=1, SO_KEEPALIVE=True) == [
        "TCP_USER_TIMEOUT", "TCP_NODELAY", "SO_SNDBUF", "SO_KEEPALIVE",
    ]  # fmt: skip


def test_order_of_options_that_undo_each_other() -> None:
    assert ordered(SO_PRIORITY=5, IP_TOS=0xB8) == ["IP_TOS", "SO_PRIORITY"]
    assert ordered(TCP_WINDOW_CLAMP=1, SO_BUF_LOCK=(), SO_RCVBUF=1, SO_RCVLOWAT=1) == [
        "SO_RCVLOWAT", "SO_RCVBUF", "TCP_WINDOW_CLAMP", "SO_BUF_LOCK",
    ]  # fmt: skip
    assert ordered(TCP_NODELAY=True, TCP_CORK=False) == ["TCP_CORK", "TCP_NODELAY"]
    assert ordered(TCP_NODELAY=False, TCP_CORK=False) == ["TCP_NODELAY", "TCP_CORK"]
    assert ordered(SO_KEEPALIVE=True, TCP_KEEPIDLE=9)[-1] == "SO_KEEPALIVE"
    assert ordered(SO_KEEPALIVE=False, TCP_KEEPIDLE=9)[0] == "SO_KEEPALIVE"


@given(st.lists(st.sampled_from([o for o in OPTIONS if o.settable]), unique=True, max_size=20))
def test_order_loses_nothing_and_is_stable(options: list[object]) -> None:
    given_order = [asked(str(getattr(option, "name", "")), 1) for option in options]
    once = order(given_order)
    assert set(map(id, once)) == set(map(id, given_order))
    assert order(once) == once


def conflicts_of(**values: OptionValue) -> list[str]:
    return conflicts([asked(name, value) for name, value in values.items()])


def test_cork_against_nodelay() -> None:
    assert len(conflicts_of(TCP_NODELAY=True, TCP_CORK=True)) == 1
    assert conflicts_of(TCP_NODELAY=True, TCP_CORK=False) == []


def test_user_timeout_beyond_keepalive() -> None:
    times: dict[str, OptionValue] = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
    (text,) = conflicts_of(**times, TCP_USER_TIMEOUT=45_001)
    assert "45001 ms" in text
    assert "45 s" in text
    assert conflicts_of(**times, TCP_USER_TIMEOUT=45_000) == []
    assert conflicts_of(TCP_KEEPIDLE=30, TCP_USER_TIMEOUT=45_001) == []


def test_a_size_against_a_buffer_that_is_not_locked() -> None:
    (text,) = conflicts_of(SO_SNDBUF=1, SO_BUF_LOCK=())
    assert text.startswith("SO_SNDBUF and SO_BUF_LOCK=none")
    assert conflicts_of(SO_SNDBUF=1, SO_BUF_LOCK=("send",)) == []
    assert len(conflicts_of(SO_RCVBUFFORCE=1, SO_BUF_LOCK=("send",))) == 1
    assert conflicts_of(SO_SNDBUF=1) == []


def test_two_names_of_one_setting() -> None:
    (text,) = conflicts_of(SO_SNDBUF=1, SO_SNDBUFFORCE=2)
    assert "the same setting" in text


# -- over the whole table ------------------------------------------------------------------


def test_needed_sysctls() -> None:
    options = [BY_NAME["SO_SNDBUF"], BY_NAME["TCP_NODELAY"], BY_NAME["TCP_FASTOPEN"], BACKLOG]
    assert needed_sysctls([*options, BY_NAME["IP_TTL"]]) == (
        "net.core.wmem_max", "net.core.somaxconn", "net.ipv4.ip_default_ttl",
        "net.ipv4.tcp_fastopen",
    )  # fmt: skip
    assert set(needed_sysctls([*OPTIONS, BACKLOG])) == SYSCTLS.keys()
    for name in SYSCTLS:
        assert re.fullmatch(r"net(\.\w+)+(\[\d\])?", name)


def test_words() -> None:
    assert WORDS.keys() > FAILED
    assert all(meaning and not meaning.endswith(".") for meaning in WORDS.values())


NUMERIC = [o for o in (*OPTIONS, BACKLOG) if o.settable and o.codec in (Codec.INT, Codec.UINT)]
STATES = ["closed", "bound-inactive", "syn-sent", "established", "close-wait", "listen"]


@given(st.data())
def test_every_question_has_an_answer(data: st.DataObject) -> None:
    option = data.draw(st.sampled_from(NUMERIC))
    numbers = st.integers(*carried(option.codec))
    assignment = Assignment(option, data.draw(numbers), "")
    circumstances = Circumstances(
        state=data.draw(st.sampled_from(STATES)),
        family=data.draw(st.sampled_from(["ipv4", "ipv6"])),
        protocol=data.draw(st.sampled_from(["tcp", "mptcp"])),
        numbers=data.draw(st.sampled_from([SYSCTLS, {}])),
        jiffy_us=data.draw(st.sampled_from([1000, 3333, 4000, 10_000, None])),
    )
    after = data.draw(st.none() | numbers)
    number = data.draw(st.sampled_from([0, errno.EINVAL, errno.EPERM, errno.ENOPROTOOPT]))
    attempt = Attempt(assignment=assignment, before=None, after=after, errno=number)
    outcome = judge(attempt, circumstances)
    assert outcome.word in WORDS
    assert outcome.note or outcome.word in ("set", "moving")
    assert bool(number) <= (outcome.word in FAILED)
    verified = agrees(assignment, after, circumstances)
    assert verified.word in ("matches", "differs", "not-checkable", "unsupported")
    # What reads right after a set that came to something, agrees.
    if outcome.word in ("doubled", "clamped", "raised", "rounded", "masked") and after is not None:
        assert verified.word != "differs"
    assert not expected(assignment, circumstances).endswith(": ")
