from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from app.model.model import Model
from app.model.new_items import NewItemDirections
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


def test_each_part_has_the_median_length_of_the_items_in_its_columns() -> None:
    model = model_of("als and linear")
    direction = NewItemDirections(model).of(model.user_factors[:5])
    parts = [np.linalg.norm(direction[columns]) for columns in model.columns]
    medians = [
        np.median(np.linalg.norm(model.item_factors[:, columns].astype(np.float64), axis=1))
        for columns in model.columns
    ]
    assert parts[0] / parts[1] == pytest.approx(medians[0] / medians[1], rel=1e-6)
    als = model_of("als")
    alone = NewItemDirections(als).of(als.user_factors[:5])
    np.testing.assert_allclose(unit(direction[model.columns[0]]), alone, rtol=1e-6)
