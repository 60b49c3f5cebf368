"""Units: the suffix a name ends in, how people write a value and how it is shown.

Sizes are powers of 1024 (``64K`` is 65 536 bytes); rates in bits are powers of 1000
(``20mbit`` is 20 000 000 bits a second), as everyone in networking writes them.
"""

from __future__ import annotations

import enum
import re


class Unit(enum.StrEnum):
    """What a number counts.  The value is the suffix of every name that holds it."""

    COUNT = ""
    BYTES = "bytes"
    PACKETS = "packets"
    MICROSECONDS = "us"
    MILLISECONDS = "ms"
    SECONDS = "s"
    BYTES_PER_SECOND = "bytes_per_s"
    SECONDS_PER_GIGABYTE = "s_per_gb"
    PERCENT = "percent"


# 20 digits hold every 64-bit number; many more would overflow a float.
_DIGITS = r"[0-9]{1,20}(?:\.[0-9]{1,20})?"
_NUMBER = re.compile(rf"(?P<number>{_DIGITS})\s*(?P<suffix>[A-Za-zµ%/]*)\Z")
_PREFIXES = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SIZES = {"": 1, "b": 1} | {p + b: n for p, n in _PREFIXES.items() for b in ("", "b", "ib")}
_TIMES_US = {
    "us": 1,
    "µs": 1,
    "ms": 1000,
    "s": 1_000_000,
    "m": 60_000_000,
    "min": 60_000_000,
    "h": 3_600_000_000,
}
_RATES = {"bit": 0.125, "kbit": 125, "mbit": 125_000, "gbit": 125_000_000, "tbit": 125_000_000_000}
_TICKS_US = {Unit.MICROSECONDS: 1, Unit.MILLISECONDS: 1000, Unit.SECONDS: 1_000_000}


def _split(text: str, accepted: str) -> tuple[float, str]:
    """The number, exact where it is whole, and what follows it."""
    match = _NUMBER.match(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not {accepted}")
    return _number(match["number"]), match["suffix"]


def _number(digits: str) -> float:
    return float(digits) if "." in digits else int(digits)


def parse_size(text: str) -> int:
    """Bytes.  ``4096``, ``64K``, ``64KiB``, ``1.5M``; ValueError says what is accepted."""
    accepted = "a size such as 4096, 64K, 100M or 1G"
    number, suffix = _split(text, accepted)
    factor = _SIZES.get(suffix.lower())
    if factor is None:
        raise ValueError(f"{text!r} is not {accepted}")
    return round(number * factor)


def parse_duration_us(text: str) -> int:
    """Microseconds.  ``200ms``, ``30s``, ``2m``, ``50us``; a bare number needs a unit."""
    accepted = "a duration such as 50us, 200ms, 30s or 2m"
    number, suffix = _split(text, accepted)
    factor = _TIMES_US.get(suffix)
    if factor is None:
        raise ValueError(f"{text!r} is not {accepted}")
    return round(number * factor)


def parse_rate(text: str) -> int:
    """Bytes per second.  ``20mbit``, ``1gbit``, ``10MB/s``; a bare number is bytes per second."""
    accepted = "a rate such as 20mbit, 1gbit or 10MB/s"
    number, suffix = _split(text, accepted)
    lowered = suffix.lower()
    factor: float | None
    if lowered.removesuffix("/s") in _RATES:
        factor = _RATES[lowered.removesuffix("/s")]
    elif lowered.endswith("/s"):
        factor = _SIZES.get(lowered.removesuffix("/s"))
    else:
        factor = 1 if not lowered else None
    if factor is None:
        raise ValueError(f"{text!r} is not {accepted}")
    return round(number * factor)


def parse_value(text: str, unit: Unit) -> float:
    """Read ``text`` as a number of ``unit``.  A number without a suffix is taken as it is."""
    if re.fullmatch(_DIGITS, text):
        return _number(text)
    if unit in _TICKS_US:
        return parse_duration_us(text) / _TICKS_US[unit]
    if unit is Unit.BYTES:
        return parse_size(text)
    if unit is Unit.BYTES_PER_SECOND:
        return parse_rate(text)
    if unit is Unit.PERCENT and text.endswith("%"):
        return parse_value(text[:-1].rstrip(), Unit.COUNT)
    raise ValueError(f"{text!r} is not a number")


def _scaled(value: float, steps: tuple[tuple[float, str], ...]) -> str:
    """Three significant digits in the first step that ``value`` reaches."""
    for factor, name in steps:
        if abs(value) >= factor:
            shown = value / factor
            digits = 0 if shown >= 100 else 1 if shown >= 10 else 2
            text = f"{shown:.{digits}f}"
            return f"{text.rstrip('0').rstrip('.') if '.' in text else text} {name}"
    return f"{value:g} {steps[-1][1]}"


_SIZE_STEPS = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B"))
_RATE_STEPS = ((1e12, "Tbit/s"), (1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s"), (1, "bit/s"))
_TIME_STEPS = ((3600e6, "h"), (60e6, "min"), (1e6, "s"), (1e3, "ms"), (1, "µs"))
_ZERO_TIMES = {Unit.MICROSECONDS: "0 µs", Unit.MILLISECONDS: "0 ms", Unit.SECONDS: "0 s"}
_EXACT_BYTES = 100_000
"""Below this, sizes are shown to the byte: segment and window sizes are read that way."""


def human(value: float, unit: Unit) -> str:
    """Show a number with its unit for a person: ``1.5 ms``, ``64 KiB``, ``9.6 Mbit/s``."""
    if unit in _TICKS_US:
        return _scaled(value * _TICKS_US[unit], _TIME_STEPS) if value else _ZERO_TIMES[unit]
    if unit is Unit.BYTES:
        return f"{value:g} B" if abs(value) < _EXACT_BYTES else _scaled(value, _SIZE_STEPS)
    if unit is Unit.PACKETS:
        return f"{human(value, Unit.COUNT)} pkt"
    if unit is Unit.BYTES_PER_SECOND:
        return _scaled(value * 8, _RATE_STEPS)
    if unit is Unit.PERCENT:
        return f"{value:.3g} %"
    if unit is Unit.SECONDS_PER_GIGABYTE:
        return f"{value:.2g} s/GB"
    return f"{value:,}".replace(",", " ") if isinstance(value, int) else f"{value:g}"


def split_unit(name: str) -> tuple[str, Unit]:
    """``rtt_us`` is ``rtt`` in microseconds; a name without a known suffix is a count."""
    for unit in sorted(Unit, key=len, reverse=True):
        if unit and name.endswith(f"_{unit}"):
            return name.removesuffix(f"_{unit}"), unit
    return name, Unit.COUNT
