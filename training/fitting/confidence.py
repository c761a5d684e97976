"""Confidence: how much each pair of user and item counts in the factorisation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.model.interactions import UserItems
from app.model.weighting import Weighting
from training.errors import TrainingError


def confidence_matrix(
    user_items: UserItems, weighting: Weighting, alpha: float
) -> sparse.csr_matrix[np.float32]:
    """Returns c_ui of every pair as a float32 CSR matrix, n_users x n_items.

    Raises:
        TrainingError: a value is too large for float32.
    """
    with np.errstate(over="ignore"):
        exact = 1.0 + alpha * weighting.weigh(user_items).astype(np.float64)
        confidence = exact.astype(np.float32)
    if not np.isfinite(confidence).all():
        raise TrainingError(too_large(alpha))
    return matrix_of(user_items, confidence)


def too_large(alpha: float) -> str:
    """Returns the message for a confidence that float32 does not hold."""
    return f"the confidence exceeds float32 (alpha={alpha}); try a smaller alpha"


def matrix_of(user_items: UserItems, values: NDArray[np.float32]) -> sparse.csr_matrix[np.float32]:
    """Returns values of the pairs, float32, shape (nnz,), as a CSR matrix, n_users x n_items."""
    # implicit indexes with int32, and takes int64 only where the number of pairs needs it.
    indptr = user_items.indptr
    if user_items.nnz <= np.iinfo(np.int32).max:
        indptr = indptr.astype(np.int32)
    return sparse.csr_matrix(
        (values, user_items.indices, indptr), shape=(user_items.n_users, user_items.n_items)
    )


def noise_scale(confidence: sparse.csr_matrix[np.float32]) -> float:
    """Estimates the largest singular value that the matrix would have if it were only noise.

    For m x n independent entries of deviation s that is s * (sqrt(m) + sqrt(n)) (Bai and Yin,
    Limit of the Smallest Eigenvalue of a Large Dimensional Sample Covariance Matrix, 1993): the
    norm of a row plus that of a column. Rows and columns differ here, so both norms are means,
    weighted by the squares: sqrt(sum r_u^4 / sum r_u^2) + sqrt(sum k_i^4 / sum k_i^2). A component
    below this scale cannot be distinguished from chance. Regularization by a share of the scale has
    the same effect on small and large data.

    Args:
        confidence: c_ui, n_users x n_items.
    """
    squares = confidence.data.astype(np.float64) ** 2
    n_users, n_items = confidence.shape
    users = np.repeat(np.arange(n_users), np.diff(confidence.indptr))
    rows = np.bincount(users, weights=squares, minlength=n_users)
    columns = np.bincount(confidence.indices, weights=squares, minlength=n_items)
    return float(sum(np.sqrt((part @ part) / part.sum()) for part in (rows, columns)))
