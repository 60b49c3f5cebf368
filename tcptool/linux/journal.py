"""The file that remembers every change, so that it can be undone after any ending.

One append-only file of JSON Lines, ``$XDG_STATE_HOME/tcptool/journal``.  The plan of a command
is on the disk before its first change; what became of it is added without waiting for the disk,
because a line that is lost costs a comparison at undo, not the undo itself.

tcptool runs as root on shared machines: a file that somebody else owns, can write or has put
there as a link is refused, not used and not mended.  What the lines mean: sansio/journal.py.

Sources: XDG Base Directory Specification 0.8; flock(2), open(2), proc_locks(5).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from tcptool.errors import NotPermitted, TcptoolError, describe_errno, from_oserror
from tcptool.linux.kernel import Kernel
from tcptool.model.journal import DoneChange, JournalEntry
from tcptool.model.report import Warning
from tcptool.sansio.journal import (
    Replay,
    done_line,
    entry_id,
    gone_line,
    plan_lines,
    replay,
    undoing_line,
    undone_line,
)

LOCK_WAIT_S: Final = 5.0
"""How long a second tcptool waits for the first: a change of one socket takes a millisecond."""

_LOCK_PAUSE_S: Final = 0.02
_TAIL_BYTES: Final = 65_536
_OTHERS_MAY_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_WHERE: Final = "Set XDG_STATE_HOME to a directory of yours where the journal can be kept."
_UNCHANGED: Final = "Nothing was changed."


class UntrustedJournal(NotPermitted):
    """The journal could have been made or changed by somebody else."""

    code = "untrusted_journal"


class JournalInUse(TcptoolError):
    """Another tcptool is changing sockets, and does not come to an end."""

    code = "journal_in_use"


def journal_path(environment: Mapping[str, str]) -> str:
    """Where the journal is.  A relative XDG_STATE_HOME is ignored, as the specification says."""
    state = environment.get("XDG_STATE_HOME", "")
    if not state.startswith("/"):
        state = os.path.join(environment.get("HOME") or os.path.expanduser("~"), ".local/state")
    return os.path.join(state, "tcptool", "journal")


class Journal:
    """A journal that is open, and locked unless it was opened to be read only.

    ``begun`` is the id of an entry that was begun here, if any.  ``warnings`` says what could
    not be written after a change had been made: the change is a fact then, and its report must
    come all the same.
    """

    def __init__(self, path: str, fd: int | None, boot: str) -> None:
        self.path, self.boot = path, boot
        self.warnings: list[Warning] = []
        self.begun = ""
        self._fd = fd

    def new_id(self, time_s: float) -> str:
        """An id for an entry that is begun now."""
        if self._fd is None:
            return entry_id(time_s, b"")
        size = os.fstat(self._fd).st_size
        return entry_id(time_s, os.pread(self._fd, _TAIL_BYTES, max(0, size - _TAIL_BYTES)))

    def begin(self, entry: JournalEntry) -> None:
        """Plan a change of sockets; when this returns, the plan is on the disk.

        Raises TcptoolError: nothing may be changed then.
        """
        try:
            self._append(plan_lines(replace(entry, boot=self.boot)), sync=True)
        except OSError as exc:
            raise TcptoolError(
                f"writing down in {self.path} how to undo the change",
                describe_errno(exc.errno or errno.EIO),
                f"{_UNCHANGED} {_WHERE}",
            ) from exc
        self.begun = entry.id

    def done(self, entry: str, cookie: str, changes: Sequence[DoneChange]) -> None:
        """Note what became of changes of one socket.  A failure becomes a warning."""
        self._note(done_line(entry, cookie, changes))

    def undoing(self, entry: str, cookie: str) -> None:
        """Note that options of one socket are put back now.  A failure becomes a warning."""
        self._note(undoing_line(entry, cookie))

    def undone(self, entry: str, cookie: str, options: Sequence[str]) -> None:
        """Note that this has ended, and what was put back.  A failure becomes a warning."""
        self._note(undone_line(entry, cookie, options))

    def gone(self, entry: str, cookie: str) -> None:
        """Note that a socket does not exist any more.  A failure becomes a warning."""
        self._note(gone_line(entry, cookie))

    def replay(self) -> Replay:
        """Everything that the journal says."""
        if self._fd is None:
            return Replay(())
        pieces = []
        position = 0
        while piece := os.pread(self._fd, 1 << 20, position):
            pieces.append(piece)
            position += len(piece)
        return replay(b"".join(pieces))

    def entries(self) -> tuple[JournalEntry, ...]:
        """Every entry, oldest first."""
        return self.replay().entries

    def _note(self, line: bytes) -> None:
        try:
            self._append(line)
        except OSError as exc:
            warning = Warning(
                "journal_incomplete",
                f"{self.path} could not be written: {describe_errno(exc.errno or errno.EIO)}. "
                "What was changed stays changed; undo will compare values instead",
            )
            if warning not in self.warnings:
                self.warnings.append(warning)

    def _append(self, data: bytes, *, sync: bool = False) -> None:
        """Add whole lines, or none: what a full disk has cut off is taken away again."""
        assert self._fd is not None, "this journal was opened to be read"
        start = os.fstat(self._fd).st_size
        if start and os.pread(self._fd, 1, start - 1) != b"\n":
            data = b"\n" + data  # somebody was killed in the middle of a line
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._fd, view) :]
            if sync:
                os.fsync(self._fd)
                if not start:
                    _sync_folders(self.path)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, start)
            raise


@contextmanager
def open_journal(
    kernel: Kernel, path: str | None = None, *, read_only: bool = False
) -> Iterator[Journal]:
    """The journal of this user, or the one at ``path``, locked against a second tcptool.

    ``read_only`` makes no file, waits for nobody, and may see a command that is under way.
    Raises TcptoolError: NotPermitted where the file cannot be trusted or made.
    """
    path = path or journal_path(os.environ)
    fd = _open_to_read(path) if read_only else _open_locked(kernel, path)
    try:
        yield Journal(path, fd, _boot(kernel))
    finally:
        if fd is not None:
            os.close(fd)  # which gives the lock back


def _boot(kernel: Kernel) -> str:
    try:
        return kernel.proc.read("sys/kernel/random/boot_id").strip()
    except OSError:
        return ""


def _open_to_read(path: str) -> int | None:
    try:
        return _open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise from_oserror(f"reading the journal {path}", exc, hint=_WHERE) from exc


def _open_locked(kernel: Kernel, path: str) -> int:
    """Open and lock it.  A file that was removed while we waited is not the journal any more."""
    until = kernel.monotonic() + LOCK_WAIT_S
    while True:
        fd = _open_to_write(path)
        try:
            _lock(kernel, path, fd, until)
            if os.fstat(fd).st_nlink:
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def _open_to_write(path: str) -> int:
    folder = os.path.dirname(path)
    try:
        if not os.path.lexists(folder):
            os.makedirs(folder, mode=0o700, exist_ok=True)
        return _open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
    except OSError as exc:
        number = exc.errno or errno.EIO
        kind = NotPermitted if number in (errno.EACCES, errno.EPERM) else TcptoolError
        raise kind(
            f"opening the journal {path}, which says how to undo a change",
            describe_errno(number),
            f"{_UNCHANGED} {_WHERE}",
        ) from exc


def _open(path: str, flags: int) -> int:
    """Open the journal in its folder, neither through a link; refuse what is not ours."""
    folder_path, name = os.path.split(path)
    flags |= os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    if os.path.islink(folder_path):
        raise _untrusted(folder_path, "it is a symbolic link")
    # O_NOFOLLOW: it may have become one since.
    folder = os.open(folder_path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _refuse_others(folder_path, os.fstat(folder))
        fd = os.open(name, flags, 0o600, dir_fd=folder)
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            raise _untrusted(path, "it is a symbolic link") from exc
        raise
    finally:
        os.close(folder)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise _untrusted(path, "it is not a regular file")
        if status.st_nlink > 1:
            raise _untrusted(path, "it has a second name (a hard link)")
        _refuse_others(path, status)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _refuse_others(path: str, status: os.stat_result) -> None:
    if status.st_uid != os.geteuid():
        raise _untrusted(path, f"it belongs to user {status.st_uid}, and you are {os.geteuid()}")
    if status.st_mode & _OTHERS_MAY_WRITE:
        mode = stat.S_IMODE(status.st_mode)
        raise _untrusted(path, f"others may write it (mode {mode:04o})")


def _untrusted(path: str, why: str) -> UntrustedJournal:
    return UntrustedJournal(
        f"trusting {path} with what to undo", why, f"{_UNCHANGED} Remove or mend it. {_WHERE}"
    )


def _lock(kernel: Kernel, path: str, fd: int, until: float) -> None:
    """Lock it for ourselves, when the other has finished."""
    doing = f"locking the journal {path}"
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            if kernel.monotonic() < until:
                kernel.wait(_LOCK_PAUSE_S)
                continue
            raise JournalInUse(
                doing,
                f"{_holder(kernel, fd)} has it since {LOCK_WAIT_S:g} s or longer",
                f"{_UNCHANGED} Try again when it has finished.",
            ) from exc
        except OSError as exc:
            raise TcptoolError(
                doing, describe_errno(exc.errno or errno.EIO), f"{_UNCHANGED} {_WHERE}"
            ) from exc
        return


def _holder(kernel: Kernel, fd: int) -> str:
    """Who has the lock, from /proc/locks: ``1: FLOCK ADVISORY WRITE 1234 08:01:5678 0 EOF``."""
    inode = str(os.fstat(fd).st_ino)
    with contextlib.suppress(OSError):
        for line in kernel.proc.read("locks").splitlines():
            words = line.split()
            if words[1:2] == ["FLOCK"] and words[5].rpartition(":")[2] == inode:
                return f"process {words[4]}"
    return "another process"


def _sync_folders(path: str) -> None:
    """Make the names last as well: of the file, and of folders that may be new."""
    for folder in (os.path.dirname(path), os.path.dirname(os.path.dirname(path))):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
