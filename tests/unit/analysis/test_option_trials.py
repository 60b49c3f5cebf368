"""Which values of an option are tried, and what is concluded from the answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcptool.analysis.option_trials import (
    explore,
    found_choices,
    found_ends,
    may_set,
    trial_values,
)
from tcptool.catalog.options import BACKLOG, BY_NAME, OPTIONS, OptionValue, Risk, SocketOption
from tcptool.model.option_report import Trial

LARGEST = (1 << 31) - 1


def accepted(value: OptionValue) -> Trial:
    return Trial(asked=value, effective=value, error=None)


def refused(value: OptionValue, error: str = "EINVAL") -> Trial:
    return Trial(asked=value, effective=None, error=error)


def within(lowest: int, highest: int) -> tuple[list[OptionValue], object]:
    """What was asked, and a kernel that accepts the numbers of a range."""
    asked: list[OptionValue] = []

    def attempt(value: OptionValue) -> Trial:
        asked.append(value)
        assert isinstance(value, int)
        return accepted(value) if lowest <= value <= highest else refused(value)

    return asked, attempt


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("TCP_NODELAY", (True,)),
        ("TCP_KEEPIDLE", (1, 32767)),
        ("SO_SNDBUF", (0, LARGEST)),
        ("TCP_NOTSENT_LOWAT", (0, (1 << 32) - 1)),
        ("SO_MAX_PACING_RATE", (0, (1 << 64) - 1)),
        ("IP_TOS", (0, 255)),
        ("TCP_SAVE_SYN", ("off", "network", "link")),
        ("SO_BUF_LOCK", ((), ("send", "receive"))),
        ("SO_PRIORITY", (0, 6, LARGEST)),
        ("TCP_CONGESTION", ("reno", "cubic")),
        ("SO_MARK", (0, (1 << 32) - 1)),
        ("SO_TYPE", ()),
        ("SO_LINGER", ()),
        ("IPV6_ADDR_PREFERENCES", ()),
    ],
)
def test_the_ends_of_the_range_or_every_word_are_tried(
    name: str, values: tuple[OptionValue, ...]
) -> None:
    assert trial_values(BY_NAME[name], ["reno", "cubic"]) == values


def test_what_could_do_harm_is_not_tried() -> None:
    tried = {option.name for option in OPTIONS if trial_values(option, ["reno"])}
    dangerous = {option.name for option in OPTIONS if option.risk is Risk.REFUSE}
    assert tried & dangerous == {"SO_MARK", "SO_RCVMARK", "IP_TRANSPARENT"}
    assert trial_values(BACKLOG, []) == ()  # it would make a listener
    assert trial_values(BY_NAME["SO_RESERVE_MEM"], []) == (0,)  # more takes others' memory


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_values_are_those_of_the_codec_and_in_the_range(option: SocketOption) -> None:
    for value in trial_values(option, ["reno"]):
        if option.minimum is not None and type(value) is int:
            assert value >= option.minimum
        if option.maximum is not None and type(value) is int:
            assert value <= option.maximum


@given(low=st.integers(1, 32767), high=st.integers(1, 32767))
def test_the_edge_is_found_where_an_end_is_refused(low: int, high: int) -> None:
    low, high = min(low, high), max(low, high)
    option = BY_NAME["TCP_KEEPIDLE"]  # 1 to 32767 in the table
    asked, attempt = within(low, high)
    trials = explore(option, [], attempt)  # type: ignore[arg-type]
    assert len(asked) <= 18
    ends = found_ends(option, trials)
    if (low, high) == (1, 32767):
        assert [trial.asked for trial in trials] == [1, 32767]
        assert ends == (1, 32767)
    elif low == 1 < high or 1 < low < high == 32767:
        assert ends == (low, high)
        assert sum(trial.error is not None for trial in trials) == 1
    else:  # both are refused, or one value is left: there is nothing to go by
        assert ends == (None, None)


def test_only_a_wrong_value_starts_a_search() -> None:
    option = BY_NAME["SO_PRIORITY"]
    asked: list[OptionValue] = []

    def attempt(value: OptionValue) -> Trial:
        asked.append(value)
        return accepted(value) if value in (0, 6) else refused(value, "EPERM")

    trials = explore(option, [], attempt)
    assert asked == [0, 6, LARGEST]
    assert found_ends(option, trials) == (0, 6)
    assert may_set(trials) is False


def test_what_reads_back_is_the_range() -> None:
    doubled = (
        Trial(asked=0, effective=4608, error=None),
        Trial(asked=LARGEST, effective=425_984, error=None),
    )
    assert found_ends(BY_NAME["SO_SNDBUF"], doubled) == (4608, 425_984)
    unread = (
        Trial(asked=0, effective=None, error=None),
        Trial(asked=65535, effective=None, error=None),
    )
    assert found_ends(BY_NAME["SO_BUSY_POLL_BUDGET"], unread) == (0, 65535)
    assert found_ends(BY_NAME["TCP_NODELAY"], (accepted(True),)) == (None, None)


def test_choices_are_what_was_accepted() -> None:
    trials = (accepted("reno"), refused("cubic", "EPERM"), accepted("bbr"))
    assert found_choices(BY_NAME["TCP_CONGESTION"], trials) == ("reno", "bbr")
    assert found_choices(BY_NAME["SO_BUF_LOCK"], (accepted(()), accepted(("send",)))) == ("send",)
    assert found_choices(BY_NAME["SO_BUF_LOCK"], (refused(()),)) == ()
    assert found_choices(BY_NAME["TCP_KEEPIDLE"], (accepted(1),)) == ()


@pytest.mark.parametrize(
    ("trials", "answer"),
    [
        ([], None),
        ([refused(1, "ENOPROTOOPT")], None),
        ([accepted(1)], True),
        ([accepted(1), refused(2, "EPERM")], False),
        ([refused(True, "EACCES")], False),
    ],
)
def test_a_right_is_missing_only_if_the_kernel_said_so(
    trials: list[Trial], answer: bool | None
) -> None:
    assert may_set(trials) is answer
