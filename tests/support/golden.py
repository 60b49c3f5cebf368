"""Golden files: committed output that a test compares with, byte for byte.

`pytest --update-golden` writes them anew.  Read the change as a user would before committing it.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Protocol

import pytest

GOLDEN = Path(__file__).parent.parent / "golden"


class Golden(Protocol):
    """Type of the ``golden`` fixture."""

    def __call__(self, name: str, text: str) -> None: ...


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write tests/golden anew instead of comparing"
    )


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """``golden(name, text)`` fails unless tests/golden/NAME holds exactly ``text``."""

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())
            return
        if not path.exists():
            pytest.fail(f"no tests/golden/{name}: run pytest --update-golden", pytrace=False)
        # Bytes: reading as text would hide a carriage return.
        expected = path.read_bytes().decode()
        if text != expected:
            pytest.fail(f"output differs:\n{_diff(name, expected, text)}", pytrace=False)

    return compare


def _diff(name: str, expected: str, actual: str) -> str:
    lines = difflib.unified_diff(
        _visible(expected).splitlines(keepends=True),
        _visible(actual).splitlines(keepends=True),
        f"tests/golden/{name}",
        "actual output",
    )
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )


def _visible(text: str) -> str:
    """Control characters as escapes: a terminal would obey them or show nothing."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", lambda match: repr(match[0])[1:-1], text)
