"""The pool on real connections: who gets which, what the checks see, and what a pool survives."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from tcptool.catalog.pool_checks import CHECKS
from tcptool.errors import NotFound, TcptoolError, UsageError
from tcptool.sansio.pool_policy import PoolLimits
from tcptool.traffic import pool as pool_module
from tcptool.traffic.http_client import Stale, Url, get, parse_url
from tcptool.traffic.pool import Connection, Pool, PoolClosed, PoolFull
from tests.live.pool_server import OK, RESET, Server, answer, server, stress
from tests.support.children import ROOT
from tests.support.waiting import wait_until


def ask(pool: Pool, running: Server, timeout_s: float = 10, **more: Any) -> Any:
    return get(pool, running.url, running.url.request, timeout_s, **more)


def test_a_connection_is_used_again_and_has_the_options_of_the_guide() -> None:
    with server(answer) as running, Pool() as pool:
        assert ask(pool, running).connect_s > 0
        assert ask(pool, running).connect_s is None
        with pool.lend("127.0.0.1", running.port, timeout_s=5) as connection:
            sock = connection.sock
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
            assert pool.statistics().in_use == 1
        statistics = pool.statistics()
        assert (statistics.created, statistics.reused, statistics.idle) == (1, 2, 1)
        assert len(running.seen) == 1


def test_a_block_that_fails_closes_its_connection() -> None:
    with server(answer) as running, Pool() as pool:
        with pytest.raises(ZeroDivisionError), pool.lend("127.0.0.1", running.port, timeout_s=5):
            raise ZeroDivisionError
        assert pool.statistics().total == 0
        wait_until(lambda: running.seen and running.seen[0].fileno() == -1)


def test_what_was_not_read_is_not_for_the_next() -> None:
    with server(lambda sock: answer(sock, OK + b"x")) as running, Pool() as pool:
        for _ in range(3):
            assert ask(pool, running).response.status == 200
        assert pool.statistics().created == 3


def test_a_server_that_closes_after_each_answer_is_asked_on_a_new_connection() -> None:
    closing = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    with server(lambda sock: answer(sock, closing, 1)) as running, Pool() as pool:
        for _ in range(3):
            assert ask(pool, running).connect_s is not None
        assert pool.statistics().total == 0


# -- checks --------------------------------------------------------------------------------


SEES = {
    "none": set(),
    "so_error": {"reset"},
    "tcp_info": {"reset", "close"},
    "rdhup": {"reset", "close"},
    "peek": {"reset", "close", "byte"},
}


@pytest.mark.parametrize("how", ["close", "reset", "byte"])
@pytest.mark.parametrize("check", CHECKS)
def test_what_each_check_sees(check: str, how: str) -> None:
    ready = threading.Event()

    def handler(sock: socket.socket) -> None:
        answer(sock, OK, 1)
        ready.wait(10)
        if how == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        if how == "byte":
            sock.sendall(b"x")
            ended.wait(10)
        sock.close()

    ended = threading.Event()
    with server(handler) as running, Pool(check=check) as pool:
        ask(pool, running)
        mine = next(iter(pool._idle.values())).sock
        ready.set()
        wait_until(lambda: _has_news(mine))
        with pool.lend("127.0.0.1", running.port, timeout_s=5) as connection:
            assert connection.reused is (how not in SEES[check])
            connection.discard()
        assert pool.statistics().invalid_found == (how in SEES[check])
        ended.set()


def _has_news(sock: socket.socket) -> bool:
    """Without taking anything from the socket, its error in particular."""
    poll = select.poll()
    poll.register(sock, select.POLLIN | select.POLLRDHUP)
    return bool(poll.poll(0))


def test_a_check_that_there_is_not() -> None:
    with pytest.raises(UsageError, match="no check"):
        Pool(check="hope")


@pytest.mark.parametrize(("check", "stale"), [("so_error", 1), ("peek", 0)])
def test_a_dead_connection_loses_a_request_with_so_error_and_not_with_peek(
    check: str, stale: int
) -> None:
    ready = threading.Event()

    def handler(sock: socket.socket) -> None:
        answer(sock, OK, 1)
        ready.wait(10)
        sock.close()

    with server(handler) as running, Pool(check=check) as pool:
        ask(pool, running)
        mine = next(iter(pool._idle.values())).sock
        ready.set()
        wait_until(lambda: _has_news(mine))
        if stale:
            with pytest.raises(Stale):
                ask(pool, running)
        else:
            assert ask(pool, running).connect_s is not None
        statistics = pool.statistics()
        assert (statistics.stale_handed_out, statistics.invalid_found) == (stale, 1 - stale)


# -- limits --------------------------------------------------------------------------------


def test_who_waits_is_served_in_the_order_of_arrival() -> None:
    order: list[int] = []
    with server(answer) as running, Pool(PoolLimits(total=1)) as pool:
        threads = []
        with pool.lend("127.0.0.1", running.port, timeout_s=5):
            for number in range(8):

                def wait(number: int = number) -> None:
                    with pool.lend("127.0.0.1", running.port, timeout_s=20):
                        order.append(number)

                threads.append(threading.Thread(target=wait))
                threads[-1].start()
                wait_until(lambda number=number: pool.statistics().waiting == number + 1)  # type: ignore[misc]
        for one in threads:
            one.join(20)
    assert order == list(range(8))


def test_who_waits_for_too_long_or_may_not_wait_is_told() -> None:
    with server(answer) as running, Pool(PoolLimits(total=1)) as pool:
        with pool.lend("127.0.0.1", running.port, timeout_s=5):
            with pytest.raises(PoolFull, match="came back in time"):
                pool.take("127.0.0.1", running.port, timeout_s=0.05)
            with pytest.raises(PoolFull, match="in use"):
                pool.take("127.0.0.1", running.port, timeout_s=5, may_wait=False)
            assert pool.statistics().waiting == 0
        assert ask(pool, running).connect_s is None


def test_an_idle_connection_of_another_host_makes_room() -> None:
    with server(answer) as one, server(answer) as other, Pool(PoolLimits(total=1)) as pool:
        ask(pool, one)
        ask(pool, other)
        assert pool.statistics().evicted == 1
        wait_until(lambda: one.seen[0].fileno() == -1)


def test_the_cleaner_closes_what_is_idle_and_ends_with_the_pool(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool_module, "CLEANED_EVERY_S", 0.02)
    with server(answer) as running:
        pool = Pool(PoolLimits(idle_s=0.05))
        ask(pool, running)
        wait_until(lambda: pool.statistics().expired == 1)
        cleaner = pool._cleaner
        assert cleaner is not None
        pool.close()
        cleaner.join(5)
        assert not cleaner.is_alive()


def test_a_pool_that_is_closed_wakes_who_waits_and_takes_back_what_is_lent() -> None:
    with server(answer) as running:
        pool = Pool(PoolLimits(total=1))
        connection = pool.take("127.0.0.1", running.port, timeout_s=5)
        failed: list[Exception] = []

        def wait() -> None:
            try:
                pool.take("127.0.0.1", running.port, timeout_s=20)
            except PoolClosed as exc:
                failed.append(exc)

        waiting = threading.Thread(target=wait)
        waiting.start()
        wait_until(lambda: pool.statistics().waiting == 1)
        pool.close()
        waiting.join(5)
        assert len(failed) == 1
        with pytest.raises(PoolClosed):
            pool.take("127.0.0.1", running.port, timeout_s=5)
        pool.give_back(connection)
        assert connection.sock.fileno() == -1
        assert pool.statistics().total == 0


# -- servers that are not there ------------------------------------------------------------


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with Pool() as pool:
        with pytest.raises(TcptoolError, match="ECONNREFUSED"):
            pool.take("127.0.0.1", port, timeout_s=5)
        with pytest.raises(NotFound):
            pool.take("no.such.name.invalid", 80, timeout_s=5)
        assert pool.statistics().total == 0


def test_addresses_are_tried_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    with server(answer) as running, Pool() as pool:
        family, stream = socket.AF_INET, socket.SOCK_STREAM
        found = [
            (socket.AF_INET6, stream, 0, "", ("::1", running.port, 0, 0)),
            (family, stream, 0, "", ("127.0.0.1", running.port)),
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        with pool.lend("both.example", running.port, timeout_s=5) as connection:
            assert connection.sock.family == family


def test_a_black_hole_is_left_after_the_time() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)), Pool() as pool:
            with pytest.raises(TcptoolError, match="no answer in time"):
                pool.take("127.0.0.1", port, timeout_s=0.3)
            assert pool.statistics().total == 0


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (b"nonsense\r\n\r\n", "malformed head"),
        (OK[:-1], "in the middle"),
        (b"", "the server closed the connection"),
    ],
)
def test_an_answer_that_is_none(reply: bytes, said: str) -> None:
    def handler(sock: socket.socket) -> None:
        answer(sock, reply, 1)
        sock.close()

    with server(handler) as running, Pool() as pool:
        with pytest.raises(TcptoolError, match=said):
            ask(pool, running)
        assert pool.statistics().total == 0


def test_a_reset_in_the_middle() -> None:
    def handler(sock: socket.socket) -> None:
        answer(sock, OK[:-1], 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        sock.close()

    with server(handler) as running, Pool() as pool:
        with pytest.raises(TcptoolError, match="ECONNRESET"):
            ask(pool, running)
        assert pool.statistics().total == 0


def test_a_server_that_never_answers_and_one_that_trickles() -> None:
    def trickle(sock: socket.socket) -> None:
        answer(sock, OK[:20], 1)
        while True:
            sock.sendall(b"X")
            time.sleep(0.02)  # the pace of a slow server

    for handler in (lambda sock: answer(sock, b""), trickle):
        with server(handler) as running, Pool() as pool:
            with pytest.raises(TcptoolError, match="no answer in time"):
                ask(pool, running, 0.3)
            assert pool.statistics().total == 0


def test_a_body_that_ends_with_the_connection_and_one_in_chunks() -> None:
    whole = b"HTTP/1.1 200 OK\r\n\r\n" + bytes(200_000)

    def until_close(sock: socket.socket) -> None:
        answer(sock, whole, 1)
        sock.close()

    with server(until_close) as running, Pool() as pool:
        assert ask(pool, running).response.body_bytes == 200_000
        assert pool.statistics().total == 0
    chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"
    with server(lambda sock: answer(sock, chunks)) as running, Pool() as pool:
        assert ask(pool, running).response.body_bytes == 5
        assert ask(pool, running).connect_s is None


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("127.0.0.1:8080", Url("127.0.0.1", 8080, "/")),
        ("http://a.example/x?y=z", Url("a.example", 80, "/x?y=z")),
        ("http://[::1]:81", Url("::1", 81, "/")),
        ("[::1]:81/a", Url("::1", 81, "/a")),
    ],
)
def test_a_url(text: str, url: Url) -> None:
    assert parse_url(text) == url


@pytest.mark.parametrize(
    "text", ["", "https://a/", "a:0", "a:70000", "a b", "ftp://a", "a:80/x y", "http://", "::1"]
)
def test_what_is_no_url(text: str) -> None:
    with pytest.raises(UsageError):
        parse_url(text)


# -- processes -----------------------------------------------------------------------------


def test_a_child_that_was_forked_has_an_empty_pool_and_disturbs_nothing() -> None:
    with server(answer) as running, Pool() as pool:
        ask(pool, running)
        lent = pool.take("127.0.0.1", running.port, timeout_s=5)
        pool.give_back(lent)
        lent = pool.take("127.0.0.1", running.port, timeout_s=5)
        pid = os.fork()
        if not pid:
            status = 1
            try:
                statistics = pool.statistics()
                assert (statistics.total, statistics.created) == (0, 0)
                assert ask(pool, running).connect_s is not None
                pool.give_back(lent)
                status = 0
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        lent.sock.sendall(running.url.request)
        assert lent.sock.recv(1000) == OK
        pool.give_back(lent)
        assert ask(pool, running).connect_s is None


def test_the_interpreter_ends_with_connections_lent() -> None:
    program = """
import socket, sys
from tcptool.traffic.pool import Pool
listener = socket.create_server(("127.0.0.1", 0))
pool = Pool()
one = pool.take("127.0.0.1", listener.getsockname()[1], timeout_s=5)
other = pool.take("127.0.0.1", listener.getsockname()[1], timeout_s=5)
pool.give_back(other)
print("done")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=30,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_no_answer_is_lost_or_crossed_among_many_threads() -> None:
    """`python -m bench.pool --stress` does this for as long as one likes."""
    before = descriptors()
    outcome = stress(threads=64, requests=60)
    assert outcome.wrong == []
    assert outcome.answered + outcome.failed == 64 * 60
    assert outcome.answered > 64 * 60 * 0.8
    assert (outcome.statistics.in_use, outcome.statistics.waiting) == (0, 0)
    assert outcome.statistics.total <= outcome.statistics.limit
    wait_until(lambda: descriptors() <= before + 2)


def test_a_connection_says_whether_it_was_there() -> None:
    with server(answer) as running, Pool() as pool:
        seen: list[Connection] = []
        for reused in (False, True):
            with pool.lend("127.0.0.1", running.port, timeout_s=5) as connection:
                seen.append(connection)
                assert (connection.reused, connection.connect_s is None) == (reused, reused)
        assert seen[0] is seen[1]
