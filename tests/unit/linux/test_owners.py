"""Who holds a socket, from links under a /proc that changes while it is read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tcptool.linux.owners import find_owners, socket_descriptors
from tests.support.fake_kernel import FakeKernel


def test_descriptors_closed_since_the_directory_was_read_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = FakeKernel(tmp_path)
    kernel.tree.add(7, "server", sockets={3: 30, 4: 40, 5: 50, 10: 60}, links={6: "/dev/null"})
    readlink = os.readlink

    def closing(path: Any, **where: Any) -> Any:
        if path in ("3", "5"):
            raise FileNotFoundError(path)
        return readlink(path, **where)

    monkeypatch.setattr(os, "readlink", closing)
    assert socket_descriptors(kernel.proc, 7) == [(4, 40), (10, 60)]
    holders = find_owners(kernel.proc, None).holders
    assert {inode: [str(one) for one in found] for inode, found in holders.items()} == {
        40: ["7:4"],
        60: ["7:10"],
    }
