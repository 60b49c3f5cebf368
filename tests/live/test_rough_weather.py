"""Bad targets, hostile names, closed and full outputs, odd terminals: never a traceback."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.program import (
    NOBODY,
    PAIR,
    WITH_ASCII,
    Owner,
    inspect,
    owner,
    tcptool,
    unprintable,
)
from tests.support.children import ROOT
from tests.support.netns import NetNs
from tests.support.waiting import wait_until

TCPTOOL = [sys.executable, "-m", "tcptool"]


@pytest.fixture(scope="module")
def crowd() -> Iterator[Owner]:
    """A process with a bit of everything open, and a hostile name."""
    setup = """
pipe, _ = os.pipe()
file = os.open("/dev/null", 0)
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
unix, _ = socket.socketpair()
packet = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
"""
    with owner(setup=PAIR + setup) as one:
        yield one


# -- targets -----------------------------------------------------------------------------------

NOT_SOCKETS = {
    "udp.fileno()": "an IPv4 datagram socket (UDP), not a TCP socket",
    "unix.fileno()": "a Unix stream socket, not a TCP socket",
    "packet.fileno()": "a netlink raw socket, not a TCP socket",
    "pipe": "not a socket",
    "file": "'/dev/null', not a socket",
}


@pytest.mark.parametrize("name", NOT_SOCKETS)
def test_descriptor_of_something_else(name: str, crowd: Owner) -> None:
    run = tcptool("inspect", f"{crowd.pid}:{crowd(name)}")
    run.failed(3, NOT_SOCKETS[name], f"process {crowd.pid}", "tcptool")
    run = tcptool("inspect", f"{crowd.pid}:{crowd(name)}", "--json")
    error = json.loads(run.err)
    assert (run.status, run.out, error["schema"]) == (3, "", "tcptool.error/1")
    assert (error["error"]["code"], error["error"]["exit_code"]) == ("not_tcp", 3)


def test_targets_that_are_not_there(crowd: Owner) -> None:
    tcptool("inspect", "4194305:3").failed(3, "process 4194305", "no such process")
    tcptool("inspect", "4194305").failed(3, "process 4194305", "no such process")
    tcptool("inspect", f"{crowd.pid}:999").failed(
        3, f"descriptor 999 of process {crowd.pid}", "no such descriptor", f"inspect {crowd.pid}"
    )
    tcptool("inspect", "sk:ffffffffffff").failed(3, "sk:ffffffffffff", "no TCP socket matches")
    tcptool("inspect", "127.0.0.1:1-127.0.0.1:2").failed(3, "127.0.0.1:1-127.0.0.1:2")
    tcptool("inspect", "[::1]:1-[::1]:2").failed(3, "[::1]:1-[::1]:2")
    tcptool("inspect", "state syn-sent and dport = :1").failed(3, "match the filter")
    # A connection that is not there must not become the listener of its port.
    target = f"127.0.0.1:{crowd.port('server')}-127.0.0.1:1"
    tcptool("inspect", target).failed(3, "no TCP socket matches")


def test_zombie(crowd: Owner) -> None:
    crowd("pid = os.fork()\nif not pid:\n    os._exit(0)")
    pid = crowd("pid")
    wait_until(lambda: ") Z " in Path(f"/proc/{pid}/stat").read_text())
    tcptool("inspect", f"{pid}:{crowd('client.fileno()')}").failed(3, f"process {pid}", "zombie")
    run = tcptool("inspect", pid)
    run.failed(3, f"process {pid}")
    assert tcptool("list").status == 0
    crowd("os.waitpid(pid, 0)")


def kernel_threads() -> Iterator[int]:
    for stat in Path("/proc").glob("[0-9]*/stat"):
        fields = stat.read_text().rpartition(")")[2].split()
        if int(fields[6]) & 0x0020_0000:  # PF_KTHREAD: include/linux/sched.h
            yield int(stat.parent.name)


def test_kernel_thread() -> None:
    for pid in list(kernel_threads())[:1]:  # a container sees none
        tcptool("inspect", f"{pid}:0").failed(3, f"process {pid}", "no such descriptor")
        tcptool("inspect", pid).failed(3, f"process {pid}", "no TCP socket matches")


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("rtt >> 5", "rtt"),
        ("rtt > banana", "banana"),
        ("sport = :notaport", "notaport"),
        ("dst 300.1.2.3", "300.1.2.3"),
        ("( state established", ")"),
        ("state nonsense", "nonsense"),
        ("retrans = 5 and", "and"),
        ("frobnicate = 1", "frobnicate"),
        ("", "empty"),
        ("99999999999:3", "99999999999"),
        ("sk:xyz", "xyz"),
        (":99999", "99999"),
        ("1.2.3.4:5-[::1]:6", "IPv6"),
        ("\x1b[31m\u202e = 1", "x1b"),
    ],
)
def test_words_that_cannot_be_understood(target: str, expected: str) -> None:
    for command in ("inspect", "list"):
        if command == "list" and re.match(r"$|sk:|:|\d", target):
            continue
        run = tcptool(command, target)
        assert expected in run.failed(2), (command, run)
        assert unprintable(run.err) == []


@pytest.mark.parametrize(
    "words",
    [
        ["inspect"],
        ["inspect", "1:2", "--frob"],
        ["inspect", "1:2", "--watch", "-i", "soon"],
        ["inspect", "1:2", "--watch", "-i", "1us"],
        ["inspect", "1:2", "--count", "0"],
        ["list", "--limit", "none"],
        ["list", "--columns", "rtt,nonsense"],
        ["list", "--sort", "nonsense"],
        ["list", "--by", "nonsense"],
        ["list", "--color", "sometimes"],
        ["frob"],
    ],
)
def test_options_that_cannot_be_understood(words: list[str]) -> None:
    run = tcptool(*words)
    assert (run.status, run.out) == (2, ""), run
    assert "Traceback" not in run.err
    assert run.err


def test_another_users_process_names_the_right(crowd: Owner) -> None:
    run = tcptool("inspect", crowd.at("client"), "--json", uid=NOBODY)
    error = json.loads(run.err)["error"]
    assert (run.status, run.out, error["code"]) == (4, "", "not_permitted")
    assert "sudo" in error["hint"]


# -- hostile names -----------------------------------------------------------------------------

HOSTILE = (
    "\x1b]0;x\x07\x1b[2J",
    "[red]a\nb\tc",
    'a"\\b,\u202ec',
    "x) R 1 (y",
    "\xff\xfe\x80",
    "\xff\xfe\x80 at full size",
    "carriage\rreturn",
)
ENCODED = [name.encode("latin-1" if "\xff" in name else "utf-8")[:15] for name in HOSTILE]


def test_hostile_names_are_harmless(netns: NetNs) -> None:
    with contextlib.ExitStack() as stack:
        owners = {}
        for name in ENCODED:
            one = stack.enter_context(owner(netns, setup=PAIR))
            one(f"ctypes.CDLL(None).prctl(15, {name!r})")
            owners[name.decode(errors="backslashreplace")] = one
        commands = [
            ["list"],
            ["list", "--by", "process"],
            ["list", "state = listen", "-s", "process"],
        ]
        commands += [["inspect", one.at("conn")] for one in owners.values()]
        for command in commands:
            run = tcptool(*command, "--quiet", netns=netns)
            assert (run.status, run.err) == (0, ""), run
            assert unprintable(run.out) == [], run.out
            if command[0] == "list":  # no name moved the columns
                heading, *rows = (line.split() for line in run.lines)
                if "--by" not in command:
                    assert {len(row) for row in rows} == {len(heading)}
        listed = tcptool("list", "--json", "-o", "process,pid", netns=netns)
        documents = [
            tcptool("inspect", one.at("conn"), "--json", netns=netns) for one in owners.values()
        ]
        for text in (listed.out, *(document.out for document in documents)):
            assert re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\uffff]", text) == []
        pids = {row["process"]: row["pid"] for row in listed.data["sockets"]}
        assert pids == {name: one.pid for name, one in owners.items()}
        shown = [document.data["holders"][0]["process"] for document in documents]
        assert shown == list(owners)


LONG_NAME = "fifteen-letters\x1b[2J\nand more"


def test_hostile_long_name_from_the_command_line(netns: NetNs) -> None:
    source = (
        "import socket, sys; s = socket.create_server(('127.0.0.1', 0)); print(1, flush=True); "
    )
    source += "import ctypes; ctypes.CDLL(None).prctl(15, b'fifteen-letters'); sys.stdin.read()"
    with subprocess.Popen(
        [
            *netns.enter(),
            "bash",
            "-c",
            'exec -a "$0" "$@"',
            LONG_NAME,
            sys.executable,
            "-c",
            source,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline()
        wait_until(lambda: Path(f"/proc/{child.pid}/comm").read_bytes() == b"fifteen-letters\n")
        run = tcptool("list", netns=netns)
        [row] = run.lines[1:]
        assert unprintable(run.out) == []
        assert "fifteen-letters" in row
        [row] = tcptool("list", "--json", "-o", "process", netns=netns).data["sockets"]
        assert row["process"].startswith("fifteen-letters")
        child.communicate()


def test_output_without_utf_8(crowd: Owner) -> None:
    for words in (
        ["list"],
        ["list", "--by", "state"],
        ["inspect", crowd.at("client"), "--explain"],
    ):
        for env in (WITH_ASCII, {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}):
            run = tcptool(*words, env=env)
            assert (run.status, run.out.isascii()) == (0, True), run
    crowd("ctypes.CDLL(None).prctl(15, '\u00fcml\u00e4ut'.encode())")
    run = tcptool("inspect", crowd.at("client"), env=WITH_ASCII)
    assert r"\xfcml\xe4ut" in run.out
    assert "\u00fcml\u00e4ut" in tcptool("inspect", crowd.at("client")).out


# -- outputs -----------------------------------------------------------------------------------


def test_reader_that_goes_away_early(netns: NetNs) -> None:
    # More rows than a pipe holds.
    setup = """
server = socket.create_server(("127.0.0.1", 0), backlog=600)
kept += [socket.create_connection(server.getsockname()) for _ in range(300)]
"""
    with owner(netns, setup=setup) as one:
        target = f"{one.pid}:{one('server.fileno()')}"
        for command in (
            ["list"],
            ["list", "--json", "-o", "all"],
            ["inspect", target, "--watch", "-i", "10ms"],
        ):
            with subprocess.Popen(
                [*netns.enter(), *TCPTOOL, *command],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            ) as process:
                assert process.stdout is not None
                assert process.stderr is not None
                assert process.stdout.read(20)
                process.stdout.close()
                assert process.stderr.read() == b"", command
                assert process.wait(timeout=20) == 141, command


@pytest.mark.parametrize("command", ["list", "list --json", "explain", "inspect TARGET"])
def test_full_disk(command: str, crowd: Owner) -> None:
    words = command.replace("TARGET", crowd.at("client")).split()
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*TCPTOOL, *words],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            text=True,
            cwd=ROOT,
        )
    assert done.returncode == 6, done
    # Remarks may follow; of errors there is one.
    errors = [line for line in done.stderr.splitlines() if "ENOSPC" in line or "No space" in line]
    assert len(errors) == 1, done
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_stdout_that_is_closed(crowd: Owner) -> None:
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" -m tcptool inspect {crowd.at("client")} >&-', sys.executable],
        stderr=subprocess.PIPE, check=False, text=True, cwd=ROOT,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (141, "")


# -- terminals ---------------------------------------------------------------------------------


class Terminal:
    """A program on a pseudo-terminal of this size."""

    def __init__(self, words: list[str], columns: int, env: dict[str, str] | None = None) -> None:
        controller, terminal = pty.openpty()
        self._terminal = terminal
        self.resize(24, columns)
        keep = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR")}
        self._controller = controller
        self.settings = termios.tcgetattr(terminal)
        self.process = subprocess.Popen(
            [*TCPTOOL, *words],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env=keep | {"TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"} | (env or {}),
            cwd=ROOT,
            start_new_session=True,
        )
        self.raw = b""

    def resize(self, rows: int, columns: int) -> None:
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, size)

    def read_until(self, pattern: bytes | None, deadline_s: float = 20.0) -> str:
        """What it writes until this appears, or until it ends."""
        poll = select.poll()
        poll.register(self._controller, select.POLLIN)
        end = time.monotonic() + deadline_s
        while pattern is None or not re.search(pattern, self.raw):
            if poll.poll(50):
                self.raw += os.read(self._controller, 65536)
            elif self.process.poll() is not None:
                break
            assert time.monotonic() < end, self.raw[-2000:]
        return self.raw.decode()

    def close(self) -> int:
        """Wait for its end and return its status; the settings of the terminal are the old ones."""
        self.read_until(None)
        status = self.process.wait(timeout=20)
        assert termios.tcgetattr(self._terminal) == self.settings
        os.close(self._controller)
        os.close(self._terminal)
        return status


def screen_lines(text: str) -> list[str]:
    """The text without what colours it."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text).replace("\r", "").splitlines()


@pytest.mark.parametrize("columns", [20, 80, 200])
def test_terminal_of_any_width(columns: int, crowd: Owner) -> None:
    for words in (["inspect", crowd.at("client")], ["inspect", crowd.at("server"), "--explain"]):
        terminal = Terminal(words, columns)
        text = terminal.read_until(None)
        assert terminal.close() == 0, text
        lines = screen_lines(text)
        headline = 2 if columns < 60 else 0  # wrapped by the terminal itself, not cut off
        assert max(map(len, lines[headline:])) <= columns, max(lines[headline:], key=len)
        assert "\x1b[" in text
        assert str(crowd.port("server")) in text
        assert "Traceback" not in text
    terminal = Terminal(["list", "--columns", "state,rtt"], columns)
    text = terminal.read_until(None)
    assert terminal.close() == 0, text
    assert max(map(len, screen_lines(text)[:-1])) <= columns


def test_nothing_is_lost_on_a_narrow_terminal(crowd: Owner) -> None:
    texts = {}
    for columns in (20, 120):
        terminal = Terminal(["inspect", crowd.at("client")], columns)
        texts[columns] = re.sub(
            r"[^0-9a-z.:]+", "", "".join(screen_lines(terminal.read_until(None)))
        )
        assert terminal.close() == 0
    ends = crowd.ends("client").split("-")
    for text in texts.values():
        for end in ends:
            assert end in text


def test_list_that_does_not_fit_says_what_it_leaves_out(crowd: Owner) -> None:
    terminal = Terminal(["list", f"sport = :{crowd.port('client')}"], 60)
    text = terminal.read_until(None)
    assert terminal.close() == 0
    lines = screen_lines(text)
    assert len(lines[0]) <= 60
    assert "no room for" in text
    # Addresses never give way.
    assert f":{crowd.port('client')}" in lines[1]


def test_terminal_that_is_not_utf_8(crowd: Owner) -> None:
    for words in (["list"], ["inspect", crowd.at("client")]):
        terminal = Terminal(words, 80, env=WITH_ASCII)
        text = terminal.read_until(None)
        assert terminal.close() == 0
        assert text.isascii()
        assert "\\u" not in text  # ASCII by choice, not by escape


def test_colour_can_be_turned_off(crowd: Owner) -> None:
    target = crowd.at("client")
    for words, env in (
        (["inspect", target, "--color", "never"], {}),
        (["inspect", target], {"NO_COLOR": "1"}),
        (["inspect", target], {"TERM": "dumb"}),
    ):
        terminal = Terminal(words, 80, env=env)
        text = terminal.read_until(None)
        assert terminal.close() == 0
        assert re.findall(r"\x1b\[[0-9;]*m", text) == []


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 0), (signal.SIGTERM, -signal.SIGTERM), (signal.SIGHUP, -signal.SIGHUP)],
)
def test_watch_on_a_terminal_leaves_it_as_it_was(
    number: signal.Signals, status: int, crowd: Owner
) -> None:
    terminal = Terminal(["inspect", crowd.at("client"), "--watch", "-i", "100ms"], 100)
    terminal.read_until(rb"rtt")
    os.kill(terminal.process.pid, number)
    text = terminal.read_until(None)
    assert terminal.close() == status, text
    # Alternate screen and cursor: ECMA-48 private modes 1049 and 25, set and reset in pairs.
    for on, off in (("\x1b[?1049h", "\x1b[?1049l"), ("\x1b[?25l", "\x1b[?25h")):
        assert text.count(on) == text.count(off) >= 1
    after = text.rpartition("\x1b[?1049l")[2]
    assert "interrupted after" in after
    assert "Traceback" not in text


def test_watch_follows_the_size_of_the_terminal(crowd: Owner) -> None:
    terminal = Terminal(["inspect", crowd.at("client"), "--watch", "-i", "50ms"], 100)
    terminal.read_until(rb"rto")
    terminal.resize(rows=12, columns=20)
    text = terminal.read_until(rb"lines do not fit")
    frame = text[: text.rindex("do not fit")].rpartition("\x1b[H")[2]
    lines = screen_lines(frame)
    assert len(lines) == 12
    assert max(map(len, lines)) <= 20
    assert any(re.fullmatch(r"rtt +[0-9.]+ .s *", line) for line in lines), lines
    terminal.resize(rows=50, columns=120)
    terminal.read_until(rb"received, total")
    os.kill(terminal.process.pid, signal.SIGINT)
    assert terminal.close() == 0


@pytest.mark.parametrize("kind", ["dumb", "unknown"])
def test_watch_on_a_terminal_that_cannot_be_drawn_on(kind: str, crowd: Owner) -> None:
    words = ["inspect", crowd.at("client"), "--watch", "-i", "20ms", "-c", "3"]
    terminal = Terminal(words, 100, env={"TERM": kind})
    text = terminal.read_until(None)
    assert terminal.close() == 0
    assert "\x1b" not in text
    assert [line.split()[1] for line in screen_lines(text)[1:4]] == ["established"] * 3


def test_hostile_name_on_a_terminal(crowd: Owner) -> None:
    for name in (b"\x1b]0;x\x07\x1b[2J", b"[red]a\nb"):
        crowd(f"ctypes.CDLL(None).prctl(15, {name!r})")
        for words in (
            ["inspect", crowd.at("client"), "--color", "never"],
            ["list", f"pid = {crowd.pid}", "--color", "never"],
            ["list", "--by", "process", "--color", "never"],
        ):
            terminal = Terminal(words, 120)
            text = terminal.read_until(None)
            assert terminal.close() == 0
            assert "\x1b]" not in text
            assert "\x07" not in text
            assert "\x1b[2J" not in text
            shown = r"\x1b]0;x\x07\x1b[2J" if b"\x1b" in name else r"[red]a\nb"
            assert shown in text


# -- JSON --------------------------------------------------------------------------------------


def test_json_of_every_command_is_one_document(crowd: Owner) -> None:
    for words in (
        ["list"],
        ["list", "--by", "state"],
        ["inspect", crowd.at("client")],
        ["explain", "rtt"],
    ):
        run = tcptool(*words, "--json")
        assert run.err == ""
        assert run.out.endswith("\n")
        document = run.json
        assert list(document)[:5] == ["schema", "tcptool", "time", "host", "kernel"]
        assert list(document)[5:] == ["data", "warnings", "missing"]
        assert "NaN" not in run.out
        assert "Infinity" not in run.out
    assert inspect(crowd.at("client"))["schema"] == "tcptool.inspect/1"
