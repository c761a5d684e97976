from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from app.recommend.query import Strategy
from tests.builders import PARAMETERS, checkerboard_interactions, interactions_of, random_plays
from training.errors import NothingToMeasure
from training.fitting.fit import fit_model
from training.fitting.hyperparameters import LinearParameters
from training.measuring.convergence import (
    Validation,
    enough,
    follow,
    is_exhausted,
    measure_convergence,
)
from training.measuring.evaluation import Contender, evaluate
from training.splitting.drawn import RandomPerUser
from training.splitting.split import Fold


def fold_of(rng: np.random.Generator) -> Fold:
    interactions = interactions_of(random_plays(rng, n_users=60, n_items=40))
    return Fold(*RandomPerUser(min_items=3).split(interactions))


def never(_curve: Sequence[float]) -> bool:
    return False


@pytest.mark.slow
def test_the_curve_ends_at_what_evaluation_measures_of_the_trained_model(
    rng: np.random.Generator,
) -> None:
    fold = fold_of(rng)
    curve = follow(Validation(fold, k=5), PARAMETERS, never)
    assert len(curve) == PARAMETERS.iterations
    for iterations in (1, 3, PARAMETERS.iterations):
        model = fit_model(fold.train, replace(PARAMETERS, iterations=iterations))
        evaluation = evaluate(model, fold, {"als": Contender(Strategy.AUTO)}, k=5)
        assert curve[iterations - 1] == evaluation.values("als")["ndcg"]


def test_the_linear_block_is_in_every_value_of_the_curve(rng: np.random.Generator) -> None:
    fold = fold_of(rng)
    both = replace(PARAMETERS, iterations=2, linear=LinearParameters(rank=6))
    alone = replace(both, factors=0)
    for parameters, length in ((both, 2), (alone, 1)):
        curve = follow(Validation(fold, k=5), parameters, never)
        model = fit_model(fold.train, parameters)
        evaluation = evaluate(model, fold, {"als": Contender(Strategy.AUTO)}, k=5)
        assert len(curve) == length
        assert curve[-1] == evaluation.values("als")["ndcg"]
    assert measure_convergence(Validation(fold, k=5), alone, patience=3).iterations == 1


@pytest.mark.slow
def test_the_right_items_of_the_checkerboard_are_found() -> None:
    whole = checkerboard_interactions()
    is_test = whole.user_items.indices == (whole.user_items.row_of_each_pair() + 2) % 20
    fold = Fold(whole.with_pairs(~is_test), whole.with_pairs(is_test))
    convergence = measure_convergence(
        Validation(fold, k=2), replace(PARAMETERS, factors=2, iterations=15)
    )
    # Two unseen items of the user's colour are left: the one nobody tests, and the tested one.
    assert convergence.ndcg[-1] > 0.6
    assert convergence.users == 20
    assert convergence.best == convergence.ndcg.index(max(convergence.ndcg)) + 1


def test_a_user_without_history_takes_no_part() -> None:
    train = interactions_of([[1, 1, 0], [0, 0, 0], [1, 0, 1]])
    test = interactions_of([[0, 0, 1], [1, 0, 0], [0, 0, 0]])
    assert Validation(Fold(train, test), k=1).users.tolist() == [0]


def test_nobody_to_look_at_is_refused() -> None:
    train = interactions_of([[1, 1, 0], [0, 0, 0]])
    test = interactions_of([[0, 0, 0], [1, 0, 0]])
    with pytest.raises(NothingToMeasure, match="no user with a history has a validation artist"):
        Validation(Fold(train, test), k=1)


def test_a_sample_is_drawn_by_the_seed(rng: np.random.Generator) -> None:
    fold = fold_of(rng)
    sample = Validation(fold, k=3, sample=10, seed=1).users
    assert len(sample) == 10
    assert sample.tolist() == Validation(fold, k=3, sample=10, seed=1).users.tolist()
    assert sample.tolist() != Validation(fold, k=3, sample=10, seed=2).users.tolist()
    assert len(Validation(fold, k=3, sample=1000).users) == len(Validation(fold, k=3).users)


@pytest.mark.parametrize(
    ("curve", "patience", "expected"),
    [
        ([0.1, 0.2, 0.2, 0.2], 2, True),
        ([0.1, 0.2, 0.2, 0.21], 2, False),
        ([0.1, 0.2, 0.1], 2, False),
        ([0.3, 0.2, 0.1], 2, True),
        ([0.3, 0.2], 2, False),
        ([0.3, 0.2, 0.1], None, False),
    ],
)
def test_patience_counts_iterations_without_a_better_value(
    curve: list[float], patience: int | None, expected: bool
) -> None:
    assert is_exhausted(curve, patience) is expected


@pytest.mark.parametrize(
    ("curve", "iterations"),
    [
        ([0.1, 0.2, 0.199, 0.198, 0.197], 4),  # the last within 1 %
        ([0.1, 0.3, 0.2], 2),
        ([0.1, 0.2, 0.3], 3),
        ([0.0, 0.0], 2),
    ],
)
def test_the_last_iteration_that_is_as_good_as_the_best_is_enough(
    curve: list[float], iterations: int
) -> None:
    assert enough(curve) == iterations


def test_a_gain_can_be_asked_for() -> None:
    assert is_exhausted([0.1, 0.2, 0.2001, 0.2002], 2, gain=0.01)
    assert not is_exhausted([0.1, 0.2, 0.2001, 0.2002], 2)


@pytest.mark.slow
def test_patience_ends_the_training_early(rng: np.random.Generator) -> None:
    validation = Validation(fold_of(rng), k=5)
    whole = measure_convergence(validation, replace(PARAMETERS, iterations=30))
    patient = measure_convergence(validation, replace(PARAMETERS, iterations=30), patience=2)
    assert len(whole.ndcg) == 30
    assert len(patient.ndcg) < 30
    assert list(patient.ndcg) == list(whole.ndcg)[: len(patient.ndcg)]
    assert len(patient.ndcg) == patient.best + 2
