"""Profiles of the user: where they are, and their bytes.  What they mean is for ``sansio``.

The folder is ``$XDG_CONFIG_HOME/tcptool/profiles``; a relative value of the variable is ignored,
as the XDG Base Directory Specification asks.  Nothing here writes.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from tcptool.errors import UsageError, from_oserror

SUFFIX: Final = ".toml"


def profile_folder() -> Path:
    """Where the user's profiles are; it need not exist."""
    configured = os.environ.get("XDG_CONFIG_HOME", "")
    home = configured if os.path.isabs(configured) else os.path.expanduser("~/.config")
    return Path(home, "tcptool", "profiles")


def profile_files() -> list[Path]:
    """Every profile in the folder, by name; none if there is no folder.  Raises TcptoolError."""
    folder = profile_folder()
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == SUFFIX)
    except FileNotFoundError:
        return []
    except OSError as exc:
        raise from_oserror(f"looking for profiles in {folder}", exc) from exc


def read_profile(path: Path, limit_bytes: int) -> bytes:
    """The bytes of a profile, at most one more than the limit.

    Raises TcptoolError, also for what is not a regular file: a pipe may never end.
    """
    doing = f"reading profile {path}"
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UsageError(doing, "it is not a regular file", "Give the path of a file.")
            return file.read(limit_bytes + 1)
    except OSError as exc:
        raise from_oserror(doing, exc) from exc


def _without_waiting(path: str, flags: int) -> int:
    """Open a file; a pipe without a writer would keep open() waiting."""
    return os.open(path, flags | os.O_NONBLOCK)
