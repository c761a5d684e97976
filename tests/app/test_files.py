from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.files import replacing


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "results"
    path.write_text("the one before")
    path.chmod(0o644)
    return path


def test_a_file_is_replaced_when_it_is_whole(path: Path) -> None:
    with replacing(path) as partial:
        assert partial.parent == path.parent
        assert partial.read_bytes() == b""
        partial.write_text("new")
        assert path.read_text() == "the one before"
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_leaves_the_former_file(path: Path) -> None:
    def fail() -> None:
        with replacing(path) as partial:
            partial.write_text("half")
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        fail()
    assert path.read_text() == "the one before"
    assert list(path.parent.iterdir()) == [path]


def test_two_do_not_write_the_same_file(path: Path) -> None:
    with replacing(path) as partial:
        partial.write_text("first")
        with pytest.raises(BlockingIOError, match="another process is writing it") as caught:
            replacing(path).__enter__()
        assert caught.value.filename == str(path)
        assert partial.read_text() == "first"
    assert path.read_text() == "first"


def test_a_lock_on_a_removed_file_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.open

    def open_and_lose(file: Path, flags: int, mode: int = 0o777) -> int:
        descriptor = whole(file, flags, mode)
        file.unlink()  # as the process that held the lock before does in the end
        return descriptor

    monkeypatch.setattr("app.files.os.open", open_and_lose)
    with pytest.raises(BlockingIOError):
        replacing(path).__enter__()
    assert path.read_text() == "the one before"


def test_the_file_of_a_killed_process_is_overwritten(path: Path) -> None:
    leftover = path.with_name(".results.part")
    leftover.write_text("a long text that somebody began")
    leftover.chmod(0o644)
    with replacing(path) as partial:
        assert partial == leftover
        partial.write_text("new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_link_is_not_followed(path: Path) -> None:
    other = path.with_name("other")
    other.write_text("precious")
    path.with_name(".results.part").symlink_to(other)
    with pytest.raises(OSError, match="symbolic links"):
        replacing(path).__enter__()
    assert other.read_text() == "precious"


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        replacing(tmp_path / "none" / "results").__enter__()
    assert "none" in str(caught.value.filename)
