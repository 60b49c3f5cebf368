"""A filter expression, as `list` and every TARGET understand it.

Made by ``sansio.filter_parser``; address and port conditions are compiled for the kernel by
``sansio.filter_bytecode``, the rest is applied to the decoded columns.  A comparison with a
value that the kernel did not report is false.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Compare:
    """``column op value``.  ``column`` is a full column name, ``value`` in its unit.

    ``op`` is one of ``= != < <= > >= ~``; ``~`` (contains) and text compare only with text.
    """

    column: str
    op: str
    value: int | float | str


@dataclass(frozen=True, slots=True)
class Host:
    """``src``/``dst`` ADDRESS/PREFIX with an optional port.

    ``side`` is ``local`` or ``peer``.  ``address`` is the packed network address (4 or 16
    bytes), or None where only the port matters.  An IPv4 prefix also matches v4-mapped IPv6.
    """

    side: str
    address: bytes | None = None
    prefix_bits: int = 0
    port: int | None = None


@dataclass(frozen=True, slots=True)
class States:
    """``state NAME`` and ``exclude NAME``: the kernel's state numbers that match."""

    numbers: frozenset[int]


@dataclass(frozen=True, slots=True)
class Not:
    """``not X``, ``! X``."""

    operand: Filter


@dataclass(frozen=True, slots=True)
class And:
    """All of the operands: ``X and Y``, ``X Y``, ``X & Y``."""

    operands: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Any of the operands: ``X or Y``, ``X | Y``."""

    operands: tuple[Filter, ...]


Filter = Compare | Host | States | Not | And | Or
