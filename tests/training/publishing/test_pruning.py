from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from app.artifacts.models_folder import ModelsFolder
from app.errors import ModelNotFound
from app.store.address import open_store
from app.store.interface import EventStore
from tests.builders import CREATED_AT, publish_small, random_model
from training.publishing.pruning import Pruned, prune_erased


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EventStore]:
    """A store that has erased two users of the model."""
    store = open_store(f"sqlite:///{tmp_path / 'encore.db'}")
    for user in ("u1", "u3", "never known"):
        store.erase(user, 1)
    yield store
    store.close()


@pytest.fixture
def versions(tmp_path: Path) -> list[str]:
    """Two versions with all users; the second is the current one."""
    model = random_model(np.random.default_rng(3), n_users=6, n_items=5)
    later = CREATED_AT + timedelta(days=1)
    return [publish_small(model, tmp_path / "models", created_at=at) for at in (CREATED_AT, later)]


def test_versions_that_hold_erased_users_are_removed_but_for_the_current_one(
    store: EventStore, versions: list[str], tmp_path: Path
) -> None:
    models, (old, new) = tmp_path / "models", versions
    stays = Pruned(new, 2, is_current=True)
    assert prune_erased(models, store, dry_run=True) == [Pruned(old, 2), stays]
    assert ModelsFolder(models).versions() == [old, new]
    assert prune_erased(models, store) == [Pruned(old, 2, removed=True), stays]
    assert ModelsFolder(models).versions() == [new]
    assert not stays.is_clean
    assert stays.to_json() == {"version": new, "erased_users": 2, "removed": False}


def test_a_version_that_cannot_be_read_stays_and_says_why(
    store: EventStore, versions: list[str], tmp_path: Path
) -> None:
    (tmp_path / "models" / versions[0] / "user_ids_data.npy").unlink()
    row, _ = prune_erased(tmp_path / "models", store)
    assert (row.version, row.erased_users, row.removed, row.is_clean) == (
        versions[0],
        None,
        False,
        False,
    )
    assert "user_ids_data.npy" in row.error


def test_nothing_is_removed_while_it_is_unknown_what_is_current(
    store: EventStore, versions: list[str], tmp_path: Path
) -> None:
    (tmp_path / "models" / "current").write_text("nonsense")
    with pytest.raises(ModelNotFound):
        prune_erased(tmp_path / "models", store)
    assert ModelsFolder(tmp_path / "models").versions() == versions
    assert prune_erased(tmp_path / "none", store) == []
