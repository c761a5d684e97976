"""What the presets are, and what they are worth on real data."""

from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest

from app.model.interactions import UserItems
from benchmarks.preset import LOG, parameters_of, read_log, winner
from tests.builders import checkerboard_interactions, interactions_of
from training.data.filters import Filters, preprocess
from training.data.interactions import Interactions
from training.data.shape import Shape
from training.datasets import load_dataset
from training.datasets.synthetic.generator import generate
from training.fitting.fit import fit_model
from training.measuring.evaluation import evaluate
from training.measuring.experiment import Plan, measure
from training.numbers import percent
from training.presets import BARE, DEFAULT, DENSE, PRESETS, REFERENCE, WIDE, changed
from training.splitting.drawn import RandomPerUser
from training.splitting.split import Fold


def test_the_page_about_evaluation_has_a_column_for_each_preset() -> None:
    page = (Path(__file__).parents[2] / "docs/evaluation.md").read_text(encoding="utf-8")
    header = page.partition("\n## Presets\n\n")[2].partition("\n")[0]
    assert header == "| | " + " | ".join(f"`{name}`" for name in PRESETS) + " |"


@pytest.fixture(scope="module")
def hetrec(hetrec_path: Path) -> Interactions:
    """All of the HetRec data."""
    return preprocess(load_dataset("hetrec-lastfm-2k", hetrec_path), Filters())[0]


def with_plays(interactions: Interactions, factor: float, power: float = 1.0) -> Interactions:
    old = interactions.user_items
    plays = (old.plays.astype(np.float64) ** power * factor).astype(np.float32)
    scaled = UserItems(old.indptr, old.indices, plays, old.n_items)
    return replace(interactions, user_items=scaled)


@pytest.mark.slow
def test_default_reaches_its_figures_on_real_data(hetrec: Interactions) -> None:
    figures = measure(hetrec, DEFAULT, Plan(repeats=5)).figures
    assert figures.value("als", "precision") >= 0.203
    assert figures.value("als", "ndcg") >= 0.247
    ratio = figures.value("als", "precision") / figures.value("popularity", "precision")
    assert ratio >= 2.7
    shown = {name: figures.value(name, "coverage_items") for name in ("als", "popularity")}
    assert shown["als"] > 20 * shown["popularity"]


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Interactions:
    """A generated sample."""
    folder = tmp_path_factory.mktemp("generated")
    generate(folder, users=1000, artists=1500)
    return preprocess(load_dataset("synthetic", folder), Filters())[0]


@pytest.mark.slow
@pytest.mark.parametrize("data", ["hetrec", "generated"])
@pytest.mark.parametrize(
    ("factor", "power", "tolerance"), [(100, 1, 0.02), (0.01, 1, 0.02), (1, 0, 0.03)]
)
def test_default_does_not_care_for_the_scale_of_plays(
    request: pytest.FixtureRequest, data: str, factor: float, power: float, tolerance: float
) -> None:
    interactions: Interactions = request.getfixturevalue(data)

    def precision(interactions: Interactions) -> float:
        values = []
        for seed in (0, 1):
            (fold,) = RandomPerUser(seed=seed).folds(interactions)
            model = fit_model(fold.train, DEFAULT.parameters)
            result = evaluate(model, fold, {"als": DEFAULT.contenders["als"]})
            values.append(result.values("als")["precision"])
        return fmean(values)

    changed = precision(with_plays(interactions, factor, power))
    assert changed == pytest.approx(precision(interactions), rel=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("users", "artists"), [(100, 300), (200, 400), (1000, 10_000), (4000, 1000)]
)
def test_default_beats_popularity_at_any_size(users: int, artists: int, tmp_path: Path) -> None:
    # An absolute regularization that suits thousands of users leaves nothing of a hundred.
    generate(tmp_path, users=users, artists=artists, seed=5, mean_artists_per_user=40)
    interactions, _ = preprocess(load_dataset("synthetic", tmp_path), Filters())
    figures = measure(interactions, DEFAULT, Plan(repeats=3)).figures
    assert figures.value("als", "ndcg") > 1.3 * figures.value("popularity", "ndcg")
    shown = {name: figures.value(name, "coverage_items") for name in ("als", "popularity")}
    assert shown["als"] > 2 * shown["popularity"]


def test_default_finds_the_checkerboard() -> None:
    board = checkerboard_interactions(40)
    model = fit_model(board, DEFAULT.parameters)
    hidden = interactions_of(np.eye(40))
    fold = Fold(board, hidden)
    result = evaluate(model, fold, {"als": DEFAULT.contenders["als"]}, k=1)
    assert result.values("als")["precision"] == 1


def test_default_is_the_winner_of_the_committed_search() -> None:
    best, share = winner(read_log(LOG))
    assert parameters_of(best["trial"], share) == replace(DENSE.parameters, linear=None)


PAIRS = Shape(users=5000, items=17_000, pairs=200_000, is_bare=True, width=2500.0)


def test_data_have_the_recipe_for_their_shape() -> None:
    recipe = DEFAULT.for_data(PAIRS)
    assert recipe.parameters == WIDE.parameters
    assert recipe.choice == (
        f"wide: bare pairs, {percent(0.00235294)} of all possible ones, with the variety of 2,500 "
        "equally popular artists"
    )
    assert recipe.for_data(replace(PAIRS, is_bare=False)) == recipe  # chosen once
    for shape, name, parameters in (
        (replace(PAIRS, pairs=5_000_000), "wide", WIDE.parameters),
        (replace(PAIRS, width=2499.0), "bare", BARE.parameters),
        (replace(PAIRS, is_bare=False), "usual", DEFAULT.parameters),
        (replace(PAIRS, is_bare=False, pairs=1_700_000), "dense", DENSE.parameters),
        (replace(PAIRS, width=2499.0, pairs=1_700_000), "dense", DENSE.parameters),
    ):
        recipe = DEFAULT.for_data(shape)
        assert recipe.parameters == parameters
        assert recipe.choice.startswith(f"{name}: ")
    assert REFERENCE.for_data(PAIRS) == REFERENCE


def test_changes_hold_with_each_recipe() -> None:
    recipe = changed(DEFAULT, {"regularization": 3.0, "linear_weight": 2.0, "factors": 9})
    recipe = changed(recipe, {"relative_regularization": 0.2, "seed": 7, "min_user_records": 2})
    linear = WIDE.parameters.linear
    assert linear is not None
    expected = replace(
        WIDE.parameters, regularization=0.2, factors=9, seed=7, linear=replace(linear, weight=2.0)
    )
    assert recipe.for_data(PAIRS).parameters == expected
    assert recipe.for_data(PAIRS).filters == Filters(min_user_records=2)
    assert recipe.for_data(replace(PAIRS, is_bare=False)).parameters == recipe.parameters
    without = changed(recipe, {"linear_rank": 0}).for_data(PAIRS)
    assert without.parameters == replace(expected, linear=None)


def test_a_model_of_many_vectors_has_fewer_columns() -> None:
    def rank(users: int, items: int, **changes: int) -> int:
        shape = replace(PAIRS, users=users, items=items)
        linear = changed(DEFAULT, changes).for_data(shape).parameters.linear
        assert linear is not None
        return linear.rank

    assert rank(100_000, 100_000) == 1024
    assert rank(100_000, 300_000) == 2**28 // 400_000 - 128
    assert rank(100_000, 5_000_000) == 128
    assert rank(100_000, 5_000_000, linear_rank=1024) == 1024


def test_the_shape_of_data_is_that_of_their_listeners() -> None:
    shape = Shape.of(checkerboard_interactions(40).user_items)
    assert (shape.users, shape.items, shape.is_bare) == (40, 40, True)
    assert shape.width == pytest.approx(40)
    plays = np.array([[1, 1, 1], [2, 0, 0]], dtype=np.float32)
    shape = Shape.of(interactions_of(plays).user_items)
    assert not shape.is_bare
    assert shape.width == pytest.approx(16 / 6)
    assert shape.density == pytest.approx(4 / 6)
    nothing = UserItems(np.zeros(3, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32), 0)
    empty = Shape.of(nothing)
    assert empty == Shape(users=2, items=0, pairs=0, is_bare=False, width=0.0)
    assert empty.density == 0


def test_reference_is_the_study() -> None:
    parameters = REFERENCE.parameters
    assert (parameters.factors, parameters.regularization) == (100, 0.1)
    assert (parameters.iterations, parameters.alpha) == (15, 0.5)
    assert REFERENCE.filters == Filters(5, 5, 20_000)
    assert REFERENCE.drop_items_without_id
    assert REFERENCE.split == RandomPerUser(test_fraction=0.2, min_items=5)


def test_presets_go_by_their_own_names() -> None:
    assert {name: preset.name for name, preset in PRESETS.items()} == {
        "default": "default",
        "reference": "reference",
    }
