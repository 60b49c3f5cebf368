"""The columns of `list`: every spelling leads somewhere, and to one place."""

from __future__ import annotations

import inspect

import pytest

from tcptool.catalog import diag
from tcptool.catalog.columns import (
    ADDRESS,
    COLUMNS,
    COOKIE,
    HOLDERS,
    ID,
    INPUTS,
    JSON_COLUMNS,
    NUMBER,
    OWNER_COLUMNS,
    TEXT,
    TEXT_COLUMNS,
    WORD,
    Attribute,
    Column,
    Derived,
    Endpoint,
    Header,
    Info,
    column_names,
    title,
)
from tcptool.catalog.registry import members
from tcptool.catalog.tcp_info import TcpInfo
from tcptool.units import split_unit

by_column = pytest.mark.parametrize("column", INPUTS.values(), ids=INPUTS)

WON_BY = {
    # alias or name without unit, wanted by several: the column that people mean
    "retrans": "retrans_percent",
    "backlog": "backlog",
    # the kernel's own name of the first: tcpi_received_ce, tcpi_delivered_ce
    "received_ce": "received_ce_packets",
    "delivered_ce": "delivered_ce_packets",
}


def spellings(column: Column) -> set[str]:
    without_unit = column.name.removesuffix(f"_{column.unit}") if column.unit else column.name
    return {column.name, without_unit, *column.aliases}


def test_every_spelling_resolves_to_its_column_or_to_a_known_winner() -> None:
    for name, column in COLUMNS.items():
        for spelling in spellings(column):
            assert column_names()[spelling] == WON_BY.get(spelling, name)


def test_only_the_known_spellings_are_wanted_twice() -> None:
    wanted = [spelling for column in COLUMNS.values() for spelling in spellings(column)]
    assert {spelling for spelling in wanted if wanted.count(spelling) > 1} == set(WON_BY)


def test_a_winner_of_a_spelling_wants_it_too() -> None:
    assert all(spelling in spellings(COLUMNS[name]) for spelling, name in WON_BY.items())


def test_a_full_name_always_means_itself() -> None:
    assert all(column_names()[name] == name for name in COLUMNS)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("rtt", "rtt_us"),
        ("tcpi_rtt", "rtt_us"),
        ("bytes_acked", "acked_bytes"),
        ("cc", "congestion"),
        ("comm", "process"),
        ("recvq", "receive_queue_bytes"),
        ("lport", "local_port"),
        ("dev", "ifindex"),
        ("total_retrans", "total_retrans_packets"),
    ],
)
def test_a_column_may_be_called_as_elsewhere(spelling: str, name: str) -> None:
    assert column_names()[spelling] == name


def test_the_defaults_exist_and_name_nothing_twice() -> None:
    for defaults in (TEXT_COLUMNS, JSON_COLUMNS):
        assert set(defaults) <= COLUMNS.keys()
        assert len(set(defaults)) == len(defaults)


def test_the_kernel_s_raw_queues_are_inputs_only() -> None:
    assert INPUTS.keys() - COLUMNS.keys() == {"rqueue", "wqueue"}
    assert INPUTS["rqueue"] is not COLUMNS["receive_queue_bytes"]


@by_column
def test_a_name_ends_in_its_unit_and_in_no_other(column: Column) -> None:
    assert split_unit(column.name)[1] == column.unit


@by_column
def test_a_column_is_listed_under_its_name_and_says_what_it_is(column: Column) -> None:
    assert INPUTS[column.name] is column
    assert column.doc
    assert column.width > 0
    assert column.kind in {ID, NUMBER, TEXT, WORD, ADDRESS, COOKIE, HOLDERS}
    assert (column.kind == WORD) == (column.words is not None or column.flags is not None)


@by_column
def test_a_source_exists(column: Column) -> None:
    source = column.source
    if isinstance(source, Header):
        assert source.member in diag.DIAG_MSG
    elif isinstance(source, Info):
        assert source.field in members(TcpInfo)
    elif isinstance(source, Endpoint):
        assert {source.address, source.port} <= COLUMNS.keys()


@by_column
def test_a_derived_column_has_an_input_for_every_parameter(column: Column) -> None:
    if isinstance(column.source, Derived):
        function = column.source.function
        assert column.name == function.__name__
        assert len(column.source.inputs) == len(inspect.signature(function).parameters)
        assert set(column.source.inputs) <= INPUTS.keys()


@by_column
def test_an_attribute_is_asked_for_by_its_own_bit(column: Column) -> None:
    if isinstance(column.source, Attribute) and column.source.extension:
        assert column.source.extension == 1 << column.source.number - 1


def test_every_field_of_tcp_info_but_the_state_is_a_column() -> None:
    sources = (column.source for column in COLUMNS.values())
    found = {source.field for source in sources if isinstance(source, Info)}
    assert found == members(TcpInfo).keys() - {"state"}


def test_owners_are_looked_for_by_these_columns_only() -> None:
    assert {"process", "pid", "fd", "holders"} == OWNER_COLUMNS


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("rtt_us", "rtt"),
        ("retrans_percent", "retrans"),
        ("receive_queue_bytes", "recv-q"),
        ("snd_cwnd_packets", "snd cwnd"),
        ("local_port", "local port"),
        ("state", "state"),
    ],
)
def test_a_title_leaves_the_unit_to_the_values(name: str, shown: str) -> None:
    assert title(COLUMNS[name]) == shown
