"""The troubles of the event store: which of opening, reading and writing fails now, and why."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable
from typing import Final, Literal, TypeAlias

from app.errors import StoreUnavailable
from app.store.deadlines import Deadline

Tried: TypeAlias = Literal["open", "read", "write", "follow"]

# While writing fails for these reasons, writes are refused at once, and only the keeper tries.
_HOPELESS: Final = frozenset({"slow", "unreachable", "readonly", "forbidden", "newer", "replaced"})

logger = logging.getLogger(__name__)


class Troubles:
    """The present failures of the store, by what was tried. Any thread may use it.

    Following fails when the store is not what was seen before: it works, and what it had is lost.

    Args:
        closing: set when the journal ends; a closed store is no failure then.
        counts: counts failures by reason.
        when_unreadable: called with each failure of reading, on the thread that records it.

    Attributes:
        writing_since: since when, by ``time.monotonic``, the writer has waited for a commit; None
            while it waits for none.
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
        self.writing_since: float | None = None
        self._now: dict[Tried, StoreUnavailable] = {}

    def all(self) -> list[StoreUnavailable]:
        """Returns all present failures; an empty list if the store works."""
        return list(self._now.values())

    def get(self, tried: Tried) -> StoreUnavailable | None:
        """Returns why opening, reading or writing fails; None if it works."""
        return self._now.get(tried)

    def refusal(self, tried: Tried) -> StoreUnavailable | None:
        """Returns the error to refuse a call with at once; None if the store should be asked."""
        trouble = self._now.get(tried)
        if trouble and (tried == "read" or trouble.reason in _HOPELESS):
            return trouble
        # What is written to a damaged store is lost with it, though it can be written.
        damage = self._now.get("read")
        return damage if damage and damage.reason == "corrupt" else None

    def check(self, tried: Tried) -> None:
        """Refuses a call at once that would wait for a store which is known not to answer.

        Raises:
            StoreUnavailable: the store is known not to answer.
        """
        if trouble := self.refusal(tried):
            raise trouble

    def missed(self, tried: Tried, deadline: Deadline) -> StoreUnavailable:
        """Records and returns the failure of a store that has missed a deadline."""
        error = deadline.missed("the event store")
        self.note(tried, error)
        return error

    def note(self, tried: Tried, error: StoreUnavailable) -> None:
        """Records a failure, and logs it if it is new."""
        if self._closing.is_set() and error.reason == "closed":
            return  # the store was closed on purpose
        before = self._now.get(tried)
        self._now[tried] = error
        self._counts[f"trouble_{error.reason}"] += 1
        if before is None or before.reason != error.reason:
            logger.error("the event store fails: %s", error)
        if tried == "read":
            self._when_unreadable(error)

    def clear(self, tried: Tried) -> None:
        """Records that opening, reading or writing works."""
        # A store that went back works, and the message about that stays for longer.
        if self._now.pop(tried, None) and not self._now.keys() - {"follow"}:
            logger.info("the event store works again")
