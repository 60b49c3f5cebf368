"""Counters and port ranges under /proc."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcptool.decode.net_counters import parse_counters, parse_ports, parse_sockstat

SNMP = """\
Ip: Forwarding DefaultTTL InReceives
Ip: 2 64 3076
Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails
Tcp: 1 200 120000 -1 125 115 3
"""
SOCKSTAT = """\
sockets: used 14
TCP: inuse 1 orphan 0 tw 18 alloc 1 mem 211
FRAG: inuse 0 memory 0
"""


def test_every_counter_has_its_protocol_in_its_name() -> None:
    found = parse_counters(SNMP)
    assert (found["TcpActiveOpens"], found["TcpAttemptFails"], found["IpDefaultTTL"]) == (
        125,
        3,
        64,
    )
    assert found["TcpMaxConn"] == -1
    assert len(found) == 10


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Tcp: A B\n",
        "Tcp: A B\nTcp: 1\n",
        "Tcp: A\nUdp: 1\n",
        "Tcp: A\nTcp: x\n",
        "Tcp: A\nTcp: 1.5\n",
        "Tcp: A\nTcp: --1\n",
        "Tcp: A\nTcp: ²\n",
    ],
)
def test_what_does_not_belong_together_is_left_out(text: str) -> None:
    assert parse_counters(text) == {}


def test_a_garbled_pair_does_not_hide_the_next() -> None:
    assert parse_counters("Tcp: A\nUdp: 1\nTcpExt: TW\nTcpExt: 5\n") == {"TcpExtTW": 5}


NAMES = st.text("ABCDEFGHIJabcdefghij0123456789", min_size=1, max_size=12)
TABLES = st.dictionaries(
    NAMES.map("T{}".format), st.dictionaries(NAMES, st.integers(-(2**63), 2**64), max_size=8)
)


@given(TABLES)
def test_any_table_survives_there_and_back(table: dict[str, dict[str, int]]) -> None:
    text = "".join(
        f"{protocol}: {' '.join(row)}\n{protocol}: {' '.join(map(str, row.values()))}\n"
        for protocol, row in table.items()
    )
    wanted = {protocol + key: v for protocol, row in table.items() for key, v in row.items()}
    found = parse_counters(text)
    assert found.keys() == wanted.keys()
    # Two protocols may make one name: T1 with 2A, and T12 with A.
    assert len(found) < sum(map(len, table.values())) or found == wanted


@given(TABLES)
def test_any_sockstat_survives_there_and_back(table: dict[str, dict[str, int]]) -> None:
    text = "".join(
        f"{protocol}: {' '.join(f'{key} {value}' for key, value in row.items())}\n"
        for protocol, row in table.items()
    )
    assert parse_sockstat(text) == {
        f"{protocol} {key}": value for protocol, row in table.items() for key, value in row.items()
    }


def test_sockets_in_time_wait() -> None:
    found = parse_sockstat(SOCKSTAT)
    assert (found["TCP tw"], found["TCP inuse"], found["sockets used"]) == (18, 1, 14)


@pytest.mark.parametrize("text", ["", "TCP\n", "TCP: tw\n", "TCP: tw many\n"])
def test_a_sockstat_without_numbers(text: str) -> None:
    assert parse_sockstat(text) == {}


@given(st.text())
def test_any_text_is_read_without_an_error(text: str) -> None:
    assert all(isinstance(value, int) for value in parse_sockstat(text).values())
    assert all(isinstance(value, int) for value in parse_counters(text).values())


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("32768\t60999", (range(32768, 61000),)),
        ("32768 32768\n", (range(32768, 32769),)),
        ("", ()),
        ("\n", ()),
        ("8080", (range(8080, 8081),)),
        ("8080,9000-9010,9999\n", (range(8080, 8081), range(9000, 9011), range(9999, 10000))),
    ],
)
def test_port_ranges(text: str, ports: tuple[range, ...]) -> None:
    assert parse_ports(text) == ports


@pytest.mark.parametrize("text", ["many", "1-2-3", "1 2 3", "1,x", "-"])
def test_what_is_no_port_range_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"invalid literal"):
        parse_ports(text)


@given(st.lists(st.tuples(st.integers(0, 65535), st.integers(0, 65535)).map(sorted), min_size=1))
def test_any_list_of_ports_survives_there_and_back(pairs: list[list[int]]) -> None:
    text = ",".join(f"{a}-{b}" if a < b else str(a) for a, b in pairs)
    assert parse_ports(text) == tuple(range(a, b + 1) for a, b in pairs)
