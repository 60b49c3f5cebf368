"""`doctor` on real namespaces: it sees what is provoked, and what it proposes mends it."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from tcptool.analysis.host.table import CHECKS
from tcptool.decode.route import links, links_request, qdiscs, qdiscs_request
from tcptool.linux.host import read_counters
from tcptool.linux.kernel import LiveKernel
from tests.live.program import NOBODY, Owner, owner, table_of, tcptool
from tests.live.test_schema import validate
from tests.support.children import ROOT
from tests.support.netns import NetNs

QUICK = ("--for", "100ms")

# A server that never accepts, and clients that never stop trying.
OVERFLOWING = """
import threading
server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen(1)
stop = threading.Event()
def knock():
    while not stop.is_set():
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex(server.getsockname())
        kept.append(one)
        if len(kept) > 50:
            kept.pop(0).close()
        stop.wait(0.005)
knocking = threading.Thread(target=knock, daemon=True)
knocking.start()
"""

PAIRS = """
server = socket.create_server(("127.0.0.1", 8000), backlog=64)
def pairs(number):
    for _ in range(number):
        client = socket.create_connection(server.getsockname())
        kept.append((client, server.accept()[0]))
"""


def findings(*words: object, netns: NetNs | None = None, uid: int | None = None) -> dict[str, Any]:
    """The findings of `doctor` by their id; the document is checked against its schema."""
    run = tcptool("doctor", *QUICK, "--json", *words, netns=netns, uid=uid)
    assert run.status == 0, run
    document = validate(run.out)
    return {one["id"]: one for one in document["data"]["findings"]}


def name_of(one: Owner) -> str:
    """What the kernel calls the process."""
    return Path(f"/proc/{one.pid}/comm").read_text().rstrip("\n")


def paste(netns: NetNs, command: str) -> None:
    """Run what a finding proposes, inside, as the root that we are there."""
    path = f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin"
    plain = re.sub(r"(^|&& )sudo ", r"\1", command).replace("tcptool apply ", "tcptool apply -y ")
    netns.run("bash", "-c", plain, env={"PATH": path, "HOME": "/nonexistent"})


def test_this_host() -> None:
    found = findings()
    assert found.keys() == CHECKS.keys()
    # Whatever this host is like, these can be seen on any.
    for check in ("H-12", "H-16", "H-17", "H-18", "H-20", "H-36"):
        assert found[check]["severity"] != "skip", found[check]


def test_this_host_in_a_pipe() -> None:
    run = tcptool("doctor", *QUICK)
    rows = [line.split(maxsplit=4) for line in run.lines[1:] if not line.startswith("#")]
    assert sorted(row[1] for row in rows) == list(CHECKS)


def test_an_ordinary_user() -> None:
    if os.geteuid() != 0:
        pytest.skip("another user needs root")
    run = tcptool("doctor", *QUICK, "--json", uid=NOBODY)
    document = validate(run.out)
    found = {one["id"]: one for one in document["data"]["findings"]}
    assert found["H-21"]["severity"] != "skip"
    assert found["H-12"]["severity"] != "skip"
    assert "open files of other users" in [one["what"] for one in document["missing"]]


def test_a_new_namespace_is_healthy(netns: NetNs) -> None:
    found = findings(netns=netns)
    # Packets that a CPU dropped, its time and open files are of the whole host.
    whole_host = {"H-06", "H-18", "H-34", "H-36"}
    ill = [c for c, one in found.items() if one["severity"] not in ("ok", "skip")]
    assert set(ill) <= whole_host
    assert found["H-08"]["summary"] == "no device but loopback is up"
    skipped = found["H-14"]["evidence"] + found["H-20"]["evidence"]
    assert all("tcp_mem" not in one["where"] for one in skipped)


def test_a_switch_is_seen_mended_and_put_back(netns: NetNs) -> None:
    netns.run("sysctl", "-w", "net.ipv4.tcp_sack=0")
    ill = findings(netns=netns)["H-21"]
    assert (ill["severity"], ill["summary"]) == ("fail", "tcp_sack is off")
    paste(netns, ill["remedy"]["command"])
    assert findings(netns=netns)["H-21"]["severity"] == "ok"
    paste(netns, ill["remedy"]["undo"])
    assert findings(netns=netns)["H-21"]["severity"] == "fail"


def test_from_outside_it_is_the_same(netns: NetNs) -> None:
    if netns.in_user_namespace:
        pytest.skip("entering another user's namespace needs root")
    netns.run("sysctl", "-w", "net.ipv4.tcp_sack=0")
    ill = findings("--netns", netns.path)["H-21"]
    assert ill["severity"] == "fail"
    command = shlex.split(ill["remedy"]["command"])
    assert command[:3] == ["sudo", "nsenter", f"--net={netns.path}"]
    assert tcptool("doctor", *QUICK, "--netns", "nowhere").status == 3


def test_a_listener_that_overflows_is_seen_and_mended(netns: NetNs) -> None:
    with owner(netns, setup=OVERFLOWING) as one:
        run = tcptool("doctor", "--for", "500ms", "--json", "--fail-on", "fail", netns=netns)
        assert run.status == 1
        data = json.loads(run.out)["data"]
        ill = next(f for f in data["findings"] if f["id"] == "H-12")
        assert (data["worst"], ill["severity"]) == ("fail", "fail")
        shown = f"127.0.0.1:{one.port('server')} ({name_of(one)} {one.at('server')})"
        assert re.search(rf"{re.escape(shown)}: 2 wait, backlog 1", ill["summary"]), ill["summary"]
        assert re.match(r"a queue was full \d+ times in 5", ill["summary"])
        one("stop.set()\nknocking.join()")
        paste(netns, ill["remedy"]["command"])
        backlog = tcptool("list", "state", "listening", "--columns", "backlog", netns=netns)
        wanted = ill["remedy"]["command"].rpartition("=")[2]
        assert int(wanted) > 1
        assert table_of(backlog.lines) == [{"backlog": wanted}]
        later = findings(netns=netns)["H-12"]
        assert later["severity"] == "info"  # past


TWO_ADDRESSES = """
servers = [socket.create_server((f"127.0.0.{n}", 8000), backlog=1) for n in (1, 2)]
full, other = servers
for _ in range(2):
    kept.append(socket.create_connection(full.getsockname()))
"""


def test_only_the_listener_that_is_full_is_changed(netns: NetNs) -> None:
    if netns.in_user_namespace:
        pytest.skip("another user needs root")
    with owner(netns, setup=TWO_ADDRESSES):
        ill = findings(netns=netns, uid=NOBODY)["H-12"]  # who does not see the owner
        assert (ill["severity"], ill["summary"]) == ("fail", "127.0.0.1:8000: 2 wait, backlog 1")
        assert ill["remedy"]["command"].startswith("sudo tcptool apply sk:")
        paste(netns, ill["remedy"]["command"])
        rows = tcptool("list", "state", "listening", "--columns", "local,backlog", netns=netns)
        assert {row["local"]: row["backlog"] for row in table_of(rows.lines)} == {
            "127.0.0.1:8000": "2",
            "127.0.0.2:8000": "1",
        }


def test_an_overflow_is_that_of_the_listener_that_dropped(netns: NetNs) -> None:
    with owner(netns, setup=OVERFLOWING) as one:
        one("idle = socket.create_server(('127.0.0.2', 0), backlog=0)")
        one("kept.append(socket.create_connection(idle.getsockname()))")  # full, and drops none
        run = tcptool("doctor", "--for", "500ms", "--json", netns=netns)
        ill = next(f for f in run.data["findings"] if f["id"] == "H-12")
        assert f"127.0.0.1:{one.port('server')} " in ill["summary"]
        assert "127.0.0.2" not in ill["summary"]


def test_ports_that_run_out(netns: NetNs) -> None:
    netns.run("sysctl", "-w", "net.ipv4.ip_local_port_range=40000 40019")
    with owner(netns, setup=PAIRS) as one:
        one("pairs(14)")
        assert findings(netns=netns)["H-16"]["severity"] == "ok"
        one("pairs(2)")
        ill = findings(netns=netns)["H-16"]
        assert ill["severity"] == "warn"
        assert ill["summary"] == "80 % of the 20 local ports are in use to 127.0.0.1:8000"
        one("pairs(4)")
        full = findings(netns=netns)["H-16"]
        assert (full["severity"], full["summary"][:5]) == ("fail", "100 %")
        assert one("socket.socket().connect_ex(server.getsockname()) == errno.EADDRNOTAVAIL")
        paste(netns, full["remedy"]["command"])
        assert one("socket.socket().connect_ex(server.getsockname()) == 0")
        assert findings(netns=netns)["H-16"]["severity"] == "ok"


def test_close_wait(netns: NetNs) -> None:
    with owner(netns, setup=PAIRS) as one:
        one("pairs(12)")
        assert findings(netns=netns)["H-20"]["severity"] == "ok"
        one("for client, _ in kept: client.shutdown(socket.SHUT_WR)")
        ill = findings(netns=netns)["H-20"]
        # Not yet for a minute, so it is no warning.
        assert ill["severity"] == "info"
        assert ill["summary"] == "12 connections in CLOSE_WAIT, 0 for more than 60 s"
        held = [e["value"] for e in ill["evidence"] if e["where"] == f"{name_of(one)} ({one.pid})"]
        assert held == ["12 in close-wait"]
        assert ill["remedy"]["command"] == "tcptool list --by process state close-wait"
        assert tcptool(*ill["remedy"]["command"].split()[1:], netns=netns).status == 0


def test_descriptors_that_run_out(netns: NetNs) -> None:
    with owner(netns) as one:
        one("import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (20, 40))")
        one("while len(os.listdir('/proc/self/fd')) < 18: kept.append(socket.socket())")
        ill = findings(netns=netns)["H-18"]
        assert ill["severity"] == "warn"
        [seen] = [e for e in ill["evidence"] if e["where"].startswith(f"/proc/{one.pid}/fd")]
        assert seen["value"].endswith("open, limit 20")


def test_a_queue_that_drops(netns: NetNs) -> None:
    netns.run(
        "tc", "qdisc", "add", "dev", "lo", "root", "tbf",
        "rate", "1mbit", "burst", "2kb", "limit", "3kb",
    )  # fmt: skip
    with owner(netns) as one:
        one(
            "import threading\n"
            "out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            "stop = threading.Event()\n"
            "def flood():\n"
            "    while not stop.wait(0.002):\n"
            "        out.sendto(bytes(1000), ('127.0.0.1', 9))\n"
            "flooding = threading.Thread(target=flood, daemon=True)\n"
            "flooding.start()"
        )
        run = tcptool("doctor", "--for", "300ms", "--json", netns=netns)
        ill = next(f for f in run.data["findings"] if f["id"] == "H-10")
        assert ill["severity"] == "warn", ill
        assert ill["summary"].startswith("lo dropped ")
        assert "(tbf)" in ill["evidence"][0]["where"]


def test_drops_below_an_mq_count_once(netns: NetNs) -> None:
    netns.run("ip", "link", "add", "v0", "numtxqueues", "2", "type", "veth", "peer", "name", "v1")
    netns.run("ip", "link", "set", "v1", "up")
    netns.run("ip", "link", "set", "v0", "up")
    netns.run("ip", "addr", "add", "192.0.2.1/24", "dev", "v0")
    netns.run("ip", "neigh", "add", "192.0.2.2", "lladdr", "02:00:00:00:00:02", "dev", "v0")
    netns.run("tc", "qdisc", "add", "dev", "v0", "root", "handle", "1:", "mq")
    for queue in ("1:1", "1:2"):
        shaper = ("tbf", "rate", "1mbit", "burst", "2kb", "limit", "3kb")
        netns.run("tc", "qdisc", "add", "dev", "v0", "parent", queue, *shaper)
    with owner(netns) as one:
        one(
            "import threading\n"
            "out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            "stop = threading.Event()\n"
            "def flood():\n"
            "    while not stop.wait(0.002):\n"
            "        out.sendto(bytes(1000), ('192.0.2.2', 9))\n"
            "flooding = threading.Thread(target=flood, daemon=True)\n"
            "flooding.start()"
        )
        run = tcptool("doctor", "--for", "300ms", "--json", netns=netns)
    ill = next(f for f in run.data["findings"] if f["id"] == "H-10")
    assert ill["severity"] == "warn"
    assert [e["where"] for e in ill["evidence"] if e["grown"]] == ["tc -s qdisc show dev v0 (tbf)"]
    assert ill["summary"] == f"v0 dropped {ill['evidence'][0]['grown']}"


def test_devices_are_those_of_the_namespace(netns: NetNs) -> None:
    """/sys shows the namespace where it was mounted, which is not this one."""
    if netns.in_user_namespace:
        pytest.skip("entering another user's namespace needs root")
    with LiveKernel() as kernel:
        inner = kernel.inside(netns.path)
        [lo] = [one for part in inner.route(links_request()) for one in links(part)]
        assert (lo.name, lo.loopback, lo.up) == ("lo", True, True)
        netns.run("ip", "link", "add", "name", "eth0", "type", "veth", "peer", "name", "eth1")
        found = {one.name: one for one in read_counters(inner, {}).links}
        assert found.keys() == {"lo", "eth0", "eth1"}
        assert (found["eth0"].up, found["eth0"].mtu_bytes) == (False, 1500)
        assert found["eth0"].duplex is None
        assert any(one for part in kernel.route(qdiscs_request()) for one in qdiscs(part))


def test_a_path() -> None:
    run = tcptool("doctor", "--rtt", "80ms", "--rate", "1gbit", "--json")
    path = validate(run.out)["data"]["path"]
    assert path["bdp_bytes"] == 10_000_000
    rmem = Path("/proc/sys/net/ipv4/tcp_rmem").read_text().split()
    assert path["receive"]["present_bytes"] == int(rmem[2])


def test_the_window_scale_is_what_the_kernel_chooses(netns: NetNs) -> None:
    for limit in (65_536, 1 << 20, 6 << 20, 40_000_000):
        netns.run("sysctl", "-w", f"net.ipv4.tcp_rmem=4096 16384 {limit}")
        run = tcptool("doctor", "--rtt", "1ms", "--rate", "1gbit", "--json", netns=netns)
        with owner(netns, setup=PAIRS) as one:
            one("pairs(1)")
            columns = tcptool(
                "list", "state", "established", "--columns", "rcv_wscale", netns=netns
            )
            scales = {row["rcv_wscale"] for row in table_of(columns.lines)}
        assert scales == {str(run.data["path"]["window_scale"])}, limit


def examples() -> list[str]:
    page = (ROOT / "man/man1/tcptool-doctor.1").read_text()
    blocks = re.findall(r"^\.EX\n(.*?)^\.EE$", page, re.M | re.S)
    lines = [line for block in blocks for line in block.splitlines()]
    return [line.replace("\\-", "-").replace("\\(aq", "'") for line in lines]


@pytest.mark.parametrize("example", [line for line in examples() if not line.startswith("sudo")])
def test_the_examples_of_the_manual_run(example: str, netns: NetNs, tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin"
    quick = example.replace("--for 30s", "--for 50ms")
    if "--for" not in quick and "--rtt" not in quick:
        quick = quick.replace("doctor", "doctor --for 50ms", 1)
    quick = f"cd {tmp_path}; {quick}"
    done = netns.run("bash", "-c", quick, check=False, env={"PATH": path, "HOME": str(tmp_path)})
    assert done.returncode in (0, 1) if "--fail-on" in example else done.returncode == 0, done
    assert "Traceback" not in done.stderr


def test_nothing_is_changed(netns: NetNs) -> None:
    def settings() -> str:
        return netns.run("sysctl", "-a", "--pattern", "net.(ipv4.tcp|core)", check=False).stdout

    netns.run("sysctl", "-w", "net.ipv4.tcp_sack=0")
    before = settings()
    findings(netns=netns)
    assert settings() == before


def test_an_owner_is_named_only_where_it_can_be_seen(netns: NetNs) -> None:
    if netns.in_user_namespace:
        pytest.skip("another user needs root")
    with owner(netns, setup=PAIRS) as one:
        for uid, holder in ((None, f" ({name_of(one)} {one.at('server')})"), (NOBODY, "")):
            seen = findings(netns=netns, uid=uid)["H-12"]["evidence"]
            assert f"127.0.0.1:8000{holder}" in [evidence["where"] for evidence in seen]


TRAFFIC = """
import threading
server = socket.create_server(("127.0.0.1", 8000))
stop = threading.Event()
def read():
    conn, _ = server.accept()
    while conn.recv(65536):
        pass
def write():
    with socket.create_connection(server.getsockname()) as out:
        while not stop.is_set():
            out.sendall(bytes(20000))
threads = [threading.Thread(target=one, daemon=True) for one in (read, write)]
for one in threads:
    one.start()
"""


def test_loss_is_seen_as_loss(netns: NetNs) -> None:
    netns.run("ip", "link", "set", "lo", "mtu", "1500")  # else too few segments
    netns.run(
        "nft",
        "add table ip lossy; "
        "add chain ip lossy input { type filter hook input priority 0; }; "
        "add rule ip lossy input tcp dport 8000 numgen random mod 100 < 8 drop",
    )
    with owner(netns, setup=TRAFFIC) as one:
        run = tcptool("doctor", "--for", "3s", "--json", netns=netns)
        found = {f["id"]: f for f in run.data["findings"]}
        one("stop.set()")
    assert found["H-01"]["severity"] == "fail", found["H-01"]
    assert any("127.0.0.1:8000" in e["where"] for e in found["H-01"]["evidence"])


def test_a_program_that_does_not_read(netns: NetNs) -> None:
    with owner(netns, setup=PAIRS) as one:
        one("pairs(1)\nclient, conn = kept[0]\nclient.settimeout(0.05)")
        one(
            "import threading\n"
            "def fill():\n"
            "    while True:\n"
            "        try: client.send(bytes(100000))\n"
            "        except TimeoutError: conn.recv(1 << 20)\n"
            "threading.Thread(target=fill, daemon=True).start()"
        )
        run = tcptool("doctor", "--for", "1500ms", "--json", netns=netns)
    found = {f["id"]: f for f in run.data["findings"]}
    assert found["H-28"]["severity"] == "warn", found["H-28"]


def test_too_many_in_time_wait(netns: NetNs) -> None:
    netns.run("sysctl", "-w", "net.ipv4.tcp_max_tw_buckets=2")
    with owner(netns, setup=PAIRS) as one:
        one(
            "import threading\n"
            "def churn():\n"
            "    while True:\n"
            "        out = socket.create_connection(server.getsockname())\n"
            "        conn = server.accept()[0]\n"
            "        out.close(); conn.close(); time.sleep(0.005)\n"
            "threading.Thread(target=churn, daemon=True).start()"
        )
        run = tcptool("doctor", "--for", "500ms", "--json", netns=netns)
    ill = next(f for f in run.data["findings"] if f["id"] == "H-17")
    assert ill["severity"] == "warn", ill
    assert ill["remedy"]["command"] == "sudo sysctl -w net.ipv4.tcp_max_tw_buckets=4"


def test_connections_closed_with_data_unread(netns: NetNs) -> None:
    with owner(netns, setup=PAIRS) as one:
        one(
            "import threading\n"
            "def churn():\n"
            "    while True:\n"
            "        out = socket.create_connection(server.getsockname())\n"
            "        conn = server.accept()[0]\n"
            "        out.sendall(b'unread'); time.sleep(0.005); conn.close(); out.close()\n"
            "threading.Thread(target=churn, daemon=True).start()"
        )
        run = tcptool("doctor", "--for", "500ms", "--json", netns=netns)
    found = next(f for f in run.data["findings"] if f["id"] == "H-05")
    assert found["severity"] == "info"
    assert "closed with data unread" in found["summary"]
