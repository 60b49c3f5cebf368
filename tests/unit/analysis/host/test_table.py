"""The table of checks: complete, in order, and safe on hosts that tell little."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from tcptool.analysis.host.facts import Facts
from tcptool.analysis.host.table import CHECKS, examine, finding, worst, worst_first
from tcptool.catalog.counters import COUNTERS
from tcptool.catalog.host_checks import HOST_CHECKS, Aspect, Layer
from tcptool.catalog.myths import MYTHS
from tcptool.catalog.severity import Severity
from tcptool.catalog.sysctls import SYSCTLS, path_of
from tests.unit.analysis.host.hosts import HOST, READING, host, judged, listener, sock

EMPTY = replace(
    HOST,
    before=replace(READING, counters={}, sockstat={}, softnet=(), cpus=(), links=(), qdiscs=()),
    after=replace(READING, counters={}, sockstat={}, softnet=(), cpus=(), links=(), qdiscs=()),
    sysctls={},
    processes=frozenset(),
    default_links=frozenset(),
    memory_bytes=None,
    lacks={"sockets": "refused"},
)


def test_every_check_has_its_facts_and_its_function() -> None:
    assert list(CHECKS) == list(HOST_CHECKS) == sorted(CHECKS)
    assert len(set(CHECKS.values())) == len(CHECKS)


@pytest.mark.parametrize("check", HOST_CHECKS.values(), ids=lambda one: one.id)
def test_a_check_says_what_it_is_about(check: object) -> None:
    about = HOST_CHECKS[getattr(check, "id")]  # noqa: B009
    assert re.fullmatch(r"H-\d\d", about.id)
    assert about.title
    assert about.source
    assert about.why.endswith(".")
    assert about.rule
    assert not about.rule.endswith(".")
    assert about.layer in Layer
    assert about.aspect in Aspect


@pytest.mark.parametrize("check", CHECKS)
def test_the_function_says_which_check_it_is(check: str) -> None:
    assert (CHECKS[check].__doc__ or "").startswith(f"{check}: ")


@pytest.mark.parametrize("check", CHECKS)
def test_a_healthy_host_is_not_ill(check: str) -> None:
    assert judged(check, HOST).severity in (Severity.OK, Severity.SKIP)


@pytest.mark.parametrize("check", CHECKS)
def test_a_host_that_tells_nothing_is_not_judged(check: str) -> None:
    verdict = judged(check, EMPTY)
    assert verdict.severity is Severity.SKIP
    assert verdict.summary


@pytest.mark.parametrize("check", ["H-09", "H-11", "H-15", "H-22", "H-23", "H-24", "H-25", "H-35"])
def test_without_tcp_info_connections_are_not_judged(check: str) -> None:
    verdict = judged(check, host(lacks={"tcp_info": "no sock_diag"}))
    assert (verdict.severity, verdict.summary) == (Severity.SKIP, "no tcp_info: no sock_diag")


def test_a_counter_that_is_new_or_gone_cannot_be_compared() -> None:
    left = {name: 0 for name in READING.counters if name != "TcpExtTCPTimeouts"}
    for part in ("before", "after"):
        readings: dict[str, Any] = {part: {"counters": left}}
        verdict = judged("H-02", host(**readings))
        assert (verdict.severity, verdict.summary) == (
            Severity.SKIP,
            "no counter TcpExtTCPTimeouts",
        )


def test_the_order() -> None:
    state = host(
        {"TcpExtTCPRcvCollapsed": 1, "TcpExtListenOverflows": 1, "TcpExtListenDrops": 1},
        sysctls={"net.ipv4.tcp_sack": "0", "net.ipv4.tcp_fin_timeout": "5"},
        sockets=(listener(accept_queue=2, backlog=1),),
    )
    found = examine(state)
    assert [(f.layer, f.id, f.severity) for f in found][:3] == [
        ("listener", "H-12", "fail"),
        ("listener", "H-13", "ok"),
        ("settings", "H-21", "fail"),
    ]
    assert next(f.layer for f in found if f.severity == "warn") == "memory"
    assert worst(found) is Severity.FAIL
    layers = [f.layer for f in found]
    assert all(layers.index(f.layer) + layers.count(f.layer) > n for n, f in enumerate(found))
    assert worst(()) is Severity.SKIP
    assert worst_first(()) == ()


def test_a_finding_has_the_facts_of_its_check_and_the_myths_of_its_verdict() -> None:
    verdict = judged("H-32", host(sysctls={"net.ipv4.tcp_fin_timeout": "5"}))
    made = finding("H-32", verdict)
    assert made.title == HOST_CHECKS["H-32"].title
    assert [myth.id for myth in made.myths] == ["fin-timeout"]


@pytest.mark.parametrize("myth", MYTHS.values(), ids=lambda one: one.id)
def test_a_myth_is_answered_with_a_source(myth: object) -> None:
    one = MYTHS[getattr(myth, "id")]  # noqa: B009
    assert one.claim
    assert one.answer
    assert one.source
    assert not one.answer.endswith(".")


@pytest.mark.parametrize("name", COUNTERS)
def test_a_counter_says_where_it_stands(name: str) -> None:
    counter = COUNTERS[name]
    file, line, key = counter.place.split()
    assert file == ("/proc/net/netstat" if line == "TcpExt" else "/proc/net/snmp")
    assert line + key == name
    assert counter.doc


@pytest.mark.parametrize("name", SYSCTLS)
def test_a_sysctl_is_described(name: str) -> None:
    sysctl = SYSCTLS[name]
    assert sysctl.name == name
    assert sysctl.doc
    assert sysctl.source
    assert path_of(name).startswith("sys/")


@pytest.mark.parametrize(
    ("state", "name"),
    [
        (sock(), "192.0.2.1:40000 - 198.51.100.7:443"),
        (sock(inode=3), "192.0.2.1:40000 - 198.51.100.7:443 (nginx 42:7)"),
        (listener(local_address="::", peer_address="::"), "[::]:443"),
    ],
)
def test_names_of_sockets(state: object, name: str) -> None:
    facts = Facts(host(holders={3: ("42:7", "nginx")}))
    assert facts.name(state) == name  # type: ignore[arg-type]


def test_a_setting_that_is_no_number_or_not_there() -> None:
    state = host(sysctls={"net.ipv4.tcp_mtu_probing": "on"})
    assert judged("H-23", state).summary == "net.ipv4.tcp_mtu_probing is 'on', not numbers"
    verdict = judged("H-23", host(sysctls={"net.ipv4.tcp_base_mss": None}))
    assert verdict.summary == "no net.ipv4.tcp_base_mss: it is not there"
    short = host(sysctls={"net.ipv4.tcp_rmem": "1 2"})
    assert judged("H-15", short).summary == "net.ipv4.tcp_rmem is '1 2': it has no number 3"
    lacks = {"/proc/sys/net/ipv4/tcp_mtu_probing": "Permission denied (EACCES)"}
    hidden = host(sysctls={"net.ipv4.tcp_mtu_probing": None}, lacks=lacks)
    assert judged("H-23", hidden).summary.endswith("Permission denied (EACCES)")
