"""Fold-in: solving one user's vector with the item factors fixed.

Training ends with this solve for every user, so a user who is folded in from an unchanged history
gets the vector that the model already holds, bit for bit.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.model.interactions import UserItems
from app.model.weighting import Weighting

_BLOCK: Final = 16_384
# A regularization below this share of the Gramian's trace makes its inverse inexact.
_LEAST_SHARE: Final = 1e-8


def gramian(item_factors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Returns Y^T Y in float64, shape (factors, factors), for item factors (n_items, factors)."""
    factors = item_factors.shape[1]
    total = np.zeros((factors, factors))
    for start in range(0, len(item_factors), _BLOCK):
        block = item_factors[start : start + _BLOCK].astype(np.float64)
        total += block.T @ block
    return total


def regularized_inverse(
    item_gramian: NDArray[np.float64], regularization: float
) -> NDArray[np.float64] | None:
    """Returns (Y^T Y + regularization * I)^-1, shape (factors, factors), float64.

    None where the regularization is so small beside the Gramian that the inverse would lose more
    than half of float64's digits.
    """
    if regularization < _LEAST_SHARE * np.trace(item_gramian):
        return None
    regularized: NDArray[np.float64] = item_gramian + regularization * np.eye(len(item_gramian))
    return np.asarray(np.linalg.inv(regularized), dtype=np.float64)


def fold_in(
    rows: UserItems,
    item_factors: NDArray[np.float32],
    item_gramian: NDArray[np.float64],
    weighting: Weighting,
    *,
    alpha: float,
    regularization: float,
    weights: NDArray[np.float32] | None = None,
    inverse: NDArray[np.float64] | None = None,
) -> NDArray[np.float32]:
    """Solves user vectors in closed form.

    With c_ui = 1 + alpha * w_ui and the users' items as preferred, each vector is
    x_u = (Y^T Y + Y^T (C_u - I) Y + regularization * I)^-1 Y^T C_u p_u
    (Hu, Koren and Volinsky, Collaborative Filtering for Implicit Feedback Datasets, 2008,
    equation 4). With few items beside the factors the system is solved in the items' space, which
    is the same by the push-through identity (A + L^T E L)^-1 L^T = A^-1 L^T (I + E L A^-1 L^T)^-1.

    Args:
        rows: raw plays of the users, n_rows x n_items; weights fade by their recency.
        item_factors: float32, shape (n_items, factors).
        item_gramian: float64, shape (factors, factors), from ``gramian``.
        weighting: the weighting that training used.
        alpha: scale of the weights in the confidence.
        regularization: added to the diagonal.
        weights: float32, shape (nnz,), the weights of the pairs, used instead of those that the
            weighting makes from the plays.
        inverse: from ``regularized_inverse``; computed if it is not given, which costs about as
            much as ten users.

    Returns:
        float32, shape (n_rows, factors); a row without items gets the zero vector.
    """
    factors = item_factors.shape[1]
    if weights is None:
        weights = weighting.weigh(rows)
        if rows.recency is not None:
            weights = weights * rows.recency
    extra_confidence = alpha * weights.astype(np.float64)
    lengths = rows.row_lengths()
    if inverse is None and ((lengths > 0) & (lengths <= factors // 2)).any():
        inverse = regularized_inverse(item_gramian, regularization)
    regularized = None
    vectors = np.zeros((rows.n_users, factors), dtype=np.float32)
    for row in range(rows.n_users):
        span = slice(int(rows.indptr[row]), int(rows.indptr[row + 1]))
        n_liked = span.stop - span.start
        if n_liked > 0:
            liked = item_factors[rows.indices[span]].astype(np.float64)
            extra = extra_confidence[span]
            if inverse is not None and n_liked <= factors // 2:
                vectors[row] = _solve_in_items(liked, extra, inverse)
            else:
                if regularized is None:
                    regularized = item_gramian + regularization * np.eye(factors)
                system = regularized + (liked.T * extra) @ liked
                vectors[row] = np.linalg.solve(system, (1.0 + extra) @ liked)
    return vectors


def _solve_in_items(
    liked: NDArray[np.float64], extra: NDArray[np.float64], inverse: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Solves A^-1 L^T (I + E L A^-1 L^T)^-1 (1 + e): a system of as many rows as items."""
    reach = liked @ inverse
    system = extra[:, None] * (reach @ liked.T)
    system[np.diag_indices_from(system)] += 1.0
    return np.linalg.solve(system, 1.0 + extra) @ reach
