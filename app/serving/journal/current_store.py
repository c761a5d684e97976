"""The event store of a journal, while it is open."""

from __future__ import annotations

from dataclasses import dataclass

from app.errors import StoreUnavailable
from app.serving.journal.troubles import Troubles
from app.store.interface import EventStore
from app.store.keepsake import StoreKnowledge
from app.store.stamps import NoStamps, Stamps


@dataclass(frozen=True, slots=True)
class Opened:
    """An open store, and the stamps of its users on this host."""

    store: EventStore
    stamps: Stamps


class CurrentStore:
    """Where all threads of a journal find the store.

    The keeper puts it here, and whoever closes the journal takes it out; both replace it as a
    whole.

    Args:
        troubles: say why it is not here.

    Attributes:
        opened: the store; None while it is not open.
        stamps: those of the open store; before, what stands for them.
    """

    def __init__(self, troubles: Troubles) -> None:
        self._troubles = troubles
        self.opened: Opened | None = None
        self.stamps: Stamps | NoStamps = NoStamps()

    def needed(self) -> Opened:
        """Returns the open store.

        Raises:
            StoreUnavailable: it is not open.
        """
        opened = self.opened
        if opened is None:
            raise self._troubles.get("open") or StoreUnavailable(
                "closed", "the event store is not open"
            )
        return opened

    def remember(self, knowledge: StoreKnowledge) -> None:
        """Lets the stamps say what is known of a store that is not open yet."""
        self.stamps = NoStamps(knowledge.erased, knowledge.availability_version)

    def put(self, opened: Opened) -> None:
        """Puts a store here that has just been opened."""
        self.opened = opened
        self.stamps = opened.stamps

    def take(self) -> Opened | None:
        """Takes the store out, to be closed; None where it is not open."""
        opened, self.opened = self.opened, None
        self.stamps = NoStamps()
        return opened
