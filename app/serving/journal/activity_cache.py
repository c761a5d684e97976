"""A cache of users' activities; an entry holds until the user's next event."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from app.errors import StoreUnavailable
from app.events.activity import Activity
from app.events.event_types import EventRules
from app.model.model import Model
from app.serving.journal.current_store import CurrentStore
from app.serving.journal.questions import Questions
from app.serving.journal.tracker import StoreTracker
from app.store.activity_reading import read_activity
from app.store.clock import now
from app.store.interface import EventStore
from app.store.stamps import stamp_key

# How many users one question to the store is about; it has to be answered in time.
_USERS_AT_ONCE: Final = 8
# How many users are cached, and how many entries of their activities: one for each artist among the
# played, the hidden and so on. benchmarks/cache_memory.py measures the bytes of each.
_CACHED_USERS: Final = 20_000
_CACHED_ENTRIES: Final = 400_000
_ERASED: Final = Activity(is_erased=True)


@dataclass(frozen=True, slots=True)
class _CacheEntry:
    """The activity of a user, and what it was computed from.

    Attributes:
        stamp: the user's stamp before the events were read.
        learned: number of the last event that the model had learned.
        edition: that of the open store.
        activity: the activity; None for a user without events.
    """

    stamp: int
    learned: int
    edition: tuple[int, int]
    activity: Activity | None


@dataclass(frozen=True, slots=True)
class _AsOf:
    """What was read before the events: time, stamps and learned numbers by user, and edition."""

    at: int
    stamps: Mapping[str, int]
    learned: Mapping[str, int]
    edition: tuple[int, int]


class ActivityCache:
    """Returns users' activities. Used on one event loop.

    Args:
        current: has the stamps that say whether an entry still holds.
        tracker: knows the erased users, and how far a model has learned.
        questions: asks the store for activities that are not cached.
        rules: how many units each type of event counts.
    """

    def __init__(
        self,
        current: CurrentStore,
        tracker: StoreTracker,
        questions: Questions,
        rules: EventRules,
    ) -> None:
        self._current = current
        self._tracker = tracker
        self._questions = questions
        self._rules = rules
        # Least recently used first.
        self._entries: OrderedDict[str, _CacheEntry] = OrderedDict()
        # The sum of the sizes of their activities.
        self._size = 0

    async def activities_of(
        self, user_ids: Sequence[str], model: Model | None
    ) -> list[Activity | None]:
        """Returns the activities of some users; see ``Journal.activity_of``."""
        opened, tracker, at = self._current.opened, self._tracker, now()
        if opened is None:
            return [_ERASED if tracker.is_erased(one) else None for one in user_ids]
        # Read before the events, which are then at least as new.
        edition = opened.edition
        stamps = {user_id: opened.stamps.of(user_id) for user_id in user_ids}
        learned = {one: tracker.learned(opened.store, one, model) for one in stamps if stamps[one]}
        entries = {user_id: self._entries.get(user_id) for user_id in learned}
        stale = [
            one
            for one, entry in entries.items()
            if entry is None
            or (entry.stamp, entry.learned, entry.edition) != (stamps[one], learned[one], edition)
            or not self._use(one, entry, at)
        ]
        if stale:
            entries |= await self._renew(stale, _AsOf(at, stamps, learned, edition))
        return [
            self._known(one, entries.get(one), stamps[one], learned.get(one, 0)) for one in user_ids
        ]

    async def _renew(self, stale: Sequence[str], as_of: _AsOf) -> dict[str, _CacheEntry]:
        """Reads the activities of some users, as far as the store answers in time."""

        def read(part: Sequence[str], store: EventStore) -> list[Activity | None]:
            return [
                read_activity(store, one, self._rules, as_of.at, as_of.learned[one]) for one in part
            ]

        renewed: dict[str, _CacheEntry] = {}
        with suppress(StoreUnavailable):
            for start in range(0, len(stale), _USERS_AT_ONCE):
                part = stale[start : start + _USERS_AT_ONCE]
                found = await self._questions.ask(partial(read, part))
                for user_id, activity in zip(part, found, strict=True):
                    stamp, learned = as_of.stamps[user_id], as_of.learned[user_id]
                    renewed[user_id] = _CacheEntry(stamp, learned, as_of.edition, activity)
                    self._add(user_id, renewed[user_id])
        return renewed

    def _known(
        self, user_id: str, entry: _CacheEntry | None, stamp: int, learned: int
    ) -> Activity | None:
        is_old = entry is None or (entry.stamp, entry.learned) != (stamp, learned)
        if is_old and self._tracker.is_erased(user_id):
            return _ERASED  # the store cannot be asked, and no erased user may be recognised
        if entry is None:
            return None
        if is_old and entry.activity and entry.stamp == stamp <= learned:
            # The entry was read for a model that had not learned these events; this one has.
            return replace(entry.activity, units={}, is_erased=False)
        return entry.activity

    def _use(self, user_id: str, entry: _CacheEntry, at: int) -> bool:
        """Marks an entry as used, and says whether it still holds at a time."""
        self._entries.move_to_end(user_id)
        until = None if entry.activity is None else entry.activity.valid_until
        return until is None or at < until

    def forget(self, keys: Collection[int]) -> None:
        """Removes the users whose ``stamp_key`` is among ``keys``, since they were erased."""
        for user_id in [one for one in self._entries if stamp_key(one) in keys]:
            self._remove(user_id)

    def _add(self, user_id: str, entry: _CacheEntry) -> None:
        self._remove(user_id)
        opened = self._current.opened
        if opened is None or opened.stamps.of(user_id) != entry.stamp:
            return  # the user has new events, or was erased, while it was read
        self._entries[user_id] = entry
        self._size += _size(entry)
        while len(self._entries) > _CACHED_USERS or self._size > _CACHED_ENTRIES:
            self._remove(next(iter(self._entries)))

    def _remove(self, user_id: str) -> None:
        entry = self._entries.pop(user_id, None)
        if entry is not None:
            self._size -= _size(entry)


def _size(entry: _CacheEntry) -> int:
    return 0 if entry.activity is None else entry.activity.size
