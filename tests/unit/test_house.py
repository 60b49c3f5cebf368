"""Rules of the house that a machine can check over the whole tree."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PYTHON_FILES = [
    ROOT / "dev.py",
    *(
        path
        for folder in ("tcptool", "tests", "tools", "bench")
        for path in sorted((ROOT / folder).rglob("*.py"))
    ),
]

# A lock file or a copied command line easily brings in the address of somebody's mirror.
# In pieces, so that this file does not match.
REGISTRY_HOSTS = re.compile(
    b"|".join(
        re.escape(".".join(parts)).encode()
        for parts in (
            ("pypi", "org"),
            ("pythonhosted", "org"),
            ("anaconda", "org"),
            ("npmjs", "org"),
            ("crates", "io"),
            ("proxy.golang", "org"),
            ("rubygems", "org"),
        )
    )
)
WRONG_LOCKS = {"uv.lock", "pylock.toml", "poetry.lock", "pdm.lock", "Pipfile.lock"}


def files_of_the_project() -> list[Path]:
    """What git tracks, and what it would track after `git add --all`."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    options = ["-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(
        # safe.directory: the tests may run as another user than the one who cloned.
        ["git", "-c", f"safe.directory={ROOT}", "ls-files", *options],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    paths = (ROOT / name.decode() for name in listing.stdout.split(b"\0") if name)
    return [path for path in paths if path.is_file()]


def test_imports_point_downwards() -> None:
    lint_imports = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [lint_imports, "--no-cache"], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_file_names_a_package_registry() -> None:
    assert [
        f"{path.relative_to(ROOT)}: {match[0].decode()}"
        for path in files_of_the_project()
        if (match := REGISTRY_HOSTS.search(path.read_bytes()))
    ] == []


def test_the_only_lock_file_is_the_one_without_addresses() -> None:
    assert [path for path in files_of_the_project() if path.name in WRONG_LOCKS] == []


def test_every_locked_requirement_has_a_hash() -> None:
    text = (ROOT / "requirements-dev.txt").read_text().replace("\\\n", " ")
    requirements = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert requirements
    assert [line for line in requirements if "--hash=sha256:" not in line] == []


@pytest.mark.parametrize("path", PYTHON_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_what_it_is_for(path: Path) -> None:
    module = ast.parse(path.read_bytes())
    if not module.body and not path.is_relative_to(ROOT / "tcptool"):
        return  # an empty __init__.py of a test folder
    assert ast.get_docstring(module)
