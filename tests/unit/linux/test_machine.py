"""Processors, their governor, the load; and which interface has an address."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tcptool.linux import machine
from tcptool.linux.interfaces import interface_of, takes_large_segments
from tests.support.fake_kernel import FakeKernel


def test_the_governor_is_read_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_GOVERNOR", str(tmp_path / "{}"))
    (tmp_path / "1").write_text("powersave\n")
    assert machine.governor(0) is None
    assert machine.governor(1) == "powersave"


def test_the_load_is_a_share_of_the_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (3.0, 0.0, 0.0))
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert machine.load_percent() == 75.0

    def none() -> None:
        raise OSError

    monkeypatch.setattr(os, "getloadavg", none)
    assert machine.load_percent() is None


def test_which_interface_has_an_address(tmp_path: Path) -> None:
    kernel = FakeKernel(tmp_path)
    kernel.tree.write(
        "thread-self/net/if_inet6",
        "fe800000000000000000000000000001 02 40 20 80    eth0\n"
        "20010db8000000000000000000000007 03 40 00 80    eth1\n",
    )
    with socket.socket() as own:
        fd = own.fileno()
        assert interface_of(kernel, fd, "127.0.0.9") == "lo"
        assert interface_of(kernel, fd, "::1") == "lo"
        assert interface_of(kernel, fd, "2001:db8::7") == "eth1"
        assert interface_of(kernel, fd, "fe80::1%eth0") == "eth0"
        assert interface_of(kernel, fd, "2001:db8::8") is None
        assert interface_of(kernel, fd, "192.0.2.255") is None
        assert interface_of(kernel, fd, "::ffff:192.0.2.255") is None
        assert takes_large_segments(fd, "lo") in (True, False)
        assert takes_large_segments(fd, "none such") is None
    assert interface_of(kernel, -1 & 0xFFFF, "192.0.2.1") is None
