"""Exact top-n over item factors.

A float32 matrix product proposes candidates, their dot products in float64 decide order and score,
and ties break by lower item index. The answer for a vector therefore never depends on the other
vectors of its batch.

No score exceeds the product of both vectors' lengths. Items are scanned in order, and a scan ends
when no remaining item is long enough to reach the n-th best score found. Published models number
items by descending length, so a scan ends early (after Teflioudi, Gemulla and Mykytiuk, LEMP: Fast
Retrieval of Large Entries in a Matrix Product, 2015, section 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, Self, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from app.ranking.discovery import discount

# How many users are scanned together, which bounds memory.
USERS_PER_SCAN: Final = 128
# How many items are in a run, of which the largest length is stored.
_RUN: Final = 1024
# A scan first takes one run, which may suffice, and then doubles the step up to this many items.
_LONGEST_STEP: Final = 8 * _RUN
# How many dot products are made in float64 at once.
_EXACT_PAIRS: Final = 8192
# If the bound of the rounding error is below this, no float32 dot product reaches infinity.
OVERFLOW: Final = float(np.finfo(np.float32).max * np.finfo(np.float32).eps) / 4
# The second lowest finite float32.
_LOWEST: Final = np.nextafter(np.finfo(np.float32).min, np.float32(0))
# Covers the rounding of lengths and of their products.
SLACK: Final = 1 + 1e-9
_EPS: Final = float(np.finfo(np.float32).eps)
_TINY: Final = float(np.finfo(np.float32).tiny)

_Float = TypeVar("_Float", np.float32, np.float64)
_Norm = TypeVar("_Norm", float, NDArray[np.float64])
Ranked: TypeAlias = tuple[NDArray[np.int64], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Items prepared for ranking.

    Attributes:
        factors: float32, shape (n_items, factors).
        left_out: int64, sorted indices of the items that appear in no list.
        run_norms: float64, shape (n_runs,), the largest Euclidean norm in each run of items.
        log_discount: float32, shape (n_items,), at most 0: the logarithm of the factor of an item's
            score at ``dial`` 1; negative scores are not multiplied.
        run_log_discounts: float64, shape (n_runs,), the largest log discount in each run.
        dial: the power of the discount; 0 for none.
    """

    factors: NDArray[np.float32]
    left_out: NDArray[np.int64]
    run_norms: NDArray[np.float64]
    log_discount: NDArray[np.float32]
    run_log_discounts: NDArray[np.float64]
    dial: float = 0.0

    @classmethod
    def of(
        cls,
        factors: NDArray[np.float32],
        norms: NDArray[np.float64],
        *,
        left_out: NDArray[np.int64],
        log_discount: NDArray[np.float32],
    ) -> Self:
        """Prepares items for ranking, without a discount.

        Args:
            factors: float32, shape (n_items, factors).
            norms: float64, shape (n_items,), from ``item_norms``.
            left_out: int64, sorted indices of the items that appear in no list.
            log_discount: float32, shape (n_items,), at most 0.
        """
        return cls(factors, left_out, _run_maxima(norms), log_discount, _run_maxima(log_discount))

    def dialled(self, dial: float) -> Self:
        """Returns the same items with discounts to the power of ``dial``."""
        return replace(self, dial=dial)

    @property
    def max_norm(self) -> float:
        """Largest Euclidean norm of an item vector."""
        return float(self.run_norms.max(initial=0.0))

    def ceilings(self) -> NDArray[np.float64]:
        """Returns the bounds of scores, float64, shape (n_runs,).

        No discounted score of an item from run r on exceeds the length of the user's vector times
        the r-th ceiling.
        """
        of_runs = self.run_norms * np.exp(self.dial * self.run_log_discounts)
        return np.maximum.accumulate(of_runs[::-1])[::-1]

    def discounted(
        self, scores: NDArray[_Float], items: slice | NDArray[np.integer]
    ) -> NDArray[_Float]:
        """Returns the discounted scores of some items."""
        if self.dial == 0:
            return scores
        # Computed for these items only: the discount of an item does not depend on the others.
        discounted: NDArray[_Float] = scores * discount(self.log_discount[items], self.dial)
        # The factor would raise a negative score, so those stay as they are.
        return np.minimum(scores, discounted)


def _run_maxima(values: NDArray[np.floating]) -> NDArray[np.float64]:
    starts = np.arange(0, len(values), _RUN)
    maxima = np.maximum.reduceat(values, starts) if len(values) else values
    return maxima.astype(np.float64)


def item_norms(item_factors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Returns the Euclidean norms of item vectors (n_items, factors), shape (n_items,)."""
    # In float64: the square of a float32 may overflow or underflow in float32.
    squares = np.einsum("ij,ij->i", item_factors, item_factors, dtype=np.float64)
    return np.asarray(np.sqrt(squares))


def top_items(
    user_vectors: NDArray[np.float32],
    catalogue: Catalogue,
    *,
    n: int,
    hidden: Sequence[NDArray[np.integer]],
) -> list[Ranked]:
    """Ranks all items for each vector.

    Args:
        user_vectors: float32, shape (n_users, factors).
        catalogue: the items.
        n: wanted length of each list, at least 1.
        hidden: for each vector the item indices that must not appear.

    Returns:
        For each vector item indices (int64) and scores (float32), best first; n of each, or fewer
        if fewer items are not hidden.
    """
    ranked: list[Ranked] = []
    for start in range(0, len(user_vectors), USERS_PER_SCAN):
        part = slice(start, start + USERS_PER_SCAN)
        ranked += _Scan(user_vectors[part], catalogue, n, hidden[part]).run()
    return ranked


def rank(
    user_vector: NDArray[np.float32],
    catalogue: Catalogue,
    candidates: NDArray[np.int64],
    n: int,
) -> Ranked:
    """Ranks given items for one vector by their dot products in float64.

    Args:
        user_vector: float32, shape (factors,).
        catalogue: the items.
        candidates: item indices, unique.
        n: longest list wanted.

    Returns:
        Item indices (int64) and scores (float32), best first, ties by lower index.
    """
    scores = _exact_scores(
        user_vector[None, :], catalogue, np.zeros(len(candidates), dtype=np.int64), candidates
    )
    order = np.lexsort((candidates, -scores))[:n]
    return candidates[order], scores[order].astype(np.float32)


class _Scan:
    """One pass over the items for some users.

    Each float32 product may be off by ``errors``. So every item of the exact list of n has a
    product of at least the n-th largest product minus twice ``errors``.
    """

    def __init__(
        self,
        vectors: NDArray[np.float32],
        catalogue: Catalogue,
        n: int,
        hidden: Sequence[NDArray[np.integer]],
    ) -> None:
        self.vectors = vectors
        self.catalogue = catalogue
        self.n = n
        self.hidden = hidden
        self.ceilings = catalogue.ceilings()
        self.norms = SLACK * np.linalg.norm(vectors.astype(np.float64), axis=1)
        self.errors = rounding_error(self.norms, vectors.shape[1], catalogue.max_norm)
        # The n largest products so far of each user, and the smallest of them.
        self.largest = np.full((len(vectors), n), -np.inf, dtype=np.float32)
        self.floors = np.full(len(vectors), -np.inf)
        rows = np.repeat(np.arange(len(vectors)), [len(items) for items in hidden])
        items = np.concatenate([*hidden, np.zeros(0, dtype=np.int64)])
        by_item = np.argsort(items, kind="stable")
        self.hidden_rows, self.hidden_items = rows[by_item], items[by_item]
        self.looked_at = 0  # how many of the items
        # Users, items and products of all candidates.
        self.found: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]] = []

    def run(self) -> list[Ranked]:
        """Returns the lists."""
        is_sure = self.errors < OVERFLOW
        active, n_items = np.flatnonzero(is_sure), len(self.catalogue.factors)
        step = -(-max(1, 2 * self.n) // _RUN) * _RUN
        while self.looked_at < n_items:
            active = self._within_reach(active, self.looked_at)
            if not len(active):
                break
            end = min(self.looked_at + step, n_items)
            self._look_at(active, self.looked_at, end)
            self.looked_at, step = end, max(step, min(2 * step, _LONGEST_STEP))
        lists = self._ranked()
        # Where a product may overflow, every item is a candidate.
        for row in np.flatnonzero(~is_sure).tolist():
            lists[row] = self._ranked_without_products(row)
        return lists

    def _within_reach(self, active: NDArray[np.int64], start: int) -> NDArray[np.int64]:
        reach = self.norms[active] * (SLACK * self.ceilings[start // _RUN])
        is_within: NDArray[np.bool_] = reach >= self.floors[active] - self.errors[active]
        return active[is_within]

    def _look_at(self, active: NDArray[np.int64], start: int, end: int) -> None:
        vectors = self.vectors if len(active) == len(self.vectors) else self.vectors[active]
        products = vectors @ self.catalogue.factors[start:end].T
        products = self.catalogue.discounted(products, slice(start, end))
        self._hide(products, active, start, end)
        better = np.flatnonzero(products.max(axis=1) > self.floors[active])
        if len(better):
            self._raise_floors(active[better], products[better])
        floors = _round_down(self.floors[active] - 2 * self.errors[active])
        rows, columns = np.nonzero(products >= floors[:, None])
        self.found.append((active[rows], columns + start, products[rows, columns]))

    def _hide(
        self, products: NDArray[np.float32], active: NDArray[np.int64], start: int, end: int
    ) -> None:
        left_out = self.catalogue.left_out
        products[:, left_out[slice(*np.searchsorted(left_out, (start, end)))] - start] = -np.inf
        place = np.full(len(self.vectors), -1)
        place[active] = np.arange(len(active))
        span = slice(*np.searchsorted(self.hidden_items, (start, end)))
        rows, columns = place[self.hidden_rows[span]], self.hidden_items[span] - start
        products[rows[rows >= 0], columns[rows >= 0]] = -np.inf

    def _raise_floors(self, users: NDArray[np.int64], products: NDArray[np.float32]) -> None:
        together = np.concatenate([self.largest[users], products], axis=1)
        largest = np.partition(together, together.shape[1] - self.n, axis=1)[:, -self.n :]
        self.largest[users] = largest
        self.floors[users] = largest.min(axis=1)

    def _ranked(self) -> list[Ranked]:
        if not self.found:
            return [(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32))] * len(
                self.vectors
            )
        users, items, products = (np.concatenate(parts) for parts in zip(*self.found, strict=True))
        # Many early candidates are below the final floors.
        may_belong = products >= _round_down(self.floors - 2 * self.errors)[users]
        users, items = users[may_belong], items[may_belong]
        scores = _exact_scores(self.vectors, self.catalogue, users, items)
        order = np.lexsort((items, -scores, users))
        items, scores = items[order], scores[order]
        bounds = np.searchsorted(users[order], np.arange(len(self.vectors) + 1)).tolist()
        return [
            (items[start:end][: self.n], scores[start:end][: self.n].astype(np.float32))
            for start, end in pairwise(bounds)
        ]

    def _ranked_without_products(self, row: int) -> Ranked:
        visible = np.ones(len(self.catalogue.factors), dtype=bool)
        visible[self.hidden[row]] = visible[self.catalogue.left_out] = False
        return rank(self.vectors[row], self.catalogue, np.flatnonzero(visible), self.n)


def _exact_scores(
    vectors: NDArray[np.float32],
    catalogue: Catalogue,
    rows: NDArray[np.int64],
    items: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Returns the score of each pair of a vector's row and an item, in float64."""
    scores = np.zeros(len(items))
    for start in range(0, len(items), _EXACT_PAIRS):
        part = slice(start, start + _EXACT_PAIRS)
        # A product and a sum by row: a BLAS call may round differently with the number of rows.
        factors = catalogue.factors[items[part]]
        scores[part] = (factors * vectors[rows[part]].astype(np.float64)).sum(axis=1)
    return catalogue.discounted(scores, items)


def rounding_error(norm: _Norm, factors: int, max_item_norm: float) -> _Norm:
    """Bounds the error of a float32 dot product with any item vector, discounted or not.

    |fl(x . y) - x . y| <= k u / (1 - k u) * |x| |y| with unit roundoff u = 2**-24 and k terms
    (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1). A factor of at most
    1 adds one rounding and enlarges no error, nor does the lesser of two, so k + 1 holds for
    discounted scores; twice that for the norms' own rounding.
    """
    return (factors + 1) * (_EPS * norm * max_item_norm + _TINY)


def _round_down(floors: NDArray[np.float64]) -> NDArray[np.float32]:
    """Returns finite float32 values not above the given ones; hidden items stay below them."""
    return np.nextafter(np.maximum(floors, _LOWEST).astype(np.float32), np.float32(-np.inf))
