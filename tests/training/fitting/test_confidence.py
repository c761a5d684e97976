from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from app.model.weighting import Weighting, WeightingName
from tests.builders import user_items_of
from training.fitting.confidence import confidence_matrix, noise_scale


def test_confidence_is_one_plus_alpha_times_weight_of_every_pair() -> None:
    user_items = user_items_of([[1, 2, 0], [0, 2, 6]])
    weighting = Weighting.fit(user_items, WeightingName.RAW)
    matrix = confidence_matrix(user_items, weighting, 0.5)
    assert matrix.toarray().tolist() == [[1.5, 2, 0], [0, 2, 4]]
    assert matrix.dtype == np.float32


def test_a_small_alpha_is_not_rounded_away() -> None:
    user_items = user_items_of([[1.0]])
    weighting = Weighting.fit(user_items, WeightingName.RAW)
    assert confidence_matrix(user_items, weighting, 1e-6).toarray()[0, 0] > 1


def test_noise_scale_is_the_largest_singular_value_of_noise(rng: np.random.Generator) -> None:
    shape = (300, 200)
    noise = sparse.csr_matrix(rng.normal(size=shape).astype(np.float32))
    largest = np.linalg.svd(noise.toarray(), compute_uv=False)[0]
    assert noise_scale(noise) == pytest.approx(largest, rel=0.03)
    assert noise_scale(noise) == pytest.approx(np.sqrt(300) + np.sqrt(200), rel=0.03)


def test_noise_scale_of_a_single_pair_counts_its_row_and_its_column() -> None:
    confidence = sparse.csr_matrix(np.array([[0, 3], [0, 0]], dtype=np.float32))
    assert noise_scale(confidence) == 3 + 3


def test_noise_scale_of_unequal_rows_is_weighted_by_their_squares() -> None:
    # Rows with squares 4 and 1, columns with squares 1 and 4.
    confidence = sparse.csr_matrix(np.array([[0, 2], [1, 0]], dtype=np.float32))
    assert noise_scale(confidence) == pytest.approx(2 * np.sqrt((16 + 1) / (4 + 1)))
