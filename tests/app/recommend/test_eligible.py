from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.model.model import Model
from app.recommend.availability import Availability
from app.recommend.ladder import Recommender
from app.recommend.query import Query, Source, Strategy
from tests.app.recommend.expected import (
    best,
    exact_scores,
    plain_answer,
    without,
)


@pytest.mark.parametrize("fixture", ["plain", "listed"])
@pytest.mark.parametrize("strategy", list(Strategy))
def test_excluded_items_never_appear_and_unknown_ones_do_not_matter(
    fixture: str, strategy: Strategy, request: pytest.FixtureRequest
) -> None:
    recommender = Recommender(request.getfixturevalue(fixture))
    everything = recommender.recommend(Query("u0", n=6, strategy=strategy)).items
    for excluded in everything:
        query = Query("u0", n=6, strategy=strategy, exclude=[f"i{excluded}", "nobody", ""])
        left = [item for item in everything if item != excluded]
        assert recommender.recommend(query).items == left
    nothing = Query("u0", n=6, strategy=strategy, exclude=[f"i{item}" for item in range(6)])
    assert recommender.recommend(nothing).items == []


def test_include_seen_ranks_the_history_too(listed: Model) -> None:
    answer = Recommender(listed).recommend(Query("u0", n=6, include_seen=True))
    scores = exact_scores(listed, 0)
    order = best(listed, 0, {0, 1, 2, 3, 4})
    assert plain_answer(answer) == (
        Source.ALS,
        [*order, 5],
        [*(scores[item] for item in order), None],
        [Source.ALS] * 5 + [Source.POPULARITY],
    )
    assert order[0] in {0, 2}  # what somebody plays fits best


def test_candidates_alone_are_ranked_without_seen_excluded_and_unknown_ones(
    listed: Model,
) -> None:
    recommender = Recommender(listed)
    scores = exact_scores(listed, 0)
    order = best(listed, 0, {3, 4})
    query = Query(
        "u0", n=5, candidates=["i4", "i0", "i3", "nobody", "i5", "i3", "i1"], exclude=["i1"]
    )
    assert plain_answer(recommender.recommend(query)) == (
        Source.ALS,
        [*order, 5],
        [*(scores[item] for item in order), None],
        [Source.ALS, Source.ALS, Source.POPULARITY],
    )
    stranger = replace(query, user_id=None)
    assert recommender.recommend(stranger).items == [0, 3, 4, 5]
    with_seen = replace(query, include_seen=True, n=2)
    assert recommender.recommend(with_seen).items == best(listed, 0, {0, 3, 4})[:2]


@pytest.mark.parametrize("user_id", ["u0", "nobody"])
@pytest.mark.parametrize("candidates", [[], ["nobody"], ["i2"]])
def test_no_usable_candidate_gives_an_empty_list(
    listed: Model, user_id: str, candidates: list[str]
) -> None:
    query = Query(user_id, candidates=candidates, exclude=["i2"])
    assert Recommender(listed).recommend(query).items == []


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"n": 3, "offset": 4},
        {"exclude": ["i7", "i8"]},
        {"include_seen": True},
        {"strategy": Strategy.POPULARITY},
        {"user_id": "nobody"},
        {"listens": [("i5", 2.0)]},
        {"candidates": [f"i{item}" for item in range(60)]},
        {"n": 60},
    ],
)
def test_an_unavailable_artist_is_in_no_answer_and_leaves_no_hole(
    many: Model, fields: dict[str, Any]
) -> None:
    query = replace(Query("u0", n=5), **fields)
    plain = Recommender(many)
    gone = plain.recommend(query).items[::2]
    answer = without(many, *gone).recommend(query)
    assert not set(gone) & set(answer.items)
    everything = replace(query, n=60, offset=0)
    left = [item for item in plain.recommend(everything).items if item not in gone]
    assert answer.items == left[query.offset : query.offset + query.n]


def test_unavailable_artists_that_the_model_does_not_know_matter_to_no_list(many: Model) -> None:
    recommender = Recommender(many)
    before = plain_answer(recommender.recommend(Query("u0")))
    gone = Availability.of(1, ["never heard of"], many.items)
    recommender = Recommender(many, availability=gone)
    assert plain_answer(recommender.recommend(Query("u0"))) == before
    assert recommender.availability.artists == {"never heard of"}
