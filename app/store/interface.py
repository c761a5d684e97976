"""The contract of event stores, whichever database they use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from app.events.event import Event, StoredEvent
from app.model.watermark import Watermark
from app.store.course import Mark, Seen, StoreState


class Status(StrEnum):
    """The outcome of storing an event."""

    STORED = "stored"
    REPEATED = "repeated"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one event, and its number.

    Attributes:
        status: ``stored``; ``repeated`` if it was stored before and counts once; ``conflict`` if
            its id belongs to an event with different content, so that it is not stored.
        sequence: number of the event that is stored under its key.
    """

    status: Status
    sequence: int


@dataclass(frozen=True, slots=True)
class PlayedArtist:
    """How often an artist was played in a period.

    Attributes:
        artist_id: the artist.
        name: the name from the latest event that has one; None if none has.
        listeners: how many users played it.
        plays: how often.
    """

    artist_id: str
    name: str | None
    listeners: int
    plays: float


class EventStore(Protocol):
    """Events, durable and numbered.

    An event gets its number when it is committed, under one lock. So numbers have no gaps, and a
    reader that has read up to a number never misses a lower one. Each method may be called from any
    thread, and raises ``StoreUnavailable`` if the database fails; then nothing of that call is
    stored, unless only the database's answer was lost.
    """

    @property
    def id(self) -> str:
        """The store's id, which does not depend on its address; a plain copy has the same id."""
        ...

    @property
    def place(self) -> str:
        """The place of this store; two copies have different places."""
        ...

    def shared_up_to(self, store_id: str) -> int:
        """Returns up to which number the events are those of the store with that id.

        0 for a store that shares no events with this one; no limit for this store itself. The
        database is not asked: the value is from the last call of ``last_sequence``.
        """
        ...

    @property
    def prunings(self) -> int:
        """How often events were pruned, as of the last call of ``last_sequence``.

        Data that was read before this number rose may hold events that are deleted.
        """
        ...

    def append(self, events: Sequence[Event], received_at: int) -> list[Outcome]:
        """Stores events in one transaction; they are durable when this returns.

        Args:
            events: the events, in the order of their numbers.
            received_at: in microseconds since 1970 (UTC).

        Returns:
            The outcome of each event, in the same order.
        """
        ...

    @property
    def last_stored(self) -> tuple[int, Mark] | None:
        """The number and the mark of the last event that this object has stored; None for none."""
        ...

    def last_sequence(self) -> int:
        """Returns the number of the last event or tombstone, 0 while there is none."""
        ...

    def events_of(
        self, user_id: str, *, limit: int, before: int | None = None
    ) -> list[StoredEvent]:
        """Returns a user's events, highest number first.

        Args:
            user_id: the user.
            limit: how many events at most.
            before: only events with lower numbers.
        """
        ...

    def events_between(self, after: int, up_to: int, *, limit: int) -> list[StoredEvent]:
        """Returns events of all users by number.

        Args:
            after: only events with higher numbers.
            up_to: the highest number.
            limit: how many events at most; those with the lowest numbers.
        """
        ...

    def count_of(self, user_id: str) -> int:
        """Returns how many events of a user there are."""
        ...

    def latest_of_users(self, after: int) -> list[tuple[str, int]]:
        """Returns the users with events numbered above ``after``, each with the last number."""
        ...

    def erase(self, user_id: str, erased_at: int) -> int:
        """Deletes a user's events and leaves a tombstone, which holds only a hash of the id.

        The tombstone takes a number, like an event, so that readers who follow the numbers see it.
        Events of the user that come later count as those of a new user.

        Args:
            user_id: the user.
            erased_at: in microseconds since 1970 (UTC).

        Returns:
            How many events there were.
        """
        ...

    @property
    def is_wiped(self) -> bool | None:
        """Whether no deleted data is left in the database's log; None where it does not say."""
        ...

    def owe_wipe(self) -> None:
        """Records that data was deleted, by whichever process, so that ``wipe`` has work to do."""
        ...

    def wipe(self) -> None:
        """Removes deleted data from the database's log, as far as its readers allow.

        It waits for nobody, and does nothing where nothing is left. A failure is no error: whoever
        follows the store calls it again until ``is_wiped``, also after a restart.
        """
        ...

    def tombstone_of(self, user_id: str) -> int:
        """Returns the number of a user's tombstone, 0 for a user who was never erased."""
        ...

    def tombstones(self, up_to: int) -> list[tuple[bytes, int]]:
        """Returns the user hashes and numbers of the tombstones with numbers up to ``up_to``."""
        ...

    def erased_after(self, after: int) -> list[tuple[int, int]]:
        """Returns the stamp keys and numbers of the tombstones with numbers above ``after``."""
        ...

    def latest_of_artists(self, after: int) -> list[tuple[str, int]]:
        """Returns the artists with events numbered above ``after``, each with the last number."""
        ...

    def listeners_of(self, artist_id: str, *, limit: int) -> list[str]:
        """Returns users whose events count an artist as seen, latest first, at most ``limit``."""
        ...

    def names_of(self, artist_ids: Sequence[str]) -> dict[str, str]:
        """Returns the names of artists from their latest events; artists without are left out."""
        ...

    def played_since(self, since: int, *, by_plays: bool, limit: int) -> list[PlayedArtist]:
        """Returns the artists that were played most.

        Args:
            since: the beginning of the period, in microseconds since 1970 (UTC).
            by_plays: order by plays; else by listeners.
            limit: how many artists at most.
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

    def look(self, numbers: Sequence[int] = ()) -> StoreState:
        """Returns the state of the store, with the entries of some numbers."""
        ...

    def settle(self, seen: Seen) -> str | None:
        """Gives the store another id if it went back since it was seen; durable when it returns.

        It is looked at again while nobody writes. The new id shares the numbers up to which the
        entries are surely those that were seen, so models that have learned others do not take new
        events for those. A store that has another id already only gets a higher version of
        availability, so that whoever has seen the former one reads the artists again.

        Returns:
            What shows that it went back or is another store; None if nothing does.
        """
        ...

    def check_writable(self) -> None:
        """Tests whether writing works, by a write that changes no event."""
        ...

    def probe(self) -> bool:
        """Tests whether writing works, as far as that shows without writing anything.

        It costs little, stays in nobody's way and waits for no lock.

        Returns:
            False if nothing could be found out, since a thread of this process is writing.

        Raises:
            StoreUnavailable: writing does not work.
        """
        ...

    def wait_for_news(self, seconds: float) -> None:
        """Waits until another process has stored something, if the database notifies of that.

        Args:
            seconds: how long at most. The wait may end early, as it does when the store is closed.
        """
        ...

    def close(self) -> None:
        """Closes all connections; may be called twice. Later calls raise ``StoreUnavailable``."""
        ...


def learned_up_to(store: EventStore, watermark: Watermark | None, end: int) -> int:
    """Returns the number up to which a model has learned a store's events and tombstones.

    Args:
        store: the store.
        watermark: the watermark of the model.
        end: number of the store's last event. If the watermark is higher, the store was restored
            from an older copy, and gives those numbers to other events.
    """
    if watermark is None:
        return 0
    learned = min(watermark.sequence, store.shared_up_to(watermark.store))
    return learned if learned <= end else 0
