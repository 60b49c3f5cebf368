"""Whatever a socket takes at a time, each byte leaves once and in order."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcptool.catalog.tcp_info import TcpInfo
from tcptool.decode.tcp_info import decode_tcp_info
from tcptool.traffic import outgoing
from tcptool.traffic.answers import FilePart
from tcptool.traffic.outgoing import PATTERN, FileShrank, Outgoing

DATA = bytes(range(256)) * 1200
"""Of the file: more than is sent in one call with the head."""
LARGE = len(DATA)


@pytest.fixture(autouse=True)
def _descriptors() -> Iterator[None]:
    """Whatever happens, no descriptor is left open."""
    before = os.listdir("/proc/self/fd")
    yield
    assert os.listdir("/proc/self/fd") == before


@contextmanager
def pair(*, room_bytes: int = 1) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a stream that holds little; the kernel has a least size."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, room_bytes)
        ours.setblocking(False)
        theirs.setblocking(False)
        yield ours, theirs


def part(start: int, stop: int, data: bytes = DATA) -> FilePart:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        return FilePart(os.dup(file.fileno()), start, stop)


def what_there_is(theirs: socket.socket) -> bytes:
    received = b""
    with suppress(BlockingIOError):
        while data := theirs.recv(1 << 20):
            received += data
    return received


def send_all(out: Outgoing, ours: socket.socket, theirs: socket.socket, size: int) -> bytes:
    """Read some whenever the socket is full."""
    received = b""
    while not (done := out.send(ours.fileno())):
        if done is False:
            received += theirs.recv(size)
    received += what_there_is(theirs)
    assert out.sent_bytes == len(received)
    assert out.send(ours.fileno()) is True, "and that stays so"
    return received


# -- every byte once -----------------------------------------------------------------------


@given(
    first=st.lists(st.binary(max_size=30) | st.just(b"x" * 5000), max_size=6),
    bounds=st.tuples(st.integers(0, LARGE), st.integers(0, LARGE)),
    small_bytes=st.sampled_from([0, 1000, 64 << 10, LARGE]),
    sendfile_bytes=st.sampled_from([1000, 4096, 1 << 20]),
    turn_bytes=st.sampled_from([1, 10_000, 4 << 20]),
    read_bytes=st.sampled_from([100, 4097, 1 << 20]),
)
def test_buffers_and_a_part_of_a_file(
    first: list[bytes],
    bounds: tuple[int, int],
    small_bytes: int,
    sendfile_bytes: int,
    turn_bytes: int,
    read_bytes: int,
) -> None:
    start, stop = sorted(bounds)
    with (
        mock.patch.object(outgoing, "_SMALL_FILE_BYTES", small_bytes),
        mock.patch.object(outgoing, "_SENDFILE_BYTES", sendfile_bytes),
        mock.patch.object(outgoing, "_TURN_BYTES", turn_bytes),
        pair() as (ours, theirs),
    ):
        out = Outgoing(first, 0, part(start, stop))
        assert send_all(out, ours, theirs, read_bytes) == b"".join(first) + DATA[start:stop]


@given(
    first=st.lists(st.binary(max_size=30), max_size=4),
    size=st.integers(0, 3 * len(PATTERN))
    | st.sampled_from([n * len(PATTERN) + more for n in (1, 4, 5, 8) for more in (-1, 0, 1)]),
    turn_bytes=st.sampled_from([100_000, 4 << 20]),
)
def test_buffers_and_a_pattern(first: list[bytes], size: int, turn_bytes: int) -> None:
    with (
        mock.patch.object(outgoing, "_TURN_BYTES", turn_bytes),
        pair(room_bytes=100_000) as (ours, theirs),
    ):
        received = send_all(Outgoing(first, size), ours, theirs, 1 << 20)
    whole, rest = divmod(size, len(PATTERN))
    assert received == b"".join([*first, bytes(PATTERN) * whole, PATTERN[:rest]])


def test_more_buffers_than_one_call_takes() -> None:
    parts = [b"%d," % number for number in range(5000)]
    with pair() as (ours, theirs):
        assert send_all(Outgoing(parts), ours, theirs, 1 << 20) == b"".join(parts)


def test_nothing_is_sent_at_once() -> None:
    with pair() as (ours, _):
        for out in (Outgoing([]), Outgoing([b"", b""]), Outgoing([], 0, part(5, 5))):
            assert out.send(ours.fileno()) is True
            assert out.sent_bytes == 0


def test_the_pattern_is_that_of_the_character_generator() -> None:
    """RFC 864: lines of 72 signs, each begins one sign later."""
    lines = bytes(PATTERN).split(b"\r\n")
    assert lines.pop() == b""
    signs = bytes(range(0x20, 0x7F))
    for number, line in enumerate(lines):
        assert line == ((signs + signs)[number % 95 :])[:72]
    assert len(lines) % 95 == 0, "the next one begins where this one ends"


def test_the_end_of_a_huge_file() -> None:
    size = 5 << 30
    with tempfile.TemporaryFile() as file:
        file.truncate(size)
        file.seek(size - 4)
        file.write(b"tail")
        file.flush()
        start = size - 100_000
        out = Outgoing([b"head"], 0, FilePart(os.dup(file.fileno()), start, size))
    with pair() as (ours, theirs):
        assert send_all(out, ours, theirs, 1 << 20) == b"head" + bytes(99_996) + b"tail"


# -- turns ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["buffers", "pattern", "file"])
def test_a_full_socket_is_waited_for(kind: str) -> None:
    out = {
        "buffers": lambda: Outgoing([DATA]),
        "pattern": lambda: Outgoing([b"head"], LARGE),
        "file": lambda: Outgoing([b"head"], 0, part(0, LARGE)),
    }[kind]()
    with pair() as (ours, theirs):
        assert out.send(ours.fileno()) is False
        sent_bytes = out.sent_bytes
        assert 0 < sent_bytes < LARGE
        assert out.send(ours.fileno()) is False
        assert out.sent_bytes == sent_bytes
        assert len(theirs.recv(LARGE)) == sent_bytes
        assert out.send(ours.fileno()) is False
        assert out.sent_bytes > sent_bytes
        out.close()


@pytest.mark.parametrize("kind", ["pattern", "file"])
def test_a_turn_ends_however_much_the_socket_takes(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outgoing, "_TURN_BYTES", 10_000)
    monkeypatch.setattr(outgoing, "_SENDFILE_BYTES", 3000)
    monkeypatch.setattr(outgoing, "PATTERN", PATTERN[:3000])
    monkeypatch.setattr(outgoing, "_PATTERNS", 1)
    with pair(room_bytes=100_000) as (ours, _):
        more = (0, part(0, 66_000)) if kind == "file" else (66_000, None)
        out = Outgoing([b"head"], *more)
        turns, before = 0, 0
        while (done := out.send(ours.fileno())) is None:
            turns += 1
            assert 10_000 <= out.sent_bytes - before < 13_000
            before = out.sent_bytes
        assert done is True
        assert out.sent_bytes == 66_004
        assert turns >= 3


# -- one segment ---------------------------------------------------------------------------


def tcp_info(sock: socket.socket) -> TcpInfo:
    return decode_tcp_info(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 300))


@contextmanager
def tcp_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Without Nagle's algorithm: what is sent leaves, unless it is told to wait."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        theirs = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
    with ours, theirs:
        ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ours.setblocking(False)
        yield ours, theirs


def receive(theirs: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        received += theirs.recv(1 << 20)
    return received


def test_the_head_leaves_in_one_segment_with_a_small_file() -> None:
    with tcp_pair() as (ours, theirs):
        assert Outgoing([b"head", b"body", b"head"], 0, part(0, 1000)).send(ours.fileno()) is True
        assert tcp_info(ours).data_segs_out == 1
        assert receive(theirs, 1012) == b"headbodyhead" + DATA[:1000]


def test_the_head_waits_for_a_large_file(monkeypatch: pytest.MonkeyPatch) -> None:
    segments_before: list[int | None] = []
    sendfile = os.sendfile

    def spying(out: int, file: int, offset: int, count: int) -> int:
        segments_before.append(tcp_info(ours).data_segs_out)
        return sendfile(out, file, offset, count)

    with tcp_pair() as (ours, theirs):
        monkeypatch.setattr("os.sendfile", spying)
        out = Outgoing([b"head", b"body", b"head"], 0, part(0, 66_000))
        assert out.send(ours.fileno()) is True
        assert segments_before[0] == 0
        assert tcp_info(ours).notsent_bytes == 0, "nothing waits for more that does not come"
        assert receive(theirs, 66_012) == b"headbodyhead" + DATA[:66_000]


# -- the end -------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "stop"), [(0, 1), (10, 1000)])
def test_a_small_file_that_shrank_is_told_before_anything_is_sent(size: int, stop: int) -> None:
    with pytest.raises(FileShrank):
        Outgoing([b"head"], 0, part(0, stop, DATA[:size]))


def test_a_large_file_that_shrinks_is_told_when_its_end_is_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    out = Outgoing([b"head"], 0, FilePart(os.open(path, os.O_RDONLY), 0, LARGE))
    with pair() as (ours, theirs):
        assert out.send(ours.fileno()) is False
        os.truncate(path, 150_000)
        with pytest.raises(FileShrank):
            send_all(out, ours, theirs, 1 << 20)
        assert out.sent_bytes == len(b"head") + 150_000
        out.close()


def test_a_file_that_cannot_be_read_is_closed(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(IsADirectoryError):
        Outgoing([b"head"], 0, FilePart(fd, 0, 10))


@pytest.mark.parametrize("kind", ["buffers", "file"])
def test_a_client_that_has_gone(kind: str) -> None:
    out = Outgoing([b"head"], 0, part(0, LARGE)) if kind == "file" else Outgoing([DATA])
    with pair() as (ours, theirs):
        assert out.send(ours.fileno()) is False
        theirs.close()
        with pytest.raises(BrokenPipeError):
            out.send(ours.fileno())
        out.close()
        out.close()


def test_the_socket_stays_open() -> None:
    with pair() as (ours, theirs):
        out = Outgoing([b"head"], 0, part(0, 66_000))
        send_all(out, ours, theirs, 1 << 20)
        ours.sendall(b"more")
        assert theirs.recv(100) == b"more"
