"""The numbers of the sock_diag protocol agree with one another."""

from __future__ import annotations

import struct

from tcptool.catalog import diag


def numbers(prefix: str) -> dict[str, int]:
    return {name: value for name, value in vars(diag).items() if name.startswith(prefix)}


def test_no_attribute_number_is_used_twice() -> None:
    found = {n: v for n, v in numbers("ATTR_").items() if n != "ATTR_TYPE_MASK"}
    assert len(set(found.values())) == len(found)


def test_an_extension_asks_for_the_attribute_of_its_name() -> None:
    for name, bit in numbers("EXT_").items():
        if name != "EXT_ALL":
            assert bit == 1 << numbers("ATTR_")[name.replace("EXT_", "ATTR_")] - 1
    assert sum(bit for name, bit in numbers("EXT_").items() if name != "EXT_ALL") == diag.EXT_ALL


def test_the_fixed_part_of_a_reply_has_no_holes() -> None:
    end = 0
    for member in diag.DIAG_MSG.values():
        assert member.offset == end
        end += struct.calcsize("=" + member.format)
    assert end == diag.DIAG_MSG_BYTES == 72


def test_only_ports_are_in_network_order() -> None:
    assert {n for n, member in diag.DIAG_MSG.items() if member.big_endian} == {"sport", "dport"}


def test_all_states_leaves_out_what_would_make_a_dump_stray() -> None:
    assert sum(1 << state for state in range(12)) == diag.ALL_STATES
