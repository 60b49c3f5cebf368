"""What `options` reports: each socket option, and what this kernel does with it now."""

from __future__ import annotations

from dataclasses import dataclass

from tcptool.catalog.options import OptionValue
from tcptool.model.report import Host, Missing, Warning


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A value that was set on a fresh socket of our own, in the option's unit.

    ``effective`` is what read back, None where nothing could be read; ``error`` is the errno
    with which the kernel refused the value, as ``EINVAL``.
    """

    asked: OptionValue
    effective: OptionValue | None
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionSurvey:
    """One option: first what this kernel was seen to do, then what the table knows of it.

    ``available`` is False if the kernel, or TCP, lacks the option, which ``error`` shows, and
    None if asking could do harm.  The defaults are those of fresh sockets of either family.
    ``lowest`` and ``highest`` are in ``unit``, as they read back; ``range_from`` says whether
    they, or the ``choices``, were ``tried`` or come from the ``table``.  ``privilege`` None:
    anybody may set it; ``may_set`` is False if a value was refused for want of the privilege,
    and None if none was tried.  ``takes_effect`` is on a socket in use; ``inherited``: accepted
    connections start with it.  ``risk`` is that of setting it on a running connection, None for
    what can only be read; where it is ``refuse``, ``danger`` says why, and ``forceable`` whether
    `apply --force` sets it nevertheless.
    """

    name: str
    kind: str
    unit: str
    family: str
    level: int
    number: int
    available: bool | None
    error: str | None
    default_ipv4: OptionValue | None
    default_ipv6: OptionValue | None
    default_sysctl: str | None
    lowest: OptionValue | None
    highest: OptionValue | None
    choices: tuple[str, ...]
    range_from: str
    range_text: str | None
    tried: tuple[Trial, ...]
    settable: bool
    privilege: str | None
    may_set: bool | None
    takes_effect: str
    takes_effect_text: str | None
    reads_back: str
    inherited: bool
    risk: str | None
    danger: str | None
    forceable: bool | None
    reading: str
    mptcp: str
    since: str | None
    meaning: str
    pitfall: str | None
    source: str
    example: str | None


@dataclass(frozen=True, slots=True)
class OptionsReport:
    """The options that were asked for, in the order of the table."""

    host: Host
    options: tuple[OptionSurvey, ...]
    missing: list[Missing]
    warnings: list[Warning]
