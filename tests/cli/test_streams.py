"""Outputs that are closed, full or gone, from the first byte to the last: never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ("--version", "--help", "list --help", "explain rtt", "schema list", "help")
INTERRUPTED = """
import sys
class Finder:
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            raise KeyboardInterrupt
sys.meta_path.insert(0, Finder())
sys.argv = ["tcptool", "explain", "rtt"]
from tcptool.__main__ import main
raise SystemExit(main())
"""


def shell(line: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in which ``tcptool`` is the program."""
    text = f'tcptool() {{ "{sys.executable}" -m tcptool "$@"; }}; {line}'
    return subprocess.run(
        ["bash", "-c", text], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        env=os.environ | {"TYPER_USE_RICH": "0"},
    )  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_full_stdout(command: str) -> None:
    done = shell(f"tcptool {command} >/dev/full")
    assert done.returncode == 6, done
    assert done.stderr.splitlines() == [
        "tcptool: running the command: [Errno 28] No space left on device"
    ]


@pytest.mark.parametrize("command", COMMANDS)
def test_stdout_without_a_reader(command: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)  # before it starts, unlike `tcptool | true`
    with os.fdopen(writer, "wb") as gone:
        done = subprocess.run(
            [sys.executable, "-m", "tcptool", *command.split()],
            cwd=ROOT, stdout=gone, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("command", [*COMMANDS, "list --quiet"])
def test_closed_stdout_is_one_without_a_reader(command: str) -> None:
    done = shell(f"tcptool {command} >&-")
    assert (done.returncode, done.stderr) == (141, "")


def test_error_has_its_status_whatever_stdout_is() -> None:
    for redirection in (">&-", ">/dev/full"):
        done = shell(f"tcptool explain nonsense {redirection}")
        assert (done.returncode, done.stderr.count("tcptool: ")) == (3, 1), done


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full", ">&- 2>&-"])
@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("explain nonsense", 3),
        ("explain nonsense --json", 3),
        ("inspect", 2),
        ("list --nosuch", 2),
        ("list --nosuch --json", 2),
        ("list 'rtt >'", 2),
        ("explain nonsense --debug", 3),
    ],
)
def test_stderr_that_fails_changes_no_status(command: str, status: int, redirection: str) -> None:
    for environment in ("", "PYTHONIOENCODING=ascii "):
        done = shell(f"{environment}tcptool {command} {redirection}")
        assert (done.returncode, done.stdout, done.stderr) == (status, "", "")


def test_both_full() -> None:
    assert shell("tcptool --version >/dev/full 2>&1").returncode == 6


def test_answer_without_stderr() -> None:
    for redirection in ("2>&-", "2>/dev/full"):
        done = shell(f"tcptool list -o state {redirection}")
        assert (done.returncode, done.stdout.split()[0]) == (0, "state"), done


@pytest.mark.parametrize("module", ["typer", "tcptool.cli.app", "tcptool.actions.explain"])
def test_interrupt_while_loading(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED.format(module=module)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
