from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from app.events.event import Event
from app.events.event_types import EventType
from app.model.interactions import UserItems
from app.model.model import Model
from app.model.weighting import Weighting
from app.recommend.ladder import Recommender
from app.recommend.query import Query, Source, Strategy
from tests.app.recommend.expected import (
    acted,
    best,
    plain_answer,
    solved,
    weighed,
)
from tests.builders import als_of


def test_a_play_counts_three_medians_of_the_users_own_weights(many: Model) -> None:
    row = many.user_items.take(np.array([0]))
    new = next(item for item in range(60) if item not in row.indices)

    def weigh(weighting: Weighting) -> NDArray[np.float64]:
        weights = weighed(row, weighting)
        weights[new] = 3 * float(np.median(weighting.weigh(row)))
        return weights

    query = Query("u0", n=40, activity=acted(Event("u0", many.items.id(new))))
    answer = Recommender(many).recommend(query)
    assert answer.source is Source.FOLD_IN
    seen = {*row.indices.tolist(), new}
    expected = best(many, solved(many, weigh), set(range(60)) - seen)
    assert answer.items[: len(expected)] == expected[:40]
    assert new not in answer.items


def test_an_unknown_users_play_counts_three_medians_of_all_weights(many: Model) -> None:
    def weigh(weighting: Weighting) -> NDArray[np.float64]:
        weights = np.zeros(len(many.items))
        weights[5] = 3 * np.median(weighting.weigh(many.user_items))
        return weights

    query = Query("nobody", n=40, activity=acted(Event("nobody", "i5")))
    answer = Recommender(many).recommend(query)
    assert answer.source is Source.FOLD_IN
    assert answer.items == best(many, solved(many, weigh), set(range(60)) - {5})[:40]


def test_a_dislike_leaves_the_taste_and_every_rung(many: Model) -> None:
    recommender = Recommender(many)
    row = many.user_items.take(np.array([0]))
    item = int(row.indices[0])

    def weigh(weighting: Weighting) -> NDArray[np.float64]:
        weights = weighed(row, weighting)
        weights[item] = 0
        return weights

    activity = acted(Event("u0", many.items.id(item), EventType.DISLIKE))
    answer = recommender.recommend(Query("u0", n=60, activity=activity, include_seen=True))
    expected = best(many, solved(many, weigh), set(range(60)) - {item})
    assert answer.items[: len(expected)] == expected
    for strategy in Strategy:
        query = Query("u0", n=60, activity=activity, include_seen=True, strategy=strategy)
        assert item not in recommender.recommend(query).items
        candidates = replace(query, candidates=[many.items.id(item), "i1"])
        assert item not in recommender.recommend(candidates).items


def test_a_skip_of_an_unheard_artist_hides_it_and_leaves_the_taste_alone(many: Model) -> None:
    recommender = Recommender(many)
    before = recommender.recommend(Query("u0", n=10))
    first = many.items.id(before.items[0])
    query = Query("u0", n=9, activity=acted(Event("u0", first, EventType.SKIP)))
    assert recommender.recommend(query).items == before.items[1:]


def test_skips_use_up_the_weight_of_an_artist(many: Model) -> None:
    row = many.user_items.take(np.array([0]))
    item = int(row.indices[als_of(many).weighting.weigh(row).argmax()])
    skip = Event("u0", many.items.id(item), EventType.SKIP)
    answers = [
        Recommender(many).recommend(Query("u0", n=20, activity=acted(*[skip] * number)))
        for number in (1, 50, 51)
    ]
    assert answers[0].scores != answers[1].scores
    assert answers[1].scores == answers[2].scores  # nothing is left to take away
    dislike = acted(Event("u0", many.items.id(item), EventType.DISLIKE))
    assert (
        answers[2].scores == Recommender(many).recommend(Query("u0", n=20, activity=dislike)).scores
    )


def test_a_users_vector_is_solved_once_for_the_same_events(
    many: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    solved_rows = []
    fold_in = Model.fold_in_weights

    def counted(model: Model, rows: Sequence[UserItems]) -> NDArray[np.float32]:
        solved_rows.append(rows[0].n_users)
        return fold_in(model, rows)

    monkeypatch.setattr(Model, "fold_in_weights", counted)
    recommender, activity = Recommender(many), acted(Event("u0", "i1"))
    first, again, more = (Query("u0", n=n, activity=activity) for n in (5, 5, 7))
    answers = [plain_answer(recommender.recommend(query)) for query in (first, again, more)]
    assert solved_rows == [1]
    assert answers[0] == answers[1]
    newer = replace(first, activity=acted(Event("u0", "i1"), Event("u0", "i2")))
    assert plain_answer(recommender.recommend(newer)) != answers[0]
    told = replace(first, listens=[("i2", 1.0)])
    assert recommender.recommend(told).scores != answers[0][2]
    assert solved_rows == [1, 1, 1]


def test_a_vector_goes_with_the_activity_that_it_was_solved_for(many: Model) -> None:
    # Was wrong: it stayed, with the events of users who were erased or forgotten.
    recommender = Recommender(many)
    activities = [acted(Event(f"u{user}", "i1")) for user in range(8)]
    queries = [Query(f"u{user}", activity=activity) for user, activity in enumerate(activities)]
    recommender.recommend_many(queries)
    assert len(recommender._solved) == 8
    del queries
    del activities[3:]
    assert len(recommender._solved) == 3
    again = Query("u0", activity=activities[0])
    expected = plain_answer(Recommender(many).recommend(again))
    assert plain_answer(recommender.recommend(again)) == expected


def test_users_who_share_an_activity_do_not_share_a_vector(many: Model) -> None:
    recommender, activity = Recommender(many), acted(Event("any", "i1"))
    queries = [Query(f"u{user}", activity=activity) for user in range(8)]
    expected = [plain_answer(Recommender(many).recommend(query)) for query in queries]
    for _ in range(2):
        assert [plain_answer(one) for one in recommender.recommend_many(queries)] == expected
