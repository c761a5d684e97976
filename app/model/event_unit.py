"""The unit in which events are added to a model's weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from app.model.interactions import UserItems
from app.model.weighting import Weighting

DEFAULT_UNIT: Final = 3.0
# The median of this many pairs is close enough to the median of all.
SAMPLED_PAIRS: Final = 2**20


@dataclass(frozen=True, slots=True)
class EventUnit:
    """The weight that an event of one play adds to its artist.

    Attributes:
        multiple: the unit in medians of the weights of the user's history.
        median_weight: median of the weights in the training data, used for users without a history.
    """

    multiple: float
    median_weight: float

    @classmethod
    def of(
        cls, user_items: UserItems, weighting: Weighting, multiple: float = DEFAULT_UNIT
    ) -> Self:
        """Takes the median of the training data, or of evenly spaced users where there are many."""
        step = max(1, -(-user_items.nnz // SAMPLED_PAIRS))
        sample = user_items.take(np.arange(0, user_items.n_users, step)) if step > 1 else user_items
        weights = weighting.weigh(sample if sample.nnz else user_items)
        return cls(multiple, float(np.median(weights)) if len(weights) else 1.0)

    def for_user(self, weights: NDArray[np.float32]) -> float:
        """Returns the weight of a unit for a user.

        Args:
            weights: float32, the weights of the user's history, without fading: an event is new, as
                the history once was.
        """
        median = _median(weights) if len(weights) else self.median_weight
        return self.multiple * median


def _median(values: NDArray[np.float32]) -> float:
    """Returns what ``np.median`` does, which takes ten times as long for a history."""
    ordered, middle = np.sort(values), len(values) // 2
    if len(values) % 2:
        return float(ordered[middle])
    return float((ordered[middle - 1] + ordered[middle]) / np.float32(2))
