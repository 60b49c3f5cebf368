"""`probe connect` as a user runs it: what the kernel counts, and listeners that misbehave."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.live.program import NOBODY, children_of, owner, table, tcptool
from tests.live.test_rough_weather import Terminal, screen_lines
from tests.support.children import ROOT, Child, spawn
from tests.support.netns import NetNs
from tests.support.waiting import wait_until

FEW = ("--connections", 60)
WARM_UP = 5
"""As long as each of the twelve blocks of FEW."""
ALL = 60 + WARM_UP

# A program that reads every connection to its end, on loopback of both families.
SINK = """
import contextlib, select, socket, sys
servers = [socket.create_server(("127.0.0.1", 0))]
port = servers[0].getsockname()[1]
servers.append(socket.create_server(("::1", port), family=socket.AF_INET6))
print(port, flush=True)
while True:
    ready, _, _ = select.select([*servers, sys.stdin], [], [])
    if sys.stdin in ready:
        break
    for server in ready:
        with server.accept()[0] as connection, contextlib.suppress(ConnectionResetError):
            while connection.recv(1 << 16):
                pass
"""


def probe(*words: object, **more: Any) -> Any:
    """The data of a run that ended well."""
    return tcptool("probe", "connect", *words, "--json", "-q", **more).data


def ids(document: Any) -> set[str]:
    return {one["id"] for one in document["warnings"]}


def sysctl(netns: NetNs, **values: object) -> None:
    """Set values of net.ipv4 in a namespace."""
    for name, value in values.items():
        netns.run("sh", "-c", f"echo '{value}' > /proc/sys/net/ipv4/{name}")


@pytest.fixture
def netns(netns: NetNs) -> NetNs:
    """One in which every TIME_WAIT stays for its minute.

    Two processors can let a last ACK meet a socket that has gone, and the reset that answers it
    ends the TIME_WAIT, unless this is set: tcp(7), and RFC 1337.
    """
    sysctl(netns, tcp_rfc1337=1)
    return netns


def time_waits(netns: NetNs) -> int:
    """As the kernel counts them."""
    (found,) = re.findall(
        r"^TCP: .* tw (\d+) ", netns.run("cat", "/proc/net/sockstat").stdout, re.M
    )
    return int(found)


def states(netns: NetNs) -> set[str]:
    """Of all sockets in a namespace."""
    data = tcptool("list", "--json", netns=netns).data
    return {one["state"] for one in data["sockets"]}


def few_ports(netns: NetNs) -> None:
    """32 of them, of which none comes back from TIME_WAIT for a minute."""
    sysctl(netns, ip_local_port_range="40000 40031", tcp_tw_reuse=0)


# -- what is measured ----------------------------------------------------------------------


@pytest.mark.parametrize("exchange", ["none", "request"])
@pytest.mark.parametrize(("closer", "left"), [("client", ALL), ("server", ALL), ("reset", 0)])
def test_who_closes_first_has_the_time_wait(
    closer: str, left: int, exchange: str, netns: NetNs
) -> None:
    data = probe(*FEW, "--close", closer, "--exchange", exchange, netns=netns)
    assert (data["complete"], data["ended_by"], data["made"]) == (True, "done", 60)
    assert [block["made"] for block in data["blocks"]] == [5] * 12
    assert data["failed"] == []
    assert data["rate_low_per_s"] <= data["rate_per_s"] <= data["rate_high_per_s"]
    assert data["near_cpu_us"] > 0
    assert data["far_cpu_us"] > 0
    requests = 60 if exchange == "request" else None
    assert data["connect"]["count"] == 60
    for name, count in {
        "exchange": requests,
        "answer": requests,
        "close": 60 if closer == "client" else None,
    }.items():
        assert (data[name] and data[name]["count"]) == count, name
    if requests:
        assert data["answer"]["p50_us"] > data["exchange"]["p50_us"]
    # What stays behind, by three witnesses.
    assert (data["tw_before"], data["tw_after"]) == (0, left)
    assert time_waits(netns) == left
    wait_until(lambda: states(netns) <= {"time-wait"})  # a FIN can be lost on two processors
    assert tcptool("list", "state time-wait", "--json", netns=netns).data["count"] == left
    # One more was the trial, which tells the settings.
    counted = data["counters"]
    assert (counted["active_opens"], counted["passive_opens"]) == (ALL + 1, ALL + 1)
    assert counted["listen_drops"] == counted["tw_overflows"] == counted["syn_retrans"] == 0
    if closer == "client":
        assert (data["ports"]["used"], data["ports"]["taken"]) == (ALL, ALL)
    else:
        assert data["ports"]["taken"] < ALL / 2  # but for a last ACK that is under way
    assert data["settings"]["device"] == "lo"


@pytest.mark.parametrize("closer", ["client", "server", "reset"])
def test_several_at_a_time(closer: str, netns: NetNs) -> None:
    words = ("--connections", 600, "--concurrency", 50, "--close", closer)
    document = tcptool("probe", "connect", *words, "--exchange", "request", "--json", netns=netns)
    data = document.json["data"]
    assert data["made"] == data["connect"]["count"] == data["answer"]["count"] == 600
    assert data["tw_after"] == time_waits(netns) == (0 if closer == "reset" else 650)
    assert "short-blocks" in ids(document.json)


@pytest.mark.parametrize("exchange", ["none", "request"])
@pytest.mark.parametrize(
    ("words", "path"),
    [(["-6"], "ipv6"), (["--unix"], "unix"), (["--unix", "--backlog", "1"], "unix")],
)
def test_other_ways_to_the_far_end(
    words: list[str], path: str, exchange: str, netns: NetNs
) -> None:
    document = tcptool(
        "probe", "connect", *FEW, *words, "--exchange", exchange, "--json", netns=netns
    ).json
    data = document["data"]
    assert (data["plan"]["path"], data["made"], data["close"]["count"]) == (path, 60, 60)
    assert ("loopback" in ids(document)) == (path != "unix")
    if path == "unix":
        assert data["ports"] is data["tw_after"] is data["counters"] is None
        assert time_waits(netns) == 0
    else:
        assert data["tw_after"] == data["ports"]["taken"] == ALL


def test_it_can_go_on_for_a_time(netns: NetNs) -> None:
    data = probe("--duration", "120ms", "--close", "server", netns=netns)
    assert len(data["blocks"]) == 12
    assert data["made"] == sum(block["made"] for block in data["blocks"]) > 0


@pytest.mark.parametrize("count", [1, 2, 13])
def test_few_make_few_blocks(count: int, netns: NetNs) -> None:
    data = probe("--connections", count, netns=netns)
    assert (data["made"], len(data["blocks"])) == (count, min(count, 12))
    assert (data["rate_low_per_s"] is None) == (count < 6)
    assert (data["connect"]["p50_us"] is None) == (count < 10)


def test_what_is_asked_for_is_set_and_told(netns: NetNs) -> None:
    words = ("--set", "TCP_CONGESTION=reno", "--cpu", "none")
    data = probe(*FEW, *words, netns=netns)
    (option,) = data["settings"]["options"]
    assert (option["name"], option["effective"]) == ("TCP_CONGESTION", "reno")
    assert data["settings"]["congestion_control"] == "reno"
    assert (data["machine"]["near_cpu"], data["machine"]["far_cpu"]) == (None, None)
    run = tcptool("probe", "connect", "--set", "TCP_CONGESTION=none-such", netns=netns)
    run.failed(5, "TCP_CONGESTION", "ENOENT")


def test_fast_open_is_used_where_both_ends_allow_it(netns: NetNs) -> None:
    sysctl(netns, tcp_fastopen=3)
    data = probe(*FEW, "--fast-open", netns=netns)
    assert data["plan"]["exchange"] == "request"
    assert (data["fast_open"]["used"], data["fast_open"]["asked"]) == (60, 60)
    assert data["answer"]["count"] == 60
    assert data["connect"] is None  # the request goes with the SYN
    data = probe(*FEW, "--fast-open", "--concurrency", 7, "--close", "server", netns=netns)
    assert data["made"] == data["fast_open"]["used"] == 60


def test_fast_open_that_the_listener_may_not_take(netns: NetNs) -> None:
    sysctl(netns, tcp_fastopen=1)
    document = tcptool("probe", "connect", *FEW, "--fast-open", "--json", netns=netns).json
    found = document["data"]["fast_open"]
    assert (found["used"], found["asked"], found["enabled"]) == (0, 60, 1)
    (warning,) = (one for one in document["warnings"] if one["id"] == "fast-open-unused")
    assert "which lacks 2 (servers)" in warning["message"]


@pytest.mark.parametrize("value", [0, 2])
def test_fast_open_that_clients_may_not_ask_for(value: int, netns: NetNs) -> None:
    sysctl(netns, tcp_fastopen=value)
    run = tcptool("probe", "connect", "--fast-open", netns=netns)
    run.failed(5, "EOPNOTSUPP", "net.ipv4.tcp_fastopen")


def test_reserved_ports_and_those_in_use_are_told(netns: NetNs) -> None:
    sysctl(netns, ip_local_port_range="40000 40999", ip_local_reserved_ports="40100-40109,7")
    document = tcptool("probe", "connect", "--connections", 120, "--json", netns=netns).json
    found = document["data"]["ports"]
    assert (found["first"], found["last"], found["reserved"]) == (40_000, 40_999, 10)
    assert (found["used"], found["taken"], found["left"]) == (130, 130, 860)
    assert "time-wait-grew" in ids(document)


def test_in_another_network_namespace(netns: NetNs) -> None:
    if netns.in_user_namespace:
        return
    sysctl(netns, ip_local_port_range="40000 40999")
    document = tcptool("probe", "connect", *FEW, "--netns", netns.pid, "--json").json
    data = document["data"]
    assert "socket-in-netns" in ids(document)
    assert data["tw_after"] == time_waits(netns) == data["ports"]["taken"] == ALL
    assert data["ports"]["first"] == 40_000
    assert data["counters"]["active_opens"] == ALL + 1


def test_an_ordinary_user_can_do_it_all() -> None:
    data = probe(*FEW, "--close", "reset", uid=NOBODY)
    assert data["made"] == 60
    assert data["ports"]["taken"] is not None


# -- other programs ------------------------------------------------------------------------


def sink(netns: NetNs) -> Child:
    return spawn(SINK, netns=netns)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
def test_a_listener_of_another_program(host: str, netns: NetNs) -> None:
    with sink(netns) as child:
        to = f"{host}:{child.ready}"
        data = probe(*FEW, "--to", to, "--concurrency", 4, netns=netns)
        assert (data["plan"]["to"], data["made"]) == (to, 60)
        assert data["connect"]["count"] == 60
        for unknown in ("far_cpu_us", "exchange", "answer", "close"):
            assert data[unknown] is None, unknown
        assert data["settings"]["rcvbuf_bytes"] is None
        assert data["ports"]["used"] == data["ports"]["taken"] == ALL
        again = probe(*FEW, "--to", to, "--close", "reset", netns=netns)
        assert again["made"] == 60
        assert again["ports"]["taken"] <= ALL  # those of the run before


def test_a_name_has_the_family_that_was_asked_for(netns: NetNs) -> None:
    with sink(netns) as child:
        words = ("--to", f"[::1]:{child.ready}", "-6")
        assert probe(*FEW, *words, netns=netns)["made"] == 60
        run = tcptool("probe", "connect", "--to", f"127.0.0.1:{child.ready}", "-6", netns=netns)
        run.failed(3, "no address of the family")


def test_nobody_there(netns: NetNs) -> None:
    run = tcptool("probe", "connect", "--to", "127.0.0.1:9", netns=netns)
    run.failed(6, "connecting to 127.0.0.1:9", "ECONNREFUSED")
    run = tcptool("probe", "connect", "--to", "192.0.2.7:9", netns=netns)
    run.failed(6, "connecting to 192.0.2.7:9", "ENETUNREACH")


FULL = """
server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen({backlog})
"""
"""An owner's set-up: a listener that accepts nothing, so that from one more on than its backlog
the kernel drops what comes (tcp_conn_request(), net/ipv4/tcp_input.c)."""


def test_a_black_hole(netns: NetNs) -> None:
    with owner(netns, setup=FULL.format(backlog=0)) as one:
        one("client = socket.create_connection(server.getsockname())")
        to = f"127.0.0.1:{one.port('server')}"
        run = tcptool("probe", "connect", "--to", to, "--timeout", "200ms", netns=netns)
        run.failed(6, f"connecting to {to}", "no answer within 0.2 s")


def test_a_listener_that_falls_silent(netns: NetNs) -> None:
    """The trial, the warm-up and three blocks fit into its queue."""
    with owner(netns, setup=FULL.format(backlog=WARM_UP + 15)) as one:
        to = f"127.0.0.1:{one.port('server')}"
        run = tcptool(
            "probe", "connect", *FEW, "--to", to, "--timeout", "200ms", "--json", netns=netns
        )
    assert (run.status, run.err) == (6, "")
    document = json.loads(run.out)
    data = document["data"]
    assert (data["complete"], data["ended_by"], data["made"]) == (False, "no-answer", 15)
    assert data["failed"] == [{"error": "ETIMEDOUT", "count": 1}]
    assert data["counters"]["listen_overflows"] >= 1
    assert {"no-answer", "some-failed", "listen-overflow", "too-few"} <= ids(document)


def test_a_listener_that_goes_away(netns: NetNs) -> None:
    """Its queue is full, so the run waits; the next SYN, a second later, is refused."""
    with owner(netns, setup=FULL.format(backlog=WARM_UP + 15)) as one:
        to = f"127.0.0.1:{one.port('server')}"
        with started(netns, *map(str, FEW), "--to", to, "--json") as run:
            wait_until(lambda: waiting_for_an_answer(run.pid), deadline_s=30)
            one("server.close()")
            out, err = run.communicate(timeout=30)
    assert (run.returncode, err) == (0, b"")
    data = json.loads(out)["data"]
    assert (data["complete"], data["ended_by"], data["made"]) == (True, "done", 15)
    assert data["failed"] == [{"error": "ECONNREFUSED", "count": 45}]


# -- no ports left -------------------------------------------------------------------------


def test_no_ports_left(netns: NetNs) -> None:
    """The listener has one of them."""
    few_ports(netns)
    run = tcptool("probe", "connect", *FEW, "--json", netns=netns)
    assert (run.status, run.err) == (6, "")
    document = json.loads(run.out)
    data = document["data"]
    assert (data["complete"], data["ended_by"]) == (False, "no-ports-left")
    assert data["made"] == 31 - WARM_UP
    assert (data["ports"]["used"], data["ports"]["taken"]) == (31, 31)
    assert data["tw_after"] == time_waits(netns) == 31
    assert data["failed"] == []
    assert {"no-ports-left", "time-wait-grew"} <= ids(document)
    (text,) = (one["message"] for one in document["warnings"] if one["id"] == "no-ports-left")
    assert "40000..40031" in text
    assert "--close server" in text
    # The only port without TIME_WAIT is the listener's again.
    again = tcptool("probe", "connect", *FEW, netns=netns)
    again.failed(6, "EADDRNOTAVAIL", "net.ipv4.ip_local_port_range", "state time-wait")


@pytest.mark.parametrize("closer", ["server", "reset"])
def test_what_helps_when_no_ports_are_left(closer: str, netns: NetNs) -> None:
    few_ports(netns)
    assert probe(*FEW, "--close", closer, netns=netns)["made"] == 60


def test_more_in_flight_than_ports(netns: NetNs) -> None:
    few_ports(netns)
    words = ("--concurrency", 40, "--close", "reset", "--connections", 600)
    run = tcptool("probe", "connect", *words, "--json", netns=netns)
    data = json.loads(run.out)["data"]
    assert (run.status, data["ended_by"], data["made"]) == (6, "no-ports-left", 0)
    assert data["connect"] is None
    assert states(netns) == set()


def test_more_in_flight_than_descriptors(netns: NetNs) -> None:
    command = f"ulimit -n 40; exec {sys.executable} -m tcptool probe connect --concurrency 100"
    done = subprocess.run(
        [*netns.enter(), "sh", "-c", command], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (6, "")
    assert "making a socket: Too many open files (EMFILE)" in done.stderr
    assert "ulimit -n" in done.stderr
    wait_until(lambda: states(netns) <= {"time-wait"})


# -- rough weather -------------------------------------------------------------------------


def started(netns: NetNs, *words: str) -> subprocess.Popen[bytes]:
    """A run of the real program in the background; nsenter keeps its pid."""
    return subprocess.Popen(
        [*netns.enter(), sys.executable, "-m", "tcptool", "probe", "connect", *words],
        cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


LONG = ("--duration", "60s", "--close", "server")
"""Until something ends it."""


def has_ended(pid: int) -> bool:
    """Whether it is gone, or waits for its new parent to notice that."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return text.rpartition(")")[2].split()[0] == "Z"


def is_measuring(netns: NetNs) -> bool:
    return time_waits(netns) > 100


def waiting_for_an_answer(pid: int) -> bool:
    """Whether there is a connection in SYN-SENT (02) in its network namespace."""
    lines = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    return any(line.split()[3] == "02" for line in lines)


def test_ctrl_c_gives_the_blocks_that_were_measured(netns: NetNs) -> None:
    with owner(netns, setup=FULL.format(backlog=WARM_UP + 15)) as one:
        to = f"127.0.0.1:{one.port('server')}"
        with started(netns, *map(str, FEW), "--to", to, "--json") as run:
            wait_until(lambda: waiting_for_an_answer(run.pid), deadline_s=30)
            run.send_signal(signal.SIGINT)
            out, err = run.communicate(timeout=30)
    assert (run.returncode, err) == (130, b"")
    data = json.loads(out)["data"]
    assert (data["complete"], data["ended_by"], data["made"]) == (False, "interrupted", 15)
    assert [block["made"] for block in data["blocks"]] == [5, 5, 5, 0]
    assert data["failed"] == []


@pytest.mark.parametrize("words", [(), ("--concurrency", "30", "--exchange", "request")])
def test_nothing_is_left_behind_after_ctrl_c(words: tuple[str, ...], netns: NetNs) -> None:
    with started(netns, *LONG, *words, "--json") as run:
        wait_until(lambda: is_measuring(netns), deadline_s=30)
        (child,) = children_of(run.pid)
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=30)
    assert (run.returncode, err) == (130, b"")
    data = json.loads(out)["data"]
    assert data["complete"] is False
    assert data["made"] > 0
    assert data["connect"]["count"] == data["made"]
    assert not Path(f"/proc/{child}").exists()
    wait_until(lambda: states(netns) <= {"time-wait"})


@pytest.mark.parametrize("words", [(), ("--concurrency", "200", "--exchange", "request")])
def test_a_far_end_that_is_killed(words: tuple[str, ...], netns: NetNs) -> None:
    with started(netns, *LONG, *words) as run:
        wait_until(lambda: is_measuring(netns), deadline_s=30)
        (child,) = children_of(run.pid)
        os.kill(child, signal.SIGKILL)
        out, err = run.communicate(timeout=30)
    assert (run.returncode, out) == (6, b"")
    assert b"acceptor in process %d: it was killed by SIGKILL" % child in err
    wait_until(lambda: states(netns) <= {"time-wait"})


def test_a_far_end_that_is_stopped(netns: NetNs) -> None:
    with started(netns, *LONG, "--timeout", "300ms") as run:
        wait_until(lambda: is_measuring(netns), deadline_s=30)
        (child,) = children_of(run.pid)
        os.kill(child, signal.SIGSTOP)
        out, err = run.communicate(timeout=30)
    assert (run.returncode, out) == (6, b"")
    assert b"it said nothing for 0.3 s" in err
    assert not Path(f"/proc/{child}").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_child_outlives_one_that_is_killed(number: signal.Signals, netns: NetNs) -> None:
    with started(netns, *LONG) as run:
        wait_until(lambda: is_measuring(netns), deadline_s=30)
        (child,) = children_of(run.pid)
        run.send_signal(number)
        run.communicate(timeout=30)
    assert run.returncode == -number
    wait_until(lambda: has_ended(child))


def test_other_connections_are_left_alone(netns: NetNs) -> None:
    with owner(netns) as one:
        one("server = socket.create_server(('127.0.0.1', 0))")
        one("client = socket.create_connection(server.getsockname())")
        probe(*FEW, "--close", "reset", netns=netns)
        assert tcptool("list", "--json", netns=netns).data["count"] == 3
        assert one("client.getsockopt(6, 11, 1)[0]") == 1


# -- what a person sees --------------------------------------------------------------------


def test_on_a_terminal_the_table_fits() -> None:
    words = ["--exchange", "request", "--close", "reset", "--connections", "120"]
    terminal = Terminal(["probe", "connect", *words, "-q"], 80)
    text = terminal.read_until(None)
    assert terminal.close() == 0
    lines = screen_lines(text)
    assert max(map(len, lines)) <= 80
    assert any("p50" in line and "max" in line for line in lines)
    assert any("this end resets" in line for line in lines)


def test_in_a_pipe_every_cell_is_a_word(netns: NetNs) -> None:
    rows = table(tcptool("probe", "connect", *FEW, "-q", netns=netns))
    found = {row["figure"]: row["value"] for row in rows}
    assert (found["made"], found["tw_after"], found["to"]) == ("60", str(ALL), "-")
