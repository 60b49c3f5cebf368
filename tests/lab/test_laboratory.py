"""The laboratory delivers what it says: each test measures it with TCP and states the result.

Bounds are physical (no round trip is shorter than the delay, no rate higher than the limit) or
very wide: the machine may be busy.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tcptool.catalog.tcp_info import TcpInfo
from tcptool.decode.tcp_info import decode_tcp_info
from tests.lab.ends import Ends, commands
from tests.lab.path import path
from tests.lab.relay import Counters, with_ce
from tests.lab.veth import veth_path
from tests.support.children import ChildFailed, spawn
from tests.support.netns import NetNs, new_netns
from tests.support.waiting import wait_until

State = Callable[[str], None]

FAMILIES = pytest.mark.parametrize("ipv6", [False, True], ids=["ipv4", "ipv6"])


@dataclass(frozen=True)
class Connection:
    """Both ends of a connection through a path."""

    near: socket.socket
    far: socket.socket

    def info(self) -> TcpInfo:
        """Of the near end."""
        raw = self.near.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1024)
        return decode_tcp_info(raw)

    def count(self, name: str) -> int:
        """A field of the near end that every kernel with this laboratory has."""
        value = getattr(self.info(), name)
        assert isinstance(value, int)
        return value

    def carry(self, size_bytes: int) -> float:
        """Send so much from near to far, and return the seconds until all of it was there."""
        start_s = time.monotonic()
        # The sink must not wait for the sender.
        sender = threading.Thread(target=self.near.sendall, args=[bytes(size_bytes)])
        sender.start()
        try:
            self.receive(size_bytes)
        finally:
            sender.join()
        return time.monotonic() - start_s

    def receive(self, size_bytes: int) -> None:
        """Read so much at the far end."""
        while size_bytes:
            data = self.far.recv(min(size_bytes, 1 << 18))
            assert data, "the connection ended"
            size_bytes -= len(data)

    def round_trip(self) -> float:
        """Send one byte to and fro, and return the seconds that it took."""
        start_s = time.monotonic()
        self.near.sendall(b".")
        assert self.far.recv(1) == b"."
        self.far.sendall(b".")
        assert self.near.recv(1) == b"."
        return time.monotonic() - start_s


def listen(address: str) -> socket.socket:
    return socket.create_server(
        (address, 0), family=socket.AF_INET6 if ":" in address else socket.AF_INET
    )


@contextmanager
def connection(link: Ends, *, ipv6: bool = False) -> Iterator[Connection]:
    """A connection from near to far; reno, because every kernel has it and it heeds all signs."""
    address = link.far_address(ipv6=ipv6)
    with link.far.call(listen, address) as server:
        port = server.getsockname()[1]
        with link.near.call(socket.create_connection, (address, port), 30) as near:
            far, _ = server.accept()
            with far:
                for end in (near, far):
                    end.settimeout(60)
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                yield Connection(near, far)


def accounted(counters: Counters) -> int:
    """What entered, from what became of it."""
    dropped = counters.black_holed + counters.too_big + counters.lost + counters.tail_dropped
    return counters.forwarded + counters.in_flight + counters.refused + dropped


# --- what a path does ---


@FAMILIES
def test_delay(ipv6: bool, delivered: State) -> None:
    with path(delay_ms=20) as link, connection(link, ipv6=ipv6) as one:
        shortest_ms = min(one.round_trip() for _ in range(20)) * 1e3
        min_rtt_ms = one.count("min_rtt_us") / 1e3
    assert 40 <= min_rtt_ms < 80
    assert 40 <= shortest_ms < 80
    delivered(f"20 ms each way: min_rtt {min_rtt_ms:.2f} ms, {shortest_ms:.2f} ms for the program")


def test_delay_of_each_direction(delivered: State) -> None:
    with (
        path(forward={"delay_ms": 5}, backward={"delay_ms": 25}) as link,
        connection(link) as one,
    ):
        for _ in range(10):
            one.round_trip()
        min_rtt_ms = one.count("min_rtt_us") / 1e3
        start_s = time.monotonic()
        one.near.sendall(b".")
        one.receive(1)
        forward_ms = (time.monotonic() - start_s) * 1e3
    assert 30 <= min_rtt_ms < 60
    assert forward_ms >= 5
    delivered(f"5 ms there, 25 ms back: min_rtt {min_rtt_ms:.2f} ms, {forward_ms:.2f} ms there")


def test_rate(delivered: State) -> None:
    size_bytes = 1_500_000
    with path(delay_ms=5, rate_mbit=10, queue_packets=50) as link, connection(link) as one:
        elapsed_s = one.carry(size_bytes)
        counters = link.forward.counters()
    rate_mbit = size_bytes * 8 / elapsed_s / 1e6
    assert 1 < rate_mbit <= 10
    assert counters.forwarded_bytes > size_bytes
    delivered(f"10 Mbit/s: {rate_mbit:.2f} Mbit/s of data")


def test_full_queue_drops(delivered: State) -> None:
    with path(delay_ms=5, rate_mbit=10, queue_packets=20) as link, connection(link) as one:
        one.carry(1_000_000)
        retransmitted = one.count("total_retrans_packets")
        counters = link.forward.counters()
    # All of it has arrived, so what was dropped has been sent again; two may have become one.
    assert 0 < counters.tail_dropped * 0.9 <= retransmitted
    assert accounted(counters) == counters.entered
    delivered(f"queue of 20: {counters.tail_dropped} dropped, {retransmitted} sent again")


def test_deep_queue_delays(delivered: State) -> None:
    with path(delay_ms=5, rate_mbit=10) as link, connection(link) as one:
        one.carry(1_000_000)
        rtt_ms, min_rtt_ms = one.count("rtt_us") / 1e3, one.count("min_rtt_us") / 1e3
        counters = link.forward.counters()
    assert counters.tail_dropped == 0
    assert rtt_ms > 40 > min_rtt_ms >= 10  # a queue of 30 packets or more
    delivered(f"10 Mbit/s and 10 ms, queue of 1000: rtt {rtt_ms:.0f} ms, min {min_rtt_ms:.2f} ms")


def test_loss(delivered: State) -> None:
    with path(delay_ms=1, forward={"loss": 0.02}) as link, connection(link) as one:
        before = one.count("total_retrans_packets")  # the SYN, if that was lost
        lost_before = link.forward.counters().lost
        one.carry(3_000_000)
        retransmitted = one.count("total_retrans_packets") - before
        counters, back = link.forward.counters(), link.backward.counters()
    lost = counters.lost - lost_before
    share = counters.lost / counters.entered
    assert 0.01 < share < 0.04  # 2000 packets and a fixed seed
    assert lost * 0.9 <= retransmitted < 3 * lost + 100  # some were sent again for nothing
    assert back.lost == 0
    assert accounted(counters) == counters.entered
    delivered(f"loss 2 %: {share:.2%} of {counters.entered}; {lost} lost, {retransmitted} resent")


def arrivals(seed: int) -> tuple[list[int], Counters]:
    """Which of 100 datagrams arrive on a path that loses 30 %."""
    with path(loss=0.3, seed=seed) as link:
        far = link.far.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
        near = link.near.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
        with far, near:
            far.bind((link.FAR_IPV4, 0))
            far.settimeout(30)
            for number in range(100):
                near.sendto(bytes([number]), far.getsockname())
            wait_until(lambda: link.forward.counters().entered >= 100, deadline_s=30)
            counters = link.forward.counters()
            return [far.recv(1)[0] for _ in range(counters.forwarded)], counters


def test_same_seed_loses_the_same_packets(delivered: State) -> None:
    (first, counters), (again, _), (other, _) = arrivals(1), arrivals(1), arrivals(2)
    assert first == again != other
    assert (counters.entered, counters.lost) == (100, 100 - len(first))
    delivered(f"loss 30 %: {100 - len(first)} of 100, the same ones twice")


def test_reordering(delivered: State) -> None:
    with (
        path(delay_ms=5, forward={"reorder": 0.02, "reorder_ms": 4}) as link,
        connection(link) as one,
    ):
        one.carry(4_000_000)
        seen, spurious = one.count("reord_seen"), one.count("dsack_dups")
        counters = link.forward.counters()
    assert counters.reordered > 0
    assert seen + spurious > 0
    assert accounted(counters) == counters.forwarded + counters.in_flight == counters.entered
    delivered(f"2 % later by 4 ms: {counters.reordered} overtaken, reord_seen {seen}")


@FAMILIES
def test_ce_marks(ipv6: bool, delivered: State) -> None:
    conditions = path(delay_ms=5, rate_mbit=10, mark_packets=10, sysctls={"net.ipv4.tcp_ecn": 1})
    with conditions as link, connection(link, ipv6=ipv6) as one:
        one.carry(1_000_000)
        seen = one.count("delivered_ce_packets")
        counters = link.forward.counters()
    # The receiver repeats a mark until it sees CWR (RFC 3168, 6.1.3), so the sender counts more.
    assert counters.marked > 0
    assert seen > 0
    assert accounted(counters) == counters.entered
    delivered(f"marks from 10 waiting on: {counters.marked} marked, delivered_ce {seen}")


def test_no_marks_without_ecn() -> None:
    with path(mark_packets=0, sysctls={"net.ipv4.tcp_ecn": 0}) as link, connection(link) as one:
        one.carry(100_000)
        assert link.forward.counters().marked == 0


def test_black_hole_and_recovery(delivered: State) -> None:
    with path(delay_ms=2) as link, connection(link) as one:
        one.round_trip()
        link.forward.set(black_hole=True)
        one.near.sendall(b"." * 100)
        wait_until(lambda: one.count("total_retrans_packets") >= 2, deadline_s=30)
        counters = link.forward.set(black_hole=False)
        start_s = time.monotonic()
        one.receive(100)
        recovered_s = time.monotonic() - start_s
        assert link.backward.counters().black_holed == 0
    assert counters.black_holed >= 2
    delivered(f"black hole: {counters.black_holed} gone; back {recovered_s:.2f} s after its end")


def test_size_limit(delivered: State) -> None:
    with path(delay_ms=2, forward={"max_bytes": 1000}) as link, connection(link) as one:
        one.round_trip()
        one.near.sendall(bytes(5000))
        wait_until(lambda: link.forward.counters().too_big >= 3, deadline_s=30)
        one.far.settimeout(0.0)
        with pytest.raises(BlockingIOError):
            one.far.recv(1)
        one.far.settimeout(60)
        too_big = link.forward.set(max_bytes=None).too_big
        one.receive(5000)
        assert link.forward.counters().too_big >= too_big
    delivered(f"1000 bytes at most: {too_big} too big, all there after the limit went")


def test_change_while_it_runs(delivered: State) -> None:
    with path(delay_ms=2) as link, connection(link) as one:
        short_s = min(one.round_trip() for _ in range(5))
        link.set(delay_ms=60)
        long_s = min(one.round_trip() for _ in range(5))
        link.set(delay_ms=2, rate_mbit=2)
        slow_s = one.carry(100_000)
        link.set(rate_mbit=None)
        quick_s = one.carry(100_000)
    assert 0.004 <= short_s < 0.120 <= long_s
    assert quick_s < slow_s >= 0.4
    delivered(f"round trip {short_s * 1e3:.1f}, then {long_s * 1e3:.1f} ms")
    delivered(f"100 kB in {slow_s:.2f} s at 2 Mbit/s, then in {quick_s:.2f} s")


def test_nothing_is_in_the_way_of_a_plain_path(delivered: State) -> None:
    size_bytes = 20_000_000
    with path() as link, connection(link) as one:
        elapsed_s = one.carry(size_bytes)
        counters = link.forward.counters()
    assert counters.entered == counters.forwarded
    delivered(f"no limit: {size_bytes * 8 / elapsed_s / 1e6:.0f} Mbit/s")


def test_mtu(delivered: State) -> None:
    with path(mtu_bytes=9000) as link, connection(link) as one:
        one.carry(1_000_000)
        counters = link.forward.counters()
        mss_bytes = one.count("snd_mss_bytes")
    assert 8900 < mss_bytes < 9000
    assert counters.entered < 500
    delivered(f"MTU 9000: segments of {mss_bytes} bytes")


def test_what_cannot_be_is_an_error() -> None:
    with path() as link:
        with pytest.raises(TypeError, match="no such condition: lost"):
            link.forward.set(lost=0.1)  # type: ignore[call-arg]
        with pytest.raises(ValueError, match="not a probability"):
            link.forward.set(loss=2)
        with pytest.raises(ValueError, match="no limit is None"):
            link.forward.set(rate_mbit=0)
        assert link.near.run("cat", "/proc/sys/net/ipv4/tcp_no_metrics_save").stdout == "1\n"
    with pytest.raises(ValueError, match="IPv6 needs 1280"), path(mtu_bytes=1000):
        pass
    with pytest.raises(OSError, match="Invalid argument"), path(sysctls={"net.ipv4.tcp_ecn": 99}):
        pass


def test_ce_mark_keeps_the_checksum_right() -> None:
    for tos in range(256):
        packet = struct.pack("!BBHIHHII", 0x45, tos, 20, 1, 0x4006, 0, 0x0A4D0001, 0x0A4D0002)
        packet = packet[:10] + struct.pack("!H", 0xFFFF - ones_sum(packet)) + packet[12:]
        assert ones_sum(packet) == 0xFFFF
        marked = with_ce(packet)
        if tos & 3 in (0, 3):
            assert marked is None
        else:
            assert marked is not None
            assert ones_sum(marked) == 0xFFFF
            assert marked[1] == tos | 3
            assert marked[2:10] + marked[12:] == packet[2:10] + packet[12:]


def ones_sum(header: bytes) -> int:
    """The sum of RFC 1071: 0xFFFF over a header whose checksum is right."""
    words: tuple[int, ...] = struct.unpack(f"!{len(header) // 2}H", header)
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


# --- the kernel's own path ---


def test_veth_rate(delivered: State) -> None:
    size_bytes = 1_500_000
    with (
        veth_path(forward={"rate_mbit": 10, "queue_ms": 100}) as link,
        connection(link) as one,
    ):
        elapsed_s = one.carry(size_bytes)
    rate_mbit = (size_bytes - 16384) * 8 / elapsed_s / 1e6
    assert 1 < rate_mbit <= 10
    delivered(f"tbf 10 Mbit/s: {rate_mbit:.2f} Mbit/s of data, without the burst")


@FAMILIES
def test_veth_loss(ipv6: bool, delivered: State) -> None:
    with veth_path() as link, connection(link, ipv6=ipv6) as one:
        link.forward.set(loss=0.01)
        one.carry(5_000_000)
        dropped, resent = link.forward.dropped(), one.count("total_retrans_packets")
        assert link.backward.dropped() == 0
    assert 0 < dropped * 0.9 <= resent
    delivered(f"nft loss 1 %: {dropped} dropped of some 3500, {resent} resent")


@FAMILIES
def test_veth_loses_the_first_syn(ipv6: bool, delivered: State) -> None:
    with veth_path(drop_syn_every=2) as link:
        start_s = time.monotonic()
        with connection(link, ipv6=ipv6) as one:
            elapsed_s = time.monotonic() - start_s
            assert one.count("total_retrans_packets") == 1
        assert link.forward.dropped() == 1
        link.forward.set(drop_syn_every=None)
        with connection(link, ipv6=ipv6) as one:
            assert one.count("total_retrans_packets") == 0
    assert elapsed_s > 0.9  # the first RTO of a SYN is 1 s (RFC 6298, 2.1)
    delivered(f"first SYN dropped: connected after {elapsed_s:.2f} s")


# --- nothing is left behind ---

PROGRAM = """
import json, os, sys
from tests.lab.path import path
os.setsid()  # a process group of its own, as from a terminal
with path(delay_ms=10) as link:
    print(json.dumps([link.near.pid, link.far.pid, link.relay_pid]), flush=True)
    sys.stdin.read()
"""


class Witness:
    """Sees whether a path has gone: its processes and its namespaces.

    A veth pair ends with the namespace of either end, so it lasts as long as the namespace does,
    which may be longer than all processes in it.
    """

    def __init__(self, namespace: NetNs, near_pid: int, far_pid: int, relay_pid: int) -> None:
        self._namespace = namespace
        for pid in (near_pid, far_pid):
            link = f"ip link add end{pid} type veth peer name witness netns {pid}"
            commands(namespace, link)
        assert self._devices() == 2
        self._poll = select.poll()
        self._pidfds = [os.pidfd_open(pid) for pid in (near_pid, far_pid, relay_pid)]
        for pidfd in self._pidfds:
            self._poll.register(pidfd, select.POLLIN)

    def _devices(self) -> int:
        return self._namespace.run("cat", "/proc/net/dev").stdout.count("end")

    def all_gone(self) -> None:
        """Wait until there is nothing left."""
        wait_until(lambda: len(self._poll.poll(0)) == len(self._pidfds), deadline_s=30)
        for pidfd in self._pidfds:
            os.close(pidfd)
        wait_until(lambda: self._devices() == 0, deadline_s=30)


def test_nothing_is_left_after_the_end_and_after_a_failure(netns: NetNs) -> None:
    witnesses = []

    def use(error: Exception | None) -> None:
        with path() as link:
            witnesses.append(Witness(netns, link.near.pid, link.far.pid, link.relay_pid))
            if error:
                raise error

    use(None)
    witnesses.pop().all_gone()
    with pytest.raises(RuntimeError, match="deliberate"):
        use(RuntimeError("deliberate"))
    witnesses.pop().all_gone()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_when_the_program_is_killed(number: signal.Signals) -> None:
    with new_netns() as namespace, spawn(PROGRAM, deadline_s=30) as child:
        witness = Witness(namespace, *child.ready)
        os.kill(child.pid, number)
        child.process.wait(timeout=30)
        witness.all_gone()


def test_nothing_is_left_after_ctrl_c() -> None:
    with new_netns() as namespace, spawn(PROGRAM, deadline_s=30) as child:
        witness = Witness(namespace, *child.ready)
        os.killpg(child.pid, signal.SIGINT)  # the holders and the relay get it too
        assert child.process.wait(timeout=30) == -signal.SIGINT
        witness.all_gone()


def test_a_relay_that_dies_is_an_error() -> None:
    with path() as link:
        os.kill(link.relay_pid, signal.SIGKILL)
        with pytest.raises(ChildFailed, match="ended with status -9"):
            link.forward.counters()
