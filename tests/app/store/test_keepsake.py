from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from app.files import replacing
from app.store.keepsake import Keepsake, StoreKnowledge
from tests.leftovers import assert_nothing_is_left

ADDRESS = "postgresql://encore:secret@db/encore"
KNOWLEDGE = StoreKnowledge(frozenset([7, 2**32 - 1]), 3, ("a", "🎸\n"))


def keepsake(folder: Path, address: str = ADDRESS) -> Keepsake:
    return Keepsake(address, folder)


def only_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_saved_knowledge_is_loaded_by_the_next_keepsake(tmp_path: Path) -> None:
    assert keepsake(tmp_path).load() == StoreKnowledge()
    assert keepsake(tmp_path).save(KNOWLEDGE)
    assert keepsake(tmp_path).load() == KNOWLEDGE
    assert keepsake(tmp_path, "postgresql://db/another").load() == StoreKnowledge()
    path = only_file(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert "secret" not in path.name + path.read_text()


def test_nothing_is_written_until_something_changes(tmp_path: Path) -> None:
    first = keepsake(tmp_path)
    assert first.save(StoreKnowledge())
    assert list(tmp_path.iterdir()) == []
    first.save(KNOWLEDGE)
    path = only_file(tmp_path)
    written = path.stat().st_ino
    second = keepsake(tmp_path)
    second.load()
    assert first.save(KNOWLEDGE)
    assert second.save(KNOWLEDGE)
    assert path.stat().st_ino == written
    second.save(StoreKnowledge())
    assert keepsake(tmp_path).load() == StoreKnowledge()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"erased": 3, "assortment_version": 1, "unavailable": []}',
        '{"erased": ["x"], "assortment_version": 1, "unavailable": []}',
        '{"erased": [], "assortment_version": null, "unavailable": []}',
    ],
)
def test_a_damaged_file_is_logged_and_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    keepsake(tmp_path).save(KNOWLEDGE)
    path = only_file(tmp_path)
    path.write_text(content)
    assert keepsake(tmp_path).load() == StoreKnowledge()
    assert f"{path} is not used" in caplog.text
    damaged = keepsake(tmp_path)
    damaged.load()
    damaged.save(KNOWLEDGE)
    assert keepsake(tmp_path).load() == KNOWLEDGE


def test_a_link_is_not_followed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keepsake(tmp_path).save(KNOWLEDGE)
    path = only_file(tmp_path)
    elsewhere = path.rename(tmp_path / "elsewhere")
    path.symlink_to(elsewhere)
    assert keepsake(tmp_path).load() == StoreKnowledge()
    assert "is not used" in caplog.text


@pytest.mark.slow
def test_a_folder_in_its_place_is_told_and_leaves_nothing_open(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # Was wrong: a folder can be opened, and each load left its descriptor.
    keepsake(tmp_path).save(KNOWLEDGE)
    path = only_file(tmp_path)
    path.unlink()
    path.mkdir()
    assert_nothing_is_left(lambda: keepsake(tmp_path).load())
    assert f"{path} is not used: [Errno 21] Is a directory" in caplog.text


def test_a_folder_that_is_missing_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    one = keepsake(tmp_path / "none")
    assert one.load() == StoreKnowledge()
    assert one.save(KNOWLEDGE)
    assert one.save(KNOWLEDGE)
    assert caplog.text.count("cannot be written: No such file or directory") == 1


def test_where_another_worker_writes_it_is_tried_again(tmp_path: Path) -> None:
    one = keepsake(tmp_path)
    one.save(StoreKnowledge(frozenset([1])))
    with replacing(only_file(tmp_path)) as partial:
        assert not one.save(KNOWLEDGE)
        partial.write_text("{}")
    assert one.save(KNOWLEDGE)
    assert keepsake(tmp_path).load() == KNOWLEDGE


def test_by_default_it_is_in_shared_memory() -> None:
    path = Keepsake("sqlite:///somewhere/that/is/no/other.db")._path
    assert path.name.startswith(f"encore-{os.getuid()}-")
    assert str(path.parent) in ("/dev/shm", os.environ.get("TMPDIR", "/tmp"))  # noqa: S108


def test_a_file_that_somebody_removed_is_written_again(tmp_path: Path) -> None:
    # Was wrong: after a log-out had emptied shared memory, a service without its store knew nobody.
    first = keepsake(tmp_path)
    first.save(KNOWLEDGE)
    assert first.is_there()
    only_file(tmp_path).unlink()
    assert not first.is_there()
    first.save(KNOWLEDGE)
    assert keepsake(tmp_path).load() == KNOWLEDGE


def test_a_folder_that_cannot_be_written_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gone = keepsake(tmp_path / "none")
    for _ in range(3):
        assert gone.save(KNOWLEDGE)
    assert caplog.text.count("cannot be written") == 1
