"""What an event store does, whichever database it is in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from app.events.event import Event, StoredEvent
from app.model.watermark import Watermark


class Status(StrEnum):
    """What became of an event."""

    STORED = "stored"
    REPEATED = "repeated"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one event.

    Attributes:
        status: ``stored``; ``repeated`` if it was stored before and counts once; ``conflict`` if
            its id belongs to an event with another content, so that it is not stored.
        sequence: number of the event that is stored under its key.
    """

    status: Status
    sequence: int


@dataclass(frozen=True, slots=True)
class PlayedArtist:
    """How often an artist was played in some time.

    Attributes:
        artist_id: the artist.
        name: as the latest event has it; None where none has.
        listeners: how many users played it.
        plays: how often.
    """

    artist_id: str
    name: str | None
    listeners: int
    plays: float


class EventStore(Protocol):
    """Events, durable and numbered.

    An event gets its number when it is committed, under one lock, so numbers have no gaps and
    whoever has read up to a number never misses a lower one. Each method may be called from any
    thread, and raises ``StoreUnavailable`` where the database is in trouble; nothing of that call
    is stored then, unless the answer itself was lost on its way.
    """

    @property
    def id(self) -> str:
        """Identifies the store, whatever its address is; a copy has the same."""
        ...

    @property
    def place(self) -> str:
        """Says where this very store is: of two copies each has another."""
        ...

    def shared_up_to(self, store_id: str) -> int:
        """Returns up to which number the events are those of a store with that id.

        0 for a store that has nothing in common with this one; no limit for this one itself. No
        question to the database: it is as ``last_sequence`` has found it last.
        """
        ...

    @property
    def prunings(self) -> int:
        """How often events were pruned, as ``last_sequence`` has found it last.

        What was read of users and artists before it rose may hold events that are gone.
        """
        ...

    def append(self, events: Sequence[Event], received_at: int) -> list[Outcome]:
        """Stores events in one transaction; they are durable when this returns.

        Args:
            events: in their order.
            received_at: in microseconds since 1970 (UTC).
        """
        ...

    def last_sequence(self) -> int:
        """Returns the number of the last event, 0 while there is none."""
        ...

    def events_of(
        self, user_id: str, *, limit: int, before: int | None = None
    ) -> list[StoredEvent]:
        """Returns a user's events, latest number first.

        Args:
            user_id: whose.
            limit: at most so many.
            before: only those with lower numbers.
        """
        ...

    def events_between(self, after: int, up_to: int, *, limit: int) -> list[StoredEvent]:
        """Returns events of all users by number.

        Args:
            after: only those with higher numbers.
            up_to: the highest number.
            limit: at most so many, those with the lowest numbers.
        """
        ...

    def count_of(self, user_id: str) -> int:
        """Returns how many events of a user there are."""
        ...

    def latest_of_users(self, after: int) -> list[tuple[str, int]]:
        """Returns who has events with numbers above ``after``, each with the last one's number."""
        ...

    def erase(self, user_id: str, erased_at: int) -> int:
        """Deletes a user's events and leaves a tombstone, which holds a hash of the id only.

        The tombstone takes a number, as an event does, so that whoever follows the numbers learns
        of it. Events of the user that come later are those of somebody new.

        Args:
            user_id: whose.
            erased_at: in microseconds since 1970 (UTC).

        Returns:
            How many events there were.
        """
        ...

    def tombstone_of(self, user_id: str) -> int:
        """Returns the number of a user's tombstone, 0 for somebody who was never erased."""
        ...

    def tombstones(self, up_to: int) -> list[tuple[bytes, int]]:
        """Returns the hashes of who was erased, and the tombstones' numbers, up to a number."""
        ...

    def erased_after(self, after: int) -> list[tuple[int, int]]:
        """Returns the stamp keys and numbers of the tombstones with numbers above ``after``."""
        ...

    def latest_of_artists(self, after: int) -> list[tuple[str, int]]:
        """Returns which artists have events with numbers above ``after``, each with the last's."""
        ...

    def listeners_of(self, artist_id: str, *, limit: int) -> list[str]:
        """Returns whose events say that they have seen an artist, latest first, at most so many."""
        ...

    def names_of(self, artist_ids: Sequence[str]) -> dict[str, str]:
        """Returns the names of artists as the latest event has them; the others are left out."""
        ...

    def played_since(self, since: int, *, by_plays: bool, limit: int) -> list[PlayedArtist]:
        """Returns the artists that were played most.

        Args:
            since: in microseconds since 1970 (UTC).
            by_plays: order by plays; else by listeners.
            limit: at most so many.
        """
        ...

    def set_available(self, artist_id: str, *, is_available: bool) -> int:
        """Makes an artist unavailable, or available again; durable when this returns.

        Returns:
            The version of availability, which each change raises.
        """
        ...

    def availability_version(self) -> int:
        """Returns the version of availability, 0 before the first change."""
        ...

    def unavailable_artists(self) -> tuple[int, list[str]]:
        """Returns the version of availability, and the ids of all unavailable artists."""
        ...

    def check_writable(self) -> None:
        """Writes something that changes nothing, to find out whether writing works."""
        ...

    def wait_for_news(self, seconds: float) -> None:
        """Waits until another one has stored something, if the database tells of that.

        Args:
            seconds: at most so long. It ends early when the store is closed, or for no reason.
        """
        ...

    def close(self) -> None:
        """Closes all connections; may be called twice. Calls after it raise."""
        ...


def learned_up_to(store: EventStore, watermark: Watermark | None, end: int) -> int:
    """Returns up to which of a store's numbers a model has learned its events and tombstones.

    Args:
        store: the store at hand.
        watermark: the model's.
        end: number of the store's last event. A model that has read further knows events that are
            lost, for the store was restored: their numbers are given again.
    """
    if watermark is None:
        return 0
    learned = min(watermark.sequence, store.shared_up_to(watermark.store))
    return learned if learned <= end else 0
