"""The shape of interactions, by which a preset takes its recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from app.model.interactions import UserItems
from training.numbers import count, percent


@dataclass(frozen=True, slots=True)
class Shape:
    """What the choice of a recipe needs to know of the data.

    Attributes:
        users: number of users.
        items: number of items.
        pairs: number of pairs.
        is_bare: whether all pairs have the same plays, so that only the pairs say something.
        width: the number of items that would have as much variety if all had equally many
            listeners: the inverse of Simpson's index (Measurement of Diversity, 1949) of the
            shares that items have of all pairs.
    """

    users: int
    items: int
    pairs: int
    is_bare: bool
    width: float

    @classmethod
    def of(cls, user_items: UserItems) -> Self:
        """Looks at raw plays; data without pairs have a width of 0."""
        listeners = user_items.listeners().astype(np.float64)
        pairs = listeners.sum()
        return cls(
            users=user_items.n_users,
            items=user_items.n_items,
            pairs=user_items.nnz,
            is_bare=user_items.nnz > 0 and bool((user_items.plays == user_items.plays[0]).all()),
            width=float(pairs**2 / (listeners**2).sum()) if pairs else 0.0,
        )

    @property
    def density(self) -> float:
        """The share of all possible pairs that is there."""
        possible = self.users * self.items
        return self.pairs / possible if possible else 0.0

    def __str__(self) -> str:
        pairs = "bare pairs" if self.is_bare else "pairs with plays"
        return (
            f"{pairs}, {percent(self.density)} of all possible ones, with the variety of "
            f"{count(self.width)} equally popular artists"
        )
