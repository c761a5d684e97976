"""Splits: which pairs a model may learn from, and which it is measured on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from training.errors import NothingToMeasure, TrainingError
from training.interactions import Interactions


@dataclass(frozen=True, slots=True)
class RandomPerUser:
    """A random part of every user's items goes to the test part.

    A user with at least ``min_items`` items gives max(1, floor(test_fraction * items)) of them;
    the others stay in training whole.

    Attributes:
        test_fraction: above 0, below 1.
        min_items: at least 2, so that nobody loses everything.
        seed: of the draw.
    """

    test_fraction: float = 0.2
    min_items: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.test_fraction < 1:
            raise TrainingError(
                f"the test fraction has to lie between 0 and 1, not {self.test_fraction}"
            )
        if self.min_items < 2:
            raise TrainingError(f"min_items has to be 2 or more, not {self.min_items}")

    def to_manifest(self) -> dict[str, Any]:
        """Returns the split for the manifest and the metrics."""
        return {"name": "random per user"} | asdict(self)

    def split(self, interactions: Interactions) -> tuple[Interactions, Interactions]:
        """Splits the pairs.

        Returns:
            Training and test part over the same users and items.

        Raises:
            NothingToMeasure: no user has enough items.
        """
        user_items = interactions.user_items
        lengths = user_items.row_lengths()
        rows = user_items.row_of_each_pair()
        # Each row in random order: its first pairs are the test pairs.
        shuffled = np.lexsort((np.random.default_rng(self.seed).random(user_items.nnz), rows))
        place_in_row = np.arange(user_items.nnz) - user_items.indptr[rows]
        wanted = np.maximum(1, (self.test_fraction * lengths).astype(np.int64))
        wanted[lengths < self.min_items] = 0
        is_test = np.zeros(user_items.nnz, dtype=bool)
        is_test[shuffled] = place_in_row < wanted[rows]
        if not is_test.any():
            raise NothingToMeasure(
                f"no user has the {self.min_items} artists that the split asks for; the longest "
                f"history has {int(lengths.max(initial=0))}"
            )
        return interactions.with_pairs(~is_test), interactions.with_pairs(is_test)
