from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from implicit.cpu.als import AlternatingLeastSquares
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from app.model.fold_in import fold_in, gramian, regularized_inverse
from app.model.interactions import UserItems
from app.model.model import Model
from app.model.weighting import Weighting, WeightingName
from tests.builders import (
    als_of,
    interactions_of,
    random_model,
    random_plays,
    small_model,
    user_items_of,
)
from training.fitting.confidence import confidence_matrix

ALPHA, REGULARIZATION = 2.5, 0.3


def direct_solve(
    plays: NDArray[np.float32], item_factors: NDArray[np.float32], weighting: Weighting
) -> NDArray[np.float64]:
    """Equation 4 of Hu, Koren and Volinsky as it is written, C_u a full diagonal matrix."""
    factors = item_factors.astype(np.float64)
    weights = np.zeros_like(plays, dtype=np.float64)
    weights[plays > 0] = weighting.weigh(user_items_of(plays[None]))
    confidence = np.diag(1 + ALPHA * weights)
    preference = (plays > 0).astype(np.float64)
    system = factors.T @ confidence @ factors + REGULARIZATION * np.eye(factors.shape[1])
    return np.linalg.solve(system, factors.T @ confidence @ preference).astype(np.float64)


def fold(
    rows: UserItems, item_factors: NDArray[np.float32], weighting: Weighting
) -> NDArray[np.float32]:
    return fold_in(
        rows,
        item_factors,
        gramian(item_factors),
        weighting,
        alpha=ALPHA,
        regularization=REGULARIZATION,
    )


def refold(model: Model, rows: UserItems) -> NDArray[np.float32]:
    # A new block, so that its inverse is computed anew.
    return replace(als_of(model)).fold_in(rows, model.item_factors)


def only_user(user_items: UserItems, user_index: int) -> UserItems:
    items, plays = user_items.row(user_index)
    return UserItems(np.array([0, len(items)]), items, plays, user_items.n_items)


@pytest.mark.parametrize("name", list(WeightingName))
def test_a_vector_solves_the_papers_equation(rng: np.random.Generator, name: WeightingName) -> None:
    plays = random_plays(rng)
    user_items = user_items_of(plays)
    item_factors = rng.normal(size=(plays.shape[1], 6)).astype(np.float32)
    weighting = Weighting.fit(user_items, name)
    vectors = fold(user_items, item_factors, weighting)
    expected = np.stack([direct_solve(row, item_factors, weighting) for row in plays])
    np.testing.assert_allclose(vectors, expected, rtol=2e-6, atol=1e-7)


def test_one_item_and_one_factor_by_hand() -> None:
    # y = 2, c = 1 + 2.5 * 1: x = c y / (y^2 + (c - 1) y^2 + 0.3) = 7 / 14.3
    user_items = user_items_of([[3.0]])
    vectors = fold(
        user_items,
        np.array([[2.0]], dtype=np.float32),
        Weighting.fit(user_items, WeightingName.LINEAR),
    )
    assert vectors.tolist() == [[float(np.float32(7 / 14.3))]]


@pytest.mark.parametrize("factors", [1, 8, 48])
def test_a_training_user_is_folded_in_bit_for_bit_alone_and_in_any_batch(
    rng: np.random.Generator, factors: int
) -> None:
    model = random_model(rng, n_users=40, n_items=60, factors=factors)
    user_items = model.user_items
    assert refold(model, user_items).tobytes() == model.user_factors.tobytes()
    for user in range(user_items.n_users):
        alone = refold(model, only_user(user_items, user))
        assert alone.tobytes() == model.user_factors[user].tobytes()
    tail = UserItems(
        user_items.indptr[30:] - user_items.indptr[30],
        user_items.indices[user_items.indptr[30] :],
        user_items.plays[user_items.indptr[30] :],
        user_items.n_items,
    )
    assert refold(model, tail).tobytes() == model.user_factors[30:].tobytes()


def test_the_vector_does_not_depend_on_blas_threads(rng: np.random.Generator) -> None:
    model = random_model(rng, n_users=8, n_items=300, factors=128)
    for threads in (1, 2):
        with threadpool_limits(limits=threads, user_api="blas"):
            again = refold(model, model.user_items)
        assert again.tobytes() == model.user_factors.tobytes()


def test_rows_without_items_get_the_zero_vector_among_others(rng: np.random.Generator) -> None:
    plays = random_plays(rng, n_users=6)
    item_factors = rng.normal(size=(plays.shape[1], 5)).astype(np.float32)
    weighting = Weighting.fit(user_items_of(plays), WeightingName.BM25)
    full = fold(user_items_of(plays), item_factors, weighting)
    plays[[0, 3, 5]] = 0
    vectors = fold(user_items_of(plays), item_factors, weighting)
    assert not vectors[[0, 3, 5]].any()
    assert vectors[[1, 2, 4]].tobytes() == full[[1, 2, 4]].tobytes()
    assert fold(user_items_of(np.zeros((0, 40))), item_factors, weighting).shape == (0, 5)


def test_more_plays_of_an_item_bring_the_vector_nearer_to_it(rng: np.random.Generator) -> None:
    model = random_model(rng, weighting=WeightingName.LINEAR)
    scores = []
    for plays in (1.0, 10.0, 100.0):
        row = np.zeros((1, len(model.items)))
        row[0, [2, 5]] = [plays, 10.0]
        vector = refold(model, user_items_of(row))[0]
        scores.append(float(vector @ model.item_factors[2]))
    assert scores == sorted(scores)
    assert scores[0] < scores[-1]


def test_implicit_with_an_exact_solver_gives_the_same_vectors(rng: np.random.Generator) -> None:
    model = random_model(rng, regularization=0.05, alpha=3.0)
    als = als_of(model)
    confidence = confidence_matrix(model.user_items, als.weighting, als.alpha)
    with threadpool_limits(limits=1, user_api="blas"):
        als = AlternatingLeastSquares(
            factors=model.item_factors.shape[1],
            regularization=0.05,
            alpha=1.0,
            use_cg=False,
            use_native=True,
        )
        als.item_factors = model.item_factors
        users = np.arange(model.user_items.n_users)
        expected = als.recalculate_user(users, confidence)
    np.testing.assert_allclose(model.user_factors, expected, rtol=1e-3, atol=1e-4)


def test_the_gramian_is_that_of_all_blocks(rng: np.random.Generator) -> None:
    item_factors = rng.normal(size=(40_000, 3)).astype(np.float32)
    expected = item_factors.astype(np.float64).T @ item_factors.astype(np.float64)
    np.testing.assert_allclose(gramian(item_factors), expected, rtol=1e-12)
    assert gramian(np.zeros((0, 3), dtype=np.float32)).tolist() == np.zeros((3, 3)).tolist()


def test_users_with_one_history_have_one_vector() -> None:
    plays = np.array([[5, 0, 2, 0], [0, 1, 0, 9], [5, 0, 2, 0]])
    model = small_model(interactions_of(plays), factors=3)
    assert model.user_factors[0].tobytes() == model.user_factors[2].tobytes()


def solve_directly(
    rows: UserItems,
    item_factors: NDArray[np.float32],
    weighting: Weighting,
    *,
    alpha: float,
    regularization: float,
) -> NDArray[np.float64]:
    """Solves a system of as many rows as factors for each user."""
    weights = alpha * weighting.weigh(rows).astype(np.float64)
    shared = gramian(item_factors) + regularization * np.eye(item_factors.shape[1])
    vectors = np.zeros((rows.n_users, item_factors.shape[1]))
    for user in range(rows.n_users):
        liked = item_factors[rows.row(user)[0]].astype(np.float64)
        extra = weights[rows.indptr[user] : rows.indptr[user + 1]]
        vectors[user] = np.linalg.solve(shared + (liked.T * extra) @ liked, (1 + extra) @ liked)
    return vectors


@given(
    seed=st.integers(0, 2**32),
    factors=st.integers(2, 48),
    n_items=st.integers(2, 120),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
    share=st.sampled_from([1e-6, 1e-4, 1e-2, 1.0, 10.0]),
    alpha=st.sampled_from([0.01, 1.0, 50.0]),
)
def test_few_items_beside_the_factors_give_the_vector_of_the_direct_solve(
    *, seed: int, factors: int, n_items: int, scale: float, share: float, alpha: float
) -> None:
    rng = np.random.default_rng(seed)
    item_factors = (scale * rng.normal(size=(n_items, factors))).astype(np.float32)
    item_factors[1] = item_factors[0]  # dependent rows are no trouble
    rows = user_items_of(random_plays(rng, 6, n_items, density=min(1, factors / n_items / 3)))
    weighting = Weighting.fit(rows, WeightingName.BM25)
    item_gramian = gramian(item_factors)
    regularization = share * float(np.trace(item_gramian))
    assert regularized_inverse(item_gramian, regularization) is not None
    vectors = fold_in(
        rows, item_factors, item_gramian, weighting, alpha=alpha, regularization=regularization
    )
    expected = solve_directly(
        rows, item_factors, weighting, alpha=alpha, regularization=regularization
    )
    # Two units in the last place of float32, of each vector's largest entry.
    tolerance = 2.4e-7 * np.abs(expected).max(axis=1)
    assert (np.abs(vectors - expected).max(axis=1) <= tolerance).all()


@pytest.mark.parametrize("factors", [1, 2, 7, 8])
def test_the_inverse_is_used_up_to_half_as_many_items_as_factors(
    rng: np.random.Generator, factors: int
) -> None:
    item_factors = rng.normal(size=(20, factors)).astype(np.float32)
    rows = user_items_of(np.tri(9, 20))  # 1 to 9 items
    weighting = Weighting.fit(rows, WeightingName.LOG)
    vectors = fold_in(
        rows,
        item_factors,
        gramian(item_factors),
        weighting,
        alpha=ALPHA,
        regularization=REGULARIZATION,
        inverse=np.full((factors, factors), np.nan),
    )
    in_items_space = np.isnan(vectors).all(axis=1)
    assert in_items_space.tolist() == [length <= factors // 2 for length in range(1, 10)]
    assert np.isfinite(vectors[~in_items_space]).all()
    expected = fold(rows, item_factors, weighting)
    assert vectors[~in_items_space].tobytes() == expected[~in_items_space].tobytes()


def test_a_regularization_too_small_for_an_inverse_is_solved_directly() -> None:
    # Two items in eight dimensions: the Gramian alone has no inverse.
    item_factors = np.zeros((2, 8), dtype=np.float32)
    item_factors[0, 0], item_factors[1, 1] = 1.0, 2.0
    item_gramian = gramian(item_factors)
    assert np.trace(item_gramian) == 5.0
    assert regularized_inverse(item_gramian, 4.9e-8) is None
    inverse = regularized_inverse(item_gramian, 5.1e-8)
    assert inverse is not None
    assert inverse.diagonal() == pytest.approx([1.0, 0.25, *[1 / 5.1e-8] * 6])
    user_items = user_items_of([[3.0, 0.0]])
    vectors = fold_in(
        user_items,
        item_factors,
        item_gramian,
        Weighting.fit(user_items, WeightingName.BINARY),
        alpha=1.0,
        regularization=1e-12,
    )
    # x = c y / (y^2 + (c - 1) y^2) = 1 along the one item, 0 elsewhere.
    assert vectors.tolist() == [[pytest.approx(1.0), *[0.0] * 7]]


def test_the_inverse_may_be_brought_along(rng: np.random.Generator) -> None:
    model = random_model(rng, n_users=40, n_items=60, factors=48)
    assert (model.user_items.row_lengths() <= 24).any()
    als = als_of(model)

    def folded(inverse: NDArray[np.float64] | None) -> NDArray[np.float32]:
        return fold_in(
            model.user_items,
            model.item_factors,
            als.gramian,
            als.weighting,
            alpha=als.alpha,
            regularization=als.regularization,
            inverse=inverse,
        )

    brought = folded(regularized_inverse(als.gramian, als.regularization))
    assert brought.tobytes() == folded(None).tobytes()
    assert brought.tobytes() == refold(model, model.user_items).tobytes()
    assert model.fold_in(model.user_items).tobytes() == brought.tobytes()
    alone = model.fold_in(only_user(model.user_items, 3))
    assert alone.tobytes() == brought[3].tobytes()


def test_users_are_solved_with_the_share_of_the_regularization(rng: np.random.Generator) -> None:
    interactions = interactions_of(random_plays(rng))
    whole = small_model(interactions, regularization=2.0)
    part = small_model(interactions, regularization=2.0, fold_in_share=0.25)
    als = als_of(part)
    assert als.regularization == 0.5
    assert part.item_factors.tobytes() == whole.item_factors.tobytes()
    expected = solve_directly(
        part.user_items, part.item_factors, als.weighting, alpha=als.alpha, regularization=0.5
    )
    np.testing.assert_allclose(part.user_factors, expected, rtol=1e-5, atol=1e-6)
    assert np.linalg.norm(part.user_factors) > np.linalg.norm(whole.user_factors)
