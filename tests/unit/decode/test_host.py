"""Text of /proc about the host: whole, cut off and nonsense."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcptool.decode.host import (
    default_links,
    parse_cpus,
    parse_memory_bytes,
    parse_open_files_limit,
    parse_softnet,
)
from tcptool.model.host import CpuTicks, Softnet

# Linux 6.18, two CPUs of three; the second is offline.
SOFTNET = (
    "0da346ea 0000006c 00000012 00000000 00000000 00000000 00000000 00000000 00000000 00000000 "
    "00000000 00000000 00000000 00000000 00000000\n"
    "0d71c50a 00000067 00000007 00000000 00000000 00000000 00000000 00000000 00000000 00000000 "
    "00000000 00000000 00000002 00000000 00000000\n"
)


def test_softnet() -> None:
    assert parse_softnet(SOFTNET) == (
        Softnet(0, 0x0DA346EA, 0x6C, 0x12),
        Softnet(2, 0x0D71C50A, 0x67, 7),
    )


def test_softnet_of_old_kernels_has_no_cpu() -> None:
    text = "0000000a 00000001 00000002\n0000000b 00000000 00000000\n"
    assert parse_softnet(text) == (Softnet(0, 10, 1, 2), Softnet(1, 11, 0, 0))


@pytest.mark.parametrize(("columns", "cpu"), [(11, 0), (12, 0), (13, 9), (15, 9)])
def test_the_cpu_is_in_the_13th_column(columns: int, cpu: int) -> None:
    line = " ".join(["00000001"] * 12 + ["00000009"] * 3)
    [found] = parse_softnet(line[: 9 * columns])
    assert found == Softnet(cpu, 1, 1, 1)


@pytest.mark.parametrize("text", ["", "\n", "1 2\n", "x y z\n"])
def test_softnet_that_cannot_be_read(text: str) -> None:
    assert parse_softnet(text) == ()


def test_cpus() -> None:
    text = (
        "cpu  696538 11 281579 1969175 2086 0 107018 410 0 0\n"
        "cpu0 100 1 20 1000 5 6 70 8 50 0\n"
        "cpu12 1 2 3 4 5 6 7 8 9 10\n"
        "intr 1 2\nctxt 5\n"
    )
    assert parse_cpus(text) == (CpuTicks(0, 1210, 70, 8), CpuTicks(12, 36, 7, 8))


@pytest.mark.parametrize(
    "text", ["", "\n", "cpu0\n", "cpu0 1 2 3\n", "cpu0 a b c d e f g h\n", "7 1\n"]
)
def test_cpus_that_cannot_be_read(text: str) -> None:
    assert parse_cpus(text) == ()


ROUTE = (
    "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
    "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
    "eth1\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
)
ZEROS = "0" * 32
IPV6_ROUTE = (
    f"{ZEROS} 00 {ZEROS} 00 {ZEROS} 00000400 00000001 00000000 00000003 wlan0\n"
    f"{ZEROS} 00 {ZEROS} 00 {ZEROS} ffffffff 00000001 00000000 00200200 lo\n"
    f"fe80{ZEROS[4:]} 40 {ZEROS} 00 {ZEROS} 00000100 00000001 00000000 00000001 eth9\n"
)


def test_devices_of_default_routes() -> None:
    assert default_links(ROUTE, IPV6_ROUTE) == {"eth0", "wlan0"}
    assert default_links("", "") == frozenset()
    assert default_links("Iface\neth5 00000000 0 0 0 0 0 00000000\n", "") == {"eth5"}
    assert default_links("Iface\neth0\t00000000\n", "short\n") == frozenset()


LIMITS = (
    "Limit                     Soft Limit           Hard Limit           Units     \n"
    "Max processes             95000                95000                processes \n"
    "Max open files            {}                 {}               files     \n"
)


@pytest.mark.parametrize(
    ("soft", "hard", "expected"),
    [
        ("1024", "524288", (1024, 524_288)),
        ("unlimited", "unlimited", (None, None)),
        ("1024", "many", None),
        ("", "", None),
    ],
)
def test_limit_of_open_files(
    soft: str, hard: str, expected: tuple[int | None, int | None] | None
) -> None:
    assert parse_open_files_limit(LIMITS.format(soft, hard)) == expected


def test_limits_without_open_files() -> None:
    assert parse_open_files_limit("") is None
    assert parse_open_files_limit("Max open files 5\n") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("MemTotal:       24683916 kB\nMemFree: 5 kB\n", 24_683_916 * 1024),
        ("MemFree: 5 kB\n", None),
        ("MemTotal: 7\n", 7 * 1024),
        ("MemTotal:\n", None),
        ("MemTotal: lots kB\n", None),
    ],
)
def test_memory(text: str, expected: int | None) -> None:
    assert parse_memory_bytes(text) == expected


@given(st.text())
def test_nothing_is_too_strange(text: str) -> None:
    for parse in (parse_softnet, parse_cpus, parse_open_files_limit, parse_memory_bytes):
        parse(text)
    default_links(text, text)
