"""What is read of a host: from a fake /proc and /sys, whole and with parts of it hidden."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest

from tcptool.linux import host as reading
from tcptool.linux.sysfs import SysFs
from tcptool.model.host import OpenFiles
from tests.support.fake_host import Host
from tests.support.fake_kernel import diag_message


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_counters(host: Host) -> None:
    host.counters["TcpExtListenOverflows"] = 7
    host.write_counters()
    lacks: dict[str, str] = {}
    found = reading.read_counters(host.kernel, lacks)
    assert found.counters["TcpExtListenOverflows"] == 7
    assert found.sockstat["TCP tw"] == 5
    assert [one.cpu for one in found.softnet] == [0, 1]
    assert [one.total for one in found.cpus] == [1000, 1000]
    assert [(one.kind, one.root) for one in found.qdiscs] == [("fq_codel", True)]
    assert lacks == {}


def test_sys_is_believed_about_the_same_device_only(host: Host) -> None:
    lo, eth0 = reading.read_counters(host.kernel, {}).links
    assert (lo.duplex, lo.receive_queues) == (None, None)
    assert (eth0.duplex, eth0.receive_queues) == ("full", 2)
    # Another namespace has an eth0 as well, with another address.
    host.device("eth0", queues=0, address="02:00:00:00:00:99")
    assert reading.read_counters(host.kernel, {}).links[1].duplex is None


def test_sys_that_is_not_there(tmp_path: Path) -> None:
    nothing = SysFs(str(tmp_path / "nowhere"))
    assert nothing.of_link("eth0", "duplex") is None
    assert nothing.receive_queues("eth0") is None
    assert nothing.of_link("a\0b", "duplex") is None
    assert nothing.receive_queues("a\0b") is None


def test_sysctls_are_one_text_with_single_spaces(host: Host) -> None:
    lacks: dict[str, str] = {}
    found = reading.read_sysctls(host.kernel, lacks)
    assert found["net.ipv4.tcp_rmem"] == "4096 131072 6291456"
    assert found["net.ipv4.ip_local_reserved_ports"] == ""
    missing = "/proc/sys/net/ipv4/tcp_tw_recycle"
    assert lacks[missing] == "No such file or directory (ENOENT)"


def test_everything_is_hidden(host: Host) -> None:
    for name in ("sys", "thread-self", "stat", "meminfo", "loadavg"):
        path = host.kernel.tree.root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    host.kernel.errno_for_route = errno.EPERM
    lacks: dict[str, str] = {}
    found = reading.read_counters(host.kernel, lacks)
    assert (found.counters, found.links, found.cpus) == ({}, (), ())
    assert lacks["/proc/net/snmp"] == "No such file or directory (ENOENT)"
    assert lacks["network devices (rtnetlink)"] == "Operation not permitted (EPERM)"
    assert reading.read_sysctls(host.kernel, lacks) == {}
    assert reading.read_default_links(host.kernel, lacks) == frozenset()
    assert reading.read_memory_bytes(host.kernel) is None
    assert reading.load_percent(host.kernel, 2) is None


def test_no_proc_at_all(host: Host) -> None:
    shutil.rmtree(host.kernel.tree.root)
    lacks: dict[str, str] = {}
    assert reading.read_holders(host.kernel, (), lacks) == ({}, [])
    assert lacks.pop("processes") == "No such file or directory (ENOENT)"
    assert reading.read_processes(host.kernel, lacks) == ((), frozenset(), [])
    assert lacks["processes"] == "No such file or directory (ENOENT)"


def test_a_garbled_reply_of_rtnetlink_is_a_reason(host: Host) -> None:
    host.kernel.links = [b"\x05\0\0\0" + bytes(12)]
    lacks: dict[str, str] = {}
    assert reading.read_counters(host.kernel, lacks).links == ()
    assert "a message of 5 bytes" in lacks["network devices (rtnetlink)"]


def test_sockets_and_their_holders(host: Host) -> None:
    host.kernel.sockets = [
        diag_message("listen", local=("0.0.0.0", 443), inode=700, rqueue=2, wqueue=511),
        diag_message(
            local=("192.0.2.10", 443), peer=("198.51.100.7", 5), inode=701, congestion="bbr"
        ),
    ]
    host.process(42, "nginx", {6: 700, 9: 701})
    lacks: dict[str, str] = {}
    assert reading.read_listener_drops(host.kernel) == {}
    (listener, connection), missing = reading.read_sockets(host.kernel, lacks)
    assert (listener.state, listener.accept_queue, listener.backlog) == ("listen", 2, 511)
    assert (connection.peer_address, connection.congestion) == ("198.51.100.7", "bbr")
    assert connection.rtt_us is None
    assert (missing, lacks) == ([], {})
    assert reading.read_holders(host.kernel, (listener, connection), {}) == (
        {700: ("42:6", "nginx"), 701: ("42:9", "nginx")},
        [],
    )


def test_sock_diag_refuses(host: Host) -> None:
    host.kernel.errno_for_diag = errno.ENOMEM
    lacks: dict[str, str] = {}
    assert reading.read_sockets(host.kernel, lacks) == ((), [])
    assert "ENOMEM" in lacks["sockets"]


def test_open_files(host: Host) -> None:
    host.process(42, "nginx", {6: 700, 9: 701}, soft=1000)
    host.kernel.tree.add(43, "barred")  # without limits: as for another user's
    host.kernel.tree.write("44/stat", "")  # gone
    found = reading.read_processes(host.kernel, {})
    assert found.files == (OpenFiles(42, "nginx", 2, 1000, 4096),)
    assert found.names == {"nginx", "barred"}
    assert found.missing == []
    host.kernel.tree.write("42/limits", "nonsense\n")
    assert reading.read_processes(host.kernel, {}).files == ()


@pytest.mark.parametrize(("number", "text"), [(1, "1 process cannot"), (2, "2 processes cannot")])
def test_processes_of_other_users(
    host: Host, monkeypatch: pytest.MonkeyPatch, number: int, text: str
) -> None:
    def refuse(*_: object) -> list[str]:
        raise PermissionError(errno.EACCES, "denied")

    for pid in range(number):
        host.process(50 + pid, "theirs", {})
    pids = list(range(50, 50 + number))
    monkeypatch.setattr(type(host.kernel.proc), "pids", lambda _: iter(pids))
    monkeypatch.setattr("os.listdir", refuse)
    found = reading.read_processes(host.kernel, {})
    assert found.files == ()
    assert text in found.missing[0].why


@pytest.mark.parametrize(
    ("text", "processors", "expected"),
    [("1.50 1 1\n", 2, 75.0), ("x 1 1\n", 2, None), ("1.0\n", 0, None), ("", 2, None)],
)
def test_load(host: Host, text: str, processors: int, expected: float | None) -> None:
    host.kernel.tree.write("loadavg", text)
    assert reading.load_percent(host.kernel, processors) == expected


def test_memory_and_routes(host: Host) -> None:
    assert reading.read_memory_bytes(host.kernel) == 8 << 30
    assert reading.read_default_links(host.kernel, {}) == {"eth0"}
    assert reading.page_bytes() > 0
