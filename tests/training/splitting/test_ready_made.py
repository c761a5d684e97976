from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from tests.builders import PARAMETERS, dense_of
from training.data.items import ItemTable
from training.data.records import Records, RowCounts
from training.errors import NothingToMeasure, TrainingError
from training.measuring.experiment import Plan, measure
from training.presets import DEFAULT
from training.splitting.drawn import RandomPerUser
from training.splitting.ready_made import join_split, only_training


def records_of(rows: Sequence[tuple[str, str, float]], **names: str) -> Records:
    """Returns records of (user, item, plays), whose ids are sorted as a reader sorts them."""
    users = pl.Series(sorted({user for user, _, _ in rows}), dtype=pl.String)
    items = pl.Series(sorted({item for _, item, _ in rows}), dtype=pl.String)
    return Records(
        dataset="table",
        user_ids=users,
        items=ItemTable.of(
            items, pl.Series([names.get(item, item) for item in items], dtype=pl.String)
        ),
        user_codes=np.array([users.to_list().index(user) for user, _, _ in rows], dtype=np.int32),
        item_codes=np.array([items.to_list().index(item) for _, item, _ in rows], dtype=np.int32),
        plays=np.array([plays for _, _, plays in rows], dtype=np.float32),
        rows=RowCounts(read=len(rows)),
        sources={},
    )


TRAIN = records_of([("b", "y", 2), ("a", "x", 1), ("a", "y", 3), ("a", "y", 4)])
TEST = records_of([("c", "x", 1), ("a", "z", 1), ("b", "x", 6), ("é", "w", 1)])


def test_both_files_come_onto_the_same_indices() -> None:
    split = join_split(TRAIN, TEST)
    assert split.train.user_ids.to_list() == split.test.user_ids.to_list() == ["a", "b", "c", "é"]
    assert split.train.item_ids.to_list() == split.test.item_ids.to_list() == ["w", "x", "y", "z"]
    assert dense_of(split.train.user_items).tolist() == [
        [0, 1, 7, 0],
        [0, 0, 2, 0],
        [0, 0, 0, 0],
        [0, 0, 0, 0],
    ]
    assert dense_of(split.test.user_items).tolist() == [
        [0, 0, 0, 1],
        [0, 6, 0, 0],
        [0, 1, 0, 0],
        [1, 0, 0, 0],
    ]


def test_users_and_items_that_training_lacks_are_counted() -> None:
    split = join_split(TRAIN, TEST)
    assert split.to_manifest() == {
        "name": "ready-made",
        "users_without_training": 2,
        "items_without_training": 2,
        "pairs_in_training": 0,
    }
    assert join_split(TEST, TRAIN).users_without_training == 0
    assert join_split(TEST, TRAIN).items_without_training == 1


def test_names_of_the_training_file_win() -> None:
    split = join_split(
        records_of([("a", "x", 1)], x="The Doors"),
        records_of([("a", "x", 1), ("a", "y", 1)], x="the doors!", y="Björk"),
    )
    assert split.train.items.names.to_list() == ["The Doors", "Björk"]
    assert split.test.items.names.to_list() == ["The Doors", "Björk"]


def test_the_one_fold_is_what_was_given_whatever_is_asked_of_it() -> None:
    split = join_split(TRAIN, TEST)
    (fold,) = split.folds(split.test)
    assert fold.train is split.train
    assert fold.test is split.test
    assert fold.given is None
    assert split.n_folds == 1


def test_together_are_the_pairs_of_both_files() -> None:
    whole = join_split(TRAIN, TEST).together()
    assert dense_of(whole.user_items).tolist() == [
        [0, 1, 7, 1],
        [0, 6, 2, 0],
        [0, 1, 0, 0],
        [1, 0, 0, 0],
    ]


def test_its_validation_part_is_cut_at_random() -> None:
    assert isinstance(join_split(TRAIN, TEST).validation(), RandomPerUser)


def test_training_alone_has_an_empty_test_part() -> None:
    split = only_training(TRAIN)
    assert dense_of(split.train.user_items).tolist() == [[1, 7], [0, 2]]
    assert split.test.user_items.nnz == 0
    assert (split.users_without_training, split.items_without_training) == (0, 0)
    assert dense_of(split.together().user_items).tolist() == [[1, 7], [0, 2]]


def test_an_empty_test_part_is_nothing_to_measure() -> None:
    split = only_training(TRAIN)
    preset = replace(DEFAULT, split=split, parameters=PARAMETERS)
    with pytest.raises(NothingToMeasure, match="no user has a test item"):
        measure(split.together(), preset, Plan(k=1))


def test_test_pairs_that_are_training_pairs_are_counted() -> None:
    split = join_split(TRAIN, records_of([("a", "x", 1), ("a", "y", 1), ("a", "z", 1)]))
    assert split.pairs_in_training == 2
    assert split.to_manifest()["pairs_in_training"] == 2


def test_a_test_part_that_training_holds_whole_is_refused() -> None:
    with pytest.raises(TrainingError, match="is it the same file"):
        join_split(TRAIN, TRAIN)
