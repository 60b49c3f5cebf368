"""What a filter means: the reference that the kernel's part and every faster way must equal.

A value is given as the records of ``model`` hold it: words for enumerations, text for
addresses and cookies, None for what the kernel did not report.  A comparison with None is
false, whatever the operator.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Final

from tcptool.catalog.diag import V4_MAPPED
from tcptool.catalog.registry import UNLIMITED
from tcptool.catalog.states import TCP_STATES, number
from tcptool.model.filter import And, Filter, Host, Not, Or, States

_ORDER: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def evaluate(filter: Filter, value_of: Callable[[str], object]) -> bool:
    """Whether a socket passes ``filter``.

    ``value_of`` gives the value of a column by its full name.  ``local_packed`` and
    ``peer_packed`` are the addresses as the kernel has them: 4 bytes on an IPv4 socket,
    16 on an IPv6 one, v4-mapped included.
    """
    match filter:
        case And(operands):
            return all(evaluate(operand, value_of) for operand in operands)
        case Or(operands):
            return any(evaluate(operand, value_of) for operand in operands)
        case Not(operand):
            return not evaluate(operand, value_of)
        case States(numbers):
            return number(TCP_STATES, str(value_of("state"))) in numbers
        case Host(side, address, bits, port):
            if port is not None and value_of(f"{side}_port") != port:
                return False
            return address is None or in_network(value_of(f"{side}_packed"), address, bits)
    return compare(value_of(filter.column), filter.op, filter.value)


def in_network(packed: object, network: bytes, bits: int) -> bool:
    """Whether an address lies in ``network``; a v4-mapped one also lies in IPv4 networks."""
    if not isinstance(packed, bytes):
        return False
    if len(network) == 4 and packed[:-4] == V4_MAPPED:
        packed = packed[-4:]
    if len(packed) != len(network):
        return False
    difference = int.from_bytes(packed, "big") ^ int.from_bytes(network, "big")
    return difference >> (8 * len(network) - bits) == 0


def compare(actual: object, op: str, wanted: float | str) -> bool:
    """``actual op wanted``.  A number and a text differ and have no order.

    ``unlimited`` is above every number.  Of a tuple, ``=`` and ``~`` ask for any member.
    """
    if actual is None:
        return False
    if op == "!=":
        return not compare(actual, "=", wanted)
    if isinstance(actual, tuple):
        return any(compare(member, op, wanted) for member in actual)
    if isinstance(wanted, str):
        if not isinstance(actual, str):
            return False
        return wanted in actual if op == "~" else op == "=" and wanted == actual
    if actual == UNLIMITED:
        actual = math.inf
    if not isinstance(actual, (int, float)):
        return False
    return actual == wanted if op == "=" else op in _ORDER and _ORDER[op](actual, wanted)
