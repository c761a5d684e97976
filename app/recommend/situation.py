"""The situation: all that an answer depends on, beside the query."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from app.model import Model
from app.recommend.availability import ALL_AVAILABLE, Availability
from app.recommend.newcomers import Newcomers


@dataclass(frozen=True, slots=True, eq=False)
class Situation:
    """What a request sees from its beginning to its end; immutable.

    Attributes:
        model: the model.
        availability: which of its artists, and of the newcomers, may appear.
        newcomers: the artists beyond the model.
    """

    model: Model
    availability: Availability
    newcomers: Newcomers

    @classmethod
    def of(
        cls,
        model: Model,
        availability: Availability = ALL_AVAILABLE,
        newcomers: Newcomers | None = None,
    ) -> Self:
        """Returns the situation of a model, by default without anything beside it."""
        return cls(model, availability, newcomers or Newcomers.of(model, ()))

    def with_availability(self, availability: Availability) -> Self:
        """Returns the situation with another availability, or itself if that one is no newer."""
        if availability.version <= self.availability.version:
            return self
        return replace(self, availability=availability)

    def with_newcomers(self, newcomers: Newcomers) -> Self:
        """Returns the situation with other newcomers."""
        return replace(self, newcomers=newcomers)
