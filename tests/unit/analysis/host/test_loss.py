"""Checks of retransmissions, aborted and rejected segments: every answer that they give."""

from __future__ import annotations

import pytest

from tcptool.catalog.severity import Severity
from tests.unit.analysis.host.hosts import command, host, judged, seen, sock, without

SENT = {"TcpOutSegs": 100_000}


@pytest.mark.parametrize(
    ("again", "severity"),
    [
        (0, Severity.OK),
        (99, Severity.OK),
        (100, Severity.INFO),
        (1000, Severity.INFO),
        (1001, Severity.WARN),
        (3000, Severity.WARN),
        (3001, Severity.FAIL),
    ],
)
def test_share_of_retransmissions(again: int, severity: Severity) -> None:
    verdict = judged("H-01", host({**SENT, "TcpRetransSegs": again}))
    assert verdict.severity is severity
    assert f"{again} in 5 s" in seen(verdict)


def test_too_few_segments_are_not_judged() -> None:
    verdict = judged("H-01", host({"TcpOutSegs": 999, "TcpRetransSegs": 500}))
    assert verdict.severity is Severity.SKIP
    assert "999 segments sent in 5 s" in verdict.summary
    assert "1 segment sent" in judged("H-01", host({"TcpOutSegs": 1})).summary
    assert judged("H-01", host({"TcpOutSegs": 1000})).severity is Severity.OK


def test_a_total_since_boot_is_context_only() -> None:
    verdict = judged("H-01", host(SENT, {"TcpRetransSegs": 10**9}))
    assert verdict.severity is Severity.OK
    assert "1000000000 in all, 0 in 5 s" in seen(verdict)


def test_the_worst_sockets_are_named_with_their_holders() -> None:
    sockets = tuple(
        sock(local_port=port, retrans_bytes=port, sent_bytes=100_000, inode=port)
        for port in (10, 20, 30, 40)
    )
    state = host(
        {**SENT, "TcpRetransSegs": 9000},
        sockets=(*sockets, sock(retrans_bytes=0)),
        holders={40: ("42:7", "nginx")},
    )
    verdict = judged("H-01", state)
    worst = [one for one in verdict.evidence if "sent again" in one.value]
    assert [one.value for one in worst] == [f"{n} of 100000 bytes sent again" for n in (40, 30, 20)]
    assert worst[0].where == "192.0.2.1:40 - 198.51.100.7:443 (nginx 42:7)"
    assert command(verdict) == "tcptool list --sort retrans --limit 10"
    unseen = host({**SENT, "TcpRetransSegs": 9000}, sockets=sockets, lacks={"sockets": "refused"})
    assert "sent again" not in seen(judged("H-01", unseen))


@pytest.mark.parametrize(
    ("timeouts", "again", "severity"),
    [
        (0, 0, Severity.OK),
        (19, 19, Severity.OK),  # too few to be a share
        (20, 20, Severity.WARN),
        (20, 100, Severity.OK),
        (21, 100, Severity.WARN),
    ],
)
def test_timeouts(timeouts: int, again: int, severity: Severity) -> None:
    verdict = judged("H-02", host({"TcpExtTCPTimeouts": timeouts, "TcpRetransSegs": again}))
    assert verdict.severity is severity


def test_unanswered_connection_requests_are_no_loss_of_data() -> None:
    grown = {**SENT, "TcpRetransSegs": 5000, "TcpExtTCPTimeouts": 4990, "TcpExtTCPSynRetrans": 5000}
    assert judged("H-01", host(grown)).severity is Severity.OK
    verdict = judged("H-02", host(grown))
    assert verdict.severity is Severity.OK
    assert verdict.summary == "0 timeouts among 0 retransmissions of data"


@pytest.mark.parametrize(
    ("twice", "again", "severity"),
    [
        (19, 19, Severity.OK),
        (20, 20, Severity.INFO),
        (30, 100, Severity.OK),
        (31, 100, Severity.INFO),
    ],
)
def test_needless_retransmissions(twice: int, again: int, severity: Severity) -> None:
    verdict = judged("H-03", host({"TcpExtTCPDSACKRecv": twice, "TcpRetransSegs": again}))
    assert verdict.severity is severity


@pytest.mark.parametrize(
    ("again", "failed", "begun", "severity"),
    [
        (0, 50, 100, Severity.OK),
        (3, 1, 100, Severity.INFO),
        (3, 2, 100, Severity.WARN),
        (3, 5, 0, Severity.INFO),  # SYNs of others that were reset fail too
        (3, 0, 0, Severity.INFO),
    ],
)
def test_connects_without_an_answer(
    again: int, failed: int, begun: int, severity: Severity
) -> None:
    grown = {
        "TcpExtTCPSynRetrans": again, "TcpAttemptFails": failed, "TcpActiveOpens": begun
    }  # fmt: skip
    verdict = judged("H-04", host(grown, sockets=(sock(state="syn-sent"),)))
    assert verdict.severity is severity
    if again:
        assert command(verdict) == "tcptool list state syn-sent"


def test_a_scan_of_this_host_is_no_connect_of_ours() -> None:
    scan = {"TcpExtTCPSynRetrans": 30, "TcpAttemptFails": 20}
    verdict = judged("H-04", host(scan))
    assert verdict.severity is Severity.INFO
    assert verdict.summary == "30 answers to connection requests sent again"
    assert judged("H-04", host(scan, lacks={"sockets": "refused"})).severity is Severity.INFO
    # Some were begun here, and none waits any more.
    assert judged("H-04", host({**scan, "TcpActiveOpens": 5})).severity is Severity.INFO


@pytest.mark.parametrize(
    ("reasons", "severity", "text"),
    [
        ((), Severity.OK, "no connection was aborted"),
        (("Close", "Data"), Severity.INFO, "5 reset by data after close(), 5 closed with data"),
        (("Linger",), Severity.INFO, "5 ended by TCP_LINGER2"),
        (("Close", "Timeout"), Severity.WARN, "5 given up without an answer"),
        (("Timeout", "Memory"), Severity.FAIL, "5 reset for want of memory, 5 given up"),
    ],
)
def test_aborted_connections(reasons: tuple[str, ...], severity: Severity, text: str) -> None:
    verdict = judged("H-05", host({f"TcpExtTCPAbortOn{reason}": 5 for reason in reasons}))
    assert verdict.severity is severity
    assert text in verdict.summary
    assert (verdict.myths == ("keepalive",)) == (severity is Severity.WARN)


def test_fast_open() -> None:
    assert judged("H-27", host()).severity is Severity.OK
    verdict = judged("H-27", host({"TcpExtTCPFastOpenBlackhole": 1}))
    assert (verdict.severity, verdict.summary) == (Severity.INFO, "1 Fast Open attempt failed")


@pytest.mark.parametrize(
    ("grown", "severity", "text"),
    [
        ({}, Severity.OK, "nothing was rejected"),
        ({"TcpExtTCPChallengeACK": 300}, Severity.INFO, "answered with a challenge: 300"),
        ({"TcpExtTCPChallengeACK": 9, "IpReasmFails": 9}, Severity.INFO, "without the rest: 9"),
        ({"TcpExtPAWSEstab": 9, "IpReasmFails": 1}, Severity.WARN, "with an old timestamp: 9"),
        ({"TcpExtPAWSTimewait": 10}, Severity.WARN, "requests with an old timestamp: 10"),
        ({"TcpInSegs": 100, "TcpExtPAWSEstab": 1}, Severity.INFO, "with an old timestamp: 1"),
        ({"TcpInSegs": 999, "TcpExtPAWSEstab": 4}, Severity.INFO, "with an old timestamp: 4"),
        ({"TcpInSegs": 999, "TcpExtPAWSEstab": 5}, Severity.WARN, "with an old timestamp: 5"),
        ({"TcpInSegs": 1000, "TcpExtPAWSEstab": 1}, Severity.WARN, "with an old timestamp: 1"),
        ({"IpInDiscards": 1}, Severity.WARN, "dropped for want of memory: 1"),
    ],
)
def test_rejected_segments(grown: dict[str, int], severity: Severity, text: str) -> None:
    verdict = judged("H-33", host({"TcpInSegs": 10_000, **grown}))
    assert verdict.severity is severity
    assert text in verdict.summary


@pytest.mark.parametrize(
    ("lost", "opened", "severity"),
    [
        (5, 0, Severity.WARN),
        (5, 499, Severity.WARN),
        (5, 500, Severity.INFO),
        (5, 1000, Severity.INFO),
        (4, 0, Severity.INFO),
    ],
)
def test_a_few_peers_vanish_on_every_host(lost: int, opened: int, severity: Severity) -> None:
    grown = {"TcpExtTCPAbortOnTimeout": lost, "TcpActiveOpens": opened // 2}
    grown["TcpPassiveOpens"] = opened - grown["TcpActiveOpens"]
    assert judged("H-05", host(grown)).severity is severity


@pytest.mark.parametrize(
    ("check", "counter"),
    [
        ("H-01", "TcpRetransSegs"),
        ("H-02", "TcpExtTCPTimeouts"),
        ("H-03", "TcpExtTCPDSACKRecv"),
        ("H-04", "TcpExtTCPSynRetrans"),
    ],
)
def test_a_kernel_without_the_counter(check: str, counter: str) -> None:
    verdict = judged(check, without(counter))
    assert (verdict.severity, verdict.summary) == (Severity.SKIP, f"no counter {counter}")


@pytest.mark.parametrize("check", ["H-01", "H-02", "H-05", "H-27", "H-33"])
def test_nothing_of_proc_net_can_be_read(check: str) -> None:
    lacks = {"/proc/net/snmp": "Permission denied", "/proc/net/netstat": "Permission denied"}
    state = host(before={"counters": {}}, after={"counters": {}}, lacks=lacks)
    verdict = judged(check, state)
    assert (verdict.severity, verdict.summary) == (Severity.SKIP, "Permission denied")


def test_a_counter_that_went_back() -> None:
    state = host({"TcpRetransSegs": -5}, {"TcpRetransSegs": 9})
    verdict = judged("H-01", state)
    assert verdict.severity is Severity.SKIP
    assert verdict.summary == "TcpRetransSegs went back from 9 to 4"
