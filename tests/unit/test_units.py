"""Sizes, durations and rates: what people write, what they are shown."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcptool.units import (
    Unit,
    human,
    parse_duration_us,
    parse_rate,
    parse_size,
    parse_value,
    split_unit,
)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("1b", 1),
        ("64K", 65_536),
        ("64k", 65_536),
        ("64KB", 65_536),
        ("64KiB", 65_536),
        (" 64 kib ", 65_536),
        ("1.5M", 1_572_864),
        ("1G", 1 << 30),
        ("2T", 2 << 40),
        ("9007199254740993", (1 << 53) + 1),
        ("18446744073709551615", (1 << 64) - 1),
    ],
)
def test_size(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "duration_us"),
    [
        ("50us", 50),
        ("50µs", 50),
        ("200ms", 200_000),
        ("1.5 ms", 1500),
        ("30s", 30_000_000),
        ("2m", 120_000_000),
        ("2 min", 120_000_000),
        ("1h", 3_600_000_000),
    ],
)
def test_duration(text: str, duration_us: int) -> None:
    assert parse_duration_us(text) == duration_us


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("20mbit", 2_500_000),
        ("20 Mbit/s", 2_500_000),
        ("1gbit", 125_000_000),
        ("1tbit", 125_000_000_000),
        ("9.6kbit/s", 1200),
        ("8bit", 1),
        ("10MB/s", 10 << 20),
        ("10MiB/s", 10 << 20),
        ("10B/s", 10),
        ("1k/s", 1024),
        ("1000", 1000),
        ("18446744073709551615", (1 << 64) - 1),
    ],
)
def test_rate(text: str, rate: int) -> None:
    assert parse_rate(text) == rate


WRONG_SIZES = [
    "",
    "K",
    "-1",
    "1e3",
    "64Q",
    "64 K B",
    "0x10",
    "1.",
    ".5",
    "٣",
    "nan",
    "inf",
    "64bb",
    "64ib",
]
WRONG_DURATIONS = ["", "5", "ms", "5 days", "5 MS", "-1s", "1:30"]
WRONG_RATES = ["", "mbit", "10M", "10mbits", "-1mbit", "10 qbit", "10QB/s", "10ib/s"]
TOO_LONG = ["9" * 400, "9" * 400 + "K", "0." + "9" * 400]


@pytest.mark.parametrize("text", [*WRONG_SIZES, *TOO_LONG])
def test_a_wrong_size_is_told_what_is_accepted(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size such as 4096, 64K, 100M or 1G"):
        parse_size(text)


@pytest.mark.parametrize("text", [*WRONG_DURATIONS, *TOO_LONG, "9" * 400 + "s"])
def test_a_wrong_duration_is_told_what_is_accepted(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration such as 50us, 200ms, 30s or 2m"):
        parse_duration_us(text)


@pytest.mark.parametrize("text", [*WRONG_RATES, *TOO_LONG, "9" * 400 + "mbit"])
def test_a_wrong_rate_is_told_what_is_accepted(text: str) -> None:
    with pytest.raises(ValueError, match="is not a rate such as 20mbit, 1gbit or 10MB/s"):
        parse_rate(text)


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("5", Unit.COUNT, 5),
        ("0.5", Unit.PERCENT, 0.5),
        ("0.5%", Unit.PERCENT, 0.5),
        ("0.5 %", Unit.PERCENT, 0.5),
        ("3", Unit.PACKETS, 3),
        ("1500", Unit.MICROSECONDS, 1500),
        ("1.5ms", Unit.MICROSECONDS, 1500),
        ("1s", Unit.MILLISECONDS, 1000),
        ("500us", Unit.MILLISECONDS, 0.5),
        ("2m", Unit.SECONDS, 120),
        ("64K", Unit.BYTES, 65_536),
        ("65536", Unit.BYTES, 65_536),
        ("8mbit", Unit.BYTES_PER_SECOND, 1_000_000),
        ("18446744073709551615", Unit.COUNT, (1 << 64) - 1),
    ],
)
def test_a_value_is_read_in_the_unit_of_its_name(text: str, unit: Unit, value: float) -> None:
    read = parse_value(text, unit)
    assert read == value
    assert (
        isinstance(read, int)
        or "." in text
        or unit in (Unit.MILLISECONDS, Unit.SECONDS, Unit.MICROSECONDS)
    )


@pytest.mark.parametrize("unit", [Unit.COUNT, Unit.PACKETS, Unit.PERCENT])
@pytest.mark.parametrize("text", ["", "x", "1K", "1ms", "-1", "1e3", "%", "٣", "1%%"])
def test_a_wrong_number_is_refused(text: str, unit: Unit) -> None:
    with pytest.raises(ValueError, match="is not a number"):
        parse_value(text, unit)


@pytest.mark.parametrize("unit", list(Unit))
def test_a_number_of_any_length_is_read_or_refused_in_our_words(unit: Unit) -> None:
    with pytest.raises(ValueError, match=r"is not a (number|size|duration|rate)"):
        parse_value("9" * 5000, unit)


@given(st.text() | st.text("0123456789.kKmMgGiIbBtTuµsh%/ "), st.sampled_from(Unit))
def test_any_text_is_read_as_a_number_or_refused(text: str, unit: Unit) -> None:
    try:
        value = parse_value(text, unit)
    except ValueError as exc:
        value, refusal = 0, str(exc)
    else:
        refusal = ""
    assert math.isfinite(value)
    assert value >= 0
    assert not refusal or "is not a" in refusal


@given(st.integers(0, (1 << 64) - 1))
def test_whole_numbers_are_exact(number: int) -> None:
    assert parse_size(str(number)) == number
    assert parse_size(f"{number}K") == number << 10
    assert parse_duration_us(f"{number}ms") == number * 1000
    assert parse_rate(str(number)) == number
    assert parse_rate(f"{number}kbit") == number * 125


SHOWN = [
    (0, Unit.COUNT, "0"),
    (3, Unit.COUNT, "3"),
    (1_234_567, Unit.COUNT, "1 234 567"),
    (2.5, Unit.COUNT, "2.5"),
    (10, Unit.PACKETS, "10 pkt"),
    (0, Unit.MICROSECONDS, "0 µs"),
    (1500, Unit.MICROSECONDS, "1.5 ms"),
    (999, Unit.MICROSECONDS, "999 µs"),
    (90, Unit.SECONDS, "1.5 min"),
    (12, Unit.MILLISECONDS, "12 ms"),
    (0.5, Unit.MICROSECONDS, "0.5 µs"),
    (0, Unit.BYTES, "0 B"),
    (0, Unit.MILLISECONDS, "0 ms"),
    (0, Unit.SECONDS, "0 s"),
    (7200, Unit.SECONDS, "2 h"),
    (65_536, Unit.BYTES, "65536 B"),
    (131_072, Unit.BYTES, "128 KiB"),
    (1023, Unit.BYTES, "1023 B"),
    (1_572_864, Unit.BYTES, "1.5 MiB"),
    (10 << 30, Unit.BYTES, "10 GiB"),
    (1 << 42, Unit.BYTES, "4 TiB"),
    (1_200_000, Unit.BYTES_PER_SECOND, "9.6 Mbit/s"),
    (125, Unit.BYTES_PER_SECOND, "1 kbit/s"),
    (1, Unit.BYTES_PER_SECOND, "8 bit/s"),
    (125e9, Unit.BYTES_PER_SECOND, "1 Tbit/s"),
    (12.345, Unit.PERCENT, "12.3 %"),
    (0, Unit.PERCENT, "0 %"),
    (0.1234, Unit.SECONDS_PER_GIGABYTE, "0.12 s/GB"),
]


@pytest.mark.parametrize(("value", "unit", "shown"), SHOWN)
def test_human(value: float, unit: Unit, shown: str) -> None:
    assert human(value, unit) == shown


MEASURES = [
    Unit.BYTES,
    Unit.MICROSECONDS,
    Unit.MILLISECONDS,
    Unit.SECONDS,
    Unit.BYTES_PER_SECOND,
    Unit.PERCENT,
]


@given(st.integers(1, 10**15), st.sampled_from(MEASURES))
def test_what_is_shown_can_be_typed_and_means_nearly_the_same(value: int, unit: Unit) -> None:
    # Three significant digits are shown, and what is read is rounded to whole bytes.
    shown = human(value, unit)
    if "e+" not in shown:  # a million percent
        assert parse_value(shown, unit) == pytest.approx(value, rel=0.006, abs=1)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("rtt_us", ("rtt", Unit.MICROSECONDS)),
        ("last_data_sent_ms", ("last_data_sent", Unit.MILLISECONDS)),
        ("elapsed_s", ("elapsed", Unit.SECONDS)),
        ("pacing_rate_bytes_per_s", ("pacing_rate", Unit.BYTES_PER_SECOND)),
        ("sent_bytes", ("sent", Unit.BYTES)),
        ("snd_cwnd_packets", ("snd_cwnd", Unit.PACKETS)),
        ("retrans_percent", ("retrans", Unit.PERCENT)),
        ("segs_out", ("segs_out", Unit.COUNT)),
        ("tos", ("tos", Unit.COUNT)),
        ("bytes", ("bytes", Unit.COUNT)),
    ],
)
def test_a_name_ends_in_its_unit(name: str, split: tuple[str, Unit]) -> None:
    assert split_unit(name) == split
