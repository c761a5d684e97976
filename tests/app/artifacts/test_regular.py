from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from app.artifacts.regular import is_real_folder, open_regular, read_at_most


def bind(path: Path) -> None:
    before = Path.cwd()
    os.chdir(path.parent)  # the name of a socket may not be long
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path.name)
    finally:
        os.chdir(before)


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda path: path.mkdir(), "a folder"),
        (os.mkfifo, "a FIFO"),
        (bind, "a socket"),
        (lambda path: path.symlink_to("/dev/zero"), "a symbolic link"),
        (lambda path: path.symlink_to("nowhere"), "a symbolic link"),
        (lambda path: path.symlink_to(path), "a symbolic link"),
    ],
)
def test_what_is_no_regular_file_is_refused_at_once(
    tmp_path: Path, make: Callable[[Path], None], found: str
) -> None:
    make(tmp_path / "file")
    with pytest.raises(OSError, match=found) as caught:
        open_regular(tmp_path / "file")
    assert caught.value.strerror == found


def test_devices_are_refused_unopened() -> None:
    with pytest.raises(OSError, match="a device"):
        open_regular(Path("/dev/zero"))


def test_a_regular_file_is_read_up_to_a_limit_below_folders_that_are_links(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    (tmp_path / "folder" / "file").write_text("content")
    assert read_at_most(tmp_path / "link" / "file", 3) == b"cont"
    assert read_at_most(tmp_path / "link" / "file", 30) == b"content"
    assert is_real_folder(tmp_path / "folder")
    assert not is_real_folder(tmp_path / "link")
    assert not is_real_folder(tmp_path / "folder" / "file")
    assert not is_real_folder(tmp_path / "missing")
