"""Checks of accept queues and connection requests: every answer that they give."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tcptool.catalog.severity import Severity
from tests.unit.analysis.host.hosts import (
    command,
    host,
    judged,
    listener,
    seen,
    sock,
    undo,
    without,
)

OVERFLOW = {"TcpExtListenOverflows": 2, "TcpExtListenDrops": 3}
BOTH = {"TcpExtListenOverflows": 2, "TcpExtListenDrops": 2}


@pytest.mark.parametrize(
    ("queue", "severity"),
    [
        (0, Severity.OK),
        (75, Severity.OK),  # it holds one more than its backlog: 75 of 101
        (76, Severity.WARN),
        (100, Severity.WARN),
        (101, Severity.FAIL),  # full: whoever comes waits for nothing
    ],
)
def test_how_full_a_queue_is(queue: int, severity: Severity) -> None:
    state = host(sockets=(listener(accept_queue=queue, backlog=100), listener(backlog=9)))
    verdict = judged("H-12", state)
    assert verdict.severity is severity
    assert f"0.0.0.0:443: {queue} wait, backlog 100" in seen(verdict)


def test_three_quarters_are_enough_to_speak_up() -> None:
    state = host(sockets=(listener(accept_queue=75, backlog=99),))
    assert judged("H-12", state).severity is Severity.WARN


def test_a_backlog_is_raised_on_the_live_socket() -> None:
    state = host(sockets=(listener(accept_queue=101, backlog=100, local_port=8080),))
    verdict = judged("H-12", state)
    # 101 take less than 75 % of 135; another listener on that port is not touched.
    assert command(verdict) == "sudo tcptool apply sk:abc backlog=134"
    assert undo(verdict) == "sudo tcptool apply sk:abc backlog=100"
    assert "syn-backlog" in verdict.myths


def test_a_listener_is_named_by_its_holder() -> None:
    state = host(
        sockets=(listener(accept_queue=101, backlog=100, inode=7),),
        holders={7: ("42:6", "nginx")},
        netns="blue",  # a descriptor is what it is in any namespace
    )
    assert command(judged("H-12", state)) == "sudo tcptool apply 42:6 backlog=134"
    assert undo(judged("H-12", state)) == "sudo tcptool apply 42:6 backlog=100"


@pytest.mark.parametrize(
    ("backlog", "run"),
    [
        (40_000, "sudo tcptool apply sk:abc backlog=53334"),
        (65_535, "tcptool listeners"),
        (60_000, "sudo tcptool apply sk:abc backlog=65535"),
        (0, "sudo tcptool apply sk:abc backlog=1"),
    ],
)
def test_a_backlog_has_a_sensible_end(backlog: int, run: str) -> None:
    state = host(
        sysctls={"net.core.somaxconn": "70000"},
        sockets=(listener(accept_queue=backlog + 1, backlog=backlog),),
    )
    assert command(judged("H-12", state)) == run


def test_somaxconn_is_raised_only_where_it_is_in_the_way() -> None:
    state = host(
        sysctls={"net.core.somaxconn": "128"},
        sockets=(listener(accept_queue=129, backlog=128),),
    )
    room = replace(state, sysctls={**state.sysctls, "net.core.somaxconn": "256"})
    assert "sysctl" not in command(judged("H-12", room))
    verdict = judged("H-12", state)
    first, second = command(verdict).split(" && ")
    assert first == "sudo sysctl -w net.core.somaxconn=172"
    assert second.endswith("backlog=172")
    assert undo(verdict).endswith("sudo sysctl -w net.core.somaxconn=128")
    assert "somaxconn-128" in verdict.myths


def test_in_a_namespace_the_commands_enter_it() -> None:
    state = host(
        sysctls={"net.core.somaxconn": "128"},
        sockets=(listener(accept_queue=129, backlog=128),),
        netns="blue",
    )
    verdict = judged("H-12", state)
    first, second = command(verdict).split(" && ")
    assert first == "sudo nsenter --net=/run/netns/blue sysctl -w net.core.somaxconn=172"
    assert second == "sudo tcptool apply --netns blue sk:abc backlog=172"


def test_a_kernel_that_hides_somaxconn() -> None:
    state = host(
        sysctls={"net.core.somaxconn": None}, sockets=(listener(accept_queue=9, backlog=1),)
    )
    assert command(judged("H-12", state)).startswith("sudo tcptool apply")


def test_connections_refused_now_and_in_the_past() -> None:
    now = judged("H-12", host(OVERFLOW, {"TcpExtListenOverflows": 40}))
    assert (now.severity, now.summary) == (Severity.FAIL, "a queue was full 2 times in 5 s")
    assert command(now) == "tcptool listeners"
    past = judged("H-12", host(None, {"TcpExtListenOverflows": 40}))
    assert past.severity is Severity.INFO
    assert past.summary == "a queue was full 40 times in the past, none in 5 s"


def test_the_one_that_dropped_is_named_and_not_the_one_that_is_full_now() -> None:
    sockets = (
        listener(accept_queue=3, backlog=2, drops=7),
        listener(accept_queue=0, backlog=8, drops=9, cookie="def", local_port=80),
        listener(accept_queue=0, backlog=8, drops=8, cookie="123", local_port=81),
    )
    before = {"abc": 7, "def": 5, "123": 7}
    verdict = judged("H-12", host(OVERFLOW, sockets=sockets, drops_before=before))
    assert verdict.severity is Severity.FAIL
    assert verdict.summary == "a queue was full 2 times in 5 s, 0.0.0.0:80: 0 wait, backlog 8"
    assert "0.0.0.0:80: 0 wait, backlog 8, 4 dropped in 5 s\n0.0.0.0:81" in seen(verdict)
    # Nine and one more, of which two overflows in 5 s are at most one client each second.
    assert command(verdict) == "sudo tcptool apply sk:def backlog=13"


def test_an_overflow_of_a_listener_that_has_gone_is_nobody_s() -> None:
    sockets = (listener(accept_queue=3, backlog=2, drops=7),)
    verdict = judged("H-12", host(OVERFLOW, sockets=sockets, drops_before={"abc": 7}))
    assert verdict.summary == "a queue was full 2 times in 5 s"
    assert command(verdict) == "tcptool listeners"


def test_where_drops_are_not_told_the_full_one_is_named() -> None:
    verdict = judged("H-12", host(OVERFLOW, sockets=(listener(accept_queue=3, backlog=2),)))
    assert verdict.summary == "a queue was full 2 times in 5 s, 0.0.0.0:443: 3 wait, backlog 2"
    assert command(verdict) == "sudo tcptool apply sk:abc backlog=4"


def test_without_counters_the_queues_are_judged() -> None:
    names = ("TcpExtListenOverflows", "TcpExtListenDrops")
    assert judged("H-12", without(*names)).severity is Severity.SKIP
    state = without(*names, sockets=(listener(accept_queue=0, backlog=2),))
    assert judged("H-12", state).severity is Severity.OK
    state = without("TcpExtListenOverflows", sockets=(listener(accept_queue=0, backlog=2),))
    assert judged("H-12", state).severity is Severity.OK


def test_listeners_of_proc_net_have_no_backlog() -> None:
    sockets = (listener(accept_queue=900, backlog=None), sock())
    verdict = judged("H-12", host(sockets=sockets, lacks={"tcp_info": "no sock_diag"}))
    assert verdict.severity is Severity.OK
    assert verdict.summary == "no queue overflowed; how full the queues are is not told"


def test_sockets_that_cannot_be_asked_for() -> None:
    verdict = judged("H-12", host(lacks={"sockets": "refused"}))
    assert (verdict.severity, verdict.summary) == (Severity.SKIP, "no sockets: refused")


COOKIES = {"TcpExtSyncookiesSent": 100}


@pytest.mark.parametrize(
    ("grown", "severity", "text"),
    [
        ({}, Severity.OK, "no SYN cookie was sent"),
        ({**COOKIES, **BOTH}, Severity.WARN, "while accept queues overflowed"),
        (
            {**COOKIES, "TcpExtSyncookiesRecv": 9},
            Severity.WARN,
            "and no accept queue overflowed: probably a SYN flood",
        ),
        ({**COOKIES, "TcpExtSyncookiesRecv": 90}, Severity.INFO, "100 SYN cookies were sent"),
        ({"TcpExtSyncookiesSent": 99}, Severity.INFO, "99 SYN cookies were sent"),
        ({**COOKIES, "TcpExtSyncookiesRecv": 10}, Severity.INFO, "100 SYN cookies were sent"),
        ({"TcpExtTCPReqQFullDrop": 4}, Severity.OK, "no SYN cookie was sent"),
        (OVERFLOW, Severity.WARN, "1 connection request dropped in 5 s, though no accept queue"),
        ({"TcpExtListenOverflows": 3, "TcpExtListenDrops": 3}, Severity.OK, "no SYN cookie"),
    ],
)
def test_syn_cookies(grown: dict[str, int], severity: Severity, text: str) -> None:
    verdict = judged("H-13", host(grown))
    assert verdict.severity is severity
    assert text in verdict.summary
    assert ("flood" in verdict.summary) == ("flood" in text)
    assert ("overflow" in verdict.summary) == ("overflow" in text)


@pytest.mark.parametrize("counter", ["TcpExtTCPReqQFullDrop", "TcpExtListenDrops"])
def test_requests_dropped_while_cookies_are_off(counter: str) -> None:
    state = host({counter: 4}, sysctls={"net.ipv4.tcp_syncookies": "0"})
    verdict = judged("H-13", state)
    assert verdict.severity is Severity.FAIL
    assert command(verdict) == "sudo sysctl -w net.ipv4.tcp_syncookies=1"
    assert undo(verdict) == "sudo sysctl -w net.ipv4.tcp_syncookies=0"


def test_cookies_that_are_always_sent() -> None:
    verdict = judged("H-13", host(COOKIES, sysctls={"net.ipv4.tcp_syncookies": "2"}))
    assert (verdict.severity, verdict.remedy) == (Severity.OK, None)
    hidden = judged("H-13", host(COOKIES, sysctls={"net.ipv4.tcp_syncookies": None}))
    assert hidden.severity is Severity.WARN


def test_a_kernel_without_cookies() -> None:
    assert judged("H-13", without("TcpExtSyncookiesSent")).severity is Severity.SKIP
