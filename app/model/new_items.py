"""New items: the direction of a vector for an item that training has not seen.

It is made from the vectors of the item's listeners, block by block, since users and items have
columns of different meaning in a linear block.
"""

from __future__ import annotations

from functools import cached_property
from typing import Final, assert_never

import numpy as np
from numpy.typing import NDArray

from app.model.blocks import AlsBlock, LinearBlock
from app.model.model import Model
from app.ranking.scoring import item_norms

# How many users are sampled to learn how the columns of users spread.
_SAMPLED_USERS: Final = 4096
# Added to the diagonal, as a share of its mean: with few users some directions are unknown.
_RIDGE: Final = 0.01
_BLOCK: Final = 16_384
_TINY: Final = float(np.finfo(np.float32).tiny)


class NewItemDirections:
    """Makes directions for items that a model does not have.

    Args:
        model: the model.
    """

    def __init__(self, model: Model) -> None:
        self._model = model

    def of(self, listeners: NDArray[np.float32]) -> NDArray[np.float64]:
        """Returns the direction of an item with these listeners.

        In the columns of ALS it is the one with the largest sum of cosines with the listeners'
        vectors x_u: that of the sum of x_u / |x_u|. In linear columns it is that of
        Q (P^T P)^-1 sum of p_u / |p_u|, for which see ``_spread``. With several blocks, each part
        is as long beside the others as it is in the median of the model's items.

        Args:
            listeners: float32, shape (n_listeners, factors); zero vectors do not count.

        Returns:
            float64, shape (factors,), of length 1; zero where the listeners cancel out.
        """
        model = self._model
        direction = np.zeros(listeners.shape[1])
        for place, (block, columns) in enumerate(zip(model.blocks, model.columns, strict=True)):
            part = _sum_of_units(listeners[:, columns])
            match block:
                case AlsBlock():
                    pass
                case LinearBlock():
                    part = self._spread @ part
                case _:
                    assert_never(block)
            if len(model.blocks) > 1:
                part = self._lengths[place] * _unit(part)
            direction[columns] = part
        return _unit(direction)

    @cached_property
    def _lengths(self) -> list[float]:
        """The median length of items in the columns of each block."""
        lengths = []
        for columns in self._model.columns:
            norms = item_norms(self._model.item_factors[:, columns])
            lengths.append(float(np.median(norms[norms > 0])) if norms.any() else 0.0)
        return lengths

    @cached_property
    def _spread(self) -> NDArray[np.float64]:
        """The matrix Q (P^T P)^-1 of the linear block, float64, shape (length, length).

        P has the columns of users of the model, of length 1 each. The rows C_j of trained items
        are the regression of who listens to j on P, in which each singular direction is shrunk by
        s^2 / (1 + s^2). These shares are the diagonal of Q = A^T C.
        """
        model, block = self._model, self._model.linear
        if block is None:
            raise AssertionError("only the columns of a linear block are spread")
        columns = model.columns[model.blocks.index(block)]
        step = max(1, len(model.users) // _SAMPLED_USERS)
        users = model.user_factors[::step, columns].astype(np.float64)
        lengths = np.linalg.norm(users, axis=1)
        users = users[lengths > 0] / lengths[lengths > 0, None]
        gramian = users.T @ users
        mean = max(float(np.trace(gramian)) / block.length, _TINY)
        gramian[np.diag_indices_from(gramian)] += _RIDGE * mean
        shares = np.zeros(block.length)
        for start in range(0, len(model.items), _BLOCK):
            its = slice(start, start + _BLOCK)
            shares += np.einsum(
                "ik,ik->k",
                block.history_factors[its],
                model.item_factors[its, columns],
                dtype=np.float64,
            )
        spread: NDArray[np.float64] = np.clip(shares, 0, 1)[:, None] * np.linalg.inv(gramian)
        return spread


def _sum_of_units(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    lengths = item_norms(vectors)
    known = vectors[lengths > 0].astype(np.float64) / lengths[lengths > 0, None]
    return np.asarray(known.sum(axis=0))


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    norm = float(np.linalg.norm(vector))
    return vector / norm if norm > 0 else vector
