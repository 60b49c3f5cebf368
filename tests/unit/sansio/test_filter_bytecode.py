"""What the kernel is given equals the filter, or lets more through and leaves the rest to us."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given

from tcptool.catalog.diag import AF_INET, ALL_STATES
from tcptool.model.filter import And, Compare, Filter, Host, Not, Or, States
from tcptool.sansio.filter_bytecode import MAX_BYTECODE_BYTES, KernelFilter, compile_for_kernel
from tests.support.filter_reference import evaluate
from tests.unit.sansio.filters import FILTERS, KERNEL_FILTERS, Row, audit, matches, rows

ROW = Row(AF_INET, b"\x7f\0\0\1", 80, b"\x0a\1\2\3", 50_000)
RTT = Compare("rtt_us", ">", 5)
HTTP = Compare("local_port", "=", 80)


def accepted_by_kernel(compiled: KernelFilter, row: Row) -> bool:
    return bool(compiled.states >> row.state & 1) and matches(compiled.bytecode, row)


@given(FILTERS, rows())
def test_kernel_and_rest_together_are_the_filter(filter: Filter, row: Row) -> None:
    compiled = compile_for_kernel(filter)
    audit(compiled.bytecode)
    wanted = evaluate(filter, row.value_of)
    kernel = accepted_by_kernel(compiled, row)
    assert kernel or not wanted, "the kernel would hide a socket"
    rest = compiled.rest is None or evaluate(compiled.rest, row.value_of)
    assert (kernel and rest) == wanted


@given(KERNEL_FILTERS, rows())
def test_addresses_and_ports_are_left_to_the_kernel(filter: Filter, row: Row) -> None:
    compiled = compile_for_kernel(filter)
    assert compiled.rest is None
    assert matches(compiled.bytecode, row) == evaluate(filter, row.value_of)


@pytest.mark.parametrize(
    ("filter", "states", "has_bytecode", "rest"),
    [
        (None, ALL_STATES, False, None),
        (States(frozenset({1, 6})), 0b100_0010, False, None),
        (States(frozenset({13})), 0, False, None),
        (Not(States(frozenset({1}))), ALL_STATES & ~2, False, None),
        (And((States(frozenset({1, 6})), States(frozenset({6, 7})))), 1 << 6, False, None),
        (Not(Or((States(frozenset({1})), HTTP))), ALL_STATES & ~2, True, None),
        (HTTP, ALL_STATES, True, None),
        (RTT, ALL_STATES, False, RTT),
        (And((HTTP, RTT, RTT)), ALL_STATES, True, And((RTT, RTT))),
        (Or((HTTP, RTT)), ALL_STATES, False, Or((HTTP, RTT))),
        (Not(And((HTTP, RTT))), ALL_STATES, False, Not(And((HTTP, RTT)))),
        (
            Or((And((HTTP, RTT)), And((Not(HTTP), States(frozenset({1})))))),
            ALL_STATES,
            True,
            Or((And((HTTP, RTT)), And((Not(HTTP), States(frozenset({1})))))),
        ),
        (Or((States(frozenset({1})), And((States(frozenset({2})), RTT)))), 0b110, False, ...),
        # nothing and everything, as only a program can write them
        (And(()), ALL_STATES, False, None),
        (Or(()), 0, False, None),
        (Not(And(())), 0, False, None),
        (Or((And(()), HTTP)), ALL_STATES, False, Or((And(()), HTTP))),
        (Or((Or(()), HTTP)), ALL_STATES, True, None),
    ],
)
def test_division(filter: Filter | None, states: int, has_bytecode: bool, rest: object) -> None:
    compiled = compile_for_kernel(filter)
    assert compiled.states == states
    assert bool(compiled.bytecode) == has_bytecode
    assert compiled.rest == (filter if rest is ... else rest)


@pytest.mark.parametrize(
    "filter",
    [
        Compare("local_port", "=", 65_536),
        Compare("local_port", "=", -1),
        Compare("local_port", "=", 80.5),
        Compare("local_port", "=", "80"),
        Compare("local_port", "~", 80),
        Host("both", None, 0, 80),
        Host("local", b"abc", 8),
        Host("local", b"abcd", 33),
        Host("local", b"abcd", -1),
        Host("local", None, 0, 65_536),
    ],
)
def test_what_does_not_fit_a_program_is_left_to_us(filter: Filter) -> None:
    assert compile_for_kernel(filter) == KernelFilter(ALL_STATES, b"", filter)


def test_a_program_as_ss_writes_it() -> None:
    """``ss 'sport = :80 or dport >= :1024'``: one operation for ``=``, one for ``>=``."""
    compiled = compile_for_kernel(Or((HTTP, Compare("peer_port", ">=", 1024))))
    assert compiled.bytecode == b"".join(
        [
            struct.pack("=BBH BBxxi", 7, 12, 16, 0, 0, 80),  # S_COND, any address; no: to D_GE
            struct.pack("=BBH", 1, 4, 12),  # JMP to the end
            struct.pack("=BBH BBH", 4, 8, 12, 0, 0, 1024),  # D_GE; no: beyond the end
        ]
    )


def long_or(count: int) -> Filter:
    return Or(tuple(Compare("local_port", "=", port) for port in range(1000, 1000 + count)))


def test_long_programs_jump_far() -> None:
    compiled = compile_for_kernel(long_or(1000))
    assert len(compiled.bytecode) > 255 * 4
    assert compiled.rest is None
    audit(compiled.bytecode)
    for port, expected in ((999, False), (1000, True), (1500, True), (1999, True), (2000, False)):
        row = Row(AF_INET, bytes(4), port, bytes(4), 1)
        assert matches(compiled.bytecode, row) is expected


def test_what_is_too_long_for_the_kernel_is_left_to_us() -> None:
    too_long = long_or(5000)
    compiled = compile_for_kernel(And((HTTP, too_long, Not(HTTP))))
    assert compiled.rest == too_long
    assert 0 < len(compiled.bytecode) <= MAX_BYTECODE_BYTES
    assert not matches(compiled.bytecode, ROW)
