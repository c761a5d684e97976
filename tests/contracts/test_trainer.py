"""What every trainer has to do; and that a model is the same to everybody, whatever made it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from app.recommender import Query, Recommender
from tests.builders import PARAMETERS, checkerboard_interactions, interactions_of, random_plays
from training.fitting.fit import fit_model
from training.fitting.hyperparameters import Parameters
from training.fitting.implicit_als import ImplicitAls
from training.fitting.trainer import Trainer, Watch
from training.fitting.weighted import Weighted


class DenseAls:
    """Alternating least squares as the paper writes it, on a dense matrix."""

    def train(
        self,
        confidence: sparse.csr_matrix[np.float32],
        parameters: Parameters,
        *,
        watch: Watch | None = None,
    ) -> NDArray[np.float32]:
        weights = confidence.toarray().astype(np.float64)
        rng = np.random.default_rng(parameters.seed)
        items = rng.normal(scale=0.1, size=(weights.shape[1], parameters.factors))
        for iteration in range(1, parameters.iterations + 1):
            users = _solve(weights, items, parameters.regularization)
            items = _solve(weights.T, users, parameters.regularization)
            if watch and watch(iteration, items.astype(np.float32)):
                break
        return np.ascontiguousarray(items, dtype=np.float32)


def _solve(
    weights: NDArray[np.float64], others: NDArray[np.float64], regularization: float
) -> NDArray[np.float64]:
    diagonal = regularization * np.eye(others.shape[1])
    return np.array(
        [
            np.linalg.solve(
                (others.T * np.where(row > 0, row, 1.0)) @ others + diagonal, row @ others
            )
            for row in weights
        ]
    )


trainers = pytest.mark.parametrize(
    "trainer", [ImplicitAls(threads=1), DenseAls()], ids=lambda trainer: type(trainer).__name__
)


def weighted(rng: np.random.Generator) -> Weighted:
    return Weighted.of(interactions_of(random_plays(rng)).user_items, PARAMETERS)


@trainers
def test_factors_are_of_items_and_the_same_again(
    rng: np.random.Generator, trainer: Trainer
) -> None:
    given = weighted(rng)
    before = given.confidence.copy()
    factors = trainer.train(given.confidence, given.parameters)
    assert factors.shape == (40, PARAMETERS.factors)
    assert factors.dtype == np.float32
    assert factors.flags.c_contiguous
    assert trainer.train(given.confidence, given.parameters).tobytes() == factors.tobytes()
    other = trainer.train(given.confidence, replace(given.parameters, seed=8))
    assert other.tobytes() != factors.tobytes()
    assert given.confidence.data.tobytes() == before.data.tobytes()


@trainers
def test_each_iteration_is_told_and_can_be_the_last(
    rng: np.random.Generator, trainer: Trainer
) -> None:
    given, told = weighted(rng), []

    def watch(iteration: int, item_factors: NDArray[np.float32]) -> bool:
        told.append((iteration, item_factors.tobytes()))
        return iteration == 3

    ended = trainer.train(given.confidence, given.parameters, watch=watch)
    short = trainer.train(given.confidence, replace(given.parameters, iterations=3))
    assert [iteration for iteration, _ in told] == [1, 2, 3]
    assert ended.tobytes() == short.tobytes() == told[-1][1]


@trainers
def test_whatever_made_the_factors_the_right_item_of_the_checkerboard_is_found(
    trainer: Trainer,
) -> None:
    parameters = replace(PARAMETERS, factors=2, iterations=15)
    model = fit_model(checkerboard_interactions(), parameters, trainer=trainer)
    recommender = Recommender(model)
    for user in range(20):
        assert recommender.recommend(Query(f"u{user}", n=1)).items == [user]
    # Users are solved with the fold-in of the service, whatever the trainer.
    np.testing.assert_array_equal(model.fold_in(model.user_items), model.user_factors)
