"""Write every generated file anew, or with ``--check`` say which are not up to date."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from tools import completions, man, man_tables, schemas

ROOT = Path(__file__).resolve().parent.parent
GENERATORS = {
    "completions": completions.files,
    "man/man1": man.files,
    "man/man7": man_tables.files,
    "tcptool/schemas": schemas.files,
}
"""Folder, which holds nothing else, and the function that says what belongs into it."""


def wanted() -> dict[str, str]:
    """The text of every generated file, by its path in the tree."""
    return {
        f"{folder}/{name}": text
        for folder, files in GENERATORS.items()
        for name, text in files().items()
    }


def differences(texts: dict[str, str], root: Path = ROOT) -> Iterator[tuple[str, str]]:
    """(what is wrong, path) of every file that is not as it should be."""
    for path, text in texts.items():
        file = root / path
        if not file.exists():
            yield "missing", path
        elif file.read_bytes() != text.encode():
            yield "stale", path
    for folder in GENERATORS:
        for file in sorted((root / folder).glob("*")):
            path = f"{folder}/{file.name}"
            if path not in texts:
                yield "superfluous", path


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Exit status: 1 if ``--check`` found something."""
    parser = argparse.ArgumentParser(prog="python -m tools.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if not up to date")
    check = parser.parse_args(arguments).check
    texts = wanted()
    found = list(differences(texts, root))
    for what, path in found:
        if check:
            print(f"{path} is {what}: run `python -m tools.generate`", file=sys.stderr)
        elif what == "superfluous":
            (root / path).unlink()
        else:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(texts[path].encode())
    return 1 if check and found else 0


if __name__ == "__main__":
    sys.exit(main())
