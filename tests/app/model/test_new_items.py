from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from app.model.model import Model
from app.model.new_items import NewItemDirections
from app.model.weighting import WeightingName
from tests.builders import random_model, with_linear


def model_of(kinds: str) -> Model:
    model = random_model(np.random.default_rng(3), n_users=60, n_items=80, factors=6)
    return model if kinds == "als" else with_linear(model, 4, alone=kinds == "linear")


def unit(vector: NDArray[np.floating]) -> NDArray[np.float64]:
    exact = vector.astype(np.float64)
    return np.asarray(exact / np.linalg.norm(exact))


def test_the_direction_of_als_is_that_of_the_sum_of_unit_vectors() -> None:
    model = model_of("als")
    listeners = model.user_factors[:5]
    expected = unit(np.sum([unit(one) for one in listeners], axis=0))
    found = NewItemDirections(model).of(5 * listeners)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("kinds", ["als", "linear", "als and linear"])
def test_a_direction_has_length_1_or_none(kinds: str) -> None:
    model = model_of(kinds)
    directions = NewItemDirections(model)
    assert np.linalg.norm(directions.of(model.user_factors[:3])) == pytest.approx(1.0)
    nobody = np.zeros((4, model.item_factors.shape[1]), dtype=np.float32)
    assert not directions.of(nobody).any()
    assert not directions.of(nobody[:0]).any()
    with_nobody = np.concatenate([nobody, model.user_factors[:3]])
    np.testing.assert_array_equal(directions.of(with_nobody), directions.of(model.user_factors[:3]))


def test_each_part_is_as_long_beside_the_others_as_in_items_with_long_vectors() -> None:
    model = model_of("als and linear")
    direction = NewItemDirections(model).of(model.user_factors[:5])
    parts = [np.linalg.norm(direction[columns]) for columns in model.columns]
    lengths = [
        np.quantile(np.linalg.norm(model.item_factors[:, columns].astype(np.float64), axis=1), 0.99)
        for columns in model.columns
    ]
    assert parts[0] / parts[1] == pytest.approx(lengths[0] / lengths[1], rel=1e-6)
    als = model_of("als")
    alone = NewItemDirections(als).of(als.user_factors[:5])
    np.testing.assert_allclose(unit(direction[model.columns[0]]), alone, rtol=1e-6)


def linear_model(rng: np.random.Generator, scale: NDArray[np.float64]) -> Model:
    """A linear block as the closed form has it, with columns of users on any scale."""
    model = random_model(rng, n_users=400, n_items=60, factors=2)
    weights = np.zeros((400, 60))
    plain = with_linear(model, 12, alone=True, weighting=WeightingName.BINARY, user_exponent=0.0)
    users = model.user_items.row_of_each_pair()
    weights[users, model.user_items.indices] = 1.0
    listeners = weights.sum(axis=0)
    added = 0.6 * listeners.mean() + listeners
    _, singular, right = np.linalg.svd(weights / np.sqrt(added), full_matrices=False)
    singular, right = singular[:12], right[:12].T
    history = right / np.sqrt(added)[:, None] * scale
    items = right * np.sqrt(added)[:, None] * singular**2 / (1 + singular**2) / scale
    assert plain.linear is not None
    block = replace(plain.linear, history_factors=history.astype(np.float32), weight=1.0)
    model = replace(plain, blocks=(block,), item_factors=items.astype(np.float32))
    return replace(model, user_factors=model.fold_in(model.user_items))


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_an_item_of_known_listeners_points_to_where_training_put_it(scale: float) -> None:
    model = linear_model(np.random.default_rng(3), np.geomspace(1 / scale, scale, 12))
    for item in range(0, 60, 7):
        users = np.flatnonzero(
            [item in model.user_items.row(user)[0] for user in range(len(model.users))]
        )
        found = NewItemDirections(model).of(model.user_factors[users])
        scores = model.user_factors.astype(np.float64) @ found
        trained = model.user_factors.astype(np.float64) @ model.item_factors[item]
        assert np.corrcoef(scores, trained)[0, 1] > 0.5


def test_the_scale_of_linear_columns_does_not_matter() -> None:
    scale = np.geomspace(0.01, 100, 12)
    (one, other) = (linear_model(np.random.default_rng(3), by) for by in (np.ones(12), scale))
    directions = (NewItemDirections(model).of(model.user_factors[:1]) for model in (one, other))
    first, second = directions
    np.testing.assert_allclose(unit(second * scale), first, rtol=1e-3, atol=1e-5)
    scores = [
        model.user_factors.astype(np.float64) @ model.item_factors.T for model in (one, other)
    ]
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-3, atol=1e-4)
