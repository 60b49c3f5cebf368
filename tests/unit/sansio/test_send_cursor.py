"""Whatever part of the buffers the kernel takes, every byte is offered once and in order."""

from __future__ import annotations

import array
import mmap
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcptool.sansio.send_cursor import IOV_MAX, SendCursor

ENOUGH_TO_SPLIT_A_CALL = 3 * IOV_MAX + 5


def offered(cursor: SendCursor) -> bytes:
    """What writev(2) would be given; it would refuse too many vectors."""
    vectors = cursor.pending()
    assert len(vectors) <= IOV_MAX
    assert all(vector.nbytes for vector in vectors)
    return b"".join(vectors)


def send(cursor: SendCursor, most: int) -> bytes:
    """One call that takes at most so many bytes."""
    taken = offered(cursor)[:most]
    assert taken or cursor.done or not most, "it would never end"
    cursor.sent(len(taken))
    return taken


def test_the_limit_is_that_of_the_system() -> None:
    assert os.sysconf("SC_IOV_MAX") == IOV_MAX


@given(st.lists(st.binary(max_size=5)), st.data())
def test_every_byte_is_sent_once_and_in_order(buffers: list[bytes], data: st.DataObject) -> None:
    everything = b"".join(buffers)
    cursor, received = SendCursor(buffers), b""
    while not cursor.done:
        assert everything == received + offered(cursor)
        received += send(cursor, data.draw(st.integers(1, cursor.remaining_bytes)))
        assert cursor.remaining_bytes == len(everything) - len(received)
    assert received == everything
    assert cursor.pending() == []


@given(
    count=st.integers(IOV_MAX - 1, ENOUGH_TO_SPLIT_A_CALL),
    first=st.integers(0, 2 * ENOUGH_TO_SPLIT_A_CALL),
)
def test_more_buffers_than_a_call_may_carry(count: int, first: int) -> None:
    """The second call again offers as many vectors as fit, wherever the first one stopped."""
    buffers = [number.to_bytes(2, "big") for number in range(count)]
    cursor = SendCursor(buffers)
    received = send(cursor, first)
    untouched_or_cut = count - len(received) // 2
    assert len(cursor.pending()) == min(IOV_MAX, untouched_or_cut)
    while not cursor.done:
        received += send(cursor, 2 * IOV_MAX)
    assert received == b"".join(buffers)


def test_empty_buffers_use_up_no_vector() -> None:
    cursor = SendCursor([b""] * IOV_MAX + [b"a", b"", b"b", b""])
    assert cursor.pending() == [b"a", b"b"]
    cursor.sent(1)
    assert cursor.pending() == [b"b"]


@pytest.mark.parametrize("buffers", [[], [b""], [b"", memoryview(b"")]])
def test_nothing_to_send_is_done_at_once(buffers: list[bytes]) -> None:
    cursor = SendCursor(buffers)
    assert cursor.done
    assert cursor.remaining_bytes == 0
    assert cursor.pending() == []
    cursor.sent(0)
    assert cursor.done


def test_a_call_that_took_nothing_changes_nothing() -> None:
    cursor = SendCursor([b"ab", b"c"])
    cursor.sent(1)
    cursor.sent(0)
    assert cursor.pending() == [b"b", b"c"]


def test_buffers_may_come_from_a_generator() -> None:
    cursor = SendCursor(bytes([letter]) for letter in b"abc")
    assert cursor.pending() == [b"a", b"b", b"c"]


def test_a_list_that_was_offered_stays_as_it_was() -> None:
    """The advance cuts the cursor's own list."""
    cursor = SendCursor([b"abc"])
    before = cursor.pending()
    cursor.sent(1)
    assert before == [b"abc"]


def test_nothing_is_copied() -> None:
    buffer = bytearray(b"head")
    cursor = SendCursor([buffer])
    cursor.sent(1)
    buffer[1:] = b"EAD"
    assert cursor.pending() == [b"EAD"]


def test_counts_are_bytes_whatever_the_items_of_a_buffer_are() -> None:
    numbers = array.array("I", [1, 2, 3])
    table = memoryview(bytes(range(6))).cast("B", (2, 3))
    cursor = SendCursor([numbers, table])
    assert cursor.remaining_bytes == numbers.itemsize * 3 + 6
    everything = numbers.tobytes() + table.tobytes()
    received = b""
    for most in (5, 8, 1, 100):  # into the second number, into the table, and on
        received += send(cursor, most)
    assert received == everything


def test_an_mmap_is_sent_and_can_be_closed_when_the_cursor_is_gone() -> None:
    with mmap.mmap(-1, 2 * mmap.PAGESIZE) as pages:
        pages[-4:] = b"tail"
        cursor = SendCursor([b"head", pages])
        cursor.sent(4 + len(pages) - 4)
        assert cursor.pending() == [b"tail"]
        del cursor


@pytest.mark.parametrize("count", [-1, -3, 5, 100])
def test_a_count_that_no_call_returns_is_refused(count: int) -> None:
    cursor = SendCursor([b"abc", b"de"])
    cursor.sent(1)
    with pytest.raises(ValueError, match=f"^{count} bytes cannot have been sent"):
        cursor.sent(count)
    assert cursor.pending() == [b"bc", b"de"]
    assert cursor.remaining_bytes == 4


def test_bytes_beyond_the_vectors_of_a_call_cannot_have_been_sent() -> None:
    cursor = SendCursor([b"x"] * (IOV_MAX + 1))
    with pytest.raises(ValueError, match="cannot have been sent"):
        cursor.sent(IOV_MAX + 1)
    assert cursor.remaining_bytes == IOV_MAX + 1
    cursor.sent(IOV_MAX)
    assert cursor.pending() == [b"x"]
