"""Where a user's profiles are looked for, and what is read there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tcptool.errors import NotFound, TcptoolError, UsageError
from tcptool.linux.profiles import profile_files, profile_folder, read_profile


@pytest.mark.parametrize("variable", ["", "relative/path"])
def test_a_variable_that_is_not_absolute_is_ignored(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", variable)
    assert profile_folder() == tmp_path / ".config/tcptool/profiles"


def test_the_files_of_the_folder_come_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert profile_files() == []
    folder = tmp_path / "tcptool/profiles"
    folder.mkdir(parents=True)
    for name in ("b.toml", "a.toml", "a.toml~", "README"):
        (folder / name).touch()
    assert profile_files() == [folder / "a.toml", folder / "b.toml"]


def test_a_folder_that_is_none_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "tcptool").mkdir()
    (tmp_path / "tcptool/profiles").touch()
    with pytest.raises(TcptoolError, match="ENOTDIR"):
        profile_files()


def test_no_more_is_read_than_the_limit_and_one_byte(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(b"x" * 100)
    assert read_profile(tmp_path / "a.toml", 10) == b"x" * 11
    (tmp_path / "link.toml").symlink_to(tmp_path / "a.toml")
    assert read_profile(tmp_path / "link.toml", 1000) == b"x" * 100


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    for path in (tmp_path / "pipe.toml", Path("/dev/zero")):
        with pytest.raises(UsageError, match="not a regular file"):
            read_profile(path, 10)
    with pytest.raises(TcptoolError, match="EISDIR"):
        read_profile(tmp_path, 10)
    with pytest.raises(NotFound, match="ENOENT"):
        read_profile(tmp_path / "gone.toml", 10)
