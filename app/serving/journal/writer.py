"""The writer: one thread that commits all events that arrived while it was busy."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Final

from app.errors import Overloaded, StoreUnavailable
from app.events.event import Event
from app.serving.journal.current_store import CurrentStore
from app.serving.journal.tracker import StoreTracker
from app.serving.journal.troubles import Troubles
from app.serving.journal.waiting import in_time
from app.store.clock import now
from app.store.deadlines import Deadlines
from app.store.interface import Outcome, Status

# How many events may wait to be written, and how many are committed together.
_MOST_WAITING: Final = 20_000
_EVENTS_PER_COMMIT: Final = 5_000

_REUSED: Final = (
    "the event store has given a number twice, so the event would not count; send it again"
)

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Batch:
    """Events of one request.

    Attributes:
        events: the events.
        received_at: in microseconds since 1970 (UTC).
        future: gets the outcomes; the request waits for it.
        is_refused: whether the request was answered that it took too long; the batch is then not
            written, unless writing has begun.
    """

    events: Sequence[Event]
    received_at: int
    future: asyncio.Future[list[Outcome]]
    is_refused: bool = False


class Writer:
    """Stores events of many requests with one flush to disk (group commit). Made on an event loop.

    Args:
        current: has the store, and the stamps, which are raised before a commit is acknowledged.
        tracker: gets the number of the last event.
        troubles: gets failures of writing.
        deadlines: how long a request waits for its commit.
        counts: counts events by outcome.
        follow: looks at the store, which begins anew if it went back.

    Attributes:
        waiting: how many events wait to be written.
    """

    def __init__(
        self,
        current: CurrentStore,
        tracker: StoreTracker,
        troubles: Troubles,
        deadlines: Deadlines,
        counts: Counter[str],
        *,
        follow: Callable[[], None],
    ) -> None:
        self._current = current
        self._tracker = tracker
        self._troubles = troubles
        self._deadlines = deadlines
        self._counts = counts
        self._follow = follow
        self._loop = asyncio.get_running_loop()
        self._came: SimpleQueue[_Batch | None] = SimpleQueue()
        self.waiting = 0
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)

    def start(self) -> None:
        """Begins to write."""
        self._thread.start()

    def finish(self) -> None:
        """Ends the thread after all given events are written."""
        self._came.put(None)

    def join(self, seconds: float) -> None:
        """Waits until the thread has ended, for ``seconds`` at most."""
        if self._thread.is_alive():  # it never started if opening failed unexpectedly
            self._thread.join(seconds)

    async def append(self, events: Sequence[Event]) -> list[Outcome]:
        """Stores events; see ``Journal.append``."""
        self._troubles.check("write")
        if self.waiting + len(events) > _MOST_WAITING:
            raise Overloaded(
                f"{self.waiting} events were waiting to be written already; send them again later"
            )
        future: asyncio.Future[list[Outcome]] = self._loop.create_future()
        self.waiting += len(events)
        batch = _Batch(events, now(), future)
        self._came.put(batch)
        try:
            outcomes = await in_time(future, self._deadlines.write)
        except TimeoutError:
            batch.is_refused = True
            raise self._troubles.missed("write", self._deadlines.writing) from None
        finally:
            self.waiting -= len(events)
        self._counts.update(f"events_{outcome.status}" for outcome in outcomes)
        return outcomes

    def _run(self) -> None:
        ended = False
        while not ended:
            batches, ended = self._receive()
            if batches:
                self._commit(batches)

    def _receive(self) -> tuple[list[_Batch], bool]:
        """Waits for batches; returns those that have arrived, and whether they are the last."""
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
            self._troubles.check("write")
            self._troubles.writing_since = time.monotonic()
            outcomes = self._store(events, batches[0].received_at)
        except StoreUnavailable as error:
            is_open = self._current.opened is not None
            if is_open and error is not self._troubles.get("write"):
                self._troubles.note("write", error)
            self._deliver(batches, error)
        except Exception as error:
            logger.exception("could not write %d events", len(events))
            self._deliver(batches, error)
        else:
            self._troubles.clear("write")
            self._deliver(batches, outcomes)
        finally:
            self._troubles.writing_since = None

    def _store(self, events: Sequence[Event], received_at: int) -> list[Outcome]:
        before, seen = self._current.needed(), self._tracker.last_sequence
        outcomes = before.store.append(events, received_at)
        if any(one.status is Status.STORED and one.sequence <= seen for one in outcomes):
            # Numbers rise, so the store went back, and the stamps have to begin anew first.
            self._follow()
            if self._current.opened is before:
                raise StoreUnavailable("behind", _REUSED)
        opened = self._current.needed()
        self._tracker.raise_last_sequence(
            max((one.sequence for one in outcomes), default=0), opened.store.last_stored
        )
        # Before the commit is acknowledged. Repeated events count too: a process may have been
        # killed after it stored them and before it raised the stamps.
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
                    pass  # cancelled: no request waits
                elif isinstance(result, Exception):
                    batch.future.set_exception(result)
                else:
                    batch.future.set_result(result[start:end])
                start = end

        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(deliver)
