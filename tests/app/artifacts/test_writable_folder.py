from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from app.artifacts.format import MANIFEST
from app.artifacts.models_folder import ModelsFolder
from app.artifacts.writable_folder import Workspace, WritableModelsFolder
from app.errors import ModelNotFound
from app.model.model import Model
from tests.builders import CREATED_AT, card_of, random_model

OLD, NEW = "20261123T150405Z-3f9c2a1b", "20261124T000000Z-00000000"


def make_version(models: Path, version: str) -> None:
    (models / version).mkdir(parents=True)
    (models / version / MANIFEST).write_text("{}")


def test_the_pointer_moves_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    make_version(tmp_path, OLD)
    make_version(tmp_path, NEW)
    for version in (OLD, NEW, OLD, OLD):
        WritableModelsFolder(tmp_path).set_current(version)
        assert ModelsFolder(tmp_path).current() == version
        assert (tmp_path / "current").read_text() == f"{version}\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == [OLD, NEW, "current"]


@pytest.mark.parametrize("version", [NEW, "", "..", "current", "../models"])
def test_the_pointer_refuses_a_version_that_is_not_there(tmp_path: Path, version: str) -> None:
    make_version(tmp_path, OLD)
    WritableModelsFolder(tmp_path).set_current(OLD)
    with pytest.raises(ModelNotFound, match="there is no version"):
        WritableModelsFolder(tmp_path).set_current(version)
    assert ModelsFolder(tmp_path).current() == OLD


def test_threads_that_move_the_pointer_at_once_never_show_a_torn_one(tmp_path: Path) -> None:
    # Was wrong: all threads of a process, and process 1 of all containers, shared one temporary
    # file; a pointer could come out empty, or its rename fail.
    make_version(tmp_path, OLD)
    make_version(tmp_path, NEW)
    WritableModelsFolder(tmp_path).set_current(OLD)
    failures: list[Exception] = []

    def move(version: str) -> None:
        try:
            for _ in range(40):
                WritableModelsFolder(tmp_path).set_current(version)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=move, args=(one,)) for one in (OLD, NEW, OLD, NEW)]
    for thread in threads:
        thread.start()
    seen = set()
    while any(thread.is_alive() for thread in threads):
        seen.add(ModelsFolder(tmp_path).current())
    for thread in threads:
        thread.join()
    assert failures == []
    assert seen <= {OLD, NEW}
    assert sorted(path.name for path in tmp_path.iterdir()) == [OLD, NEW, "current"]


@pytest.fixture(scope="module")
def model() -> Model:
    return random_model(np.random.default_rng(11), n_users=6, n_items=5, list_length=2)


def write(workspace: Workspace, model: Model) -> str:
    return workspace.write(model, card=card_of(model), report=None, created_at=CREATED_AT)


def test_a_written_model_is_not_a_version_before_it_is_published(
    model: Model, tmp_path: Path
) -> None:
    folder = WritableModelsFolder(tmp_path / "models")
    folder.make()
    with folder.lock() as workspace:
        version = write(workspace, model)
        assert folder.versions() == []
        workspace.publish(version, make_current=False)
        assert (folder.versions(), folder.current()) == ([version], None)
    assert folder.open(version).user_factors.tobytes() == model.user_factors.tobytes()
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


def test_a_written_model_that_is_not_published_leaves_nothing(model: Model, tmp_path: Path) -> None:
    folder = WritableModelsFolder(tmp_path / "models")
    folder.make()
    with folder.lock() as workspace:
        write(workspace, model)
    assert folder.versions() == []
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


def test_a_removed_version_is_gone_and_one_that_has_it_open_goes_on(
    model: Model, tmp_path: Path
) -> None:
    folder = WritableModelsFolder(tmp_path / "models")
    folder.make()
    with folder.lock() as workspace:
        version = write(workspace, model)
        workspace.publish(version, make_current=True)
        opened = folder.open(version)
        workspace.remove(version)
    assert folder.versions() == []
    assert opened.user_factors.tobytes() == model.user_factors.tobytes()
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


def test_a_folder_that_is_missing_cannot_be_locked(tmp_path: Path) -> None:
    with (
        pytest.raises(FileNotFoundError),
        WritableModelsFolder(tmp_path / "missing").lock(),
    ):
        pass
