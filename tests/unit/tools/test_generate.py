"""The generated files: up to date, complete, and the same on every machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools import generate

ROOT = Path(generate.__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    return generate.wanted()


def test_what_is_committed_is_what_the_generators_write(texts: dict[str, str]) -> None:
    assert list(generate.differences(texts, ROOT)) == []


def test_check_names_every_difference_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate.main([], tmp_path) == 0
    assert generate.main(["--check"], tmp_path) == 0
    (tmp_path / "man/man1/tcptool.1").write_text("old")
    (tmp_path / "man/man1/tcptool-gone.1").touch()
    (tmp_path / "completions" / "_tcptool").unlink()
    assert generate.main(["--check"], tmp_path) == 1
    said = capsys.readouterr().err
    assert "man/man1/tcptool.1 is stale" in said
    assert "man/man1/tcptool-gone.1 is superfluous" in said
    assert "completions/_tcptool is missing" in said
    assert (tmp_path / "man/man1/tcptool.1").read_text() == "old"


def test_writing_mends_every_difference(tmp_path: Path, texts: dict[str, str]) -> None:
    (tmp_path / "man/man1").mkdir(parents=True)
    (tmp_path / "man/man1/tcptool-gone.1").touch()
    assert generate.main([], tmp_path) == 0
    assert list(generate.differences(texts, tmp_path)) == []


@pytest.mark.parametrize("seed", ["1", "2"])
def test_the_hash_seed_changes_nothing(seed: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tools.generate", "--check"],
        cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed}, check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_no_generated_file_names_this_machine(texts: dict[str, str]) -> None:
    assert [path for path, text in texts.items() if str(ROOT) in text] == []
