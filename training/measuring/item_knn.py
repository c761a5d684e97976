"""Item-kNN: recommends neighbours of a user's artists; for comparison with ALS, never served."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.model.interactions import UserItems
from app.model.model import Model
from training.errors import TrainingError
from training.measuring.fitted import BLOCK, Matrix, Ranker, best_of, fitted_lists, matrix_of
from training.splitting.split import Fold
from training.threads import in_threads

Similarity: TypeAlias = Literal["cosine", "tf-idf", "bm25"]

_K1: Final = 1.2
_B: Final = 0.75
_LEAST_WEIGHT: Final = 1e-6


@dataclass(frozen=True, slots=True)
class ItemKnn:
    """Neighbourhood recommendation by items, with implicit's search for neighbours.

    The score of item j for user u is the sum over the user's items i of log(1 + plays_ui) * s_ij,
    where s_ij is the similarity of the users of i and j for the nearest neighbours j of i, and 0
    for other items (Deshpande and Karypis, Item-Based Top-N Recommendation Algorithms, 2004,
    section 4). Short lists, and those of users without a history, are filled by popularity, as in
    the service.

    Attributes:
        similarity: ``cosine`` of the items' vectors of log(1 + plays); ``tf-idf``: cosine of their
            vectors of sqrt(log(1 + plays)), multiplied by the rarity of each user's history; or
            ``bm25``: the product of their vectors of plays, weighted by BM25 with implicit's
            k1 = 1.2 and b = 0.75.
        neighbours: number of neighbours of each item, itself included; published baselines use 20
            to 200. More are seldom worse, but cost time and memory.
        shrinkage: h; a similarity that rests on n users in common counts n / (n + h) of itself
            (Bell and Koren, Improved Neighborhood-based Collaborative Filtering, 2007, section 3).
            0 for none.

    Raises:
        TrainingError: there is no such similarity, the number of neighbours is below 1, or the
            shrinkage below 0.
    """

    similarity: Similarity = "cosine"
    neighbours: int = 200
    shrinkage: float = 0.0

    def __post_init__(self) -> None:
        if self.similarity not in get_args(Similarity):
            known = ", ".join(get_args(Similarity)[:-1])
            raise TrainingError(
                f"similarity has to be {known} or {get_args(Similarity)[-1]}, not "
                f"{self.similarity!r}"
            )
        if self.neighbours < 1:
            raise TrainingError(f"neighbours has to be at least 1, not {self.neighbours}")
        if not 0 <= self.shrinkage < math.inf:
            raise TrainingError(f"shrinkage has to be at least 0, not {self.shrinkage}")

    def to_manifest(self) -> dict[str, Any]:
        """Returns the options of the lists; the shrinkage only if there is one."""
        options = asdict(self)
        if not self.shrinkage:
            del options["shrinkage"]
        return {"strategy": "item-knn"} | options

    def lists(
        self,
        model: Model,
        fold: Fold,
        users: NDArray[np.int64],
        k: int,
        done: Callable[[int], None],
    ) -> NDArray[np.int64]:
        """Makes a list for each user; see ``GivesLists``."""
        return fitted_lists(self, fold, model.popularity, users, k, done=done)

    def check(self, user_items: UserItems) -> None:
        """Refuses nothing; see ``Fits``."""
        del user_items

    def ranker(self, user_items: UserItems) -> Ranker:
        """Fits; see ``Fits``."""
        similar = self.fit(user_items)
        return lambda rows, k: rank_neighbours(similar, rows, k)

    def fit(self, user_items: UserItems, *, threads: int = 0) -> Matrix:
        """Finds each item's neighbours.

        Args:
            user_items: the training plays.
            threads: number of threads of implicit, 0 for one for each core.

        Returns:
            s_ij, n_items x n_items, at most ``neighbours`` in a row. It does not depend on the
            number of threads.
        """
        from implicit.nearest_neighbours import ItemItemRecommender  # noqa: PLC0415 - slow to load

        weights = _WEIGHTS[self.similarity](user_items)
        if self.shrinkage:
            return self._shrunk(weights)
        finder = ItemItemRecommender(K=self.neighbours, num_threads=threads)
        finder.fit(weights.T.tocsr(), show_progress=False)
        similar: Matrix = finder.similarity
        return similar

    def _shrunk(self, weights: Matrix) -> Matrix:
        """Returns the neighbours by shrunk similarity, from weights, n_items x n_users."""
        users = weights.T.tocsr()
        ones = [
            sparse.csr_matrix((np.ones(one.nnz), one.indices, one.indptr), one.shape)
            for one in (weights, users)
        ]
        stripes: dict[int, Matrix] = {}

        def find(start: int) -> None:
            block = slice(start, start + BLOCK)
            common = ones[0][block] @ ones[1]
            common.data /= common.data + self.shrinkage
            stripes[start] = _largest((weights[block] @ users).multiply(common), self.neighbours)

        in_threads(find, range(0, weights.shape[0], BLOCK))
        whole: Matrix = sparse.vstack([stripes[start] for start in sorted(stripes)], format="csr")
        return whole


def rank_neighbours(similar: Matrix, rows: UserItems, k: int) -> list[NDArray[np.int64]]:
    """Ranks the neighbours of the items in each row; a score has to be above zero.

    Args:
        similar: n_items x n_items, from ``ItemKnn.fit``.
        rows: raw plays, n_rows x n_items; items of a row are not recommended to it.
        k: largest length of a list.

    Returns:
        For each row item indices, best first, ties by lower index.
    """
    product = matrix_of(rows, np.log1p(rows.plays)) @ similar
    is_seen = np.zeros(rows.n_items, dtype=bool)
    ranked = []
    for row in range(rows.n_users):
        seen = rows.row(row)[0]
        span = slice(product.indptr[row], product.indptr[row + 1])
        items, scores = product.indices[span], product.data[span]
        is_seen[seen] = True
        able = (scores > 0) & ~is_seen[items]
        is_seen[seen] = False
        ranked.append(best_of(items[able], scores[able], k))
    return ranked


def _largest(similar: Any, count: int) -> Matrix:
    """Returns the largest values of each row of a sparse matrix, ties by lower column."""
    rows = similar.tocsr()
    rows.sort_indices()
    found = [
        best_of(np.arange(start, end), rows.data[start:end], count)
        for start, end in pairwise(rows.indptr.tolist())
    ]
    places = np.concatenate([*found, np.zeros(0, dtype=np.int64)])
    indptr = np.concatenate([[0], np.cumsum([len(one) for one in found])])
    return sparse.csr_matrix((rows.data[places], rows.indices[places], indptr), rows.shape)


# The weights of implicit's CosineRecommender, TFIDFRecommender and BM25Recommender, n_items x
# n_users. Those classes pass on their matrix in a format of which their own base class warns.
def _cosine(user_items: UserItems) -> Matrix:
    from implicit.nearest_neighbours import normalize  # noqa: PLC0415 - takes a second to load

    weights: Matrix = normalize(matrix_of(user_items, np.log1p(user_items.plays)).T).tocsr()
    return weights


def _tf_idf(user_items: UserItems) -> Matrix:
    from implicit.nearest_neighbours import normalize, tfidf_weight  # noqa: PLC0415 - see above

    weights = tfidf_weight(matrix_of(user_items, np.log1p(user_items.plays)).T).tocsr()
    # A user who has every item tells nothing; an item of such users alone has no direction.
    weights.data = np.maximum(weights.data, _LEAST_WEIGHT)
    normalized: Matrix = normalize(weights).tocsr()
    return normalized


def _bm25(user_items: UserItems) -> Matrix:
    from implicit.nearest_neighbours import bm25_weight  # noqa: PLC0415 - see above

    weights: Matrix = bm25_weight(matrix_of(user_items, user_items.plays).T, _K1, _B).tocsr()
    return weights


_WEIGHTS: Final[Mapping[Similarity, Callable[[UserItems], Matrix]]] = {
    "cosine": _cosine,
    "tf-idf": _tf_idf,
    "bm25": _bm25,
}
