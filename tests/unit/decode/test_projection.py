"""The fast path says of every socket what the slow path says."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tcptool.catalog import diag
from tcptool.catalog.columns import COLUMNS, INPUTS, Column
from tcptool.catalog.registry import UNLIMITED
from tcptool.decode import projection
from tcptool.decode.netlink import MalformedReply, message
from tcptool.decode.projection import (
    RAW,
    Lookups,
    Projection,
    Rendering,
    columns_in,
    extensions_for,
)
from tcptool.model.filter import And, Compare, Filter, Host, Not, Or, States
from tcptool.model.owner import Holder, Process
from tests.support.fake_kernel import diag_message, tcp_info_bytes
from tests.support.filter_reference import evaluate
from tests.support.recorded import PROTOCOLS, recorded
from tests.unit.decode.sockets import (
    ATTRIBUTES,
    COMPARISONS,
    FILTERS,
    HOSTILE,
    LOOKUPS,
    datagrams,
    slow_rows,
)

ALL = list(COLUMNS.values())
NOTHING = Lookups({}, {})
TCP_OR_MPTCP = st.sampled_from([diag.IPPROTO_TCP, diag.IPPROTO_TCP, diag.IPPROTO_MPTCP])

MARKED = Rendering(
    text=lambda text: f"<{text}>",
    many=lambda values: f"[{'|'.join(map(str, values))}]",
    quote="~",
    absent="ABSENT",
    unlimited="UNLIMITED",
)
"""Another rendering than RAW, with a mark of its own for each kind of value."""

QUOTED = {"cookie", "local", "peer"}


def rendered(value: object, column: str, render: Rendering) -> object:
    """What a rendering makes of a value of the slow path."""
    if value is None:
        return render.absent
    if value == UNLIMITED and column.endswith(("_packets", "_per_s")):
        return render.unlimited
    if isinstance(value, tuple):
        return render.many(value)
    if column in QUOTED:
        return f"{render.quote}{value}{render.quote}"
    return render.text(value) if isinstance(value, str) else value


def project(
    datagram: bytes,
    columns: list[Column],
    *,
    protocol: int = diag.IPPROTO_TCP,
    render: Rendering = RAW,
    where: Filter | None = None,
    lookups: Lookups = LOOKUPS,
) -> list[tuple[object, ...]]:
    made = Projection(columns, render, lookups=lookups, where=where)
    return made.rows(datagram, protocol)


def slowly(
    datagram: bytes, columns: list[Column], protocol: int, render: Rendering
) -> list[tuple[object, ...]]:
    return [
        tuple(rendered(row.value_of(column.name), column.name, render) for column in columns)
        for row in slow_rows(datagram, protocol)
    ]


# -- values ------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ALL, ids=lambda column: column.name)
@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_column_of_recorded_sockets_equals_the_record(name: str, column: Column) -> None:
    raw, protocol = recorded(name), PROTOCOLS[name]
    for render in (RAW, MARKED):
        fast = project(raw, [column], protocol=protocol, render=render)
        assert fast == slowly(raw, [column], protocol, render)


@given(datagrams(), TCP_OR_MPTCP, st.sampled_from([RAW, MARKED]))
def test_every_column_of_any_sockets_equals_the_record(
    raw: bytes, protocol: int, render: Rendering
) -> None:
    assert project(raw, ALL, protocol=protocol, render=render) == slowly(raw, ALL, protocol, render)


@given(datagrams(), st.lists(st.sampled_from(ALL), max_size=6), TCP_OR_MPTCP)
def test_any_choice_of_columns_is_given_in_its_order(
    raw: bytes, columns: list[Column], protocol: int
) -> None:
    assert project(raw, columns, protocol=protocol) == slowly(raw, columns, protocol, RAW)


@given(st.lists(datagrams(), min_size=2, max_size=3))
def test_one_projection_reads_datagrams_of_any_layouts(raws: list[bytes]) -> None:
    columns = [COLUMNS["local"], COLUMNS["rtt_us"], COLUMNS["congestion"]]
    made = Projection(columns, RAW, lookups=LOOKUPS)
    for raw in raws:
        without_cookie = b"".join(found[:60] + bytes(8) + found[68:] for found in _split(raw))
        assert made.rows(without_cookie, 6) == slowly(without_cookie, columns, 6, RAW)


def _split(raw: bytes) -> list[bytes]:
    found = []
    while raw:
        length = -(-struct.unpack_from("=I", raw)[0] // 4) * 4
        found.append(raw[:length])
        raw = raw[length:]
    return found


def test_the_same_layout_means_another_thing_under_another_protocol() -> None:
    raw = diag_message(tcp_info={"rtt_us": 5})
    made = Projection([COLUMNS["rtt_us"]], RAW, lookups=NOTHING)
    assert made.rows(raw, diag.IPPROTO_TCP) == [(5,)]
    assert made.rows(raw, diag.IPPROTO_MPTCP) == [(None,)]


@pytest.mark.parametrize("byteorder", ["little", "big"])
def test_a_cookie_is_put_together_as_the_record_does_it(
    byteorder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = diag_message(cookie=0x1_0000_0002)
    monkeypatch.setattr("sys.byteorder", byteorder)
    cookie = [COLUMNS["cookie"]]
    assert project(raw, cookie) == slowly(raw, cookie, diag.IPPROTO_TCP, RAW)


# -- hostile names -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*HOSTILE, "unlimited", "None", "k0"])
def test_a_name_is_never_taken_for_source(name: str) -> None:
    lookups = Lookups({7: [Holder(Process(1, name, 1, "S"), 3)]}, {9: name})
    raw = diag_message(
        inode=7, congestion=name, attributes={diag.ATTR_CGROUP_ID: struct.pack("=Q", 9)}
    )
    columns = [COLUMNS[column] for column in ("process", "congestion", "cgroup", "holders")]
    shown = name.partition("\0")[0]
    assert project(raw, columns, lookups=lookups) == [(name, shown, name, "1:3")]
    for operator in ("=", "~"):
        where = Compare("process", operator, name)
        assert project(raw, columns, lookups=lookups, where=where)
        assert project(raw, columns, lookups=lookups, where=Not(where)) == []


# -- filters -----------------------------------------------------------------------------------


@given(datagrams(), FILTERS, TCP_OR_MPTCP)
def test_a_filter_accepts_what_its_definition_accepts(
    raw: bytes, where: Filter, protocol: int
) -> None:
    slow = slow_rows(raw, protocol)
    if any(row.socket.family == "unknown-99" for row in slow):
        return  # the definition knows addresses of 4 and 16 bytes only
    expected = [
        (str(row.socket.local), str(row.socket.peer))
        for row in slow
        if evaluate(where, row.value_of)
    ]
    ends = [COLUMNS["local"], COLUMNS["peer"]]
    assert project(raw, ends, protocol=protocol, where=where) == expected


@given(datagrams(), st.lists(COMPARISONS, min_size=1, max_size=5))
def test_a_comparison_accepts_what_its_definition_accepts(
    raw: bytes, comparisons: list[Compare]
) -> None:
    slow = slow_rows(raw, diag.IPPROTO_TCP)
    for where in comparisons:
        accepted = [row for row in slow if evaluate(where, row.value_of)]
        assert len(project(raw, [], where=where)) == len(accepted)


TWO_OPTIONS = diag_message(
    tcp_info={"options": ("sack", "ecn"), "snd_ssthresh_packets": "unlimited"}
)


@pytest.mark.parametrize(
    ("where", "accepted"),
    [
        (Compare("options", "=", "ecn"), True),
        (Compare("options", "!=", "ecn"), False),
        (Compare("options", "=", "wscale"), False),
        (Compare("snd_ssthresh_packets", "=", UNLIMITED), True),
        (Compare("snd_ssthresh_packets", ">", 2**63), True),
        (Compare("congestion", "=", UNLIMITED), False),
        (Compare("congestion", "~", UNLIMITED), False),
        (Compare("rtt_us", "=", 0), False),
        (Compare("rtt_us", "!=", 0), False),
        (Not(Compare("rtt_us", "=", 0)), True),
        (States(frozenset({1})), True),
        (States(frozenset({10})), False),
        (Host("local"), True),
        (Host("local", b"\x7f\0\0\0", 8, 80), True),
        (Host("local", b"\x7f\0\0\0", 8, 81), False),
        (Host("peer", bytes(4), 0), True),
        (Host("local", bytes(16), 0), False),
        (And((Host("local"), Not(Host("local")))), False),
        (Or((Host("local"), Not(Host("local")))), True),
    ],
)
def test_a_filter_over_one_socket(where: Filter, accepted: bool) -> None:
    assert bool(project(TWO_OPTIONS, [], where=where)) is accepted


@pytest.mark.parametrize(
    ("where", "accepted"),
    [
        (Compare("holders", "=", "1:3"), True),
        (Compare("holders", "=", "2:4"), True),
        (Compare("holders", "=", "1:3,2:4"), False),
        (Compare("holders", "~", "2:"), True),
        (Compare("holders", "!=", "2:4"), False),
        (Compare("pid", "=", 1), True),
    ],
)
def test_any_holder_may_match(where: Filter, accepted: bool) -> None:
    holders = [Holder(Process(pid, "a", 1, "S"), pid + 2) for pid in (1, 2)]
    raw = diag_message(inode=7)
    found = project(raw, [], where=where, lookups=Lookups({7: holders}, {}))
    assert bool(found) is accepted


def test_the_columns_of_a_filter_are_found() -> None:
    where = And(
        (
            Compare("rtt_us", ">", 1),
            Or((Not(Compare("pid", "=", 1)), Host("local"))),
            States(frozenset()),
        )
    )
    assert columns_in(where) == [COLUMNS["rtt_us"], COLUMNS["pid"]]
    assert columns_in(None) == []


# -- once each, with keys ----------------------------------------------------------------------


def test_a_socket_that_comes_twice_is_given_once() -> None:
    twice = diag_message(local=("127.0.0.1", 1), cookie=5)
    other = diag_message(local=("127.0.0.1", 2), cookie=6)
    made = Projection([COLUMNS["local_port"]], RAW, lookups=NOTHING)
    assert made.rows(twice + other + twice, 6) == [(1,), (2,)]
    assert made.rows(other, 6) == []


def test_a_socket_without_a_cookie_is_always_given() -> None:
    raw = diag_message()
    assert len(project(raw + raw, [])) == 2


def test_a_socket_that_a_filter_refused_is_still_given_when_it_passes_later() -> None:
    before = diag_message(cookie=5, rqueue=0)
    after = diag_message(cookie=5, rqueue=1)
    where = Compare("receive_queue_bytes", ">", 0)
    assert len(project(before + after + after, [], where=where)) == 1


def test_keys_follow_raw_behind_the_rendered_columns() -> None:
    raw = diag_message(tcp_info={"snd_ssthresh_packets": "unlimited", "rtt_us": None})
    keys = [COLUMNS[name] for name in ("snd_ssthresh_packets", "rtt_us", "state")]
    made = Projection([COLUMNS["rtt_us"]], MARKED, lookups=NOTHING, keys=keys)
    assert made.rows(raw, 6) == [("ABSENT", math.inf, None, "established")]


def test_more_values_than_are_remembered_are_shown_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(projection._Memo, "LIMIT", 2)
    addresses = [f"10.0.0.{i}" for i in range(10)] * 2
    raw = b"".join(diag_message(local=(address, 1)) for address in addresses)
    assert project(raw, [COLUMNS["local_address"]]) == [(address,) for address in addresses]


# -- malformed ---------------------------------------------------------------------------------

GOOD = diag_message(tcp_info={"rtt_us": 5}, congestion="cubic")


@pytest.mark.parametrize("length", range(1, len(GOOD)))
def test_a_datagram_cut_anywhere_is_malformed(length: int) -> None:
    with pytest.raises(MalformedReply):
        project(GOOD + GOOD[:length], [COLUMNS["rtt_us"]])


@pytest.mark.parametrize(
    "raw",
    [
        message(3, 0, 0, bytes(72)),
        message(20, 0, 0, bytes(71)),
        struct.pack("=IHHII", 0, 20, 0, 0, 0) + bytes(72),
        struct.pack("=IHHII", 2**32 - 1, 20, 0, 0, 0) + bytes(72),
        message(20, 0, 0, bytes(72) + struct.pack("=HH", 3, 1)),
        message(20, 0, 0, bytes(72) + struct.pack("=HH", 5, 1)),
    ],
)
def test_what_is_no_socket_is_malformed(raw: bytes) -> None:
    with pytest.raises(MalformedReply):
        project(GOOD + raw, [COLUMNS["rtt_us"]])


@example(b"\0" * 88)
@given(st.binary(max_size=300))
def test_any_bytes_are_rows_or_malformed(raw: bytes) -> None:
    try:
        project(raw, [COLUMNS["rtt_us"], COLUMNS["local"]])
    except MalformedReply:
        return
    assert len(raw) == 0 or len(raw) >= 88


@given(datagrams(), st.data())
def test_damaged_datagrams_are_rows_or_malformed(raw: bytes, data: st.DataObject) -> None:
    damaged = bytearray(raw)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        rows = project(bytes(damaged), ALL)
    except MalformedReply:
        return
    assert len(rows) <= len(raw) // 88 + 1


def test_the_last_message_may_lack_its_padding() -> None:
    raw = message(20, 0, 0, GOOD[16:-2])  # two of the four bytes that pad "cubic\\0"
    columns = [COLUMNS["congestion"], COLUMNS["rtt_us"]]
    assert project(raw, columns) == project(GOOD + raw, columns)[1:] == [("cubic", 5)]


# -- what to ask the kernel for ----------------------------------------------------------------


@pytest.mark.parametrize("column", ALL, ids=lambda column: column.name)
def test_a_column_is_asked_for_with_all_that_it_needs(column: Column) -> None:
    """What a request without the column's extensions lacks makes no difference to it."""
    everything = diag_message(
        inode=3,
        attributes={
            number: tcp_info_bytes(rtt_us=9, min_rtt_us=5, snd_ssthresh_packets=7)
            if number == diag.ATTR_INFO
            else bytes([1]) * 40
            for number in ATTRIBUTES
        },
    )
    wanted = extensions_for([column])
    asked = {
        n: v for n, v in _attributes_of(everything) if n > 8 or n == 8 or wanted >> (n - 1) & 1
    }
    reduced = diag_message(inode=3, attributes=asked)
    assert project(reduced, [column]) == project(everything, [column])


def _attributes_of(raw: bytes) -> list[tuple[int, bytes]]:
    from tcptool.decode.netlink import attributes

    return list(attributes(raw, 88).items())


def test_columns_of_the_fixed_part_ask_for_nothing() -> None:
    plain = ["state", "local", "peer", "cookie", "holders", "cgroup", "receive_queue_bytes"]
    assert extensions_for([COLUMNS[name] for name in plain]) == 0
    assert extensions_for([INPUTS["rqueue"]]) == 0


def test_several_columns_ask_for_all_their_attributes() -> None:
    names = ["rtt_us", "congestion", "sndbuf_bytes", "retrans_percent"]
    bits = diag.EXT_INFO | diag.EXT_CONG | diag.EXT_SKMEMINFO
    assert extensions_for([COLUMNS[name] for name in names]) == bits
