"""What a start may not load: the modules that make a person wait.

Modules are counted, not milliseconds, because a busy machine changes only the latter.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tcptool.cli.app import commands

ROOT = Path(__file__).resolve().parent.parent.parent
SLOW = ("asyncio", "psutil", "pydantic", "rich")

REPORT = """
import contextlib, sys
sys.argv = ["tcptool", *sys.argv[1:]]
with contextlib.suppress(SystemExit):
    {action}
sys.stdout.flush()
print("loaded", *(name for name in {watched} if name in sys.modules), file=sys.stderr)
"""
MAIN = "import tcptool.__main__; tcptool.__main__.main()"


def loaded(action: str, *arguments: str, watched: tuple[str, ...] = SLOW) -> list[str]:
    program = REPORT.format(action=action, watched=watched)
    env = {key: value for key, value in os.environ.items() if key != "TYPER_USE_RICH"}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT, env=env, check=True, capture_output=True, text=True,
    )  # fmt: skip
    last = done.stderr.splitlines()[-1].split()
    assert last[0] == "loaded", done.stderr
    return last[1:]


def test_what_is_loaded_is_noticed() -> None:
    modules = ("tcptool.cli.explain", "tcptool.cli.list")
    assert loaded(MAIN, "explain", "rtt", watched=modules) == ["tcptool.cli.explain"]


def test_importing_the_command_tree_loads_nothing_slow() -> None:
    assert loaded("import tcptool.cli.app") == []


@pytest.mark.parametrize(
    "line",
    [
        "--version",
        "--help",
        "nonsense",
        "list --no-owners",
        "list --no-owners --json",
        "list --by state",
        "list --help",
        "listeners --help",
        "probe",
        "probe --help",
        "probe sendfile --help",
        "explain rtt",
        "options",
        "options nodelay",
        "profiles",
        "profiles show rpc",
        "schema list",
        "completion bash",
        "__complete sockets 1",
        "__complete netns x",
        "doctor --rtt 80ms --rate 1gbit",
        "doctor --help",
    ],
)
def test_a_command_loads_nothing_slow(line: str) -> None:
    assert loaded(MAIN, *line.split()) == []


@pytest.mark.parametrize("line", ["--help", "nonsense", "probe", "probe --help", "probe nonsense"])
def test_help_and_a_typing_error_import_no_command(line: str) -> None:
    modules = tuple(spec.module for _, spec in commands() if spec.function)
    assert loaded(MAIN, *line.split(), watched=modules) == []


@pytest.mark.parametrize("line", ["list", "list --json", "listeners --for 10ms"])
def test_owners_take_psutil_only_for_names_that_proc_cuts_off(line: str) -> None:
    names = (path.read_text(errors="replace") for path in Path("/proc").glob("[0-9]*/comm"))
    allowed = ["psutil"] if any(len(name.rstrip("\n")) >= 15 for name in names) else []
    assert set(loaded(MAIN, *line.split())) <= set(allowed)


@pytest.mark.parametrize("line", ["__complete sockets", "--version"])
def test_completion_and_the_version_need_no_typer(line: str) -> None:
    program = (
        f"{MAIN}; import sys; assert not any(name.startswith('typer') for name in sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-c", program, *line.split()],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
