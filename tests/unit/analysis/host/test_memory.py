"""Checks of memory, buffers, queues and windows: every answer that they give."""

from __future__ import annotations

from typing import Any

import pytest

from tcptool.analysis import bdp
from tcptool.catalog.severity import Severity
from tcptool.model.host import HostSocket
from tests.unit.analysis.host.hosts import command, host, judged, seen, sock, undo, without

MIB = 1 << 20


def used(pages: int) -> dict[str, Any]:
    return {"after": {"sockstat": {"TCP mem": pages}}}


@pytest.mark.parametrize(
    ("pages", "severity"),
    [
        (100, Severity.OK),
        (22_415, Severity.OK),
        (22_416, Severity.WARN),
        (29_888, Severity.WARN),
        (29_889, Severity.FAIL),  # pressure that began before the first reading
    ],
)
def test_share_of_the_memory(pages: int, severity: Severity) -> None:
    verdict = judged("H-14", host(**used(pages)))
    assert verdict.severity is severity
    assert f"{pages} pages, pressure begins at 29888" in seen(verdict)


def test_who_holds_most() -> None:
    sockets = (
        sock(inode=1, rmem_alloc_bytes=5 * MIB, wmem_queued_bytes=MIB),
        sock(inode=2, rmem_alloc_bytes=MIB),
        sock(inode=3),
    )
    holders = {1: ("42:7", "nginx"), 2: ("43:3", "sshd"), 3: ("44:3", "idle")}
    state = host({"TcpExtTCPMemoryPressures": 1}, sockets=sockets, holders=holders)
    verdict = judged("H-14", state)
    assert verdict.severity is Severity.FAIL
    assert "nginx (42): sockets hold 6 MiB\nsshd (43): sockets hold 1 MiB" in seen(verdict)
    assert "idle" not in seen(verdict)
    assert "rmem_alloc" in command(verdict)
    unseen = host({"TcpExtTCPMemoryPressures": 1}, lacks={"sockets": "refused"})
    assert "sockets hold" not in seen(judged("H-14", unseen))
    stranger = host({"TcpExtPruneCalled": 1}, sockets=(sock(rmem_alloc_bytes=1),))
    assert "an unknown process: sockets hold 1 B" in seen(judged("H-14", stranger))


def test_squeezed_and_dropped_data() -> None:
    verdict = judged("H-14", host({"TcpExtTCPRcvCollapsed": 4, "TcpExtOfoPruned": 1}))
    assert verdict.severity is Severity.WARN
    assert verdict.summary == "segments squeezed together: 4, drops of out-of-order data: 1"


def test_pressure_of_the_past() -> None:
    verdict = judged("H-14", host(None, {"TcpExtTCPMemoryPressures": 3}))
    assert verdict.severity is Severity.INFO
    assert verdict.summary == "memory pressure 3 times in the past, none in 5 s"


def test_tcp_mem_in_bytes() -> None:
    state = host(sysctls={"net.ipv4.tcp_mem": "8388608 12582912 16777216"})
    verdict = judged("H-14", state)
    assert (verdict.severity, verdict.myths) == (Severity.INFO, ("tcp-mem-in-bytes",))
    assert verdict.summary == "tcp_mem allows 48 GiB, more than there is"
    exactly = host(sysctls={"net.ipv4.tcp_mem": f"1 {(8 << 30) // 4096} 16777216"})
    assert judged("H-14", exactly).severity is Severity.OK
    unknown = host(sysctls={"net.ipv4.tcp_mem": "1 12582912 16777216"}, memory_bytes=None)
    assert judged("H-14", unknown).severity is Severity.OK


def test_half_of_what_it_takes_is_not_judged() -> None:
    no_limit = host(sysctls={"net.ipv4.tcp_mem": "0 0 0"}, **used(100))
    assert judged("H-14", no_limit).summary == "no pressure, and no drop for want of memory"


def test_another_namespace_has_counters_only() -> None:
    verdict = judged("H-14", host(sysctls={"net.ipv4.tcp_mem": None}))
    assert (verdict.severity, verdict.summary) == (
        Severity.OK,
        "no pressure, and no drop for want of memory",
    )
    names = [n for n in host().before.counters if "Memory" in n]
    assert judged("H-14", without(*names)).severity is Severity.SKIP


# -- H-15 ----------------------------------------------------------------------------------


def receiver(**fields: Any) -> Any:
    usual = {"rcvbuf_bytes": 32 * MIB, "rcv_space_bytes": 16 * MIB}
    return sock(**{**usual, **fields})


def sender(**fields: Any) -> Any:
    usual = {
        "sndbuf_bytes": 4 * MIB,
        "limited_by": "send-buffer",
        "congestion": "cubic",
        "delivery_rate_bytes_per_s": 32_000_000,
        "min_rtt_us": 80_000,
    }
    return sock(**{**usual, **fields})


@pytest.mark.parametrize(
    ("one", "held_back"),
    [
        (receiver(), True),
        (receiver(rcvbuf_bytes=23 * MIB), False),  # it may still grow
        (receiver(rcvbuf_bytes=24 * MIB), True),
        (receiver(rcv_space_bytes=12 * MIB), True),
        (receiver(rcv_space_bytes=11 * MIB), False),  # it has room, only less to double
        (receiver(peer_address="127.0.0.1"), False),
        (receiver(peer_address="192.0.2.1"), False),  # our own address
        (receiver(rcv_space_bytes=None), False),
        (sender(), True),
        (sender(limited_by="network"), False),
        (sender(sndbuf_bytes=5 * MIB), False),  # above the limit: SO_SNDBUF
        (receiver(rcvbuf_bytes=33 * MIB), False),  # above the limit: SO_RCVBUF
        (sender(sndbuf_bytes=MIB), False),
        (sender(sndbuf_bytes=3 * MIB), True),
        (sender(min_rtt_us=1000), False),
        (sender(delivery_rate_bytes_per_s=None, min_rtt_us=None), False),
        (sock(), False),
    ],
)
def test_a_connection_at_its_limit(one: Any, held_back: bool) -> None:
    verdict = judged("H-15", host(sockets=(one,)))
    assert verdict.severity is (Severity.WARN if held_back else Severity.OK)


def test_the_smallest_sufficient_value_is_proposed() -> None:
    sockets = (receiver(), receiver(rcv_space_bytes=15 * MIB), sender())
    verdict = judged("H-15", host(sockets=sockets))
    receive = bdp.receive_limit_bytes(16 * MIB)
    send = bdp.send_limit_bytes(bdp.bdp_bytes(32_000_000, 80_000))
    assert command(verdict) == (
        f"sudo sysctl -w net.ipv4.tcp_rmem='4096 131072 {receive}' "
        f"net.ipv4.tcp_wmem='4096 16384 {send}'"
    )
    assert undo(verdict) == (
        "sudo sysctl -w net.ipv4.tcp_rmem='4096 131072 33554432' "
        "net.ipv4.tcp_wmem='4096 16384 4194304'"
    )


@pytest.mark.parametrize(
    ("sockets", "whom"),
    [
        ((receiver(),), "path needs; new connections only."),
        ((sender(),), "path needs."),  # a buffer that is there grows at once
        ((receiver(), sender()), "path needs; new connections only (tcp_rmem)."),
    ],
)
def test_which_connections_gain(sockets: tuple[HostSocket, ...], whom: str) -> None:
    remedy = judged("H-15", host(sockets=sockets)).remedy
    assert remedy is not None
    assert remedy.advice.endswith(whom)


@pytest.mark.parametrize("text", [None, "4096", "lots of bytes here"])
def test_limits_that_cannot_be_read(text: str | None) -> None:
    verdict = judged("H-15", host(sysctls={"net.ipv4.tcp_rmem": text}))
    assert verdict.severity is Severity.SKIP
    assert "net.ipv4.tcp_rmem" in verdict.summary


# -- H-24, H-28, H-30, H-31 ----------------------------------------------------------------


def queued(**fields: Any) -> Any:
    return sock(**{"notsent_bytes": 300_000, "delivery_rate_bytes_per_s": 1_000_000, **fields})


@pytest.mark.parametrize(
    ("one", "severity"),
    [
        (queued(), Severity.INFO),
        (queued(notsent_bytes=200_000), Severity.OK),
        (queued(notsent_bytes=0), Severity.OK),
        (queued(delivery_rate_bytes_per_s=None), Severity.OK),
    ],
)
def test_what_waits_in_send_queues(one: Any, severity: Severity) -> None:
    assert judged("H-24", host(sockets=(one,))).severity is severity


def test_a_limit_for_one_connection_is_proposed() -> None:
    sockets = (queued(), queued(notsent_bytes=900_000, local_port=41_000))
    verdict = judged("H-24", host(sockets=sockets))
    assert verdict.summary == "2 send queues of more than 200 ms, the longest 900 ms"
    target = "192.0.2.1:41000-198.51.100.7:443"
    assert command(verdict) == f"sudo tcptool apply {target} TCP_NOTSENT_LOWAT=131072"
    ipv6 = queued(local_address="2001:db8::1", peer_address="2001:db8::7")
    run = command(judged("H-24", host(sockets=(ipv6,))))
    assert "'[2001:db8::1]:40000-[2001:db8::7]:443'" in run


def test_a_limit_that_is_set_already() -> None:
    state = host(sysctls={"net.ipv4.tcp_notsent_lowat": "16384"}, sockets=(queued(),))
    verdict = judged("H-24", state)
    assert verdict.remedy is not None
    assert (verdict.severity, verdict.remedy.command) == (Severity.INFO, None)


def test_closed_windows() -> None:
    assert judged("H-28", host()).severity is Severity.OK
    full = sock(inode=5, rmem_alloc_bytes=90, rcvbuf_bytes=100)
    fuller = sock(local_port=1, rmem_alloc_bytes=99, rcvbuf_bytes=100)
    others = (sock(), sock(rmem_alloc_bytes=74, rcvbuf_bytes=100))
    grown = {"TcpExtTCPToZeroWindowAdv": 2}
    state = host(grown, sockets=(full, *others, fuller), holders={5: ("7:3", "slow")})
    verdict = judged("H-28", state)
    assert verdict.severity is Severity.WARN
    shown = [one for one in verdict.evidence if "full" in one.value]
    assert [one.value for one in shown] == ["receive buffer 99 % full", "receive buffer 90 % full"]
    assert shown[1].where.endswith("(slow 7:3)")
    # Nothing is full any more, and it was seldom.
    for more in ({"lacks": {"sockets": "refused"}}, {"sockets": others}):
        verdict = judged("H-28", host(grown, **more))
        assert verdict.severity is Severity.INFO
        assert verdict.summary == "2 receive windows closed in 5 s"
    often = judged("H-28", host({"TcpExtTCPToZeroWindowAdv": 5}, sockets=others))
    assert often.severity is Severity.WARN
    assert judged("H-28", host({"TcpExtTCPToZeroWindowAdv": 1})).summary.startswith("1 receive win")


def test_buffers_that_start_large() -> None:
    assert judged("H-30", host()).severity is Severity.OK
    state = host(sysctls={"net.ipv4.tcp_rmem": f"4096 {12 * MIB} {16 * MIB}"})
    verdict = judged("H-30", state)
    assert (verdict.severity, verdict.myths) == (Severity.INFO, ("bigger-is-better",))
    assert command(verdict) == f"sudo sysctl -w net.ipv4.tcp_rmem='4096 131072 {16 * MIB}'"
    edge = host(sysctls={"net.ipv4.tcp_wmem": f"4096 {MIB} {16 * MIB}"})
    run = command(judged("H-30", edge))
    assert run == f"sudo sysctl -w net.ipv4.tcp_wmem='4096 16384 {16 * MIB}'"


@pytest.mark.parametrize(
    ("limit", "squeezed", "severity"),
    [
        (64 * MIB, 5, Severity.OK),
        (65 * MIB, 0, Severity.OK),
        (65 * MIB, 5, Severity.WARN),
    ],
)
def test_huge_buffers(limit: int, squeezed: int, severity: Severity) -> None:
    text = f"4096 131072 {limit}"
    state = host({"TcpExtTCPRcvCollapsed": squeezed}, sysctls={"net.ipv4.tcp_rmem": text})
    verdict = judged("H-31", state)
    assert verdict.severity is severity
    if severity is Severity.WARN:
        assert command(verdict) == "sudo sysctl -w net.ipv4.tcp_rmem='4096 131072 33554432'"
