"""The registry of ``struct tcp_info`` against the kernel's header."""

from __future__ import annotations

import ctypes
import dataclasses
import re

import pytest

from tcptool.catalog.registry import Member, describe, members
from tcptool.catalog.tcp_info import GROUPS, SIZE_BYTES, TcpInfo
from tcptool.decode.structure import layout, places
from tcptool.units import Unit, split_unit

# Offset and size in bytes: include/uapi/linux/tcp.h, Linux 6.18.
HEADER = {
    "tcpi_state": (0, 1),
    "tcpi_ca_state": (1, 1),
    "tcpi_retransmits": (2, 1),
    "tcpi_probes": (3, 1),
    "tcpi_backoff": (4, 1),
    "tcpi_options": (5, 1),
    "tcpi_snd_wscale": (6, 1),
    "tcpi_rcv_wscale": (6, 1),
    "tcpi_delivery_rate_app_limited": (7, 1),
    "tcpi_fastopen_client_fail": (7, 1),
    "tcpi_rto": (8, 4),
    "tcpi_ato": (12, 4),
    "tcpi_snd_mss": (16, 4),
    "tcpi_rcv_mss": (20, 4),
    "tcpi_unacked": (24, 4),
    "tcpi_sacked": (28, 4),
    "tcpi_lost": (32, 4),
    "tcpi_retrans": (36, 4),
    "tcpi_fackets": (40, 4),
    "tcpi_last_data_sent": (44, 4),
    "tcpi_last_ack_sent": (48, 4),
    "tcpi_last_data_recv": (52, 4),
    "tcpi_last_ack_recv": (56, 4),
    "tcpi_pmtu": (60, 4),
    "tcpi_rcv_ssthresh": (64, 4),
    "tcpi_rtt": (68, 4),
    "tcpi_rttvar": (72, 4),
    "tcpi_snd_ssthresh": (76, 4),
    "tcpi_snd_cwnd": (80, 4),
    "tcpi_advmss": (84, 4),
    "tcpi_reordering": (88, 4),
    "tcpi_rcv_rtt": (92, 4),
    "tcpi_rcv_space": (96, 4),
    "tcpi_total_retrans": (100, 4),
    "tcpi_pacing_rate": (104, 8),
    "tcpi_max_pacing_rate": (112, 8),
    "tcpi_bytes_acked": (120, 8),
    "tcpi_bytes_received": (128, 8),
    "tcpi_segs_out": (136, 4),
    "tcpi_segs_in": (140, 4),
    "tcpi_notsent_bytes": (144, 4),
    "tcpi_min_rtt": (148, 4),
    "tcpi_data_segs_in": (152, 4),
    "tcpi_data_segs_out": (156, 4),
    "tcpi_delivery_rate": (160, 8),
    "tcpi_busy_time": (168, 8),
    "tcpi_rwnd_limited": (176, 8),
    "tcpi_sndbuf_limited": (184, 8),
    "tcpi_delivered": (192, 4),
    "tcpi_delivered_ce": (196, 4),
    "tcpi_bytes_sent": (200, 8),
    "tcpi_bytes_retrans": (208, 8),
    "tcpi_dsack_dups": (216, 4),
    "tcpi_reord_seen": (220, 4),
    "tcpi_rcv_ooopack": (224, 4),
    "tcpi_snd_wnd": (228, 4),
    "tcpi_rcv_wnd": (232, 4),
    "tcpi_rehash": (236, 4),
    "tcpi_total_rto": (240, 2),
    "tcpi_total_rto_recoveries": (242, 2),
    "tcpi_total_rto_time": (244, 4),
    "tcpi_received_ce": (248, 4),
    "tcpi_delivered_e1_bytes": (252, 4),
    "tcpi_delivered_e0_bytes": (256, 4),
    "tcpi_delivered_ce_bytes": (260, 4),
    "tcpi_received_e1_bytes": (264, 4),
    "tcpi_received_e0_bytes": (268, 4),
    "tcpi_received_ce_bytes": (272, 4),
    "tcpi_accecn": (276, 4),  # our name for two u16, in 7.0 a bit field
}
SINCE = {
    "3.15": 120, "4.1": 136, "4.2": 144, "4.6": 160, "4.9": 168, "4.10": 192, "4.18": 200,
    "4.19": 224, "5.4": 232, "6.2": 240, "6.7": 248, "6.18": 280,
}  # fmt: skip
"""The length of the structure in the kernel that brought these members."""

IN_FORMER_PADDING = {"delivery_rate_app_limited": "4.9", "fastopen_client_fail": "5.5"}

FIELDS = dataclasses.fields(TcpInfo)
by_field = pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)


def test_the_table_is_the_header_member_for_member() -> None:
    assert [member.name for member in members(TcpInfo).values()] == list(HEADER)


def test_the_structure_has_280_bytes_and_no_holes() -> None:
    assert SIZE_BYTES == ctypes.sizeof(layout(TcpInfo)) == 280
    covered = {byte for place in places(TcpInfo).values() for byte in range(*place[:2])}
    assert covered == set(range(280))


@by_field
def test_a_member_lies_where_the_header_puts_it(field: dataclasses.Field[object]) -> None:
    offset, size = HEADER[describe(field).name]
    assert places(TcpInfo)[field.name][:2] == (offset, offset + size)


def test_bit_fields_share_their_byte_without_overlap() -> None:
    found = {name: place[2:] for name, place in places(TcpInfo).items() if place.bits}
    assert found == {
        "snd_wscale": (0, 4),
        "rcv_wscale": (4, 4),
        "delivery_rate_app_limited": (0, 1),
        "fastopen_client_fail": (1, 2),
    }


@by_field
def test_a_name_ends_in_its_unit_and_in_no_other(field: dataclasses.Field[object]) -> None:
    assert split_unit(field.name)[1] == describe(field).unit


@by_field
def test_a_field_says_what_it_is(field: dataclasses.Field[object]) -> None:
    member = describe(field)
    assert member.doc == field.metadata["doc"]
    assert member.doc.strip() == member.doc != ""
    assert member.unit == field.metadata["unit"]
    assert member.group in GROUPS
    assert not member.pitfall.endswith(".")


@by_field
def test_a_field_is_none_unless_it_is_given(field: dataclasses.Field[object]) -> None:
    assert field.default is None


def test_names_are_unique_whatever_they_are_called_by() -> None:
    c_names = [member.name for member in members(TcpInfo).values()]
    assert len(set(c_names)) == len(c_names) == len(members(TcpInfo))


def test_every_group_has_members() -> None:
    assert {member.group for member in members(TcpInfo).values()} == set(GROUPS)


def version(text: str) -> tuple[int, ...]:
    assert re.fullmatch(r"(\d+\.\d+)?", text)
    return tuple(map(int, text.split("."))) if text else ()


def test_newer_members_follow_older_ones() -> None:
    in_order = [
        version(member.since)
        for name, member in members(TcpInfo).items()
        if name not in IN_FORMER_PADDING
    ]
    assert in_order == sorted(in_order)


@pytest.mark.parametrize("field", IN_FORMER_PADDING)
def test_a_member_in_former_padding_warns_that_old_kernels_say_0(field: str) -> None:
    member = members(TcpInfo)[field]
    assert member.since == IN_FORMER_PADDING[field]
    assert f"before {member.since}" in member.pitfall


@by_field
def test_since_agrees_with_the_length_of_that_kernel(field: dataclasses.Field[object]) -> None:
    member, end = describe(field), places(TcpInfo)[field.name].end
    if field.name in IN_FORMER_PADDING or not member.since:
        assert end <= 104
        return
    lengths = list(SINCE.values())
    previous = ([104, *lengths])[lengths.index(SINCE[member.since])]
    assert previous < end <= SINCE[member.since]


def sentinels(member: Member) -> list[int]:
    return [value for value in (member.unlimited, member.absent) if value is not None]


@by_field
def test_sentinels_fit_the_member(field: dataclasses.Field[object]) -> None:
    member, (_, size) = describe(field), HEADER[describe(field).name]
    assert all(0 <= value < 1 << 8 * size for value in sentinels(member))


def test_the_unlimited_and_absent_values_are_these() -> None:
    known = {name: member for name, member in members(TcpInfo).items() if sentinels(member)}
    assert {n: m.unlimited for n, m in known.items() if m.unlimited is not None} == {
        "snd_ssthresh_packets": 0x7FFF_FFFF,
        "pacing_rate_bytes_per_s": 2**64 - 1,
        "max_pacing_rate_bytes_per_s": 2**64 - 1,
    }
    assert {n: m.absent for n, m in known.items() if m.absent is not None} == {
        "rtt_us": 0,
        "rcv_rtt_us": 0,
        "min_rtt_us": 0xFFFF_FFFF,
        "delivery_rate_bytes_per_s": 0,
    }


def test_a_field_that_needs_a_counter_names_one_that_exists() -> None:
    needs = {name: member.needs for name, member in members(TcpInfo).items() if member.needs}
    assert needs == {
        "last_data_sent_ms": "data_segs_out",
        "last_data_recv_ms": "data_segs_in",
        "last_ack_recv_ms": "segs_in",
    }
    assert all(members(TcpInfo)[counter].unit is Unit.COUNT for counter in needs.values())
