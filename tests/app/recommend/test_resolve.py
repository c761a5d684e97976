from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.errors import UnknownUser
from app.events.activity import Activity, activity_of
from app.events.event import Event, StoredEvent
from app.events.event_types import EventRules
from app.model.model import Model
from app.recommend.ladder import Recommender
from app.recommend.query import Query, Source, Strategy
from tests.app.recommend.expected import (
    BY_LISTENERS,
    acted,
    history,
    plain_answer,
)
from training.fitting.top_lists import with_top_lists


@pytest.mark.parametrize("list_length", [0, 12])
@pytest.mark.parametrize("discovery", [0.0, 0.5])
def test_a_history_that_is_sent_gets_the_list_of_the_trained_user_bit_for_bit(
    many: Model, list_length: int, discovery: float
) -> None:
    recommender = Recommender(with_top_lists(many, list_length))
    users = [user for user in range(40) if many.has_history(user)]
    trained = recommender.recommend_many(
        [Query(f"u{user}", n=12, discovery=discovery) for user in users]
    )
    sent = recommender.recommend_many(
        [Query(n=12, discovery=discovery, listens=history(many, user)[::-1]) for user in users]
    )
    for one, other in zip(trained, sent, strict=True):
        assert (one.source, other.source) == (Source.ALS, Source.FOLD_IN)
        # A list keeps scores in float32, and every one that is computed went through that.
        np.testing.assert_array_equal(one.items, other.items)
        np.testing.assert_array_equal(one.scores, other.scores)
        fold_in = [Source.FOLD_IN if one is Source.ALS else one for one in one.sources]
        assert other.sources == fold_in


def test_listens_of_a_user_with_a_history_count_as_events_would(many: Model) -> None:
    recommender = Recommender(many)
    more = [("i1", 40.0), (history(many, 0)[0][0], 7.0), ("i1", 2.0)]
    told = recommender.recommend(Query("u0", n=30, listens=more))
    stored = [StoredEvent(1, 0, Event("u0", item, plays=plays)) for item, plays in more]
    activity = activity_of(stored, EventRules(), now=0)
    assert plain_answer(told) == plain_answer(
        recommender.recommend(Query("u0", n=30, activity=activity))
    )
    assert told.source is Source.FOLD_IN
    assert plain_answer(told) != plain_answer(recommender.recommend(Query("u0", n=30)))


def test_listens_of_unknown_artists_are_as_if_not_sent(many: Model) -> None:
    recommender = Recommender(many)
    unknown = [("nobody", 3.0), ("", 1.0)]
    for query in (Query("u0"), Query(), Query("u4"), Query(listens=[("i1", 2.0)])):
        listens = [*unknown, *(query.listens or ())]
        answer = recommender.recommend(replace(query, listens=listens))
        assert plain_answer(answer) == plain_answer(recommender.recommend(query))
    with pytest.raises(UnknownUser):
        recommender.recommend(Query(strategy=Strategy.ALS, listens=unknown))


def test_als_on_demand_takes_listens_for_a_history(many: Model) -> None:
    recommender = Recommender(many)
    for user_id in (None, "nobody", "u4"):
        auto = Query(user_id, n=5, listens=[("i1", 2.0), ("i9", 1.0)])
        answer = recommender.recommend(replace(auto, strategy=Strategy.ALS))
        assert answer.source is Source.FOLD_IN
        assert plain_answer(answer) == plain_answer(recommender.recommend(auto))


def test_popularity_on_demand_hides_the_listens(listed: Model) -> None:
    query = Query(n=6, strategy=Strategy.POPULARITY, listens=[("i1", 2.0), ("i5", 1.0)])
    recommender = Recommender(listed)
    answer = recommender.recommend(query)
    assert plain_answer(answer)[:2] == (Source.POPULARITY, [2, 0, 3, 4])
    seen = recommender.recommend(replace(query, include_seen=True))
    assert seen.items == BY_LISTENERS


def test_listens_appear_only_with_include_seen(listed: Model) -> None:
    recommender = Recommender(listed)
    query = Query(n=6, listens=[("i1", 5.0), ("i2", 1.0)])
    answer = recommender.recommend(query)
    assert plain_answer(answer)[3] == [Source.FOLD_IN] * 3 + [Source.POPULARITY]
    assert sorted(answer.items[:3]) == [0, 3, 4]
    assert answer.items[3] == 5
    seen = recommender.recommend(replace(query, include_seen=True))
    assert set(seen.items[:5]) == {0, 1, 2, 3, 4}
    assert seen.items[0] in {1, 2}


def test_listens_of_an_artist_without_listeners_are_not_a_usable_history(listed: Model) -> None:
    query = Query(n=6, listens=[("i5", 9.0)])
    answer = Recommender(listed).recommend(query)
    assert plain_answer(answer)[:2] == (Source.POPULARITY, [2, 1, 0, 3, 4])
    with pytest.raises(UnknownUser):
        Recommender(listed).recommend(replace(query, strategy=Strategy.ALS))


@pytest.mark.parametrize("strategy", list(Strategy))
def test_plays_that_are_no_number_above_zero_are_refused(listed: Model, strategy: Strategy) -> None:
    query = Query("u0", strategy=strategy, listens=[("i1", 1.0), ("i2", 0.0)])
    with pytest.raises(ValueError, match="number above 0"):
        Recommender(listed).recommend(query)


def test_events_of_unknown_artists_alone_leave_an_unknown_user_to_popularity(
    listed: Model,
) -> None:
    activity = acted(Event("nobody", "never heard of"))
    query = Query("nobody", n=6, activity=activity)
    answer = Recommender(listed).recommend(query)
    assert plain_answer(answer) == plain_answer(Recommender(listed).recommend(Query(n=6)))
    with pytest.raises(UnknownUser):
        Recommender(listed).recommend(replace(query, strategy=Strategy.ALS))


def test_an_erased_user_is_unknown_although_the_model_has_them(listed: Model) -> None:
    recommender = Recommender(listed)
    erased = Activity(is_erased=True)
    stranger = plain_answer(recommender.recommend(Query("nobody", n=6)))
    for fields in ({}, {"include_seen": True}, {"strategy": Strategy.POPULARITY}):
        query = replace(Query("u1", n=6, activity=erased), **fields)
        assert plain_answer(recommender.recommend(query)) == stranger
    with pytest.raises(UnknownUser):
        recommender.recommend(Query("u1", strategy=Strategy.ALS, activity=erased))
    again = activity_of([StoredEvent(9, 0, Event("u1", "i0"))], EventRules(), 0, is_erased=True)
    fresh = replace(again, is_erased=False)
    assert plain_answer(recommender.recommend(Query("u1", activity=again))) == plain_answer(
        recommender.recommend(Query("nobody", activity=fresh))
    )
