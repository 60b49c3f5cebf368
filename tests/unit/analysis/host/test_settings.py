"""Checks of settings: every answer that they give."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from tcptool.catalog.severity import Severity
from tests.unit.analysis.host.hosts import (
    DEVICE,
    LOOPBACK,
    command,
    host,
    judged,
    seen,
    sock,
    undo,
)

# -- H-21 and H-32 -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("off", "severity", "myths"),
    [
        (("tcp_sack",), Severity.FAIL, ("sack-and-timestamps",)),
        (("tcp_window_scaling",), Severity.FAIL, ()),
        (("tcp_moderate_rcvbuf", "tcp_dsack"), Severity.FAIL, ()),
        (("tcp_timestamps",), Severity.WARN, ("sack-and-timestamps",)),
        (("tcp_dsack", "tcp_recovery", "tcp_frto"), Severity.WARN, ()),
    ],
)
def test_what_is_switched_off(
    off: tuple[str, ...], severity: Severity, myths: tuple[str, ...]
) -> None:
    verdict = judged("H-21", host(sysctls={f"net.ipv4.{name}": "0" for name in off}))
    assert (verdict.severity, verdict.myths) == (severity, myths)
    assert all(f"{name} is off" in verdict.summary for name in off)
    assert set(undo(verdict).split()[3:]) == {f"net.ipv4.{name}=0" for name in off}


@pytest.mark.parametrize(
    ("off", "whom"),
    [
        (("tcp_sack", "tcp_timestamps"), "Put the defaults back; new connections only."),
        (("tcp_moderate_rcvbuf", "tcp_recovery", "tcp_frto"), "Put the defaults back."),
        (("tcp_sack", "tcp_frto"), "Put the defaults back; new connections only (tcp_sack)."),
    ],
)
def test_which_connections_gain(off: tuple[str, ...], whom: str) -> None:
    remedy = judged("H-21", host(sysctls={f"net.ipv4.{name}": "0" for name in off})).remedy
    assert remedy is not None
    assert remedy.advice == whom


def test_defaults_are_put_back() -> None:
    state = host(sysctls={"net.ipv4.tcp_frto": "0", "net.ipv4.tcp_early_retrans": "0"})
    verdict = judged("H-21", state)
    assert command(verdict) == ("sudo sysctl -w net.ipv4.tcp_early_retrans=3 net.ipv4.tcp_frto=2")
    assert verdict.remedy is not None
    assert verdict.remedy.persistence is not None
    assert "grep -rsE 'tcp_early_retrans|tcp_frto' /etc/sysctl.conf" in verdict.remedy.persistence


@pytest.mark.parametrize(
    ("netns", "path"),
    [("blue", "/run/netns/blue"), ("42", "/proc/42/ns/net"), ("/some where", "'/some where'")],
)
def test_in_another_namespace(netns: str, path: str) -> None:
    verdict = judged("H-21", host(sysctls={"net.ipv4.tcp_sack": "0"}, netns=netns))
    assert command(verdict) == f"sudo nsenter --net={path} sysctl -w net.ipv4.tcp_sack=1"
    assert verdict.remedy is not None
    assert verdict.remedy.persistence is not None
    assert verdict.remedy.persistence.startswith("a network namespace forgets it")


def test_a_sysctl_of_the_host_needs_no_namespace() -> None:
    state = host(sysctls={"net.ipv4.tcp_low_latency": "1"}, netns="blue")
    verdict = judged("H-32", state)
    assert command(verdict) == "sudo sysctl -w net.ipv4.tcp_low_latency=0"


@pytest.mark.parametrize(
    ("sysctls", "severity", "myths"),
    [
        ({}, Severity.OK, ()),
        ({"tcp_tw_recycle": "1"}, Severity.WARN, ("tw-recycle",)),
        ({"tcp_abort_on_overflow": "1"}, Severity.WARN, ("abort-on-overflow",)),
        ({"tcp_tw_reuse": "1"}, Severity.INFO, ("tw-reuse",)),
        ({"tcp_tw_reuse": "0"}, Severity.OK, ()),
        ({"tcp_fin_timeout": "15"}, Severity.INFO, ("fin-timeout",)),
        ({"tcp_low_latency": "1", "tcp_fack": "1"}, Severity.INFO, ("no-effect",)),
    ],
)
def test_old_guides(sysctls: dict[str, str], severity: Severity, myths: tuple[str, ...]) -> None:
    verdict = judged("H-32", host(sysctls={f"net.ipv4.{k}": v for k, v in sysctls.items()}))
    assert (verdict.severity, verdict.myths) == (severity, myths)


@pytest.mark.parametrize("check", ["H-21", "H-32"])
def test_no_setting_can_be_read(check: str) -> None:
    state = replace(host(), sysctls={})
    assert judged(check, state).severity is Severity.SKIP
    lacks = {
        "/proc/sys/net/ipv4/tcp_sack": "Permission denied",
        "/proc/sys/net/ipv4/tcp_fin_timeout": "Permission denied",
    }
    assert judged(check, replace(state, lacks=lacks)).summary == "Permission denied"


# -- H-11 ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "severity"),
    [
        ({"sent_bytes": 1_000_000, "retrans_bytes": 10_000}, Severity.INFO),
        ({"sent_bytes": 1_000_000, "retrans_bytes": 9_999}, Severity.OK),
        ({"sent_bytes": 999_999, "retrans_bytes": 500_000}, Severity.OK),
        ({}, Severity.OK),
    ],
)
def test_lossy_paths(fields: dict[str, int], severity: Severity) -> None:
    verdict = judged("H-11", host(sockets=(sock(congestion="cubic", **fields),)))
    assert verdict.severity is severity
    if severity is Severity.INFO:
        assert command(verdict) == "sudo modprobe tcp_bbr"
        assert undo(verdict) == "sudo modprobe -r tcp_bbr"


def test_bbr_is_there() -> None:
    lossy = sock(congestion="cubic", sent_bytes=1_000_000, retrans_bytes=90_000)
    there = {"net.ipv4.tcp_available_congestion_control": "reno cubic bbr"}
    assert judged("H-11", host(sysctls=there, sockets=(lossy,))).severity is Severity.OK


# -- H-22 to H-26 --------------------------------------------------------------------------


def fallen(**fields: Any) -> Any:
    usual = {
        "congestion": "cubic",
        "snd_cwnd_packets": 10,
        "snd_ssthresh_packets": 60,
        "total_retrans_packets": 0,
        "acked_bytes": 5_000_000,
        "snd_mss_bytes": 1448,
        "min_rtt_us": 80_000,
    }
    return sock(**{**usual, **fields})


@pytest.mark.parametrize(
    ("fields", "severity"),
    [
        ({}, Severity.INFO),
        ({"snd_cwnd_packets": 30, "min_rtt_us": 20_000, "acked_bytes": 60 * 1448}, Severity.INFO),
        ({"snd_cwnd_packets": 31}, Severity.OK),
        ({"snd_cwnd_packets": None}, Severity.OK),
        ({"snd_ssthresh_packets": None}, Severity.OK),
        ({"snd_ssthresh_packets": math.inf}, Severity.OK),
        ({"total_retrans_packets": 1}, Severity.OK),
        ({"acked_bytes": 50_000}, Severity.OK),
        ({"acked_bytes": None}, Severity.OK),
        ({"min_rtt_us": 500}, Severity.OK),
        ({"congestion": "bbr"}, Severity.OK),
    ],
)
def test_windows_that_fell_back(fields: dict[str, Any], severity: Severity) -> None:
    verdict = judged("H-22", host(sockets=(fallen(**fields),)))
    assert verdict.severity is severity
    if severity is Severity.INFO:
        assert "segments, 60 before" in seen(verdict)
        assert command(verdict).endswith("net.ipv4.tcp_slow_start_after_idle=0")


def test_slow_start_after_idle_is_off() -> None:
    sysctls = {"net.ipv4.tcp_slow_start_after_idle": "0"}
    verdict = judged("H-22", host(sysctls=sysctls, sockets=(fallen(),)))
    assert verdict.severity is Severity.OK


JUMBO: dict[str, Any] = {"after": {"links": (LOOPBACK, replace(DEVICE, mtu_bytes=9000))}}


@pytest.mark.parametrize(
    ("probing", "mss", "pmtu", "severity"),
    [
        ("0", 1448, 1500, Severity.OK),
        ("1", 1448, 1500, Severity.OK),
        ("1", 1024, 1500, Severity.WARN),
        ("1", 1012, 1500, Severity.WARN),
        ("1", 1024, 1064, Severity.OK),
        ("1", 1024, None, Severity.OK),
        ("0", 1024, 1500, Severity.OK),
        ("2", 1024, 1500, Severity.OK),  # there every connection begins so
    ],
)
def test_black_holes(probing: str, mss: int, pmtu: int | None, severity: Severity) -> None:
    state = host(
        sysctls={"net.ipv4.tcp_mtu_probing": probing},
        sockets=(sock(snd_mss_bytes=mss, pmtu_bytes=pmtu),),
    )
    assert judged("H-23", state).severity is severity


def test_jumbo_frames() -> None:
    verdict = judged("H-23", host(**JUMBO))
    assert (verdict.severity, verdict.summary) == (Severity.INFO, "eth0 has an MTU of 9000")
    assert verdict.remedy is not None
    assert verdict.remedy.command is None  # nothing stalls
    probing = judged("H-23", host(sysctls={"net.ipv4.tcp_mtu_probing": "1"}, **JUMBO))
    assert probing.severity is Severity.OK
    elsewhere = judged("H-23", host(default_links=frozenset({"eth1"}), **JUMBO))
    assert elsewhere.severity is Severity.OK


@pytest.mark.parametrize(
    ("fields", "severity"),
    [
        ({"last_data_sent_ms": 351_000, "last_data_recv_ms": 400_000}, Severity.INFO),
        ({"last_data_sent_ms": 350_000, "last_data_recv_ms": 400_000}, Severity.OK),
        ({"last_data_sent_ms": 400_000, "last_data_recv_ms": 351_000}, Severity.INFO),
        ({"last_data_sent_ms": 351_000, "last_data_recv_ms": None}, Severity.OK),
        ({"last_data_sent_ms": None, "last_data_recv_ms": 351_000}, Severity.OK),
        (
            {"last_data_sent_ms": 400_000, "last_data_recv_ms": 400_000, "timer": "keepalive"},
            Severity.OK,
        ),
        (
            {
                "last_data_sent_ms": 400_000,
                "last_data_recv_ms": 400_000,
                "peer_address": "127.0.0.1",
            },
            Severity.OK,
        ),
    ],
)
def test_idle_connections(fields: dict[str, Any], severity: Severity) -> None:
    verdict = judged("H-25", host(sockets=(sock(**fields),)))
    assert verdict.severity is severity
    if severity is Severity.INFO:
        assert "idle for 5.85 min" in seen(verdict)
        assert command(verdict) == "tcptool profiles show rpc"


@pytest.mark.parametrize(
    ("value", "text"),
    [("0", "ECN is off"), ("1", "asked for"), ("2", "accepted when"), ("9", "ECN is 9")],
)
def test_congestion_marks(value: str, text: str) -> None:
    verdict = judged("H-26", host({"TcpExtTCPDeliveredCE": 3}, sysctls={"net.ipv4.tcp_ecn": value}))
    assert verdict.severity is Severity.OK
    assert text in verdict.summary
    assert "3 marks in 5 s" in verdict.summary


# -- H-35 and H-36 -------------------------------------------------------------------------


def test_what_the_kernel_tells() -> None:
    new = sock(rtt_us=1, busy_time_us=1, snd_wnd_bytes=1)
    old = sock(rtt_us=1)
    assert judged("H-35", host(sockets=(new, old))).severity is Severity.OK
    verdict = judged("H-35", host(sockets=(old,)))
    assert verdict.severity is Severity.INFO
    assert "what held a sender back (Linux 4.10)" in verdict.summary
    assert judged("H-35", host(sockets=(sock(),))).severity is Severity.SKIP


@pytest.mark.parametrize(
    ("names", "severity", "run"),
    [
        ({"systemd"}, Severity.OK, ""),
        ({"tuned", "bpftune"}, Severity.INFO, "tuned-adm active"),
        ({"bpftune"}, Severity.INFO, "journalctl -u bpftune"),
        (set(), Severity.SKIP, ""),
    ],
)
def test_programs_that_tune(names: set[str], severity: Severity, run: str) -> None:
    verdict = judged("H-36", host(processes=frozenset(names)))
    assert verdict.severity is severity
    if run:
        assert command(verdict) == run
