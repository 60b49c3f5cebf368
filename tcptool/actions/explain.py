"""`explain`: look a name up in every catalog.  Asks the kernel nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tcptool.analysis.option_marks import MARK_MEANINGS
from tcptool.catalog import derived
from tcptool.catalog.attributes import BbrInfo, DctcpInfo, MptcpInfo, SocketMemory, VegasInfo
from tcptool.catalog.columns import COLUMNS, Derived, Info, column_names
from tcptool.catalog.counters import COUNTERS, Counter
from tcptool.catalog.host_checks import HOST_CHECKS, HostCheck
from tcptool.catalog.options import OPTIONS, SocketOption, find_option
from tcptool.catalog.registry import Member, members
from tcptool.catalog.states import (
    CA_STATES,
    FASTOPEN_FAILURES,
    SHUTDOWNS,
    TCP_STATES,
    TCPI_OPTIONS,
    TIMERS,
    Meaning,
)
from tcptool.catalog.sysctls import SYSCTLS, Sysctl
from tcptool.catalog.tcp_info import GROUPS, TcpInfo
from tcptool.catalog.verdicts import VERDICTS, Verdict
from tcptool.errors import NotFound
from tcptool.model.explanation import Explanation
from tcptool.sansio.suggest import did_you_mean
from tcptool.units import Unit, split_unit

_TABLES: Final[dict[str, dict[int, Meaning]]] = {
    "state": TCP_STATES,
    "congestion state": CA_STATES,
    "timer": TIMERS,
    "negotiated option": TCPI_OPTIONS,
    "fast open failure": FASTOPEN_FAILURES,
    "shutdown": SHUTDOWNS,
}
_STRUCTURES: Final = {
    "memory": SocketMemory,
    "bbr": BbrInfo,
    "dctcp": DctcpInfo,
    "vegas": VegasInfo,
    "MPTCP": MptcpInfo,
}
NOT_COLUMNS: Final = ("cwnd_rate_bytes_per_s", "window_rate_bytes_per_s")
"""Derived values that only `inspect` shows."""


def explain(word: str) -> list[Explanation]:
    """Everything that goes by this name: a word may be a state and a timer at once.

    Raises NotFound with what may have been meant.
    """
    wanted = word.strip().lower()
    found = [entry for entry in every_explanation() if wanted in _spellings(entry)]
    option = find_option(word.strip())
    if option is not None and all(entry.name != option.name for entry in found):
        found.append(_option(option))
    if not found:
        known = {spelling for entry in every_explanation() for spelling in _spellings(entry)}
        raise NotFound(
            f"explaining {word!r}",
            "nothing goes by that name" + did_you_mean(wanted, sorted(known)),
            "`tcptool explain` without a name lists all of them.",
        )
    return found


def every_explanation() -> Iterator[Explanation]:
    """Every entry of the catalogs, in the order in which they are listed."""
    for name, member in members(TcpInfo).items():
        yield _member(name, "tcp_info field", member, GROUPS[member.group])
    for name, column in COLUMNS.items():
        if isinstance(column.source, Derived):
            inputs = ", ".join(column.source.inputs)
            yield _plain(name, "derived value", derivation(name), column.unit, (("from", inputs),))
        elif not isinstance(column.source, Info):
            yield _plain(name, "column", column.doc, column.unit)
    for name in NOT_COLUMNS:
        yield _plain(name, "derived value", derivation(name), split_unit(name)[1])
    for kind, structure in _STRUCTURES.items():
        for name, member in members(structure).items():
            if name not in COLUMNS and name != "reserved":
                yield _member(name, kind, member, "")
    for option in OPTIONS:
        yield _option(option)
    yield from map(_sysctl, SYSCTLS.values())
    yield from map(_counter, COUNTERS.values())
    yield from map(_check, HOST_CHECKS.values())
    for kind, table in _TABLES.items():
        for number, meaning in table.items():
            yield _plain(meaning.word, kind, meaning.doc, Unit.COUNT, (("number", str(number)),))
    for verdict in VERDICTS.values():
        yield _verdict(verdict)
    for mark, meaning_text in MARK_MEANINGS.items():
        yield _plain(mark, "mark", meaning_text, Unit.COUNT)


def derivation(name: str) -> str:
    """The whole docstring of a derived value's function, as one paragraph."""
    return " ".join((getattr(derived, name).__doc__ or "").replace("``", "").split())


def _plain(
    name: str, kind: str, meaning: str, unit: Unit, facts: tuple[tuple[str, str], ...] = ()
) -> Explanation:
    return Explanation(
        name=name,
        kind=kind,
        meaning=meaning,
        unit=unit.value,
        pitfall="",
        since="",
        source="",
        kernel_name="",
        facts=facts,
    )


def _member(name: str, kind: str, member: Member, group: str) -> Explanation:
    facts = [("group", group)] if group else []
    if member.unlimited is not None:
        facts.append(("unlimited is", str(member.unlimited)))
    if member.absent is not None:
        facts.append(("not known is", str(member.absent)))
    if member.needs:
        facts.append(("absent while 0", member.needs))
    return Explanation(
        name=name,
        kind=kind,
        meaning=member.doc,
        unit=member.unit.value,
        pitfall=member.pitfall,
        since=member.since,
        source="include/uapi/linux/tcp.h" if kind == "tcp_info field" else "",
        kernel_name=member.name,
        facts=tuple(facts),
    )


def _verdict(verdict: Verdict) -> Explanation:
    return Explanation(
        name=verdict.name,
        kind="verdict",
        meaning=verdict.meaning,
        unit=Unit.COUNT.value,
        pitfall=verdict.pitfall,
        since="",
        source="tcptool-diagnose(1)",
        kernel_name="",
        facts=(
            ("decided by", verdict.decided),
            ("severity", verdict.severity.value),
            ("who must act", verdict.who),
        ),
    )


def _option(option: SocketOption) -> Explanation:
    default = "" if option.default is None else str(option.default).lower()
    ranges = option.range_text
    if not ranges and option.minimum is not None:
        ranges = f"{option.minimum} to {option.maximum}"
    facts = {
        "number": f"level {option.level}, option {option.number}",
        "range": ranges,
        "default": option.default_sysctl or default,
        "takes effect": " ".join(filter(None, (option.when.value, option.when_text))),
        "reads back": option.reads_back.value,
        "inherited by accept()": "yes" if option.inherited else "no",
        "privilege": option.privilege,
        "access": option.access.value,
        "read by tcptool": "yes" if option.readable else f"no: {option.reading.value}",
        "risk on a live socket": option.risk.value,
        "MPTCP": option.mptcp.value,
    }
    return Explanation(
        name=option.name,
        kind="socket option",
        meaning=option.doc,
        unit=option.unit.value,
        pitfall=option.pitfall,
        since=option.since,
        source=option.source,
        kernel_name=option.name,
        facts=tuple((what, value) for what, value in facts.items() if value),
    )


def _sysctl(sysctl: Sysctl) -> Explanation:
    facts = [("default", sysctl.default)] if sysctl.default else []
    scope = "the whole host" if sysctl.host_wide else "each network namespace"
    return Explanation(
        name=sysctl.name,
        kind="sysctl",
        meaning=sysctl.doc,
        unit=sysctl.unit.value,
        pitfall=sysctl.pitfall,
        since="",
        source=sysctl.source,
        kernel_name=sysctl.name.rpartition(".")[2],
        facts=(*facts, ("one for", scope)),
    )


def _counter(counter: Counter) -> Explanation:
    return Explanation(
        name=counter.name,
        kind="counter",
        meaning=counter.doc,
        unit="",
        pitfall=counter.pitfall,
        since="",
        source="snmp_counter.rst",
        kernel_name=counter.place.rpartition(" ")[2],
        facts=(("stands in", counter.place),),
    )


def _check(check: HostCheck) -> Explanation:
    return Explanation(
        name=check.id,
        kind="check of doctor",
        meaning=f"{check.title}: {check.why}",
        unit="",
        pitfall="",
        since="",
        source=check.source,
        kernel_name="",
        facts=(
            ("speaks up", check.rule),
            ("layer", check.layer.value),
            ("aspect", check.aspect.value),
        ),
    )


def _spellings(entry: Explanation) -> set[str]:
    """Lower-case words by which an entry can be asked for."""
    names = {entry.name.lower(), entry.kernel_name.lower()}
    names.add(entry.kernel_name.lower().removeprefix("tcpi_"))
    names.add(split_unit(entry.name)[0].lower())
    if entry.name in COLUMNS:
        names |= {s for s, name in column_names().items() if name == entry.name}
    return {name for name in names if name}
