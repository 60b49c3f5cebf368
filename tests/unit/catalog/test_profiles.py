"""The table of profiles: nothing in it contradicts itself, the catalog of options or the kernel."""

from __future__ import annotations

import re

import pytest

from tcptool.catalog.options import Risk, find_option
from tcptool.catalog.options import When as OptionWhen
from tcptool.catalog.profiles import BUILT_IN, BY_NAME, Profile, Stage
from tcptool.model.change import Assignment
from tcptool.sansio.assignment import parse_assignment
from tcptool.sansio.profile_file import NAME

each_profile = pytest.mark.parametrize("profile", BUILT_IN, ids=lambda profile: profile.name)

EARLY = {OptionWhen.BEFORE_BIND, OptionWhen.BEFORE_CONNECT}
BUFFERS = {"SO_SNDBUF", "SO_RCVBUF"}


def values(profile: Profile) -> dict[str, str]:
    return {value.option: value.value for value in profile.values}


def assignments(profile: Profile) -> dict[str, Assignment]:
    return {name: parse_assignment(f"{name}={text}") for name, text in values(profile).items()}


def number(profile: Profile, option: str) -> int:
    value = assignments(profile)[option].value
    assert isinstance(value, int)
    return value


def texts(profile: Profile) -> list[str]:
    found = [profile.summary, profile.purpose]
    found += [text for v in profile.values for text in (v.reason, v.source)]
    found += [text for f in profile.flags for text in (f.text, f.evidence)]
    for advices in (profile.leave_alone, profile.host_advice, profile.program_advice):
        found += [text for advice in advices for text in (advice.what, advice.text, advice.source)]
    return found


def test_the_profiles_are_those_of_the_manual() -> None:
    assert list(BY_NAME) == [
        "guide", "rpc", "bulk-wan", "stream", "push", "db-client", "proxy", "mobile",
    ]  # fmt: skip
    assert all(NAME.fullmatch(name) for name in BY_NAME)


@each_profile
def test_every_value_has_a_reason_and_a_source(profile: Profile) -> None:
    assert profile.values
    for text in texts(profile):
        assert text.strip() == text != ""
        assert text.isascii()
        assert text.isprintable()
        assert "  " not in text
    for value in profile.values:
        assert re.fullmatch(r"[A-Z0-9].*\.", value.reason), value


@each_profile
def test_every_value_can_be_set(profile: Profile) -> None:
    assert len(values(profile)) == len(profile.values)
    for name, assignment in assignments(profile).items():
        option = assignment.option
        assert option.name == name  # the full name, not an alias
        assert option.settable
        assert option.risk is not Risk.REFUSE
        if isinstance(assignment.value, int) and not isinstance(assignment.value, bool):
            assert option.minimum is None or assignment.value >= option.minimum
            assert option.maximum is None or assignment.value <= option.maximum


@each_profile
def test_the_stage_is_the_one_at_which_the_option_takes_effect(profile: Profile) -> None:
    for value in profile.values:
        option = find_option(value.option)
        assert option
        if option.when is OptionWhen.LISTENER:
            assert value.when is Stage.LISTENER
        else:  # buffers: the window scale is fixed by the SYN
            early = option.when in EARLY or option.name in BUFFERS
            assert value.when is (Stage.BEFORE_CONNECT if early else Stage.ANY)


@each_profile
def test_what_is_left_alone_is_an_option_that_is_not_set(profile: Profile) -> None:
    names = [advice.what for advice in profile.leave_alone]
    assert len(set(names)) == len(names)
    assert not values(profile).keys() & names
    for name in names:
        option = find_option(name)
        assert option
        assert option.name == name


@each_profile
def test_flags_are_about_options_of_the_profile(profile: Profile) -> None:
    identifiers = [flag.id for flag in profile.flags]
    assert len(set(identifiers)) == len(identifiers)
    for flag in profile.flags:
        assert NAME.fullmatch(flag.id)
        assert set(flag.options) <= values(profile).keys()


@each_profile
def test_cork_and_nodelay_exclude_each_other(profile: Profile) -> None:
    contradiction = {"TCP_CORK", "TCP_NODELAY"} <= values(profile).keys()
    assert contradiction == any(flag.id == "cork-beats-nodelay" for flag in profile.flags)


@each_profile
def test_buffers_are_either_set_or_tuned(profile: Profile) -> None:
    set_by_hand = bool(BUFFERS & values(profile).keys())
    assert not (set_by_hand and "SO_BUF_LOCK" in values(profile))
    assert set_by_hand == any(flag.id == "buffers-pinned" for flag in profile.flags)


@each_profile
def test_keepalive_is_complete(profile: Profile) -> None:
    details = {"TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT"}
    named = values(profile).keys() & (details | {"SO_KEEPALIVE"})
    assert named in (set(), details | {"SO_KEEPALIVE"})
    if named:
        assert values(profile)["SO_KEEPALIVE"] == "on"
        # Below the shortest idle timeout that is documented: Azure Load Balancer, 4 minutes.
        assert number(profile, "TCP_KEEPIDLE") < 240


@each_profile
def test_the_user_timeout_fits_the_keepalive(profile: Profile) -> None:
    """It decides in place of TCP_KEEPCNT: net/ipv4/tcp_timer.c, tcp_keepalive_timer()."""
    if "TCP_USER_TIMEOUT" not in values(profile):
        return
    timeout_ms = number(profile, "TCP_USER_TIMEOUT")
    idle, interval = (number(profile, name) for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL"))
    assert timeout_ms <= 1000 * (idle + interval * number(profile, "TCP_KEEPCNT"))
    ends_at_the_first_probe = timeout_ms <= 1000 * (idle + interval)
    assert ends_at_the_first_probe == any(flag.id == "one-probe" for flag in profile.flags)


def test_guide_is_exactly_what_the_guide_says() -> None:
    guide = BY_NAME["guide"]
    assert [(value.option, value.value) for value in guide.values] == [
        ("TCP_NODELAY", "on"),
        ("SO_REUSEADDR", "on"),
        ("SO_REUSEPORT", "on"),
        ("SO_SNDBUF", "1M"),
        ("SO_RCVBUF", "1M"),
        ("TCP_CORK", "on"),
        ("TCP_QUICKACK", "on"),
        ("SO_KEEPALIVE", "on"),
        ("TCP_KEEPIDLE", "60s"),
        ("TCP_KEEPINTVL", "5s"),
        ("TCP_KEEPCNT", "3"),
    ]
    assert number(guide, "SO_SNDBUF") == number(guide, "SO_RCVBUF") == 1024 * 1024
    assert [number(guide, f"TCP_KEEP{x}") for x in ("IDLE", "INTVL", "CNT")] == [60, 5, 3]
    assert len(guide.flags) == 6
    flagged = {option for flag in guide.flags for option in flag.options}
    assert flagged == values(guide).keys()
