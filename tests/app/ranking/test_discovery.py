from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.ranking.discovery import discount, log_discount
from tests.builders import random_model


def test_the_discount_by_hand() -> None:
    # |y|^0.5 p^0.12 is 1, 2, 4, 8 and 2: its lower quartile is 2, the artist of 1 is untouched.
    norms = np.array([1.0, 2 ** (1 / 0.5), 1.0, 8 ** (1 / 0.5), 2 ** (1 / 0.5)])
    listeners = np.array([1, 1, round(4 ** (1 / 0.12)), 1, 1])
    logs = log_discount(norms, listeners)
    np.testing.assert_allclose(np.exp(logs), [1, 1, 1 / 2, 1 / 4, 1], rtol=1e-4)
    np.testing.assert_allclose(discount(logs, 0.5) ** 2, np.exp(logs), rtol=1e-6)
    assert discount(logs, 0).tolist() == [1, 1, 1, 1, 1]
    assert logs.dtype == discount(logs, 0.5).dtype == np.float32


def test_more_listeners_or_a_longer_vector_are_discounted_more() -> None:
    ones = np.ones(5)
    by_listeners = log_discount(ones, np.array([1, 5, 20, 100, 400]))
    by_length = log_discount(np.array([0.1, 0.5, 1, 2, 4]), np.full(5, 7))
    for logs in (by_listeners, by_length):
        assert logs[0] == logs[1] == 0
        assert (np.diff(logs[1:]) < 0).all()


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32), length=st.floats(1e-6, 1e6), users=st.integers(2, 1000))
def test_neither_the_scale_of_the_vectors_nor_the_number_of_users_matters(
    seed: int, length: float, users: int
) -> None:
    rng = np.random.default_rng(seed)
    norms, listeners = rng.lognormal(size=50), rng.integers(1, 300, size=50)
    logs = log_discount(norms, listeners)
    scaled = log_discount(norms * length, listeners * users)
    np.testing.assert_allclose(scaled, logs, rtol=1e-4, atol=1e-4)


def test_items_without_listeners_or_with_a_zero_vector_are_not_discounted_and_do_not_count() -> (
    None
):
    norms, listeners = np.array([1.0, 2.0, 3.0, 4.0]), np.array([3, 3, 3, 3])
    logs = log_discount(norms, listeners)
    more = log_discount(np.append(norms, [0.0, 9.0]), np.append(listeners, [5, 0]))
    assert more.tolist() == [*logs.tolist(), 0, 0]
    assert log_discount(np.zeros(2), np.array([1, 0])).tolist() == [0, 0]
    assert log_discount(np.zeros(0), np.zeros(0, dtype=np.int64)).tolist() == []


def test_a_discount_stays_above_zero_whatever_the_vectors() -> None:
    norms = np.array([1e-300, 1e-300, 1.0, 1e300])
    factors = discount(log_discount(norms, np.array([1, 1, 10, 10**12])), 1)
    assert (factors > 0).all()
    assert (factors <= 1).all()
    assert factors[3] < 1e-20


@pytest.mark.parametrize("factors", [2, 16])
def test_a_model_discounts_by_its_own_vectors_and_listeners(
    rng: np.random.Generator, factors: int
) -> None:
    model = random_model(rng, factors=factors)
    norms = np.linalg.norm(model.item_factors.astype(np.float64), axis=1)
    expected = log_discount(norms, model.popularity.listeners)
    np.testing.assert_allclose(model.catalogue.log_discount, expected, rtol=1e-5, atol=1e-6)
    assert np.mean(model.catalogue.log_discount == 0) == pytest.approx(0.25, abs=0.03)
