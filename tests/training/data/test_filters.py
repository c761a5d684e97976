from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data.filters import Filters, preprocess
from training.data.items import ItemTable
from training.data.records import Records, RowCounts
from training.errors import TrainingError


def records_of(rows: Sequence[tuple[int, int, float]], n_users: int, n_items: int) -> Records:
    users, items, plays = zip(*rows, strict=True) if rows else ((), (), ())
    item_ids = [f"i{index:02}" for index in range(n_items)]
    return Records(
        user_codes=np.array(users, dtype=np.int32),
        item_codes=np.array(items, dtype=np.int32),
        plays=np.array(plays, dtype=np.float32),
        user_ids=pl.Series([f"u{index:02}" for index in range(n_users)], dtype=pl.String),
        items=ItemTable.of(
            pl.Series(item_ids, dtype=pl.String),
            pl.Series([f"name {one}" for one in item_ids], dtype=pl.String),
        ),
        rows=RowCounts(read=len(rows)),
        dataset="test",
        sources={},
    )


def test_repeated_pairs_are_summed_and_unused_ids_fall_out() -> None:
    records = records_of([(2, 1, 3), (2, 1, 4), (0, 3, 5)], n_users=3, n_items=4)
    interactions, steps = preprocess(records, Filters())
    assert interactions.user_ids.to_list() == ["u00", "u02"]
    assert interactions.item_ids.to_list() == ["i01", "i03"]
    assert interactions.items.names.to_list() == ["name i01", "name i03"]
    assert interactions.user_items.indptr.tolist() == [0, 1, 2]
    assert interactions.user_items.indices.tolist() == [1, 0]
    assert interactions.user_items.plays.tolist() == [5, 7]
    assert [(step.records, step.users, step.items) for step in steps] == [(3, 2, 2), (2, 2, 2)]


def test_user_filter_counts_records_without_an_item_as_the_study_does() -> None:
    rows = [(0, 0, 1), (0, -1, 1), (1, 0, 1)]
    interactions, _ = preprocess(records_of(rows, 2, 1), Filters(min_user_records=2))
    assert interactions.user_ids.to_list() == ["u00"]
    assert interactions.user_items.nnz == 1


def test_item_filter_counts_records_of_the_remaining_users_only() -> None:
    # Item 1 has two listeners, but one of them has a single record and leaves first.
    rows = [(0, 0, 1), (0, 1, 1), (1, 0, 1), (1, 2, 1), (2, 1, 1)]
    filters = Filters(min_user_records=2, min_item_records=2)
    interactions, _ = preprocess(records_of(rows, 3, 3), filters)
    assert interactions.item_ids.to_list() == ["i00"]


def test_top_users_have_most_records_and_ties_go_to_the_lower_id() -> None:
    rows = [(0, 0, 9), (1, 0, 1), (1, 1, 1), (2, 0, 1), (2, 1, 1), (3, 1, 1), (3, 0, 1)]
    interactions, _ = preprocess(records_of(rows, 4, 2), Filters(top_users=2))
    assert interactions.user_ids.to_list() == ["u01", "u02"]


def test_filters_that_leave_nothing_say_what_each_step_left() -> None:
    records = records_of([(0, 0, 1), (1, 1, 1)], 2, 2)
    with pytest.raises(
        TrainingError, match=r"--min-user-records 5.*leave nothing.*2 records.*5 or more: 0"
    ):
        preprocess(records, Filters(min_user_records=5))


@settings(deadline=None, max_examples=50)
@given(
    rows=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 7), st.integers(1, 9)), min_size=1),
    top=st.integers(1, 6),
)
def test_plays_of_remaining_users_are_conserved(
    rows: list[tuple[int, int, float]], top: int
) -> None:
    interactions, _ = preprocess(records_of(rows, 6, 8), Filters(top_users=top))
    remaining = {int(text[1:]) for text in interactions.user_ids}
    assert len(remaining) == min(top, len({user for user, _, _ in rows}))
    expected = sum(plays for user, _, plays in rows if user in remaining)
    assert interactions.user_items.plays.sum() == expected


def test_plays_that_sum_beyond_float32_are_refused() -> None:
    # Was wrong: the infinite sum came out as "factors are no numbers, try a smaller alpha".
    records = records_of([(0, 0, 3e38), (0, 0, 3e38), (1, 1, 1)], 2, 2)
    with pytest.raises(TrainingError, match=r"plays of a pair sum to more than 3\.4e\+38"):
        preprocess(records, Filters())


def test_times_stay_with_the_records_that_remain() -> None:
    rows = [(2, 1, 3), (0, 3, 5), (1, 0, 9), (2, 1, 4), (2, -1, 1)]
    records = replace(
        records_of(rows, n_users=3, n_items=4), timestamps=np.array([50, 40, 30, 20, 10])
    )
    # User 1 has a single record of an item that nobody else has.
    interactions, steps = preprocess(records, Filters(top_users=2))
    timed = interactions.timed
    assert timed is not None
    assert interactions.user_ids.to_list() == ["u00", "u02"]
    assert interactions.item_ids.to_list() == ["i01", "i03"]
    assert timed.user_indices.tolist() == [0, 1, 1]
    assert timed.item_indices.tolist() == [1, 0, 0]
    assert timed.plays.tolist() == [5, 3, 4]
    assert timed.timestamps.tolist() == [40, 50, 20]
    assert interactions.user_items.plays.tolist() == [5, 7]
    assert steps[-1].records == 2


def test_without_times_none_are_made_up() -> None:
    assert preprocess(records_of([(0, 0, 1)], 1, 1), Filters())[0].timed is None


@pytest.mark.slow
@settings(deadline=None, max_examples=50)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 5), st.integers(-1, 7), st.integers(1, 9)), min_size=1
    ).filter(lambda rows: any(item >= 0 for _, item, _ in rows)),
    top_users=st.integers(1, 6),
)
def test_times_do_not_change_what_is_summed(
    rows: list[tuple[int, int, float]], top_users: int
) -> None:
    records = records_of(rows, 6, 8)
    filters = Filters(top_users=top_users)
    without, _ = preprocess(records, filters)
    timed, _ = preprocess(replace(records, timestamps=np.arange(len(rows))), filters)
    assert timed.user_ids.equals(without.user_ids)
    assert timed.item_ids.equals(without.item_ids)
    for name in ("indptr", "indices", "plays"):
        found, expected = (getattr(one.user_items, name) for one in (timed, without))
        assert found.tolist() == expected.tolist()
        assert found.dtype == expected.dtype


def test_timed_plays_that_sum_beyond_float32_are_refused() -> None:
    records = records_of([(0, 0, 3e38), (0, 0, 3e38), (1, 1, 1)], 2, 2)
    with pytest.raises(TrainingError, match=r"plays of a pair sum to more than 3\.4e\+38"):
        preprocess(replace(records, timestamps=np.arange(3)), Filters())


@pytest.mark.parametrize("name", ["min_user_records", "min_item_records", "top_users"])
def test_filters_below_one_are_refused(name: str) -> None:
    # Was wrong: --config took top_users = -5 and dropped the five users with fewest records.
    with pytest.raises(TrainingError, match=f"{name} has to be at least 1, not -5"):
        Filters(**{name: -5})
