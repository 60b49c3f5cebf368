"""Packed addresses to text and back."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcptool.catalog.diag import AF_INET, AF_INET6, V4_MAPPED
from tcptool.decode.address import address_text, packed_address


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_survives_there_and_back(address: ipaddress.IPv4Address) -> None:
    assert packed_address(str(address)) == address.packed
    assert address_text(AF_INET, address.packed + bytes(12)) == str(address)
    assert address_text(AF_INET6, V4_MAPPED + address.packed) == str(address)


@given(st.binary(min_size=16, max_size=16).map(ipaddress.IPv6Address))
def test_an_ipv6_address_survives_there_and_back(address: ipaddress.IPv6Address) -> None:
    assert packed_address(str(address)) == address.packed
    assert packed_address(address_text(AF_INET6, address.packed)) == address.packed


def test_an_unknown_family_is_shown_as_16_bytes() -> None:
    assert address_text(99, bytes(15) + b"\1") == "::1"


@pytest.mark.parametrize(
    "text", ["", "1.2.3", "1.2.3.4.5", "::g", "localhost", "fe80::1%lo", "[::1]", "1.2.3.4\0", "٣"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - a NUL is refused by Python in its own words
        packed_address(text)


@pytest.mark.parametrize("text", ["1.2.3", "::g"])
def test_the_refusal_names_the_text(text: str) -> None:
    with pytest.raises(ValueError, match=f"'{text}' is not an IP address"):
        packed_address(text)


@given(st.text())
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    try:
        packed = packed_address(text)
    except ValueError:
        packed = bytes(4)
    assert len(packed) in (4, 16)
