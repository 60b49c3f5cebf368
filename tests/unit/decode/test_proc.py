"""Texts under /proc: hostile names, and the TCP tables as sock_diag messages."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcptool.catalog.derived import UNKNOWN_BACKLOG
from tcptool.catalog.diag import AF_INET, AF_INET6, DIAG_MSG_BYTES
from tcptool.catalog.states import LISTEN, TCP_STATES, TIMERS
from tcptool.decode.inet_diag import decode_socket
from tcptool.decode.netlink import messages
from tcptool.decode.proc import (
    net_tcp_as_diag,
    parse_cgroup,
    parse_stat,
    parse_thread_group,
    socket_inode,
)
from tcptool.model.owner import Process
from tcptool.model.sock import Socket
from tests.support.fake_kernel import stat_text
from tests.support.recorded import payloads, recorded_text

NAMES = ["nginx", "a) R 1 (b", "tmux: server", "two\nlines", "(", ")", "()", ") Z 1 2 3", "é", ""]


@pytest.mark.parametrize("name", NAMES)
def test_a_process_may_call_itself_anything(name: str) -> None:
    assert parse_stat(42, stat_text(42, name, 12_345, "R")) == Process(42, name, 12_345, "R")


@given(st.text(max_size=15), st.integers(0, 2**63), st.sampled_from("RSDZTtXI"))
def test_name_start_time_and_state_are_found(name: str, start: int, state: str) -> None:
    assert parse_stat(1, stat_text(1, name, start, state)) == Process(1, name, start, state)


@pytest.mark.parametrize("text", ["", "1 (cut) S 1 2", "1 (x) S " + "y " * 40, "no brackets"])
def test_a_stat_that_is_cut_or_garbled_is_an_error(text: str) -> None:
    with pytest.raises((IndexError, ValueError)):
        parse_stat(1, text)


@pytest.mark.parametrize(
    ("link", "inode"),
    [
        ("socket:[12345]", 12_345),
        ("socket:[0]", 0),
        ("pipe:[12345]", None),
        ("socket:[]", None),
        ("socket:[-1]", None),
        ("socket:[12", None),
        ("/tmp/socket:[1]", None),
        ("", None),
    ],
)
def test_a_link_to_a_socket_holds_its_inode(link: str, inode: int | None) -> None:
    assert socket_inode(link) == inode


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("0::/user.slice/a.scope\n", "/user.slice/a.scope"),
        ("12:cpu:/old\n1:name=systemd:/x\n0::/new\n", "/new"),
        ("12:cpu:/old\n", None),
        ("", None),
        ("0::/\n", "/"),
        ("0::/odd\x0bname\x85\u2028end\n", "/odd\x0bname\x85\u2028end"),
        ("1:cpu:/x\x0b0::/forged\n0::/true\n", "/true"),
    ],
)
def test_the_unified_control_group(text: str, path: str | None) -> None:
    assert parse_cgroup(text) == path


# -- /proc/net/tcp -----------------------------------------------------------------------------

LINE = (
    "   0: 0100007F:1F90 0200007F:C350 01 00000010:00000020 01:00000015 00000003"
    "  1000        0 123456 1 0000000000000000 20 4 30 10 -1"
)


def read(text: str, family: int) -> list[Socket]:
    return [
        decode_socket(found.payload)
        for raw in net_tcp_as_diag(text, family)
        for found in messages(raw)
    ]


def test_a_line_of_the_table_says_what_the_message_says() -> None:
    one = read("header\n" + LINE, AF_INET)[0]
    assert (str(one.local), str(one.peer)) == ("127.0.0.1:8080", "127.0.0.2:50000")
    assert (one.state, one.family, one.protocol) == ("established", "ipv4", "tcp")
    assert (one.send_queue_bytes, one.receive_queue_bytes) == (16, 32)
    assert (one.timer, one.timer_expires_ms, one.timer_retransmits) == ("retransmit", 210, 3)
    assert (one.uid, one.inode) == (1000, 123_456)
    assert (one.cookie, one.tcp_info, one.cgroup_id, one.ifindex) == (None, None, None, 0)


def test_a_listener_does_not_tell_its_backlog() -> None:
    one = read("header\n" + LINE.replace(" 01 00000010", " 0A 00000000", 1), AF_INET)[0]
    assert (one.state, one.accept_queue, one.backlog) == ("listen", 32, None)


@pytest.mark.parametrize(
    ("file", "dump", "family"), [("tcp", "ipv4", AF_INET), ("tcp6", "ipv6", AF_INET6)]
)
def test_the_recorded_table_tells_the_same_as_the_recorded_dump(
    file: str, dump: str, family: int
) -> None:
    def facts(one: Socket) -> tuple[object, ...]:
        return (
            str(one.local), str(one.peer), one.state, one.family, one.uid, one.inode, one.timer,
            one.timer_retransmits, one.receive_queue_bytes, one.send_queue_bytes, one.accept_queue,
        )  # fmt: skip

    table = {facts(one) for one in read(recorded_text(f"proc-net-{file}.txt"), family)}
    assert table == {facts(decode_socket(raw)) for raw in payloads(f"dump-{dump}")}


@pytest.mark.parametrize(
    ("change", "to"),
    [
        ("0100007F:1F90", "0100007F"),
        ("0100007F:1F90", "0100007F:1F90F"),
        ("0100007F:1F90", "7F:1F90"),
        ("0100007F", "0100007F0100007F"),
        (" 01 ", " 101 "),
        (" 01 ", " xx "),
        ("00000010:", "00000010"),
        ("00000010:", "100000000:"),
        ("123456 1", "-5 1"),
        (" 1000 ", " nobody "),
        (" 1000 ", " -1 "),
        (LINE[60:], ""),
    ],
)
def test_a_malformed_line_is_left_out(change: str, to: str) -> None:
    assert change in LINE
    text = f"header\n{LINE.replace(change, to)}\n{LINE}\n"
    assert len(read(text, AF_INET)) == 1


def test_a_table_of_the_other_family_gives_nothing() -> None:
    assert read("header\n" + LINE, AF_INET6) == []


def test_a_table_without_lines_gives_nothing() -> None:
    assert read("", AF_INET) == read("header\n", AF_INET) == []


@given(st.text() | st.text("0123456789ABCDEF: \n-_x"), st.sampled_from([AF_INET, AF_INET6]))
def test_any_text_gives_whole_messages_or_none(text: str, family: int) -> None:
    for raw in net_tcp_as_diag(text, family):
        assert len(raw) == 16 + DIAG_MSG_BYTES
        decode_socket(next(iter(messages(raw))).payload)


U32 = st.integers(0, 2**32 - 1)


@st.composite
def lines(draw: st.DrawFn, family: int) -> tuple[str, Socket]:
    """A line as get_tcp4_sock() writes it, and the socket that it stands for."""
    size = 4 if family == AF_INET else 16
    address = st.binary(min_size=size, max_size=size)
    ends = [(draw(address), draw(st.integers(0, 65535))) for _ in range(2)]
    state, timer = draw(st.sampled_from(sorted(TCP_STATES))), draw(st.sampled_from(sorted(TIMERS)))
    tx, rx, uid, inode = (draw(U32) for _ in range(4))
    when = draw(st.integers(0, 10**6))
    retrans, probes = draw(st.integers(0, 255)), draw(st.integers(0, 255))
    shown = [
        "".join(f"{word:08X}" for word in struct.unpack(f"={size // 4}I", packed)) + f":{port:04X}"
        for packed, port in ends
    ]
    line = (
        f"{0:4d}: {shown[0]} {shown[1]} {state:02X} {tx:08X}:{rx:08X} {timer:02X}:{when:08X} "
        f"{retrans:08X} {uid:5d} {probes:8d} {inode} 1 {0:016x} 20 4 0 10 -1"
    )
    queued = UNKNOWN_BACKLOG if state == LISTEN else tx
    sent = probes if TIMERS[timer].word in ("keepalive", "persist") else retrans
    head = struct.pack("=BBBB", family, state, timer, sent)
    ports = struct.pack("!HH", ends[0][1], ends[1][1])
    addresses = b"".join(packed.ljust(16, b"\0") for packed, _ in ends)
    tail = struct.pack("=IQ5I", 0, 0, when * 10, rx, queued, uid, inode)
    return line, decode_socket(head + ports + addresses + tail)


@pytest.mark.parametrize("family", [AF_INET, AF_INET6])
@given(data=st.data())
def test_any_line_gives_the_socket_that_it_stands_for(family: int, data: st.DataObject) -> None:
    made = data.draw(st.lists(lines(family), max_size=5))
    text = "header\n" + "".join(f"{line}\n" for line, _ in made)
    assert read(text, family) == [one for _, one in made]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Name:\tx\nUmask:\t0022\nTgid:\t42\nPid:\t43\n", 42),
        ("Name:\tTgid:\t7\nPid:\t43\n", None),
        ("Tgid:\t\n", None),
        ("", None),
    ],
)
def test_thread_group(text: str, expected: int | None) -> None:
    assert parse_thread_group(text) == expected
