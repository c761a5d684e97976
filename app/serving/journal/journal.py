"""The journal: the one front of this folder, through which the service writes and reads events.

One thread writes: it commits all events that arrived while it was busy, so one flush to disk serves
many requests. A user's activity is cached until their next event. While the database fails, lists
are answered from the model and the cache, and the keeper checks regularly whether it works again.
No wait is longer than its deadline, whatever the threads do: a store that does not answer in time
counts as failing, and is not asked until it works again.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Final

from app.errors import StoreUnavailable
from app.events.activity import Activity
from app.events.event import Event, StoredEvent
from app.events.event_types import EventRules
from app.model.model import Model
from app.serving.journal.activity_cache import ActivityCache
from app.serving.journal.current_store import CurrentStore
from app.serving.journal.keeper import Keeper
from app.serving.journal.questions import Questions
from app.serving.journal.rankings import Rankings
from app.serving.journal.tracker import StoreTracker
from app.serving.journal.troubles import Troubles
from app.serving.journal.waiting import Patience
from app.serving.journal.writer import Writer
from app.store.clock import now
from app.store.deadlines import NO_DEADLINES, Deadlines
from app.store.interface import EventStore, Outcome, PlayedArtist
from app.store.keepsake import Keepsake
from app.store.stamps import NoStamps, Stamps

# How long closing waits for the last events to be written, if no deadline ends earlier; then it
# waits as long for the threads, whose questions end when the store is closed.
_CLOSE_SECONDS: Final = 5.0
_LAST_SECONDS: Final = 1.0


class Journal:
    """Writes and reads events for the service. Used on one event loop.

    Args:
        open_store: opens the store; tried again until it succeeds.
        rules: how many units each type of event counts.
        keepsake: what the host knows of the store until it is open; None for nothing.
        deadlines: how long a call waits for the store; the same as the store has itself.

    Attributes:
        counts: events by outcome, and failures of the store by reason.
    """

    def __init__(
        self,
        open_store: Callable[[], EventStore],
        rules: EventRules,
        keepsake: Keepsake | None = None,
        deadlines: Deadlines = NO_DEADLINES,
    ) -> None:
        self._deadlines = deadlines
        self.counts: Counter[str] = Counter()
        # Only this class sets it; the parts only read it.
        self._closing = threading.Event()
        patience = Patience()
        self._troubles = troubles = Troubles(self._closing, self.counts, patience.end)
        self._current = current = CurrentStore(troubles)
        self._loop = asyncio.get_running_loop()
        self._tracker = tracker = StoreTracker(keepsake, self._forget)
        self._questions = Questions(current, troubles, patience, deadlines)
        self._activities = ActivityCache(current, tracker, self._questions, rules)
        self._rankings = Rankings(current, self._questions)
        self._keeper = keeper = Keeper(open_store, current, tracker, troubles, self._closing)
        self._writer = Writer(
            current, tracker, troubles, deadlines, self.counts, follow=keeper.follow
        )

    def start(self) -> None:
        """Opens the store, if it can be opened, and begins to write and to follow it."""
        self._current.remember(self._tracker.load())
        self._keeper.open()
        self._questions.start()
        self._writer.start()
        self._keeper.start()

    async def close(self) -> None:
        """Writes the events that were given, as far as there is time, and closes the store."""
        if not self._closing.is_set():
            self._closing.set()
            self._writer.finish()
            await asyncio.to_thread(self._end)

    @property
    def stamps(self) -> Stamps | NoStamps:
        """Tells with one memory access whether a user may have events; every list reads it."""
        return self._current.stamps

    @property
    def troubles(self) -> list[StoreUnavailable]:
        """The present failures of the store; empty if it works."""
        return self._troubles.all()

    @property
    def store(self) -> EventStore:
        """The open store, for long work on a thread of its own.

        Raises:
            StoreUnavailable: it is not open, or cannot be read now.
        """
        opened = self._current.needed()
        self._troubles.check("read")
        return opened.store

    @property
    def waiting(self) -> int:
        """How many events wait to be written."""
        return self._writer.waiting

    async def activity_of(self, user_id: str, model: Model | None) -> Activity | None:
        """Returns a user's activity beside a model, None for a user without events.

        It includes all events that were acknowledged on this host before this call. If the store
        cannot be read, it is the cached one.
        """
        return (await self._activities.activities_of([user_id], model))[0]

    async def activities_of(
        self, user_ids: Sequence[str], model: Model | None
    ) -> list[Activity | None]:
        """Returns the activities of some users; see ``activity_of``."""
        return await self._activities.activities_of(user_ids, model)

    def expect(self, model: Model) -> None:
        """Tells how far the model in service has learned; the store may not end before that."""
        self._tracker.expect(model)

    def learned(self, store: EventStore, user_id: str, model: Model | None) -> int:
        """Returns the number of the last of a user's events that a model may have learned.

        0 where it has learned none of them.
        """
        return self._tracker.learned(store, user_id, model)

    @property
    def is_wiped(self) -> bool | None:
        """Whether the log of the store holds no deleted data; None where nothing is known."""
        opened = self._current.opened
        return None if opened is None else opened.store.is_wiped

    async def erase(self, user_id: str) -> int:
        """Erases a user; the user is unknown on this host when this returns.

        Returns:
            How many events they had.

        Raises:
            StoreUnavailable: the store cannot be written.
        """

        def erase(store: EventStore) -> int:
            erased = store.erase(user_id, now())
            self._keeper.follow()
            store.wipe()  # again, since following it has recorded a deletion
            return erased

        return await self._questions.ask(erase, tried="write")

    async def append(self, events: Sequence[Event]) -> list[Outcome]:
        """Stores events; they are durable, and count on this host, when this returns.

        Raises:
            StoreUnavailable: the store cannot be written; the events may or may not be stored.
            Overloaded: too many events are waiting.
        """
        return await self._writer.append(events)

    async def set_available(self, artist_id: str, *, is_available: bool) -> None:
        """Makes an artist unavailable, or available again; on this host from the return on.

        Raises:
            StoreUnavailable: the store cannot be written.
        """

        def change(store: EventStore) -> int:
            return store.set_available(artist_id, is_available=is_available)

        version = await self._questions.ask(change, tried="write")
        if (opened := self._current.opened) is not None:
            opened.stamps.raise_availability(version)

    async def unavailable_artists(self) -> tuple[int, list[str]]:
        """Returns the version of availability, and the unavailable artists.

        If the store cannot be read, they are those that were read last.
        """
        with suppress(StoreUnavailable):
            return await self._questions.ask(lambda store: store.unavailable_artists())
        return self._tracker.unavailable

    async def events_of(
        self, user_id: str, *, limit: int, before: int | None
    ) -> tuple[int, list[StoredEvent], dict[str, str]]:
        """Returns how many events a user has, some of them, and the names of their artists.

        Args:
            user_id: the user.
            limit: how many events at most, highest number first.
            before: only events with lower numbers.

        Raises:
            StoreUnavailable: the store cannot be read.
        """

        def look(store: EventStore) -> tuple[int, list[StoredEvent], dict[str, str]]:
            events = store.events_of(user_id, limit=limit, before=before)
            artists = list({stored.event.artist_id for stored in events})
            return store.count_of(user_id), events, store.names_of(artists)

        return await self._questions.ask(look)

    async def played_in_days(
        self, days: float, *, by_plays: bool, limit: int
    ) -> list[PlayedArtist]:
        """Returns the artists that were played most in the last days.

        Args:
            days: how many; each number of days is counted on its own.
            by_plays: order by plays; else by listeners.
            limit: how many artists are needed; there may be more.

        Raises:
            StoreUnavailable: the store cannot be read.
            Overloaded: too many other rankings are being counted.
        """
        return await self._rankings.played_in_days(days, by_plays=by_plays, limit=limit)

    def _forget(self, keys: Collection[int]) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._activities.forget, keys)

    def _end(self) -> None:
        """Ends all threads, even if they wait for a store that does not answer."""
        most = _CLOSE_SECONDS if self._deadlines.write is None else self._deadlines.write
        is_hopeless = self._troubles.refusal("write") is not None
        self._writer.join(_LAST_SECONDS if is_hopeless else min(most, _CLOSE_SECONDS))
        self._keeper.join(_LAST_SECONDS)
        # The stamps are still in use until all threads have ended.
        opened = self._current.take()
        if opened is not None:
            opened.store.close()  # ends all questions
        # A thread that still waits for a disk ends with the process.
        self._writer.join(_LAST_SECONDS)
        self._keeper.join(_LAST_SECONDS)
        self._questions.close(_LAST_SECONDS)
        if opened is not None:
            opened.stamps.close()
