"""EASE: a linear model of items on items in closed form; for comparison with ALS, never served."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from app.model.interactions import UserItems
from app.model.model import Model
from training.errors import TrainingError
from training.measuring.fitted import Matrix, Ranker, best_of, fitted_lists, matrix_of
from training.splitting.split import Fold

# Largest system that is solved: its inverse takes up to 8 * n^2 bytes, 1.8 GB, and is made in
# place.
LARGEST: Final = 15_000
# From this size on float32 is tried first, which takes half of the time and of the memory.
SINGLE_FROM: Final = 4_000
# Largest error of an inverse, relative to a vector; in float32 1e-6 to 1e-5 is usual.
_MOST_ERROR: Final = 1e-3

_STRIPE: Final = 1024


Array: TypeAlias = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Ease:
    """Embarrassingly shallow autoencoder, exact (Steck, arXiv:1905.03375, 2019, equation 8).

    X has a 1 for each pair of the training part. With P = (X^T X + lambda * I)^-1, the weight of
    item i for item j is B_ij = -P_ij / P_jj, and B_jj = 0; the scores of a row x are x B. For an
    item j that the row lacks that is -(x P)_j / P_jj, so B is never made.

    Where there are fewer users than items, P is made of the users' system, which is smaller:
    lambda * P = I - X^T (X X^T + lambda * I)^-1 X (the identity of Woodbury), so the lists are the
    same. Users without items and items without users take no part in either system.

    Attributes:
        relative_regularization: lambda as a share of the listeners of the average pair's item,
            sum n_i^2 / sum n_i, so that one grid does for data of any size; above 0.

    Raises:
        TrainingError: the regularization is out of range.
    """

    relative_regularization: float = 3.0

    def __post_init__(self) -> None:
        if not 0 < self.relative_regularization < math.inf:
            raise TrainingError(
                "the relative regularization of EASE has to be above 0, not "
                f"{self.relative_regularization}"
            )

    def to_manifest(self) -> dict[str, Any]:
        """Returns the options of the lists."""
        return {"strategy": "ease"} | asdict(self)

    def lists(
        self,
        model: Model,
        fold: Fold,
        users: NDArray[np.int64],
        k: int,
        done: Callable[[int], None],
    ) -> NDArray[np.int64]:
        """Makes a list for each user; see ``GivesLists``.

        Raises:
            TrainingError: the system is too large.
        """
        return fitted_lists(self, fold, model.popularity, users, k, done=done)

    def check(self, user_items: UserItems) -> None:
        """Refuses data with more than ``LARGEST`` users and as many items; see ``Fits``."""
        users = int((user_items.row_lengths() > 0).sum())
        items = int((user_items.listeners() > 0).sum())
        if (size := min(users, items)) > LARGEST:
            raise TrainingError(
                f"EASE inverts a matrix as large as the fewer of users and artists, {size:,} here, "
                f"and at most {LARGEST:,}; leave it out of the contenders, or measure on fewer "
                "users (--top-users)"
            )

    def ranker(self, user_items: UserItems) -> Ranker:
        """Fits; see ``Fits``."""
        self.check(user_items)
        solved = self.solve(user_items)
        place = np.full(user_items.n_items, -1)
        place[solved.items] = np.arange(len(solved.items))

        def rank(rows: UserItems, k: int) -> list[NDArray[np.int64]]:
            # The last bits of float64 depend on the number of BLAS threads. Without them, items
            # with the same users are ties.
            scores = solved.scores(rows).astype(np.float32)
            ranked = []
            for row in range(rows.n_users):
                seen = place[rows.row(row)[0]]
                seen = seen[seen >= 0]
                scores[row, seen] = -np.inf
                # Without a known item all scores are 0, which ranks nothing.
                able = np.flatnonzero(scores[row] > -np.inf) if len(seen) else seen
                ranked.append(best_of(solved.items[able], scores[row, able], k))
            return ranked

        return rank

    def solve(self, user_items: UserItems) -> Solved:
        """Inverts the system of the training part, raw plays, n_users x n_items."""
        whole = matrix_of(user_items, np.ones(user_items.nnz))
        items = np.flatnonzero(user_items.listeners() > 0)
        x = whole[np.flatnonzero(user_items.row_lengths() > 0)][:, items].tocsr()
        listeners = user_items.listeners()[items].astype(np.float64)
        scale = float((listeners**2).sum() / listeners.sum())
        regularization = self.relative_regularization * scale
        by_users = x.shape[0] < x.shape[1]
        inverse = _inverse((x @ x.T if by_users else x.T @ x).tocsr(), regularization)
        if by_users:
            diagonal = (1.0 - _quadratic_forms(inverse, x)) / regularization
        else:
            diagonal = inverse.diagonal().astype(np.float64)
        return Solved(items, x, inverse, diagonal, regularization, by_users=by_users)


@dataclass(frozen=True, slots=True, eq=False)
class Solved:
    """P of EASE, as far as it is needed.

    Attributes:
        items: int64, shape (n,), the indices of the items with users, ascending.
        x: the ones of the training part, users with items x n.
        inverse: float64 or float32, (X X^T + lambda * I)^-1 if ``by_users``, else P.
        diagonal: float64, shape (n,), of P.
        regularization: lambda.
        by_users: whether the users' system was solved.
    """

    items: NDArray[np.int64]
    x: Matrix
    inverse: Array
    diagonal: NDArray[np.float64]
    regularization: float
    by_users: bool

    def scores(self, rows: UserItems) -> NDArray[np.float64]:
        """Returns the scores of rows of raw plays, float64, shape (n_rows, n).

        Those of the row's own items are without meaning, since EASE never recommends them.
        """
        return self.times_p(matrix_of(rows, np.ones(rows.nnz))[:, self.items]) / -self.diagonal

    def times_p(self, rows: Matrix) -> NDArray[np.float64]:
        """Returns R P for rows R, n_rows x n; float64, shape (n_rows, n)."""
        if not self.by_users:
            # A float64 matrix would make a float64 copy of the whole inverse.
            return np.asarray(rows.astype(self.inverse.dtype) @ self.inverse, dtype=np.float64)
        shared = np.asarray((rows @ self.x.T).toarray(), dtype=self.inverse.dtype)
        reached = shared @ self.inverse
        rest = rows.toarray() - np.asarray((self.x.T @ reached.T).T)
        return np.asarray(rest / self.regularization)


def _inverse(gramian: Matrix, regularization: float) -> Array:
    """Inverts a Gramian with a regularized diagonal; large ones in float32 if that is exact enough.

    Raises:
        TrainingError: the regularization is too small for float64.
    """
    kinds = (np.float32, np.float64) if gramian.shape[0] >= SINGLE_FROM else (np.float64,)
    for kind in kinds:
        inverse = _cholesky_inverse(np.asarray(gramian.astype(kind).toarray()), regularization)
        if inverse is not None and _error(inverse, gramian, regularization) <= _MOST_ERROR:
            return inverse
    raise TrainingError(
        f"EASE cannot solve its system with a regularization of {regularization:g}; take more"
    )


def _cholesky_inverse(dense: Array, regularization: float) -> Array | None:
    """Returns the inverse, made in place; None where the system is singular."""
    dense[np.diag_indices_from(dense)] += regularization
    functions: Any = lapack.get_lapack_funcs(("potrf", "potri"), (dense,))
    factorize, invert = functions
    # LAPACK stores by column; a symmetric matrix reads the same either way.
    factor, failed = factorize(dense.T, lower=1, clean=0, overwrite_a=1)
    if not failed:
        inverse, failed = invert(factor, lower=1, overwrite_c=1)
    if failed:
        return None
    # Only the lower triangle is filled.
    for start in range(0, len(inverse), _STRIPE):
        end = start + _STRIPE
        square = np.tril(inverse[start:end, start:end])
        inverse[start:end, start:end] = square + np.tril(square, -1).T
        inverse[start:end, end:] = inverse[end:, start:end].T
    return np.asarray(inverse.T)


def _error(inverse: Array, gramian: Matrix, regularization: float) -> float:
    """Returns how far the system times its inverse is from leaving a vector of signs alone."""
    signs = np.where(np.arange(len(inverse)) % 2, 1.0, -1.0)
    solved = (inverse @ signs.astype(inverse.dtype)).astype(np.float64)
    rest = gramian @ solved + regularization * solved - signs
    return float(np.linalg.norm(rest) / np.linalg.norm(signs))


def _quadratic_forms(inverse: Array, x: Matrix) -> NDArray[np.float64]:
    """Returns x_j^T K x_j for each column of X, shape (n_columns,)."""
    forms = np.zeros(x.shape[1])
    for start in range(0, x.shape[0], _STRIPE):
        block = x[start : start + _STRIPE]
        # K X for some users; their own pairs alone count.
        reached = np.asarray((x.T @ inverse[start : start + _STRIPE].T).T)
        pairs = block.tocoo()
        forms += np.bincount(
            pairs.col, weights=pairs.data * reached[pairs.row, pairs.col], minlength=len(forms)
        )
    return forms
