from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.events.activity import Activity, activity_of
from app.events.event import Event, StoredEvent
from app.events.event_types import EventRules, EventType
from app.model.model import Model, TopLists
from app.ranking.scoring import top_items
from app.recommend.availability import Availability
from app.recommend.ladder import Recommender
from app.recommend.newcomer_rules import NewcomerRules
from app.recommend.newcomers import Newcomer, Newcomers, NewcomerSolver
from app.recommend.query import Query, Source, Strategy
from tests.builders import random_model


@cache
def model() -> Model:
    return random_model(np.random.default_rng(3), n_users=60, n_items=120, list_length=30)


def acted(*events: Event) -> Activity:
    return activity_of([StoredEvent(1, 0, event) for event in events], EventRules(), now=0)


def solver(**rules: Any) -> NewcomerSolver:
    return NewcomerSolver(model(), NewcomerRules(**rules))


def unit(vector: NDArray[np.floating]) -> NDArray[np.float64]:
    exact = vector.astype(np.float64)
    return np.asarray(exact / np.linalg.norm(exact))


def stocked(*artists: Newcomer, unavailable: tuple[str, ...] = ()) -> Recommender:
    return Recommender(
        model(),
        availability=Availability.of(1, unavailable, model().items),
        newcomers=Newcomers.of(model(), artists),
    )


def without_lists(recommender: Recommender) -> Recommender:
    """The same that has to rank live."""
    return Recommender(
        replace(model(), top_lists=None),
        availability=recommender.availability,
        newcomers=recommender.newcomers,
    )


def near(user: int, score: float, name: str = "new") -> Newcomer:
    """An artist in the direction of a user, with this score for them."""
    vector = model().user_factors[user].astype(np.float64)
    return Newcomer(name, f"the {name}", (score * vector / (vector @ vector)).astype(np.float32))


def few(name: str, user: int = 0, sign: float = 1.0) -> Newcomer:
    """An artist with too few listeners, in the direction of a user."""
    vector = (sign * unit(model().user_factors[user])).astype(np.float32)
    return Newcomer(name, f"the {name}", vector, is_ranked=False)


def test_the_direction_is_that_of_the_listeners_and_the_length_that_of_artists() -> None:
    listeners = model().user_factors[:4]
    vector = solver(length_quantile=0.5).solve("new", "New", 3 * listeners).vector
    expected = unit(np.sum([unit(one) for one in listeners], axis=0))
    np.testing.assert_allclose(unit(vector), expected, rtol=1e-5)
    norms = np.linalg.norm(model().item_factors.astype(np.float64), axis=1)
    assert np.linalg.norm(vector) == pytest.approx(np.quantile(norms, 0.5), rel=1e-5)


def test_no_newcomer_is_shown_to_more_than_a_tenth_of_the_users() -> None:
    many = random_model(np.random.default_rng(3), n_users=300, n_items=400)
    solver = NewcomerSolver(many, NewcomerRules())
    solver._lengths = (0.0, np.inf)  # so that nothing else decides
    newcomer = solver.solve("new", "New", 100 * many.user_factors[:5])
    recommender = Recommender(many, newcomers=Newcomers.of(many, [newcomer]))
    queries = [Query(many.users.id(user), n=50) for user in range(300)]
    shown = [400 in answer.items for answer in recommender.recommend_many(queries)]
    assert 0 < sum(shown) <= 30


def test_an_artist_with_too_few_listeners_with_vectors_is_not_ranked() -> None:
    factors = model().item_factors.shape[1]
    nobody = np.zeros((5, factors), dtype=np.float32)
    two = np.concatenate([model().user_factors[:2], nobody])
    one = solver(min_listeners=3).solve("new", "New", two)
    assert not one.is_ranked
    assert np.linalg.norm(one.vector) == pytest.approx(1.0)
    assert solver(min_listeners=2).solve("new", "New", two).is_ranked
    unknown = solver(min_listeners=1).solve("new", "New", nobody)
    assert not unknown.is_ranked
    assert not unknown.vector.any()
    opposite = np.concatenate([two[:1], -two[:1]])
    assert not solver(min_listeners=1).solve("new", "New", opposite).is_ranked


def test_a_newcomer_ranks_by_its_score_on_the_precomputed_list_and_live() -> None:
    before = Recommender(model()).recommend(Query("u0", n=12))
    between = (before.scores[3] + before.scores[4]) / 2
    recommender = stocked(near(0, between))
    for query in (Query("u0", n=10), Query("u0", n=10, exclude=["never heard of"])):
        answer = recommender.recommend(query)
        assert answer.items == [*before.items[:4], 120, *before.items[4:9]]
        assert answer.sources == [Source.ALS] * 10
        assert answer.newcomers is recommender.newcomers
        assert answer.newcomers.artist(120).name == "the new"
    live = without_lists(recommender)
    assert live.recommend(Query("u0", n=10)) == recommender.recommend(Query("u0", n=10))
    pages = [recommender.recommend(Query("u0", n=5, offset=offset)).items for offset in (0, 5)]
    assert pages[0] + pages[1] == recommender.recommend(Query("u0", n=10)).items


@pytest.mark.parametrize("hide", ["exclude", "activity", "unavailable"])
def test_a_newcomer_is_ranked_among_the_artists_that_are_not_hidden(hide: str) -> None:
    before = Recommender(model()).recommend(Query("u0", n=14))
    gone = tuple(model().items.id(item) for item in before.items[:3])
    query = Query("u0", n=10)
    if hide == "exclude":
        query = Query("u0", n=10, exclude=gone)
    elif hide == "activity":
        query = Query("u0", n=10, activity=Activity(seen=frozenset(gone)))
    # Below the tenth of the whole list, and above the tenth of what is left.
    newcomer = near(0, (before.scores[11] + before.scores[12]) / 2)
    recommender = stocked(newcomer, unavailable=gone if hide == "unavailable" else ())
    answer = recommender.recommend(query)
    assert answer.items == [*before.items[3:12], 120]
    live = without_lists(recommender)
    assert live.recommend(query).items == answer.items


@pytest.mark.slow
@pytest.mark.parametrize("looked_up", ["at once", "when asked for"])
def test_precomputed_lists_with_many_newcomers_are_those_scored_live(
    looked_up: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if looked_up == "when asked for":
        monkeypatch.setattr("app.recommend.newcomers._PRODUCTS_AT_ONCE", 0)
    monkeypatch.setattr("app.recommend.newcomers._MOST_NEAR", 400)
    rng = np.random.default_rng(4)
    known = model().item_factors[rng.permutation(120)[:30]]
    drawn = known * rng.uniform(0.6, 1.4, (30, 1)).astype(np.float32)
    # Some twice, so that scores are the same, and some just as artists of the model.
    vectors = [*drawn, *drawn[:5], *known[:5]]
    artists = [Newcomer(f"new{place}", "New", vector) for place, vector in enumerate(vectors)]
    recommender = stocked(*artists, few("few"), unavailable=("new3", "i7"))
    live = without_lists(recommender)
    with_newcomers = 0
    for user in range(60):
        for n, offset in ((1, 0), (10, 0), (5, 5), (3, 14), (25, 0)):
            exclude = [f"i{item}" for item in rng.integers(120, size=4)] + ["new1"]
            for query in (
                Query(f"u{user}", n, offset),
                Query(f"u{user}", n, offset, exclude=exclude),
            ):
                quick = recommender.recommend_quickly(query)
                if quick is not None:
                    assert quick == live.recommend(query)
                    with_newcomers += quick.newcomers is not None
    assert with_newcomers > 300
    assert len(recommender.newcomers._near) < 60


def nearly_tied() -> tuple[Model, int, int]:
    """A model in which two artists' scores for u0 differ, though not as float32.

    Returns:
        The model, the artist with the greater score, and the other one, whose index is lower.
    """
    plain, factors = model(), model().item_factors.copy()
    best = Recommender(plain).recommend(Query("u0", n=20)).items
    lower, higher = sorted(best[8:10])
    factors[higher] = factors[lower]
    smallest = int(np.argmin(np.abs(factors[lower])))
    towards = np.float32(np.inf if plain.user_factors[0, smallest] > 0 else -np.inf)
    factors[higher, smallest] = np.nextafter(factors[lower, smallest], towards)
    tied = replace(plain, item_factors=factors, top_lists=None)
    ranked = top_items(
        tied.user_factors,
        tied.catalogue,
        n=30,
        hidden=[tied.user_items.row(user)[0] for user in range(60)],
    )
    lists = TopLists(
        np.array([items for items, _ in ranked], dtype=np.int32),
        np.array([scores for _, scores in ranked]),
    )
    return replace(tied, top_lists=lists), higher, lower


def test_newcomers_leave_the_order_of_others_alone() -> None:
    # Was wrong: scores that are equal in float32 were put in the order of the indices.
    tied, first, second = nearly_tied()
    plain = Recommender(tied).recommend(Query("u0", n=20))
    place = plain.items.index(first)
    assert plain.items[place + 1] == second
    assert plain.scores[place] == plain.scores[place + 1]
    newcomers = Newcomers.of(tied, [near(0, plain.scores[0] + 1)])
    recommender = Recommender(tied, newcomers=newcomers)
    live = Recommender(replace(tied, top_lists=None), newcomers=newcomers)
    asked = Query("u0", n=20)
    for answer in (recommender.recommend(asked), live.recommend(asked)):
        assert answer.items == [120, *plain.items[:19]]
    # Alone, and together with a query for a longer list.
    hidden = Query("u0", n=place + 1, exclude=["new"])
    for answer in (live.recommend(hidden), *live.recommend_many([hidden, Query("u1", n=15)])[:1]):
        assert answer.items == plain.items[: place + 1]


def test_a_newcomer_that_does_not_reach_the_list_changes_nothing() -> None:
    before = Recommender(model()).recommend(Query("u0"))
    recommender = stocked(near(0, 0.001))
    for _ in range(2):
        assert recommender.recommend(Query("u0")) == before


def test_a_hidden_new_artist_is_in_no_answer() -> None:
    newcomer = near(0, 100.0)
    recommender = stocked(newcomer)
    seen = acted(Event("u0", "new"))
    disliked = acted(Event("u0", "new", EventType.DISLIKE))
    assert recommender.recommend(Query("u0", n=1)).items == [120]
    for query in (
        Query("u0", exclude=["new"]),
        Query("u0", activity=seen),
        Query("u0", activity=disliked, include_seen=True),
        Query("u0", candidates=["i1", "i2"]),
        Query("u0", strategy=Strategy.POPULARITY),
        Query("nobody"),
    ):
        assert 120 not in recommender.recommend(query).items
    assert 120 in recommender.recommend(Query("u0", activity=seen, include_seen=True)).items
    assert recommender.recommend(Query("u0", candidates=["new"], n=1)).items == [120]
    gone = stocked(newcomer, unavailable=("new",))
    assert 120 not in gone.recommend(Query("u0")).items
    assert 120 not in gone.recommend(Query("u0", include_seen=True)).items


def test_one_place_in_ten_explores() -> None:
    recommender = stocked(*[few(f"few{number}") for number in range(9)])
    plain = Recommender(model()).recommend(Query("u0", n=30))
    answer = recommender.recommend(Query("u0", n=30, explore=0.1, seed=1))
    places = [place for place, one in enumerate(answer.sources) if one is Source.EXPLORE]
    assert places == [9, 19, 29]
    assert all(answer.items[place] >= 120 for place in places)
    assert all(np.isnan(answer.scores[place]) for place in places)
    assert len(set(answer.items)) == 30
    assert [item for item in answer.items if item < 120] == plain.items[:27]


def test_pages_of_a_list_that_explores_make_up_the_list() -> None:
    recommender = stocked(*[few(f"few{number}") for number in range(9)])
    query = Query("u0", n=24, explore=0.25, seed=1)
    whole = recommender.recommend(query)
    pages = [recommender.recommend(replace(query, n=6, offset=start)) for start in range(0, 24, 6)]
    assert [item for page in pages for item in page.items] == whole.items
    assert whole.sources.count(Source.EXPLORE) == 6


def test_the_choice_is_a_matter_of_the_seed_and_of_taste() -> None:
    close, far = ([few(f"{sign} {n}", sign=sign) for n in range(5)] for sign in (1.0, -1.0))
    recommender = stocked(*close, *far)

    def draw(seed: int) -> int:
        return recommender.recommend(Query("u0", n=1, explore=1.0, seed=seed)).items[0]

    drawn = [draw(seed) for seed in range(200)]
    assert drawn == [draw(seed) for seed in range(200)]
    assert set(drawn) >= set(range(120, 125))
    assert sum(item < 125 for item in drawn) > 190


def test_every_user_can_explore_and_sees_no_hidden_artist() -> None:
    recommender = stocked(few("a"), few("b"), few("c"), unavailable=("c",))
    for query in (Query("u0"), Query("nobody"), Query("u0", strategy=Strategy.POPULARITY)):
        asked = replace(query, n=10, explore=0.5, seed=1)
        items = recommender.recommend(asked).items
        assert len(items) == len(set(items)) == 10
        assert set(items[1:4:2]) == {120, 121}
        without = recommender.recommend(replace(asked, exclude=["a"])).items
        assert [item for item in without if item >= 120] == [121]
    assert recommender.recommend(Query("u0", n=10)).sources == [Source.ALS] * 10


def test_nothing_to_explore_is_the_plain_list() -> None:
    assert Recommender(model()).recommend(Query("u0", explore=0.5)) == Recommender(
        model()
    ).recommend(Query("u0"))


@pytest.mark.parametrize("explore", [-0.1, 1.1, float("nan")])
def test_a_share_is_one(explore: float) -> None:
    with pytest.raises(ValueError, match="explore has to lie between 0 and 1"):
        Query("u0", explore=explore)
