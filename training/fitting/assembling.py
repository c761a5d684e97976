"""Assembling: the only place that makes a model from factors and its other parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from app.model.blocks import AlsBlock, Block, fold_in_blocks
from app.model.event_unit import EventUnit
from app.model.fold_in import gramian
from app.model.id_map import IdMap
from app.model.interactions import UserItems
from app.model.items import Items
from app.model.model import Model, Popularity
from app.model.weighting import Weighting
from training.data.interactions import Interactions
from training.fitting.hyperparameters import Parameters
from training.fitting.linear_block import Linear
from training.progress import NoProgress, Progress
from training.threads import in_threads

_USERS_PER_BLOCK: Final = 256


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """The parts of a model that do not depend on its factors.

    Attributes:
        users: the ids of the users.
        items: the items table.
        user_items: raw plays of those users, n_users x n_items, with their recency.
        popularity: of the items, among all users of the training part.
    """

    users: IdMap
    items: Items
    user_items: UserItems
    popularity: Popularity

    @classmethod
    def of(cls, interactions: Interactions) -> Frame:
        """Maps the ids and counts popularity.

        Raises:
            InvalidId: an id is longer than the service allows.
        """
        return cls(
            users=IdMap.build(interactions.user_ids.to_list()),
            items=interactions.items.mapped(),
            user_items=interactions.user_items,
            popularity=Popularity.count(interactions.user_items),
        )


def model_of(
    frame: Frame,
    *,
    user_factors: NDArray[np.float32],
    item_factors: NDArray[np.float32],
    blocks: Sequence[Block],
) -> Model:
    """Makes a model from the factors of users and items.

    Args:
        frame: the other parts.
        user_factors: float32, shape (n_users, factors).
        item_factors: float32, shape (n_items, factors).
        blocks: the parts of the vectors, in the order of their columns.

    Returns:
        A model named ``in-memory`` without precomputed lists.
    """
    return Model(
        version="in-memory",
        card={},
        users=frame.users,
        items=frame.items,
        user_factors=user_factors,
        item_factors=item_factors,
        blocks=tuple(blocks),
        user_items=frame.user_items,
        popularity=frame.popularity,
        event_units=tuple(EventUnit.of(frame.user_items, block.weighting) for block in blocks),
    )


def assemble_model(
    frame: Frame,
    item_factors: NDArray[np.float32],
    weighting: Weighting | None,
    parameters: Parameters,
    *,
    linear: Linear | None = None,
    progress: Progress | None = None,
) -> Model:
    """Makes a model from the factors of items and a linear block: folds the users in.

    Args:
        frame: the other parts of the model.
        item_factors: float32, shape (n_items, factors), from a ``Trainer``; no columns in a model
            of the linear block alone.
        weighting: the weighting of the confidence; None where there are no ``item_factors``.
        parameters: the resolved hyperparameters; alpha and regularization are used here.
        linear: the linear block; None for a model of ALS alone.
        progress: told of the solved users.

    Returns:
        A model named ``in-memory`` without precomputed lists.
    """
    user_items = frame.user_items
    # The factors of an item without users are initial noise; it must not enter a list.
    listened = (frame.popularity.listeners > 0)[:, None]
    item_factors = np.where(listened, item_factors, np.float32(0))
    blocks: list[Block] = []
    if weighting is not None:
        with threadpool_limits(limits=1, user_api="blas"):
            item_gramian = gramian(item_factors)
        regularization = parameters.fold_in_regularization
        blocks.append(AlsBlock(item_gramian, weighting, parameters.alpha, regularization))
    if linear is not None:
        item_factors = np.hstack([item_factors, linear.items])
        blocks.append(linear.block)
    user_factors = solve_users(
        user_items,
        item_factors,
        blocks,
        progress=(progress or NoProgress()).step("user vectors", user_items.n_users),
    )
    return model_of(frame, user_factors=user_factors, item_factors=item_factors, blocks=blocks)


def solve_users(
    user_items: UserItems,
    item_factors: NDArray[np.float32],
    blocks: Sequence[Block],
    *,
    progress: Callable[[int], None] | None = None,
) -> NDArray[np.float32]:
    """Folds in all rows, on all cores.

    Args:
        user_items: raw plays, n_users x n_items.
        item_factors: float32, shape (n_items, factors).
        blocks: the parts of the vectors, in the order of their columns.
        progress: called with the number of users done since the last call.

    Returns:
        float32, shape (n_users, factors), each row as a fold-in alone gives it.
    """
    vectors = np.zeros((user_items.n_users, item_factors.shape[1]), dtype=np.float32)
    with threadpool_limits(limits=1, user_api="blas"):
        for block in blocks:
            if isinstance(block, AlsBlock):
                _ = block.inverse  # its last bits depend on the number of BLAS threads

    def solve(start: int) -> None:
        users = np.arange(start, min(start + _USERS_PER_BLOCK, user_items.n_users))
        rows = user_items.take(users)
        vectors[users] = fold_in_blocks(
            blocks, item_factors, [rows] * len(blocks), [None] * len(blocks)
        )
        if progress:
            progress(len(users))

    in_threads(solve, range(0, user_items.n_users, _USERS_PER_BLOCK))
    return vectors
