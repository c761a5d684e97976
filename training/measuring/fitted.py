"""Contenders that fit a model of their own on the training part, and rank rows of plays with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.model.interactions import UserItems
from app.model.model import Popularity
from training.measuring.evaluation import GivesLists
from training.splitting.split import Fold
from training.threads import in_threads

BLOCK: Final = 256

# Takes rows of raw plays, n_rows x n_items, and the largest length of a list. Returns for each row
# item indices, int64, best first, without the items of the row; ties by lower index.
Ranker: TypeAlias = Callable[[UserItems, int], list[NDArray[np.int64]]]
# Not the new csr_array: implicit requires csr_matrix.
Matrix: TypeAlias = "sparse.csr_matrix[np.float64]"


@runtime_checkable
class Fits(GivesLists, Protocol):
    """A contender that fits a model of its own; a dataclass of its options."""

    def check(self, user_items: UserItems) -> None:
        """Refuses data that are too large.

        Raises:
            TrainingError: they are.
        """
        ...

    def ranker(self, user_items: UserItems) -> Ranker:
        """Fits.

        Args:
            user_items: raw plays of the training part, n_users x n_items, at least one pair.

        Raises:
            TrainingError: the data are too large.
        """
        ...


def fitted_lists(
    contender: Fits,
    fold: Fold,
    popularity: Popularity,
    users: NDArray[np.int64],
    k: int,
    *,
    done: Callable[[int], None],
) -> NDArray[np.int64]:
    """Fits on the training part and makes a list for each user; see ``GivesLists``.

    Short lists, and those of users without a history, are filled by popularity, as in the service.

    Args:
        contender: the contender.
        fold: the parts; its test part plays no role.
        popularity: of the items in the training part.
        users: user indices.
        k: length of the lists.
        done: called with the number of lists made since the last call.
    """
    ranker = contender.ranker(fold.train.user_items)
    history = (fold.given or fold.train).user_items
    popular = _trained_by_popularity(popularity)
    lists = np.full((len(users), k), -1, dtype=np.int64)

    def fill(start: int) -> None:
        rows = history.take(users[start : start + BLOCK])
        for row, best in enumerate(ranker(rows, k), start=start):
            lists[row, : len(best)] = best
            if len(best) < k:
                seen = rows.row(row - start)[0]
                rest = _first_without(popular, np.concatenate([seen, best]), k - len(best))
                lists[row, len(best) : len(best) + len(rest)] = rest
        done(rows.n_users)

    in_threads(fill, range(0, len(users), BLOCK))
    return lists


def best_of(items: NDArray[np.integer], scores: NDArray[np.floating], k: int) -> NDArray[np.int64]:
    """Returns the k items with the highest scores, best first, ties by lower index."""
    if len(items) > k:
        able = scores >= np.partition(scores, len(scores) - k)[len(scores) - k]
        items, scores = items[able], scores[able]
    return items[np.lexsort((items, -scores))[:k]].astype(np.int64)


def matrix_of(user_items: UserItems, weights: NDArray[np.floating]) -> Matrix:
    """Returns weights of pairs, shape (nnz,), as a float64 matrix, n_users x n_items."""
    return sparse.csr_matrix(
        (weights.astype(np.float64), user_items.indices, user_items.indptr),
        shape=(user_items.n_users, user_items.n_items),
    )


def _trained_by_popularity(popularity: Popularity) -> NDArray[np.int64]:
    order = np.asarray(popularity.by_listeners, dtype=np.int64)
    return order[np.asarray(popularity.listeners)[order] > 0]


def _first_without(
    order: NDArray[np.int64], hidden: NDArray[np.integer], n: int
) -> NDArray[np.int64]:
    # n + len(hidden) items are enough, even if every hidden item is among them.
    order = order[: n + len(hidden)]
    return order[~np.isin(order, hidden)][:n]
