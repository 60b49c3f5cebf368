"""What is said beside the rows of a change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tcptool.analysis.advice import advice, risks
from tcptool.catalog.options import BACKLOG, BY_NAME, OPTIONS, OptionValue, Risk
from tcptool.model.change import Change
from tcptool.model.sock import Endpoint, Socket


def change(
    name: str, effective: OptionValue | None = None, requested: OptionValue | None = 1
) -> Change:
    option = BY_NAME.get(name, BACKLOG)
    return Change(
        option=name, unit=option.unit.value, before=None, requested=requested,
        effective=effective, outcome="set", note="", clamped_by=None, risk=option.risk.value,
    )  # fmt: skip


def sock(state: str) -> Socket:
    return Socket(
        protocol="tcp", family="ipv4", state=state,
        local=Endpoint("192.0.2.10", 443), peer=Endpoint("198.51.100.7", 51844),
        cookie="1001", inode=701, uid=0, ifindex=0, timer="off", timer_expires_ms=None,
        timer_retransmits=0, receive_queue_bytes=0, send_queue_bytes=0, accept_queue=None,
        backlog=None,
    )  # fmt: skip


def said(state: str, *changes: Change, clamp_bytes: int | None = None) -> list[str]:
    return list(advice(sock(state), changes, clamp_bytes))


def test_risks_are_those_of_options_that_can_do_harm() -> None:
    assert BY_NAME["TCP_KEEPIDLE"].risk is Risk.WARN
    (warning,) = risks([BY_NAME["TCP_NODELAY"], BY_NAME["TCP_KEEPIDLE"], BACKLOG])
    assert (warning.id, warning.message) == (
        "risk",
        f"TCP_KEEPIDLE: {BY_NAME['TCP_KEEPIDLE'].pitfall}",
    )
    assert [one.id for one in risks([BY_NAME["SO_BUSY_POLL_BUDGET"]])][-1] == "no_undo"
    assert [one.id for one in risks([BY_NAME["SO_SNDBUFFORCE"]])] == ["risk"]  # SO_SNDBUF shows it
    silent = next(o for o in OPTIONS if o.risk is Risk.WARN and not o.pitfall)
    assert risks([silent]) == ()


@pytest.mark.parametrize("name", [*BY_NAME, BACKLOG.name])
@pytest.mark.parametrize("state", ["closed", "listen", "established"])
def test_every_option_in_every_state(name: str, state: str) -> None:
    for line in advice(sock(state), [change(name, 5)], 4):
        assert line.endswith((".", "!")), line
        assert "  " not in line


def test_what_a_listener_passes_on() -> None:
    names = ("TCP_NODELAY", "SO_PRIORITY", "SO_SNDBUF", "backlog", "TCP_DEFER_ACCEPT")
    inherited, kept = said("listen", *map(change, names))
    assert "inherit TCP_NODELAY, SO_SNDBUF; those that are open" in inherited
    assert kept == "accept() does not pass on SO_PRIORITY."


def test_what_only_a_listener_has_is_passed_on_to_nobody() -> None:
    assert said("listen", change("backlog")) == []
    assert said("listen", change("TCP_FASTOPEN")) == []


@pytest.mark.parametrize("state", ["closed", "syn-sent", "established"])
def test_others_than_listeners_pass_nothing_on(state: str) -> None:
    assert said(state, change("TCP_NODELAY")) == []


CLAMPED = "The window will not grow beyond TCP_WINDOW_CLAMP, 65536 bytes: --also-clamp"


@pytest.mark.parametrize(
    ("changes", "clamp_bytes", "advised"),
    [
        ([change("SO_RCVBUF", 200_000)], 65_536, True),
        ([change("SO_RCVBUFFORCE", 200_000)], 65_536, True),
        ([change("SO_RCVBUF", None, 200_000)], 65_536, True),  # a dry run
        ([change("SO_RCVBUF", 131_072)], 65_536, False),  # half of it is window
        ([change("SO_RCVBUF", 200_000)], None, False),
        ([change("SO_RCVBUF", 200_000)], 0, False),
        ([change("SO_RCVBUF", None, None)], 65_536, False),
        ([change("SO_SNDBUF", 200_000)], 65_536, False),
        ([change("SO_RCVBUF", 200_000), change("TCP_WINDOW_CLAMP")], 65_536, False),
    ],
)
def test_a_clamp_that_is_in_the_way(
    changes: list[Change], clamp_bytes: int | None, advised: bool
) -> None:
    lines = said("established", *changes, clamp_bytes=clamp_bytes)
    assert any(line.startswith(CLAMPED) for line in lines) == advised
    assert not any(CLAMPED in line for line in said("listen", *changes, clamp_bytes=clamp_bytes))


def test_buffers_that_are_pinned() -> None:
    (line,) = said("established", change("SO_SNDBUF"))
    assert line.startswith("SO_SNDBUF set by hand: the kernel does not tune the buffer any more.")
    (line,) = said("close-wait", change("SO_SNDBUF"), change("SO_RCVBUF"))
    assert line.startswith("SO_RCVBUF and SO_SNDBUF set by hand")
    assert said("established", change("SO_SNDBUF"), change("SO_BUF_LOCK")) == []


def test_what_failed_is_not_spoken_of() -> None:
    failed = replace(change("TCP_CONGESTION"), outcome="failed")
    assert said("listen", failed) == []


def test_a_buffer_of_mptcp_stays_pinned() -> None:
    mptcp = replace(sock("established"), protocol="mptcp")
    (line,) = advice(mptcp, [change("SO_SNDBUF", 2048)], None)
    assert "has no SO_BUF_LOCK" in line
