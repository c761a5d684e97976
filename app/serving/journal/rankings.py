"""Rankings of the artists played in the last days, counted by the event store and cached.

Counting reads all events of the days, which may take seconds. So requests for the same ranking
share one count, one is counted at a time, and few may wait for that.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final, NamedTuple

from app.errors import Overloaded
from app.events.event import MICROSECONDS
from app.serving.journal.current_store import CurrentStore
from app.serving.journal.questions import Questions
from app.store.clock import now
from app.store.interface import PlayedArtist

# A ranking is valid for this many times as long as its counting took.
_VALID_SHARE: Final = 20
# Rankings that are counted or wait for that.
_MOST_COUNTED: Final = 4
# A ranking is counted up to the first of these lengths that suffices: 1,024, 16,384, 262,144…
_SHORTEST: Final = 1024
_LENGTH_STEP: Final = 16
# How many places all cached rankings have together; some 300 bytes each.
_MOST_PLACES: Final = 100_000


class _Asked(NamedTuple):
    """What tells one ranking from another; the edition is that of the open store."""

    days: float
    by_plays: bool
    limit: int
    edition: tuple[int, int] | None


class Rankings:
    """Counts plays for an event loop.

    Args:
        current: has the store, whose edition its rankings hold for.
        questions: asks the store.
    """

    def __init__(self, current: CurrentStore, questions: Questions) -> None:
        self._current = current
        self._questions = questions
        # Until when each ranking is valid, and the ranking.
        self._cached: dict[_Asked, tuple[float, list[PlayedArtist]]] = {}
        self._counted: dict[_Asked, asyncio.Task[list[PlayedArtist]]] = {}
        self._turn = asyncio.Lock()

    async def played_in_days(
        self, days: float, *, by_plays: bool, limit: int
    ) -> list[PlayedArtist]:
        """Returns the artists that were played most; see ``Journal.played_in_days``."""
        opened = self._current.opened
        edition = None if opened is None else opened.edition
        asked = _Asked(days, by_plays, _length(limit), edition)
        valid_until, ranking = self._cached.get(asked, (0.0, []))
        if time.monotonic() < valid_until:
            return ranking
        count = self._counted.get(asked)
        if count is None:
            if len(self._counted) >= _MOST_COUNTED:
                raise Overloaded(
                    f"{_MOST_COUNTED} rankings of other days are being counted; ask again later"
                )
            count = asyncio.create_task(self._count(asked))
            # If all who asked have gone, nobody else looks at its error.
            count.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._counted[asked] = count
        # Others may wait for it as well, and the next one can use it.
        return await asyncio.shield(count)

    async def _count(self, asked: _Asked) -> list[PlayedArtist]:
        try:
            async with self._turn:
                start = time.monotonic()
                since = now() - round(asked.days * 24 * 3600 * MICROSECONDS)
                ranking = await self._questions.ask(
                    lambda store: store.played_since(
                        since, by_plays=asked.by_plays, limit=asked.limit
                    ),
                    is_patient=True,
                )
                end = time.monotonic()
                self._cached[asked] = end + _VALID_SHARE * (end - start), ranking
                self._drop(end)
        finally:
            del self._counted[asked]
        return ranking

    def _drop(self, at: float) -> None:
        """Drops the rankings that are no longer valid, and the oldest of too many."""
        latest_first = sorted(self._cached.items(), key=lambda entry: entry[1][0], reverse=True)
        self._cached, places = {}, 0
        for asked, (valid_until, ranking) in latest_first:
            places += len(ranking)
            if valid_until > at and places <= _MOST_PLACES:
                self._cached[asked] = valid_until, ranking


def _length(limit: int) -> int:
    length = _SHORTEST
    while length < limit:
        length *= _LENGTH_STEP
    return length
