"""The EXAMPLES of man pages run, and the OUTCOMES of `apply` and `verify` are the real ones.

In the examples ``1234`` stands for a process, ``1234:5`` for a connection of its, and every port
for that of its listener.  A comment ``# status N`` says how an example ends, if not with 0.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from tcptool.analysis.outcome import WORDS
from tests.live.program import PAIR, Owner, owner
from tests.support.children import ROOT
from tests.support.netns import NetNs

COMMANDS = ("apply", "verify")
WITH_EXAMPLES = (*COMMANDS, "listeners")
PROBES = ("probe", *(path.stem for path in (ROOT / "docs/man").glob("probe-*.roff")))
ONLY_VERIFY = frozenset({"matches", "differs", "not-checkable"})
ESCAPES = {r"\-": "-", r"\(aq": "'", r"\(ti": "~", r"\e": "\\"}
STATUS = re.compile(r"# status (\d+)")


def section(command: str, title: str) -> str:
    page = (ROOT / f"man/man1/tcptool-{command}.1").read_text()
    match = re.search(rf"^\.SH {title}\n(.*?)^\.SH ", page, re.MULTILINE | re.DOTALL)
    assert match is not None, f"tcptool-{command}(1) has no section {title}"
    return match[1]


def plain(roff: str) -> str:
    for escape, text in ESCAPES.items():
        roff = roff.replace(escape, text)
    return roff


def examples(command: str) -> list[str]:
    blocks = re.findall(r"^\.EX\n(.*?)^\.EE$", section(command, "EXAMPLES"), re.M | re.S)
    return [plain(line) for block in blocks for line in block.splitlines()]


def real(example: str, one: Owner) -> str:
    """The example with a socket and ports that exist."""
    shown = example.replace("1234:5", one.at("conn")).replace("1234", str(one.pid))
    return re.sub(r"(?<= :)\d+", str(one.port("server")), shown)


@pytest.mark.parametrize("command", WITH_EXAMPLES)
def test_every_example_ends_as_the_page_says(command: str, netns: NetNs, tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {"PATH": path, "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}
    with owner(netns, setup=PAIR) as one:
        for example in examples(command):
            status = STATUS.search(example)
            done = netns.run("bash", "-c", real(example, one), check=False, env=env)
            said = f"{example}\n{done.stdout}{done.stderr}"
            assert done.returncode == int(status[1] if status else 0), said
            assert "Traceback" not in done.stderr, said
            assert done.stdout or status, said


@pytest.mark.parametrize("page", PROBES)
def test_every_example_of_a_measurement_runs(page: str, netns: NetNs, tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    lines = "\n".join(["set -e", f"cd {tmp_path}", *examples(page)])
    lines = lines.replace("probe latency", "probe latency --blocks 2")  # for time's sake
    done = netns.run("bash", "-c", lines, check=False, env={"PATH": path, "HOME": str(tmp_path)})
    assert done.returncode == 0, f"{lines}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("command", WITH_EXAMPLES)
def test_there_are_examples(command: str) -> None:
    lines = examples(command)
    assert len(lines) > 3
    assert any(line.startswith(f"tcptool {command} ") for line in lines)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_outcome_is_in_the_page_with_its_meaning(command: str) -> None:
    entries = re.findall(r"^\.TP\n\\fB(.*?)\\fR\n(.*)$", section(command, "OUTCOMES"), re.M)
    shown = {plain(word): plain(meaning) for word, meaning in entries}
    wanted = ONLY_VERIFY | {"unsupported"} if command == "verify" else WORDS.keys() - ONLY_VERIFY
    assert shown == {word: WORDS[word] for word in wanted}
