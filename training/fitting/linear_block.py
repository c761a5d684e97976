"""The linear block: a truncated linear autoencoder in closed form, from one sparse SVD.

The formulas and the papers stand in docs/model.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.model.blocks import LinearBlock
from app.model.interactions import UserItems
from training.errors import TrainingError
from training.fitting.confidence import matrix_of
from training.fitting.hyperparameters import LinearParameters
from training.fitting.subspace import shrunken_directions
from training.fitting.weighted import fit_weighting

# The unit of the scores is taken from this many users, evenly spaced.
_SAMPLED_USERS: Final = 4096
# The mean score of the pairs of the data; the preset's ALS gives about as much.
PAIR_SCORE: Final = 0.5
# An item with less than this share of the mean weight has none but rounding errors.
_NOTHING: Final = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class LinearFactors:
    """The two sides of the linear block.

    Attributes:
        history: A, float32, shape (n_items, rank): what an item in a history adds to a user vector.
        items: C, float32, shape (n_items, rank): the item vectors.
    """

    history: NDArray[np.float32]
    items: NDArray[np.float32]


def train_linear(
    weights: sparse.csr_matrix[np.float32], parameters: LinearParameters, *, seed: int = 0
) -> LinearFactors:
    """Computes the linear block.

    With X the weights, D and N the diagonal matrices of the sums of its rows and columns, each in
    units of its mean m_u or m_i, and L = m_i * (share * I + c * N), it is the denoising autoencoder
    B = (G + L)^-1 G of the Gramian G = X' D^-beta X (Steck, Autoencoders that don't overfit towards
    the Identity, 2020, without the constraint on the diagonal), restricted to the leading
    directions of D^(-beta/2) X L^(-1/2) = U S V'. The score of a row x for item j is (x A) . C_j,
    where A = N^a L^(-1/2) F and C = N^(-a) L^(1/2) F with F = V S (1 + S^2)^(-1/2).

    Args:
        weights: X, float32, n_users x n_items, not negative.
        parameters: the hyperparameters; ``weighting`` has been applied.
        seed: of the random start of the SVD.

    Returns:
        The factors. Items without weight have zero rows. There are fewer columns than
        ``parameters.rank`` if the weights have fewer directions: at most as many as there are users
        and items with weights.

    Raises:
        TrainingError: no weight is above 0.
    """
    user_sums = np.asarray(weights.sum(axis=1, dtype=np.float64)).ravel()
    item_sums = np.asarray(weights.sum(axis=0, dtype=np.float64)).ravel()
    if not item_sums.any():
        raise TrainingError(
            "a linear block needs weights above 0, and no pair has one: all plays were used up by "
            "skips; leave the block out, or give more data"
        )
    users, items = _in_means(user_sums), _in_means(item_sums)
    roots = np.sqrt(item_sums[item_sums > 0].mean() * (parameters.share + parameters.c * items))
    scaled = weights.copy()
    scaled.data *= np.repeat(_power(users, -parameters.beta / 2), np.diff(weights.indptr))
    scaled.data *= (np.where(items > 0, 1.0, 0.0) / roots)[weights.indices]
    directions = shrunken_directions(scaled, parameters.rank, seed=seed)
    tilts = _power(items, parameters.item_exponent)
    history = directions * (tilts / roots).astype(np.float32)[:, None]
    tilts = _power(items, -parameters.item_exponent)
    directions *= (tilts * roots).astype(np.float32)[:, None]
    return _balanced(weights, history, directions, parameters)


def _in_means(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns sums in units of the mean of those above 0; next to nothing is 0."""
    relative = sums / sums[sums > 0].mean()
    return np.where(relative > _NOTHING, relative, 0.0)


def _power(values: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    """Returns powers; that of 0 is 0."""
    powers = np.zeros_like(values)
    np.power(values, exponent, out=powers, where=values > 0)
    return powers


def _balanced(
    weights: sparse.csr_matrix[np.float32],
    history: NDArray[np.float32],
    items: NDArray[np.float32],
    parameters: LinearParameters,
) -> LinearFactors:
    """Scales both sides, which a factor and its inverse leave to choice.

    The mean score of the pairs of the data becomes ``PAIR_SCORE``, so that ``weight`` means about
    the same on any data and at any rank. And the user vectors of all users, the weight included,
    come to the same sum of squares as the item vectors, as those of ALS do at its optimum: then no
    block rules the lengths that scans end by (``app/ranking/scoring.py``), and both sides stay in
    the middle of the range of float32.
    """
    filled = np.flatnonzero(np.diff(weights.indptr))
    sampled = filled[:: -(-len(filled) // _SAMPLED_USERS)]
    rows = weights[sampled]
    sums = np.asarray(rows.sum(axis=1, dtype=np.float64)).reshape(-1, 1)
    vectors = np.asarray(rows @ history) * _power(sums, -parameters.user_exponent)
    rows.data[:] = 1.0
    score = float((vectors * (rows @ items)).sum()) / rows.nnz
    if not 0 < score < np.inf:
        raise TrainingError(
            f"the mean score of a linear block is {score:g}, no number above 0; try a larger "
            "linear_share"
        )
    unit = PAIR_SCORE / score
    of_all = np.sqrt(len(filled) / len(sampled))
    length = parameters.weight * unit * float(np.linalg.norm(vectors)) * of_all
    balance = np.sqrt(length / np.linalg.norm(items))
    return LinearFactors(
        history=history * np.float32(unit / balance), items=items * np.float32(balance)
    )


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """The linear block of a model, with its columns of the item vectors.

    Attributes:
        items: float32, shape (n_items, columns).
        block: the part that folds in.
    """

    items: NDArray[np.float32]
    block: LinearBlock

    @classmethod
    def of(cls, user_items: UserItems, parameters: LinearParameters, *, seed: int) -> Self:
        """Makes the block of a training part, at least one pair.

        Args:
            user_items: raw plays, n_users x n_items; recency is ignored, as for the factors of
                ALS.
            parameters: the hyperparameters.
            seed: of the random start of the SVD.

        Raises:
            TrainingError: no weight is above 0.
        """
        weighting = fit_weighting(user_items, parameters.weighting)
        weights = matrix_of(user_items, weighting.weigh(user_items))
        factors = train_linear(weights, parameters, seed=seed)
        block = LinearBlock(
            history_factors=factors.history,
            weighting=weighting,
            user_exponent=parameters.user_exponent,
            weight=parameters.weight,
        )
        return cls(factors.items, block)

    def in_order(self, order: NDArray[np.integer]) -> Self:
        """Returns the block with its items in another order."""
        block = replace(self.block, history_factors=self.block.history_factors[order])
        return replace(self, items=self.items[order], block=block)
