"""Small real models for tests: built by ``training``, nothing mocked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from app.model.blocks import AlsBlock, LinearBlock
from app.model.interactions import UserItems
from app.model.model import Model
from app.model.weighting import Weighting, WeightingName
from training.data.interactions import Interactions
from training.data.items import ItemTable
from training.fitting.assembling import Frame, model_of, solve_users
from training.fitting.fit import fit_model
from training.fitting.hyperparameters import Parameters
from training.fitting.implicit_als import ImplicitAls
from training.fitting.top_lists import with_top_lists
from training.publishing.publish import publish

PARAMETERS: Final = Parameters(
    weighting=WeightingName.BM25,
    k1=1.0,
    b=0.5,
    factors=8,
    regularization=0.1,
    alpha=1.0,
    iterations=5,
    seed=7,
)
CREATED_AT: Final = datetime(2026, 11, 23, 15, 4, 5, tzinfo=UTC)


def user_items_of(dense: ArrayLike) -> UserItems:
    """Returns the matrix of a dense table of plays; zero is no pair."""
    table = np.asarray(dense, dtype=np.float32)
    users, items = np.nonzero(table)
    indptr = np.zeros(len(table) + 1, dtype=np.int64)
    np.cumsum(np.bincount(users, minlength=len(table)), out=indptr[1:])
    return UserItems(indptr, items.astype(np.int32), table[users, items], table.shape[1])


def dense_of(user_items: UserItems) -> NDArray[np.float32]:
    """Returns the table of plays of a matrix."""
    table = np.zeros((user_items.n_users, user_items.n_items), dtype=np.float32)
    table[user_items.row_of_each_pair(), user_items.indices] = user_items.plays
    return table


def interactions_of(
    dense: ArrayLike,
    *,
    user_ids: Sequence[str] | None = None,
    item_ids: Sequence[str] | None = None,
    item_names: Sequence[str] | None = None,
) -> Interactions:
    """Returns interactions of a dense table; ids are u0, u1… and i0, i1… unless given."""
    user_items = user_items_of(dense)
    items = list(item_ids or (f"i{index}" for index in range(user_items.n_items)))
    return Interactions(
        user_ids=pl.Series(
            user_ids or [f"u{index}" for index in range(user_items.n_users)], dtype=pl.String
        ),
        items=ItemTable.of(
            pl.Series(items, dtype=pl.String),
            pl.Series(item_names or [f"name of {one}" for one in items], dtype=pl.String),
        ),
        user_items=user_items,
    )


def checkerboard_interactions(size: int = 20) -> Interactions:
    """Even users play even items, odd users odd ones, except that nobody has item u of user u.

    So item ``i{u}`` is the one right answer for user ``u{u}``.
    """
    index = np.arange(size)
    plays = (index[:, None] + index) % 2 == 0
    np.fill_diagonal(plays, val=False)
    return interactions_of(plays)


def random_plays(
    rng: np.random.Generator, n_users: int = 30, n_items: int = 40, density: float = 0.3
) -> NDArray[np.float32]:
    """Returns heavy-tailed whole plays; every user has an item, and every item a user."""
    table = np.ceil(rng.lognormal(3, 2, size=(n_users, n_items)))
    table *= rng.random(table.shape) < density
    table[np.arange(n_users), rng.integers(n_items, size=n_users)] += 1
    table[rng.integers(n_users, size=n_items), np.arange(n_items)] += 1
    return table.astype(np.float32)


def small_model(
    interactions: Interactions,
    *,
    list_length: int = 0,
    threads: int = 1,
    **parameters: Any,
) -> Model:
    """Trains a model with ``PARAMETERS``, changed as given."""
    model = fit_model(
        interactions, replace(PARAMETERS, **parameters), trainer=ImplicitAls(threads=threads)
    )
    return with_top_lists(model, list_length)


def random_model(
    rng: np.random.Generator,
    *,
    n_users: int = 30,
    n_items: int = 40,
    list_length: int = 0,
    **parameters: Any,
) -> Model:
    """Trains a model on random plays."""
    plays = random_plays(rng, n_users, n_items)
    return small_model(interactions_of(plays), list_length=list_length, **parameters)


def als_of(model: Model) -> AlsBlock:
    """Returns the block of ALS of a model that has one."""
    assert model.als is not None
    return model.als


def with_linear(
    model: Model,
    rank: int = 6,
    *,
    seed: int = 11,
    weighting: WeightingName = WeightingName.LOG,
    user_exponent: float = 0.5,
    weight: float = 0.75,
    alone: bool = False,
    list_length: int = 0,
) -> Model:
    """Returns a model with a linear block of random factors, beside that of ALS or alone.

    As in a trained one, items of no listener have zero rows.
    """
    rng = np.random.default_rng(seed)
    shape = (len(model.items), rank)
    history, items = rng.normal(size=(2, *shape)).astype(np.float32)
    history += np.float32(0.5)
    items += np.float32(0.5)
    history[model.unlistened] = items[model.unlistened] = 0
    fitted = Weighting.fit(model.user_items, weighting)
    linear = LinearBlock(history, fitted, user_exponent, weight)
    blocks = (linear,) if alone else (*model.blocks, linear)
    item_factors = items if alone else np.concatenate([model.item_factors, items], axis=1)
    built = model_of(
        Frame(model.users, model.items, model.user_items, model.popularity),
        user_factors=solve_users(model.user_items, item_factors, blocks),
        item_factors=item_factors,
        blocks=blocks,
    )
    return with_top_lists(built, list_length)


def card_of(model: Model) -> dict[str, Any]:
    """Returns the least that publishing wants to be told."""
    return {
        "dataset": {"name": "test"},
        "parameters": {} if model.als is None else model.als.parameters(),
        "metrics": {},
    }


def publish_small(model: Model, models: Path, *, created_at: datetime = CREATED_AT) -> str:
    """Publishes a model under a fixed time and returns its version."""
    return publish(model, models, card=card_of(model), created_at=created_at).version
