"""What the manual adds to the table of options: complete, and true to the table."""

from __future__ import annotations

import pytest

from tcptool.catalog.option_manual import (
    MPTCP,
    READS_BACK,
    RISK,
    TAKES_EFFECT,
    example,
    takes_effect,
)
from tcptool.catalog.options import (
    BACKLOG,
    BY_NAME,
    OPTIONS,
    Mptcp,
    ReadBack,
    Risk,
    SocketOption,
    When,
)
from tcptool.sansio.assignment import parse_assignment

each_option = pytest.mark.parametrize("option", [*OPTIONS, BACKLOG], ids=lambda o: o.name)


def test_every_word_has_a_meaning() -> None:
    assert set(TAKES_EFFECT) == set(When)
    assert set(READS_BACK) == set(ReadBack)
    assert set(RISK) == set(Risk)
    assert set(MPTCP) == set(Mptcp)


def test_a_time_of_its_own_stands_in_for_at_once() -> None:
    assert takes_effect(When.NOW, "") == "at once"
    assert takes_effect(When.NOW, "from the next packet") == "from the next packet"
    assert takes_effect(When.LISTENER, "or before connect").endswith("; or before connect")


@each_option
def test_an_example_can_be_typed(option: SocketOption) -> None:
    shown = example(option)
    worth_it = option.settable and option.risk is not Risk.REFUSE
    assert bool(shown) == (worth_it and option.when is not When.NO_EFFECT)
    if shown:
        assert parse_assignment(shown.split()[-1]).option is option


@each_option
def test_an_example_value_is_in_the_range(option: SocketOption) -> None:
    shown = example(option)
    if not shown:
        return
    value = parse_assignment(shown.split()[-1]).value
    if type(value) is int:
        assert option.minimum is None or value >= option.minimum
        assert option.maximum is None or value <= option.maximum


def test_what_comes_too_late_on_a_connection_is_tried_on_own_sockets() -> None:
    assert example(BY_NAME["TCP_MAXSEG"]) == "tcptool apply TCP_MAXSEG=1400"
    assert example(BY_NAME["SO_SNDBUF"]) == "tcptool apply PID:FD SO_SNDBUF=1M"
