"""Exit statuses that never change, and errors that say what to do."""

from __future__ import annotations

import errno

import pytest

from tcptool.errors import (
    EXIT_MEANINGS,
    ExitCode,
    NotFound,
    NotPermitted,
    TcptoolError,
    Unsupported,
    UsageError,
    describe_errno,
    from_oserror,
)

# Scripts test for these numbers: an addition goes here, a change does not.
PINNED = {
    "OK": 0,
    "ANSWER_IS_NO": 1,
    "USAGE": 2,
    "NOT_FOUND": 3,
    "NOT_PERMITTED": 4,
    "UNSUPPORTED": 5,
    "FAILED": 6,
    "BUG": 70,
    "INTERRUPTED": 130,
    "STDOUT_CLOSED": 141,
}


def test_exit_statuses_keep_their_numbers() -> None:
    assert {code.name: code.value for code in ExitCode} == PINNED


def test_every_exit_status_has_a_meaning() -> None:
    assert list(EXIT_MEANINGS) == list(ExitCode)
    assert all(EXIT_MEANINGS.values())


@pytest.mark.parametrize(
    ("kind", "code", "exit_code"),
    [
        (TcptoolError, "failed", 6),
        (UsageError, "usage", 2),
        (NotFound, "not_found", 3),
        (NotPermitted, "not_permitted", 4),
        (Unsupported, "unsupported", 5),
    ],
)
def test_every_class_has_its_own_code_and_exit_status(
    kind: type[TcptoolError], code: str, exit_code: int
) -> None:
    error = kind("looking for x", "it is not there", "look elsewhere")
    assert (error.code, error.exit_code) == (code, exit_code)
    assert (error.doing, error.why, error.hint) == (
        "looking for x",
        "it is not there",
        "look elsewhere",
    )
    assert str(error) == "looking for x: it is not there"
    assert kind("a", "b").hint == ""


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ESRCH, NotFound),
        (errno.EBADF, NotFound),
        (errno.ENOENT, NotFound),
        (errno.EPERM, NotPermitted),
        (errno.EACCES, NotPermitted),
        (errno.ENOSYS, Unsupported),
        (errno.ENOPROTOOPT, Unsupported),
        (errno.EPROTONOSUPPORT, Unsupported),
        (errno.EAFNOSUPPORT, Unsupported),
        (errno.EOPNOTSUPP, Unsupported),
        (errno.EINVAL, TcptoolError),
        (errno.ENOBUFS, TcptoolError),
        (9999, TcptoolError),
    ],
)
def test_the_errno_chooses_the_class(number: int, kind: type[TcptoolError]) -> None:
    # The text says something else: it must not be looked at.
    error = from_oserror("doing it", OSError(number, "Permission denied"), hint="try")
    assert type(error) is kind
    assert error.doing == "doing it"
    assert error.why == describe_errno(number)
    assert error.hint == "try"


def test_an_errno_is_shown_with_its_text_and_its_name() -> None:
    assert describe_errno(errno.EPERM) == "Operation not permitted (EPERM)"
    assert describe_errno(errno.EOPNOTSUPP).endswith("(EOPNOTSUPP)")  # Python says ENOTSUP
    assert describe_errno(9999).endswith("(errno 9999)")


def test_an_os_error_without_a_number_keeps_its_own_text() -> None:
    error = from_oserror("reading", OSError("the pipe is odd"))
    assert (type(error), error.why) == (TcptoolError, "the pipe is odd")
