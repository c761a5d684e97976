"""The event store of a journal, while it is open."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count

from app.errors import StoreUnavailable
from app.serving.journal.troubles import Troubles
from app.store.interface import EventStore
from app.store.keepsake import StoreKnowledge
from app.store.stamps import NoStamps, Stamps


@dataclass(frozen=True, slots=True)
class Opened:
    """An open store, and the stamps of its users on this host.

    Attributes:
        store: the store.
        stamps: the stamps.
        number: another one for each time that the stamps begin anew.
    """

    store: EventStore
    stamps: Stamps
    number: int = field(default_factory=count().__next__)

    @property
    def edition(self) -> tuple[int, int]:
        """Another value as soon as events that were read may be gone."""
        return self.number, self.store.prunings


class CurrentStore:
    """Holds the open store for all threads of a journal.

    The keeper puts it here, and closing the journal takes it out; both replace it as a whole. Made
    on the event loop that reads the stamps.

    Args:
        troubles: has the reason why the store is not open.

    Attributes:
        opened: the store; None while it is not open.
        stamps: the stamps of the open store; before it is open, a substitute for them.
    """

    def __init__(self, troubles: Troubles) -> None:
        self._troubles = troubles
        self._loop = asyncio.get_running_loop()
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
        """Fills the substitute for the stamps with what the host knows of the store."""
        self.stamps = NoStamps(knowledge.erased, knowledge.availability_version)

    def put(self, opened: Opened) -> None:
        """Sets the store that has just been opened, or begins anew with other stamps."""
        former = self.opened
        self.opened = opened
        self.stamps = opened.stamps
        if former is not None:
            # On the loop, which never waits between taking the stamps and reading them.
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(former.stamps.close)

    def take(self) -> Opened | None:
        """Removes and returns the store, to be closed; None if it is not open."""
        opened, self.opened = self.opened, None
        self.stamps = NoStamps()
        return opened
