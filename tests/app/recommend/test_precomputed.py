from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from app.events.activity import Activity
from app.model import id_map
from app.model.model import Model, TopLists
from app.recommend.ladder import Recommender
from app.recommend.query import Query, Source
from tests.app.recommend.expected import (
    best,
    plain_answer,
    random_query,
)
from training.fitting.top_lists import with_top_lists


def test_the_precomputed_list_is_used_as_long_as_it_suffices(plain: Model) -> None:
    # A list that no live scoring would give shows who answered.
    marked = TopLists(
        np.array([[4, 1], [3, 0], [4, 0], [-1, -1]], dtype=np.int32),
        np.full((4, 2), 77.0, dtype=np.float32),
    )
    recommender = Recommender(replace(plain, top_lists=marked))

    def answer(**query: Any) -> tuple[list[int], bool]:
        result = recommender.recommend(Query("u0", **query))
        return result.items, bool(result.scores[0] == 77.0)

    live = best(plain, 0, {1, 3, 4})
    assert answer(n=1) == ([4], True)
    assert answer(n=2) == ([4, 1], True)
    assert answer(n=1, exclude=["i4"]) == ([1], True)
    assert answer(n=1, exclude=["i2", "nobody"]) == ([4], True)
    assert answer(n=1, offset=1) == ([1], True)
    assert answer(n=2, discovery=0.0) == ([4, 1], True)
    # What the list cannot give is scored live.
    assert answer(n=3) == (live, False)
    assert answer(n=2, exclude=["i4"]) == ([one for one in live if one != 4], False)
    assert answer(n=1, offset=2) == (live[2:], False)
    assert answer(n=2, include_seen=True)[1] is False
    assert answer(n=2, candidates=["i1", "i3"])[1] is False
    assert answer(n=2, discovery=1e-9)[1] is False
    assert answer(n=2, listens=[("i0", 1.0)])[1] is False
    assert answer(n=2, listens=[("nobody", 1.0)]) == (live[:2], False)


def test_a_list_that_ends_early_is_all_there_is(plain: Model) -> None:
    model = with_top_lists(plain, 5)
    assert model.top_lists is not None
    assert model.top_lists.items[0].tolist() == [*best(plain, 0, {1, 3, 4}), -1, -1]
    recommender = Recommender(model)
    without = Recommender(plain)
    for query in (Query("u0", n=5), Query("u0", n=5, exclude=["i1"]), Query("u0", n=1, offset=3)):
        expected = plain_answer(without.recommend(query))
        assert plain_answer(recommender.recommend(query)) == expected
    assert -1 not in recommender.recommend(Query("u0", n=50)).items


def test_artists_whose_ids_are_not_cached_are_excluded_too(
    listed: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(id_map, "_CACHED_ITEMS", 2)
    recommender = Recommender(replace(listed))  # a copy, which has a cache of its own
    first, second = recommender.recommend(Query("u0", n=2)).items
    assert max(first, second) >= 2
    for excluded, left in ((first, second), (second, first)):
        answer = recommender.recommend_quickly(Query("u0", n=1, exclude=[f"i{excluded}"]))
        assert answer is not None
        assert answer.items == [left]
    assert recommender.model.item_ids.cached[2:] == []


def test_lists_and_live_scoring_give_the_same_answers(
    rng: np.random.Generator, many: Model
) -> None:
    queries = [random_query(rng, many) for _ in range(200)]
    listed = Recommender(many).recommend_many(queries)
    live = Recommender(replace(many, top_lists=None)).recommend_many(queries)
    assert [plain_answer(one) for one in listed] == [plain_answer(one) for one in live]


@pytest.mark.parametrize("include_seen", [False, True])
def test_artists_that_events_only_hide_are_left_out_of_the_precomputed_list(
    many: Model, include_seen: bool
) -> None:
    recommender = Recommender(many)
    unlisted = Recommender(replace(many, top_lists=None))
    whole = recommender.recommend(Query("u0", n=10))
    first, _, third = [many.items.id(item) for item in whole.items[:3]]
    learned = Activity(seen=frozenset({first, "new"}), barred=frozenset({third}))
    query = Query("u0", n=5, exclude=["i7"], include_seen=include_seen, activity=learned)
    quick = recommender.recommend_quickly(query)
    assert (quick is None) is include_seen
    answer = plain_answer(recommender.recommend(query))
    assert answer == plain_answer(unlisted.recommend(query))
    assert answer[0] is Source.ALS
    hidden = {"i7", third} | (set() if include_seen else {first})
    assert not hidden & {many.items.id(item) for item in answer[1]}


def test_only_a_history_is_looked_up_quickly_beside_events(many: Model) -> None:
    recommender = Recommender(many)
    for activity in (
        Activity(units={"i1": 1.0}),
        Activity(disliked=frozenset({"i1"}), barred=frozenset({"i1"})),
        Activity(is_erased=True),
        Activity(seen=frozenset(map(str, range(2000)))),
    ):
        assert recommender.recommend_quickly(Query("u0", n=5, activity=activity)) is None
