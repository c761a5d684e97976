from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from app.model.weighting import USED_UP, WeightingName
from app.recommend.ladder import Recommender
from app.recommend.query import Query
from tests.builders import (
    PARAMETERS,
    checkerboard_interactions,
    interactions_of,
    random_plays,
    user_items_of,
)
from training.errors import TrainingError
from training.fitting.fit import fit_model
from training.fitting.hyperparameters import LinearParameters, Parameters
from training.fitting.linear_block import PAIR_SCORE, Linear, LinearFactors, train_linear

LINEAR = LinearParameters(rank=1000)
ALONE = replace(PARAMETERS, factors=0, linear=LINEAR)
BOTH = replace(PARAMETERS, linear=replace(LINEAR, rank=6))


def dense_scores(table: NDArray[np.float64], parameters: LinearParameters) -> NDArray[np.float64]:
    """The denoising autoencoder as its closed form says, with dense matrices."""
    user_sums, item_sums = table.sum(axis=1), table.sum(axis=0)
    listened = item_sums > 0
    users = np.where(user_sums > 0, user_sums / user_sums[user_sums > 0].mean(), 1.0)
    mean = item_sums[listened].mean()
    normalised = users[:, None] ** (-parameters.beta / 2) * table
    gramian = normalised.T @ normalised
    penalty = np.diag(parameters.share * mean + parameters.c * item_sums)
    autoencoder = np.linalg.solve(gramian + penalty, gramian)
    tilts = np.where(listened, item_sums / mean, 1.0) ** parameters.item_exponent
    return np.asarray(table @ (tilts[:, None] * autoencoder / tilts))


def scores_of(factors: LinearFactors, table: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((table @ factors.history.astype(np.float64)) @ factors.items.T)


def proportional(found: NDArray[np.float64], expected: NDArray[np.float64]) -> None:
    """One factor for all: the unit of the scores."""
    unit = float((found * expected).sum() / (expected**2).sum())
    assert unit > 0
    np.testing.assert_allclose(found, unit * expected, atol=3e-4 * np.abs(found).max())


@pytest.mark.parametrize("shape", [(30, 20), (20, 30)])
@pytest.mark.parametrize(
    "parameters",
    [
        LINEAR,
        replace(LINEAR, share=0.05, c=0.0),
        replace(LINEAR, beta=0.0, item_exponent=0.0),
        replace(LINEAR, beta=1.0, item_exponent=-0.4),
        replace(LINEAR, item_exponent=0.5, c=3.0),
    ],
)
def test_with_all_directions_scores_are_those_of_the_dense_autoencoder(
    rng: np.random.Generator, shape: tuple[int, int], parameters: LinearParameters
) -> None:
    table = np.log1p(random_plays(rng, *shape)).astype(np.float64)
    table[[0, 7]] = 0  # users without items
    table[:, [3, 9]] = 0  # items without listeners
    factors = train_linear(sparse.csr_matrix(table.astype(np.float32)), parameters)
    assert factors.items.shape == factors.history.shape == (shape[1], min(shape) - 2)
    assert not factors.items[[3, 9]].any()
    assert not factors.history[[3, 9]].any()
    proportional(scores_of(factors, table), dense_scores(table, parameters))


def test_without_normalisation_it_is_ridge_regression(rng: np.random.Generator) -> None:
    table = (rng.random((40, 12)) < 0.4).astype(np.float64)
    table[0] = 1
    parameters = LinearParameters(rank=12, share=0.5, c=0, beta=0, item_exponent=0)
    factors = train_linear(sparse.csr_matrix(table.astype(np.float32)), parameters)
    gramian = table.T @ table
    ridge = np.linalg.solve(gramian + 0.5 * table.sum(axis=0).mean() * np.eye(12), gramian)
    proportional(scores_of(factors, table), table @ ridge)


@pytest.mark.parametrize("user_exponent", [0.0, 0.5])
@pytest.mark.parametrize("weight", [1.0, 4.0])
def test_pairs_score_a_half_in_the_mean_and_both_sides_are_as_long(
    rng: np.random.Generator, user_exponent: float, weight: float
) -> None:
    plays = random_plays(rng, 50, 30)
    parameters = replace(LINEAR, rank=5, user_exponent=user_exponent, weight=weight)
    linear = Linear.of(user_items_of(plays), parameters, seed=0)
    vectors = linear.block.fold_in(user_items_of(plays)).astype(np.float64)
    assert (vectors @ linear.items.T)[plays > 0].mean() == pytest.approx(
        PAIR_SCORE * weight, rel=1e-5
    )
    assert np.linalg.norm(vectors) == pytest.approx(np.linalg.norm(linear.items), rel=1e-5)


def test_the_unit_of_the_plays_and_copies_of_all_users_change_nothing(
    rng: np.random.Generator,
) -> None:
    plays = random_plays(rng, 40, 30)
    parameters = replace(LINEAR, rank=1000)
    first = Linear.of(user_items_of(plays), parameters, seed=0)
    scores = first.block.history_factors @ first.items.T
    for other in (plays * np.float32(64), np.vstack([plays, plays])):
        linear = Linear.of(user_items_of(other), parameters, seed=0)
        again = linear.block.history_factors @ linear.items.T
        np.testing.assert_allclose(again, scores, atol=1e-4 * np.abs(scores).max())


@pytest.mark.parametrize("plays", [[[1.0]], [[2.0, 0, 3.0]], [[1.0], [5.0]], [[1.0, 0], [0, 0]]])
def test_one_user_and_one_item_are_enough(plays: list[list[float]]) -> None:
    model = fit_model(interactions_of(plays), ALONE)
    assert model.item_factors.shape[1] == 1
    assert np.isfinite(model.user_factors).all()
    scores = model.user_factors @ model.item_factors.T
    assert scores[np.array(plays) > 0].mean() == pytest.approx(PAIR_SCORE, rel=1e-5)


def test_a_rank_above_what_the_data_have_is_limited(rng: np.random.Generator) -> None:
    plays = random_plays(rng, 9, 14)
    plays[:, 4] = 0
    plays[6] = 0
    linear = Linear.of(user_items_of(plays), replace(LINEAR, rank=4096), seed=0)
    assert linear.items.shape == linear.block.history_factors.shape == (14, 8)


def test_used_up_plays_count_for_nothing(rng: np.random.Generator) -> None:
    plays = random_plays(rng, 20, 10)
    plays[:, 2] = 0
    plays[3, 2] = USED_UP
    for name in (WeightingName.LOG, WeightingName.BINARY):
        linear = Linear.of(user_items_of(plays), replace(LINEAR, weighting=name), seed=0)
        assert not linear.items[2].any()
        assert not linear.block.history_factors[2].any()
        assert np.isfinite(linear.items).all()
    with pytest.raises(TrainingError, match="needs weights above 0, and no pair has one"):
        Linear.of(
            user_items_of(np.full((2, 2), USED_UP)),
            replace(LINEAR, weighting=WeightingName.BINARY),
            seed=0,
        )


@pytest.mark.parametrize("parameters", [ALONE, BOTH, replace(BOTH, half_life=None)])
@pytest.mark.parametrize("number_by_length", [False, True])
def test_a_fold_in_of_an_unchanged_history_is_the_vector_of_training(
    rng: np.random.Generator, parameters: Parameters, number_by_length: bool
) -> None:
    plays = random_plays(rng)
    plays[:, 5] = 0
    plays[2] = 0
    model = fit_model(interactions_of(plays), parameters, number_by_length=number_by_length)
    np.testing.assert_array_equal(model.fold_in(model.user_items), model.user_factors)
    assert not model.user_factors[2].any()
    assert len(model.unlistened) == 1
    assert not model.item_factors[model.unlistened].any()
    if number_by_length:
        lengths = np.linalg.norm(model.item_factors, axis=1)
        assert (np.diff(lengths) <= 1e-6).all()


def test_the_blocks_stand_beside_each_other(rng: np.random.Generator) -> None:
    interactions = interactions_of(random_plays(rng))
    both = fit_model(interactions, BOTH)
    als = fit_model(interactions, replace(BOTH, linear=None))
    linear = fit_model(interactions, replace(BOTH, factors=0))
    assert [block.length for block in both.blocks] == [8, 6]
    assert [block.length for block in als.blocks] == [8]
    assert [block.length for block in linear.blocks] == [6]
    for name in ("user_factors", "item_factors"):
        parts = [getattr(model, name) for model in (als, linear)]
        np.testing.assert_array_equal(getattr(both, name), np.hstack(parts))


def test_items_numbered_by_length_are_the_same_model_in_another_order(
    rng: np.random.Generator,
) -> None:
    interactions = interactions_of(random_plays(rng, n_users=50, n_items=80))
    plain, numbered = (fit_model(interactions, BOTH, number_by_length=by) for by in (False, True))
    order = plain.items.indices(numbered.items.strings)
    assert sorted(order.tolist()) == list(range(80)) != order.tolist()
    np.testing.assert_array_equal(numbered.item_factors, plain.item_factors[order])
    np.testing.assert_allclose(numbered.user_factors, plain.user_factors, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("factors", [0, 2])
def test_the_right_item_of_the_checkerboard_is_found(factors: int) -> None:
    linear = LinearParameters(rank=2, share=0.1)
    parameters = replace(PARAMETERS, factors=factors, iterations=15, linear=linear)
    recommender = Recommender(fit_model(checkerboard_interactions(), parameters))
    for user in range(20):
        assert recommender.recommend(Query(f"u{user}", n=1)).items == [user]
