"""What is wrong with the event store now."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable
from typing import Final, Literal, TypeAlias

from app.errors import StoreUnavailable
from app.store.deadlines import Deadline

Tried: TypeAlias = Literal["open", "read", "write"]

# With these troubles of writing, nobody waits for another one of the same: the keeper tries.
_HOPELESS: Final = frozenset({"slow", "unreachable"})

logger = logging.getLogger(__name__)


class Troubles:
    """What is wrong with the store, by what was tried. Any thread may use it.

    Args:
        closing: set when the journal ends; that the store is closed is no trouble then.
        counts: where troubles are counted, by reason.
        when_unreadable: called with each trouble of reading, by the thread that notes it.
    """

    def __init__(
        self,
        closing: threading.Event,
        counts: Counter[str],
        when_unreadable: Callable[[StoreUnavailable], None],
    ) -> None:
        self._closing = closing
        self._counts = counts
        self._when_unreadable = when_unreadable
        self._now: dict[Tried, StoreUnavailable] = {}

    def all(self) -> list[StoreUnavailable]:
        """Returns all that is wrong; nothing if the store works."""
        return list(self._now.values())

    def get(self, tried: Tried) -> StoreUnavailable | None:
        """Returns what is wrong with opening, reading or writing."""
        return self._now.get(tried)

    def refusal(self, tried: Tried) -> StoreUnavailable | None:
        """Returns why nobody should wait for a store that is known not to answer."""
        trouble = self._now.get(tried)
        if trouble and (tried == "read" or trouble.reason in _HOPELESS):
            return trouble
        return None

    def check(self, tried: Tried) -> None:
        """Refuses at once what would wait for a store that is known not to answer.

        Raises:
            StoreUnavailable: that is so.
        """
        if trouble := self.refusal(tried):
            raise trouble

    def missed(self, tried: Tried, deadline: Deadline) -> StoreUnavailable:
        """Returns what is wrong after a deadline has passed, which is noted."""
        error = deadline.missed("the event store")
        self.note(tried, error)
        return error

    def note(self, tried: Tried, error: StoreUnavailable) -> None:
        """Takes note of what is wrong, and logs it where that is news."""
        if self._closing.is_set() and error.reason == "closed":
            return  # as it should be
        before = self._now.get(tried)
        self._now[tried] = error
        self._counts[f"trouble_{error.reason}"] += 1
        if before is None or before.reason != error.reason:
            logger.error("events are in trouble: %s", error)
        if tried == "read":
            self._when_unreadable(error)

    def clear(self, tried: Tried) -> None:
        """Takes note that opening, reading or writing works."""
        if self._now.pop(tried, None) and not self._now:
            logger.info("the event store works again")
