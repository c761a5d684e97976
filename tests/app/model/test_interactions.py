from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from app.model.interactions import UserItems
from tests.builders import dense_of, user_items_of

tables = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=8),
    elements=st.sampled_from([0.0, 0.0, 1.0, 2.5, 1000.0]),
)


@settings(deadline=None, max_examples=60)
@given(tables)
def test_rows_and_totals_are_those_of_the_dense_table(table: np.ndarray) -> None:
    user_items = user_items_of(table)
    assert dense_of(user_items).tolist() == table.tolist()
    for user, plays in enumerate(table):
        items, row_plays = user_items.row(user)
        assert items.tolist() == np.flatnonzero(plays).tolist()
        assert row_plays.tolist() == plays[plays > 0].tolist()
    assert user_items.nnz == np.count_nonzero(table)
    assert user_items.row_lengths().tolist() == (table > 0).sum(axis=1).tolist()
    assert user_items.listeners().tolist() == (table > 0).sum(axis=0).tolist()
    assert user_items.total_plays().tolist() == table.sum(axis=0, dtype=np.float64).tolist()
    assert user_items.row_of_each_pair().tolist() == np.nonzero(table)[0].tolist()


def test_counts_have_the_types_of_the_artifact_even_without_pairs() -> None:
    empty = user_items_of(np.zeros((2, 3)))
    assert empty.listeners().dtype == np.int64
    assert empty.total_plays().dtype == np.float64
    assert empty.listeners().tolist() == [0, 0, 0]
    assert empty.total_plays().tolist() == [0.0, 0.0, 0.0]
    assert empty.row(1)[0].tolist() == []


def test_a_matrix_may_have_no_users_and_no_items() -> None:
    nothing = UserItems(
        np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.float32), 0
    )
    assert (nothing.n_users, nothing.n_items, nothing.nnz) == (0, 0, 0)
    assert nothing.listeners().tolist() == []
    assert nothing.row_of_each_pair().tolist() == []


def test_plays_are_summed_beyond_the_precision_of_float32() -> None:
    user_items = user_items_of([[2.0**24], [1.0]])
    assert user_items.total_plays().tolist() == [2.0**24 + 1]


def test_rows_are_views_so_a_mapped_matrix_is_not_copied() -> None:
    user_items = user_items_of([[0, 1, 2], [3, 0, 0]])
    items, plays = user_items.row(0)
    assert np.shares_memory(items, user_items.indices)
    assert np.shares_memory(plays, user_items.plays)


@pytest.mark.slow
@given(tables, st.data())
def test_taken_rows_are_those_of_the_table_in_their_order(
    table: np.ndarray, data: st.DataObject
) -> None:
    rows = data.draw(st.lists(st.integers(0, len(table) - 1), max_size=10))
    taken = user_items_of(table).take(np.array(rows, dtype=np.int64))
    assert dense_of(taken).tolist() == table[rows].tolist()
    assert (taken.n_users, taken.n_items) == (len(rows), table.shape[1])
    dtypes = [str(one.dtype) for one in (taken.indptr, taken.indices, taken.plays)]
    assert dtypes == ["int64", "int32", "float32"]


def test_taken_rows_are_a_copy() -> None:
    user_items = user_items_of([[1, 2], [3, 0]])
    taken = user_items.take(np.array([0, 1]))
    taken.plays[0] = 9
    assert user_items.plays.tolist() == [1, 2, 3]
