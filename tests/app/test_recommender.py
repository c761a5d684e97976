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
from numpy.typing import NDArray

from app import id_map, scoring
from app import recommender as recommender_module
from app.activity import Activity, activity_of
from app.assortment import Assortment
from app.discovery import discount
from app.errors import UnknownUser
from app.events import Event, EventRules, EventType, StoredEvent
from app.interactions import UserItems
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
    dense_of,
    interactions_of,
    random_model,
    random_plays,
    small_model,
    user_items_of,
)
from training.fitting.top_lists import with_top_lists

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
    assert {type(item) for item in answer.items} <= {int}
    assert {type(score) for score in answer.scores} <= {float}
    return answer.source, answer.items, scores, list(answer.sources)


def exact_scores(
    model: Model, user: int | NDArray[np.float32], discovery: float = 0.0
) -> dict[int, float]:
    """The item scores of a user index or a vector in float64, rounded as served."""
    vector = (model.user_factors[user] if isinstance(user, int) else user).astype(np.float64)
    factors = discount(model.catalogue.log_discount, discovery).astype(np.float64)
    scores = [float((item.astype(np.float64) * vector).sum()) for item in model.item_factors]
    return {
        index: float(np.float32(score * factors[index] if score > 0 else score))
        for index, score in enumerate(scores)
    }


def best(
    model: Model, user: int | NDArray[np.float32], allowed: set[int], discovery: float = 0.0
) -> list[int]:
    """Allowed items with listeners by exact score."""
    scores = exact_scores(model, user, discovery)
    known = allowed - set(model.unlistened.tolist())
    return sorted(known, key=lambda index: (-scores[index], index))


def history(model: Model, user_index: int) -> list[tuple[str, float]]:
    """What a user plays, as it could be sent with a query."""
    items, plays = model.user_items.row(user_index)
    return [(model.items.id(int(item)), float(one)) for item, one in zip(items, plays, strict=True)]


def folded_in(model: Model, query: Query) -> NDArray[np.float32] | None:
    """The vector of a query with known listens, solved from dense rows; None without any."""
    told = np.zeros(len(model.items))
    for item_id, plays in query.listens or ():
        if (index := model.items.index(item_id)) is not None:
            told[index] += plays
    if not told.any():
        return None
    user_index = model.users.index(query.user_id or "nobody")
    history = np.zeros(0) if user_index is None else dense_of(model.user_items)[user_index]
    if not history.any():
        vector: NDArray[np.float32] = model.fold_in(user_items_of(told[None]))[0]
        return vector
    row = user_items_of(history[None])
    weights = np.zeros(len(model.items), dtype=np.float64)
    weights[row.indices] = model.weighting.weigh(row)
    unit = model.event_unit.multiple * float(np.median(model.weighting.weigh(row)))
    weights += unit * np.log2(1 + told)
    return solved(model, weights)


def solved(model: Model, weights: NDArray[np.float64]) -> NDArray[np.float32]:
    """The vector of somebody with these weights by item index, float32, as the service keeps it."""
    row = user_items_of(weights[None])
    vector: NDArray[np.float32] = model.fold_in(row, row.plays)[0]
    return vector


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
    monkeypatch.setattr(recommender_module, "_QUICK_LENGTH", 10 + seen)
    assert recommender.recommend_quickly(query) is not None
    monkeypatch.setattr(recommender_module, "_QUICK_LENGTH", 10 + seen - 1)
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
    assert seen.items == BY_LISTENERS


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
    everything = recommender.recommend(Query("u0", n=6, strategy=strategy)).items
    for excluded in everything:
        query = Query("u0", n=6, strategy=strategy, exclude=[f"i{excluded}", "nobody", ""])
        left = [item for item in everything if item != excluded]
        assert recommender.recommend(query).items == left
    nothing = Query("u0", n=6, strategy=strategy, exclude=[f"i{item}" for item in range(6)])
    assert recommender.recommend(nothing).items == []


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


def test_the_dial_moves_neither_popularity_nor_what_is_filled_in(listed: Model) -> None:
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


def test_listens_of_an_artist_that_nobody_had_are_no_usable_history(listed: Model) -> None:
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
        discovery=float(rng.choice([0.0, 0.0, 0.25, 1.0])),
        listens=[(item, float(rng.integers(1, 50))) for item in some_items(9)]
        if rng.random() < 0.3
        else None,
    )


def test_a_batch_answers_exactly_as_one_by_one_whatever_the_mix(
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


def acted(*events: Event) -> Activity:
    """What events of one moment come to."""
    stored = [StoredEvent(number, 0, event) for number, event in enumerate(events, start=1)]
    return activity_of(stored, EventRules(), now=0)


def test_a_play_counts_three_medians_of_the_users_own_weights(many: Model) -> None:
    weights = np.zeros(len(many.items))
    row = many.user_items.take(np.array([0]))
    weights[row.indices] = many.weighting.weigh(row)
    new = next(item for item in range(60) if not weights[item])
    weights[new] = 3 * float(np.median(many.weighting.weigh(row)))
    query = Query("u0", n=40, activity=acted(Event("u0", many.items.id(new))))
    answer = Recommender(many).recommend(query)
    assert answer.source is Source.FOLD_IN
    seen = {*row.indices.tolist(), new}
    expected = best(many, solved(many, weights), set(range(60)) - seen)
    assert answer.items[: len(expected)] == expected[:40]
    assert new not in answer.items


def test_an_unknown_users_play_counts_three_medians_of_all_weights(many: Model) -> None:
    weights = np.zeros(len(many.items))
    weights[5] = 3 * np.median(many.weighting.weigh(many.user_items))
    query = Query("nobody", n=40, activity=acted(Event("nobody", "i5")))
    answer = Recommender(many).recommend(query)
    assert answer.source is Source.FOLD_IN
    assert answer.items == best(many, solved(many, weights), set(range(60)) - {5})[:40]


def test_a_dislike_leaves_the_taste_and_every_rung(many: Model) -> None:
    recommender = Recommender(many)
    row = many.user_items.take(np.array([0]))
    item = int(row.indices[0])
    weights = np.zeros(len(many.items))
    weights[row.indices] = many.weighting.weigh(row)
    weights[item] = 0
    activity = acted(Event("u0", many.items.id(item), EventType.DISLIKE))
    answer = recommender.recommend(Query("u0", n=60, activity=activity, include_seen=True))
    expected = best(many, solved(many, weights), set(range(60)) - {item})
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
    item = int(row.indices[many.weighting.weigh(row).argmax()])
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


def test_events_of_unknown_artists_alone_leave_an_unknown_user_to_popularity(
    listed: Model,
) -> None:
    activity = acted(Event("nobody", "never heard of"))
    query = Query("nobody", n=6, activity=activity)
    answer = Recommender(listed).recommend(query)
    assert plain_answer(answer) == plain_answer(Recommender(listed).recommend(Query(n=6)))
    with pytest.raises(UnknownUser):
        Recommender(listed).recommend(replace(query, strategy=Strategy.ALS))


def test_a_users_vector_is_solved_once_for_the_same_events(
    many: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    solved_rows = []
    fold_in = Model.fold_in

    def counted(model: Model, rows: UserItems, *rest: Any) -> NDArray[np.float32]:
        solved_rows.append(rows.n_users)
        return fold_in(model, rows, *rest)

    monkeypatch.setattr(Model, "fold_in", counted)
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


def test_no_more_vectors_are_kept_than_allowed(
    many: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recommender_module, "_KEPT_VECTORS", 3)
    recommender, activity = Recommender(many), acted(Event("any", "i1"))
    queries = [Query(f"u{user}", activity=activity) for user in range(8)]
    expected = [plain_answer(Recommender(many).recommend(query)) for query in queries]
    assert [plain_answer(one) for one in recommender.recommend_many(queries)] == expected
    assert len(recommender._folded) == 3


def without(model: Model, *items: int) -> Recommender:
    """A recommender whose assortment lacks some items."""
    recommender = Recommender(model)
    recommender.assortment = Assortment.of(1, map(model.items.id, items), model.items)
    return recommender


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


def test_an_unavailable_artist_leaves_the_popular_ones(many: Model) -> None:
    ranking = Recommender(many).popular(60).tolist()
    gone = ranking[1:4]
    assert (
        without(many, *gone).popular(5, 2).tolist()
        == [item for item in ranking if item not in gone][2:7]
    )


def test_unavailable_artists_that_the_model_does_not_know_matter_to_no_list(many: Model) -> None:
    recommender = Recommender(many)
    before = plain_answer(recommender.recommend(Query("u0")))
    recommender.assortment = Assortment.of(1, ["never heard of"], many.items)
    assert plain_answer(recommender.recommend(Query("u0"))) == before
    assert recommender.assortment.artists == {"never heard of"}


def test_an_erased_user_is_nobody_whatever_the_model_holds(listed: Model) -> None:
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
