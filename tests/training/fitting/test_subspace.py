from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from training.fitting import subspace
from training.fitting.subspace import shrunken_directions


def sparse_of(rng: np.random.Generator, n_rows: int, n_columns: int) -> NDArray[np.float32]:
    dense = rng.exponential(size=(n_rows, n_columns)) * (rng.random((n_rows, n_columns)) < 0.2)
    # A few strong directions, as data have them, above the noise.
    strong = rng.exponential(size=(n_rows, 3)) @ rng.exponential(size=(3, n_columns))
    return np.asarray(dense + 0.1 * strong * (dense > 0), dtype=np.float32)


def projection(dense: NDArray[np.float32], rank: int) -> NDArray[np.float64]:
    """V S^2 (1 + S^2)^(-1) V' of the leading directions, by the dense decomposition."""
    _left, lengths, right = np.linalg.svd(dense.astype(np.float64), full_matrices=False)
    lengths, right = lengths[:rank], right[:rank]
    return np.asarray((right.T * (lengths**2 / (1 + lengths**2))) @ right)


@pytest.mark.parametrize("shape", [(40, 25), (25, 40), (30, 30), (1, 5), (5, 1), (1, 1)])
@pytest.mark.parametrize("rank", [1, 4, 1000])
def test_directions_are_those_of_the_dense_decomposition(
    rng: np.random.Generator, shape: tuple[int, int], rank: int
) -> None:
    dense = sparse_of(rng, *shape) + np.float32(0.1)
    found = shrunken_directions(sparse.csr_matrix(dense), rank, rounds=12)
    assert found.dtype == np.float32
    assert found.shape == (shape[1], min(rank, *shape))
    np.testing.assert_allclose(found @ found.T, projection(dense, rank), atol=2e-5)
    lengths = np.linalg.norm(found, axis=0)
    assert (np.diff(lengths) <= 1e-6).all()


@pytest.mark.parametrize("shape", [(300, 200), (200, 300)])
def test_the_random_block_finds_nearly_all_that_the_exact_directions_hold(
    rng: np.random.Generator, shape: tuple[int, int]
) -> None:
    dense = sparse_of(rng, *shape)
    found = shrunken_directions(sparse.csr_matrix(dense), 20, rounds=8)
    assert found.shape == (shape[1], 20)
    exact = projection(dense, 20)
    assert np.trace(found.T @ found) == pytest.approx(np.trace(exact), rel=1e-3)
    assert np.linalg.norm(found @ found.T - exact) < 0.1 * np.linalg.norm(exact)


def test_directions_that_the_data_do_not_have_are_left_out() -> None:
    dense = np.outer([1, 2, 3, 4], [1, 0, 2, 0, 3]).astype(np.float32)
    found = shrunken_directions(sparse.csr_matrix(dense), 4)
    assert found.shape == (5, 1)
    assert not found[[1, 3]].any()
    # The block itself is dependent when it is made orthonormal.
    wide = np.outer(np.arange(1, 101), np.arange(1, 91)).astype(np.float32)
    assert shrunken_directions(sparse.csr_matrix(wide), 2).shape == (90, 1)


def test_the_same_seed_gives_the_same_bytes_on_any_number_of_cores(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix = sparse.csr_matrix(sparse_of(rng, 500, 200))
    monkeypatch.setattr(subspace, "_ROWS", 64)
    first = shrunken_directions(matrix, 10, seed=3)
    monkeypatch.setattr("training.threads.cpu_count", lambda: 1)
    assert shrunken_directions(matrix, 10, seed=3).tobytes() == first.tobytes()
    assert shrunken_directions(matrix, 10, seed=4).tobytes() != first.tobytes()
