from __future__ import annotations

from dataclasses import replace

from app.model.model import Model
from app.recommend.ladder import Recommender
from app.recommend.query import PopularityBy, Query, Source, Strategy
from tests.app.recommend.expected import (
    BY_LISTENERS,
    BY_PLAYS,
    plain_answer,
    without,
)


def test_an_unknown_user_gets_popularity_with_its_counts(listed: Model) -> None:
    for user_id in (None, "nobody", "", "u" * 5000, "\udc00"):
        assert plain_answer(Recommender(listed).recommend(Query(user_id, n=4))) == (
            Source.POPULARITY,
            BY_LISTENERS[:4],
            [3, 2, 1, 1],
            [Source.POPULARITY] * 4,
        )


def test_a_user_with_an_empty_row_gets_popularity(listed: Model) -> None:
    answer = Recommender(listed).recommend(Query("u3", n=6))
    assert plain_answer(answer)[:2] == (Source.POPULARITY, BY_LISTENERS)


def test_popularity_leaves_out_artists_that_the_user_has(listed: Model) -> None:
    recommender = Recommender(listed)
    query = Query("u1", n=6, strategy=Strategy.POPULARITY)
    assert plain_answer(recommender.recommend(query)) == (
        Source.POPULARITY,
        [0, 3, 5],
        [1, 1, 0],
        [Source.POPULARITY] * 3,
    )
    seen = recommender.recommend(replace(query, include_seen=True))
    assert seen.items == BY_LISTENERS


def test_popularity_by_plays_orders_and_scores_by_plays(listed: Model) -> None:
    recommender = Recommender(listed, popularity_by=PopularityBy.PLAYS)
    assert plain_answer(recommender.recommend(Query(n=6))) == (
        Source.POPULARITY,
        BY_PLAYS,
        [10, 9, 3, 3, 2, 0],
        [Source.POPULARITY] * 6,
    )
    assert recommender.popularity.page(2, 1).tolist() == [0, 2]


def test_popular_pages_through_the_whole_order(listed: Model) -> None:
    recommender = Recommender(listed)
    assert recommender.popularity.page(4).tolist() == BY_LISTENERS[:4]
    assert recommender.popularity.page(4, 4).tolist() == BY_LISTENERS[4:]
    assert recommender.popularity.page(4, 6).tolist() == []
    assert recommender.popularity.counts.tolist() == [1, 2, 3, 1, 1, 0]


def test_an_unavailable_artist_leaves_the_popular_ones(many: Model) -> None:
    ranking = Recommender(many).popularity.page(60).tolist()
    gone = ranking[1:4]
    assert (
        without(many, *gone).popularity.page(5, 2).tolist()
        == [item for item in ranking if item not in gone][2:7]
    )
