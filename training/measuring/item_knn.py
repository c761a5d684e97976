"""Item-kNN: recommends neighbours of a user's artists; for comparison with ALS, never served."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.model.interactions import UserItems
from app.model.model import Model
from training.errors import TrainingError
from training.splitting.split import Fold
from training.threads import in_threads

Similarity: TypeAlias = Literal["cosine", "bm25"]

_BLOCK: Final = 256
_K1: Final = 1.2
_B: Final = 0.75

# Not the new csr_array: implicit requires csr_matrix.
Matrix: TypeAlias = "sparse.csr_matrix[np.float64]"


@dataclass(frozen=True, slots=True)
class ItemKnn:
    """Neighbourhood recommendation by items, with implicit's search for neighbours.

    The score of item j for user u is the sum over the user's items i of log(1 + plays_ui) * s_ij,
    where s_ij is the similarity of the users of i and j for the nearest neighbours j of i, and 0
    for other items (Deshpande and Karypis, Item-Based Top-N Recommendation Algorithms, 2004,
    section 4). Short lists, and those of users without a history, are filled by popularity, as in
    the service.

    Attributes:
        similarity: ``cosine`` of the items' vectors of log(1 + plays), or ``bm25``: the product of
            their vectors of plays, weighted by BM25 with implicit's k1 = 1.2 and b = 0.75.
        neighbours: number of neighbours of each item, itself included; published baselines use 20
            to 200. More are seldom worse, but cost time and memory.

    Raises:
        TrainingError: there is no such similarity, or the number of neighbours is below 1.
    """

    similarity: Similarity = "cosine"
    neighbours: int = 200

    def __post_init__(self) -> None:
        if self.similarity not in ("cosine", "bm25"):
            raise TrainingError(f"similarity has to be cosine or bm25, not {self.similarity!r}")
        if self.neighbours < 1:
            raise TrainingError(f"neighbours has to be at least 1, not {self.neighbours}")

    def to_manifest(self) -> dict[str, Any]:
        """Returns the options of the lists."""
        return {"strategy": "item-knn"} | asdict(self)

    def lists(
        self,
        model: Model,
        fold: Fold,
        users: NDArray[np.int64],
        k: int,
        done: Callable[[int], None],
    ) -> NDArray[np.int64]:
        """Makes a list for each user; see ``GivesLists``."""
        similar = self.fit(fold.train.user_items)
        history = (fold.given or fold.train).user_items
        popular = _trained_by_popularity(model)
        lists = np.full((len(users), k), -1, dtype=np.int64)

        def fill(start: int) -> None:
            rows = history.take(users[start : start + _BLOCK])
            for row, best in enumerate(rank_neighbours(similar, rows, k), start=start):
                lists[row, : len(best)] = best
                if len(best) < k:
                    seen = rows.row(row - start)[0]
                    rest = _first_without(popular, np.concatenate([seen, best]), k - len(best))
                    lists[row, len(best) : len(best) + len(rest)] = rest
            done(rows.n_users)

        in_threads(fill, range(0, len(users), _BLOCK))
        return lists

    def fit(self, user_items: UserItems, *, threads: int = 0) -> Matrix:
        """Finds each item's neighbours.

        Args:
            user_items: the training plays.
            threads: number of threads, 0 for one for each core.

        Returns:
            s_ij, n_items x n_items, at most ``neighbours`` in a row. It does not depend on the
            number of threads.
        """
        from implicit.nearest_neighbours import (  # noqa: PLC0415 - takes a second to load
            ItemItemRecommender,
            bm25_weight,
            normalize,
        )

        # The weights of implicit's CosineRecommender and BM25Recommender. Those classes pass on
        # their matrix in a format of which their own base class warns.
        if self.similarity == "bm25":
            weights = bm25_weight(_matrix(user_items, user_items.plays).T, _K1, _B)
        else:
            weights = normalize(_matrix(user_items, np.log1p(user_items.plays)).T)
        finder = ItemItemRecommender(K=self.neighbours, num_threads=threads)
        finder.fit(weights.T.tocsr(), show_progress=False)
        similar: Matrix = finder.similarity
        return similar


def rank_neighbours(similar: Matrix, rows: UserItems, k: int) -> list[NDArray[np.int64]]:
    """Ranks the neighbours of the items in each row; a score has to be above zero.

    Args:
        similar: n_items x n_items, from ``ItemKnn.fit``.
        rows: raw plays, n_rows x n_items; items of a row are not recommended to it.
        k: largest length of a list.

    Returns:
        For each row item indices, best first, ties by lower index.
    """
    product = _matrix(rows, np.log1p(rows.plays)) @ similar
    is_seen = np.zeros(rows.n_items, dtype=bool)
    ranked = []
    for row in range(rows.n_users):
        seen = rows.row(row)[0]
        span = slice(product.indptr[row], product.indptr[row + 1])
        items, scores = product.indices[span], product.data[span]
        is_seen[seen] = True
        able = (scores > 0) & ~is_seen[items]
        is_seen[seen] = False
        ranked.append(_best(items[able], scores[able], k))
    return ranked


def _best(items: NDArray[np.int32], scores: NDArray[np.float64], k: int) -> NDArray[np.int64]:
    if len(items) > k:
        able = scores >= np.partition(scores, len(scores) - k)[len(scores) - k]
        items, scores = items[able], scores[able]
    return items[np.lexsort((items, -scores))[:k]].astype(np.int64)


def _matrix(user_items: UserItems, weights: NDArray[np.float32]) -> Matrix:
    return sparse.csr_matrix(
        (weights.astype(np.float64), user_items.indices, user_items.indptr),
        shape=(user_items.n_users, user_items.n_items),
    )


def _trained_by_popularity(model: Model) -> NDArray[np.int64]:
    order = np.asarray(model.popularity.by_listeners, dtype=np.int64)
    return order[np.asarray(model.popularity.listeners)[order] > 0]


def _first_without(
    order: NDArray[np.int64], hidden: NDArray[np.integer], n: int
) -> NDArray[np.int64]:
    # n + len(hidden) items are enough, even if every hidden item is among them.
    order = order[: n + len(hidden)]
    return order[~np.isin(order, hidden)][:n]
