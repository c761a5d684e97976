from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from app.model.fold_in import fold_in, gramian
from app.model.weighting import Weighting, WeightingName
from tests.builders import PARAMETERS, checkerboard_interactions, random_plays, user_items_of
from training.errors import TrainingError
from training.fitting.confidence import confidence_matrix
from training.fitting.implicit_als import ImplicitAls


def test_after_many_iterations_items_and_users_solve_each_other(rng: np.random.Generator) -> None:
    # Stationarity: folding the items in against the users gives back the item factors.
    pairs = random_plays(rng, n_users=50, n_items=30) > 0
    has = user_items_of(pairs)
    weighting = Weighting.fit(has, WeightingName.LINEAR)  # every weight is 1, on either side
    parameters = replace(PARAMETERS, factors=3, iterations=300, regularization=1.0)
    items = ImplicitAls(threads=1).train(
        confidence_matrix(has, weighting, parameters.alpha), parameters
    )
    solve = partial(
        fold_in,
        weighting=weighting,
        alpha=parameters.alpha,
        regularization=parameters.regularization,
    )
    users = solve(has, items, gramian(items))
    again = solve(user_items_of(pairs.T), users, gramian(users))
    np.testing.assert_allclose(again, items, atol=2e-4 * np.abs(items).max())
    assert np.abs(items).max() > 0.1


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_seed_gives_the_same_factors_whatever_the_threads(
    rng: np.random.Generator, threads: int
) -> None:
    user_items = user_items_of(random_plays(rng, n_users=200, n_items=100))
    weighting = Weighting.fit(user_items, WeightingName.BM25)
    confidence = confidence_matrix(user_items, weighting, 1.0)
    first = ImplicitAls(threads=1).train(confidence, PARAMETERS)
    again = ImplicitAls(threads=threads).train(confidence, PARAMETERS)
    assert again.tobytes() == first.tobytes()
    other = ImplicitAls(threads=threads).train(confidence, replace(PARAMETERS, seed=8))
    assert other.tobytes() != first.tobytes()


def test_factors_have_the_shape_asked_for_and_each_iteration_is_told() -> None:
    user_items = checkerboard_interactions().user_items
    weighting = Weighting.fit(user_items, WeightingName.BM25)
    told: list[int] = []

    def watch(iteration: int, _item_factors: NDArray[np.float32]) -> bool:
        told.append(iteration)
        return False

    factors = ImplicitAls(threads=1).train(
        confidence_matrix(user_items, weighting, 1.0), PARAMETERS, watch=watch
    )
    assert factors.shape == (20, 8)
    assert factors.dtype == np.float32
    assert factors.flags.c_contiguous
    assert told == [1, 2, 3, 4, 5]


def test_a_training_that_is_ended_gives_the_factors_of_one_that_was_so_short() -> None:
    user_items = checkerboard_interactions().user_items
    weighting = Weighting.fit(user_items, WeightingName.BM25)
    confidence = confidence_matrix(user_items, weighting, 1.0)
    seen: list[bytes] = []

    def end_after_two(iteration: int, item_factors: NDArray[np.float32]) -> bool:
        seen.append(item_factors.tobytes())
        return iteration == 2

    ended = ImplicitAls(threads=1).train(confidence, PARAMETERS, watch=end_after_two)
    short = ImplicitAls(threads=1).train(confidence, replace(PARAMETERS, iterations=2))
    assert len(seen) == 2
    assert ended.tobytes() == short.tobytes() == seen[-1]


def test_training_changes_neither_the_matrix_nor_numpys_global_generator(
    rng: np.random.Generator,
) -> None:
    user_items = user_items_of(random_plays(rng))
    confidence = confidence_matrix(
        user_items, Weighting.fit(user_items, WeightingName.BM25), PARAMETERS.alpha
    )
    before = confidence.copy()
    state = str(np.random.get_state())
    ImplicitAls(threads=1).train(confidence, PARAMETERS)
    assert confidence.data.tobytes() == before.data.tobytes()
    assert confidence.indices.tobytes() == before.indices.tobytes()
    assert str(np.random.get_state()) == state


def test_numbers_that_run_away_are_a_training_error_with_a_way_out() -> None:
    # Was wrong: implicit's own ModelFitError came through.
    user_items = user_items_of([[1, 2], [3, 0]])
    weighting = Weighting.fit(user_items, WeightingName.RAW)
    confidence = confidence_matrix(user_items, weighting, 1.0)
    confidence.data[:] = np.float32(3e38)
    with pytest.raises(TrainingError, match="smaller alpha") as caught:
        ImplicitAls(threads=1).train(confidence, PARAMETERS)
    assert caught.value.__cause__ is not None


def test_the_share_of_fold_in_does_not_touch_the_item_factors(rng: np.random.Generator) -> None:
    user_items = user_items_of(random_plays(rng))
    weighting = Weighting.fit(user_items, WeightingName.BM25)
    confidence = confidence_matrix(user_items, weighting, 1.0)
    whole, part = (
        ImplicitAls(threads=1).train(confidence, replace(PARAMETERS, fold_in_share=share))
        for share in (1.0, 0.1)
    )
    assert part.tobytes() == whole.tobytes()
