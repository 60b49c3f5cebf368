"""Moves bytes over one connection for each method, in slices that are timed one by one.

A connection lasts for several slices, so that they cost no slow start, and the receiver is told
of each slice before its time begins.  A slice ends when its last byte is in the receiver's hands,
which is on this host and so on the same clock; with another program at the far end, when it is
acknowledged.
"""

from __future__ import annotations

import errno
import resource
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from tcptool.catalog.methods import method_of
from tcptool.errors import TcptoolError, describe_errno, from_oserror
from tcptool.linux.kernel import Kernel
from tcptool.model.probe import Cost, Reading, Settings, Slice, TransferPlan
from tcptool.traffic import ends
from tcptool.traffic.far_end import Channel, FarEnd, far_end
from tcptool.traffic.line import Line
from tcptool.traffic.receivers import Receiver
from tcptool.traffic.source import Source
from tcptool.traffic.transports import PREPARATIONS, TRANSPORTS

if TYPE_CHECKING:
    from tcptool.model.change import Assignment


_BROKEN: Final = frozenset({errno.EPIPE, errno.ECONNRESET, errno.ETIMEDOUT, errno.ENOTCONN})
"""The connection is gone; any other errno is about the call that was tried."""


class Transfer:
    """Connections to one far end, a set of them at a time: ``lines``, one for each method."""

    def __init__(
        self,
        kernel: Kernel,
        plan: TransferPlan,
        assignments: Sequence[Assignment],
        source: Source,
        address: ends.Address,
        far: FarEnd | None,
    ) -> None:
        self._kernel, self._plan, self._assignments = kernel, plan, assignments
        self._source, self._address, self.far = source, address, far
        self.lines: dict[str, Line] = {}
        self._numbers: dict[str, int] = {}
        """Of the receiver's connections."""

    @contextmanager
    def connected(self, methods: Iterable[str]) -> Iterator[None]:
        """A new connection for each method; closed when the block ends.  Raises TcptoolError."""
        with ExitStack() as opened:
            opened.callback(self.lines.clear)
            for method in methods:
                line = self._connect()
                opened.callback(_close, line, self._plan)
                self.lines[method] = line
            self._numbers = {method: number for number, method in enumerate(self.lines)}
            if self.far:
                self.far.tell(do="accept", count=len(self.lines))
                self.far.hear(self._plan.timeout_s)
            yield

    def _connect(self) -> Line:
        plan = self._plan
        try:
            sock = ends.connect(self._kernel, self._address, self._assignments, plan.timeout_s)
        except TcptoolError:
            if self.far:
                self.far.explain()
            raise
        return Line(
            sock,
            chunk_bytes=plan.chunk_bytes,
            vectors=plan.vectors,
            pipe_bytes=plan.pipe_bytes,
            timeout_s=plan.timeout_s,
        )

    def prepare(self, method: str) -> None:
        """Get ready, and try it with one byte, so that what cannot be done shows now.

        Raises Unsupported where this kernel, and NotPermitted where a limit or a sandbox does
        not let it, and TcptoolError.
        """
        name = method_of(method).name
        if name in PREPARATIONS:
            PREPARATIONS[name](self.lines[method])
        with self._explained(method):
            self._send(method, 0, 1)
        if self.far:
            number, how = self._numbers[method], self._plan.receiver
            self.far.tell(do="receive", line=number, how=how, size=1)
            self.far.hear(self._plan.timeout_s)

    def leave_out(self, method: str) -> None:
        """Do without a method that could not be prepared."""
        line = self.lines.pop(method)
        with suppress(OSError):
            line.sock.shutdown(socket.SHUT_WR)  # its receiver is to see the end, as the others

    def move(self, method: str, start: int, size: int, connection: int = 0) -> Reading:
        """Send the next ``size`` bytes, from ``start`` of the source on, and time them."""
        line = self.lines[method]
        line.turn()
        if self.far:
            number, how = self._numbers[method], self._plan.receiver
            self.far.tell(do="receive", line=number, how=how, size=size)
        before, cpu = (line.calls, line.short_calls, line.waits), _cpu_s()
        begun_s = time.monotonic()
        with self._explained(method):
            if self.far:
                self._send(method, start, size)
            else:
                self._send_until_acknowledged(method, start, size)
        ended_s = time.monotonic()
        near = _cost(cpu, before, (line.calls, line.short_calls, line.waits))
        far = None
        if self.far:
            answer = self.far.hear(self._plan.timeout_s)
            ended_s = answer["ended_s"]
            far = Cost(*answer["cost"])
        return Reading(
            method,
            Slice(
                connection=connection,
                payload_bytes=size,
                elapsed_s=ended_s - begun_s,
                near_cpu_s=near.user_cpu_s + near.system_cpu_s,
                far_cpu_s=far.user_cpu_s + far.system_cpu_s if far else None,
            ),
            near,
            far,
        )

    def digest(self, method: str, size: int) -> str:
        """Send the first ``size`` bytes of the source; returns the SHA-256 of what arrived.

        Only where the far end is ours.
        """
        far = self._ours()
        far.tell(do="check", line=self._numbers[method], size=size)
        with self._explained(method):
            self._send(method, 0, size)
        return str(far.hear(self._plan.timeout_s)["digest"])

    def finish(self) -> None:
        """Close the sending side, and see that the receivers got what was sent and no more.

        Raises TcptoolError: a byte too many is an error of tcptool.
        """
        for method, line in self.lines.items():
            with self._explained(method):
                while line.zerocopy_completed < line.zerocopy_sends:
                    line.wait_for_completions()
                line.sock.shutdown(socket.SHUT_WR)
        if self.far:
            self.far.tell(do="finish")
            if surplus := self.far.hear(self._plan.timeout_s)["surplus"]:
                by_number = {number: name for name, number in self._numbers.items()}
                names = ", ".join(by_number[number] for number in surplus)
                raise TcptoolError("checking the byte counts", f"more arrived than sent: {names}")

    def settings(self, method: str) -> Settings:
        """What is in force on the connection of a method."""
        rcvbuf_bytes = None
        if self.far:
            self.far.tell(do="rcvbuf", line=self._numbers[method])
            rcvbuf_bytes = self.far.hear(self._plan.timeout_s)["rcvbuf_bytes"]
        sock = self.lines[method].sock
        return ends.settings(self._kernel, sock, self._assignments, rcvbuf_bytes)

    def _send(self, method: str, start: int, size: int) -> None:
        """The source is a ring: after its last byte comes its first."""
        line, source, transport = (
            self.lines[method],
            self._source,
            TRANSPORTS[method_of(method).name],
        )
        while size:
            start %= source.size_bytes
            stop = min(start + size, source.size_bytes)
            transport(line, source, start, stop)
            size -= stop - start
            start = stop

    def _send_until_acknowledged(self, method: str, start: int, size: int) -> None:
        line = self.lines[method]
        last = min(size, line.chunk_bytes)
        self._send(method, start, size - last)
        with line.woken_by_acknowledgement():
            self._send(method, start + size - last, last)
        line.wait_until_acknowledged()

    def _ours(self) -> FarEnd:
        if self.far is None:
            raise ValueError("the far end is not ours")  # the plan rules it out
        return self.far

    @contextmanager
    def _explained(self, method: str) -> Iterator[None]:
        """Say why a connection broke, or what a method lacks, as far as it can be known."""
        try:
            yield
        except OSError as exc:
            if exc.errno == errno.EFAULT:  # a page of the file is not there any more
                raise self._source.shrank() from exc
            if self.far:
                self.far.explain()
            doing = f"sending with {method}" + (f" to {self._plan.to}" if self._plan.to else "")
            if exc.errno not in _BROKEN:
                raise from_oserror(doing, exc) from exc
            raise TcptoolError(
                doing,
                describe_errno(exc.errno or errno.EIO),
                "The other end closed the connection before it had everything.",
            ) from exc


@contextmanager
def open_transfer(
    kernel: Kernel,
    plan: TransferPlan,
    assignments: Sequence[Assignment],
    source: Source,
    far_cpu: int | None,
) -> Iterator[Transfer]:
    """Start a receiver, unless there is one; it is gone when the block ends."""
    if plan.to is not None:
        address = ends.look_up(plan.to, ends.families(plan.path))
        yield Transfer(kernel, plan, assignments, source, address, None)
        return

    def work(channel: Channel) -> None:
        _receive(kernel, plan, assignments, channel)

    with far_end("receiver", work, cpu=far_cpu) as far:
        name = far.hear(plan.timeout_s)["name"]
        address = ends.Address(
            ends.FAMILIES[plan.path],
            bytes.fromhex(name) if plan.path == "unix" else tuple(name),
        )
        yield Transfer(kernel, plan, assignments, source, address, far)


def _close(line: Line, plan: TransferPlan) -> None:
    if plan.path != "unix" and plan.to is None:
        with suppress(OSError):
            ends.reset_at_close(line.sock)
    line.close()


def _cpu_s() -> tuple[float, float]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime, usage.ru_stime


def _cost(cpu: tuple[float, float], before: tuple[int, ...], after: tuple[int, ...]) -> Cost:
    user_s, system_s = _cpu_s()
    counts = (now - then for now, then in zip(after, before, strict=True))
    return Cost(user_s - cpu[0], system_s - cpu[1], *counts)


# -- the receiving child -------------------------------------------------------------------


def _receive(
    kernel: Kernel, plan: TransferPlan, assignments: Sequence[Assignment], channel: Channel
) -> None:
    """Do what the channel says, until it closes."""
    with ends.listen(kernel, plan.path, assignments, len(plan.methods)) as listener:
        name = listener.getsockname()
        channel.tell(name=name.hex() if isinstance(name, bytes) else name)
        receivers: list[Receiver] = []
        while True:
            order = channel.hear()
            if order["do"] == "accept":
                for one in receivers:
                    one.close()
                receivers = [_accept(listener, plan) for _ in range(order["count"])]
                channel.tell()
            else:
                channel.tell(**_obey(receivers, order))


def _accept(listener: socket.socket, plan: TransferPlan) -> Receiver:
    sock, _ = listener.accept()
    return Receiver(sock, chunk_bytes=plan.chunk_bytes, pipe_bytes=plan.pipe_bytes)


def _obey(receivers: list[Receiver], order: dict[str, Any]) -> dict[str, Any]:
    if order["do"] == "finish":
        return {"surplus": [n for n, one in enumerate(receivers) if not one.is_at_end()]}
    one = receivers[order["line"]]
    if order["do"] == "rcvbuf":
        return {"rcvbuf_bytes": one.rcvbuf_bytes()}
    if order["do"] == "check":
        return {"digest": one.digest_of(order["size"])}
    before, cpu = (one.calls, one.short_calls, 0), _cpu_s()
    one.receive(order["how"], order["size"])
    ended_s = time.monotonic()
    return {"ended_s": ended_s, "cost": _cost(cpu, before, (one.calls, one.short_calls, 0))}
