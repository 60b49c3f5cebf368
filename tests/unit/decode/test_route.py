"""Devices and queueing disciplines out of rtnetlink messages."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcptool.catalog import route
from tcptool.decode.netlink import HEADER, MalformedReply, message
from tcptool.decode.route import links, links_request, qdiscs, qdiscs_request
from tcptool.model.host import Qdisc
from tests.support.route import link_message, qdisc_message


def test_a_device() -> None:
    flags = route.IFF_UP | route.IFF_LOOPBACK
    raw = link_message("lo", 1, flags=flags, address=bytes(6), mtu=65_536, rx_dropped=42)
    [link] = links(raw)
    assert (link.name, link.index, link.loopback, link.up) == ("lo", 1, True, True)
    assert (link.address, link.mtu_bytes, link.carrier_changes) == ("00:00:00:00:00:00", 65_536, 2)
    assert link.counters["rx_dropped"] == 42
    assert set(link.counters) == set(route.STATS64)
    assert (link.duplex, link.receive_queues) == (None, None)


def test_several_in_one_datagram() -> None:
    raw = link_message("lo", 1) + link_message("eth0", 2, flags=0)
    assert [(link.name, link.up) for link in links(raw)] == [("lo", True), ("eth0", False)]


def test_a_device_that_tells_nothing() -> None:
    body = struct.pack("=BxHiII", 0, 1, 7, 0, 0)
    [link] = links(message(route.RTM_NEWLINK, 2, 0, body))
    assert (link.name, link.address, link.mtu_bytes, link.counters) == ("", "", None, {})


def test_a_queueing_discipline() -> None:
    raw = qdisc_message(2, "fq_codel", drops=7)
    assert list(qdiscs(raw)) == [
        Qdisc(link=2, kind="fq_codel", handle=0, parent=0xFFFF_FFFF, drops=7)
    ]
    [inner] = qdiscs(qdisc_message(2, "fq", parent=0x10001, handle=0x80000))
    assert (inner.root, inner.parent, inner.handle) == (False, 0x10001, 0x80000)


def test_other_messages_are_passed_over() -> None:
    others = message(99, 2, 0, bytes(40)) + message(route.RTM_NEWLINK, 2, 0, b"short123")
    assert list(links(others)) == []
    others = message(99, 2, 0, bytes(40)) + message(route.RTM_NEWQDISC, 2, 0, b"short123")
    assert list(qdiscs(others)) == []


def test_a_queueing_discipline_without_figures() -> None:
    body = struct.pack("=BxxxiIII", 0, 2, 0, 0xFFFF_FFFF, 2)
    [one] = qdiscs(message(route.RTM_NEWQDISC, 2, 0, body))
    assert (one.kind, one.drops) == ("", None)


@pytest.mark.parametrize(
    ("request_", "kind", "size"),
    [(links_request(), route.RTM_GETLINK, 16), (qdiscs_request(), route.RTM_GETQDISC, 20)],
)
def test_requests_ask_for_everything(request_: bytes, kind: int, size: int) -> None:
    length, type_, flags, _, _ = HEADER.unpack_from(request_)
    assert (length, type_, flags) == (16 + size, kind, 0x301)


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_read_or_refused(raw: bytes) -> None:
    for read in (links, qdiscs):
        try:
            list(read(raw))
        except MalformedReply:
            continue
