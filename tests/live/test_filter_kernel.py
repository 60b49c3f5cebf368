"""The kernel, given a compiled filter, returns the rows that the filter means; so does ``ss``."""

from __future__ import annotations

import contextlib
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tcptool.catalog import diag
from tcptool.catalog.diag import V4_MAPPED
from tcptool.model.filter import Compare, Filter, Host, Or
from tcptool.sansio.filter_bytecode import MAX_BYTECODE_BYTES, compile_for_kernel
from tcptool.sansio.filter_parser import parse_filter
from tests.support.filter_reference import evaluate
from tests.unit.sansio.filters import STATES, Row, trees


def dump(*, states: int = diag.ALL_STATES, bytecode: bytes = b"") -> Iterator[Row]:
    """The TCP sockets of both families that the kernel lets through."""
    attribute = struct.pack("=HH", 4 + len(bytecode), diag.REQ_BYTECODE) + bytecode
    for family in (diag.AF_INET, diag.AF_INET6):
        body = struct.pack("=BBBBI", family, diag.IPPROTO_TCP, 0, 0, states)
        body += bytes(40) + struct.pack("=Q", diag.NO_COOKIE) + (attribute if bytecode else b"")
        flags = diag.NLM_F_REQUEST | diag.NLM_F_DUMP
        header = struct.pack("=IHHII", 16 + len(body), diag.SOCK_DIAG_BY_FAMILY, flags, 0, 0)
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, diag.NETLINK_SOCK_DIAG) as asker:
            asker.send(header + body)
            yield from replies(asker)


def replies(asker: socket.socket) -> Iterator[Row]:
    while True:
        datagram = asker.recv(65_536)
        position = 0
        while position < len(datagram):
            length, kind = struct.unpack_from("=IH", datagram, position)
            body = datagram[position + 16 : position + length]
            position += (length + 3) & ~3
            if kind in (diag.NLMSG_DONE, diag.NLMSG_ERROR):
                assert struct.unpack_from("=i", body)[0] == 0
                return
            yield decode(body)


def decode(body: bytes) -> Row:
    family, state = body[0], body[1]
    size = 4 if family == diag.AF_INET else 16
    sport, dport = struct.unpack_from("!HH", body, 4)
    return Row(family, body[8 : 8 + size], sport, body[24 : 24 + size], dport, state)


def connect(listener: socket.socket, address: str, client: str) -> tuple[socket.socket, ...]:
    port = listener.getsockname()[1]
    connected = socket.create_connection((address, port), source_address=(client, 0))
    return connected, listener.accept()[0]


@pytest.fixture(scope="module")
def sockets() -> Iterator[frozenset[Row]]:
    """Rows of sockets that keep their state: both families, v4-mapped, half and fully closed."""
    with contextlib.ExitStack() as stack:
        v4 = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        v6 = stack.enter_context(socket.create_server(("::1", 0), family=socket.AF_INET6))
        dual = stack.enter_context(
            socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        )
        listeners = {each.getsockname()[1] for each in (v4, v6, dual)}
        for listener, address, client in (
            (v4, "127.0.0.1", "127.0.0.1"),
            (v4, "127.0.0.1", "127.9.9.9"),
            (v6, "::1", "::1"),
            (dual, "127.0.0.2", "127.0.0.3"),
            (dual, "::1", "::1"),
        ):
            for end in connect(listener, address, client):
                stack.enter_context(end)
        for listener, address in ((v4, "127.0.0.1"), (dual, "127.0.0.2"), (v6, "::1")):
            first, second = connect(listener, address, "" if address != "::1" else "::1")
            first.close()  # FIN_WAIT2: kept as a mini-socket
            stack.enter_context(second)
            first, second = connect(listener, address, "" if address != "::1" else "::1")
            first.close()  # TIME_WAIT
            second.close()

        def ours() -> frozenset[Row]:
            return frozenset(row for row in dump() if {row.local_port, row.peer_port} & listeners)

        deadline = time.monotonic() + 10
        # 3 listeners, 10 open ends, 3 + 3 ends of half-closed connections, 3 in TIME_WAIT
        while settled(ours()) != 22 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert settled(ours()) == 22
        yield ours()


def settled(rows: frozenset[Row]) -> int:
    """How many rows are in a state that lasts."""
    return sum(row.state in (1, 5, 6, 8, 10) for row in rows)


def ports(rows: frozenset[Row]) -> list[int]:
    return sorted({port for row in rows for port in (row.local_port, row.peer_port)})


def random_filters(rows: frozenset[Row]) -> st.SearchStrategy[Filter]:
    """Filters about the ports and addresses of these sockets."""
    port = st.sampled_from(ports(rows))
    address = st.sampled_from(sorted({each for row in rows for each in (row.local, row.peer)}))
    comparison = st.builds(
        Compare,
        st.sampled_from(["local_port", "peer_port"]),
        st.sampled_from(["=", "!=", "<", "<=", ">", ">="]),
        port,
    )
    host = st.builds(
        lambda side, packed, bits, number: Host(side, packed, bits % (8 * len(packed) + 1), number),
        st.sampled_from(["local", "peer"]),
        address | address.filter(lambda a: a.startswith(V4_MAPPED)).map(lambda a: a[12:]),
        st.integers(0, 128) | st.just(32) | st.just(128),
        st.none() | port,
    )
    return trees(comparison | host | st.builds(Host, st.just("peer"), port=port) | STATES)


@settings(max_examples=300)
@given(st.data())
def test_kernel_and_rest_are_the_filter(sockets: frozenset[Row], data: st.DataObject) -> None:
    filter = data.draw(random_filters(sockets))
    compiled = compile_for_kernel(filter)
    found = set(dump(states=compiled.states, bytecode=compiled.bytecode)) & sockets
    wanted = {row for row in sockets if evaluate(filter, row.value_of)}
    assert found >= wanted
    rest = compiled.rest
    assert {row for row in found if rest is None or evaluate(rest, row.value_of)} == wanted


def test_longest_program_is_accepted(sockets: frozenset[Row]) -> None:
    known = ports(sockets)
    unused = [1] * (MAX_BYTECODE_BYTES // 16 - 1 - len(known))  # S_COND and JMP: 16 bytes
    filter = Or(tuple(Compare("local_port", "=", port) for port in (*unused, *known)))
    bytecode = compile_for_kernel(filter).bytecode
    assert len(bytecode) > MAX_BYTECODE_BYTES - 32
    assert set(dump(bytecode=bytecode)) >= sockets


@pytest.mark.parametrize(
    "expression",
    [
        "sport = :PORT",
        "sport = :PORT or dport = :PORT",
        "sport != :PORT and dport != :PORT",
        "( sport gt :PORT or dport le :PORT ) and not dst 127.0.0.1",
        "src 127.0.0.0/8",
        "src 127/8 dst 127.9.9.9",
        "dst 127.0.0.2:PORT | src [::1]:PORT",
        "dst [::ffff:127.0.0.0/104]",
        "src [::/0]",
        "! ( src 127.0.0.1 or dst [::1] )",
        "state established sport = :PORT or dport = :PORT",
        "state time-wait state close-wait src 127.0.0.0/8",
        "state connected exclude established exclude close-wait",
        "state bucket",
        "exclude big dport ge :PORT",
        "state synchronized dst *:PORT",
    ],
)
def test_same_rows_as_ss(sockets: frozenset[Row], expression: str) -> None:
    if shutil.which("ss") is None:
        pytest.skip("ss is not installed")
    for port in sorted(row.local_port for row in sockets if not row.peer_port):
        text = expression.replace("PORT", str(port))
        filter = parse_filter(text)
        assert filter is not None
        # Listeners are left out: ss shows their addresses in more than one way.
        connections = {row for row in sockets if row.peer_port}
        wanted = {ends(row) for row in connections if evaluate(filter, row.value_of)}
        shown = subprocess.run(
            ["ss", "-tanHO", *text.split()], check=True, capture_output=True, text=True
        ).stdout
        found = {tuple(line.split()[-2:]) for line in shown.splitlines()}
        assert found & {ends(row) for row in connections} == wanted


def ends(row: Row) -> tuple[str, str]:
    """Local and peer end as ``ss -n`` writes them."""

    def end(address: bytes, port: int) -> str:
        name = socket.inet_ntop(socket.AddressFamily(row.family), address)
        return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"

    return end(row.local, row.local_port), end(row.peer, row.peer_port)
