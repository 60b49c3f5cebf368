"""Manual pages of section 7: the tables of fields and of socket options, from the catalogs.

tcptool-options(7) holds the options themselves; tcptool-options(1) is the command of that name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Final

from tcptool.actions.explain import NOT_COLUMNS, derivation
from tcptool.actions.options import ALL
from tcptool.catalog.attributes import BbrInfo, DctcpInfo, MptcpInfo, VegasInfo
from tcptool.catalog.columns import COLUMNS, Column, Derived, Info
from tcptool.catalog.option_manual import (
    MPTCP,
    READS_BACK,
    RISK,
    TAKES_EFFECT,
    example,
    takes_effect,
)
from tcptool.catalog.options import (
    DANGERS,
    DSCP,
    IPPROTO_IP,
    IPPROTO_IPV6,
    IPPROTO_TCP,
    SOL_SOCKET,
    Codec,
    Reading,
    Risk,
    SocketOption,
    accepted_range,
    forceable,
)
from tcptool.catalog.registry import Member, members
from tcptool.catalog.states import Meaning
from tcptool.catalog.tcp_info import GROUPS, TcpInfo
from tcptool.units import Unit, split_unit
from tcptool.views.inspect_sections import value_words
from tcptool.views.text.explain import UNIT_NAMES
from tools.roff import NOTICE, head, link, roff

PAGES: Final = ("tcptool-fields", "tcptool-options")
"""Their names, in section 7."""


def files() -> dict[str, str]:
    """Every page by its file name."""
    fields, options = PAGES
    return {
        f"{fields}.7": _page(
            fields,
            "what tcptool shows of a TCP connection: fields of struct tcp_info and other values",
            _FIELDS,
            _fields(),
            ("tcptool", "tcptool-list", "tcptool-inspect", "tcptool-explain"),
        ),
        f"{options}.7": _page(
            options,
            "socket options of TCP, and what Linux does with them",
            _OPTIONS,
            _options(),
            ("tcptool", "tcptool-options", "tcptool-explain"),
        ),
    }


def _page(
    name: str, summary: str, description: str, sections: Iterable[str], see: Iterable[str]
) -> str:
    links = [*(link(page, 1) for page in see), *(link(page, 7) for page in PAGES if page != name)]
    parts = [
        NOTICE,
        head(name, summary, 7),
        f".SH DESCRIPTION\n{_paragraphs(description)}",
        *sections,
        ".SH SEE ALSO\n" + ",\n".join([*links, "\\fBsocket\\fR(7)", "\\fBtcp\\fR(7)"]),
    ]
    return "\n".join(parts) + "\n"


def _paragraphs(text: str) -> str:
    return "\n.PP\n".join(roff(" ".join(part.split())) for part in text.strip().split("\n\n"))


def _entry(name: str, facts: Iterable[str], lines: Iterable[str]) -> str:
    """A tag with facts in parentheses behind it, and lines of text."""
    known = ", ".join(filter(None, facts))
    behind = f" ({known})" if known else ""
    text = "\n.br\n".join(map(roff, filter(None, lines)))
    return f".TP\n\\fB{roff(name)}\\fR{roff(behind)}\n{text}"


def _sentence(text: str, before: str = "") -> str:
    """``text`` as a sentence, or nothing if it is empty."""
    whole = before + text if before else text[:1].upper() + text[1:]
    return f"{whole.rstrip('.')}." if text else ""


def _values(table: Mapping[int, Meaning] | None) -> str:
    return _sentence(", ".join(meaning.word for meaning in (table or {}).values()), "Values: ")


# -- tcptool-fields(7) ---------------------------------------------------------------------

_FIELDS: Final = """
Every value that `tcptool list` and `tcptool inspect` show. The names down to WORKED OUT FOR
INSPECT, the groups of tcp_info included, are the columns of `list`: a filter, `--columns` and
`--sort` take them. `tcptool explain` shows one at a time.

A name ends in its unit, which may be left out; a number without a unit is a count. A value that the
kernel did not report is shown as `-` and is null in JSON: it is not zero.
"""

_STRUCTURES: Final = {
    "bbr": BbrInfo,
    "vegas and its relatives": VegasInfo,
    "dctcp": DctcpInfo,
    "MPTCP": MptcpInfo,
}
"""What only `inspect` shows; the memory of a socket is among the columns."""


def _fields() -> Iterator[str]:
    yield ".SH COLUMNS BESIDE TCP_INFO"
    yield from (_column(c) for c in COLUMNS.values() if not isinstance(c.source, Info))
    for group, title in GROUPS.items():
        yield f".SH {roff(title.upper())}"
        described = members(TcpInfo).items()
        yield from (_member(n, m) for n, m in described if m.group == group and n in _INFO)
    yield ".SH WORKED OUT FOR INSPECT"
    for name in NOT_COLUMNS:
        yield _entry(name, [_unit(split_unit(name)[1])], [_sentence(derivation(name))])
    for title, structure in _STRUCTURES.items():
        yield f".SH STATE OF {roff(title.upper())}"
        described = members(structure).items()
        yield from (_member(name, m) for name, m in described if name != "reserved")


_INFO: Final = {c.name for c in COLUMNS.values() if isinstance(c.source, Info)}


def _unit(unit: Unit) -> str:
    return UNIT_NAMES.get(unit, "")


def _column(column: Column) -> str:
    derived = isinstance(column.source, Derived)
    about = derivation(column.name) if derived else column.doc
    facts = [_unit(column.unit), "worked out by tcptool" if derived else ""]
    return _entry(column.name, facts, [_sentence(about), _values(column.words or column.flags)])


def _member(name: str, member: Member) -> str:
    since = f"since Linux {member.since}" if member.since else ""
    pitfall = _sentence(member.pitfall, "Pitfall: ")
    return _entry(
        name,
        [_unit(member.unit), f"`{member.name}`", since],
        [_sentence(member.doc), pitfall, _values(member.words or member.flags)],
    )


# -- tcptool-options(7) --------------------------------------------------------------------

_OPTIONS: Final = """
Every socket option that a TCP socket of Linux has, with what the kernel does with a value: what it
stores, when that takes effect on a connection that is in use, whether a connection that is accepted
later starts with the listener's value, and what it can break. What holds on the running kernel,
defaults and limits included, is shown by `tcptool options`, which tries it on sockets of its own.

Behaviour was measured on Linux 6.18 with 250 timer ticks a second. "Since" names the first Linux
that has the option; where nothing is said, every supported one has.

An entry says what the option is for, and then in this order: the values that are accepted and the
one that a new socket has; when a new value takes effect, and what reads back; who may set it, and
whether accept() passes it on; the risk of setting it on a running connection of another program;
how it fares on an MPTCP socket; the pitfall that most people meet; the source; an example.

The sections that follow explain the words by which the table and the JSON of `tcptool options`
say the same.
"""

_LEVELS: Final = {
    SOL_SOCKET: ("SOCKET LEVEL", "SOL_SOCKET"),
    IPPROTO_TCP: ("TCP LEVEL", "IPPROTO_TCP"),
    IPPROTO_IP: ("IPV4 LEVEL", "IPPROTO_IP"),
    IPPROTO_IPV6: ("IPV6 LEVEL", "IPPROTO_IPV6"),
}

_READING: Final = {
    Reading.READ: "",
    Reading.ELSEWHERE: "tcptool does not read it: there is a better source.",
    Reading.DESTRUCTIVE: "tcptool never reads it: that would take something from the program.",
    Reading.SECRET: "tcptool never reads it: it holds keys or sequence numbers.",
}


def _options() -> Iterator[str]:
    yield from _words("WHEN A VALUE TAKES EFFECT", TAKES_EFFECT.items())
    yield from _words("WHAT READS BACK", READS_BACK.items())
    yield from _words("RISK ON A RUNNING CONNECTION", RISK.items())
    yield from _words("ON AN MPTCP SOCKET", MPTCP.items())
    yield ".SH DSCP OF IP_TOS AND IPV6_TCLASS"
    yield from (
        _entry(m.word, [f"{dscp << 2:#04x}"], [_sentence(m.doc)]) for dscp, m in DSCP.items()
    )
    for level, (title, name) in _LEVELS.items():
        yield f".SH {title}"
        yield from (_option(o, f"{name} {o.number}") for o in ALL if o.level == level)
    yield ".SH LISTENERS"
    yield from (_option(o, "listen(2)") for o in ALL if o.level not in _LEVELS)


def _words(title: str, meanings: Iterable[tuple[StrEnum, str]]) -> Iterator[str]:
    yield f".SH {title}"
    yield from (_entry(word.value, [], [_sentence(text)]) for word, text in meanings)


def _option(option: SocketOption, number: str) -> str:
    since = f"since Linux {option.since}" if option.since else ""
    facts = [_unit(option.unit), number, since]
    lines = [option.doc, _option_words(option)]
    if option.settable:
        lines += [
            " ".join(filter(None, (_range(option), _default(option)))),
            _effect(option),
            _who(option),
            f"{_risk(option)} On an MPTCP socket: {MPTCP[option.mptcp]}.",
        ]
    else:
        lines.append(f"It can only be read. On an MPTCP socket: {MPTCP[option.mptcp]}.")
    lines += [
        _READING[option.reading],
        _sentence(option.pitfall, "Pitfall: "),
        _sentence(option.source, "Source: "),
    ]
    if example(option):
        lines.append(f"Example: `{example(option)}`")
    return _entry(option.name, facts, lines)


def _option_words(option: SocketOption) -> str:
    """Words that stand for numbers, with their meanings where somebody may want to set them."""
    if not option.settable or option.risk is Risk.REFUSE:
        return _values(option.words)
    explained = ", ".join(f"{m.word} ({m.doc})" for m in option.words.values())
    all_values = option.codec in (Codec.ENUM, Codec.FLAGS)
    return _sentence(explained, "Values: " if all_values else "Special value: ")


def _range(option: SocketOption) -> str:
    if option.codec in (Codec.ENUM, Codec.FLAGS):
        accepted = option.range_text  # the words say the rest
    elif option.codec is Codec.BOOLEAN:
        accepted = "; ".join(filter(None, ("yes or no", option.range_text)))
    else:
        accepted = accepted_range(option)
    return _sentence(accepted, "Range: ")


def _default(option: SocketOption) -> str:
    if option.default_sysctl:
        return f"Default: {option.default_sysctl}."
    if option.default is None:
        return ""
    return f"Default: {value_words(option.default)}."


def _effect(option: SocketOption) -> str:
    effect = takes_effect(option.when, option.when_text)
    return f"Takes effect: {effect}. Reads back: {READS_BACK[option.reads_back]}."


def _risk(option: SocketOption) -> str:
    if option.risk is not Risk.REFUSE:
        return f"Risk: {option.risk.value}."
    force = "sets it nevertheless" if forceable(option) else "refuses it as well"
    return f"Risk: refuse. {DANGERS[option.name]} `apply --force` {force}."


def _who(option: SocketOption) -> str:
    inherited = "yes" if option.inherited else "no"
    return f"Needs: {option.privilege or 'no privilege'}. Inherited by accept(): {inherited}."
