"""Rankings of the artists played in the last days, counted by the event store and cached."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from app.events.event import MICROSECONDS
from app.serving.journal.current_store import CurrentStore
from app.serving.journal.questions import Questions
from app.store.clock import now
from app.store.interface import PlayedArtist

# A ranking is valid for this many times as long as its counting took.
_VALID_SHARE: Final = 20


class Rankings:
    """Counts plays for an event loop.

    Args:
        current: has the store, whose edition its rankings hold for.
        questions: asks the store.
    """

    def __init__(self, current: CurrentStore, questions: Questions) -> None:
        self._current = current
        self._questions = questions
        # By the arguments of the question: until when the ranking is valid, and the ranking.
        self._cached: dict[tuple[object, ...], tuple[float, list[PlayedArtist]]] = {}
        self._lock = asyncio.Lock()

    async def played_in_days(
        self, days: float, *, by_plays: bool, limit: int
    ) -> list[PlayedArtist]:
        """Returns the artists that were played most; see ``Journal.played_in_days``."""
        since = now() - round(days * 24 * 3600 * MICROSECONDS)
        # One at a time: a request that waited can use the ranking that another one counted.
        async with self._lock:
            opened = self._current.opened
            asked = (days, by_plays, limit, opened and opened.edition)
            valid_until, ranking = self._cached.get(asked, (0.0, []))
            start = time.monotonic()
            if valid_until < start:
                ranking = await self._questions.ask(
                    lambda store: store.played_since(since, by_plays=by_plays, limit=limit),
                    is_patient=True,
                )
                seconds = time.monotonic() - start
                self._cached = {
                    key: entry for key, entry in self._cached.items() if entry[0] > start
                }
                self._cached[asked] = time.monotonic() + _VALID_SHARE * seconds, ranking
        return ranking
