from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from app.artifacts.format import arrays_of
from app.artifacts.reading import open_model
from app.recommend.query import Strategy
from tests.builders import PARAMETERS, random_plays
from training.engines.engine import Engine, Recipe, Source
from training.engines.in_memory import InMemory
from training.errors import DatasetError
from training.fitting.hyperparameters import Parameters
from training.fitting.implicit_als import ImplicitAls
from training.fitting.trainer import Watch
from training.measuring.evaluation import Contender
from training.measuring.experiment import Plan
from training.presets import DEFAULT
from training.progress import Unobserved
from training.publishing.publish import publish

PRESET = replace(DEFAULT, parameters=PARAMETERS, contenders={"als": Contender(Strategy.AUTO)})


class Counting:
    """Trains with implicit, and counts how often."""

    def __init__(self) -> None:
        self.trainings = 0

    def train(
        self,
        confidence: sparse.csr_matrix[np.float32],
        parameters: Parameters,
        *,
        watch: Watch | None = None,
    ) -> NDArray[np.float32]:
        self.trainings += 1
        return ImplicitAls(threads=1).train(confidence, parameters, watch=watch)


@pytest.fixture
def source(tmp_path: Path, rng: np.random.Generator) -> Source:
    """A table of plays of 30 users and 40 artists."""
    plays = random_plays(rng)
    rows = [f"u{user},i{item},{plays[user, item]}" for user, item in np.argwhere(plays)]
    path = tmp_path / "plays.csv"
    path.write_text("\n".join(["user_id,item_id,plays", *rows]))
    return Source("table", path)


@pytest.mark.slow
def test_a_source_and_a_recipe_become_what_is_published(source: Source, tmp_path: Path) -> None:
    engine: Engine = InMemory()
    loaded = engine.read(source, PRESET, Unobserved())
    assert (loaded.provenance.users, loaded.provenance.artists) == (30, 40)
    recipe = Recipe(PRESET, plan=Plan(k=5), list_length=7, event_unit=2.0)
    built = loaded.build(recipe, Unobserved())
    assert built.card["dataset"] == loaded.provenance.to_manifest()
    assert built.figures is not None
    assert built.measured == built.figures.to_json()
    assert (built.convergence, built.report) == (None, None)
    models = tmp_path / "models"
    published = publish(built.model, models, card=built.card, report=built.report)
    opened = open_model(models / published.version)
    assert opened.card["metrics"]["measured_on"].startswith("a split of the same data")
    assert opened.event_units[0].multiple == 2.0
    for name, array in arrays_of(built.model).items():
        assert arrays_of(opened)[name].tobytes() == array.tobytes(), name


@pytest.mark.slow
def test_what_is_measured_is_made_by_the_trainer_that_trains(source: Source) -> None:
    trainer = Counting()
    loaded = InMemory(trainer).read(source, PRESET, Unobserved())
    loaded.build(Recipe(PRESET, list_length=0), Unobserved())
    assert trainer.trainings == 1
    built = loaded.build(Recipe(PRESET, plan=Plan(k=5, patience=2)), Unobserved())
    assert trainer.trainings == 1 + 3  # the curve, the split, everything
    assert built.convergence is not None
    assert built.preset.parameters.iterations == built.convergence.iterations


def test_a_source_without_dataset_and_events_is_refused() -> None:
    with pytest.raises(DatasetError, match="a dataset, an event store or both"):
        InMemory().read(Source(), PRESET, Unobserved())
