"""What a path needs, and whether the limits of a host are enough for it."""

from __future__ import annotations

import pytest

from tcptool.analysis.host.facts import Facts, Lacks, Verdict
from tcptool.analysis.host.path import ANSWERS, judge_path, path_needs
from tcptool.catalog.severity import Severity
from tcptool.model.doctor import PathNeeds
from tcptool.model.host import HostState
from tests.unit.analysis.host.hosts import command, host, undo

GBIT = 125_000_000


def ask(state: HostState, rate: int = GBIT, rtt_us: int = 80_000) -> tuple[PathNeeds, Verdict]:
    facts = Facts(state)
    needs = path_needs(facts, rate, rtt_us)
    assert {needs.receive.answer, needs.send.answer} <= set(ANSWERS)
    try:
        return needs, judge_path(facts, needs)
    except Lacks as lack:
        return needs, Verdict(Severity.SKIP, str(lack))


def test_a_gigabit_over_80_ms() -> None:
    needs, verdict = ask(host())
    assert needs.bdp_bytes == 10_000_000
    assert (needs.receive.needed_bytes, needs.receive.answer) == (40_000_000, "just-enough")
    assert needs.receive.allows_bytes_per_s == (32 << 20) / 2 / 0.08
    assert needs.send.answer == "too-small"
    assert needs.send.allows_bytes_per_s == pytest.approx((4 << 20) * 1448 / 2304 / 0.08)
    assert verdict.summary == "net.ipv4.tcp_wmem[2] is 4 MiB, which allows 264 Mbit/s"
    assert (needs.window_scale, needs.needed_window_scale) == (10, 10)
    assert needs.packets_between_losses == 97_334_499
    assert needs.connections_to_pressure == 29_888 * 4096 // 40_000_000
    assert verdict.severity is Severity.WARN
    # Only the limit that is too small.
    wanted = needs.send.needed_bytes
    assert command(verdict) == f"sudo sysctl -w net.ipv4.tcp_wmem='4096 16384 {wanted}'"
    assert undo(verdict) == "sudo sysctl -w net.ipv4.tcp_wmem='4096 16384 4194304'"


def test_both_are_too_small() -> None:
    small = {"net.ipv4.tcp_rmem": "4096 131072 6291456"}
    needs, verdict = ask(host(sysctls=small))
    assert needs.receive.answer == "too-small"
    assert (needs.window_scale, needs.needed_window_scale) == (7, 10)
    assert command(verdict).count("net.ipv4.tcp_") == 2


def test_enough_is_left_alone() -> None:
    needs, verdict = ask(host(), rate=GBIT // 100)
    assert (needs.receive.answer, needs.send.answer) == ("enough", "enough")
    assert (verdict.severity, verdict.remedy) == (Severity.OK, None)


def test_just_enough_is_left_alone_too() -> None:
    needs, verdict = ask(host(), rate=GBIT // 5)
    assert (needs.receive.answer, needs.send.answer) == ("enough", "just-enough")
    assert verdict.severity is Severity.INFO
    assert verdict.remedy is not None
    assert verdict.remedy.command is None


@pytest.mark.parametrize(
    ("limit", "answer"),
    [
        (40_000_000, "enough"),
        (39_999_999, "just-enough"),
        (20_000_000, "just-enough"),  # half of it is what the path holds
        (19_999_999, "too-small"),
    ],
)
def test_edges(limit: int, answer: str) -> None:
    needs, _ = ask(host(sysctls={"net.ipv4.tcp_rmem": f"4096 131072 {limit}"}))
    assert needs.receive.answer == answer


def test_bbr_wants_a_larger_send_buffer() -> None:
    bbr, _ = ask(host(sysctls={"net.ipv4.tcp_congestion_control": "bbr"}))
    cubic, _ = ask(host())
    assert bbr.send.needed_bytes == pytest.approx(1.5 * cubic.send.needed_bytes, rel=1e-6)


def test_a_large_rmem_max_makes_the_scale_larger() -> None:
    large = {"net.core.rmem_max": str(1 << 30), "net.ipv4.tcp_rmem": "4096 131072 6291456"}
    assert ask(host(sysctls=large))[0].window_scale == 14
    assert ask(host(sysctls={"net.core.rmem_max": None}))[0].window_scale == 10


def test_a_window_of_64_kib_without_scaling_is_not_forgotten() -> None:
    tiny = {"net.ipv4.tcp_rmem": "4096 16384 32768", "net.core.rmem_max": "32768"}
    needs, _ = ask(host(sysctls=tiny))
    assert needs.window_scale == 0
    assert needs.receive.allows_bytes_per_s == 16_384 / 0.08


def test_no_limit_is_proposed_that_the_kernel_cannot_hold() -> None:
    # 750 MB on the way: four times that is more than an int.
    needs, verdict = ask(host(), rate=5 * 10**9, rtt_us=150_000)
    assert needs.receive.needed_bytes == needs.send.needed_bytes == (1 << 31) - 1
    assert command(verdict).count("2147483647'") == 2
    assert needs.needed_window_scale == 14


def test_a_path_that_no_window_fills_wants_several_connections() -> None:
    _, verdict = ask(host(), rate=12_500_000_000, rtt_us=200_000)
    assert verdict.severity is Severity.WARN
    assert verdict.remedy is not None
    assert verdict.remedy.command is None
    assert "among 3 connections or more" in verdict.remedy.advice


def test_limits_that_cannot_be_read() -> None:
    hidden = {"net.ipv4.tcp_rmem": None, "net.ipv4.tcp_mem": None}
    needs, verdict = ask(host(sysctls=hidden))
    assert (needs.receive.answer, needs.receive.present_bytes) == ("unknown", None)
    assert (needs.window_scale, needs.connections_to_pressure) == (None, None)
    assert verdict.severity is Severity.WARN  # the other one is too small
    nothing = hidden | {"net.ipv4.tcp_wmem": None, "net.ipv4.tcp_congestion_control": None}
    needs, verdict = ask(host(sysctls=nothing))
    assert needs.congestion_control is None
    assert verdict.severity is Severity.SKIP
