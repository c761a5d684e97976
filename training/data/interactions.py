"""Interactions: ids and the matrix of summed plays, from which everything offline works."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from app.model.interactions import UserItems
from training.data.items import ItemTable
from training.errors import TimesMissing

_DAY_SECONDS: Final = 24 * 3600
_MOST_HALVINGS: Final = 40


@dataclass(frozen=True, slots=True)
class TimedPlays:
    """The records behind a matrix, where their times are known.

    Those of ``Interactions`` are sorted by user and item, so that the records of a pair lie
    together and pairs have the order of the matrix. All methods but ``sorted`` require that.

    Attributes:
        user_indices, item_indices: int32, shape (n_records,); a pair may occur more than once.
        plays: float32, shape (n_records,).
        timestamps: int64, shape (n_records,), seconds since 1970 in UTC.
    """

    user_indices: NDArray[np.int32]
    item_indices: NDArray[np.int32]
    plays: NDArray[np.float32]
    timestamps: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.timestamps)

    def starts(self) -> NDArray[np.int64]:
        """Returns where the records of each pair begin, shape (n_pairs,)."""
        is_first = np.ones(len(self), dtype=bool)
        is_first[1:] = np.diff(self.user_indices) != 0
        is_first[1:] |= np.diff(self.item_indices) != 0
        return np.flatnonzero(is_first)

    def first_times(self) -> NDArray[np.int64]:
        """Returns the time of the first record of each pair, shape (n_pairs,)."""
        return np.minimum.reduceat(self.timestamps, self.starts())

    def spread(self, of_pairs: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Returns the mark of its pair for each record, shape (n_records,).

        Args:
            of_pairs: marks, shape (n_pairs,).
        """
        return np.repeat(of_pairs, np.diff(self.starts(), append=len(self)))

    def sorted(self, n_items: int) -> TimedPlays:
        """Returns the records by user and item; those of a pair stay in their order."""
        return self.take(
            _order_of(self.user_indices.astype(np.int64) * n_items + self.item_indices)
        )

    def and_those_of(self, other: TimedPlays) -> TimedPlays:
        """Returns the records of both, one after the other."""
        return TimedPlays(
            np.concatenate([self.user_indices, other.user_indices]),
            np.concatenate([self.item_indices, other.item_indices]),
            np.concatenate([self.plays, other.plays]),
            np.concatenate([self.timestamps, other.timestamps]),
        )

    def take(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> TimedPlays:
        """Returns the records that a mask or positions choose."""
        return TimedPlays(
            self.user_indices[which],
            self.item_indices[which],
            self.plays[which],
            self.timestamps[which],
        )

    def recency(self, half_life: float) -> NDArray[np.float32]:
        """Returns the recency of each pair, float32, shape (n_pairs,), above 0, at most 1.

        The recency of a play halves with each half-life, counted back from the last record of all;
        that of a pair is the mean over its plays. Plays older than forty half-lives count as forty
        half-lives old, so that no pair vanishes.

        Args:
            half_life: in days, above 0.
        """
        if not len(self):
            return np.zeros(0, dtype=np.float32)
        age = (self.timestamps.max() - self.timestamps) / (half_life * _DAY_SECONDS)
        left = self.plays * np.exp2(-np.minimum(age, _MOST_HALVINGS))
        starts = self.starts()
        whole = np.add.reduceat(self.plays, starts, dtype=np.float64)
        return (np.add.reduceat(left, starts, dtype=np.float64) / whole).astype(np.float32)

    def sum(self, *, n_users: int, n_items: int) -> UserItems:
        """Builds the matrix of the records; see ``sum_pairs``."""
        starts = self.starts()
        indptr = np.zeros(n_users + 1, dtype=np.int64)
        np.cumsum(np.bincount(self.user_indices[starts], minlength=n_users), out=indptr[1:])
        # A sum beyond float32 becomes infinite, as in sum_pairs.
        with np.errstate(over="ignore"):
            plays = np.add.reduceat(self.plays, starts, dtype=np.float64).astype(np.float32)
        return UserItems(indptr, self.item_indices[starts], plays, n_items)


@dataclass(frozen=True, slots=True)
class Interactions:
    """Users, items and the plays of each pair.

    Attributes:
        user_ids: String, by user index.
        items: the items table, by item index.
        user_items: summed plays, len(user_ids) x len(items).
        timed: the records that ``user_items`` sums, None where times are unknown.
    """

    user_ids: pl.Series
    items: ItemTable
    user_items: UserItems
    timed: TimedPlays | None = None

    @property
    def item_ids(self) -> pl.Series:
        """The ids of the items, String, by item index."""
        return self.items.ids

    def with_recency(self, half_life: float | None) -> Interactions:
        """Returns the same pairs with their recency; see ``TimedPlays.recency``.

        Args:
            half_life: in days; None to leave the weights as they are.

        Raises:
            TimesMissing: the times of the records are unknown.
        """
        if half_life is None:
            return self
        recency = self.records().recency(half_life)
        return replace(self, user_items=replace(self.user_items, recency=recency))

    def records(self) -> TimedPlays:
        """Returns the records behind the matrix.

        Raises:
            TimesMissing: their times are unknown.
        """
        if self.timed is None:
            raise TimesMissing(
                "a half-life", ", or give the time of the data with --events and --data-until"
            )
        return self.timed

    def with_pairs(self, chosen: NDArray[np.bool_]) -> Interactions:
        """Returns the same users and items with only the pairs that ``chosen`` (nnz,) marks."""
        old = self.user_items
        before = np.zeros(old.nnz + 1, dtype=np.int64)  # how many pairs stay before each
        np.cumsum(chosen, out=before[1:])
        recency = None if old.recency is None else old.recency[chosen]
        user_items = UserItems(
            before[old.indptr], old.indices[chosen], old.plays[chosen], old.n_items, recency
        )
        timed = None if self.timed is None else self.timed.take(self.timed.spread(chosen))
        return replace(self, user_items=user_items, timed=timed)

    def with_pairs_of(self, other: Interactions) -> Interactions:
        """Returns the pairs of both; they must have the same users and items."""
        parts = (self.user_items, other.user_items)
        user_items = sum_pairs(
            np.concatenate([part.row_of_each_pair() for part in parts]),
            np.concatenate([part.indices for part in parts]),
            np.concatenate([part.plays for part in parts]),
            n_users=parts[0].n_users,
            n_items=parts[0].n_items,
        )
        timed = None
        if self.timed is not None and other.timed is not None:
            timed = self.timed.and_those_of(other.timed).sorted(user_items.n_items)
        return replace(self, user_items=user_items, timed=timed)

    def with_items_in(self, order: NDArray[np.integer]) -> Interactions:
        """Returns the same pairs with renumbered items: item ``order[i]`` becomes item ``i``.

        The records are left out.
        """
        old = self.user_items
        number = np.empty(old.n_items, dtype=np.int32)
        number[order] = np.arange(old.n_items, dtype=np.int32)

        def renumbered(values: NDArray[np.float32]) -> UserItems:
            return sum_pairs(
                old.row_of_each_pair(),
                number[old.indices],
                values,
                n_users=old.n_users,
                n_items=old.n_items,
            )

        user_items = renumbered(old.plays)
        if old.recency is not None:
            user_items = replace(user_items, recency=renumbered(old.recency).plays)
        return Interactions(self.user_ids, self.items.take(order), user_items)

    def without_times(self) -> Interactions:
        """Returns the same pairs without the records."""
        return replace(self, timed=None)

    def with_records(self, timed: TimedPlays) -> Interactions:
        """Returns the same users and items with the pairs and plays of given records."""
        n_users, n_items = self.user_items.n_users, self.user_items.n_items
        return replace(self, user_items=timed.sum(n_users=n_users, n_items=n_items), timed=timed)


def gather_records(
    user_indices: NDArray[np.int32],
    item_indices: NDArray[np.int32],
    plays: NDArray[np.float32],
    timestamps: NDArray[np.int64] | None,
    *,
    n_users: int,
    n_items: int,
) -> tuple[UserItems, TimedPlays | None]:
    """Builds the matrix of records, and sorts the records where their times are known."""
    if timestamps is None:
        return sum_pairs(user_indices, item_indices, plays, n_users=n_users, n_items=n_items), None
    timed = TimedPlays(user_indices, item_indices, plays, timestamps).sorted(n_items)
    return timed.sum(n_users=n_users, n_items=n_items), timed


def sum_pairs(
    user_indices: NDArray[np.integer],
    item_indices: NDArray[np.integer],
    plays: NDArray[np.float32],
    *,
    n_users: int,
    n_items: int,
) -> UserItems:
    """Builds the matrix of records; plays of a repeated pair are summed.

    Args:
        user_indices: row of each record, shape (n_records,).
        item_indices: column of each record, shape (n_records,).
        plays: plays of each record, shape (n_records,).
        n_users: number of rows.
        n_items: number of columns.
    """
    matrix = sparse.csr_array((plays, (user_indices, item_indices)), shape=(n_users, n_items))
    matrix.sum_duplicates()
    matrix.sort_indices()
    return UserItems(
        matrix.indptr.astype(np.int64),
        matrix.indices.astype(np.int32),
        matrix.data.astype(np.float32),
        n_items,
    )


def _order_of(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns the stable order of keys, which must not be negative."""
    # 16 bits at a time: numpy sorts those by counting, which is several times as fast.
    bits = int(keys.max(initial=0)).bit_length()
    return np.lexsort([(keys >> low).astype(np.uint16) for low in range(0, max(bits, 1), 16)])
