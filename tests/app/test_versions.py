from __future__ import annotations

import threading
from pathlib import Path

import pytest

from app.artifact import MANIFEST
from app.errors import ModelNotFound
from app.versions import current_version, is_version, list_versions, set_current_version

OLD, NEW = "20261123T150405Z-3f9c2a1b", "20261124T000000Z-00000000"


def make_version(models: Path, version: str) -> None:
    (models / version).mkdir(parents=True)
    (models / version / MANIFEST).write_text("{}")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "current",
        f"{OLD} ",
        f"{OLD}\n",
        f"../{OLD}",
        OLD.upper(),
        OLD[:-1],
        OLD.replace("T", "t"),
        "\u0662" + OLD[1:],  # was taken: digits of any script matched
    ],
)
def test_only_time_and_hash_make_a_version(name: str) -> None:
    assert is_version(OLD)
    assert not is_version(name)


def test_versions_are_listed_oldest_first_without_anything_half_made(tmp_path: Path) -> None:
    make_version(tmp_path, NEW)
    make_version(tmp_path, OLD)
    make_version(tmp_path, ".building-1")
    (tmp_path / "20261125T000000Z-00000000").mkdir()  # no manifest
    (tmp_path / "20261126T000000Z-00000000").write_text("a file")
    (tmp_path / "README.md").write_text("")
    assert list_versions(tmp_path) == [OLD, NEW]


def test_there_are_no_versions_and_no_pointer_where_there_is_no_folder(tmp_path: Path) -> None:
    assert list_versions(tmp_path / "missing") == []
    assert current_version(tmp_path / "missing") is None
    assert current_version(tmp_path) is None


def test_the_pointer_moves_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    make_version(tmp_path, OLD)
    make_version(tmp_path, NEW)
    for version in (OLD, NEW, OLD, OLD):
        set_current_version(tmp_path, version)
        assert current_version(tmp_path) == version
        assert (tmp_path / "current").read_text() == f"{version}\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == [OLD, NEW, "current"]


@pytest.mark.parametrize("version", [NEW, "", "..", "current", "../models"])
def test_the_pointer_refuses_a_version_that_is_not_there(tmp_path: Path, version: str) -> None:
    make_version(tmp_path, OLD)
    set_current_version(tmp_path, OLD)
    with pytest.raises(ModelNotFound, match="there is no version"):
        set_current_version(tmp_path, version)
    assert current_version(tmp_path) == OLD


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"latest", b"../../etc", b"\xff\xfe\0", f"{OLD} {NEW}".encode()]
)
def test_garbage_in_the_pointer_is_refused_with_what_it_says(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "current").write_bytes(content)
    with pytest.raises(ModelNotFound, match=r"current: expected one version such as 2026"):
        current_version(tmp_path)


def test_a_huge_pointer_is_refused_with_a_short_message(tmp_path: Path) -> None:
    (tmp_path / "current").write_text("x" * 10**6)
    with pytest.raises(ModelNotFound) as caught:
        current_version(tmp_path)
    assert len(str(caught.value)) < 600


def test_a_pointer_that_cannot_be_read_is_refused_as_no_pointer(tmp_path: Path) -> None:
    # Was wrong: raised IsADirectoryError.
    (tmp_path / "current").mkdir()
    with pytest.raises(ModelNotFound, match=r"current: expected a readable file, found: Is a dir"):
        current_version(tmp_path)


def test_a_pointer_may_have_blanks_around_it(tmp_path: Path) -> None:
    (tmp_path / "current").write_text(f"  {OLD}\r\n")
    assert current_version(tmp_path) == OLD


def test_threads_that_move_the_pointer_at_once_never_show_a_torn_one(tmp_path: Path) -> None:
    # Was wrong: all threads of a process, and process 1 of all containers, shared one temporary
    # file; a pointer could come out empty, or its rename fail.
    make_version(tmp_path, OLD)
    make_version(tmp_path, NEW)
    set_current_version(tmp_path, OLD)
    failures: list[Exception] = []

    def move(version: str) -> None:
        try:
            for _ in range(40):
                set_current_version(tmp_path, version)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=move, args=(one,)) for one in (OLD, NEW, OLD, NEW)]
    for thread in threads:
        thread.start()
    seen = set()
    while any(thread.is_alive() for thread in threads):
        seen.add(current_version(tmp_path))
    for thread in threads:
        thread.join()
    assert failures == []
    assert seen <= {OLD, NEW}
    assert sorted(path.name for path in tmp_path.iterdir()) == [OLD, NEW, "current"]
