"""`NAME=VALUE` on a command line or in a profile: from text to an option and a typed value.

Values are written as people write them: `SO_SNDBUF=1M`, `TCP_USER_TIMEOUT=30s`, `IP_TOS=ef`,
`SO_LINGER=on:5s`.  What does not fit the option's bytes is refused here; what the kernel would
refuse is not, because its answer is a fact worth seeing.

It must not ask the kernel for anything.  The way back is ``value_text``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from tcptool.catalog.options import (
    BY_NAME,
    DSCP,
    Codec,
    OptionValue,
    SocketOption,
    accepted_range,
    dscp_word,
    find_option,
)
from tcptool.errors import UsageError
from tcptool.model.change import Assignment
from tcptool.sansio.suggest import did_you_mean
from tcptool.units import Unit, parse_value

_ASSIGNMENT: Final = re.compile(r"(?P<name>[A-Za-z][A-Za-z0-9_-]*)=(?P<value>.*)", re.DOTALL)
_TRUE: Final = frozenset({"1", "on", "yes", "true"})
_FALSE: Final = frozenset({"0", "off", "no", "false"})
_RANGES: Final = {
    Codec.INT: (-(1 << 31), (1 << 31) - 1),
    Codec.UINT: (0, (1 << 32) - 1),
    Codec.UINT64: (0, (1 << 64) - 1),
    Codec.ENUM: (-(1 << 31), (1 << 31) - 1),
    Codec.FLAGS: (0, (1 << 32) - 1),
    Codec.TOS: (-1, 255),
}
_LONGEST_TIME_US: Final = (1 << 31) * 1_000_000
_MOST_PORT: Final = 65_535
_UNIT_EXAMPLES: Final = {
    Unit.BYTES: "a size such as 65536, 64K or 1M",
    Unit.BYTES_PER_SECOND: "a rate such as 100mbit, 10MB/s or 1250000 (bytes a second)",
    Unit.MICROSECONDS: "a time such as 20ms or 20000 (microseconds)",
    Unit.MILLISECONDS: "a time such as 30s or 30000 (milliseconds)",
    Unit.SECONDS: "a time such as 60s, 2m or 60 (seconds)",
}


def split_words(
    words: Sequence[str], fields: Collection[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The words of a TARGET, and the assignments that follow them.

    Assignments are the words of the form NAME=VALUE at the end.  A NAME that is no option but
    one of ``fields`` belongs to a filter: ``rtt=50ms``.
    """
    end = len(words)
    while end and (match := _ASSIGNMENT.fullmatch(words[end - 1])):
        if find_option(match["name"]) is None and match["name"].lower() in fields:
            break
        end -= 1
    return tuple(words[:end]), tuple(words[end:])


def parse_assignment(word: str) -> Assignment:
    """The option and the value that a word means.  Raises UsageError."""
    doing = f"reading {word!r}"
    match = _ASSIGNMENT.fullmatch(word)
    if match is None:
        raise UsageError(doing, "it is not of the form NAME=VALUE", "As in TCP_NODELAY=1.")
    option = find_option(match["name"])
    if option is None:
        raise UsageError(
            doing,
            f"there is no option {match['name']}"
            + did_you_mean(match["name"].upper(), _spellings()),
            "`tcptool options` lists all of them.",
        )
    return Assignment(option, parse_option_value(option, match["value"]), word)


def parse_option_value(option: SocketOption, text: str) -> OptionValue:
    """A value as ``decode_option`` would show it.  Raises UsageError that says what is accepted."""
    parse = _PARSERS.get(option.codec)
    doing = f"reading a value for {option.name}"
    if parse is None:
        raise UsageError(doing, "it cannot be written as text", "tcptool does not set it.")
    try:
        return parse(option, text.strip())
    except ValueError as exc:
        why = str(exc) or f"{text!r} is not {accepted(option)}"
        raise UsageError(doing, why, f"Accepted: {accepted(option)}.") from exc


def accepted(option: SocketOption) -> str:
    """What may be written as a value of the option, in words."""
    text = _ACCEPTED.get(option.codec) or _UNIT_EXAMPLES.get(option.unit, "a number")
    if option.codec in (Codec.ENUM, Codec.FLAGS):
        known = ", ".join(meaning.word for meaning in option.words.values())
        text = (
            f"{known} or a number" if option.codec is Codec.ENUM else f"none, {known}; or a number"
        )
    elif option.words:
        text += "".join(f", or {meaning.word}" for meaning in option.words.values())
    found = accepted_range(option)
    return f"{text} ({found})" if found else text


def value_text(option: SocketOption, value: OptionValue) -> str:
    """A value as it can be typed again: ``parse_option_value`` makes the same of it."""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, tuple):
        return ",".join(value) or "none"
    if isinstance(value, Mapping):
        if option.codec is Codec.LINGER:
            return f"{'on' if value['enabled'] else 'off'}:{value['seconds']}s"
        return f"{value['lowest']}-{value['highest']}"
    if option.codec is Codec.TIMEVAL and isinstance(value, int):
        return f"{value}us"
    if option.codec is Codec.TOS and isinstance(value, int) and value >= 0 and not value & 3:
        return dscp_word(value)
    return str(value)


def _spellings() -> list[str]:
    return [*BY_NAME, *(name.partition("_")[2] for name in BY_NAME)]


# -- codecs --------------------------------------------------------------------------------
# Each raises ValueError, without text where ``accepted`` says it all.


def _boolean(_option: SocketOption, text: str) -> OptionValue:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError


def _integer(option: SocketOption, text: str) -> int:
    """A number in the option's unit; negative and hexadecimal ones are bare."""
    if re.fullmatch(r"0[xX][0-9a-fA-F]{1,16}", text):
        number: float = int(text, 16)
    elif re.fullmatch(r"-[0-9]{1,20}", text):
        number = int(text)
    else:
        number = parse_value(text, option.unit)
    whole = math.floor(number)
    if whole != number:
        raise ValueError(f"{text!r} is not a whole number of {option.unit.value}")
    lowest, highest = _RANGES[option.codec]
    if not lowest <= whole <= highest:
        raise ValueError(f"{text} is not between {lowest} and {highest}")
    return whole


def _number(option: SocketOption, text: str) -> OptionValue:
    """A number, or a word that stands for one; numbers with a word become it."""
    named = _of_word(option, text)
    if named is not None:
        return text.lower()
    number = _integer(option, text)
    known = option.words.get(number)
    return known.word if known else number


def _of_word(option: SocketOption, text: str) -> int | None:
    return next((n for n, meaning in option.words.items() if meaning.word == text.lower()), None)


def _enum(option: SocketOption, text: str) -> OptionValue:
    if _of_word(option, text) is not None:
        return text.lower()
    unknown = re.fullmatch(r"unknown-(-?[0-9]+)", text.lower())
    number = _integer(option, unknown[1] if unknown else text)
    known = option.words.get(number)
    return known.word if known else f"unknown-{number}"


def _flags(option: SocketOption, text: str) -> OptionValue:
    if text.lower() == "none":
        return ()
    if re.match("[0-9]", text):
        bits = _integer(option, text)
    else:
        bits = 0
        for word in text.split(","):
            bits |= _bit(option, word.strip())
    return tuple(
        option.words[1 << place].word if 1 << place in option.words else f"unknown-{1 << place}"
        for place in range(bits.bit_length())
        if bits >> place & 1
    )


def _bit(option: SocketOption, word: str) -> int:
    unknown = re.fullmatch(r"unknown-([0-9]+)", word.lower())
    bit = int(unknown[1]) if unknown else _of_word(option, word)
    if bit is None or bit.bit_count() != 1 or bit >> 32:
        raise ValueError(f"{word!r} is none of its words")
    return bit


def _string(option: SocketOption, text: str) -> OptionValue:
    if not text.isascii() or not text.isprintable() or len(text) >= option.size:
        raise ValueError(f"{text!r} is not a name of at most {option.size - 1} characters")
    return text


def _tos(option: SocketOption, text: str) -> OptionValue:
    lowered = text.lower()
    for dscp, meaning in DSCP.items():
        if meaning.word == lowered:
            return dscp << 2
    by_number = re.fullmatch(r"dscp-([0-9]{1,2})", lowered)
    if by_number:
        dscp = int(by_number[1])
        if dscp > 63:
            raise ValueError(f"{text!r}: a DSCP has six bits, 0 to 63")
        return dscp << 2
    return _integer(option, text)


def _linger(_option: SocketOption, text: str) -> OptionValue:
    """A time alone is refused: 0 seconds may be meant as off, and would reset the connection."""
    word, _, time = text.lower().partition(":")
    if word in _FALSE and not time:
        word, time = "off", "0"
    seconds = parse_value(time, Unit.SECONDS)
    if word not in ("on", "off") or seconds != int(seconds) or seconds >= 1 << 31:
        raise ValueError
    return {"enabled": word == "on", "seconds": int(seconds)}


def _timeval(option: SocketOption, text: str) -> OptionValue:
    number = 0 if text.lower() == "unlimited" else parse_value(text, option.unit)
    microseconds = int(number)
    if microseconds != number or microseconds >= _LONGEST_TIME_US:
        raise ValueError
    known = option.words.get(microseconds)
    return known.word if known else microseconds


def _port_range(_option: SocketOption, text: str) -> OptionValue:
    match = re.fullmatch(r"([0-9]{1,5})-([0-9]{1,5})", text)
    if match is None:
        raise ValueError
    lowest, highest = int(match[1]), int(match[2])
    if max(lowest, highest) > _MOST_PORT:
        raise ValueError(f"a port is at most {_MOST_PORT}")
    return {"lowest": lowest, "highest": highest}


_PARSERS: Final[dict[Codec, Callable[[SocketOption, str], OptionValue]]] = {
    Codec.BOOLEAN: _boolean,
    Codec.INT: _number,
    Codec.UINT: _number,
    Codec.UINT64: _number,
    Codec.ENUM: _enum,
    Codec.FLAGS: _flags,
    Codec.STRING: _string,
    Codec.TOS: _tos,
    Codec.LINGER: _linger,
    Codec.TIMEVAL: _timeval,
    Codec.PORT_RANGE: _port_range,
}
_ACCEPTED: Final = {
    Codec.BOOLEAN: "1, on, yes, true; 0, off, no or false",
    Codec.STRING: "a name",
    Codec.TOS: "a DSCP such as ef, af41, cs1 or dscp-46, or the whole byte as in 0xb8",
    Codec.LINGER: "off, or on and a time as in on:5s",
    Codec.TIMEVAL: "a time such as 200ms, 5s or 20000 (microseconds)",
    Codec.PORT_RANGE: "two ports as in 40000-50000; 0-0 takes the range away",
}
