from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from app.artifacts.format import arrays_of
from app.errors import InvalidId
from app.events.activity import Activity
from app.model.interactions import UserItems
from app.model.weighting import WeightingName
from app.recommend.ladder import Recommender
from app.recommend.query import Query
from tests.builders import (
    PARAMETERS,
    als_of,
    dense_of,
    interactions_of,
    random_model,
    random_plays,
    small_model,
    user_items_of,
)
from training.data.interactions import Interactions, TimedPlays
from training.fitting.fit import fit_model
from training.fitting.top_lists import with_top_lists


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", list(WeightingName))
def test_the_same_data_and_seed_give_the_same_arrays_byte_for_byte(
    rng: np.random.Generator, threads: int, name: WeightingName
) -> None:
    interactions = interactions_of(random_plays(rng, n_users=80, n_items=60))
    one, other = (
        arrays_of(small_model(interactions, list_length=6, threads=count, weighting=name))
        for count in (1, threads)
    )
    assert one.keys() == other.keys()
    for key in one:
        assert one[key].tobytes() == other[key].tobytes(), key


def test_user_vectors_solve_against_the_final_items(rng: np.random.Generator) -> None:
    model = random_model(rng)
    scores = model.user_factors @ model.item_factors.T
    has = np.zeros(scores.shape, dtype=bool)
    has[model.user_items.row_of_each_pair(), model.user_items.indices] = True
    assert scores[has].mean() > scores[~has].mean() + 0.3


def test_an_item_without_listeners_has_the_zero_vector_and_enters_no_list(
    rng: np.random.Generator,
) -> None:
    plays = random_plays(rng)
    plays[:, [0, 7]] = 0
    model = small_model(interactions_of(plays), list_length=40)
    assert not model.item_factors[[0, 7]].any()
    assert model.item_factors[1:7].any(axis=1).all()
    assert model.unlistened.tolist() == [0, 7]
    assert model.top_lists is not None
    assert not np.isin(model.top_lists.items, [0, 7]).any()


def test_ids_and_names_follow_the_interactions() -> None:
    model = small_model(
        interactions_of(
            [[1, 2], [0, 1]],
            user_ids=["é", "a/b"],
            item_ids=["name:x", "y"],
            item_names=["X", "Ÿ"],
        )
    )
    assert [model.users.index("é"), model.users.index("a/b")] == [0, 1]
    assert [model.items.index("name:x"), model.items.index("y")] == [0, 1]
    assert list(model.item_names) == ["X", "Ÿ"]


@pytest.mark.slow
@pytest.mark.parametrize("name", list(WeightingName))
def test_items_numbered_by_length_are_the_same_model_in_another_order(
    rng: np.random.Generator, name: WeightingName
) -> None:
    interactions = interactions_of(random_plays(rng, n_users=50, n_items=80))
    parameters = replace(PARAMETERS, weighting=name)
    plain = fit_model(interactions, parameters)
    numbered = fit_model(interactions, parameters, number_by_length=True)
    order = plain.items.indices(numbered.items.strings)
    lengths = np.linalg.norm(numbered.item_factors, axis=1)
    assert (np.diff(lengths) <= 1e-6).all()
    assert sorted(order.tolist()) == list(range(80)) != order.tolist()
    np.testing.assert_array_equal(numbered.item_factors, plain.item_factors[order])
    np.testing.assert_allclose(numbered.user_factors, plain.user_factors, rtol=1e-4, atol=1e-5)
    assert list(numbered.item_names) == [plain.item_names[item] for item in order.tolist()]
    for here, there in ((numbered, plain), (plain, numbered)):
        np.testing.assert_array_equal(
            here.popularity.plays, there.popularity.plays[there.items.indices(here.items.strings)]
        )
    # A fold-in from an unchanged history gives the very vector that training solved.
    np.testing.assert_array_equal(numbered.fold_in(numbered.user_items), numbered.user_factors)
    for user in range(50):
        query = Query(f"u{user}", n=20)
        lists = [Recommender(model).recommend(query).items for model in (plain, numbered)]
        assert [plain.items.id(item) for item in lists[0]] == [
            numbered.items.id(item) for item in lists[1]
        ]


def test_an_id_that_is_too_long_is_refused() -> None:
    with pytest.raises(InvalidId, match="at most 256 bytes"):
        small_model(interactions_of([[1.0]], user_ids=["x" * 257]))


def test_progress_is_told_of_every_step_and_all_of_it(rng: np.random.Generator) -> None:
    class Recorder:
        def __init__(self) -> None:
            self.steps: dict[str, tuple[int, list[int]]] = {}

        def step(self, name: str, total: int) -> Callable[[int], None]:
            self.steps[name] = (total, [])
            return self.steps[name][1].append

    recorder = Recorder()
    interactions = interactions_of(random_plays(rng, n_users=30))
    model = fit_model(interactions, PARAMETERS, progress=recorder)
    with_top_lists(model, 3, progress=recorder)
    totals = {name: (total, sum(done)) for name, (total, done) in recorder.steps.items()}
    assert totals == {
        "ALS iterations": (5, 5),
        "user vectors": (30, 30),
        "everyone's list": (30, 30),
    }


@pytest.mark.slow
@pytest.mark.parametrize(("factor", "least"), [(64.0, 1.0), (100.0, 0.99), (0.01, 0.99)])
def test_the_unit_of_plays_does_not_change_the_lists(
    rng: np.random.Generator, factor: float, least: float
) -> None:
    plays = random_plays(rng, n_users=60, n_items=50)
    one, other = (
        small_model(interactions_of(table), list_length=10, iterations=15).top_lists
        for table in (plays, plays * np.float32(factor))
    )
    assert one is not None
    assert other is not None
    common = [len(set(a) & set(b)) for a, b in zip(one.items, other.items, strict=True)]
    # A power of two is exact; another factor rounds each play, and swaps near ties.
    assert sum(common) >= least * one.items.size


def timed_interactions(rng: np.random.Generator, n_records: int = 900) -> Interactions:
    """Single plays of 30 users and 20 items over a hundred days."""
    timed = TimedPlays(
        rng.integers(30, size=n_records).astype(np.int32),
        rng.integers(20, size=n_records).astype(np.int32),
        np.ones(n_records, dtype=np.float32),
        rng.integers(100 * 24 * 3600, size=n_records),
    )
    return interactions_of(np.zeros((30, 20))).with_records(timed.sorted(20))


@pytest.mark.slow
@pytest.mark.parametrize("number_by_length", [False, True])
@pytest.mark.parametrize("name", [WeightingName.BM25, WeightingName.BINARY])
def test_with_a_half_life_users_fade_and_artists_do_not(
    rng: np.random.Generator, number_by_length: bool, name: WeightingName
) -> None:
    interactions = timed_interactions(rng)
    parameters = replace(PARAMETERS, weighting=name, half_life=20.0)
    model = fit_model(interactions, parameters, number_by_length=number_by_length)
    plain = fit_model(
        interactions, replace(parameters, half_life=None), number_by_length=number_by_length
    )
    assert plain.user_items.recency is None
    np.testing.assert_array_equal(model.item_factors, plain.item_factors)
    np.testing.assert_array_equal(dense_of(model.user_items), dense_of(plain.user_items))
    assert model.user_items.recency is not None
    weights = als_of(model).weighting.weigh(model.user_items) * model.user_items.recency
    faded = replace(plain.user_items, plays=weights.astype(np.float32))
    assert not np.array_equal(model.user_factors, plain.user_factors)
    for vectors in (
        model.fold_in(model.user_items),
        model.fold_in_weights([faded]),
    ):
        # Folded in from an unchanged history, everyone has the vector that they have.
        np.testing.assert_array_equal(vectors, model.user_factors)


def test_an_event_beside_a_faded_history_counts_in_whole_weights(rng: np.random.Generator) -> None:
    interactions = timed_interactions(rng)
    model = fit_model(interactions, replace(PARAMETERS, half_life=5.0))
    items, plays = model.user_items.row(0)
    recency = model.user_items.recency_of(0)
    assert recency is not None
    whole = als_of(model).weighting.weigh(only_row(items, plays))
    new = int(np.setdiff1d(np.arange(20), items)[0])
    expected = np.zeros(20)
    expected[items] = whole * recency
    expected[new] = model.event_units[0].multiple * np.median(whole)
    row = user_items_of(expected[None])
    activity = Activity(units={model.items.id(new): 1.0}, seen=frozenset({model.items.id(new)}))
    (vector,) = Recommender(model).tastes([Query("u0", activity=activity)])
    np.testing.assert_allclose(vector, model.fold_in_weights([row])[0], rtol=1e-5)


def only_row(items: NDArray[np.int32], plays: NDArray[np.float32]) -> UserItems:
    return UserItems(np.array([0, len(items)]), items, plays, 20)


def test_a_half_life_longer_than_anybody_listens_changes_next_to_nothing(
    rng: np.random.Generator,
) -> None:
    interactions = timed_interactions(rng)
    plain = fit_model(interactions, PARAMETERS)
    faded = fit_model(interactions, replace(PARAMETERS, half_life=1e9))
    np.testing.assert_allclose(faded.user_factors, plain.user_factors, rtol=1e-4, atol=1e-5)


def test_tastes_of_today_count_more_with_a_half_life(rng: np.random.Generator) -> None:
    """Some play one half of the artists, some the other; a few have moved from one to the other."""
    rows = []
    for user in range(60):
        if user < 20:
            rows += [(user, item, 9, 0) for item in rng.permutation(10)[:5]]
            rows += [(user, 10 + item, 6, 360) for item in rng.permutation(10)[:3]]
        else:
            first = 10 * (user % 2)
            rows += [(user, first + item, 8, 350) for item in rng.permutation(10)[:7]]
    table = np.array(rows)
    timed = TimedPlays(
        table[:, 0].astype(np.int32),
        table[:, 1].astype(np.int32),
        table[:, 2].astype(np.float32),
        24 * 3600 * table[:, 3],
    )
    interactions = interactions_of(np.zeros((60, 20))).with_records(timed.sorted(20))

    def share_of_today(half_life: float | None) -> float:
        parameters = replace(PARAMETERS, half_life=half_life, alpha=20.0, regularization=5.0)
        recommender = Recommender(fit_model(interactions, parameters))
        answers = [recommender.recommend(Query(f"u{user}", n=5)) for user in range(20)]
        return float(np.mean([np.array(answer.items) >= 10 for answer in answers]))

    assert share_of_today(30.0) > share_of_today(None) + 0.2
