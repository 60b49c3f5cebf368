"""The structures in sock_diag attributes against the kernel's headers."""

from __future__ import annotations

import ctypes
import dataclasses

import pytest

from tcptool.catalog.attributes import BbrInfo, DctcpInfo, MptcpInfo, SocketMemory, VegasInfo
from tcptool.catalog.registry import describe, members
from tcptool.decode.structure import layout, places
from tcptool.units import split_unit

RECORDS: list[type] = [BbrInfo, DctcpInfo, MptcpInfo, SocketMemory, VegasInfo]
SIZES = {BbrInfo: 20, DctcpInfo: 16, MptcpInfo: 96, SocketMemory: 36, VegasInfo: 16}
FIELDS = [(record, field) for record in RECORDS for field in dataclasses.fields(record)]
by_field = pytest.mark.parametrize(
    ("record", "field"), FIELDS, ids=[f"{record.__name__}.{field.name}" for record, field in FIELDS]
)

# include/uapi/linux/mptcp.h, Linux 6.18, where `reserved` became three members.
MPTCP_OFFSETS = {
    "mptcpi_subflows": 0,
    "mptcpi_add_addr_signal": 1,
    "mptcpi_add_addr_accepted": 2,
    "mptcpi_subflows_max": 3,
    "mptcpi_add_addr_signal_max": 4,
    "mptcpi_add_addr_accepted_max": 5,
    "mptcpi_flags": 8,
    "mptcpi_token": 12,
    "mptcpi_write_seq": 16,
    "mptcpi_snd_una": 24,
    "mptcpi_rcv_nxt": 32,
    "mptcpi_local_addr_used": 40,
    "mptcpi_local_addr_max": 41,
    "mptcpi_csum_enabled": 42,
    "mptcpi_retransmits": 44,
    "mptcpi_bytes_retrans": 48,
    "mptcpi_bytes_sent": 56,
    "mptcpi_bytes_received": 64,
    "mptcpi_bytes_acked": 72,
    "mptcpi_subflows_total": 80,
    "mptcpi_endp_laminar_max": 81,
    "mptcpi_endp_fullmesh_max": 82,
    "reserved": 83,
    "mptcpi_last_data_sent": 84,
    "mptcpi_last_data_recv": 88,
    "mptcpi_last_ack_recv": 92,
}


@pytest.mark.parametrize("record", RECORDS)
def test_the_structure_has_the_kernel_s_size(record: type) -> None:
    assert ctypes.sizeof(layout(record)) == SIZES[record]


def test_mptcp_info_has_the_kernel_s_layout() -> None:
    found = {
        members(MptcpInfo)[name].name: place.offset for name, place in places(MptcpInfo).items()
    }
    assert found == MPTCP_OFFSETS


@pytest.mark.parametrize(
    ("record", "offsets"),
    [
        (BbrInfo, [0, 4, 8, 12, 16]),
        (VegasInfo, [0, 4, 8, 12]),
        (DctcpInfo, [0, 2, 4, 8, 12]),
        (SocketMemory, [0, 4, 8, 12, 16, 20, 24, 28, 32]),
    ],
)
def test_the_other_structures_have_no_holes(record: type, offsets: list[int]) -> None:
    assert [place.offset for place in places(record).values()] == offsets


def test_socket_memory_is_in_the_order_of_the_header() -> None:
    # enum in include/uapi/linux/sock_diag.h
    assert [
        member.name.removeprefix("SK_MEMINFO_") for member in members(SocketMemory).values()
    ] == [
        "RMEM_ALLOC",
        "RCVBUF",
        "WMEM_ALLOC",
        "SNDBUF",
        "FWD_ALLOC",
        "WMEM_QUEUED",
        "OPTMEM",
        "BACKLOG",
        "DROPS",
    ]


@by_field
def test_a_name_ends_in_its_unit_and_in_no_other(
    record: type, field: dataclasses.Field[object]
) -> None:
    assert split_unit(field.name)[1] == describe(field).unit


@by_field
def test_a_field_says_what_it_is(record: type, field: dataclasses.Field[object]) -> None:
    assert describe(field).doc
    assert field.default is None


@pytest.mark.parametrize("record", RECORDS)
def test_c_names_are_unique(record: type) -> None:
    names = [member.name for member in members(record).values()]
    assert len(set(names)) == len(names)
