"""Measures of ranked lists against held-out items; all vectorised over users.

Those that are means over users take ``hits``, bool, shape (n_users, k): whether the item at each
rank is among the user's test items; and ``n_test``, int, shape (n_users,): how many test items the
user has, at least one. A list shorter than k is padded with False. Each returns float64, shape
(n_users,).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Hits = NDArray[np.bool_]
Counts = NDArray[np.int64]
PerUser = NDArray[np.float64]


def precision(hits: Hits, n_test: Counts) -> PerUser:
    """Precision@k = hits / k."""
    del n_test
    return np.asarray(hits.mean(axis=1))


def recall(hits: Hits, n_test: Counts) -> PerUser:
    """Recall@k = hits / test items."""
    return np.asarray(hits.sum(axis=1) / n_test)


def ndcg(hits: Hits, n_test: Counts) -> PerUser:
    """NDCG@k with binary gain: DCG over that of a list that begins with min(k, test items) hits.

    DCG = sum over hits of 1 / log2(rank + 1) (Järvelin and Kekäläinen, Cumulated Gain-Based
    Evaluation of IR Techniques, 2002, in the variant that discounts every rank).
    """
    k = hits.shape[1]
    discount = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(discount)[np.minimum(n_test, k) - 1]
    # No matrix product: its rounding may depend on how BLAS cuts the rows.
    return np.asarray((hits * discount).sum(axis=1) / ideal)


def average_precision(hits: Hits, n_test: Counts) -> PerUser:
    """AP@k = sum of precision at the rank of each hit / min(k, test items)."""
    k = hits.shape[1]
    precision_at_rank = np.cumsum(hits, axis=1) / np.arange(1, k + 1)
    return np.asarray((precision_at_rank * hits).sum(axis=1) / np.minimum(n_test, k))


def reciprocal_rank(hits: Hits, n_test: Counts) -> PerUser:
    """1 / rank of the first hit, 0 without one; its mean is the MRR."""
    del n_test
    first = hits.argmax(axis=1) + 1
    return np.asarray(hits.any(axis=1) / first)


def hit(hits: Hits, n_test: Counts) -> PerUser:
    """1 with any hit, else 0; its mean is the hit rate."""
    del n_test
    return np.asarray(hits.any(axis=1), dtype=np.float64)


def surprise(listeners: Counts, n_users: int) -> PerUser:
    """Returns -log2(listeners / users) of each item, in bits; its mean over lists is the novelty.

    The self-information of an item (Zhou et al., Solving the Apparent Diversity-Accuracy Dilemma of
    Recommender Systems, 2010).

    Args:
        listeners: training users of each item; an item without any counts as having one.
        n_users: training users.
    """
    return np.asarray(-np.log2(np.maximum(listeners, 1) / n_users))


def gini(counts: Counts) -> float:
    """Gini coefficient of how often each item is recommended: 0 all alike, near 1 one item only.

    Args:
        counts: times that each training item is recommended, zeros included.
    """
    if counts.sum() == 0:
        return 0.0
    ascending = np.sort(counts).astype(np.float64)
    n = len(ascending)
    rank = np.arange(1, n + 1)
    return float(((2 * rank - n - 1) * ascending).sum() / (n * ascending.sum()))
