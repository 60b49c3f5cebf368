"""Saved results: whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tcptool.errors import NotFound, NotPermitted, TcptoolError
from tcptool.linux import results


def test_a_file_is_replaced_with_the_usual_permissions(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text("old")
    mask = os.umask(0o027)
    try:
        results.check_writable(str(path))
        assert path.read_text() == "old"
        results.write_whole(str(path), "new\n")
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(mask)
    assert results.read_text(str(path)) == "new\n"
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_file_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    results.check_writable("result.json")
    assert list(tmp_path.iterdir()) == []
    results.write_whole("result.json", "x")
    assert (tmp_path / "result.json").read_text() == "x"


def test_what_cannot_be_written_is_known_before_the_measurement(tmp_path: Path) -> None:
    with pytest.raises(TcptoolError, match="not a regular file"):
        results.check_writable(str(tmp_path))
    with pytest.raises(TcptoolError, match="not a regular file"):
        results.check_writable("/dev/null")
    with pytest.raises(NotFound, match="ENOENT") as caught:
        results.check_writable(str(tmp_path / "no" / "result.json"))
    assert caught.value.hint == "Nothing was measured."
    with pytest.raises(TcptoolError, match="ENOTDIR"):
        results.check_writable("/dev/null/result.json")


def test_an_old_file_survives_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "result.json"
    path.write_text("old")

    def full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, "")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TcptoolError, match="ENOSPC") as caught:
        results.write_whole(str(path), "new")
    assert "as it was" in caught.value.hint
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotFound, match="ENOENT"):
        results.read_text(str(tmp_path / "none"))
    with pytest.raises(TcptoolError, match="EISDIR"):
        results.read_text(str(tmp_path))
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(TcptoolError, match="not text"):
        results.read_text(str(binary))
    monkeypatch.setattr(results, "_MOST_BYTES", 1)
    with pytest.raises(TcptoolError, match="larger than"):
        results.read_text(str(binary))


def test_a_folder_that_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise PermissionError(errno.EACCES, "")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(NotPermitted, match="EACCES"):
        results.check_writable(str(tmp_path / "x"))
