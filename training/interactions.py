"""Interactions: ids and the matrix of summed plays, the form in which everything offline works."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from app.interactions import UserItems


@dataclass(frozen=True, slots=True)
class Interactions:
    """Who played what how often.

    Attributes:
        user_ids: String, by user index.
        item_ids: String, by item index.
        item_names: String, by item index.
        user_items: summed plays, len(user_ids) x len(item_ids).
    """

    user_ids: pl.Series
    item_ids: pl.Series
    item_names: pl.Series
    user_items: UserItems

    def with_pairs(self, keep: NDArray[np.bool_]) -> Interactions:
        """Returns the same users and items with only the pairs that ``keep`` (nnz,) marks."""
        old = self.user_items
        kept_before = np.zeros(old.nnz + 1, dtype=np.int64)
        np.cumsum(keep, out=kept_before[1:])
        indptr = kept_before[old.indptr]
        kept = UserItems(indptr, old.indices[keep], old.plays[keep], old.n_items)
        return Interactions(self.user_ids, self.item_ids, self.item_names, kept)


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
