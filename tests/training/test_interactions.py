from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import dense_of, interactions_of, random_plays
from training.interactions import sum_pairs

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
def test_keeping_pairs_conserves_their_place_and_plays(seed: int) -> None:
    rng = np.random.default_rng(seed)
    plays = random_plays(rng, n_users=6, n_items=5, density=0.3)
    plays[rng.random(6) < 0.3] = 0
    interactions = interactions_of(plays)
    keep = rng.random(interactions.user_items.nnz) < rng.choice([0.0, 0.5, 1.0])
    kept, left = interactions.with_pairs(keep), interactions.with_pairs(~keep)
    both = dense_of(kept.user_items) + dense_of(left.user_items)
    assert both.tolist() == plays.tolist()
    assert kept.user_items.nnz == keep.sum()
    assert kept.user_items.nnz + left.user_items.nnz == len(keep)
    assert kept.user_ids.to_list() == interactions.user_ids.to_list()
    assert kept.item_ids.to_list() == interactions.item_ids.to_list()
    assert kept.user_items.n_items == 5


def test_keeping_pairs_does_not_change_what_they_are_kept_from() -> None:
    interactions = interactions_of([[1, 2], [3, 0]])
    kept = interactions.with_pairs(np.array([False, True, True]))
    assert dense_of(kept.user_items).tolist() == [[0, 2], [3, 0]]
    assert dense_of(interactions.user_items).tolist() == [[1, 2], [3, 0]]


def test_pairs_can_be_kept_of_none() -> None:
    # Was wrong: raised IndexError where no user had an item.
    interactions = interactions_of(np.zeros((3, 2)))
    kept = interactions.with_pairs(np.zeros(0, dtype=bool))
    assert kept.user_items.indptr.tolist() == [0, 0, 0, 0]


def test_records_outside_the_matrix_are_refused() -> None:
    with pytest.raises(ValueError, match="exceeds"):
        sum_pairs(
            np.array([3]), np.array([0]), np.array([1.0], dtype=np.float32), n_users=3, n_items=1
        )
