"""What TCP may use and uses, from texts of /proc."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tcptool.linux.memory import TcpMemory, tcp_memory
from tests.support.fake_kernel import FakeKernel

PAGE = os.sysconf("SC_PAGE_SIZE")
SOCKSTAT = (
    "sockets: used 178\nTCP: inuse 5 orphan 0 tw 2 alloc 8 mem 3\nUDP: inuse 1 mem 9\n"
    "UDPLITE: inuse 0\nRAW: inuse 0\nFRAG: inuse 0 memory 0\n"
)
TCP_MEM = "22416\t29888\t44832\n"


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    return FakeKernel(tmp_path)


def test_pages_become_bytes(kernel: FakeKernel) -> None:
    kernel.tree.write("sys/net/ipv4/tcp_mem", TCP_MEM)
    kernel.tree.write("thread-self/net/sockstat", SOCKSTAT)
    assert tcp_memory(kernel) == TcpMemory(used_bytes=3 * PAGE, pressure_bytes=29_888 * PAGE)


@pytest.mark.parametrize(
    ("tcp_mem", "sockstat"),
    [
        (None, SOCKSTAT),  # another network namespace
        (TCP_MEM, None),
        ("1\n", SOCKSTAT),
        ("a b c\n", SOCKSTAT),
        (TCP_MEM, ""),
        (TCP_MEM, "sockets: used 178\nUDP: inuse 1 mem 9\n"),
        (TCP_MEM, "TCP: inuse 5 mem"),
        (TCP_MEM, "TCP: inuse 5 orphan 0 mem lots\n"),
    ],
)
def test_nothing_is_made_up(kernel: FakeKernel, tcp_mem: str | None, sockstat: str | None) -> None:
    if tcp_mem is not None:
        kernel.tree.write("sys/net/ipv4/tcp_mem", tcp_mem)
    if sockstat is not None:
        kernel.tree.write("thread-self/net/sockstat", sockstat)
    assert tcp_memory(kernel) is None
