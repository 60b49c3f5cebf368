"""Compiles the part of a filter that the kernel can apply while it dumps sockets.

The kernel can match states (a mask in the request), addresses and ports (a small program,
INET_DIAG_REQ_BYTECODE).  What it is given never rejects a socket that the filter accepts;
whatever it cannot decide for certain stays in ``rest``.

In the program every operation falls through when it holds and jumps ``no`` bytes ahead
when it does not; jumping to the end accepts, four bytes beyond it rejects.  ``yes`` is
always the operation's own length: valid_cc() lets ``no`` land only on operations that are
reached by following ``yes``.

Source: inet_diag_bc_audit() and inet_diag_bc_run() in net/ipv4/inet_diag.c, Linux 6.18; the
operations used here are as old as the interface (2.6.14).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from tcptool.catalog.diag import AF_INET, AF_INET6, ALL_STATES
from tcptool.model.filter import And, Compare, Filter, Host, Not, Or, States

MAX_BYTECODE_BYTES: Final = 16_384
"""Some 1000 ports.  An attribute could hold 65 531 bytes, but the kernel checks jumps in the
square of the length: 3 ms for this much, 30 ms for all of it (measured, Linux 6.18)."""

_JMP: Final = 1
_PORT_CODES: Final = {
    ("local_port", ">="): 2,
    ("local_port", "<="): 3,
    ("peer_port", ">="): 4,
    ("peer_port", "<="): 5,
}
_HOST_CODES: Final = {"local": 7, "peer": 8}
_SIDES: Final = {"local_port": "local", "peer_port": "peer"}
_FAMILIES: Final = {0: 0, 4: AF_INET, 16: AF_INET6}  # by length of the address; AF_UNSPEC is any
_ANY_PORT: Final = -1
_INVERSE: Final = {"=": "!=", "!=": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}

_OPERATION: Final = struct.Struct("=BBH")  # struct inet_diag_bc_op: code, yes, no
_HOST: Final = struct.Struct("=BBxxi")  # struct inet_diag_hostcond: family, prefix_len, port


@dataclass(frozen=True, slots=True)
class KernelFilter:
    """A filter, divided between the kernel and us.

    ``states`` is the mask of states that can match (0: no socket can), ``bytecode`` the
    kernel's program (empty: none), ``rest`` what must still be applied to every row.
    """

    states: int
    bytecode: bytes
    rest: Filter | None


def compile_for_kernel(filter: Filter | None) -> KernelFilter:
    """Divide ``filter`` between the kernel and user space; None accepts everything."""
    states = ALL_STATES
    kernel: list[Filter] = []
    rest: list[Filter] = []
    room = MAX_BYTECODE_BYTES
    for part in _conjuncts(filter):
        states &= _possible_states(part)
        leaves = tuple(_leaves(part))
        if all(isinstance(leaf, States) for leaf in leaves):
            continue  # the mask says all of it
        wider = _widen(part)
        if wider is None or _size(wider) > room:
            rest.append(part)
            continue
        room -= _size(wider)
        kernel.append(wider)
        if not all(map(_kernel_knows, leaves)):
            rest.append(part)
    return KernelFilter(states, _code(And(tuple(kernel)), reject=4), _joined(rest))


def _conjuncts(filter: Filter | None, *, negated: bool = False) -> Iterator[Filter]:
    """Filters that must all hold: ``filter`` taken apart at its ``and``s."""
    match filter, negated:
        case None, _:
            return
        case (And(operands), False) | (Or(operands), True):
            for operand in operands:
                yield from _conjuncts(operand, negated=negated)
        case Not(operand), _:
            yield from _conjuncts(operand, negated=not negated)
        case _:
            yield Not(filter) if negated else filter


def _leaves(filter: Filter) -> Iterator[Filter]:
    match filter:
        case And(operands) | Or(operands):
            for operand in operands:
                yield from _leaves(operand)
        case Not(operand):
            yield from _leaves(operand)
        case _:
            yield filter


def _possible_states(filter: Filter, *, negated: bool = False) -> int:
    """Mask of the states in which ``filter`` can hold; exact where it is made of states only."""
    match filter:
        case States(numbers):
            mask = sum(1 << number for number in numbers) & ALL_STATES
            return ALL_STATES & ~mask if negated else mask
        case Not(operand):
            return _possible_states(operand, negated=not negated)
        case And(operands) | Or(operands):
            masks = [_possible_states(operand, negated=negated) for operand in operands]
            return _intersection(masks) if isinstance(filter, And) != negated else _union(masks)
        case _:
            return ALL_STATES


def _intersection(masks: Iterable[int]) -> int:
    result = ALL_STATES
    for mask in masks:
        result &= mask
    return result


def _union(masks: Iterable[int]) -> int:
    result = 0
    for mask in masks:
        result |= mask
    return result


def _kernel_knows(leaf: Filter) -> bool:
    """Whether a program can decide this condition.  Addresses and ports are never absent."""
    match leaf:
        case Compare(column, op, int(port)):
            return column in _SIDES and op in _INVERSE and 0 <= port <= 0xFFFF
        case Host(side, address, bits, port):
            size = len(address or b"")
            return (
                side in _HOST_CODES
                and size in _FAMILIES
                and 0 <= bits <= 8 * size
                and (port is None or 0 <= port <= 0xFFFF)
            )
        case _:
            return False


def _widen(filter: Filter, *, negated: bool = False) -> Filter | None:
    """What the kernel is to check: it holds wherever ``filter`` does; None: always.

    It equals ``filter`` where the kernel knows every condition; the others are taken as
    true, on whichever side of a ``not`` they stand.
    """
    match filter:
        case Not(operand):
            return _widen(operand, negated=not negated)
        case And(operands) | Or(operands):
            wider = [_widen(operand, negated=negated) for operand in operands]
            known = [operand for operand in wider if operand is not None]
            if isinstance(filter, And) != negated:
                return _joined(known)
            return Or(tuple(known)) if len(known) == len(wider) else None
        case _ if not _kernel_knows(filter):
            return None
        case Compare(column, op, int(port)):
            return _port_condition(column, _INVERSE[op] if negated else op, port)
        case _:
            return Not(filter) if negated else filter


def _port_condition(column: str, op: str, port: int) -> Filter:
    """A comparison of a port in the kernel's terms, as ``ss`` writes it: host, >=, <= and not."""
    match op:
        case "=":
            return Host(_SIDES[column], port=port)
        case "!=":
            return Not(Host(_SIDES[column], port=port))
        case ">":
            return Not(Compare(column, "<=", port))
        case "<":
            return Not(Compare(column, ">=", port))
        case _:
            return Compare(column, op, port)


def _joined(filters: list[Filter]) -> Filter | None:
    if len(filters) > 1:
        return And(tuple(filters))
    return filters[0] if filters else None


def _size(filter: Filter) -> int:
    """Length of ``_code(filter)``, or a little more."""
    match filter:
        case And(operands):
            return sum(map(_size, operands))
        case Or(operands):
            return _OPERATION.size * (1 + len(operands)) + sum(map(_size, operands))
        case Not(operand):
            return _size(operand) + _OPERATION.size
        case Host(_, address):
            return _OPERATION.size + _HOST.size + len(address or b"")
        case _:
            return 2 * _OPERATION.size


def _code(filter: Filter, reject: int) -> bytes:
    """The program of a filter that ``_widen`` made.

    It falls off its end when the filter holds, and lands ``reject`` bytes beyond its end
    when it does not.
    """
    match filter:
        case And(operands):
            code = b""
            for operand in reversed(operands):
                code = _code(operand, reject + len(code)) + code
            return code
        case Or(operands):
            if not operands:
                return _jump(reject)
            *first, last = operands
            code = _code(last, reject)
            for operand in reversed(first):
                code = _code(operand, reject=_OPERATION.size) + _jump(len(code)) + code
            return code
        case Not(operand):
            return _code(operand, reject=_OPERATION.size) + _jump(reject)
        case Host(side, address, bits, port):
            packed = address or b""
            wanted = _ANY_PORT if port is None else port
            condition = _HOST.pack(_FAMILIES[len(packed)], bits, wanted) + packed
            return _operation(_HOST_CODES[side], condition, reject)
        case Compare(column, op, int(port)):
            return _operation(_PORT_CODES[column, op], _OPERATION.pack(0, 0, port), reject)
        case _:  # pragma: no cover
            raise AssertionError(filter)


def _jump(distance: int) -> bytes:
    """Go on ``distance`` bytes beyond this operation: a jump is a condition that never holds."""
    return _operation(_JMP, b"", distance)


def _operation(code: int, operand: bytes, reject: int) -> bytes:
    size = _OPERATION.size + len(operand)
    return _OPERATION.pack(code, size, size + reject) + operand
