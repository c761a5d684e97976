"""The discovery dial: discounts scores by how popular an artist is.

Two numbers measure the popularity of item i: the listeners p_i, and the length of its vector y_i,
into which a factorisation puts popularity (Kim, Park and Kim, Test-Time Embedding Normalization for
Popularity Bias Mitigation, 2023). A score is multiplied by a power of both, as in the adjustment
of Zhang et al., Causal Intervention for Leveraging Popularity Bias in Recommendation, 2021.
The length alone gives more coverage for the same NDCG, the listeners alone less. But the lengths
depend on the regularization; with both, the same dial has about the same effect on every model
(``benchmarks/discovery.py``).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

LENGTH_EXPONENT: Final = 0.5
LISTENERS_EXPONENT: Final = 0.12
# The least popular share of the items is not discounted: these items keep the order of the model,
# and a very short vector gains nothing.
_UNTOUCHED_SHARE: Final = 0.25
# Makes every discount fit into float32.
_LEAST_LOG: Final = -60.0


def log_discount(
    item_norms: NDArray[np.float64],
    listeners: NDArray[np.int64],
    *,
    length_exponent: float = LENGTH_EXPONENT,
    listeners_exponent: float = LISTENERS_EXPONENT,
) -> NDArray[np.float32]:
    """Returns the logarithm of each item's discount at dial 1.

    It is log min(1, q / (|y_i|^0.5 p_i^0.12)), with q such that a quarter of the items keep their
    scores. Neither the scale of the vectors nor the number of users matters.

    Args:
        item_norms: float64, shape (n_items,), Euclidean norms of the item vectors.
        listeners: int64, shape (n_items,), users with the item.
        length_exponent: the power of the length; changed only to compare.
        listeners_exponent: the power of the listeners; changed only to compare.

    Returns:
        float32, shape (n_items,), at most 0; 0 for an item without listeners or with a zero vector.
    """
    known = (item_norms > 0) & (listeners > 0)
    result = np.zeros(len(item_norms), dtype=np.float32)
    if known.any():
        popularity = length_exponent * np.log(item_norms[known])
        popularity += listeners_exponent * np.log(listeners[known])
        untouched = np.quantile(popularity, _UNTOUCHED_SHARE)
        result[known] = np.clip(untouched - popularity, _LEAST_LOG, 0.0)
    return result


def discount(log_discount: NDArray[np.float32], discovery: float) -> NDArray[np.float32]:
    """Returns the factor of each item's score.

    Args:
        log_discount: float32, shape (n_items,), from ``log_discount``.
        discovery: the dial, 0 (no discount) to 1.

    Returns:
        float32, shape (n_items,), above 0, at most 1.
    """
    factors: NDArray[np.float32] = np.exp(log_discount * np.float32(discovery))
    return factors
