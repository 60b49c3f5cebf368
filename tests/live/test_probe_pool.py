"""`probe pool` as a user runs it: what reuse is worth, which check helps, and servers that fail."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.live.pool_server import answer, server
from tests.live.program import NOBODY, children_of, table_of, tcptool
from tests.live.serving import serving
from tests.live.test_completion import need
from tests.live.test_rough_weather import Terminal, screen_lines
from tests.support.children import ROOT
from tests.support.netns import NetNs
from tests.support.waiting import wait_until

FEW = ("--requests", 120)


def probe(*words: object, **more: Any) -> dict[str, Any]:
    """The arms of a run that ended well, by name."""
    data = tcptool("probe", "pool", *words, "--json", "-q", **more).data
    return {one["name"]: one for one in data["arms"]}


def test_a_connection_that_is_there_is_used_again(netns: NetNs) -> None:
    arms = probe(*FEW, netns=netns)
    assert list(arms) == ["peek", "fresh"]
    assert (arms["peek"]["requests"], arms["peek"]["created"]) == (120, 12)
    assert (arms["fresh"]["requests"], arms["fresh"]["created"]) == (120, 120)
    assert (arms["peek"]["reuse_percent"], arms["fresh"]["reuse_percent"]) == (90, 0)
    assert arms["fresh"]["reused"] is None
    assert len(arms["peek"]["blocks"]) == 12
    assert arms["fresh"]["outcome"]["verdict"] in ("less", "no-difference")


def test_a_client_that_closes_first_is_left_with_time_wait(netns: NetNs) -> None:
    data = tcptool("probe", "pool", *FEW, "--fresh", "--json", "-q", netns=netns).data
    assert data["tw_after"] - data["tw_before"] >= 120
    assert data["ports"]["used"] >= 120


def test_so_error_hands_out_what_is_dead_and_the_others_do_not(netns: NetNs) -> None:
    arms = probe(
        "--requests", 6, "--blocks", 2, "--check", "none,so_error,tcp_info,rdhup,peek",
        "--idle", "700ms", "--server-closes-after", "250ms", netns=netns,
    )  # fmt: skip
    for name in ("none", "so_error"):
        assert arms[name]["stale_handed_out"] > 0, name
        assert {one["kind"] for one in arms[name]["failed"]} == {"stale"}
        assert arms[name]["invalid_found"] == 0
    for name in ("tcp_info", "rdhup", "peek"):
        assert arms[name]["stale_handed_out"] == 0, name
        assert arms[name]["invalid_found"] > 0
        assert arms[name]["failed"] == []


def test_threads_share_the_pool(netns: NetNs) -> None:
    arms = probe("--requests", 480, "--concurrency", 8, "--limit", 2, netns=netns)
    assert arms["peek"]["requests"] == 480
    assert arms["peek"]["created"] <= 24
    assert arms["peek"]["waits"] > 0


def test_who_finds_all_in_use_may_be_refused(netns: NetNs) -> None:
    words = ("--concurrency", 8, "--limit", 1, "--when-full", "refuse", "--size", "1M")
    arms = probe("--requests", 240, *words, netns=netns)
    assert {one["kind"] for one in arms["peek"]["failed"]} == {"no connection free"}
    assert arms["peek"]["waits"] == 0


def test_a_schedule(netns: NetNs) -> None:
    data = tcptool("probe", "pool", *FEW, "--rate", 2000, "--json", "-q", netns=netns).data
    assert data["loop"] == "open"
    assert all(one["late"] is not None for one in data["arms"])


def test_it_can_go_on_for_a_time(netns: NetNs) -> None:
    arms = probe("--duration", "500ms", netns=netns)
    assert arms["peek"]["requests"] > 12


def test_another_server_and_ipv6(netns: NetNs) -> None:
    with serving("-6", netns=netns) as served:
        arms = probe(f"http://[::1]:{served.port}/bytes/100", *FEW, netns=netns)
        assert arms["peek"]["requests"] == 120
    assert probe("-6", *FEW, netns=netns)["peek"]["requests"] == 120


def test_a_server_that_closes_idle_connections_after_a_second() -> None:
    with serving("--idle-timeout", "1s") as served:
        words = ("--check", "so_error,peek", "--idle", "2500ms", "--requests", 2, "--blocks", 1)
        arms = probe(f"127.0.0.1:{served.port}", *words)
    assert arms["so_error"]["stale_handed_out"] > 0
    assert arms["peek"]["stale_handed_out"] == 0
    assert arms["peek"]["invalid_found"] > 0


def test_nginx(tmp_path: Path) -> None:
    need("nginx")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = tmp_path / "nginx.conf"
    config.write_text(f"""
daemon off; pid {tmp_path}/pid; error_log {tmp_path}/error.log; worker_processes 1;
events {{ worker_connections 256; }}
http {{
    access_log off; keepalive_requests 100000; keepalive_timeout 1s;
    client_body_temp_path {tmp_path}/a; proxy_temp_path {tmp_path}/b;
    fastcgi_temp_path {tmp_path}/c;
    uwsgi_temp_path {tmp_path}/d; scgi_temp_path {tmp_path}/e;
    server {{ listen 127.0.0.1:{port}; location / {{ return 200 "hello\\n"; }} }}
}}
""")
    with subprocess.Popen(["nginx", "-c", str(config), "-e", str(tmp_path / "start.log")]) as nginx:
        try:
            wait_until(lambda: listens(port))
            arms = probe(f"127.0.0.1:{port}", *FEW)
            assert (arms["peek"]["requests"], arms["peek"]["created"]) == (120, 12)
            words = ("--check", "so_error,peek", "--idle", "2500ms", "--requests", 2)
            arms = probe(f"127.0.0.1:{port}", *words, "--blocks", 1)
            assert arms["so_error"]["stale_handed_out"] > 0
            assert arms["peek"]["stale_handed_out"] == 0
        finally:
            nginx.terminate()


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


def test_an_ordinary_user_can_do_it_all() -> None:
    assert tcptool("probe", "pool", *FEW, "-q", uid=NOBODY).status == 0


def test_in_a_pipe_every_cell_is_a_word(netns: NetNs) -> None:
    lines = tcptool("probe", "pool", *FEW, "-q", netns=netns).lines
    rows = table_of([line for line in lines if not line.startswith("#")])
    assert [row["arm"] for row in rows] == ["peek", "fresh"]


def test_on_a_terminal_the_table_fits() -> None:
    terminal = Terminal(["probe", "pool", "--requests", "120", "-q"], 80)
    text = terminal.read_until(None)
    assert terminal.close() == 0
    assert max(map(len, screen_lines(text))) <= 80


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("127.0.0.1:1",), 6, "ECONNREFUSED"),
        (("no.such.name.invalid:80",), 3, "looking up"),
        (("https://127.0.0.1/",), 2, "no TLS"),
        (("127.0.0.1",), 6, "ECONNREFUSED"),
        (("127.0.0.1:0",), 2, "neither HOST:PORT nor"),
        (("127.0.0.1:1", "--size", "1K"), 2, "--size with a target"),
        (("127.0.0.1:1", "--server-closes-after", "1s"), 2, "--server-closes-after with a target"),
        (("--check", "hope"), 2, "there is no such check"),
        (("--requests", "0"), 2, "--requests"),
        (("--blocks", "0"), 2, "--blocks"),
        (("--requests", "5", "--duration", "1s"), 2, "--requests with --duration"),
        (("--concurrency", "0"), 2, "--concurrency"),
        (("--rate", "0"), 2, "--rate"),
        (("--limit", "0"), 2, "--limit"),
        (("--size", "5G"), 2, "--size"),
        (("-o", "/no/where"), 3, "/no/where"),
    ],
)
def test_what_cannot_be_is_told(
    words: tuple[str, ...], status: int, said: str, netns: NetNs
) -> None:
    tcptool("probe", "pool", *words, netns=netns).failed(status, said)


def test_a_server_that_is_no_http_server() -> None:
    with server(lambda sock: answer(sock, b"what?\r\n\r\n")) as running:
        run = tcptool("probe", "pool", f"127.0.0.1:{running.port}")
        run.failed(6, "malformed head", "Is it an HTTP server?")


def test_a_server_that_answers_nothing() -> None:
    with server(lambda sock: answer(sock, b"")) as running:
        run = tcptool("probe", "pool", f"127.0.0.1:{running.port}", "--timeout", "200ms")
        run.failed(6, "no answer in time")


def started(*words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tcptool", "probe", "pool", *words]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_ctrl_c_gives_what_was_measured_and_leaves_no_child() -> None:
    with started("--duration", "12s", "--json", "-q", "--cpu", "none") as run:
        wait_until(lambda: children_of(run.pid))
        (child,) = children_of(run.pid)
        # Some blocks are whole: each of the 24 takes half a second.
        wait_until(lambda: cpu_ticks(run.pid) > 200, 60)
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=30)
    assert run.returncode == 130, err
    assert '"complete":false' in out
    wait_until(lambda: not Path(f"/proc/{child}").exists())


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_a_server_of_ours_that_is_killed_is_told() -> None:
    with started("--duration", "60s", "-q") as run:
        wait_until(lambda: children_of(run.pid))
        (child,) = children_of(run.pid)
        wait_until(lambda: cpu_ticks(run.pid) > 50, 60)
        os.kill(child, signal.SIGKILL)
        _, err = run.communicate(timeout=30)
    assert run.returncode == 6, err
    assert "Traceback" not in err
