"""What several looks at the listeners come to."""

from __future__ import annotations

from typing import Any

import pytest

from tcptool.analysis.accept_queues import (
    Track,
    Watch,
    counter_readings,
    drops_of,
    handshakes,
    member_connections,
    per_second,
    whole_listeners,
)
from tcptool.catalog.attributes import SocketMemory
from tcptool.model.listeners import CounterReading
from tcptool.model.sock import Endpoint, Socket


def listener(
    queue: int | None = 0, backlog: int | None = 8, drops: int | None = 0, **more: Any
) -> Socket:
    """A listening socket; ``drops`` is None where the kernel does not tell."""
    values: dict[str, Any] = {
        "protocol": "tcp",
        "family": "ipv4",
        "state": "listen",
        "local": Endpoint("127.0.0.1", 80),
        "peer": Endpoint("0.0.0.0", 0),
        "cookie": "1",
        "inode": 7,
        "uid": 0,
        "ifindex": 0,
        "timer": "off",
        "timer_expires_ms": None,
        "timer_retransmits": 0,
        "receive_queue_bytes": None,
        "send_queue_bytes": None,
        "accept_queue": queue,
        "backlog": backlog,
        "memory": None if drops is None else SocketMemory(drops=drops),
        **more,
    }
    return Socket(**values)


def watched(*looks: Socket | None, every_s: float = 0.5) -> Watch:
    """One look for each of them; None is a look at which nobody listened."""
    watch = Watch()
    for number, sock in enumerate(looks):
        watch.look(number * every_s, [] if sock is None else [sock])
    return watch


def only(watch: Watch) -> Track:
    [track] = watch.tracks.values()
    return track


def test_the_longest_and_the_shortest_queue_are_kept() -> None:
    track = only(watched(listener(2), listener(9), listener(0), listener(3)))
    assert (track.min_accept_queue, track.max_accept_queue) == (0, 9)
    assert track.last.accept_queue == 3
    assert (track.samples, track.full_samples) == (4, 1)
    assert track.full_percent == 100


def test_a_backlog_that_was_changed_counts_from_then_on() -> None:
    track = only(watched(listener(3, 2), listener(3, 11)))
    assert (track.samples, track.full_samples, track.full_percent) == (2, 1, 100)


def test_without_a_backlog_nothing_is_said_about_room() -> None:
    track = only(watched(listener(3, None, None), listener(5, None, None)))
    assert (track.full_percent, track.full_samples) == (None, None)
    assert (track.max_accept_queue, track.new_drops, track.drops_per_s) == (5, None, None)
    unknown = only(watched(listener(None, None)))
    assert (unknown.min_accept_queue, unknown.max_accept_queue) == (None, None)


def test_drops_have_a_rate_and_a_worst_second() -> None:
    track = only(watched(*(listener(drops=n) for n in (10, 11, 16, 17, 17))))
    assert (track.new_drops, track.drops_per_s) == (7, 3.5)
    assert track.peak_drops == 6  # from 11 to 17, and from 10 to 16
    assert drops_of(track.last) == 17


def test_looks_that_are_seconds_apart_are_compared_with_the_one_before() -> None:
    track = only(watched(*(listener(drops=n) for n in (0, 5, 7)), every_s=3))
    assert (track.new_drops, track.peak_drops) == (7, 5)


def test_drops_that_run_backwards_are_not_known() -> None:
    track = only(watched(*(listener(drops=n) for n in (10, 12, 1, 3))))
    assert (track.new_drops, track.peak_drops, track.drops_per_s) == (None, None, None)


def test_one_look_has_no_rate() -> None:
    track = only(watched(listener(drops=5)))
    assert (track.new_drops, track.drops_per_s) == (0, None)
    assert per_second(3, 0) is None
    assert per_second(None, 1) is None


def test_listeners_come_and_go() -> None:
    steady, gone, new = (listener(inode=n) for n in (1, 2, 3))
    watch = Watch()
    watch.look(0, [steady, gone])
    watch.look(1, [steady, new, new])
    assert {key: watch.presence(track) for key, track in watch.tracks.items()} == {
        1: "steady",
        2: "gone",
        3: "new",
    }
    assert watch.tracks[3].samples == 1


def test_an_mptcp_listener_is_one_and_has_the_drops_of_the_socket_below() -> None:
    above = listener(3, protocol="mptcp", cookie="2", drops=0)
    below = listener(3, drops=4)
    other = listener(inode=8)
    connection = listener(inode=9, state="established")
    whole = list(whole_listeners([below, other, above, connection]))
    assert [(sock.protocol, sock.inode, drops_of(sock)) for sock in whole] == [
        ("tcp", 8, 0),
        ("mptcp", 7, 4),
    ]
    [alone] = whole_listeners([above])
    assert drops_of(alone) == 0


def test_a_group_shares_everything_that_the_kernel_compares() -> None:
    alike = [listener(inode=n) for n in (1, 2, 3)]
    others = [
        listener(inode=4, local=Endpoint("127.0.0.1", 81)),
        listener(inode=5, local=Endpoint("127.0.0.2", 80)),
        listener(inode=6, ifindex=2),
        listener(inode=7, uid=1000),
        listener(inode=8, family="ipv6", v6only=True),
        listener(inode=9, family="ipv6", v6only=False),
    ]
    watch = Watch()
    watch.look(0, [listener(inode=10), *alike, *others])
    watch.look(1, [*alike, *others])
    [group] = watch.groups()
    assert [track.last.inode for track in group] == [1, 2, 3]  # 10 has gone


def test_a_handshake_belongs_to_the_nearest_address() -> None:
    exact = listener(inode=1)
    every = listener(inode=2, local=Endpoint("0.0.0.0", 80))
    every6 = listener(inode=3, family="ipv6", local=Endpoint("::", 80))
    half_open = [
        listener(state="syn-recv", local=Endpoint("127.0.0.1", 80)),
        listener(state="syn-recv", local=Endpoint("10.0.0.1", 80)),
        listener(state="syn-recv", local=Endpoint("10.0.0.2", 80)),
        listener(state="syn-recv", family="ipv6", local=Endpoint("10.0.0.2", 80)),
        listener(state="syn-recv", family="unknown-3", local=Endpoint("10.0.0.2", 80)),
    ]
    found = handshakes([exact, every, every6], half_open)
    assert found["ipv4", "127.0.0.1", 80] == 1
    assert found["ipv4", "0.0.0.0", 80] == 2
    assert found["ipv6", "::", 80] == 1
    assert found["ipv4", "0.0.0.0", 81] == 0


@pytest.mark.parametrize(
    ("members", "counts"),
    [
        ([{1}, {2, 3}], [2, 1]),
        ([{1}, {1, 2}], [None, None]),
        ([{1}, set()], [None, None]),
        ([{8}, {9}], [0, 0]),
    ],
)
def test_connections_are_a_member_s_where_no_other_has_its_processes(
    members: list[set[int]], counts: list[int | None]
) -> None:
    connections = [frozenset(pids) for pids in ({1}, {1}, {3}, {7}, ())]
    assert member_connections([frozenset(pids) for pids in members], connections) == counts


def test_counters_have_rates_unless_they_run_backwards_or_are_absent() -> None:
    before = {"TcpExtListenOverflows": 5, "TcpExtListenDrops": 9, "TcpExtSyncookiesSent": 1}
    after = {"TcpExtListenOverflows": 7, "TcpExtListenDrops": 8, "TcpExtSyncookiesRecv": 1}
    found = {one.name: one for one in counter_readings(before, after, 2)}
    name = "TcpExtListenOverflows"
    assert found[name] == CounterReading(name=name, total=7, new=2, rate_per_s=1)
    assert (found["TcpExtListenDrops"].total, found["TcpExtListenDrops"].new) == (8, None)
    assert found["TcpExtSyncookiesSent"].total is None
    assert found["TcpExtSyncookiesRecv"].new is None
