"""Blocks: the parts of a model's vectors, each with a fold-in of its own.

The vector of an item, as that of a user, is the concatenation of its blocks' columns, so a score is
one dot product whatever made the vectors. Only a fold-in has to know the blocks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import ClassVar, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.model.fold_in import fold_in, regularized_inverse
from app.model.interactions import UserItems
from app.model.weighting import Weighting


@dataclass(frozen=True, eq=False)
class AlsBlock:
    """The block of alternating least squares: a user's columns are solved.

    Attributes:
        gramian: float64, shape (length, length), of the items' columns.
        weighting: how training weighted the interactions.
        alpha: scale of the weights in the confidence.
        regularization: added to the diagonal in a fold-in; training may have used more of it for
            the items.
    """

    kind: ClassVar[str] = "als"

    gramian: NDArray[np.float64]
    weighting: Weighting
    alpha: float
    regularization: float

    @property
    def length(self) -> int:
        """Number of columns."""
        return len(self.gramian)

    @cached_property
    def inverse(self) -> NDArray[np.float64] | None:
        """The inverse that ``fold_in`` takes, see ``regularized_inverse``.

        Its last bits depend on the number of BLAS threads.
        """
        return regularized_inverse(self.gramian, self.regularization)

    def parameters(self) -> dict[str, float]:
        """Returns the numbers of a fold-in by name, beside the weighting."""
        return {"alpha": self.alpha, "regularization": self.regularization}

    def fold_in(
        self,
        rows: UserItems,
        item_factors: NDArray[np.float32],
        weights: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """Solves the columns of users, see ``app.model.fold_in``.

        Args:
            rows: raw plays, n_rows x n_items.
            item_factors: float32, shape (n_items, length), the items' columns of this block.
            weights: float32, shape (nnz,), the weights of the pairs, used instead of those that the
                weighting makes from the plays.

        Returns:
            float32, shape (n_rows, length); a row without items gets the zero vector.
        """
        return fold_in(
            rows,
            item_factors,
            self.gramian,
            self.weighting,
            alpha=self.alpha,
            regularization=self.regularization,
            weights=weights,
            inverse=self.inverse,
        )


@dataclass(frozen=True, eq=False)
class LinearBlock:
    """The block of a linear autoencoder: a user's columns are a sum of rows, one an item.

    With the weights x_u of a user's items, the columns are weight * d_u * x_u A, where
    d_u = (sum of x_u)^(-user_exponent).

    Attributes:
        history_factors: float32, shape (n_items, length), A; zero for an item of no listener.
        weighting: how the interactions are weighted; may be another one than that of ALS.
        user_exponent: from 0 (longer histories give longer vectors) to 1 (they do not).
        weight: how much the block counts in a score beside the others, above 0.

    Raises:
        ValueError: a number is out of range.
    """

    kind: ClassVar[str] = "linear"

    history_factors: NDArray[np.float32]
    weighting: Weighting
    user_exponent: float
    weight: float

    def __post_init__(self) -> None:
        if not 0 < self.weight < math.inf:
            raise ValueError(f"the weight of a linear block has to be above 0, not {self.weight}")
        if not 0 <= self.user_exponent <= 1:
            raise ValueError(
                "the user_exponent of a linear block has to lie between 0 and 1, "
                f"not {self.user_exponent}"
            )

    @property
    def length(self) -> int:
        """Number of columns."""
        return int(self.history_factors.shape[1])

    def parameters(self) -> dict[str, float]:
        """Returns the numbers of a fold-in by name, beside the weighting."""
        return {"user_exponent": self.user_exponent, "weight": self.weight}

    def fold_in(
        self,
        rows: UserItems,
        _item_factors: NDArray[np.float32] | None = None,
        weights: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """Sums the rows of ``history_factors``, in float64 and in the order of the items.

        No row depends on the others, nor on the number of BLAS threads.

        Args:
            rows: raw plays, n_rows x n_items.
            _item_factors: not needed; other blocks take them.
            weights: float32, shape (nnz,), the weights of the pairs, used instead of those that the
                weighting makes from the plays.

        Returns:
            float32, shape (n_rows, length); a row without weights above 0 gets the zero vector.
        """
        if weights is None:
            weights = self.weighting.weigh(rows)
            if rows.recency is not None:
                weights = weights * rows.recency
        exact = weights.astype(np.float64)
        vectors = np.zeros((rows.n_users, self.length), dtype=np.float32)
        bounds = rows.indptr.tolist()
        for row, (start, stop) in enumerate(pairwise(bounds)):
            its = exact[start:stop]
            total = float(its.sum())
            if total > 0:
                scale = self.weight * total**-self.user_exponent
                history = self.history_factors[rows.indices[start:stop]]
                vectors[row] = scale * np.add.reduce(history * its[:, None], axis=0)
        return vectors


Block: TypeAlias = AlsBlock | LinearBlock

# In the order of their columns; a model has at most one of each.
BLOCK_TYPES: Final[tuple[type[Block], ...]] = (AlsBlock, LinearBlock)


def columns_of(blocks: Sequence[Block]) -> tuple[slice, ...]:
    """Returns the columns of each block.

    Raises:
        ValueError: there is no block, one kind twice, or another order than that of
            ``BLOCK_TYPES``.
    """
    places = [BLOCK_TYPES.index(type(block)) for block in blocks]
    if not places or any(one >= other for one, other in pairwise(places)):
        kinds = ", ".join(block.kind for block in blocks) or "none"
        known = ", ".join(one.kind for one in BLOCK_TYPES)
        raise ValueError(f"a model has blocks in the order {known}, each at most once, not {kinds}")
    edges = accumulate((block.length for block in blocks), initial=0)
    return tuple(slice(start, stop) for start, stop in pairwise(edges))


def fold_in_blocks(
    blocks: Sequence[Block],
    item_factors: NDArray[np.float32],
    rows: Sequence[UserItems],
    weights: Sequence[NDArray[np.float32] | None],
    columns: Sequence[slice] | None = None,
) -> NDArray[np.float32]:
    """Makes the vectors of users from all blocks.

    Args:
        blocks: the blocks.
        item_factors: float32, shape (n_items, factors).
        rows: for each block the pairs of the same users, n_rows x n_items.
        weights: for each block the weights of its pairs, float32, shape (nnz,); None for those that
            its weighting makes from the plays.
        columns: from ``columns_of``; computed if they are not given.

    Returns:
        float32, shape (n_rows, factors).
    """
    if columns is None:
        columns = columns_of(blocks)
    parts = [
        block.fold_in(its, item_factors[:, columns[place]], weights[place])
        for place, (block, its) in enumerate(zip(blocks, rows, strict=True))
    ]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
