"""`serve` as clients see it: what it answers, to whom, and what it says when it ends."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tcptool.traffic.ends import unacknowledged_bytes
from tests.live.program import NOBODY, start, tcptool
from tests.live.serving import (
    CLOSING,
    GET,
    Served,
    clients,
    descriptors,
    read_answer,
    read_to_end,
    serving,
)
from tests.live.test_completion import need
from tests.live.test_rough_weather import Terminal, screen_lines
from tests.support.netns import NetNs
from tests.support.waiting import wait_until

POST = b"POST / HTTP/1.1\r\nHost: a\r\n"


def status(answer: bytes) -> int:
    return int(answer.split(maxsplit=2)[1])


# -- HTTP ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (CLOSING % b"/", 200),
        (b"HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 200),
        (b"GET / HTTP/1.0\r\n\r\n", 200),
        (CLOSING % b"/none", 404),
        (POST + b"Connection: close\r\nContent-Length: 3\r\n\r\nabc", 405),
        (b"BREW / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % (b"a" * 9000), 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431),
        (POST + b"Content-Length: 9999999999999\r\n\r\n", 413),
        (POST + b"Transfer-Encoding: gzip\r\n\r\n", 501),
        (POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (GET[:-2] + b"Expect: a-miracle\r\n\r\n", 417),
    ],
)
def test_every_request_gets_the_status_that_the_rfcs_say(request_: bytes, expected: int) -> None:
    with serving() as served:
        answer = served.ask(request_)
        assert status(answer) == expected
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b"\r\nDate: " in head
        if request_.startswith(b"HEAD"):
            assert body == b""
        else:
            assert f"Content-Length: {len(body)}".encode() in head


@pytest.fixture(scope="module")
def shared() -> Iterator[Served]:
    with serving() as served:
        yield served


def test_pipelined_requests_are_answered_in_order(shared: Served) -> None:
    sizes = [1, 100_000, 0, 7, 300_000, 2]
    requests = b"".join(b"GET /bytes/%d HTTP/1.1\r\nHost: a\r\n\r\n" % size for size in sizes)
    with shared.connect() as sock:
        sock.sendall(requests)
        assert [len(read_answer(sock).partition(b"\r\n\r\n")[2]) for _ in sizes] == sizes


def test_a_request_may_come_in_any_two_pieces(shared: Served) -> None:
    with shared.connect() as sock:
        for cut in range(1, len(GET)):
            sock.sendall(GET[:cut])
            # The server has read the first piece before the second comes.
            wait_until(lambda: not unacknowledged_bytes(sock))
            sock.sendall(GET[cut:])
            assert status(read_answer(sock)) == 200


def test_the_same_bytes_get_the_same_answer_from_memory(shared: Served) -> None:
    before = shared.stats()["total"]
    with shared.connect() as sock:
        answers = set()
        for _ in range(50):
            sock.sendall(GET)
            answers.add(re.sub(rb"Date: [^\r]*", b"", read_answer(sock)))
    assert len(answers) == 1
    after = shared.stats()["total"]
    assert after["answers"] - before["answers"] == 51, "and the page that told of before"
    assert after["remembered"] > before["remembered"]
    assert after["received_bytes"] - before["received_bytes"] > 50 * len(GET)


def test_a_body_is_read_and_the_connection_goes_on(shared: Served) -> None:
    chunked = b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    with shared.connect() as sock:
        for body in (b"Content-Length: 100000\r\n\r\n" + bytes(100_000), chunked):
            sock.sendall(POST + body)
            assert status(read_answer(sock)) == 405
        sock.sendall(POST + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert sock.recv(len(b"HTTP/1.1 100 Continue\r\n\r\n")) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"abc")
        assert status(read_answer(sock)) == 405
        sock.sendall(GET)
        assert status(read_answer(sock)) == 200


def test_keep_alive_of_http_1_0_has_to_be_asked_for(shared: Served) -> None:
    with shared.connect() as sock:
        sock.sendall(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert b"Connection: keep-alive" in read_answer(sock)
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert status(read_to_end(sock)) == 200


def test_a_client_that_sends_no_more_still_gets_its_answer(shared: Served) -> None:
    with shared.connect() as sock:
        sock.sendall(b"GET /bytes/5000000 HTTP/1.1\r\nHost: a\r\n\r\n")
        sock.shutdown(socket.SHUT_WR)
        assert len(read_to_end(sock)) > 5_000_000


def test_what_is_refused_is_told_even_to_one_that_goes_on_sending(shared: Served) -> None:
    with shared.connect() as sock:
        sock.sendall(POST + b"Content-Length: 99999999999\r\n\r\n" + bytes(2 << 20))
        assert status(read_to_end(sock)) == 413


def test_echo_shows_the_head(shared: Served) -> None:
    request = CLOSING % b"/echo?x=1"
    assert shared.ask(request).endswith(request)


def test_figures_for_people_and_for_prometheus(shared: Served) -> None:
    code, body = shared.get("/metrics")
    families = {one.name: one for one in text_string_to_metric_families(body.decode())}
    assert code == 200
    assert families["tcptool_serve_clients"].samples[0].value >= 1
    answers = {one.labels["code"] for one in families["tcptool_serve_answers"].samples}
    assert answers == {"2xx", "3xx", "4xx", "5xx"}
    stats = shared.stats()
    assert stats["workers"][0]["pid"] == shared.workers[0]
    assert stats["p50_us"] <= stats["p99_us"]


# -- files ---------------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path: Path) -> Path:
    root = tmp_path / "site"
    (root / "inner").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    (root / "page.html").write_text("<p>page</p>")
    (root / "small.bin").write_bytes(bytes(range(256)))
    (root / "large.bin").write_bytes(os.urandom(3 << 20))
    (root / "empty").touch()
    (root / "inner" / "index.html").write_text("inner")
    (root / "link").symlink_to("../secret")
    (root / "out").symlink_to("..")
    os.mkfifo(root / "fifo")
    return root


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/page.html", 200),
        ("/page.html?a=b", 200),
        ("/inner/", 200),
        ("/%70age.html", 200),
        ("/empty", 200),
        ("/", 200),
        ("/none", 404),
        ("/inner", 301),
        ("/link", 404),
        ("/out/secret", 404),
        ("/../secret", 404),
        ("/%2e%2e/secret", 404),
        ("/..%2fsecret", 404),
        ("/inner/../../secret", 404),
        ("/page.html%00", 404),
        ("/fifo", 404),
        ("/page.html/", 404),
        ("//page.html", 200),
        ("/" + "a" * 300, 404),
    ],
)
def test_files_below_the_root_and_no_others(path: str, expected: int, site: Path) -> None:
    with serving("--root", site) as served:
        code, body = served.get(path)
        assert code == expected
        assert b"secret" not in body


def test_a_file_arrives_whole_and_in_ranges(site: Path) -> None:
    large = (site / "large.bin").read_bytes()
    with serving("--root", site) as served:
        connection = http.client.HTTPConnection(served.address, served.port, timeout=10)

        def get(**fields: str) -> http.client.HTTPResponse:
            named = {name.replace("_", "-"): value for name, value in fields.items()}
            connection.request("GET", "/large.bin", headers=named)
            return connection.getresponse()

        whole = get()
        etag = whole.headers["ETag"]
        assert whole.read() == large
        for wanted, start_, stop in (
            ("bytes=0-9", 0, 10),
            ("bytes=100-", 100, len(large)),
            ("bytes=-5", len(large) - 5, len(large)),
            (f"bytes=5-{len(large) * 2}", 5, len(large)),
        ):
            part = get(Range=wanted)
            assert part.status == 206
            assert part.headers["Content-Range"] == f"bytes {start_}-{stop - 1}/{len(large)}"
            assert part.read() == large[start_:stop]
        for ignored in ("bytes=0-1,5-6", "lines=1-2", "bytes=9-1", "bytes=", "bytes=-"):
            answer = get(Range=ignored)
            assert (answer.status, answer.read()) == (200, large)
        beyond = get(Range=f"bytes={len(large)}-")
        assert (beyond.status, beyond.headers["Content-Range"]) == (416, f"bytes */{len(large)}")
        beyond.read()
        for fields, expected in (
            ({"If_None_Match": etag}, 304),
            ({"If_None_Match": f'"x", W/{etag}'}, 304),
            ({"If_None_Match": "*"}, 304),
            ({"If_None_Match": '"x"'}, 200),
            ({"If_Modified_Since": whole.headers["Last-Modified"]}, 304),
            ({"If_Modified_Since": "Thu, 01 Jan 1970 00:00:00 GMT"}, 200),
            ({"If_Modified_Since": "yesterday"}, 200),
            ({"If_Range": etag, "Range": "bytes=0-0"}, 206),
            ({"If_Range": '"x"', "Range": "bytes=0-0"}, 200),
        ):
            answer = get(**fields)
            assert answer.status == expected, fields
            answer.read()
        connection.close()
        wait_until(lambda: not any("large" in one for one in open_files(served.workers[0])))


def open_files(pid: int) -> list[str]:
    names = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            names.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
    return names


def test_a_head_tells_what_a_get_would(site: Path) -> None:
    with serving("--root", site) as served:
        asked = b" /small.bin HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        head, _, body = served.ask(b"GET" + asked).partition(b"\r\n\r\n")
        assert body == bytes(range(256))
        date = re.compile(rb"Date: [^\r]*")
        assert date.sub(b"", served.ask(b"HEAD" + asked)) == date.sub(b"", head) + b"\r\n\r\n"


def test_a_file_that_becomes_shorter_ends_in_a_reset_and_not_in_a_lie(site: Path) -> None:
    large = site / "large.bin"
    os.truncate(large, 200 << 20)
    with serving("--root", site) as served, served.connect() as sock:
        sock.sendall(CLOSING % b"/large.bin")
        sock.recv(1000)
        os.truncate(large, 1000)
        with pytest.raises(ConnectionResetError):
            read_to_end(sock)
        assert "became shorter" in served.child.stderr()


def test_a_root_that_is_none_is_refused_before_anything_listens(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    tcptool("serve", "--port", 0, "--root", tmp_path / "none").failed(3, "none")
    tcptool("serve", "--port", 0, "--root", tmp_path / "file").failed(2, "not a directory")
    tcptool("serve", "--port", 0, "--access-log", tmp_path / "no" / "log").failed(3, "access log")


# -- the log -------------------------------------------------------------------------------


def test_the_access_log_has_a_line_for_each_answer_and_hostile_ones_are_escaped(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    with serving("--access-log", log) as served:
        served.get("/")
        served.get('/"\\')
        served.ask(b"nonsense\r\n\r\n")
        served.end()
    lines = log.read_text().splitlines()
    stamp = r"127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "
    assert re.fullmatch(stamp + r'"GET / HTTP/1\.1" 200 \d+', lines[0]), lines
    assert re.fullmatch(stamp + r'"GET /\\x22\\x5C HTTP/1\.1" 404 \d+', lines[1]), lines
    assert re.fullmatch(stamp + r'"-" 400 \d+', lines[2]), lines


# -- addresses -----------------------------------------------------------------------------


def test_ipv6() -> None:
    with serving("-6") as served:
        assert served.started["url"] == f"http://[::1]:{served.port}/"
        assert served.get("/")[0] == 200


def test_a_unix_socket_is_removed_at_the_end_and_a_dead_one_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    with serving("--unix", path) as served:
        assert served.started["url"] is None
        assert served.get("/")[0] == 200
        tcptool("serve", "--unix", path).failed(6, "another program listens there")
        served.end()
        assert not path.exists()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with serving("--unix", path, "--workers", 2) as served:
        assert served.get("/")[0] == 200
        served.end()
    path.write_text("precious")
    tcptool("serve", "--unix", path).failed(6, "a file of that name exists")
    assert path.read_text() == "precious"


def test_a_port_in_use_names_who_holds_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for workers in (1, 2):
            run = tcptool("serve", "--port", port, "--workers", workers)
            run.failed(6, "EADDRINUSE", f"({os.getpid()}:{server.fileno()})")


def test_an_address_that_is_not_here(netns: NetNs) -> None:
    tcptool("serve", "--bind", "192.0.2.1", netns=netns).failed(6, "EADDRNOTAVAIL", "ip address")
    tcptool("serve", "--bind", "no.such.name.invalid", netns=netns).failed(3, "--bind")


def test_a_privileged_port_names_the_capability(netns: NetNs) -> None:
    netns.run("sh", "-c", "echo 1024 > /proc/sys/net/ipv4/ip_unprivileged_port_start")
    run = tcptool("serve", "--port", 80, netns=netns, uid=NOBODY)
    run.failed(4, "EACCES", "CAP_NET_BIND_SERVICE")


def test_options_are_inherited_by_accepted_sockets(netns: NetNs) -> None:
    words = ("--set", "TCP_USER_TIMEOUT=7s", "--set", "keepalive=1")
    with start("serve", "--json", "--port", 0, *words, netns=netns) as child:
        port = child.ready["data"]["port"]
        sock = netns.call(socket.create_connection, ("127.0.0.1", port), 10)
        with sock:
            sock.sendall(GET)
            read_answer(sock)
            target = f"127.0.0.1:{port}-127.0.0.1:{sock.getsockname()[1]}"
            shown = tcptool("inspect", target, "--json", netns=netns).data["options"]
    options = {one["name"]: one["value"] for one in shown}
    assert options["TCP_USER_TIMEOUT"] == 7000
    assert options["SO_KEEPALIVE"] is True
    assert options["TCP_NODELAY"] is True


# -- other services ------------------------------------------------------------------------


def test_a_sink_is_the_far_end_of_a_probe() -> None:
    with serving("--sink") as served:
        to = f"{served.address}:{served.port}"
        words = ("--to", to, "--size", "2M", "--connections", 2, "--json", "-q")
        (result,) = tcptool("probe", "sendfile", *words).data["results"]
        assert result["payload_bytes"] == 2 << 20
        total = served.end()["stats"]["total"]
    assert total["accepted"] == 2
    assert total["received_bytes"] >= 2 << 20


def test_chargen_writes_until_the_client_goes() -> None:
    with serving("--chargen") as served:
        with served.connect() as sock:
            seen = 0
            while seen < 10 << 20:
                seen += len(sock.recv(1 << 20))
        assert wait_for_clients(served, 0)


def wait_for_clients(served: Served, number: int) -> bool:
    """For a service without /stats: the descriptors of the worker tell."""
    with served.connect():
        pass
    idle = descriptors(served.workers[0])
    return bool(wait_until(lambda: descriptors(served.workers[0]) <= idle + number))


# -- misbehaviour --------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["no-read", "slow-read"])
def test_a_server_that_does_not_read_stops_its_client(how: str) -> None:
    with serving("--misbehave", how, "--set", "SO_RCVBUF=16K") as served, served.connect() as sock:
        sock.setblocking(False)
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while sent < 1 << 30:
                sent += sock.send(bytes(1 << 16))
        assert sent < 1 << 30
        if how == "slow-read":
            assert wait_until(lambda: served.child.process.poll() is None)
            total = served.end(signal.SIGINT)["stats"]["total"]
            assert total["received_bytes"] < sent


def test_a_server_that_resets_in_the_middle_of_an_answer() -> None:
    with serving("--misbehave", "rst") as served, served.connect() as sock:
        sock.sendall(GET)
        with pytest.raises(ConnectionResetError):
            read_to_end(sock)


def test_a_server_that_corks_holds_back_the_end(netns: NetNs) -> None:
    with start("serve", "--json", "--port", 0, "--misbehave", "corked", netns=netns) as child:
        port = child.ready["data"]["port"]
        with netns.call(socket.create_connection, ("127.0.0.1", port), 10) as sock:
            sock.sendall(GET)
            read_answer(sock)
            target = f"127.0.0.1:{port}-127.0.0.1:{sock.getsockname()[1]}"
            shown = tcptool("inspect", target, "--json", netns=netns).data["options"]
    assert {one["name"]: one["value"] for one in shown}["TCP_CORK"] is True


def test_a_server_that_half_closes_leaves_its_client_in_close_wait() -> None:
    with serving("--misbehave", "half-close") as served, served.connect() as sock:
        sock.sendall(GET)
        assert status(read_to_end(sock)) == 200
        local, port = sock.getsockname()[1], served.port
        found = tcptool("list", f"sport = :{local} and dport = :{port}", "--json", "-o", "state")
        assert [one["state"] for one in found.data["sockets"]] == ["close-wait"]
        sock.sendall(GET)
        assert sock.recv(1) == b""


def test_a_server_that_accepts_slowly_lets_its_queue_grow() -> None:
    with serving("--misbehave", "slow-accept") as served:
        socks = [served.connect() for _ in range(8)]
        wanted = f"state listening and sport = :{served.port}"
        (listener,) = tcptool("list", wanted, "--json", "-o", "all").data["sockets"]
        assert listener["accept_queue"] > 1
        for sock in socks:
            sock.close()


# -- the end -------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_well_with_a_summary(number: signal.Signals) -> None:
    with serving() as served:
        served.get("/")
        served.get("/none")
        last = served.end(number)
    assert last["ended_by"] == number.name
    total = last["stats"]["total"]
    assert (total["accepted"], total["answers"], total["answers_4xx"]) == (2, 2, 1)
    assert last["cut_off"] == 0


def test_the_summary_for_people() -> None:
    command = [sys.executable, "-m", "tcptool", "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        first = run.stdout.readline()
        assert re.fullmatch(r"serving http://127\.0\.0\.1:\d+/, worker \d+\n", first)
        run.send_signal(signal.SIGINT)
        assert run.stdout.read().startswith("ended by SIGINT after ")
        assert run.wait(10) == 0


def test_the_live_view_and_the_summary_below_it() -> None:
    terminal = Terminal(["serve", "--port", "0", "--live"], 90)
    shown = "\n".join(screen_lines(terminal.read_until(rb"no answer yet")))
    port = re.findall(r"http://127\.0\.0\.1:(\d+)/", shown)[0]
    with socket.create_connection(("127.0.0.1", int(port))) as sock:
        sock.sendall(GET)
        read_answer(sock)
        name = f"127.0.0.1:{sock.getsockname()[1]}"
        terminal.read_until(rb"(?s)1 answers .*" + re.escape(name).encode() + rb".*established")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.close() == 0
    assert b"ended by SIGINT" in terminal.raw


# -- real clients --------------------------------------------------------------------------


def test_http_client(shared: Served) -> None:
    connection = http.client.HTTPConnection(shared.address, shared.port, timeout=10)
    bodies = {}
    for path in ("/", "/bytes/1000000", "/stats"):
        connection.request("GET", path)
        answer = connection.getresponse()
        bodies[path] = answer.read()
        assert answer.status == 200
    assert len(bodies["/bytes/1000000"]) == 1_000_000
    assert json.loads(bodies["/stats"])["schema"] == "tcptool.serve-stats/1"
    connection.close()


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["curl", "-sS", "--fail", "{url}"], "It works"),
        (["curl", "-sS", "--http1.0", "{url}"], "It works"),
        (["curl", "-sS", "-T", "/etc/hosts", "-o", "/dev/null", "-w", "%{{http_code}}", "{url}x"],
         "405"),
        (["wrk", "-t1", "-c8", "-d1", "{url}"], "requests in"),
        (["ab", "-k", "-q", "-n500", "-c8", "{url}"], "Failed requests:        0"),
        (["ab", "-q", "-n200", "-c8", "{url}"], "Failed requests:        0"),
        (["h2load", "--h1", "-n500", "-c8", "{url}"], "500 succeeded, 0 failed, 0 errored"),
    ],
)  # fmt: skip
def test_a_real_client_is_content(command: list[str], expected: str, shared: Served) -> None:
    need(command[0])
    url = f"http://{shared.address}:{shared.port}/"
    words = [word.format(url=url) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done
    assert expected in done.stdout
    assert "Non-2xx" not in done.stdout


def test_nothing_is_left_of_clients_that_have_gone(shared: Served) -> None:
    before = descriptors(shared.workers[0])
    socks = [shared.connect() for _ in range(100)]
    for sock in socks[::2]:
        sock.sendall(GET[:10])
    clients(shared, 100)
    for sock in socks:
        sock.close()
    clients(shared, 0)
    wait_until(lambda: descriptors(shared.workers[0]) <= before)
