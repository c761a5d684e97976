"""User-item interactions as compressed sparse rows, mapped or in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class UserItems:
    """Raw summed plays, n_users x n_items, in CSR form with sorted, unique indices in a row.

    Attributes:
        indptr: int64, shape (n_users + 1,).
        indices: int32, shape (nnz,), item indices.
        plays: float32, shape (nnz,), plays above zero.
        n_items: number of columns.
        recency: float32, shape (nnz,), above 0 and at most 1: the share of a pair's weight that is
            left at its age; None where weights do not fade.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    plays: NDArray[np.float32]
    n_items: int
    recency: NDArray[np.float32] | None = None

    @property
    def n_users(self) -> int:
        """Number of rows."""
        return len(self.indptr) - 1

    @property
    def nnz(self) -> int:
        """Number of (user, item) pairs."""
        return len(self.indices)

    def row(self, user_index: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Returns a user's item indices and plays; both are views."""
        span = slice(int(self.indptr[user_index]), int(self.indptr[user_index + 1]))
        return self.indices[span], self.plays[span]

    def recency_of(self, user_index: int) -> NDArray[np.float32] | None:
        """Returns the recency of a user's items, a view; None where weights do not fade."""
        if self.recency is None:
            return None
        return self.recency[int(self.indptr[user_index]) : int(self.indptr[user_index + 1])]

    def take(self, user_indices: NDArray[np.integer]) -> UserItems:
        """Returns some rows, in the given order; a copy."""
        lengths = self.row_lengths()[user_indices]
        indptr = np.zeros(len(lengths) + 1, dtype=np.int64)
        np.cumsum(lengths, out=indptr[1:])
        within_row = np.arange(indptr[-1]) - np.repeat(indptr[:-1], lengths)
        pairs = np.repeat(self.indptr[user_indices], lengths) + within_row
        recency = None if self.recency is None else self.recency[pairs]
        return UserItems(indptr, self.indices[pairs], self.plays[pairs], self.n_items, recency)

    def row_lengths(self) -> NDArray[np.int64]:
        """Returns how many items each user has, shape (n_users,)."""
        return np.diff(self.indptr)

    def row_of_each_pair(self) -> NDArray[np.int64]:
        """Returns the user index of every pair, shape (nnz,)."""
        return np.repeat(np.arange(self.n_users), self.row_lengths())

    def listeners(self) -> NDArray[np.int64]:
        """Returns how many users each item has, shape (n_items,)."""
        return np.bincount(self.indices, minlength=self.n_items)

    def total_plays(self) -> NDArray[np.float64]:
        """Returns the plays of each item over all users, shape (n_items,)."""
        totals = np.bincount(self.indices, weights=self.plays, minlength=self.n_items)
        return totals.astype(np.float64, copy=False)
