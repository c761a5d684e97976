"""Damaged models of every kind: none is taken for a good one, none blocks or fails otherwise."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from app.artifacts.models_folder import ModelsFolder
from app.errors import InvalidArtifact, ModelNotFound
from benchmarks.damages import BEFORE, MISSING, POINTER, SECRET, SERVED, remove
from tests.builders import publish_small, random_model, with_linear

MODELS = 25


@pytest.fixture(scope="module", params=["als", "als and linear"])
def intact(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A models folder with one version."""
    models = tmp_path_factory.mktemp("intact")
    model = random_model(np.random.default_rng(1), n_users=12, n_items=9, list_length=4)
    if request.param == "als and linear":
        model = with_linear(model, list_length=4)
    publish_small(model, models)
    return models


def check(models: Path, version: str) -> None:
    folder = ModelsFolder(models)
    folder.open(version)
    folder.verify(version)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*BEFORE, *SERVED])
def test_a_damaged_model_is_refused_in_one_sentence(
    intact: Path, tmp_path: Path, kind: str
) -> None:
    damage = {**BEFORE, **SERVED}[kind]
    version = ModelsFolder(intact).find()
    for seed in range(MODELS if kind != "linked folder" else 1):
        models = tmp_path / str(seed) / "models"
        shutil.copytree(intact, models)
        damaged = damage(models, version, np.random.default_rng(seed))
        with pytest.raises(InvalidArtifact) as caught:
            check(models, damaged)
        assert SECRET not in str(caught.value)
        assert str(caught.value).isprintable(), seed
        assert len(str(caught.value)) < 1000, seed
        shutil.rmtree(models.parent)


def current_of(models: Path) -> str:
    """Returns the current version, or why there is none."""
    try:
        return str(ModelsFolder(models).current())
    except ModelNotFound as error:
        return str(error)


def test_a_damaged_pointer_is_refused_and_not_quoted(intact: Path, tmp_path: Path) -> None:
    models = tmp_path / "here" / "models"
    shutil.copytree(intact, models)
    version = ModelsFolder(intact).find()
    (damage,) = POINTER.values()
    for seed in range(3 * MODELS):
        damage(models, version, np.random.default_rng(seed))
        found = current_of(models)
        assert found == MISSING or found.startswith(f"{models / 'current'}: expected ")
        assert SECRET not in found
        assert found.isprintable()
        remove(models / "current")
