from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.model.model import Model
from app.recommend.ladder import Recommender
from app.recommend.query import Query, Source, Strategy
from tests.app.recommend.expected import (
    best,
    exact_scores,
    plain_answer,
)
from tests.builders import (
    interactions_of,
    small_model,
)


@pytest.mark.parametrize("fixture", ["plain", "listed"])
def test_the_dial_ranks_and_scores_by_the_discounted_score(
    fixture: str, request: pytest.FixtureRequest
) -> None:
    model: Model = request.getfixturevalue(fixture)
    for discovery in (0.1, 0.5, 1):
        scores = exact_scores(model, 0, discovery)
        order = best(model, 0, {1, 3, 4}, discovery)
        answer = Recommender(model).recommend(Query("u0", n=10, discovery=discovery))
        assert plain_answer(answer) == (
            Source.ALS,
            [*order, 5],
            [*(scores[item] for item in order), None],
            [Source.ALS, Source.ALS, Source.ALS, Source.POPULARITY],
        )
        candidates = Query("u0", candidates=["i1", "i4"], discovery=discovery)
        order = best(model, 0, {1, 4}, discovery)
        answer = Recommender(model).recommend(candidates)
        assert answer.items == order
        assert answer.scores == [scores[item] for item in order]


def test_a_higher_dial_shows_more_and_less_popular_artists(rng: np.random.Generator) -> None:
    # Two halves of the users with a taste each, and in each half artists from popular to unknown.
    popularity = np.tile(0.9 * 0.93 ** np.arange(60), 2)
    taste = np.kron(np.eye(2), np.ones((100, 60))) + 0.05
    model = small_model(interactions_of(rng.random((200, 120)) < taste * popularity))
    listeners = model.popularity.listeners
    seen_before = (np.inf, 0)
    for discovery in (0, 0.25, 0.5, 0.75, 1):
        queries = [Query(f"u{user}", discovery=discovery) for user in range(200)]
        lists = np.stack([one.items for one in Recommender(model).recommend_many(queries)])
        shown = (float(listeners[lists].mean()), len(np.unique(lists)))
        assert shown[0] < seen_before[0]
        assert shown[1] > seen_before[1]
        own_half = lists // 60 == np.arange(200)[:, None] // 100
        assert own_half.mean() > 0.9  # still personal
        seen_before = shown


def test_the_dial_changes_neither_popularity_nor_filled_places(listed: Model) -> None:
    recommender = Recommender(listed)
    for query in (Query(n=6), Query("u1", n=6, strategy=Strategy.POPULARITY), Query("u3", n=6)):
        off = plain_answer(recommender.recommend(query))
        assert plain_answer(recommender.recommend(replace(query, discovery=1))) == off
    filled = recommender.recommend(Query("u0", candidates=["i5", "i3"], discovery=1))
    assert plain_answer(filled)[1] == [3, 5]
    assert np.isnan(filled.scores[1])


@pytest.mark.parametrize("discovery", [-0.01, 1.01, float("nan"), float("inf")])
def test_a_dial_out_of_range_is_refused(discovery: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1, not"):
        Query(discovery=discovery)
