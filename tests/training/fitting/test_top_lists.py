from __future__ import annotations

import numpy as np

from app.recommender import Query, Recommender
from tests.builders import interactions_of, random_model, random_plays, small_model
from training.fitting.top_lists import with_top_lists


def test_top_lists_are_the_best_unseen_items_padded_at_the_end(rng: np.random.Generator) -> None:
    plays = random_plays(rng, n_users=9, n_items=12, density=0.5)
    model = small_model(interactions_of(plays), list_length=20)
    assert model.top_lists is not None
    live = Recommender(with_top_lists(model, 0))
    for user in range(9):
        answer = live.recommend(Query(f"u{user}", n=20))
        length = len(answer.items)
        assert length == 12 - np.count_nonzero(plays[user])
        assert model.top_lists.items[user, :length].tolist() == answer.items
        assert model.top_lists.scores[user, :length].tolist() == answer.scores
        assert (model.top_lists.items[user, length:] == -1).all()
        assert (model.top_lists.scores[user, length:] == 0).all()


def test_a_user_without_history_has_an_empty_list(rng: np.random.Generator) -> None:
    # Was wrong: got the first items of the catalogue, which a zero vector ranks highest.
    plays = random_plays(rng, n_users=6)
    plays[4] = 0
    lists = small_model(interactions_of(plays), list_length=3).top_lists
    assert lists is not None
    assert lists.items[4].tolist() == [-1, -1, -1]
    assert lists.scores[4].tolist() == [0, 0, 0]
    assert (np.delete(lists.items, 4, axis=0) >= 0).all()


def test_a_list_length_of_zero_means_no_lists(rng: np.random.Generator) -> None:
    model = random_model(rng, list_length=3)
    assert model.top_lists is not None
    assert with_top_lists(model, 0).top_lists is None
