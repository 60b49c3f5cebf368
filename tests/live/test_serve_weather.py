"""`serve` in rough weather: slow clients, full tables, dead workers, the end under load."""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.live.program import start
from tests.live.serving import (
    CLOSING,
    GET,
    Served,
    clients,
    descriptors,
    read_answer,
    read_to_end,
    rss_kib,
    serving,
)
from tests.support.netns import NetNs
from tests.support.waiting import wait_until

MANY = 3000


@pytest.fixture(autouse=True)
def many_descriptors() -> Iterator[None]:
    """Clients are descriptors of the tests, too; the server inherits the limit."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@contextlib.contextmanager
def crowd(served: Served, number: int) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as opened:
        yield [opened.enter_context(served.connect()) for _ in range(number)]


def test_thousands_who_send_a_byte_at_a_time_hold_up_nobody_and_get_a_408() -> None:
    with serving("--idle-timeout", "3s") as served, crowd(served, MANY) as slow:
        empty = rss_kib(served.workers[0])
        for byte in GET[:8]:
            for sock in slow:
                sock.send(bytes([byte]))
            assert served.get("/")[0] == 200
        clients(served, MANY)
        assert rss_kib(served.workers[0]) - empty < MANY * 8, "8 KiB each"
        assert {read_to_end(sock).split()[1] for sock in slow} == {b"408"}
        total = served.end()["stats"]["total"]
    assert total["timed_out"] == MANY


def test_a_head_that_trickles_is_no_activity() -> None:
    with serving("--idle-timeout", "1s") as served, served.connect() as sock:
        sent = 0
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        while not poll.poll(50):
            sock.send(b"G" if not sent else b"E")
            sent += 1
            assert sent < 1000
        assert read_to_end(sock).startswith(b"HTTP/1.1 408 ")


def test_clients_that_never_read_are_closed_and_cost_others_nothing() -> None:
    with serving("--idle-timeout", "1s") as served, crowd(served, 50) as deaf:
        for sock in deaf:
            sock.sendall(b"GET /bytes/100000000 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert served.get("/bytes/1000000")[0] == 200
        clients(served, 0)
        assert served.stats()["total"]["lost"] == 50
        assert rss_kib(served.workers[0]) < 100_000


def test_a_client_that_asks_and_asks_and_never_reads_is_not_read_from_either() -> None:
    with serving() as served, served.connect() as sock:
        sock.setblocking(False)
        requests = b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n" * 1000
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while sent < 1 << 28:
                sent += sock.send(requests)
        assert sent < 1 << 28
        assert rss_kib(served.workers[0]) < 100_000
        sock.settimeout(10)
        whole = sent // len(b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n")
        for _ in range(min(whole, 2000)):
            assert read_answer(sock).startswith(b"HTTP/1.1 200 ")


def test_resets_in_the_middle_of_a_file_leave_nothing_open(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(8 << 20))
    with serving("--root", tmp_path) as served:
        for _ in range(20):
            with served.connect() as sock:
                sock.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
                sock.recv(1000)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        clients(served, 0)
        total = served.stats()["total"]
        assert total["lost"] == 20
        links = [os.readlink(f"/proc/{served.workers[0]}/fd/{fd}")
                 for fd in os.listdir(f"/proc/{served.workers[0]}/fd")
                 if os.path.lexists(f"/proc/{served.workers[0]}/fd/{fd}")]  # fmt: skip
        assert not [one for one in links if one.endswith("large")]


def test_idle_clients_are_closed_in_time_and_busy_ones_are_not() -> None:
    with serving("--idle-timeout", "1s") as served, served.connect() as busy:
        with crowd(served, 200) as idle:
            begun_s = time.monotonic()
            left = set(idle)
            poll = select.poll()
            by_fd = {sock.fileno(): sock for sock in idle}
            for sock in idle:
                poll.register(sock, select.POLLIN)
            while left:
                for fd, _ in poll.poll(100):
                    assert by_fd[fd].recv(1) == b""
                    assert time.monotonic() - begun_s > 0.7
                    left.discard(by_fd[fd])
                    poll.unregister(fd)
                busy.sendall(GET)
                read_answer(busy)
        assert served.stats()["total"]["timed_out"] == 200


def test_ten_thousand_idle_clients() -> None:
    number = min(10_000, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 200)
    with serving("--max-clients", 20_000) as served:
        served.get("/")
        before = rss_kib(served.workers[0])
        with crowd(served, number) as idle:
            for sock in idle:
                sock.sendall(GET)
            for sock in idle:
                read_answer(sock)
            clients(served, number)
            assert rss_kib(served.workers[0]) - before < number * 1024 // 1000 + 4096
            assert served.get("/")[0] == 200
        clients(served, 0)


def test_a_client_too_many_is_turned_away_politely_until_there_is_room() -> None:
    with serving("--max-clients", 3) as served:
        with crowd(served, 3) as accepted:
            for sock in accepted:
                sock.sendall(GET)
                read_answer(sock)
            answer = served.ask(GET)
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"Retry-After: " in answer
            assert served.ask(b"").startswith(b"HTTP/1.1 503 ")
        wait_until(lambda: served.get("/")[0] == 200)
        assert served.stats()["total"]["turned_away"] >= 2


def test_descriptors_that_run_out_and_come_back() -> None:
    words = ("serve", "--json", "--port", "0")
    program = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
sys.argv = ["tcptool", *{words!r}]
from tcptool.__main__ import main
sys.exit(main())
"""
    from tests.support.children import spawn

    with spawn(program, deadline_s=30) as child:
        served = Served(child)
        assert [one["id"] for one in child.ready["warnings"]] == ["few-descriptors"]
        with crowd(served, 80) as socks:
            for sock in socks:
                sock.sendall(GET)
            answers = [read_answer(sock).split()[1] for sock in socks]
            assert set(answers) == {b"200", b"503"}
            assert answers.count(b"200") > 40
        wait_until(lambda: served.get("/")[0] == 200)
        assert served.stats()["total"]["no_descriptor"] == answers.count(b"503")
        assert child.stderr().count("no descriptor is left") == 1


def test_a_storm_beyond_the_backlog_is_served_in_the_end() -> None:
    with serving("--backlog", 4) as served:
        answers: list[int] = []

        def ask() -> None:
            for _ in range(20):
                answers.append(served.get("/")[0])

        in_threads(ask, 16)
    assert answers == [200] * 320


def in_threads(work: Callable[[], None], number: int) -> None:
    threads = [threading.Thread(target=work) for _ in range(number)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
        assert not one.is_alive()


# -- workers -------------------------------------------------------------------------------


def test_workers_share_the_port_and_the_figures() -> None:
    with serving("--workers", 3) as served, crowd(served, 60) as socks:
        for sock in socks:
            sock.sendall(GET)
            read_answer(sock)
        workers = wait_until(
            lambda: (stats := served.stats())["total"]["answers"] >= 60 and stats["workers"]
        )
        assert [one["pid"] for one in workers] == served.workers
        assert all(one["stats"]["answers"] > 0 for one in workers)


def test_a_worker_that_is_killed_loses_its_own_clients_and_nobody_else() -> None:
    with serving("--workers", 2) as served, crowd(served, 40) as socks:
        for sock in socks:
            sock.sendall(GET)
            read_answer(sock)
        wait_until(lambda: served.stats()["total"]["answers"] >= 40)
        os.kill(served.workers[0], signal.SIGKILL)
        event = served.event()
        assert (event["event"], event["old_pid"]) == ("restart", served.workers[0])
        assert "SIGKILL" in event["why"]
        lost = 0
        for sock in socks:
            try:
                sock.sendall(GET)
                read_answer(sock)
            except (EOFError, ConnectionError):
                lost += 1
        assert 0 < lost < 40
        stats = wait_until(lambda: (s := served.stats())["workers"][0]["restarts"] and s)
        assert stats["workers"][0]["pid"] == event["new_pid"]
        assert stats["total"]["answers"] >= 40, "what the dead one had counted is still there"


def test_who_waits_in_the_queue_of_a_worker_that_is_killed_is_served_by_the_next() -> None:
    with serving() as served:
        os.kill(served.workers[0], signal.SIGSTOP)
        with served.connect() as sock:
            sock.sendall(GET)
            os.kill(served.workers[0], signal.SIGKILL)
            assert read_answer(sock).startswith(b"HTTP/1.1 200 ")


def test_a_worker_is_killed_under_load() -> None:
    with serving("--workers", 2) as served:
        stop = threading.Event()
        failures: list[Exception] = []
        done: list[int] = []

        def ask() -> None:
            while not stop.is_set():
                try:
                    assert served.get("/bytes/10000")[0] == 200
                    done.append(1)
                except (ConnectionError, IndexError) as exc:  # cut off: it was in that worker
                    failures.append(exc)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for one in threads:
            one.start()
        wait_until(lambda: len(done) > 200, 30)
        os.kill(served.workers[1], signal.SIGKILL)
        assert served.event()["event"] == "restart"
        before = len(done)
        wait_until(lambda: len(done) > before + 200, 30)
        stop.set()
        for one in threads:
            one.join(30)
        assert len(failures) <= 8, "one for each client at most"


def test_workers_end_with_their_parent_however_it_ends() -> None:
    with start("serve", "--json", "--port", 0, "--workers", 2) as child:
        workers = child.ready["data"]["workers"]
        child.process.kill()
        for pid in workers:
            wait_until(lambda pid=pid: not Path(f"/proc/{pid}").exists())  # type: ignore[misc]


def test_signals_that_everybody_gets_are_for_the_parent() -> None:
    with serving("--workers", 2) as served:
        for pid in served.workers:
            os.kill(pid, signal.SIGTERM)
            os.kill(pid, signal.SIGINT)
            os.kill(pid, signal.SIGHUP)
        os.kill(served.pid, signal.SIGHUP)
        assert served.get("/")[0] == 200
        assert [one["pid"] for one in served.stats()["workers"]] == served.workers


# -- the end under load --------------------------------------------------------------------


def test_a_drain_answers_every_request_that_was_accepted() -> None:
    with serving("--grace", "20s") as served:
        ready, last = threading.Barrier(9), []

        def ask() -> None:
            with served.connect() as sock:
                ready.wait(20)
                while True:
                    sock.sendall(GET)
                    answer = read_answer(sock)  # raises EOFError if the request was lost
                    assert answer.startswith(b"HTTP/1.1 200 ")
                    if b"Connection: close" in answer:
                        last.append(answer)
                        assert sock.recv(1) == b""
                        return

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for one in threads:
            one.start()
        ready.wait(20)
        end = served.end()
        for one in threads:
            one.join(20)
    assert len(last) == 8
    assert (end["ended_by"], end["cut_off"]) == ("SIGTERM", 0)


def test_a_drain_finishes_what_is_under_way_and_closes_what_is_quiet() -> None:
    with serving("--grace", "20s") as served, served.connect() as quiet, served.connect() as busy:
        quiet.sendall(GET)
        read_answer(quiet)
        busy.sendall(b"GET /bytes/50000000 HTTP/1.1\r\nHost: a\r\n\r\n")
        busy.recv(1)
        served.child.process.send_signal(signal.SIGTERM)
        assert quiet.recv(1) == b"", "closed after a second"
        with pytest.raises(ConnectionError):
            served.connect()
        assert len(read_to_end(busy)) > 50_000_000
        assert served.event()["cut_off"] == 0
        assert served.child.process.wait(20) == 0


@pytest.mark.parametrize("again", [False, True])
def test_a_drain_ends_with_the_grace_or_with_one_more_signal(again: bool) -> None:
    with serving("--grace", "60s" if again else "1s") as served, served.connect() as stuck:
        stuck.sendall(b"GET /bytes/500000000 HTTP/1.1\r\nHost: a\r\n\r\n")
        stuck.recv(1)
        served.child.process.send_signal(signal.SIGTERM)
        if again:
            wait_until(lambda: refused(served))
            served.child.process.send_signal(signal.SIGINT)
        assert served.event()["cut_off"] == 1
        assert served.child.process.wait(20) == 0


def refused(served: Served) -> bool:
    try:
        served.connect().close()
    except ConnectionError:
        return True
    return False


def test_the_clock_of_the_wall_means_nothing_but_the_date(netns: NetNs) -> None:
    """Idle clients are counted by a clock that never jumps."""
    program = """
import sys, time
real = time.time
time.time = lambda: real() + (10**8 if real() > begun + 0.5 else -10**8)
begun = real()
sys.argv = ["tcptool", "serve", "--json", "--port", "0", "--idle-timeout", "5s"]
from tcptool.__main__ import main
sys.exit(main())
"""
    from tests.support.children import spawn

    with spawn(program, deadline_s=30) as child:
        served = Served(child)
        with served.connect() as sock:
            past = year(sock)
            wait_until(lambda: year(sock) > past)
            assert year(sock) > past


def year(sock: socket.socket) -> int:
    sock.sendall(GET)
    return int(read_answer(sock).partition(b"Date: ")[2].split()[3])


def test_no_descriptor_stays_behind() -> None:
    with serving() as served:
        served.get("/")
        before = wait_until(lambda: descriptors(served.workers[0]))
        for _ in range(200):
            assert served.ask(CLOSING % b"/bytes/100")
        clients(served, 0)
        wait_until(lambda: descriptors(served.workers[0]) <= before)
