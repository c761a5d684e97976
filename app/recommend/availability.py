"""Availability: which artists may be recommended now, whatever the model says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from app.model.id_map import IdMap


def _none() -> NDArray[np.int64]:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Availability:
    """The unavailable artists, and which of them a model has.

    Attributes:
        version: the store's version of availability; 0 before the first change.
        artists: the ids of all unavailable artists, known to the model or not.
        items: int64, sorted item indices of those that the model knows.
        gone: ``items`` as a set.
    """

    version: int
    artists: frozenset[str]
    items: NDArray[np.int64]
    gone: frozenset[int]

    @classmethod
    def of(cls, version: int, unavailable: Iterable[str], items: IdMap) -> Self:
        """Looks the artists up in a model."""
        artists = frozenset(unavailable)
        indices = np.sort(items.indices(artists))
        return cls(version, artists, indices, frozenset(indices.tolist()))


ALL_AVAILABLE: Final = Availability(0, frozenset(), _none(), frozenset())
