from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import UnknownUser
from app.model.model import Model
from app.ranking import scoring
from app.recommend import ladder
from app.recommend.ladder import Recommender
from app.recommend.query import Query, Source, Strategy
from tests.app.recommend.expected import (
    best,
    exact_scores,
    folded_in,
    history,
    large_model,
    plain_answer,
    random_query,
)
from tests.builders import (
    random_model,
)
from training.fitting.top_lists import with_top_lists


def test_the_checkerboard_puts_the_right_artist_first_for_each_user(
    checkerboard_model: Model,
) -> None:
    for model in (checkerboard_model, with_top_lists(checkerboard_model, 3)):
        recommender = Recommender(model)
        for user in range(20):
            answer = recommender.recommend(Query(f"u{user}", n=1))
            assert model.items.id(int(answer.items[0])) == f"i{user}"
            assert answer.source is Source.ALS
            assert answer.scores[0] > 0.5


def test_the_checkerboard_scores_the_other_colour_near_zero(checkerboard_model: Model) -> None:
    answer = Recommender(checkerboard_model).recommend(Query("u4", n=11))
    assert answer.items[0] == 4
    assert sorted(answer.items[1:]) == list(range(1, 20, 2))
    assert np.abs(answer.scores[1:]).max() < 0.2


@pytest.mark.parametrize("fixture", ["plain", "listed"])
def test_als_ranks_unseen_artists_and_fills_from_popularity(
    fixture: str, request: pytest.FixtureRequest
) -> None:
    model: Model = request.getfixturevalue(fixture)
    first, second, third = best(model, 0, {1, 3, 4})
    scores = exact_scores(model, 0)
    assert plain_answer(Recommender(model).recommend(Query("u0", n=10))) == (
        Source.ALS,
        [first, second, third, 5],  # i5 has no listeners: ALS knows nothing of it
        [scores[first], scores[second], scores[third], None],
        [Source.ALS, Source.ALS, Source.ALS, Source.POPULARITY],
    )
    assert plain_answer(Recommender(model).recommend(Query("u0", n=2))) == (
        Source.ALS,
        [first, second],
        [scores[first], scores[second]],
        [Source.ALS, Source.ALS],
    )


def test_only_look_ups_are_quick(listed: Model) -> None:
    recommender = Recommender(listed)
    for quick in (
        Query("u0", n=2),
        Query("u0", n=1, exclude=["i4", "nobody"]),
        Query("u0", n=6, strategy=Strategy.POPULARITY),
        Query("nobody", n=6),
        Query(None, n=3, offset=2, exclude=["i0"]),
    ):
        answer = recommender.recommend_quickly(quick)
        assert answer is not None
        assert plain_answer(answer) == plain_answer(recommender.recommend(quick))
    for slow in (
        Query("u0", n=3),
        Query("u0", n=2, exclude=["i4"]),
        Query("u0", n=1, include_seen=True),
        Query("u0", n=1, discovery=0.1),
        Query("u0", n=1, candidates=["i1"]),
        Query("u0", n=1, listens=[("i0", 1.0)]),
        Query("u3", n=1),  # in the model, but without a history
        Query("nobody", n=500, offset=501),
        Query("nobody", exclude=["x"] * 1000),
    ):
        assert recommender.recommend_quickly(slow) is None
    with pytest.raises(UnknownUser, match="strategy=auto"):
        recommender.recommend_quickly(Query("nobody", strategy=Strategy.ALS))


def test_a_long_history_is_not_looked_through_on_the_way(
    many: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    recommender = Recommender(many)
    query = Query("u0", n=10, strategy=Strategy.POPULARITY)
    seen = len(history(many, 0))
    quick = recommender.recommend_quickly(query)
    assert quick is not None
    monkeypatch.setattr(ladder, "_QUICK_LENGTH", 10 + seen)
    assert recommender.recommend_quickly(query) is not None
    monkeypatch.setattr(ladder, "_QUICK_LENGTH", 10 + seen - 1)
    assert recommender.recommend_quickly(query) is None
    assert plain_answer(recommender.recommend(query)) == plain_answer(quick)


def test_one_without_an_answer_does_not_take_the_others_with_it(listed: Model) -> None:
    recommender = Recommender(listed)
    queries = [
        Query("u0", n=4),
        Query("nobody", strategy=Strategy.ALS),
        Query("u3", strategy=Strategy.ALS, include_seen=True),
        Query("u1"),
    ]
    answers = recommender.attempt_many(queries)
    assert [isinstance(answer, UnknownUser) for answer in answers] == [False, True, True, False]
    for query, answer in zip(queries, answers, strict=True):
        if not isinstance(answer, UnknownUser):
            assert plain_answer(answer) == plain_answer(recommender.recommend(query))
    with pytest.raises(UnknownUser):
        recommender.recommend_many(queries)


@pytest.mark.parametrize("user_id", [None, "nobody", "u3"])
def test_als_for_a_user_without_history_raises_unknown_user(
    listed: Model, user_id: str | None
) -> None:
    with pytest.raises(UnknownUser, match="strategy=auto"):
        Recommender(listed).recommend(Query(user_id, strategy=Strategy.ALS))


def test_als_equals_auto_for_a_known_user(listed: Model) -> None:
    recommender = Recommender(listed)
    for n in (1, 2, 6):
        auto = recommender.recommend(Query("u1", n=n))
        als = recommender.recommend(Query("u1", n=n, strategy=Strategy.ALS))
        assert plain_answer(als) == plain_answer(auto)


@pytest.mark.parametrize("strategy", list(Strategy))
@pytest.mark.parametrize("list_length", [0, 3, 12, 80])
def test_a_page_is_the_slice_of_the_longer_list_on_every_rung(
    many: Model, strategy: Strategy, list_length: int
) -> None:
    recommender = Recommender(with_top_lists(many, list_length))
    ids = [many.items.id(index) for index in range(60)]
    for user_id, extra in product(
        ["u0", "u39"],
        [{}, {"exclude": ids[:20]}, {"candidates": ids[10:40]}, {"include_seen": True}],
    ):
        query = Query(user_id, strategy=strategy, n=70, **extra)  # type: ignore[arg-type]
        whole = plain_answer(recommender.recommend(query))
        for offset, n in [(0, 1), (0, 10), (3, 5), (10, 10), (25, 30), (55, 10), (70, 3), (500, 5)]:
            page = plain_answer(recommender.recommend(replace(query, n=n, offset=offset)))
            assert page[0] == whole[0]
            assert page[1:] == tuple(column[offset : offset + n] for column in whole[1:])


@pytest.mark.slow
def test_a_batch_answers_exactly_as_one_by_one(
    rng: np.random.Generator, many: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries = [random_query(rng, many) for _ in range(300)]
    for model in (many, replace(many, top_lists=None)):
        recommender = Recommender(model)
        alone = [plain_answer(recommender.recommend(query)) for query in queries]
        assert [plain_answer(one) for one in recommender.recommend_many(queries)] == alone
        monkeypatch.setattr(scoring, "USERS_PER_SCAN", 7)
        assert [plain_answer(one) for one in recommender.recommend_many(queries)] == alone
        monkeypatch.undo()
    assert {source for source, *_ in alone} == set(Source) - {Source.EXPLORE}


def test_an_empty_batch_has_no_answers(many: Model) -> None:
    assert Recommender(many).recommend_many([]) == []


def test_one_unknown_user_under_als_fails_the_batch(listed: Model) -> None:
    queries = [Query("u0"), Query("nobody", strategy=Strategy.ALS)]
    with pytest.raises(UnknownUser):
        Recommender(listed).recommend_many(queries)


@settings(deadline=None, max_examples=80)
@given(seed=st.integers(0, 2**32))
def test_any_answer_is_unique_allowed_as_long_as_possible_and_in_order(seed: int) -> None:
    many = large_model()  # no fixture: Hypothesis would print the whole model
    query = random_query(np.random.default_rng(seed), many)
    answer = Recommender(many).recommend(replace(query, offset=0))
    items = answer.items
    allowed = set(range(60))
    if query.candidates is not None:
        allowed = set(many.items.indices(query.candidates).tolist())
    allowed -= set(many.items.indices(query.exclude).tolist())
    user_index = many.users.index(query.user_id or "nobody")
    vector = None if user_index is None else many.user_factors[user_index]
    if not query.include_seen:
        allowed -= set(many.items.indices([item for item, _ in query.listens or ()]).tolist())
        if user_index is not None:
            allowed -= set(many.user_items.row(user_index)[0].tolist())
    assert len(set(items)) == len(items) == min(query.n, len(allowed))
    assert set(items) <= allowed

    own = [source is answer.source for source in answer.sources]
    assert own == sorted(own, reverse=True)  # what is filled in comes last
    assert np.isnan(answer.scores).tolist() == [not one for one in own]
    scores = answer.scores[: sum(own)]
    assert scores == sorted(scores, reverse=True)
    if answer.source is not Source.POPULARITY:
        told = folded_in(many, query)
        assert answer.source is (Source.ALS if told is None else Source.FOLD_IN)
        vector = vector if told is None else told
        assert vector is not None
        ranked = best(many, vector, allowed, query.discovery)
        filled = items[sum(own) :]
        assert items[: sum(own)] == ranked[: sum(own)]
        expected = exact_scores(many, vector, query.discovery)
        assert scores == [expected[item] for item in items[: sum(own)]]
        rest = [one for one in many.popularity.by_listeners.tolist() if one in allowed]
        assert filled == [one for one in rest if one not in items[: sum(own)]][: len(filled)]


@pytest.mark.slow
def test_eight_threads_get_the_answers_of_one(rng: np.random.Generator) -> None:
    model = random_model(rng, n_users=40, n_items=60, list_length=5)
    queries = [random_query(rng, model) for _ in range(200)]
    expected = [plain_answer(Recommender(replace(model)).recommend(query)) for query in queries]
    recommender = Recommender(model)  # nothing cached yet: the threads race for the first use
    with ThreadPoolExecutor(8) as threads:
        shuffled = rng.permutation(np.repeat(np.arange(200), 4))
        answers = list(threads.map(lambda at: recommender.recommend(queries[at]), shuffled))
    for at, answer in zip(shuffled, answers, strict=True):
        assert plain_answer(answer) == expected[at]
