from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from app.events.event import Event
from app.model.blocks import AlsBlock, LinearBlock, columns_of
from app.model.event_unit import EventUnit
from app.model.fold_in import gramian
from app.model.interactions import UserItems
from app.model.model import Model
from app.model.weighting import Weighting, WeightingName
from app.recommend.ladder import Recommender
from app.recommend.query import Query
from tests.app.recommend.expected import acted
from tests.builders import als_of, dense_of, random_model, user_items_of, with_linear

MADE_OF = ("als", "linear", "als and linear")


def model_of_blocks(made_of: str, **options: Any) -> Model:
    """A model in which one user has no items."""
    model = random_model(np.random.default_rng(3), n_users=40, n_items=60, factors=12)
    plays = dense_of(model.user_items)
    plays[7] = 0
    model = replace(model, user_items=user_items_of(plays))
    if made_of == "als":
        units = (EventUnit.of(model.user_items, als_of(model).weighting),)
        users = model.fold_in(model.user_items)
        return replace(model, user_factors=users, event_units=units)
    return with_linear(model, 9, alone=made_of == "linear", **options)


def linear_of(model: Model) -> LinearBlock:
    assert model.linear is not None
    return model.linear


@pytest.mark.parametrize("with_recency", [False, True])
@pytest.mark.parametrize("made_of", MADE_OF)
def test_an_unchanged_history_folds_in_to_the_trained_vector_bit_for_bit(
    made_of: str, with_recency: bool
) -> None:
    model = model_of_blocks(made_of)
    if with_recency:
        recency = np.linspace(0.01, 1, model.user_items.nnz, dtype=np.float32)
        rows = replace(model.user_items, recency=recency)
        model = replace(model, user_items=rows, user_factors=model.fold_in(rows))
    for threads in (1, 2):
        with threadpool_limits(limits=threads, user_api="blas"):
            together = model.fold_in(model.user_items)
            for user in range(40):
                alone = model.fold_in(model.user_items.take(np.array([user])))
                assert alone.tobytes() == together[user].tobytes()
        assert together.tobytes() == model.user_factors.tobytes()
    assert not model.user_factors[7].any()
    assert not model.has_history(7)
    queries = [Query(f"u{user}", listens=None, activity=acted()) for user in range(40)]
    assert Recommender(model).tastes(queries).tobytes() == model.user_factors.tobytes()


@pytest.mark.parametrize("exponent", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("name", [WeightingName.LOG, WeightingName.BINARY, WeightingName.BM25])
def test_linear_columns_are_a_weighted_sum_of_rows(name: WeightingName, exponent: float) -> None:
    model = model_of_blocks("linear", weighting=name, user_exponent=exponent, weight=2.5)
    block = linear_of(model)
    weights = dense_of(
        replace(model.user_items, plays=block.weighting.weigh(model.user_items))
    ).astype(np.float64)
    total = weights.sum(axis=1, keepdims=True)
    scale = np.where(total > 0, np.maximum(total, 1e-300) ** -exponent, 0)
    expected = 2.5 * scale * (weights @ block.history_factors.astype(np.float64))
    np.testing.assert_allclose(model.user_factors, expected, rtol=1e-5, atol=1e-6)


def test_columns_are_those_of_the_blocks_alone() -> None:
    both = model_of_blocks("als and linear")
    als, linear = both.columns
    assert (als, linear) == (slice(0, 12), slice(12, 21))
    alone = model_of_blocks("linear")
    assert both.user_factors[:, linear].tobytes() == alone.user_factors.tobytes()
    expected = als_of(both).fold_in(both.user_items, both.item_factors[:, als])
    assert both.user_factors[:, als].tobytes() == expected.tobytes()
    np.testing.assert_allclose(als_of(both).gramian, gramian(both.item_factors[:, als]), rtol=1e-12)


@pytest.mark.parametrize("made_of", MADE_OF)
def test_an_event_counts_in_the_weights_of_each_block(made_of: str) -> None:
    model = model_of_blocks(made_of)
    row = model.user_items.take(np.array([0]))
    new = int(np.setdiff1d(np.arange(60), row.indices)[0])
    rows = []
    for block in model.blocks:
        weights = np.zeros((1, 60))
        weights[0, row.indices] = block.weighting.weigh(row)
        weights[0, new] = 3 * np.median(block.weighting.weigh(row))
        rows.append(user_items_of(weights))
    query = Query("u0", n=5, activity=acted(Event("u0", model.items.id(new))))
    (found,) = Recommender(model).tastes([query])
    np.testing.assert_allclose(found, model.fold_in_weights(rows)[0], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("made_of", MADE_OF)
def test_an_unknown_users_event_counts_in_medians_of_all_weights_of_each_block(
    made_of: str,
) -> None:
    model = model_of_blocks(made_of)
    rows = []
    for block in model.blocks:
        weights = np.zeros((1, 60))
        weights[0, 5] = 3 * np.median(block.weighting.weigh(model.user_items))
        rows.append(user_items_of(weights))
    query = Query("nobody", n=5, activity=acted(Event("nobody", "i5")))
    (found,) = Recommender(model).tastes([query])
    np.testing.assert_allclose(found, model.fold_in_weights(rows)[0], rtol=1e-5, atol=1e-7)


@given(seed=st.integers(0, 2**16), rank=st.integers(1, 5), n_rows=st.integers(0, 6))
def test_a_row_of_a_linear_block_does_not_depend_on_the_others(
    seed: int, rank: int, n_rows: int
) -> None:
    rng = np.random.default_rng(seed)
    plays = np.ceil(rng.lognormal(2, 2, (n_rows, 12))) * (rng.random((n_rows, 12)) < 0.4)
    rows = user_items_of(plays)
    weighting = Weighting.fit(user_items_of([[1.0, 3.0, *[0.0] * 10]]), WeightingName.LOG)
    history = rng.normal(size=(12, rank)).astype(np.float32)
    block = LinearBlock(history, weighting, float(rng.random()), 0.5)
    together = block.fold_in(rows)
    assert together.shape == (n_rows, rank)
    for row in range(n_rows):
        assert block.fold_in(rows.take(np.array([row]))).tobytes() == together[row].tobytes()
    assert not together[rows.row_lengths() == 0].any()


def test_plays_that_are_used_up_have_no_part_in_linear_columns() -> None:
    weighting = Weighting.fit(user_items_of([[1.0, 3.0]]), WeightingName.BINARY)
    block = LinearBlock(np.ones((2, 3), dtype=np.float32), weighting, 1.0, 1.0)
    rows = UserItems(
        np.array([0, 1, 3]),
        np.array([0, 0, 1], dtype=np.int32),
        np.array([1e-30, 1e-30, 5], dtype=np.float32),
        2,
    )
    assert block.fold_in(rows).tolist() == [[0.0] * 3, [1.0] * 3]


@pytest.mark.parametrize("weight", [0.0, -1.0, np.nan, np.inf])
def test_a_weight_that_is_not_above_0_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match=rf"weight .* above 0, not {weight}"):
        replace(linear_of(model_of_blocks("linear")), weight=weight)


@pytest.mark.parametrize("exponent", [-0.1, 1.5, np.nan])
def test_a_user_exponent_out_of_range_is_refused(exponent: float) -> None:
    with pytest.raises(ValueError, match=rf"user_exponent .* not {exponent}"):
        replace(linear_of(model_of_blocks("linear")), user_exponent=exponent)


def test_blocks_come_in_one_order_and_each_once() -> None:
    als, linear = model_of_blocks("als and linear").blocks
    assert columns_of([linear]) == (slice(0, 9),)
    wrong: tuple[tuple[AlsBlock | LinearBlock, ...], ...] = ((), (linear, als), (als, als))
    for blocks in wrong:
        with pytest.raises(ValueError, match="order als, linear, each at most once"):
            columns_of(blocks)
