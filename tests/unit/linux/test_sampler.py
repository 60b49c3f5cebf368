"""Dense samples on a fake kernel: pace, ends, and what cannot be read any more."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tcptool.catalog import diag
from tcptool.decode.diag_request import pack_id
from tcptool.decode.inet_diag import decode_socket
from tcptool.decode.netlink import attributes, messages
from tcptool.linux.sampler import _REST, Watched, sample
from tests.support.fake_kernel import FakeKernel, diag_message

WEB, CLIENT = ("192.0.2.10", 443), ("198.51.100.7", 51844)


def connection(cookie: int = 0x1001, rtt_us: int = 5, **more: object) -> bytes:
    fields: dict[str, object] = {"local": WEB, "peer": CLIENT, "cookie": cookie, "inode": 7}
    return diag_message(**fields | {"tcp_info": {"rtt_us": rtt_us}} | more)  # type: ignore[arg-type]


def listener(cookie: int, backlog: int) -> bytes:
    return diag_message("listen", local=("0.0.0.0", 443), cookie=cookie, wqueue=backlog)


def watched(kernel: FakeKernel, message: bytes, *, listens: bool = False) -> Watched:
    payload = next(iter(messages(message))).payload
    return Watched(kernel, diag.AF_INET, decode_socket(payload).packed_id, listens=listens)


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    made = FakeKernel(tmp_path)
    made.sockets.append(connection())
    return made


def run(
    kernel: FakeKernel,
    *ends: Watched,
    pace_s: float = 0.25,
    for_s: float = 1.0,
    progress: Callable[[float, str], None] = lambda _share, _text: None,
) -> bool:
    return sample(ends, kernel, pace_s=pace_s, for_s=for_s, progress=progress)


def test_every_socket_is_read_at_the_same_pace(kernel: FakeKernel) -> None:
    kernel.sockets.append(connection(0x2002, local=("192.0.2.10", 80)))
    ends = [watched(kernel, message) for message in kernel.sockets]
    shares: list[float] = []
    assert run(kernel, *ends, progress=lambda share, _text: shares.append(share))
    for one in ends:
        assert [at_s for at_s, _ in one.readings] == [0, 0.25, 0.5, 0.75, 1.0]
        assert not one.ended
    assert shares == [0.25, 0.5, 0.75, 1.0]
    assert [decode_socket(raw).local.port for _, raw in (one.readings[0] for one in ends)] == [
        443,
        80,
    ]


def test_a_reading_is_what_the_kernel_said_without_keys(kernel: FakeKernel) -> None:
    kernel.sockets[0] = connection(
        attributes={diag.ATTR_MD5SIG: b"secret", diag.ATTR_MARK: bytes(4)}
    )
    one = watched(kernel, kernel.sockets[0])
    run(kernel, one, for_s=0.2)
    kept = attributes(one.readings[0].reply, diag.DIAG_MSG_BYTES)
    assert diag.ATTR_MARK in kept
    assert b"secret" not in one.readings[0].reply


def test_a_slow_reading_does_not_make_the_next_ones_hurry(kernel: FakeKernel) -> None:
    one = watched(kernel, kernel.sockets[0])

    def delay_the_first(now: FakeKernel) -> None:
        now.ticks += 0.6 if len(now.waits) == 1 else 0

    kernel.on_wait = delay_the_first
    run(kernel, one, for_s=1.5)
    assert [round(at_s, 2) for at_s, _ in one.readings] == [0, 0.85, 1.1, 1.35]


class SlowKernel(FakeKernel):
    """A kernel whose answers take a while, as those of a socket that is locked."""

    def diag(self, request: bytes) -> Iterator[bytes]:
        self.ticks += 0.125
        return FakeKernel.diag(self, request)


def test_reading_takes_a_part_of_the_time_only(tmp_path: Path) -> None:
    kernel = SlowKernel(tmp_path)
    kernel.sockets.append(connection())
    one = watched(kernel, kernel.sockets[0])
    run(kernel, one, pace_s=0.01, for_s=4)
    times = [at_s for at_s, _ in one.readings]
    assert times[0] == 0.125  # the time of the answer
    steps = {round(later - earlier, 6) for earlier, later in pairwise(times)}
    assert steps == {_REST * 0.125}


def test_a_connection_that_ends_is_read_no_more(kernel: FakeKernel) -> None:
    kernel.sockets.append(connection(0x2002, local=("192.0.2.10", 80)))
    ends = [watched(kernel, message) for message in kernel.sockets]

    def close(now: FakeKernel) -> None:
        if now.ticks >= 1000.5 and len(now.sockets) == 2:
            del now.sockets[0]

    kernel.on_wait = close
    assert run(kernel, *ends)
    assert [(len(one.readings), one.ended) for one in ends] == [(2, True), (5, False)]


def test_it_ends_when_all_have_ended(kernel: FakeKernel) -> None:
    one = watched(kernel, kernel.sockets[0])
    kernel.on_wait = lambda now: now.sockets.clear()
    assert run(kernel, one, for_s=1000)
    assert (len(one.readings), len(kernel.waits), one.ended) == (1, 1, True)


def test_time_wait_ends_a_connection(kernel: FakeKernel) -> None:
    one = watched(kernel, kernel.sockets[0])
    over = diag_message("time-wait", local=WEB, peer=CLIENT, cookie=0x1001, timer="time-wait")
    kernel.on_wait = lambda now: now.sockets.__setitem__(0, over)
    assert run(kernel, one)
    assert ([decode_socket(raw).state for _, raw in one.readings], one.ended) == (
        ["established"],
        True,
    )


def test_time_wait_alone_is_one_reading(kernel: FakeKernel) -> None:
    kernel.sockets[0] = diag_message(
        "time-wait", local=WEB, peer=CLIENT, cookie=0x1003, timer="time-wait"
    )
    one = watched(kernel, kernel.sockets[0])
    assert run(kernel, one)
    assert ([decode_socket(raw).state for _, raw in one.readings], one.ended) == (
        ["time-wait"],
        True,
    )
    assert kernel.waits == []


def test_another_connection_at_the_same_addresses_is_another(kernel: FakeKernel) -> None:
    one = watched(kernel, kernel.sockets[0])
    kernel.on_wait = lambda now: now.sockets.__setitem__(0, connection(0x9999))
    assert run(kernel, one)
    assert (len(one.readings), one.ended) == (1, True)


@pytest.mark.parametrize("reads", [0, 1, 3])
def test_ctrl_c_keeps_what_was_read(reads: int, kernel: FakeKernel) -> None:
    one = watched(kernel, kernel.sockets[0])

    def interrupt(_now: FakeKernel) -> None:
        if len(one.readings) > reads:
            raise KeyboardInterrupt

    kernel.on_wait = interrupt
    assert not run(kernel, one)
    assert (len(one.readings), one.ended) == (reads + 1, False)


# -- listeners of a group ----------------------------------------------------------------------


def test_a_listener_behind_another_of_its_port_is_found_in_a_dump(tmp_path: Path) -> None:
    kernel = FakeKernel(tmp_path)
    kernel.sockets += [listener(0xA, 5), listener(0xB, 6), connection()]
    ends = [watched(kernel, message, listens=True) for message in kernel.sockets[:2]]
    assert run(kernel, *ends, for_s=0.2)
    assert [decode_socket(one.readings[0].reply).backlog for one in ends] == [5, 6]


def test_a_closed_listener_has_ended_although_its_port_goes_on(tmp_path: Path) -> None:
    kernel = FakeKernel(tmp_path)
    kernel.sockets += [listener(0xA, 5), listener(0xB, 6)]
    one = watched(kernel, kernel.sockets[1], listens=True)
    kernel.on_wait = lambda now: now.sockets.__setitem__(slice(1, None), [])
    assert run(kernel, one)
    assert (len(one.readings), one.ended) == (1, True)


def test_a_connection_is_not_looked_for_in_dumps(kernel: FakeKernel) -> None:
    gone = Watched(kernel, diag.AF_INET, pack_id((bytes(4), 1), (bytes(4), 2), cookie=3))
    assert gone.reply() is None
    assert len(kernel.requests) == 1
    assert struct.unpack_from("=H", kernel.requests[0], 6)[0] & diag.NLM_F_DUMP != diag.NLM_F_DUMP
