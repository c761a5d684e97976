from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from app.artifacts.regular import open_regular, read_at_most


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
        (lambda path: path.symlink_to("/dev/zero"), "a link that leaves the models folder"),
        (lambda path: path.symlink_to("../elsewhere"), "a link that leaves the models folder"),
        (lambda path: path.symlink_to("nowhere"), "a link to nothing"),
        (lambda path: path.symlink_to(path), "a link to nothing"),
    ],
)
def test_what_is_no_regular_file_is_refused_at_once(
    tmp_path: Path, make: Callable[[Path], None], found: str
) -> None:
    make(tmp_path / "file")
    with pytest.raises(OSError, match=found) as caught:
        open_regular(tmp_path / "file", tmp_path)
    assert caught.value.strerror == found


def test_devices_are_refused_unopened() -> None:
    with pytest.raises(OSError, match="a device"):
        open_regular(Path("/dev/zero"), Path("/dev"))


def test_a_regular_file_is_read_up_to_a_limit(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    assert read_at_most(tmp_path / "file", 3, tmp_path) == b"cont"
    assert read_at_most(tmp_path / "file", 30, tmp_path) == b"content"


def test_links_are_followed_inside_the_folder_only(tmp_path: Path) -> None:
    models, elsewhere = tmp_path / "models", tmp_path / "elsewhere"
    for folder in (models / "data", elsewhere):
        folder.mkdir(parents=True)
        (folder / "file").write_text("content")
    (models / "link").symlink_to("data")
    (models / "file").symlink_to("link/file")
    (models / "out").symlink_to("../elsewhere")
    (tmp_path / "linked").symlink_to("models")
    for within in (models, tmp_path / "linked"):
        assert read_at_most(within / "link" / "file", 30, within) == b"content"
        assert read_at_most(within / "file", 30, within) == b"content"
        with pytest.raises(OSError, match="a link that leaves the models folder"):
            open_regular(within / "out" / "file", within)
