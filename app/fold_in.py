"""Fold-in: solving one user's vector with the item factors fixed.

Training ends with this solve for every user, so a user who is folded in from an unchanged history
gets the vector that the model already holds, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.interactions import UserItems
from app.weighting import Weighting

_BLOCK: Final = 16_384


def gramian(item_factors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Returns Y^T Y in float64, shape (factors, factors), for item factors (n_items, factors)."""
    factors = item_factors.shape[1]
    total = np.zeros((factors, factors))
    for start in range(0, len(item_factors), _BLOCK):
        block = item_factors[start : start + _BLOCK].astype(np.float64)
        total += block.T @ block
    return total


def fold_in(
    rows: UserItems,
    item_factors: NDArray[np.float32],
    item_gramian: NDArray[np.float64],
    weighting: Weighting,
    *,
    alpha: float,
    regularization: float,
    progress: Callable[[int], None] | None = None,
) -> NDArray[np.float32]:
    """Solves user vectors in closed form.

    With c_ui = 1 + alpha * w_ui and the users' items as preferred, each vector is
    x_u = (Y^T Y + Y^T (C_u - I) Y + regularization * I)^-1 Y^T C_u p_u
    (Hu, Koren and Volinsky, Collaborative Filtering for Implicit Feedback Datasets, 2008,
    equation 4).

    Args:
        rows: raw plays of the users, n_rows x n_items.
        item_factors: float32, shape (n_items, factors).
        item_gramian: float64, shape (factors, factors), as of ``gramian``.
        weighting: the weighting that training used.
        alpha: scale of the weights in the confidence.
        regularization: added to the diagonal.
        progress: called with the number of rows done since the last call.

    Returns:
        float32, shape (n_rows, factors); a row without items gets the zero vector.
    """
    factors = item_factors.shape[1]
    extra_confidence = alpha * weighting.weigh(rows).astype(np.float64)
    regularized = item_gramian + regularization * np.eye(factors)
    vectors = np.zeros((rows.n_users, factors), dtype=np.float32)
    done = 0
    for row in range(rows.n_users):
        span = slice(int(rows.indptr[row]), int(rows.indptr[row + 1]))
        if span.start < span.stop:
            liked = item_factors[rows.indices[span]].astype(np.float64)
            extra = extra_confidence[span]
            system = regularized + (liked.T * extra) @ liked
            vectors[row] = np.linalg.solve(system, (1.0 + extra) @ liked)
        if progress and (row + 1 - done == 1024 or row + 1 == rows.n_users):
            progress(row + 1 - done)
            done = row + 1
    return vectors
