"""The small enumerations: words, numbers, and numbers that nobody knows yet."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcptool.catalog.states import (
    CA_STATES,
    CLOSE,
    ESTABLISHED,
    FAMILIES,
    FASTOPEN_FAILURES,
    LISTEN,
    SHUTDOWNS,
    TCP_STATES,
    TCPI_OPTIONS,
    TIME_WAIT,
    TIMERS,
    Meaning,
    number,
    word,
    words,
)

ENUMERATIONS = [TCP_STATES, CA_STATES, TIMERS, FASTOPEN_FAILURES, FAMILIES]
BIT_SETS = [TCPI_OPTIONS, SHUTDOWNS]


@pytest.mark.parametrize("table", [*ENUMERATIONS, *BIT_SETS])
def test_every_word_is_unique_typeable_and_explained(table: dict[int, Meaning]) -> None:
    assert len({meaning.word for meaning in table.values()}) == len(table)
    for meaning in table.values():
        assert re.fullmatch(r"[a-z][a-z0-9-]*", meaning.word)
        assert not meaning.word.startswith("unknown-")
        assert meaning.doc


@pytest.mark.parametrize("table", BIT_SETS)
def test_a_bit_set_has_one_bit_for_each_word(table: dict[int, Meaning]) -> None:
    assert all(bit.bit_count() == 1 for bit in table)


def test_the_states_have_the_kernel_s_numbers() -> None:
    # include/net/tcp_states.h
    assert {state: meaning.word for state, meaning in TCP_STATES.items()} == {
        1: "established",
        2: "syn-sent",
        3: "syn-recv",
        4: "fin-wait-1",
        5: "fin-wait-2",
        6: "time-wait",
        7: "close",
        8: "close-wait",
        9: "last-ack",
        10: "listen",
        11: "closing",
        12: "new-syn-recv",
        13: "bound-inactive",
    }
    assert (ESTABLISHED, TIME_WAIT, CLOSE, LISTEN) == (1, 6, 7, 10)


@pytest.mark.parametrize("table", ENUMERATIONS)
def test_words_and_numbers_lead_to_each_other(table: dict[int, Meaning]) -> None:
    assert all(number(table, word(table, value)) == value for value in table)


@pytest.mark.parametrize("table", ENUMERATIONS)
@given(value=st.integers(0, 255))
def test_an_unknown_number_keeps_itself(table: dict[int, Meaning], value: int) -> None:
    shown = word(table, value)
    assert shown == (table[value].word if value in table else f"unknown-{value}")


def test_there_is_no_number_for_a_word_that_does_not_exist() -> None:
    assert number(TCP_STATES, "ESTAB") is None


@pytest.mark.parametrize(
    ("bits", "shown"),
    [
        (0, ()),
        (7, ("timestamps", "sack", "wscale")),
        (128, ("fast-open-child",)),
        (0x101, ("timestamps", "unknown-256")),
    ],
)
def test_bits_become_words_lowest_first_and_unknown_ones_keep_their_number(
    bits: int, shown: tuple[str, ...]
) -> None:
    assert words(TCPI_OPTIONS, bits) == shown
