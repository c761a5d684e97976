"""The tracker: what the service knows of its event store without asking it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import Final

from app.model.model import Model
from app.model.watermark import Watermark
from app.serving.journal.current_store import Opened
from app.store.course import Mark, OffCourse, Seen, StoreState, off_course, raised
from app.store.interface import EventStore, learned_up_to
from app.store.keepsake import Keepsake, StoreKnowledge
from app.store.stamps import stamp_key

_FORGOTTEN: Final = (
    "the event store does not know %d users who were erased: it is another store, or was restored "
    "from an older copy. Models that hold them recognise them again. Import an export of the "
    "former store, or erase them again"
)

logger = logging.getLogger(__name__)


class StoreTracker:
    """The erased users, the unavailable artists, and the number of the last event.

    Until the store is open they come from the keepsake; then from the store, as ``catch_up`` read
    it last. Values are replaced as a whole, so any thread may read them.

    Args:
        keepsake: the file of what the host knows of the store; None for none.
        when_erased: called with the stamp keys of users who were erased, on the thread that has
            found it out.

    Attributes:
        unavailable: the version of availability, and the unavailable artists.
        last_sequence: number of the store's last event.
        forgotten: how many users were erased whom the store does not know as erased.
    """

    def __init__(
        self, keepsake: Keepsake | None, when_erased: Callable[[Collection[int]], None]
    ) -> None:
        self._keepsake = keepsake
        self._when_erased = when_erased
        self.unavailable: tuple[int, list[str]] = 0, []
        self.last_sequence = self.forgotten = 0
        # What earlier looks have shown; None before the first.
        self._seen: Seen | None = None
        # The last event that this process has stored.
        self._stored: tuple[int, Mark] | None = None
        # The last event that a model has learned, and the version of that model.
        self._learned: tuple[Watermark, str] | None = None
        # Stamp keys of the erased users, and the number up to which tombstones were read.
        self._erased: set[int] = set()
        self._erased_up_to = 0
        self._prunings = 0
        # Stamp keys of erased users of whom caches may hold something.
        self._to_forget: set[int] = set()
        # Whether these values come from the store, and no longer from the keepsake.
        self._is_of_store = False
        # Whether the keepsake holds the same values.
        self._is_saved = False

    def load(self) -> StoreKnowledge:
        """Takes over what the keepsake holds, and returns it."""
        if self._keepsake is None:
            return StoreKnowledge()
        knowledge = self._keepsake.load()
        self._erased = set(knowledge.erased)
        self.unavailable = knowledge.availability_version, list(knowledge.unavailable)
        return knowledge

    def is_erased(self, user_id: str) -> bool:
        """Says whether a user was erased; may be true for another user of the same stamp key."""
        return stamp_key(user_id) in self._erased

    def learned(self, store: EventStore, user_id: str, model: Model | None) -> int:
        """Returns the number of the last of a user's events that a model may have learned.

        0 if it has learned none, for example because filters left the user out of the training.
        """
        if model is None or model.watermark is None or model.users.index(user_id) is None:
            return 0
        return learned_up_to(store, model.watermark, self.last_sequence)

    def raise_last_sequence(self, sequence: int, stored: tuple[int, Mark] | None = None) -> None:
        """Records the number of a stored event, and the last event that was stored here."""
        self._stored = stored or self._stored
        self.last_sequence = max(self.last_sequence, sequence)

    def expect(self, model: Model) -> None:
        """Records how far a model has learned; a store that ends before that went back."""
        if model.watermark is not None:
            self._learned = model.watermark, model.version

    def restart(self, seen: Seen | None = None) -> None:
        """Lets ``catch_up`` read all again, as of a store of which ``seen`` was seen."""
        self._seen, self._stored = seen, None
        self._erased_up_to = self.last_sequence = 0
        self._is_of_store = False

    def catch_up(self, opened: Opened) -> OffCourse | None:
        """Reads what others have stored, and updates this object and the stamps.

        Returns:
            None; or how the store is not what was seen before, and then nothing is updated.

        Raises:
            StoreUnavailable: the store cannot be read, or was closed.
        """
        store, stamps = opened.store, opened.stamps
        # Before the look, which then sees at least as much.
        seen = self._seen or stamps.seen(store.id)
        seen = raised(seen, self.last_sequence, self._stored)
        state = store.look(seen.latest_marks)
        if off := off_course(seen, state) or self._off_the_model(state):
            return off
        self._seen = seen.followed_by(state)
        end = state.last_sequence
        self.raise_last_sequence(end)
        self._follow_deletions(store, end)
        stamps.catch_up(end, lambda after: _changes_after(store, after))
        if (mark := state.marks.get(end)) is not None:
            stamps.note(end, mark)
        version = state.availability_version
        if version != self.unavailable[0] or not self._is_of_store:
            self.unavailable, self._is_saved = store.unavailable_artists(), False
        stamps.raise_availability(version)
        if self._to_forget:
            # After the stamps: what is read from now on is not that of the erased user.
            forgotten, self._to_forget = self._to_forget, set()
            self._when_erased(forgotten)
        self._is_of_store = True
        if self._keepsake is not None and not (self._is_saved and self._keepsake.is_there()):
            version, artists = self.unavailable
            knowledge = StoreKnowledge(frozenset(self._erased), version, tuple(artists))
            self._is_saved = self._keepsake.save(knowledge)
        return None

    def _off_the_model(self, state: StoreState) -> OffCourse | None:
        if self._learned is None:
            return None
        watermark, version = self._learned
        if watermark.store != state.id or watermark.sequence <= state.last_sequence:
            return None
        # No mark: nothing shows where the events began to differ from those that were learned.
        return OffCourse(
            Seen(state.id, last_sequence=watermark.sequence),
            f"it ends at number {state.last_sequence}, and the model {version} has learned events "
            f"up to {watermark.sequence}",
        )

    def _follow_deletions(self, store: EventStore, end: int) -> None:
        """Reads who was erased; another process may have deleted that, and what it pruned."""
        is_new = end > self._erased_up_to or not self._is_of_store
        erased = {key for key, _ in store.erased_after(self._erased_up_to)} if is_new else set()
        if is_new:
            if not self._is_of_store:
                self.forgotten = len(self._erased - erased)
                if self.forgotten:
                    logger.error(_FORGOTTEN, self.forgotten)
            self._erased = self._erased | erased if self._is_of_store else erased
            self._erased_up_to = end
            self._is_saved = self._is_saved and not erased
            self._to_forget |= erased
        if self._is_of_store and (erased or store.prunings != self._prunings):
            store.owe_wipe()
        self._prunings = store.prunings


def _changes_after(store: EventStore, after: int) -> list[tuple[int, int]]:
    latest = [(stamp_key(user), sequence) for user, sequence in store.latest_of_users(after)]
    return latest + store.erased_after(after)
