"""Sets an option on sockets of its own in every state, and judges what came of it.

    python -m tests.live.outcome_prober

Each line on stdin is JSON, ``[NAME, [VALUE, ...], {NAME: VALUE}]``; the answer is a list of what
``judge``, ``expected`` and ``agrees`` say of each value on each socket.  The values are set one
after the other on the same socket, on which the options of the third part are set first.
"""

from __future__ import annotations

import contextlib
import errno
import json
import socket
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from tcptool.analysis.outcome import agrees, expected, judge, needed_sysctls
from tcptool.catalog.options import BACKLOG, BY_NAME, OptionValue, SocketOption
from tcptool.decode.options import decode_option, encode_option
from tcptool.linux.borrow import OpenDescriptor
from tcptool.linux.visit import read_option, write_option
from tcptool.model.change import Assignment, Attempt, Circumstances

MPTCP: Final = 262
READ_AS: Final = {"SO_SNDBUFFORCE": "SO_SNDBUF", "SO_RCVBUFFORCE": "SO_RCVBUF"}
LOCK: Final = BY_NAME["SO_BUF_LOCK"]


@dataclass(frozen=True)
class Kind:
    """A kind of socket; ``to`` is the address that it connects to."""

    name: str
    family: socket.AddressFamily
    bind: str
    to: str
    protocol: int = socket.IPPROTO_TCP

    def new(self) -> socket.socket:
        return socket.socket(self.family, socket.SOCK_STREAM, self.protocol)

    def listener(self, backlog: int) -> socket.socket:
        listening = self.new()
        listening.bind((self.bind, 0))
        listening.listen(backlog)
        return listening


KINDS: Final = (
    Kind("ipv4", socket.AF_INET, "127.0.0.1", "127.0.0.1"),
    Kind("ipv6", socket.AF_INET6, "::1", "::1"),
    Kind("v4-mapped", socket.AF_INET6, "::ffff:127.0.0.1", "::ffff:127.0.0.1"),
    Kind("mptcp", socket.AF_INET, "127.0.0.1", "127.0.0.1", MPTCP),
    Kind("mptcp6", socket.AF_INET6, "::1", "::1", MPTCP),
)


class Arena:
    """Makes sockets of one kind in every state."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self._listener = kind.listener(16)
        # A queue that is full answers no SYN.
        self._deaf = kind.listener(0)
        self._fillers = [kind.new() for _ in range(3)]
        for filler in self._fillers:
            filler.setblocking(False)
            filler.connect_ex(self._deaf.getsockname())
        self._listener.settimeout(5)
        self.states: dict[str, Callable[[], tuple[socket.socket, ...]]] = {
            "closed": lambda: (kind.new(),),
            "bound-inactive": self._bound,
            "listen": lambda: (kind.listener(1),),
            "syn-sent": self._unanswered,
            "established": self._pair,
            "established (accepted)": lambda: self._pair()[::-1],
            "close-wait": lambda: self._half_closed(1),
            "fin-wait-2": lambda: self._half_closed(0),
        }
        if kind.protocol == MPTCP:
            del self.states["syn-sent"]

    def _bound(self) -> tuple[socket.socket]:
        made = self.kind.new()
        made.bind((self.kind.bind, 0))
        return (made,)

    def _unanswered(self) -> tuple[socket.socket]:
        made = self.kind.new()
        made.setblocking(False)
        assert made.connect_ex(self._deaf.getsockname()) == errno.EINPROGRESS
        return (made,)

    def _pair(self) -> tuple[socket.socket, socket.socket]:
        client = self.kind.new()
        client.connect(self._listener.getsockname())
        accepted = self._listener.accept()[0]
        client.send(b"x")  # with ECN, its packets are marked from the first data on
        accepted.recv(1)
        return client, accepted

    def _half_closed(self, closer: int) -> tuple[socket.socket, socket.socket]:
        pair = self._pair()
        pair[closer].shutdown(socket.SHUT_WR)
        assert pair[1 - closer].recv(1) == b""
        return pair

    @contextlib.contextmanager
    def make(self, state: str) -> Iterator[OpenDescriptor]:
        """A socket in this state; nothing of it is left in TIME_WAIT."""
        made = self.states[state]()
        try:
            yield OpenDescriptor(made[0].fileno())
        finally:
            for each in made:
                with contextlib.suppress(OSError):
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", 1, 0))
                each.close()


def sysctl(name: str) -> int:
    path, _, place = name.removesuffix("]").partition("[")
    return int(Path("/proc/sys", *path.split(".")).read_text().split()[int(place or 0)])


def tick_us() -> int:
    """Length of a kernel tick: what one microsecond is rounded up to."""
    with socket.socket() as own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("=qq", 0, 1))
        raw = own.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16)
        return int(struct.unpack("=qq", raw)[1])


def value_of(option: SocketOption, reading: bytes | int) -> OptionValue | None:
    return decode_option(option, reading) if isinstance(reading, bytes) else None


def from_json(value: Any) -> OptionValue:
    return tuple(value) if isinstance(value, list) else value


def trials(
    arena: Arena,
    option: SocketOption,
    values: list[OptionValue],
    prior: Mapping[SocketOption, OptionValue],
) -> Iterator[dict[str, Any]]:
    shown = BY_NAME.get(READ_AS.get(option.name, ""), option)
    numbers = {name: sysctl(name) for name in needed_sysctls([option])}
    tick = tick_us()
    for state in arena.states:
        with arena.make(state) as descriptor:
            for other, set_before in prior.items():
                write_option(descriptor, other, encode_option(other, set_before))
            for value in values:
                locks = value_of(LOCK, read_option(descriptor, LOCK))
                circumstances = Circumstances(
                    state=state.partition(" ")[0],
                    family="ipv4" if arena.kind.family is socket.AF_INET else "ipv6",
                    protocol="mptcp" if arena.kind.protocol == MPTCP else "tcp",
                    numbers=numbers,
                    jiffy_us=tick,
                    locks=locks if isinstance(locks, tuple) else (),
                )
                one = Assignment(option, value, "")
                may_read = shown.readable
                before = value_of(shown, read_option(descriptor, shown)) if may_read else None
                number = write_option(descriptor, option, encode_option(option, value))
                after = value_of(shown, read_option(descriptor, shown)) if may_read else None
                attempt = Attempt(assignment=one, before=before, after=after, errno=number)
                blind = replace(circumstances, numbers={}, jiffy_us=None, locks=())
                yield {
                    "option": option.name,
                    "kind": arena.kind.name,
                    "state": state,
                    "value": value,
                    "before": before,
                    "after": after,
                    "errno": errno.errorcode.get(number, "") if number else "",
                    **asdict(judge(attempt, circumstances)),
                    "blind": judge(attempt, blind).word,
                    "expected": expected(one, circumstances),
                    "agrees": agrees(one, after, circumstances).word,
                    "blindly_agrees": agrees(one, after, blind).word,
                }


def main() -> None:
    arenas = [Arena(kind) for kind in KINDS]
    print(json.dumps([arena.kind.name for arena in arenas]), flush=True)
    for line in sys.stdin:
        name, values, others = json.loads(line)
        option = BACKLOG if name == BACKLOG.name else BY_NAME[name]
        asked = [from_json(value) for value in values]
        prior = {BY_NAME[other]: from_json(value) for other, value in others.items()}
        answer = [trial for arena in arenas for trial in trials(arena, option, asked, prior)]
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
