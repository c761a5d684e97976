"""The popularity ranking: the lowest rung, which also fills the lists of the others."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.recommend.eligible import Eligible
from app.recommend.query import PopularityBy, Recommendation, Source
from app.recommend.rungs import Case
from app.recommend.situation import Situation

# Up to this many artists, a Python set finds the hidden ones faster than numpy's sorting.
_SHORT: Final = 1000


class PopularityRanking:
    """The artists of a model, the most popular first.

    Args:
        situation: the model, and the unavailable artists.
        by: the order: by listeners or by plays.
    """

    def __init__(self, situation: Situation, by: PopularityBy = PopularityBy.LISTENERS) -> None:
        popularity, by_plays = situation.model.popularity, by is PopularityBy.PLAYS
        self._unavailable = situation.availability.items
        self._order = popularity.by_plays if by_plays else popularity.by_listeners
        self._counts = popularity.plays if by_plays else popularity.listeners

    @property
    def counts(self) -> NDArray[np.float64] | NDArray[np.int64]:
        """The count behind the order, by item index."""
        return self._counts

    def page(self, n: int, offset: int = 0) -> NDArray[np.int64]:
        """Returns the most popular available items, without regard to a user."""
        gone = self._unavailable
        order = self._order[: offset + n + len(gone)]
        return order[~np.isin(order, gone)][offset : offset + n].astype(np.int64)

    def answer(self, case: Case) -> Recommendation:
        """Answers a case from this rung alone."""
        items = self.best(case.eligible, case.end)[case.start :]
        scores = self._counts[items].astype(np.float64)
        sources = [Source.POPULARITY] * len(items)
        return Recommendation(Source.POPULARITY, items.tolist(), scores.tolist(), sources)

    def best(
        self, eligible: Eligible, n: int, also_hidden: NDArray[np.int64] | None = None
    ) -> NDArray[np.int64]:
        """Returns the most popular items that may appear, at most n.

        Args:
            eligible: what may appear.
            n: how many are wanted.
            also_hidden: int64, further items that must not appear.
        """
        hidden = eligible.hidden
        if also_hidden is not None:
            hidden = np.concatenate([hidden, also_hidden])
        order = self._order
        if eligible.candidates is not None:
            order = order[np.isin(order, eligible.candidates)]
        # These are enough, even if every hidden item is among them.
        order = order[: n + len(hidden)]
        if len(order) <= _SHORT:
            behind = set(hidden.tolist())
            visible = [item for item in order.tolist() if item not in behind]
            return np.array(visible[:n], dtype=np.int64)
        return order[~np.isin(order, hidden)][:n].astype(np.int64)
