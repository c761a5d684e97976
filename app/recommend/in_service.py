"""The recommender in service, and the only place where it is exchanged."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from app.recommend.ladder import Recommender
from app.recommend.situation import Situation


class InService:
    """Holds the recommender that requests take; any thread may read and exchange it.

    A request reads ``recommender`` once, at its beginning, and stays with what it got.
    """

    def __init__(self) -> None:
        self._recommender: Recommender | None = None
        # Between reading what is in service and putting its successor there.
        self._lock = Lock()

    @property
    def recommender(self) -> Recommender | None:
        """The recommender in service, None where there is none."""
        return self._recommender

    def put(self, recommender: Recommender | None) -> Recommender | None:
        """Puts another recommender into service, and returns the one that it takes over from."""
        with self._lock:
            former, self._recommender = self._recommender, recommender
        return former

    def update(
        self, recommender: Recommender, change: Callable[[Situation], Situation]
    ) -> Recommender:
        """Puts a successor into service, which has the same model in another situation.

        Changes of several threads add up: each one is made to what the one before has left.

        Args:
            recommender: whose situation has changed.
            change: makes the next situation of the one at hand, without waiting for anything.

        Returns:
            The successor. Where another model is in service meanwhile it succeeds the given
            recommender, and nothing changes in service.
        """
        with self._lock:
            serving = self._recommender
            if serving is None or serving.model is not recommender.model:
                return recommender.succeeded_by(change(recommender.situation))
            successor = serving.succeeded_by(change(serving.situation))
            self._recommender = successor
            return successor
