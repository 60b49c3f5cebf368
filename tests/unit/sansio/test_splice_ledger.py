"""However short the splices are, the socket gets every byte once, in order and without delay."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcptool.sansio.splice_ledger import SourceEnded, SpliceLedger


class Model:
    """A source, a pipe and a socket, moved as the ledger says."""

    def __init__(self, source: bytes, chunk_bytes: int) -> None:
        self.source, self.pipe, self.socket = source, b"", b""
        self.chunk_bytes = chunk_bytes
        self.ledger = SpliceLedger(len(source), chunk_bytes)

    def fill(self, count: int) -> None:
        assert self.pipe == b"", "bytes could be stranded"
        start = self.ledger.moved_bytes
        self.pipe = self.source[start : start + count]
        assert len(self.pipe) == count, "filled beyond the total"
        self.ledger.filled(count)

    def drain(self, count: int) -> None:
        """SPLICE_F_MORE stands on every piece but one that can carry the last byte."""
        carries_the_last_byte = len(self.socket) + len(self.pipe) == len(self.source)
        assert self.ledger.more is not carries_the_last_byte
        self.socket += self.pipe[:count]
        self.pipe = self.pipe[count:]
        self.ledger.drained(count)

    def check(self) -> None:
        ledger, left = self.ledger, len(self.source) - len(self.socket)
        assert self.source.startswith(self.socket + self.pipe)
        assert ledger.in_pipe_bytes == len(self.pipe)
        assert ledger.moved_bytes == len(self.socket)
        assert ledger.left_bytes == left
        assert ledger.fill_bytes == (0 if self.pipe else min(self.chunk_bytes, left))
        assert ledger.more is (left > len(self.pipe))
        assert ledger.done is (self.socket == self.source)


@given(st.binary(max_size=200), st.integers(1, 250), st.data())
def test_every_byte_arrives_once_and_in_order(
    source: bytes, chunk_bytes: int, data: st.DataObject
) -> None:
    model = Model(source, chunk_bytes)
    ledger = model.ledger
    model.check()
    while not ledger.done:
        left_before = (ledger.left_bytes, -ledger.in_pipe_bytes)
        if ledger.in_pipe_bytes == 0:
            model.fill(data.draw(st.integers(1, ledger.fill_bytes)))
        else:
            model.drain(data.draw(st.integers(1, ledger.in_pipe_bytes)))
        model.check()
        assert (ledger.left_bytes, -ledger.in_pipe_bytes) < left_before, "it would never end"
    assert model.socket == source


@given(st.integers(1, 2**50), st.integers(1, 2**30))
def test_whole_chunks_take_no_step_too_many(total_bytes: int, chunk_bytes: int) -> None:
    chunk_bytes = max(chunk_bytes, total_bytes // 50)
    ledger = SpliceLedger(total_bytes, chunk_bytes)
    chunks, more = 0, []
    while not ledger.done:
        ledger.filled(ledger.fill_bytes)
        more.append(ledger.more)
        ledger.drained(ledger.in_pipe_bytes)
        chunks += 1
    assert chunks == -(-total_bytes // chunk_bytes)
    assert more == [True] * (chunks - 1) + [False]


def test_nothing_to_move_is_done_at_once() -> None:
    ledger = SpliceLedger(0, 4096)
    assert ledger.done
    assert (ledger.fill_bytes, ledger.in_pipe_bytes, ledger.left_bytes) == (0, 0, 0)
    assert not ledger.more


@pytest.mark.parametrize(("total_bytes", "chunk_bytes"), [(-1, 1), (1, 0), (0, 0), (1, -1)])
def test_what_cannot_be_moved_is_refused(total_bytes: int, chunk_bytes: int) -> None:
    with pytest.raises(ValueError, match=f"{total_bytes} bytes in chunks of {chunk_bytes}"):
        SpliceLedger(total_bytes, chunk_bytes)


def fresh() -> SpliceLedger:
    return SpliceLedger(10, 4)


def filled() -> SpliceLedger:
    ledger = fresh()
    ledger.filled(3)
    return ledger


def partly_drained() -> SpliceLedger:
    ledger = filled()
    ledger.drained(2)
    return ledger


def one_chunk_moved() -> SpliceLedger:
    ledger = partly_drained()
    ledger.drained(1)
    return ledger


def done() -> SpliceLedger:
    ledger = SpliceLedger(1, 4)
    ledger.filled(1)
    ledger.drained(1)
    return ledger


def state(ledger: SpliceLedger) -> list[object]:
    return [getattr(ledger, name) for name in SpliceLedger.__slots__]


@pytest.mark.parametrize(
    ("make", "left_bytes"), [(fresh, 10), (one_chunk_moved, 7)], ids=["at once", "midway"]
)
def test_a_source_that_ends_early(make: Callable[[], SpliceLedger], left_bytes: int) -> None:
    ledger = make()
    before = state(ledger)
    with pytest.raises(SourceEnded, match=f"^the source ended with {left_bytes} bytes ") as caught:
        ledger.filled(0)
    assert caught.value.left_bytes == left_bytes
    assert state(ledger) == before


@pytest.mark.parametrize(("make", "left_bytes"), [(filled, 10), (partly_drained, 8)])
def test_a_pipe_that_gives_no_more(make: Callable[[], SpliceLedger], left_bytes: int) -> None:
    """Else the loop of a caller would spin."""
    ledger = make()
    with pytest.raises(SourceEnded) as caught:
        ledger.drained(0)
    assert caught.value.left_bytes == left_bytes


@pytest.mark.parametrize(
    ("make", "fill_counts", "drain_counts"),
    [
        (fresh, (-1, 5), (-1, 0, 1)),
        (filled, (-1, 0, 1), (-1, 4)),
        (partly_drained, (-1, 0, 1), (-1, 2)),
        (one_chunk_moved, (-1, 5), (-1, 0, 1)),
        (done, (-1, 0, 1), (-1, 0, 1)),
    ],
)
def test_a_count_that_no_call_returns_is_refused(
    make: Callable[[], SpliceLedger], fill_counts: tuple[int, ...], drain_counts: tuple[int, ...]
) -> None:
    """A fill while the pipe holds bytes, and a drain of an empty one, included."""
    ledger = make()
    before = state(ledger)
    for count in fill_counts:
        with pytest.raises(ValueError, match=f"^{count} bytes cannot have been moved"):
            ledger.filled(count)
    for count in drain_counts:
        with pytest.raises(ValueError, match=f"^{count} bytes cannot have been moved"):
            ledger.drained(count)
    assert state(ledger) == before
