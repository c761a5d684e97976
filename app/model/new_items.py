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

# How many users are sampled to learn the scales of their columns.
_SAMPLED_USERS: Final = 4096
# The quantile of the items' lengths at which blocks are compared.
_LONG: Final = 0.99
# A larger share of a direction than this is not told from 1.
_MOST: Final = 1.0 - 1e-6
_BLOCK: Final = 16_384


class NewItemDirections:
    """Makes directions for items that a model does not have.

    Args:
        model: the model.
    """

    def __init__(self, model: Model) -> None:
        self._model = model

    def of(self, listeners: NDArray[np.float32]) -> NDArray[np.float64]:
        """Returns the direction of an item with these listeners.

        In each block it is made of the sum of x_u / |x_u| over the listeners. In the columns of ALS
        that is the direction with the largest sum of cosines with their vectors. In linear columns
        the sum is scaled, see ``_scales``. With several blocks, each part is as long beside the
        others as it is in items with long vectors.

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
                    part = self._scales * part
                case _:
                    assert_never(block)
            if len(model.blocks) > 1:
                part = self._lengths[place] * _unit(part)
            direction[columns] = part
        return _unit(direction)

    @cached_property
    def _lengths(self) -> list[float]:
        """The length of long items in the columns of each block."""
        lengths = []
        for columns in self._model.columns:
            norms = item_norms(self._model.item_factors[:, columns])
            norms = norms[norms > 0]
            lengths.append(float(np.quantile(norms, _LONG)) if len(norms) else 0.0)
        return lengths

    @cached_property
    def _scales(self) -> NDArray[np.float64]:
        """What turns a sum over users into an item in linear columns, float64, shape (length,).

        With the singular values s of the block, its columns of users are U s t and those of items
        V s / (1 + s^2) / t, for some scale t of each column. A sum p of users' columns becomes the
        item's q p / t^2 with q = s^2 / (1 + s^2). Both are read off the arrays: q is the diagonal
        of A^T C, and the squares of a column of users sum to s^2 t^2, where s^2 = q / (1 - q).
        """
        model, block = self._model, self._model.linear
        if block is None:
            raise AssertionError("only the columns of a linear block have scales")
        columns = model.columns[model.blocks.index(block)]
        step = max(1, len(model.users) // _SAMPLED_USERS)
        users = model.user_factors[::step, columns]
        squares = np.einsum("uk,uk->k", users, users, dtype=np.float64)
        shares = np.zeros(block.length)
        for start in range(0, len(model.items), _BLOCK):
            part = slice(start, start + _BLOCK)
            shares += np.einsum(
                "ik,ik->k",
                block.history_factors[part],
                model.item_factors[part, columns],
                dtype=np.float64,
            )
        shares = np.clip(shares, 0.0, _MOST)
        scales = np.zeros(block.length)
        np.divide(shares**2 / (1.0 - shares), squares, out=scales, where=squares > 0)
        return scales


def _sum_of_units(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    lengths = item_norms(vectors)
    known = vectors[lengths > 0].astype(np.float64) / lengths[lengths > 0, None]
    return np.asarray(known.sum(axis=0))


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    norm = float(np.linalg.norm(vector))
    return vector / norm if norm > 0 else vector
