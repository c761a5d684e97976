"""The journal: events written and read for the service, off the event loop.

Writing goes through one thread, which commits whatever has come in while it was busy, so one flush
to disk serves many requests. What a user's events come to is kept until the next event of theirs.
When the database is in trouble, lists are answered from the model and from what is kept; a keeper
looks every now and then whether it is back. No wait here is longer than its deadline, whatever the
threads do: a store that does not answer in time is in trouble, and not asked until it is back.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

from app.activity import Activity
from app.errors import Overloaded, StoreUnavailable
from app.events import MICROSECONDS, Event, EventRules, StoredEvent
from app.model import Model
from app.store.activity_reading import read_activity
from app.store.clock import now
from app.store.deadlines import NO_DEADLINES, Deadline, Deadlines
from app.store.interface import EventStore, Outcome, PlayedArtist, learned_up_to
from app.store.keepsake import Keepsake, StoreKnowledge
from app.store.readers import Readers
from app.store.stamps import NoStamps, Stamps, stamp_key

_POLL_SECONDS: Final = 0.25
_REOPEN_SECONDS: Final = 1.0
# So long closing waits for what was given to be written, where no deadline ends earlier, and then
# for the threads, whose questions end with the store.
_CLOSE_SECONDS: Final = 5.0
_LAST_SECONDS: Final = 1.0
# So many events may wait to be written, and so many are committed together.
_MOST_WAITING: Final = 20_000
_EVENTS_PER_COMMIT: Final = 5_000
_READERS: Final = 4
# So many users are one question to the store, which has to be answered in time.
_USERS_AT_ONCE: Final = 8
# Some hundred bytes each, and about as much again for each artist.
_KEPT_USERS: Final = 20_000
# What takes a second to count is counted every 20 seconds at most.
_RANKING_KEPT: Final = 20
# With these troubles of writing, nobody waits for another one of the same: the keeper tries.
_HOPELESS: Final = frozenset({"slow", "unreachable"})

logger = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(slots=True)
class _Batch:
    """Events of one request, who waits for them, and whether they were told that it took too long.

    Then nothing of it is written any more, unless that has begun.
    """

    events: Sequence[Event]
    received_at: int
    future: asyncio.Future[list[Outcome]]
    is_refused: bool = False


@dataclass(frozen=True, slots=True)
class _Kept:
    """What a user's events came to when their stamp was read, and with what a model has learned.

    ``prunings`` is how often events had been pruned before.
    """

    stamp: int
    learned: int
    prunings: int
    activity: Activity | None


@dataclass(frozen=True, slots=True)
class _AsOf:
    """What was known before events were read: the time, stamps and learned numbers by user."""

    at: int
    stamps: Mapping[str, int]
    learned: Mapping[str, int]
    prunings: int


@dataclass(slots=True)
class _Opened:
    store: EventStore
    stamps: Stamps


_ERASED: Final = Activity(is_erased=True)
_FORGOTTEN: Final = (
    "the event store does not know %d users who were erased: it is another one, or was put back. "
    "Models that hold them recognise them again. Import an export of the former store, or erase "
    "them again"
)


class Journal:
    """Events as the service uses them. Used on one event loop.

    Args:
        open_store: opens the store; tried again until it succeeds.
        rules: what events count for.
        keepsake: what is known of the store until it is open; None for nothing.
        deadlines: how long anybody waits for the store; the same as it has itself.

    Attributes:
        stamps: says in one look into memory whether a user may have events.
        counts: what became of events, and troubles by reason.
    """

    def __init__(
        self,
        open_store: Callable[[], EventStore],
        rules: EventRules,
        keepsake: Keepsake | None = None,
        deadlines: Deadlines = NO_DEADLINES,
    ) -> None:
        self._open_store = open_store
        self._deadlines = deadlines
        self._rules = rules
        self._keepsake = keepsake
        self._opened: _Opened | None = None
        # What every request looks at; the same object as of the opened store.
        self.stamps: Stamps | NoStamps = NoStamps()
        # By what was tried: opening, reading or writing.
        self._troubles: dict[str, StoreUnavailable] = {}
        self.counts: Counter[str] = Counter()
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        # Stamp keys of who was erased, and up to which number.
        self._erased: set[int] = set()
        self._erased_up_to = 0
        # Version of the assortment, and what is unavailable.
        self._unavailable: tuple[int, list[str]] = 0, []
        # Whether these are of the store, and no more what the keepsake said; and whether that says
        # the same.
        self._follows = self._is_kept = False
        self._last_sequence = 0
        self._rankings: dict[tuple[object, ...], tuple[float, list[PlayedArtist]]] = {}
        self._ranking_lock = asyncio.Lock()
        self._loop = asyncio.get_running_loop()
        self._came: SimpleQueue[_Batch | None] = SimpleQueue()
        self._waiting = 0
        self._closing = threading.Event()
        self._readers = Readers(_READERS, self._loop)
        # Questions that may take long; they end when the store turns out to be in trouble.
        self._patient: set[asyncio.Future[Any]] = set()
        self._writer = threading.Thread(target=self._write, name="store-writer", daemon=True)
        self._keeper = threading.Thread(target=self._keep_up, name="store-keeper", daemon=True)

    def start(self) -> None:
        """Opens the store, if it can be opened, and begins to write and to follow."""
        if self._keepsake is not None:
            kept = self._keepsake.load()
            self._erased = set(kept.erased)
            self._unavailable = kept.assortment_version, list(kept.unavailable)
            self.stamps = NoStamps(kept.erased, kept.assortment_version)
        self._open()
        self._readers.start()
        self._writer.start()
        self._keeper.start()

    async def close(self) -> None:
        """Writes what has been given, as far as there is time, and closes the store."""
        if not self._closing.is_set():
            self._closing.set()
            self._came.put(None)
            await asyncio.to_thread(self._end)

    @property
    def troubles(self) -> list[StoreUnavailable]:
        """What is wrong with the store now; nothing if it works."""
        return list(self._troubles.values())

    @property
    def store(self) -> EventStore:
        """The open store, for what takes its time on a thread of its own.

        Raises:
            StoreUnavailable: it is not open, or cannot be read now.
        """
        opened = self._opened
        if opened is None:
            raise self._troubles.get("open") or _not_open()
        if trouble := self._troubles.get("read"):
            raise trouble
        return opened.store

    @property
    def waiting(self) -> int:
        """How many events wait to be written."""
        return self._waiting

    async def activity_of(self, user_id: str, model: Model | None) -> Activity | None:
        """Returns what a user's events come to beside a model, None for somebody without any.

        It holds everything that was acknowledged before this call on this host. Where the store
        cannot be read, it is what was known before.
        """
        return (await self.activities_of([user_id], model))[0]

    async def activities_of(
        self, user_ids: Sequence[str], model: Model | None
    ) -> list[Activity | None]:
        """Returns what the events of some users come to; see ``activity_of``."""
        opened, at = self._opened, now()
        if opened is None:
            return [_ERASED if stamp_key(one) in self._erased else None for one in user_ids]
        # Read before the events are: what they hold is then at least as new.
        prunings = opened.store.prunings
        stamps = {user_id: opened.stamps.of(user_id) for user_id in user_ids}
        learned = {one: self.learned(opened.store, one, model) for one in stamps if stamps[one]}
        kept = {user_id: self._kept.get(user_id) for user_id in learned}
        stale = [
            one for one in learned if not self._is_of(one, stamps[one], learned[one], prunings, at)
        ]

        if stale:
            kept |= await self._renew(stale, _AsOf(at, stamps, learned, prunings))
        return [
            self._known(one, kept.get(one), stamps[one], learned.get(one, 0)) for one in user_ids
        ]

    async def _renew(self, stale: Sequence[str], as_of: _AsOf) -> dict[str, _Kept]:
        """Reads what the events of some users come to, as far as the store answers in time."""

        def read(part: Sequence[str], store: EventStore) -> list[Activity | None]:
            return [
                read_activity(store, one, self._rules, as_of.at, as_of.learned[one]) for one in part
            ]

        renewed: dict[str, _Kept] = {}
        with suppress(StoreUnavailable):
            for start in range(0, len(stale), _USERS_AT_ONCE):
                part = stale[start : start + _USERS_AT_ONCE]
                found = await self._read(partial(read, part))
                for user_id, activity in zip(part, found, strict=True):
                    stamp, learned = as_of.stamps[user_id], as_of.learned[user_id]
                    renewed[user_id] = _Kept(stamp, learned, as_of.prunings, activity)
                    self._keep(user_id, renewed[user_id])
        return renewed

    def _known(self, user_id: str, kept: _Kept | None, stamp: int, learned: int) -> Activity | None:
        is_old = kept is None or (kept.stamp, kept.learned) != (stamp, learned)
        if is_old and stamp_key(user_id) in self._erased:
            return _ERASED  # the store cannot be asked, and nobody erased may be recognised
        if kept is None:
            return None
        if is_old and kept.activity and kept.stamp == stamp <= learned:
            # It was read beside a model that had not learned these events, as this one has.
            return replace(kept.activity, units={}, is_erased=False)
        return kept.activity

    def learned(self, store: EventStore, user_id: str, model: Model | None) -> int:
        """Returns the number of the last of a user's events that a model may have learned.

        Filters may have kept the user out of the training: then it has learned none of them.
        """
        if model is None or model.watermark is None or model.users.index(user_id) is None:
            return 0
        return learned_up_to(store, model.watermark, self._last_sequence)

    async def erase(self, user_id: str) -> int:
        """Erases a user; they are unknown on this host when this returns.

        Returns:
            How many events they had.

        Raises:
            StoreUnavailable: the store cannot be written.
        """

        def erase(store: EventStore) -> int:
            erased = store.erase(user_id, now())
            if self._opened is not None:
                self._catch_up(self._opened)
            return erased

        return await self._read(erase, tried="write")

    async def append(self, events: Sequence[Event]) -> list[Outcome]:
        """Stores events; they are durable, and count on this host, when this returns.

        Raises:
            StoreUnavailable: none of them is known to be stored.
            Overloaded: too many are waiting.
        """
        self._check("write")
        if self._waiting + len(events) > _MOST_WAITING:
            raise Overloaded(
                f"{self._waiting} events were waiting to be written already; send them again later"
            )
        future: asyncio.Future[list[Outcome]] = self._loop.create_future()
        self._waiting += len(events)
        batch = _Batch(events, now(), future)
        self._came.put(batch)
        try:
            outcomes = await _in_time(future, self._deadlines.write)
        except TimeoutError:
            batch.is_refused = True
            raise self._missed("write", self._deadlines.writing) from None
        finally:
            self._waiting -= len(events)
        self.counts.update(f"events_{outcome.status}" for outcome in outcomes)
        return outcomes

    async def set_available(self, artist_id: str, *, is_available: bool) -> None:
        """Takes an artist out of the assortment, or back; it holds on this host on returning.

        Raises:
            StoreUnavailable: the store cannot be written.
        """

        def change(store: EventStore) -> int:
            return store.set_available(artist_id, is_available=is_available)

        version = await self._read(change, tried="write")
        if self._opened is not None:
            self._opened.stamps.raise_assortment(version)

    async def unavailable_artists(self) -> tuple[int, list[str]]:
        """Returns the version of the assortment, and the artists that are out of it.

        Where the store cannot be read, it is what was known before.
        """
        with suppress(StoreUnavailable):
            return await self._read(lambda store: store.unavailable_artists())
        return self._unavailable

    async def events_of(
        self, user_id: str, *, limit: int, before: int | None
    ) -> tuple[int, list[StoredEvent], dict[str, str]]:
        """Returns how many events a user has, some of them, and the names of their artists.

        Args:
            user_id: whose.
            limit: at most so many, latest number first.
            before: only those with lower numbers.

        Raises:
            StoreUnavailable: the store cannot be read.
        """

        def look(store: EventStore) -> tuple[int, list[StoredEvent], dict[str, str]]:
            events = store.events_of(user_id, limit=limit, before=before)
            artists = list({stored.event.artist_id for stored in events})
            return store.count_of(user_id), events, store.names_of(artists)

        return await self._read(look)

    async def played_in_days(
        self, days: float, *, by_plays: bool, limit: int
    ) -> list[PlayedArtist]:
        """Returns the artists that were played most in the last days.

        Raises:
            StoreUnavailable: the store cannot be read.
        """
        since = now() - round(days * 24 * 3600 * MICROSECONDS)
        # One at a time: whoever waited may take what another one counted.
        async with self._ranking_lock:
            asked = (days, by_plays, limit, self._opened and self._opened.store.prunings)
            valid_until, ranking = self._rankings.get(asked, (0.0, []))
            start = time.monotonic()
            if valid_until < start:
                ranking = await self._read(
                    lambda store: store.played_since(since, by_plays=by_plays, limit=limit),
                    is_patient=True,
                )
                seconds = time.monotonic() - start
                self._rankings = {
                    key: entry for key, entry in self._rankings.items() if entry[0] > start
                }
                self._rankings[asked] = time.monotonic() + _RANKING_KEPT * seconds, ranking
        return ranking

    def _is_of(self, user_id: str, stamp: int, learned: int, prunings: int, at: int) -> bool:
        """Says whether what is kept of a user is of that stamp and model, and still holds."""
        kept = self._kept.get(user_id)
        if kept is None or (kept.stamp, kept.learned, kept.prunings) != (stamp, learned, prunings):
            return False
        self._kept.move_to_end(user_id)
        until = None if kept.activity is None else kept.activity.valid_until
        return until is None or at < until

    def _keep(self, user_id: str, kept: _Kept) -> None:
        self._kept[user_id] = kept
        self._kept.move_to_end(user_id)
        if len(self._kept) > _KEPT_USERS:
            self._kept.popitem(last=False)

    async def _read(
        self, question: Callable[[EventStore], T], *, tried: str = "read", is_patient: bool = False
    ) -> T:
        """Returns what the store answers in time; what is wrong with it is noted.

        Args:
            question: put by a thread.
            tried: whether it is about reading or writing.
            is_patient: whether the answer may take long.

        Raises:
            StoreUnavailable: there is no answer, or was none to somebody else a moment ago.
        """
        opened = self._opened
        if opened is None:
            raise self._troubles.get("open") or _not_open()
        self._check(tried)
        future = self._readers.ask(partial(question, opened.store))
        deadline = self._deadlines.writing if tried == "write" else self._deadlines.reading
        if is_patient:
            deadline = self._deadlines.following
            self._patient.add(future)
        try:
            return await _in_time(future, deadline.seconds)
        except TimeoutError:
            raise self._missed(tried, deadline) from None
        except StoreUnavailable as error:
            if error is not self._troubles.get(tried):
                self._note(tried, error)
            raise
        finally:
            self._patient.discard(future)

    def _check(self, tried: str) -> None:
        """Refuses at once what would wait for a store that is known not to answer."""
        trouble = self._troubles.get(tried)
        if trouble and (tried == "read" or trouble.reason in _HOPELESS):
            raise trouble

    def _missed(self, tried: str, deadline: Deadline) -> StoreUnavailable:
        """Returns what is wrong after a deadline has passed, which is noted."""
        error = deadline.missed("the event store")
        self._note(tried, error)
        return error

    def _write(self) -> None:
        ended = False
        while not ended:
            batches, ended = self._receive()
            if batches:
                self._commit(batches)

    def _receive(self) -> tuple[list[_Batch], bool]:
        """Returns what has come, waiting for it, and whether that is all there will be."""
        batches: list[_Batch] = []
        size = 0
        with suppress(Empty):
            while size < _EVENTS_PER_COMMIT:
                batch = self._came.get(block=not batches)
                if batch is None:
                    return batches, True
                batches.append(batch)
                size += len(batch.events)
        return batches, False

    def _commit(self, batches: Sequence[_Batch]) -> None:
        batches = [batch for batch in batches if not batch.is_refused]
        if not batches:
            return
        events = [event for batch in batches for event in batch.events]
        try:
            self._check("write")
            outcomes = self._append(events, batches[0].received_at)
        except StoreUnavailable as error:
            if self._opened is not None and error is not self._troubles.get("write"):
                self._note("write", error)
            self._deliver(batches, error)
        except Exception as error:
            logger.exception("could not write %d events", len(events))
            self._deliver(batches, error)
        else:
            self._clear("write")
            self._deliver(batches, outcomes)

    def _append(self, events: Sequence[Event], received_at: int) -> list[Outcome]:
        opened = self._opened
        if opened is None:
            raise self._troubles.get("open") or _not_open()
        outcomes = opened.store.append(events, received_at)
        last = max((outcome.sequence for outcome in outcomes), default=0)
        self._last_sequence = max(self._last_sequence, last)
        # Before anybody hears of it. A repeated event may be one that was stored, but not noted,
        # when a process was killed.
        opened.stamps.raise_to(
            (event.user_id, outcome.sequence)
            for event, outcome in zip(events, outcomes, strict=True)
        )
        return outcomes

    def _deliver(self, batches: Sequence[_Batch], result: list[Outcome] | Exception) -> None:
        def deliver() -> None:
            start = 0
            for batch in batches:
                end = start + len(batch.events)
                if batch.future.done():
                    pass  # nobody waits any more
                elif isinstance(result, Exception):
                    batch.future.set_exception(result)
                else:
                    batch.future.set_result(result[start:end])
                start = end

        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(deliver)

    def _keep_up(self) -> None:
        while not self._closing.is_set():
            if self._opened is None:
                self._closing.wait(_REOPEN_SECONDS)
            else:
                self._opened.store.wait_for_news(_POLL_SECONDS)
            try:
                self._look()
            except Exception:
                if not self._closing.is_set():
                    logger.exception("could not follow the event store")

    def _look(self) -> None:
        """Follows what others store, and finds out whether what was wrong still is."""
        if self._opened is None and not self._closing.is_set():
            self._open()
        if self._opened is None:
            return
        store = self._opened.store
        try:
            self._catch_up(self._opened)
        except StoreUnavailable as error:
            self._note("read", error)
            return
        self._clear("read")
        if "write" in self._troubles:
            try:
                store.check_writable()
            except StoreUnavailable as error:
                self._note("write", error)
            else:
                self._clear("write")

    def _open(self) -> None:
        with ExitStack() as undo:
            try:
                store = self._open_store()
                undo.callback(store.close)
                stamps = Stamps(store.place)
                undo.callback(stamps.close)
                opened = _Opened(store, stamps)
                self._catch_up(opened)
            except StoreUnavailable as error:
                self._note("open", error)
                return
            if self._closing.is_set():
                return  # whoever closes may have waited long enough, and not find it any more
            undo.pop_all()
        self._opened = opened
        self.stamps = stamps
        self._clear("open")

    def _catch_up(self, opened: _Opened) -> None:
        store, stamps = opened.store, opened.stamps
        end = store.last_sequence()
        self._last_sequence = max(self._last_sequence, end)
        if end > self._erased_up_to or not self._follows:
            erased = {key for key, _ in store.erased_after(self._erased_up_to)}
            if not self._follows and (forgotten := self._erased - erased):
                logger.error(_FORGOTTEN, len(forgotten))
            self._erased = self._erased | erased if self._follows else erased
            self._erased_up_to = end
            self._is_kept = self._is_kept and not erased
        stamps.catch_up(end, lambda after: _changes_after(store, after))
        version = store.assortment_version()
        if version != self._unavailable[0] or not self._follows:
            self._unavailable, self._is_kept = store.unavailable_artists(), False
        stamps.raise_assortment(version)
        self._follows = True
        if self._keepsake is not None and not self._is_kept:
            version, artists = self._unavailable
            kept = StoreKnowledge(frozenset(self._erased), version, tuple(artists))
            self._is_kept = self._keepsake.save(kept)

    def _note(self, tried: str, error: StoreUnavailable) -> None:
        if self._closing.is_set() and error.reason == "closed":
            return  # as it should be
        before = self._troubles.get(tried)
        self._troubles[tried] = error
        self.counts[f"trouble_{error.reason}"] += 1
        if before is None or before.reason != error.reason:
            logger.error("events are in trouble: %s", error)
        if tried == "read":
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._end_patience, error)

    def _end_patience(self, error: StoreUnavailable) -> None:
        for future in self._patient:
            if not future.done():
                future.set_exception(error)

    def _clear(self, tried: str) -> None:
        if self._troubles.pop(tried, None) and not self._troubles:
            logger.info("the event store works again")

    def _end(self) -> None:
        """Ends everything, also where all threads wait for a store that does not answer."""
        most = _CLOSE_SECONDS if self._deadlines.write is None else self._deadlines.write
        trouble = self._troubles.get("write")
        is_hopeless = trouble is not None and trouble.reason in _HOPELESS
        _join(self._writer, _LAST_SECONDS if is_hopeless else min(most, _CLOSE_SECONDS))
        _join(self._keeper, _LAST_SECONDS)
        stamps = self._let_go()
        # Their questions have just been ended; what waits for a disk ends with the process.
        _join(self._writer, _LAST_SECONDS)
        _join(self._keeper, _LAST_SECONDS)
        self._readers.close(_LAST_SECONDS)
        if stamps is not None:
            stamps.close()

    def _let_go(self) -> Stamps | None:
        """Closes the store, which ends all questions, and returns its stamps, still in use."""
        opened, self._opened = self._opened, None
        self.stamps = NoStamps()
        if opened is None:
            return None
        opened.store.close()
        return opened.stamps


def _changes_after(store: EventStore, after: int) -> list[tuple[int, int]]:
    latest = [(stamp_key(user), sequence) for user, sequence in store.latest_of_users(after)]
    return latest + store.erased_after(after)


def _not_open() -> StoreUnavailable:
    return StoreUnavailable("closed", "the event store is not open")


async def _in_time(future: asyncio.Future[T], seconds: float | None) -> T:
    """Returns what a future comes to; it is cancelled where nobody waits for it any more.

    An answer that is there counts, however late it is looked at.

    Raises:
        TimeoutError: it is not there in time.
    """
    try:
        done, _ = await asyncio.wait([future], timeout=seconds)
        if not done:
            raise TimeoutError
        return future.result()
    finally:
        if not future.cancel() and not future.cancelled():
            future.exception()  # so that nobody is told that nobody has asked for it


def _join(thread: threading.Thread, seconds: float) -> None:
    if thread.is_alive():  # not so where opening went wrong in a way that nobody expects
        thread.join(seconds)
