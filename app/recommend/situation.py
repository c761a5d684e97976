"""The situation: everything but the query that an answer depends on."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from app.model.model import Model
from app.recommend.availability import ALL_AVAILABLE, Availability
from app.recommend.newcomers import Newcomers

_NONE: Final[NDArray[np.int64]] = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Situation:
    """What a request sees from its beginning to its end; immutable.

    Attributes:
        model: the model.
        availability: the unavailable artists, of the model and among newcomers.
        newcomers: the artists beyond the model.
        unavailable: int64, item indices of all unavailable artists, newcomers included.
    """

    model: Model
    availability: Availability
    newcomers: Newcomers
    unavailable: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        of_newcomers = self.newcomers.indices(self.availability.artists)
        unavailable = np.concatenate([self.availability.items, of_newcomers])
        object.__setattr__(self, "unavailable", unavailable)

    @classmethod
    def of(
        cls,
        model: Model,
        availability: Availability = ALL_AVAILABLE,
        newcomers: Newcomers | None = None,
    ) -> Self:
        """Returns the situation of a model, by default with all artists available, no newcomers."""
        return cls(model, availability, newcomers or Newcomers.of(model, ()))

    def indices(self, artist_ids: Collection[str]) -> NDArray[np.int64]:
        """Returns the item indices of the known ids, newcomers included."""
        if not artist_ids:  # the common case
            return _NONE
        known = self.model.items.indices(artist_ids)
        if not self.newcomers.artists:
            return known
        return np.concatenate([known, self.newcomers.indices(artist_ids)])

    def with_availability(self, availability: Availability) -> Self:
        """Returns the situation with another availability, or itself if that is not newer."""
        if availability.version <= self.availability.version:
            return self
        return replace(self, availability=availability)

    def with_newcomers(self, newcomers: Newcomers) -> Self:
        """Returns the situation with other newcomers."""
        return replace(self, newcomers=newcomers)
