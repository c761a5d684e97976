from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from app.errors import InvalidId
from tests.builders import interactions_of
from training.data.filters import Filters, preprocess
from training.data.items import ItemTable
from training.data.records import Records, RowCounts
from training.splitting.ready_made import join_split


def table(**columns: list[str]) -> ItemTable:
    return ItemTable(pl.DataFrame(columns))


def test_without_names_the_ids_stand_in_their_place() -> None:
    items = ItemTable.of(pl.Series(["a", "b"]))
    assert len(items) == 2
    assert items.ids.to_list() == items.names.to_list() == ["a", "b"]


def test_rows_are_taken_in_the_given_order() -> None:
    taken = table(id=["a", "b", "c"], name=["A", "B", "C"]).take(np.array([2, 0]))
    assert taken.frame.rows() == [("c", "C"), ("a", "A")]


def test_the_union_is_sorted_by_bytes_and_believes_the_first_table() -> None:
    one = table(id=["b", "é"], name=["B", "É"])
    other = table(id=["Z", "b"], name=["z", "another"])
    assert one.union(other).frame.rows() == [("Z", "z"), ("b", "B"), ("é", "É")]


def test_names_that_are_told_later_are_for_items_without_one() -> None:
    items = table(id=["a", "b"], name=["a", "B"])
    told = pl.DataFrame({"id": ["a", "b", "c"], "name": ["A!", "B!", "C!"]})
    further = items.with_ids(pl.Series(["a", "b", "c", "d"]), told)
    assert further.names.to_list() == ["A!", "B", "C!", "d"]


def test_a_model_has_the_same_ids_and_names() -> None:
    items = table(id=["name:x", "y"], name=["X", "Ÿ"]).mapped()
    assert [items.index("y"), items.names[1]] == [1, "Ÿ"]
    with pytest.raises(InvalidId, match="at most 256 bytes"):
        table(id=["x" * 257], name=["x"]).mapped()


def test_a_further_column_goes_through_every_step() -> None:
    """So that an attribute needs no change in what lies between its source and the model."""
    items = table(id=["a", "b", "c"], name=["A", "B", "C"], tag=["x", "y", "z"])
    records = Records(
        user_codes=np.array([0, 0, 1, 1, 1], dtype=np.int32),
        item_codes=np.array([0, 2, 1, 2, -1], dtype=np.int32),
        plays=np.ones(5, dtype=np.float32),
        user_ids=pl.Series(["u", "v"]),
        items=items,
        rows=RowCounts(5),
        dataset="test",
        sources={},
    )
    filtered, _ = preprocess(records, Filters(min_item_records=2))
    assert filtered.items.frame.rows() == [("c", "C", "z")]
    numbered = replace(interactions_of(np.ones((2, 3))), items=items).with_items_in(
        np.array([1, 2, 0])
    )
    assert numbered.items.frame["tag"].to_list() == ["y", "z", "x"]
    train, test = (
        replace(records, item_codes=np.array(codes, dtype=np.int32))
        for codes in ([0, 2, 1, 2, 0], [1, 2, 0, 1, 2])
    )
    assert join_split(train, test).train.items.frame["tag"].to_list() == ["x", "y", "z"]
    told = pl.DataFrame({"id": ["d"], "name": ["D"]})
    merged = items.with_ids(pl.Series(["a", "b", "c", "d"]), told)
    assert merged.frame["tag"].to_list() == ["x", "y", "z", None]
