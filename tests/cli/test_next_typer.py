"""The command line also works under the typer that we do not depend on yet (decision 2).

`python3 dev.py test` puts it beside the environment.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

NEXT_TYPER = Path(sys.prefix) / "typer-next"


def tcptool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tcptool", *arguments],
        env=os.environ | {"PYTHONPATH": str(NEXT_TYPER), "TYPER_USE_RICH": "0"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(autouse=True)
def next_typer() -> None:
    if not NEXT_TYPER.is_dir():
        assert os.environ.get("CI") != "true", "dev.py did not install the next typer"
        pytest.skip("`python3 dev.py test` installs the next typer")


def test_the_next_typer_is_really_in_use() -> None:
    code = "import typer; print(typer.__version__)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(NEXT_TYPER)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() >= "0.29"


def test_commands_give_the_same_answers() -> None:
    assert tcptool("--version").stdout.startswith("tcptool ")
    assert "rtt_us" in tcptool("explain", "rtt").stdout
    groups = json.loads(tcptool("list", "--by", "state", "--json").stdout)
    assert groups["schema"] == "tcptool.list-groups/1"


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["list", "--limit", "x"], 2),
        (["list", "rtt >"], 2),
        (["inspect", "sk:fffffffffffffff1"], 3),
        (["bogus"], 2),
        (["list", "--help"], 0),
    ],
)
def test_statuses_are_the_same(arguments: list[str], status: int) -> None:
    assert tcptool(*arguments).returncode == status


@pytest.mark.parametrize("arguments", [["list", "--limit", "x"], ["list", "--nosuch"], ["bogus"]])
def test_usage_errors_of_the_parser_are_json(arguments: list[str]) -> None:
    done = tcptool(*arguments, "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert json.loads(done.stderr)["error"]["code"] == "usage"
