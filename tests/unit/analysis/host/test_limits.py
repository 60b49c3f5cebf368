"""Checks of what runs out: every answer that they give."""

from __future__ import annotations

from typing import Any

import pytest

from tcptool.catalog.severity import Severity
from tcptool.model.host import HostSocket, OpenFiles
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

# -- H-16 ----------------------------------------------------------------------------------

NARROW = {"net.ipv4.ip_local_port_range": "40000 40019"}


def connections(number: int, **fields: Any) -> tuple[HostSocket, ...]:
    return tuple(sock(local_port=40_000 + n, **fields) for n in range(number))


@pytest.mark.parametrize(
    ("number", "severity"),
    [(14, Severity.OK), (15, Severity.WARN), (18, Severity.WARN), (19, Severity.FAIL)],
)
def test_ports_in_use(number: int, severity: Severity) -> None:
    verdict = judged("H-16", host(sysctls=NARROW, sockets=connections(number)))
    assert verdict.severity is severity
    assert f"192.0.2.1 - 198.51.100.7:443: {number} of 20 local ports in use" in seen(verdict)
    if severity is not Severity.OK:
        assert command(verdict) == "sudo sysctl -w net.ipv4.ip_local_port_range='32768 60999'"
        assert undo(verdict) == "sudo sysctl -w net.ipv4.ip_local_port_range='40000 40019'"
        assert verdict.remedy is not None
        assert "0.333 connections a second" in verdict.remedy.advice


@pytest.mark.parametrize(
    ("text", "wide"), [("32768 60999", True), ("32769 60999", False), ("20000 60999", True)]
)
def test_a_range_that_was_narrowed_gets_the_usual_one_first(text: str, wide: bool) -> None:
    low, high = map(int, text.split())
    taken = tuple(sock(local_port=port) for port in range(low, high + 1))
    sysctls = {"net.ipv4.ip_local_port_range": text}
    run = command(judged("H-16", host(sysctls=sysctls, sockets=taken)))
    assert run.endswith("='10240 65535'" if wide else "='32768 60999'")


def test_the_usual_range_is_widened() -> None:
    usual = {"net.ipv4.ip_local_port_range": "32768 60999"}
    taken = tuple(sock(local_port=port) for port in range(32_768, 60_000))
    verdict = judged("H-16", host(sysctls=usual, sockets=taken))
    assert command(verdict).endswith("='10240 65535'")
    assert verdict.remedy is not None
    assert "471 connections a second" in verdict.remedy.advice


@pytest.mark.parametrize(
    ("present", "proposed"),
    [
        ("1024 65535", None),
        ("1024 60999", "1024 65535"),
        ("20000 65535", "10240 65535"),
        ("61000 61019", "32768 61019"),
    ],
)
def test_a_range_never_shrinks(present: str, proposed: str | None) -> None:
    low, high = map(int, present.split())
    taken = tuple(sock(local_port=port) for port in range(low, high + 1))
    state = host(sysctls={"net.ipv4.ip_local_port_range": present}, sockets=taken)
    verdict = judged("H-16", state)
    assert verdict.severity is Severity.FAIL
    assert verdict.remedy is not None
    run = verdict.remedy.command
    assert run == (proposed and f"sudo sysctl -w net.ipv4.ip_local_port_range='{proposed}'")


@pytest.mark.parametrize(
    ("reuse", "peer", "counts"),
    [
        ("0", "198.51.100.7", True),
        ("0", "127.0.0.1", True),
        ("1", "198.51.100.7", False),
        ("2", "198.51.100.7", True),
        ("2", "127.0.0.1", False),
        ("2", "::ffff:127.0.0.1", False),
        ("2", "::1", False),
        ("2", "192.0.2.1", True),  # our own address is no loopback address to the kernel
        (None, "127.0.0.1", True),
    ],
)
def test_time_wait_counts_where_its_port_may_not_be_reused(
    reuse: str | None, peer: str, counts: bool
) -> None:
    state = host(
        sysctls={**NARROW, "net.ipv4.tcp_tw_reuse": reuse},
        sockets=connections(20, state="time-wait", peer_address=peer),
    )
    verdict = judged("H-16", state)
    assert verdict.severity is (Severity.FAIL if counts else Severity.OK)


def test_what_is_no_port_of_ours() -> None:
    sockets = (*connections(20), listener(local_port=40_003))
    reserved = {"net.ipv4.ip_local_reserved_ports": "40000-40001"}
    verdict = judged("H-16", host(sysctls={**NARROW, **reserved}, sockets=sockets))
    # 20 in the range, without two that are reserved and the one that a server listens on.
    assert "17 of 18 local ports in use" in seen(verdict)
    outside = (sock(local_port=5000),)
    verdict = judged("H-16", host(sysctls=NARROW, sockets=outside))
    assert verdict.summary == "no port of the range is in use"


def test_destinations_are_counted_apart() -> None:
    sockets = (*connections(10), *connections(10, peer_port=80))
    assert judged("H-16", host(sysctls=NARROW, sockets=sockets)).severity is Severity.OK


@pytest.mark.parametrize("reserved", [None, "40000-x", "nonsense"])
def test_reserved_ports_that_cannot_be_read(reserved: str | None) -> None:
    state = host(
        sysctls={**NARROW, "net.ipv4.ip_local_reserved_ports": reserved}, sockets=connections(15)
    )
    assert "of 20 local ports" in seen(judged("H-16", state))


@pytest.mark.parametrize("text", [None, "", "a b", "5 4"])
def test_a_range_that_is_none(text: str | None) -> None:
    state = host(sysctls={"net.ipv4.ip_local_port_range": text}, sockets=connections(3))
    assert judged("H-16", state).severity is Severity.SKIP


# -- H-17 ----------------------------------------------------------------------------------


def test_time_wait_is_harmless() -> None:
    verdict = judged("H-17", host())
    assert verdict.severity is Severity.OK
    assert verdict.summary == "5 in TIME_WAIT, which is harmless"


def test_too_many_in_time_wait() -> None:
    grown = {"TcpExtTCPTimeWaitOverflow": 2}
    verdict = judged("H-17", host(grown))
    assert verdict.severity is Severity.WARN
    assert command(verdict) == "sudo sysctl -w net.ipv4.tcp_max_tw_buckets=32768"
    hidden = judged("H-17", host(grown, sysctls={"net.ipv4.tcp_max_tw_buckets": None}))
    assert hidden.remedy is not None
    assert hidden.remedy.command is None
    assert judged("H-17", host(None, grown)).severity is Severity.INFO


def test_a_sockstat_without_time_wait() -> None:
    verdict = judged("H-17", host(after={"sockstat": {}}))
    assert (verdict.severity, verdict.summary) == (Severity.SKIP, "no TCP tw")


# -- H-18 ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "run"),
    [
        (OpenFiles(7, "nginx", 800, 1000, 4000), "sudo prlimit --pid 7 --nofile=2000:4000"),
        (OpenFiles(7, "nginx", 800, 1000, 1500), "sudo prlimit --pid 7 --nofile=1500:1500"),
        (OpenFiles(7, "nginx", 800, 1000, 1000), "sudo prlimit --pid 7 --nofile=2000:2000"),
        (OpenFiles(7, "nginx", 800, 1000, None), "sudo prlimit --pid 7 --nofile=2000:1048576"),
    ],
)
def test_a_process_near_its_limit(files: OpenFiles, run: str) -> None:
    verdict = judged("H-18", host(files=(OpenFiles(1, "init", 5, 1000, 1000), files)))
    assert verdict.severity is Severity.WARN
    assert verdict.summary == "nginx (7) has 800 of 1000 descriptors open"
    assert "init" not in seen(verdict)
    assert command(verdict) == run
    hard = files.hard_limit or 1_048_576  # more than fs.nr_open is refused
    assert undo(verdict) == f"sudo prlimit --pid 7 --nofile=1000:{hard}"


@pytest.mark.parametrize(
    ("most", "run"),
    [
        ("1500", "sudo prlimit --pid 7 --nofile=1500:1500"),
        ("1000", None),
        (None, "sudo prlimit --pid 7 --nofile=2000:2000"),
    ],
)
def test_no_limit_above_that_of_the_kernel(most: str | None, run: str | None) -> None:
    files = (OpenFiles(7, "nginx", 800, 1000, 1000),)
    verdict = judged("H-18", host(files=files, sysctls={"fs.nr_open": most}))
    assert verdict.remedy is not None
    assert verdict.remedy.command == run
    assert (run is None) == ("fs.nr_open" in verdict.remedy.advice)


def test_processes_with_room() -> None:
    files = (OpenFiles(7, "nginx", 799, 1000, 1000), OpenFiles(8, "sink", 9, None, None))
    verdict = judged("H-18", host(files=files))
    assert verdict.severity is Severity.OK
    assert "/proc/7/fd (nginx): 799 open, limit 1000" in seen(verdict)
    assert "sink" not in seen(verdict)


def test_open_files_of_the_host() -> None:
    verdict = judged("H-18", host(sysctls={"fs.file-nr": "80000 0 100000"}))
    assert verdict.severity is Severity.WARN
    assert verdict.summary == "80 % of the host's open files are in use"


def test_processes_that_may_not_be_looked_into() -> None:
    assert judged("H-18", host()).severity is Severity.OK  # the host's own number is there
    state = host(sysctls={"fs.file-nr": None}, lacks={"processes": "Permission denied"})
    assert judged("H-18", state).summary == "Permission denied"
    files = (OpenFiles(7, "nginx", 1, 1000, 1000),)
    assert judged("H-18", host(sysctls={"fs.file-nr": None}, files=files)).severity is Severity.OK


# -- H-19 ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("used", "severity"),
    [(799, Severity.OK), (800, Severity.WARN), (949, Severity.WARN), (950, Severity.FAIL)],
)
def test_tracked_connections(used: int, severity: Severity) -> None:
    verdict = judged("H-19", host(sysctls={"net.netfilter.nf_conntrack_count": str(used)}))
    assert verdict.severity is severity
    if severity is not Severity.OK:
        assert command(verdict) == "sudo sysctl -w net.netfilter.nf_conntrack_max=2000"


def test_the_table_is_the_whole_host_s() -> None:
    state = host(sysctls={"net.netfilter.nf_conntrack_count": "900"}, netns="blue")
    verdict = judged("H-19", state)
    assert command(verdict) == "sudo sysctl -w net.netfilter.nf_conntrack_max=2000"
    assert verdict.remedy is not None
    assert "nf_conntrack_buckets" in verdict.remedy.advice


def test_no_tracking() -> None:
    verdict = judged("H-19", host(sysctls={"net.netfilter.nf_conntrack_count": None}))
    assert verdict.severity is Severity.SKIP
    assert "nf_conntrack is not loaded" in verdict.summary


# -- H-20 ----------------------------------------------------------------------------------


def waiting(number: int, age_ms: int | None) -> tuple[HostSocket, ...]:
    return tuple(
        sock(state="close-wait", inode=n + 1, last_ack_recv_ms=age_ms) for n in range(number)
    )


@pytest.mark.parametrize(
    ("number", "age_ms", "severity"),
    [
        (0, None, Severity.OK),
        (10, 90_000, Severity.OK),
        (11, 59_999, Severity.INFO),
        (11, None, Severity.INFO),
        (11, 60_000, Severity.WARN),
    ],
)
def test_close_wait(number: int, age_ms: int | None, severity: Severity) -> None:
    holders = dict.fromkeys(range(1, number + 1), ("9:3", "leaky"))
    verdict = judged("H-20", host(sockets=waiting(number, age_ms), holders=holders))
    assert verdict.severity is severity
    if number:
        assert f"leaky (9): {number} in close-wait" in seen(verdict)
    if severity is Severity.WARN:
        assert verdict.summary.endswith("for more than 60 s, up to 1 min")


def test_orphans() -> None:
    state = host(after={"sockstat": {"TCP orphan": 12_288}})
    verdict = judged("H-20", state)
    assert verdict.severity is Severity.WARN
    assert verdict.summary == "12288 of 16384 connections without a process"
    assert "/proc/net/sockstat TCP orphan: 12288 of 16384" in seen(verdict)
    verdict = judged("H-20", host(sysctls={"net.ipv4.tcp_max_orphans": None}))
    assert verdict.summary == "0 in CLOSE_WAIT, an unknown number of orphans"
    assert "orphan" not in seen(verdict)


def test_a_kernel_without_the_counter() -> None:
    assert judged("H-17", without("TcpExtTCPTimeWaitOverflow")).severity is Severity.SKIP
