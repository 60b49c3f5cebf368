"""Finding the manual pages and completion scripts that belong to this installation.

They are data files, and where those go differs with the way of installing (venv, pipx, uv,
--user, --prefix); the list of installed files, which every installer writes, knows.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Final

SOURCE_TREE: Final = Path(__file__).resolve().parents[2]


def find_installed(folder: str, name: str, installed_name: str) -> Path | None:
    """A file of ``folder`` in the source tree, or where it was installed; None if nowhere.

    ``installed_name`` is the last part of its path in pyproject.toml, [shared-data].
    """
    source = SOURCE_TREE / folder / name
    if source.exists() and (SOURCE_TREE / "pyproject.toml").exists():
        return source  # an editable installation has copies too, but they may be old
    try:
        listed = files("tcptool") or []
    except PackageNotFoundError:
        return None
    for file in listed:
        path = Path(str(file.locate()))
        if path.as_posix().endswith(f"/share/{installed_name}") and path.exists():
            return path
    return None
