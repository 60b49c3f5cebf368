"""Text of /proc and of control groups: bytes that are not UTF-8 stay visible, none is altered."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from tcptool.linux.cgroups import cgroup_paths
from tcptool.linux.procfs import ProcFs


def test_text_is_not_altered(tmp_path: Path) -> None:
    (tmp_path / "odd").write_bytes(b"a\rb\r\nc\xff\xc3\xbc\n")
    assert ProcFs(str(tmp_path)).read("odd") == "a\rb\r\nc\\xff\u00fc\n"


def test_paths_of_control_groups_can_be_encoded(tmp_path: Path) -> None:
    mount = tmp_path / "cgroup\rfs"
    odd = os.fsencode(mount) + b"/a\xff\rb"
    os.makedirs(odd)
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "mounts").write_text(f"none {mount} cgroup2 rw 0 0\n", newline="")
    paths = cgroup_paths(ProcFs(str(tmp_path)))
    assert paths == {os.stat(mount).st_ino: "/", os.stat(odd).st_ino: "/a\\xff\rb"}


@pytest.mark.parametrize(
    ("name", "full"),
    [
        (b"fourteen-bytes", b"psutil is not asked"),
        (b"fifteen-\xff-bytes", b"fifteen-\xff-bytes and more"),
        ("f\u00fcnfzehn-bytes".encode(), "f\u00fcnfzehn-bytes und mehr".encode()),
    ],
)
def test_name_beyond_what_proc_knows(
    name: bytes, full: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """psutil decodes what is not UTF-8 to surrogates, which no output can hold."""
    stat = (b"7 (%b) S " % name + b"0 " * 40).decode(errors="backslashreplace")
    monkeypatch.setattr(ProcFs, "read", lambda *_: stat)
    monkeypatch.setattr(
        psutil, "Process", lambda _: SimpleNamespace(name=lambda: os.fsdecode(full))
    )
    process = ProcFs().process(7)
    assert process is not None
    expected = full if len(name) == 15 else name
    assert process.name == expected.decode(errors="backslashreplace")
