"""A trained model, mapped from a folder or still in memory; immutable."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.model.blocks import AlsBlock, Block, LinearBlock, columns_of, fold_in_blocks
from app.model.event_unit import EventUnit
from app.model.id_map import IdMap, ItemCache, StringTable
from app.model.interactions import UserItems
from app.model.items import Items
from app.model.watermark import Watermark
from app.ranking.discovery import log_discount
from app.ranking.scoring import Catalogue, item_norms


@dataclass(frozen=True, slots=True)
class Popularity:
    """Items by popularity, with the counts behind the order.

    Attributes:
        by_listeners: int32, shape (n_items,), item indices, most listeners first, ties by plays,
            then by lower index.
        by_plays: int32, shape (n_items,), item indices, most plays first, ties by lower index.
        listeners: int64, shape (n_items,), users with the item, by item index.
        plays: float64, shape (n_items,), summed plays, by item index.
    """

    by_listeners: NDArray[np.int32]
    by_plays: NDArray[np.int32]
    listeners: NDArray[np.int64]
    plays: NDArray[np.float64]

    @classmethod
    def count(cls, user_items: UserItems) -> Popularity:
        """Counts and ranks the items of a training matrix."""
        return cls.ranked(user_items.listeners(), user_items.total_plays())

    @classmethod
    def ranked(cls, listeners: NDArray[np.int64], plays: NDArray[np.float64]) -> Popularity:
        """Ranks the items by their counts, both of shape (n_items,)."""
        by_index = np.arange(len(listeners))
        return cls(
            by_listeners=np.lexsort((by_index, -plays, -listeners)).astype(np.int32),
            by_plays=np.lexsort((by_index, -plays)).astype(np.int32),
            listeners=listeners,
            plays=plays,
        )


@dataclass(frozen=True, slots=True, eq=False)
class TopLists:
    """The best unseen items of every user, computed once at publishing.

    Attributes:
        items: int32, shape (n_users, length), item indices, -1 past the end of a short list.
        scores: float32, shape (n_users, length).
    """

    items: NDArray[np.int32]
    scores: NDArray[np.float32]
    # A view of the same memory: slicing it takes a fraction of the time that numpy needs.
    _items: memoryview = field(init=False, repr=False)
    _scores: memoryview[float] = field(init=False, repr=False)
    _length: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_length", self.items.shape[1])
        object.__setattr__(self, "_items", self.items.reshape(-1).data)
        object.__setattr__(self, "_scores", self.scores.reshape(-1).data)

    def of(self, user_index: int) -> tuple[memoryview, memoryview[float]]:
        """Returns the items and scores of a user's list: int32 and float32, shape (length,)."""
        start = user_index * self._length
        place = slice(start, start + self._length)
        return self._items[place], self._scores[place]

    def last_score(self, user_index: int) -> float:
        """Returns the lowest score in a user's list, minus infinity for an empty list."""
        items, scores = self.of(user_index)
        place = len(items)
        while place and items[place - 1] < 0:
            place -= 1
        return scores[place - 1] if place else -math.inf


@dataclass(frozen=True, eq=False)
class Model:
    """The data that answers are computed from.

    Attributes:
        version: ``YYYYMMDDTHHMMSSZ-<8 hex>``, or a name of its own while in memory.
        card: the manifest, shown by ``GET /model``.
        users: the ids of the users.
        items: the items table.
        user_factors: float32, shape (n_users, factors).
        item_factors: float32, shape (n_items, factors).
        blocks: the parts of the vectors, in the order of their columns; at least one.
        user_items: the interactions that the model was trained on.
        popularity: the popularity rankings.
        event_units: the unit in which events count, for each block by its weighting.
        watermark: how far training has read the event store, None if it read none.
        top_lists: precomputed lists, or None.
    """

    version: str
    card: Mapping[str, Any]
    users: IdMap
    items: Items
    user_factors: NDArray[np.float32]
    item_factors: NDArray[np.float32]
    blocks: tuple[Block, ...]
    user_items: UserItems
    popularity: Popularity
    event_units: tuple[EventUnit, ...]
    top_lists: TopLists | None = field(default=None)
    watermark: Watermark | None = None

    def __repr__(self) -> str:
        return f"<Model {self.version}: {len(self.users)} users, {len(self.items)} items>"

    @cached_property
    def annex(self) -> dict[str, Any]:
        """Values that other modules derive from the model; they live as long as it does."""
        return {}

    @cached_property
    def item_names(self) -> StringTable:
        """The name of each item, by item index."""
        return self.items.names

    @cached_property
    def item_ids(self) -> ItemCache[str]:
        """Ids by item index, as Python objects."""
        return ItemCache(self.items.id, len(self.items))

    @cached_property
    def catalogue(self) -> Catalogue:
        """The items as the rung ``als`` ranks them."""
        norms = item_norms(self.item_factors)
        return Catalogue.of(
            self.item_factors,
            norms,
            left_out=self.unlistened,
            log_discount=log_discount(norms, self.popularity.listeners),
        )

    @cached_property
    def unlistened(self) -> NDArray[np.int64]:
        """Indices of items without a listener in the training data, whose factors mean nothing."""
        return np.flatnonzero(np.asarray(self.popularity.listeners) == 0)

    @cached_property
    def columns(self) -> tuple[slice, ...]:
        """The columns of the vectors that each block has."""
        return columns_of(self.blocks)

    def has_history(self, user_index: int) -> bool:
        """Says whether the user can be ranked by their vector.

        A zero vector would rank arbitrarily. It comes from an empty row, or from a regularization
        so strong that it makes the factors vanish.
        """
        return bool(self.user_factors[user_index].any())

    @property
    def als(self) -> AlsBlock | None:
        """The block of alternating least squares, None without one."""
        return next((block for block in self.blocks if isinstance(block, AlsBlock)), None)

    @property
    def linear(self) -> LinearBlock | None:
        """The linear block, None without one."""
        return next((block for block in self.blocks if isinstance(block, LinearBlock)), None)

    def with_multiple(self, multiple: float) -> Model:
        """Returns the model with another unit of events, in medians of a user's weights."""
        units = tuple(replace(unit, multiple=multiple) for unit in self.event_units)
        return replace(self, event_units=units)

    def fold_in(self, rows: UserItems) -> NDArray[np.float32]:
        """Makes the vectors of any users as training made those of its own users.

        Args:
            rows: raw plays, n_rows x n_items.

        Returns:
            float32, shape (n_rows, factors); a row without usable items gets the zero vector.
        """
        alike = [rows] * len(self.blocks)
        none = [None] * len(self.blocks)
        return fold_in_blocks(self.blocks, self.item_factors, alike, none, self.columns)

    def fold_in_weights(self, rows: Sequence[UserItems]) -> NDArray[np.float32]:
        """Makes the vectors of users from weights instead of plays.

        Args:
            rows: for each block the weights of the same users, n_rows x n_items, in place of plays.

        Returns:
            As ``fold_in``.
        """
        weights = [its.plays for its in rows]
        return fold_in_blocks(self.blocks, self.item_factors, rows, weights, self.columns)
