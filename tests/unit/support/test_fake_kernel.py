"""The fake kernel answers as the real one does."""

from __future__ import annotations

import errno
import struct
import sys
from pathlib import Path

import pytest

from tcptool.catalog import diag
from tcptool.decode.diag_request import dump_request, exact_request, pack_id
from tcptool.decode.inet_diag import decode_socket
from tcptool.decode.netlink import messages
from tcptool.errors import NotFound, NotPermitted
from tcptool.linux.borrow import check_identity
from tcptool.linux.kernel import Kernel
from tcptool.linux.owners import find_owners
from tests.support.fake_kernel import FakeDescriptor, FakeKernel, descriptor_for, diag_message

LISTENER = diag_message("listen", local=("127.0.0.1", 80), cookie=1, inode=1)
CONNECTION = diag_message(
    peer=("127.0.0.1", 5000), cookie=2, inode=2, tcp_info={"rtt_us": 7}, congestion="bbr"
)
MAPPED = diag_message(
    local=("127.0.0.1", 81), peer=("127.0.0.1", 1), family=diag.AF_INET6, cookie=3, inode=3
)


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    return FakeKernel(tmp_path, sockets=[LISTENER + CONNECTION, MAPPED])


def ask(kernel: Kernel, request: bytes) -> list[str | None]:
    raw = b"".join(kernel.diag(request))
    return [decode_socket(found.payload).cookie for found in messages(raw)]


def key(raw: bytes) -> bytes:
    return raw[20:68]


def refused(kernel: Kernel, request: bytes) -> int | None:
    with pytest.raises(OSError, match=r".") as caught:
        ask(kernel, request)
    return caught.value.errno


def test_a_dump_goes_by_family_and_states(kernel: FakeKernel) -> None:
    assert ask(kernel, dump_request(diag.AF_INET)) == ["1", "2"]
    assert ask(kernel, dump_request(diag.AF_INET, states=1 << 10)) == ["1"]
    assert ask(kernel, dump_request(diag.AF_INET6)) == ["3"]
    assert ask(kernel, dump_request(diag.AF_INET, protocol=diag.IPPROTO_MPTCP)) == []
    assert len(kernel.requests) == 4


def test_attributes_come_when_they_are_asked_for(kernel: FakeKernel) -> None:
    raw = b"".join(kernel.diag(dump_request(diag.AF_INET, extensions=diag.EXT_CONG)))
    found = [decode_socket(one.payload) for one in messages(raw)][1]
    assert found.congestion is not None
    assert (found.congestion.name, found.tcp_info) == ("bbr", None)


def test_a_dump_comes_in_datagrams(kernel: FakeKernel) -> None:
    kernel.datagram_bytes = 1
    assert len(list(kernel.diag(dump_request(diag.AF_INET)))) == 2


def test_an_exact_request_goes_by_key_and_cookie(kernel: FakeKernel) -> None:
    assert ask(kernel, exact_request(diag.AF_INET, key(CONNECTION))) == ["2"]
    mapped = pack_id((b"\x7f\0\0\1", 81), (b"\x7f\0\0\1", 1))
    assert ask(kernel, exact_request(diag.AF_INET, mapped)) == ["3"]
    wrong = pack_id((b"\x7f\0\0\1", 80), (b"\x7f\0\0\1", 5000), cookie=9)
    assert refused(kernel, exact_request(diag.AF_INET, wrong)) == errno.ENOENT


def test_a_connection_that_has_gone_leads_to_the_listener_unless_there_is_a_cookie(
    kernel: FakeKernel,
) -> None:
    ends = (b"\x7f\0\0\1", 80), (b"\x7f\0\0\1", 6000)
    assert ask(kernel, exact_request(diag.AF_INET, pack_id(*ends))) == ["1"]
    with_cookie = exact_request(diag.AF_INET, pack_id(*ends, cookie=2))
    assert refused(kernel, with_cookie) == errno.ENOENT


def test_requests_that_no_socket_answers(kernel: FakeKernel) -> None:
    assert refused(kernel, dump_request(0)) == errno.ENOENT
    assert refused(kernel, dump_request(99)) == errno.EINVAL
    kernel.has_mptcp = False
    mptcp = dump_request(diag.AF_INET, protocol=diag.IPPROTO_MPTCP)
    assert refused(kernel, mptcp) == errno.ENOENT
    kernel.errno_for_diag = errno.EPROTONOSUPPORT
    assert refused(kernel, dump_request(diag.AF_INET)) == errno.EPROTONOSUPPORT


def test_a_descriptor_is_borrowed_or_its_refusal_explained(kernel: FakeKernel) -> None:
    kernel.tree.add(42, "nginx", sockets={3: 2})
    kernel.descriptors[42, 3] = descriptor_for(CONNECTION)
    with kernel.borrow(42, 3) as descriptor:
        assert check_identity(descriptor, "x", inode=2, cookie=2) == diag.IPPROTO_TCP
        assert descriptor.local() == (diag.AF_INET, b"\x7f\0\0\1", 80)
        assert descriptor.peer() == (diag.AF_INET, b"\x7f\0\0\1", 5000)
    for pid, fd in ((43, 3), (42, 4)):
        with pytest.raises(NotFound), kernel.borrow(pid, fd):
            pass
    kernel.refusals[42] = errno.EPERM
    with pytest.raises(NotPermitted), kernel.borrow(42, 3):
        pass


def test_a_descriptor_refuses_what_it_was_not_given() -> None:
    descriptor = FakeDescriptor({(6, 1): b"\1\0\0\0", (6, 2): errno.EPERM})
    assert descriptor.getsockopt(6, 1, 2) == b"\1\0"
    for number, expected in ((2, errno.EPERM), (3, errno.ENOPROTOOPT)):
        with pytest.raises(OSError, match=r".") as caught:
            descriptor.getsockopt(6, number, 4)
        assert caught.value.errno == expected
    with pytest.raises(OSError, match="not connected"):
        descriptor.peer()
    assert descriptor.reads == [(6, 1), (6, 2), (6, 3)]


def test_a_descriptor_stores_what_it_is_given() -> None:
    one = (1).to_bytes(4, sys.byteorder)
    descriptor = FakeDescriptor({(6, 1): bytes(4), (6, 2): errno.EPERM})
    descriptor.setsockopt(6, 1, one)
    assert descriptor.getsockopt(6, 1, 4) == one
    for number in (2, 3):
        with pytest.raises(OSError, match=r"."):
            descriptor.setsockopt(6, number, one)
    assert descriptor.writes == [(6, 1, one)]

    def refuse(level: int, number: int, value: bytes) -> None:
        raise OSError(errno.EINVAL, f"{level} {number} {value!r}")

    descriptor.on_set = refuse
    with pytest.raises(OSError, match="6 1"):
        descriptor.setsockopt(6, 1, bytes(4))
    assert descriptor.getsockopt(6, 1, 4) == one


@pytest.mark.parametrize(
    ("number", "asked", "stored", "locks"),
    [
        (7, 65_536, 131_072, 1),
        (7, 1_000_000, 425_984, 1),
        (7, -1, 425_984, 1),
        (7, 1, 4608, 1),
        (8, 1, 2304, 2),
        (32, 1_000_000, 2_000_000, 1),
        (33, 1_000_000, 2_000_000, 2),
        (33, -1, 2304, 2),
    ],
)
def test_a_buffer_is_doubled_clamped_and_locked(
    number: int, asked: int, stored: int, locks: int
) -> None:
    descriptor = FakeDescriptor({(1, 7): bytes(4), (1, 8): bytes(4), (1, 72): bytes(4)})
    descriptor.setsockopt(1, number, struct.pack("=i", asked))
    size = descriptor.getsockopt(1, 7 if number in (7, 32) else 8, 4)
    assert struct.unpack("=i", size)[0] == stored
    assert struct.unpack("=i", descriptor.getsockopt(1, 72, 4))[0] == locks


def test_a_backlog_is_a_listeners() -> None:
    with pytest.raises(OSError, match="Invalid"):
        FakeDescriptor().listen(5)
    descriptor = descriptor_for(diag_message("listen", tcp_info={"unacked_packets": 1}))
    for asked, stored in ((5, 5), (100_000, 4096), (-1, 4096)):
        descriptor.listen(asked)
        info = descriptor.getsockopt(6, 11, 280)
        assert struct.unpack_from("=I", info, 28)[0] == stored


def test_processes_are_found_by_inode_in_their_own_namespace(kernel: FakeKernel) -> None:
    kernel.tree.add(42, "a) b", sockets={3: 2}, links={0: "/dev/null"})
    kernel.tree.add(43, "other", sockets={3: 2}, netns="elsewhere")
    kernel.tree.add(44, "gone", sockets={3: 2})
    kernel.tree.remove(44)
    found = find_owners(kernel.proc, kernel.netns_inode())
    assert [(str(one), one.process.name) for one in found.of(2)] == [("42:3", "a) b")]


def test_waiting_moves_both_clocks_and_nothing_else(kernel: FakeKernel) -> None:
    seen: list[float] = []
    kernel.on_wait = lambda it: seen.append(it.monotonic())
    wall, ticks = kernel.wall_clock(), kernel.monotonic()
    kernel.wait(2.5)
    kernel.wait(-1)
    assert (kernel.wall_clock(), kernel.monotonic()) == (wall + 2.5, ticks + 2.5)
    assert (kernel.waits, seen) == ([2.5, 0.0], [ticks + 2.5] * 2)


def test_another_namespace_is_another_kernel(kernel: FakeKernel, tmp_path: Path) -> None:
    kernel.namespaces["blue"] = FakeKernel(tmp_path / "blue")
    assert ask(kernel.inside("blue"), dump_request(diag.AF_INET)) == []
    with pytest.raises(NotFound):
        kernel.inside("green")


def test_files_of_proc_are_read_as_they_were_written(kernel: FakeKernel) -> None:
    kernel.tree.write("thread-self/net/tcp", "header\n")
    assert kernel.net_text("tcp") == "header\n"
    with pytest.raises(FileNotFoundError):
        kernel.net_text("tcp6")
