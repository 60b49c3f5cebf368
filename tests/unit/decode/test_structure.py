"""Structures in attributes: any length, absent parts, names for special values."""

from __future__ import annotations

import dataclasses
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcptool.catalog.attributes import BbrInfo, DctcpInfo, MptcpInfo, SocketMemory, VegasInfo
from tcptool.catalog.tcp_info import TcpInfo
from tcptool.decode.structure import decode_structure, places
from tests.support.fake_kernel import structure_bytes

RECORDS = [BbrInfo, DctcpInfo, MptcpInfo, SocketMemory, TcpInfo, VegasInfo]


@pytest.mark.parametrize("record", RECORDS)
@given(raw=st.binary(max_size=300))
def test_a_field_is_there_if_the_reply_is_long_enough(record: type, raw: bytes) -> None:
    decoded: object = decode_structure(record, raw)
    for name, place in places(record).items():
        if place.end > len(raw):
            assert getattr(decoded, name) is None


@pytest.mark.parametrize("record", [DctcpInfo, MptcpInfo, SocketMemory])
@given(data=st.data())
def test_numbers_survive_there_and_back(record: type, data: st.DataObject) -> None:
    sizes = {name: place.end - place.offset for name, place in places(record).items()}
    numbers = {n: data.draw(st.integers(0, (1 << 8 * size) - 1)) for n, size in sizes.items()}
    raw = structure_bytes(record, **numbers)
    assert dataclasses.asdict(decode_structure(record, raw)) == numbers


def test_no_sample_yet_is_absent() -> None:
    bbr = decode_structure(BbrInfo, struct.pack("=5I", 1, 2, 0xFFFF_FFFF, 256, 512))
    assert bbr == BbrInfo(bw_lo=1, bw_hi=2, min_rtt_us=None, pacing_gain=256, cwnd_gain=512)
    vegas = decode_structure(VegasInfo, struct.pack("=4I", 1, 2, 3, 0x7FFF_FFFF))
    assert vegas == VegasInfo(enabled=1, rttcnt=2, rtt_us=3, minrtt_us=None)
