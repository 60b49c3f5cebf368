"""What a TARGET on the command line means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcptool.errors import UsageError
from tcptool.model.filter import Compare, Host, Or, States
from tcptool.model.target import (
    Cookie,
    Descriptor,
    FilterTarget,
    FourTuple,
    Port,
    Process,
    Target,
)
from tcptool.sansio.target import ACCEPTED, parse_target

LOCALHOST = b"\x7f\0\0\1"
LOCALHOST6 = bytes(15) + b"\1"
LINK_LOCAL = b"\xfe\x80" + bytes(13) + b"\1"
LINK_LOCAL_2 = b"\xfe\x80" + bytes(13) + b"\2"

MEANINGS: dict[str, Target] = {
    "1234:5": Descriptor(1234, 5),
    " 1:0 ": Descriptor(1, 0),
    "2147483647:2147483647": Descriptor(2**31 - 1, 2**31 - 1),
    "1234": Process(1234),
    "sk:1a": Cookie(0x1A),
    "SK:0x1A": Cookie(0x1A),
    "sk:fffffffffffffffe": Cookie(2**64 - 2),
    ":443": Port(443),
    ":0": Port(0),
    ":https": Port(443),
    "127.0.0.1:80-127.0.0.1:50000": FourTuple(LOCALHOST, 80, LOCALHOST, 50_000),
    "[::1]:80-[::1]:0": FourTuple(LOCALHOST6, 80, LOCALHOST6, 0),
    "[fe80::1%eth0]:80-[fe80::2%eth0.7]:443": FourTuple(LINK_LOCAL, 80, LINK_LOCAL_2, 443),
    "127.0.0.1:80": FilterTarget(
        Or((Host("local", LOCALHOST, 32, 80), Host("peer", LOCALHOST, 32, 80)))
    ),
    "[::1]:80": FilterTarget(
        Or((Host("local", LOCALHOST6, 128, 80), Host("peer", LOCALHOST6, 128, 80)))
    ),
    "[fe80::1%lo]:80": FilterTarget(
        Or((Host("local", LINK_LOCAL, 128, 80), Host("peer", LINK_LOCAL, 128, 80)))
    ),
    "state established": FilterTarget(States(frozenset({1}))),
    "dev lo": FilterTarget(Compare("ifindex", "=", 1)),
}


@pytest.mark.parametrize("text", MEANINGS)
def test_meaning(text: str) -> None:
    found = parse_target(text, service_port={"https": 443}.get, interface_index={"lo": 1}.get)
    assert found == MEANINGS[text]


MISTAKES = {
    "": "the target is empty",
    "0": "0 is not a pid",
    "0:3": "0 is not a pid",
    "2147483648": "not a pid: it is 1 to 2147483647",
    "1:2147483648": "not a descriptor: it is 0 to 2147483647",
    "9" * 5000: "is not a pid",
    "-1:3": "there is no column",
    "sk:": "is not a socket cookie such as sk:1a",
    "sk:0": "is not a socket cookie",
    "sk:10000000000000000": "is not a socket cookie",
    "sk:ffffffffffffffff": "is not a socket cookie",
    ":65536": "ports are 0 to 65535",
    ":nope": "is not a port or a known service",
    "127.0.0.1:80-[::1]:80": "one address is IPv4 and the other IPv6",
    "127.0.0.1:80-127.0.0.1:65536": "ports are 0 to 65535",
    "127.0.0.999:80": "'127.0.0.999' is not an IP address",
    "[]:80": "'[]:80' is not ADDR:PORT",
    "[::/0]:80": "'[::/0]:80' is not ADDR:PORT",
    "state": "expected the name of a state",
    "nginx": "there is no column 'nginx'",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_mistake(text: str) -> None:
    with pytest.raises(UsageError, match="reading the target") as caught:
        parse_target(text)
    assert MISTAKES[text] in caught.value.why
    assert caught.value.hint == ACCEPTED


@given(st.text() | st.text("0123456789:.-[]sk/ ²\x00"))
def test_any_text_is_read_or_refused(text: str) -> None:
    error = None
    try:
        parse_target(text)
    except UsageError as exc:
        error = exc
    if error is not None:
        assert error.doing.isprintable()
        assert all(line.isprintable() for line in error.why.splitlines())
