"""Exact top-n over item factors.

A float32 matrix product proposes candidates, their dot products in float64 decide order and score,
and ties break by lower item index. The answer for a vector therefore never depends on what it was
batched with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

# Scores of one block of users take at most this many bytes.
_BLOCK_BYTES: Final = 64 * 2**20
# Selection first looks at the maxima of runs of this many items.
_RUN: Final = 128
# Where the bound of the rounding error is below this, no float32 dot product reaches infinity.
_OVERFLOW: Final = float(np.finfo(np.float32).max * np.finfo(np.float32).eps) / 4

_Float = TypeVar("_Float", np.float32, np.float64)
Ranked: TypeAlias = tuple[NDArray[np.int64], NDArray[np.float32]]


def users_per_block(n_items: int) -> int:
    """Returns how many users are scored together, so that memory stays bounded."""
    return int(np.clip(_BLOCK_BYTES // (4 * max(1, n_items)), 1, 1024))


def top_items(
    user_vectors: NDArray[np.float32],
    item_factors: NDArray[np.float32],
    *,
    n: int,
    hidden: Sequence[NDArray[np.integer]],
    max_item_norm: float,
    discount: NDArray[np.float32] | None = None,
) -> list[Ranked]:
    """Ranks all items for each vector.

    Args:
        user_vectors: float32, shape (n_users, factors).
        item_factors: float32, shape (n_items, factors).
        n: wanted length of each list, at least 1.
        hidden: for each vector the item indices that must not appear.
        max_item_norm: an upper bound of the item vectors' Euclidean norms.
        discount: what each item's score is multiplied by unless that raises it; float32, shape
            (n_items,), above 0 and at most 1.

    Returns:
        For each vector item indices (int64) and scores (float32), best first; n of each, or as
        many as are not hidden.
    """
    ranked: list[Ranked] = []
    block = users_per_block(len(item_factors))
    for start in range(0, len(user_vectors), block):
        vectors = user_vectors[start : start + block]
        with np.errstate(over="ignore", invalid="ignore"):
            proposals = vectors @ item_factors.T
        for row, products in enumerate(proposals):
            scores = _discounted(products, discount)
            error = _rounding_error(vectors[row], max_item_norm)
            if not error < _OVERFLOW:
                scores[:] = 0.0  # a product may have overflowed, so every item is a candidate
            scores[hidden[start + row]] = -np.inf
            # Two scores may each be off by ``error``, so a true top-n item is this close at least.
            floor = _nth_largest_bound(scores, n) - 2 * error
            candidates = np.flatnonzero((scores >= floor) & (scores > -np.inf))
            ranked.append(rank(vectors[row], item_factors, candidates, n, discount))
    return ranked


def rank(
    user_vector: NDArray[np.float32],
    item_factors: NDArray[np.float32],
    candidates: NDArray[np.int64],
    n: int,
    discount: NDArray[np.float32] | None = None,
) -> Ranked:
    """Ranks given items for one vector by their dot products in float64.

    Args:
        user_vector: float32, shape (factors,).
        item_factors: float32, shape (n_items, factors).
        candidates: item indices, unique.
        n: longest list wanted.
        discount: as of ``top_items``, of all items.

    Returns:
        Item indices (int64) and scores (float32), best first, ties by lower index.
    """
    # A product and a sum by row: a BLAS call may round differently with the number of rows.
    scores = (item_factors[candidates] * user_vector.astype(np.float64)).sum(axis=1)
    scores = _discounted(scores, None if discount is None else discount[candidates])
    order = np.lexsort((candidates, -scores))[:n]
    return candidates[order], scores[order].astype(np.float32)


def _discounted(scores: NDArray[_Float], discount: NDArray[np.float32] | None) -> NDArray[_Float]:
    # A negative score would gain by the factor, so it stays what it is.
    return scores if discount is None else np.minimum(scores, scores * discount)


def _rounding_error(user_vector: NDArray[np.float32], max_item_norm: float) -> float:
    """Bounds the error of a float32 dot product with any item vector, discounted or not.

    |fl(x . y) - x . y| <= k u / (1 - k u) * |x| |y| with unit roundoff u = 2**-24 and k terms
    (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1). A factor of at most
    1 adds one rounding and enlarges no error, nor does the lesser of two, so k + 1 holds for
    discounted scores; twice that for the norms' own rounding.
    """
    float32 = np.finfo(np.float32)
    norm = float(np.linalg.norm(user_vector.astype(np.float64)))
    roundings = len(user_vector) + 1
    return roundings * (float(float32.eps) * norm * max_item_norm + float(float32.tiny))


def _nth_largest_bound(scores: NDArray[np.float32], n: int) -> float:
    """Returns a value that at least n scores reach, close to the n-th largest; -inf if n is all."""
    if n >= len(scores):
        return -np.inf
    whole = len(scores) // _RUN * _RUN
    if n > whole // _RUN:
        return float(np.partition(scores, len(scores) - n)[len(scores) - n])
    # Each of the n best runs holds a score at least as high as the n-th best maximum.
    maxima = scores[:whole].reshape(-1, _RUN).max(axis=1)
    return float(np.partition(maxima, len(maxima) - n)[len(maxima) - n])
