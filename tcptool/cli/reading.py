"""Reading the words of a command line that several commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tcptool.catalog.columns import column_names
from tcptool.catalog.diag import AF_INET, AF_INET6
from tcptool.errors import UsageError
from tcptool.linux.names import interface_index, service_port
from tcptool.sansio.filter_parser import parse_filter
from tcptool.sansio.suggest import did_you_mean

if TYPE_CHECKING:
    from tcptool.model.filter import Filter
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
