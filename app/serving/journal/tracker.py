"""What a service knows of its event store without asking."""

from __future__ import annotations

import logging
from typing import Final

from app.model.model import Model
from app.serving.journal.current_store import Opened
from app.store.interface import EventStore, learned_up_to
from app.store.keepsake import Keepsake, StoreKnowledge
from app.store.stamps import stamp_key

_FORGOTTEN: Final = (
    "the event store does not know %d users who were erased: it is another one, or was put back. "
    "Models that hold them recognise them again. Import an export of the former store, or erase "
    "them again"
)

logger = logging.getLogger(__name__)


class StoreTracker:
    """Who was erased, what is unavailable, and how far the numbers go.

    It is that of the keepsake until the store is open, and then that of the store, as ``catch_up``
    has found it last. What is read here is replaced as a whole, so any thread may read it.

    Args:
        keepsake: what the host remembers; None for nothing.

    Attributes:
        unavailable: the version of availability, and the unavailable artists.
        last_sequence: number of the store's last event.
    """

    def __init__(self, keepsake: Keepsake | None) -> None:
        self._keepsake = keepsake
        self.unavailable: tuple[int, list[str]] = 0, []
        self.last_sequence = 0
        # Stamp keys of who was erased, and up to which number.
        self._erased: set[int] = set()
        self._erased_up_to = 0
        # Whether all this is of the store, and no more what the keepsake said.
        self._is_of_store = False
        # Whether the keepsake says the same.
        self._is_saved = False

    def load(self) -> StoreKnowledge:
        """Takes over what the host remembers, and returns it."""
        if self._keepsake is None:
            return StoreKnowledge()
        knowledge = self._keepsake.load()
        self._erased = set(knowledge.erased)
        self.unavailable = knowledge.availability_version, list(knowledge.unavailable)
        return knowledge

    def is_erased(self, user_id: str) -> bool:
        """Says whether a user was erased; sometimes so of somebody with the same stamp key."""
        return stamp_key(user_id) in self._erased

    def learned(self, store: EventStore, user_id: str, model: Model | None) -> int:
        """Returns the number of the last of a user's events that a model may have learned.

        Filters may have left the user out of the training: then it has learned none of them.
        """
        if model is None or model.watermark is None or model.users.index(user_id) is None:
            return 0
        return learned_up_to(store, model.watermark, self.last_sequence)

    def raise_last_sequence(self, sequence: int) -> None:
        """Takes note of the number of an event that is stored."""
        self.last_sequence = max(self.last_sequence, sequence)

    def catch_up(self, opened: Opened) -> None:
        """Takes note of what others have stored, here and in the stamps.

        Raises:
            StoreUnavailable: the store cannot be read, or was closed.
        """
        store, stamps = opened.store, opened.stamps
        end = store.last_sequence()
        self.raise_last_sequence(end)
        if end > self._erased_up_to or not self._is_of_store:
            erased = {key for key, _ in store.erased_after(self._erased_up_to)}
            if not self._is_of_store and (forgotten := self._erased - erased):
                logger.error(_FORGOTTEN, len(forgotten))
            self._erased = self._erased | erased if self._is_of_store else erased
            self._erased_up_to = end
            self._is_saved = self._is_saved and not erased
        stamps.catch_up(end, lambda after: _changes_after(store, after))
        version = store.availability_version()
        if version != self.unavailable[0] or not self._is_of_store:
            self.unavailable, self._is_saved = store.unavailable_artists(), False
        stamps.raise_availability(version)
        self._is_of_store = True
        if self._keepsake is not None and not self._is_saved:
            version, artists = self.unavailable
            knowledge = StoreKnowledge(frozenset(self._erased), version, tuple(artists))
            self._is_saved = self._keepsake.save(knowledge)


def _changes_after(store: EventStore, after: int) -> list[tuple[int, int]]:
    latest = [(stamp_key(user), sequence) for user, sequence in store.latest_of_users(after)]
    return latest + store.erased_after(after)
