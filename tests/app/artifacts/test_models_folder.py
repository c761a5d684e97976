from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from app.artifacts.format import MANIFEST
from app.artifacts.models_folder import ModelsFolder
from app.artifacts.pointer import is_version
from app.artifacts.writable_folder import WritableModelsFolder
from app.errors import InvalidArtifact, ModelNotFound
from tests.builders import card_of, random_model
from training.publishing.publish import publish

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
    assert ModelsFolder(tmp_path).versions() == [OLD, NEW]


def test_a_missing_folder_has_no_versions_and_no_pointer(tmp_path: Path) -> None:
    assert ModelsFolder(tmp_path / "missing").versions() == []
    assert ModelsFolder(tmp_path / "missing").current() is None
    assert ModelsFolder(tmp_path).current() is None


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"latest", b"../../etc", b"\xff\xfe\0", f"{OLD} {NEW}".encode()]
)
def test_garbage_in_the_pointer_is_refused_and_quoted(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "current").write_bytes(content)
    with pytest.raises(ModelNotFound, match=r"current: expected one version such as 2026"):
        ModelsFolder(tmp_path).current()


def test_a_huge_pointer_is_refused_with_a_short_message(tmp_path: Path) -> None:
    (tmp_path / "current").write_text("x" * 10**6)
    with pytest.raises(ModelNotFound) as caught:
        ModelsFolder(tmp_path).current()
    assert len(str(caught.value)) < 600


def test_a_pointer_that_cannot_be_read_is_refused_as_no_pointer(tmp_path: Path) -> None:
    # Was wrong: raised IsADirectoryError.
    (tmp_path / "current").mkdir()
    with pytest.raises(ModelNotFound, match=r"current: expected a readable file, found: a folder"):
        ModelsFolder(tmp_path).current()


def test_a_pointer_may_have_blanks_around_it(tmp_path: Path) -> None:
    (tmp_path / "current").write_text(f"  {OLD}\r\n")
    assert ModelsFolder(tmp_path).current() == OLD


def test_a_version_is_found_by_its_name_or_as_the_current_one(tmp_path: Path) -> None:
    folder = ModelsFolder(tmp_path)
    with pytest.raises(ModelNotFound, match="there is no model in"):
        folder.find()
    make_version(tmp_path, OLD)
    make_version(tmp_path, NEW)
    (tmp_path / "current").write_text(OLD)
    assert (folder.find(), folder.find(NEW)) == (OLD, NEW)
    with pytest.raises(ModelNotFound, match=r"there is no version '../x'"):
        folder.find("../x")
    (tmp_path / NEW / MANIFEST).unlink()
    with pytest.raises(ModelNotFound, match=f"there is no version '{NEW}'"):
        folder.find(NEW)


def test_the_shell_points_at_a_version_with_the_words_that_it_is_told(tmp_path: Path) -> None:
    folder = ModelsFolder(tmp_path / "it's a folder")
    make_version(folder.path, NEW)
    subprocess.run(["sh", "-c", folder.pointing_command(NEW)], check=True)
    assert folder.current() == NEW
    assert sorted(path.name for path in folder.path.iterdir()) == [NEW, "current"]


def test_links_inside_the_folder_are_followed_as_a_kubernetes_volume_needs_it(
    tmp_path: Path,
) -> None:
    data = tmp_path / "..2026_11_24"
    model = random_model(np.random.default_rng(7), n_users=6, n_items=5)
    version = publish(model, data, card=card_of(model)).version
    (tmp_path / "..data").symlink_to(data.name)
    for name in (version, "current"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    folder = ModelsFolder(tmp_path)
    assert folder.current() == version
    folder.verify(version)
    before = folder.footprint(version)
    (data / version / "user_factors.npy").write_bytes(b"")
    assert before.shrunk(folder.footprint(version)) == ["user_factors.npy"]
    with (
        pytest.raises(OSError, match="remove it and what it leads to"),
        WritableModelsFolder(tmp_path).lock() as workspace,
    ):
        workspace.remove(version)
    assert (data / version).is_dir()


def test_a_published_model_is_read_without_a_path(tmp_path: Path) -> None:
    model = random_model(np.random.default_rng(7), n_users=6, n_items=5)
    version = publish(model, tmp_path, card=card_of(model), report="<p>").version
    folder = ModelsFolder(tmp_path)
    for opened in (folder.open(version), folder.open_current()):
        assert opened.user_factors.tobytes() == model.user_factors.tobytes()
    folder.verify(version)
    assert folder.manifest(version)["dataset"] == {"name": "test"}
    assert folder.report(version) == b"<p>"
    assert folder.report_place(version).read_bytes() == b"<p>"
    folder.report_place(version).unlink()
    folder.verify(version, with_report=False)
    with pytest.raises(InvalidArtifact, match=r"report\.html"):
        folder.verify(version)
