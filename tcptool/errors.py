"""Everything that can go wrong, and the exit status each kind gives.

An error states what was being done and to whom, why it failed, and what to do next.
Code below the command line raises these; nothing below it prints or exits.
"""

from __future__ import annotations

import enum
import errno
import os


class ExitCode(enum.IntEnum):
    """Exit statuses.  Documented in tcptool(1), EXIT STATUS; never renumber."""

    OK = 0
    ANSWER_IS_NO = 1
    USAGE = 2
    NOT_FOUND = 3
    NOT_PERMITTED = 4
    UNSUPPORTED = 5
    FAILED = 6
    BUG = 70
    INTERRUPTED = 130
    STDOUT_CLOSED = 141


EXIT_MEANINGS = {
    ExitCode.OK: "done, also after Ctrl-C of an open-ended command",
    ExitCode.ANSWER_IS_NO: 'ran to the end and the answer is "no"',
    ExitCode.USAGE: "the command line is wrong",
    ExitCode.NOT_FOUND: "the target was not found",
    ExitCode.NOT_PERMITTED: "not permitted; the message names the capability or setting",
    ExitCode.UNSUPPORTED: "this kernel cannot do it",
    ExitCode.FAILED: "the operation failed",
    ExitCode.BUG: "a bug in tcptool; --debug shows the traceback",
    ExitCode.INTERRUPTED: "Ctrl-C during a bounded run; what was measured is printed",
    ExitCode.STDOUT_CLOSED: "standard output was closed early",
}


class TcptoolError(Exception):
    """Base of every error shown to the user without a traceback.

    ``doing`` says what was being done and to whom, ``why`` names the cause (with the
    errno's name where there is one), ``hint`` says what to do next.  ``code`` is the
    stable identifier that scripts see with ``--json``.
    """

    code = "failed"
    exit_code = ExitCode.FAILED

    def __init__(self, doing: str, why: str, hint: str = "") -> None:
        super().__init__(f"{doing}: {why}")
        self.doing, self.why, self.hint = doing, why, hint


class UsageError(TcptoolError):
    """The words of the command line cannot be understood."""

    code = "usage"
    exit_code = ExitCode.USAGE


class NotFound(TcptoolError):
    """The target does not exist, or does not exist any more."""

    code = "not_found"
    exit_code = ExitCode.NOT_FOUND


class NotPermitted(TcptoolError):
    """The kernel refused; another user or capability would be needed."""

    code = "not_permitted"
    exit_code = ExitCode.NOT_PERMITTED


class Unsupported(TcptoolError):
    """This kernel, or this build of it, does not offer what was asked for."""

    code = "unsupported"
    exit_code = ExitCode.UNSUPPORTED


_KINDS: dict[int, type[TcptoolError]] = {
    errno.ESRCH: NotFound,
    errno.EBADF: NotFound,
    errno.ENOENT: NotFound,
    errno.EPERM: NotPermitted,
    errno.EACCES: NotPermitted,
    errno.ENOSYS: Unsupported,
    errno.ENOPROTOOPT: Unsupported,
    errno.EPROTONOSUPPORT: Unsupported,
    errno.EAFNOSUPPORT: Unsupported,
    errno.EOPNOTSUPP: Unsupported,
}


def errno_name(number: int) -> str:
    """``EPERM``; ``errno 524`` for a number that has no name.

    Two names share 95, and Python knows it as ENOTSUP, which no manual page of sockets uses.
    """
    if number == errno.EOPNOTSUPP:
        return "EOPNOTSUPP"
    return errno.errorcode.get(number, f"errno {number}")


def describe_errno(number: int) -> str:
    """``Operation not permitted (EPERM)``."""
    return f"{os.strerror(number)} ({errno_name(number)})"


def from_oserror(doing: str, exc: OSError, *, hint: str = "") -> TcptoolError:
    """Choose the error class by errno, never by the message's text."""
    number = exc.errno or 0
    why = describe_errno(number) if number else str(exc)
    return _KINDS.get(number, TcptoolError)(doing, why, hint)
