"""The journal against the real system: a second process, a full disk, a kill in mid-line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tcptool.linux import journal as module
from tcptool.linux.journal import JournalInUse, open_journal
from tcptool.linux.kernel import LiveKernel
from tests.support.children import ROOT, spawn

# What every program here begins with; its entries have some 4000 bytes.
_WRITER = """
import sys
from itertools import count
from dataclasses import replace
from tcptool.errors import TcptoolError
from tcptool.linux.journal import open_journal
from tcptool.linux.kernel import LiveKernel
from tcptool.model.journal import *
path = sys.argv[1]
identity = SocketIdentity(
    netns_cookie="1", cookie="2a", inode=7, pid=1, start_ticks=1, fd=3, label="x" * 3000
)
change = PlannedChange(option="TCP_NODELAY", before=bytes(4), requested=bytes(4), kept={})
socket = SocketEntry(identity=identity, planned=(change,))
entry = JournalEntry(id="0", time_s=1.0, command="apply " + "y" * 500, sockets=(socket,))
kernel = LiveKernel()
"""
_HOLDER = (
    _WRITER
    + """
with open_journal(kernel, path) as journal:
    print("ready", flush=True)
    sys.stdin.readline()
    journal.begin(entry)
print("done", flush=True)
"""
)
_SECOND = (
    _WRITER
    + """
print("ready", flush=True)
with open_journal(kernel, path) as journal:
    print(len(journal.entries()), flush=True)
"""
)
_ENDLESS = (
    _WRITER
    + """
with open_journal(kernel, path) as journal:
    for number in count():
        journal.begin(replace(entry, id=str(number)))
        print(number, flush=True)
"""
)
# A file system of its own, which nobody else sees: 32 KiB, mounted with the flags FLAGS.
_MOUNTED = (
    _WRITER
    + """
import ctypes, json, os
libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 1 << 18
assert libc.unshare(CLONE_NEWNS) == 0, os.strerror(ctypes.get_errno())
assert libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None) == 0
os.mkdir(path)
assert libc.mount(b"none", path.encode(), b"tmpfs", int(sys.argv[2]), b"size=32k") == 0
home, path = path, path + "/tcptool/journal"
def refusal(entry):
    try:
        with open_journal(kernel, path) as journal:
            journal.begin(entry)
    except TcptoolError as exc:
        return [exc.why, exc.hint]
"""
)
# Begins entries until there is no room, and then on a disk that has none from the start.
_FULL = (
    _MOUNTED
    + """
for number in count():
    why = refusal(replace(entry, id=str(number)))
    if why:
        break
with open_journal(kernel, path) as journal:
    size = os.path.getsize(path)
    journal.done("0", "2a", [DoneChange(option="TCP_NODELAY", after=bytes(40_000))])
    warnings = [warning.id for warning in journal.warnings]
    is_whole = os.path.getsize(path) == size and not journal.replay().damaged
    entries = len(journal.entries())
os.unlink(path)
try:
    with open(home + "/filler", "wb", buffering=0) as filler:
        while filler.write(bytes(4096)):
            pass
except OSError:
    print(json.dumps([number, entries, is_whole, warnings, why, refusal(entry)]))
"""
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tcptool" / "journal"


def test_a_second_process_waits_for_the_first(path: Path) -> None:
    with spawn(_HOLDER, path) as holder, LiveKernel() as kernel:
        with open_journal(kernel, str(path), read_only=True) as journal:
            assert journal.entries() == ()
        with spawn(_SECOND, path) as second:
            holder.tell("")
            assert holder.readline() == "done"
            assert second.readline() == "1"  # it saw what the first had written


def test_a_process_that_does_not_end_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOCK_WAIT_S", 0.0)
    with spawn(_HOLDER, path) as holder, LiveKernel() as kernel:
        with pytest.raises(JournalInUse) as caught, open_journal(kernel, str(path)):
            pass
        assert f"process {holder.pid} has it" in caught.value.why
        holder.process.send_signal(signal.SIGKILL)
        holder.process.wait()
        with open_journal(kernel, str(path)):
            pass  # a lock ends with its holder


def test_a_writer_that_is_killed_leaves_whole_entries(path: Path) -> None:
    with LiveKernel() as kernel:
        for _ in range(5):
            with spawn(_ENDLESS, path) as writer:
                last = int(writer.readline())
                writer.process.send_signal(signal.SIGKILL)
                writer.process.wait()
            with open_journal(kernel, str(path)) as journal:
                entries = journal.entries()
                assert [entry.id for entry in entries] == list(map(str, range(len(entries))))
                assert len(entries) > last
            path.unlink()


def mounted(program: str, home: Path, flags: int) -> Any:
    """What a program says that mounts a file system for itself."""
    done = subprocess.run(
        [sys.executable, "-c", program, str(home), str(flags)],
        cwd=ROOT, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


MS_RDONLY = 1
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a file system")


@ROOT_ONLY
def test_a_full_disk(tmp_path: Path) -> None:
    begun, entries, is_whole, warnings, why, from_the_start = mounted(_FULL, tmp_path / "home", 0)
    assert 0 < begun == entries
    assert is_whole
    assert warnings == ["journal_incomplete"]
    for reason, hint in (why, from_the_start):
        assert "ENOSPC" in reason
        assert hint.startswith("Nothing was changed. Set XDG_STATE_HOME")


@ROOT_ONLY
def test_a_home_that_is_read_only(tmp_path: Path) -> None:
    program = _MOUNTED + "print(json.dumps(refusal(entry)))"
    why, hint = mounted(program, tmp_path / "home", MS_RDONLY)
    assert "EROFS" in why
    assert hint.startswith("Nothing was changed. Set XDG_STATE_HOME")
