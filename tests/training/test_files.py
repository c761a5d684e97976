from __future__ import annotations

import json
from pathlib import Path

import pytest

from training.errors import TrainingError, WriteError
from training.files import check_place, write_json, write_text


def test_a_place_in_a_folder_that_is_there_will_do(tmp_path: Path) -> None:
    check_place(tmp_path / "new.txt")
    (tmp_path / "old.txt").write_text("old")
    check_place(tmp_path / "old.txt")
    check_place(Path("new.txt"))


def test_a_place_that_cannot_be_is_refused_before_work_is_done(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="nowhere: there is no such folder; make it first"):
        check_place(tmp_path / "nowhere" / "new.txt")
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="file: there is no such folder"):
        check_place(tmp_path / "file" / "new.txt")
    with pytest.raises(TrainingError, match="is a folder; name a file in it"):
        check_place(tmp_path)


def test_a_written_file_replaces_the_old_one_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    write_text(path, "a longer first text\n")
    write_text(path, "Sigur Rós\n")
    assert path.read_bytes() == "Sigur Rós\n".encode()
    assert [one.name for one in tmp_path.iterdir()] == ["out.txt"]


def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_text("old")
    (tmp_path / ".out.txt.part").mkdir()  # in the way
    with pytest.raises(WriteError, match=r"out\.txt cannot be written: Is a directory"):
        write_text(path, "new")
    assert path.read_text() == "old"


def test_a_text_that_is_no_text_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "out.txt", "\ud800")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_is_named(tmp_path: Path) -> None:
    part = tmp_path / ".out.txt.part"
    part.symlink_to("/dev/full")
    with pytest.raises(WriteError, match="No space left on device"):
        write_text(tmp_path / "out.txt", "x" * 100)
    assert list(tmp_path.iterdir()) == []


def test_json_is_for_people_and_holds_numbers_only(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    write_json(path, {"name": "Sigur Rós", "k": 10})
    assert path.read_text() == '{\n  "name": "Sigur Rós",\n  "k": 10\n}\n'
    assert json.loads(path.read_text()) == {"name": "Sigur Rós", "k": 10}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"ndcg": float("nan")})
    assert json.loads(path.read_text())["k"] == 10
