from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.model import Model, Popularity
from tests.builders import interactions_of, small_model, user_items_of


@pytest.fixture(scope="module")
def model() -> Model:
    """A model in which u1 has nothing and i2 is nobody's."""
    return small_model(interactions_of([[1, 2, 0], [0, 0, 0], [3, 0, 0]]), factors=2)


def test_popularity_breaks_ties_by_plays_then_by_index() -> None:
    popularity = Popularity.count(user_items_of([[1, 3, 2, 0, 2], [4, 2, 3, 0, 3]]))
    assert popularity.listeners.tolist() == [2, 2, 2, 0, 2]
    assert popularity.plays.tolist() == [5, 5, 5, 0, 5]
    assert popularity.by_listeners.tolist() == [0, 1, 2, 4, 3]
    assert popularity.by_plays.tolist() == [0, 1, 2, 4, 3]
    popularity = Popularity.count(user_items_of([[1, 9, 2], [1, 0, 2]]))
    assert popularity.by_listeners.tolist() == [2, 0, 1]
    assert popularity.by_plays.tolist() == [1, 2, 0]


def test_a_user_with_an_empty_row_has_no_history(model: Model) -> None:
    assert [model.has_history(user) for user in range(3)] == [True, False, True]


def test_items_that_nobody_has_are_known(model: Model) -> None:
    assert model.unlistened.tolist() == [2]


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_the_largest_norm_neither_overflows_nor_vanishes(model: Model, scale: float) -> None:
    # Was wrong: squares were summed in float32, so norms were 0 below 1e-23 and inf above 1e19,
    # and the margin of candidates that is derived from them was no bound.
    factors = np.array([[3, 4], [0, 1], [0, 0]], dtype=np.float32) * np.float32(scale)
    norm = replace(model, item_factors=factors).max_item_norm
    assert norm == pytest.approx(5 * scale, rel=1e-6, abs=0)


def test_a_catalogue_without_items_has_no_norm(model: Model) -> None:
    assert replace(model, item_factors=np.zeros((0, 2), dtype=np.float32)).max_item_norm == 0.0


def test_a_model_is_shown_by_name_and_size_not_by_its_arrays(model: Model) -> None:
    # Was wrong: a log line or a failing test printed every array.
    assert repr(model) == "<Model in-memory: 3 users, 3 items>"
