"""The table of socket options against the running kernel, on sockets of our own."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import socket
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tcptool.catalog.options import (
    BY_NAME,
    OPTIONS,
    Codec,
    Family,
    ReadBack,
    SocketOption,
    When,
)
from tcptool.decode.options import OptionValue, decode_option

LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
FAMILIES = [socket.AF_INET, socket.AF_INET6]
SETTABLE = [option for option in OPTIONS if option.readable and option.settable]

MISSING = {errno.ENOPROTOOPT, errno.EOPNOTSUPP}
"""This kernel, or a socket of this family, lacks the option."""

_libc = ctypes.CDLL(None, use_errno=True)


def ask(sock: socket.socket, option: SocketOption) -> bytes:
    """getsockopt() without CPython's limits: it cannot tell an empty answer from a failure."""
    buffer = ctypes.create_string_buffer(option.size)
    length = ctypes.c_uint32(option.size)
    arguments = (sock.fileno(), option.level, option.number, buffer, ctypes.byref(length))
    if _libc.getsockopt(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), option.name)
    return buffer.raw[: length.value]


def read(sock: socket.socket, option: SocketOption) -> OptionValue:
    return decode_option(option, ask(sock, option))


def read_unless(allowed: set[int], sock: socket.socket, option: SocketOption) -> OptionValue | None:
    """The value, or None if the kernel refuses with one of these errors."""
    try:
        return read(sock, option)
    except OSError as exc:
        if exc.errno in allowed:
            return None
        raise


def i32(number: int) -> bytes:
    return struct.pack("=I", number & 0xFFFFFFFF)


@contextlib.contextmanager
def pair(
    family: socket.AddressFamily, option: SocketOption | None = None, value: bytes = b""
) -> Iterator[tuple[socket.socket, socket.socket, socket.socket]]:
    """Listener, client and accepted connection; ``option`` is set before bind()."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(family))
        if option is not None:
            listener.setsockopt(option.level, option.number, value)
        listener.bind((LOOPBACK[family], 0))
        listener.listen()
        client = stack.enter_context(socket.create_connection(listener.getsockname()[:2]))
        client.sendall(b"x")  # a listener with TCP_DEFER_ACCEPT waits for it
        accepted = stack.enter_context(listener.accept()[0])
        yield listener, client, accepted


def as_family(option: SocketOption) -> socket.AddressFamily:
    return socket.AF_INET6 if option.family is Family.IPV6 else socket.AF_INET


def ids(value: object) -> str | None:
    return value.name if isinstance(value, SocketOption) else None


@pytest.fixture(params=FAMILIES, ids=["ipv4", "ipv6"], scope="module")
def sockets(request: pytest.FixtureRequest) -> Iterator[dict[str, socket.socket]]:
    family = request.param
    with socket.socket(family) as fresh, pair(family) as (listener, client, accepted):
        yield {"fresh": fresh, "listening": listener, "connected": client, "accepted": accepted}


@pytest.mark.parametrize("state", ["fresh", "listening", "connected", "accepted"])
@pytest.mark.parametrize("option", [o for o in OPTIONS if o.readable], ids=ids)
def test_every_readable_option_decodes_or_is_missing(
    option: SocketOption, state: str, sockets: Mapping[str, socket.socket]
) -> None:
    unconnected = state in {"fresh", "listening"} and option.name in {"IP_MTU", "IPV6_MTU"}
    value = read_unless(
        MISSING | {errno.ENOTCONN} if unconnected else MISSING, sockets[state], option
    )
    if option.codec is not Codec.STRUCT:
        assert not str(value).startswith("hex:")
    assert "unknown-" not in str(value)


@pytest.mark.parametrize("family", FAMILIES, ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("option", [o for o in OPTIONS if o.default is not None], ids=ids)
def test_default_is_what_a_fresh_socket_reads(
    option: SocketOption, family: socket.AddressFamily
) -> None:
    if option.family is Family.IPV6:
        family = socket.AF_INET6
    with socket.socket(family) as fresh:
        value = read_unless(MISSING, fresh, option)
    if value is not None:
        assert value == option.default
        assert type(value) is type(option.default)


def sysctl(name: str) -> str | None:
    """The text of ``net.ipv4.tcp_wmem[1]``; None where the kernel has no such sysctl."""
    path, _, index = name.removesuffix("]").partition("[")
    try:
        text = Path("/proc/sys", *path.split(".")).read_text(encoding="ascii")
    except FileNotFoundError:
        return None
    return text.split()[int(index or 0)]


@pytest.mark.parametrize("option", [o for o in OPTIONS if o.default_sysctl], ids=ids)
def test_default_is_the_sysctl(option: SocketOption) -> None:
    with socket.socket(as_family(option)) as fresh:
        text = sysctl(option.default_sysctl)
        if text is None:  # an older kernel, or a namespace that lacks net.core.busy_read
            return
        assert read(fresh, option) == (text if option.codec is Codec.STRING else int(text))


# A value that differs from the default, for each option that is not a boolean.
SAMPLES: dict[str, bytes] = {
    "SO_SNDBUF": i32(65536),
    "SO_RCVBUF": i32(50000),
    "SO_PRIORITY": i32(5),
    "SO_LINGER": struct.pack("=ii", 1, 7),
    "SO_RCVLOWAT": i32(2),
    "SO_RCVTIMEO": struct.pack("=qq", 30, 0),
    "SO_SNDTIMEO": struct.pack("=qq", 30, 0),
    "SO_RCVTIMEO_NEW": struct.pack("=qq", 30, 0),
    "SO_SNDTIMEO_NEW": struct.pack("=qq", 30, 0),
    "SO_BINDTODEVICE": b"lo",
    "SO_MARK": i32(7),
    "SO_TIMESTAMPING": i32(0x18),
    "SO_PEEK_OFF": i32(1),
    "SO_BUSY_POLL": i32(50),
    "SO_MAX_PACING_RATE": struct.pack("=Q", 10**10),
    "SO_INCOMING_CPU": i32(999),
    "SO_TXTIME": struct.pack("=iI", 1, 2),
    "SO_BINDTOIFINDEX": i32(1),
    "SO_BUF_LOCK": i32(1),
    "TCP_KEEPIDLE": i32(33),
    "TCP_KEEPINTVL": i32(33),
    "TCP_KEEPCNT": i32(3),
    "TCP_SYNCNT": i32(3),
    "TCP_LINGER2": i32(33),
    "TCP_DEFER_ACCEPT": i32(1),
    "TCP_WINDOW_CLAMP": i32(4000),
    "TCP_USER_TIMEOUT": i32(30000),
    "TCP_FASTOPEN": i32(5),
    "TCP_NOTSENT_LOWAT": i32(16384),
    "TCP_SAVE_SYN": i32(1),
    "TCP_TX_DELAY": i32(8),
    "TCP_RTO_MAX_MS": i32(5000),
    "TCP_RTO_MIN_US": i32(20000),
    "TCP_DELACK_MAX_US": i32(20000),
    "IP_TOS": i32(0xB8),
    "IP_TTL": i32(33),
    "IP_OPTIONS": b"\1\1\1\1",
    "IP_MTU_DISCOVER": i32(3),
    "IP_MINTTL": i32(1),
    "IP_UNICAST_IF": struct.pack(">I", 1),
    "IP_LOCAL_PORT_RANGE": i32(40000 | 50000 << 16),
    "IPV6_UNICAST_HOPS": i32(33),
    "IPV6_MTU_DISCOVER": i32(3),
    "IPV6_TCLASS": i32(0xB8),
    "IPV6_ADDR_PREFERENCES": i32(1),
    "IPV6_MINHOPCOUNT": i32(1),
}
CANNOT_BE_SAMPLED = {
    "TCP_MAXSEG",  # below, by itself
    "TCP_TIMESTAMP",  # in repair mode only
    "TCP_QUICKACK",  # listen() sets it back
    "TCP_ULP",  # needs a module
    "SO_RESERVE_MEM",  # needs a memory cgroup
    "IPV6_MTU",  # cannot be read before connect
    "IPV6_V6ONLY",  # binding to ::1 turns it on
}


def has_sample(option: SocketOption) -> bool:
    works_on_tcp = option.when is not When.NO_EFFECT or option.default is not None
    return (
        works_on_tcp
        and option.reads_back is not ReadBack.IGNORED
        and option.name not in CANNOT_BE_SAMPLED
    )


def sample(option: SocketOption, default: OptionValue) -> bytes:
    """A value to set that is not ``default``, whatever the sysctls of this host are."""
    if option.codec is Codec.BOOLEAN:
        return i32(not default)
    if option.name == "TCP_CONGESTION":
        available = Path("/proc/sys/net/ipv4/tcp_allowed_congestion_control").read_text("ascii")
        return next((n.encode() for n in available.split() if n != default), b"reno")
    asked = SAMPLES[option.name]
    if decode_option(option, asked) == default and isinstance(default, int):
        return i32(2 * default)
    return asked


def skip_unless_possible(exc: OSError) -> None:
    """An old kernel lacks the option, an ordinary user may not set it; nothing else is allowed."""
    if exc.errno in {errno.EPERM, errno.EACCES, *MISSING}:
        pytest.skip(f"cannot be set here: {exc}")
    raise exc


@pytest.mark.parametrize("option", [o for o in SETTABLE if has_sample(o)], ids=ids)
def test_accept_passes_it_on_as_the_table_says(option: SocketOption) -> None:
    family = as_family(option)
    try:
        with socket.socket(family) as fresh:
            default = read(fresh, option)
        asked = sample(option, default)
        with pair(family, option, asked) as (listener, _, accepted):
            held, got = read(listener, option), read(accepted, option)
    except OSError as exc:
        skip_unless_possible(exc)
    else:
        assert held != default
        assert (got == held) == option.inherited
        if option.reads_back is ReadBack.SAME:
            assert held == decode_option(option, asked)


def test_accepted_connection_loses_the_timestamps_from_maxseg() -> None:
    option = BY_NAME["TCP_MAXSEG"]
    with pair(socket.AF_INET, option, i32(1000)) as (listener, _, accepted):
        assert read(listener, option) == 1000
        timestamps = sysctl("net.ipv4.tcp_timestamps")
        assert read(accepted, option) == (1000 if timestamps == "0" else 988)


@pytest.mark.parametrize(
    ("name", "asked", "stored"),
    [
        ("SO_SNDBUF", 65536, 131072),
        ("SO_SNDBUF", 0, 4608),
        ("SO_RCVBUF", 65536, 131072),
        ("SO_RCVBUF", 0, 2304),
        ("SO_BSDCOMPAT", 1, False),
        ("SO_RCVLOWAT", 0, 1),
        ("TCP_LINGER2", 500, 120),
        ("TCP_LINGER2", -5, "none"),
        ("TCP_DEFER_ACCEPT", 2, 3),
        ("TCP_DEFER_ACCEPT", 100000, 29887),
        ("TCP_QUICKACK", 2, True),
        ("TCP_THIN_DUPACK", 1, False),
        ("TCP_WINDOW_CLAMP", 1, 1152),
        ("IP_TOS", 0xB9, 0xB8),
        ("IP_TOS", -1, 252),
        ("IPV6_TCLASS", 0xB9, 0xB8),
        ("IPV6_TCLASS", -1, 0),
    ],
)
def test_stored_value_differs_from_the_one_asked_for(
    name: str, asked: int, stored: OptionValue
) -> None:
    option = BY_NAME[name]
    assert option.reads_back is not ReadBack.SAME
    with socket.socket(as_family(option)) as fresh:
        fresh.setsockopt(option.level, option.number, i32(asked))
        assert read(fresh, option) == stored


@pytest.mark.parametrize("name", ["SO_RCVTIMEO", "TCP_RTO_MIN_US", "TCP_DELACK_MAX_US"])
def test_time_is_rounded_up_to_a_tick(name: str) -> None:
    option = BY_NAME[name]
    asked = 20_001
    raw = struct.pack("=qq", 0, asked) if option.codec is Codec.TIMEVAL else i32(asked)
    with socket.socket() as fresh:
        try:
            fresh.setsockopt(option.level, option.number, raw)
        except OSError as exc:
            skip_unless_possible(exc)
        stored = read(fresh, option)
    assert isinstance(stored, int)
    assert asked < stored <= asked + 10_000  # HZ is 100 to 1000


def test_fastopen_queue_is_cut_to_somaxconn() -> None:
    option = BY_NAME["TCP_FASTOPEN"]
    with socket.socket() as fresh:
        fresh.setsockopt(option.level, option.number, i32(1 << 30))
        assert read(fresh, option) == int(sysctl("net.core.somaxconn") or 0)


@pytest.mark.parametrize(
    "option",
    [
        option
        for option in OPTIONS
        if option.settable and (option.minimum, option.maximum) != (None, None) and option.size == 4
    ],
    ids=ids,
)
def test_range_is_what_the_kernel_accepts(option: SocketOption) -> None:
    def outcome(value: int) -> int:
        with socket.socket(as_family(option)) as fresh:
            try:
                fresh.setsockopt(option.level, option.number, i32(value))
            except OSError as exc:
                return exc.errno or -1
        return 0

    # EOPNOTSUPP: SO_RESERVE_MEM without a memory cgroup, Fast Open disabled
    elsewhere = {errno.EPERM, *MISSING}
    if option.minimum is not None:
        assert outcome(option.minimum) in {0} | elsewhere
        assert outcome(option.minimum - 1) in {errno.EINVAL} | elsewhere
    if option.maximum is not None:
        assert outcome(option.maximum) in {0} | elsewhere
        if option.maximum < (1 << 31) - 1:
            assert outcome(option.maximum + 1) in {errno.EINVAL} | elsewhere


@pytest.mark.parametrize("option", [o for o in OPTIONS if not o.settable and o.readable], ids=ids)
def test_read_only_option_cannot_be_set(option: SocketOption) -> None:
    with socket.socket(as_family(option)) as fresh:
        with pytest.raises(OSError, match=re.escape("[Errno")) as caught:
            fresh.setsockopt(option.level, option.number, bytes(max(option.size, 4)))
        assert caught.value.errno in MISSING
