"""Completion in the shells themselves, with live sockets and with hostile process names."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from tests.support.children import Child, spawn

ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPTS = {
    "bash": ROOT / "completions" / "tcptool.bash",
    "zsh": ROOT / "completions" / "_tcptool",
    "fish": ROOT / "completions" / "tcptool.fish",
}

# A connection to itself and its listener, in a process that calls itself what it is told.
TALKER = """
import ctypes, json, socket, sys
ctypes.CDLL(None).prctl(15, bytes.fromhex(sys.argv[1]))  # PR_SET_NAME, linux/prctl.h
with socket.create_server(("127.0.0.1", 0)) as listener:
    with socket.create_connection(listener.getsockname()) as client:
        fds = [listener.fileno(), client.fileno()]
        print(json.dumps({"port": listener.getsockname()[1], "fds": fds}), flush=True)
        sys.stdin.read()
"""

HOSTILE = {
    "substitution": b"$(touch PWN)",
    "backticks": b"`touch PWN`",
    "separators": b";touch PWN;",
    "quotes": b"'\";touch PWN #",
    "redirection": b"x>PWN",
    "lines": b"a\ntouch PWN\n",
    "colon": b":$(>PWN)\t:",
    "escapes": b"\x1b[2J\x1b]0;evil",
    "brackets": b"[$(>PWN)]{,}*~",
    "option": b"-X $(>PWN)",
}


def talker(name: bytes = b"talker") -> Child:
    return spawn(TALKER, name.hex())


def environment() -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "TERM": "dumb", "LC_ALL": "C.UTF-8"}


def need(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")


class Terminal:
    """An interactive shell on a terminal of its own, with completion loaded."""

    PROMPT = "ready> "

    def __init__(self, shell: str, home: Path) -> None:
        env = {**environment(), "HOME": str(home), "HISTFILE": "/dev/null"}
        words, setup = {
            "bash": (["--norc", "--noprofile"], f"PS1='{self.PROMPT}'; source {SCRIPTS['bash']}"),
            "zsh": (
                ["-f"],
                f"PS1='{self.PROMPT}'; autoload -U compinit; compinit -u -D;"
                f" source {SCRIPTS['zsh']}",
            ),
        }[shell]
        self._process = pexpect.spawn(
            shell, words, cwd=home, env=env, encoding="utf-8", dimensions=(60, 160), timeout=20
        )
        self._process.sendline(setup + "; echo rea''dy")
        self._process.expect("ready\r\n")
        self._process.expect(self.PROMPT)

    def press(self, keys: str, until: str) -> str:
        """Send keys and return what appears until a pattern has."""
        self._process.send(keys)
        self._process.expect(until)
        return str(self._process.before) + str(self._process.after)

    def settle(self) -> str:
        """Clear the line; what appears until the shell has run a command of ours."""
        return self.press("\x15echo e''nd\r", "end\r\n")

    def close(self) -> None:
        self._process.close(force=True)


@pytest.fixture(params=["bash", "zsh"])
def terminal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Terminal]:
    need(request.param)
    shell = Terminal(request.param, tmp_path)
    yield shell
    shell.close()


def bash_candidates(line: str, cwd: Path | None = None) -> list[str]:
    """What bash would offer at the end of ``line``, without a terminal."""
    program = (
        f"source {SCRIPTS['bash']}; compopt() {{ :; }};"
        " COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9; _tcptool tcptool;"
        " printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", program, "bash", line],
        env=environment(), cwd=cwd, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.split("\n")[:-1]


def fish_candidates(line: str, cwd: Path | None = None) -> list[str]:
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"source {SCRIPTS['fish']}; complete -C $argv[1]", line],
        env=environment(), cwd=cwd, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.split("\n")[:-1]


@pytest.mark.parametrize("shell", SCRIPTS)
def test_the_script_is_well_formed(shell: str) -> None:
    need(shell)
    subprocess.run([shell, "-n", str(SCRIPTS[shell])], check=True)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("tcptool in", ["inspect"]),
        ("tcptool --v", ["--version"]),
        ("tcptool ls --no-", ["--no-owners"]),
        ("tcptool list --color ", ["auto", "always", "never"]),
        ("tcptool list --color=al", ["always"]),
        ("tcptool list --by po", ["port"]),
        ("tcptool list --sort snd_cwnd", ["snd_cwnd_packets"]),
        ("tcptool list -o rtt_us,snd_cwnd", ["rtt_us,snd_cwnd_packets"]),
        ("tcptool list -o +snd_cwnd", ["+snd_cwnd_packets"]),
        ("tcptool list -n ", []),
        ("tcptool explain SO_SNDBUFF", ["SO_SNDBUFFORCE"]),
        ("tcptool completion f", ["fish"]),
        ("tcptool help fie", ["fields"]),
        ("tcptool schema inspect-", ["inspect-watch"]),
        ("tcptool profiles show db", ["db-client"]),
        ("tcptool apply --profile db", ["db-client"]),
        ("tcptool pro", ["profiles", "probe"]),
        ("tcptool probe s", ["send", "sendfile", "splice", "show"]),
        ("tcptool probe --h", ["--help"]),
        ("tcptool probe sendf", ["sendfile"]),
        ("tcptool probe sendfile compa", []),
        ("tcptool probe sendfile --rec", ["--receiver"]),
        ("tcptool probe vmsplice --receiver ", ["recv", "discard", "splice"]),
        ("tcptool probe vmsplice --receiver=d", ["discard"]),
        ("tcptool probe compare --methods send,mm", ["send,mmap"]),
        ("tcptool probe bogus ", []),
        ("tcptool compare ", []),
        ("tcptool help probe-c", ["probe-compare", "probe-connect"]),
        ("tcptool inspect $(touch PWN)", []),
    ],
)
def test_bash_knows_the_words(line: str, expected: list[str], tmp_path: Path) -> None:
    assert [word for word in bash_candidates(line, tmp_path) if word] == expected
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("tcptool in", "inspect"),
        ("tcptool list --col", "--color"),
        ("tcptool list --color al", "always"),
        ("tcptool list --sort snd_cwnd", "snd_cwnd_packets"),
        ("tcptool list -o rtt_us,snd_cwnd", "rtt_us,snd_cwnd_packets"),
        ("tcptool help fie", "fields"),
        ("tcptool pro", "probe"),
        ("tcptool probe sendf", "sendfile"),
        ("tcptool probe --h", "--help"),
        ("tcptool probe sendfile --rec", "--receiver"),
        ("tcptool probe vmsplice --receiver d", "discard"),
        ("tcptool probe compare --methods send,mm", "send,mmap"),
    ],
)
def test_fish_knows_the_words(line: str, expected: str) -> None:
    need("fish")
    assert expected in [word.partition("\t")[0] for word in fish_candidates(line)]


def test_fish_offers_commands_and_options_only_where_they_belong() -> None:
    need("fish")
    for line in ("tcptool compa", "tcptool list sendf", "tcptool probe sendfile compa"):
        assert fish_candidates(line) == []
    assert fish_candidates("tcptool probe latency --fi") == []
    assert fish_candidates("tcptool probe lis") == []


FILE_LINES = [
    "tcptool probe show ",
    "tcptool probe diff earlier.json ",
    "tcptool probe sendfile --file ",
    "tcptool probe compare -o ",
    "tcptool probe compare --output=",
]


@pytest.mark.parametrize("line", FILE_LINES)
def test_fish_completes_the_name_of_a_file(line: str, tmp_path: Path) -> None:
    need("fish")
    (tmp_path / "results.json").touch()
    found = fish_candidates(f"{line}resu", tmp_path)
    assert [word.partition("\t")[0].removeprefix("--output=") for word in found] == ["results.json"]


def test_fish_offers_no_file_where_none_belongs(tmp_path: Path) -> None:
    need("fish")
    (tmp_path / "results.json").touch()
    for line in ("tcptool probe resu", "tcptool probe sendfile --receiver resu", "tcptool resu"):
        assert fish_candidates(line, tmp_path) == []


@pytest.mark.parametrize("line", FILE_LINES)
def test_a_tab_completes_the_name_of_a_file(line: str, terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "results of today.json").touch()
    terminal.press(f"{line}resu\t", re.escape(r"results\ of\ today.json "))


def test_a_tab_completes_the_commands_of_a_group(terminal: Terminal) -> None:
    terminal.press("tcptool prob\t", "probe ")
    terminal.press("vms\t", "vmsplice ")
    terminal.press("--rec\t", "--receiver[= ]")
    terminal.press("disc\t", "discard ")
    terminal.settle()
    terminal.press("tcptool probe compare --methods=spl\t", "splice")
    terminal.press(",vm\t", "vmsplice")
    terminal.settle()
    shown = terminal.press("tcptool probe s\t\t", "splice")
    shown += terminal.settle()
    for word in ("send", "sendfile", "show"):
        assert word in shown


def test_a_tab_completes_commands_and_options(terminal: Terminal) -> None:
    terminal.press("tcptool insp\t", "inspect ")
    terminal.press("--wat\t", "--watch ")
    terminal.press("--col\t", "--color[= ]")
    terminal.press("nev\t", "never ")


def test_a_tab_completes_a_live_descriptor(terminal: Terminal) -> None:
    with talker() as child:
        listener, client = child.ready["fds"]
        terminal.press(f"tcptool inspect {child.pid}:{client}\t", f"{child.pid}:{client} ")
        terminal.settle()
        shown = terminal.press(
            f"tcptool inspect {child.pid}:\t\t", rf"127\.0\.0\.1:{child.ready['port']}"
        )
        shown += terminal.settle()
        assert f"talker listening on 127.0.0.1:{child.ready['port']}" in shown
        assert re.search(rf"\b{listener}\b", shown)


def test_fish_completes_a_live_descriptor() -> None:
    need("fish")
    with talker() as child:
        listener, client = child.ready["fds"]
        port = child.ready["port"]
        assert fish_candidates(f"tcptool inspect {child.pid}:") == [
            f"{child.pid}:{listener}\ttalker listening on 127.0.0.1:{port}",
            f"{child.pid}:{client}\ttalker 127.0.0.1:{port}",
        ]


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_name_does_nothing_to_bash_or_fish(name: bytes, tmp_path: Path) -> None:
    with talker(name) as child:
        line = f"tcptool inspect {child.pid}:"
        found = bash_candidates(line, tmp_path)
        assert [words.split()[0] for words in found] == [str(fd) for fd in child.ready["fds"]]
        if shutil.which("fish"):
            assert len(fish_candidates(line, tmp_path)) == 2
            found += fish_candidates(line, tmp_path)
    assert all(re.fullmatch(r"[A-Za-z0-9 ._/@,\[\]:?\t-]*", words) for words in found)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_name_does_nothing_on_a_terminal(
    name: bytes, terminal: Terminal, tmp_path: Path
) -> None:
    with talker(name) as child:
        port = child.ready["port"]
        shown = terminal.press(f"tcptool inspect {child.pid}:\t\t", rf"127\.0\.0\.1:{port}")
        shown += terminal.settle()
    assert "\x1b[2J" not in shown
    assert "\x1b]" not in shown
    assert not (tmp_path / "PWN").exists()


def test_candidates_come_quickly_and_quietly_from_anything() -> None:
    for words in (
        [],
        ["sockets"],
        ["sockets", "x"],
        ["nonsense", ""],
        ["netns", "\x1b"],
        ["sockets", "9" * 99],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "tcptool", "__complete", *words],
            cwd=ROOT, check=False, capture_output=True, text=True,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, ""), words
