"""The journal file: made for its owner alone, locked, whole after every accident."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from tcptool.errors import ExitCode, NotPermitted, TcptoolError
from tcptool.linux.journal import (
    LOCK_WAIT_S,
    Journal,
    JournalInUse,
    UntrustedJournal,
    journal_path,
    open_journal,
)
from tcptool.model.journal import (
    DoneChange,
    JournalEntry,
    PlannedChange,
    SocketEntry,
    SocketIdentity,
)
from tests.support.fake_kernel import FakeKernel

IDENTITY = SocketIdentity(
    netns_cookie="1", cookie="2a", inode=7, pid=42, start_ticks=1000, fd=9, label="nginx 42:9"
)
CHANGE = PlannedChange(option="TCP_NODELAY", before=bytes(4), requested=b"\1\0\0\0", kept={})
ENTRY = JournalEntry(
    id="1",
    time_s=1000.0,
    command="apply 42:9 TCP_NODELAY=on",
    sockets=(SocketEntry(identity=IDENTITY, planned=(CHANGE,)),),
)
DONE = (DoneChange(option="TCP_NODELAY", after=b"\1\0\0\0"),)


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    kernel = FakeKernel(tmp_path / "kernel")
    kernel.tree.write("sys/kernel/random/boot_id", "b00t\n")
    return kernel


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "tcptool" / "journal"


def begun(kernel: FakeKernel, path: Path, entry: JournalEntry = ENTRY) -> None:
    with open_journal(kernel, str(path)) as journal:
        journal.begin(entry)


def read(kernel: FakeKernel, path: Path) -> tuple[JournalEntry, ...]:
    with open_journal(kernel, str(path), read_only=True) as journal:
        return journal.entries()


def refusal(kernel: FakeKernel, path: Path, *, read_only: bool = False) -> TcptoolError:
    with (
        pytest.raises(TcptoolError) as caught,
        open_journal(kernel, str(path), read_only=read_only),
    ):
        pass
    return caught.value


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"XDG_STATE_HOME": "/s", "HOME": "/h"}, "/s/tcptool/journal"),
        ({"HOME": "/h"}, "/h/.local/state/tcptool/journal"),
        ({"XDG_STATE_HOME": "", "HOME": "/h"}, "/h/.local/state/tcptool/journal"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/h"}, "/h/.local/state/tcptool/journal"),
    ],
)
def test_where_it_is(environment: dict[str, str], expected: str) -> None:
    assert journal_path(environment) == expected


def test_without_a_home_it_is_that_of_the_user() -> None:
    assert journal_path({}).startswith("/")


def test_it_is_made_for_its_owner_alone(kernel: FakeKernel, path: Path) -> None:
    begun(kernel, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_what_was_noted_is_there_for_the_next(kernel: FakeKernel, path: Path) -> None:
    with open_journal(kernel, str(path)) as journal:
        journal.begin(ENTRY)
        journal.done("1", "2a", DONE)
        assert journal.warnings == []
    planned = replace(ENTRY, boot="b00t")
    (socket,) = planned.sockets
    done = replace(socket, done=DONE)
    assert read(kernel, path) == (replace(planned, sockets=(done,)),)
    with open_journal(kernel, str(path)) as journal:
        journal.undoing("1", "2a")
        assert journal.entries()[0].sockets[0].undoing
        journal.undone("1", "2a", ["TCP_NODELAY"])
        journal.gone("1", "2a")
        undone = replace(done, undone=("TCP_NODELAY",), gone=True)
        assert journal.entries() == (replace(planned, sockets=(undone,)),)


def test_a_kernel_that_does_not_tell_its_boot(tmp_path: Path, path: Path) -> None:
    kernel = FakeKernel(tmp_path / "kernel")
    begun(kernel, path)
    assert read(kernel, path) == (ENTRY,)


def test_reading_makes_nothing(kernel: FakeKernel, path: Path) -> None:
    assert read(kernel, path) == ()
    assert not path.parent.exists()


def test_ids_go_up_though_the_clock_stands_still(kernel: FakeKernel, path: Path) -> None:
    with open_journal(kernel, str(path)) as journal:
        first = journal.new_id(kernel.wall_clock())
        journal.begin(replace(ENTRY, id=first))
    with open_journal(kernel, str(path)) as journal:
        assert journal.new_id(kernel.wall_clock()) > first
    with open_journal(kernel, str(path.with_name("none")), read_only=True) as journal:
        assert journal.new_id(kernel.wall_clock()) == first


def test_a_torn_line_is_left_behind(kernel: FakeKernel, path: Path) -> None:
    begun(kernel, path)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[: len(whole) // 2])
    begun(kernel, path, replace(ENTRY, id="2"))
    with open_journal(kernel, str(path), read_only=True) as journal:
        replayed = journal.replay()
    assert ([entry.id for entry in replayed.entries], replayed.damaged) == (["1", "2"], 1)


def test_a_large_journal_is_read_whole(kernel: FakeKernel, path: Path) -> None:
    with open_journal(kernel, str(path)) as journal:
        journal.begin(replace(ENTRY, command="x" * (1 << 20)))
        journal.begin(replace(ENTRY, id="2"))
        assert [entry.id for entry in journal.entries()] == ["1", "2"]


# -- whom it trusts ------------------------------------------------------------------------


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("what", ["link", "hard link", "fifo", "writable", "folder link", "folder"])
def test_what_others_may_have_made_is_refused(
    what: str, read_only: bool, kernel: FakeKernel, path: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "journal").touch(0o600)
    if what == "folder link":
        path.parent.parent.mkdir()
        path.parent.symlink_to(other)
    else:
        path.parent.mkdir(parents=True)
    if what == "link":
        path.symlink_to(other / "journal")
    elif what == "hard link":
        path.hardlink_to(other / "journal")
    elif what == "fifo":
        os.mkfifo(path, 0o600)
    elif what == "writable":
        path.touch()
        path.chmod(0o620)
    elif what == "folder":
        path.touch(0o600)
        path.parent.chmod(0o777)
    error = refusal(kernel, path, read_only=read_only)
    assert isinstance(error, UntrustedJournal)
    assert error.exit_code == ExitCode.NOT_PERMITTED
    assert error.hint.startswith("Nothing was changed.")
    assert (other / "journal").read_bytes() == b""


@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_of_another_user_is_refused(
    read_only: bool, kernel: FakeKernel, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(kernel, path)
    uid = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    error = refusal(kernel, path, read_only=read_only)
    assert isinstance(error, UntrustedJournal)
    assert f"belongs to user {uid}, and you are {uid + 1}" in error.why


def test_a_folder_that_is_a_file(kernel: FakeKernel, path: Path) -> None:
    path.parent.parent.mkdir()
    path.parent.touch()
    assert "ENOTDIR" in refusal(kernel, path).why
    assert "ENOTDIR" in refusal(kernel, path, read_only=True).why


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_home_that_cannot_be_written(
    number: int, kernel: FakeKernel, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "makedirs", refuse)
    error = refusal(kernel, path)
    assert isinstance(error, NotPermitted) == (number == errno.EACCES)
    assert errno.errorcode[number] in error.why
    assert "Nothing was changed. Set XDG_STATE_HOME" in error.hint


# -- one at a time -------------------------------------------------------------------------


def holding(path: Path) -> int:
    """A lock as another process has it: flock() goes by the open file, not by the process."""
    fd = os.open(path, os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    return fd


def test_a_second_one_waits(kernel: FakeKernel, path: Path) -> None:
    begun(kernel, path)
    fd = holding(path)

    def finish(_: FakeKernel) -> None:
        if len(kernel.waits) == 3:
            os.close(fd)

    kernel.on_wait = finish
    begun(kernel, path, replace(ENTRY, id="2"))
    assert len(kernel.waits) == 3


def test_a_second_one_does_not_wait_for_ever(kernel: FakeKernel, path: Path) -> None:
    begun(kernel, path)
    fd = holding(path)
    inode = path.stat().st_ino
    others = (
        f"1: POSIX ADVISORY WRITE 7 08:01:{inode} 0 EOF\n2: FLOCK ADVISORY WRITE 8 8:1:1 0 EOF\n"
    )
    try:
        kernel.tree.write("locks", others)
        assert "another process has it" in refusal(kernel, path).why
        kernel.tree.write("locks", others + f"3: FLOCK  ADVISORY  WRITE 99 fe:00:{inode} 0 EOF\n")
        error = refusal(kernel, path)
        assert read(kernel, path)  # reading waits for nobody
    finally:
        os.close(fd)
    assert isinstance(error, JournalInUse)
    assert "process 99 has it" in error.why
    assert error.hint.startswith("Nothing was changed.")
    assert sum(kernel.waits) == pytest.approx(2 * LOCK_WAIT_S, rel=0.01)


def test_the_lock_ends_with_the_use(kernel: FakeKernel, path: Path) -> None:
    with pytest.raises(KeyError), open_journal(kernel, str(path)):
        raise KeyError
    begun(kernel, path)
    assert kernel.waits == []


def test_a_journal_that_is_removed_meanwhile_is_made_anew(kernel: FakeKernel, path: Path) -> None:
    begun(kernel, path)
    fd = holding(path)

    def remove(_: FakeKernel) -> None:
        path.unlink()
        os.close(fd)

    kernel.on_wait = remove
    begun(kernel, path, replace(ENTRY, id="2"))
    assert [entry.id for entry in read(kernel, path)] == ["2"]


def test_a_file_system_without_locks(
    kernel: FakeKernel, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert "ENOLCK" in refusal(kernel, path).why


# -- a full disk ---------------------------------------------------------------------------


class Disk:
    """Takes some bytes and then is full."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room_bytes: int) -> None:
        self.room_bytes = room_bytes
        self._write = os.write
        monkeypatch.setattr(os, "write", self.write)

    def write(self, fd: int, data: bytes) -> int:
        if not self.room_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = self._write(fd, data[: self.room_bytes])
        self.room_bytes -= taken
        return taken


@pytest.mark.parametrize("room_bytes", [0, 1, 100])
def test_a_full_disk_stops_before_the_first_change(
    room_bytes: int, kernel: FakeKernel, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(kernel, path)
    before = path.read_bytes()
    Disk(monkeypatch, room_bytes)
    with open_journal(kernel, str(path)) as journal, pytest.raises(TcptoolError) as caught:
        journal.begin(replace(ENTRY, id="2"))
    assert "ENOSPC" in caught.value.why
    assert caught.value.hint.startswith("Nothing was changed.")
    assert path.read_bytes() == before


def test_a_full_disk_does_not_hide_what_was_changed(
    kernel: FakeKernel, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_journal(kernel, str(path)) as journal:
        journal.begin(ENTRY)
        before = path.read_bytes()
        Disk(monkeypatch, 10)
        journal.done("1", "2a", DONE)
        journal.undone("1", "2a", ["TCP_NODELAY"])
    assert [warning.id for warning in journal.warnings] == ["journal_incomplete"]
    assert "ENOSPC" in journal.warnings[0].message
    assert path.read_bytes() == before


def test_nothing_is_changed_before_the_plan_is_on_the_disk(
    kernel: FakeKernel, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}")))
    with open_journal(kernel, str(path)) as journal:
        journal.begin(ENTRY)
        journal.begin(replace(ENTRY, id="2"))
        journal.done("1", "2a", DONE)
    folder = path.parent
    assert synced == list(map(str, [path, folder, folder.parent, path]))


def test_a_journal_that_is_only_read_is_not_written(kernel: FakeKernel, path: Path) -> None:
    with pytest.raises(AssertionError):
        Journal(str(path), None, "").gone("1", "2a")
