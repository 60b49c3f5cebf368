"""Visits: each step once, in order, on the expected socket, in slices."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from tcptool.catalog.options import BACKLOG, BY_NAME
from tcptool.errors import NotFound, NotPermitted, TcptoolError
from tcptool.linux.borrow import Descriptor
from tcptool.linux.visit import (
    SLICE_S,
    Readings,
    Step,
    read_option,
    read_step,
    visit,
    write_option,
)
from tcptool.model.owner import Holder, Process
from tests.cli.scene import integer, web_server
from tests.support.fake_kernel import FakeKernel, descriptor_for, diag_message

NODELAY = BY_NAME["TCP_NODELAY"]
KEEPALIVE = BY_NAME["SO_KEEPALIVE"]
FIRST = Holder(Process(42, "nginx", 1000, "S"), 6)
SECOND = Holder(Process(43, "nginx", 1000, "S"), 6)


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    return web_server(tmp_path)


def steps(done: list[int], number: int, then: Step | None = None) -> list[Step]:
    """Steps that note their place; ``then`` is done after each."""

    def step(place: int) -> Step:
        def run(descriptor: Descriptor) -> None:
            done.append(place)
            if then is not None:
                then(descriptor)

        return run

    return [step(place) for place in range(number)]


def go(kernel: FakeKernel, todo: list[Step], *holders: Holder, inode: int = 700) -> None:
    visit(kernel, holders or (FIRST,), todo, inode=inode, cookie=0x1000)


def test_all_steps_in_one_visit(kernel: FakeKernel) -> None:
    done: list[int] = []
    go(kernel, steps(done, 5))
    assert done == [0, 1, 2, 3, 4]
    assert kernel.borrows == [(42, 6)]


def test_nothing_to_do_borrows_nothing(kernel: FakeKernel) -> None:
    go(kernel, [])
    assert kernel.borrows == []


def test_a_slow_socket_is_given_back_between_slices(kernel: FakeKernel) -> None:
    done: list[int] = []

    def slow(_: Descriptor) -> None:
        kernel.ticks += 0.6 * SLICE_S

    go(kernel, steps(done, 5, slow))
    assert done == [0, 1, 2, 3, 4]
    assert kernel.borrows == [(42, 6)] * 3


def test_a_step_is_done_in_each_slice_however_slow(kernel: FakeKernel) -> None:
    done: list[int] = []

    def slow(_: Descriptor) -> None:
        kernel.ticks += 99 * SLICE_S

    go(kernel, steps(done, 3, slow))
    assert done == [0, 1, 2]
    assert len(kernel.borrows) == 3


def test_the_next_holder_goes_on_where_the_first_stopped(kernel: FakeKernel) -> None:
    done: list[int] = []

    def leave(_: Descriptor) -> None:
        kernel.ticks += SLICE_S
        kernel.descriptors.pop((42, 6), None)

    go(kernel, steps(done, 3, leave), FIRST, SECOND)
    assert done == [0, 1, 2]
    assert kernel.borrows == [(42, 6), (42, 6), (43, 6), (43, 6)]


def test_another_socket_in_its_place_is_not_touched(kernel: FakeKernel) -> None:
    done: list[int] = []
    other = descriptor_for(diag_message("listen", local=("0.0.0.0", 443), inode=799, cookie=9))

    def replace(_: Descriptor) -> None:
        kernel.ticks += SLICE_S
        kernel.descriptors[42, 6] = other

    with pytest.raises(NotFound, match="another file now"):
        go(kernel, steps(done, 3, replace))
    assert done == [0]
    assert other.writes == []


def test_the_same_inode_with_another_cookie_is_another_socket(kernel: FakeKernel) -> None:
    done: list[int] = []
    with pytest.raises(NotFound):
        visit(kernel, (FIRST,), steps(done, 1), inode=700, cookie=0x9999)
    assert done == []


def test_what_the_first_holder_refused_is_raised(kernel: FakeKernel) -> None:
    kernel.refusals[42] = errno.EPERM
    kernel.tree.remove(43)
    with pytest.raises(NotPermitted, match="process 42"):
        go(kernel, steps([], 1), FIRST, SECOND)
    kernel.refusals.clear()
    kernel.descriptors.pop((42, 6))
    with pytest.raises(TcptoolError, match="process 42"):
        go(kernel, steps([], 1), FIRST, SECOND)


def test_nobody_holds_it(kernel: FakeKernel) -> None:
    done: list[int] = []
    visit(kernel, (), steps(done, 1), inode=700, cookie=None)
    assert done == []


def test_reading(kernel: FakeKernel) -> None:
    readings: Readings = {}
    kernel.descriptors[42, 6].options[1, 9] = errno.EACCES
    wanted = (NODELAY, KEEPALIVE, BACKLOG, BY_NAME["TCP_MAXSEG"])
    go(kernel, [read_step(readings, option) for option in wanted])
    assert readings == {
        NODELAY: integer(1),
        KEEPALIVE: errno.EACCES,
        BACKLOG: integer(511),
        BY_NAME["TCP_MAXSEG"]: errno.ENOPROTOOPT,
    }


def test_an_error_without_a_number_is_an_error_all_the_same(kernel: FakeKernel) -> None:
    descriptor = kernel.descriptors[42, 9]

    def fail(*_: object) -> None:
        raise OSError("no number")

    descriptor.on_set = fail
    assert write_option(descriptor, NODELAY, integer(1)) == errno.EIO
    descriptor.getsockopt = fail  # type: ignore[assignment]
    assert read_option(descriptor, NODELAY) == errno.EIO


def test_writing(kernel: FakeKernel) -> None:
    descriptor = kernel.descriptors[42, 9]
    assert write_option(descriptor, NODELAY, integer(0)) == 0
    assert descriptor.writes == [(6, 1, integer(0))]
    assert write_option(descriptor, BY_NAME["TCP_MAXSEG"], integer(0)) == errno.ENOPROTOOPT


def test_listen_is_for_listeners_only(kernel: FakeKernel) -> None:
    """On a fresh or bound socket listen() would succeed, and make it a listener."""
    listener, connection = kernel.descriptors[42, 6], kernel.descriptors[42, 9]
    assert write_option(listener, BACKLOG, integer(7)) == 0
    assert read_option(listener, BACKLOG) == integer(7)
    called: list[int] = []
    connection.listen = called.append  # type: ignore[method-assign, assignment]
    assert write_option(connection, BACKLOG, integer(7)) == errno.EINVAL
    assert read_option(connection, BACKLOG) == errno.EINVAL
    assert called == []
