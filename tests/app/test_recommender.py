from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app import recommender as recommender_module
from app import scoring
from app.errors import UnknownUser
from app.model import Model, TopLists
from app.recommender import (
    PopularityBy,
    Query,
    Recommendation,
    Recommender,
    Source,
    Strategy,
)
from tests.builders import (
    interactions_of,
    random_model,
    random_plays,
    small_model,
)
from training.fit import with_top_lists

#        i0 i1 i2 i3 i4 i5   i5 is nobody's, u3 has nothing
PLAYS = [
    [9, 0, 1, 0, 0, 0],
    [0, 5, 1, 0, 2, 0],
    [0, 5, 1, 3, 0, 0],
    [0, 0, 0, 0, 0, 0],
]
# Listeners 1 2 3 1 1 0, plays 9 10 3 3 2 0.
BY_LISTENERS = [2, 1, 0, 3, 4, 5]
BY_PLAYS = [1, 0, 2, 3, 4, 5]


@pytest.fixture(scope="module")
def plain() -> Model:
    """A model without precomputed lists."""
    return small_model(interactions_of(PLAYS), factors=3)


@pytest.fixture(scope="module")
def listed(plain: Model) -> Model:
    """The same with lists of two."""
    return with_top_lists(plain, 2)


@cache
def large_model() -> Model:
    """A larger model with lists, two users without history and three items without listeners."""
    plays = random_plays(np.random.default_rng(5), n_users=40, n_items=60)
    plays[[4, 17]] = 0
    plays[:, [3, 30, 59]] = 0
    return small_model(interactions_of(plays), list_length=12)


@pytest.fixture(scope="module")
def many() -> Model:
    return large_model()


def plain_answer(answer: Recommendation) -> tuple[Any, ...]:
    """Everything in an answer, comparable; NaN as None."""
    scores = [None if np.isnan(score) else float(score) for score in answer.scores]
    assert len(answer.items) == len(scores) == len(answer.sources)
    assert answer.items.dtype == np.int64
    assert answer.scores.dtype == np.float64
    return answer.source, answer.items.tolist(), scores, list(answer.sources)


def exact_scores(model: Model, user_index: int) -> dict[int, float]:
    """The item scores of one user in float64, rounded as served."""
    vector = model.user_factors[user_index].astype(np.float64)
    return {
        index: float(np.float32((item.astype(np.float64) * vector).sum()))
        for index, item in enumerate(model.item_factors)
    }


def best(model: Model, user_index: int, allowed: set[int]) -> list[int]:
    """Allowed items with listeners by exact score."""
    scores = exact_scores(model, user_index)
    known = allowed - set(model.unlistened.tolist())
    return sorted(known, key=lambda index: (-scores[index], index))


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
    assert sorted(answer.items[1:].tolist()) == list(range(1, 20, 2))
    assert np.abs(answer.scores[1:]).max() < 0.2


@pytest.mark.parametrize("fixture", ["plain", "listed"])
def test_als_ranks_what_the_user_has_not_and_fills_from_popularity(
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


def test_the_precomputed_list_is_used_as_long_as_it_suffices(plain: Model) -> None:
    # A list that no live scoring would give shows who answered.
    marked = TopLists(
        np.array([[4, 1], [3, 0], [4, 0], [-1, -1]], dtype=np.int32),
        np.full((4, 2), 77.0, dtype=np.float32),
    )
    recommender = Recommender(replace(plain, top_lists=marked))

    def answer(**query: Any) -> tuple[list[int], bool]:
        result = recommender.recommend(Query("u0", **query))
        return result.items.tolist(), bool(result.scores[0] == 77.0)

    live = best(plain, 0, {1, 3, 4})
    assert answer(n=1) == ([4], True)
    assert answer(n=2) == ([4, 1], True)
    assert answer(n=1, exclude=["i4"]) == ([1], True)
    assert answer(n=1, exclude=["i2", "nobody"]) == ([4], True)
    assert answer(n=1, offset=1) == ([1], True)
    # What the list cannot give is scored live.
    assert answer(n=3) == (live, False)
    assert answer(n=2, exclude=["i4"]) == ([one for one in live if one != 4], False)
    assert answer(n=1, offset=2) == (live[2:], False)
    assert answer(n=2, include_seen=True)[1] is False
    assert answer(n=2, candidates=["i1", "i3"])[1] is False


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


@pytest.mark.parametrize("user_id", [None, "nobody", "u3"])
def test_als_for_somebody_without_history_is_unknown_user(
    listed: Model, user_id: str | None
) -> None:
    with pytest.raises(UnknownUser, match="strategy=auto"):
        Recommender(listed).recommend(Query(user_id, strategy=Strategy.ALS))


def test_als_on_demand_is_what_auto_gives_a_known_user(listed: Model) -> None:
    recommender = Recommender(listed)
    for n in (1, 2, 6):
        auto = recommender.recommend(Query("u1", n=n))
        als = recommender.recommend(Query("u1", n=n, strategy=Strategy.ALS))
        assert plain_answer(als) == plain_answer(auto)


def test_popularity_on_demand_leaves_out_what_the_user_has(listed: Model) -> None:
    recommender = Recommender(listed)
    query = Query("u1", n=6, strategy=Strategy.POPULARITY)
    assert plain_answer(recommender.recommend(query)) == (
        Source.POPULARITY,
        [0, 3, 5],
        [1, 1, 0],
        [Source.POPULARITY] * 3,
    )
    seen = recommender.recommend(replace(query, include_seen=True))
    assert seen.items.tolist() == BY_LISTENERS


def test_popularity_by_plays_orders_and_scores_by_plays(listed: Model) -> None:
    recommender = Recommender(listed, popularity_by=PopularityBy.PLAYS)
    assert plain_answer(recommender.recommend(Query(n=6))) == (
        Source.POPULARITY,
        BY_PLAYS,
        [10, 9, 3, 3, 2, 0],
        [Source.POPULARITY] * 6,
    )
    assert recommender.popular(2, 1).tolist() == [0, 2]


def test_popular_pages_through_the_whole_order(listed: Model) -> None:
    recommender = Recommender(listed)
    assert recommender.popular(4).tolist() == BY_LISTENERS[:4]
    assert recommender.popular(4, 4).tolist() == BY_LISTENERS[4:]
    assert recommender.popular(4, 6).tolist() == []
    assert recommender.popularity_counts().tolist() == [1, 2, 3, 1, 1, 0]


@pytest.mark.parametrize("fixture", ["plain", "listed"])
@pytest.mark.parametrize("strategy", list(Strategy))
def test_excluded_items_never_appear_and_unknown_ones_do_not_matter(
    fixture: str, strategy: Strategy, request: pytest.FixtureRequest
) -> None:
    recommender = Recommender(request.getfixturevalue(fixture))
    everything = recommender.recommend(Query("u0", n=6, strategy=strategy)).items.tolist()
    for excluded in everything:
        query = Query("u0", n=6, strategy=strategy, exclude=[f"i{excluded}", "nobody", ""])
        left = [item for item in everything if item != excluded]
        assert recommender.recommend(query).items.tolist() == left
    nothing = Query("u0", n=6, strategy=strategy, exclude=[f"i{item}" for item in range(6)])
    assert recommender.recommend(nothing).items.tolist() == []


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
    assert recommender.recommend(stranger).items.tolist() == [0, 3, 4, 5]
    with_seen = replace(query, include_seen=True, n=2)
    assert recommender.recommend(with_seen).items.tolist() == best(listed, 0, {0, 3, 4})[:2]


@pytest.mark.parametrize("user_id", ["u0", "nobody"])
@pytest.mark.parametrize("candidates", [[], ["nobody"], ["i2"]])
def test_no_usable_candidate_gives_an_empty_list(
    listed: Model, user_id: str, candidates: list[str]
) -> None:
    query = Query(user_id, candidates=candidates, exclude=["i2"])
    assert Recommender(listed).recommend(query).items.tolist() == []


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


def random_query(rng: np.random.Generator, model: Model) -> Query:
    def some_items(most: int) -> list[str]:
        chosen = rng.integers(-3, len(model.items), size=rng.integers(0, most))
        return [f"i{index}" for index in chosen]

    user = int(rng.integers(-2, len(model.users)))
    return Query(
        user_id=None if user < -1 else f"u{user}",
        n=int(rng.choice([1, 2, 5, 12, 13, 30, 100])),
        offset=int(rng.choice([0, 0, 0, 4, 20, 90])),
        strategy=Strategy.POPULARITY if rng.random() < 0.2 else Strategy.AUTO,
        exclude=some_items(15) if rng.random() < 0.4 else (),
        candidates=some_items(40) if rng.random() < 0.3 else None,
        include_seen=bool(rng.random() < 0.2),
    )


def test_a_batch_answers_exactly_as_one_by_one_whatever_the_mix(
    rng: np.random.Generator, many: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries = [random_query(rng, many) for _ in range(300)]
    for model in (many, replace(many, top_lists=None)):
        recommender = Recommender(model)
        alone = [plain_answer(recommender.recommend(query)) for query in queries]
        assert [plain_answer(one) for one in recommender.recommend_many(queries)] == alone
        for module in (scoring, recommender_module):
            monkeypatch.setattr(module, "users_per_block", lambda _n_items: 7)
        assert [plain_answer(one) for one in recommender.recommend_many(queries)] == alone
        monkeypatch.undo()
    assert {source for source, *_ in alone} == set(Source)


def test_lists_and_live_scoring_give_the_same_answers(
    rng: np.random.Generator, many: Model
) -> None:
    queries = [random_query(rng, many) for _ in range(200)]
    listed = Recommender(many).recommend_many(queries)
    live = Recommender(replace(many, top_lists=None)).recommend_many(queries)
    assert [plain_answer(one) for one in listed] == [plain_answer(one) for one in live]


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
    items = answer.items.tolist()
    allowed = set(range(60))
    if query.candidates is not None:
        allowed = set(many.items.indices(query.candidates).tolist())
    allowed -= set(many.items.indices(query.exclude).tolist())
    user_index = many.users.index(query.user_id or "nobody")
    if user_index is not None and not query.include_seen:
        allowed -= set(many.user_items.row(user_index)[0].tolist())
    assert len(set(items)) == len(items) == min(query.n, len(allowed))
    assert set(items) <= allowed

    own = [source is answer.source for source in answer.sources]
    assert own == sorted(own, reverse=True)  # what is filled in comes last
    assert np.isnan(answer.scores).tolist() == [not one for one in own]
    scores = answer.scores[: sum(own)].tolist()
    assert scores == sorted(scores, reverse=True)
    if answer.source is Source.ALS:
        assert user_index is not None
        filled = items[sum(own) :]
        assert items[: sum(own)] == best(many, user_index, allowed)[: sum(own)]
        rest = [one for one in many.popularity.by_listeners.tolist() if one in allowed]
        assert filled == [one for one in rest if one not in items[: sum(own)]][: len(filled)]


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
