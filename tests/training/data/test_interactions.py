from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.model.interactions import UserItems
from tests.builders import dense_of, interactions_of, random_plays
from training.data.interactions import Interactions, TimedPlays, sum_pairs
from training.errors import TrainingError

DAY = 24 * 3600

records = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 5), st.integers(1, 1000)), max_size=40
)


@settings(deadline=None, max_examples=80)
@given(records)
def test_plays_of_a_repeated_pair_are_summed(rows: list[tuple[int, int, int]]) -> None:
    table = np.array(rows, dtype=np.int64).reshape(-1, 3)
    matrix = sum_pairs(
        table[:, 0], table[:, 1], table[:, 2].astype(np.float32), n_users=5, n_items=6
    )
    expected: Counter[tuple[int, int]] = Counter()
    for user, item, plays in rows:
        expected[user, item] += plays
    found = {
        (user, int(item)): float(plays)
        for user in range(5)
        for item, plays in zip(*matrix.row(user), strict=True)
    }
    assert found == expected
    assert matrix.nnz == len(expected)
    for user in range(5):
        assert np.all(np.diff(matrix.row(user)[0]) > 0)


def test_the_matrix_has_the_types_of_the_artifact() -> None:
    matrix = sum_pairs(
        np.array([1], dtype=np.int32),
        np.array([0], dtype=np.int32),
        np.array([2], dtype=np.float32),
        n_users=2,
        n_items=1,
    )
    dtypes = [str(one.dtype) for one in (matrix.indptr, matrix.indices, matrix.plays)]
    assert dtypes == ["int64", "int32", "float32"]


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32))
def test_chosen_pairs_have_the_same_place_and_plays(seed: int) -> None:
    rng = np.random.default_rng(seed)
    plays = random_plays(rng, n_users=6, n_items=5, density=0.3)
    plays[rng.random(6) < 0.3] = 0
    interactions = interactions_of(plays)
    chosen = rng.random(interactions.user_items.nnz) < rng.choice([0.0, 0.5, 1.0])
    some, left = interactions.with_pairs(chosen), interactions.with_pairs(~chosen)
    both = dense_of(some.user_items) + dense_of(left.user_items)
    assert both.tolist() == plays.tolist()
    assert some.user_items.nnz == chosen.sum()
    assert some.user_items.nnz + left.user_items.nnz == len(chosen)
    assert some.user_ids.to_list() == interactions.user_ids.to_list()
    assert some.item_ids.to_list() == interactions.item_ids.to_list()
    assert some.user_items.n_items == 5


def test_choosing_pairs_does_not_change_the_whole() -> None:
    interactions = interactions_of([[1, 2], [3, 0]])
    some = interactions.with_pairs(np.array([False, True, True]))
    assert dense_of(some.user_items).tolist() == [[0, 2], [3, 0]]
    assert dense_of(interactions.user_items).tolist() == [[1, 2], [3, 0]]


def test_pairs_can_be_chosen_of_none() -> None:
    # Was wrong: raised IndexError where no user had an item.
    interactions = interactions_of(np.zeros((3, 2)))
    some = interactions.with_pairs(np.zeros(0, dtype=bool))
    assert some.user_items.indptr.tolist() == [0, 0, 0, 0]


def test_records_outside_the_matrix_are_refused() -> None:
    with pytest.raises(ValueError, match="exceeds"):
        sum_pairs(
            np.array([3]), np.array([0]), np.array([1.0], dtype=np.float32), n_users=3, n_items=1
        )


def timed_interactions(rows: list[tuple[int, int, int, int]]) -> Interactions:
    """Returns the interactions of five users and six items for (user, item, plays, time)."""
    table = np.array(rows, dtype=np.int64).reshape(-1, 4)
    users, items = table[:, 0].astype(np.int32), table[:, 1].astype(np.int32)
    timed = TimedPlays(users, items, table[:, 2].astype(np.float32), table[:, 3])
    return interactions_of(np.zeros((5, 6))).with_records(timed.sorted(6))


timed_records = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 5), st.integers(1, 1000), st.integers(-9, 9)),
    max_size=40,
)


@settings(deadline=None, max_examples=80)
@given(timed_records)
def test_records_with_times_sum_to_the_same_matrix_as_pairs(
    rows: list[tuple[int, int, int, int]],
) -> None:
    interactions = timed_interactions(rows)
    table = np.array(rows, dtype=np.int64).reshape(-1, 4)
    expected = sum_pairs(
        table[:, 0], table[:, 1], table[:, 2].astype(np.float32), n_users=5, n_items=6
    )
    found = interactions.user_items
    assert dense_of(found).tolist() == dense_of(expected).tolist()
    assert found.indptr.tolist() == expected.indptr.tolist()
    assert found.indices.tolist() == expected.indices.tolist()
    dtypes = [str(one.dtype) for one in (found.indptr, found.indices, found.plays)]
    assert dtypes == ["int64", "int32", "float32"]


@settings(deadline=None, max_examples=60)
@given(timed_records)
def test_records_are_sorted_by_pair_and_otherwise_as_they_were_read(
    rows: list[tuple[int, int, int, int]],
) -> None:
    timed = timed_interactions(rows).timed
    assert timed is not None
    found = zip(
        timed.user_indices.tolist(),
        timed.item_indices.tolist(),
        timed.plays.tolist(),
        timed.timestamps.tolist(),
        strict=True,
    )
    assert list(found) == sorted(rows, key=lambda row: row[:2])


def test_the_order_holds_for_keys_of_many_bits() -> None:
    users = np.array([70_000, 1, 70_000, 0], dtype=np.int32)
    items = np.array([3, 200_000, 2, 199_999], dtype=np.int32)
    plays, times = np.ones(4, dtype=np.float32), np.arange(4)
    timed = TimedPlays(users, items, plays, times).sorted(200_001)
    assert timed.timestamps.tolist() == [3, 1, 2, 0]


@settings(deadline=None, max_examples=60)
@given(timed_records, st.integers(0, 2**32))
def test_chosen_pairs_have_their_records(rows: list[tuple[int, int, int, int]], seed: int) -> None:
    interactions = timed_interactions(rows)
    chosen = np.random.default_rng(seed).random(interactions.user_items.nnz) < 0.5
    some, left = interactions.with_pairs(chosen), interactions.with_pairs(~chosen)
    assert some.timed is not None
    assert left.timed is not None
    assert len(some.timed) + len(left.timed) == len(rows)
    for part in (some, left):
        assert part.timed is not None
        summed = part.timed.sum(n_users=5, n_items=6)
        assert dense_of(summed).tolist() == dense_of(part.user_items).tolist()


def test_the_first_time_of_a_pair_is_its_earliest() -> None:
    timed = timed_interactions([(1, 2, 1, 30), (0, 3, 1, 7), (1, 2, 1, 20), (1, 2, 1, 25)]).timed
    assert timed is not None
    assert timed.first_times().tolist() == [7, 20]


def test_without_times_the_chosen_pairs_have_none() -> None:
    interactions = interactions_of([[1, 2], [3, 0]])
    assert interactions.with_pairs(np.ones(3, dtype=bool)).timed is None


def test_the_pairs_of_both_are_summed_and_the_ids_stay() -> None:
    one = interactions_of([[1, 0, 2], [0, 0, 0]])
    other = interactions_of([[0, 5, 3], [0, 4, 0]])
    both = one.with_pairs_of(other)
    assert dense_of(both.user_items).tolist() == [[1, 5, 5], [0, 4, 0]]
    assert both.user_items.indices.tolist() == [0, 1, 2, 1]
    assert both.user_ids.to_list() == one.user_ids.to_list()
    assert both.items.names.to_list() == one.items.names.to_list()
    assert dense_of(one.user_items).tolist() == [[1, 0, 2], [0, 0, 0]]


def test_the_pairs_of_nothing_change_nothing(rng: np.random.Generator) -> None:
    interactions = interactions_of(random_plays(rng))
    nothing = interactions_of(np.zeros((30, 40)))
    for both in (interactions.with_pairs_of(nothing), nothing.with_pairs_of(interactions)):
        assert dense_of(both.user_items).tolist() == dense_of(interactions.user_items).tolist()


def test_what_a_split_parted_comes_together_again(rng: np.random.Generator) -> None:
    interactions = interactions_of(random_plays(rng))
    chosen = rng.random(interactions.user_items.nnz) < 0.5
    whole = interactions.with_pairs(chosen).with_pairs_of(interactions.with_pairs(~chosen))
    assert whole.user_items.indptr.tolist() == interactions.user_items.indptr.tolist()
    assert whole.user_items.indices.tolist() == interactions.user_items.indices.tolist()
    assert whole.user_items.plays.tobytes() == interactions.user_items.plays.tobytes()


def test_pairs_that_came_together_have_their_times_where_all_have_them() -> None:
    first = timed_interactions([(0, 1, 1, 5), (2, 3, 1, 6)])
    second = timed_interactions([(2, 3, 4, 7), (0, 0, 1, 8)])
    together = first.with_pairs_of(second)
    assert together.timed is not None
    assert together.timed.timestamps.tolist() == [8, 5, 6, 7]
    summed = together.timed.sum(n_users=5, n_items=6)
    np.testing.assert_array_equal(dense_of(summed), dense_of(together.user_items))
    assert first.with_pairs_of(second.without_times()).timed is None


@pytest.mark.slow
@given(timed_records, st.floats(0.5, 50))
def test_what_is_left_of_a_pair_is_the_mean_of_what_is_left_of_its_plays(
    rows: list[tuple[int, int, int, int]], half_life: float
) -> None:
    rows = [(user, item, plays, DAY * time) for user, item, plays, time in rows]
    interactions = timed_interactions(rows)
    user_items = interactions.with_recency(half_life).user_items
    last = max((row[3] for row in rows), default=0)
    whole, left = np.zeros((5, 6)), np.zeros((5, 6))
    for user, item, plays, time in rows:
        whole[user, item] += plays
        left[user, item] += plays * 0.5 ** min(40, (last - time) / (half_life * DAY))
    np.testing.assert_array_equal(dense_of(user_items), whole)
    assert user_items.recency is not None
    recency = dense_of(replace(user_items, plays=user_items.recency))
    np.testing.assert_allclose(recency * whole, left, rtol=1e-5)
    # Nothing vanishes, however long ago it was.
    assert (user_items.recency > 0).all()
    assert (user_items.recency <= 1).all()


def test_recency_stays_with_its_pairs() -> None:
    rows = [(0, 1, 1, 5), (2, 3, 1, 6), (2, 0, 2, 4), (2, 3, 2, 2)]
    interactions = timed_interactions([(*row[:3], DAY * row[3]) for row in rows]).with_recency(1)

    def by_pair(user_items: UserItems) -> dict[tuple[int, int], float]:
        assert user_items.recency is not None
        pairs = zip(
            user_items.row_of_each_pair().tolist(), user_items.indices.tolist(), strict=True
        )
        return dict(zip(pairs, user_items.recency.tolist(), strict=True))

    expected = {(0, 1): 0.5, (2, 0): 0.25, (2, 3): 0.375}
    assert by_pair(interactions.user_items) == expected
    order = np.array([3, 0, 5, 1, 2, 4])
    renumbered = by_pair(interactions.with_items_in(order).user_items)
    assert renumbered == {
        (user, order.tolist().index(item)): left for (user, item), left in expected.items()
    }
    some = interactions.with_pairs(np.array([True, False, True])).user_items
    assert by_pair(some) == {(0, 1): 0.5, (2, 3): 0.375}
    assert by_pair(interactions.user_items.take(np.array([2, 0]))) == {
        (0, 0): 0.25,
        (0, 3): 0.375,
        (1, 1): 0.5,
    }
    assert interactions.user_items.recency_of(1) is not None
    assert interactions.user_items.recency_of(2).tolist() == [0.25, 0.375]  # type: ignore[union-attr]


def test_without_a_half_life_nothing_fades_and_without_times_nothing_can() -> None:
    interactions = timed_interactions([(0, 1, 1, 5), (2, 3, 1, 6)])
    assert interactions.with_recency(None) is interactions
    assert interactions.user_items.recency_of(0) is None
    with pytest.raises(TrainingError, match="a half-life needs the time of each record"):
        interactions.without_times().with_recency(30)
