"""`inspect --watch`: what it shows, how it ends, and that the owner cannot notice it."""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.live.program import (
    NOBODY,
    PAIR,
    Owner,
    inspect,
    owner,
    settled,
    start,
    table_of,
    tcptool,
)
from tests.support.children import Child
from tests.support.netns import NetNs
from tests.support.waiting import wait_until

_AT_10_HZ = ("--watch", "--interval", "100ms", "--json")


@contextlib.contextmanager
def watching(one: Owner, name: str, readings: int = 2) -> Iterator[Child]:
    """Follow a socket at 10 Hz; the block begins when some readings have been taken."""
    with start("inspect", one.at(name), *_AT_10_HZ) as watch:
        for number in range(1, readings):
            assert json.loads(watch.readline())["data"]["event"] == "sample", number
        yield watch


def the_end(watch: Child) -> Any:
    """The last line that it writes; it must end by itself, and well."""
    while True:
        data = json.loads(watch.readline())["data"]
        if data["event"] == "end":
            assert watch.process.wait(timeout=10) == 0, watch.stderr()
            assert watch.stderr() == ""
            return data


# -- nothing of it is visible to the owner -----------------------------------------------------


def inspect_ends(one: Owner) -> Any:
    """What is left of a client that has been closed."""
    here, there = one.ends("conn").split("-")
    return inspect(f"{there}-{here}")


def test_close_sends_its_fin_at_once() -> None:
    with owner(setup=PAIR + "conn.setblocking(False)") as one, watching(one, "client") as watch:
        one("client.close()")
        closed = "bool(select.select([conn], [], [], 0)[0]) and conn.recv(1) == b''"
        wait_until(lambda: one(closed))
        # It was watching all the time, and does not wait for the FIN of the other end.
        assert the_end(watch)["reason"] == "connection-ended"
        half_closed = inspect_ends(one)
        assert (half_closed["data"]["socket"]["state"], half_closed["missing"]) == (
            "fin-wait-2",
            [],
        )


def test_no_ghost_events_after_close() -> None:
    setup = PAIR + "poller = select.epoll()\npoller.register(client, select.EPOLLIN)"
    with owner(setup=setup) as one, watching(one, "client") as watch:
        assert one("poller.poll(0)") == []
        # A held duplicate would keep the registration, and report this byte for ever.
        one("conn.send(b'x')")
        wait_until(lambda: one("len(poller.poll(0))") == 1)
        one("client.close()")
        assert one("poller.poll(0)") == []
        assert the_end(watch)["reason"] == "connection-ended"
        assert one("poller.poll(0)") == []


def test_port_of_a_closed_listener_is_free() -> None:
    with owner(setup=PAIR) as one, watching(one, "server") as watch:
        port = one.port("server")
        one("server.close()\nclient.close()\nconn.close()")
        one(f"server = socket.create_server(('127.0.0.1', {port}))")
        assert the_end(watch)["reason"] == "connection-ended"


def test_file_status_flags_and_options_stay_as_they_were() -> None:
    look = "[[fcntl.fcntl(s, fcntl.F_GETFL) for s in (client, conn)], os.listdir('/proc/self/fd')]"
    with owner(setup=PAIR + "conn.setblocking(False)") as one:
        before = one(look)
        assert before[0][0] != before[0][1]
        with watching(one, "client"), watching(one, "conn", readings=4):
            assert one(look) == before
        assert one(look) == before


# -- what it shows -----------------------------------------------------------------------------


def test_readings_show_what_changed() -> None:
    with owner(setup=PAIR) as one, watching(one, "client", readings=1) as watch:
        first = watch.ready["data"]
        assert first["event"] == "sample"
        assert set(first["rates"].values()) == {None}  # nothing to compare the first with
        assert watch.ready["schema"] == "tcptool.inspect-watch/1"
        one("client.sendall(b'x' * 1000)\nconn.recv(1000)")
        sample, changed = first, None
        while not changed:
            sample = json.loads(watch.readline())["data"]
            changed = sample["rates"]["sent_bytes_per_s"]
        span = sample["rates"]["interval_s"]
        assert changed * span == pytest.approx(1000)
        assert sample["socket"]["tcp_info"]["sent_bytes"] == 1000
        assert sample["socket"]["cookie"] == one.cookie("client")
        one("conn.close()\nclient.close()")  # in this order the client has no TIME-WAIT
        end = the_end(watch)
        assert end["total"]["sent_bytes_per_s"] * end["total"]["interval_s"] == pytest.approx(1000)


def test_count_ends_it() -> None:
    with owner(setup=PAIR) as one:
        run = tcptool("inspect", one.at("client"), "--watch", "-c", "3", "-i", "20ms")
        rows = table_of(run.lines[:4])
        assert [float(row["elapsed_s"]) for row in rows] == sorted(
            float(row["elapsed_s"]) for row in rows
        )
        assert {row["state"] for row in rows} == {"established"}
        assert all(line.startswith("# ") for line in run.lines[4:])
        assert run.lines[4].startswith("# count-reached after")
        run = tcptool("inspect", one.at("client"), "-w", "-c", "3", "-i", "20ms", "--json")
        events = [json.loads(line)["data"]["event"] for line in run.lines]
        assert events == ["sample", "sample", "sample", "end"]


def test_connection_that_ends() -> None:
    with owner(setup=PAIR) as one, watching(one, "client") as watch:
        one("conn.setsockopt(1, socket.SO_LINGER, struct.pack('=ii', 1, 0))\nconn.close()")
        settled(one, "client", 7)
        one("client.close()")
        end = the_end(watch)
        assert end["reason"] == "connection-ended"
        assert end["last"]["cookie"] == watch.ready["data"]["socket"]["cookie"]
        assert end["samples"] >= 2


def test_time_wait_ends_it() -> None:
    with owner(setup=PAIR) as one, watching(one, "client") as watch:
        one("client.send(b'x' * 1000)\nconn.recv(1000)\nclient.shutdown(socket.SHUT_WR)")
        settled(one, "client", 5)
        states = set()
        while "fin-wait-2" not in states:
            states.add(json.loads(watch.readline())["data"]["socket"]["state"])
        one("conn.close()\nclient.close()")
        end = the_end(watch)
        assert (end["reason"], end["last"]["state"]) == ("connection-ended", "fin-wait-2")
        assert end["total"]["sent_bytes_per_s"] > 0


def test_connection_that_is_over_has_no_readings() -> None:
    closing = "ends = [s.getsockname() for s in (client, conn)]\nclient.close()\nconn.close()\n"
    with owner(setup=PAIR + closing) as one:
        target = "-".join("{}:{}".format(*end) for end in one("ends"))
        wait_until(lambda: tcptool("inspect", target, "--json").data["socket"]["timer"] != "off")
        [end] = tcptool("inspect", target, "--watch", "--json").lines
        data = json.loads(end)["data"]
        assert (data["reason"], data["samples"]) == ("connection-ended", 0)


def test_unconnected_socket_is_refused() -> None:
    with owner(setup="s = socket.socket()") as one:
        for options in ((), ("--json",)):
            run = tcptool("inspect", one.at("s"), "--watch", *options)
            assert (run.status, run.out) == (3, "")
            assert "does not list an unconnected socket" in run.err


def test_member_of_a_reuseport_group_is_followed() -> None:
    setup = """
group = []
for _ in range(3):
    s = socket.socket()
    s.setsockopt(1, socket.SO_REUSEPORT, 1)
    s.bind(("127.0.0.1", group[0].getsockname()[1] if group else 0))
    s.listen()
    group.append(s)
first, second, third = group
"""
    with owner(setup=setup) as one:
        for name in ("first", "second", "third"):
            with watching(one, name) as watch:
                one(
                    f"{name}.listen(7)"
                )  # the backlog of this one, so that it is told from the others
                while True:
                    data = json.loads(watch.readline())["data"]
                    assert data["event"] == "sample"
                    if data["socket"]["backlog"] == 7:
                        break
                one(f"{name}.close()")
                assert the_end(watch)["last"]["backlog"] == 7


def test_socket_of_another_namespace_is_followed(netns: NetNs) -> None:
    if netns.in_user_namespace:
        return
    with owner(netns, setup=PAIR) as one, watching(one, "client", readings=3) as watch:
        one("conn.close()\nclient.close()")
        assert the_end(watch)["last"]["local"]["address"] == "127.0.0.1"


def test_ordinary_user_follows_by_addresses(netns: NetNs) -> None:
    with owner(netns, setup=PAIR) as one:
        run = tcptool(
            "inspect", one.ends("client"), "-w", "-c", "2", "-i", "10ms", netns=netns, uid=NOBODY
        )
        assert run.lines[-2].startswith("# rtt_us from ") or "count-reached" in run.lines[3]


# -- Ctrl-C ------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_interrupt_gives_the_summary(options: tuple[str, ...]) -> None:
    with owner(setup=PAIR) as one:
        # A pace at which the signal finds it waiting.
        with start("inspect", one.at("client"), "--watch", "-i", "10s", *options) as watch:
            if not options:
                assert "established" in watch.readline()  # the first line is the heading
            watch.process.send_signal(signal.SIGINT)
            if options:
                assert the_end(watch)["reason"] == "interrupted"
            else:
                assert watch.readline().startswith("# interrupted after")
                assert watch.process.wait(timeout=10) == 0
                assert watch.stderr() == ""
        assert one("client.send(b'still there')") == 11


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_being_killed_gives_the_summary_too(number: signal.Signals) -> None:
    words = ("--watch", "-i", "10s", "--json")
    with owner(setup=PAIR) as one, start("inspect", one.at("client"), *words) as watch:
        watch.process.send_signal(number)
        assert json.loads(watch.readline())["data"]["event"] == "end"
        assert watch.process.wait(timeout=10) == -number
        assert watch.stderr() == ""


def test_second_interrupt_has_no_traceback() -> None:
    with owner(setup=PAIR) as one:
        target = one.at("client")
        with start("inspect", target, "--watch", "-i", "10s", "--json") as watch:
            for _ in range(3):
                with contextlib.suppress(ProcessLookupError):
                    watch.process.send_signal(signal.SIGINT)
            watch.process.wait(timeout=10)
            assert "Traceback" not in watch.stderr()
            watch.process.returncode = min(watch.process.returncode, 0)
