"""What was played most in the last days, counted by the event store and cached for a while."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from app.events.event import MICROSECONDS
from app.serving.journal.current_store import CurrentStore
from app.serving.journal.questions import Questions
from app.store.clock import now
from app.store.interface import PlayedArtist

# What takes a second to count is counted every 20 seconds at most.
_VALID_SHARE: Final = 20


class Rankings:
    """Counts plays for an event loop.

    Args:
        current: has the store, whose prunings make a ranking old.
        questions: asks it.
    """

    def __init__(self, current: CurrentStore, questions: Questions) -> None:
        self._current = current
        self._questions = questions
        # By what was asked: until when it is valid, and the ranking.
        self._cached: dict[tuple[object, ...], tuple[float, list[PlayedArtist]]] = {}
        self._lock = asyncio.Lock()

    async def played_in_days(
        self, days: float, *, by_plays: bool, limit: int
    ) -> list[PlayedArtist]:
        """Returns the artists that were played most; see ``Journal.played_in_days``."""
        since = now() - round(days * 24 * 3600 * MICROSECONDS)
        # One at a time: whoever waited may take what another one counted.
        async with self._lock:
            opened = self._current.opened
            asked = (days, by_plays, limit, opened and opened.store.prunings)
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
