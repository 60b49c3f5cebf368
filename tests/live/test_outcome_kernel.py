"""What `analysis.outcome` foretells, against what this kernel does.

Every option that can be set is set, on sockets of our own in a private network namespace, in
every state, to many values.  No outcome may be ``different``, whatever is foretold must happen,
and what reads right after a set must agree with it.
"""

from __future__ import annotations

import itertools
import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tcptool.analysis.outcome import FAILED, WORDS, agrees
from tcptool.catalog.options import BACKLOG, BY_NAME, OPTIONS, Codec, SocketOption, carried
from tcptool.decode.options import OptionValue, decode_option, encode_option
from tcptool.linux.borrow import OpenDescriptor
from tcptool.linux.visit import read_option, write_option
from tcptool.model.change import Assignment, Circumstances
from tests.live.program import NOBODY
from tests.support.children import spawn
from tests.support.netns import NetNs, new_netns

Result: TypeAlias = dict[str, Any]
Prober: TypeAlias = Callable[..., list[Result]]

NOT_SET: Final = {
    **dict.fromkeys(
        (o.name for o in OPTIONS if o.codec in (Codec.STRUCT, Codec.TXTIME)),
        "a structure, which tcptool only shows",
    ),
    **dict.fromkeys(
        ("TCP_REPAIR", "TCP_REPAIR_QUEUE", "TCP_QUEUE_SEQ"),
        "repair mode, which breaks the socket, and cannot be read",
    ),
    **dict.fromkeys(
        ("SO_ATTACH_BPF", "SO_ATTACH_REUSEPORT_EBPF"), "the number of a loaded program, not a value"
    ),
}
"""Options that can be set, but are not tried here, and why."""

TRIED: Final = [o for o in (*OPTIONS, BACKLOG) if o.settable and o.name not in NOT_SET]

SYSCTLS: Final = {
    "core/somaxconn": "300",
    "ipv4/ip_default_ttl": "77",
    "ipv4/tcp_ecn": "1",
    "ipv4/tcp_fin_timeout": "37",
    "ipv4/tcp_rmem": "4096 131072 600000",
    "ipv4/tcp_wmem": "4096 16384 700000",
}
"""Unlike the defaults, so that a rule that only knows the defaults fails."""

WORDS_FOR_TEXT: Final = {
    "TCP_CONGESTION": ["reno", "cubic", "bbr", "reno", "", "nosuch", "RENO"],
    "SO_BINDTODEVICE": ["lo", "nosuch", ""],
    "TCP_ULP": ["nosuch", ""],  # a name that exists could not be taken back
}
NUMBERS: Final = {
    0, 1, 2, 3, 4, 87, 88, 127, 128, 255, 256, 1151, 1152, 1153, 2303, 2304, 2305, 3999, 4000, 4001,
    8000, 8001, 65_535, 65_536, 300_000, 300_001, 4_194_304, 4_194_305, 1 << 24, (1 << 30) - 1,
    1 << 30, (1 << 31) - 1, 1 << 32, -1, -2,
}  # fmt: skip

NOTHING_PROMISED: Final = {"TCP_MAXSEG", "IPV6_UNICAST_HOPS", "IPV6_MTU", "SO_PASSPIDFD"}
"""Options of which some values, in some states, cannot be told by what reads."""

REFUSED_UNFORETOLD: Final = {
    "SO_TIMESTAMPING",  # flags that need others, or a clock
    "IPV6_ADDR_PREFERENCES",  # flags that contradict each other
    "SO_BUF_LOCK",  # bits without a name
    "SO_RESERVE_MEM",  # it may only grow
    "SO_BINDTODEVICE",  # a name without end, as of a device, is not looked at first
}
READS_UNFORETOLD: Final = {
    "SO_LINGER",  # switched off, the seconds stay what they were
    "SO_TIMESTAMPING",  # SO_TIMESTAMPING_NEW and the old one show different flags
    "SO_RCVLOWAT",  # of a locked buffer, whose size decides
    "IP_TOS",  # TCP's own two bits
    "IPV6_TCLASS",
    "IPV6_ADDR_PREFERENCES",  # completed by the kernel
    "IPV6_UNICAST_HOPS",
    "TCP_QUICKACK",
    "TCP_MAXSEG",
    "IPV6_MTU",
}
"""Options whose reading depends on what nobody knows before."""


@pytest.fixture(scope="module")
def netns() -> Iterator[NetNs]:
    with new_netns() as namespace:
        for name, value in SYSCTLS.items():
            namespace.run("sh", "-c", f"echo {value} > /proc/sys/net/{name}")
        yield namespace


def prober_in(netns: NetNs, uid: int | None) -> Iterator[Prober]:
    with spawn("tests.live.outcome_prober", netns=netns, uid=uid) as child:

        def probe(option: SocketOption, *values: object, **prior: object) -> list[Result]:
            child.tell(json.dumps([option.name, values, prior]))
            found: list[Result] = json.loads(child.readline(60))
            assert found
            return found

        yield probe


@pytest.fixture(scope="module")
def probe(netns: NetNs) -> Iterator[Prober]:
    yield from prober_in(netns, None)


@pytest.fixture(scope="module")
def probe_as_nobody(netns: NetNs) -> Iterator[Prober]:
    yield from prober_in(netns, NOBODY)


def edges(option: SocketOption) -> list[object]:
    """Values at which something changes, those that are refused, and some twice."""
    words = [meaning.word for meaning in option.words.values()]
    match option.codec:
        case Codec.BOOLEAN:
            return [True, False, False, True]
        case Codec.ENUM:
            return [*words, "unknown--1", "unknown-99"]
        case Codec.FLAGS:
            pairs = list(itertools.islice(itertools.combinations(words, 2), 40))
            return [[], words, ["unknown-2147483648"], *([word] for word in words), *pairs]
        case Codec.STRING:
            return list(WORDS_FOR_TEXT[option.name])
        case Codec.LINGER:
            on = [{"enabled": True, "seconds": s} for s in (0, 5, (1 << 31) - 1)]
            return [*on, *({"enabled": False, "seconds": s} for s in (0, 7)), on[0]]
        case Codec.PORT_RANGE:
            ends = (0, 1, 40_000, 65_535)
            return [{"lowest": low, "highest": high} for low in ends for high in ends]
    low, high = carried(option.codec)
    numbers = {n for n in (*NUMBERS, low, high, *option.also) if low <= n <= high}
    for end in (option.minimum, option.maximum):
        if end is not None:
            numbers |= {n for n in (end - 1, end, end + 1) if low <= n <= high}
    return [worded(option, number) for number in sorted(numbers)]


def worded(option: SocketOption, number: int) -> int | str:
    return option.words[number].word if number in option.words else number


def name_of(option: SocketOption) -> str:
    return option.name


def check(result: Result) -> None:
    """Everything that must hold of one trial."""
    name, word, error = result["option"], result["word"], result["errno"]
    assert word in WORDS, result
    assert word != "different", result
    assert result["blind"] != "different", result
    assert bool(error) == (word in FAILED), result
    assert result["note"] or word not in FAILED | {"clamped", "no-effect"}, result
    refusal = result["expected"].startswith("will be refused")
    if error:
        assert refusal or error not in ("EINVAL", "EDOM") or name in REFUSED_UNFORETOLD, result
        return
    assert not refusal, result
    if word not in ("no-effect", "momentary", "moving"):
        hidden = result["after"] is None or name in NOTHING_PROMISED
        # Half of a locked buffer: the size of the buffer is not asked for.
        hidden |= (name, word, result["clamped_by"]) == ("SO_RCVLOWAT", "clamped", None)
        assert result["agrees"] == "matches" or hidden, result
        foretold(result)
    assert result["agrees"] != "differs", result
    assert result["blindly_agrees"] != "differs", result


def foretold(result: Result) -> None:
    """What `--dry-run` says must be what reads."""
    text, after = result["expected"], result["after"]
    if result["option"] in READS_UNFORETOLD or after is None:
        return
    if text.startswith("will read "):
        shown = str(after).lower() if isinstance(after, bool) else str(after)
        assert text.startswith(f"will read {shown}:"), result
    elif after != result["value"]:
        assert text, result


def test_every_option_is_tried_or_is_left_out_for_a_reason() -> None:
    names = {option.name for option in OPTIONS if option.settable}
    assert names - NOT_SET.keys() == {option.name for option in TRIED} - {BACKLOG.name}
    assert NOT_SET.keys() <= {option.name for option in OPTIONS}


@pytest.mark.parametrize("option", TRIED, ids=name_of)
def test_the_kernel_does_what_is_foretold(option: SocketOption, probe: Prober) -> None:
    for result in probe(option, *edges(option)):
        check(result)


NUMERIC: Final = [
    option
    for option in TRIED
    if option.codec in (Codec.INT, Codec.UINT, Codec.UINT64, Codec.TIMEVAL, Codec.TOS)
]


@pytest.mark.parametrize("option", NUMERIC, ids=name_of)
def test_and_for_any_number(option: SocketOption, probe: Prober) -> None:
    low, high = carried(option.codec)
    accepted = st.integers(
        low if option.minimum is None else max(low, option.minimum - 2),
        high if option.maximum is None else min(high, option.maximum + 2),
    )
    small = st.integers(max(low, -2), 100_000)

    @settings(max_examples=4, derandomize=True, database=None)
    @given(st.lists(st.one_of(accepted, small), min_size=4, max_size=8))
    def holds(numbers: list[int]) -> None:
        for result in probe(option, *(worded(option, number) for number in numbers)):
            check(result)

    holds()


@pytest.mark.parametrize(
    ("name", "values", "prior"),
    [
        ("SO_RCVLOWAT", [1, 5_000, 40_000, 1 << 20, -1], {"SO_RCVBUF": 20_000}),
        ("TCP_DEFER_ACCEPT", [1, 60, 100, 3_000], {"TCP_RTO_MAX_MS": 1_000}),
        ("TCP_WINDOW_CLAMP", [1, 5_000, 1 << 20], {"SO_RCVBUF": 20_000}),
        ("SO_BUF_LOCK", [[], ["send"], ["receive"], ["send", "receive"]], {"SO_SNDBUF": 20_000}),
        ("SO_SNDBUF", [1_000, 20_000, 1 << 23], {"SO_BUF_LOCK": []}),
        ("SO_PRIORITY", [0, 6, 3], {"IP_TOS": 0xB8}),
        ("IP_TOS", [0xB8, 0xB9, 3, 0], {"SO_PRIORITY": 5}),
        ("TCP_CORK", [True, False], {"TCP_NODELAY": True}),
        ("TCP_KEEPCNT", [3, 4], {"TCP_USER_TIMEOUT": 20_000}),
        ("SO_MAX_PACING_RATE", [1_000_000, "unlimited"], {"TCP_CONGESTION": "bbr"}),
        ("TCP_RTO_MIN_US", [20_000], {"TCP_RTO_MAX_MS": 1_000}),
    ],
)
def test_and_after_an_option_that_bears_upon_it(
    name: str, values: list[object], prior: dict[str, object], probe: Prober
) -> None:
    for result in probe(BY_NAME[name], *values, **prior):
        check(result)


def words_of(results: list[Result], value: object, state: str = "established") -> set[str]:
    return {r["word"] for r in results if r["value"] == value and r["state"] == state}


def test_asked_for_8_mib_and_reads_8_mib_is_clamped(probe: Prober) -> None:
    limit = int(Path("/proc/sys/net/core/wmem_max").read_text())
    for result in probe(BY_NAME["SO_SNDBUF"], 2 * limit):
        assert (result["word"], result["after"]) == ("clamped", 2 * limit), result
        assert result["clamped_by"] == "net.core.wmem_max"
        assert f"{2 * limit} to {limit}" in result["note"]


def test_options_that_come_too_late_have_no_effect(probe: Prober) -> None:
    for name, value in {"TCP_MAXSEG": 1000, "SO_REUSEADDR": True, "TCP_DEFER_ACCEPT": 3}.items():
        found = probe(BY_NAME[name], value)
        plain = [r for r in found if not r["kind"].startswith("mptcp")]
        assert words_of(plain, value) == {"no-effect"}
        assert words_of(plain, value, "closed") == {"set"}


def test_ecn_bits_are_tcps_own(probe: Prober) -> None:
    found = [r for r in probe(BY_NAME["IP_TOS"], 0xB8) if r["kind"] == "ipv4"]
    assert {r["after"] for r in found if r["state"] == "closed"} == {0xB8}
    assert {(r["after"], r["word"]) for r in found if r["state"] == "established"} == {
        (0xBA, "masked")
    }


# -- without rights ------------------------------------------------------------------------

TAKES_A_RIGHT: Final = {
    "SO_DEBUG", "SO_PRIORITY", "SO_BINDTODEVICE", "SO_SNDBUFFORCE", "SO_RCVBUFFORCE", "SO_MARK",
    "SO_LOCK_FILTER", "SO_BINDTOIFINDEX", "SO_PREFER_BUSY_POLL", "SO_BUSY_POLL_BUDGET",
    "TCP_TIMESTAMP", "IP_TRANSPARENT", "TCP_CONGESTION",
}  # fmt: skip
"""Options of which some value is refused to an ordinary user."""


@pytest.mark.parametrize("option", TRIED, ids=name_of)
def test_an_ordinary_user_is_told_which_right_is_missing(
    option: SocketOption, probe_as_nobody: Prober
) -> None:
    results = probe_as_nobody(option, *edges(option))
    for result in results:
        check(result)
    refused = [r for r in results if r["word"] == "not-permitted"]
    # SO_RCVMARK took a capability in its first releases only, and TCP_CONGESTION takes one
    # where an algorithm is not allowed to all.
    if option.name not in ("TCP_CONGESTION", "SO_RCVMARK"):
        assert bool(refused) == (option.name in TAKES_A_RIGHT)
    for result in refused:
        assert "CAP_" in result["note"] or option.name == "SO_LOCK_FILTER", result


def test_a_caller_with_all_rights_is_refused_nothing_for_want_of_one(probe: Prober) -> None:
    if os.geteuid() != 0 or not may_force_buffers():
        return
    for name in sorted(TAKES_A_RIGHT - {"SO_LOCK_FILTER", "TCP_TIMESTAMP"}):
        option = BY_NAME[name]
        assert "not-permitted" not in {r["word"] for r in probe(option, *edges(option))}


def may_force_buffers() -> bool:
    """Whether the rights are those of the first user namespace."""
    with socket.socket() as own:
        return not write_option(OpenDescriptor(own.fileno()), BY_NAME["SO_SNDBUFFORCE"], bytes(4))


# -- what the kernel moves -----------------------------------------------------------------


def test_a_window_clamp_that_the_kernel_moves_is_not_held_against_anybody() -> None:
    option = BY_NAME["TCP_WINDOW_CLAMP"]

    def clamp(sock: socket.socket) -> OptionValue:
        raw = read_option(OpenDescriptor(sock.fileno()), option)
        assert isinstance(raw, bytes)
        return decode_option(option, raw)

    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as client,
        listener.accept()[0] as accepted,
    ):
        raw = encode_option(option, 9_000)
        assert write_option(OpenDescriptor(accepted.fileno()), option, raw) == 0
        for _ in range(1_000):
            if clamp(accepted) != 9_000:
                break
            client.sendall(bytes(4_096))
            accepted.recv(1 << 16)
        now = clamp(accepted)
    outcome = agrees(Assignment(option, 9_000, ""), now, Circumstances(state="established"))
    assert outcome.word == ("matches" if now == 9_000 else "not-checkable")
