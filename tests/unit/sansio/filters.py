"""Random filters and sockets, a filter as text, and the kernel's interpreter in Python."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from tcptool.catalog.columns import COLUMNS
from tcptool.catalog.diag import AF_INET, AF_INET6, V4_MAPPED
from tcptool.catalog.states import TCP_STATES, number
from tcptool.model.filter import And, Compare, Filter, Host, Not, Or, States

ORDINARY_STATES = sorted(set(TCP_STATES) - {12, 13})


@dataclass(frozen=True)
class Row:
    """A socket: what the kernel's filter looks at, and the columns."""

    family: int
    local: bytes
    local_port: int
    peer: bytes
    peer_port: int
    state: int = 1
    columns: tuple[tuple[str, object], ...] = ()

    def value_of(self, column: str) -> object:
        fixed: dict[str, object] = {
            "local_packed": self.local,
            "peer_packed": self.peer,
            "local_port": self.local_port,
            "peer_port": self.peer_port,
            "state": TCP_STATES[self.state].word,
        }
        return fixed[column] if column in fixed else dict(self.columns).get(column)


# --- filters -----------------------------------------------------------------------------------

PORTS = st.sampled_from([0, 1, 22, 80, 443, 65534, 65535])
V4 = st.sampled_from([bytes(4), b"\x7f\0\0\1", b"\x7f\0\0\2", b"\x0a\1\2\3", b"\xff\xff\xff\xff"])
V6 = st.sampled_from([bytes(16), bytes(15) + b"\1", b"\xfe\x80" + bytes(13) + b"\2"])
MAPPED = V4.map(lambda address: V4_MAPPED + address)
ADDRESSES = V4 | V6 | MAPPED


@st.composite
def hosts(draw: st.DrawFn) -> Host:
    address = draw(st.none() | ADDRESSES)
    port = draw(st.none() | PORTS)
    side = draw(st.sampled_from(["local", "peer"]))
    if address is None:
        return Host(side, None, 0, port)
    size = 8 * len(address)
    bits = draw(st.integers(0, size) | st.sampled_from([0, size]))
    network = int.from_bytes(address, "big") >> (size - bits) << (size - bits)
    return Host(side, network.to_bytes(len(address), "big"), bits, port)


PORT_COMPARISONS = st.builds(
    Compare,
    st.sampled_from(["local_port", "peer_port"]),
    st.sampled_from(["=", "!=", "<", "<=", ">", ">="]),
    PORTS,
)
NUMBERS = st.builds(
    Compare,
    st.sampled_from(["rtt_us", "retrans_percent", "pid", "snd_cwnd_packets"]),
    st.sampled_from(["=", "!=", "<", "<=", ">", ">="]),
    st.integers(0, 100) | st.sampled_from([0.5, 2.25, 2**64]),
)
TEXTS = st.builds(
    Compare,
    st.sampled_from(["process", "congestion", "local", "holders"]),
    st.sampled_from(["=", "!=", "~"]),
    st.text("ab'\" ()é\n", max_size=4) | st.sampled_from(["and", "cubic", "ssh"]),
)
WORDS = st.builds(
    Compare,
    st.sampled_from(["timer", "ca_state"]),
    st.sampled_from(["=", "!="]),
    st.just("loss") | st.just("off"),
).filter(lambda c: c.value in {m.word for m in (COLUMNS[c.column].words or {}).values()})
STATES = st.sets(st.sampled_from(ORDINARY_STATES), min_size=1).map(
    lambda numbers: States(frozenset(numbers))
)


def trees(leaves: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
    def grow(inner: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
        several = st.lists(inner, min_size=2, max_size=4).map(tuple)
        return st.builds(Not, inner) | st.builds(And, several) | st.builds(Or, several)

    return st.recursive(leaves, grow, max_leaves=12)


KERNEL_FILTERS = trees(hosts() | PORT_COMPARISONS)
FILTERS = trees(hosts() | PORT_COMPARISONS | NUMBERS | TEXTS | WORDS | STATES)


@st.composite
def rows(draw: st.DrawFn) -> Row:
    addresses = draw(st.sampled_from([V4, V6 | MAPPED]))
    local, peer = draw(addresses), draw(addresses)
    columns = st.fixed_dictionaries(
        {},
        optional={
            "rtt_us": st.none() | st.integers(0, 100),
            "retrans_percent": st.none() | st.sampled_from([0.0, 0.5, 2.0]),
            "pid": st.integers(0, 100),
            "snd_cwnd_packets": st.just("unlimited") | st.integers(0, 100),
            "process": st.none() | st.text("ab'", max_size=4),
            "congestion": st.sampled_from(["cubic", "bbr"]),
            "holders": st.lists(st.text("ab'", max_size=2), max_size=2).map(tuple),
            "timer": st.sampled_from(["off", "retransmit"]),
            "ca_state": st.sampled_from(["open", "loss"]),
        },
    )
    return Row(
        AF_INET if len(local) == 4 else AF_INET6,
        local,
        draw(PORTS),
        peer,
        draw(PORTS),
        draw(st.sampled_from(ORDINARY_STATES)),
        tuple(draw(columns).items()),
    )


# --- a filter as text ----------------------------------------------------------------------------


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def show(filter: Filter) -> str:
    """Text that parses to exactly this filter."""
    match filter:
        case And(operands):
            return " and ".join(inner(operand) for operand in operands)
        case Or(operands):
            return " or ".join(inner(operand) for operand in operands)
        case Not(operand):
            return f"not {inner(operand)}"
        case States(numbers):
            return " ".join(f"state {TCP_STATES[n].word}" for n in sorted(numbers))
        case Host(side, address, bits, port):
            word = {"local": "src", "peer": "dst"}[side]
            return f"{word} {show_address(address, bits)}:{'*' if port is None else port}"
        case Compare(column, op, value):
            shown = quoted(value) if isinstance(value, str) else str(value)
            return f"{column} {op} {shown}"


def inner(filter: Filter) -> str:
    return f"({show(filter)})" if isinstance(filter, (And, Or, States)) else show(filter)


def show_address(address: bytes | None, bits: int) -> str:
    if address is None:
        return "*"
    if len(address) == 4:
        return f"{'.'.join(map(str, address))}/{bits}"
    groups = ":".join(f"{group:x}" for group in struct.unpack("!8H", address))
    return f"[{groups}/{bits}]"


# --- the kernel ----------------------------------------------------------------------------------


def audit(code: bytes) -> None:
    """inet_diag_bc_audit() and valid_cc() of net/ipv4/inet_diag.c: AssertionError for EINVAL."""
    chain, position = {len(code)}, 0
    while position < len(code):
        chain.add(position)
        position += code[position + 1]
    assert position == len(code)
    for position in sorted(chain - {len(code)}):
        operation, yes, no = struct.unpack_from("=BBH", code, position)
        left = len(code) - position
        needed = 4
        if operation in (2, 3, 4, 5):
            needed = 8
        elif operation in (7, 8):
            family, bits = code[position + 4], code[position + 5]
            size = {0: 0, AF_INET: 4, AF_INET6: 16}[family]
            needed = 12 + size
            assert bits <= 8 * size
        else:
            assert operation == 1
        assert left >= needed
        assert needed <= no <= left + 4
        assert no % 4 == 0
        assert position + no in chain or no >= left
        assert needed <= yes <= left + 4
        assert yes % 4 == 0


def matches(code: bytes, row: Row) -> bool:
    """inet_diag_bc_run() of net/ipv4/inet_diag.c, for the operations in use."""
    position = 0
    while position < len(code):
        operation, yes, no = struct.unpack_from("=BBH", code, position)
        holds = _holds(operation, code, position + 4, row)
        position += yes if holds else no
    return position == len(code)


def _holds(operation: int, code: bytes, position: int, row: Row) -> bool:
    if operation == 1:
        return False
    if operation in (2, 3, 4, 5):
        wanted = struct.unpack_from("=BBH", code, position)[2]
        actual = row.local_port if operation < 4 else row.peer_port
        return bool(actual >= wanted if operation in (2, 4) else actual <= wanted)
    family, bits, port = struct.unpack_from("=BBxxi", code, position)
    address, actual = (row.local, row.local_port) if operation == 7 else (row.peer, row.peer_port)
    if port not in (-1, actual):
        return False
    network = code[position + 8 :]
    if family not in (0, row.family):
        mapped = row.family == AF_INET6 and family == AF_INET and address.startswith(V4_MAPPED)
        return mapped and _same_bits(address[12:], network, bits)
    return bits == 0 or _same_bits(address, network, bits)


def _same_bits(address: Sequence[int], network: Sequence[int], bits: int) -> bool:
    return all(
        (address[bit // 8] ^ network[bit // 8]) >> (7 - bit % 8) & 1 == 0 for bit in range(bits)
    )


def state_number(row: Row) -> int:
    found = number(TCP_STATES, str(row.value_of("state")))
    assert found is not None
    return found
