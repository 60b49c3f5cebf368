"""decode_socket against recorded and made replies; requests against the kernel's layout."""

from __future__ import annotations

import dataclasses
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcptool.catalog import diag
from tcptool.catalog.attributes import DctcpInfo, MptcpInfo, VegasInfo
from tcptool.catalog.diag import V4_MAPPED
from tcptool.catalog.registry import UNLIMITED
from tcptool.catalog.tcp_info import SIZE_BYTES
from tcptool.decode.diag_request import (
    cookie_halves,
    cookie_text,
    dump_request,
    exact_request,
    pack_id,
)
from tcptool.decode.inet_diag import decode_socket, without_secrets
from tcptool.decode.netlink import MalformedReply, attribute, attributes, messages, name_text
from tcptool.model.sock import Congestion, DiagFlags, Endpoint, Socket
from tests.support.fake_kernel import diag_message, structure_bytes, tcp_info_bytes
from tests.support.recorded import PROTOCOLS, payloads, recorded
from tests.unit.decode.sockets import datagrams

KEY = b"an-example-not-a-secret"
BLOBS = st.binary(max_size=40)
SAMPLES = [(name, i) for name in PROTOCOLS for i in range(len(payloads(name)))]


def payload(raw: bytes) -> bytes:
    return next(iter(messages(raw))).payload


def decoded(name: str) -> dict[tuple[str, str], Socket]:
    sockets = (decode_socket(raw, PROTOCOLS[name]) for raw in payloads(name))
    return {(str(one.local), str(one.peer)): one for one in sockets}


# -- recorded ----------------------------------------------------------------------------------


def test_a_recorded_connection() -> None:
    one = decoded("dump-ipv4")["127.0.0.1:40001", "127.0.0.1:8080"]
    assert (one.protocol, one.family, one.state) == ("tcp", "ipv4", "established")
    assert (one.local, one.peer) == (Endpoint("127.0.0.1", 40001), Endpoint("127.0.0.1", 8080))
    assert (one.uid, one.mark, one.cgroup_id, one.ifindex) == (0, 42, 1, 0)
    assert one.inode
    assert one.cookie
    assert (one.timer, one.timer_expires_ms) == ("off", None)
    assert (one.receive_queue_bytes, one.send_queue_bytes) == (0, 0)
    assert (one.accept_queue, one.backlog) == (None, None)
    assert one.shutdown == ()
    assert one.flags is not None
    assert one.flags.is_icsk
    assert one.congestion == Congestion(name="cubic")
    assert one.memory is not None
    assert one.memory.sndbuf_bytes
    info = one.tcp_info
    assert info is not None
    assert (one.tcp_info_bytes, one.tcp_info_unknown) == (SIZE_BYTES, None)
    assert info.options == ("timestamps", "sack", "wscale")
    assert info.sent_bytes == 100_006  # and the SYN counts below
    assert info.acked_bytes == 100_007
    assert info.received_bytes == 100_000
    assert info.max_pacing_rate_bytes_per_s == UNLIMITED
    assert info.rtt_us


def test_its_other_end_has_the_unread_bytes() -> None:
    one = decoded("dump-ipv4")["127.0.0.1:8080", "127.0.0.1:40001"]
    assert (one.receive_queue_bytes, one.send_queue_bytes) == (6, 0)
    assert one.congestion is not None
    assert one.congestion.name == "bbr"
    assert one.congestion.bbr is not None
    assert one.congestion.bbr_bandwidth_bytes_per_s == 5_290_666_351  # above 2^32


def test_a_recorded_listener_has_a_queue_of_connections_and_little_tcp_info() -> None:
    one = decoded("dump-ipv4")["127.0.0.1:8080", "0.0.0.0:*"]
    assert one.state == "listen"
    assert (one.accept_queue, one.backlog) == (1, 16)
    assert (one.receive_queue_bytes, one.send_queue_bytes) == (None, None)
    assert one.tcp_info is not None
    assert one.tcp_info.state == "listen"
    assert one.tcp_info.unacked_packets is None


def test_a_connection_in_time_wait_has_neither_owner_nor_tcp_info() -> None:
    one = decoded("dump-ipv4")["127.0.0.1:40005", "127.0.0.1:8080"]
    assert one.state == "time-wait"
    assert (one.uid, one.inode) == (None, None)
    assert (one.tcp_info, one.tcp_info_bytes, one.memory, one.congestion) == (None,) * 4
    assert one.timer == "time-wait"
    assert one.timer_expires_ms is not None
    assert 0 < one.timer_expires_ms <= 60_000


def test_a_connection_in_the_accept_queue_has_inode_0() -> None:
    assert decoded("dump-ipv4")["127.0.0.1:8080", "127.0.0.1:40007"].inode == 0


@pytest.mark.parametrize(
    ("local", "peer", "state", "timer"),
    [
        (40004, 8080, "fin-wait-2", "off"),
        (8080, 40004, "close-wait", "off"),
        (40007, 8080, "established", "persist"),
        (40008, 8082, "syn-sent", "retransmit"),
    ],
)
def test_recorded_states_and_timers(local: int, peer: int, state: str, timer: str) -> None:
    one = decoded("dump-ipv4")[f"127.0.0.1:{local}", f"127.0.0.1:{peer}"]
    assert (one.state, one.timer) == (state, timer)
    assert (one.timer_expires_ms is None) == (timer == "off")


def test_a_v4_mapped_socket_is_shown_with_ipv4_addresses() -> None:
    one = decoded("dump-ipv6")["127.0.0.1:8081", "127.0.0.1:40003"]
    assert one.family == "ipv6"
    assert one.packed_id[4:20] == V4_MAPPED + b"\x7f\0\0\1"


def test_a_recorded_ipv6_connection() -> None:
    one = decoded("dump-ipv6")["[::1]:40002", "[::1]:8081"]
    assert (one.family, one.timer, one.tclass) == ("ipv6", "keepalive", 0x28)
    listener = decoded("dump-ipv6")["[::]:8081", "[::]:*"]
    assert (listener.v6only, one.v6only) == (False, None)


def test_the_exact_reply_is_the_one_of_the_dump() -> None:
    assert decode_socket(payloads("exact-ipv6")[0]) == decode_socket(payloads("dump-ipv6")[0])


def test_what_was_not_asked_for_is_absent() -> None:
    for one in decoded("dump-ipv4-bare").values():
        assert (one.tcp_info, one.congestion, one.memory, one.tos) == (None,) * 4
        assert one.state == "time-wait" or one.cgroup_id == 1


def test_an_mptcp_connection_has_mptcp_info_instead() -> None:
    one = decoded("dump-mptcp")["127.0.0.1:40010", "127.0.0.1:8083"]
    assert (one.protocol, one.tcp_info, one.tcp_info_bytes) == ("mptcp", None, None)
    assert isinstance(one.mptcp_info, MptcpInfo)
    assert one.mptcp_info.token == 1_478_230_886
    subflow = decoded("dump-ipv4")["127.0.0.1:40010", "127.0.0.1:8083"]
    assert (subflow.protocol, subflow.ulp, subflow.inode) == ("tcp", "mptcp", one.inode)


def test_keys_in_a_recorded_reply_are_dropped_unread() -> None:
    raw = next(raw for raw in payloads("dump-ipv4") if KEY in raw)
    assert diag.ATTR_MD5SIG in attributes(raw, diag.DIAG_MSG_BYTES)
    one = decode_socket(raw)
    assert one.local == Endpoint("127.0.0.1", 8084)
    shown = repr(dataclasses.asdict(one))
    assert KEY.decode() not in shown
    assert KEY.hex() not in shown


# -- made --------------------------------------------------------------------------------------


def test_every_member_of_the_fixed_part_is_read() -> None:
    raw = diag_message(
        "close-wait",
        local=("10.1.2.3", 65535),
        peer=("10.3.2.1", 1),
        cookie=0x1_0000_0002,
        inode=4_000_000_000,
        uid=1000,
        ifindex=3,
        rqueue=7,
        wqueue=8,
        timer="keepalive",
        expires_ms=1234,
        retrans=5,
    )
    assert decode_socket(payload(raw)) == Socket(
        protocol="tcp",
        family="ipv4",
        state="close-wait",
        local=Endpoint("10.1.2.3", 65535),
        peer=Endpoint("10.3.2.1", 1),
        cookie="100000002",
        inode=4_000_000_000,
        uid=1000,
        ifindex=3,
        timer="keepalive",
        timer_expires_ms=1234,
        timer_retransmits=5,
        receive_queue_bytes=7,
        send_queue_bytes=8,
        accept_queue=None,
        backlog=None,
        packed_id=raw[20:68],
    )


@pytest.mark.parametrize("state", ["syn-recv", "time-wait", "new-syn-recv"])
def test_a_socket_that_is_no_full_socket_has_no_owner(state: str) -> None:
    one = decode_socket(payload(diag_message(state, inode=7, uid=1000)))
    assert (one.state, one.inode, one.uid) == (state, None, None)


def test_unknown_numbers_are_kept() -> None:
    one = decode_socket(payload(diag_message(14, family=99, timer=9, peer=("10.0.0.1", 5))))
    assert (one.family, one.state, one.timer) == ("unknown-99", "unknown-14", "unknown-9")


ATTRIBUTES: list[tuple[int, bytes, str, object]] = [
    (diag.ATTR_TOS, b"\x10", "tos", 16),
    (diag.ATTR_TOS, b"", "tos", None),
    (diag.ATTR_TCLASS, b"\x28", "tclass", 40),
    (diag.ATTR_CLASS_ID, struct.pack("=I", 6), "class_id", 6),
    (diag.ATTR_MARK, struct.pack("=I", 0xFFFF_FFFF), "mark", 0xFFFF_FFFF),
    (diag.ATTR_MARK, b"\1\0\0", "mark", None),
    (diag.ATTR_CGROUP_ID, struct.pack("=Q", 2**63), "cgroup_id", 2**63),
    (diag.ATTR_CGROUP_ID, bytes(7), "cgroup_id", None),
    (diag.ATTR_SHUTDOWN, b"\3", "shutdown", ("receive", "send")),
    (diag.ATTR_SHUTDOWN, b"\0", "shutdown", ()),
    (diag.ATTR_SHUTDOWN, b"", "shutdown", None),
    (diag.ATTR_SKV6ONLY, b"\1", "v6only", True),
    (diag.ATTR_SKV6ONLY, b"\0", "v6only", False),
    (diag.ATTR_SKV6ONLY, b"", "v6only", None),
    (diag.ATTR_SOCKOPT, b"\x52", "flags", None),
    (diag.ATTR_ULP_INFO, attribute(1, b"tls\0") + attribute(2, bytes(8)), "ulp", "tls"),
    (diag.ATTR_ULP_INFO, attribute(3, bytes(8)), "ulp", None),
    (diag.ATTR_INFO, tcp_info_bytes()[:104], "tcp_info_bytes", 104),
    (diag.ATTR_INFO, tcp_info_bytes() + b"\xab", "tcp_info_unknown", "ab"),
    (diag.ATTR_CONG, b"bbr\0", "congestion", Congestion(name="bbr")),
    (diag.ATTR_CONG, b"\xff\xfe", "congestion", Congestion(name="\\xff\\xfe")),
    (
        diag.ATTR_DCTCPINFO,
        structure_bytes(DctcpInfo, alpha=1024),
        "congestion",
        Congestion(dctcp=DctcpInfo(enabled=0, ce_state=0, alpha=1024, ab_ecn=0, ab_tot=0)),
    ),
    (
        diag.ATTR_VEGASINFO,
        structure_bytes(VegasInfo, minrtt_us=None),
        "congestion",
        Congestion(vegas=VegasInfo(enabled=0, rttcnt=0, rtt_us=0, minrtt_us=None)),
    ),
]


@pytest.mark.parametrize(("number", "value", "name", "expected"), ATTRIBUTES)
def test_an_attribute_of_any_length_is_read_or_absent(
    number: int, value: bytes, name: str, expected: object
) -> None:
    one = decode_socket(payload(diag_message(attributes={number: value})))
    assert getattr(one, name) == expected


def test_half_of_a_bandwidth_is_no_bandwidth() -> None:
    one = decode_socket(payload(diag_message(attributes={diag.ATTR_BBRINFO: bytes(4)})))
    assert one.congestion is not None
    assert one.congestion.bbr is not None
    assert (one.congestion.bbr.bw_lo, one.congestion.bbr.bw_hi) == (0, None)
    assert one.congestion.bbr_bandwidth_bytes_per_s is None


def test_the_flags_are_in_the_order_of_the_header() -> None:
    # struct inet_diag_sockopt, include/uapi/linux/inet_diag.h; 0x52 0x00 is plain TCP.
    one = decode_socket(payload(diag_message(attributes={diag.ATTR_SOCKOPT: b"\x52\0"})))
    flags = dict.fromkeys([field.name for field in dataclasses.fields(DiagFlags)], False)
    assert one.flags == DiagFlags(**(flags | {"is_icsk": True, "mc_loop": True, "mc_all": True}))
    other = decode_socket(payload(diag_message(attributes={diag.ATTR_SOCKOPT: b"\x04\x05"})))
    assert other.flags == DiagFlags(
        **(flags | {"freebind": True, "bind_address_no_port": True, "defer_connect": True})
    )


def test_a_malformed_nested_attribute_is_a_malformed_reply() -> None:
    with pytest.raises(MalformedReply):
        decode_socket(payload(diag_message(attributes={diag.ATTR_ULP_INFO: b"\1\0\1\0"})))


@pytest.mark.parametrize(("name", "index"), SAMPLES)
def test_a_reply_cut_anywhere_is_a_socket_or_malformed(name: str, index: int) -> None:
    raw = payloads(name)[index]
    whole = decode_socket(raw, PROTOCOLS[name])
    for length in range(len(raw)):
        try:
            cut = decode_socket(raw[:length], PROTOCOLS[name])
        except MalformedReply:
            continue
        assert length >= diag.DIAG_MSG_BYTES
        assert (cut.state, cut.local, cut.packed_id) == (whole.state, whole.local, whole.packed_id)


@given(st.binary(max_size=400), st.sampled_from([diag.IPPROTO_TCP, diag.IPPROTO_MPTCP]))
def test_any_bytes_are_a_socket_or_malformed(raw: bytes, protocol: int) -> None:
    try:
        decode_socket(raw, protocol)
    except MalformedReply:
        return
    assert len(raw) >= diag.DIAG_MSG_BYTES


@given(st.lists(st.tuples(st.integers(0, 25), st.binary(max_size=40)), max_size=6))
def test_any_attributes_make_a_socket(values: list[tuple[int, bytes]]) -> None:
    body = payload(diag_message())
    body += b"".join(attribute(n, v) for n, v in values if n != diag.ATTR_ULP_INFO)
    assert decode_socket(body).state == "established"


# -- without secrets ---------------------------------------------------------------------------


def test_a_recorded_key_does_not_survive() -> None:
    raw = next(raw for raw in payloads("dump-ipv4") if KEY in raw)
    stripped = without_secrets(raw)
    assert KEY not in stripped
    assert set(attributes(raw, diag.DIAG_MSG_BYTES)) - set(
        attributes(stripped, diag.DIAG_MSG_BYTES)
    ) == {diag.ATTR_MD5SIG}


@given(
    st.lists(
        st.tuples(st.sampled_from([diag.ATTR_MD5SIG, diag.ATTR_INFO, diag.ATTR_CONG, 30]), BLOBS)
    ),
    st.sampled_from([0, 0x8000, 0x4000]),
)
def test_no_key_survives_wherever_it_stands(values: list[tuple[int, bytes]], flags: int) -> None:
    body = payload(diag_message())
    body += b"".join(
        attribute(n | flags, KEY + v if n == diag.ATTR_MD5SIG else v) for n, v in values
    )
    stripped = without_secrets(body)
    assert KEY not in stripped
    assert without_secrets(stripped) == stripped
    assert decode_socket(stripped) == decode_socket(body)


@pytest.mark.parametrize(("name", "index"), SAMPLES)
def test_nothing_else_is_lost(name: str, index: int) -> None:
    raw, protocol = payloads(name)[index], PROTOCOLS[name]
    assert decode_socket(without_secrets(raw), protocol) == decode_socket(raw, protocol)


@given(datagrams())
def test_a_stripped_message_decodes_to_the_same(datagram: bytes) -> None:
    for found in messages(datagram):
        stripped = without_secrets(found.payload)
        assert decode_socket(stripped) == decode_socket(found.payload)


# -- requests ----------------------------------------------------------------------------------


def test_a_dump_request_has_the_kernel_s_layout() -> None:
    raw = dump_request(diag.AF_INET6, states=0x402, extensions=0x12)
    assert len(raw) == 72
    assert struct.unpack_from("=IHHII", raw) == (72, 20, 0x301, 0, 0)
    assert struct.unpack_from("=BBBBI", raw, 16) == (10, 6, 0x12, 0, 0x402)
    assert raw[24:64] == bytes(40)
    assert raw[64:] == b"\xff" * 8


def test_a_filter_goes_along_as_an_attribute() -> None:
    code = bytes(range(12))
    raw = dump_request(diag.AF_INET, bytecode=code)
    assert attributes(raw, 72) == {diag.REQ_BYTECODE: code}
    assert struct.unpack_from("=I", raw)[0] == len(raw)


def test_a_protocol_above_255_goes_along_as_an_attribute() -> None:
    raw = dump_request(diag.AF_INET, protocol=diag.IPPROTO_MPTCP)
    assert raw[17] == 262 & 0xFF
    assert attributes(raw, 72) == {diag.REQ_PROTOCOL: struct.pack("=I", 262)}


def test_an_exact_request_asks_for_what_a_reply_named() -> None:
    packed_id = decode_socket(payloads("dump-ipv4")[1]).packed_id
    raw = exact_request(diag.AF_INET, packed_id)
    assert struct.unpack_from("=IHHII", raw) == (72, 20, 0x001, 0, 0)
    assert raw[24:] == packed_id


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.integers(0, 2**64 - 1))
def test_a_key_made_from_addresses_is_the_kernel_s(sport: int, dport: int, cookie: int) -> None:
    packed = pack_id((b"\x7f\0\0\1", sport), (b"\x0a\0\0\1", dport), ifindex=3, cookie=cookie)
    made = diag_message(
        local=("127.0.0.1", sport), peer=("10.0.0.1", dport), cookie=cookie, ifindex=3
    )
    one = decode_socket(payload(made))
    assert one.packed_id == packed
    assert len(packed) == 48
    assert (one.local.port, one.peer.port) == (sport, dport)
    assert one.cookie == (f"{cookie:x}" if cookie else None)


def test_a_key_without_a_cookie_means_any_socket() -> None:
    assert pack_id((bytes(16), 1), (bytes(16), 2))[-8:] == b"\xff" * 8


@pytest.mark.parametrize("byteorder", ["little", "big"])
def test_the_low_half_of_a_cookie_comes_first(
    byteorder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.byteorder", byteorder)
    order = "<" if byteorder == "little" else ">"
    message = struct.pack(f"{order}II", 2, 1)
    assert cookie_halves(struct.unpack(f"{order}Q", message)[0]) == 0x1_0000_0002
    assert cookie_text(0x1_0000_0002) == "100000002"
    assert cookie_text(0) is None


def test_names_end_at_the_first_nul() -> None:
    assert name_text(b"cubic\0bbr") == "cubic"
    assert name_text(b"") == ""


def test_recordings_hold_whole_messages() -> None:
    for name in PROTOCOLS:
        assert all(found.type == diag.SOCK_DIAG_BY_FAMILY for found in messages(recorded(name)))
