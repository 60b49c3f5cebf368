"""Reading the words of a command line that several commands share."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from tcptool.catalog.columns import column_names
from tcptool.catalog.diag import AF_INET, AF_INET6
from tcptool.errors import UsageError
from tcptool.linux.names import interface_index, service_port
from tcptool.sansio.filter_parser import filter_words, parse_filter
from tcptool.sansio.suggest import did_you_mean

if TYPE_CHECKING:
    from tcptool.model.change import Assignment
    from tcptool.model.filter import Filter
    from tcptool.model.profile import LoadedProfile
    from tcptool.model.report import Warning
    from tcptool.model.target import Target


def read_filter(words: list[str] | None) -> Filter | None:
    """The filter that the words make up; None for none."""
    return parse_filter(
        " ".join(words or ()), service_port=service_port, interface_index=interface_index
    )


def read_target(words: list[str]) -> Target:
    """The target that the words make up."""
    from tcptool.sansio.target import parse_target

    return parse_target(" ".join(words), service_port=service_port, interface_index=interface_index)


class Wanted(NamedTuple):
    """The words of the TARGET, what is to be set, and what is wrong with the profile."""

    target: list[str]
    assignments: list[Assignment]
    warnings: tuple[Warning, ...]


def read_assignments(words: list[str] | None, profile: str | None) -> Wanted:
    """A profile's values, then NAME=VALUE, which replaces the profile's value."""
    from tcptool.sansio.assignment import parse_assignment, split_words

    target, given = split_words(words or (), filter_words())
    loaded = _profile(profile)
    wanted = {one.option: one for one in loaded.assignments} if loaded else {}
    named = [parse_assignment(word) for word in given]
    for name, times in Counter(one.option.name for one in named).items():
        if times > 1:
            raise UsageError("reading the options", f"{name} is given {times} times")
    wanted |= {one.option: one for one in named}
    return Wanted(list(target), list(wanted.values()), _flags(loaded) if loaded else ())


def _profile(word: str | None) -> LoadedProfile | None:
    if word is None:
        return None
    from tcptool.actions.profiles import load_profile

    return load_profile(word)


def _flags(loaded: LoadedProfile) -> tuple[Warning, ...]:
    from tcptool.model.report import Warning

    return tuple(Warning(flag.id, flag.text) for flag in loaded.profile.flags)


def column_name(word: str) -> str:
    """The full name of a column, from any accepted spelling."""
    known = column_names()
    name = known.get(word.lower())
    if name is None:
        raise UsageError(
            f"choosing column {word!r}",
            "there is no such column" + did_you_mean(word, known),
            "`tcptool explain` lists all of them.",
        )
    return name


def families(*, ipv4: bool, ipv6: bool) -> tuple[int, ...]:
    """Address families to dump; none or both of -4 and -6 mean both."""
    chosen = [family for family, wanted in ((AF_INET, ipv4), (AF_INET6, ipv6)) if wanted]
    return tuple(chosen) or (AF_INET, AF_INET6)
