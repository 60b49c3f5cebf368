"""Every exit status, every form of an error message; never a traceback unless it is asked for."""

from __future__ import annotations

import errno
import io
import json
import os
import shlex
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tcptool.catalog import diag
from tcptool.errors import ExitCode, errno_name
from tests.cli.scene import run, web_server
from tests.support.fake_kernel import FakeDescriptor, FakeKernel, diag_message, identity_options
from tests.support.golden import Golden


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    return web_server(tmp_path)


def say_nothing(_: FakeKernel) -> None:
    raise KeyboardInterrupt


class Replies(FakeKernel):
    """Answers every request with these datagrams, or raises."""

    answer: list[bytes] | BaseException

    def diag(self, request: bytes) -> Iterator[bytes]:
        if isinstance(self.answer, BaseException):
            raise self.answer
        yield from self.answer


def replying(root: Path, answer: list[bytes] | BaseException) -> Replies:
    kernel = Replies(root)
    kernel.answer = answer
    return kernel


WHOLE = diag_message(cookie=1, inode=5, tcp_info={"rtt_us": 5}, congestion="cubic")


def with_length(raw: bytes, length: int) -> bytes:
    return struct.pack("=I", length) + raw[4:]


MALFORMED = {
    "half a header": WHOLE[:9],
    "cut in the middle": WHOLE[:60],
    "longer than the datagram": with_length(WHOLE, 5000),
    "shorter than its header": with_length(WHOLE, 8),
    "no room for a socket": with_length(WHOLE, 40)[:40],
    "rubbish after a message": WHOLE + b"\1\2\3\4\5",
    "attribute too long": WHOLE[:88] + struct.pack("=HH", 9999, 2) + WHOLE[92:],
    "attribute too short": WHOLE[:88] + struct.pack("=HH", 1, 2) + WHOLE[92:],
}


@pytest.mark.parametrize("what", MALFORMED)
@pytest.mark.parametrize(
    "words", [["list"], ["list", "--json"], ["list", "--by", "state"], ["inspect", "sk:1"]]
)
def test_malformed_reply(what: str, words: list[str], tmp_path: Path) -> None:
    outcome = run(replying(tmp_path, [MALFORMED[what]]), *words)
    assert (outcome.status, outcome.out) == (6, ""), outcome
    assert "netlink" in outcome.err
    if "--json" in words:
        assert json.loads(outcome.err)["error"]["code"] == "malformed_reply"


@pytest.mark.parametrize("length", range(0, 72, 7))
def test_attributes_of_unexpected_length_are_absent_or_cut(length: int, tmp_path: Path) -> None:
    kinds = (
        diag.ATTR_INFO, diag.ATTR_CONG, diag.ATTR_SKMEMINFO, diag.ATTR_TOS, diag.ATTR_SHUTDOWN,
        diag.ATTR_BBRINFO, diag.ATTR_CGROUP_ID, diag.ATTR_MARK, diag.ATTR_SOCKOPT, 77,
    )  # fmt: skip
    raw = diag_message(cookie=1, inode=5, attributes=dict.fromkeys(kinds, b"\1" * length))
    kernel = FakeKernel(tmp_path, sockets=[raw])
    for words in (["list", "-o", "all"], ["list", "-o", "all", "--json"], ["inspect", "sk:1"]):
        outcome = run(kernel, *words)
        assert outcome.status == 0, outcome


STATUSES: list[tuple[list[str], ExitCode]] = [
    (["list"], ExitCode.OK),
    (["inspect", "42:9"], ExitCode.OK),
    (["explain", "rtt"], ExitCode.OK),
    (["list", "rtt >"], ExitCode.USAGE),
    (["list", "--sort", "nonsense"], ExitCode.USAGE),
    (["list", "--by", "nonsense"], ExitCode.USAGE),
    (["list", "--limit", "0"], ExitCode.USAGE),
    (["list", "--frob"], ExitCode.USAGE),
    (["inspect"], ExitCode.USAGE),
    (["inspect", ":443"], ExitCode.USAGE),
    (["inspect", "42"], ExitCode.USAGE),
    (["inspect", "42:9", "-w", "-i", "never"], ExitCode.USAGE),
    (["inspect", "42:9", "-w", "-i", "1us"], ExitCode.USAGE),
    (["inspect", "42:9", "--interval", "2s"], ExitCode.USAGE),
    (["inspect", "42:9", "--count", "2"], ExitCode.USAGE),
    (["inspect", "42:9", "--explain", "--watch"], ExitCode.USAGE),
    (["inspect", "42:9", "--netns", ""], ExitCode.USAGE),
    (["list", "--netns", ""], ExitCode.USAGE),
    (["frobnicate"], ExitCode.USAGE),
    (["inspect", "41:9"], ExitCode.NOT_FOUND),
    (["inspect", "42:10"], ExitCode.NOT_FOUND),
    (["inspect", "99:0"], ExitCode.NOT_FOUND),
    (["inspect", "99:3"], ExitCode.NOT_FOUND),
    (["inspect", "sk:dead"], ExitCode.NOT_FOUND),
    (["inspect", "99"], ExitCode.NOT_FOUND),
    (["explain", "frobnicate"], ExitCode.NOT_FOUND),
    (["list", "--netns", "nowhere"], ExitCode.NOT_FOUND),
]


@pytest.mark.parametrize(("words", "status"), STATUSES)
def test_status(words: list[str], status: ExitCode, kernel: FakeKernel) -> None:
    outcome = run(kernel, *words)
    assert outcome.status == status, outcome
    assert bool(outcome.out) == (status == ExitCode.OK)
    assert bool(outcome.err) == (status != ExitCode.OK)


def test_messages(kernel: FakeKernel, golden: Golden) -> None:
    kernel.descriptors[99, 3] = FakeDescriptor(
        {**identity_options(diag.AF_INET, protocol=17), (1, 3): struct.pack("=i", 2)}, inode=900
    )
    text = ""
    for words, _ in STATUSES:
        outcome = run(kernel, *words)
        if outcome.err.startswith("tcptool: "):  # the others are typer's own
            text += f"$ tcptool {shlex.join(words)}\n{outcome.err}[{outcome.status}]\n\n"
    golden("errors/messages.txt", text)


@pytest.mark.parametrize(
    ("words", "status"),
    [each for each in STATUSES if each[1] != ExitCode.OK and each[0][0] in ("list", "inspect")],
)
def test_json_error(words: list[str], status: ExitCode, kernel: FakeKernel) -> None:
    outcome = run(kernel, *words, "--json")
    assert (outcome.status, outcome.out) == (status, "")
    assert outcome.err.count("\n") == 1
    document = json.loads(outcome.err)
    assert list(document) == ["schema", "error"]
    assert list(document["error"]) == ["code", "message", "hint", "exit_code"]
    assert document["error"]["exit_code"] == status


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--json", "list"], "--json"),
        (["frobnicate", "--json"], "frobnicate"),
        (["list", "--json", "--limit", "x"], "'--limit'"),
        (["list", "--json", "--limit"], "'--limit'"),
        (["inspect", "--json", "-i", "bogus", "-w", ":1"], "--interval"),
        (["list", "--json", "--nosuch"], "--nosuch"),
        (["inspect", "--json"], "TARGET"),
        (["list", "--json", "--color", "sometimes"], "sometimes"),
    ],
)
def test_usage_error_of_the_parser(words: list[str], named: str, kernel: FakeKernel) -> None:
    outcome = run(kernel, *words)
    assert (outcome.status, outcome.out, outcome.err.count("\n")) == (2, "", 1)
    error = json.loads(outcome.err)["error"]
    assert (error["code"], error["exit_code"]) == ("usage", 2)
    assert named in error["message"]
    words.remove("--json")
    if words != ["list"]:
        plain = run(kernel, *words).err
        assert named in plain
        assert '"error"' not in plain


@pytest.mark.parametrize(
    ("words", "pair"),
    [
        (["--interval", "1s"], ("--interval", "--watch")),  # also when it is the default
        (["-c", "2"], ("--count", "--watch")),
        (["--explain", "-w"], ("--explain", "--watch")),
        (["--explain", "--json"], ("--explain", "--json")),
    ],
)
def test_options_that_would_be_ignored(
    words: list[str], pair: tuple[str, str], kernel: FakeKernel
) -> None:
    outcome = run(kernel, "inspect", "42:9", *words)
    assert (outcome.status, outcome.out) == (2, "")
    for name in pair:
        assert name in outcome.err
    assert kernel.borrows == []


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (errno.ENOMEM, ExitCode.FAILED),
        (errno.EBUSY, ExitCode.FAILED),
        (errno.EMSGSIZE, ExitCode.FAILED),
        (errno.EINVAL, ExitCode.FAILED),
        (errno.EOPNOTSUPP, ExitCode.UNSUPPORTED),
    ],
)
def test_kernel_refuses_a_dump(number: int, status: ExitCode, tmp_path: Path) -> None:
    for name, words in (("a", ["list"]), ("b", ["list", "--json"]), ("c", ["inspect", "sk:1"])):
        kernel = replying(tmp_path / name, OSError(number, os.strerror(number)))
        outcome = run(kernel, *words)
        assert (outcome.status, outcome.out) == (status, ""), outcome
        assert errno_name(number) in outcome.err
        assert "sock_diag" in outcome.err


def test_not_permitted(kernel: FakeKernel) -> None:
    def refuse(pid: int, fd: int) -> str:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    kernel.proc.link = refuse  # type: ignore[method-assign]
    outcome = run(kernel, "inspect", "42:9")
    assert (outcome.status, outcome.out) == (ExitCode.NOT_PERMITTED, "")
    assert "EACCES" in outcome.err
    error = json.loads(run(kernel, "inspect", "42:9", "--json").err)["error"]
    assert (error["code"], error["exit_code"]) == ("not_permitted", 4)
    assert error["hint"]


def test_bug_is_one_line_with_a_hint(tmp_path: Path) -> None:
    kernel = replying(tmp_path, ZeroDivisionError("deliberate"))
    outcome = run(kernel, "list")
    assert (outcome.status, outcome.out) == (ExitCode.BUG, "")
    assert outcome.err.splitlines() == [
        "tcptool: internal error: ZeroDivisionError: deliberate",
        "  This is a bug in tcptool; --debug shows where. Please report it.",
    ]
    outcome = run(kernel, "list", "--json")
    assert (outcome.status, json.loads(outcome.err)["error"]["code"]) == (ExitCode.BUG, "bug")
    outcome = run(kernel, "list", "--debug")
    assert outcome.status == ExitCode.BUG
    assert "Traceback (most recent call last)" in outcome.err
    assert "deliberate" in outcome.err.splitlines()[-2]


def test_interrupt(kernel: FakeKernel, tmp_path: Path) -> None:
    outcome = run(replying(tmp_path / "x", KeyboardInterrupt()), "list")
    assert (outcome.status, outcome.out, outcome.err) == (ExitCode.INTERRUPTED, "", "")
    kernel.on_wait = say_nothing
    assert run(kernel, "inspect", "42:9", "--watch", "--json").status == ExitCode.OK


@pytest.mark.parametrize(
    ("number", "status"),
    [(errno.EPIPE, ExitCode.STDOUT_CLOSED), (errno.ENOSPC, ExitCode.FAILED)],
)
def test_stdout_that_fails(
    number: int, status: ExitCode, kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: io.TextIOBase, *_: object) -> None:
        raise OSError(number, os.strerror(number))

    from tcptool.views.text import list as view

    monkeypatch.setattr(view, "write", fail)
    outcome = run(kernel, "list")
    assert (outcome.status, outcome.out) == (status, "")
    assert outcome.err.count("tcptool: ") == (0 if number == errno.EPIPE else 1)


def test_unknown_words_are_answered_with_what_may_have_been_meant(kernel: FakeKernel) -> None:
    for words, meant in (
        (["list", "--sort", "rttt"], "rtt"),
        (["list", "-o", "snd_cwn"], "snd_cwnd"),
        (["explain", "SO_SNDBUFF"], "so_sndbuf"),
    ):
        outcome = run(kernel, *words)
        assert "did you mean" in outcome.err, outcome
        assert meant in outcome.err.lower()
