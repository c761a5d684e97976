"""The unit that events count in beside a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from app.model.interactions import UserItems
from app.model.weighting import Weighting

DEFAULT_UNIT: Final = 3.0
# A median of so many pairs is close enough to that of all.
_SAMPLED_PAIRS: Final = 2**20


@dataclass(frozen=True, slots=True)
class EventUnit:
    """What one event of one play adds to the weight of its artist.

    Attributes:
        multiple: in medians of the weights of the user's history.
        median_weight: median of the weights in the training data, which stands in for somebody
            without a history.
    """

    multiple: float
    median_weight: float

    @classmethod
    def of(
        cls, user_items: UserItems, weighting: Weighting, multiple: float = DEFAULT_UNIT
    ) -> Self:
        """Takes the median of the training data, or of evenly spaced users where there are many."""
        step = max(1, -(-user_items.nnz // _SAMPLED_PAIRS))
        sample = user_items.take(np.arange(0, user_items.n_users, step)) if step > 1 else user_items
        weights = weighting.weigh(sample if sample.nnz else user_items)
        return cls(multiple, float(np.median(weights)) if len(weights) else 1.0)

    def for_user(self, weights: NDArray[np.float32]) -> float:
        """Returns the weight of a unit for somebody with these weights in their history.

        They are those before they fade: an event is of today, as somebody's history once was.
        """
        median = float(np.median(weights)) if len(weights) else self.median_weight
        return self.multiple * median
