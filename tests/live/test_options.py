"""`options` against the running kernel: what it says is what the kernel does."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from tcptool.actions.options import ALL, survey_options
from tcptool.catalog.options import BY_NAME, Codec
from tcptool.linux.kernel import LiveKernel
from tcptool.model.option_report import OptionSurvey
from tests.live.program import NOBODY, tcptool
from tests.live.test_rough_weather import Terminal, screen_lines
from tests.support.netns import NetNs

MAY_BE_REFUSED = {"EPERM", "EACCES", "EOPNOTSUPP", "ENOPROTOOPT"}
"""For want of a right, of a memory cgroup or of a sysctl's bit, or on an older kernel."""

BELOW_A_TICK = {"TCP_RTO_MIN_US", "TCP_DELACK_MAX_US"}


@pytest.fixture(scope="module")
def surveyed() -> dict[str, OptionSurvey]:
    with LiveKernel() as kernel:
        report = survey_options(kernel, ALL)
    assert [option.name for option in report.options] == [option.name for option in ALL]
    return {option.name: option for option in report.options}


def sysctl(name: str) -> str:
    return Path("/proc/sys/net", name).read_text().strip()


@pytest.mark.parametrize("option", ALL, ids=lambda option: option.name)
def test_the_kernel_accepts_what_the_table_allows(
    option: Any, surveyed: dict[str, OptionSurvey]
) -> None:
    refused = {trial.error for trial in surveyed[option.name].tried if trial.error}
    assert refused <= MAY_BE_REFUSED | ({"EINVAL"} if option.name in BELOW_A_TICK else set())


@pytest.mark.parametrize(("name", "limit"), [("SO_SNDBUF", "wmem"), ("SO_RCVBUF", "rmem")])
def test_the_largest_buffer_is_twice_the_sysctl(
    name: str, limit: str, surveyed: dict[str, OptionSurvey]
) -> None:
    assert surveyed[name].highest == 2 * int(sysctl(f"core/{limit}_max"))
    assert surveyed[name].default_ipv4 == int(sysctl(f"ipv4/tcp_{limit}").split()[1])


def test_the_fastopen_queue_ends_at_somaxconn(surveyed: dict[str, OptionSurvey]) -> None:
    assert surveyed["TCP_FASTOPEN"].highest == int(sysctl("core/somaxconn"))


@pytest.mark.parametrize("name", sorted(BELOW_A_TICK))
def test_the_smallest_time_is_two_ticks(name: str, surveyed: dict[str, OptionSurvey]) -> None:
    option = surveyed[name]
    if option.available is False:  # before Linux 6.15
        return
    lowest = option.lowest
    assert isinstance(lowest, int)
    found = next(trial.asked for trial in option.tried if trial.error is None)
    assert isinstance(found, int)
    with socket.socket() as own:
        own.setsockopt(socket.IPPROTO_TCP, option.number, found)
        assert own.getsockopt(socket.IPPROTO_TCP, option.number) == lowest
        with pytest.raises(OSError, match="Invalid argument"):
            own.setsockopt(socket.IPPROTO_TCP, option.number, found - 1)
    assert found // 2 < lowest // 2 <= found


def test_a_caller_with_all_rights_may_set_all(surveyed: dict[str, OptionSurvey]) -> None:
    algorithms = set(sysctl("ipv4/tcp_available_congestion_control").split())
    assert set(surveyed["TCP_CONGESTION"].choices) <= algorithms
    if os.geteuid() == 0 and surveyed["SO_DEBUG"].may_set:
        assert [o.name for o in surveyed.values() if o.may_set is False] == []
        assert set(surveyed["TCP_CONGESTION"].choices) == algorithms


def test_an_ordinary_user_may_not_set_what_takes_a_capability() -> None:
    uid = NOBODY if os.geteuid() == 0 else None
    found = {one["name"]: one for one in tcptool("options", "--json", uid=uid).data}
    forbidden = {name for name, one in found.items() if one["may_set"] is False}
    # SO_RCVMARK took a capability in its first releases only.
    assert forbidden - {"TCP_CONGESTION", "SO_RCVMARK"} == {
        "SO_DEBUG", "SO_PRIORITY", "SO_SNDBUFFORCE", "SO_RCVBUFFORCE", "SO_MARK",
        "SO_PREFER_BUSY_POLL", "SO_BUSY_POLL_BUDGET", "IP_TRANSPARENT",
    }  # fmt: skip
    assert found["SO_DEBUG"]["tried"][0]["error"] == "EACCES"
    assert (found["SO_PRIORITY"]["lowest"], found["SO_PRIORITY"]["highest"]) == (0, 6)
    allowed = set(sysctl("ipv4/tcp_allowed_congestion_control").split())
    assert set(found["TCP_CONGESTION"]["choices"]) == allowed
    assert found["TCP_NODELAY"]["may_set"] is True


def test_nothing_is_left_behind() -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    with LiveKernel() as kernel:
        survey_options(kernel, ALL)
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_what_is_missing_here_is_missing_in_the_kernel(surveyed: dict[str, OptionSurvey]) -> None:
    for option in surveyed.values():
        known = BY_NAME.get(option.name)
        if option.available is not False or known is None or known.codec is Codec.STRUCT:
            continue
        with socket.socket() as own, pytest.raises(OSError, match=r"\[Errno") as caught:
            own.setsockopt(known.level, known.number, b"\1\0\0\0")
        assert caught.value.errno in (errno.ENOPROTOOPT, errno.EOPNOTSUPP)


def test_another_namespace_has_its_own_defaults(netns: NetNs) -> None:
    netns.run("sh", "-c", "echo 4096 34000 4194304 > /proc/sys/net/ipv4/tcp_wmem")
    inside = tcptool("options", "SO_SNDBUF", "--json", netns=netns).data[0]
    assert (inside["default_ipv4"], inside["default_ipv6"]) == (34_000, 34_000)
    if not netns.in_user_namespace:
        outside = tcptool("options", "SO_SNDBUF", "--json", "--netns", netns.pid).data[0]
        assert outside == inside


def test_on_a_terminal_the_table_fits() -> None:
    terminal = Terminal(["options"], 80)
    text = terminal.read_until(None)
    assert terminal.close() == 0
    lines = screen_lines(text)
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("SO_SNDBUF ") and " B " in line for line in lines)


def test_every_form_of_the_answer() -> None:
    table = tcptool("options").lines
    assert len(table) == len(ALL) + 1
    assert tcptool("options", "sndbu").lines[0].split() == table[0].split()  # and SNDBUFFORCE
    assert tcptool("options", "SO_SNDBUF").lines[0] == "SO_SNDBUF  (socket option, bytes)"
    tcptool("options", "nodelaj").failed(3, "did you mean", "NODELAY")
