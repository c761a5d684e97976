"""The recommender in service, and the only place where it is exchanged."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from app.recommend.ladder import Recommender
from app.recommend.situation import Situation


class InService:
    """Holds the recommender that requests take; any thread may read and exchange it.

    A request reads ``recommender`` once, at its beginning, and uses that one until its end.
    """

    def __init__(self) -> None:
        self._recommender: Recommender | None = None
        # Held from reading the recommender until its successor is in place.
        self._lock = Lock()

    @property
    def recommender(self) -> Recommender | None:
        """The recommender in service, None where there is none."""
        return self._recommender

    def put(self, recommender: Recommender | None) -> Recommender | None:
        """Puts a recommender into service, and returns the former one."""
        with self._lock:
            former, self._recommender = self._recommender, recommender
        return former

    def update(
        self, recommender: Recommender, change: Callable[[Situation], Situation]
    ) -> Recommender:
        """Puts a successor into service, which has the same model in another situation.

        Changes by several threads add up: each is applied to the result of the one before.

        Args:
            recommender: the recommender whose situation has changed.
            change: returns the next situation for a given one; must not wait.

        Returns:
            The successor. If another model has come into service meanwhile, it is the successor of
            the given recommender, and what is in service does not change.
        """
        with self._lock:
            serving = self._recommender
            if serving is None or serving.model is not recommender.model:
                return recommender.succeeded_by(change(recommender.situation))
            successor = serving.succeeded_by(change(serving.situation))
            self._recommender = successor
            return successor
