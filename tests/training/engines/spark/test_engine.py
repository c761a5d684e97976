"""The engine in a real Spark, beside the one in memory; in one test, so that Spark starts once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.artifacts.format import arrays_of
from app.artifacts.reading import open_model
from app.model.model import Model
from tests.builders import random_plays
from training.engines.engine import Built, Loaded, Recipe, Source
from training.engines.in_memory import InMemory
from training.engines.spark.engine import InSpark
from training.engines.spark.settings import SparkSettings
from training.errors import DatasetError, TrainingError
from training.measuring.contenders import named
from training.measuring.experiment import Plan
from training.presets import DEFAULT, Preset, changed
from training.progress import Unobserved
from training.publishing.publish import publish

pytestmark = pytest.mark.slow

SETTINGS = SparkSettings(
    "local[2]",
    {
        "spark.driver.memory": "1g",
        "spark.sql.shuffle.partitions": "2",
        "spark.ui.enabled": "false",
    },
)
PRESET = replace(
    changed(
        replace(DEFAULT, variants=()),
        {
            "factors": 8,
            "iterations": 4,
            "linear_rank": 0,
            "min_item_records": 2,
            "top_users": 70,
            "relative_regularization": 0.48,
            "alpha": 12.0,
            "fold_in_share": 0.35,
        },
    ),
    contenders=named("popularity", "als"),
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """A table of plays of 80 users and 60 artists, with repeated pairs and broken rows."""
    plays = random_plays(np.random.default_rng(4), 80, 60)
    rows = [f"u{user},ä{item},{plays[user, item]}" for user, item in np.argwhere(plays)]
    rows += [*rows[:40], "u1,ä2,many", ",ä3,1", "u80,once,1"]
    path = tmp_path_factory.mktemp("data") / "plays.csv"
    path.write_text("\n".join(["user_id,item_id,plays", *rows]) + "\n")
    return Source("table", path)


def test_a_model_of_spark_is_that_of_memory_but_for_its_factors(
    source: Source, tmp_path: Path
) -> None:
    in_spark = InSpark(SETTINGS).read(source, PRESET, Unobserved())
    in_memory = InMemory().read(source, PRESET, Unobserved())
    mine, other = (one.provenance.to_manifest() for one in (in_spark, in_memory))
    assert mine.pop("sources").keys() == other.pop("sources").keys()
    assert mine == other
    recipe = Recipe(PRESET, Plan(k=5), list_length=7, event_unit=2.0)
    built = in_spark.build(recipe, Unobserved())
    expected = in_memory.build(recipe, Unobserved())
    _same_measurement(built, expected)
    published = publish(built.model, tmp_path / "models", card=built.card)
    model = open_model(tmp_path / "models" / published.version)
    for name, array in arrays_of(built.model).items():
        assert arrays_of(model)[name].tobytes() == array.tobytes(), name
    _same_data(model, expected.model)
    _exact_vectors_and_lists(model)
    _refusals(in_spark, source)


def _same_measurement(built: Built, expected: Built) -> None:
    """The split and the users are the same, so popularity has the same figures to the last bit."""
    assert built.figures is not None
    assert expected.figures is not None
    assert built.figures.models["popularity"] == expected.figures.models["popularity"]
    assert built.figures.users == expected.figures.users
    mine, other = (one.card["parameters"] for one in (built, expected))
    assert mine["regularization"] == pytest.approx(other["regularization"], rel=1e-9)


def _same_data(model: Model, expected: Model) -> None:
    """Ids, names, histories, weights and units are the same; items may have other numbers."""
    assert [model.users.id(user) for user in range(len(model.users))] == [
        expected.users.id(user) for user in range(len(expected.users))
    ]
    for user in range(len(model.users)):
        assert dict(_row(model, user)) == dict(_row(expected, user))
    als, other = model.als, expected.als
    assert als is not None
    assert other is not None
    for field, value in als.weighting.to_manifest().items():
        assert value == pytest.approx(other.weighting.to_manifest()[field]), field
    names = {model.items.id(item): name for item, name in enumerate(model.items.names)}
    assert names == {
        expected.items.id(item): name for item, name in enumerate(expected.items.names)
    }
    assert model.event_units[0].multiple == 2.0
    assert model.event_units[0].median_weight == pytest.approx(
        expected.event_units[0].median_weight
    )


def _row(model: Model, user: int) -> Iterator[tuple[str, float]]:
    items, plays = model.user_items.row(user)
    for item, count in zip(items, plays, strict=True):
        yield model.items.id(int(item)), float(count)


def _exact_vectors_and_lists(model: Model) -> None:
    """Vectors are those of a fold-in, and lists those of a scan."""
    folded = model.fold_in(model.user_items)
    np.testing.assert_allclose(model.user_factors, folded, atol=1e-6)
    assert model.top_lists is not None
    scores = model.user_factors @ model.item_factors.T
    for user in range(len(model.users)):
        scores[user, model.user_items.row(user)[0]] = -np.inf
        best = np.sort(scores[user])[::-1][:7]
        found = np.asarray(model.top_lists.scores[user])
        np.testing.assert_allclose(found, best, atol=1e-5)
    norms = np.linalg.norm(model.item_factors, axis=1)
    assert (np.diff(norms) <= 1e-6).all()


def _refusals(loaded: Loaded, source: Source) -> None:
    """What Spark does not do is said before any work."""
    for recipe, message in (
        (Recipe(PRESET, search=Path("x.search")), "does not search"),
        (Recipe(PRESET, Plan(patience=2)), "without early stopping"),
    ):
        with pytest.raises(TrainingError, match=message):
            loaded.build(recipe, Unobserved())
    engine = InSpark(SETTINGS)
    with pytest.raises(TrainingError, match="a dataset without events"):
        engine.read(Source(events="sqlite:///x.db"), PRESET, Unobserved())
    with pytest.raises(DatasetError, match="reads files, not standard input"):
        engine.read(replace(source, path=Path("-")), PRESET, Unobserved())
    with pytest.raises(DatasetError, match="does not exist"):
        engine.read(replace(source, path=Path("/gone.csv")), PRESET, Unobserved())
    nothing: Preset = changed(PRESET, {"min_user_records": 1000})
    with pytest.raises(TrainingError, match="leave nothing to train on"):
        engine.read(source, nothing, Unobserved())
