from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from app.fold_in import fold_in, gramian
from app.weighting import Weighting, WeightingName
from tests.builders import PARAMETERS, checkerboard_interactions, random_plays, user_items_of
from training.als import confidence_matrix, fit_item_factors, noise_scale
from training.errors import TrainingError


def test_confidence_is_one_plus_alpha_times_weight_of_every_pair() -> None:
    user_items = user_items_of([[1, 2, 0], [0, 2, 6]])
    weighting = Weighting.fit(user_items, WeightingName.RAW)
    matrix = confidence_matrix(user_items, weighting, 0.5)
    assert matrix.toarray().tolist() == [[1.5, 2, 0], [0, 2, 4]]
    assert matrix.dtype == np.float32


def test_a_small_alpha_is_not_rounded_away() -> None:
    user_items = user_items_of([[1.0]])
    weighting = Weighting.fit(user_items, WeightingName.RAW)
    assert confidence_matrix(user_items, weighting, 1e-6).toarray()[0, 0] > 1


def test_after_many_iterations_items_and_users_solve_each_other(rng: np.random.Generator) -> None:
    # Stationarity: folding the items in against the users gives back the item factors.
    pairs = random_plays(rng, n_users=50, n_items=30) > 0
    has = user_items_of(pairs)
    weighting = Weighting.fit(has, WeightingName.LINEAR)  # every weight is 1, on either side
    parameters = replace(PARAMETERS, factors=3, iterations=300, regularization=1.0)
    items = fit_item_factors(
        confidence_matrix(has, weighting, parameters.alpha),
        parameters,
        threads=1,
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
    first = fit_item_factors(confidence, PARAMETERS, threads=1)
    again = fit_item_factors(confidence, PARAMETERS, threads=threads)
    assert again.tobytes() == first.tobytes()
    other = fit_item_factors(confidence, replace(PARAMETERS, seed=8), threads=threads)
    assert other.tobytes() != first.tobytes()


def test_factors_have_the_shape_asked_for_and_each_iteration_is_told() -> None:
    user_items = checkerboard_interactions().user_items
    weighting = Weighting.fit(user_items, WeightingName.BM25)
    told: list[int] = []

    def watch(iteration: int, _item_factors: NDArray[np.float32]) -> bool:
        told.append(iteration)
        return False

    factors = fit_item_factors(
        confidence_matrix(user_items, weighting, 1.0), PARAMETERS, watch=watch, threads=1
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

    ended = fit_item_factors(confidence, PARAMETERS, watch=end_after_two, threads=1)
    short = fit_item_factors(confidence, replace(PARAMETERS, iterations=2), threads=1)
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
    fit_item_factors(confidence, PARAMETERS, threads=1)
    assert confidence.data.tobytes() == before.data.tobytes()
    assert confidence.indices.tobytes() == before.indices.tobytes()
    assert str(np.random.get_state()) == state


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"factors": 0}, "factors has to be at least 1, not 0"),
        ({"iterations": 0}, "iterations has to be at least 1, not 0"),
        ({"seed": -1}, "seed has to be at least 0, not -1"),
        ({"regularization": 0.0}, "regularization has to be above 0, not 0.0"),
        ({"alpha": -1.0}, "alpha has to be above 0, not -1.0"),
        ({"alpha": float("nan")}, "alpha has to be above 0, not nan"),
        ({"regularization": float("inf")}, "regularization has to be above 0, not inf"),
        ({"half_life": 0.0}, "half_life has to be above 0 days, not 0.0"),
        ({"half_life": float("inf")}, "half_life has to be above 0 days, not inf"),
        ({"fold_in_share": 0.0}, "fold_in_share has to be above 0 and at most 1, not 0.0"),
        ({"fold_in_share": 1.1}, "fold_in_share has to be above 0 and at most 1, not 1.1"),
        ({"fold_in_share": float("nan")}, "fold_in_share has to be above 0"),
        ({"b": 1.5}, "b has to lie between 0 and 1, not 1.5"),
        ({"k1": 0.0}, "k1 has to be above 0, not 0.0"),
    ],
)
def test_hyperparameters_out_of_range_are_refused_with_their_value(
    change: dict[str, Any], message: str
) -> None:
    # Was wrong: regularization 0 could end in LinAlgError, factors 0 in a model of nothing.
    with pytest.raises(TrainingError, match=message):
        replace(PARAMETERS, **change)


def test_numbers_that_run_away_are_a_training_error_with_a_way_out() -> None:
    # Was wrong: implicit's own ModelFitError came through.
    user_items = user_items_of([[1, 2], [3, 0]])
    weighting = Weighting.fit(user_items, WeightingName.RAW)
    confidence = confidence_matrix(user_items, weighting, 1.0)
    confidence.data[:] = np.float32(3e38)
    with pytest.raises(TrainingError, match="smaller alpha") as caught:
        fit_item_factors(confidence, PARAMETERS, threads=1)
    assert caught.value.__cause__ is not None


def test_the_manifest_names_the_convention_of_the_confidence() -> None:
    entry = json.loads(json.dumps(PARAMETERS.to_manifest()))
    assert entry == {
        "weighting": "bm25",
        "k1": 1.0,
        "b": 0.5,
        "factors": 8,
        "regularization": 0.1,
        "relative_regularization": None,
        "alpha": 1.0,
        "iterations": 5,
        "seed": 7,
        "fold_in_share": 1.0,
        "half_life": None,
        "confidence": "1 + alpha * weight",
    }


def test_noise_scale_is_the_largest_singular_value_of_noise(rng: np.random.Generator) -> None:
    shape = (300, 200)
    noise = sparse.csr_matrix(rng.normal(size=shape).astype(np.float32))
    largest = np.linalg.svd(noise.toarray(), compute_uv=False)[0]
    assert noise_scale(noise) == pytest.approx(largest, rel=0.03)
    assert noise_scale(noise) == pytest.approx(np.sqrt(300) + np.sqrt(200), rel=0.03)


def test_noise_scale_of_a_single_pair_counts_its_row_and_its_column() -> None:
    confidence = sparse.csr_matrix(np.array([[0, 3], [0, 0]], dtype=np.float32))
    assert noise_scale(confidence) == 3 + 3


def test_noise_scale_of_unequal_rows_is_weighted_by_their_squares() -> None:
    # Rows with squares 4 and 1, columns with squares 1 and 4.
    confidence = sparse.csr_matrix(np.array([[0, 2], [1, 0]], dtype=np.float32))
    assert noise_scale(confidence) == pytest.approx(2 * np.sqrt((16 + 1) / (4 + 1)))


def test_relative_regularization_is_that_share_of_the_noise_scale() -> None:
    confidence = sparse.csr_matrix(np.array([[0, 3], [0, 0]], dtype=np.float32))
    relative = replace(PARAMETERS, regularization=0.5, regularization_is_relative=True)
    resolved = relative.resolve(confidence)
    assert resolved == replace(PARAMETERS, regularization=3.0)
    assert resolved.resolve(confidence) == resolved
    assert relative.to_manifest()["regularization"] is None
    assert relative.to_manifest()["relative_regularization"] == 0.5
    assert resolved.to_manifest()["regularization"] == 3.0
    assert resolved.to_manifest()["relative_regularization"] is None


def test_fold_in_takes_its_share_of_the_resolved_regularization() -> None:
    confidence = sparse.csr_matrix(np.array([[0, 3], [0, 0]], dtype=np.float32))
    parameters = replace(
        PARAMETERS, regularization=0.5, regularization_is_relative=True, fold_in_share=0.25
    )
    resolved = parameters.resolve(confidence)
    assert resolved.regularization == 3.0
    assert resolved.fold_in_regularization == 0.75
    assert PARAMETERS.fold_in_regularization == PARAMETERS.regularization


def test_the_share_of_fold_in_does_not_touch_the_item_factors(rng: np.random.Generator) -> None:
    user_items = user_items_of(random_plays(rng))
    weighting = Weighting.fit(user_items, WeightingName.BM25)
    confidence = confidence_matrix(user_items, weighting, 1.0)
    whole, part = (
        fit_item_factors(confidence, replace(PARAMETERS, fold_in_share=share), threads=1)
        for share in (1.0, 0.1)
    )
    assert part.tobytes() == whole.tobytes()
