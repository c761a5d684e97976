"""A ready-made split, from two files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.data.filters import Filters, preprocess
from training.data.interactions import Interactions, gather_records
from training.data.records import Records
from training.errors import TrainingError
from training.splitting.drawn import RandomPerUser
from training.splitting.split import Fold, Split


@dataclass(frozen=True, slots=True)
class ReadyMade:
    """A ready-made split.

    Attributes:
        train, test: the parts, over the union of both files' users and items.
        users_without_training: test users who are not in training; popularity answers them.
        items_without_training: test items that are not in training; no list has them.
        pairs_in_training: test pairs that are training pairs as well; no list has them.
        n_folds: always 1.

    Raises:
        TrainingError: all test pairs are training pairs.
    """

    train: Interactions
    test: Interactions
    users_without_training: int
    items_without_training: int
    pairs_in_training: int

    n_folds: int = 1

    def __post_init__(self) -> None:
        if 0 < self.test.user_items.nnz == self.pairs_in_training:
            raise TrainingError(
                "every pair of the test part is in the training part as well, so that no list can "
                "hit it; is it the same file?"
            )

    def folds(self, _interactions: Interactions) -> Iterator[Fold]:
        """Yields the two parts unchanged."""
        yield Fold(self.train, self.test)

    def together(self) -> Interactions:
        """Returns the pairs of both parts."""
        return self.train.with_pairs_of(self.test)

    def validation(self) -> Split:
        """Returns a random split, since it is unknown how this one was made."""
        return RandomPerUser().validation()

    def to_manifest(self) -> dict[str, Any]:
        """Returns the split for the manifest and ``evaluate --json``."""
        return {
            "name": "ready-made",
            "users_without_training": self.users_without_training,
            "items_without_training": self.items_without_training,
            "pairs_in_training": self.pairs_in_training,
        }


def join_split(train: Records, test: Records) -> ReadyMade:
    """Maps the users and items of two files to common indices."""
    users = _union(train.user_ids, test.user_ids)
    items = train.items.union(test.items)

    def part(records: Records) -> Interactions:
        # All ids are sorted by their bytes, and the union holds every id.
        user_of = users.search_sorted(records.user_ids).to_numpy()
        item_of = items.ids.search_sorted(records.item_ids).to_numpy()
        user_items, timed = gather_records(
            user_of[records.user_codes].astype(np.int32),
            item_of[records.item_codes].astype(np.int32),
            records.plays,
            records.timestamps,
            n_users=len(users),
            n_items=len(items),
        )
        return Interactions(users, items, user_items, timed)

    train_part, test_part = part(train), part(test)
    return ReadyMade(
        train_part,
        test_part,
        users_without_training=len(users) - len(train.user_ids),
        items_without_training=len(items) - len(train.items),
        pairs_in_training=len(np.intersect1d(_keys(train_part), _keys(test_part))),
    )


def only_training(records: Records) -> ReadyMade:
    """Returns a split whose test part is empty, for a search that looks at training only."""
    train, _steps = preprocess(records, Filters())
    nothing = train.with_pairs(np.zeros(train.user_items.nnz, dtype=bool))
    return ReadyMade(
        train, nothing, users_without_training=0, items_without_training=0, pairs_in_training=0
    )


def _keys(part: Interactions) -> NDArray[np.int64]:
    """Returns a distinct number for each pair, shape (nnz,)."""
    user_items = part.user_items
    return user_items.row_of_each_pair() * user_items.n_items + user_items.indices


def _union(first: pl.Series, second: pl.Series) -> pl.Series:
    return pl.concat([first, second]).unique().sort()
