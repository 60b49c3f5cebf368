"""A user's own profile: from the text of a TOML file to a ``Profile``.

Whatever could not be applied as it stands is refused, with its line and key: a profile is written
once and then used as root.  Options that are dangerous on a live socket are refused as well; they
can only be named on the command line.  Nothing is read from the disk here.

Source of the syntax: TOML 1.0.  docs/profiles.md describes the keys.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

from tcptool.catalog.options import BY_NAME as OPTION_NAMES
from tcptool.catalog.options import Codec, Risk, SocketOption, find_option
from tcptool.catalog.profiles import BY_NAME as BUILT_IN
from tcptool.catalog.profiles import Profile, ProfileValue
from tcptool.errors import UsageError
from tcptool.sansio.assignment import parse_assignment
from tcptool.sansio.suggest import did_you_mean

MAX_BYTES: Final = 65_536
"""More than a profile of every option with a reason for each takes; an editor's slip is larger."""

NAME: Final = re.compile("[a-z0-9][a-z0-9-]{0,39}")
"""What a profile may be called: a word that needs no quoting anywhere."""

_KEYS: Final = ("name", "summary", "extends", "options", "reasons")
_HINT: Final = "tcptool help profiles describes the format."

_Key = tuple[str, ...]


class _Refusal(Exception):
    """What is wrong with which key; its line is looked up at the end."""

    def __init__(self, key: _Key, why: str) -> None:
        super().__init__(why)
        self.key, self.why = key, why


def parse_profile(raw: bytes, path: str, *, name: str | None = None) -> Profile:
    """The profile in the file at ``path``, which must be called ``name`` unless that is None.

    Raises UsageError with the line and the key of what is wrong.
    """
    doing = f"reading profile {path}"
    if len(raw) > MAX_BYTES:
        raise UsageError(doing, f"it is longer than {MAX_BYTES} bytes", _HINT)
    try:
        text = raw.decode()
        document = tomllib.loads(text)
    except UnicodeDecodeError as exc:
        line = raw.count(b"\n", 0, exc.start) + 1
        raise UsageError(doing, f"line {line}: it is not UTF-8", _HINT) from exc
    except (ValueError, RecursionError) as exc:  # a number of 5000 digits, 5000 brackets
        raise UsageError(doing, f"it is not TOML: {exc}", _HINT) from exc
    try:
        return _profile(document, path, name)
    except _Refusal as exc:
        raise UsageError(doing, f"{_place(text, exc.key)}{exc.why}", _HINT) from exc


def _profile(document: dict[str, Any], path: str, expected: str | None) -> Profile:
    for key in document:
        if key not in _KEYS:
            why = "there is no such key" + did_you_mean(key, _KEYS)
            raise _Refusal((key,), f"{why}; the keys are {', '.join(_KEYS)}")
    made = Profile(
        name=_name(document, expected),
        summary=_line(document, "summary"),
        purpose="",
        values=_values(document, path),
    )
    return _extended(_base(document), made) if "extends" in document else made


def _name(document: dict[str, Any], expected: str | None) -> str:
    name = _line(document, "name")
    if not NAME.fullmatch(name):
        raise _Refusal(("name",), f"{name!r} is not a word of at most 40 of a-z, 0-9 and -")
    if name in BUILT_IN:
        raise _Refusal(("name",), f"{name!r} is a profile of tcptool itself; choose another name")
    if expected is not None and name != expected:
        raise _Refusal(("name",), f"{name!r} belongs into a file called {name}.toml")
    return name


def _line(document: dict[str, Any], *key: str) -> str:
    """A text that must be there, of one line."""
    value: Any = document
    for part in key:
        value = value.get(part)
    if value is None:
        raise _Refusal((), f"the key {'.'.join(key)} is missing")
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise _Refusal(key, "it must be one line of text in quotes")
    return value


def _base(document: dict[str, Any]) -> Profile:
    name = _line(document, "extends")
    if name not in BUILT_IN:
        why = f"tcptool itself has no profile {name!r}" + did_you_mean(name, BUILT_IN)
        raise _Refusal(("extends",), f"{why}; it has {', '.join(BUILT_IN)}")
    return BUILT_IN[name]


def _values(document: dict[str, Any], path: str) -> tuple[ProfileValue, ...]:
    keys = _by_option(document, "options")
    if not keys:
        raise _Refusal((), "the table [options] is missing or empty")
    reasons: dict[SocketOption, str] = {}
    for option, key in _by_option(document, "reasons").items():
        if option not in keys:
            raise _Refusal(("reasons", key), "it is not among the [options]")
        reasons[option] = _line(document, "reasons", key)
    return tuple(
        ProfileValue(
            option=option.name,
            value=_as_typed(option, key, document["options"][key]),
            reason=reasons.get(option, ""),
            source=path,
        )
        for option, key in keys.items()
    )


def _by_option(document: dict[str, Any], table: str) -> dict[SocketOption, str]:
    """The options that a table names, each with the key that it stands under."""
    entries = document.get(table, {})
    if not isinstance(entries, dict):
        raise _Refusal((table,), f"it must be a table: [{table}]")
    keys: dict[SocketOption, str] = {}
    for key in entries:
        option = find_option(key)
        if option is None:
            why = "there is no such option" + did_you_mean(key.upper(), OPTION_NAMES)
            raise _Refusal((table, key), why)
        if option in keys:
            raise _Refusal((table, key), f"{option.name} stands here twice, under two names")
        keys[option] = key
    return keys


def _as_typed(option: SocketOption, key: str, value: object) -> str:
    """The value as a person would type it, tried out."""
    place = ("options", key)
    if not option.settable:
        raise _Refusal(place, "it can be read only")
    if option.risk is Risk.REFUSE:
        raise _Refusal(place, f"it is too dangerous for a profile. {option.pitfall}")
    if isinstance(value, bool):
        if option.codec is not Codec.BOOLEAN:
            raise _Refusal(place, "it is more than true or false")
        return "on" if value else "off"
    if not isinstance(value, str | int) or not str(value).isprintable():
        raise _Refusal(place, "it must be one line of text in quotes, an integer, true or false")
    try:
        number = parse_assignment(f"{option.name}={value}").value
    except UsageError as exc:
        raise _Refusal(place, f"{exc.why}. {exc.hint}") from exc
    if isinstance(number, int) and option.minimum is not None and not option.range_text:
        # range_text names numbers that are accepted outside of the range
        highest = option.maximum if option.maximum is not None else number
        if not option.minimum <= number <= highest:
            limit = "" if option.maximum is None else f", at most {option.maximum}"
            unit = f" {option.unit}" if option.unit else ""
            raise _Refusal(place, f"the kernel takes at least {option.minimum}{limit}{unit}")
    return str(value)


def _extended(base: Profile, own: Profile) -> Profile:
    """The base with the user's values in the place of its own, or behind them.

    What the base says about an option that the user has set does not hold any more.
    """
    mine = {value.option: value for value in own.values}
    both = {value.option: value for value in base.values} | mine
    return Profile(
        name=own.name,
        summary=own.summary,
        purpose=f"As {base.name}: {base.purpose}",
        values=tuple(both.values()),
        leave_alone=tuple(advice for advice in base.leave_alone if advice.what not in mine),
        host_advice=base.host_advice,
        program_advice=base.program_advice,
        flags=tuple(flag for flag in base.flags if flag.options and not mine.keys() & flag.options),
    )


def _place(text: str, key: _Key) -> str:
    """``line 5, options.TCP_NODELAY: ``, or nothing for what is missing."""
    if not key:
        return ""
    line = _line_of(text, key)
    return f"{'' if line is None else f'line {line}, '}{'.'.join(key)}: "


def _line_of(text: str, wanted: _Key) -> int | None:
    """The line that sets a key, None if it cannot be told: tomllib does not say."""
    table: _Key = ()
    for number, line in enumerate(text.split("\n"), 1):
        keys = _keys_in(line.rstrip("\r"))
        if line.lstrip().startswith("[") and keys:
            table = keys[-1]
        else:
            keys = [table + key for key in keys]
        if wanted in keys:
            return number
    return None


def _keys_in(line: str) -> list[_Key]:
    """The keys that a line sets by itself, also to a value that goes on in the next line."""
    for statement in (line, line.partition("=")[0] + "= 0"):
        with suppress(ValueError):
            return list(_keys_of(tomllib.loads(statement)))
    return []


def _keys_of(document: dict[str, Any], above: _Key = ()) -> Iterator[_Key]:
    """Every key, also those of inner tables."""
    for key, value in document.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from _keys_of(value, (*above, key))
