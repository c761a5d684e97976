"""EASE: the closed form, by items and by users, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.model.interactions import UserItems
from tests.builders import dense_of, interactions_of, random_plays, small_model
from training.data.interactions import Interactions
from training.errors import TrainingError
from training.measuring.ease import LARGEST, SINGLE_FROM, Ease
from training.splitting.split import Fold


def nothing(_done: int) -> None:
    """Shows no progress."""


def lists_of(
    train: Interactions, k: int, *, relative: float = 1.0, given: Interactions | None = None
) -> NDArray[np.int64]:
    """Everyone's list; the test part plays no role in it."""
    users = np.arange(len(train.user_ids))
    return Ease(relative).lists(small_model(train), Fold(train, train, given), users, k, nothing)


def by_the_paper(plays: NDArray[np.floating], relative: float) -> NDArray[np.float64]:
    """The scores of Steck's equation 8, for items that have users."""
    x = (plays > 0).astype(np.float64)
    listeners = x.sum(axis=0)
    regularization = relative * (listeners**2).sum() / listeners.sum()
    inverse = np.linalg.inv(x.T @ x + regularization * np.eye(x.shape[1]))
    weights = -inverse / np.diagonal(inverse)
    np.fill_diagonal(weights, 0)
    scores: NDArray[np.float64] = x @ weights
    return scores


@pytest.mark.parametrize(("users", "items"), [(40, 25), (25, 40), (30, 30)])
@pytest.mark.parametrize("relative", [0.01, 1.0, 50.0])
def test_lists_equal_the_closed_form(
    users: int, items: int, relative: float, rng: np.random.Generator
) -> None:
    plays = random_plays(rng, n_users=users, n_items=items)
    plays[:, 0] = 1  # nobody lacks all items, and no item lacks all users
    plays[0] = 1
    train = interactions_of(plays)
    scores = by_the_paper(plays, relative)
    for user, listed in enumerate(lists_of(train, 6, relative=relative)):
        unseen = np.flatnonzero(plays[user] == 0)
        order = sorted(unseen, key=lambda item: (-round(scores[user, item], 9), item))
        assert listed[: len(order)].tolist() == order[:6]


@given(
    plays=st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=3, max_size=9).filter(
        lambda rows: any(any(row) for row in rows)
    )
)
def test_the_users_system_and_the_items_system_give_the_same(plays: list[list[bool]]) -> None:
    # The same users three times over make the items the smaller side.
    few = interactions_of(np.array(plays, dtype=np.float64)).user_items
    solved = Ease().solve(few)
    x = dense_of(few) > 0
    x = x[:, x.any(axis=0)].astype(np.float64)
    system = x.T @ x + solved.regularization * np.eye(x.shape[1])
    expected = dense_of(few)[:, solved.items] > 0
    scores = (expected.astype(np.float64) @ np.linalg.inv(system)) / -np.diagonal(
        np.linalg.inv(system)
    )
    assert solved.by_users == ((x.any(axis=1)).sum() < x.shape[1])
    np.testing.assert_allclose(solved.scores(few), scores, atol=1e-9)


def test_an_item_without_users_is_in_no_list_and_changes_none(rng: np.random.Generator) -> None:
    plays = random_plays(rng, n_users=25, n_items=20)
    plays[:, 7] = 0
    lists = lists_of(interactions_of(plays), 20)
    assert not (lists == 7).any()
    without = lists_of(interactions_of(np.delete(plays, 7, axis=1)), 19)
    renumbered = np.where(lists > 7, lists - 1, lists)
    assert renumbered[:, :5].tolist() == without[:, :5].tolist()


def test_a_user_without_history_gets_popularity(rng: np.random.Generator) -> None:
    plays = random_plays(rng)
    plays[4] = 0
    train = interactions_of(plays)
    assert np.array_equal(lists_of(train, 6)[4], small_model(train).popularity.by_listeners[:6])


def test_a_held_out_user_is_known_by_what_is_given(rng: np.random.Generator) -> None:
    plays = random_plays(rng, n_users=25, n_items=20)
    plays[:, 19] = 0
    told = np.zeros_like(plays)
    told[3], told[4, 19] = plays[3], 1
    lists = lists_of(interactions_of(plays), 5, given=interactions_of(told))
    assert lists[3].tolist() == lists_of(interactions_of(plays), 5)[3].tolist()
    # Item 19 is unknown to the model, so it says nothing.
    popular = small_model(interactions_of(plays)).popularity.by_listeners[:5]
    assert lists[4].tolist() == popular.tolist()


def test_a_shorter_list_is_the_beginning_of_a_longer_one(rng: np.random.Generator) -> None:
    train = interactions_of(random_plays(rng))
    longest = lists_of(train, 12)
    assert all(np.array_equal(lists_of(train, k), longest[:, :k]) for k in (1, 5, 11))


def test_plays_do_not_count(rng: np.random.Generator) -> None:
    plays = random_plays(rng)
    train = interactions_of(plays)
    assert np.array_equal(lists_of(train, 5), lists_of(interactions_of(plays > 0), 5))


def diagonal(n: int) -> UserItems:
    """Everybody has one item of their own."""
    return UserItems(
        np.arange(n + 1, dtype=np.int64),
        np.arange(n, dtype=np.int32),
        np.ones(n, dtype=np.float32),
        n,
    )


def test_data_that_are_too_large_are_refused_before_anything_is_made() -> None:
    Ease().check(diagonal(LARGEST))
    with pytest.raises(TrainingError, match=r"15,001 here, and at most 15,000; leave it out"):
        Ease().ranker(diagonal(LARGEST + 1))


def test_few_users_of_many_items_are_not_too_large() -> None:
    wide = UserItems(
        np.array([0, 20_000], dtype=np.int64),
        np.arange(20_000, dtype=np.int32),
        np.ones(20_000, dtype=np.float32),
        20_000,
    )
    assert Ease().solve(wide).inverse.shape == (1, 1)


@pytest.mark.slow
def test_a_large_system_is_solved_in_float32_and_exact_enough() -> None:
    users, items, each = SINGLE_FROM + 50, SINGLE_FROM, 4
    chosen = (np.arange(users)[:, None] + np.array([0, 1, 50, 700])) % items
    train = UserItems(
        np.arange(0, users * each + 1, each, dtype=np.int64),
        np.sort(chosen, axis=1).ravel().astype(np.int32),
        np.ones(users * each, dtype=np.float32),
        items,
    )
    solved = Ease(0.1).solve(train)
    assert not solved.by_users
    assert solved.inverse.dtype == np.float32
    rows = solved.x[:3]
    product = solved.times_p(rows)
    back = (solved.x @ product.T).T @ solved.x + solved.regularization * product
    np.testing.assert_allclose(back, rows.toarray(), atol=1e-4)


@pytest.mark.parametrize("relative", [0.0, -1.0, float("inf"), float("nan")])
def test_a_regularization_out_of_range_is_refused(relative: float) -> None:
    with pytest.raises(TrainingError, match="has to be above 0"):
        Ease(relative)


def test_the_manifest_says_how_lists_were_made() -> None:
    assert replace(Ease(), relative_regularization=3.0).to_manifest() == {
        "strategy": "ease",
        "relative_regularization": 3.0,
    }
