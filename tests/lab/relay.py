"""The relay of the laboratory: two TUN devices, and between them whatever a path does to packets.

A program of its own, ``relay.py NEAR_NAMESPACE FAR_NAMESPACE MTU_BYTES SEED``, because it must not
share an interpreter with the tests that it delays.  It makes the device `lab0` in both namespaces
and says "ready".  Each line on its stdin is ``{"forward": Conditions, "backward": Conditions}``
(what is not named stays as it is), and it answers with the Counters of both directions.  It ends
with its stdin, so it does not outlive its parent, however that ends; the devices go with it.

It needs nothing but the standard library and changes nothing outside the two namespaces.  Its
clock starts when it has read a packet: a busy machine makes the path longer, never shorter.
"""

from __future__ import annotations

import ctypes
import fcntl
import gc
import json
import os
import random
import select
import signal
import struct
import sys
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Final, TypedDict

DEVICE: Final = "lab0"

CLONE_NEWNET: Final = 0x40000000  # include/uapi/linux/sched.h
TUNSETIFF: Final = 0x400454CA  # include/uapi/linux/if_tun.h
IFF_TUN: Final = 0x0001
IFF_NO_PI: Final = 0x1000

# Packets read from one device before the other one and the due ones get their turn.
BATCH: Final = 64
STDIN, STDOUT = 0, 1


class Conditions(TypedDict, total=False):
    """What one direction does to packets, in this order; lengths are those of IP packets."""

    black_hole: bool
    """Drop everything.  What is on its way already still arrives."""
    max_bytes: int | None
    """Drop longer packets, without a word to the sender."""
    loss: float
    """The probability, 0 to 1, that a packet is dropped."""
    rate_mbit: float | None
    """The rate of the bottleneck, in 10^6 bit/s."""
    queue_packets: int
    """How many packets wait for the bottleneck at most; more are dropped."""
    mark_packets: int | None
    """Set CE on ECT packets that find this many packets waiting, or more; 0 marks them all."""
    delay_ms: float
    """The time from the bottleneck to the other end."""
    reorder: float
    """The probability, 0 to 1, that a packet takes `reorder_ms` longer, so others overtake it."""
    reorder_ms: float
    """How much longer."""


NOTHING: Final = Conditions(
    black_hole=False,
    max_bytes=None,
    loss=0.0,
    rate_mbit=None,
    queue_packets=1000,
    mark_packets=None,
    delay_ms=0.0,
    reorder=0.0,
    reorder_ms=5.0,
)
"""A path that only joins.  It names every condition there is."""


@dataclass(slots=True)
class Counters:
    """Packets of one direction since the start.

    Each one that entered was forwarded or dropped for one of the reasons, or is in flight.
    """

    entered: int = 0
    forwarded: int = 0
    forwarded_bytes: int = 0
    in_flight: int = 0
    """Waiting for the bottleneck, or on the way from there: now, not since the start."""
    black_holed: int = 0
    too_big: int = 0
    lost: int = 0
    tail_dropped: int = 0
    refused: int = 0
    """The device at the other end was down, or said that this is no packet."""
    marked: int = 0
    """Also among the forwarded."""
    reordered: int = 0
    """Forwarded after a packet that had left the bottleneck later."""


def with_ce(packet: bytes) -> bytes | None:
    """The packet marked Congestion Experienced; None if it does not say ECT (RFC 3168, 5)."""
    version = packet[0] >> 4
    if version == 6:
        # The traffic class is the lower half of the first byte and the upper of the second.
        if (packet[1] >> 4) & 3 not in (1, 2):
            return None
        return packet[:1] + bytes([packet[1] | 0x30]) + packet[2:]
    if version != 4 or packet[1] & 3 not in (1, 2):
        return None
    old, checksum = struct.unpack_from("!H8xH", packet)
    new = old | 3
    # RFC 1624: HC' = ~(~HC + ~m + m')
    total = (checksum ^ 0xFFFF) + (old ^ 0xFFFF) + new
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", new) + packet[2:10] + struct.pack("!H", total ^ 0xFFFF) + packet[12:]


class Direction:
    """One direction: a bottleneck with a queue, then a line with a delay."""

    def __init__(self, out: int, seed: str) -> None:
        self.conditions: Conditions = NOTHING
        self.counters = Counters()
        self._out = out
        # Each has its own sequence: what is lost one way does not depend on the other way.
        self._losses = random.Random(f"{seed} loss")
        self._reorders = random.Random(f"{seed} reorder")
        self._queue: deque[tuple[float, bytes]] = deque()  # when it came, packet
        self._idle_s = 0.0  # when the bottleneck has sent what it is sending
        # Two lines, each in order of time, instead of one that must be sorted: a change of the
        # delay then never reorders by itself.
        self._line: deque[tuple[float, int, bytes]] = deque()  # when it is due, number, packet
        self._slow_line: deque[tuple[float, int, bytes]] = deque()
        self._started = 0
        self._newest = 0

    def in_flight(self) -> int:
        return len(self._queue) + len(self._line) + len(self._slow_line)

    def take(self, packet: bytes, now_s: float) -> None:
        """A packet has come."""
        conditions, counters = self.conditions, self.counters
        counters.entered += 1
        max_bytes = conditions["max_bytes"]
        if conditions["black_hole"]:
            counters.black_holed += 1
        elif max_bytes is not None and len(packet) > max_bytes:
            counters.too_big += 1
        elif conditions["loss"] and self._losses.random() < conditions["loss"]:
            counters.lost += 1
        else:
            if self._queue:
                self.move(now_s)
            if len(self._queue) >= conditions["queue_packets"]:
                counters.tail_dropped += 1
                return
            mark_packets = conditions["mark_packets"]
            if mark_packets is not None and len(self._queue) >= mark_packets:
                marked = with_ce(packet)
                if marked is not None:
                    counters.marked += 1
                    packet = marked
            self._queue.append((now_s, packet))
            self.move(now_s)

    def move(self, now_s: float) -> None:
        """Do all that is due."""
        queue, rate_mbit = self._queue, self.conditions["rate_mbit"]
        while queue and self._idle_s <= now_s:
            came_s, packet = queue.popleft()
            self._idle_s = max(self._idle_s, came_s)
            if rate_mbit is not None:
                self._idle_s += len(packet) * 8 / (rate_mbit * 1e6)
            self._start(packet)
        for line in (self._line, self._slow_line):
            while line and line[0][0] <= now_s:
                _, number, packet = line.popleft()
                self._deliver(number, packet)

    def next_s(self) -> float:
        """When ``move`` has something to do; infinity if a packet must come first."""
        times_s = [line[0][0] for line in (self._line, self._slow_line) if line]
        if self._queue:
            times_s.append(self._idle_s)
        return min(times_s, default=float("inf"))

    def _start(self, packet: bytes) -> None:
        conditions, line = self.conditions, self._line
        due_s = self._idle_s + conditions["delay_ms"] / 1e3
        if conditions["reorder"] and self._reorders.random() < conditions["reorder"]:
            due_s += conditions["reorder_ms"] / 1e3
            line = self._slow_line
        self._started += 1
        line.append((due_s, self._started, packet))

    def _deliver(self, number: int, packet: bytes) -> None:
        counters = self.counters
        try:
            os.write(self._out, packet)
        except OSError:
            counters.refused += 1
            return
        counters.forwarded += 1
        counters.forwarded_bytes += len(packet)
        if number < self._newest:
            counters.reordered += 1
        else:
            self._newest = number


def new_device(namespace_path: str) -> int:
    """Make the TUN device there, and return its descriptor; it lasts as long as that is open.

    The calling thread stays in that namespace.
    """
    libc = ctypes.CDLL(None, use_errno=True)  # os.setns is new in Python 3.12
    namespace = os.open(namespace_path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(namespace, CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"setns: {os.strerror(number)}")
    finally:
        os.close(namespace)
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    request = struct.pack("16sH22x", DEVICE.encode(), IFF_TUN | IFF_NO_PI)
    fcntl.ioctl(device, TUNSETIFF, request)
    return device


def obey(directions: dict[str, Direction]) -> bool:
    """Do what the lines on stdin say and answer; False at the end of stdin."""
    # A line is shorter than PIPE_BUF, so a read never returns half of one.
    text = os.read(STDIN, 1 << 16)
    for line in text.splitlines():
        for name, changes in json.loads(line).items():
            directions[name].conditions = {**directions[name].conditions, **changes}
        answer = {}
        for name, direction in directions.items():
            direction.counters.in_flight = direction.in_flight()
            answer[name] = asdict(direction.counters)
        os.write(STDOUT, json.dumps(answer).encode() + b"\n")
    return bool(text)


def relay(near: int, far: int, mtu_bytes: int, seed: str) -> None:
    """Carry packets between two TUN descriptors until stdin ends."""
    forward = Direction(far, f"{seed} forward")
    backward = Direction(near, f"{seed} backward")
    by_source = {near: forward, far: backward}
    os.write(STDOUT, b"ready\n")
    while True:
        wait_s = min(forward.next_s(), backward.next_s()) - time.monotonic()
        # Not epoll, which counts in milliseconds.
        timeout_s = None if wait_s == float("inf") else max(0.0, wait_s)
        readable, _, _ = select.select([STDIN, near, far], [], [], timeout_s)
        told = STDIN in readable
        for source, direction in by_source.items():
            # What was sent before we were told comes before what we were told.
            if told or source in readable:
                with suppress(BlockingIOError):
                    for _ in range(BATCH):
                        packet = os.read(source, mtu_bytes)
                        direction.take(packet, time.monotonic())
            direction.move(time.monotonic())
        if told and not obey({"forward": forward, "backward": backward}):
            return


def main(near_path: str, far_path: str, mtu_bytes: str, seed: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, who closes stdin
    gc.disable()  # there are no cycles, and a collection would delay packets
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -20)  # other work must not make the path longer
    # In a thread, whose namespace ends with it: the way back may not be permitted, and nobody who
    # looks into the namespaces shall find the relay there.
    with ThreadPoolExecutor(max_workers=1) as pool:
        near, far = pool.map(new_device, (near_path, far_path))
    relay(near, far, int(mtu_bytes), seed)


if __name__ == "__main__":
    main(*sys.argv[1:])
