"""`options`: every socket option, and what this kernel does with it now.

All of it is read and tried on fresh sockets of our own, which are closed at once and never
bound; nobody else's socket is touched.  Which values may be tried at all is decided in
analysis/option_trials.py.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence
from typing import Final

from tcptool.actions.host import host_facts
from tcptool.analysis.option_trials import (
    CONGESTION,
    explore,
    found_choices,
    found_ends,
    may_set,
    trial_values,
)
from tcptool.catalog.diag import AF_INET, AF_INET6
from tcptool.catalog.option_manual import example
from tcptool.catalog.options import (
    BACKLOG,
    DANGERS,
    OPTIONS,
    Codec,
    Family,
    OptionValue,
    Risk,
    SocketOption,
    find_option,
    forceable,
)
from tcptool.decode.options import decode_option, encode_option
from tcptool.errors import NotFound, describe_errno, errno_name
from tcptool.linux.borrow import Descriptor
from tcptool.linux.kernel import Kernel
from tcptool.linux.visit import Readings, read_option, write_option
from tcptool.model.option_report import OptionsReport, OptionSurvey, Trial
from tcptool.model.report import Missing
from tcptool.sansio.suggest import did_you_mean

ALL: Final = (*OPTIONS, BACKLOG)

_FAMILIES: Final = {Family.IPV4: AF_INET, Family.IPV6: AF_INET6}
_LACKS: Final = frozenset({errno.ENOPROTOOPT, errno.EOPNOTSUPP})
"""The kernel, or its TCP, has not got the option."""


# -- which options -------------------------------------------------------------------------


def select_options(
    words: Sequence[str], *, settable: bool = False, risk: Risk | None = None
) -> tuple[SocketOption, ...]:
    """The options that any of the words means, in the order of the table; no words mean all.

    A word is a name in any case, with or without its prefix, or the beginning of several.
    Raises NotFound for a word that means none, and where the filters leave none.
    """
    meant = {option for word in words for option in _meant(word)} if words else set(ALL)
    chosen = tuple(
        option
        for option in ALL
        if option in meant
        and (option.settable or not settable)
        and (risk is None or (option.settable and option.risk is risk))
    )
    if not chosen:
        raise NotFound("choosing options", "none has all that was asked for", _WHERE)
    return chosen


_WHERE: Final = "`tcptool options` without arguments lists all of them."


def _meant(word: str) -> list[SocketOption]:
    exact = find_option(word)
    if exact is not None:
        return [exact]
    start = word.strip().upper().replace("-", "_")
    found = [
        option for option in ALL if start and any(s.startswith(start) for s in _spellings(option))
    ]
    if not found:
        known = [spelling for option in ALL for spelling in _spellings(option)]
        why = "there is none of that name" + did_you_mean(start, known)
        raise NotFound(f"looking for option {word!r}", why, _WHERE)
    return found


def _spellings(option: SocketOption) -> tuple[str, str]:
    """The name with and without its prefix."""
    name = option.name.upper()
    return name, name.partition("_")[2] or name


# -- what this kernel does with them -------------------------------------------------------


def survey_options(kernel: Kernel, options: Iterable[SocketOption]) -> OptionsReport:
    """Ask and try each option on sockets of our own, in the network namespace of ``kernel``."""
    options = tuple(options)
    missing: list[Missing] = []
    readings = {family: _defaults(kernel, family, options, missing) for family in _FAMILIES}
    algorithms = _algorithms(kernel)
    surveyed = tuple(_survey(kernel, option, readings, algorithms) for option in options)
    return OptionsReport(host_facts(kernel), surveyed, missing, [])


def _defaults(
    kernel: Kernel, family: Family, options: Iterable[SocketOption], missing: list[Missing]
) -> Readings:
    """What a fresh socket of this family answers."""
    wanted = [o for o in options if o.readable and o.family in (Family.ANY, family)]
    if not wanted:
        return {}
    try:
        with kernel.fresh_socket(_FAMILIES[family]) as fresh:
            return {option: read_option(fresh, option) for option in wanted}
    except OSError as exc:
        missing.append(
            Missing(
                what=f"what {_PROTOCOLS[family]} sockets do",
                why=describe_errno(exc.errno or errno.EIO),
                needs=f"a kernel with {_PROTOCOLS[family]}",
            )
        )
        return {}


_PROTOCOLS: Final = {Family.IPV4: "IPv4", Family.IPV6: "IPv6"}


def _algorithms(kernel: Kernel) -> tuple[str, ...]:
    """Congestion control algorithms that are loaded."""
    try:
        text = kernel.sysctl("net.ipv4.tcp_available_congestion_control")
    except OSError:
        return ()
    return tuple(text.split())


def _survey(
    kernel: Kernel,
    option: SocketOption,
    readings: dict[Family, Readings],
    algorithms: tuple[str, ...],
) -> OptionSurvey:
    read = [raw for of_family in readings.values() if (raw := of_family.get(option)) is not None]
    lacks = next((raw for raw in read if isinstance(raw, int) and raw in _LACKS), None)
    tried = () if lacks else _try(kernel, option, algorithms)
    available = lacks is None if read else _available(tried)
    error = errno_name(lacks) if lacks else tried[0].error if available is False else None
    lowest, highest = found_ends(option, tried)
    choices = found_choices(option, tried)
    seen = bool(choices) or lowest is not None
    if not seen and available is not False:
        lowest, highest, choices = _range_of_table(option)
    refused = option.settable and option.risk is Risk.REFUSE
    return OptionSurvey(
        name=option.name,
        kind=option.codec.value,
        unit=option.unit.value,
        family=option.family.value,
        level=option.level,
        number=option.number,
        available=available,
        error=error,
        default_ipv4=_default(option, readings[Family.IPV4]),
        default_ipv6=_default(option, readings[Family.IPV6]),
        default_sysctl=option.default_sysctl or None,
        lowest=lowest,
        highest=highest,
        choices=choices,
        range_from="tried" if seen else "table",
        range_text=option.range_text or None,
        tried=tried,
        settable=option.settable,
        privilege=option.privilege or None,
        may_set=may_set(tried),
        takes_effect=option.when.value,
        takes_effect_text=option.when_text or None,
        reads_back=option.reads_back.value,
        inherited=option.inherited,
        risk=option.risk.value if option.settable else None,
        danger=DANGERS[option.name] if refused else None,
        forceable=forceable(option) if refused else None,
        reading=option.reading.value,
        mptcp=option.mptcp.value,
        since=option.since or None,
        meaning=option.doc,
        pitfall=option.pitfall or None,
        source=option.source,
        example=None if available is False else example(option) or None,
    )


def _range_of_table(option: SocketOption) -> tuple[int | None, int | None, tuple[str, ...]]:
    if option.codec is Codec.ENUM and option.settable:
        return None, None, tuple(meaning.word for meaning in option.words.values())
    return option.minimum, option.maximum, ()


def _default(option: SocketOption, readings: Readings) -> OptionValue | None:
    """The value of a fresh socket, unless every socket has its own, as of a cookie or a clock."""
    raw = readings.get(option)
    own = option.tuned_by_kernel and option.default is None and not option.default_sysctl
    if not option.settable or own or not isinstance(raw, bytes):
        return None
    return decode_option(option, raw)


def _available(tried: Iterable[Trial]) -> bool | None:
    """Whether an option that cannot be read is there; None if it was not tried."""
    lacking = [trial.error in ("ENOPROTOOPT", "EOPNOTSUPP") for trial in tried]
    return not all(lacking) if lacking else None


def _try(kernel: Kernel, option: SocketOption, algorithms: tuple[str, ...]) -> tuple[Trial, ...]:
    """What the kernel makes of the values worth trying, all on one socket."""
    family = AF_INET6 if option.family is Family.IPV6 else AF_INET
    choices = algorithms if option.name == CONGESTION else ()
    if not trial_values(option, choices):
        return ()
    try:
        with kernel.fresh_socket(family) as fresh:
            return explore(option, choices, lambda value: _attempt(fresh, option, value))
    except OSError:
        return ()  # no socket of this family: said once, by ``_defaults``


def _attempt(fresh: Descriptor, option: SocketOption, value: OptionValue) -> Trial:
    asked = encode_option(option, value)
    number = write_option(fresh, option, asked)
    stored = read_option(fresh, option) if option.readable and not number else None
    return Trial(
        asked=decode_option(option, asked),
        effective=decode_option(option, stored) if isinstance(stored, bytes) else None,
        error=errno_name(number) if number else None,
    )
