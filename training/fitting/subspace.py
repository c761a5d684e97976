"""The leading singular directions of a sparse matrix, by subspace iteration from a random start.

Halko, Martinsson and Tropp, Finding Structure with Randomness, 2011, algorithm 4.4: a random block
of vectors is multiplied by M'M a few times and made orthonormal after each time; the singular
vectors are then taken from the small matrix that is left (Rayleigh and Ritz). The block lies on
the smaller side of the matrix, so nothing on the larger side is made orthonormal. Blocks are made
orthonormal by the eigenvectors of their Gramian (Stathopoulos and Wu, A Block Orthogonalization
Procedure with Constant Synchronization Requirements, 2002), which is matrix products alone, and
drops directions that the data do not have. Products with the matrix are float32, Gramians float64.

Nothing depends on the number of cores: rows are split at places that follow from the shape.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from training.threads import in_threads

# Times that the random block is multiplied by M'M. On validation parts more rounds gain a little
# where the directions are few beside the data, and lose a little where they are many.
ROUNDS: Final = 3
# Columns of the block beside those that are asked for: so many, or a share of those.
_MORE: Final = 16
_MORE_SHARE: Final = 0.1
# Directions with less than this share of the largest squared length are rounding errors.
_LEAST: Final = 1e-10
_ROWS: Final = 4096
# Gramians are summed in so many parts, side by side.
_PARTS: Final = 8


def shrunken_directions(
    matrix: sparse.csr_matrix[np.float32], rank: int, *, seed: int = 0, rounds: int = ROUNDS
) -> NDArray[np.float32]:
    """Returns F = V S (1 + S^2)^(-1/2) of the leading singular directions M = U S V'.

    So F F' = V S^2 (1 + S^2)^(-1) V' is the ridge projection (M'M + I)^-1 M'M, restricted to these
    directions. From the side of the rows it is F = M' U (1 + S^2)^(-1/2), where nothing is divided
    by a small singular value.

    Args:
        matrix: M, n_rows x n_columns, with a value other than zero.
        rank: number of directions; there are fewer if the matrix has fewer.
        seed: of the random start.
        rounds: see ``ROUNDS``.

    Returns:
        float32, shape (n_columns, at most rank), by falling singular value.
    """
    rows, columns = _RowBlocks(matrix), _RowBlocks(matrix.T.tocsr())
    n_rows, n_columns = matrix.shape
    if n_columns <= n_rows:
        squares, directions = _leading(rows, columns, rank, seed, rounds)
        directions *= np.sqrt(squares / (1.0 + squares)).astype(np.float32)
        return directions
    squares, directions = _leading(columns, rows, rank, seed, rounds)
    directions /= np.sqrt(1.0 + squares).astype(np.float32)
    return columns.times(directions)


class _RowBlocks:
    """A sparse matrix in blocks of rows, for products on all cores."""

    def __init__(self, matrix: sparse.csr_matrix[np.float32]) -> None:
        self.shape = matrix.shape
        self._blocks = {}
        for start in range(0, matrix.shape[0], _ROWS):
            indptr = matrix.indptr[start : start + _ROWS + 1]
            pairs = slice(int(indptr[0]), int(indptr[-1]))
            self._blocks[start] = sparse.csr_matrix(
                (matrix.data[pairs], matrix.indices[pairs], indptr - indptr[0]),
                shape=(len(indptr) - 1, matrix.shape[1]),
            )

    def times(self, dense: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns the product with a dense matrix; each row is a sum of its own."""
        product = np.empty((self.shape[0], dense.shape[1]), dtype=np.float32)

        def fill(start: int) -> None:
            product[start : start + _ROWS] = self._blocks[start] @ dense

        in_threads(fill, self._blocks)
        return product


def _leading(
    tall: _RowBlocks, wide: _RowBlocks, rank: int, seed: int, rounds: int
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Returns squared singular values and right singular vectors of ``tall``.

    Args:
        tall: the matrix, with no more columns than rows.
        wide: its transpose.
        rank: number of directions.
        seed: of the random start.
        rounds: of the iteration.

    Returns:
        float64, shape (r,), falling, and float32, shape (n_columns, r); r is at most ``rank``.
    """
    n_columns = tall.shape[1]
    size = rank + max(_MORE, round(_MORE_SHARE * rank))
    if size >= n_columns:  # the whole space, where a single round is exact
        block = np.eye(n_columns, dtype=np.float32)
    else:
        rng = np.random.default_rng(seed)
        block = rng.standard_normal((n_columns, size), dtype=np.float32)
        for _round in range(rounds):
            block = _orthonormal(wide.times(tall.times(block)))
    image = tall.times(block)
    with threadpool_limits(limits=1, user_api="blas"):
        squares, mix = np.linalg.eigh(_gramian(image))
    squares, mix = squares[::-1][:rank], mix[:, ::-1][:, :rank]
    real = squares > _LEAST * squares[0]
    return squares[real], _times(block, mix[:, real])


def _orthonormal(block: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns orthonormal columns that span the same space; dependent ones are dropped."""
    with threadpool_limits(limits=1, user_api="blas"):
        squares, mix = np.linalg.eigh(_gramian(block))
    real = squares > _LEAST * squares[-1]
    return _times(block, mix[:, real] / np.sqrt(squares[real]))


def _gramian(block: NDArray[np.float32]) -> NDArray[np.float64]:
    """Returns B'B in float64, shape (columns, columns)."""
    n_rows, size = block.shape
    step = max(1, -(-n_rows // _PARTS))
    sums = np.zeros((-(-n_rows // step), size, size))

    def add(start: int) -> None:
        end = min(start + step, n_rows)
        for first in range(start, end, _ROWS):
            part = block[first : min(first + _ROWS, end)].astype(np.float64)
            sums[start // step] += part.T @ part

    in_threads(add, range(0, n_rows, step))
    return np.asarray(sums.sum(axis=0))


def _times(block: NDArray[np.float32], mix: NDArray[np.float64]) -> NDArray[np.float32]:
    """Returns the product of a tall block with a small matrix, rounded to float32 at the end."""
    product = np.empty((len(block), mix.shape[1]), dtype=np.float32)

    def fill(start: int) -> None:
        product[start : start + _ROWS] = block[start : start + _ROWS].astype(np.float64) @ mix

    in_threads(fill, range(0, len(block), _ROWS))
    return product
