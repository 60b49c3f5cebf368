"""Netlink framing: nothing but messages or MalformedReply, whatever the bytes."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcptool.catalog.diag import NLMSG_DONE, NLMSG_ERROR
from tcptool.decode.netlink import (
    HEADER,
    MalformedReply,
    Message,
    aligned,
    attribute,
    attribute_places,
    attributes,
    error_number,
    message,
    messages,
    with_sequence,
)
from tcptool.errors import ExitCode

U16 = st.integers(0, 0xFFFF)
U32 = st.integers(0, 0xFFFF_FFFF)
MESSAGES = st.builds(Message, U16, U16, U32, st.binary(max_size=40))


def framed(found: Message) -> bytes:
    raw = message(found.type, found.flags, found.sequence, found.payload)
    return raw + bytes(aligned(len(raw)) - len(raw))


def read_all(read: Callable[[bytes], Iterable[object]], raw: bytes) -> list[object] | None:
    """What was read, or None for a malformed reply; anything else fails the test."""
    try:
        return list(read(raw))
    except MalformedReply:
        return None


@given(st.lists(MESSAGES))
def test_messages_survive_there_and_back(sent: list[Message]) -> None:
    assert list(messages(b"".join(map(framed, sent)))) == sent


@given(st.lists(MESSAGES, min_size=1))
def test_the_last_message_may_lack_its_padding(sent: list[Message]) -> None:
    last = sent[-1]
    raw = b"".join(map(framed, sent[:-1]))
    raw += message(last.type, last.flags, last.sequence, last.payload)
    assert list(messages(raw)) == sent


@given(st.binary(max_size=200))
def test_any_bytes_are_messages_or_malformed(raw: bytes) -> None:
    read_all(messages, raw)


@given(st.lists(MESSAGES, min_size=1), st.data())
def test_damaged_messages_are_read_or_malformed(sent: list[Message], data: st.DataObject) -> None:
    raw = bytearray(b"".join(map(framed, sent)))
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)))
    read_all(messages, bytes(raw[:cut]))


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"\0" * 15, "15 bytes where a message should begin"),
        (HEADER.pack(15, 20, 0, 0, 0), "a message of 15 bytes in 16"),
        (HEADER.pack(0, 20, 0, 0, 0), "a message of 0 bytes in 16"),
        (HEADER.pack(17, 20, 0, 0, 0), "a message of 17 bytes in 16"),
        (HEADER.pack(2**32 - 1, 20, 0, 0, 0), "a message of 4294967295 bytes in 16"),
    ],
)
def test_a_malformed_datagram_says_what_is_wrong(raw: bytes, why: str) -> None:
    with pytest.raises(MalformedReply) as caught:
        list(messages(raw))
    assert caught.value.why == why
    assert caught.value.doing == "reading a netlink reply"
    assert "uname -r" in caught.value.hint
    assert (caught.value.code, caught.value.exit_code) == ("malformed_reply", ExitCode.FAILED)


def test_messages_before_the_damage_are_given() -> None:
    found = messages(framed(Message(20, 0, 1, b"abcd")) + b"\0")
    assert next(found).payload == b"abcd"
    with pytest.raises(MalformedReply):
        next(found)


@given(st.lists(st.tuples(st.integers(0, 0x3FFF), st.binary(max_size=20))))
def test_attributes_survive_there_and_back(sent: list[tuple[int, bytes]]) -> None:
    raw = b"".join(attribute(kind, value) for kind, value in sent)
    assert attributes(raw, 0) == dict(sent)
    places = list(attribute_places(b"x" * 8 + raw, 8))
    assert [(k, (b"x" * 8 + raw)[at : at + size]) for k, at, size in places] == sent
    assert len(raw) % 4 == 0


@given(st.binary(max_size=100), st.integers(0, 100))
def test_any_bytes_are_attributes_or_malformed(raw: bytes, start: int) -> None:
    read_all(lambda bytes_: attributes(bytes_, start), raw)


@pytest.mark.parametrize("length", [0, 3, 9, 0xFFFF])
def test_an_attribute_of_impossible_length_is_malformed(length: int) -> None:
    with pytest.raises(MalformedReply, match=f"an attribute of {length} bytes in 8"):
        attributes(struct.pack("=HHI", length, 1, 0), 0)


def test_the_flags_of_an_attribute_are_no_part_of_its_type() -> None:
    assert attributes(attribute(0x8000 | 0x4000 | 19, b"tls\0"), 0) == {19: b"tls\0"}


def test_of_a_repeated_attribute_the_last_one_counts() -> None:
    assert attributes(attribute(5, b"\1") + attribute(5, b"\2"), 0) == {5: b"\2"}


@given(st.integers(0, 2**32))
def test_alignment_is_to_the_next_four_bytes(length: int) -> None:
    assert length <= aligned(length) < length + 4
    assert aligned(length) % 4 == 0


@given(MESSAGES, U32)
def test_another_sequence_number_changes_nothing_else(sent: Message, sequence: int) -> None:
    changed = with_sequence(framed(sent), sequence)
    assert list(messages(changed)) == [sent._replace(sequence=sequence)]


@pytest.mark.parametrize(
    ("kind", "payload", "number"),
    [
        (NLMSG_ERROR, struct.pack("=i", -2), 2),
        (NLMSG_ERROR, struct.pack("=i", 0) + bytes(16), 0),
        (NLMSG_DONE, struct.pack("=i", -105), 105),
        (NLMSG_DONE, struct.pack("=i", 0), 0),
        (NLMSG_DONE, b"", 0),
    ],
)
def test_the_end_of_a_reply_carries_an_errno(kind: int, payload: bytes, number: int) -> None:
    assert error_number(Message(kind, 0, 0, payload)) == number


def test_an_error_without_its_number_is_malformed() -> None:
    with pytest.raises(MalformedReply, match="without a number"):
        error_number(Message(NLMSG_ERROR, 0, 0, b"\0\0\0"))
