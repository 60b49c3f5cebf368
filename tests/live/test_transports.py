"""Every way of sending, over every path, to every receiver: each byte once, in order."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tcptool.catalog.methods import METHODS, RECEIVERS
from tcptool.errors import NotFound, TcptoolError, UsageError
from tcptool.linux.kernel import LiveKernel
from tcptool.model.change import Assignment
from tcptool.model.probe import TransferPlan
from tcptool.sansio.assignment import parse_assignment
from tcptool.traffic import ends
from tcptool.traffic.far_end import FarEndLost
from tcptool.traffic.line import TimedOut
from tcptool.traffic.source import Source, SourceShrank, open_source
from tcptool.traffic.transfer import Transfer, open_transfer

ALL = tuple(method.name for method in METHODS)
FROM_MEMORY = tuple(method.name for method in METHODS if method.memory)
PLAN = TransferPlan(
    methods=ALL,
    size_bytes=1 << 20,
    duration_s=None,
    connections=1,
    warmup_rounds=0,
    slice_bytes=1 << 18,
    chunk_bytes=1 << 16,
    vectors=16,
    pipe_bytes=1 << 16,
    path="ipv4",
    to=None,
    source="temporary-file",
    file=None,
    receiver="recv",
    verify=True,
    timeout_s=10,
    seed=1,
    processors=(),
)
# The least that the kernel gives the sender: most calls are short, and many have to wait.
TIGHT = (parse_assignment("SO_SNDBUF=4608"), parse_assignment("SO_RCVBUF=64K"))


@contextmanager
def source_of(plan: TransferPlan, size_bytes: int = 1 << 20) -> Iterator[Source]:
    source = open_source(
        plan.file, memory=plan.source == "memory", size_bytes=size_bytes, seed=plan.seed
    )
    try:
        yield source
    finally:
        source.close()


@contextmanager
def moving(
    plan: TransferPlan, source: Source, assignments: tuple[Assignment, ...] = ()
) -> Iterator[Transfer]:
    with (
        LiveKernel() as kernel,
        open_transfer(kernel, plan, assignments, source, None) as transfer,
        transfer.connected(plan.methods),
    ):
        for method in transfer.lines:
            transfer.prepare(method)
        yield transfer


def digest(source: Source, size: int) -> str:
    if source.fd is None:
        return hashlib.sha256(source.pages[:size]).hexdigest()
    return hashlib.sha256(os.pread(source.fd, size, 0)).hexdigest()


@pytest.mark.parametrize("path", ["ipv4", "ipv6", "unix"])
@pytest.mark.parametrize("kind", ["temporary-file", "memory"])
def test_what_arrives_is_what_was_sent(path: str, kind: str) -> None:
    methods = tuple(
        method.name
        for method in METHODS
        if (method.unix or path != "unix") and (method.memory or kind != "memory")
    )
    plan = replace(PLAN, methods=methods, path=path, source=kind)
    with source_of(plan) as source, moving(plan, source) as transfer:
        for method in methods:
            for size in (1, 4095, 65_537, source.size_bytes):
                assert transfer.digest(method, size) == digest(source, size), (method, size)
        transfer.finish()


@pytest.mark.parametrize("path", ["ipv4", "unix"])
@pytest.mark.parametrize("chunk_bytes", [1, 1000, 300_001])
def test_short_writes_lose_and_repeat_nothing(path: str, chunk_bytes: int) -> None:
    methods = tuple(method.name for method in METHODS if method.unix or path != "unix")
    plan = replace(
        PLAN, methods=methods, path=path, chunk_bytes=chunk_bytes, vectors=7, pipe_bytes=8192
    )
    size = {1: 2000, 1000: 300_001}.get(chunk_bytes, 5_000_001)
    with source_of(plan, size) as source, moving(plan, source, TIGHT) as transfer:
        for method in methods:
            assert transfer.digest(method, size) == digest(source, size), method
        waits = {method: transfer.lines[method].waits for method in methods}
        transfer.finish()
    assert chunk_bytes <= 1000 or min(waits.values()) > 0, waits


@pytest.mark.parametrize("vectors", [1, 2, 1024, 5000])
def test_any_number_of_buffers(vectors: int) -> None:
    plan = replace(PLAN, methods=("writev",), vectors=vectors, chunk_bytes=1 << 20)
    with source_of(plan) as source, moving(plan, source) as transfer:
        assert transfer.digest("writev", 1 << 20) == digest(source, 1 << 20)


@pytest.mark.parametrize("receiver", RECEIVERS)
@pytest.mark.parametrize("method", ALL)
def test_a_slice_is_timed_and_counted(method: str, receiver: str) -> None:
    plan = replace(PLAN, methods=(method,), receiver=receiver)
    with source_of(plan) as source, moving(plan, source) as transfer:
        reading = transfer.move(method, 5, 200_001)
        transfer.finish()
    assert reading.slice.payload_bytes == 200_001
    assert reading.slice.elapsed_s > 0
    assert reading.near.calls >= 200_001 // plan.chunk_bytes
    assert reading.near.waits <= reading.near.calls
    assert reading.far is not None
    assert reading.far.calls > 0
    assert (reading.slice.far_cpu_s or 0) >= 0


def test_a_small_file_is_sent_over_and_over(tmp_path: Path) -> None:
    file = tmp_path / "small"
    file.write_bytes(bytes(range(251)))
    plan = replace(PLAN, file=str(file), source="file")
    with source_of(plan) as source, moving(plan, source) as transfer:
        for method in ALL:
            assert transfer.move(method, 17, 10_000).slice.payload_bytes == 10_000
        expected = hashlib.sha256((bytes(range(251)) * 40)[:10_000]).hexdigest()
        for method in ALL:
            assert transfer.digest(method, 10_000) == expected
        transfer.finish()


def test_zerocopy_sends_are_all_accounted_for() -> None:
    plan = replace(PLAN, methods=("zerocopy",))
    with source_of(plan) as source, moving(plan, source) as transfer:
        for number in range(20):
            transfer.move("zerocopy", number, 200_000)
        transfer.finish()
        line = transfer.lines["zerocopy"]
        assert line.zerocopy_completed == line.zerocopy_sends > 20
        # Loopback always copies: skb_orphan_frags_rx(), net/core/skbuff.c.
        assert line.zerocopy_copied == line.zerocopy_completed


def test_what_is_in_force_is_told() -> None:
    plan = replace(PLAN, methods=("send",))
    asked = (parse_assignment("TCP_CONGESTION=reno"), parse_assignment("SO_RCVBUF=100000"))
    with source_of(plan) as source, moving(plan, source, asked) as transfer:
        settings = transfer.settings("send")
    assert settings.congestion_control == "reno"
    assert settings.rcvbuf_bytes == 200_000  # doubled, and set on both ends
    assert settings.device == "lo"
    assert [(one.name, one.effective) for one in settings.options] == [
        ("TCP_CONGESTION", "reno"),
        ("SO_RCVBUF", 200_000),
    ]


# -- rough weather -------------------------------------------------------------------------


def receiver_of(transfer: Transfer) -> int:
    """Its PID."""
    assert transfer.far is not None
    return transfer.far.pid


@pytest.mark.parametrize("method", ALL)
def test_a_receiver_that_is_killed_is_an_error_that_says_so(method: str) -> None:
    plan = replace(PLAN, methods=(method,))
    with source_of(plan) as source, moving(plan, source) as transfer:
        transfer.move(method, 0, 1000)
        os.kill(receiver_of(transfer), signal.SIGKILL)
        with pytest.raises(FarEndLost, match="killed by SIGKILL"):
            transfer.move(method, 0, 64 << 20)


@pytest.mark.parametrize("method", ALL)
def test_a_receiver_that_stops_reading_is_not_waited_for_forever(method: str) -> None:
    plan = replace(PLAN, methods=(method,), timeout_s=0.2)
    with source_of(plan) as source, moving(plan, source, TIGHT) as transfer:
        os.kill(receiver_of(transfer), signal.SIGSTOP)
        try:
            with pytest.raises(TimedOut, match=r"took nothing for 0\.2 s"):
                transfer.move(method, 0, 1 << 20)
        finally:
            os.kill(receiver_of(transfer), signal.SIGCONT)


@pytest.mark.parametrize("method", ALL)
def test_a_file_that_becomes_shorter_is_an_error_that_says_so(method: str, tmp_path: Path) -> None:
    file = tmp_path / "shrinking"
    file.write_bytes(random.Random(2).randbytes(1 << 20))
    plan = replace(PLAN, methods=(method,), file=str(file), source="file")
    with source_of(plan) as source, moving(plan, source) as transfer:
        transfer.move(method, 0, 1 << 20)
        os.truncate(file, 4096)
        with pytest.raises(SourceShrank, match="became shorter than 1048576 bytes"):
            transfer.move(method, 0, 1 << 20)


def test_no_child_is_left_behind() -> None:
    plan = replace(PLAN, methods=("send",))
    with source_of(plan) as source:
        with moving(plan, source) as transfer:
            pid = receiver_of(transfer)
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


# -- another program at the far end --------------------------------------------------------


@contextmanager
def sink(received: list[int], *, reads: bool = True) -> Iterator[int]:
    """A port whose connections are read to their end, or never."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drain(connection: socket.socket) -> None:
            count = 0
            with connection:
                while piece := connection.recv(1 << 20):
                    count += len(piece)
            received.append(count)

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threads.append(threading.Thread(target=drain, args=(connection,)))
                threads[-1].start()

        threads: list[threading.Thread] = []
        if reads:
            threads.append(threading.Thread(target=accept))
            threads[0].start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()


def test_bytes_to_another_program_are_timed_to_their_acknowledgement() -> None:
    received: list[int] = []
    with sink(received) as port:
        plan = replace(PLAN, to=f"127.0.0.1:{port}", receiver=None)
        with source_of(plan) as source, moving(plan, source) as transfer:
            for method in ALL:
                reading = transfer.move(method, 3, 1_000_001)
                assert ends.unacknowledged_bytes(transfer.lines[method].sock) == 0
                assert reading.far is None
            transfer.finish()
    assert received == [1_000_001 + 1] * len(ALL), "and a byte to try it"


def test_another_program_that_does_not_read_is_not_waited_for_forever() -> None:
    with sink([], reads=False) as port:
        plan = replace(
            PLAN, methods=("send",), to=f"127.0.0.1:{port}", receiver=None, timeout_s=0.3
        )
        with (
            source_of(plan) as source,
            moving(plan, source, TIGHT) as transfer,
            pytest.raises(TimedOut),
        ):
            transfer.move("send", 0, 32 << 20)


def test_nobody_listens(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    plan = replace(PLAN, methods=("send",), to=f"127.0.0.1:{port}", receiver=None)
    with (
        source_of(plan) as source,
        pytest.raises(TcptoolError, match=rf"127\.0\.0\.1:{port}.*ECONNREFUSED"),
        moving(plan, source),
    ):
        pass


@pytest.mark.parametrize("to", ["nonsense", "host:", ":5", "host:0", "host:65536", "host:port"])
def test_a_destination_is_host_and_port(to: str) -> None:
    with pytest.raises(UsageError, match="HOST:PORT"):
        ends.look_up(to, (socket.AF_INET,))


def test_a_name_that_does_not_exist() -> None:
    with pytest.raises(NotFound, match="looking up"):
        ends.look_up("no.such.name.invalid:80", (socket.AF_INET,))


# -- the source ----------------------------------------------------------------------------


def test_the_temporary_file_has_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with source_of(PLAN) as source:
        assert list(tmp_path.iterdir()) == []
        assert source.size_bytes == 1 << 20


def test_a_full_disk_is_an_error_that_says_what_else_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/dev/full")
    with pytest.raises(TcptoolError) as caught, source_of(PLAN):
        pass
    assert caught.value.hint.endswith("--memory needs none.")
    assert errno.errorcode[errno.ENOTDIR] in str(caught.value)


def test_what_cannot_be_sent(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path, error, text in (
        (empty, UsageError, "it is empty"),
        (tmp_path, UsageError, "it is a directory"),
        (fifo, UsageError, "not a regular file"),
        (tmp_path / "none", NotFound, "ENOENT"),
    ):
        with (
            pytest.raises(error, match=text),
            source_of(replace(PLAN, file=str(path), source="file")),
        ):
            pass


def test_a_source_closes_though_an_error_still_holds_its_pages() -> None:
    """As the traceback of a send that failed does."""
    source = open_source(None, memory=False, size_bytes=1 << 16, seed=1)
    view = memoryview(source.pages)[10:]
    source.close()
    assert source.fd is not None
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(source.fd)
    view.release()


def test_a_file_that_lost_its_last_bytes_is_noticed_in_the_end(tmp_path: Path) -> None:
    """Within a page nothing else tells: the kernel sends zeros."""
    file = tmp_path / "data"
    file.write_bytes(b"x" * 10_000)
    source = open_source(str(file), memory=False, size_bytes=1 << 20, seed=1)
    source.check_size()
    os.truncate(file, 9_990)
    with pytest.raises(SourceShrank):
        source.check_size()
    source.close()


def test_of_a_large_file_no_more_is_mapped_than_is_sent(tmp_path: Path) -> None:
    file = tmp_path / "sparse"
    file.touch()
    os.truncate(file, 1 << 42)
    source = open_source(str(file), memory=False, size_bytes=1 << 20, seed=1)
    assert source.size_bytes == len(source.pages) == 1 << 20
    source.close()
