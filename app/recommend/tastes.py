"""Tastes: histories with events and listens, and the vectors that fold-in solves for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from app.events.activity import Activity, with_units
from app.model.event_unit import EventUnit
from app.model.interactions import UserItems
from app.model.model import Model
from app.model.weighting import Weighting
from app.recommend.listens import Row, stack
from app.recommend.query import Query


@dataclass(frozen=True, slots=True, eq=False)
class Taste:
    """The input of a fold-in.

    Attributes:
        history: item indices and raw plays.
        units: by item index, the units that events and listens add.
        disliked: int64, item indices that no longer count.
        recency: float32, by pair of the history, the share of its weight that is left at its age;
            None where weights do not fade.
    """

    history: Row
    units: Mapping[int, float]
    disliked: NDArray[np.int64]
    recency: NDArray[np.float32] | None = None

    @property
    def changes(self) -> bool:
        """Whether the weights are others than those of the plays."""
        return bool(self.units) or len(self.disliked) > 0 or self.recency is not None


def solve(tastes: Sequence[Taste], model: Model) -> NDArray[np.float32]:
    """Returns the vectors of tastes, float32, shape (len(tastes), factors)."""
    histories = stack([taste.history for taste in tastes], len(model.items))
    return model.fold_in_weights(
        [
            _weighted(tastes, histories, block.weighting, unit)
            for block, unit in zip(model.blocks, model.event_units, strict=True)
        ]
    )


def _weighted(
    tastes: Sequence[Taste], histories: UserItems, weighting: Weighting, unit: EventUnit
) -> UserItems:
    """Returns the weights of tastes, with what events and listens add, in place of plays."""
    weights = weighting.weigh(histories)
    if not any(taste.changes for taste in tastes):
        return replace(histories, plays=weights)
    rows = []
    for row, taste in enumerate(tastes):
        its = weights[histories.indptr[row] : histories.indptr[row + 1]]
        size = unit.for_user(its) if taste.units else 0.0
        if taste.recency is not None:
            its = its * taste.recency
        items = taste.history[0]
        if taste.units or len(taste.disliked):
            items, its = with_units(items, its, taste.units, taste.disliked.tolist(), size)
        rows.append((items, its))
    return stack(rows, histories.n_items)


class SolvedVectors:
    """A cache of the vectors of users with events; any thread may use it.

    A vector goes with the activity that it was solved for. So there are no more than activities,
    whose cache is bounded, and a cached vector keeps nothing of an erased user in memory.
    """

    def __init__(self) -> None:
        self._solved: WeakKeyDictionary[Activity, tuple[str, NDArray[np.float32]]] = (
            WeakKeyDictionary()
        )
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._solved)

    def of(self, query: Query) -> NDArray[np.float32] | None:
        """Returns the cached vector of a query's user, None if their events have changed since."""
        if query.user_id is None or query.activity is None or query.listens:
            return None
        with self._lock:
            # Each new event makes another object of a user's activity.
            user_id, vector = self._solved.get(query.activity, (None, None))
        # Erased users may share an activity without events.
        return vector if user_id == query.user_id else None

    def add(self, query: Query, vector: NDArray[np.float32]) -> None:
        """Caches the vector of a query's user."""
        if query.user_id is not None and query.activity is not None and not query.listens:
            with self._lock:
                self._solved[query.activity] = query.user_id, vector
