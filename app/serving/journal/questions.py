"""Questions to the event store, with a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

from app.errors import StoreUnavailable
from app.serving.journal.current_store import CurrentStore
from app.serving.journal.readers import Readers
from app.serving.journal.troubles import Tried, Troubles
from app.serving.journal.waiting import Patience, in_time
from app.store.deadlines import Deadlines
from app.store.interface import EventStore

_READERS: Final = 4

T = TypeVar("T")


class Questions:
    """Asks the store on a few threads. Made on an event loop, where the answers are awaited.

    Args:
        current: has the store.
        troubles: gets failures.
        patience: ends long questions when reading fails.
        deadlines: how long an answer may take.
    """

    def __init__(
        self,
        current: CurrentStore,
        troubles: Troubles,
        patience: Patience,
        deadlines: Deadlines,
    ) -> None:
        self._current = current
        self._troubles = troubles
        self._patience = patience
        self._deadlines = deadlines
        self._readers = Readers(_READERS, asyncio.get_running_loop())

    def start(self) -> None:
        """Begins to answer."""
        self._readers.start()

    def close(self, seconds: float) -> None:
        """Ends the threads, and waits for them, for ``seconds`` at most."""
        self._readers.close(seconds)

    async def ask(
        self,
        question: Callable[[EventStore], T],
        *,
        tried: Tried = "read",
        is_patient: bool = False,
    ) -> T:
        """Returns the store's answer, if it comes in time; records a failure.

        Args:
            question: called with the store on one of the threads.
            tried: whether it reads or writes.
            is_patient: whether the answer may take long; one that takes too long is no sign that
                the store fails: other questions tell.

        Raises:
            StoreUnavailable: the store does not answer, or is known to be failing.
        """
        opened = self._current.needed()
        self._troubles.check(tried)
        future = self._readers.ask(partial(question, opened.store))
        deadline = self._deadlines.writing if tried == "write" else self._deadlines.reading
        if is_patient:
            deadline = self._deadlines.following
            self._patience.add(future)
        try:
            return await in_time(future, deadline.seconds)
        except TimeoutError:
            if is_patient:
                raise deadline.missed("the event store") from None
            raise self._troubles.missed(tried, deadline) from None
        except StoreUnavailable as error:
            is_long = is_patient and error.reason == "slow"
            if not is_long and error is not self._troubles.get(tried):
                self._troubles.note(tried, error)
            raise
        finally:
            self._patience.discard(future)
