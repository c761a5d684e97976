from __future__ import annotations

import pytest

from app.model.model import Model, Popularity
from tests.builders import interactions_of, small_model, user_items_of


@pytest.fixture(scope="module")
def model() -> Model:
    """A model in which u1 has no items and i2 has no listeners."""
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


def test_items_without_listeners_are_found(model: Model) -> None:
    assert model.unlistened.tolist() == [2]


def test_the_catalogue_leaves_out_items_without_listeners(model: Model) -> None:
    assert model.catalogue.left_out.tolist() == [2]
    assert model.catalogue.dial == 0


def test_a_model_is_shown_by_name_and_size_not_by_its_arrays(model: Model) -> None:
    # Was wrong: a log line or a failing test printed every array.
    assert repr(model) == "<Model in-memory: 3 users, 3 items>"
